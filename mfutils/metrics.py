"""How far samples are from the target, how far two sets of target samples are from each other, and, since here the
exact flow is known, how far a network is from it. No number says all: each docstring says what it is blind to.

Sliced W2 and the errors against the exact flow are of any dimension; the other distances are of the plane.
"""

import math

import numpy as np
import torch

from .checks import check_count, check_points
from .exact import flow_map, mean_velocity
from .flow import sample


def sliced_w2(a, b, n_directions=64):
    """Sliced 2-Wasserstein distance between two point sets (n, d) of equal size, along fixed directions.

    Project on a direction, sort both, match in order; then the root mean square over points and over directions: in
    the plane evenly spaced ones (64 agree with 256 to five decimals), in more dimensions random ones, always the same.
    In the units of the points. It grows with how far mass strayed, so fine detail costs little: it is nearly blind to
    a blurred edge.
    """
    check_points("a", a)
    check_points("b", b, d=a.shape[1])
    a, b = project(a, n_directions), project(b, n_directions)
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError("a and b must hold equally many points of one dtype; "
                         f"got {a.shape[1]} {a.dtype} and {b.shape[1]} {b.dtype}.")
    return float(np.sqrt(np.mean((a - b) ** 2)))


def project(points, n_directions):
    """Points (n, d) as seen along fixed directions, each sorted: a NumPy array (n_directions, n), since NumPy sorts
    several times faster than PyTorch on a CPU, and sorting is all the cost."""
    check_count("n_directions", n_directions)
    if points.shape[1] == 2:
        angle = torch.arange(n_directions, dtype=points.dtype) * math.pi / n_directions
        directions = torch.stack([angle.cos(), angle.sin()], dim=1)
    else:
        draws = torch.randn(n_directions, points.shape[1], generator=torch.Generator().manual_seed(0))
        directions = (draws / draws.norm(dim=1, keepdim=True)).to(points.dtype)
    return np.sort((directions @ points.detach().cpu().T).numpy(), axis=1)


def total_variation(a, b, bins=64, limit=3.0):
    """Total variation between the histograms of two point sets, on bins × bins tiles of [−limit, limit]² and
    one more tile for all that lies outside.

    Half the sum of the absolute differences of shares: 0 for the same histogram, 1 for disjoint ones. It sees
    every blurred edge but not how far mass strayed, and its noise floor is high: there are few points per tile.
    """
    check_points("a", a, d=2)
    check_points("b", b, d=2)
    check_count("bins", bins)
    tiles = dict(bins=[bins, bins], range=[-limit, limit, -limit, limit])
    share_a, share_b = (torch.histogramdd(points.detach().cpu(), **tiles).hist / len(points) for points in (a, b))
    change = share_a - share_b
    return (change.abs().sum() + change.sum().abs()).item() / 2  # what all tiles lose, the outside gains


def noise_floor(metric, dist, n, repeats=20, seed=0):
    """`metric` between two fresh target sets of n points: its mean and 95 % quantile over `repeats` pairs.

    A perfect model scores about the mean; a score below the quantile cannot be told from perfect.
    """
    check_count("repeats", repeats)
    generator = torch.Generator().manual_seed(seed)
    values = torch.tensor([metric(dist.sample(n, generator), dist.sample(n, generator)) for _ in range(repeats)])
    return values.mean().item(), values.quantile(0.95).item()


def map_error(u, dist, z_1, n_steps=1):
    """Distance of each point sampled by u(z, r, t) in n_steps from where the exact flow takes it: (n,).

    z_1: noise (n, d). Both start from the same noise, so there is no sampling noise and no floor but the error
    of `flow_map`. It is strict: a model may make the right distribution by another map.
    """
    return (sample(u, z_1, n_steps) - flow_map(dist, z_1, 0, 1)).norm(dim=1)


@torch.no_grad()
def field_error(u, dist, z, r, t, n_steps=25):
    """Distance |u(z, r, t) − the exact average velocity| at each point: (n,). Where r = t, the error of the velocity.

    z: (n, d).  r, t: numbers or (n, 1).  n_steps: of `mean_velocity`.
    """
    column = torch.ones_like(z[:, :1])
    return (u(z, r * column, t * column) - mean_velocity(dist, z, r, t, n_steps)).norm(dim=1)
