"""Train the networks of the digits and write what they score: `make digits`, an hour and a half.

Five seeds of every method (three of guidance), and of the steps between improved and self-distilled mean flow. Three
seeds of two methods for longer, and of two for as many steps as take the CPU seconds of flow matching. And the mean
flow, shorter, with one ingredient changed at a time, as notebook 8 does in the plane. Two runs at a time, one thread a
run. It writes mfutils/weights/digits-*.pt, the first seed's networks in 16 bits, and digits.json, the scores of all.
Interrupted, it goes on where it was; with `--scheduler` the runs go to a Dask cluster (docs/cluster.md).
"""

import base64
import json
import statistics
import time
from functools import partial
from itertools import product
from pathlib import Path

import torch

from mfutils import (
    euler,
    gaussian,
    improved_mean_flow_loss,
    interpolate,
    mean_flow_loss,
    midpoint,
    sample,
    sample_r_t,
    self_distilled_mean_flow_loss,
    total_derivative,
    train,
)
from mfutils.flow import logit_normal
from mfutils.lab.digits import (
    FOLDER,
    METHODS,
    PIXELS,
    RECIPE,
    ResidualMLP,
    conditioned,
    image,
    load,
    rows,
    train_method,
    two_times,
    weights_file,
)
from mfutils.lab.judges import AGAINST_HELD_OUT, accuracy, nearest, scores
from mfutils.lab.maps import loss_of
from mfutils.methods import Method

from . import engine

SEEDS = range(5)
NFE = 1, 2, 4, 8, 32
SCALES = 1.0, 1.25, 1.5, 2.0, 2.5, 3.0
LONGER = 18_000  # steps, for two methods: what more training brings
SHORT = dict(n_steps=3_000, batch_size=512, lr=1e-3)  # for the ingredients
SETS = 10  # of as many images as are held out, of the same classes; a score is the mean over the sets
PAIRS = 400  # of sets of real digits, for the noise floor


# What lies between improved and self-distilled mean flow, as in the plane: own target, average, and then the weight
BETWEEN = dict(
    own_target=Method(ResidualMLP, conditioned(loss_of("Eulerian, own", RECIPE["n_steps"])), two_times, True),
    averaged_target=Method(ResidualMLP, conditioned(partial(self_distilled_mean_flow_loss, p=0)), two_times, True),
)


# Notebook 8 on digits: the mean flow with one ingredient changed. The names are those of `mfutils.lab.cases`.

class SeesLength(ResidualMLP):
    """It sees z and t − r, not t."""

    def forward(self, z, r, t):
        return super().forward(z, r - t, 0 * t)


class SeesEnds(ResidualMLP):
    """It sees z, t and r."""

    def forward(self, z, r, t):
        return super().forward(z, t - r, t)


def changed(network=ResidualMLP, loss=mean_flow_loss, times=two_times):
    return Method(network, conditioned(loss), times)


def along(dr, dt):
    """Mean flow with the derivative along (v, dr, dt)."""
    def loss(u_net, x, eps, r, t):
        z, v = interpolate(x, eps, t)
        u, dudt = total_derivative(u_net, z, r, t, v, dr, dt)
        return (u - (v - (t - r) * dudt).detach()).square().sum(dim=1).mean()

    return loss


def drawn(p_equal=0.5, draw=torch.rand):
    """An eighth of all rows has r = 0, where there is room for it."""
    return lambda n, generator: sample_r_t(n, p_equal, p_zero=0.125 * (p_equal < 1), draw=draw, generator=generator)


