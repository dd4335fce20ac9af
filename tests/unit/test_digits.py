"""Digits: the condition stays fixed, velocity and derivative agree with second methods, the record holds."""

from itertools import product

import numpy as np
import pytest
import torch

from experiments import digits as make_digits
from mfutils import (
    GaussianMixture,
    euler,
    flow_map,
    gaussian,
    interpolate,
    mean_flow_loss,
    midpoint,
    sample,
    sample_r_t,
)
from mfutils.lab import digits as d
from mfutils.lab import judges
from mfutils.lab.cases import CASES as of_notebook_8

RECORD = d.load_record()
ONE_EACH = d.Digits(gaussian(10, torch.Generator().manual_seed(1), d=64), torch.arange(10))


@pytest.fixture(scope="module")
def sets():
    return d.load()


def double(net):
    torch.manual_seed(0)
    return net.double()


def batch(n, condition, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x, eps = (torch.randn(n, 64 + condition, generator=generator, dtype=dtype) for _ in range(2))
    r, t = torch.rand(n, 2, generator=generator, dtype=dtype).sort(dim=1).values.split(1, dim=1)
    return x, eps, r, t


def test_the_two_sets_share_no_image_and_have_the_same_classes(sets):
    training, held_out = sets
    assert (len(training.images), len(held_out.images)) == (1347, 450)
    assert judges.nearest(held_out.images, training.images)[0].min() > 0.5
    shares = [torch.bincount(part.classes) / len(part.classes) for part in sets]
    assert torch.allclose(*shares, atol=2e-3)
    assert training.images.min() == -1
    assert training.images.max() == 1


def test_a_row_knows_its_class_or_does_not(sets, generator):
    training, _ = sets
    z = training.sample(5000, generator)
    known = z[:, 64:]
    assert set(known.unique().tolist()) == {0, 1}
    assert (known.sum(dim=1) == 0).float().mean() == pytest.approx(0.1, abs=0.02)
    judged = judges.judge().predict(z[:, :64])
    asked = known.argmax(dim=1).numpy()
    assert (judged == asked)[known.sum(dim=1).numpy() == 1].mean() > 0.99
    scaled = d.sample_scaled(5000, generator)[:, -1]
    assert (scaled == 0).float().mean() == pytest.approx(0.2, abs=0.03)
    assert 1.9 < scaled.max() <= d.MOST - 1
    assert d.forget(z)[:, 64:].abs().max() == 0
    assert torch.equal(d.forget(z)[:, :64], z[:, :64])


def test_the_exact_velocity_is_that_of_narrow_gaussians_of_the_class(generator):
    pixels = torch.randn(40, 64, generator=generator, dtype=torch.float64)
    few = d.Digits(gaussian(12, generator, d=64), torch.tensor([3, 5] * 6))
    t = torch.full((40, 1), 0.8, dtype=torch.float64)
    for known, means in ((3, few.images[::2]), (5, few.images[1::2]), (-1, few.images)):
        z = d.rows(pixels, torch.full((40,), known))
        v = few.velocity(z, t)
        assert torch.allclose(v[:, :64], GaussianMixture(means, sd=1e-5).velocity(pixels, t), atol=1e-6)
        assert (v[:, 64:] == 0).all()


def test_its_flow_ends_on_an_image_of_the_class(sets):
    training, _ = sets
    z_1 = d.rows(gaussian(20, torch.Generator().manual_seed(0), d=64), torch.arange(10).repeat(2))
    distance, which = judges.nearest(d.image(flow_map(training, z_1, 0, 1)), training.images)
    assert distance.max() < 1e-3
    assert torch.equal(training.classes[which], torch.arange(10).repeat(2))


def test_of_half_a_class_and_half_another_it_ends_on_one_of_either(sets):
    training, _ = sets
    z_1 = d.rows(gaussian(40, torch.Generator().manual_seed(0), d=64), torch.full((40,), -1))
    z_1[:, [64 + 3, 64 + 8]] = 0.5
    distance, which = judges.nearest(d.image(flow_map(training, z_1, 0, 1)), training.images)
    assert distance.max() < 1e-3
    assert set(training.classes[which].tolist()) == {3, 8}


@pytest.mark.parametrize("condition", [10, 11])
def test_the_derivative_by_hand_is_that_of_forward_mode_and_the_condition_stays(condition):
    net = double(d.ResidualMLP(condition, width=12, inner=20, depth=2))
    x, eps, r, t = batch(6, condition)
    z, v = interpolate(x, d.keep_condition(x, eps), t)
    assert (v[:, 64:] == 0).all()
    u, dudt = net.total_derivative(z, r, t, v)
    by_torch = torch.func.jvp(net, (z, r, t), (v, torch.zeros_like(r), torch.ones_like(t)))
    assert torch.allclose(u, by_torch[0])
    assert torch.allclose(dudt, by_torch[1])
    of_r = torch.func.jvp(net, (z, r, t), (0 * v, torch.ones_like(r), torch.zeros_like(t)))[1]
    assert torch.allclose(net.total_derivative(z, r, t, 0 * v, dr=1.0, dt=0.0)[1], of_r)
    assert dudt[:, :64].abs().min() > 0
    assert u.requires_grad
    assert not dudt.requires_grad
    assert torch.equal(sample(net, z, 3)[:, 64:], z[:, 64:])


def test_a_conditioned_loss_is_the_loss_of_the_plane_on_the_pixels():
    """Where the network is a function of the pixels, those of the condition add nothing to mean flow's loss."""
    net = double(d.ResidualMLP(width=12, inner=20, depth=1))
    x, eps, r, t = batch(8, 10)
    x[:, 64:] = x[0, 64:]

    def on_pixels(z, r, t):
        return net(torch.cat([z, x[:, 64:]], dim=1), r, t)[:, :64]

    conditioned = d.conditioned(mean_flow_loss)(net, x, eps, r, t)
    assert torch.allclose(conditioned, mean_flow_loss(on_pixels, x[:, :64], eps[:, :64], r, t))


def test_the_guided_target_is_the_definition_where_the_class_says_all():
    """With one image per class ε − x is v(z, t | c) itself, so the target is ω v(z, t | c) + (1 − ω) v(z, t)."""
    generator = torch.Generator().manual_seed(0)
    x = ONE_EACH.sample(300, generator)
    x = x[x[:, 64:].sum(dim=1) == 1].double()
    scale = 1 + 2 * torch.rand(len(x), 1, generator=generator, dtype=torch.float64)
    x = torch.cat([x, scale - 1], dim=1)
    _, eps, r, t = batch(len(x), 11)
    t = t.clamp(min=0.2)
    r = torch.minimum(r, t)
    net = double(d.ResidualMLP(11, width=12, inner=20, depth=1))

    def exact(z, r, t):
        assert (z[:, -1] == 0).all()  # the teacher is asked without guidance
        return torch.nn.functional.pad(ONE_EACH.velocity(z[:, :74], t), (0, 1))

    z = interpolate(x, d.keep_condition(x, eps), t)[0]
    v_class, v_any = (ONE_EACH.velocity(rows[:, :74], t) for rows in (z, d.forget(z)))
    v = torch.nn.functional.pad(scale * v_class + (1 - scale) * v_any, (0, 1))
    u, dudt = net.total_derivative(z, r, t, v)
    expected = (u - v + (t - r) * dudt).square().sum(dim=1).mean()
    assert torch.allclose(d.guided_mean_flow_loss(net, x, eps, r, t, exact), expected)


def test_without_guidance_it_is_mean_flow():
    x, eps, r, t = batch(9, 11)
    x[:, -1] = 0
    net = double(d.ResidualMLP(11, width=12, inner=20, depth=1))
    assert torch.allclose(d.guided_mean_flow_loss(net, x, eps, r, t, net),
                          d.conditioned(mean_flow_loss)(net, x, eps, r, t))


def test_the_frechet_distance_by_matrix_roots(sets):
    training, held_out = sets

    def root(matrix):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T

    def features(images):
        first, offset = (torch.from_numpy(part[0]) for part in (judges.judge().coefs_, judges.judge().intercepts_))
        return torch.relu(images.double() @ first.double() + offset)

    a, b = training.images[:300], held_out.images[:300]
    (mean_a, A), (mean_b, B) = ((rows.mean(dim=0), torch.cov(rows.T)) for rows in map(features, (a, b)))
    expected = (mean_a - mean_b).square().sum() + torch.trace(A + B - 2 * root(root(A) @ B @ root(A)))
    assert judges.frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-3)
    assert judges.frechet_distance(a, b) == pytest.approx(judges.frechet_distance(b, a), rel=1e-3)
    assert judges.frechet_distance(a, a) == pytest.approx(0, abs=1e-3)


