# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3. Train a mean flow
#
# **The question.** Can a network learn to jump: from noise to data in one evaluation?
#
# **The ending.** It can. A network of the same size, trained for as many steps, on the same data, makes the checkerboard in one step.
# Here are two trained beforehand; you will train yours below, for fewer steps.

# %%
import copy
import inspect

import torch
from IPython.display import Code

from mfutils import (
    DISTRIBUTIONS, MeanVelocityMLP, check, field_error, flow, flow_map, gaussian, interpolate,
    load_pretrained, map_error, mean_flow_loss, mean_velocity, midpoint, noise_floor, plots, sample,
    sample_r_t, score_by_steps, self_distilled_mean_flow_loss, sliced_w2, squared_uniform,
    total_derivative, total_variation, train, widgets,
)

board = DISTRIBUTIONS["checkerboard"]

# %%
z_few = gaussian(3000, torch.manual_seed(0))
flow_matching = load_pretrained("checkerboard", "flow_matching")
mean_flow = load_pretrained("checkerboard", "mean_flow")
ending = {"noise": z_few,
          "flow matching, 1 NFE": sample(flow_matching, z_few, 1),
          "mean flow, 1 NFE": sample(mean_flow, z_few, 1)}
fig = plots.clouds(ending, target=board.sample(3000), size=2.3)
plots.show(fig, "Noise; one step of flow matching, a blob in the middle; one step of a mean flow, a"
                " checkerboard; the target.")

# %% [markdown]
# *One question to each network, from the same noise: sliced W2 above 0.9 on the left, below 0.05 on the right, as computed below.*
#
# | | |
# |---|---|
# | **You will do** | compute $\mathrm{d}u/\mathrm{d}t$ four ways; build the loss on one batch; train; break it on purpose; improve it; hold the learned $u$ against the exact one |
# | **You will learn** | what the stop-gradient does; why the loss value says little; three ways to sample wrongly; where the variance comes from, and how to be rid of it |
# | **You need** | the MeanFlow identity from [notebook 1](01_derivation.ipynb) and the loss split from [notebook 2](02_flow_matching.ipynb) |
# | **Time** | 50 minutes to read; two and a half minutes to run |
#
# The identity was $u = v - (t-r)\,\mathrm{d}u/\mathrm{d}t$, with $\mathrm{d}u/\mathrm{d}t = \frac{\partial u}{\partial z}v + \frac{\partial u}{\partial t}$.

# %% [markdown]
# ## The network gains a time
#
# A mean-flow network answers: *from $z$ at time $t$, with what constant velocity do I reach time $r$?* So it takes both
# times. (Inside, it is shown $t$ and $t - r$; the paper found that pair slightly better than $t$ and $r$.)

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
fresh_net = MeanVelocityMLP()
x, eps = board.sample(1024), torch.randn(1024, 2)
r, t = sample_r_t(1024, p_equal=0.625, p_zero=0.125, draw=squared_uniform)
z, v = interpolate(x, eps, t)
print("z", tuple(z.shape), "  r", tuple(r.shape), "  t", tuple(t.shape))
print("u", tuple(fresh_net(z, r, t).shape))

# %% [markdown]
# Which pairs of times? We choose with three things in mind:
#
# * In five eighths of the rows $r = t$ (`p_equal`). There the identity reads $u = v$: these rows are plain flow matching, and they anchor all
#   the others.
# * In an eighth of the rows $r = 0$ (`p_zero`), since that is the end which one step has to reach.
# * The draws are *squares* of uniform numbers. Why? Of two uniform draws, $t$ is the larger, and the larger leans toward the noise:
#   few rows would learn what happens near the data, those with $r = t$ included. The larger of two squares is uniform again, as
#   in notebook 2, and $r$ moves nearer to the data.
#
# The first is the paper's (on ImageNet it sets $r = t$ in 75 % of the rows); the other two are ours, and you can undo them in exercise 5.

# %%
assert (r <= t).all()
print(f"share of rows with r = t: {(r == t).float().mean():.3f}")
print(f"share of rows with r = 0: {(r == 0).float().mean():.3f}")

# %%
for draw in (torch.rand, squared_uniform):
    _, larger = sample_r_t(100_000, draw=draw, generator=torch.manual_seed(0))
    print(f"{draw.__name__:16} share of rows with t < 0.1: {(larger < 0.1).float().mean():.3f}")
assert abs((larger < 0.1).float().mean() - 0.1) < 0.01

# %% [markdown]
# ## $\mathrm{d}u/\mathrm{d}t$, four ways
#
# **Forward mode.** One call; the tangents say: $z$ moves with $v$, $r$ stands still, $t$ advances.

# %%
u, dudt = torch.func.jvp(fresh_net, (z, r, t), (v, torch.zeros_like(r), torch.ones_like(t)))

