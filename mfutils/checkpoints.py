"""Nothing is lost: a run is written down whole or not at all, read back only into the run that wrote it, and stopped
between two steps."""

import functools
import itertools
import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import torch


def save(path, recipe, step, history, generator, parts):
    """Write a run to `path`, through a temporary file beside it: what was there stays until the new one is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    states = {name: part.state_dict() for name, part in parts.items()}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(unfinished, "wb") as file:
            torch.save(dict(recipe=recipe, step=step, history=history, generator=generator.get_state(), **states), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path, recipe, history, generator, parts):
    """Set a run to what `path` holds and return the step it had reached. Nothing in the file is executed.

    Raises ValueError, before anything is changed, where the file is no checkpoint or is one of another run.
    """
    try:
        saved = torch.load(path, map_location=history.device, weights_only=True)
        theirs, step, old_history = saved["recipe"], saved["step"], saved["history"]
        differ = [name for name in {**recipe, **theirs} if recipe.get(name) != theirs.get(name)]
    except OSError:
        raise
    except Exception as error:  # whatever a foreign or truncated file makes torch.load say
        raise ValueError(f"{path} is not a checkpoint written by `train` ({type(error).__name__}). Give the file that "
                         "the message of the stopped run named, or start afresh without resume.") from None
    if differ:
        was, now = ({name: run.get(name) for name in differ} for run in (theirs, recipe))
        raise ValueError(f"{path} was saved by a run with {was}; this call has {now}. "
                         "Resume with the same arguments, or start afresh without resume.")
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    history.copy_(old_history)
    generator.set_state(saved["generator"].cpu())
    return step


def free_path(name="interrupted.pt"):
    """A file of this name, or with a number before its ending, that no other run has. It is created empty."""
    for k in itertools.count(1):
        path = Path(name if k == 1 else f"{Path(name).stem}-{k}{Path(name).suffix}")
        try:
            path.touch(exist_ok=False)
            return path
        except FileExistsError:
            continue


def name_of(thing):
    """What tells one loss, source or network from another in a checkpoint, as a short text."""
    if isinstance(thing, torch.nn.Module):
        shapes = ["×".join(map(str, parameter.shape)) for parameter in thing.parameters()]
        return f"{type(thing).__name__} {' '.join(shapes)}"
    if isinstance(thing, functools.partial):
        return f"{name_of(thing.func)} with {thing.args} {thing.keywords}"
    name = getattr(thing, "__qualname__", type(thing).__name__)
    owner = getattr(thing, "__self__", None)
    if owner is None or type(owner).__repr__ is object.__repr__:  # the latter would name an address in memory
        return name
    return f"{owner!r}.{thing.__name__}"


@contextmanager
def stop_between_steps():
    """Yield an object whose `asked` becomes true by Ctrl-C, Jupyter's stop button, or SIGTERM, so that no step is cut
    in half. A second one acts at once, except while `saving` is true."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread only
        return
    usual = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
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
