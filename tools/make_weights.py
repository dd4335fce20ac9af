"""Train every distribution with every method and write mfutils/weights: `make weights`, an hour and a half.

Five seeds each, two runs at a time, one thread a run. Beside them, on two distributions, the steps that lead from the
mean flow to the self-distilled one, one at a time. Every finished run is a line in build/weights/runs.jsonl: start the
command again after an interruption and it goes on where it was. The first seed's networks are kept; the record keeps
the distances of all.
"""

import json
import os
import platform
import signal
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # before tqdm is imported, here and in the workers

import torch  # noqa: E402

from mfutils import (  # noqa: E402
    DISTRIBUTIONS,
    METHODS,
    euler,
    flow_map,
    gaussian,
    midpoint,
    noise_floor,
    sample,
    self_distilled_mean_flow_loss,
    sliced_w2,
    total_variation,
    train,
)
from mfutils.methods import FOLDER, RECIPE, Method, two_times, weights_file  # noqa: E402
from mfutils.metrics import energy_distance, within_modes  # noqa: E402
from mfutils.nets import MeanVelocityMLP  # noqa: E402

SEEDS = range(5)
NFE = 1, 2, 4, 8, 16, 32, 64, 128
NFE_OF_MIDPOINT = 2, 4, 8, 12, 16, 24, 32, 64
N = 50_000  # points
N_OF_MAP = 5_000  # those of them whose exact landing is computed
PAIRS = 400  # of target sets, for the noise floor
BUILD = Path(__file__).parent.parent / "build" / "weights"
MADE_BY = [Path(__file__), *(FOLDER.parent / f"{name}.py" for name in
                             ("data", "exact", "flow", "nets", "training", "methods", "metrics"))]
VERSIONS = dict(python=platform.python_version(), torch=torch.__version__.split("+")[0],
                code=f"{zlib.crc32(b''.join(path.read_bytes() for path in MADE_BY)):08x}")


def own_target_loss(u_net, x, eps, r, t):
    """Self-distilled, but by the network of this very step, and without the robust weight."""
    return self_distilled_mean_flow_loss(u_net, x, eps, r, t, u_net, p=0)


# What lies between `improved_mean_flow` (own tangent) and `self_distilled_mean_flow` (robust weight).
BETWEEN = dict(
    own_target=Method(MeanVelocityMLP, own_target_loss, two_times),
    averaged_target=Method(MeanVelocityMLP, partial(self_distilled_mean_flow_loss, p=0), two_times, with_average=True),
)
JOBS = [*(dict(floor=name, pairs=PAIRS) for name in DISTRIBUTIONS),
        *(dict(distribution=name, method=method, seed=seed, **RECIPE)
          for seed, name, method in product(SEEDS, DISTRIBUTIONS, METHODS)),
        *(dict(distribution=name, method=method, seed=seed, **RECIPE)
          for seed, name, method in product(SEEDS, ("checkerboard", "spiral"), BETWEEN))]


def metrics(distribution):
    """The distances recorded for a distribution; each has a floor."""
    chosen = {"sliced_w2": sliced_w2, "total_variation": total_variation, "energy_distance": energy_distance}
    if distribution == "eight_gaussians":
        chosen["sliced_w2_within_modes"] = within_modes(sliced_w2, DISTRIBUTIONS[distribution].means)
    return chosen