# %% [markdown]
# **Finite differences.** Move all three inputs a little along the tangent and divide. (In double precision, on a copy.)

# %%
net64 = copy.deepcopy(fresh_net).double()
z64, v64, r64, t64, h = z.double(), v.double(), r.double(), t.double(), 1e-5
with torch.no_grad():
    ahead, behind = net64(z64 + h * v64, r64, t64 + h), net64(z64 - h * v64, r64, t64 - h)
    dudt_difference = (ahead - behind) / (2 * h)

# %% [markdown]
# **Double backward**, the way of many tutorials. Reverse mode computes $w^\top J$; differentiating that with respect to $w$ gives $J$ times a
# tangent. Two backward passes for what forward mode does in one forward pass.

# %%
_, dudt_double = torch.autograd.functional.jvp(
    fresh_net, (z, r, t), (v, torch.zeros_like(r), torch.ones_like(t)), create_graph=True)

# %%
print("largest difference to finite differences", (dudt - dudt_difference).abs().max().item())
print("largest difference to double backward   ", (dudt - dudt_double).abs().max().item())
assert torch.allclose(dudt.double(), dudt_difference, atol=1e-5)
assert torch.allclose(dudt, dudt_double, atol=1e-5)

# %% [markdown]
# **By hand.** Our network is short enough to carry the derivative along ourselves: after each value $h$ its rate of change $\dot h$. A linear layer maps
# $\dot h$ by the same matrix; an activation multiplies it by its slope at $h$. (PyTorch's `gelu_backward` is that product: the chain rule has the
# same factor in both directions.)

# %%
Code(inspect.getsource(MeanVelocityMLP.total_derivative), language="python")

# %%
_, dudt_by_hand = fresh_net.total_derivative(z, r, t, v)
assert torch.allclose(dudt_by_hand, dudt, atol=1e-6)

# %% [markdown]
# This is what the losses use: `total_derivative(u, z, r, t, v)` takes the network's own derivative where it has one, and `torch.func.jvp` for any
# other function. By hand takes about half the time of `torch.func.jvp` here, loss and gradient together (`make bench`), and its derivative carries no gradient, which the loss does
# not want anyway.

# %%
for function in (fresh_net, lambda z, r, t: fresh_net(z, r, t)):
    assert torch.allclose(total_derivative(function, z, r, t, v)[1], dudt, atol=1e-6)

# %% [markdown]
# ## The loss, line by line
#
# **Mean flow, in English:** draw a data point, a noise point and two times; ask the network for $u$, and for how $u$ changes
# along the way; the identity says what $u$ should have been; take that answer as given, and move $u$ toward it.

# %%
u_tgt = v - (t - r) * dudt
by_hand = (u - u_tgt.detach()).square().sum(dim=1).mean()
by_hand

# %% [markdown]
# Two things deserve a second look.
#
# * The identity wants the *marginal* velocity; `v` is the *conditional* one, $\varepsilon - x$, in the target and in the tangent.
#   For a frozen network the target is affine in `v`, so its average over the pairs that pass through $z$ is the target with the
#   marginal velocity. The price is variance, and we will measure it.
# * `detach` is the **stop-gradient**: the target is an answer, not something to be adjusted.
#
# The module's function:

# %%
Code(inspect.getsource(mean_flow_loss), language="python")

# %%
assert torch.allclose(mean_flow_loss(fresh_net, x, eps, r, t), by_hand)

# %% [markdown]
# ## What the stop-gradient stops
#
# It is often said that "without `detach` it never trains". **Predict:** what does removing it change: the value of the loss, the
# gradient, the result?

# %%
without = (u - u_tgt).square().sum(dim=1).mean()
weights = list(fresh_net.parameters())
gradients = [torch.autograd.grad(loss, weights, retain_graph=True) for loss in (by_hand, without)]
flat = [torch.cat([part.flatten() for part in gradient]) for gradient in gradients]
cosine = torch.nn.functional.cosine_similarity(*flat, dim=0).item()
print(f"same value: {torch.equal(by_hand, without)};  cosine of the two gradients {cosine:.2f}")
assert torch.equal(by_hand, without)
assert cosine < 0.999


# %% [markdown]
# The value is the same and the gradient is another (by little as yet: a fresh network hardly bends): without `detach` it runs through
# the derivative too, so it holds second derivatives of the network. Train both for 1,000 steps, from the same weights, with the same batches (a short run wants a
# shorter memory in the average of its weights, hence `ema_decay`):

# %%
def times(n, generator):
    return sample_r_t(n, p_equal=0.625, p_zero=0.125, draw=squared_uniform, generator=generator)


def without_detach(u_net, x, eps, r, t):
    z, v = interpolate(x, eps, t)
    u, dudt = torch.func.jvp(u_net, (z, r, t), (v, torch.zeros_like(r), torch.ones_like(t)))
    return (u - (v - (t - r) * dudt)).square().sum(dim=1).mean()


