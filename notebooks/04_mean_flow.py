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
import inspect
from pathlib import Path
from tempfile import mkdtemp

import torch
from IPython.display import Code

from mfutils import (
    DISTRIBUTIONS, MeanVelocityMLP, check, flow_map, gaussian, interpolate, load_average,
    load_pretrained, mean_flow_loss, mean_velocity, midpoint, noise_floor, sample, sample_r_t,
    sliced_w2, squared_uniform, total_derivative, total_variation, train,
)
from mfutils.show import figures, plots, widgets

board = DISTRIBUTIONS["checkerboard"]

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw two networks, each evaluated once
z_few = gaussian(3000, torch.manual_seed(0))
flow_matching, mean_flow = (load_pretrained("checkerboard", name) for name in ("flow_matching", "mean_flow"))
one_evaluation = {"noise": z_few, "flow matching, 1 NFE": sample(flow_matching, z_few, 1),
                  "another network, 1 NFE": sample(mean_flow, z_few, 1)}
territory = plots.part(board, flow_map(board, z_few, 0, 1))
plots.show(plots.painted(one_evaluation, territory),
           "Noise in eight territories of colour; one evaluation of flow matching, a point in the middle; one "
           "evaluation of another network, eight coloured squares with bridges between them.")

# %% [markdown]
# *Two networks of the same size, trained on the same data for 12,500 steps each, and evaluated once per sample. What was the other network taught?*
#
# | | |
# |---|---|
# | **You will do** | build the loss on one batch; train, and watch; take the whole method home in forty lines |
# | **You will learn** | why one pair may stand for the mean; what to watch in place of the loss; what a smooth network does where it should tear; when not to use it |
# | **You need** | the identity $u = v - (t-r)\,\mathrm{d}u/\mathrm{d}t$ from [notebook 2](02_average_velocity.ipynb), and the loss of [notebook 3](03_flow_matching.ipynb) |
# | **Time** | 30 minutes to read, two minutes to run |

# %% [markdown]
# ## A network with two times
#
# A mean-flow network answers the question: *from $z$ at time $t$, with what constant velocity do I reach time $r$?* So it takes both times. Inside, it sees $t$ and $t-r$, which the paper found slightly better than $t$ and $r$ (Table 1c).

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the network
Code(inspect.getsource(MeanVelocityMLP.features) + "\n" + inspect.getsource(MeanVelocityMLP.forward),
     language="python")

# %% [markdown]
# Which pairs of times should we train on? Five eighths of the rows have $r=t$. There the identity says $u=v$: plain flow matching. One eighth has $r=0$: the end of the jump that we want. The rest has any $r<t$.
#
# To draw a pair, take two uniform numbers, square them, and call the smaller one $r$. Squaring makes the larger one, $t$, uniform, as in flow matching. (The shares are a recipe, not a law. On ImageNet the paper has three quarters of the first kind and none of the second.)

# %%
torch.manual_seed(1)
x, eps = board.sample(1024), torch.randn(1024, 2)
r, t = sample_r_t(1024, p_equal=0.625, p_zero=0.125, draw=squared_uniform)
z, v_cond = interpolate(x, eps, t)

# %% tags=["nbval-check-output"]
(r == t).float().mean().item(), ((r == 0) & (r < t)).float().mean().item()

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the times, and why they are squared
two = torch.rand(50_000, 2)
plots.show({"rows of one batch": figures.time_pairs(r, t),
            "the larger time of two": figures.histograms({"uniform: leans to noise": two.amax(dim=1),
                                                          "squared: t is uniform": two.square().amax(dim=1)}, "t", 20)},
           "A triangle of points (r, t): many on the diagonal r = t, some on the edge r = 0, the rest between. And two "
           "histograms: the larger of two uniform numbers leans to one, of two squared ones it is uniform.")

# %% [markdown]
# ## The loss
#
# **Mean flow, in English:** draw a data point, a noise point and two times. Ask the network for $u$, and for how $u$ changes along the way (a JVP with tangents $(v, 0, 1)$, where for $v$ we take that of the pair). The identity says what $u$ should have been. Take that as given, and move $u$ toward it.

