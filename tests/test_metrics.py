import math

import pytest
import torch

from mfutils import (
    DISTRIBUTIONS,
    GaussianMixture,
    by_mode,
    energy_distance,
    field_error,
    flow_map,
    map_error,
    mean_velocity,
    noise_floor,
    off_support,
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


def test_the_energy_distance_is_that_of_all_pairs(generator):
    a = torch.randn(300, 2, generator=generator)
    b = 1.2 * torch.randn(400, 2, generator=generator) + 0.3
    ab, aa, bb = (torch.cdist(*pair).mean() for pair in ((a, b), (a, a), (b, b)))
    assert energy_distance(a, b, n_directions=1024) == pytest.approx((2 * ab - aa - bb).sqrt().item(), rel=1e-3)
    assert energy_distance(a, b) == pytest.approx(energy_distance(b, a))


def test_off_support_is_the_share_on_white_squares(board):
    squares = torch.tensor([[-1.5, -1.5], [-1.5, -0.5], [0.5, -0.5], [9.0, 9.0]])  # dark, white, white, outside
    assert off_support(board, squares) == 0.75


def test_within_modes_a_surplus_costs_nothing_and_a_shift_its_length(generator):
    centres = torch.tensor([[-5.0, 0.0], [5.0, 0.0]])
    near, far = (c + 0.1 * torch.randn(4000, 2, generator=generator) for c in centres)
    even, uneven = torch.cat([near[:2000], far[:2000]]), torch.cat([near[2000:3000], far[1000:4000]])
    within = by_mode(sliced_w2, centres)
    assert sliced_w2(even, uneven) > 2
    assert within(even, uneven) < 0.02
    assert within(even, even + torch.tensor([0.3, 0.4])) == pytest.approx(0.5 / math.sqrt(2), abs=0.01)
    with pytest.raises(ValueError, match="mode 1 at .5.0, 0.0. is empty"):
        within(even, near)


def test_the_exact_velocity_has_no_error_and_a_shifted_one_its_shift(generator):
    blob = GaussianMixture([[0.5, -1.0]], sd=0.7)
    x, eps = blob.sample(200, generator), torch.randn(200, 2, generator=generator)

    def shifted(z, r, t):
        return mean_velocity(blob, z, r, t) + torch.tensor([0.3, 0.4])

    errors = field_error(shifted, blob, x, eps, levels=2)
    torch.testing.assert_close(errors[0], torch.full((3,), 0.5))
    assert errors.isnan().tolist() == [[False] * 3, [True, False, False], [True, True, False]]
    torch.testing.assert_close(map_error(shifted, blob, eps), torch.full((200,), 0.5))


def test_the_map_error_pairs_every_point_with_its_own_image(generator):
    board, z_1 = DISTRIBUTIONS["checkerboard"], torch.randn(50, 2, generator=generator)
    ones = torch.ones(50, 1)
    right = flow_map(board, z_1, 0 * ones, ones)
    wrong = right.roll(1, dims=0)  # the same set, another map
    assert map_error(lambda z, r, t: z - right, board, z_1).max() < 1e-5
    assert map_error(lambda z, r, t: z - wrong, board, z_1).min() > 1e-3
    assert sliced_w2(right, wrong) < 1e-6