def test_recall_counts_what_samples_reach():
    samples = torch.tensor([[0.0], [1.0], [2.0], [3.0], [100.0]])  # third-nearest fellow: 3, 2, 2, 3, 99 away
    real = torch.tensor([[-2.9], [-3.1], [5.9], [0.5], [6.5], [1.5]])
    assert judges.recall(samples[:4], real) == pytest.approx(4 / 6)
    assert judges.recall(samples, real) == pytest.approx(5 / 6)  # a far one reaches 6.5, though nothing is there
    assert judges.recall(samples, samples) == 1
    assert judges.precision(real, samples[:4]) == judges.recall(samples[:4], real)


def test_copying_tells_copies_from_digits_of_the_same_kind(sets):
    """Whichever digits were trained on: of new ones, three in four have their nearest among 1,347 of 1,797."""
    training, held_out = sets
    assert judges.copying(training.images) == 1
    assert judges.copying(training.images + 0.2 * gaussian(1347, torch.Generator().manual_seed(0), d=64)) > 0.99
    assert judges.copying(held_out.images) == 0
    everything = torch.cat([training.images, held_out.images])
    shares = []
    for seed in range(10):  # a fifth of the digits is new; the rest is split three to one
        new, rest = everything[torch.randperm(1797, generator=torch.Generator().manual_seed(seed))].split([360, 1437])
        of_training, of_held_out = (judges.nearest(new, part)[0] for part in rest.split([1077, 360]))
        shares.append((of_training < of_held_out).float().mean().item())
    assert np.mean(shares) == pytest.approx(1077 / 1437, abs=0.02)