# %%
torch.manual_seed(0)
fresh_net = MeanVelocityMLP()
tangents = v_cond, torch.zeros_like(r), torch.ones_like(t)
u, dudt = torch.func.jvp(fresh_net, (z, r, t), tangents)
u_tgt = v_cond - (t - r) * dudt
loss = (u - u_tgt.detach()).square().sum(dim=1).mean()
loss

# %% [markdown]
# Compare:
#
# $$u = v - (t-r)\,\frac{\mathrm{d}u}{\mathrm{d}t} \qquad\text{against}\qquad u_\text{tgt} = v_\text{cond} - (t-r)\,\frac{\mathrm{d}u}{\mathrm{d}t}.$$
#
# Two things are new. The marginal velocity $v$ is replaced by that of one pair; we ask next why this is allowed. And `detach` stops the gradient: the target is treated as a constant. (The paper writes $\mathrm{sg}(u_\text{tgt})$, for *stop-gradient*.) Without it the gradient would change the target, too, and a network could lower its loss by making targets less noisy instead of being right. [Notebook 7](07_inside_the_loss.ipynb) tries that.
#
# The module's loss is these lines; `total_derivative` is the JVP.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the loss, and check that it returns the same number
assert torch.allclose(mean_flow_loss(fresh_net, x, eps, r, t), loss)
Code(inspect.getsource(mean_flow_loss), language="python")

# %% [markdown]
# ## Why one pair may stand for the mean
#
# Pairs from all eight squares pass through one place $z$ at time $t$. What velocities do they give? From $z = (1-t)\,x + t\,\varepsilon$ follows $v_\text{cond} = \varepsilon - x = (z - x)/t$, so each square of data gives a square of velocities. And what targets?
#
# $$u_\text{tgt} = v_\text{cond} - (t-r)\Big(\frac{\partial u}{\partial z}\,v_\text{cond} + \frac{\partial u}{\partial t}\Big).$$
#
# Look at how $v_\text{cond}$ enters: once alone, once multiplied by a matrix. **Predict:** the eight squares become (a) eight squares somewhere else, (b) eight parallelograms, all alike, (c) curved shapes?

# %%
torch.manual_seed(4)
here, r_now, t_now = torch.tensor([[0.05, 0.6]]), 0.2, 0.7
x_all = board.sample(1_000_000)
eps_all = (here - (1 - t_now) * x_all) / t_now
weight = torch.softmax(-eps_all.square().sum(dim=1) / 2, dim=0)  # as in notebook 1
chosen = torch.multinomial(weight, 20_000, replacement=True)
v_pairs = (eps_all - x_all)[chosen]


# %%
def u_exact(z, r, t):
    return mean_velocity(board, z, r, t)


def target_of(v):
    """The target at `here`, if the velocity were v: (k, 2) to (k, 2)."""
    _, dudt = total_derivative(u_exact, here.repeat(len(v), 1), r_now, t_now, v)
    return v - (t_now - r_now) * dudt


u_pairs = target_of(v_pairs)
v_here, u_here = board.velocity(here, t_now)[0], u_exact(here, r_now, t_now)[0]

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw what single pairs say
shown = slice(0, 4000)
plots.show(figures.targets({"velocities of single pairs": (v_pairs[shown], v_pairs.mean(dim=0), v_here, "mean, and v"),
                            "their targets for u": (u_pairs[shown], u_pairs.mean(dim=0), u_here, "mean, and u")},
                           plots.part(board, x_all[chosen][shown])),
           "Left, eight coloured squares of velocities, denser in some; their mean, a black dot, and in it a white cross "
           "for the exact v. Right, the same squares, slanted and stretched, all alike; their mean, and a cross for the exact u.",
           guess=True)
for name, points, right in (("v", v_pairs, v_here), ("u", u_pairs, u_here)):
    spread = (points.var(dim=0) / len(points)).sqrt()
    print(f"{name}: mean of {len(points):,} pairs", points.mean(dim=0), "±", spread, "  exact", right)
    assert ((points.mean(dim=0) - right).abs() < 5 * spread).all()

