"""The training loop: it learns, and it repeats."""

import pytest
import torch

from mfutils import (
    GaussianMixture,
    MeanVelocityMLP,
    Run,
    VelocityMLP,
    flow_matching_loss,
    mean_flow_loss,
    one_time,
    sample_r_t,
    train,
)
from mfutils.training import muon_and_adam, working

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

    net, _ = train(small_net(), loss, BLOB.sample, one_time, n_steps=3, batch_size=8, with_average=True, ema_decay=0.9)
    assert seen[0].equal(small_net().net[0].bias)
    assert seen[1].equal(now[1])  # the first iterate
    torch.testing.assert_close(seen[2], 0.9 * seen[1] + 0.1 * now[2])
    assert not net.net[0].bias.equal(seen[2])  # it has seen one step more


def test_muon_trains_the_hidden_weights_and_adam_the_rest():
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
    for square_but_not_hidden in (VelocityMLP(width=3, depth=2), torch.nn.Linear(2, 2)):
        optimizers = muon_and_adam(square_but_not_hidden, 0.1, 0.2)
        first = next(square_but_not_hidden.parameters())
        assert any(first is p for p in optimizers[-1].param_groups[0]["params"])
        assert isinstance(optimizers[-1], torch.optim.Adam)


def test_both_learning_rates_fall_to_zero(tmp_path):
    run(checkpoint=tmp_path / "run.pt", checkpoint_every=60)
    saved = torch.load(tmp_path / "run.pt", weights_only=True)
    for optimizer in saved["others"][:2]:
        assert optimizer["param_groups"][0]["lr"] == pytest.approx(0, abs=1e-9)


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


def test_a_loss_that_asks_another_network_is_told_so():
    """It would train nothing, or what the caller keeps, in silence."""
    mine = small_net()
    patched = small_net()
    forward = patched.forward
    patched.forward = lambda z, t: forward(z, t)
    for net, loss in ((mine, lambda net, x, eps, t: flow_matching_loss(mine, x, eps, t)),
                      (patched, flow_matching_loss)):
        with pytest.raises(ValueError, match="no parameter of the network got a gradient.*must use the network"):
            train(net, loss, BLOB.sample, one_time, n_steps=2, batch_size=8)


def test_a_diverging_run_says_so():
    with pytest.raises(FloatingPointError, match="lower lr"):
        train(small_net(), lambda *a: flow_matching_loss(*a) * float("nan"), BLOB.sample, one_time, n_steps=5)


def test_without_a_source_of_noise_it_is_gaussian_in_the_dimension_of_the_data():
    seen = []

    def loss(net, x, eps, t):
        seen.append(eps)
        return net(t).mean()

    train(torch.nn.Linear(1, 1), loss, lambda n, g: torch.rand(n, 7, generator=g), one_time, n_steps=20, batch_size=500)
    eps = torch.cat(seen)
    assert eps.shape == (10_000, 7)
    assert eps.mean(dim=0).abs().max() < 0.05
    assert (eps.std(dim=0) - 1).abs().max() < 0.05


def test_draws_in_double_precision_are_taken_as_the_network_is():
    def data(n, generator):
        return BLOB.sample(n, generator).double()

    net, _ = train(small_net(), flow_matching_loss, data, one_time, n_steps=2, batch_size=8)
    assert net.net[0].weight.dtype == torch.float32


def test_a_diverged_run_does_not_overwrite_its_last_good_checkpoint(tmp_path):
    steps = iter(range(100))

    def loss(net, x, eps, t):
        return flow_matching_loss(net, x, eps, t) * (1 if next(steps) < 15 else float("nan"))

    with pytest.raises(FloatingPointError, match="lower hidden_lr"):
        train(small_net(), loss, BLOB.sample, one_time, n_steps=60, batch_size=8, checkpoint=tmp_path / "run.pt",
              checkpoint_every=10)
    assert torch.load(tmp_path / "run.pt", weights_only=True)["step"] == 10


def test_a_loop_of_ones_own_sees_every_step_and_gives_what_train_gives():
    run_, seen = Run(small_net(), n_steps=20, batch_size=32), []
    for done, value, net, average in run_.steps(flow_matching_loss, BLOB.sample, one_time):
        seen.append((done, value.item(), net.net[0].bias.detach().clone(), average.net[0].bias.clone()))
    whole, losses = run(n_steps=20, batch_size=32)
    assert [done for done, *_ in seen] == list(range(1, 21))
    assert torch.tensor([value for _, value, *_ in seen]).equal(losses)
    assert same(run_.average, whole)
    assert seen[-1][3].equal(whole.net[0].bias)
    assert not seen[0][2].equal(seen[1][2])  # the network moves


def test_the_bar_shows_the_mean_of_the_last_hundred_losses(monkeypatch):
    shown = []
    monkeypatch.setattr("mfutils.training.report", lambda bar, loss, done, *_: shown.append((done, loss)))
    values = iter(range(1, 1000))

    def loss(net, x, eps, t):
        return net(x, t).sum() * 0 + next(values)

    train(small_net(), loss, BLOB.sample, one_time, n_steps=250, batch_size=4)
    assert shown == [(100, 50.5), (200, 150.5), (250, 200.5)]


class WithDropout(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Dropout(0.5), torch.nn.Linear(16, 2))

    def forward(self, z, t):
        return self.net(torch.cat([z, t], dim=1))


def test_a_network_is_trained_in_training_mode_averaged_and_returned_in_evaluation_mode():
    modes = []

    def loss(net, x, eps, t, average):
        modes.append((net.net[1].training, average.net[1].training))
        return flow_matching_loss(net, x, eps, t)

    given = WithDropout().eval()
    net, _ = train(given, loss, BLOB.sample, one_time, n_steps=3, batch_size=8, with_average=True)
    assert modes == [(True, False)] * 3
    assert not any(part.training for part in [*net.modules(), *given.modules()])


class Gpu:
    """A stand-in for a GPU that PyTorch sees: every tensor made there is one of the CPU, or none can be made."""

    def __init__(self, monkeypatch, error=None):
        ones = torch.ones
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch, "ones", self.made)
        self.ones, self.error = ones, error

    def made(self, *size, device=None, **others):
        if self.error and device == "cuda":
            raise RuntimeError(self.error)
        return self.ones(*size, **others)


def test_a_gpu_is_taken_when_asked_for_and_said_so(monkeypatch, capsys):
    Gpu(monkeypatch)
    assert working("cpu") == "cpu"
    assert working("cuda") == "cuda"
    assert capsys.readouterr().out == ""
    assert working("auto") == "cuda"
    assert capsys.readouterr().out == "Training on the GPU. (device='cpu' takes the CPU.)\n"


def test_a_gpu_that_cannot_be_used_is_passed_over_in_words(monkeypatch, capsys):
    with monkeypatch.context() as machine:
        Gpu(machine, error="CUDA error: no kernel image is available\nand more")
        assert working("auto") == "cpu"
    said = "cannot be used (CUDA error: no kernel image is available). Training on the CPU."
    assert said in capsys.readouterr().out


def test_without_a_word_training_takes_the_cpu_and_auto_says_what_it_takes(monkeypatch, capsys):
    for device, said in ((None, ""), ("auto", "No GPU is seen. Training on the CPU.\n")):
        arguments = {"device": device} if device else {}
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        net, _ = train(small_net(), flow_matching_loss, BLOB.sample, one_time, n_steps=2, batch_size=8, **arguments)
        assert next(net.parameters()).device.type == "cpu"
        assert capsys.readouterr().out == said
