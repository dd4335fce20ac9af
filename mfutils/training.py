"""One training loop for every loss in the course: Muon and Adam, cosine learning rates, EMA, exact resume."""

import copy
import math
from contextlib import contextmanager

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import trange

from . import checkpoints
from .checks import check_count, check_points, describe


def gaussian(n, generator=None, d=2):
    """The noise ε ~ N(0, I): (n, d)."""
    return torch.randn(n, d, generator=generator)


def train(net, loss, data, times, noise=None, *, n_steps=5000, batch_size=1024, lr=3e-3, hidden_lr=0.015,
          ema_decay=0.999, with_average=False, seed=0, checkpoint=None, checkpoint_every=1000, resume=None):
    """Minimise loss(net, x, eps, *times) and return (the EMA network on the CPU, the losses (n_steps,)).

    The square weight matrices, those between hidden layers, are trained by Muon (Jordan et al. 2024; here
    `torch.optim.Muon`) at hidden_lr; all other parameters by Adam at lr. On a CPU it takes one thread.

    data, noise: called as data(n, generator) → (n, d). Without noise, ε ~ N(0, I).
    times: times(n, generator) → t (n, 1), or the pair r, t: whatever `loss` takes.
    with_average: call loss(net, x, eps, *times, average), where average is the EMA network so far.
    checkpoint: a file to save to every `checkpoint_every` steps; with "{step}" in its name, one file for each time.
    resume: a file saved before; the run goes on from there, to the same result as an uninterrupted one where all
    that is random comes from `generator`.

    A stop (Ctrl-C, Jupyter's stop button, SIGTERM) is obeyed between two steps, after saving to `checkpoint`, else
    to `resume`, else to a new file interrupted.pt. `net` itself is left as it was, so a cell can be run again.

    Raises ValueError for bad counts, for draws of a wrong shape, and for a file that is no checkpoint of this very
    run; FloatingPointError within 100 steps of a loss that is not finite.
    """
    for name, count in dict(n_steps=n_steps, batch_size=batch_size, checkpoint_every=checkpoint_every).items():
        check_count(name, count)
    n_steps, batch_size, seed = int(n_steps), int(batch_size), int(seed)  # not NumPy's, which no checkpoint can hold
    lr, hidden_lr, ema_decay = float(lr), float(hidden_lr), float(ema_decay)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same draws on every machine
    net = copy.deepcopy(net).to(device)
    like = next(net.parameters())  # its device, and its dtype
    ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(ema_decay))
    optimizers = muon_and_adam(net, hidden_lr, lr)
    schedules = [CosineAnnealingLR(optimizer, n_steps) for optimizer in optimizers]
    history = torch.zeros(n_steps, device=device)

    recipe = dict(n_steps=n_steps, batch_size=batch_size, lr=lr, hidden_lr=hidden_lr, ema_decay=ema_decay,
                  seed=seed, with_average=with_average, network=checkpoints.name_of(net),
                  loss=checkpoints.name_of(loss), data=checkpoints.name_of(data), times=checkpoints.name_of(times),
                  noise=noise and checkpoints.name_of(noise))
    parts = {"net": net, "ema": ema} | {f"optimizer {k}": part for k, part in enumerate([*optimizers, *schedules])}
    start = checkpoints.load(resume, recipe, history, generator, parts) if resume else 0

    average = [ema.module] if with_average else []
    bar = trange(start, n_steps, initial=start, total=n_steps, leave=False,
                 mininterval=0.5)  # a client that reads late loses messages if there are thousands
    with one_thread(), checkpoints.stop_between_steps() as stop, bar:
        for step in bar:
            batch = draw_batch(batch_size, data, noise, times, generator, check=step == start)
            value = loss(net, *(part.to(like) for part in batch), *average)
            if step == start and (not torch.is_tensor(value) or value.shape != ()):
                raise ValueError(f"the loss must be one number, a tensor of shape (); got {describe(value)}.")
            net.zero_grad()
            value.backward()
            for part in (*optimizers, *schedules):
                part.step()
            ema.update_parameters(net)
            history[step] = value.detach()
            done, stopping = step + 1, stop.asked
            saving = stopping or (checkpoint and done % checkpoint_every == 0)
            if saving or done % 100 == 0 or done == n_steps:
                report(bar, history[max(0, done - 100):done].mean().item(), done, lr, hidden_lr)
            if saving:
                stop.saving = True
                path = str(checkpoint or resume or checkpoints.free_path()).replace("{step}", str(done))
                checkpoints.save(path, recipe, done, history, generator, parts)
                stop.saving = False
            if stopping:
                raise KeyboardInterrupt(f"Stopped after step {done} of {n_steps}; the work is kept. "
                                        f"To go on, make the same call with resume={str(path)!r}.")
    return ema.module.cpu(), history.cpu()


def draw_batch(n, data, noise, times, generator, check):
    """x, eps and one or two times; `check` them, since they come from functions that a reader may have written."""
    x = data(n, generator)
    eps = noise(n, generator) if noise else torch.randn(x.shape, generator=generator)
    drawn = times(n, generator)
    drawn = drawn if isinstance(drawn, tuple) else (drawn,)
    if check:
        check_points("data(n, generator)", x, n)
        check_points("noise(n, generator)", eps, *x.shape)
        for part in drawn:
            if not torch.is_tensor(part) or part.shape != (n, 1):
                raise ValueError("times(n, generator) must return t, or the pair r, t, each a tensor of shape "
                                 f"(n, 1) = ({n}, 1); got {describe(part)}.")
    return x, eps, *drawn


def report(bar, recent, done, lr, hidden_lr):
    """Show the loss, and stop where it is not finite."""
    bar.set_postfix(loss=f"{recent:.3f}")
    if not math.isfinite(recent):
        raise FloatingPointError(f"the loss is {recent} at step {done}. "
                                 f"Try a lower lr than {lr}, or a lower hidden_lr than {hidden_lr}.")


def muon_and_adam(net, hidden_lr, lr):
    """Muon for the square matrices of `net`, and Adam for the rest; either may be absent."""
    square = [p for p in net.parameters() if p.ndim == 2 and p.shape[0] == p.shape[1]]
    rest = [p for p in net.parameters() if all(p is not q for q in square)]
    muon = [torch.optim.Muon(square, lr=hidden_lr, weight_decay=0.0)] if square else []
    adam = [torch.optim.Adam(rest, lr=lr, fused=True)] if rest else []
    return muon + adam


@contextmanager
def one_thread():
    """A small network gains a tenth or so from a second thread, but two runs with two threads each on two cores wait
    for each other, and a step takes each of them four times as long. Nor do sums then depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
