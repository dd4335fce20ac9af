"""Teach the flow map by every loss of `mfutils.lab.maps`: `make maps`, two hours on two cores.

The board, the spiral and the digits, five seeds; in the plane also for as many steps as take the CPU seconds of mean
flow, and, three seeds, by rivals that have other pairs or a teacher. It writes mfutils/weights/maps.json, what was
measured, and maps.pt, the networks of the first seed on the board in 16 bits. Interrupted, it goes on where it was;
with `--scheduler` the runs go to a Dask cluster (docs/cluster.md says how).
"""

import base64
import io
import json
import time
from functools import lru_cache, partial
from itertools import product
from pathlib import Path

import torch

from mfutils import (
    DISTRIBUTIONS,
    METHODS,
    MeanVelocityMLP,
    VelocityMLP,
    chords_of,
    distilled_mean_flow_loss,
    euler,
    flow_map,
    flow_matching_loss,
    gaussian,
    interpolate,
    mean_velocity,
    midpoint,
    one_time,
    sample,
    sample_r_t,
    sliced_w2,
    squared_uniform,
    total_variation,
    train,
    two_times,
)
from mfutils.exact import T_MIN
from mfutils.lab import digits, judges
from mfutils.lab.maps import (
    LOSSES,
    eulerian,
    exact_states,
    lagrangian,
    loss_of,
    matched,
    over_triangle,
    rectified,
    renoised,
    semigroup,
)
from mfutils.methods import FOLDER

from . import engine

SEEDS, NFE = range(5), (1, 2, 4, 8)
N, N_OF_MAP, N_OF_TRIANGLE = 50_000, 5_000, 1_000  # points; those whose exact landing, and whose exact path is computed
SETS = 10  # of images
FAR = 20.0  # samples so far from the origin, on average, are those of a diverged network
RECIPE = dict(checkerboard=dict(n_steps=2_500, batch_size=1024), spiral=dict(n_steps=2_500, batch_size=1024),
              digits=dict(n_steps=1_000, batch_size=512, lr=1e-3))
# Steps that take the CPU seconds of "Eulerian, pair", where these differ by more than a tenth; measured side by side.
AT_EQUAL_CPU = {"Eulerian, average": 2_300, "Lagrangian, own": 2_270, "Lagrangian, open": 1_430,
                "Lagrangian, open, average": 1_400, "semigroup, random cut": 2_270, "semigroup, middle": 2_270}


def velocity_on(dist):
    """The exact velocity, for times from 0 on."""
    return lambda z, t: dist.velocity(z, t.clamp(min=T_MIN))


def run(job):
    """What one job found, as a dictionary for JSON."""
    return run_rival(**job) if "rival" in job else run_loss(job)


def run_loss(job):
    name, data, seed = job["loss"], job["data"], job["seed"]
    recipe = {key: value for key, value in job.items() if key not in ("loss", "data", "seed")}
    of_digits, edge = data == "digits", LOSSES[name].edge
    dist = digits.load()[0] if of_digits else DISTRIBUTIONS[data]
    loss = loss_of(name, job["n_steps"], exact=velocity_on(dist))
    p_equal, draw = (0.5, torch.rand) if of_digits else (0.625, squared_uniform)

    def times(n, generator):
        return sample_r_t(n, p_equal, p_zero=1 - p_equal if edge else 0.125, draw=draw, generator=generator)

    torch.manual_seed(seed)
    start = time.thread_time()
    net = digits.ResidualMLP() if of_digits else MeanVelocityMLP()
    try:
        net, losses = train(net, digits.conditioned(loss) if of_digits else loss, dist.sample, times, seed=seed,
                            ema_decay=0.99, with_average=True, **recipe)
    except FloatingPointError as error:
        return dict(diverged=str(error))
    if not all(part.isfinite().all() for part in net.parameters()):
        return dict(diverged="the weights are not finite")
    found = dict(seconds=round(time.thread_time() - start, 1), last_loss=round(losses[-100:].mean().item(), 4))
    solve = partial(renoised, net, draw=fresh if of_digits else torch.randn_like) if edge else partial(sample, net)
    return found | (of_images if of_digits else of_plane)(data, seed, net, solve)


def run_rival(rival, data, seed, steps):
    torch.manual_seed(seed)
    start = time.thread_time()
    u = (RIVALS | CHORDS)[rival][0](DISTRIBUTIONS[data], seed, *steps)
    found = dict(seconds=round(time.thread_time() - start, 1))
    return found | distances(truth(data, seed), partial(sample, u))


