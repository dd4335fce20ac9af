"""The losses of notebook 9 against second computations: identities at the exact u, gradients by double backward."""

import itertools

import pytest
import torch

from mfutils import (
    DISTRIBUTIONS,
    GaussianMixture,
    MeanVelocityMLP,
    flow_map,
    gaussian,
    improved_mean_flow_loss,
    interpolate,
    mean_flow_loss,
    mean_velocity,
    sample,
    sample_r_t,
    self_distilled_mean_flow_loss,
)
from mfutils.lab import maps
from mfutils.lab.maps import (
    LOSSES,
    discrete,
    eulerian,
    eulerian_open,
    lagrangian,
    lagrangian_open,
    loss_of,
    matched,
    semigroup,
)

BLOBS = GaussianMixture([[1.0, 0.5], [-1.0, -0.4]], sd=0.4)


@pytest.fixture
def batch(generator):
    x, eps = BLOBS.sample(60, generator).double(), gaussian(60, generator).double()
    r, t = sample_r_t(60, p_equal=0.25, p_zero=0.2, generator=generator)
    return x, eps, r.double(), t.double()


@pytest.fixture
def nets():
    torch.manual_seed(0)
    return MeanVelocityMLP(width=12, depth=2).double(), MeanVelocityMLP(width=12, depth=2).double()


def slopes(value, net):
    return torch.cat([part.flatten() for part in torch.autograd.grad(value, list(net.parameters()))])


def rate(u, z, r, t, of_z=None, of_r=None, of_t=None):
    """The derivative of u along these tangents, by double backward, with its gradient."""
    points = {"z": z, "r": r, "t": t}
    tangents = {key: value for key, value in dict(z=of_z, r=of_r, t=of_t).items() if value is not None}
    points = {key: value.detach().clone().requires_grad_() for key, value in points.items()}
    out = u(points["z"], points["r"], points["t"])
    w = torch.zeros_like(out, requires_grad=True)
    along = torch.autograd.grad((w * out).sum(), [points[key] for key in tangents], create_graph=True)
    total = sum((slope * tangent).sum() for slope, tangent in zip(along, tangents.values()))
    return torch.autograd.grad(total, w, create_graph=True)[0]


def test_every_residual_vanishes_at_the_exact_u_and_only_there(batch):
    x, eps, r, t = (part[-20:] for part in batch)  # few: the exact u takes its time
    t = t.clamp(min=0.05)
    r = torch.minimum(r.clamp(min=0.01), 0.9 * t)
    z, _ = interpolate(x, eps, t)
    v = BLOBS.velocity(z, t)

    def exact(z, r, t):
        return mean_velocity(BLOBS, z, r, t, n_steps=50)

    def off(z, r, t):
        return exact(z, r, t) + 0.1 * torch.sin(z + r + 2 * t)

    def velocity(z, t):
        return BLOBS.velocity(z, t.clamp(min=1e-3))

    for u, holds in ((exact, True), (off, False)):
        for residual in (eulerian(u, z, r, t, v, tangent=v), eulerian_open(u, z, r, t, v),
                         lagrangian(u, z, r, t, velocity), lagrangian_open(u, z, r, t, velocity),
                         semigroup(u, z, r, t, 0.3 * r + 0.7 * t)):
            assert (residual.norm(dim=1).max() < 1e-4) == holds


def test_the_discrete_residual_tends_to_the_eulerian_one(batch, nets):
    x, eps, r, t = batch
    z, pair = interpolate(x, eps, t)
    jump = (r < t).squeeze(1)
    rows = z[jump], r[jump], t[jump]
    for tangent in (pair, 0.5 * pair):
        limit = eulerian(nets[0], *rows, pair[jump], tangent[jump])
        near, far = (discrete(nets[0], *rows, alpha, pair[jump], tangent[jump]) for alpha in (1e-5, 1e-2))
        torch.testing.assert_close(near, limit, atol=1e-4, rtol=0)
        assert (far - limit).abs().max() > 10 * (near - limit).abs().max()


