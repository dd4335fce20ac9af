import math

import pytest
import torch

from mfutils import (
    DISTRIBUTIONS,
    GaussianMixture,
    field_error,
    flow_map,
    map_error,
    mean_velocity,
    noise_floor,
    sliced_w2,
    total_variation,
)


def test_a_shift_costs_its_length_over_root_two(generator):
    # Along a direction at angle a the shift is |d| cos a, and cos² averages to one half.
    x = torch.randn(1000, 2, generator=generator)
    assert math.isclose(sliced_w2(x, x + torch.tensor([0.3, -0.4])), 0.5 / math.sqrt(2), rel_tol=1e-4)


def test_a_wider_gaussian_costs_the_difference_of_widths(generator):
    x = torch.randn(200_000, 2, generator=generator)
    assert math.isclose(sliced_w2(x, 1.5 * x), 0.5, rel_tol=0.01)


def test_in_many_dimensions_a_shift_costs_its_length_over_the_root_of_their_number(generator):
    x, shift = torch.randn(300, 64, generator=generator), torch.randn(64, generator=generator)
    assert sliced_w2(x, x + shift, 2000) == pytest.approx(shift.norm().item() / 8, rel=0.05)
    assert sliced_w2(x, x.flip(0)) < 1e-6


def test_it_is_a_distance_between_sets_not_lists(generator):
    x = torch.randn(500, 2, generator=generator)
    assert sliced_w2(x, x.flip(0)) < 1e-6


def test_total_variation_is_the_share_of_mass_that_moved(generator):
    x = torch.rand(10_000, 2, generator=generator)
    moved = x.clone()
    moved[:2500] -= 2  # a quarter of the points leaves the square for another
    assert math.isclose(total_variation(x, moved), 0.25, abs_tol=1e-6)
    assert math.isclose(total_variation(x, x - 2), 1, abs_tol=1e-6)
    assert math.isclose(total_variation(x, x + 10), 1, abs_tol=1e-6)  # out of the picture is not out of mind


def test_the_floor_falls_with_the_root_of_n(board):
    small, large = noise_floor(sliced_w2, board, 500), noise_floor(sliced_w2, board, 8000)
    assert small[0] < small[1]
    assert 3 < small[0] / large[0] < 5.3


def test_the_exact_velocity_has_no_error_and_a_shifted_one_its_shift(generator):
    blob = GaussianMixture([[0.5, -1.0]], sd=0.7)
    z = torch.randn(200, 2, generator=generator)

    def shifted(z, r, t):
        assert r.shape == t.shape == (200, 1)
        return mean_velocity(blob, z, r, t) + torch.tensor([0.3, 0.4])

    column = torch.linspace(0, 0.5, 200)[:, None]
    for r, t in ((0, 1), (0.5, 0.5), (column, 0.75)):
        torch.testing.assert_close(field_error(shifted, blob, z, r, t), torch.full((200,), 0.5))
    torch.testing.assert_close(map_error(shifted, blob, z), torch.full((200,), 0.5))


def test_the_map_error_pairs_every_point_with_its_own_image(generator):
    board, z_1 = DISTRIBUTIONS["checkerboard"], torch.randn(50, 2, generator=generator)
    right = flow_map(board, z_1, 0, 1)
    wrong = right.roll(1, dims=0)  # the same set, another map
    assert map_error(lambda z, r, t: z - right, board, z_1).max() < 1e-5
    assert map_error(lambda z, r, t: z - wrong, board, z_1).min() > 1e-3
    assert sliced_w2(right, wrong) < 1e-6


def test_the_errors_are_of_as_many_steps_as_asked(board, generator):
    z_1 = torch.randn(50, 2, generator=generator)
    landing, thrice = flow_map(board, z_1, 0, 1), z_1 * (1 - 1 / 3) * (1 - 2 / 9) * (1 - 1 / 9)
    torch.testing.assert_close(map_error(lambda z, r, t: z * t, board, z_1, n_steps=3), (thrice - landing).norm(dim=1))
    coarse = mean_velocity(board, z_1, 0, 1, n_steps=2)
    torch.testing.assert_close(field_error(lambda z, r, t: 0 * z, board, z_1, 0, 1, n_steps=2), coarse.norm(dim=1))
    assert not torch.allclose(coarse, mean_velocity(board, z_1, 0, 1), rtol=1e-3)


def test_64_directions_do_the_work_of_256(board, generator):
    a, b = board.sample(20_000, generator), board.sample(20_000, generator)
    assert sliced_w2(a, b) == pytest.approx(sliced_w2(a, b, n_directions=256), abs=2e-5)


def test_total_variation_counts_tiles_of_the_stated_size():
    a = torch.full((10, 2), 0.001)
    assert total_variation(a, a + 0.09, bins=64) == 0  # a tile is 6 / 64 = 0.094 wide
    assert total_variation(a, a + 0.09, bins=128) == 1
    assert total_variation(a, a + 0.1) == 1  # 64 is the default; tiles of 48 would hold both
    assert total_variation(a, a + 0.09) == 0
    assert total_variation(a, a + 2.9, limit=3.0, bins=1) == 0
    assert total_variation(a, a + 2.9, limit=2.0, bins=1) == 1


def test_the_floor_is_the_mean_and_the_95_percent_quantile_of_its_pairs(board):
    values = iter([float(k) for k in range(101)])
    mean, high = noise_floor(lambda a, b: next(values), board, 10, repeats=101)
    assert (mean, high) == (50, pytest.approx(95))


def test_what_carries_a_gradient_is_measured_like_what_does_not(board, generator):
    a, b = board.sample(300, generator), board.sample(300, generator)
    with_gradient = a.clone().requires_grad_()
    for metric in (sliced_w2, total_variation):
        assert metric(with_gradient, b) == metric(a, b)