# %%
n = 50_000
z_1, target = gaussian(n, torch.manual_seed(1)), board.sample(n)
short = {}
for name, loss in {"with detach": mean_flow_loss, "without": without_detach}.items():
    net, losses = train(fresh_net, loss, board.sample, times, n_steps=1000, ema_decay=0.99)
    short[name] = losses[-100:].mean().item(), sliced_w2(sample(net, z_1, 1), target)
    print(f"{name:12} final loss {short[name][0]:.2f}   one step, sliced W2 {short[name][1]:.3f}")

# %%
assert short["without"][0] < short["with detach"][0]
assert short["without"][1] > 1.3 * short["with detach"][1]

# %% [markdown]
# **What happened.** It does train: without `detach` the loss is *lower*, and the samples are *worse*. The reason is the noise in
# `v`. Averaged over the pairs that pass through $z$, the loss is the squared residual of the identity **plus the scatter of the target**,
# and without `detach` the network can lower that scatter too, at the price of a wrong answer: a bias. With `detach` the scatter is
# beyond its reach.
#
# If that is the reason, then without noise there is no harm. We can test it, for we have the exact velocity. **Predict:** train without `detach`, on
# the same batches, with the exact velocity in the place of $\varepsilon - x$. Will it end like the first, or like the second?

# %%
def without_detach_and_noise(u_net, x, eps, r, t):
    z, _ = interpolate(x, eps, t)
    v = board.velocity(z, t.clamp(min=1e-3))
    u, dudt = torch.func.jvp(u_net, (z, r, t), (v, torch.zeros_like(r), torch.ones_like(t)))
    return (u - (v - (t - r) * dudt)).square().sum(dim=1).mean()


net, losses = train(fresh_net, without_detach_and_noise, board.sample, times,
                    n_steps=1000, ema_decay=0.99)
without_noise = sliced_w2(sample(net, z_1, 1), target)
print(f"final loss {losses[-100:].mean():.3f}   one step, sliced W2 {without_noise:.3f}")
assert without_noise < short["with detach"][1]

# %% [markdown]
# *Without noise it trains well without `detach`: .02, where with noise and `detach` it was .05. It is noise that makes the stop-gradient necessary.*

# %% [markdown]
# ## Train
#
# Now in earnest. Everything is as in notebook 2: the same optimisers, schedule, batch size and number of steps. Only the
# loss and the times are new. Less than a minute:

# %%
torch.manual_seed(0)
u_net, losses = train(MeanVelocityMLP(), mean_flow_loss, board.sample, times)

# %% [markdown]
# ## One step beside many
#
# Sampling is the same loop as ever, `z = z - (t - r) * u(z, r, t)`. For one step it is a single line,
# $z_0 = z_1 - u(z_1, 0, 1)$:

# %%
ones = torch.ones(n, 1)
with torch.no_grad():
    one_step = z_1 - u_net(z_1, 0 * ones, ones)
assert torch.equal(one_step, sample(u_net, z_1, 1))

# %%
steps = (1, 2, 4, 8, 32, 128)
samples, distances = score_by_steps(u_net, z_1, target, steps)
panels = {f"{n_steps} NFE": samples[n_steps] for n_steps in steps}
fig = plots.clouds(panels, target=target, size=1.6)
plots.show(fig, "Mean-flow samples with 1, 2, 4, 8, 32 and 128 function evaluations and the target:"
                " checkerboards all, the first a little softer at the edges.")

# %%
floor_mean, floor_95 = noise_floor(sliced_w2, board, n)
_, distances_fm = score_by_steps(flow_matching, z_1, target, steps)

# %%
print(f"noise floor {floor_mean:.3f} (95 % quantile {floor_95:.3f})")
print(" NFE   mean flow   flow matching")
for n_steps in steps:
    print(f"{n_steps:4}   {distances[n_steps]:9.3f}   {distances_fm[n_steps]:13.3f}")
assert distances[1] < 0.05
assert distances_fm[1] > 0.9

# %%
curves = {"flow matching": distances_fm, "mean flow": distances}
fig = plots.distance_by_steps({"board": curves}, {"board": (floor_mean, floor_95)})
plots.show(fig, "Sliced W2 against number of function evaluations: flow matching falls steeply from"
                " above 1 to the noise floor at 128, mean flow is a low, nearly flat line a little "
                "above the floor.")

# %% [markdown]
# *Flow matching falls with every step; the mean flow is nearly there at once.* How many evaluations of flow matching is one of the
# mean flow worth? That depends on who asks. Euler's method is a weak opponent: the midpoint rule, with two evaluations a step, gets more from the same
# network. The number of evaluations at which each first does as well:

