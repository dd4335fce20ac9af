"""What a training step costs, and what quality costs: `make bench`, about four minutes.

One core, one run, side by side. Ratios carry over to other machines better than milliseconds do.
"""

import copy
import statistics
import time

import torch
from torch.profiler import ProfilerActivity, profile

from mfutils import (
    DISTRIBUTIONS,
    METHODS,
    MeanVelocityMLP,
    VelocityMLP,
    compiled,
    flow_matching_loss,
    gaussian,
    improved_mean_flow_loss,
    interpolate,
    mean_flow_loss,
    retrain,
    sample,
    sample_r_t,
    sliced_w2,
)
from mfutils.pretrained import RECIPE, one_time, two_times

BOARD = DISTRIBUTIONS["checkerboard"]
BATCH = RECIPE["batch_size"]


# The mean-flow loss, with du/dt computed in other ways. All have the same value.

def double_backward(u_net, x, eps, r, t):
    """As many tutorials do."""
    z, v = interpolate(x, eps, t)
    tangents = v, torch.zeros_like(r), torch.ones_like(t)
    u, dudt = torch.autograd.functional.jvp(u_net, (z, r, t), tangents, create_graph=True)
    return (u - (v - (t - r) * dudt).detach()).square().sum(dim=1).mean()


def jvp_without_graph(u_net, x, eps, r, t):
    z, v = interpolate(x, eps, t)
    with torch.no_grad():
        _, dudt = torch.func.jvp(u_net, (z, r, t), (v, torch.zeros_like(r), torch.ones_like(t)))
    return (u_net(z, r, t) - (v - (t - r) * dudt)).square().sum(dim=1).mean()


def finite_differences(u_net, x, eps, r, t, h=1e-2):
    z, v = interpolate(x, eps, t)
    with torch.no_grad():
        dudt = (u_net(z + h * v, r, t + h) - u_net(z - h * v, r, t - h)) / (2 * h)
    return (u_net(z, r, t) - (v - (t - r) * dudt)).square().sum(dim=1).mean()


def one_step(net, loss, *batch):
    net.zero_grad()
    loss(net, *batch).backward()


def milliseconds(calls, rounds=9, repeats=20):
    """Median time of each call, in a dict like `calls`: all in turn, `rounds` times, so that a slow moment hits all."""
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            times[name].append((time.perf_counter() - start) / repeats * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_mib(call):
    """Most memory held at once by tensors that `call` allocates."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return highest / 2**20


def cost_of_a_step():
    torch.manual_seed(0)
    x, eps = BOARD.sample(BATCH), gaussian(BATCH)
    r, t = two_times(BATCH, None)
    v_net, u_net = VelocityMLP(), MeanVelocityMLP()
    average = copy.deepcopy(u_net)
    fm, mf = (v_net, flow_matching_loss, x, eps, one_time(BATCH, None)), (u_net, mean_flow_loss, x, eps, r, t)
    mine = METHODS["mean_flow"].loss
    improved, improved_mine = improved_mean_flow_loss, METHODS["improved_mean_flow"].loss
    variants = {
        "flow matching": fm,
        "mean flow, double backward": (u_net, double_backward, *mf[2:]),
        "mean flow, torch.func.jvp": mf,
        "mean flow, jvp without graph + forward": (u_net, jvp_without_graph, *mf[2:]),
        "mean flow, finite differences": (u_net, finite_differences, *mf[2:]),
        "mean flow, jvp on r < t rows": (u_net, mine, *mf[2:]),
        "improved, jvp on all rows": (u_net, improved, *mf[2:], average),
        "improved, jvp on r < t rows": (u_net, improved_mine, *mf[2:], average),
        "flow matching, compiled": (v_net, compiled(flow_matching_loss), *fm[2:]),
        "mean flow, compiled": (u_net, compiled(mean_flow_loss), *mf[2:]),
        "mean flow, jvp on r < t rows, compiled": (u_net, compiled(mine), *mf[2:]),
        "improved, jvp on r < t rows, compiled": (u_net, compiled(improved_mine), *mf[2:], average),
    }
    calls = {name: (lambda arguments=arguments: one_step(*arguments)) for name, arguments in variants.items()}
    for call in calls.values():
        call(), call()  # compiles, and fills the caches
    taken = milliseconds(calls)
    print(f"\nLoss and gradient of {BATCH:,} rows, 4 × 64, one core; medians of 9 rounds")
    print(f"{'':42}{'ms':>6}{'÷ flow matching':>17}{'MiB':>7}")
    for name, call in calls.items():
        base = taken["flow matching, compiled" if "compiled" in name else "flow matching"]
        print(f"{name:42}{taken[name]:6.2f}{taken[name] / base:17.2f}{peak_mib(call):7.1f}")
    speed_up = taken["mean flow, double backward"] / taken["mean flow, jvp on r < t rows, compiled"]
    print(f"double backward ÷ jvp on r < t rows, compiled: {speed_up:.1f}")


def tutorials_recipe(n_steps=10_000, batch_size=2048):
    """Uniform r < t, no rows with r = t, constant learning rate, double backward, no average."""
    torch.manual_seed(0)
    net = MeanVelocityMLP()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(n_steps):
        r, t = sample_r_t(batch_size, p_equal=0)
        optimizer.zero_grad()
        double_backward(net, BOARD.sample(batch_size), gaussian(batch_size), r, t).backward()
        optimizer.step()
    return net


def distance(u):
    generator = torch.Generator().manual_seed(1000)
    return sliced_w2(sample(u, gaussian(50_000, generator), 1), BOARD.sample(50_000, generator))


def time_to_quality():
    start = time.process_time()
    net = tutorials_recipe()
    theirs, goal = time.process_time() - start, distance(net)
    print(f"\nTutorials' recipe on the board: {theirs:.0f} CPU seconds, one step at sliced W2 {goal:.3f}", flush=True)
    loss = compiled(METHODS["improved_mean_flow"].loss)
    short = dict(batch_size=1024, ema_decay=0.99)  # few steps: an average over fewer of them
    start = time.process_time()
    retrain("checkerboard", "improved_mean_flow", loss=loss, **short, n_steps=2)
    print(f"compiling took {time.process_time() - start:.0f} CPU seconds, which are not counted below", flush=True)
    for n_steps in (500, 750, 1000, 1250, 1500, 2000, 3000, 5000):
        start = time.process_time()
        u, _ = retrain("checkerboard", "improved_mean_flow", loss=loss, **short, n_steps=n_steps)
        ours, reached = time.process_time() - start, distance(u)
        print(f"ours, {n_steps:5} steps: {ours:4.0f} CPU seconds ({theirs / ours:4.1f} times faster), {reached:.3f}",
              flush=True)
        if reached <= goal:
            break


if __name__ == "__main__":
    torch.set_num_threads(1)
    cost_of_a_step()
    time_to_quality()
