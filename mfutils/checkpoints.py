"""Checkpoints are written whole or not at all, and read back only into a run like the one that wrote them; a stop waits
for the end of the step."""

import copy
import itertools
import os
import signal
import tempfile
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch


def expanded(path) -> Path:
    """`path` with ~ and $VARIABLES filled in, as the shell does."""
    return Path(os.path.expandvars(Path(path).expanduser()))


def writable(path):
    """`path`, expanded, or None for None; its folder is made. Raises ValueError where nothing can be written there."""
    if path is None:
        return None
    path = expanded(path)
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        folder = next(parent for parent in path.parents if "{step}" not in str(parent))
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"room?")
    except OSError as error:
        raise ValueError(f"no checkpoint can be written to {path}: {error}. "
                         "Give the name of a file in a folder that you may write to.") from None
    return path


def probed(run, first_loss):
    """The loss of the run's network on the run's first batch, by first_loss(net, average). A checkpoint keeps it: a run
    with another loss, other data, times or noise finds another number. None where the number does not repeat, since
    what is random there does not come from the generator."""
    run.net.eval()  # no dropout, and no statistics that change
    with torch.random.fork_rng(devices=[]):
        one, two = (first_loss(run.net, run.average).item() for _ in range(2))
    run.net.train()
    return one if one == two else None


def save(path, run, identity, first_loss):
    """Write a run to `path`, atomically: the old file survives a failed save. "{step}" in the name is the number of
    steps done. Returns the path; or None, with a warning, where it cannot be written."""
    path = Path(str(path).replace("{step}", str(run.done)))
    content = dict(identity=identity, network=shapes(run.net), step=run.done, losses=run.losses,
                   first_loss=probed(run, first_loss), generator=run.generator.get_state(),
                   net=plain(run.net), ema=plain(run.average), n_averaged=run.ema.n_averaged,
                   optimizers=[part.state_dict() for part in run.optimizers],
                   schedules=[part.state_dict() for part in run.schedules])
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        return path
    except (OSError, RuntimeError) as error:  # the second is what torch.save makes of the first
        warnings.warn(f"the checkpoint {path} could not be written ({error}); training goes on.", stacklevel=3)
        return None
    finally:
        unfinished.unlink(missing_ok=True)
        if path.exists() and path.stat().st_size == 0:  # `free_path` made it
            path.unlink()


def load(path, run, identity, first_loss):
    """Set a run to what `path` holds. Nothing in the file is executed.

    Raises ValueError where the file is no checkpoint or is one of another run.
    """
    saved = read(path, "identity", "network", "net", "ema", "optimizers", "schedules", "first_loss")
    ours, theirs = {**identity, "network": shapes(run.net)}, {**saved["identity"], "network": saved["network"]}
    differ = {key: (theirs.get(key), ours.get(key)) for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)}
    if "network" in differ:
        differ["network"] = difference(*differ["network"])
    refuse(path, differ)
    fill(run.net, saved["net"])
    fill(run.average, saved["ema"])
    run.ema.n_averaged.copy_(saved["n_averaged"])
    for part, state in zip([*run.optimizers, *run.schedules], [*saved["optimizers"], *saved["schedules"]]):
        part.load_state_dict(state)
    run.losses.copy_(saved["losses"])
    run.generator.set_state(saved["generator"].cpu())
    run.done = saved["step"]
    was, now = saved["first_loss"], probed(run, first_loss)
    if None not in (was, now) and abs(was - now) > 1e-3 * abs(was) + 1e-6:
        refuse(path, {"loss on the first batch (another loss, or other data, times or noise)": (was, now)})


def read(path, *keys):
    """What `train` saved. Raises ValueError for any other file."""
    try:
        saved = torch.load(expanded(path), map_location="cpu", weights_only=True)
        for key in keys:
            saved[key]
        return saved
    except OSError:
        raise
    except Exception as error:  # whatever a foreign or truncated file makes torch.load say
        reason = f"it has no {error}" if isinstance(error, KeyError) else type(error).__name__
        raise ValueError(f"{path} is not a checkpoint written by `train` ({reason}). Give the file that the message of "
                         "the stopped run named, or start afresh without resume.") from error


def refuse(path, differ):
    if differ:
        lines = "; ".join(f"{key}: {was} there, {now} here" for key, (was, now) in differ.items())
        raise ValueError(f"{path} was saved by another run. {lines}. "
                         "Resume with the same arguments, or start afresh without resume.")


def load_average(path, net):
    """The moving-average network that a checkpoint holds: a copy of `net` with its weights, on the CPU, in evaluation
    mode. Raises ValueError where the file is no checkpoint of `train` with such a network."""
    saved, average = read(path, "ema"), copy.deepcopy(net).cpu().eval()
    theirs = {name: shape_of(value) for name, value in saved["ema"].items()}
    ours = {name: shape_of(value) for name, value in plain(average).items()}
    if theirs != ours:
        was, now = difference(theirs, ours)
        raise ValueError(f"{path} holds the moving average of another network than this {type(net).__name__}: "
                         f"{was} there, {now} here. Give a network of the shape trained there.")
    fill(average, saved["ema"])
    return average


def plain(net):
    """The state of a network under the names it has when neither compiled nor wrapped to run in parallel."""
    net = net.module if isinstance(net, torch.nn.DataParallel) else net
    return {name.replace("_orig_mod.", ""): value for name, value in net.state_dict().items()}


def fill(net, state):
    """Load a state that `plain` gave."""
    net = net.module if isinstance(net, torch.nn.DataParallel) else net
    net.load_state_dict({name: state[name.replace("_orig_mod.", "")] for name in net.state_dict()})


def shapes(net):
    """What tells one network from another: the names of its parameters and buffers, with dtype and shape."""
    return {name: shape_of(value) for name, value in plain(net).items()}


def shape_of(value):
    return f"{str(value.dtype).removeprefix('torch.')} {'×'.join(map(str, value.shape))}".strip()


def difference(theirs, ours):
    """The first entry in which two dicts of shapes differ, as a text of each."""
    name = next(name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name))
    return tuple(f"{name} {side[name]}" if name in side else f"no {name}" for side in (theirs, ours))


def free_path(name="interrupted.pt"):
    """A file of this name, or with a number before its ending, that no other run has. It is created empty, in the
    working directory or, where that cannot be written to, in the one for temporary files."""
    for folder in (Path(), Path(tempfile.gettempdir())):
        for k in itertools.count(1):
            path = folder / (name if k == 1 else f"{Path(name).stem}-{k}{Path(name).suffix}")
            try:
                path.touch(exist_ok=False)
                return path
            except FileExistsError:
                continue
            except OSError:  # nobody may write here
                break
    return path


class Stopped(KeyboardInterrupt):
    """A stop that was obeyed. In a notebook it shows as one line and not as a traceback."""

    def __init__(self, done, n_steps, path):
        kept = (f"the work is kept. To go on, make the same call with resume={str(path)!r}" if path else
                "it could not be saved: no disk has room")
        super().__init__(f"Stopped after step {done} of {n_steps}; {kept}.")

    def _render_traceback_(self):
        return [str(self)]


@contextmanager
def stop_between_steps():
    """Yield an object whose `asked` becomes true by Ctrl-C, Jupyter's stop button, or SIGTERM, so that no step is cut
    in half. A second one acts at once, except while `saving` is true. Signals ignored on entry stay ignored."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread only
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, handler in usual.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield stop
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


class Stop:
    """A signal handler that remembers."""

    asked = saving = False

    def __call__(self, signum, frame):
        if self.asked and not self.saving:
            raise KeyboardInterrupt
        self.asked = True