def test_the_record_is_complete():
    trained = {(run["method"], run["seed"], run["n_steps"]) for run in RECORD["runs"]}
    steps = d.RECIPE["n_steps"]
    less = {(method, seed, n) for seed in range(3) for method, n in make_digits.AT_EQUAL_CPU.items()}
    assert trained == {*product(d.METHODS, range(3), [steps]),
                       *product(d.METHODS.keys() - {"guided_mean_flow"}, (3, 4), [steps]),
                       *product(make_digits.BETWEEN, range(5), [steps]), *less,
                       *product(make_digits.CASES, range(5), [make_digits.SHORT["n_steps"]]),
                       *product(["flow_matching", "mean_flow"], range(3), [make_digits.LONGER])}
    assert len(RECORD["runs"]) == len(trained)
    assert RECORD["recipe"] == d.RECIPE
    assert RECORD["pairs_of_floor"] >= 400
    for method, metric in product(d.METHODS, ("accuracy", "nearest", "copying", *judges.AGAINST_HELD_OUT)):
        if method != "guided_mean_flow":
            assert all(len(d.recorded(method, metric, nfe)) == 5 for nfe in make_digits.NFE)
    for run in RECORD["runs"]:
        if run["method"] == "guided_mean_flow":
            assert [float(scale) for scale in run["scale"]] == list(make_digits.SCALES)


