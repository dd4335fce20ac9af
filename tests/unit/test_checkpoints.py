"""A run that is stopped, killed, or stopped twice goes on from where it was; no file is mistaken for another's."""

import functools
import os
import signal

import pytest
import torch

from mfutils import DISTRIBUTIONS, MeanVelocityMLP, VelocityMLP, flow_matching_loss, load_pretrained, train
from mfutils import methods as mfutils_methods
from mfutils.methods import one_time, two_times

SPIRAL = DISTRIBUTIONS["spiral"]


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


def test_a_kill_while_saving_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch):
    path, save, saved = tmp_path / "deep" / "run.pt", torch.save, []

    def killed_save(state, file):
        saved.append(1)
        if len(saved) == 2:
            file.write(b"half")
            raise SystemExit("killed")
        save(state, file)

    monkeypatch.setattr(torch, "save", killed_save)
    with pytest.raises(SystemExit):
        run(checkpoint=path, checkpoint_every=20)
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]
    assert torch.load(path, weights_only=True)["step"] == 20
    assert same(run()[0], run(resume=path)[0])


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


OTHERS = {
    "loss": (dict(loss=other_loss), "flow_matching_loss.*other_loss"),
    "part of a loss": (dict(loss=functools.partial(flow_matching_loss)), "loss"),
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
