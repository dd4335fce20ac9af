"""The methods compared in the course, and networks trained by them beforehand: `make weights` makes the files."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from .checks import Choices
from .data import DISTRIBUTIONS
from .flow import (
    chords_of,
    distilled_mean_flow_loss,
    euler,
    flow_matching_loss,
    improved_mean_flow_loss,
    mean_flow_loss,
    sample_r_t,
    self_distilled_mean_flow_loss,
    squared_uniform,
)
from .nets import MeanVelocityMLP, VelocityMLP
from .training import gaussian, train

FOLDER = Path(__file__).parent / "weights"
RECIPE = dict(n_steps=12_500, batch_size=1024)  # the rest is as `train` has it
N_PATHS = 100_000  # that the distilled mean flow learns from
OF_BOTH = "n_steps", "batch_size", "lr", "hidden_lr", "ema_decay", "device"  # settings of its teacher's training, too


def one_time(n, generator):
    """t uniform in [0, 1]: (n, 1)."""
    return torch.rand(n, 1, generator=generator)


def two_times(n, generator):
    """t uniform, r below it and nearer to data, each (n, 1); r = t in 5/8 of the rows, r = 0 in 1/8."""
    return sample_r_t(n, p_equal=0.625, p_zero=0.125, draw=squared_uniform, generator=generator)


class Method(NamedTuple):
    """What to hand to `train`. teacher: the method whose paths are the data, if any; else pairs are."""

    network: Callable
    loss: Callable
    times: Callable
    with_average: bool = False
    teacher: str | None = None


METHODS = Choices(
    flow_matching=Method(VelocityMLP, flow_matching_loss, one_time),
    mean_flow=Method(MeanVelocityMLP, mean_flow_loss, two_times),
    improved_mean_flow=Method(MeanVelocityMLP, improved_mean_flow_loss, two_times),
    self_distilled_mean_flow=Method(MeanVelocityMLP, self_distilled_mean_flow_loss, two_times, with_average=True),
    distilled_mean_flow=Method(MeanVelocityMLP, distilled_mean_flow_loss, one_time, teacher="flow_matching"),
)


def load_pretrained(distribution: str, method: str, solver: Callable | None = None):
    """The network trained beforehand, as u(z, r, t) ready for `sample`.

    solver: what makes a u of flow matching's velocity: `euler`, taken if none is given, or `midpoint`. The mean flows
    need none. Raises ValueError for an unknown name, and for a solver of a mean flow.
    """
    DISTRIBUTIONS[distribution]  # an unknown name raises here, with the known ones
    return pretrained(METHODS[method].network(), method, weights_file(distribution, method), solver)


def pretrained(net, method, path, solver):
    """`net` with the weights in a file, which holds 16 bits of each; for flow matching, made a u by a solver."""
    net.load_state_dict({name: value.float() for name, value in torch.load(path, weights_only=True).items()})
    net.eval()
    if solver and not callable(solver):
        raise ValueError(f"solver must be a function, `euler` or `midpoint`; got {solver!r}.")
    if method == "flow_matching":
        return (solver or euler)(net)
    if solver:
        raise ValueError(f"{method} samples by its own u: leave out solver=, and tell `sample` n_steps.")
    return net


def train_method(distribution, method: str, seed: int = 0, **arguments):
    """Train as the shipped networks were; further arguments go to `train`. Returns (u, ready for `sample`; losses).

    distribution: a name, or anything with sample(n, generator) → (n, 2).
    A method with a teacher trains that first, for as many steps; a checkpoint is of the second training.
    """
    dist = DISTRIBUTIONS[distribution] if isinstance(distribution, str) else distribution
    net, losses = train_network(dist, METHODS[method], seed, **arguments)
    return euler(net) if method == "flow_matching" else net, losses


def train_network(dist, method, seed, **arguments):
    """The same for a `Method`, and the network as it is: for flow matching, v(z, t)."""
    network, loss, times, with_average, teacher = method
    data = dist.sample
    if teacher:
        settings = {key: arguments[key] for key in OF_BOTH if key in arguments}
        v, _ = train_network(dist, METHODS[teacher], seed, **settings)
        data = chords_of(v, gaussian(N_PATHS, torch.Generator().manual_seed(seed)))
    torch.manual_seed(seed)
    return train(network(), **dict(RECIPE, loss=loss, data=data, times=times, with_average=with_average, seed=seed)
                 | arguments)


def weights_file(distribution, method):
    return FOLDER / f"{distribution}-{method}.pt"
