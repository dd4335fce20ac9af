"""The closed-form velocities against second methods that share no formula with them."""

import mpmath
import numpy as np
import pytest
import torch

from mfutils import DISTRIBUTIONS, GaussianMixture, interpolate


def times(n, t):
    return torch.full((n, 1), t, dtype=torch.float64)


@pytest.mark.parametrize("t", [0.05, 0.3, 0.7, 0.95, 1.0])
def test_velocity_is_the_mean_conditional_velocity(dist, generator, t):
    # Given z, a data point x is likely in proportion to N(z; (1 − t) x, t²): weigh a large sample by that.
    x = dist.sample(400_000, generator).double()
    z = interpolate(x[:20], torch.randn(20, 2, generator=generator).double(), times(20, t))[0]
    v = dist.velocity(z, times(20, t))
    for here, expected in zip(z, v):
        eps = (here - (1 - t) * x) / t
        weight = torch.softmax(-eps.square().sum(dim=1) / 2, dim=0)[:, None]
        mean = (weight * (eps - x)).sum(dim=0)
        standard_error = (weight**2 * (eps - x - mean) ** 2).sum(dim=0).sqrt()
        assert ((mean - expected).abs() < 5 * standard_error + 1e-3).all()


def board_velocity_in_60_digits(z, t):
    """The same integral, interval by interval, with error functions of 60 digits."""
    mpmath.mp.dps = 60
    t, root2 = mpmath.mpf(t), mpmath.sqrt(2)
    z = [mpmath.mpf(float(s)) for s in z]

    def interval(s, i):
        low, high = (s - (1 - t) * (i - 1)) / t, (s - (1 - t) * (i - 2)) / t
        sign = 1 if low + high > 0 else -1  # always subtract in the small tail
        mass = sign * (mpmath.erfc(sign * low / root2) - mpmath.erfc(sign * high / root2)) / 2
        return mass, (mpmath.npdf(low) - mpmath.npdf(high)) / mass

    across, up = ([interval(s, i) for i in range(4)] for s in z)
    squares = [(across[i], up[j]) for i in range(4) for j in range(4) if (i + j) % 2 == 0]
    total = sum(a[0] * b[0] for a, b in squares)
    eps = [sum(a[0] * b[0] * (a, b)[axis][1] for a, b in squares) / total for axis in (0, 1)]
    return [float((eps[axis] - z[axis]) / (1 - t)) for axis in (0, 1)]


@pytest.mark.parametrize("t", [1e-6, 1e-3, 0.05, 0.5, 0.95, 0.999, 0.9995, 1 - 1e-6])
def test_board_velocity_is_right_in_the_tails_and_at_both_ends(board, generator, t):
    far = torch.tensor([[0.0, 0.0], [1.0, 1.0], [-2.0, 0.5], [15.0, -20.0], [0.1, 30.0]])
    z = torch.cat([torch.randn(15, 2, generator=generator), far]).double()
    expected = torch.tensor([board_velocity_in_60_digits(s, t) for s in z], dtype=torch.float64)
    torch.testing.assert_close(board.velocity(z, times(len(z), t)), expected, rtol=1e-8, atol=1e-7)


def test_at_pure_noise_every_velocity_points_from_the_data_mean(dist, generator):
    z = torch.randn(100, 2, generator=generator).double()
    mean = dist.sample(400_000, generator).double().mean(dim=0)
    torch.testing.assert_close(dist.velocity(z, times(100, 1.0)), z - mean, atol=0.01, rtol=0)


def test_far_from_everything_the_velocity_is_finite(dist):
    z = torch.tensor([[1e3, -1e3], [50.0, 0.0]])
    for t in (1e-4, 0.5, 1.0):
        assert dist.velocity(z, times(2, t)).isfinite().all()


def test_one_gaussian_has_an_affine_velocity(generator):
    mean, sd = torch.tensor([0.5, -1.0], dtype=torch.float64), 0.7
    z, t = torch.randn(50, 2, generator=generator).double(), torch.rand(50, 1, generator=generator).double()
    variance = (1 - t) ** 2 * sd**2 + t**2
    expected = -mean + (t - (1 - t) * sd**2) / variance * (z - (1 - t) * mean)
    torch.testing.assert_close(GaussianMixture([mean.tolist()], sd).velocity(z, t), expected)


def test_samples_follow_the_density(dist, generator):
    # The share of samples in each tile of a grid against the density at its tile's finer grid.
    x = dist.sample(200_000, generator)
    fine = (torch.arange(120) + 0.5) / 20 - 3
    y, w = torch.meshgrid(fine, fine, indexing="ij")
    mass = dist.density(torch.stack([w.flatten(), y.flatten()], dim=1)).view(120, 120) / 400
    assert abs(mass.sum() - 1) < 0.01
    expected = mass.view(12, 10, 12, 10).sum(dim=(1, 3))
    seen = torch.histogramdd(x, [12, 12], range=[-3.0, 3.0, -3.0, 3.0]).hist.T / len(x)
    assert (seen - expected).abs().max() < 0.003