def test_mean_flow_and_its_kin_are_losses_of_the_family(batch, nets):
    net, average = nets
    for name, expected in {"Eulerian, pair": mean_flow_loss(net, *batch),
                           "Eulerian, own tangent": improved_mean_flow_loss(net, *batch),
                           "Eulerian, own": self_distilled_mean_flow_loss(net, *batch, net, p=0),
                           "Eulerian, average": self_distilled_mean_flow_loss(net, *batch, average, p=0)}.items():
        found = loss_of(name, 10)(net, *batch, average)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(slopes(found, net), slopes(expected, net))


def reference(name, u, average, z, r, t, pair, exact):
    """The residual in rows with r < t, written once more, with derivatives by double backward."""
    def own(z, t):
        return u(z, t, t).detach()

    def of_average(z, t):
        return average(z, t, t).detach()

    one, value = torch.ones_like(t), u(z, r, t)
    landing = (z - (t - r) * value).detach()
    if name == "Eulerian, open":
        spatial = rate(u, z, r, t, of_z=own(z, t)).detach()
        return value + (t - r) * (spatial + rate(u, z, r, t, of_t=one)) - own(z, t)
    if name == "Eulerian, exact":
        v = exact(z, t)
        return value - (v - (t - r) * rate(u, z, r, t, of_z=v, of_t=one)).detach()
    if name.startswith("Lagrangian"):
        velocity = {"average": of_average, "exact": exact}.get(name.split(", ")[-1], own)
        at = (landing, r.clamp(min=0.05)) if name.endswith("from 0.05") else (landing, r)
        v = (exact if "exact" in name else velocity)(*at)
        change = (t - r) * rate(u, z, r, t, of_r=one)
        return value - v.detach() - (change if "open" in name else change.detach())
    if name == "semigroup, middle":
        s = (r + t) / 2
        first = u(z, s, t)
        return value - ((first + u(z - (t - s) * first, r, s)) / 2).detach()
    alpha = {"1/2": 0.5, "1/10": 0.1, "1/50": 0.02}[name.split(", ")[1]]
    step = own(z, t) if name.endswith("own tangent") else pair
    moved = u(z - alpha * (t - r) * step, r, t - alpha * (t - r))
    wanted = alpha * pair + (1 - alpha) * (moved if step is pair else moved)
    return value - (value + (wanted - value) / alpha).detach()  # α-Flow's target, its error divided by α


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in {
    "Eulerian, pair", "Eulerian, own tangent", "Eulerian, own", "Eulerian, average", "semigroup, random cut", "α-Flow"}
    and not name.startswith("consistency")])
def test_each_loss_and_its_gradient_against_a_second_derivation(name, batch, nets):
    net, average = nets

    def exact(z, t):
        return BLOBS.velocity(z, t.clamp(min=1e-3))

    x, eps, r, t = batch
    z, pair = interpolate(x, eps, t)
    jump = (r < t).squeeze(1)
    diagonal = (net(z, t, t) - pair)[~jump]
    residual = reference(name, net, average, z[jump], r[jump], t[jump], pair[jump], exact)
    expected = torch.cat([diagonal, residual]).square().sum(dim=1).mean()
    found = loss_of(name, 10, exact=exact)(net, *batch, average)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(slopes(found, net), slopes(expected, net))


def test_alpha_flow_falls_from_flow_matching_to_mean_flow(batch, nets):
    net, average = nets
    loss = loss_of("α-Flow", 100)
    values = [loss(net, *batch, average).item() for _ in range(100)]
    x, eps, r, t = batch
    z, pair = interpolate(x, eps, t)
    assert values[0] == pytest.approx((net(z, r, t) - pair).square().sum(dim=1).mean().item(), rel=1e-3)
    assert values[-1] == pytest.approx(mean_flow_loss(net, *batch).item(), rel=1e-6)


