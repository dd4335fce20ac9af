"""The two networks: plain MLPs, because the lesson is in the loss."""

import torch
from torch import nn
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual

from .checks import called_as_written


class MLP(nn.Module):
    """`depth` hidden layers of `width` units, from n_in numbers to n_out."""

    def __init__(self, n_in: int, n_out: int, width: int, depth: int, activation):
        super().__init__()
        sizes, layers = [n_in] + [width] * depth, []
        for a, b in zip(sizes, sizes[1:]):
            layers += [nn.Linear(a, b), activation()]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], n_out))

    def hidden_weights(self) -> list:
        """The weights between hidden layers: `train` gives them to Muon, and all others to Adam."""
        layers = list(getattr(self, "net", ()))
        return [layer.weight for layer in layers[1:-1] if isinstance(layer, nn.Linear)]


class VelocityMLP(MLP):
    """v(z, t): z (n, d), t (n, 1) → (n, d)."""

    def __init__(self, width: int = 64, depth: int = 4, d: int = 2, activation=nn.GELU):
        super().__init__(d + 1, d, width, depth, activation)

    def forward(self, z, t):
        return self.net(torch.cat([z, t], dim=1))


class MeanVelocityMLP(MLP):
    """u(z, r, t): z (n, d), r and t (n, 1) → (n, d)."""

    def __init__(self, width: int = 64, depth: int = 4, d: int = 2, activation=nn.GELU):
        n_in = self.features(torch.zeros(1, d), torch.zeros(1, 1), torch.zeros(1, 1)).shape[1]
        super().__init__(n_in, d, width, depth, activation)

    def features(self, z, r, t):
        """What the first layer sees: (n, any width)."""
        return torch.cat([z, t, t - r], dim=1)

    def forward(self, z, r, t):
        return self.net(self.features(z, r, t))

    linear, as_written = features, forward  # others, in a subclass say, have other derivatives

    def by_hand(self) -> bool:
        """Whether `total_derivative` below holds for this very network: `forward` as written above, through linear
        layers and exact GELUs only. Otherwise `flow.total_derivative` asks `torch.func.jvp`."""
        return (called_as_written(self, MeanVelocityMLP.as_written)
                and type(self.net) is nn.Sequential and called_as_written(self.net, LAYERS[nn.Sequential])
                and all(map(is_linear_or_gelu, self.net)))

    def total_derivative(self, z, r, t, v, dr=0.0, dt=1.0):
        """u(z, r, t) and du/dt along (v, 0, 1), both (n, d), forward mode by hand: first the values h through the
        layers, then their rates of change dh. The derivative carries no gradient; the losses want none."""
        tangents = v, torch.full_like(r, dr), torch.full_like(t, dt)
        if getattr(self.features, "__func__", None) is MeanVelocityMLP.linear:  # the tangents go the way of the values
            h, dh = self.features(z, r, t), self.features(*tangents)
        else:
            with dual_level():
                h, dh = unpack_dual(self.features(*map(make_dual, (z, r, t), tangents)))
        values = [h]
        for layer in self.net:
            values.append(layer(values[-1]))
        with torch.no_grad():
            for layer, h in zip(self.net, values):
                dh = dh @ layer.weight.T if isinstance(layer, nn.Linear) else gelu_backward(dh, h)
        return values[-1], dh


LAYERS = {layer: layer.forward for layer in (nn.Sequential, nn.Linear, nn.GELU)}  # as PyTorch has them
gelu_backward = torch.ops.aten.gelu_backward  # dh · gelu′(h). GELU is elementwise, so its JVP equals its VJP


def is_linear_or_gelu(layer) -> bool:
    """Whether this layer's derivative is known here: `nn.Linear` or the exact `nn.GELU`, called as PyTorch wrote it."""
    return (type(layer) in {nn.Linear, nn.GELU} and called_as_written(layer, LAYERS[type(layer)])
            and getattr(layer, "approximate", "none") == "none")
