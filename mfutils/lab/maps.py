"""One flow map, many losses (notebook 9). X(z, r, t) = z − (t − r) u(z, r, t) obeys three identities; a loss takes one
of them for the rows with r < t, and leaves the rows with r = t to flow matching.

Each identity is here as a residual (n, d), which is 0 at the exact u. What `sg` holds fixed is the target.
"""

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch

from ..checks import Choices
from ..exact import T_MIN, flow_map
from ..flow import interpolate, midpoint, sample, total_derivative
from ..methods import FOLDER
from ..nets import MeanVelocityMLP
from ..records import read_record
from ..training import gaussian

sg = torch.Tensor.detach  # the stop-gradient


# The identities: t moves, r moves, or the interval is cut at s

def eulerian(u, z, r, t, v, tangent):
    """u = v − (t − r) du/dt (Geng et al. 2025, eq. 6). v, tangent: what is taken for v(z, t), each (n, d)."""
    value, dudt = total_derivative(u, z, r, t, tangent)
    return value - sg(v - (t - r) * dudt)


def lagrangian(u, z, r, t, velocity):
    """u = v(X, r) + (t − r) ∂u/∂r, with the velocity where the jump lands (Boffi et al. 2024, arXiv 2406.07507, where
    nothing is held fixed; Sabour et al. 2025, 2506.14603)."""
    value, dudr = total_derivative(u, z, r, t, 0 * z, dr=1.0, dt=0.0)
    return value - sg(velocity(sg(z - (t - r) * value), r) + (t - r) * dudr)


def semigroup(u, z, r, t, s):
    """u is the mean of u over [s, t] and u over [r, s], each by its length: one jump is two (Frans et al. 2024, arXiv
    2410.12557; Boffi et al. 2025, 2505.18825)."""
    with torch.no_grad():
        late = u(z, s, t)
        early = u(z - (t - s) * late, r, s)
    return u(z, r, t) - ((t - s) * late + (s - r) * early) / (t - r)


def discrete(u, z, r, t, alpha, v, tangent):
    """The Eulerian without a derivative: a difference over a straight step, as long as the share α of the interval.
    With the pair for both velocities its gradient is α-Flow's (Zhang et al. 2025, arXiv 2510.20771); Euler mean flows
    (Li et al. 2026, 2602.02571) step along the network's own."""
    s, value = t - alpha * (t - r), u(z, r, t)
    with torch.no_grad():
        change = value - u(z - (t - s) * tangent, r, s)
    return value - sg(v - (1 / alpha - 1) * change)


# Two of them with less held fixed

def eulerian_open(u, z, r, t, v):
    """The gradient goes through ∂u/∂t, too (Boffi et al. 2025, arXiv 2505.18825)."""
    _, dudt = total_derivative(u, z, r, t, v)
    value, of_t = torch.func.jvp(partial(u, z, r), (t,), (torch.ones_like(t),))
    return value - (v - (t - r) * (of_t + sg(dudt - of_t)))


def lagrangian_open(u, z, r, t, velocity):
    """The gradient goes through ∂u/∂r, too (Boffi et al. 2025; with an averaged teacher, terminal velocity matching,
    arXiv 2511.19797)."""
    value, dudr = torch.func.jvp(lambda r: u(z, r, t), (r,), (torch.ones_like(r),))
    return value - (sg(velocity(sg(z - (t - r) * value), r)) + (t - r) * dudr)


# The losses: which identity, whose velocity

class Loss(NamedTuple):
    """residual: called as residual(u, z, r, t, pair, v, done), with pair = ε − x, the teacher's velocity v(z, t), and
    the share of training that is done.  teacher: whose velocity that is: of the network "itself", of its "average", or
    the "exact" one.  edge: all rows with r < t have r = 0, as in consistency models."""

    residual: Callable
    teacher: str = "itself"
    edge: bool = False


def by_pair(u, z, r, t, pair, v, done):
    return eulerian(u, z, r, t, pair, tangent=pair)


def by_teacher(u, z, r, t, pair, v, done):
    velocity = v(z, t)
    return eulerian(u, z, r, t, velocity, tangent=velocity)


def at_random(u, z, r, t, pair, v, done):
    return semigroup(u, z, r, t, torch.lerp(r, t, torch.rand_like(t)))


def by_step(alpha):
    """A straight step along the pair's velocity, as long as this share of the interval."""
    return lambda u, z, r, t, pair, v, done: discrete(u, z, r, t, alpha, pair, tangent=pair)


def by_own_step(alpha):
    return lambda u, z, r, t, pair, v, done: discrete(u, z, r, t, alpha, pair, tangent=v(z, t))


def alpha_flow(u, z, r, t, pair, v, done):
    """The step shrinks from the whole interval to nothing (Zhang et al. 2025, arXiv 2510.20771)."""
    alpha = 1 / (1 + math.exp(25 * (done - 0.5)))
    return (by_step(alpha) if alpha >= 0.005 else by_pair)(u, z, r, t, pair, v, done)


