"""How far samples are from the target, and how far two sets of target samples are from each other."""

import math

import numpy as np
import torch

from .checks import check_count, check_points


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
    angle = torch.arange(n_directions, dtype=a.dtype) * math.pi / n_directions
    directions = torch.stack([angle.cos(), angle.sin()])
    # NumPy sorts several times faster than PyTorch on a CPU, and sorting is all the cost.
    sorted_a, sorted_b = (np.sort((points @ directions).T.contiguous().numpy(), axis=1) for points in (a, b))
    return float(np.sqrt(np.mean((sorted_a - sorted_b) ** 2)))


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


def noise_floor(metric, dist, n, repeats=20, seed=0):
    """`metric` between two fresh target sets of n points: its mean and 95 % quantile over `repeats` pairs.

    A perfect model scores about the mean; a score below the quantile cannot be told from perfect.
    """
    check_count("repeats", repeats)
    generator = torch.Generator().manual_seed(seed)
    values = torch.tensor([metric(dist.sample(n, generator), dist.sample(n, generator)) for _ in range(repeats)])
    return values.mean().item(), values.quantile(0.95).item()