CASES = {
    "as it should be": changed(),
    "(v, 1, 0)": changed(loss=along(1.0, 0.0)),
    "(v, 1, 1)": changed(loss=along(1.0, 1.0)),
    "own": changed(loss=improved_mean_flow_loss),
    "0 %": changed(times=drawn(p_equal=1)),
    "25 %": changed(times=drawn(p_equal=0.75)),
    "100 %": changed(times=drawn(p_equal=0)),
    "p = 0.5": changed(loss=partial(mean_flow_loss, p=0.5)),
    "p = 1": changed(loss=partial(mean_flow_loss, p=1)),
    "logit-normal (−0.4, 1.0)": changed(times=drawn(draw=partial(logit_normal, mean=-0.4, sd=1.0))),
    "t, r": changed(SeesEnds),
    "t − r": changed(SeesLength),
}
# Steps that take the CPU seconds of flow matching's 6,000, by the medians of the record; with a shorter moving average.
AT_EQUAL_CPU = dict(mean_flow=4_400, distilled_mean_flow=2_800)
JOBS = [dict(floor="digits", pairs=PAIRS),
        *(dict(method=method, seed=seed, **RECIPE) for seed, method in product(SEEDS, METHODS | BETWEEN)
          if method != "guided_mean_flow" or seed in SEEDS[:3]),
        *(dict(method=method, seed=seed, **RECIPE | dict(n_steps=n_steps, ema_decay=0.995))
          for seed, (method, n_steps) in product(SEEDS[:3], AT_EQUAL_CPU.items())),
        *(dict(method=case, seed=seed, **SHORT) for seed, case in product(SEEDS, CASES)),
        *(dict(method=method, seed=seed, **RECIPE | dict(n_steps=LONGER))
          for seed, method in product(SEEDS[:3], ("flow_matching", "mean_flow")))]


def run(job):
    """What one job found, as a dictionary for JSON."""
    if "floor" in job:
        return floor(job["pairs"])
    return (run_case if job["method"] in CASES else run_method)(**job)


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


def run_method(method, seed, **recipe):
    """Train one network, round it to 16 bits as it will be kept, and score it."""
    start = time.thread_time()
    try:
        net, _ = train_by(BETWEEN[method], seed, recipe) if method in BETWEEN else train_method(method, seed, **recipe)
    except FloatingPointError as error:
        return dict(diverged=str(error))
    net.half().float()
    found = dict(seconds=round(time.thread_time() - start, 1))
    if not all(part.isfinite().all() for part in net.parameters()):
        return found | dict(diverged="the weights are not finite")
    if seed == SEEDS[0]:
        found["network"] = engine.as_text(net)
    eps, classes = drawn_for(seed)
    z_1 = rows(eps, classes)
    if method == "flow_matching":
        return found | dict(euler=by_steps(euler(net), z_1, NFE), midpoint=by_steps(midpoint(net), z_1, NFE[1:], 2))
    if method == "guided_mean_flow":
        return found | dict(scale={scale: by_steps(net, rows(eps, classes, torch.full((len(eps), 1), scale)), (1, 8))
                                   for scale in SCALES})
    return found | dict(own=by_steps(net, z_1, NFE))


def run_case(method, seed, **recipe):
    """The same for one ingredient. Few steps, so a short moving average."""
    start = time.thread_time()
    try:
        net, losses = train_by(CASES[method], seed, dict(ema_decay=0.995) | recipe)
    except FloatingPointError as error:
        return dict(diverged=str(error))
    found = dict(seconds=round(time.thread_time() - start, 1), loss=round(losses[-100:].mean().item(), 4))
    return found | dict(own=by_steps(net, rows(*drawn_for(seed)), (1, 8)))


def train_by(method, seed, recipe):
    network, loss, times, with_average, _ = method
    torch.manual_seed(seed)
    return train(network(), loss, load()[0].sample, times, with_average=with_average, seed=seed, **recipe)


def drawn_for(seed):
    """Noise and classes to be scored: within a seed the same for all."""
    classes = load()[1].classes.repeat(SETS)
    return gaussian(len(classes), torch.Generator().manual_seed(1000 + seed), PIXELS), classes


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
    record = dict(command="make digits", recipe=RECIPE, short=SHORT["n_steps"], at_equal_cpu=AT_EQUAL_CPU,
                  n=len(held_out.images), sets=SETS, pairs_of_floor=PAIRS,
                  **{key: real["versions"][key] for key in ("python", "torch")},
                  cpu_hours=round(sum(line["seconds"] for line in lines) / 3600, 2),
                  floor={metric: value if isinstance(value, list) else round(value, 5)
                         for metric, value in real["found"].items()})
    for line in lines:
        network, method = line["found"].pop("network", None), line["job"]["method"]
        if network and line["job"]["n_steps"] == RECIPE["n_steps"] and method in METHODS:
            weights_file(method).write_bytes(base64.b64decode(network))
    runs = ",\n ".join(json.dumps({key: value for key, value in line["job"].items() if key not in ("batch_size", "lr")}
                                  | line["found"]) for line in lines)  # a line for each run
    text = json.dumps(record, indent=1)[:-2] + f',\n "runs": [\n {runs}\n ]\n}}\n'
    (FOLDER / "digits.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main(engine.executor(**engine.command_line()))
