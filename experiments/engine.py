"""One engine for every table of runs: a list of jobs goes in, a line of JSON comes out of each.

A table is a module with a function run(job): a job is a small dictionary, and what it found is another. Every finished
run is a line in a file: start the same command again after an interruption, and it goes on where it was. A run that
fails, or whose process dies, is written down as failed and does not stop the others; the next start tries it again.
Runs go to any executor of `concurrent.futures`: processes on this machine, or, with --scheduler, the workers of a Dask
cluster.
"""

import argparse
import base64
import functools
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zlib
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from importlib import import_module
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # in a worker, this module is imported before tqdm

PACKAGES = "torch", "scikit-learn"  # another version of them may find something else
ONE_AT_A_TIME = threading.Lock()  # in a process: runs seed its global generator


@functools.cache  # Cached: hash the code as imported. What a process has imported does not change when files do.
def versions(table: str) -> dict:
    """Of Python, of packages, and of the code: the table's own file and all of mfutils, but for what only shows.

    That may be more than the table imports. A run too many costs a minute; one too few would be wrong.
    """
    own, package = find_spec(table), Path(find_spec("mfutils").origin).parent
    files = [*sorted(package.glob("*.py")), *sorted(package.glob("lab/*.py"))]
    code = b"".join([own.loader.get_data(own.origin), *(file.read_bytes() for file in files)])  # `own` may be in a zip
    installed = {found.name: found.version.split("+")[0] for found in distributions() if found.name in PACKAGES}
    return dict(python=platform.python_version(), **installed, code=f"{zlib.crc32(code):08x}")


def measured(table: str, job: dict) -> dict:
    """In the worker, on one thread: what the table's run(job) found or why it failed, and by which versions."""
    run, made_by = import_module(table).run, versions(table)
    with ONE_AT_A_TIME:
        if "torch" in sys.modules:  # a table can do without
            sys.modules["torch"].set_num_threads(1)
        start = time.thread_time()
        try:
            found = run(job)
        except Exception as error:
            traceback.print_exc()
            return dict(versions=made_by, failed=repr(error))
        return dict(versions=made_by, seconds=round(time.thread_time() - start, 1), found=found)


def finished(path: Path, made_by: dict) -> dict[str, dict]:
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


def run_all(table: str, jobs: list[dict], path: Path, executor: Executor) -> list[dict]:
    """Run what is not finished yet, append a line for each to `path`, and return the lines in the order of the jobs.

    table: the name of the module with `run`, as workers import it. When its file or mfutils has changed, all is run
    anew. Interrupted (Ctrl-C, SIGTERM), it loses the runs in flight and no other. Exits where some have failed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = versions(table)
    done = finished(path, ours)
    left = [job for job in jobs if json.dumps(job) not in done]
    print(f"{len(jobs) - len(left)} of {len(jobs)} runs are there", flush=True)
    start, futures = time.perf_counter(), {}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for job in left:
            futures[executor.submit(measured, table, job)] = job
        for k, future in enumerate(as_completed(futures), start=1):
            job, result = futures[future], result_of(future, ours)
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


def result_of(future: Future, ours: dict) -> dict:
    """What came of a run. It has failed, too, if its worker died or has other versions than ours."""
    if error := future.exception():
        return dict(versions=ours, failed=repr(error))
    result = future.result()
    if result["versions"] != ours:
        return dict(versions=ours, failed=f"the worker has other versions: {result['versions']}")
    return result


class Processes(ThreadPoolExecutor):
    """Threads that each ask a Python process of their own, and wait for its answer. A process does one run after
    another, so that it imports PyTorch once. If it dies, that run has failed, and the next one gets a new process.

    Functions must be of importable modules, their arguments and what they return JSON.
    """

    def __init__(self, workers: int):
        super().__init__(workers)
        self.children, self.idle, self.stopped, self.lock = [], [], False, threading.Lock()

    def submit(self, function, *arguments) -> Future:
        return super().submit(self.ask, function.__module__, function.__name__, *arguments)

    def ask(self, *question):
        """In a thread."""
        child = self.free_child()
        print(json.dumps(question), file=child.stdin, flush=True)
        answer = child.stdout.readline()
        if not answer.endswith("\n"):
            raise RuntimeError(f"its process ended with {child.wait()}")
        self.idle.append(child)
        return json.loads(answer)

    def free_child(self) -> subprocess.Popen:
        with self.lock:  # so that `shutdown` kills a new one, or it is not born
            if self.idle:
                return self.idle.pop()
            if self.stopped:
                raise RuntimeError("interrupted")
            child = subprocess.Popen(
                [sys.executable, "-c", "from experiments import engine; engine.answer_questions()"], encoding="utf-8",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)  # Ctrl-C reaches us alone
            self.children.append(child)
            return child

    def shutdown(self, wait=True, *, cancel_futures=False):
        super().shutdown(wait, cancel_futures=cancel_futures)
        with self.lock:
            self.stopped = True
            for child in self.children:
                child.kill()  # idle, or in a run that is not in the file and will be run again


def answer_questions():
    """In a process of its own: a question is a line, and so is its answer. When the parent has gone, it ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a run prints is no answer
    for line in sys.stdin:
        module, function, *arguments = json.loads(line)
        print(json.dumps(getattr(import_module(module), function)(*arguments)), file=answers, flush=True)


def as_text(net) -> str:
    """The weights of a PyTorch network in 16 bits, for a line of JSON. The scores hardly feel it: 0.7 % at most."""
    import torch  # here: a table can do without

    buffer = io.BytesIO()
    torch.save({name: value.half() for name, value in net.state_dict().items()}, buffer)
    return base64.b64encode(buffer.getvalue()).decode()


def command_line() -> dict:
    """Where the runs of a table shall go: the arguments of `executor`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2, help="processes on this machine, one thread each")
    parser.add_argument("--scheduler", help="of a Dask cluster, tcp://HOST:8786, whose workers have mfutils")
    return vars(parser.parse_args())


def executor(workers: int, scheduler: str | None) -> Executor:
    """Processes on this machine, or the workers of a Dask cluster, to which it sends this folder."""
    if not scheduler:
        return Processes(workers)
    from distributed import Client  # an extra: pip install '.[cluster]'
    client, folder = Client(scheduler), Path(__file__).parent
    with tempfile.TemporaryDirectory() as there:
        packed = shutil.make_archive(f"{there}/{folder.name}", "zip", folder.parent, folder.name)
        client.upload_file(packed)  # to the workers of now and of later
    return client.get_executor(pure=False)