def test_a_random_cut_is_between_and_consistency_is_on_its_edge(batch, nets, monkeypatch):
    net, average = nets
    cuts = []
    monkeypatch.setattr(maps, "semigroup", lambda u, z, r, t, s: cuts.append((r, s, t)) or 0 * z)
    loss_of("semigroup, random cut", 10)(net, *batch, average)
    (r, s, t), = cuts
    assert ((r <= s) & (s <= t)).all()
    assert ((s - r) / (t - r)).std() > 0.2
    assert [name for name in LOSSES if LOSSES[name].edge] == ["consistency, pair", "consistency, own",
                                                               "consistency, exact"]


def test_matched_pairs_have_the_shortest_roads(generator):
    x, eps, t = BLOBS.sample(10, generator), gaussian(10, generator), torch.rand(10, 1)
    given = []
    matched(lambda net, *batch: given.append(batch), group=5)(None, x, eps, t)
    (same_x, paired, same_t), = given
    assert same_x is x
    assert same_t is t
    for part in (slice(0, 5), slice(5, 10)):
        shortest = min((x[part] - eps[part][list(order)]).square().sum() for order in itertools.permutations(range(5)))
        torch.testing.assert_close((x[part] - paired[part]).square().sum(), shortest)
        assert sorted(paired[part].tolist()) == sorted(eps[part].tolist())


def test_rectified_pairs_are_the_ends_of_paths(generator):
    x, eps = maps.rectified(lambda z, t: BLOBS.velocity(z, t), 200, generator)
    assert (x - flow_map(BLOBS, eps, 0, 1)).norm(dim=1).mean() < 0.02
    assert abs(eps.std() - 1) < 0.1


def test_a_consistency_model_samples_data_in_any_number_of_steps(generator):
    def exact(z, r, t):
        return mean_velocity(BLOBS, z, r, t, n_steps=8)

    z_1 = gaussian(4000, generator)
    torch.testing.assert_close(maps.renoised(exact, z_1, 1), sample(exact, z_1, 1))
    torch.manual_seed(5)
    three, target = maps.renoised(exact, z_1, 3), BLOBS.sample(4000, generator)
    assert (three.mean(dim=0) - target.mean(dim=0)).abs().max() < 0.07
    assert (three.std(dim=0) - target.std(dim=0)).abs().max() < 0.07


def test_the_triangle_of_the_exact_u_is_dark(generator):
    board = DISTRIBUTIONS["checkerboard"]
    states = maps.exact_states(board, gaussian(20, generator))
    errors = maps.over_triangle(lambda z, r, t: mean_velocity(board, z, r, t), board, states)
    assert errors.isnan().sum() == maps.LEVELS * (maps.LEVELS + 1) / 2
    assert errors.nan_to_num(0).max() < 0.01
    wrong = maps.over_triangle(lambda z, r, t: mean_velocity(board, z, r, t) + (r < t) * 0.5**0.5, board, states)
    assert wrong[10, 0] == pytest.approx(1, abs=0.01)
    assert wrong[10, 10] < 0.01


def test_unknown_names_are_refused_with_those_there_are():
    with pytest.raises(ValueError, match="choose one of 'Eulerian, pair'"):
        loss_of("Euler", 10)
    with pytest.raises(ValueError, match="choose one of 'Eulerian, pair'"):
        maps.taught("checkerboard", "Euler", "map_error")
    with pytest.raises(ValueError, match="the record has no run with"):
        maps.taught("crescent", "Eulerian, pair", "map_error", n_steps=3)
    with pytest.raises(ValueError, match="the record has no 'tv' of 1 evaluations; it has .*total_variation"):
        maps.taught("checkerboard", "Eulerian, pair", "tv")
    with pytest.raises(ValueError, match="no 'map_error' of 3 evaluations"):
        maps.taught("checkerboard", "Eulerian, pair", "map_error", 3)
