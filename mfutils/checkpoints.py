"""Checkpoints are written whole or not at all, and read back only into a run like the one that wrote them; a stop waits
for the end of the step."""

import copy
import functools
import itertools
import os
import signal
import tempfile
import threading
import types
import zlib
from contextlib import contextmanager, suppress
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

    Raises ValueError where the file is no checkpoint or is one of another run.
    """
    try:
        saved = torch.load(path, map_location=history.device, weights_only=True)
        theirs = saved["recipe"]
        differ = [name for name in {**recipe, **theirs} if recipe.get(name) != theirs.get(name)]
        if not differ:
            for name, part in parts.items():
                part.load_state_dict(saved[name])
            history.copy_(saved["history"])
            generator.set_state(saved["generator"].cpu())
            return saved["step"]
    except OSError:
        raise
    except Exception as error:  # whatever a foreign or truncated file makes torch.load say
        raise ValueError(f"{path} is not a checkpoint written by `train` ({type(error).__name__}). Give the file that "
                         "the message of the stopped run named, or start afresh without resume.") from None
    was, now = ({name: run.get(name) for name in differ} for run in (theirs, recipe))
    raise ValueError(f"{path} was saved by a run with {was}; this call has {now}. "
                     "Resume with the same arguments, or start afresh without resume.")


def load_average(path, net):
    """The moving-average network that a checkpoint holds: a copy of `net` with its weights, on the CPU.

    Raises ValueError where the file is no checkpoint of `train` with such a network.
    """
    average = copy.deepcopy(net).cpu()
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)["ema"]
        saved.pop("n_averaged")
        average.load_state_dict({name.removeprefix("module."): value for name, value in saved.items()})
    except OSError:
        raise
    except Exception as error:  # as in `load`
        raise ValueError(f"{path} holds no moving average of such a {type(net).__name__} ({type(error).__name__}). "
                         "Give a file that `train` saved, and a network of the shape trained there.") from None
    return average


def free_path(name="interrupted.pt"):
    """A file of this name, or with a number before its ending, that no other run has. It is created empty, in the
    working directory or, where that cannot be written to, in the one for temporary files."""
    folder = Path() if os.access(".", os.W_OK) else Path(tempfile.gettempdir())
    for k in itertools.count(1):
        path = folder / (name if k == 1 else f"{Path(name).stem}-{k}{Path(name).suffix}")
        with suppress(FileExistsError):
            path.touch(exist_ok=False)
            return path


def name_of(thing):
    """What tells one loss, source or network from another in a checkpoint, as a short text: of a function its name, its
    code and what it closes over; of a method its object's repr, so give a class of yours a `__repr__`."""
    if isinstance(thing, torch.nn.Module):
        shapes = ["×".join(map(str, parameter.shape)) for parameter in thing.parameters()]
        return f"{type(thing).__name__} {' '.join(shapes)}"
    if isinstance(thing, functools.partial):
        given = [*thing.args, *itertools.chain(*sorted(thing.keywords.items()))]
        return f"{name_of(thing.func)} with {', '.join(map(name_of, given))}"
    if isinstance(thing, types.FunctionType):
        code = thing.__code__
        constants = [constant for constant in code.co_consts if not isinstance(constant, types.CodeType)]
        closure = [name_of(cell.cell_contents) for cell in thing.__closure__ or ()]
        essence = repr((code.co_code, code.co_names, constants, closure))
        return f"{thing.__qualname__} #{zlib.crc32(essence.encode()):08x}"
    owner = getattr(thing, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType):
        return f"{name_of(owner)}.{thing.__name__}"
    if type(thing).__repr__ is object.__repr__ or callable(thing):  # else the text would hold an address in memory
        return getattr(thing, "__qualname__", type(thing).__name__)
    return repr(thing)


@contextmanager
def stop_between_steps():
    """Yield an object whose `asked` becomes true by Ctrl-C, Jupyter's stop button, or SIGTERM, so that no step is cut
    in half. A second one acts at once, except while `saving` is true. What was to be ignored before still is."""
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
    if stop.asked:  # after the last step
        raise KeyboardInterrupt


class Stop:
    """A signal handler that remembers."""

    asked = saving = False

    def __call__(self, signum, frame):
        if self.asked and not self.saving:
            raise KeyboardInterrupt
        self.asked = True
