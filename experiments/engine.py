"""One engine for every table of runs: a list of jobs goes in, a line of JSON comes out of each.

A job is a small dictionary, and run(job) says what it found as another. Every finished run is a line in a file: start
the same command again after an interruption, and it goes on where it was. A run that fails, or whose process dies, is
written down as failed and does not stop the others; the next start tries it again. Runs go to any executor of
`concurrent.futures`: processes on this machine, or, with --scheduler, the workers of a Dask cluster.
"""

import argparse
import functools
import json
import os
import platform
import signal
import sys
import threading
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # before tqdm is imported, here and in the workers

import torch  # noqa: E402

import mfutils  # noqa: E402

ONE_AT_A_TIME = threading.Lock()  # in a process: runs seed its global generator


@functools.cache  # what a process has imported does not change when files do
def versions(run, modules):
    """Of Python, PyTorch, and the code that results depend on: the file that defines `run`, and modules of mfutils."""
    files = [Path(sys.modules[run.__module__].__file__),
             *(Path(mfutils.__file__).parent / f"{name}.py" for name in modules)]
    return dict(python=platform.python_version(), torch=torch.__version__.split("+")[0],
                code=f"{zlib.crc32(b''.join(file.read_bytes() for file in files)):08x}")


def measured(run, job, modules):
    """In the worker, on one thread: what run(job) found, by which versions, in how many CPU seconds."""
    made_by = versions(run, modules)
    with ONE_AT_A_TIME:
        torch.set_num_threads(1)
        start = time.thread_time()
        found = run(job)
        return dict(versions=made_by, seconds=round(time.thread_time() - start, 1), found=found)


def finished(path, made_by):
    """The whole lines of the file that these versions made and that did not fail: job, as JSON, to line."""
    done = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # empty, or cut off in the middle
            continue
        if entry["versions"] == made_by and "found" in entry:
            done[json.dumps(entry["job"])] = entry
    return done


def run_all(run, jobs, path, modules, executor):
    """Run what is not finished yet, append a line for each to `path`, and return the lines in the order of the jobs.

    run: a function of an importable module, not of `__main__`.  modules: a tuple of names of those of mfutils that
    results depend on. When one of them, or the file that defines `run`, has changed, all is run anew. Interrupted
    (Ctrl-C, SIGTERM), it loses the runs in flight and no other. Exits where some have failed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = versions(run, modules)
    done = finished(path, ours)
    left = [job for job in jobs if json.dumps(job) not in done]
    print(f"{len(jobs) - len(left)} of {len(jobs)} runs are there", flush=True)
    start, futures = time.perf_counter(), {}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for job in left:
            futures[executor.submit(measured, run, job, modules)] = job
        for k, future in enumerate(as_completed(futures), start=1):
            job, error = futures[future], future.exception()
            result = dict(versions=ours, failed=repr(error)) if error else future.result()
            if result["versions"] != ours:
                result = dict(versions=ours, failed=f"the worker has other versions: {result['versions']}")
            with path.open("a", encoding="utf-8") as file:
                file.write("\n" + json.dumps(dict(job=job) | result))
            minutes = (time.perf_counter() - start) / k * (len(left) - k) / 60
            name = ", ".join(str(value) for value in job.values() if not isinstance(value, list))
            print(f"{k} of {len(left)}, {minutes:.0f} minutes left: {name} {result.get('failed', '')}", flush=True)
    finally:
        for future in futures:
            future.cancel()
        executor.shutdown(wait=False)
    done = finished(path, ours)
    missing = [job for job in jobs if json.dumps(job) not in done]
    if missing:
        sys.exit(f"{len(missing)} runs failed; see {path}, mend it, and start again:\n{missing}")
    return [done[json.dumps(job)] for job in jobs]


class Processes(ThreadPoolExecutor):
    """Spawned processes, one for each thread that waits for it. A `ProcessPoolExecutor` of several breaks as a whole
    when one of its processes dies; here that run fails, and the thread goes on with a new process."""

    def __init__(self, workers):
        super().__init__(workers)
        self.own, self.pools = threading.local(), set()

    def submit(self, function, *arguments):
        return super().submit(self.elsewhere, function, *arguments)

    def elsewhere(self, function, *arguments):
        if not hasattr(self.own, "pool"):
            self.own.pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=ignore_interrupts)
            self.pools.add(self.own.pool)
        try:
            return self.own.pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            self.pools.discard(self.own.__dict__.pop("pool"))
            raise

    def shutdown(self, wait=True, cancel_futures=False):
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        while not wait and any(thread.is_alive() for thread in self._threads):
            for process in [process for pool in list(self.pools) for process in list((pool._processes or {}).values())]:
                process.kill()  # idle, or in a run that is not in the file and will be run again
            time.sleep(0.05)
        super().shutdown(wait=wait)


def ignore_interrupts():
    """In a worker: Ctrl-C reaches all processes of a terminal, and the parent decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def executor(table):
    """The executor that the command line asks for; two processes on this machine if it says nothing.

    table: the file that defines `run`, sent to the workers of a cluster together with this one.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2, help="processes on this machine, one thread each")
    parser.add_argument("--scheduler", help="of a Dask cluster, tcp://HOST:8786, whose workers have this package")
    asked = parser.parse_args()
    if not asked.scheduler:
        return Processes(asked.workers)
    from distributed import Client  # an extra: pip install '.[cluster]'
    client = Client(asked.scheduler)
    for file in (__file__, table):
        client.upload_file(file)  # to the workers of now and of later
    return client.get_executor(pure=False)
