"""A run that is stopped, killed, or stopped twice goes on from where it was; no file is mistaken for another's."""

import functools
import io
import os
import re
import signal
import subprocess
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from mfutils import (
    DISTRIBUTIONS,
    MeanVelocityMLP,
    VelocityMLP,
    flow_matching_loss,
    load_average,
    load_pretrained,
    one_time,
    train,
    two_times,
)
from mfutils import methods as mfutils_methods

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
    net = small_net() if net is None else net
    return train(net, loss, data, times, noise, **{"n_steps": 60, "batch_size": 64, **arguments})


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


@pytest.mark.parametrize("error", [OSError("no space left"), RuntimeError("PytorchStreamWriter failed")])
def test_a_full_disk_is_a_warning_and_costs_nothing(error, tmp_path, monkeypatch):
    whole, _ = run()

    def failing_save(state, file):
        file.write(b"half")
        raise error

    monkeypatch.setattr(torch, "save", failing_save)
    with pytest.warns(UserWarning, match=f"could not be written.*{error}.*goes on"):
        net, _ = run(checkpoint=tmp_path / "run.pt", checkpoint_every=20)
    assert same(net, whole)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt, match="could not be saved"), pytest.warns(UserWarning, match="written"):
        run(data=signalling(signal.SIGINT, 20), checkpoint=tmp_path / "run.pt")
    assert list(tmp_path.iterdir()) == []


