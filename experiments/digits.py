"""Train the networks of the digits and write what they score: `make digits`, twenty minutes.

Five methods, three seeds each, two of them also for longer; two runs at a time, one thread a run. It writes
mfutils/weights/digits-*.pt, the first seed's networks in 16 bits, and digits.json, the scores of all. Interrupted, it
goes on where it was; with `--scheduler` the runs go to a Dask cluster (docs/cluster.md says how).
"""

import base64
import json
import statistics
import time
from itertools import product
from pathlib import Path

import torch

from mfutils import euler, gaussian, midpoint, sample
from mfutils.lab.digits import FOLDER, METHODS, PIXELS, RECIPE, image, load, rows, train_method, weights_file
from mfutils.lab.judges import AGAINST_HELD_OUT, accuracy, nearest, scores

from . import engine

SEEDS = range(3)
NFE = 1, 2, 4, 8, 32
SCALES = 1.0, 1.25, 1.5, 2.0, 2.5, 3.0
LONGER = 18_000  # steps, for two methods: what more training brings
SETS = 10  # of as many images as are held out, of the same classes; a score is the mean over the sets
PAIRS = 400  # of sets of real digits, for the noise floor
JOBS = [dict(floor="digits", pairs=PAIRS),
        *(dict(method=method, seed=seed, **RECIPE) for seed, method in product(SEEDS, METHODS)),
        *(dict(method=method, seed=seed, **RECIPE | dict(n_steps=LONGER))
          for seed, method in product(SEEDS, ("flow_matching", "mean_flow")))]


def run(job):
    """What one job found, as a dictionary for JSON."""
    return floor(job["pairs"]) if "floor" in job else trained(**job)


def floor(pairs):
    """What real digits score. Sets of training digits, with the classes of those held out, against these: the mean, and
    the 95 % quantile of means of `SETS` sets, as scores are. The others: those held out, against the training set."""
    training, held_out = load()
    generator, found = torch.Generator().manual_seed(0), {metric: [] for metric in AGAINST_HELD_OUT}
    for _ in range(pairs):
        order = torch.randperm(len(training.images), generator=generator)
        chosen = torch.cat([order[training.classes[order] == c][:int((held_out.classes == c).sum())]
                            for c in range(10)])
        for metric, function in AGAINST_HELD_OUT.items():
            found[metric].append(function(training.images[chosen], held_out.images))
    floors = {}
    for metric, values in found.items():
        means = [statistics.mean(values[i:i + SETS]) for i in range(0, pairs, SETS)]
        floors[metric] = [statistics.mean(values), statistics.quantiles(means, n=20, method="inclusive")[-1]]
    return floors | dict(accuracy=accuracy(held_out.images, held_out.classes),
                         nearest=nearest(held_out.images, training.images)[0].mean().item(),
                         copying=len(training.images) / (len(training.images) + len(held_out.images)))


def trained(method, seed, **recipe):
    """Train one network, round it to 16 bits as it will be kept, and score it."""
    start = time.thread_time()
    net, _ = train_method(method, seed, **recipe)
    net.half().float()
    found = dict(seconds=round(time.thread_time() - start, 1))
    if seed == SEEDS[0]:
        found["network"] = engine.as_text(net)
    classes = load()[1].classes.repeat(SETS)
    eps = gaussian(len(classes), torch.Generator().manual_seed(1000 + seed), PIXELS)  # the same for all methods
    z_1 = rows(eps, classes)
    if method == "flow_matching":
        return found | dict(euler=by_steps(euler(net), z_1, NFE), midpoint=by_steps(midpoint(net), z_1, NFE[1:], 2))
    if method == "guided_mean_flow":
        return found | dict(scale={scale: by_steps(net, rows(eps, classes, torch.full((len(eps), 1), scale)), (1, 8))
                                   for scale in SCALES})
    return found | dict(own=by_steps(net, z_1, NFE))


def by_steps(u, z_1, nfe, per_step=1):
    """A dict from metric to (number of evaluations → score)."""
    classes, found = load()[1].classes.repeat(SETS), {}
    for n in nfe:
        for metric, value in scores(image(sample(u, z_1, n // per_step)), classes, SETS).items():
            found.setdefault(metric, {})[n] = round(value, 5)
    return found


def main(executor):
    path = Path(__file__).parent.parent / "build" / "digits" / "runs.jsonl"
    (real, *lines) = engine.run_all("experiments.digits", JOBS, path, executor)
    training, held_out = load()
    record = dict(command="make digits", recipe=RECIPE, n=len(held_out.images), sets=SETS, pairs_of_floor=PAIRS,
                  **{key: real["versions"][key] for key in ("python", "torch")},
                  cpu_hours=round(sum(line["found"]["seconds"] for line in lines) / 3600, 2),
                  floor={metric: value if isinstance(value, list) else round(value, 5)
                         for metric, value in real["found"].items()})
    for line in lines:
        network = line["found"].pop("network", None)
        if network and line["job"]["n_steps"] == RECIPE["n_steps"]:
            weights_file(line["job"]["method"]).write_bytes(base64.b64decode(network))
    runs = ",\n ".join(json.dumps({key: line["job"][key] for key in ("method", "seed", "n_steps")} | line["found"])
                       for line in lines)  # a line for each run
    text = json.dumps(record, indent=1)[:-2] + f',\n "runs": [\n {runs}\n ]\n}}\n'
    (FOLDER / "digits.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main(engine.executor(**engine.command_line()))
