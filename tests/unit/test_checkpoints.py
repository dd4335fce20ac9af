"""A run that is stopped, killed, or stopped twice goes on from where it was; no file is mistaken for another's."""

import functools
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from mfutils import (
    DISTRIBUTIONS,
    MeanVelocityMLP,
    VelocityMLP,
    flow_matching_loss,
    load_average,
    load_pretrained,
    train,
)
from mfutils import methods as mfutils_methods
from mfutils.methods import one_time, two_times

SPIRAL = DISTRIBUTIONS["spiral"]


@pytest.fixture(autouse=True)
def stoppable():
    """Started in the background, Python ignores SIGINT, and so would `train`."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


def small_net(width=16):
    torch.manual_seed(0)
    return VelocityMLP(width, depth=2)


def run(net=None, loss=flow_matching_loss, data=SPIRAL.sample, times=one_time, noise=None, **arguments):
    return train(net or small_net(), loss, data, times, noise, **{"n_steps": 60, "batch_size": 64, **arguments})


def same(a, b):
    return all(x.equal(y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


def signalling(number, at):
    """SPIRAL.sample, which in its at-th call sends this process a signal: in the middle of a step."""
    calls = []

    class Source:
        __repr__ = SPIRAL.__repr__

        def sample(self, n, generator):
            calls.append(n)
            if len(calls) == at:
                os.kill(os.getpid(), number)
            return SPIRAL.sample(n, generator)

    return Source().sample


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [37, 60])
def test_a_stop_is_obeyed_after_the_step_and_the_run_goes_on_to_the_same_result(number, at, tmp_path):
    path, usual = tmp_path / "run.pt", signal.getsignal(number)
    whole, losses = run()
    with pytest.raises(KeyboardInterrupt, match=f"after step {at} of 60.*resume="):
        run(data=signalling(number, at), checkpoint=path)
    rest, again = run(resume=path)
    assert same(whole, rest)
    assert losses.equal(again)
    assert signal.getsignal(number) is usual


def test_a_second_stop_while_the_first_one_saves_changes_nothing(tmp_path, monkeypatch):
    path, save = tmp_path / "run.pt", torch.save

    def slow_save(state, file):
        file.write(b"half")
        os.kill(os.getpid(), signal.SIGINT)
        file.seek(0)
        save(state, file)

    monkeypatch.setattr(torch, "save", slow_save)
    with pytest.raises(KeyboardInterrupt, match="after step 37"):
        run(data=signalling(signal.SIGINT, 37), checkpoint=path)
    assert same(run()[0], run(resume=path)[0])


def test_a_second_stop_within_the_same_step_acts_at_once():
    def data(n, generator):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not reached")

    with pytest.raises(KeyboardInterrupt):
        run(data=data)


def test_a_kill_while_saving_leaves_the_last_checkpoint_whole(tmp_path):
    path = tmp_path / "deep" / "run.pt"
    program = f"""
import os, signal, torch
from test_checkpoints import run
save, saved = torch.save, []

def killed_save(state, file):
    saved.append(1)
    if len(saved) == 2:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(state, file)

torch.save = killed_save
run(checkpoint={str(path)!r}, checkpoint_every=20)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=os.path.dirname(__file__), capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert torch.load(path, weights_only=True)["step"] == 20
    assert same(run()[0], run(resume=path)[0])


def test_a_checkpoint_is_replaced_and_not_written_over(tmp_path):
    run(checkpoint=tmp_path / "run.pt", checkpoint_every=60)
    os.link(tmp_path / "run.pt", tmp_path / "same file")
    before = (tmp_path / "same file").read_bytes()
    run(seed=1, checkpoint=tmp_path / "run.pt", checkpoint_every=60)
    assert (tmp_path / "same file").read_bytes() == before
    assert (tmp_path / "run.pt").read_bytes() != before


def test_a_save_that_fails_leaves_no_litter(tmp_path, monkeypatch):
    def failing_save(state, file):
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", failing_save)
    with pytest.raises(OSError, match="no space left"):
        run(checkpoint=tmp_path / "run.pt", checkpoint_every=20)
    assert list(tmp_path.iterdir()) == []


def test_runs_stopped_without_a_checkpoint_do_not_overwrite_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, at in (("interrupted.pt", 20), ("interrupted-2.pt", 40)):
        with pytest.raises(KeyboardInterrupt, match=f"resume='{path}'"):
            run(data=signalling(signal.SIGINT, at))
    assert [torch.load(path, weights_only=True)["step"] for path in ("interrupted.pt", "interrupted-2.pt")] == [20, 40]
    with pytest.raises(KeyboardInterrupt, match="step 25.*resume='interrupted.pt'"):  # the same run: its own file
        run(data=signalling(signal.SIGINT, 5), resume="interrupted.pt")
    assert same(run()[0], run(resume="interrupted.pt")[0])


def other_loss(net, x, eps, t):
    return 2 * flow_matching_loss(net, x, eps, t)


def with_average(net, x, eps, t, average=None):
    return flow_matching_loss(net, x, eps, t)


def scaled(factor):
    def loss(net, x, eps, t):
        return factor * flow_matching_loss(net, x, eps, t)

    return loss


class OtherNames(VelocityMLP):
    """The same shapes under another name."""

    def __init__(self):
        super().__init__(16, 2)
        self.layers = self.net
        del self.net

    def forward(self, z, t):
        return self.layers(torch.cat([z, t], dim=1))


