import math

import torch

from mfutils import noise_floor, sliced_w2, total_variation


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
