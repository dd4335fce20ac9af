"""Bad input is refused with what was given, what is allowed, and how to mend it."""

import numpy as np
import pytest
import torch

from mfutils import (
    DISTRIBUTIONS,
    METHODS,
    GaussianMixture,
    VelocityMLP,
    distilled_mean_flow_loss,
    euler,
    flow_map,
    flow_matching_loss,
    improved_mean_flow_loss,
    interpolate,
    load_pretrained,
    mean_flow_loss,
    mean_velocity,
    midpoint,
    one_time,
    recorded,
    sample,
    sample_r_t,
    self_distilled_mean_flow_loss,
    sliced_w2,
    total_derivative,
    total_variation,
    train,
)

BOARD, MIXTURE = DISTRIBUTIONS["checkerboard"], DISTRIBUTIONS["spiral"]
z, half, quarter = torch.zeros(3, 2), torch.full((3, 1), 0.5), torch.full((3, 1), 0.25)
nan = torch.tensor([[0.0, 0.0], [float("nan"), 0.0], [0.0, 0.0]])


def u(z, r, t):
    return z


BAD = {
    "unknown distribution": (lambda: DISTRIBUTIONS["moon"], "'moon'.*'checkerboard'"),
    "unknown method": (lambda: METHODS["gan"], "'gan'.*'mean_flow'"),
    "unknown pretrained": (lambda: load_pretrained("moon", "mean_flow"), "'moon'.*'spiral'"),
    "a name for a distribution": (lambda: flow_map("board", z, quarter, half), "velocity.*'board'.*DISTRIBUTIONS"),
    "no steps": (lambda: sample(u, z, 0), "whole number ≥ 1; got 0"),
    "half a step": (lambda: sample(u, z, 2.5), "whole number ≥ 1; got 2.5"),
    "true is no number of steps": (lambda: sample(u, z, True), "got True"),
    "noise on a line": (lambda: sample(u, torch.zeros(3), 1), r"\(n, d\).*\(3,\)"),
    "points in space on the board": (lambda: BOARD.velocity(torch.zeros(3, 3), 0.5), r"\(n, 2\).*\(3, 3\)"),
    "points in space to a plane's distance": (lambda: total_variation(torch.zeros(3, 3), z), r"\(n, 2\).*\(3, 3\)"),
    "a solver for a mean flow": (lambda: load_pretrained("spiral", "mean_flow", solver=midpoint), "leave out solver"),
    "an unknown metric": (lambda: recorded("spiral", "mean_flow", "fid", 1), "'fid'.*'map_error'"),
    "an unknown distribution": (lambda: recorded("spirl", "mean_flow", "map_error", 1), "'spirl'.*'spiral'"),
    "an unknown record": (lambda: recorded("spiral", "meanflow", "map_error", 1), "'meanflow'.*'mean_flow'"),
    "a mean flow's solver": (lambda: recorded("spiral", "mean_flow", "map_error", 1, "midpoint"), "Leave out solver"),
    "a solver's name": (lambda: load_pretrained("spiral", "flow_matching", solver="midpoint"), "a function, `euler`"),
    "words for means": (lambda: GaussianMixture([["a", "b"]], 0.1), "means must be numbers.*'a'"),
    "an infinite width": (lambda: GaussianMixture([[0.0, 0.0]], float("inf")), "positive and finite"),
    "an unknown solver": (lambda: recorded("spiral", "flow_matching", "map_error", 1, "rk4"), "'rk4'.*'midpoint'"),
    "points of another dimension": (lambda: MIXTURE.velocity(torch.zeros(3, 3), 0.5), r"\(n, 2\).*\(3, 3\)"),
    "data and noise of two dimensions": (lambda: interpolate(z, torch.zeros(3, 3), half), r"eps.*\(n, 2\).*\(3, 3\)"),
    "no noise": (lambda: sample(u, torch.zeros(0, 2), 1), "n ≥ 1"),
    "NaN noise": (lambda: sample(u, nan, 1), "1 of its 3 rows"),
    "a list of points": (lambda: sample(u, [[0.0, 0.0]], 1), "float tensor.*list"),
    "whole-number points": (lambda: BOARD.velocity(torch.zeros(3, 2, dtype=torch.long), half), "float tensor.*int64"),
    "flat times": (lambda: BOARD.velocity(z, torch.full((3,), 0.5)), r"\(3, 1\).*\(3,\)"),
    "a number beyond noise": (lambda: BOARD.velocity(z, 1.5), r"\(0, 1\].*1.5"),
    "a list of times": (lambda: BOARD.velocity(z, [0.5]), r"number.*\(3, 1\).*list"),
    "time zero in a velocity": (lambda: BOARD.velocity(z, 0 * half), r"\(0, 1\].*from 0 to 0"),
    "time beyond noise": (lambda: interpolate(z, z, half + 1), r"\[0, 1\].*1.5"),
    "negative time": (lambda: flow_matching_loss(u, z, z, -half), r"\[0, 1\].*-0.5"),
    "NaN time": (lambda: BOARD.velocity(z, half * float("nan")), r"\(0, 1\]"),
    "r after t in a loss": (lambda: mean_flow_loss(u, z, z, half, quarter), "r = 0.5 > t = 0.25.*order"),
    "r after t, improved": (lambda: improved_mean_flow_loss(u, z, z, half, quarter), "r = 0.5 > t = 0.25"),
    "r after t, self-distilled": (lambda: self_distilled_mean_flow_loss(u, z, z, half, quarter, u), "r = 0.5 > t"),
    "pairs for chords": (lambda: distilled_mean_flow_loss(u, torch.zeros(3, 5), z, half), r"z_t, z_r, r, t.*\(3, 5\)"),
    "chords with r after t": (lambda: distilled_mean_flow_loss(u, torch.cat([z, z, half, quarter], 1)), "r = 0.5 > t"),
    "r after t in the derivative": (lambda: total_derivative(u, z, half, quarter, z), "r = 0.5 > t = 0.25"),
    "a tangent of another shape": (lambda: total_derivative(u, z, quarter, half, z[:2]), "v must have the shape of z"),
    "numbers r after t": (lambda: flow_map(BOARD, z, 0.5, 0.25), "r = 0.5 > t = 0.25"),
    "r after t in the map": (lambda: flow_map(BOARD, z, half, quarter), "r = 0.5 > t = 0.25"),
    "r after t in u": (lambda: mean_velocity(BOARD, z, half, quarter), "r = 0.5 > t = 0.25"),
    "NaN data": (lambda: flow_matching_loss(u, nan, z, half), "x must be finite"),
    "data and noise of two sizes": (lambda: interpolate(z, z[:2], half), "eps.*as many"),
    "a share above one": (lambda: sample_r_t(3, p_equal=75), "at most 1; got 75"),
    "shares above one together": (lambda: sample_r_t(3, p_equal=0.75, p_zero=0.5), "at most 1; got 0.75 and 0.5"),
    "a negative share": (lambda: sample_r_t(3, p_zero=-0.5), "at least 0.*-0.5"),
    "no sample": (lambda: BOARD.sample(0), "whole number ≥ 1; got 0"),
    "a blob without width": (lambda: GaussianMixture([[0.0, 0.0]], sd=0), "sd must be positive and finite; got 0"),
    "means on a line": (lambda: GaussianMixture([0.0, 1.0], sd=1), r"\(n, d\)"),
    "too many widths": (lambda: GaussianMixture([[0.0, 0.0]], sd=[1, 2]), r"sd must be.*1 means; got \(2,\)"),
    "sets of two dimensions": (lambda: sliced_w2(torch.zeros(3, 3), z), r"b must.*\(n, 3\).*\(3, 2\)"),
    "uneven sets": (lambda: sliced_w2(z, z[:2]), "equally many.*3 .*2 "),
    "no batch": (lambda: train(VelocityMLP(), flow_matching_loss, BOARD.sample, one_time, batch_size=0), "got 0"),
    "data of a wrong shape": (lambda: train(VelocityMLP(), flow_matching_loss, lambda n, g: torch.zeros(n), one_time),
                              r"data\(n, generator\).*\(n, d\)"),
    "data of a wrong number": (lambda: train(VelocityMLP(), flow_matching_loss, lambda n, g: z, one_time),
                               r"data\(n, generator\).*rows.*1024; got 3"),
    "times as a list": (lambda: train(VelocityMLP(), flow_matching_loss, BOARD.sample, lambda n, g: [half, half]),
                        r"times\(n, generator\) must return.*got list"),
    "flat drawn times": (lambda: train(VelocityMLP(), flow_matching_loss, BOARD.sample, lambda n, g: torch.rand(n)),
                         r"times\(n, generator\) must return.*\(1024,\)"),
    "a loss that is no number": (lambda: train(VelocityMLP(), lambda net, x, *rest: x, BOARD.sample, one_time),
                                 r"loss must be one number.*\(1024, 2\)"),
    "a loss that returns nothing": (lambda: train(VelocityMLP(), lambda *a: None, BOARD.sample, one_time), "NoneType"),
    "noise of another dimension": (lambda: train(VelocityMLP(), flow_matching_loss, BOARD.sample, one_time,
                                                 lambda n, g: torch.randn(n, 3)), r"noise.*\(n, 2\).*\(1024, 3\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_advice(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert len(str(refusal.value)) < 500


def test_a_long_list_makes_a_short_message():
    with pytest.raises(ValueError, match="list") as refusal:
        sample(u, [[0.0, 0.0]] * 100_000, 1)
    assert len(str(refusal.value)) < 500


def test_good_input_at_the_edges_is_accepted():
    one = torch.ones(1, 1)
    assert sample(euler(BOARD.velocity), torch.zeros(1, 2), 1).shape == (1, 2)
    assert flow_map(BOARD, torch.zeros(1, 2), 0 * one, 0 * one).shape == (1, 2)
    assert mean_velocity(BOARD, torch.zeros(1, 2), one, one).shape == (1, 2)
    assert sample(u, z, np.int64(4)).shape == (3, 2)
    assert len(BOARD.sample(np.int64(4))) == 4
    assert len(sample_r_t(np.int64(4))[0]) == 4