OtherNames.__name__ = "VelocityMLP"
OTHERS = {
    "loss": (dict(loss=other_loss), "flow_matching_loss.*other_loss"),
    "part of a loss": (dict(loss=functools.partial(flow_matching_loss)), "flow_matching_loss #.* with"),
    "names in a network": (dict(net=OtherNames()), "not a checkpoint.*RuntimeError"),
    "learning rate": (dict(lr=0.1), "'lr': 0.003.*'lr': 0.1"),
    "Muon's learning rate": (dict(hidden_lr=0.1), "'hidden_lr': 0.015.*'hidden_lr': 0.1"),
    "memory": (dict(ema_decay=0.9), "'ema_decay': 0.999.*'ema_decay': 0.9"),
    "batch": (dict(batch_size=32), "'batch_size': 64.*'batch_size': 32"),
    "distribution": (dict(data=DISTRIBUTIONS["crescent"].sample), "100 means.*48 means"),
    "kind of distribution": (dict(data=DISTRIBUTIONS["checkerboard"].sample), "100 means.*Checkerboard"),
    "times": (dict(net=MeanVelocityMLP(16, 2), times=two_times), "one_time.*two_times"),
    "noise": (dict(noise=SPIRAL.sample), "noise.*None.*100 means"),
    "width": (dict(net=small_net(width=32)), "16×3.*32×3"),
    "network": (dict(net=MeanVelocityMLP(16, 2)), "VelocityMLP.*MeanVelocityMLP"),
    "average": (dict(loss=with_average, with_average=True), "'with_average': False.*'with_average': True"),
    "seed": (dict(seed=1), "'seed': 0.*'seed': 1"),
    "length": (dict(n_steps=70), "'n_steps': 60.*'n_steps': 70"),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "run.pt"
    run(checkpoint=path, checkpoint_every=30)
    return path


@pytest.mark.parametrize("other", OTHERS)
def test_the_checkpoint_of_another_run_is_refused_with_both_sides_named(other, checkpoint):
    arguments, message = OTHERS[other]
    before = checkpoint.read_bytes()
    with pytest.raises(ValueError, match=message) as refusal:
        run(**arguments, resume=checkpoint)
    assert len(str(refusal.value)) < 700
    assert checkpoint.read_bytes() == before


def test_what_is_no_checkpoint_is_refused_and_not_executed(checkpoint, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    files = {name: tmp_path / name for name in ("text", "truncated", "weights", "evil", "empty")}
    files["text"].write_text("loss,step\n1,2\n")
    files["truncated"].write_bytes(checkpoint.read_bytes()[:2000])
    torch.save(load_pretrained("spiral", "mean_flow").state_dict(), files["weights"])
    torch.save(Evil(), files["evil"])
    files["empty"].touch()
    for path in [*files.values(), mfutils_methods.weights_file("spiral", "mean_flow")]:
        before = path.read_bytes()
        with pytest.raises(ValueError, match=f"{path.name} is not a checkpoint"):
            run(resume=path)
        assert path.read_bytes() == before
    assert not (tmp_path / "executed").exists()
    with pytest.raises(FileNotFoundError):
        run(resume=tmp_path / "nothing here.pt")


@pytest.mark.parametrize(("one", "other"), [
    (lambda net, x, eps, t: 1.0 * flow_matching_loss(net, x, eps, t),
     lambda net, x, eps, t: 2.0 * flow_matching_loss(net, x, eps, t)),
    (scaled(1.0), scaled(2.0)),
    (functools.partial(with_average, average=None), functools.partial(with_average, average=1)),
], ids=["lambdas", "closures", "partials"])
def test_two_losses_of_one_name_are_told_apart(one, other, tmp_path):
    run(loss=one, checkpoint=tmp_path / "run.pt", checkpoint_every=60)
    run(loss=one, resume=tmp_path / "run.pt")
    with pytest.raises(ValueError, match="was saved by a run with"):
        run(loss=other, resume=tmp_path / "run.pt")


def test_a_source_has_the_same_name_in_every_process():
    program = """
import functools
from mfutils import sample_r_t, squared_uniform
from mfutils.checkpoints import name_of
from test_checkpoints import scaled
print(name_of(functools.partial(sample_r_t, draw=squared_uniform)), name_of(scaled(2.0)))
"""
    said = {subprocess.run([sys.executable, "-c", program], cwd=os.path.dirname(__file__), stdout=subprocess.PIPE,
                           text=True, check=True).stdout for _ in range(2)}
    assert len(said) == 1
    assert "0x" not in said.pop()


def test_numpys_numbers_make_a_checkpoint_that_can_be_resumed(tmp_path):
    settings = dict(n_steps=np.int64(60), batch_size=np.int64(64), seed=np.int64(0), lr=np.float64(3e-3),
                    ema_decay=np.float64(0.999))
    run(**settings, checkpoint=tmp_path / "run.pt", checkpoint_every=np.int64(30))
    assert same(run()[0], run(**settings, resume=tmp_path / "run.pt")[0])


def test_a_stop_that_was_to_be_ignored_is_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert same(run()[0], run(data=signalling(signal.SIGINT, 20))[0])


def test_one_checkpoint_for_each_time_and_the_moving_average_in_it(tmp_path):
    whole, _ = run(checkpoint=tmp_path / "{step}.pt", checkpoint_every=20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20.pt", "40.pt", "60.pt"]
    assert same(load_average(tmp_path / "60.pt", whole), whole)
    assert not same(load_average(tmp_path / "20.pt", whole), whole)
    assert same(run(checkpoint=tmp_path / "{step}.pt", checkpoint_every=20, resume=tmp_path / "40.pt")[0], whole)


@pytest.mark.parametrize("content", [b"no checkpoint", None], ids=["foreign", "of another network"])
def test_a_file_without_this_networks_average_is_refused(tmp_path, content):
    path = tmp_path / "20.pt"
    run(checkpoint=path, checkpoint_every=20)
    if content:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="holds no moving average of such a VelocityMLP"):
        load_average(path, VelocityMLP(width=3))