# %% [markdown]
# *At one place near a seam, $t = 0.7$ and $r = 0.2$, on the same scale: black dot, the mean of the pairs; white cross, the exact value. (The board is turned around, for $x$ is subtracted.) The target is made with the exact $u$ here, so we know where the mean should go.*
#
# <details><summary>What happened</summary>
#
# (b). The target is an **affine** function of $v_\text{cond}$: a matrix times it, plus a shift. The mean of the slanted picture is the slanted mean. So the mean of the targets is the target of the mean, which is $u$. And squared error is minimised by the mean.
#
# </details>
#
# For any frozen network, too, the mean is the target made with $v$. The price is scatter. A single target is off its mean by
#
# $$J\,(v_\text{cond} - v), \qquad J = I - (t-r)\,\frac{\partial u}{\partial z} = \frac{\partial z_r}{\partial z_t}:$$
#
# the noise of the pair times the **stretch** of the jump, which says how far neighbours move apart. At seams that is very far.
#
# ## Why chasing its own derivative can settle
#
# The target is made with the network's own derivative. Why should that come to rest? Idealise: training moves $u_\theta$, at every place, a little toward its mean target. Let $\delta = u_\theta - u$ be the error. The exact $u$ fulfils the identity, so the target is off by $-(t-r)\,\mathrm{d}\delta/\mathrm{d}t$. With $s$ for the time of training, along a path with fixed $r$,
#
# $$\frac{\partial \delta}{\partial s} = -\delta - (t-r)\,\frac{\mathrm{d}\delta}{\mathrm{d}t}, \qquad\text{so}\qquad \delta(t-r,\,s) = e^{-s}\,\delta_0\big((t-r)\,e^{-s}\big).$$
#
# **The largest error decays, and long intervals inherit, damped, what was at short ones.** Small steps matter: a full step to the target amplifies errors that vary with $t-r$. (Networks couple places, and targets are noisy: that it works is an experiment.)
#
# And a small residual is enough. Let $e = u_\theta + (t-r)\,\mathrm{d}u_\theta/\mathrm{d}t - v$; then $\frac{\mathrm{d}}{\mathrm{d}t}\big[(t-r)\,\delta\big] = e$. So $\delta$ is the *mean* of $e$ over the interval: nothing is amplified.
#
# ## Train
#
# As in notebook 3; half a minute. We keep the network at some steps, to look at later.

# %%
def times(n, generator):
    return sample_r_t(n, p_equal=0.625, p_zero=0.125, draw=squared_uniform, generator=generator)


runs = Path(mkdtemp())
u_net, losses = train(fresh_net, mean_flow_loss, board.sample, times, ema_decay=0.99,
                      checkpoint=runs / "{step}.pt", checkpoint_every=250)

# %% [markdown]
# ## What the loss does
#
# **Predict:** the loss of the untrained network was about 4.6. After 5,000 steps it is (a) near 3.4, the irreducible part that notebook 3 came down to, (b) between 3.4 and 4.6, since jumps are harder, (c) higher than before training.

# %%
x_test, eps_test, t_test = board.sample(20_000), gaussian(20_000), torch.rand(20_000, 1)
at_steps = {0: fresh_net} | {step: load_average(runs / f"{step}.pt", fresh_net)
                             for step in (250, 500, 1000, 2000, 3000, 4000, 5000)}
where_equal = {step: mean_flow_loss(net, x_test, eps_test, t_test, t_test).item()
               for step, net in at_steps.items()}
z_test, v_cond_test = interpolate(x_test, eps_test, t_test)
noise_of_v = v_cond_test - board.velocity(z_test, t_test.clamp(min=1e-3))
irreducible = noise_of_v.square().sum(dim=1).mean().item()

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the loss
begin, end = losses[:50].mean(), losses[-500:].mean()
chart = figures.loss_curve(losses, irreducible, {"only rows with r = t, on test pairs": where_equal}, "mean_flow")
plots.show({f"training loss: first 50 steps {begin:.2f}, last 500 steps {end:.2f}": chart},
           "The training loss rises from 4.6 to 5.7. The loss of the rows with r = t falls from 4.6 to a dashed line, "
           "their irreducible loss, at 3.4.", guess=True)

