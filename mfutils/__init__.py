"""Mean flows on the plane.

Conventions (Geng et al. 2025, arXiv 2505.13447): t = 0 is data, t = 1 is noise, z_t = (1 − t) x + t ε.
Points have shape (n, 2), times (n, 1). Arguments come in the order (z, r, t) with r ≤ t, tangents in the
order (v, 0, 1). Read the modules in this order: flow, data, exact, nets, training, metrics.
"""

from .data import DISTRIBUTIONS, Checkerboard, GaussianMixture
from .exact import flow_map, mean_velocity
from .exercises import check
from .flow import (
    anchored,
    euler,
    flow_matching_loss,
    improved_mean_flow_loss,
    interpolate,
    logit_normal,
    mean_flow_loss,
    sample,
    sample_r_t,
    squared_uniform,
)
from .metrics import (
    by_mode,
    energy_distance,
    field_error,
    map_error,
    noise_floor,
    off_support,
    sliced_w2,
    total_variation,
)
from .nets import MeanVelocityMLP, VelocityMLP
from .own import mixture_of_picture, mixture_of_points, mixture_of_text
from .pretrained import METHODS, load_pretrained, load_record, retrain
from .training import compiled, gaussian, train

__all__ = [
    "DISTRIBUTIONS", "METHODS", "Checkerboard", "GaussianMixture", "MeanVelocityMLP", "VelocityMLP", "anchored",
    "by_mode", "check", "compiled", "energy_distance", "euler", "field_error", "flow_map", "flow_matching_loss",
    "gaussian", "improved_mean_flow_loss", "interpolate", "load_pretrained", "load_record", "logit_normal", "map_error",
    "mean_flow_loss", "mean_velocity", "mixture_of_picture", "mixture_of_points", "mixture_of_text", "noise_floor",
    "off_support", "retrain", "sample", "sample_r_t", "sliced_w2", "squared_uniform", "total_variation", "train",
]
