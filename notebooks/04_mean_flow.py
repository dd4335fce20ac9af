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
# # 4. Train a mean flow
#
# **The question.** Can a network learn to jump from noise to data in one evaluation?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import copy
import inspect
from pathlib import Path
from tempfile import mkdtemp

import torch
from IPython.display import Code

from mfutils import (
    DISTRIBUTIONS, MeanVelocityMLP, check, field_error, gaussian, interpolate, load_average,
    load_pretrained, mean_flow_loss, midpoint, noise_floor, sample, sample_r_t, score_by_steps,
    sliced_w2, squared_uniform, total_derivative, train,
)
from mfutils.show import figures, plots, widgets

board = DISTRIBUTIONS["checkerboard"]

# %%
z_few = gaussian(3000, torch.manual_seed(0))
flow_matching = load_pretrained("checkerboard", "flow_matching")
mean_flow = load_pretrained("checkerboard", "mean_flow")
one_evaluation = {"flow matching, 1 NFE": sample(flow_matching, z_few, 1),
                  "another network, 1 NFE": sample(mean_flow, z_few, 1)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw two networks, each asked once
fig = plots.clouds({"noise": z_few, **one_evaluation}, target=board.sample(3000))
plots.show(fig, "Noise; one evaluation of flow matching, a point in the middle; one evaluation of another "
                "network, a checkerboard; the target.")

# %% [markdown]
# *Two networks of the same size, trained on the same data for as many steps. Each is asked once per sample. What was the other network taught?*
#
# | | |
# |---|---|
# | **You will do** | compute $\mathrm{d}u/\mathrm{d}t$ three ways; build the loss on one batch; train, and watch; sample rightly and wrongly; take the whole method home in forty lines |
# | **You will learn** | why a single pair's velocity may stand for the mean; what the stop-gradient is for; how to judge a one-step model |
# | **You need** | the identity $u = v - (t-r)\,\mathrm{d}u/\mathrm{d}t$ from [notebook 2](02_average_velocity.ipynb), and the loss of [notebook 3](03_flow_matching.ipynb) |
# | **Time** | 25 minutes to read, a minute to run |

# %% [markdown]
# ## A network with two times
#
# A mean-flow network answers the question: *from $z$ at time $t$, with what constant velocity do I reach time $r$?* So it takes both times. Inside, it sees $t$ and $t-r$, which
# the paper found slightly better than $t$ and $r$ (Table 1c).

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the network
Code(inspect.getsource(MeanVelocityMLP.features) + "\n" + inspect.getsource(MeanVelocityMLP.forward),
     language="python")

# %% [markdown]
# Which pairs of times should it practise? We use three kinds of rows:
#
# * $r = t$ in five eighths of the rows. There the identity says $u = v$, so these rows are plain flow matching. They are the ground on which all others build.
# * $r = 0$ in one eighth, because that is the end that one step has to reach.
# * Any $r < t$ in the rest.
#
# The paper has the first and the third kind, with three quarters of the rows at $r=t$ on ImageNet. The second kind is our addition. So is that we square the uniform random times before we sort them: then $t$, the larger one, is uniform as in notebook 3 (the larger of two uniform numbers leans toward noise), and $r$ leans toward data. The shares are a recipe, not a law.

# %%
torch.manual_seed(1)
x, eps = board.sample(1024), torch.randn(1024, 2)
r, t = sample_r_t(1024, p_equal=0.625, p_zero=0.125, draw=squared_uniform)
z, v_cond = interpolate(x, eps, t)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the times
fig = figures.time_pairs(r, t)
plots.show(fig, "A triangle of points (r, t): many on the diagonal r = t, some on the edge r = 0, "
                "the rest between, denser near r = 0.")

# %% [markdown]
# ## Three ways to the derivative
#
# The identity needs $\mathrm{d}u/\mathrm{d}t = \frac{\partial u}{\partial z}v + \frac{\partial u}{\partial t}$. **One call** gives it, with tangents that say: $z$ moves with the velocity, $r$ stands still, $t$ advances. We
# use the velocity of the pair, `v_cond`, since that is what we have.

# %%
torch.manual_seed(0)
fresh_net = MeanVelocityMLP()
tangents = v_cond, torch.zeros_like(r), torch.ones_like(t)
u, dudt = torch.func.jvp(fresh_net, (z, r, t), tangents)

# %% [markdown]
# **Finite differences**: move all inputs a little along the tangents and divide. (In double precision, on a copy.)

# %%
net64, step = copy.deepcopy(fresh_net).double(), 1e-5
z64, r64, t64, v64 = z.double(), r.double(), t.double(), v_cond.double()
with torch.no_grad():
    ahead = net64(z64 + step * v64, r64, t64 + step)
    behind = net64(z64 - step * v64, r64, t64 - step)
difference = (ahead - behind) / (2 * step)

# %% [markdown]
# **By hand**: carry the rate of change $\dot h$ of every layer beside its value $h$. There are two rules, one line each. A linear layer maps $\dot h$ by the same matrix, without the bias. An activation
# multiplies $\dot h$ by its slope at $h$. (PyTorch's `gelu_backward` is that product: forward and backward multiply by the same slope.)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the derivative by hand
Code(inspect.getsource(MeanVelocityMLP.total_derivative), language="python")

# %%
by_hand = fresh_net.total_derivative(z, r, t, v_cond)[1]
print(f"largest gap, JVP to differences {(dudt - difference).abs().max():.1e}, "
      f"JVP to by hand {(dudt - by_hand).abs().max():.1e}")

# %% [markdown]
# All three agree. The losses call `total_derivative(u, z, r, t, v)`, which takes the fastest: by hand where a network brings its own, `torch.func.jvp` for any other function.
#
# ## The loss
#
# **Mean flow, in English:** draw a data point, a noise point and two times. Ask the network for $u$, and for how $u$ changes along the way. The identity says what $u$ should have been. Take that as given, and move $u$ toward it.

# %%
u_tgt = v_cond - (t - r) * dudt
loss = (u - u_tgt.detach()).square().sum(dim=1).mean()
loss

# %% [markdown]
# Compare the target with the identity:
#
# $$u = v - (t-r)\,\frac{\mathrm{d}u}{\mathrm{d}t} \qquad\text{against}\qquad u_\text{tgt} = v_\text{cond} - (t-r)\,\frac{\mathrm{d}u}{\mathrm{d}t}.$$
#
# Two things are new.
#
# * The mean velocity $v$ is replaced by one pair's $v_\text{cond} = \varepsilon - x$, here and in the tangent. Why this is allowed comes after the training.
# * `detach` stops the gradient: the target is an answer, not something to be adjusted. (The paper writes $\mathrm{sg}(u_\text{tgt})$, for *stop-gradient*.) Without it the gradient would also run through the derivative, and the network could lower the loss by making its target less noisy instead of being right. Notebook 7 tries that.
#
# The target is made with the network's own derivative. Why should chasing it ever settle? In the rows with $r=t$ the derivative has no weight, so $u(z,t,t)$ learns $v$ as in notebook 3. For short intervals its weight $t-r$ is small, so their target is nearly right, too; and longer intervals build on shorter ones. This is an intuition, not a proof.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the loss, and check that it returns the same number
assert torch.allclose(mean_flow_loss(fresh_net, x, eps, r, t), loss)
Code(inspect.getsource(mean_flow_loss), language="python")


# %% [markdown]
# ## Train
#
# As in notebook 3, with the new loss and the new times: 5,000 steps, half a minute. We save a checkpoint every 250 steps, to look at later. (`train` works on a copy, so `fresh_net` stays fresh.)

# %%
def times(n, generator):
    return sample_r_t(n, p_equal=0.625, p_zero=0.125, draw=squared_uniform, generator=generator)


runs = Path(mkdtemp())
recipe = dict(loss=mean_flow_loss, data=board.sample, times=times, n_steps=5000, ema_decay=0.99,
              checkpoint=runs / "{step}.pt", checkpoint_every=250)
u_net, losses = train(fresh_net, **recipe)

# %% [markdown]
# One step is $z_0 = z_1 - u_\theta(z_1, 0, 1)$. **Predict:** will more steps look better, worse, or the same? For the exact $u$ their number did not matter.

# %%
n = 50_000
z_1, target = gaussian(n, torch.manual_seed(2)), board.sample(n)
ones = torch.ones(n, 1)
with torch.no_grad():
    one_step = z_1 - u_net(z_1, 0 * ones, ones)
steps = (1, 2, 4, 8, 12, 32)
samples, distances = score_by_steps(u_net, z_1, target, steps)
assert torch.equal(samples[1], one_step)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the samples
fig = plots.clouds({f"{n_steps} NFE": samples[n_steps] for n_steps in (1, 2, 8)}, target=target)
plots.show(fig, "Mean-flow samples with 1, 2 and 8 evaluations and the target: "
                "checkerboards all, the first with blurred edges and bridges between the squares.")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Compare with flow matching, and check the bar
euler_scores = score_by_steps(flow_matching, z_1, target, steps)[1]
by_midpoint = load_pretrained("checkerboard", "flow_matching", solver=midpoint)
midpoint_scores = score_by_steps(by_midpoint, z_1, target, (1, 2, 4, 6, 16))[1]
floor, floor_95 = noise_floor(sliced_w2, board, n)
plots.table({
    "flow matching, Euler": {f"{k} NFE": f"{euler_scores[k]:.3f}" for k in steps},
    "flow matching, midpoint": {"1 NFE": ""} | {f"{2 * k} NFE": f"{d:.3f}"
                                                for k, d in midpoint_scores.items()},
    "mean flow": {f"{k} NFE": f"{distances[k]:.3f}" for k in steps}}, corner="sliced W2")
print(f"noise floor {floor:.3f}, 95 % quantile {floor_95:.3f}")
bar = midpoint_scores[2]  # two midpoint steps are four evaluations
assert distances[1] < bar

# %% [markdown]
# <details><summary>What happened</summary>
#
# A board, in one evaluation, and a better one in eight: the learned $u$ is not exact, and shorter jumps are easier. Flow matching (here a network that was trained longer) needs several evaluations by the midpoint rule to come as near as the mean flow's one, and more by Euler.
#
# </details>
#
# [Notebook 5](05_comparison.ipynb) finds how many, with five seeds, four distributions and a second distance: four to twelve by midpoint. Here we ask for the lower end, and call it the `bar`: one evaluation must come nearer than *four* of flow matching.

# %% [markdown]
# ## Watch it learn
#
# The checkpoints hold the run as it was every 250 steps. From each we take the moving average and sample in one step. **Predict:** what appears first, the outline of the board, the empty squares, or the sharp edges?

# %%
watched = {}
for step in (250, 500, 750, 1000, 1500, 2000, 3000, 4000, 5000):
    average = load_average(runs / f"{step}.pt", fresh_net)
    watched[step] = sample(average, z_1, 1)
progress = {step: sliced_w2(points, target) for step, points in watched.items()}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the first stages
shown = {f"step {step}": watched[step] for step in (250, 500, 1000, 2000, 5000)}
fig = plots.clouds(shown, target=target)
plots.show(fig, "One-step samples after 250, 500, 1000, 2000 and 5000 training steps, and the "
                "target: a shape that becomes a checkerboard.")

# %% [markdown]
# Move through the training, or press play. When could you first name the distribution? What still changes after step 2,000?

# %%
widgets.stages(watched, target, progress)

# %% [markdown]
# <details><summary>What happened</summary>
#
# The outline comes first, then the outer squares, then the empty squares in the middle. The edges keep sharpening to the end.
#
# </details>
#
# A checkpoint is also where a run can go on. Suppose it had been stopped after step 4,750. The same call with `resume` does the last 250 steps again, and ends at the very same network:

# %%
resumed, _ = train(fresh_net, **recipe, resume=runs / "4750.pt")

# %% tags=["nbval-check-output"]
all(torch.equal(a, b) for a, b in zip(resumed.parameters(), u_net.parameters()))

# %% [markdown]
# ## Why one pair may stand for the mean
#
# The identity wants the mean velocity $v(z, t)$, and we gave it $v_\text{cond}$, which is $v$ plus noise. For a frozen network the target is
#
# $$u_\text{tgt} = v_\text{cond} - (t-r)\Big(\frac{\partial u}{\partial z}\,v_\text{cond} + \frac{\partial u}{\partial t}\Big).$$
#
# Look at how $v_\text{cond}$ enters: once alone, once multiplied by a matrix. So the target is an **affine** function of $v_\text{cond}$, and the mean of an affine function is the function of the mean. Averaged over all
# pairs through $z$, it is the target with $v(z, t)$. And squared error is minimised by the mean.
#
# Let us check this at one place, with 100,000 pairs weighted as in notebook 1.

# %%
torch.manual_seed(3)
here, r_now, t_now = torch.tensor([[1.2, 0.4]]), 0.2, 0.7
x_many = board.sample(100_000)
eps_many = (here - (1 - t_now) * x_many) / t_now
weight = torch.softmax(-eps_many.square().sum(dim=1) / 2, dim=0)[:, None]


def target_at(v):
    """The target at `here` if the velocity were v: (k, 2) to (k, 2)."""
    with torch.no_grad():
        _, dudt = total_derivative(u_net, here.repeat(len(v), 1), r_now, t_now, v)
    return v - (t_now - r_now) * dudt


targets = target_at(eps_many - x_many)
mean_of_targets = (weight * targets).sum(dim=0)
target_of_mean = target_at(board.velocity(here, t_now))[0]
variance = (weight * (targets - mean_of_targets) ** 2).sum(dim=0)
error = (variance * weight.square().sum()).sqrt()  # of a weighted mean
print("mean of the targets", mean_of_targets, "±", error)
print("target of the mean ", target_of_mean)
assert ((mean_of_targets - target_of_mean).abs() < 5 * error).all()

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the targets
likely = targets[torch.multinomial(weight[:, 0], 2000, replacement=True)]
fig = figures.targets(likely, mean_of_targets, target_of_mean)
plots.show(fig, "Targets of two thousand pairs through one point, scattered in patches; a dot for "
                "their mean, and a cross for the target of the mean velocity.")

# %% [markdown]
# *Targets of single pairs at one place (orange), their mean (black dot), and the target made with the exact mean velocity (cross).*
#
# **What happened.** The mean is right, and the price is scatter: single targets lie widely around it. Where this scatter comes from, when `detach` matters, and what the loss value hides is the subject of [notebook 7](07_inside_the_loss.ipynb).
#
# ## Three ways to sample wrongly
#
# All three run without an error. **Predict** which is the worst.
#
# * **Swapped times**, `u(z, t, r)`.
# * **Forgotten `(t - r)`** in several steps: `z - u(z, r, t)`.
# * **Wrong anchor**: the average velocity belongs to the *noisy* end. Here we first compute the right $z_0$ and then feed it in by mistake: $z_0 = z_1 - u(z_0, 0, 1)$.

# %%
with torch.no_grad():
    quarter, no_factor = ones / 4, z_1
    for i in (4, 3, 2, 1):
        no_factor = no_factor - u_net(no_factor, (i - 1) * quarter, i * quarter)
    wrong = {"swapped times": z_1 - u_net(z_1, ones, 0 * ones),
             "forgotten (t − r)": no_factor,
             "wrong anchor": z_1 - u_net(one_step, 0 * ones, ones)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw them
titles = {f"{name}: {sliced_w2(points, target):.2f}": points for name, points in wrong.items()}
fig = plots.clouds({f"right: {distances[1]:.2f}": one_step, **titles})
plots.show(fig, "The right one-step sample, a checkerboard, beside three wrong ones that are not.")

# %% [markdown]
# *With the sliced W2 of each.*
#
# <details><summary>What happened</summary>
#
# By this distance the forgotten factor is the worst: each of four steps is four times too long. Swapped times ask for something that was never trained, and the wrong anchor asks at the wrong place. Only the picture, or the distance, tells.
#
# </details>
#
# ## Where is it wrong?
#
# For the checkerboard we know the exact $u$, so we can look at $|u_\theta - u|$ over the plane, for every interval.

# %%
levels, places = 10, plots.grid(32)
errors, rms = {}, {}
for j in range(levels + 1):
    particles, _ = interpolate(target[:500], z_1[:500], j / levels)
    visited, _ = interpolate(target, z_1, j / levels)
    white = plots.unvisited(visited, 32)
    for i in range(j + 1):
        both = torch.cat([places, particles])
        error = field_error(u_net, board, both, i / levels, j / levels, n_steps=12)
        errors[i, j] = error[:len(places)].masked_fill(white, torch.nan)
        rms[i, j] = error[len(places):].square().mean().sqrt().item()

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw three intervals
chosen = {(5, 10): "r = 0.5, t = 1", (0, 10): "r = 0, t = 1", (0, 5): "r = 0, t = 0.5"}
fig = plots.heat({name: errors[key] for key, name in chosen.items()}, 1.0, "error of u")
plots.show(fig, "Maps of the error of the learned average velocity for three intervals: dark over "
                "most of the plane, bright along thin lines when r is 0.")

# %% [markdown]
# *Dark: a small error. White: no particle comes by.*
#
# The bright lines are **seams**: places where neighbours in the noise part for different squares. There the exact $u$ with $r = 0$ jumps, and a smooth network cannot.
#
# Drag the point in the triangle of all intervals, which is coloured by the error (rms). What is the error when the two are equal, so that $u$ is just $v$? Which interval is the hardest?

# %%
widgets.error(errors, rms, levels)

# %%
for i, j in (max(rms, key=rms.get), (0, levels)):
    print(f"r = {i / levels}, t = {j / levels}: rms error {rms[i, j]:.2f}")

# %% [markdown]
# **What happened.** The hardest is $r = t = 0$ (we compare with the velocity at $t = 0.001$). Near the edges of the squares the exact velocity changes within a distance of about $t$; a smooth network spreads that change into the squares. The second line is the interval of one step, which never asks for it.

# %% [markdown]
# ## The whole method, to take home
#
# Nothing but PyTorch: data, network, loss, training and sampling in forty lines, to copy anywhere. It is simpler than the run above (one optimiser, no moving average, no rows with $r=0$) and shorter, so its samples are clearly more blurred.

# %%
import torch
from torch import nn


def dark_squares(n):
    column = torch.randint(4, (n,))
    row = 2 * torch.randint(2, (n,)) + column % 2
    return torch.stack([column, row], dim=1) - 2 + torch.rand(n, 2)


class MeanVelocity(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        sizes = [4, width, width, width, width]
        layers = [part for a, b in zip(sizes, sizes[1:]) for part in (nn.Linear(a, b), nn.GELU())]
        self.net = nn.Sequential(*layers, nn.Linear(width, 2))

    def forward(self, z, r, t):
        return self.net(torch.cat([z, t, t - r], dim=1))


torch.manual_seed(0)
my_net, n_batches = MeanVelocity(), 2500
optimizer = torch.optim.Adam(my_net.parameters(), lr=4e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_batches)
for _ in range(n_batches):
    x, eps = dark_squares(1024), torch.randn(1024, 2)
    r, t = torch.rand(1024, 2).square().sort(dim=1).values.split(1, dim=1)
    r = torch.where(torch.rand(1024, 1) < 0.625, t, r)  # most rows: plain flow matching
    z, v_cond = (1 - t) * x + t * eps, eps - x
    u, dudt = torch.func.jvp(my_net, (z, r, t), (v_cond, torch.zeros_like(r), torch.ones_like(t)))
    u_tgt = v_cond - (t - r) * dudt
    loss = (u - u_tgt.detach()).square().sum(dim=1).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
noise, ones = torch.randn(50_000, 2), torch.ones(50_000, 1)
with torch.no_grad():
    my_samples = noise - my_net(noise, 0 * ones, ones)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw its samples, and check the bar
my_distance = sliced_w2(my_samples, target)
fig = plots.clouds({f"forty lines: {my_distance:.3f}": my_samples, f"above: {distances[1]:.3f}": one_step},
                   target=target)
plots.show(fig, "One-step samples of the forty lines, a checkerboard that is only just visible; of the "
                "network above, a clearer one; and the target.")
print(f"bar {bar:.3f}")
assert my_distance < bar

# %% [markdown]
# ## What we have
#
# * The **loss**: one JVP, a target, a squared distance to the *detached* target. One pair's velocity may stand for the mean, because the target is affine in it.
# * **One step** is $z_0 = z_1 - u_\theta(z_1, 0, 1)$, and it is a board.
# * Much of the error that is left sits on **seams**, where the exact flow tears neighbours apart.
# * Relatives: with $r$ fixed at 0 the identity is that of consistency models in continuous time; shortcut models compare one jump with two in a row, and need no derivative.
#
# Who wins where, and at what cost? [Compare](05_comparison.ipynb).
#
# ## Exercises
#
# Each has a cell for your answer and a folded check that says what is wrong. The solution is folded too.
#
# **1. Change an argument.** Call `mean_flow_loss` for `u_net` on the batch `x_test, eps_test` with *both* times equal to `t_test`. Which loss of notebook 3 is
# it? Give its value.

# %%
torch.manual_seed(4)
x_test, eps_test, t_test = board.sample(4096), torch.randn(4096, 2), torch.rand(4096, 1)
loss_at_equal_times = ...  # one line

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
z_test, v_test = interpolate(x_test, eps_test, t_test)
expected = (u_net(z_test, t_test, t_test) - v_test).square().sum(dim=1).mean()
check(loss_at_equal_times, expected,
      hint="Pass t_test twice: then u_tgt is v_cond itself, which is flow matching.",
      mistakes={"That is the loss with r = 0. Both times are t_test.":
                mean_flow_loss(u_net, x_test, eps_test, 0 * t_test, t_test)})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
flow_matching_value = mean_flow_loss(u_net, x_test, eps_test, t_test, t_test)
torch.testing.assert_close(flow_matching_value, expected)
print(f"{flow_matching_value:.3f}: flow matching, whose irreducible loss is about 3.37")

# %% [markdown]
# **2. A loss that you should not read.** The paper divides every sample's squared error by (itself + $c$) to the power $p$, held fixed; on ImageNet,
# $p = 1$ is best (Table 1e). (Then the minimiser is no longer the mean of the targets, a price the paper pays.) Give `mean_flow_loss(..., p=1.0)` on the batch below, for the trained network and for `fresh_net`. What do you notice?

# %%
r_test = t_test * torch.rand(4096, 1)
trained_value, fresh_value = ..., ...

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
batch = x_test, eps_test, r_test, t_test
expected_values = [mean_flow_loss(net, *batch, p=1.0) for net in (u_net, fresh_net)]
plain = [mean_flow_loss(net, *batch) for net in (u_net, fresh_net)]
for k, value in enumerate((trained_value, fresh_value)):
    check(value, expected_values[k],
          "Both nearly 1: the mean of e / (e + c), for errors e far above c.",
          mistakes={"That is the plain loss. Pass p=1.0.": plain[k]})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
for name, net in {"trained": u_net, "fresh": fresh_net}.items():
    print(f"{name:8} p = 0: {mean_flow_loss(net, *batch):.3f}   "
          f"p = 1: {mean_flow_loss(net, *batch, p=1.0):.4f}")
print("With p = 1 both are nearly 1. With p = 0 the trained one is even the higher: notebook 7 says why.")

# %% [markdown]
# **3. Break it.** Write the loss with the tangents $(v, 1, 0)$, all else as it should be. (Then train it for 600 steps. No error will be raised. How do you notice?)

# %%
def broken_loss(u_net, x, eps, r, t):
    return ...  # four lines


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
def value_and_slope(loss):
    """The loss, and the size of its gradient in the last weights: in it a missing detach shows."""
    slope, = torch.autograd.grad(loss, u_net.net[-1].weight, retain_graph=True)
    return torch.stack([loss.detach(), slope.norm()])


z_b, v_b = interpolate(x_test, eps_test, t_test)
value, rate = torch.func.jvp(u_net, (z_b, r_test, t_test),
                             (v_b, torch.ones_like(r_test), torch.zeros_like(t_test)))
tgt = v_b - (t_test - r_test) * rate
right, no_detach = (value_and_slope((value - a).square().sum(dim=1).mean()) for a in (tgt.detach(), tgt))
answer = broken_loss(u_net, x_test, eps_test, r_test, t_test)
if torch.is_tensor(answer) and answer.requires_grad:
    answer = value_and_slope(answer)
check(answer, right, tolerance=1e-2, hint="mean_flow_loss by hand, with the tangents (v, 1, 0).",
      mistakes={"That is the right loss; set the tangents to (v, 1, 0).":
                value_and_slope(mean_flow_loss(u_net, x_test, eps_test, r_test, t_test)),
                "The value is right, the gradient is not: detach the target.": no_detach})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
def loss_of_swapped_tangents(u_net, x, eps, r, t):
    z, v_cond = interpolate(x, eps, t)
    tangents = v_cond, torch.ones_like(r), torch.zeros_like(t)
    u, dudt = torch.func.jvp(u_net, (z, r, t), tangents)
    return (u - (v_cond - (t - r) * dudt).detach()).square().sum(dim=1).mean()


broken_net, broken_losses = train(fresh_net, loss_of_swapped_tangents, board.sample, times,
                                  n_steps=600, ema_decay=0.99)
print(f"final loss {broken_losses[-100:].mean():.2f}, which looks healthy; one step, sliced W2 "
      f"{sliced_w2(sample(broken_net, z_1, 1), target):.2f}, which does not")

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Mean Flows for One-step Generative Modeling](https://arxiv.org/abs/2505.13447) (2025): Algorithms 1 and 2, Table 1.
# * Geng et al., [Improved Mean Flows](https://arxiv.org/abs/2512.02012) (2025): what to put into the tangent.
# * [Understanding, Accelerating, and Improving MeanFlow Training](https://arxiv.org/abs/2511.19065) (2025).
# * Raymond Fan, *Introduction to Mean Flow* (2025).