# %%
by_midpoint = load_pretrained("checkerboard", "flow_matching", solver=midpoint)
_, scores = score_by_steps(by_midpoint, z_1, target, (1, 2, 3, 4, 5, 6, 8, 10, 12))
distances_midpoint = {2 * n_steps: distance for n_steps, distance in scores.items()}  # 2 NFE a step
for solver, found in {"Euler": distances_fm, "midpoint": distances_midpoint}.items():
    as_good = [nfe for nfe, distance in found.items() if distance <= distances[1]]
    worth = as_good[0] if as_good else f"more than {max(found)}"
    print(f"one evaluation of the mean flow ≈ {worth} of flow matching by {solver}")

# %% [markdown]
# Now you. Does more work make the mean flow better? Is it ever wrong in another way than blur?

# %%
widgets.steps_slider(samples, target, distances)

# %% [markdown]
# ## Three ways to sample wrongly
#
# All three run without an error. **Predict** which is the worst.
#
# * **Swapped times**, `u(z, t, r)`: asks for the average over an interval that runs backward, which was never trained.
# * **Forgotten `(t - r)`** in several steps, `z - u(z, r, t)`: right for one step, since then $t - r = 1$; with four steps, each is
#   four times too long.
# * **Wrong anchor**, $z_0 = z_1 - u(z_0, 0, 1)$. The average velocity is defined at the *noisy* end. Taken literally this is
#   an equation for $z_0$, not a recipe; here we put the network's own, right sample in its place.

# %%
with torch.no_grad():
    quarter = ones / 4
    no_factor = z_1
    for i in (4, 3, 2, 1):
        no_factor = no_factor - u_net(no_factor, (i - 1) * quarter, i * quarter)
    wrong = {"swapped times": z_1 - u_net(z_1, ones, 0 * ones),
             "forgotten (t − r)": no_factor,
             "wrong anchor": z_1 - u_net(one_step, 0 * ones, ones)}

# %%
fig = plots.clouds({"right": one_step, **wrong}, target=target, size=1.9)
plots.show(fig, "The right one-step sample, a checkerboard, beside three wrong ones that are not: "
                "swapped times, forgotten factor, wrong anchor; then the target.")

# %%
for name, points in wrong.items():
    distance = sliced_w2(points, target)
    print(f"{name:18} sliced W2 {distance:.2f}")
    assert distance > 2 * distances[1]

# %% [markdown]
# *Only the picture, or the number, tells.*
#
# ## What the loss does not tell
#
# The loss of notebook 2 had a floor, and it told when to stop. Here we know the true $u$ as well, so we can put it into the
# same loss. **Predict:** is the loss of the *exact* average velocity lower or higher than that of our network?

# %%
def u_exact(z, r, t):
    return mean_velocity(board, z, r, t)


def loss_per_sample(u, x, eps, r, t):
    z, v = interpolate(x, eps, t)
    value, dudt = torch.func.jvp(u, (z, r, t), (v, torch.zeros_like(r), torch.ones_like(t)))
    return (value - (v - (t - r) * dudt)).detach().square().sum(dim=1)


# %%
print("20,000 samples          mean   median   share of the worst 1 %")
for seed in (0, 1, 2):
    torch.manual_seed(seed)
    x_test, eps_test = board.sample(20_000), torch.randn(20_000, 2)
    r_test, t_test = sample_r_t(20_000, p_equal=0)
    of_exact = loss_per_sample(u_exact, x_test, eps_test, r_test, t_test)
    of_net = loss_per_sample(u_net, x_test, eps_test, r_test, t_test)
    for name, values in {"exact u": of_exact, "our net": of_net}.items():
        worst = values.sort().values[-200:].sum() / values.sum()
        print(f"batch {seed}, {name}   {values.mean():8.1f}   {values.median():6.1f}   {worst:.0%}")
    assert of_exact.mean() > 1.1 * of_net.mean()

# %% [markdown]
# **What happened.** The exact $u$ has the *higher* loss, and its mean does not even settle from batch to batch, for a few samples
# carry most of it. **A lower mean-flow loss is not a better $u$.** The tangent is the conditional velocity, and at the exact $u$ the
# target is off by $u_\text{tgt} - u = J\,\big((\varepsilon - x) - v(z_t, t)\big)$ with $J = I - (t-r)\,\partial u/\partial z$: put $\varepsilon - x$ for $v$
# in the target and in the tangent, and subtract. Since $z_r = z_t - (t-r)\,u$, this $J$ is $\partial z_r/\partial z_t$: how far two neighbours at time
# $t$ have moved apart at time $r$. Where paths part for different squares, $J$ is huge. A smooth network has a
# smaller derivative there, hence a smaller loss, and is wrong there.

# %% [markdown]
# ## Three tangents
#
# **The price of the conditional velocity**, then, is variance, and part of it need not be paid: in the *tangent* we may put any
# estimate of the marginal velocity. There are three to choose from: the conditional one; the network's own, $u_\theta(z, t, t)$; and, in
# this course, the exact one.

