"""The shipped networks are those of the record, and they do what the course says."""

import pytest
import torch

from mfutils import DISTRIBUTIONS, METHODS, gaussian, load_pretrained, sample, sliced_w2
from mfutils.pretrained import load_record, retrain

RECORD = load_record()


def scores(distribution, method, n_steps):
    """Recorded sliced W2, one per seed."""
    return [run["sliced_w2"][str(n_steps)] for run in RECORD["runs"]
            if (run["distribution"], run["method"]) == (distribution, method)]


def test_the_record_is_complete():
    assert len(RECORD["runs"]) == 3 * len(DISTRIBUTIONS) * len(METHODS)
    assert set(RECORD["floor"]["sliced_w2"]) == set(DISTRIBUTIONS)


def test_the_claims_on_the_board_hold_for_every_seed():
    assert len(scores("checkerboard", "mean_flow", 1)) == 3
    assert max(scores("checkerboard", "flow_matching", 128)) <= 0.03
    assert min(scores("checkerboard", "flow_matching", 1)) >= 0.9
    assert max(scores("checkerboard", "mean_flow", 1)) <= 0.05


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("method", METHODS)
def test_the_recorded_distances_are_those_of_the_shipped_files(distribution, method):
    generator = torch.Generator().manual_seed(1000)  # as when the record was made, with seed 0
    z_1, target = gaussian(RECORD["n"], generator), DISTRIBUTIONS[distribution].sample(RECORD["n"], generator)
    for n_steps in (1, 4):
        distance = sliced_w2(sample(load_pretrained(distribution, method), z_1, n_steps), target)
        assert distance == pytest.approx(scores(distribution, method, n_steps)[0], rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_whatever_is_retrained_can_be_sampled(method):
    u, losses = retrain("spiral", method, n_steps=2, batch_size=8)
    assert sample(u, gaussian(3), 2).shape == (3, 2)
    assert losses.shape == (2,)


def test_retraining_a_little_goes_most_of_the_way():
    net, _ = retrain("crescent", "mean_flow", n_steps=800)
    z_1, target = gaussian(5000, torch.manual_seed(0)), DISTRIBUTIONS["crescent"].sample(5000)
    assert sliced_w2(sample(net, z_1, 1), target) < 0.3
