"""One training loop for every loss in the course: Muon and Adam, cosine rates, a moving average, exact resume."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from . import checkpoints
from .checks import check_count, check_points, describe


def gaussian(n: int, generator=None, d: int = 2):
    """The noise ε ~ N(0, I): (n, d)."""
    return torch.randn(n, d, generator=generator)


class Run:
    """A network in training, with all that changes from step to step.

    `net` is a copy of the network given, `average` its exponential moving average, `losses` (n_steps,) those so far.
    The weights that the network names in `hidden_weights()` are trained by Muon (Jordan et al. 2024; here
    `torch.optim.Muon`) at hidden_lr; all other parameters by Adam at lr.
    """

    def __init__(self, net, *, n_steps=5000, batch_size=1024, lr=3e-3, hidden_lr=0.015, ema_decay=0.999, seed=0,
                 device="cpu"):
        check_count("n_steps", n_steps)
        check_count("batch_size", batch_size)
        n_steps, batch_size, seed = int(n_steps), int(batch_size), int(seed)  # not NumPy's: no checkpoint can hold them
        lr, hidden_lr, ema_decay = float(lr), float(hidden_lr), float(ema_decay)
        self.settings = dict(n_steps=n_steps, batch_size=batch_size, lr=lr, hidden_lr=hidden_lr, ema_decay=ema_decay,
                             seed=seed)
        self.net = copy.deepcopy(net).to(device).train()
        self.ema = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(ema_decay)).eval()
        self.average = self.ema.module
        self.optimizers = muon_and_adam(self.net, hidden_lr, lr)
        self.schedules = [CosineAnnealingLR(optimizer, n_steps) for optimizer in self.optimizers]
        self.generator = torch.Generator().manual_seed(seed)  # on the CPU: the same draws on every machine
        self.losses, self.done, self.first_batch = torch.zeros(n_steps, device=device), 0, None

    def steps(self, loss, data, times, noise=None, *, with_average=False) -> Iterator[tuple]:
        """Train to the end; after every step yield (steps done, loss, network, moving average). The arguments are those
        of `train`. What is yielded is live: the next step changes it."""
        average = [self.average] if with_average else []
        while self.done < len(self.losses):
            batch = draw_batch(self.settings["batch_size"], data, noise, times, self.generator, like=self.net)
            self.first_batch = self.first_batch if self.done else batch
            with one_thread():
                value = loss(self.net, *batch, *average)
                if not torch.is_tensor(value) or value.shape != ():
                    raise ValueError(f"the loss must be one number, a tensor of shape (); got {describe(value)}.")
                self.net.zero_grad()
                value.backward()
                if all(parameter.grad is None for parameter in self.net.parameters()):
                    raise ValueError("no parameter of the network got a gradient. The loss must use the network that "
                                     "it is given: a copy of yours is trained.")
                for part in (*self.optimizers, *self.schedules):
                    part.step()
                self.ema.update_parameters(self.net)
            self.losses[self.done] = value.detach()
            self.done += 1
            yield self.done, value.detach(), self.net, self.average


def train(net, loss, data, times, noise=None, *, n_steps=5000, batch_size=1024, lr=3e-3, hidden_lr=0.015,
          ema_decay=0.999, with_average=False, seed=0, device="cpu",
          checkpoint=None, checkpoint_every=1000, resume=None, name=None):
    """Minimise loss(net, x, eps, *times) and return (the moving-average network on the CPU, the losses (n_steps,)).

    The network returned is in evaluation mode; `net` itself is left as it was, so a cell can be run again. `Run` says
    which optimiser trains what, and lets you look on while it trains. On a CPU it takes one thread.

    data, noise: called as data(n, generator) → (n, d). Without noise, ε ~ N(0, I).
    times: times(n, generator) → t (n, 1), or the pair r, t: whatever `loss` takes.
    with_average: call loss(net, x, eps, *times, average), where average is the moving average so far.
    device: "cpu", "cuda" or another of PyTorch's; "auto" takes a GPU that works, and says so.
    checkpoint: a file to save to every `checkpoint_every` steps; with "{step}" in its name, one file for each time.
    resume: a file saved before; the run goes on from there, to the same result as an uninterrupted one where all
    that is random comes from `generator`.
    name: a text kept in the checkpoint; only a run of the same name resumes it.

    A stop (Ctrl-C, Jupyter's stop button, SIGTERM) is obeyed between two steps, after saving to `checkpoint`, else
    to `resume`, else to a new file interrupted-….pt.

    Raises ValueError for bad counts, for draws of a wrong shape, for a path that cannot be written to, and for a file
    that is no checkpoint of this very run; FloatingPointError within 100 steps of a loss that is not finite. A disk
    that is full later on is a warning: the network is returned all the same.
    """
    check_count("checkpoint_every", checkpoint_every)
    path = checkpoints.writable(checkpoint) if checkpoint else resume and checkpoints.expanded(resume)
    run = Run(net, n_steps=n_steps, batch_size=batch_size, lr=lr, hidden_lr=hidden_lr, ema_decay=ema_decay, seed=seed,
              device=working(device))

    def first_batch():
        generator = torch.Generator().manual_seed(run.settings["seed"])
        return draw_batch(run.settings["batch_size"], data, noise, times, generator, like=run.net)

    identity = dict(run.settings, with_average=with_average, name=name if name is None else str(name))
    content = run, identity, lambda net, average, batch: loss(net, *batch, *[average] * with_average)
    if resume:
        checkpoints.load(resume, *content, first_batch)
    with checkpoints.stop_between_steps() as stop, tqdm(total=len(run.losses), initial=run.done, leave=False,
                                                        mininterval=0.5) as bar:  # a late reader loses messages
        for done, *_ in run.steps(loss, data, times, noise, with_average=with_average):
            bar.update()
            saving = checkpoint and done % checkpoint_every == 0
            if saving or stop.asked or done % 100 == 0 or done == len(run.losses):
                recent = run.losses[max(0, done - 100):done].mean().item()
                report(bar, recent, done, lr, hidden_lr)  # raises before a diverged network is saved
            if saving or stop.asked:
                stop.saving = True
                kept = (path and checkpoints.save(path, *content)) or (stop.asked and checkpoints.keep(*content))
                stop.saving = False
            if stop.asked:
                raise checkpoints.Stopped(f"Stopped after step {done} of {n_steps}; " + (
                    f"the work is kept. To go on, make the same call with resume={str(kept)!r}." if kept else
                    "it could not be saved: no disk has room."))
    return run.average.cpu(), run.losses.cpu()


def report(bar, loss, done, lr, hidden_lr):
    """Show the loss, and stop where it is not finite."""
    bar.set_postfix(loss=f"{loss:.3f}")
    if not math.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss} at step {done}. "
                                 f"Try a lower lr than {lr}, or a lower hidden_lr than {hidden_lr}.")


def draw_batch(n, data, noise, times, generator, like):
    """x, eps and one or two times, with the device and dtype of the network `like`; checked, since they come from
    functions that a reader may have written."""
    x = data(n, generator)
    check_points("data(n, generator)", x, n)
    eps = noise(n, generator) if noise else torch.randn(x.shape, generator=generator)
    check_points("noise(n, generator)", eps, *x.shape)
    drawn = times(n, generator)
    drawn = drawn if isinstance(drawn, tuple) else (drawn,)
    for part in drawn:
        if not torch.is_tensor(part) or part.shape != (n, 1):
            raise ValueError("times(n, generator) must return t, or the pair r, t, each a tensor of shape "
                             f"(n, 1) = ({n}, 1); got {describe(part)}.")
    return [part.to(next(like.parameters())) for part in (x, eps, *drawn)]


def muon_and_adam(net, hidden_lr, lr):
    """Muon for the weights that `net` calls hidden, and Adam for the rest; either may be absent."""
    inner = checkpoints.bare(net)
    hidden = inner.hidden_weights() if hasattr(inner, "hidden_weights") else []
    for_muon = [p for p in net.parameters() if any(p is weight for weight in hidden)]
    rest = [p for p in net.parameters() if all(p is not weight for weight in for_muon)]
    muon = [torch.optim.Muon(for_muon, lr=hidden_lr, weight_decay=0.0)] if for_muon else []
    adam = [torch.optim.Adam(rest, lr=lr, fused=True)] if rest else []
    return muon + adam


def working(device):
    """The device asked for. "auto" is a GPU if there is one that computes, else the CPU; it prints which."""
    if device != "auto":
        return device
    if torch.cuda.is_available():
        try:
            torch.ones(1, device="cuda").exp().item()
            print("Training on the GPU. (device='cpu' takes the CPU.)")
            return "cuda"
        except RuntimeError as error:
            print(f"There is a GPU, but it cannot be used ({str(error).splitlines()[0]}). Training on the CPU.")
    else:
        print("No GPU is seen. Training on the CPU.")
    return "cpu"


@contextmanager
def one_thread():
    """One thread: nearly as fast for a small network, no contention between two runs, and reproducible sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