def run(job):
    """What one job found, as a dictionary for JSON."""
    torch.set_num_threads(1)
    if "floor" in job:
        name = job["floor"]
        return {metric: noise_floor(function, DISTRIBUTIONS[name], N, job["pairs"])
                for metric, function in metrics(name).items()}
    name, seed = job["distribution"], job["seed"]
    dist, (network, loss, times, with_average) = DISTRIBUTIONS[name], {**METHODS, **BETWEEN}[job["method"]]
    torch.manual_seed(seed)
    start = time.process_time()
    net, _ = train(network(), loss, dist.sample, times, with_average=with_average, seed=seed,
                   **{setting: job[setting] for setting in RECIPE})
    seconds = time.process_time() - start
    torch.save(net.state_dict(), network_file(job))

    generator = torch.Generator().manual_seed(1000 + seed)  # for all methods the same noise and target
    z_1, target = gaussian(N, generator), dist.sample(N, generator)
    landing = flow_map(dist, z_1[:N_OF_MAP], 0, 1)

    def scores(u, nfe, per_step=1):
        rows = {metric: {} for metric in (*metrics(name), "map_error")}
        for n in nfe:
            points = sample(u, z_1, n // per_step)
            for metric, function in metrics(name).items():
                rows[metric][n] = round(function(points, target), 5)
            error = (points[:N_OF_MAP] - landing).square().sum(dim=1).mean().sqrt().item()
            rows["map_error"][n] = round(error, 5)
        return rows

    found = dict(seconds=round(seconds, 1))
    if job["method"] == "flow_matching":
        return found | dict(euler=scores(euler(net), NFE), midpoint=scores(midpoint(net), NFE_OF_MIDPOINT, per_step=2))
    return found | dict(own=scores(net, NFE))


def network_file(job):
    """Where a run leaves its network; a floor has none, and stands for itself."""
    if "floor" in job:
        return BUILD
    return BUILD / f"{job['distribution']}-{job['method']}-{job['seed']}-{zlib.crc32(json.dumps(job).encode()):08x}.pt"


def finished(path):
    """What an earlier call found, from job to result: the lines that are whole, of the same versions and the same code,
    whose networks are still there."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # empty, or cut off in the middle
            continue
        if entry["versions"] == VERSIONS and "found" in entry and network_file(entry["job"]).exists():
            found[json.dumps(entry["job"])] = entry["found"]
    return found


def run_all(run, jobs, path, workers=2):
    """Run what is not finished yet, and append each result to `path`, failures too; returns job → what it found.

    Interrupted (Ctrl-C, SIGTERM), it loses the runs in flight and no other.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    left = [job for job in jobs if json.dumps(job) not in finished(path)]
    print(f"{len(jobs) - len(left)} of {len(jobs)} runs are there", flush=True)
    start = time.perf_counter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=ignore_interrupts)
    try:
        futures = {pool.submit(run, job): job for job in left}
        for k, future in enumerate(as_completed(futures), start=1):
            job, error = futures[future], future.exception()
            result = dict(failed=repr(error)) if error else dict(found=future.result())
            with path.open("a") as file:
                file.write("\n" + json.dumps(dict(job=job, versions=VERSIONS) | result))
            minutes = (time.perf_counter() - start) / k * (len(left) - k) / 60
            print(f"{k} of {len(left)}, {minutes:.0f} minutes left: {job} {'FAILED ' + repr(error) if error else ''}",
                  flush=True)
    finally:
        workers = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.kill()  # idle, or in a run that is not in the file and will be run again
    done = finished(path)
    missing = [job for job in jobs if json.dumps(job) not in done]
    if missing:
        sys.exit(f"{len(missing)} runs failed; see {path}, mend it, and start again:\n{missing}")
    return done


def ignore_interrupts():
    """In a worker: Ctrl-C reaches all processes of a terminal, and the parent decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main():
    found = run_all(run, JOBS, BUILD / "runs.jsonl")
    record = dict(n=N, n_of_map_error=N_OF_MAP, recipe=RECIPE, pairs_of_floor=PAIRS, **VERSIONS, floor={}, runs=[])
    seeds_kept = [job for job in JOBS if job.get("seed") == SEEDS[0] and job["method"] in METHODS]
    for job in JOBS:
        result = found[json.dumps(job)]
        if "floor" in job:
            for metric, values in result.items():
                record["floor"].setdefault(metric, {})[job["floor"]] = [round(value, 6) for value in values]
        else:
            record["runs"].append({key: job[key] for key in ("distribution", "method", "seed")} | result)
    record["cpu_hours"] = round(sum(entry["seconds"] for entry in record["runs"]) / 3600, 2)
    FOLDER.mkdir(exist_ok=True)
    for job in seeds_kept:
        weights_file(job["distribution"], job["method"]).write_bytes(network_file(job).read_bytes())
    lines = ",\n ".join(json.dumps(entry) for entry in record.pop("runs"))  # a line for each run
    (FOLDER / "record.json").write_text(json.dumps(record, indent=1)[:-2] + f',\n "runs": [\n {lines}\n ]\n}}\n')


if __name__ == "__main__":
    main()