@lru_cache(4)
def truth(data, seed):
    """What every loss is measured by, in the plane: noise, target, exact landings, rows (z, r, t) with the exact u and
    v there, and exact states."""
    dist, generator = DISTRIBUTIONS[data], torch.Generator().manual_seed(1000 + seed)
    z_1, target = gaussian(N, generator), dist.sample(N, generator)
    r, t = sample_r_t(N_OF_MAP, p_equal=0, generator=generator)
    z, _ = interpolate(dist.sample(N_OF_MAP, generator), gaussian(N_OF_MAP, generator), t)
    exact = mean_velocity(dist, z, r, t), dist.velocity(z, t.clamp(min=T_MIN))
    return z_1, target, flow_map(dist, z_1[:N_OF_MAP], 0, 1), (z, r, t), exact, exact_states(dist, z_1[:N_OF_TRIANGLE])


def of_plane(data, seed, net, solve):
    dist, (z_1, target, landing, rows, (exact, v), states) = DISTRIBUTIONS[data], truth(data, seed)
    found = distances((z_1, target, landing), solve)
    if "diverged" in found:
        return found
    if (data, seed) == ("checkerboard", 0):
        found["network"] = engine.as_text(net)
    z, r, t = rows
    with torch.no_grad():
        found["field_error"] = round(rms(net(z, r, t) - exact), 5)
        residuals = dict(eulerian=eulerian(net, z, r, t, v, tangent=v), semigroup=semigroup(net, z, r, t, (r + t) / 2),
                         lagrangian=lagrangian(net, z, r, t, velocity_on(dist)))
    found["residual"] = {name: round(part.norm(dim=1).median().item(), 5) for name, part in residuals.items()}
    errors = over_triangle(net, dist, states).tolist()
    return found | dict(triangle=[[round(value, 4) for value in row[:j + 1]] for j, row in enumerate(errors)])


def distances(judges, solve):
    """By metric and number of evaluations, one a step."""
    (z_1, target, landing, *_), found = judges, {}
    for nfe in NFE:
        points = solve(z_1, nfe)
        if not points.norm(dim=1).mean() < FAR:
            return dict(diverged=f"the samples of {nfe} steps are {points.norm(dim=1).mean():.3g} away on average")
        values = dict(sliced_w2=sliced_w2(points, target), total_variation=total_variation(points, target),
                      map_error=rms(points[:N_OF_MAP] - landing))
        for metric, value in values.items():
            found.setdefault(metric, {})[nfe] = round(value, 5)
    return found


def of_images(data, seed, net, solve):
    """As in digits.py: sets of as many images as are held out, of the same classes; a score is their mean."""
    classes = digits.load()[1].classes.repeat(SETS)
    eps, found = gaussian(len(classes), torch.Generator().manual_seed(1000 + seed), digits.PIXELS), {}
    for nfe in NFE:
        images = digits.image(solve(digits.rows(eps, classes), nfe))
        for metric, value in judges.scores(images, classes, SETS).items():
            found.setdefault(metric, {})[nfe] = round(value, 5)
    return found


def fresh(x):
    """Noise, beside the condition of x."""
    return digits.keep_condition(x, torch.randn_like(x))


def rms(difference):
    return difference.square().sum(dim=1).mean().sqrt().item()


# Rivals: u(z, r, t) from other pairs or from another teacher. Few steps, so a short moving average, as above

def direct(dist, seed, n_steps, method, matching=False):
    network, loss, times, with_average, _ = METHODS[method]
    net, _ = train(network(), matched(loss) if matching else loss, dist.sample, times, n_steps=n_steps, seed=seed,
                   ema_decay=0.99, with_average=with_average)
    return euler(net) if method == "flow_matching" else net


def velocity_of(dist, seed, n_steps):
    network, loss, times, *_ = METHODS["flow_matching"]
    return train(network(), loss, dist.sample, times, n_steps=n_steps, seed=seed, ema_decay=0.99)[0]


def of_pairs(v_net, rows, _, t):
    """Flow matching on pairs that are rows (x, ε), (n, 4); the noise that `train` draws is not used."""
    return flow_matching_loss(v_net, rows[:, :2], rows[:, 2:], t)


def once_more(dist, seed, of_teacher, n_steps):
    pairs = torch.cat(rectified(velocity_of(dist, seed, of_teacher), N, torch.Generator().manual_seed(seed)), dim=1)

    def draw(n, generator):
        return pairs[torch.randint(len(pairs), (n,), generator=generator)]

    return euler(train(VelocityMLP(), of_pairs, draw, one_time, n_steps=n_steps, seed=seed, ema_decay=0.99)[0])


def on_paths(dist, seed, of_teacher, n_steps):
    """Distilled mean flow. Without steps of a teacher, on paths of the exact velocity."""
    velocity = velocity_of(dist, seed, of_teacher) if of_teacher else velocity_on(dist)
    draw = chords_of(velocity, gaussian(N, torch.Generator().manual_seed(seed)))
    return train(MeanVelocityMLP(), distilled_mean_flow_loss, draw, one_time, n_steps=n_steps, seed=seed,
                 ema_decay=0.99)[0]


