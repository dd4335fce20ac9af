"""The one derivative, for whatever network a learner may make: u and du/dt are those of `torch.func.jvp`, or an error
says what to do. Networks are put together at random; the seed is their name."""

import random

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from mfutils import MeanVelocityMLP, euler, flow_matching_loss, midpoint, sample, total_derivative
from mfutils.lab.digits import ResidualMLP
from mfutils.nets import gelu_backward

ACTIVATIONS = (nn.GELU, lambda: nn.GELU(approximate="tanh"), nn.SiLU, nn.Tanh, nn.ReLU, nn.Softplus, nn.Mish, nn.ELU,
               nn.PReLU, nn.Identity)


class OtherGELU(nn.GELU):
    def forward(self, h):
        return 2 * super().forward(h)


class OtherLinear(nn.Linear):
    def forward(self, h):
        return super().forward(h).sin()


class Doubled:
    """A mixin that comes before the network."""

    def forward(self, z, r, t):
        return 2 * super().forward(z, r, t)


class Mixed(Doubled, MeanVelocityMLP):
    pass


class OtherForward(MeanVelocityMLP):
    def forward(self, z, r, t):
        return super().forward(z, r, t) * torch.sin(t)


class HeirOfOtherForward(OtherForward):
    pass


class OtherCall(MeanVelocityMLP):
    def __call__(self, *arguments):
        return super().__call__(*arguments) + 1


class WrongDerivative(MeanVelocityMLP):
    """Brings a derivative of its own, from before its forward was changed."""

    def forward(self, z, r, t):
        return super().forward(z, r, t) + t**2

    def total_derivative(self, *given):
        return super().total_derivative(*given)


class Waves(MeanVelocityMLP):
    def features(self, z, r, t):
        angle = torch.pi * t * torch.tensor([1.0, 2.0])
        return torch.cat([z, angle.sin(), angle.cos(), t - r], dim=1)


class Affine(MeanVelocityMLP):
    def features(self, z, r, t):
        return torch.cat([z + 1, t, t - r], dim=1)