def test_runs_stopped_without_a_checkpoint_do_not_overwrite_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = []
    for at in (20, 40):
        monkeypatch.setattr("time.strftime", lambda text, at=at: text.replace("%S", str(at)))  # a later second
        with pytest.raises(KeyboardInterrupt) as stop:
            run(data=signalling(signal.SIGINT, at))
        paths.append(re.search("resume='(.*)'", str(stop.value))[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(paths)
    assert [torch.load(path, weights_only=True)["step"] for path in paths] == [20, 40]
    with pytest.raises(KeyboardInterrupt, match=f"step 25.*resume='{paths[0]}'"):  # the same run: its own file
        run(data=signalling(signal.SIGINT, 7), resume=paths[0])  # two draws are for the first batch
    assert same(run()[0], run(resume=paths[0])[0])


def other_loss(net, x, eps, t):
    return 2 * flow_matching_loss(net, x, eps, t)


def with_average(net, x, eps, t, average=None):
    return flow_matching_loss(net, x, eps, t)


def scaled(factor):
    def loss(net, x, eps, t):
        return factor * flow_matching_loss(net, x, eps, t)

    return loss


def scaled_by(net, x, eps, t, factor=1.0):
    return factor * flow_matching_loss(net, x, eps, t)


def detached(loss):
    """The same number with half the gradient."""
    return (loss + loss.detach()) / 2


def points_around(centre):
    """A source of a few thousand points that all lie near one place."""
    points = centre + 0.01 * torch.randn(5000, 2, generator=torch.Generator().manual_seed(0))
    return lambda n, generator: points[torch.randint(len(points), (n,), generator=generator)]


class OtherNames(VelocityMLP):
    """The same shapes under another name."""

    def __init__(self):
        super().__init__(16, 2)
        self.layers = self.net
        del self.net

    def forward(self, z, t):
        return self.layers(torch.cat([z, t], dim=1))


OtherNames.__name__ = "VelocityMLP"
FIRST_BATCH = r"loss and slope on the first batch.*: [\d.]+, [\d.]+ there, [\d.]+, [\d.]+ here"
OTHERS = {
    "loss": (dict(loss=other_loss), FIRST_BATCH),
    "lambda": (dict(loss=lambda net, x, eps, t: 1.1 * flow_matching_loss(net, x, eps, t)), FIRST_BATCH),
    "what a loss closes over": (dict(loss=scaled(1.1)), FIRST_BATCH),
    "what is detached": (dict(loss=lambda net, x, eps, t: detached(flow_matching_loss(net, x, eps, t))), FIRST_BATCH),
    "default argument": (dict(loss=functools.partial(scaled_by, factor=1.1)), FIRST_BATCH),
    "distribution": (dict(data=DISTRIBUTIONS["crescent"].sample), FIRST_BATCH),
    "kind of distribution": (dict(data=DISTRIBUTIONS["checkerboard"].sample), FIRST_BATCH),
    "points": (dict(data=points_around(7.0)), FIRST_BATCH),
    "times": (dict(times=lambda n, generator: one_time(n, generator) ** 2), FIRST_BATCH),
    "noise": (dict(noise=SPIRAL.sample), FIRST_BATCH),
    "name": (dict(name="another"), "name: None there, another here"),
    "names in a network": (dict(net=OtherNames()), r"net.0.weight is float32 \(16, 3\) there, absent here"),
    "learning rate": (dict(lr=0.1), "lr: 0.003 there, 0.1 here"),
    "Muon's learning rate": (dict(hidden_lr=0.1), "hidden_lr: 0.015 there, 0.1 here"),
    "memory": (dict(ema_decay=0.9), "ema_decay: 0.999 there, 0.9 here"),
    "batch": (dict(batch_size=32), "batch_size: 64 there, 32 here"),
    "width": (dict(net=small_net(width=32)), r"float32 \(16, 3\) there, float32 \(32, 3\) here"),
    "precision": (dict(net=small_net().double()), r"float32 \(16, 3\) there, float64 \(16, 3\) here"),
    "network": (dict(net=MeanVelocityMLP(16, 2), times=two_times),
                r"VelocityMLP: net.0.weight is float32 \(16, 3\) there, float32 \(16, 4\) here"),
    "average": (dict(loss=with_average, with_average=True), "with_average: False there, True here"),
    "seed": (dict(seed=1), "seed: 0 there, 1 here"),
    "length": (dict(n_steps=70), "n_steps: 60 there, 70 here"),
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
    assert len(str(refusal.value)) < 300
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


def test_the_same_run_is_known_again_whatever_its_functions_are_called(tmp_path):
    """Under another Python, or from another cell: a run is told by its numbers and not by its code."""
    whole, _ = run()
    run(checkpoint=tmp_path / "run.pt", checkpoint_every=30)
    torch.set_printoptions(precision=2)
    again, _ = run(net=VelocityMLP(16, 2), loss=lambda net, x, eps, t: scaled_by(net, x, eps, t),  # other weights too
                   data=lambda n, generator: SPIRAL.sample(n, generator), resume=tmp_path / "run.pt")
    torch.set_printoptions(profile="default")
    assert same(whole, again)


def test_a_source_that_draws_from_elsewhere_can_be_resumed_nevertheless(tmp_path):
    def data(n, generator):
        return torch.randn(n, 2)

    def loss(net, x, eps, t):
        return flow_matching_loss(net, x + 0.01 * torch.randn_like(x), eps, t)

    before = torch.get_rng_state()
    run(loss=loss, data=data, checkpoint=tmp_path / "run.pt", checkpoint_every=30)
    drawn = torch.get_rng_state()
    torch.set_rng_state(before)
    run(loss=loss, data=data)
    assert torch.get_rng_state().equal(drawn)  # a checkpoint costs no draws
    run(loss=loss, data=data, resume=tmp_path / "run.pt")


def test_saving_draws_no_data(tmp_path):
    """A source may have as many batches as the run has steps."""
    batches = iter([SPIRAL.sample(64) for _ in range(60)])
    run(data=lambda n, generator: next(batches), checkpoint=tmp_path / "run.pt", checkpoint_every=20)


def test_a_loss_that_can_be_asked_once_a_step_only_costs_no_run(tmp_path):
    weights = iter([1.0] * 60)
    run(loss=lambda net, x, eps, t: next(weights) * flow_matching_loss(net, x, eps, t), checkpoint_every=60,
        checkpoint=tmp_path / "run.pt")
    assert torch.load(tmp_path / "run.pt", weights_only=True)["step"] == 60


def test_resuming_makes_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        run(resume=tmp_path / "misspelt" / "run.pt")
    assert not (tmp_path / "misspelt").exists()


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run.pt").symlink_to(tmp_path / "disk" / "run.pt")
    run(checkpoint=tmp_path / "run.pt", checkpoint_every=60)
    assert (tmp_path / "run.pt").is_symlink()
    assert (tmp_path / "disk" / "run.pt").is_file()


class WithModule(torch.nn.Module):
    """Its attribute is called what a parallel network calls the one inside."""

    def __init__(self):
        super().__init__()
        self.module, self.scale = small_net(), torch.nn.Linear(2, 2)

    def forward(self, z, t):
        return self.scale(self.module(z, t))


def test_a_part_called_module_is_a_part(tmp_path):
    torch.manual_seed(1)
    whole, _ = run(net=WithModule(), checkpoint=tmp_path / "run.pt", checkpoint_every=30)
    assert same(load_average(tmp_path / "run.pt", WithModule()), whole)
    assert same(run(net=WithModule(), resume=tmp_path / "run.pt")[0], whole)


@pytest.mark.parametrize("there", ["~/deep/run.pt", "$MEAN_FLOWS_SCRATCH/deep/run.pt"])
def test_paths_are_written_as_in_a_shell(there, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MEAN_FLOWS_SCRATCH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    whole, _ = run(checkpoint=there, checkpoint_every=30)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert same(run(resume=there)[0], whole)
    assert same(load_average(there, whole), whole)


def test_a_place_where_nothing_can_be_written_is_noticed_before_the_first_step(tmp_path):
    (tmp_path / "file").touch()
    drawn = []

    def data(n, generator):
        drawn.append(n)
        return SPIRAL.sample(n, generator)

    for path, reason in ((tmp_path, "it is a folder"), (tmp_path / "file" / "run.pt", "Not a directory|File exists"),
                         (".", "it is a folder"), (tmp_path / "$NOT_SET_ANYWHERE" / "run.pt", "variable in it is not")):
        with pytest.raises(ValueError, match=reason):
            run(data=data, checkpoint=path)
    assert not drawn


def test_the_number_of_steps_may_be_in_the_name_of_a_folder(tmp_path):
    run(checkpoint=tmp_path / "{step}" / "run.pt", checkpoint_every=30)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["30", "60"]


def test_compiled_or_plain_a_checkpoint_is_the_same(tmp_path):
    whole, _ = run(net=torch.compile(small_net(), backend="eager"), checkpoint=tmp_path / "run.pt", checkpoint_every=30)
    assert same(load_average(tmp_path / "run.pt", small_net()), whole)
    assert same(run(resume=tmp_path / "run.pt")[0], whole)
    assert same(run(net=torch.nn.DataParallel(small_net()), resume=tmp_path / "run.pt")[0], whole)


def test_a_stop_is_one_line_in_a_notebook(tmp_path, monkeypatch):
    shell = InteractiveShell.instance()
    monkeypatch.chdir(tmp_path)
    shell.user_ns["stopped"] = lambda: run(data=signalling(signal.SIGINT, 20))
    said = io.StringIO()
    with redirect_stdout(said):
        result = shell.run_cell("stopped()")
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert re.fullmatch("Stopped after step 20 of 60; the work is kept. To go on, make the same call with "
                        r"resume='interrupted-\S+\.pt'\.\n", said.getvalue())


def test_a_stop_while_the_last_step_is_reported_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def slow_report(bar, loss, done, *_):
        if done == 60:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as slow:
        slow.setattr("mfutils.training.report", slow_report)
        with pytest.raises(KeyboardInterrupt, match="after step 60 of 60.*resume='interrupted"):
            run()
    (kept,) = tmp_path.iterdir()
    assert same(run(resume=kept)[0], run()[0])


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
    with pytest.raises(ValueError, match="is not a checkpoint|another network than this VelocityMLP"):
        load_average(path, VelocityMLP(width=3))
