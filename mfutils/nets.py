"""The two networks: plain MLPs, because the lesson is in the loss."""

import torch
from torch import nn


def mlp(n_in, width, depth):
    """`depth` hidden layers of `width` GELU units, from n_in numbers to a vector in the plane."""
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(n_in, width), nn.GELU()]
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, 2))


class VelocityMLP(nn.Module):
    """v(z, t): z (n, 2), t (n, 1) → (n, 2)."""

    def __init__(self, width=64, depth=4):
        super().__init__()
        self.net = mlp(3, width, depth)

    def forward(self, z, t):
        return self.net(torch.cat([z, t], dim=1))


class MeanVelocityMLP(nn.Module):
    """u(z, r, t): z (n, 2), r and t (n, 1) → (n, 2)."""

    def __init__(self, width=64, depth=4):
        super().__init__()
        self.net = mlp(4, width, depth)

    def forward(self, z, r, t):
        return self.net(torch.cat([z, t, t - r], dim=1))