LOSSES = Choices({
    # t moves. Mean flow (2505.13447); improved mean flow (2512.02012) in its boundary form; taught by itself, or by its
    # average, as Align Your Flow (2506.14603) does by a trained teacher; ESD of Boffi et al. (2505.18825)
    "Eulerian, pair": Loss(by_pair),
    "Eulerian, own tangent": Loss(lambda u, z, r, t, pair, v, done: eulerian(u, z, r, t, pair, tangent=v(z, t))),
    "Eulerian, own": Loss(by_teacher),
    "Eulerian, average": Loss(by_teacher, "average"),
    "Eulerian, open": Loss(lambda u, z, r, t, pair, v, done: eulerian_open(u, z, r, t, v(z, t))),
    "Eulerian, exact": Loss(by_teacher, "exact"),
    # r moves. All of the target held fixed, as in Align Your Flow's distillation; LSD of Boffi et al.; in the manner of
    # terminal velocity matching (2511.19797), whose teacher is an average, too
    "Lagrangian, own": Loss(lambda u, z, r, t, pair, v, done: lagrangian(u, z, r, t, v)),
    "Lagrangian, open": Loss(lambda u, z, r, t, pair, v, done: lagrangian_open(u, z, r, t, v)),
    "Lagrangian, open, average": Loss(lambda u, z, r, t, pair, v, done: lagrangian_open(u, z, r, t, v), "average"),
    "Lagrangian, exact": Loss(lambda u, z, r, t, pair, v, done: lagrangian(u, z, r, t, v), "exact"),
    "Lagrangian, exact from 0.05": Loss(
        lambda u, z, r, t, pair, v, done: lagrangian(u, z, r, t, lambda z, s: v(z, s.clamp(min=0.05))), "exact"),
    # Two jumps: PSD of Boffi et al. SplitMeanFlow (2507.16884), whose diagonal learns from a trained teacher; shortcut
    # models (2410.12557), whose times are dyadic
    "semigroup, random cut": Loss(at_random),
    "semigroup, middle": Loss(lambda u, z, r, t, pair, v, done: semigroup(u, z, r, t, (r + t) / 2)),
    # t moves by a finite step. α-Flow (2510.20771), with α fixed, which no paper does, and falling; that of SoFlow
    # (2512.15657) falls from 0.1 to 0.002; Euler mean flows (2602.02571)
    "discrete, 1/2": Loss(by_step(1 / 2)),
    "discrete, 1/10": Loss(by_step(1 / 10)),
    "discrete, 1/50": Loss(by_step(1 / 50)),
    "α-Flow": Loss(alpha_flow),
    "discrete, 1/2, own tangent": Loss(by_own_step(1 / 2)),
    "discrete, 1/10, own tangent": Loss(by_own_step(1 / 10)),
    # r = 0. Consistency training and distillation (2303.01469), in continuous time (2410.11081)
    "consistency, pair": Loss(by_pair, edge=True),
    "consistency, own": Loss(by_teacher, edge=True),
    "consistency, exact": Loss(by_teacher, "exact", edge=True),
})


def loss_of(name, n_steps, exact=None):
    """The loss as `train` wants it, with_average: called as loss(u_net, x, eps, r, t, u_average), n_steps times.

    exact: a velocity (z, t) → (n, d), for losses with an exact teacher.
    """
    residual, teacher, _ = LOSSES[name]
    steps = itertools.count()

    def loss(u_net, x, eps, r, t, u_average):
        z, pair = interpolate(x, eps, t)
        nets = dict(itself=u_net, average=u_average)
        v = exact if teacher == "exact" else torch.no_grad()(lambda z, t: nets[teacher](z, t, t))
        jump = (r < t).squeeze(1)
        rows = z[jump], r[jump], t[jump], pair[jump]
        velocity = u_net(z[~jump], t[~jump], t[~jump]) - pair[~jump]
        average = residual(u_net, *rows, v, next(steps) / n_steps)
        return torch.cat([velocity, average]).square().sum(dim=1).mean()

    return loss


# The judges: what is known exactly

LEVELS = 10  # into which the triangle r ≤ t is cut, each way


def exact_states(dist, z_1):
    """The points z_1 (n, d) on their exact paths at the times 0, 1/LEVELS, …, 1: (LEVELS + 1, n, d)."""
    states = [z_1]
    for j in range(LEVELS, 0, -1):
        states.insert(0, flow_map(dist, states[0], (j - 1) / LEVELS, j / LEVELS))
    return torch.stack(states)


@torch.no_grad()
def over_triangle(u, dist, states):
    """The rms error of u on `exact_states`, by t and then r: (LEVELS + 1, LEVELS + 1), NaN where r > t."""
    errors = torch.full((LEVELS + 1, LEVELS + 1), torch.nan)
    for j, z in enumerate(states):
        t = torch.full_like(z[:, :1], j / LEVELS)
        for i in range(j + 1):
            exact = (z - states[i]) * LEVELS / (j - i) if i < j else dist.velocity(z, t.clamp(min=T_MIN))
            errors[j, i] = (u(z, torch.full_like(t, i / LEVELS), t) - exact).square().sum(dim=1).mean().sqrt()
    return errors


