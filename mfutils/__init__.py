"""Mean flows, on the plane and beyond.

Conventions (Geng et al. 2025, arXiv 2505.13447): t = 0 is data, t = 1 is noise, z_t = (1 − t) x + t ε.
A velocity points toward noise; sampling subtracts. Points have shape (n, d), times (n, 1). Arguments come in the order
(z, r, t) with r ≤ t, tangents in the order (v, 0, 1). Read: flow, data, exact, nets, training, metrics, methods.
What draws is in `mfutils.show`, what only the laboratory uses in `mfutils.lab`.
"""

from .checkpoints import load_average
from .data import DISTRIBUTIONS, GaussianMixture
from .exact import flow_map, mean_velocity
from .exercises import check
from .flow import (
    chords_of,
    distilled_mean_flow_loss,
    euler,
    flow_matching_loss,
    improved_mean_flow_loss,
    interpolate,
    mean_flow_loss,
    midpoint,
    sample,
    sample_r_t,
    self_distilled_mean_flow_loss,
    squared_uniform,
    total_derivative,
)
from .methods import METHODS, load_pretrained, one_time, train_method, two_times
from .metrics import field_error, map_error, noise_floor, sliced_w2, total_variation
from .nets import MeanVelocityMLP, VelocityMLP
from .records import load_record, recorded
from .training import Run, gaussian, train

__all__ = [
    "DISTRIBUTIONS", "METHODS", "GaussianMixture", "MeanVelocityMLP", "Run", "VelocityMLP", "check", "chords_of",
    "distilled_mean_flow_loss", "euler", "field_error", "flow_map", "flow_matching_loss", "gaussian",
    "improved_mean_flow_loss", "interpolate", "load_average", "load_pretrained", "load_record", "map_error",
    "mean_flow_loss", "mean_velocity", "midpoint", "mixture_of_picture", "mixture_of_points", "mixture_of_text",
    "noise_floor", "one_time", "recorded", "sample", "sample_r_t", "self_distilled_mean_flow_loss", "sliced_w2",
    "squared_uniform", "total_derivative", "total_variation", "train", "train_method", "two_times",
]


def __getattr__(name):
    """Your own data, loaded when first asked for: it needs Matplotlib and Pillow, which nothing else here does."""
    if name.startswith("mixture_of_") and name in __all__:
        from . import shapes
        return getattr(shapes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