class LearnedFeatures(MeanVelocityMLP):
    """The first layer sees what another layer made, and one number that depends on z nonlinearly."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.embed = nn.Linear(2, 2)
        self.embed.register_forward_hook(lambda layer, given, made: made.tanh())

    def features(self, z, r, t):
        made = self.embed(torch.cat([t, t - r], dim=1)) if hasattr(self, "embed") else torch.cat([t, t - r], dim=1)
        return torch.cat([z * z.norm(dim=1, keepdim=True), made], dim=1)


NETWORKS = (MeanVelocityMLP, MeanVelocityMLP, Mixed, OtherForward, HeirOfOtherForward, OtherCall, WrongDerivative,
            Waves, Affine, LearnedFeatures)


def layer_changes(width):
    """Ways to change one layer: functions of (the Sequential, the position of a linear layer, of an activation)."""
    def put(position, layer):
        return lambda net, linear, activation: net.__setitem__(locals_of(position, linear, activation), layer())

    def locals_of(position, linear, activation):
        return linear if position == "linear" else activation

    return [
        *(put("activation", act) for act in (*ACTIVATIONS, OtherGELU, lambda: nn.Dropout(0.5),
                                             lambda: nn.LayerNorm(width), lambda: nn.GroupNorm(2, width))),
        put("linear", lambda: OtherLinear(width, width)),
        put("linear", lambda: nn.Sequential(nn.Linear(width, width), nn.Tanh())),
        lambda net, linear, activation: parametrizations.weight_norm(net[linear]),
        lambda net, linear, activation: parametrizations.spectral_norm(net[linear]),
        lambda net, linear, activation: prune.random_unstructured(net[linear], "weight", 0.3),
        lambda net, linear, activation: net[linear].register_forward_hook(lambda layer, given, made: 2 * made),
        lambda net, linear, activation: net[activation].register_forward_pre_hook(lambda layer, h: 3 * h[0]),
        lambda net, linear, activation: setattr(net[activation], "forward", torch.sin),
        lambda net, linear, activation: net.register_forward_hook(lambda layer, given, made: made + given[0][:, :2]),
    ]


def net_changes():
    """Ways to change the network itself."""
    return [
        lambda net: net.register_forward_hook(lambda layer, given, made: 2 * made),
        lambda net: net.register_forward_pre_hook(lambda layer, given: (given[0] * given[2], *given[1:])),
        lambda net: setattr(net, "forward", lambda z, r, t: z * t),
        lambda net: setattr(net, "features", lambda z, r, t: torch.cat([z.sin(), t, t - r], dim=1)),
        lambda net: net.compile(backend="eager"),
        lambda net: net.eval(),
        lambda net: net.double(),
    ]


def made_at_random(seed):
    torch.manual_seed(seed)
    choose = random.Random(seed)
    width, depth = choose.choice([6, 8]), choose.choice([2, 3])
    kind = choose.choice(NETWORKS)
    net = kind(width, depth, activation=choose.choice(ACTIVATIONS))
    positions = dict(linear=2, activation=choose.choice(range(1, 2 * depth, 2)))
    for change in choose.sample(layer_changes(width), choose.choice([0, 0, 1, 2])):
        change(net.net, **positions)
    if kind is not LearnedFeatures:  # whose embedding is made after the first call
        for change in choose.sample(net_changes(), choose.choice([0, 0, 1])):
            change(net)
    return choose.choice([lambda u: u, lambda u: u, lambda u: u, nn.DataParallel,
                          lambda u: torch.compile(u, backend="eager")])(net)


def batch(d=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    z, v = torch.randn(2, 16, d, generator=generator, dtype=dtype)
    r, t = torch.rand(2, 16, 1, generator=generator, dtype=dtype).sort(dim=0).values
    return z, r, t, v


def agree(u, z, r, t, v):
    """Compare with `torch.func.jvp`, under the same dropout."""
    torch.manual_seed(1)
    value, dudt = torch.func.jvp(u, (z, r, t), (v, torch.zeros_like(r), torch.ones_like(t)))
    torch.manual_seed(1)
    found = total_derivative(u, z, r, t, v)
    torch.testing.assert_close(found[0], value, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], dudt, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(120))
def test_of_networks_made_at_random(seed):
    u = made_at_random(seed)
    agree(u, *batch(dtype=next(u.parameters()).dtype))


def test_every_change_alone():
    """So that each is seen, whatever the seeds above draw."""
    for k in range(len(layer_changes(6))):
        net = MeanVelocityMLP(6, 3)
        layer_changes(6)[k](net.net, 2, 3)
        agree(net, *batch())
    for k in range(len(net_changes())):
        net = MeanVelocityMLP(6, 3)
        net_changes()[k](net)
        agree(net, *batch(dtype=next(net.parameters()).dtype))
    for kind in set(NETWORKS):
        agree(kind(6, 3), *batch())


class Wrapper(nn.Module):
    """Hands on whatever it has not, as libraries of adapters do."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, z, r, t):
        return 3 * self.inner(z, r, t)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


class PlainWrapper:
    def __init__(self, inner):
        self.inner = inner

    def __call__(self, z, r, t):
        return 3 * self.inner(z, r, t)

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.mark.parametrize("wrapper", [Wrapper, PlainWrapper])
@pytest.mark.parametrize("inner", [lambda net: net, lambda net: torch.compile(net, backend="eager")])
def test_a_wrapper_that_hands_on_what_is_anothers(wrapper, inner):
    agree(wrapper(inner(MeanVelocityMLP(6, 3))), *batch())


def test_scripted_code_is_refused_since_its_tangents_get_lost():
    traced = torch.jit.trace(MeanVelocityMLP(6, 3), batch()[:3])
    with pytest.raises(ValueError, match="loses du/dt in code made by torch.jit.*as it was before"):
        total_derivative(traced, *batch())


def test_a_column_is_no_velocity():
    """It would be broadcast, in silence."""
    z, r, t, v = batch()
    with pytest.raises(ValueError, match=r"u\(z, r, t\) must return.*\(16, 2\).*\(16, 1\)"):
        total_derivative(lambda z, r, t: z[:, :1], z, r, t, v)
    with pytest.raises(ValueError, match=r"v_net\(z, t\) must return.*\(16, 2\).*\(16, 1\)"):
        flow_matching_loss(lambda z, t: z[:, :1], z, v, t)


def test_a_forward_that_is_replaced_in_the_class_itself(monkeypatch):
    monkeypatch.setattr(MeanVelocityMLP, "forward", lambda self, z, r, t: self.net(self.features(z, r, t)).sin())
    agree(MeanVelocityMLP(6, 3), *batch())


