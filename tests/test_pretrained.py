"""The shipped networks are those of the record, and they do what the course says."""

import re
import statistics
from itertools import product
from pathlib import Path

import pytest
import torch

from mfutils import (
    DISTRIBUTIONS,
    METHODS,
    energy_distance,
    gaussian,
    load_pretrained,
    load_record,
    retrain,
    sample,
    sliced_w2,
    total_variation,
)
from mfutils.pretrained import RECIPE

RECORD = load_record()


def scores(distribution, method, n_steps, metric="sliced_w2"):
    """Recorded distances, one per seed."""
    return [run[metric][str(n_steps)] for run in RECORD["runs"]
            if (run["distribution"], run["method"]) == (distribution, method)]


def test_the_record_is_complete():
    runs = {(run["distribution"], run["method"], run["seed"]) for run in RECORD["runs"]}
    assert runs == set(product(DISTRIBUTIONS, METHODS, range(5)))
    assert RECORD["recipe"] == RECIPE
    assert all(run["seconds"] > 0 for run in RECORD["runs"])
    for metric, floors in RECORD["floor"].items():
        assert all(0 < mean < high for mean, high in floors.values())
        assert all((metric in run) == (run["distribution"] in floors) for run in RECORD["runs"])


def test_the_claims_on_the_board_hold_for_every_seed():
    assert len(scores("checkerboard", "mean_flow", 1)) == 5
    assert max(scores("checkerboard", "flow_matching", 128)) <= 0.03
    assert min(scores("checkerboard", "flow_matching", 1)) >= 0.9
    assert max(scores("checkerboard", "mean_flow", 1)) <= 0.03
    assert max(scores("checkerboard", "improved_mean_flow", 1)) <= 0.02


def test_the_readme_quotes_the_record():
    quoted = re.search(r"ends at (\S+) to (\S+) times .* flow matching at (\S+) to (\S+) times",
                       (Path(__file__).parent.parent / "README.md").read_text()).groups()
    floors = RECORD["floor"]["sliced_w2"]
    ours, theirs = ([statistics.mean(scores(name, method, 1)) / floors[name][0] for name in DISTRIBUTIONS]
                    for method in ("improved_mean_flow", "flow_matching"))
    assert quoted == (f"{min(ours):.1f}", f"{max(ours):.1f}", f"{min(theirs):.0f}", f"{max(theirs):.0f}")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("method", METHODS)
def test_the_recorded_distances_are_those_of_the_shipped_files(distribution, method):
    generator = torch.Generator().manual_seed(1000)  # as when the record was made, with seed 0
    z_1, target = gaussian(RECORD["n"], generator), DISTRIBUTIONS[distribution].sample(RECORD["n"], generator)
    for n_steps in (1, 4):
        points = sample(load_pretrained(distribution, method), z_1, n_steps)
        for metric in (sliced_w2, total_variation, energy_distance):
            recorded = scores(distribution, method, n_steps, metric.__name__)[0]
            assert metric(points, target) == pytest.approx(recorded, rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_whatever_is_retrained_can_be_sampled(method):
    u, losses = retrain("spiral", method, n_steps=2, batch_size=8)
    assert sample(u, gaussian(3), 2).shape == (3, 2)
    assert losses.shape == (2,)


def test_retraining_for_a_tenth_of_the_steps_goes_most_of_the_way():
    u, _ = retrain("crescent", "improved_mean_flow", n_steps=1000, ema_decay=0.99)
    z_1, target = gaussian(20_000, torch.manual_seed(0)), DISTRIBUTIONS["crescent"].sample(20_000)
    shipped = scores("crescent", "improved_mean_flow", 1)[0]
    assert shipped < 0.02
    assert sliced_w2(sample(u, z_1, 1), target) < 0.08
