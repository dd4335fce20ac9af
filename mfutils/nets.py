"""The two networks: plain MLPs, because the lesson is in the loss."""

import torch
from torch import nn


def mlp(n_in, n_out, width, depth):
    """`depth` hidden layers of `width` GELU units, from n_in numbers to n_out."""
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(n_in, width), nn.GELU()]
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, n_out))


class VelocityMLP(nn.Module):
    """v(z, t): z (n, d), t (n, 1) → (n, d)."""

    def __init__(self, width=64, depth=4, d=2):
        super().__init__()
        self.net = mlp(d + 1, d, width, depth)

    def forward(self, z, t):
        return self.net(torch.cat([z, t], dim=1))


class MeanVelocityMLP(nn.Module):
    """u(z, r, t): z (n, d), r and t (n, 1) → (n, d)."""

    def __init__(self, width=64, depth=4, d=2):
        super().__init__()
        n_in = self.features(torch.zeros(1, d), torch.zeros(1, 1), torch.zeros(1, 1)).shape[1]
        self.net = mlp(n_in, d, width, depth)

    def features(self, z, r, t):
        """What the first layer sees: (n, any width). Linear, so the tangents go through it as the values do."""
        return torch.cat([z, t, t - r], dim=1)

    def forward(self, z, r, t):
        return self.net(self.features(z, r, t))

    def total_derivative(self, z, r, t, v):
        """u(z, r, t) and du/dt along (v, 0, 1), both (n, d), forward mode by hand: first the values h through the
        layers, then their rates of change dh. The derivative carries no gradient; the losses want none."""
        h = [self.features(z, r, t)]
        for layer in self.net:
            h.append(layer(h[-1]))
        dh = self.features(v, torch.zeros_like(r), torch.ones_like(t))
        with torch.no_grad():
            for layer, h_in in zip(self.net, h):
                dh = dh @ layer.weight.T if isinstance(layer, nn.Linear) else gelu_backward(dh, h_in)
        return h[-1], dh

    def __init_subclass__(cls):
        if "forward" in vars(cls) and "total_derivative" not in vars(cls):
            cls.total_derivative = None  # another network has another derivative: `torch.func.jvp` will find it


gelu_backward = torch.ops.aten.gelu_backward  # dh · gelu′(h): backward or forward, the chain rule has the same factor