def test_velocity_keeps_dtype_and_can_be_differentiated_both_ways(dist, generator):
    z, t = torch.randn(8, 2, generator=generator).double(), torch.rand(8, 1, generator=generator).double()
    assert dist.velocity(z.float(), t.float()).dtype == torch.float32
    tangent = torch.randn(8, 2, generator=generator).double()
    _, forward = torch.func.jvp(dist.velocity, (z, t), (tangent, torch.ones_like(t)))
    h = 1e-6
    difference = (dist.velocity(z + h * tangent, t + h) - dist.velocity(z - h * tangent, t - h)) / (2 * h)
    torch.testing.assert_close(forward, difference, rtol=1e-4, atol=1e-4)
    z.requires_grad_()
    dist.velocity(z, t).sum().backward()
    assert z.grad.isfinite().all()


def test_the_shapes_are_what_their_names_say():
    moon, spiral, eight = (DISTRIBUTIONS[name] for name in ("crescent", "spiral", "eight_gaussians"))
    centre = torch.tensor([0.4, 0.0], dtype=torch.float64)
    torch.testing.assert_close((moon.means - centre).norm(dim=1), torch.full((48,), 1.5, dtype=torch.float64))
    assert moon.sd[[0, -1]].tolist() == pytest.approx([0.05, 0.05], abs=1e-6)  # thin horns
    assert moon.sd.max() == pytest.approx(0.22, abs=1e-3)  # and a thick back
    horns = (moon.means - centre)[[0, -1]] / 1.5
    torch.testing.assert_close(horns, torch.tensor([[1, 1], [1, -1]], dtype=torch.float64) / 2**0.5)
    assert (moon.means[:, 0] - centre[0] < 1.07).all()  # three quarters of a circle, open to the right
    radius = spiral.means.norm(dim=1)
    assert (radius[1:] > radius[:-1]).all()
    assert radius[-1] == pytest.approx(2)
    turns = torch.atan2(*spiral.means[1:].flip(1).T).diff().remainder(2 * torch.pi).sum() / (2 * torch.pi)
    assert 1.4 < turns < 1.75  # of 3.5 π, less the first step, which is taken from the centre
    assert set(spiral.sd.tolist()) == {0.08}
    torch.testing.assert_close(eight.means.norm(dim=1), torch.full((8,), 1.8, dtype=torch.float64))
    assert torch.pdist(eight.means).min() == pytest.approx(2 * 1.8 * torch.sin(torch.tensor(torch.pi / 8)).item())
    assert set(eight.sd.tolist()) == {0.15}


def test_a_mixture_in_any_dimension_has_the_velocity_of_its_particles(generator):
    dist = GaussianMixture(torch.randn(3, 4, generator=generator), sd=[0.3, 0.5, 0.8])
    x, t = dist.sample(400_000, generator).double(), 0.5
    z = interpolate(x[:10], torch.randn(10, 4, generator=generator).double(), t)[0]
    for here, expected in zip(z, dist.velocity(z, t)):
        eps = (here - (1 - t) * x) / t
        weight = torch.softmax(-eps.square().sum(dim=1) / 2, dim=0)[:, None]
        mean = (weight * (eps - x)).sum(dim=0)
        standard_error = (weight**2 * (eps - x - mean) ** 2).sum(dim=0).sqrt()
        assert ((mean - expected).abs() < 5 * standard_error + 1e-3).all()


def test_the_density_of_a_mixture_integrates_to_one_in_three_dimensions(generator):
    dist = GaussianMixture([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], sd=0.5)
    box = 8 * torch.rand(400_000, 3, generator=generator) - 4
    assert (dist.density(box).mean() * 8**3).item() == pytest.approx(1, abs=0.03)


def test_far_out_a_mixture_is_unlikely_and_not_impossible():
    far = torch.tensor([[30.0, 0.0]])
    assert DISTRIBUTIONS["eight_gaussians"].log_density(far).isfinite().all()
    assert DISTRIBUTIONS["checkerboard"].log_density(torch.tensor([[0.5, 0.5], [0.5, -0.5]])).tolist() == [
        pytest.approx(-2.0794415), -torch.inf]


def test_times_may_be_numbers(dist, generator):
    z = torch.randn(5, 2, generator=generator)
    torch.testing.assert_close(dist.velocity(z, 0.5), dist.velocity(z, torch.full((5, 1), 0.5)))
    torch.testing.assert_close(interpolate(z, -z, 1)[0], -z)


def test_many_points_are_done_in_parts(monkeypatch, generator):
    """So that memory does not grow with points × components; the numbers are the same."""
    spiral, z, t = DISTRIBUTIONS["spiral"], torch.randn(50, 2, generator=generator), torch.rand(50, 1) + 1e-3
    whole, density = spiral.velocity(z, t.clamp(max=1)), spiral.log_density(z)
    parts, one = [], GaussianMixture._velocity
    monkeypatch.setattr("mfutils.data.MOST", 800)
    monkeypatch.setattr(GaussianMixture, "_velocity", lambda self, z, t: parts.append(len(z)) or one(self, z, t))
    torch.testing.assert_close(spiral.velocity(z, t.clamp(max=1)), whole)
    torch.testing.assert_close(spiral.log_density(z), density)
    assert parts == 6 * [8] + [2]


def test_the_readers_array_and_the_distribution_do_not_share():
    points = np.array([[0.0, 0.0], [1.0, 1.0]])
    mixture = GaussianMixture(points, sd=0.1)
    points += 100
    assert mixture.means.max() == 1
