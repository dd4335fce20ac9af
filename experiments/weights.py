"""Train every distribution with every method and write mfutils/weights: `make weights`, two hours.

Five seeds each, two runs at a time, one thread a run. Beside them, on two distributions, the steps that lead from the
mean flow to the self-distilled one, one at a time, and what shorter and longer trainings reach; and each mean flow for
as many steps as take the CPU seconds of flow matching. The first seed's networks are kept; the record keeps the
distances of all. Interrupted, it goes on where it was; with `--scheduler` the runs go to a Dask cluster (engine.py).
"""

import base64
import json
import time
from functools import partial
from itertools import product
from pathlib import Path

import torch

from mfutils import (
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
)
from mfutils.lab.solvers import SOLVERS
from mfutils.methods import FOLDER, RECIPE, Method, train_network, two_times, weights_file
from mfutils.nets import MeanVelocityMLP

from . import engine

SEEDS = range(5)
NFE = 1, 2, 4, 8, 16, 32, 64, 128
NFE_OF_MIDPOINT = 2, 4, 6, 8, 10, 12, 16, 24, 32, 64
NFE_OF_OTHERS = range(2, 13)  # of solvers with short steps near data
METRICS = dict(sliced_w2=sliced_w2, total_variation=total_variation)
N = 50_000  # points
N_OF_MAP = 5_000  # those of them whose exact landing is computed
PAIRS = 400  # of target sets, for the noise floor


def own_target_loss(u_net, x, eps, r, t):
    """Self-distilled, but by the network of this very step, and without the robust weight."""
    return self_distilled_mean_flow_loss(u_net, x, eps, r, t, u_net, p=0)


# What lies between `improved_mean_flow` (own tangent) and `self_distilled_mean_flow` (robust weight).
BETWEEN = dict(
    own_target=Method(MeanVelocityMLP, own_target_loss, two_times),
    averaged_target=Method(MeanVelocityMLP, partial(self_distilled_mean_flow_loss, p=0), two_times, with_average=True),
)
# Steps that take the CPU seconds of flow matching's 12,500, by the medians of the record (41, 51, 56 and 57; the
# distilled one has as many steps in each of its two trainings).
AT_EQUAL_CPU = dict(mean_flow=10_000, improved_mean_flow=9_150, self_distilled_mean_flow=9_000,
                    distilled_mean_flow=5_900)
# Other numbers of steps, three seeds, and the decay of the moving average: over few steps it must not remember as many.
LENGTHS = dict(self_distilled_mean_flow={2_250: 0.99, 4_500: 0.99, 18_600: 0.999},
               distilled_mean_flow={1_300: 0.99, 2_900: 0.99})
JOBS = [*(dict(floor=name, pairs=PAIRS) for name in DISTRIBUTIONS),
        *(dict(distribution=name, method=method, seed=seed, **RECIPE)
          for seed, name, method in product(SEEDS, DISTRIBUTIONS, METHODS)),
        *(dict(distribution=name, method=method, seed=seed, **RECIPE)
          for seed, name, method in product(SEEDS, ("checkerboard", "spiral"), BETWEEN)),
        *(dict(distribution=name, method=method, seed=seed, **RECIPE | dict(n_steps=AT_EQUAL_CPU[method]))
          for seed, name, method in product(SEEDS, DISTRIBUTIONS, AT_EQUAL_CPU)),
        *(dict(distribution=name, method=method, seed=seed, **RECIPE | dict(n_steps=n_steps, ema_decay=ema_decay))
          for seed, name, method in product(SEEDS[:3], ("checkerboard", "spiral"), LENGTHS)
          for n_steps, ema_decay in LENGTHS[method].items())]


def run(job):
    """What one job found, as a dictionary for JSON."""
    if "floor" in job:
        name = job["floor"]
        return {metric: noise_floor(function, DISTRIBUTIONS[name], N, job["pairs"])
                for metric, function in METRICS.items()}
    name, seed = job["distribution"], job["seed"]
    dist, start = DISTRIBUTIONS[name], time.thread_time()
    net, _ = train_network(dist, {**METHODS, **BETWEEN}[job["method"]], seed,
                           **{key: job[key] for key in job if key in {*RECIPE, "ema_decay"}})
    seconds = time.thread_time() - start

    generator = torch.Generator().manual_seed(1000 + seed)  # for all methods the same noise and target
    z_1, target = gaussian(N, generator), dist.sample(N, generator)
    landing = flow_map(dist, z_1[:N_OF_MAP], 0, 1)

    def scores(solve, nfe, per_step=1):
        rows = {metric: {} for metric in (*METRICS, "map_error")}
        for n in nfe:
            points = solve(z_1, n // per_step)
            for metric, function in METRICS.items():
                rows[metric][n] = round(function(points, target), 5)
            error = (points[:N_OF_MAP] - landing).square().sum(dim=1).mean().sqrt().item()
            rows["map_error"][n] = round(error, 5)
        return rows

    found = dict(seconds=round(seconds, 1))
    if seed == SEEDS[0] and job["n_steps"] == RECIPE["n_steps"]:
        found["network"] = engine.as_text(net)
    if job["method"] == "flow_matching":
        found |= dict(euler=scores(partial(sample, euler(net)), NFE),
                      midpoint=scores(partial(sample, midpoint(net)), NFE_OF_MIDPOINT, 2))
        return found | {solver: scores(partial(solve, net), NFE_OF_OTHERS[::per_step], per_step)
                        for solver, (solve, per_step) in SOLVERS.items()}
    return found | dict(own=scores(partial(sample, net), NFE))


def main(executor):
    path = Path(__file__).parent.parent / "build" / "weights" / "runs.jsonl"
    lines = engine.run_all("experiments.weights", JOBS, path, executor)
    versions = {key: lines[0]["versions"][key] for key in ("python", "torch")}
    record = dict(n=N, n_of_map_error=N_OF_MAP, recipe=RECIPE, at_equal_cpu=AT_EQUAL_CPU, pairs_of_floor=PAIRS,
                  **versions, floor={}, runs=[])
    FOLDER.mkdir(exist_ok=True)
    for line in lines:
        job, found = line["job"], line["found"]
        if "floor" in job:
            for metric, values in found.items():
                record["floor"].setdefault(metric, {})[job["floor"]] = [round(value, 6) for value in values]
            continue
        network = found.pop("network", None)
        if network and job["method"] in METHODS:
            weights_file(job["distribution"], job["method"]).write_bytes(base64.b64decode(network))
        steps = {key: value for key, value in job.items()
                 if key == "ema_decay" or key == "n_steps" and value != RECIPE["n_steps"]}
        record["runs"].append({key: job[key] for key in ("distribution", "method", "seed")} | steps | found)
    record["cpu_hours"] = round(sum(entry["seconds"] for entry in record["runs"]) / 3600, 2)
    lines = ",\n ".join(json.dumps(entry) for entry in record.pop("runs"))  # a line for each run
    text = json.dumps(record, indent=1)[:-2] + f',\n "runs": [\n {lines}\n ]\n}}\n'
    (FOLDER / "record.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main(engine.executor(**engine.command_line()))
