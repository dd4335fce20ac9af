"""The whole method on one page: inputs, training, sampling. Every line of it is there to be broken (notebook 8).

It does what `training.train` does with `flow.mean_flow_loss`, and what `flow.sample` does: the same numbers, without
their progress bar, checkpoints and checks of the input. `cases` replaces lines of this file.
"""

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..flow import interpolate, sample_r_t, squared_uniform, total_derivative
from ..nets import MeanVelocityMLP
from ..training import muon_and_adam, one_thread


class Network(MeanVelocityMLP):
    """u(z, r, t): z (n, 2), r and t (n, 1) → (n, 2)."""

    def features(self, z, r, t):
        return torch.cat([z, t, t - r], dim=1)


@one_thread()
def train(dist, seed=0, n_steps=2500, n=1024):
    """Train on `dist`, which has sample(n, generator) and velocity(z, t), in n_steps batches of n pairs.

    Returns (the moving-average network, the losses (n_steps,)). Raises FloatingPointError if a loss is not finite.
    """
    torch.manual_seed(seed)
    net, generator, losses = Network(), torch.Generator().manual_seed(seed), []
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    optimizers = muon_and_adam(net, hidden_lr=0.015, lr=3e-3)
    schedules = [CosineAnnealingLR(optimizer, n_steps) for optimizer in optimizers]
    for step in range(n_steps):
        x, eps = dist.sample(n, generator), torch.randn(n, 2, generator=generator)
        r, t = sample_r_t(n, p_equal=0.625, p_zero=0.125, draw=squared_uniform, generator=generator)
        z, v_cond = interpolate(x, eps, t)
        v = v_cond
        u, dudt = total_derivative(net, z, r, t, v)
        u_tgt = v_cond - (t - r) * dudt
        error = (u - u_tgt.detach()).square().sum(dim=1)
        loss = error.mean()
        if not loss.isfinite():
            raise FloatingPointError(f"the loss is {loss.item()} at step {step + 1} of {n_steps}")
        net.zero_grad()
        loss.backward()
        for part in (*optimizers, *schedules):
            part.step()
        average.update_parameters(net)
        losses.append(loss.detach())
    return average.module, torch.stack(losses)


@torch.no_grad()
def sample(u, z, n_steps):
    """From noise z (n, 2) to data (n, 2) in n_steps equal steps."""
    for i in range(n_steps, 0, -1):
        r, t = (torch.full_like(z[:, :1], k / n_steps) for k in (i - 1, i))
        z = z - (t - r) * u(z, r, t)
    return z