# %% [markdown]
# <details><summary>What happened</summary>
#
# (c). **The loss does not fall.** After a short dip it rises; normally you would have stopped this run. But where $r<t$ the target carries the noise of one pair times the stretch $J$. The better the network learns to stretch, the noisier its targets, and the higher its loss.
#
# </details>
#
# What to watch instead: **the rows with $r=t$**, whose loss must fall to flow matching's floor, and **samples**. The rows tell that a run is healthy, not that it is finished: here they are flat from step 1,000. ([Notebook 7](07_inside_the_loss.ipynb) measures the stretch, and finds that the *exact* $u$ has an even higher loss.)
#
# ## Watch it learn
#
# From each kept network we sample in one step, and measure the error of its $u$ over the triangle of $r$ and $t$ (rms, 400 points). **Predict:** which intervals are learned last: (a) the longest, (b) the shortest, (c) those that end near data?

# %%
n, levels = 50_000, 10
z_1, target = gaussian(n, torch.manual_seed(2)), board.sample(n)
watched = {step: sample(net, z_1, 1) for step, net in at_steps.items() if step}
ends = [(i, j) for j in range(levels + 1) for i in range(j + 1)]
particles = {j: interpolate(target[:400], z_1[:400], j / levels)[0] for j in range(levels + 1)}
truth = {(i, j): mean_velocity(board, particles[j], i / levels, j / levels, n_steps=12)
         for i, j in ends}


# %%
@torch.no_grad()
def errors(net):
    """The rms error of net's u for all intervals, by t and then r: (levels + 1, levels + 1)."""
    found, ones = torch.full((levels + 1, levels + 1), torch.nan), torch.ones(400, 1)
    for (i, j), exact in truth.items():
        miss = net(particles[j], i / levels * ones, j / levels * ones) - exact
        found[j, i] = miss.square().sum(dim=1).mean().sqrt()
    return found


triangle = {step: errors(net) for step, net in at_steps.items() if step}
scores = {step: (sliced_w2(points, target), total_variation(points, target))
          for step, points in watched.items()}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw four stages
stages = (250, 500, 1000, 5000)
titles = {step: f"step {step:,}" for step in stages}
exact_end = plots.part(board, flow_map(board, z_1[:3000], 0, 1, n_steps=12))
jumps = {step: f"jump {triangle[step][levels, 0]:.2f}" for step in stages}
plots.show({"one step": plots.painted({titles[step]: watched[step][:3000] for step in stages}, exact_end),
            "error of u, from t (upward) to r (to the right)":
            figures.triangles({f"{titles[step]}, {jumps[step]}": triangle[step] for step in stages}, 0.5, "rms")},
           "One-step samples after 250, 500, 1,000 and 5,000 steps: a coloured blob, then eight squares that come apart. "
           "Below, the error over the triangle r ≤ t: bright at first, then dark from the top right corner downward and "
           "to the left; last near r = 0.", guess=True)

# %% [markdown]
# *Top left in a triangle is the jump from noise to data; the diagonal is the velocity.*
#
# Move through the training, or press play. When could you first name the distribution?

# %%
said = {step: f"sliced W2 {w2:.3f}, TV {tv:.2f} (50,000 points)"
        for step, (w2, tv) in scores.items()}
some = {step: points[:1200] for step, points in watched.items()}
widgets.stages(some, exact_end[:1200], triangle, said)

# %% [markdown]
# <details><summary>What happened</summary>
#
# (c). By step 500 the velocity at large $t$ has been learned, and with it every jump that ends at a large $r$. The columns at small $r$ come last, and in them the shortest intervals: near data the velocity is hardest. (The noise left in $z$ has size $t$, so the velocity changes over distances of that size.) A long jump averages that error over its whole way. (Errors of $u$: landings are off by $t-r$ times these.)
#
# </details>
#
# ## One step, by two distances

