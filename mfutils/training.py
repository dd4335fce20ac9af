"""One training loop for every loss in the course: Muon and Adam, cosine learning rates, EMA, exact resume."""

import copy
import math
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import trange

from .checks import check_count, check_points


def gaussian(n, generator=None):
    """The noise ε ~ N(0, I): (n, 2)."""
    return torch.randn(n, 2, generator=generator)


def train(net, loss, data, times, noise=gaussian, *, n_steps=5000, batch_size=1024, lr=3e-3, hidden_lr=0.015,
          ema_decay=0.999, with_average=False, seed=0, checkpoint=None, checkpoint_every=1000, resume=None):
    """Minimise loss(net, x, eps, *times) and return (the EMA network on the CPU, the losses (n_steps,)).

    The square weight matrices, those between hidden layers, are trained by Muon (Jordan et al. 2024; here
    `torch.optim.Muon`) at hidden_lr; all other parameters by Adam at lr. On a CPU it takes one thread.

    data, noise: called as data(n, generator) → (n, 2).
    times: times(n, generator) → t (n, 1), or the pair r, t: whatever `loss` takes.
    with_average: call loss(net, x, eps, *times, average), where average is the EMA network so far.
    checkpoint: a file to save to every `checkpoint_every` steps.
    resume: a file saved before; the run goes on from there to the same result as an uninterrupted one.

    An interrupt (Ctrl-C, or Jupyter's stop button) is obeyed between two steps, after saving to
    `checkpoint`, or to interrupted.pt. `net` itself is left as it was, so a cell can be run again.

    Raises ValueError for bad counts, for points of a wrong shape, and for a file saved by another recipe;
    FloatingPointError within 100 steps of a loss that is not finite.
    """
    for name, count in dict(n_steps=n_steps, batch_size=batch_size, checkpoint_every=checkpoint_every).items():
        check_count(name, count)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same draws on every machine
    net = copy.deepcopy(net).to(device)
    ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(ema_decay))
    optimizers = muon_and_adam(net, hidden_lr, lr)
    schedules = [CosineAnnealingLR(optimizer, n_steps) for optimizer in optimizers]
    history = torch.zeros(n_steps, device=device)
    recipe = dict(n_steps=n_steps, batch_size=batch_size, lr=lr, hidden_lr=hidden_lr, ema_decay=ema_decay, seed=seed)
    parts = dict(net=net, ema=ema, muon=optimizers[0], adam=optimizers[-1],
                 muon_schedule=schedules[0], adam_schedule=schedules[-1])

    def save(path, step):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save(dict(recipe=recipe, step=step, history=history, generator=generator.get_state(), **state), path)

    def load(path):
        saved = torch.load(path, map_location=device, weights_only=True)
        if saved["recipe"] != recipe:
            raise ValueError(f"{path} was saved by a run with {saved['recipe']}; this call has {recipe}. "
                             "Resume with the same arguments, or start afresh without resume.")
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        history.copy_(saved["history"])
        generator.set_state(saved["generator"].cpu())
        return saved["step"]

    average = [ema.module] if with_average else []
    start = load(resume) if resume else 0
    bar = trange(start, n_steps, initial=start, total=n_steps, leave=False)
    with one_thread(), interrupt_between_steps() as interrupted, bar:
        for step in bar:
            drawn = times(batch_size, generator)
            drawn = drawn if isinstance(drawn, tuple) else (drawn,)
            batch = data(batch_size, generator), noise(batch_size, generator), *drawn
            if step == start:
                check_points("data(n, generator)", batch[0])
                check_points("noise(n, generator)", batch[1])
            value = loss(net, *(part.to(device) for part in batch), *average)
            net.zero_grad()
            value.backward()
            for part in (*optimizers, *schedules):
                part.step()
            ema.update_parameters(net)
            history[step] = value.detach()
            done = step + 1
            if done % 100 == 0 or done == n_steps:
                recent = history[max(0, done - 100):done].mean().item()
                bar.set_postfix(loss=f"{recent:.3f}")
                if not math.isfinite(recent):
                    raise FloatingPointError(f"the loss is {recent} at step {done}. Try a lower lr than {lr}.")
            if checkpoint and done % checkpoint_every == 0:
                save(checkpoint, done)
            if interrupted.is_set() and done < n_steps:
                path = checkpoint or "interrupted.pt"
                save(path, done)
                raise KeyboardInterrupt(f"Stopped after step {done} of {n_steps}; the work is kept. "
                                        f"To go on, make the same call with resume={str(path)!r}.")
    return ema.module.cpu(), history.cpu()


def compiled(loss):
    """`loss` through torch.compile, which needs a C++ compiler and takes some ten seconds on its first call.
    Where it fails, says so once and goes on with `loss` as it is."""
    fast = torch.compile(loss, dynamic=False)  # one batch size: forward mode breaks under symbolic shapes

    def attempt(*arguments):
        nonlocal fast
        try:
            return fast(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            print(f"torch.compile failed ({type(error).__name__}); going on without it, at two thirds of the speed.")
            fast = loss
            return loss(*arguments)

    return attempt


def muon_and_adam(net, hidden_lr, lr):
    """Muon for the square matrices of `net`, if there are any, and Adam for the rest."""
    square = [p for p in net.parameters() if p.ndim == 2 and p.shape[0] == p.shape[1]]
    rest = [p for p in net.parameters() if not (p.ndim == 2 and p.shape[0] == p.shape[1])]
    muon = [torch.optim.Muon(square, lr=hidden_lr, weight_decay=0.0)] if square else []
    return [*muon, torch.optim.Adam(rest, lr=lr, fused=True)]


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


@contextmanager
def interrupt_between_steps():
    """Yield an Event that Ctrl-C sets, so that no step is cut in half; a second Ctrl-C acts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # signals reach the main thread only
        return
    usual = signal.getsignal(signal.SIGINT)

    def on_interrupt(signum, frame):
        event.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, usual)
