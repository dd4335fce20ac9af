"""The training loop: it learns, it repeats, and nothing is lost when it is interrupted."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from mfutils import GaussianMixture, MeanVelocityMLP, VelocityMLP, flow_matching_loss, mean_flow_loss, sample_r_t, train
from mfutils.pretrained import one_time
from mfutils.training import muon_and_adam

BLOB = GaussianMixture([[0.5, -1.0]], sd=0.7)


def small_net():
    torch.manual_seed(0)
    return VelocityMLP(width=16, depth=2)


def run(data=BLOB.sample, **arguments):
    arguments = {"n_steps": 60, "batch_size": 64, **arguments}
    return train(small_net(), flow_matching_loss, data, one_time, **arguments)


def same(a, b):
    return all(x.equal(y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


def test_it_learns_the_closed_form_velocity(generator):
    net, losses = run(n_steps=1500, batch_size=256, lr=5e-3, ema_decay=0.99)
    t = torch.rand(2000, 1, generator=generator).clamp(min=0.01)
    z = (1 - t) * BLOB.sample(2000, generator) + t * torch.randn(2000, 2, generator=generator)
    v = BLOB.velocity(z, t)
    assert (net(z, t) - v).square().mean().detach() < 0.02 * v.square().mean()
    assert losses.shape == (1500,)
    assert losses[-200:].mean() < losses[:50].mean()


def test_any_loss_and_any_source(generator):
    def square(n, generator):
        return 2 * torch.rand(n, 2, generator=generator) - 1

    def times(n, generator):
        return sample_r_t(n, generator=generator)

    net, losses = train(MeanVelocityMLP(16, 2), mean_flow_loss, BLOB.sample, times, square, n_steps=5, batch_size=32)
    assert losses.isfinite().all()
    assert isinstance(net, MeanVelocityMLP)


def test_the_network_given_stays_as_it_was_and_the_run_repeats():
    net = small_net()
    first, _ = train(net, flow_matching_loss, BLOB.sample, one_time, n_steps=20, batch_size=32)
    assert same(net, small_net())
    second, _ = train(net, flow_matching_loss, BLOB.sample, one_time, n_steps=20, batch_size=32)
    assert same(first, second)


def test_what_comes_back_is_the_average_of_the_iterates():
    # With decay 0 the average is the last iterate; one step later it must lie between.
    last, _ = run(ema_decay=0.0)
    slow, _ = run(ema_decay=0.9)
    assert not same(last, slow)
    assert not same(slow, small_net())


def test_a_loss_that_asks_for_the_average_gets_it():
    seen, now = [], []

    def loss(net, x, eps, t, average):
        seen.append(average.net[0].bias.detach().clone())
        now.append(net.net[0].bias.detach().clone())
        return flow_matching_loss(net, x, eps, t)

    net, _ = train(small_net(), loss, BLOB.sample, one_time, n_steps=3, batch_size=8, with_average=True)
    assert seen[0].equal(small_net().net[0].bias)
    assert not seen[1].equal(seen[2])
    assert not seen[2].equal(now[2])
    assert not net.net[0].bias.equal(seen[2])  # it has seen one step more


def test_muon_trains_the_square_matrices_and_adam_the_rest():
    net = VelocityMLP(width=16, depth=3)
    muon, adam = muon_and_adam(net, hidden_lr=0.1, lr=0.2)
    assert isinstance(muon, torch.optim.Muon)
    first, second = muon.param_groups[0]["params"]
    assert first is net.net[2].weight
    assert second is net.net[4].weight
    assert len(adam.param_groups[0]["params"]) == 6
    assert muon.param_groups[0]["weight_decay"] == 0
    assert (muon.param_groups[0]["lr"], adam.param_groups[0]["lr"]) == (0.1, 0.2)
    without_such = VelocityMLP(width=16, depth=1)
    flat, _ = train(without_such, flow_matching_loss, BLOB.sample, one_time, n_steps=3)
    assert flat.net[0].weight.isfinite().all()


def test_both_learning_rates_fall_to_zero(tmp_path):
    run(checkpoint=tmp_path / "run.pt", checkpoint_every=60)
    saved = torch.load(tmp_path / "run.pt", weights_only=True)
    for optimizer in ("muon", "adam"):
        assert saved[optimizer]["param_groups"][0]["lr"] == pytest.approx(0, abs=1e-9)


def test_a_compiled_loss_is_the_same_loss_and_does_without_a_compiler(tmp_path):
    program = """
import torch
from mfutils import MeanVelocityMLP, compiled, mean_flow_loss, sample_r_t
torch.manual_seed(0)
net, x, eps, (r, t) = MeanVelocityMLP(16, 2), torch.randn(32, 2), torch.randn(32, 2), sample_r_t(32)
fast = compiled(mean_flow_loss)
first, second = fast(net, x, eps, r, t), fast(net, x, eps, r, t)
assert first.allclose(mean_flow_loss(net, x, eps, r, t)) and first.equal(second)
"""
    for settings, said in (({}, ""), ({"CXX": "no-such-compiler"}, "torch.compile failed")):
        environment = {**os.environ, **settings, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / (said or "usual"))}
        ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.count("torch.compile failed") == (1 if said else 0)


def test_an_interrupted_run_goes_on_to_the_same_result(tmp_path):
    path, calls = tmp_path / "run.pt", []

    def data(n, generator):
        calls.append(n)
        if len(calls) == 37:
            os.kill(os.getpid(), signal.SIGINT)  # in the middle of a step
        return BLOB.sample(n, generator)

    usual = signal.getsignal(signal.SIGINT)
    whole, losses = run()
    with pytest.raises(KeyboardInterrupt, match="after step 37 of 60.*resume="):
        run(data, checkpoint=path)
    rest, again = run(resume=path)
    assert same(whole, rest)
    assert losses.equal(again)
    assert signal.getsignal(signal.SIGINT) is usual


def test_without_a_checkpoint_an_interrupt_still_keeps_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def data(n, generator):
        os.kill(os.getpid(), signal.SIGINT)
        return BLOB.sample(n, generator)

    with pytest.raises(KeyboardInterrupt, match="interrupted.pt"):
        run(data)
    assert same(run()[0], run(resume="interrupted.pt")[0])


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path):
    path, calls = tmp_path / "deep" / "run.pt", []

    def data(n, generator):
        calls.append(n)
        if len(calls) == 50:
            raise RuntimeError("power cut")
        return BLOB.sample(n, generator)

    with pytest.raises(RuntimeError, match="power cut"):
        run(data, checkpoint=path, checkpoint_every=20)
    assert same(run()[0], run(resume=path)[0])


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    run(checkpoint=tmp_path / "run.pt", checkpoint_every=30)
    with pytest.raises(ValueError, match="'seed': 0.*'seed': 1"):
        run(resume=tmp_path / "run.pt", seed=1)


def test_a_run_takes_one_thread_and_gives_back_what_there_were():
    seen, before = [], torch.get_num_threads()

    def loss(*arguments):
        seen.append(torch.get_num_threads())
        raise RuntimeError("stop here")

    try:
        torch.set_num_threads(3)
        with pytest.raises(RuntimeError, match="stop here"):
            train(small_net(), loss, BLOB.sample, one_time, n_steps=2, batch_size=8)
        assert seen == [1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_diverging_run_says_so():
    with pytest.raises(FloatingPointError, match="lower lr"):
        train(small_net(), lambda *a: flow_matching_loss(*a) * float("nan"), BLOB.sample, one_time, n_steps=5)