# %%
def own_velocity(u_net, z, t, v):
    return u_net(z, t, t).detach()


tangents = {"conditional": lambda u_net, z, t, v: v,
            "own": own_velocity,
            "exact": lambda u_net, z, t, v: board.velocity(z, t.clamp(min=1e-3))}


def loss_with(tangent):
    def loss(u_net, x, eps, r, t):
        z, v = interpolate(x, eps, t)
        u, dudt = total_derivative(u_net, z, r, t, tangent(u_net, z, t, v))
        return (u - (v - (t - r) * dudt).detach()).square().sum(dim=1).mean()

    return loss


# %% [markdown]
# First the **noise of the gradient**: for one and the same network, 39 batches of 512 rows with $r < t$; how far is a batch's gradient from
# the mean of all, as a root mean square?

# %%
def gradient(loss, *batch):
    parts = torch.autograd.grad(loss(u_net, *batch), list(u_net.parameters()))
    return torch.cat([part.flatten() for part in parts])


chunks = list(zip(*(part[: 39 * 512].split(512) for part in (x_test, eps_test, r_test, t_test))))
noise = {}
for name, tangent in tangents.items():
    gradients = torch.stack([gradient(loss_with(tangent), *chunk) for chunk in chunks])
    noise[name] = (gradients - gradients.mean(dim=0)).square().sum(dim=1).mean().sqrt().item()

# %% [markdown]
# Then what comes of it: train `fresh_net` with each for 1,500 steps, on the same batches, and measure the error of the field, $|u_\theta - u|$, at
# 2,000 particles: the root mean square for each of three pairs $r < t$, and the mean of the three.

# %%
error = {}
for name, tangent in tangents.items():
    net, _ = train(fresh_net, loss_with(tangent), board.sample, times,
                   n_steps=1500, ema_decay=0.99)
    by_interval = []
    for r_now, t_now in ((0.0, 0.5), (0.5, 1.0), (0.0, 1.0)):
        z_t, _ = interpolate(target[:2000], z_1[:2000], t_now)
        by_interval.append(field_error(net, board, z_t, r_now, t_now).square().mean().sqrt().item())
    error[name] = sum(by_interval) / 3
    print(f"{name:12} gradient noise {noise[name]:.2f}   field error {error[name]:.3f}")

# %% [markdown]
# *Here, with this trained network on this board, its own velocity is as quiet a tangent as the exact one, within a tenth, and the conditional one is noisier.
# The field ends nearest with the exact tangent.* That is no law: the noise of the target is $J\,\Delta$ with the conditional tangent and $\Delta$ with
# the exact one ($\Delta$ is $\varepsilon - x$ minus its mean), so where $J$ contracts, the conditional tangent is the quieter one. After so short a training
# the fields differ by some per cent, and this is one seed; notebook 4 has five. To put the network's own velocity into the tangent, and leave
# the target as it is, is *improved* mean flow ([2512.02012](https://arxiv.org/abs/2512.02012), here `improved_mean_flow_loss`).

# %%
assert abs(noise["own"] / noise["exact"] - 1) < 0.1
assert noise["conditional"] > 1.3 * noise["own"]
assert error["exact"] < min(error["conditional"], error["own"])

# %% [markdown]
# ## A target without noise
#
# Why stop at the tangent? In the rows with $r = t$ the network learns its velocity from $\varepsilon - x$, as it must. But in the rows with
# $r < t$ that velocity is known, as well as the network knows it, so it can stand in the *target* too. The network becomes its own teacher:
# **self-distillation** ([2505.18825](https://arxiv.org/abs/2505.18825)). It trades variance for bias, for where the teacher is wrong, so is the target.
# Two more ideas come with it:
#
# * The network changes at every step, so its velocity makes a shaky target. We use a slowly **moving average** of its weights instead.
# * A target without noise allows a **robust** loss. Squared error seeks the mean of a noisy target, and only a mean makes the
#   identity true. Where nothing is noisy, the mean is the median, and we may let an error far above $\sqrt{c}$ count by its length, not its square:
#   a few wild rows at the seams, where $u$ jumps, no longer decide everything. The weight is the paper's, with $p = \tfrac12$.

# %%
sources = map(inspect.getsource, (self_distilled_mean_flow_loss, flow.weighted))
Code("\n\n".join(sources), language="python")

# %% [markdown]
# To see what it brings, take two networks trained beforehand, for two and a half times as many steps: one by the plain loss, one
# self-distilled, all else equal. (To train such a one yourself: `train(MeanVelocityMLP(), self_distilled_mean_flow_loss,
# board.sample, times, with_average=True)`.)

