"""How far samples are from the target, how far two sets of target samples are from each other, and, since here the
exact flow is known, how far a network is from it. No number says all: each says what it is blind to."""

import math

import numpy as np
import torch

from .checks import check_count, check_points
from .exact import flow_map, mean_velocity
from .flow import interpolate, sample


def sliced_w2(a, b, n_directions=256):
    """Sliced 2-Wasserstein distance between two point sets (n, 2) of equal size, along fixed directions.

    Project on a direction, sort both, match in order; then the root mean square over points and over
    `n_directions` evenly spaced directions. In the units of the plane. It grows with how far mass strayed,
    so fine detail costs little: it is nearly blind to a blurred edge.
    """
    check_points("a", a)
    check_points("b", b)
    check_count("n_directions", n_directions)
    if len(a) != len(b) or a.dtype != b.dtype:
        raise ValueError("a and b must hold equally many points of one dtype; "
                         f"got {len(a)} {a.dtype} and {len(b)} {b.dtype}.")
    a, b = project(a, n_directions), project(b, n_directions)
    a.sort(axis=1)
    b.sort(axis=1)
    return float(np.sqrt(np.mean((a - b) ** 2)))


def project(points, n_directions):
    """Points (n, 2) as seen along evenly spaced directions: a NumPy array (n_directions, n), since NumPy sorts
    several times faster than PyTorch on a CPU, and sorting is all the cost."""
    angle = torch.arange(n_directions, dtype=points.dtype) * math.pi / n_directions
    return (torch.stack([angle.cos(), angle.sin()], dim=1) @ points.T).numpy()


def energy_distance(a, b, n_directions=64):
    """The energy distance √(2 E|A − B| − E|A − A′| − E|B − B′|) between two point sets (n, 2) and (m, 2).

    In the plane E|A − B| is π/2 times its mean over directions, and along one direction the expression is
    2 ∫ (F − G)² with the two distribution functions (Székely and Rizzo 2013, J. Stat. Plan. Inference 143), so
    sorting does what would take n² distances. In the root of the plane's unit. It sees misplaced mass, near or
    far, and like `sliced_w2` it is nearly blind to a blurred edge.
    """
    check_points("a", a)
    check_points("b", b)
    check_count("n_directions", n_directions)
    both = np.concatenate([project(a, n_directions), project(b, n_directions)], axis=1)
    order = np.argsort(both, axis=1)
    both = np.take_along_axis(both, order, axis=1)
    gap = np.cumsum(np.where(order < len(a), 1 / len(a), -1 / len(b)), axis=1)  # F − G right of each point
    return math.sqrt(math.pi * np.mean(np.sum(gap[:, :-1] ** 2 * np.diff(both, axis=1), axis=1)))


def total_variation(a, b, bins=64, limit=3.0):
    """Total variation between the histograms of two point sets, on bins × bins tiles of [−limit, limit]² and
    one more tile for all that lies outside.

    Half the sum of the absolute differences of shares: 0 for the same histogram, 1 for disjoint ones. It sees
    every blurred edge but not how far mass strayed, and its noise floor is high: there are few points per tile.
    """
    check_points("a", a)
    check_points("b", b)
    check_count("bins", bins)
    tiles = dict(bins=[bins, bins], range=[-limit, limit, -limit, limit])
    change = torch.histogramdd(a, **tiles).hist / len(a) - torch.histogramdd(b, **tiles).hist / len(b)
    return (change.abs().sum() + change.sum().abs()).item() / 2  # what all tiles lose, the outside gains


def off_support(dist, points):
    """Share of points (n, 2) where `dist` has density 0, for the checkerboard: half of the plane is forbidden.

    Never read it alone, for it is blind to missing mass: all points on one spot of a dark square score 0. A Gaussian
    mixture has density everywhere, so there it is 0 for any points.
    """
    check_points("points", points)
    return (dist.density(points) == 0).float().mean().item()


def by_mode(metric, centres):
    """`metric` within modes: a function (a, b) that assigns points to their nearest of the `centres` (k, 2),
    evaluates metric on the two sets' shares of each mode, and returns the root mean square over modes.

    With well separated modes, chance alone gives one mode more points than another, and moving that surplus across
    the plane drowns every other difference. This takes it out, so it is blind to wrong shares: see `mode_shares`.
    An empty mode raises ValueError, for nothing can be compared there.
    """
    centres = torch.as_tensor(centres, dtype=torch.float32)
    check_points("centres", centres)

    def metric_within(a, b):
        in_a, in_b = (torch.cdist(points.float(), centres).argmin(dim=1) for points in (a, b))
        values = []
        for k in range(len(centres)):
            n = min(int((in_a == k).sum()), int((in_b == k).sum()))
            if n == 0:
                raise ValueError(f"mode {k} at {centres[k].tolist()} is empty in one of the sets; nothing to compare.")
            values.append(metric(a[in_a == k][:n], b[in_b == k][:n]))
        return math.sqrt(sum(value**2 for value in values) / len(values))

    return metric_within


def map_error(u, dist, z_1, n_steps=1):
    """Distance of each point sampled by u(z, r, t) in n_steps from where the exact flow takes it: (n,).

    z_1: noise (n, 2). Both start from the same noise, so there is no sampling noise and no floor but the error
    of `flow_map`. It is blind to nothing, but strict: a model may make the right distribution by another map.
    """
    check_points("z_1", z_1)
    ones = torch.ones_like(z_1[:, :1])
    return (sample(u, z_1, n_steps) - flow_map(dist, z_1, 0 * ones, ones)).norm(dim=1)


@torch.no_grad()
def field_error(u, dist, x, eps, levels=5):
    """Root-mean-square error of u(z, r, t) against the exact average velocity, per interval: (levels + 1, levels + 1).

    Entry (i, j) is for r = i / levels and t = j / levels, over z_t from the pairs x, eps (n, 2); NaN for r > t.
    The diagonal is the error of the velocity. Blind to where in the plane the error sits.
    """
    errors = torch.full((levels + 1, levels + 1), torch.nan)
    for j in range(levels + 1):
        t = torch.full_like(x[:, :1], j / levels)
        z, _ = interpolate(x, eps, t)
        for i in range(j + 1):
            r = torch.full_like(t, i / levels)
            error = u(z, r, t) - mean_velocity(dist, z, r, t)
            errors[i, j] = error.square().sum(dim=1).mean().sqrt()
    return errors


def noise_floor(metric, dist, n, repeats=20, seed=0):
    """`metric` between two fresh target sets of n points: its mean and 95 % quantile over `repeats` pairs.

    A perfect model scores about the mean; a score below the quantile cannot be told from perfect.
    """
    check_count("repeats", repeats)
    generator = torch.Generator().manual_seed(seed)
    values = torch.tensor([metric(dist.sample(n, generator), dist.sample(n, generator)) for _ in range(repeats)])
    return values.mean().item(), values.quantile(0.95).item()