def test_the_ingredients_are_those_of_notebook_8(generator):
    cases = make_digits.CASES
    assert set(cases) <= set(of_notebook_8)
    x, eps = d.load()[0].sample(40, generator), torch.randn(40, 74, generator=generator)
    r, t = sample_r_t(40, p_equal=0.2, generator=generator)
    z, v = interpolate(x, d.keep_condition(x, eps), t)
    net = d.ResidualMLP(width=16, inner=16, depth=1)
    for name, (of_r, of_t) in {"(v, 1, 0)": (1, 0), "(v, 1, 1)": (1, 1), "as it should be": (0, 1)}.items():
        u, dudt = torch.func.jvp(net, (z, r, t), (v, torch.full_like(r, of_r), torch.full_like(t, of_t)))
        expected = (u - (v - (t - r) * dudt)).square().sum(dim=1).mean()
        torch.testing.assert_close(cases[name].loss(net, x, eps, r, t), expected, rtol=1e-4, atol=0)
    hidden, ends = (cases[name].network(width=16, inner=16, depth=1) for name in ("t − r", "t, r"))
    assert hidden(z, 0 * r, t - r).allclose(hidden(z, r, t), atol=1e-5)
    ends.load_state_dict(net.state_dict())
    swapped = net.first.weight.detach().clone()
    swapped[:, -1] *= -1
    swapped[:, -2] -= swapped[:, -1]  # a t + b (t − r) = (a + b) t − b r
    ends.first.weight.data = swapped
    assert ends(z, r, t).allclose(net(z, r, t), atol=1e-5)
    for name, share in {"0 %": 0, "25 %": 0.25, "100 %": 1, "as it should be": 0.5}.items():
        r, t = cases[name].times(4000, generator)
        assert (r < t).float().mean() == pytest.approx(share, abs=0.01)
    r, t = cases["logit-normal (−0.4, 1.0)"].times(40_000, generator)
    below = (r > 0) & (r < t)
    assert torch.cat([r[below], t[below]]).logit().mean() == pytest.approx(-0.4, abs=0.05)


@pytest.mark.parametrize("method", d.METHODS)
def test_the_recorded_scores_are_those_of_the_shipped_files(method):
    eps = gaussian(4500, torch.Generator().manual_seed(1000), d=64)
    classes = d.load()[1].classes.repeat(10)
    z_1 = d.rows(eps, classes)
    run = next(run for run in RECORD["runs"] if (run["method"], run["seed"]) == (method, 0))
    kept, u = run.get("own") or run.get("euler"), d.load_pretrained(method)
    if method == "guided_mean_flow":
        kept, z_1 = run["scale"]["2.0"], d.rows(eps, classes, torch.full((4500, 1), 2.0))
    found = make_digits.by_steps(u, z_1, (1,))
    if method == "flow_matching":
        again = make_digits.by_steps(d.load_pretrained(method, solver=midpoint), z_1, (4,), 2)
        assert again["sliced_w2"][4] == pytest.approx(run["midpoint"]["sliced_w2"]["4"], rel=0.02)
    for metric, values in found.items():
        assert values[1] == pytest.approx(kept[metric]["1"], rel=0.02)


@pytest.mark.parametrize("method", d.METHODS)
def test_whatever_is_trained_can_be_sampled(method, monkeypatch):
    monkeypatch.setattr(d, "N_PATHS", 50)
    net, losses = d.train_method(method, n_steps=2, batch_size=20)
    assert len(losses) == 2
    u = euler(net) if method == "flow_matching" else net
    scale = torch.ones(3, 1) if method == "guided_mean_flow" else None
    z = sample(u, d.rows(gaussian(3, d=64), torch.arange(3), scale), 2)
    assert z.isfinite().all()
    assert not any(p.ndim == 2 and p.shape[0] == p.shape[1] for p in net.parameters())  # Muon would take its time


def test_bad_input_is_refused(sets):
    with pytest.raises(ValueError, match="'gan'.*'mean_flow'"):
        d.METHODS["gan"]
    with pytest.raises(ValueError, match=r"\(n, 74\).*\(3, 64\)"):
        sets[0].velocity(torch.zeros(3, 64), 0.5)
    with pytest.raises(ValueError, match=r"\(n, 64\).*\(3, 2\)"):
        d.rows(torch.zeros(3, 2), torch.arange(3))


def test_the_floor_is_what_real_digits_score():
    found = make_digits.floor(20)
    for metric in ("frechet", "sliced_w2", "precision", "recall"):
        assert found[metric][0] == pytest.approx(RECORD["floor"][metric][0], rel=0.1)
    assert found["nearest"] == pytest.approx(RECORD["floor"]["nearest"], rel=1e-3)
    assert np.isclose(found["accuracy"], RECORD["floor"]["accuracy"], atol=0.01)