@torch.no_grad()
def renoised(u, z_1, n_steps, draw=torch.randn_like):
    """How a consistency model takes several steps: jump to data, mix with fresh noise, draw(x), and jump again from a
    lower time (Song et al. 2023, arXiv 2303.01469, Algorithm 1). z_1: (n, d) → (n, d)."""
    z = z_1
    for i in range(n_steps, 0, -1):
        t = torch.full_like(z[:, :1], i / n_steps)
        x = z - t * u(z, torch.zeros_like(t), t)
        z = interpolate(x, draw(x), (i - 1) / n_steps)[0]
    return z


# Rivals: the same losses with other pairs

def matched(loss, group=128):
    """`loss` on pairs with short roads: within each group of the batch, noise goes to data so that the squared lengths
    add up to least (minibatch optimal transport; Pooladian et al. 2023, arXiv 2304.14772; Tong et al. 2023,
    2302.00482)."""
    from scipy.optimize import linear_sum_assignment  # which comes with scikit-learn

    def matched_loss(net, x, eps, *others):
        order = [torch.from_numpy(linear_sum_assignment(torch.cdist(data, noise).square().cpu())[1]) + start
                 for data, noise, start in zip(x.split(group), eps.split(group), range(0, len(x), group))]
        return loss(net, x, eps[torch.cat(order)], *others)

    return matched_loss


def rectified(velocity, n, generator=None):
    """n pairs (x, ε) of what a velocity makes of its noise, by 16 midpoint steps, each (n, 2): the pairs of a second
    training (rectified flow once more; Liu et al. 2023, arXiv 2209.03003)."""
    eps = gaussian(n, generator)
    return sample(midpoint(velocity), eps, 16), eps


# The record

@functools.cache
def load_maps():
    """What `make maps` wrote down: command, versions, CPU hours, recipes, and a line for every run."""
    return read_record("maps.json")


@functools.cache
def load_taught():
    """The networks of the first seed on the board: a dict from loss to a MeanVelocityMLP."""
    nets = {name: MeanVelocityMLP().eval() for name in LOSSES}
    for name, weights in torch.load(FOLDER / "maps.pt", weights_only=True).items():
        nets[name].load_state_dict({key: value.float() for key, value in weights.items()})
    return nets


def taught(data, loss, metric, nfe=1, n_steps=None):
    """What was measured of one loss, one number per seed and in the order of the seeds: (5,). Within a seed all losses
    share data, noise and target. NaN where a run diverged.

    metric: "total_variation", "sliced_w2" or "map_error", and on the digits what `judges.scores` has, of nfe
    evaluations; "field_error", "last_loss" or "seconds"; or the median residual of an identity, "eulerian",
    "lagrangian" or "semigroup".
    n_steps: of training; those of the short recipe, unless others are given.
    """
    LOSSES[loss]
    return numbers_of(runs_of(data, loss=loss, n_steps=n_steps or load_maps()["recipe"][data]["n_steps"]), metric, nfe)


def rival(data, name, metric, nfe=1):
    """The same of a rival, or of chords of exact paths, by a name that `rivals` gives: (3,) or (5,), one per seed."""
    return numbers_of(runs_of(data, rival=name), metric, nfe)


def rivals():
    """Their names, as in the record."""
    return list(dict.fromkeys(run["rival"] for run in load_maps()["runs"] if "rival" in run))


def taught_triangle(data, loss):
    """The rms error of u over the triangle, as `over_triangle` has it, the mean of five seeds."""
    runs = runs_of(data, loss=loss, n_steps=load_maps()["recipe"][data]["n_steps"])
    return torch.stack([torch.tensor([[*row] + [math.nan] * (LEVELS + 1 - len(row)) for row in run["triangle"]])
                        for run in runs]).mean(dim=0)


def runs_of(data, **which):
    """The runs in the record of which all this holds, in the order of the seeds; ValueError where there is none."""
    wanted = dict(data=data, **which)
    found = [run for run in load_maps()["runs"] if all(run.get(key) == value for key, value in wanted.items())]
    if not found:
        raise ValueError(f"the record has no run with {wanted}; data are checkerboard, spiral and digits.")
    return sorted(found, key=lambda run: run["seed"])


def numbers_of(runs, metric, nfe):
    """Raises ValueError for a metric or a number of evaluations that was not measured."""
    measured = next((run for run in runs if "diverged" not in run), {})
    known = {key: value for part in (measured, measured.get("residual", {})) for key, value in part.items()
             if isinstance(value, (int, float, Mapping))}
    if measured and (metric not in known or isinstance(known[metric], Mapping) and str(nfe) not in known[metric]):
        raise ValueError(f"the record has no {metric!r} of {nfe} evaluations; it has {', '.join(sorted(known))}, of "
                         "1, 2, 4 and 8.")
    values = [math.nan if "diverged" in run else run.get(metric, run.get("residual", {}).get(metric)) for run in runs]
    return torch.tensor([value[str(nfe)] if isinstance(value, Mapping) else value for value in values])
