"""The methods compared in the course, as (network, loss, times), and networks trained by them beforehand.

`python tools/make_weights.py` makes the files in mfutils/weights and the record beside them.
"""

import json
from pathlib import Path

import torch

from .checks import Choices
from .data import DISTRIBUTIONS
from .flow import euler, flow_matching_loss, improved_mean_flow_loss, mean_flow_loss, sample_r_t, squared_uniform
from .nets import MeanVelocityMLP, VelocityMLP
from .training import train

FOLDER = Path(__file__).parent / "weights"


def one_time(n, generator):
    """t uniform in [0, 1]."""
    return torch.rand(n, 1, generator=generator)


def two_times(n, generator):
    """t uniform, r below it and nearer to data; r = t in half of the rows, r = 0 in an eighth."""
    return sample_r_t(n, p_equal=0.5, p_zero=0.125, times=squared_uniform, generator=generator)


METHODS = Choices(
    flow_matching=(VelocityMLP, flow_matching_loss, one_time),
    mean_flow=(MeanVelocityMLP, mean_flow_loss, two_times),
    improved_mean_flow=(MeanVelocityMLP, improved_mean_flow_loss, two_times),
)


def load_pretrained(distribution, method):
    """The network trained beforehand, as u(z, r, t) ready for `sample` (for flow matching: `euler` of it)."""
    DISTRIBUTIONS[distribution]  # an unknown name raises here, with the known ones
    network, _, _ = METHODS[method]
    net = network()
    net.load_state_dict(torch.load(weights_file(distribution, method), weights_only=True))
    return as_u(net)


def retrain(distribution, method, seed=0, **arguments):
    """Train by the method's recipe; further arguments go to `train`. Returns (u, ready for `sample`; losses)."""
    network, loss, times = METHODS[method]
    torch.manual_seed(seed)
    net, losses = train(network(), loss, DISTRIBUTIONS[distribution].sample, times, seed=seed, **arguments)
    return as_u(net), losses


def as_u(net):
    """A network as u(z, r, t)."""
    return euler(net) if isinstance(net, VelocityMLP) else net


def load_record():
    """What was written down when the weights were made: distances by seed and number of steps, and their floors."""
    return json.loads((FOLDER / "record.json").read_text())


def weights_file(distribution, method):
    return FOLDER / f"{distribution}-{method}.pt"
