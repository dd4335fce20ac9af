"""Checkpoints are written whole or not at all, and read back only into a run like the one that wrote them; a stop waits
for the end of the step."""

import copy
import os
import signal
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch


def expanded(path) -> Path:
    """`path` with ~ and $VARIABLES filled in, as a shell does."""
    return Path(os.path.expandvars(Path(path).expanduser()))


def writable(path) -> Path:
    """`path`, expanded; its folder is made. Raises ValueError where nothing can be written there."""
    path = expanded(path)
    folder = next(parent for parent in path.parents if "{step}" not in str(parent))
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"room?")
    except OSError as error:
        raise ValueError(f"no checkpoint can be written to {path}: {error}. "
                         "Give the name of a file in a folder that you may write to.") from None
    return path


def save(path, run, identity, first_loss):
    """Write a run to `path`, atomically: the old file survives a failed save. "{step}" in the name is the number of
    steps done. Returns the path; or None, with a warning, where it cannot be written."""
    path = Path(str(path).replace("{step}", str(run.done)))
    content = dict(identity=identity, step=run.done, losses=run.losses, generator=run.generator.get_state(),
                   first_loss=probed(run, first_loss), net=bare(run.net).state_dict(),
                   ema=bare(run.average).state_dict(), n_averaged=run.ema.n_averaged,
                   others=[part.state_dict() for part in (*run.optimizers, *run.schedules)])
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


def keep(run, identity, first_loss):
    """Write a run to a new file in the working directory or, where that cannot be, in the one for temporary files."""
    name = time.strftime(f"interrupted-%Y%m%d-%H%M%S-{os.getpid()}.pt")
    return save(name, run, identity, first_loss) or save(Path(tempfile.gettempdir(), name), run, identity, first_loss)


def load(path, run, identity, first_loss):
    """Set a run to what `path` holds. Nothing in the file is executed.

    Raises ValueError where the file is no checkpoint or is one of another run.
    """
    saved = read(path)
    refuse_others(path, saved["identity"], identity)
    put(path, saved["net"], run.net)
    put(path, saved["ema"], run.average)
    run.ema.n_averaged.copy_(saved["n_averaged"])
    for part, state in zip((*run.optimizers, *run.schedules), saved["others"]):
        part.load_state_dict(state)
    run.losses.copy_(saved["losses"])
    run.generator.set_state(saved["generator"].cpu())
    run.done, was, now = saved["step"], saved["first_loss"], probed(run, first_loss)
    if None not in (was, now) and abs(was - now) > 1e-3 * abs(was) + 1e-6:
        what = "loss on the first batch (another loss, or other data, times or noise)"
        refuse_others(path, {what: f"{was:.6g}"}, {what: f"{now:.6g}"})


def probed(run, first_loss):
    """The loss of the run's network on the run's first batch, by first_loss(net, average). A checkpoint keeps it: a run
    with another loss, other data, times or noise finds another number. None where the number does not repeat, since
    what is random there does not come from the generator."""
    run.net.eval()  # no dropout, and no statistics that change
    with torch.random.fork_rng(devices=[]):
        one, two = (first_loss(run.net, run.average).item() for _ in range(2))
    run.net.train()
    return one if one == two else None


def read(path):
    """What `train` saved. Raises ValueError for any other file."""
    try:
        saved = torch.load(expanded(path), map_location="cpu", weights_only=True)
        if not isinstance(saved, dict) or "first_loss" not in saved:
            raise TypeError("something else")
        return saved
    except OSError:
        raise
    except Exception as error:  # whatever a foreign or truncated file makes torch.load say
        raise ValueError(f"{path} is not a checkpoint written by `train` ({type(error).__name__}). Give the file that "
                         "the message of the stopped run named, or start afresh without resume.") from error


def refuse_others(path, theirs, ours):
    """Raise ValueError where two descriptions of a run differ, with both sides."""
    differ = [f"{key}: {theirs.get(key)} there, {ours.get(key)} here"
              for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
    if differ:
        raise ValueError(f"{path} was saved by another run. {'; '.join(differ)}. "
                         "Resume with the same arguments, or start afresh without resume.")


def bare(net):
    """The network inside a compiled one, or inside one that runs in parallel: its parameters have their own names."""
    return bare(net._orig_mod) if hasattr(net, "_orig_mod") else getattr(net, "module", net)


def put(path, state, net):
    """Load a saved state into a network whose parameters have the same names, dtypes and shapes; else ValueError."""
    theirs, ours = ({name: f"{str(value.dtype)[6:]} {tuple(value.shape)}" for name, value in part.items()}
                    for part in (state, bare(net).state_dict()))
    for name in {**theirs, **ours}:
        if theirs.get(name) != ours.get(name):
            raise ValueError(f"{path} holds another network than this {type(bare(net)).__name__}: {name} is "
                             f"{theirs.get(name, 'absent')} there, {ours.get(name, 'absent')} here.")
    bare(net).load_state_dict(state)


def load_average(path, net):
    """The moving-average network that a checkpoint holds: a copy of `net` with its weights, on the CPU, in evaluation
    mode. Raises ValueError where the file is no checkpoint of `train` with such a network."""
    average = copy.deepcopy(net).cpu().eval()
    put(path, read(path)["ema"], average)
    return average


class Stopped(KeyboardInterrupt):
    """A stop that was obeyed. In a notebook it shows as one line and not as a traceback."""

    def _render_traceback_(self):
        return [str(self)]


@contextmanager
def stop_between_steps():
    """Yield an object whose `asked` becomes true by Ctrl-C, Jupyter's stop button, or SIGTERM, so that no step is cut
    in half. A second one acts at once, except while `saving` is true. Signals ignored on entry stay ignored."""
    stop, numbers = Stop(), (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread only
        return
    usual = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    try:
        for number in usual:
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
