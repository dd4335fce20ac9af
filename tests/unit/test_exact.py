"""The flow map and the average velocity against closed forms, finer grids, and each other."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mfutils import GaussianMixture, flow_map, interpolate, mean_velocity, noise_floor, sample, sliced_w2


@pytest.fixture
def points(dist, generator):
    """Points where training would put them, and two times: z, r, t in float64, times away from 0."""
    n = 300
    r, t = (0.02 + 0.98 * torch.rand(n, 2, generator=generator).double()).sort(dim=1).values.split(1, dim=1)
    z, _ = interpolate(dist.sample(n, generator).double(), torch.randn(n, 2, generator=generator).double(), t)
    return z, r, t


def test_one_gaussian_moves_as_the_formula_says(generator):
    mean, sd = torch.tensor([0.5, -1.0], dtype=torch.float64), 0.7
    r, t = torch.rand(100, 2, generator=generator).double().sort(dim=1).values.split(1, dim=1)
    r[:20] = 0  # the whole way, with the last stretch that Runge–Kutta does not walk
    z = torch.randn(100, 2, generator=generator).double()
    spread_r, spread_t = (((1 - s) ** 2 * sd**2 + s**2).sqrt() for s in (r, t))
    z_r = (1 - r) * mean + spread_r / spread_t * (z - (1 - t) * mean)
    dist = GaussianMixture([mean.tolist()], sd)
    torch.testing.assert_close(flow_map(dist, z, r, t), z_r, atol=5e-6, rtol=0)
    torch.testing.assert_close(mean_velocity(dist, z, r, t), (z - z_r) / (t - r), atol=1e-4, rtol=1e-5)


def test_25_steps_on_the_board_are_as_good_as_100(board, generator):
    z, r, t = torch.randn(5000, 2, generator=generator), torch.zeros(5000, 1), torch.ones(5000, 1)
    error = flow_map(board, z, r, t) - flow_map(board, z, r, t, n_steps=100)
    assert error.square().sum(dim=1).mean().sqrt() < 1e-4


def test_the_identity_holds(dist, points):
    z, r, t = points
    v = dist.velocity(z, t)
    u, dudt = torch.func.jvp(lambda z, r, t: mean_velocity(dist, z, r, t, n_steps=100), points,
                             (v, torch.zeros_like(r), torch.ones_like(t)))
    assert (u - (v - (t - r) * dudt)).abs().max() < 1e-5


def test_the_mean_velocity_is_the_mean_of_the_velocity(dist, points):
    # Simpson's rule along the path, over 100 intervals, all nodes of 20 paths in one call.
    z, r, t = (part[:20].repeat_interleave(101, dim=0) for part in points)
    node = torch.arange(101).repeat(20)[:, None]
    s = t + (r - t) * node / 100
    v = dist.velocity(flow_map(dist, z, s, t, n_steps=50), s)
    weight = torch.where(node % 2 == 1, 4, torch.where((node == 0) | (node == 100), 1, 2))
    mean = (weight * v).view(20, 101, 2).sum(dim=1) / 300
    expected = mean_velocity(dist, *(part[:20] for part in points), n_steps=50)
    torch.testing.assert_close(mean, expected, atol=2e-3, rtol=1e-3)


def test_u_becomes_v_as_r_approaches_t(dist, points):
    z, _, t = points
    v = dist.velocity(z, t)
    torch.testing.assert_close(mean_velocity(dist, z, t, t), v)
    gaps = [(mean_velocity(dist, z, t * (1 - h), t) - v).square().mean().sqrt() for h in (1e-2, 1e-3, 1e-4)]
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]


def test_two_maps_in_a_row_are_one(dist, points):
    z, r, t = points
    middle = (r + t) / 2
    twice = flow_map(dist, flow_map(dist, z, middle, t, 50), r, middle, 50)
    torch.testing.assert_close(twice, flow_map(dist, z, r, t, 50), atol=1e-3, rtol=0)


def test_with_the_exact_u_the_number_of_steps_does_not_matter(dist, generator):
    def u(z, r, t):
        return mean_velocity(dist, z, r, t, n_steps=100)

    z_1 = torch.randn(250, 2, generator=generator).double()
    one = sample(u, z_1, 1)
    for n_steps in (2, 5):
        error = (sample(u, z_1, n_steps) - one).square().sum(dim=1)
        assert error.mean().sqrt() < 2e-3
        assert error.median().sqrt() < 1e-5


def test_the_flow_map_turns_noise_into_data(dist, generator):
    n = 5000
    x = flow_map(dist, torch.randn(n, 2, generator=generator), 0, 1)
    mean, _ = noise_floor(sliced_w2, dist, n)
    assert sliced_w2(x, dist.sample(n, generator)) < 2 * mean


def test_times_may_be_numbers_or_columns(dist, points):
    z, _, _ = points
    r, t = torch.full_like(z[:, :1], 0.25), torch.full_like(z[:, :1], 0.75)
    for exact in (flow_map, mean_velocity):
        torch.testing.assert_close(exact(dist, z, 0.25, 0.75), exact(dist, z, r, t))
        torch.testing.assert_close(exact(dist, z, 0.25, t), exact(dist, z, r, 0.75))


def test_the_loss_across_a_gap_is_what_notebook_7_says():
    """E[J²] from t = 0.8, for data uniform on [−2, −1] ∪ [1, 2]: ∫ ρ_t² / ρ_r dz_r, where J = ρ_t / ρ_r."""
    page = (Path(__file__).parents[2] / "notebooks" / "07_inside_the_loss.py").read_text("utf-8")
    assert r"1.9, 7.0, 874 and $6\cdot10^{16}$" in page
    edges = torch.tensor([-2.0, -1.0, 1.0, 2.0], dtype=torch.float64)

    def tail(a):  # of the standard normal, above a; no digit is lost far out
        return torch.special.erfc(a / 2**0.5) / 2

    def density(z, s):
        a = (z[:, None] - (1 - s) * edges) / s
        left = torch.where(a[:, 1] > 0, tail(a[:, 1]) - tail(a[:, 0]), tail(-a[:, 1]) - tail(-a[:, 0]))
        right = torch.where(a[:, 2] < 0, tail(-a[:, 2]) - tail(-a[:, 3]), tail(a[:, 3]) - tail(a[:, 2]))
        return (left.abs() + right.abs()) / (2 * (1 - s))

    z = torch.linspace(-5, 5, 40_001, dtype=torch.float64)
    for r, value in ((0.4, 1.9), (0.3, 7.0), (0.2, 874)):
        before, after = (torch.cumulative_trapezoid(density(z, s), z) for s in (0.8, r))
        z_t = torch.from_numpy(np.interp(after, before, z[1:]))  # the map takes quantiles to quantiles
        middle = (after > 1e-6) & (after < 1 - 1e-6)
        mean = torch.trapezoid((density(z_t, 0.8) ** 2 / density(z[1:], r))[middle], z[1:][middle])
        assert mean == pytest.approx(value, rel=0.03)
    near = torch.linspace(-0.3, 0.3, 2001, dtype=torch.float64)  # at r = 0.1 the middle of the gap is all
    mean = density(torch.zeros(1).double(), 0.8) ** 2 * torch.trapezoid(1 / density(near, 0.1), near)
    assert mean.item() == pytest.approx(6e16, rel=0.03)
