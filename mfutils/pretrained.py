"""The methods compared in the course, and networks trained by them beforehand.

`make weights` makes the files in mfutils/weights and the record beside them.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from .checks import Choices
from .data import DISTRIBUTIONS
from .flow import (
    anchored,
    euler,
    flow_matching_loss,
    improved_mean_flow_loss,
    mean_flow_loss,
    sample_r_t,
    squared_uniform,
)
from .nets import MeanVelocityMLP, VelocityMLP
from .training import train

FOLDER = Path(__file__).parent / "weights"
RECIPE = dict(n_steps=10_000, batch_size=2048)  # the rest is as `train` has it
P_EQUAL = 0.625


def one_time(n, generator):
    """t uniform in [0, 1]."""
    return torch.rand(n, 1, generator=generator)


def two_times(n, generator):
    """t uniform, r below it and nearer to data; r = t in five eighths of the rows, r = 0 in one eighth."""
    return sample_r_t(n, P_EQUAL, p_zero=0.125, times=squared_uniform, generator=generator)


class Method(NamedTuple):
    """What to hand to `train`."""

    network: type
    loss: Callable
    times: Callable
    with_average: bool = False


METHODS = Choices(
    flow_matching=Method(VelocityMLP, flow_matching_loss, one_time),
    mean_flow=Method(MeanVelocityMLP, anchored(mean_flow_loss, P_EQUAL), two_times),
    improved_mean_flow=Method(MeanVelocityMLP, anchored(improved_mean_flow_loss, P_EQUAL), two_times,
                              with_average=True),
)


def load_pretrained(distribution, method):
    """The network trained beforehand, as u(z, r, t) ready for `sample` (for flow matching: `euler` of it)."""
    DISTRIBUTIONS[distribution]  # an unknown name raises here, with the known ones
    net = METHODS[method].network()
    net.load_state_dict(torch.load(weights_file(distribution, method), weights_only=True))
    return as_u(net)


def retrain(distribution, method, seed=0, **arguments):
    """Train as the shipped networks were; further arguments go to `train`. Returns (u, ready for `sample`; losses).

    distribution: a name, or anything with sample(n, generator) → (n, 2).
    Pass loss=compiled(METHODS[method].loss) to train faster where there is a C++ compiler.
    """
    network, loss, times, with_average = METHODS[method]
    arguments = {**RECIPE, "loss": loss, "seed": seed, "with_average": with_average, **arguments}
    data = DISTRIBUTIONS[distribution] if isinstance(distribution, str) else distribution
    torch.manual_seed(seed)
    net, losses = train(network(), data=data.sample, times=times, **arguments)
    return as_u(net), losses


def as_u(net):
    """A network as u(z, r, t)."""
    return euler(net) if isinstance(net, VelocityMLP) else net


def load_record():
    """What was written down when the weights were made: recipe, versions, and for every run its seed, training
    seconds and distances by number of steps; the noise floors of the distances, as (mean, 95 % quantile)."""
    return json.loads((FOLDER / "record.json").read_text())


def weights_file(distribution, method):
    return FOLDER / f"{distribution}-{method}.pt"