# %%
distilled_net = load_pretrained("checkerboard", "self_distilled_mean_flow")
score = {}
for name, net in {"plain": mean_flow, "self-distilled": distilled_net}.items():
    points = sample(net, z_1, 1)
    score[name] = [sliced_w2(points, target), total_variation(points, target),
                   map_error(net, board, z_1[:4000]).median().item()]
    print(f"{name:15} sliced W2 {score[name][0]:.4f}   total variation {score[name][1]:.3f}   "
          f"median map error {score[name][2]:.3f}")

# %% [markdown]
# *Same network, same number of steps, one evaluation: the self-distilled one is sharper (one seed; notebook 4 has five).* (Total variation is the share of
# points in a wrong tile, of 64 × 64 tiles; it sees blurred edges, to which sliced W2 is nearly blind. The map error is the distance of
# each one-step sample from where the exact flow takes the same noise, so it has no sampling noise.)

# %%
assert score["self-distilled"][1] < score["plain"][1] - 0.02
assert score["self-distilled"][2] < 0.8 * score["plain"][2]

# %% [markdown]
# ## The learned $u$ against the exact one
#
# So do not read the loss. Read the field of the self-distilled network: $|u_\theta - u|$ over the plane, for an interval $(r, t)$. First three of them.

# %%
levels, places = 10, plots.grid(40)


def errors_at(i, j):
    """Errors of u at r = i / levels, t = j / levels: on the grid, then at 1000 particles."""
    z_t = torch.cat([places, interpolate(target[:1000], z_1[:1000], j / levels)[0]])
    return field_error(distilled_net, board, z_t, i / levels, j / levels, n_steps=12)


# %%
everywhere = {(i, j): errors_at(i, j) for j in range(levels + 1) for i in range(j + 1)}
white = [plots.unvisited(interpolate(target, z_1, ones * j / levels)[0], 40)
         for j in range(levels + 1)]
errors = {(i, j): error[: len(places)].masked_fill(white[j], torch.nan)
          for (i, j), error in everywhere.items()}
rms = {key: error[len(places) :].square().mean().sqrt().item() for key, error in everywhere.items()}

# %%
chosen = {(5, 10): "r = 0.5, t = 1", (0, 10): "r = 0, t = 1", (0, 5): "r = 0, t = 0.5"}
maps = {name: errors[key] for key, name in chosen.items()}
fig = plots.heat(maps, highest=1.0, label="error of u")
for key, name in chosen.items():
    share = (everywhere[key][len(places) :] < 0.2).float().mean()
    print(f"{name:16} share of particles with an error below 0.2: {share:.0%}")
    assert share > 0.9
plots.show(fig, "Maps of the error of the learned average velocity for three intervals: dark over "
                "most of the plane, bright along thin lines between the squares of the board when r"
                " is 0.")

# %% [markdown]
# *For more than nine particles in ten the error is below 0.2 (dark). The network is wrong along the seams where neighbours part for different squares
# (bright): there the exact $u$ jumps, and a smooth network cannot.*
#
# Move $r$ and $t$. Where is the error when the two are equal, so that $u$ is just $v$? Which interval is the hardest?

# %%
widgets.error_slider(errors, rms, levels)

# %%
hardest = max(rms, key=rms.get)
named = {"hardest interval": hardest, "one step": (0, levels), "the velocity at t = 0.5": (5, 5)}
for name, (i, j) in named.items():
    print(f"{name:24} r = {i / levels}, t = {j / levels}: rms error {rms[i, j]:.2f}")
assert hardest == (0, 0)

# %% [markdown]
# *The hardest is $r = t = 0$: there the velocity itself jumps, at the edges of the squares (and the exact one is asked at $t = 0.001$, for at 0 it is not
# defined). One step never asks for it.*

# %% [markdown]
# ## Where one step goes wrong
#
# We said that it is the seams. We can check, for the exact flow tells where they are: $\partial z_0/\partial z_1$ of the exact map
# says how far neighbours in the noise part on their way to the data. Take it as a difference between points a tenth apart; its largest
# singular value is the greatest stretch. Beside it, the map error of the self-distilled network. Each is shown by rank, from the smallest
# of the plane to the largest, since both range over orders of magnitude.

# %%
def stretch(z, h=0.05):
    def carry(z):
        return flow_map(board, z, 0, 1, n_steps=12)

    columns = [(carry(z + h * direction) - carry(z - h * direction)) / (2 * h)
               for direction in torch.eye(2)]
    return torch.linalg.matrix_norm(torch.stack(columns, dim=2), ord=2)


# %%
inside = places.norm(dim=1) < 2.5  # where noise is
maps = {"stretch of the exact map": stretch(places),
        "error of the learned map": map_error(distilled_net, board, places)}
ranks = {}
for name, value in maps.items():
    rank = value[inside].argsort().argsort() / inside.sum()
    ranks[name] = torch.full_like(value, torch.nan).masked_scatter(inside, rank)
fig = plots.heat(ranks, highest=1.0, label="rank")
plots.show(fig, "Two round maps over the noise, much alike: bright lines where the exact flow "
                "tears neighbours apart, and where the learned one-step map errs.")

