"""Break the recipe in every way that `mfutils.lab.cases` lists: `make sweep`, an hour on two cores.

Two distributions, five seeds. It writes mfutils/weights/sweep.json, what was measured, and sweep.pt, some samples of
the first seed. With `--scheduler tcp://HOST:8786` the runs go to a Dask cluster (docs/cluster.md says how).
"""

import json
import time
from functools import lru_cache
from itertools import product
from pathlib import Path

import torch

from mfutils import (
    DISTRIBUTIONS,
    flow_map,
    gaussian,
    interpolate,
    load_record,
    mean_velocity,
    sample_r_t,
    sliced_w2,
    total_variation,
)
from mfutils.lab.cases import CASES, GROUPS, NAMES, edited
from mfutils.methods import FOLDER

from . import engine

SEEDS = range(5)
NFE = 1, 8
N, N_OF_MAP, N_KEPT = 50_000, 5_000, 1_000  # points; those whose exact landing is computed; those kept as a sample
N_STEPS = 2_500
PER_UNIT = 500  # points are kept as whole numbers: this many to the unit of the plane
JOBS = [dict(case=case, edits=[list(edit) for edit in CASES[case].edits], distribution=name, seed=seed, n_steps=N_STEPS,
             n=N)
        for seed, case, name in product(SEEDS, CASES, NAMES)]


@lru_cache(4)
def judges(name, seed, n):
    """What every case is measured by: noise, target, where the exact flow takes the noise; and for the field, rows
    (z, r, t) with the exact average velocity there."""
    dist, generator = DISTRIBUTIONS[name], torch.Generator().manual_seed(1000 + seed)
    z_1, target = gaussian(n, generator), dist.sample(n, generator)
    r, t = sample_r_t(N_OF_MAP, p_equal=0, generator=generator)
    z, _ = interpolate(dist.sample(N_OF_MAP, generator), gaussian(N_OF_MAP, generator), t)
    return z_1, target, flow_map(dist, z_1[:N_OF_MAP], 0, 1), (z, r, t), mean_velocity(dist, z, r, t)


def run(job):
    """Train one case, and measure it."""
    page = edited(*job["edits"])
    start = time.thread_time()
    try:
        u, losses = page.train(DISTRIBUTIONS[job["distribution"]], job["seed"], job["n_steps"])
    except FloatingPointError as error:
        return dict(diverged=str(error))
    found = dict(seconds=round(time.thread_time() - start, 1), loss=round(losses[-100:].mean().item(), 4))
    z_1, target, landing, rows, exact = judges(job["distribution"], job["seed"], job["n"])

    def rms(difference):
        return round(difference.square().sum(dim=1).mean().sqrt().item(), 5)

    if job["case"] not in GROUPS["the direction of time"]:  # there u(z, r, t) means something else
        with torch.no_grad():
            found["field_error"] = rms(u(*rows) - exact)
    for nfe in NFE:
        points = page.sample(u, z_1, nfe)
        if not points.isfinite().all():
            return dict(diverged=f"the samples of {nfe} steps are not finite")
        values = dict(sliced_w2=round(sliced_w2(points, target), 5),
                      total_variation=round(total_variation(points, target), 5),
                      map_error=rms(points[:len(landing)] - landing))
        for metric, value in values.items():
            found.setdefault(metric, {})[nfe] = value
        if job["seed"] == 0:
            found.setdefault("points", []).append(kept(points).tolist())
    return found


def kept(points):
    """The first points, as whole numbers of 16 bits."""
    return (points[:N_KEPT] * PER_UNIT).round().clamp(-(2**15), 2**15 - 1).to(torch.int16)


def main(executor):
    path = Path(__file__).parent.parent / "build" / "sweep" / "runs.jsonl"
    lines = engine.run_all("experiments.sweep", JOBS, path, executor)
    points, runs = {}, []
    for line in lines:
        which = {key: line["job"][key] for key in ("case", "distribution", "seed")}
        if (of_first_seed := line["found"].pop("points", None)):
            points[which["case"], which["distribution"]] = torch.tensor(of_first_seed, dtype=torch.int16)
        runs.append(which | line["found"])
    record = dict(command="make sweep", n=N, n_of_map_error=N_OF_MAP, n_steps=N_STEPS,
                  **{key: lines[0]["versions"][key] for key in ("python", "torch")},
                  cpu_hours=round(sum(line["seconds"] for line in lines) / 3600, 2),
                  floor={metric: {name: load_record()["floor"][metric][name] for name in NAMES}
                         for metric in ("sliced_w2", "total_variation")})
    rows = ",\n ".join(json.dumps(run) for run in runs)  # a line for each run
    (FOLDER / "sweep.json").write_text(json.dumps(record, indent=1)[:-2] + f',\n "runs": [\n {rows}\n ]\n}}\n', "utf-8")
    torch.save(dict(per_unit=PER_UNIT, points=points), FOLDER / "sweep.pt")


if __name__ == "__main__":
    main(engine.executor(**engine.command_line()))
