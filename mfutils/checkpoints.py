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
    path = Path(os.path.realpath(expanded(path)))  # of a link, what it leads to
    folder = next(parent for parent in path.parents if "{step}" not in str(parent))
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        if "$" in str(folder) and not folder.exists():
            raise FileNotFoundError("a variable in it is not set")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"room?")
    except OSError as error:
        raise ValueError(f"no checkpoint can be written to {path}: {error}. "
                         "Give the name of a file in a folder that you may write to.") from None
    return path


def save(path, run, identity, loss):
    """Write a run to `path`, atomically: the old file survives a failed save. "{step}" in the name is the number of
    steps done. Returns the path; or None, with a warning, where it cannot be written."""
    path = Path(str(path).replace("{step}", str(run.done)))
    content = dict(identity=identity, step=run.done, losses=run.losses, generator=run.generator.get_state(),
                   probe=probed(run, loss), net=bare(run.net).state_dict(),
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


def keep(run, identity, loss):
    """Write a run to a new file in the working directory or, where that cannot be, in the one for temporary files."""
    name = time.strftime(f"interrupted-%Y%m%d-%H%M%S-{os.getpid()}.pt")
    return save(name, run, identity, loss) or save(Path(tempfile.gettempdir(), name), run, identity, loss)


def load(path, run, identity, loss, draw):
    """Set a run to what `path` holds. Nothing in the file is executed.

    draw: draw() draws the run's first batch.
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
    run.done, run.first_batch = saved["step"], draw()
    if not all(a.equal(b) for a, b in zip(run.first_batch, draw())):
        run.first_batch = None  # what is random in it does not come from the generator: nothing can be compared
    was, now = saved["probe"], probed(run, loss)
    if was and now and any(abs(a - b) > 1e-3 * abs(a) + 1e-6 for a, b in zip(was, now)):
        what = "loss and slope on the first batch (another loss, or other data, times or noise)"
        refuse_others(path, *({what: "{:.6g}, {:.6g}".format(*side)} for side in (was, now)))


def probed(run, loss):
    """The loss of the run's network on the run's first batch, by loss(net, average, batch), and the size of its
    gradient. A checkpoint keeps them: a run with another loss, other data, times or noise finds other numbers. None
    where they do not repeat."""
    if run.first_batch is None:
        return None
    run.net.eval()  # no dropout, and no statistics that change
    found = []
    try:
        with torch.random.fork_rng(devices=[]):
            for _ in range(2):
                value = loss(run.net, run.average, run.first_batch)
                slopes = torch.autograd.grad(value, [*run.net.parameters()], allow_unused=True)
                size = sum(slope.square().sum().item() for slope in slopes if slope is not None) ** 0.5
                found.append([value.item(), size])
    except Exception:  # a loss that cannot be asked once more must not cost the run that is being saved
        return None
    finally:
        run.net.train()
    return found[0] if found[0] == found[1] else None


def read(path):
    """What `train` saved. Raises ValueError for any other file."""
    try:
        saved = torch.load(expanded(path), map_location="cpu", weights_only=True)
        if not isinstance(saved, dict) or "probe" not in saved:
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
    if "_orig_mod" in net._modules:
        return bare(net._orig_mod)
    parallel = isinstance(net, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel))
    return bare(net.module) if parallel else net


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
