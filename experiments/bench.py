"""What a training step costs, and what quality costs: `make bench`, about five minutes.

One core, one run, side by side. Ratios carry over to other machines better than milliseconds do.
"""

import copy
import os
import statistics
import time

os.environ["TQDM_DISABLE"] = "1"  # before tqdm is imported

import torch  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402

from mfutils import (  # noqa: E402
    DISTRIBUTIONS,
    METHODS,
    MeanVelocityMLP,
    VelocityMLP,
    flow_matching_loss,
    gaussian,
    improved_mean_flow_loss,
    interpolate,
    mean_flow_loss,
    sample,
    sample_r_t,
    self_distilled_mean_flow_loss,
    sliced_w2,
    train_method,
)
from mfutils.methods import RECIPE, two_times  # noqa: E402

BOARD = DISTRIBUTIONS["checkerboard"]


# The mean-flow loss, with du/dt computed in other ways. All have the same value, finite differences nearly.

def double_backward(u_net, x, eps, r, t):
    """As many tutorials do."""
    z, v_cond = interpolate(x, eps, t)
    tangents = v_cond, torch.zeros_like(r), torch.ones_like(t)
    u, dudt = torch.autograd.functional.jvp(u_net, (z, r, t), tangents, create_graph=True)
    return (u - (v_cond - (t - r) * dudt).detach()).square().sum(dim=1).mean()


def func_jvp(u_net, x, eps, r, t):
    return mean_flow_loss(lambda z, r, t: u_net(z, r, t), x, eps, r, t)  # a function has no derivative by hand


def jvp_without_graph(u_net, x, eps, r, t):
    z, v_cond = interpolate(x, eps, t)
    with torch.no_grad():
        _, dudt = torch.func.jvp(u_net, (z, r, t), (v_cond, torch.zeros_like(r), torch.ones_like(t)))
    return (u_net(z, r, t) - (v_cond - (t - r) * dudt)).square().sum(dim=1).mean()


def finite_differences(u_net, x, eps, r, t, h=1e-2):
    z, v_cond = interpolate(x, eps, t)
    with torch.no_grad():
        dudt = (u_net(z + h * v_cond, r, t + h) - u_net(z - h * v_cond, r, t - h)) / (2 * h)
    return (u_net(z, r, t) - (v_cond - (t - r) * dudt)).square().sum(dim=1).mean()


def on_rows_below(u_net, x, eps, r, t, k):
    """By hand, but the first k rows, where r = t, as plain flow matching: they need no derivative."""
    equal = flow_matching_loss(lambda z, t: u_net(z, t, t), x[:k], eps[:k], t[:k])
    below = mean_flow_loss(u_net, x[k:], eps[k:], r[k:], t[k:])
    return (k * equal + (len(x) - k) * below) / len(x)


def milliseconds(calls, rounds=15, repeats=20):
    """Median time of each call, in a dict like `calls`: all in turn, `rounds` times, so that a slow moment hits all."""
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
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


def cost_of_a_loss(batch):
    torch.manual_seed(0)
    x, eps = BOARD.sample(batch), gaussian(batch)
    r, t = two_times(batch, None)
    v_net, u_net = VelocityMLP(), MeanVelocityMLP()
    average, equal = copy.deepcopy(u_net), int((r == t).sum())
    losses = {
        "flow matching": lambda: flow_matching_loss(v_net, x, eps, t),
        "mean flow, by hand": lambda: mean_flow_loss(u_net, x, eps, r, t),
        "mean flow, by hand, rows with r < t": lambda: on_rows_below(u_net, x, eps, r, t, equal),
        "mean flow, double backward": lambda: double_backward(u_net, x, eps, r, t),
        "mean flow, torch.func.jvp": lambda: func_jvp(u_net, x, eps, r, t),
        "mean flow, jvp without graph + forward": lambda: jvp_without_graph(u_net, x, eps, r, t),
        "mean flow, finite differences": lambda: finite_differences(u_net, x, eps, r, t),
        "improved, by hand": lambda: improved_mean_flow_loss(u_net, x, eps, r, t),
        "self-distilled, by hand": lambda: self_distilled_mean_flow_loss(u_net, x, eps, r, t, average),
    }

    def with_gradient(loss):
        def call():
            v_net.zero_grad()
            u_net.zero_grad()
            loss().backward()
        return call

    calls = {name: with_gradient(loss) for name, loss in losses.items()}
    taken = milliseconds(calls)
    print(f"\nLoss and gradient of {batch:,} rows, 4 × 64, eager, one core; medians of 15 rounds")
    print(f"{'':42}{'ms':>6}{'÷ flow matching':>17}{'÷ by hand':>11}{'MiB':>7}")
    for name, call in calls.items():
        print(f"{name:42}{taken[name]:6.2f}{taken[name] / taken['flow matching']:17.2f}"
              f"{taken[name] / taken['mean flow, by hand']:11.2f}{peak_mib(call):7.1f}")


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


def cpu_seconds(call):
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def cost_of_a_run():
    """A tenth of every shipped run and of the tutorials' recipe, in turn."""
    tenth = {"tutorials' recipe": lambda: tutorials_recipe(1000)} | {
        method: lambda method=method: train_method("checkerboard", method, n_steps=RECIPE["n_steps"] // 10)
        for method in METHODS}
    rounds = [{name: 10 * cpu_seconds(call)[0] for name, call in tenth.items()} for _ in range(3)]
    print(f"\nWhole runs, CPU seconds (ten times a tenth, medians of 3): tutorials' 10,000 × 2,048, ours {RECIPE}")
    taken = {name: statistics.median(each[name] for each in rounds) for name in tenth}
    for name, seconds in taken.items():
        print(f"{name:42}{seconds:6.1f}{seconds / taken['flow_matching']:17.2f}")


def distance(u):
    generator = torch.Generator().manual_seed(1000)
    return sliced_w2(sample(u, gaussian(50_000, generator), 1), BOARD.sample(50_000, generator))


def time_to_quality():
    theirs, net = cpu_seconds(tutorials_recipe)
    goal = distance(net)
    print(f"\nTutorials' recipe on the board: {theirs:.0f} CPU seconds, one step at sliced W2 {goal:.3f}", flush=True)
    for n_steps in (500, 750, 1000, 1250, 1500, 2000, 3000, 5000):
        ours, (u, _) = cpu_seconds(lambda n=n_steps: train_method(
            "checkerboard", "self_distilled_mean_flow", n_steps=n, ema_decay=0.99))  # few steps: a shorter memory
        reached = distance(u)
        print(f"ours, {n_steps:5} steps: {ours:4.0f} CPU seconds ({theirs / ours:4.1f} times faster), {reached:.3f}",
              flush=True)
        if reached <= goal:
            break


if __name__ == "__main__":
    torch.set_num_threads(1)
    for batch in (1024, 2048):
        cost_of_a_loss(batch)
    cost_of_a_run()
    time_to_quality()
