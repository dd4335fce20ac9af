"""The recipe is the course's own training on one page; each case changes what it says it changes; the record holds."""

import pytest
import torch

import mfutils
from experiments import sweep
from mfutils import DISTRIBUTIONS, MeanVelocityMLP, mean_flow_loss
from mfutils.lab import cases, recipe
from mfutils.lab.cases import CASES, GROUPS, diff, edited, load_sweep, swept, swept_points
from mfutils.methods import two_times

CASE = pytest.mark.parametrize("case", CASES)


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.fixture(scope="module")
def right():
    """The recipe after a few steps on the board, and where it takes some noise."""
    net, losses = recipe.train(DISTRIBUTIONS["checkerboard"], n_steps=12)
    z_1 = torch.randn(20, 2, generator=torch.Generator().manual_seed(1))
    return net, losses, z_1, recipe.sample(net, z_1, 4)


def test_the_recipe_is_train_and_sample_to_the_bit(right, board):
    net, losses, z_1, points = right
    torch.manual_seed(0)
    trained, history = mfutils.train(MeanVelocityMLP(), mean_flow_loss, board.sample, two_times, n_steps=12,
                                     ema_decay=0.99)
    assert same(net, trained)
    assert torch.equal(losses, history)
    assert torch.equal(points, mfutils.sample(trained, z_1, 4))


@CASE
def test_every_case_changes_the_outcome_and_all_its_lines_are_needed(case, right, board):
    net, losses, z_1, points = right
    edits = CASES[case].edits
    for used in (edits, *(edits[:k] + edits[k + 1:] for k in range(len(edits)) if len(edits) > 1)):
        page = edited(*used)
        other, history = page.train(board, n_steps=12)
        there = page.sample(other, z_1, 4)
        assert there.isfinite().all()
        if used is edits:
            first = history, there
            assert (torch.equal(history, losses) and torch.equal(there, points)) == (not edits)
        else:
            assert not (torch.equal(history, first[0]) and torch.equal(there, first[1])), used


def test_the_right_tangents_by_another_call_are_no_change(right, board):
    _, losses, _, _ = right
    _, history = edited(cases.tangents("v", 0, 1)).train(board, n_steps=12)
    assert torch.allclose(history, losses, rtol=1e-4)


def test_time_may_run_backwards_if_the_anchor_goes_along(board):
    """The mirrored recipe trains the mirrored network: one batch, the same loss, with time and sign reversed."""
    class Mirrored(MeanVelocityMLP):
        def forward(self, z, r, t):
            return -super().forward(z, 1 - t, 1 - r)

    page = edited(*CASES["noise at 0, r is the anchor"].edits)
    page.Network = Mirrored
    _, mirrored = page.train(board, n_steps=1)
    _, plain = recipe.train(board, n_steps=1)
    assert torch.allclose(mirrored, plain, rtol=1e-4)


def test_an_edit_of_a_line_that_is_not_there_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"0 times. Did you mean 'v = v_cond'"):
        edited(("v = v_conditional", "v = 0"))
    with pytest.raises(ValueError, match="another one than the edits before"):
        edited(("v = v_cond", "v = 1"), ("v = v_cond", "v = 2"))


@pytest.mark.parametrize(("asked", "complaint"), [
    (("moons", "own", "sliced_w2"), "'checkerboard', 'spiral'"), (("spiral", "nothing", "sliced_w2"), "'p = 1'"),
    (("spiral", "own", "fid"), "'map_error'"), (("spiral", "own", "map_error", 2), "1 and 8 steps; got nfe=2")])
def test_what_the_record_does_not_have_is_named(asked, complaint):
    with pytest.raises(ValueError, match=complaint):
        swept(*asked)


def test_a_diff_shows_each_line_and_what_replaces_it():
    assert diff(("a = 1", "a = 2\nb = 3")) == "- a = 1\n+ a = 2\n+ b = 3"


def test_a_loss_that_is_not_finite_stops_the_training(board):
    page = edited(("loss = error.mean()", "loss = error.mean() / (step < 3)"))
    with pytest.raises(FloatingPointError, match="inf at step 4 of 12"):
        page.train(board, n_steps=12)


def test_a_diverged_run_is_a_result(board):
    job = sweep.JOBS[0] | dict(edits=[["loss = error.mean()", "loss = error.mean() * float('nan')"]], n=100)
    assert sweep.run(job) == dict(diverged="the loss is nan at step 1 of 2500")


def test_the_record_holds_every_run():
    runs = [(run["case"], run["distribution"], run["seed"]) for run in load_sweep()["runs"]]
    assert sorted(runs) == sorted((job["case"], job["distribution"], job["seed"]) for job in sweep.JOBS)
    assert len(CASES) == sum(map(len, GROUPS.values())) >= 35
    assert load_sweep()["n_steps"] == sweep.N_STEPS
    for name in ("checkerboard", "spiral"):
        assert swept_points(name, "own").shape == (2, 1000, 2)
        for metric in cases.METRICS:
            assert swept(name, "own", metric).isfinite().sum() == 5
        for case in GROUPS["sampling"]:  # trained as the recipe is, only asked otherwise
            for metric in ("loss", "field_error"):
                assert torch.equal(swept(name, case, metric), swept(name, "as it should be", metric))
        assert swept(name, "noise at 0, r is the anchor", "field_error").isnan().all()  # it means something else


def test_a_case_run_again_finds_its_record():
    """On the machine that made the record, to the bit; elsewhere sums round otherwise, and training grows that to a
    part of what another seed does."""
    job = next(job for job in sweep.JOBS if (job["case"], job["seed"]) == ("Adam, rate 0.001", 0))
    found, case = sweep.run(job), job["case"]
    for metric in ("sliced_w2", "total_variation", "map_error"):
        for nfe in (1, 8):
            five = swept("checkerboard", case, metric, nfe)
            assert abs(found[metric][nfe] - five[0]) < 3 * five.std(), metric
    others = swept("checkerboard", "as it should be", "total_variation")
    assert abs(found["total_variation"][1] - others[0]) > 10 * others.std()  # so another case would not pass
    points = torch.tensor(found["points"]).float() / sweep.PER_UNIT
    assert (points - swept_points("checkerboard", case)).norm(dim=-1).median() < 0.1