def on_their_rows(dist, seed, n_steps, n_parts=16):
    """Chords of exact paths, in as many rows and at such times as a loss above has where r < t; plain squares, too."""
    z_1 = gaussian(N, torch.Generator().manual_seed(seed))
    path = sample(midpoint(velocity_on(dist)), z_1, n_parts, return_path=True)

    def draw(n, generator):
        r, t = sample_r_t(n, p_equal=0, p_zero=1 / 3, draw=squared_uniform, generator=generator)
        t = (t * n_parts).round().clamp(min=1)
        r = torch.minimum((r * n_parts).round(), t - 1)
        k = torch.randint(N, (n,), generator=generator)
        z_t, z_r = (path[n_parts - time.long().squeeze(1), k] for time in (t, r))
        return torch.cat([z_t, z_r, r / n_parts, t / n_parts], dim=1)

    return train(MeanVelocityMLP(), partial(distilled_mean_flow_loss, p=0), draw, one_time, n_steps=n_steps, seed=seed,
                 batch_size=384, ema_decay=0.99)[0]


def distilled(dist, seed, of_teacher, n_steps, loss):
    teacher = velocity_of(dist, seed, of_teacher)
    return train(MeanVelocityMLP(), loss_of(loss, n_steps, exact=torch.no_grad()(teacher)), dist.sample, two_times,
                 n_steps=n_steps, seed=seed, ema_decay=0.99, with_average=True)[0]


# With steps that take the CPU seconds of flow matching's 6,000, those of a teacher included.
RIVALS = {"flow matching": (partial(direct, method="flow_matching"), [6_000]),
          "mean flow": (partial(direct, method="mean_flow"), [4_900]),
          "self-distilled mean flow": (partial(direct, method="self_distilled_mean_flow"), [4_200]),
          "flow matching, matched pairs": (partial(direct, method="flow_matching", matching=True), [2_150]),
          "mean flow, matched pairs": (partial(direct, method="mean_flow", matching=True), [2_050]),
          "rectified flow, once more": (once_more, [3_000, 2_530]),
          "distilled mean flow": (on_paths, [3_000, 2_530]),
          "Eulerian, learned teacher": (partial(distilled, loss="Eulerian, exact"), [3_000, 2_150]),
          "Lagrangian, learned teacher": (partial(distilled, loss="Lagrangian, exact"), [3_000, 2_150])}
# With the 2,500 steps of the losses above, and their exact teacher.
CHORDS = {"chords of exact paths": (on_paths, [0, 2_500]),
          "chords of exact paths, their rows": (on_their_rows, [2_500])}
JOBS = [*(dict(loss=loss, data=name, seed=seed, **RECIPE[name]) for seed, name, loss in product(SEEDS, RECIPE, LOSSES)),
        *(dict(loss=loss, data=name, seed=seed, **RECIPE[name] | dict(n_steps=n_steps))
          for seed, name, (loss, n_steps) in product(SEEDS, ("checkerboard", "spiral"), AT_EQUAL_CPU.items())),
        *(dict(rival=rival, data=name, seed=seed, steps=steps)
          for seed, name, (rival, (_, steps)) in product(SEEDS, ("checkerboard", "spiral"), (RIVALS | CHORDS).items())
          if seed in SEEDS[:3] or rival in CHORDS)]


def main(executor):
    path = Path(__file__).parent.parent / "build" / "maps" / "runs.jsonl"
    lines = engine.run_all("experiments.maps", JOBS, path, executor)
    record = dict(command="make maps", n=N, n_of_map_error=N_OF_MAP, n_of_triangle=N_OF_TRIANGLE, recipe=RECIPE,
                  sets=SETS, **{key: lines[0]["versions"][key] for key in ("python", "torch")},
                  cpu_hours=round(sum(line["seconds"] for line in lines) / 3600, 2))
    networks, runs = {}, []
    for line in lines:
        which = {key: value for key, value in line["job"].items() if key not in ("batch_size", "lr")}
        if (network := line["found"].pop("network", None)) and which["n_steps"] == RECIPE[which["data"]]["n_steps"]:
            networks[which["loss"]] = torch.load(io.BytesIO(base64.b64decode(network)))
        runs.append(which | line["found"])
    rows = ",\n ".join(json.dumps(run) for run in runs)  # a line for each run
    (FOLDER / "maps.json").write_text(json.dumps(record, indent=1)[:-2] + f',\n "runs": [\n {rows}\n ]\n}}\n', "utf-8")
    torch.save(networks, FOLDER / "maps.pt")


if __name__ == "__main__":
    main(engine.executor(**engine.command_line()))