# %%
particles = z_1[:4000]
square = map_error(distilled_net, board, particles).square()
tenth = stretch(particles).argsort()[-400:]
share = (square[tenth].sum() / square.sum()).item()
print(f"the most stretched tenth of the particles carries {share:.0%} of the squared error")

# %% [markdown]
# *One particle in ten, the most stretched, carries more than half of the squared error.* The network does not err at random. It
# rounds off the places where the truth is torn.

# %%
assert share > 0.5

# %% [markdown]
# ## What we have
#
# * The **loss** is three lines: a JVP, a target, a squared distance to the *detached* target.
# * **One step** is $z_0 = z_1 - u_\theta(z_1, 0, 1)$, and it is a checkerboard: sliced W2 below 0.05 where flow matching has more than 0.9.
# * The **loss value** does not tell how good $u$ is; samples, and here the exact field, do.
# * The conditional velocity costs **variance**, in the target more than in the tangent; the network's own velocity has none, but a bias.
# * What error is left sits **on the seams**, where the exact flow tears neighbours apart.
#
# Who wins where, and what does it cost? [Compare them](04_comparison.ipynb).
#
# ## Exercises
#
# Each has a cell for your answer, a check that says what is wrong, and a solution (in JupyterLab it is folded: click on the dots).
#
# **1. Change an argument.** Call `mean_flow_loss` on the batch `x_test, eps_test` with *both* times equal to `t_test`. Which loss of notebook 2 is
# it? Give its value.

# %%
loss_at_equal_times = ...  # one line

# %%
z_test, v_test = interpolate(x_test, eps_test, t_test)
expected = (u_net(z_test, t_test, t_test) - v_test).square().sum(dim=1).mean()
check(loss_at_equal_times, expected,
      hint="Pass t_test twice: then u_tgt is v itself, which is flow matching.",
      mistakes={"That has r_test in it. Both times are t_test.":
                mean_flow_loss(u_net, x_test, eps_test, r_test, t_test)})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
loss_at_equal_times = mean_flow_loss(u_net, x_test, eps_test, t_test, t_test)
check(loss_at_equal_times, expected)

# %% [markdown]
# **2. A loss one should not read.** The paper divides every sample's squared error by (itself + $c$) to the power $p$; on ImageNet,
# $p = 1$ is best (`mean_flow_loss(..., p=1.0)`). Give its value on the same test batch, for the trained network
# and for `fresh_net`. What do you notice?

# %%
trained_value, fresh_value = ..., ...

# %%
batch = x_test, eps_test, r_test, t_test
expected = [mean_flow_loss(net, *batch, p=1.0) for net in (u_net, fresh_net)]
plain = [mean_flow_loss(net, *batch) for net in (u_net, fresh_net)]
for k, value in enumerate((trained_value, fresh_value)):
    check(value, expected[k], "Both nearly 1: the mean of e / (e + c), for errors e far above c.",
          mistakes={"That is the plain loss. Pass p=1.0.": plain[k]})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
trained_value, fresh_value = (mean_flow_loss(net, *batch, p=1.0) for net in (u_net, fresh_net))
print(f"{trained_value:.3f} and {fresh_value:.3f}: nearly 1, and nearly the same")
check(trained_value, expected[0])
check(fresh_value, expected[1])

# %% [markdown]
# **3. Derive and implement.** Write the self-distilled loss on the very first batch, `z, v, r, t`, for `u_net`, which here is its own average, without the
# robust weight (`p=0`): the network's own velocity in the tangent; in the target too, where $r < t$. Four lines.

# %%
distilled = ...

# %%
with torch.no_grad():
    own_v = u_net(z, t, t)
    value, rate = torch.func.jvp(u_net, (z, r, t), (own_v, torch.zeros_like(r), torch.ones_like(t)))
    only_tangent, in_all_rows = ((value - v_tgt + (t - r) * rate).square().sum(dim=1).mean()
                                 for v_tgt in (v, own_v))
    weighted = self_distilled_mean_flow_loss(u_net, x, eps, r, t, u_net)
check(distilled, self_distilled_mean_flow_loss(u_net, x, eps, r, t, u_net, p=0),
      hint="own = u_net(z, t, t).detach(); tangents (own, 0, 1); "
           "the target has own where r < t, and v where r = t.",
      mistakes={"The target still has ε − x where r < t: that is improved mean flow.": only_tangent,
                "The target has the network's own velocity where r = t, too.": in_all_rows,
                "That is the plain loss.": mean_flow_loss(u_net, x, eps, r, t),
                "That has the robust weight. Pass p=0.": weighted})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
own = u_net(z, t, t).detach()
value, rate = torch.func.jvp(u_net, (z, r, t), (own, torch.zeros_like(r), torch.ones_like(t)))
u_tgt = torch.where(r < t, own, v) - (t - r) * rate
distilled = (value - u_tgt.detach()).square().sum(dim=1).mean()
check(distilled, self_distilled_mean_flow_loss(u_net, x, eps, r, t, u_net, p=0))