def test_a_hook_on_every_module_there_is():
    handle = nn.modules.module.register_module_forward_hook(lambda layer, given, made: made + 1)
    try:
        agree(MeanVelocityMLP(6, 3), *batch())
    finally:
        handle.remove()


def test_the_recipe_itself_goes_by_hand_and_what_is_changed_does_not(monkeypatch):
    asked, by_hand = [], MeanVelocityMLP.total_derivative
    monkeypatch.setattr(MeanVelocityMLP, "total_derivative", lambda *given: asked.append(1) or by_hand(*given))
    plain = MeanVelocityMLP(6, 3)
    for u, hand in ((plain, 1), (Waves(6, 3), 1), (torch.compile(plain, backend="eager"), 1), (Mixed(6, 3), 0),
                    (MeanVelocityMLP(6, 3, activation=nn.SiLU), 0), (lambda *given: plain(*given), 0)):
        asked.clear()
        total_derivative(u, *batch())
        assert len(asked) == hand


@pytest.mark.parametrize("change", [
    lambda net: None,
    lambda net: net.first.register_forward_hook(lambda layer, given, made: made.tanh()),
    lambda net: net.up.__setitem__(1, OtherLinear(12, 16)),
    lambda net: parametrizations.weight_norm(net.down[0]),
    lambda net: setattr(net.last, "forward", lambda h: net.last.weight.sum() * h.repeat(1, 6)[:, :64].sin()),
    lambda net: setattr(net, "forward", lambda z, r, t: z * t),
    lambda net: net.__setattr__("up", nn.ModuleList([nn.Sequential(nn.Linear(12, 16), nn.Tanh()), net.up[1]])),
], ids=["as it is", "hook", "subclass", "parametrised", "forward of a layer", "forward", "nested"])
def test_the_network_of_the_digits(change):
    torch.manual_seed(0)
    net = ResidualMLP(width=12, inner=16, depth=2)
    if change:
        change(net)
    agree(net, *batch(74))


class WithBatchNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 2))

    def forward(self, z, r, t):
        return self.net(torch.cat([z, t, t - r], dim=1))


class AsVelocity(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.inner = net

    def forward(self, z, t):
        return self.inner(z, t, t)


def test_a_batchnorm_gets_an_error_that_says_so():
    net = WithBatchNorm()
    with pytest.raises(RuntimeError, match="WithBatchNorm.*(?s:.)*BatchNorm.*LayerNorm"):
        total_derivative(net, *batch())
    agree(net.eval(), *batch())


def test_an_error_of_the_network_itself_comes_first():
    z, r, t, v = batch()
    with pytest.raises(RuntimeError, match="^The size of tensor"):
        total_derivative(lambda z, r, t: z + torch.ones(3), z, r, t, v)


def test_hooks_on_a_compiled_network_are_refused():
    net = torch.compile(MeanVelocityMLP(6, 3), backend="eager")
    net.register_forward_hook(lambda layer, given, made: 2 * made)
    with pytest.raises(ValueError, match="before it is compiled"):
        total_derivative(net, *batch())


@pytest.mark.parametrize("made", [lambda net: net, lambda net: euler(AsVelocity(net)),
                                  lambda net: midpoint(AsVelocity(net))], ids=["u", "euler", "midpoint"])
def test_sampling_leaves_a_network_as_it_is(made):
    """Its modes and its statistics; and dropout is off meanwhile."""
    net, z_1 = WithBatchNorm(), torch.randn(16, 2)
    net.net[1].eval()  # frozen by its owner
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [part.training for part in net.modules()]
    assert sample(made(net), z_1, 2).equal(sample(made(net), z_1, 2))
    assert all(value.equal(before[name]) for name, value in net.state_dict().items())
    assert [part.training for part in net.modules()] == modes


def test_the_derivative_of_gelu_is_that_of_mathematics():
    h = torch.linspace(-4, 4, 101, dtype=torch.float64)
    phi = torch.exp(-h**2 / 2) / (2 * torch.pi) ** 0.5
    torch.testing.assert_close(gelu_backward(torch.ones_like(h), h), (1 + torch.erf(h / 2**0.5)) / 2 + h * phi)