# %%
by_midpoint = load_pretrained("checkerboard", "flow_matching", solver=midpoint)
learned = {"mean flow": (u_net, 1), "flow matching, Euler": (flow_matching, 1),
           "flow matching, midpoint": (by_midpoint, 2)}  # evaluations a step
samples = {(name, nfe): sample(net, z_1, nfe // per_step)
           for name, (net, per_step) in learned.items()
           for nfe in (1, 2, 4, 8, 16) if nfe >= per_step}
one_step = samples["mean flow", 1]
with torch.no_grad():
    assert torch.equal(one_step, z_1 - u_net(z_1, torch.zeros(n, 1), torch.ones(n, 1)))

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the tables
for metric, name in ((sliced_w2, "sliced W2"), (total_variation, "total variation")):
    blank = {f"{nfe} NFE": "" for nfe in (0, 1, 2, 4, 8, 16)}
    table = {"raw noise": blank | {"0 NFE": f"{metric(z_1, target):.3f}"}}
    for row in learned:
        table[row] = blank | {f"{nfe} NFE": f"{metric(points, target):.3f}"
                              for (who, nfe), points in samples.items() if who == row}
    floor, high = noise_floor(metric, board, n)
    plots.table(table, corner=f"{name}, 50,000 points")
    print(f"noise floor {floor:.3f}, 95 % of cases below {high:.3f}")

# %% [markdown]
# One step is $z_0 = z_1 - u_\theta(z_1, 0, 1)$. By either distance, in this run, it does the work of more than four, but fewer than eight, evaluations of flow matching by the midpoint rule. (That one was trained longer, and there are better solvers; [notebook 5](05_comparison.ipynb) compares fairly.) At eight the mean flow is still ahead, at sixteen no longer. By total variation the single jump is far from the floor. More steps sharpen, though for an exact $u$ their number would not matter.
#
# ## Torn borders
#
# Ours, with 3,000 points. White in the noise: those that land beside the squares.

# %%
tiles = plots.part(board, flow_map(board, plots.grid(140), 0, 1, n_steps=12))
few = z_1[:3000]
beside = (one_step[:3000] - plots.part(board, one_step[:3000])).abs().amax(dim=1) > 0.55

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw them
plots.show(figures.territories(tiles, {"one step, learned": one_step[:3000],
                                       "one step, exact": flow_map(board, few, 0, 1, n_steps=12)}, exact_end,
                               marked=few[beside]),
           "The eight territories of the noise, with white dots along their borders. One step of the network: eight "
           "squares with bridges between them, where two colours meet. The exact step: eight clean squares.")

# %% cellView="form" jupyter={"source_hidden": true}
# @title How many of them lie on a seam?
def near_seam(z, reach=0.15):
    """Which of the points (n, 2) have another territory within reach."""
    shifts = reach * torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    own = plots.part(board, flow_map(board, z, 0, 1, n_steps=12))
    others = [plots.part(board, flow_map(board, z + shift, 0, 1, n_steps=12)) for shift in shifts]
    return torch.stack([(other != own).any(dim=1) for other in others]).any(dim=0)


seam = near_seam(few)
print(f"{beside.float().mean():.1%} of the points land beside the squares; "
      f"{seam[beside].float().mean():.0%} of these start within 0.15 of a seam, against {seam.float().mean():.0%} of all points")

# %% [markdown]
# **Bridges are borders that did not tear.** A network is smooth: where neighbours in the noise should part, it stretches what lies between them across the gap. That forbids a clean tear; how wide a bridge is depends on loss, training and steps. (And bridges are only a part of the excess in TV: inside the squares the density is uneven, too.) Drag the patch of noise across a seam, and watch its image. What becomes of it in two steps, or in eight?

# %%
widgets.explore(u_net, dist=board)

# %% [markdown]
# ## The whole method, to take home
#
# Nothing but PyTorch (2.9 or later, for Muon), in forty lines, to copy anywhere. Moving average and extra rows at $r=0$ are left out.

# %%
import time
import torch
from torch import nn


def dark_squares(n):
    column = torch.randint(4, (n,))
    row = 2 * torch.randint(2, (n,)) + column % 2
    return torch.stack([column, row], dim=1) - 2 + torch.rand(n, 2)


class MeanVelocity(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        hidden = [part for _ in range(3) for part in (nn.Linear(width, width), nn.GELU())]
        self.net = nn.Sequential(nn.Linear(4, width), nn.GELU(), *hidden, nn.Linear(width, 2))

    def forward(self, z, r, t):
        return self.net(torch.cat([z, t, t - r], dim=1))


def learn_to_jump(u_net, data, n_steps=5000, n=1024):
    square = [p for p in u_net.parameters() if p.dim() == 2 and p.shape[0] == p.shape[1]]
    others = [p for p in u_net.parameters() if p.dim() != 2 or p.shape[0] != p.shape[1]]
    optimizers = (torch.optim.Muon(square, lr=0.02, weight_decay=0),
                  torch.optim.Adam(others, lr=2e-3))
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(opt, n_steps) for opt in optimizers]
    for _ in range(n_steps):
        x, eps = data(n), torch.randn(n, 2)
        r, t = torch.rand(n, 2).square().sort(dim=1).values.split(1, dim=1)
        r = torch.where(torch.rand(n, 1) < 0.625, t, r)  # most rows: plain flow matching
        z, v_cond = (1 - t) * x + t * eps, eps - x
        tangents = v_cond, torch.zeros_like(r), torch.ones_like(t)
        u, dudt = torch.func.jvp(u_net, (z, r, t), tangents)
        u_tgt = v_cond - (t - r) * dudt
        (u - u_tgt.detach()).square().sum(dim=1).mean().backward()
        for stepper in (*optimizers, *schedules):
            stepper.step()
        u_net.zero_grad()


torch.manual_seed(0)
began, my_net = time.perf_counter(), MeanVelocity()
learn_to_jump(my_net, dark_squares)
print(f"{time.perf_counter() - began:.0f} seconds")
noise, one = torch.randn(50_000, 2), torch.ones(50_000, 1)
my_samples = noise - my_net(noise, 0 * one, one).detach()  # one evaluation each

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw them beside the run above
mine, own = total_variation(my_samples, target), scores[5000][1]
plots.show(plots.painted({f"forty lines: TV {mine:.2f}": sample(my_net, few, 1),
                          f"the run above: TV {own:.2f}": one_step[:3000]}, exact_end),
           "One-step samples of the forty lines: eight coloured squares with bridges between them; of the network above, "
           "much the same.")
assert mine <= 1.3 * own

# %% [markdown]
# *TV of 50,000 points, one run each; it varies by about 0.01 between seeds, so the order means little.*
#
# ### On your own network
#
# * **Order of arguments.** This course and the paper's Algorithm 1 have $u(z, r, t)$ and tangents $(v, 0, 1)$; the authors' repositories $u(z, t, r)$ and $(v, 1, 0)$; networks that take the step's length $u(z, t, t-r)$ and $(v, 1, 1)$. All mean: $r$ stands still.
# * **Cost.** For this MLP, loss and gradient take about three times the time of flow matching's and twice its memory. Or take `dudt` alone, under `torch.no_grad()`, and then `u = u_net(z, r, t)` in a second pass (with the same dropout): the gradient is the same, the memory flow matching's.
# * **Start from a trained flow.** Embed $t-r$, with a last layer that begins at zero, and add it: then $u(z, r, t) = v(z, t)$ at first.
# * **Attention.** Fused kernels have no forward derivative ([pytorch#128971](https://github.com/pytorch/pytorch/issues/128971)): use the math backend, `torch.nn.attention.sdpa_kernel`, around the JVP.
# * **compile, DDP.** Compile the function that contains the JVP, and compare with eager mode: compiled code has lost tangents ([#187284](https://github.com/pytorch/pytorch/issues/187284), [#192985](https://github.com/pytorch/pytorch/issues/192985)). A JVP through DDP may fail ([#102197](https://github.com/pytorch/pytorch/issues/102197)): take `dudt` from the module inside, under `no_grad`, but `u` through the wrapper, or replicas drift apart. Keep JVP and loss in float32.
# * **No forward derivative at all?** Exercise 3, or losses without one: [SoFlow](https://arxiv.org/abs/2512.15657), [SplitMeanFlow](https://arxiv.org/abs/2507.16884).
#
# On ImageNet 256² the paper's largest network reaches FID 3.43 in one evaluation (lower is better), its [sequel's](https://arxiv.org/abs/2512.02012) 1.72; DiT and SiT reach 2.27 and 2.06 in 500.

# %% [markdown]
# ## What we have
#
# * The **loss**: one JVP, a target, a squared distance to the *detached* target. One pair may stand for the mean, because the target is affine in it.
# * **It need not fall.** Watch the rows with $r=t$, and samples.
# * **One step** is $z_0 = z_1 - u_\theta(z_1, 0, 1)$. It makes a board with bridges: a smooth network cannot tear the noise along its seams.
# * **When not to use it.** If you can afford a dozen evaluations, flow matching with a good solver was sharper here, and simpler to train. Where each evaluation counts, one step; flow matching can teach that: [notebook 5](05_comparison.ipynb).
#
# Who wins where, and at what cost? [Compare](05_comparison.ipynb).
#
# ## Exercises
#
# Each has a cell for your answer and a folded check, which knows the usual mistakes. The solution is folded too.
#
# **1. Two jumps.** Go from noise to data in two jumps that meet at time $s$. Which $s$ makes the sharpest board by total variation: 0.2, 0.4, 0.6 or 0.8?

# %%
def two_jumps(u, z_1, s):
    return ...  # two or three lines; s is a number


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
@torch.no_grad()
def jump(z, r, t, factor=True):
    column = torch.ones_like(z[:, :1])
    return z - ((t - r) if factor else 1) * u_net(z, r * column, t * column)


with torch.no_grad():
    jumped = two_jumps(u_net, few, 0.3)
half = jump(few, 0.3, 1)
check(jumped, jump(half, 0, 0.3), tolerance=1e-4,
      hint=["The first jump goes from t = 1 to s, the second from s to 0.",
            "Times are columns, (n, 1): s * torch.ones_like(z_1[:, :1]). Arguments come as (z, r, t).",
            "z_s = z_1 − (1 − s) u(z_1, s, 1), then z_0 = z_s − s u(z_s, 0, s)."],
      mistakes={"The factors t − r are missing.": jump(jump(few, 0.3, 1, False), 0, 0.3, False),
                "The second jump starts where the first one ended, not at z_1.": jump(few, 0, 0.3),
                "Only the first jump is there.": half,
                "r and t are exchanged: (z, r, t), and r is nearer to data.":
                few - 0.7 * u_net(few, torch.ones(len(few), 1), 0.3 * torch.ones(len(few), 1)).detach()})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
for s in (0.2, 0.4, 0.6, 0.8):
    print(f"s = {s}: TV {total_variation(jump(jump(z_1, s, 1), 0, s), target):.3f}; one jump {own:.3f}")
print("Why a small s: the squares part late on the way, at small times. A second jump that starts there sees which square "
      "is near, and has a short way to go; one that starts at 0.6 or 0.8 still has nearly all of the tearing before it.")

# %% [markdown]
# **2. A loss that says nothing.** The paper divides every sample's squared error $e$ by $(e + c)^p$, held fixed, with $c = 10^{-3}$; on ImageNet
# $p = 1$ is best (Table 1e). Give `mean_flow_loss(..., p=1.0)` on the batch below, for the trained network and for `fresh_net`. What do you notice, and why?

# %%
r_test = t_test * torch.rand(20_000, 1)
trained_value, fresh_value = ..., ...

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
test_batch = x_test, eps_test, r_test, t_test
weighted_values = [mean_flow_loss(net, *test_batch, p=1.0) for net in (u_net, fresh_net)]
plain_values = [mean_flow_loss(net, *test_batch) for net in (u_net, fresh_net)]
for k, value in enumerate((trained_value, fresh_value)):
    check(value, weighted_values[k],
          hint=["Call the loss with the four parts of the batch, and p.",
                "mean_flow_loss(net, x_test, eps_test, r_test, t_test, p=1.0)."],
          mistakes={"That is the plain loss. Pass p=1.0.": plain_values[k]})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
for name, net in {"trained": u_net, "fresh": fresh_net}.items():
    print(f"{name:8} p = 0: {mean_flow_loss(net, *test_batch):.3f}   "
          f"p = 1: {mean_flow_loss(net, *test_batch, p=1.0):.4f}")
print("Why: e / (e + c) is nearly 1 wherever e is far above c, and the noise of the target sees to that. The gradient is "
      "that of log(e + c) and does its work; only the printed value says nothing. Watch samples.")

# %% [markdown]
# **3. Without a JVP.** A layer has no forward derivative. Write the mean-flow loss with central differences, $h = 10^{-2}$, and no gradient through them. (Ignore that $t+h$ can exceed 1.)

# %%
def loss_by_differences(u_net, x, eps, r, t, h=1e-2):
    return ...  # six lines


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Variants of the loss, for the check below
def value_and_slope(loss):
    """The loss, and the size of its gradient in the last weights: in it a missing detach shows."""
    slope, = torch.autograd.grad(loss, u_net.net[-1].weight, retain_graph=True)
    return torch.stack([loss.detach(), slope.norm()])


def by_differences(of_z=1, of_r=0, of_t=1, width=2, detach=True, h=1e-2):
    moves = of_z * h * v_cond_test, of_r * h, of_t * h
    ahead, behind = (u_net(z_test + k * moves[0], r_test + k * moves[1], t_test + k * moves[2]) for k in (1, -1))
    tgt = v_cond_test - (t_test - r_test) * (ahead - behind) / (width * h)
    value = u_net(z_test, r_test, t_test) - (tgt.detach() if detach else tgt)
    return value_and_slope(value.square().sum(dim=1).mean())


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
answer = loss_by_differences(u_net, *test_batch)
if torch.is_tensor(answer) and answer.requires_grad:
    answer = value_and_slope(answer)
check(answer, by_differences(), tolerance=2e-2,
      hint=["Move all inputs along the tangents, a little ahead and a little behind.",
            "z by h v_cond, t by h, r not at all; divide the difference of the two by 2 h.",
            "dudt = (u(z + h v, r, t + h) − u(z − h v, r, t − h)) / (2 h), under torch.no_grad()."],
      mistakes={"Divide by 2 h: the two points are that far apart.": by_differences(width=1),
                "z moves too, by h times v_cond.": by_differences(of_z=0), "t moves too.": by_differences(of_t=0),
                "r stands still.": by_differences(of_r=1),
                "The value is right, the gradient is not: no gradient through the target.": by_differences(detach=False)})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
def loss_with_differences(u_net, x, eps, r, t, h=1e-2):
    z, v_cond = interpolate(x, eps, t)
    with torch.no_grad():  # the target is an answer
        ahead, behind = u_net(z + h * v_cond, r, t + h), u_net(z - h * v_cond, r, t - h)
    u_tgt = v_cond - (t - r) * (ahead - behind) / (2 * h)
    return (u_net(z, r, t) - u_tgt).square().sum(dim=1).mean()


by_jvp, by_steps = mean_flow_loss(u_net, *test_batch), loss_with_differences(u_net, *test_batch)
print(f"{by_steps:.3f}, by the JVP {by_jvp:.3f}. Why not a smaller h: in float32 the difference of two nearly equal "
      "numbers is divided by h, and rounding errors with it.")

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Mean Flows for One-step Generative Modeling](https://arxiv.org/abs/2505.13447) (2025): Algorithms 1 and 2, Tables 1 and 2.
# * Geng et al., [Improved Mean Flows](https://arxiv.org/abs/2512.02012) (2025): what to put into the tangent.
# * [Understanding, Accelerating, and Improving MeanFlow Training](https://arxiv.org/abs/2511.19065) (2025).
# * Relatives: [consistency models](https://arxiv.org/abs/2303.01469) ($r = 0$), [shortcut models](https://arxiv.org/abs/2410.12557) (one jump against two).
# * Raymond Fan, *Introduction to Mean Flow* (2025).