# %% [markdown]
# **4. Break it.** Write the loss with the tangents $(v, 1, 0)$, all else as it should be, and train it for 1,000 steps. No error will be raised. How do
# you notice?


# %%
def broken_loss(u_net, x, eps, r, t):
    return ...  # four lines


# %%
def value_and_slope(loss):
    """The loss, and the size of its gradient in the last weights: in it a missing detach shows."""
    slope, = torch.autograd.grad(loss, u_net.net[-1].weight, retain_graph=True)
    return torch.stack([loss.detach(), slope.norm()])


value, rate = torch.func.jvp(u_net, (z, r, t), (v, torch.ones_like(r), torch.zeros_like(t)))
expected, no_detach = (value_and_slope((value - u_tgt).square().sum(dim=1).mean())
                       for u_tgt in ((v - (t - r) * rate).detach(), v - (t - r) * rate))
answer = broken_loss(u_net, x, eps, r, t)
if torch.is_tensor(answer) and answer.requires_grad:
    answer = value_and_slope(answer)
check(answer, expected, tolerance=1e-2, hint="mean_flow_loss by hand, with the tangents (v, 1, 0).",
      mistakes={"That is the right loss; set the tangents to (v, 1, 0).":
                value_and_slope(mean_flow_loss(u_net, x, eps, r, t)),
                "The value is right, the gradient is not: detach the target.": no_detach})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def broken_loss(u_net, x, eps, r, t):
    z, v = interpolate(x, eps, t)
    u, dudt = torch.func.jvp(u_net, (z, r, t), (v, torch.ones_like(r), torch.zeros_like(t)))
    return (u - (v - (t - r) * dudt).detach()).square().sum(dim=1).mean()


broken_net, broken_losses = train(MeanVelocityMLP(), broken_loss, board.sample, times, n_steps=1000,
                                  ema_decay=0.99)
print(f"final loss {broken_losses[-100:].mean():.2f}, which looks healthy; one step, sliced W2 "
      f"{sliced_w2(sample(broken_net, z_1, 1), target):.2f}, which does not")

# %% [markdown]
# **5. Undo it.** Train for 1,500 steps with our times, and with plain ones, without the squares:
# `sample_r_t(n, p_equal=0.625, p_zero=0.125, generator=generator)`. Compare them at 1 and at 32 steps. Which rows did the plain times starve?


# %%
def plain_times(n, generator):
    return ...  # one line


# %%
zero, shares = torch.Generator(), dict(p_equal=0.625, p_zero=0.125)
expected = torch.cat(sample_r_t(100, **shares, generator=zero.manual_seed(0)))
squared = sample_r_t(100, **shares, draw=squared_uniform, generator=zero.manual_seed(0))
forgotten = sample_r_t(100, **shares, generator=torch.manual_seed(1))
torch.manual_seed(1)
answer = plain_times(100, zero.manual_seed(0))
answer = torch.cat(answer) if isinstance(answer, tuple) else answer
check(answer, expected, hint="Return what sample_r_t returns: r and t.",
      mistakes={"Those are squared. Leave `draw` out.": torch.cat(squared),
                "Pass the generator on to sample_r_t.": torch.cat(forgotten)})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def plain_times(n, generator):
    return sample_r_t(n, p_equal=0.625, p_zero=0.125, generator=generator)


result = {}
for draw in (plain_times, times):
    net, _ = train(fresh_net, mean_flow_loss, board.sample, draw, n_steps=1500, ema_decay=0.99)
    result[draw] = [sliced_w2(sample(net, z_1, n_steps), target) for n_steps in (1, 32)]
    near_data = (draw(100_000, None)[1] < 0.1).float().mean()
    print(f"{draw.__name__:12} 1 NFE {result[draw][0]:.3f}   32 NFE {result[draw][1]:.3f}   "
          f"rows with t < 0.1: {near_data:.3f}")
assert all(plain > ours for plain, ours in zip(result[plain_times], result[times]))

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Mean Flows for One-step Generative Modeling](https://arxiv.org/abs/2505.13447) (2025): Algorithms 1 and 2, Table 1.
# * Geng et al., [Improved Mean Flows](https://arxiv.org/abs/2512.02012) (2025): the network's own velocity as the tangent.
# * [On Variance Reduction in Learning Mean Flows](https://arxiv.org/abs/2605.09235) (2026): the two roles of the conditional velocity.
# * [Understanding, Accelerating, and Improving MeanFlow Training](https://arxiv.org/abs/2511.19065) (2025); [AlphaFlow](https://arxiv.org/abs/2510.20771) (2025).
# * Raymond Fan, *Introduction to Mean Flow* (2025).
