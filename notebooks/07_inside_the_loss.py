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
# # 7. Inside the loss
#
# **The question.** Why does the mean-flow loss work, and what does its value hide?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import copy
import inspect
import math
import statistics

import torch
from IPython.display import Code

from mfutils import (
    DISTRIBUTIONS, GaussianMixture, MeanVelocityMLP, check, flow, flow_map, gaussian,
    improved_mean_flow_loss, interpolate, load_pretrained, map_error, mean_flow_loss, mean_velocity,
    recorded, sample, sample_r_t, self_distilled_mean_flow_loss, sliced_w2, squared_uniform,
    total_derivative, train,
)
from mfutils.show import figures, plots, widgets

board = DISTRIBUTIONS["checkerboard"]

# %%
torch.manual_seed(0)
z_1, target = gaussian(20_000), board.sample(20_000)
nets = {"network A": MeanVelocityMLP(), "network B": load_pretrained("checkerboard", "mean_flow")}
r, t = sample_r_t(20_000, p_equal=0)
losses = {name: mean_flow_loss(net, target, z_1, r, t).item() for name, net in nets.items()}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw one step of both
fig = plots.clouds({f"{name}: loss {losses[name]:.2f}": sample(net, z_1, 1)
                    for name, net in nets.items()}, target=target)
plots.show(fig, "One-step samples of two networks with their losses: A, a round cloud with the lower "
                "loss; B, a checkerboard with the higher loss; and the target.")

# %% [markdown]
# *Two networks and their mean-flow loss on the same 20,000 rows with $r < t$. A was never trained. How can B have the higher loss?*
#
# | | |
# |---|---|
# | **You will do** | put the exact $u$ into the loss; remove the stop-gradient, and the noise; compare tangents; turn mean flow into improved mean flow, and that into self-distillation |
# | **You will learn** | where the noise of the target comes from; when the stop-gradient matters; what each variant trades; where one-step models go wrong |
# | **You need** | [notebook 4](04_mean_flow.ipynb) |
# | **Time** | 25 minutes to read, a minute to run |

# %% [markdown]
# ## The loss of the truth
#
# The loss of notebook 3 had a floor, and reaching it meant success. Here we know the exact $u$, so we can put it into the mean-flow loss. **Predict:** is its loss lower or higher than that of network B?

# %%
def u_exact(z, r, t):
    return mean_velocity(board, z, r, t)


def errors_of(u, x, eps, r, t, tangent=None):
    """The squared error of every row; in the tangent v_cond, unless another is given."""
    z, v_cond = interpolate(x, eps, t)
    value, dudt = total_derivative(u, z, r, t, v_cond if tangent is None else tangent(z, t))
    return (value - (v_cond - (t - r) * dudt)).detach().square().sum(dim=1)


# %%
of_batches = {}
for seed in (1, 2, 3):
    torch.manual_seed(seed)
    batch = board.sample(8000), gaussian(8000), *sample_r_t(8000, p_equal=0)
    for name, u in {"exact u": u_exact, "network B": nets["network B"]}.items():
        errors = errors_of(u, *batch)
        worst = errors.sort().values[-80:].sum() / errors.sum()
        of_batches[f"{name}, batch {seed}"] = {"mean": f"{errors.mean():.1f}",
                                          "median": f"{errors.median():.1f}",
                                          "share of the worst 1 %": f"{worst:.0%}"}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the table
plots.table(dict(sorted(of_batches.items())), corner="mean-flow loss of 8,000 rows")

# %% [markdown]
# <details><summary>What happened</summary>
#
# The exact $u$ has the *higher* loss. Its mean jumps from batch to batch, and a few rows carry most of it. **A lower mean-flow loss is not a better $u$.**
#
# </details>
#
# To see why, subtract. At the exact $u$, with $\Delta = v_\text{cond} - v$ for the noise of one pair,
#
# $$u_\text{tgt} - u = v_\text{cond} - (t-r)\Big(\frac{\partial u}{\partial z} v_\text{cond} + \frac{\partial u}{\partial t}\Big) - u = J\,\Delta, \qquad J = I - (t-r)\,\frac{\partial u}{\partial z}.$$
#
# Since $z_r = z_t - (t-r)\,u$, the matrix $J$ is $\partial z_r/\partial z_t$: how far neighbours at time $t$ have moved apart at time $r$. Where it is large, the target is noisy and the loss is large, although $u$ is right.
#
# Where data have gaps, the loss of the exact $u$ is even **infinite**. In one dimension $J$ is $\rho_t/\rho_r$, the ratio of the densities at the two ends of a path, so $\mathbb E\,J^2 = \int \rho_t^2/\rho_r\,\mathrm dz_r$. Take data that are uniform on $[-2,-1]\cup[1,2]$, and the middle of the gap, from $t = 0.8$ to smaller and smaller $r$:

# %%
def middle(s):
    """The density at 0, at time s, of data uniform on [−2, −1] ∪ [1, 2]."""
    edges = torch.tensor([1.0, 2.0], dtype=torch.float64) * (1 - s) / s
    near, far = torch.special.erfc(edges / math.sqrt(2))
    return (near - far) / (2 * (1 - s))


for r_end in (0.4, 0.3, 0.2, 0.1):
    stretched = middle(0.8) / middle(r_end)
    print(f"r = {r_end}: J = {stretched:.2g}, integrand {middle(0.8) * stretched:.2g}")

# %% [markdown]
# As $r$ falls, the density in a gap of width $g$ falls like $e^{-g^2/8r^2}$, and the integral grows as fast: 1.9, 7.0, 874 and $6\cdot10^{16}$ at these four $r$. No batch is large enough to show such a mean.
#
# This solves the puzzle. The untrained network A has $u \approx 0$ and hardly any derivative, so $J \approx I$: its loss is about $\mathbb E|v_\text{cond}|^2$, wrong, but with a low-variance target. B has learned to stretch, and pays for it with noise.
#
# ## Seams
#
# Where is $J$ large? We look at the map from noise to data, with $t=1$ and $r=0$, and take the largest stretch between a point and its neighbours a tenth apart.

# %%
def stretch(z, h=0.05):
    """The largest singular value of the exact map's Jacobian, by differences."""
    def carry(z):
        return flow_map(board, z, 0, 1, n_steps=12)

    columns = [(carry(z + h * step) - carry(z - h * step)) / (2 * h) for step in torch.eye(2)]
    return torch.linalg.matrix_norm(torch.stack(columns, dim=2), ord=2)


places = plots.grid(36)
inside = places.norm(dim=1) < 2.5  # where noise is
maps = {"stretch of the exact map": stretch(places),
        "one-step error of network B": map_error(nets["network B"], board, places)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw both maps, by rank
ranks = {}
for name, value in maps.items():
    rank = value[inside].argsort().argsort() / inside.sum()
    ranks[name] = torch.full_like(value, torch.nan).masked_scatter(inside, rank)
fig = plots.heat(ranks, highest=1.0, label="rank")
plots.show(fig, "Two round maps over the noise. Left, a bright cross of lines where the exact flow "
                "pulls neighbours apart. Right, speckled, where the network's one step goes wrong; some "
                "of the same lines stand out.")

# %% [markdown]
# *Over the noise, by rank: from the smallest value (dark) to the largest (bright).*
#
# The bright lines on the left are the **seams**: there neighbours in the noise part for different squares. A smooth network cannot jump. It stretches less there, hence has less noise in its target and a smaller loss, and is wrong there. How much of its error sits on seams, and how large is the stretch?

# %%
particles = z_1[:2000]
square = map_error(nets["network B"], board, particles).square()
most = stretch(particles).argsort()[-200:]
share, size = square[most].sum() / square.sum(), stretch(particles)
print(f"stretch: median {size.median():.1f}, largest {size.max():.0f}")
print(f"the most stretched tenth of the points carries {share:.0%} of the squared error")

# %% [markdown]
# ## Detach, and noise
#
# It is often said that without `detach` a mean flow does not train. Let us see what it stops. The value of the loss is the same with and without; the gradient is not. Without `detach` it also runs through the target, so the network can change the target.
#
# Does it matter that the target is noisy? We have the exact velocity, so we can try all four combinations. **Predict** the one-step samples of each: good or bad?

# %%
def four_losses(detach, noise):
    def loss(u_net, x, eps, r, t):
        z, v = interpolate(x, eps, t)
        if not noise:
            v = board.velocity(z, t.clamp(min=1e-3))
        if detach:
            u, dudt = total_derivative(u_net, z, r, t, v)
            return (u - (v - (t - r) * dudt).detach()).square().sum(dim=1).mean()
        tangents = v, torch.zeros_like(r), torch.ones_like(t)
        u, dudt = torch.func.jvp(u_net, (z, r, t), tangents)  # keeps the gradient of the derivative
        return (u - (v - (t - r) * dudt)).square().sum(dim=1).mean()

    return loss


def times(n, generator):
    return sample_r_t(n, p_equal=0.625, p_zero=0.125, draw=squared_uniform, generator=generator)


# %%
fresh_net, short, outcomes = MeanVelocityMLP(), {}, {}
for detach in (True, False):
    for noise in (True, False):
        name = f"{'with' if detach else 'without'} detach, {'noisy' if noise else 'exact'} velocity"
        short[name], history = train(fresh_net, four_losses(detach, noise), board.sample, times,
                                     n_steps=700, ema_decay=0.99)
        distance = sliced_w2(sample(short[name], z_1, 1), target)
        outcomes[name] = {"final loss": f"{history[-100:].mean():.2f}",
                       "one step, sliced W2": f"{distance:.3f}"}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the table and the samples
plots.table(outcomes)
fig = plots.clouds({name: sample(net, z_1, 1) for name, net in short.items()})
plots.show(fig, "One-step samples of four short trainings: with detach and noise, a blurred "
                "checkerboard; with the exact velocity, a clear one both times; without detach and with "
                "noise, a blob.")

# %% [markdown]
# <details><summary>What happened</summary>
#
# With the exact velocity, training works equally well with and without `detach`. With the noisy one and without `detach`, the loss is *lower* than with it, and the samples are useless. (One short run each; the gap is large.)
#
# </details>
#
# Averaged over the pairs through $z$, the loss is the squared residual of the identity **plus the scatter of the target**, $\operatorname{tr}(J\Sigma J^\top)$, with $\Sigma$ the covariance of $\Delta$. Without `detach` the network can lower the scatter by making $J$ small, at the price of a wrong $u$. With `detach`, no gradient rewards that. It also saves second derivatives of the network, which cost time and memory.
#
# ## Which tangent?
#
# The conditional velocity stands in two places: alone in the target, and in the tangent. In the tangent we may put any estimate of $v$. Then the noise enters only once, through the $v_\text{cond}$ that stands alone, and the noise of the target is
#
# $$\text{conditional tangent: } J\Delta, \qquad\qquad \text{marginal tangent: } \Delta .$$
#
# So a noisy tangent does not simply add noise. It multiplies the noise that is already there by $J$. Where $J$ stretches, the conditional tangent is louder. Where $J$ contracts, it is *quieter*.
#
# Let us see both at one point: the noise of pairs through it, for the checkerboard and for a single Gaussian.

# %%
one_gaussian = GaussianMixture([[1.0, -0.5]], sd=0.4)
where = {"checkerboard": torch.tensor([[0.1, 0.9]]), "one Gaussian": torch.tensor([[0.6, 0.2]])}
t_now = 0.7


def jacobian(dist, z, r):
    """J at one point, (2, 2): one derivative along each axis, the point taken twice."""
    return torch.func.jvp(lambda z: z - (t_now - r) * mean_velocity(dist, z, r, t_now),
                          (z.repeat(2, 1),), (torch.eye(2),))[1].T


# %%
clouds = {}
for name, dist in {"checkerboard": board, "one Gaussian": one_gaussian}.items():
    x = dist.sample(100_000)
    eps = (where[name] - (1 - t_now) * x) / t_now
    likely = torch.multinomial(torch.softmax(-eps.square().sum(dim=1) / 2, dim=0), 2000)
    delta = (eps - x)[likely] - dist.velocity(where[name], t_now)
    for r_now in (0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0):
        clouds[name, r_now] = delta, delta @ jacobian(dist, where[name], r_now).T

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the noise with both tangents
rows = {f"{name}, from −5 to 5 each way": {"marginal tangent: Δ": clouds[name, 0.3][0] * 3 / 5,
                                           "conditional tangent: JΔ": clouds[name, 0.3][1] * 3 / 5}
        for name in where}
plots.show(plots.gallery(rows), "Two rows, checkerboard and one Gaussian, at t = 0.7 and r = 0.3: the noise of the "
                "target with the marginal tangent, left, and with the conditional one, right.")

# %% [markdown]
# *Noise of the target at one point, $t = 0.7$ and $r = 0.3$.*
#
# Move $r$ from $t = 0.7$ down to 0 for both data sets. For which is the conditional tangent louder, for which quieter? Why are the clouds equal at $r=t$?

# %%
widgets.noise(clouds)

# %% [markdown]
# **What happened.** At $r=t$ the two are equal, for there $J=I$. For the single Gaussian, $J = \sigma_r/\sigma_t$ (notebook 2, exercise 3), which is below 1 wherever the flow contracts. So "the conditional tangent costs variance" is **not a law**. One may also mix: a tangent $c\,v_\text{cond} + (1-c)\,v$ leaves the noise $\big((1-c)\,I + c\,J\big)\Delta$.
# [Lu and Wang (2026)](https://arxiv.org/abs/2605.09235) derive the best coefficient. Here is the noise as a function of $c$, over 20,000 rows with $r<t$, for the shipped mean-flow networks, whose $J$ we take, and for the exact $u$ of one Gaussian.

# %%
def noises(dist, u):
    """The noise of every row with the marginal and with the conditional tangent: Δ and JΔ."""
    torch.manual_seed(4)
    x, eps, (r, t) = dist.sample(20_000), gaussian(20_000), sample_r_t(20_000, p_equal=0)
    t = t.clamp(min=1e-3)
    z, v_cond = interpolate(x, eps, t)
    delta = v_cond - dist.velocity(z, t)
    _, slope = torch.func.jvp(lambda z: u(z, torch.minimum(r, t), t), (z,), (delta,))
    return delta, (delta - (t - r) * slope).detach()


curves = {}
for name, dist in {**DISTRIBUTIONS, "one Gaussian": one_gaussian}.items():
    u = load_pretrained(name, "mean_flow") if name in DISTRIBUTIONS else \
        (lambda z, r, t: mean_velocity(one_gaussian, z, r, t))
    delta, j_delta = noises(dist, u)
    mixed = {c / 20: (delta + c / 20 * (j_delta - delta)).square().sum(dim=1).mean().sqrt().item()
             for c in range(-10, 31)}
    curves[plots.in_words(name)] = {c: value / mixed[0.0] for c, value in mixed.items()}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the sweep
fig = figures.sweep(curves, "c: 0 marginal tangent, 1 conditional tangent", "noise of the target, c = 0 is 1")
plots.show(fig, "Five curves of the noise of the target against the coefficient c, each with its "
                "lowest point marked: four rise between 0 and 1, one falls.")

# %%
plots.table({name: {f"c = {c:g}": f"{curve[c]:.2f}" for c in (0.0, 0.5, 1.0)}
             | {"quietest c": f"{min(curve, key=curve.get):.2f}".replace("1.50", "beyond 1.5")}
             for name, curve in curves.items()},
            corner="noise, relative to c = 0")

# %% [markdown]
# **What happened.** For one Gaussian the conditional tangent is the quieter one, and its noise falls beyond $c=1$, too. For the networks on our four distributions it is the louder one; between 0 and 1 the marginal tangent is the quietest, and the lowest point lies even a little below 0. So which tangent is quieter depends
# on how much the map stretches. Low variance does not guarantee good samples: on images, Lu and Wang find that the coefficient of least variance is not the one of the best FID, which prefers the conditional tangent.
#
# ## Improved mean flow
#
# The exact $v$ is not available in practice, but the network has an estimate of it: its own $u_\theta(z, t, t)$. Put it into the tangent and leave $v_\text{cond}$ in the target. That is **improved mean flow** ([Geng et al. 2025](https://arxiv.org/abs/2512.02012)) in its boundary form, here without guidance; the released code trains a second output for the velocity in the tangent. The paper writes it another way. It defines
#
# $$V_\theta = u_\theta + (t-r)\,\mathrm{sg}\Big(\frac{\mathrm{d}u_\theta}{\mathrm{d}t}\Big)$$
#
# and regresses $V_\theta$ on $\varepsilon - x$, as in flow matching. By the identity, $V$ *is* the marginal velocity when $u$ is right. The difference $V_\theta - (\varepsilon - x)$ is the same as $u_\theta - u_\text{tgt}$, so it is the same loss:

# %%
batch = x, eps, r, t = board.sample(4096), gaussian(4096), *times(4096, None)
net = nets["network B"]
z, v_cond = interpolate(x, eps, t)
u, dudt = total_derivative(net, z, r, t, net(z, t, t).detach())
V = u + (t - r) * dudt.detach()
print("regression of V   ", (V - v_cond).square().sum(dim=1).mean().item())
print("improved mean flow", improved_mean_flow_loss(net, *batch).item())

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check: the two forms are one
torch.testing.assert_close((V - (batch[1] - batch[0])).square().sum(dim=1).mean(), improved_mean_flow_loss(net, *batch))

# %% [markdown]
# Now the noise of the target is $\Delta$, without $J$. So the loss has a floor again, as in flow matching (a little higher than in notebook 3, since these times lean toward noise). Let us put the three functions of the beginning into it, with the exact velocity in the tangent. **Predict:** in which order will they come?

# %%
table = {}
for seed in (1, 2, 3):
    torch.manual_seed(seed)
    x, eps, (r, t) = board.sample(8000), gaussian(8000), sample_r_t(8000, p_equal=0)
    t = t.clamp(min=1e-3)
    r = torch.minimum(r, t)
    z, v_cond = interpolate(x, eps, t)
    table[f"batch {seed}"] = {
        name: f"{errors_of(u, x, eps, r, t, tangent=board.velocity).mean():.2f}"
        for name, u in {**nets, "exact u": u_exact}.items()}
    floor = (v_cond - board.velocity(z, t)).square().sum(dim=1).mean()
    table[f"batch {seed}"]["floor"] = f"{floor:.2f}"

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the table
plots.table(table, corner="loss, marginal tangent")

# %% [markdown]
# <details><summary>What happened</summary>
#
# The untrained network is the worst, B is near, the exact $u$ is at the floor, and all batches agree. With the marginal velocity in the tangent, the value of the loss tells again how nearly $u$ satisfies the identity.
#
# </details>
#
# ## Self-distillation
#
# Why stop at the tangent? In the rows with $r<t$ the network's own velocity can stand in the *target* too. Then nothing in these rows is noisy. The network is its own teacher; from data it learns only in the rows with $r=t$. This is the Eulerian form of self-distillation of flow maps ([Boffi et al. 2025](https://arxiv.org/abs/2505.18825), who find its Lagrangian form more stable, and let the gradient through the time derivative of the map, where we hold all of $\mathrm du/\mathrm dt$ fixed; [notebook 9](09_flow_maps.ipynb) compares them). The price is a **bias**: where the teacher's velocity is wrong, so is the target, and no amount of
# data in these rows corrects it. Two known additions go with it here.
#
# * The network changes at every step, so its velocity makes a shaky target. We use a slowly **moving average** of its weights instead.
# * Squared error is minimised by the mean of a noisy target, and only the mean is right. Without noise, mean and median agree, so we may use the paper's adaptive weight, with $p = \tfrac12$: errors count linearly, not by their square. Then a few wild rows at the seams no longer decide everything.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the loss
sources = map(inspect.getsource, (self_distilled_mean_flow_loss, flow.weighted))
Code("\n\n".join(sources), language="python")

# %% [markdown]
# What does each change bring? The record has five steps from mean flow to self-distillation, each with one more thing changed, five seeds each, on two distributions. For one evaluation, we show the first, and then what each step brings: the paired difference over seeds ± its standard error, positive if it helps. **Predict:** which step helps the most?

# %%
STEPS = {"(a) conditional tangent: mean flow": "mean_flow",
         "(b) own tangent: improved mean flow": "improved_mean_flow",
         "(c) own velocity in the target too": "own_target",
         "(d) the same, from the moving average": "averaged_target",
         "(e) and the weight: self-distilled mean flow": "self_distilled_mean_flow"}


def gain(name, before, after, metric):
    pairs = zip(recorded(name, before, metric, 1), recorded(name, after, metric, 1))
    gaps = [a - b for a, b in pairs]
    return f"{statistics.mean(gaps):+.4f} ± {statistics.stdev(gaps) / len(gaps) ** 0.5:.4f}"


# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the tables
methods = list(STEPS.values())
for metric in ("total_variation", "sliced_w2", "map_error"):
    first = {name: f"{statistics.mean(recorded(name, methods[0], metric, 1)):.4f}"
             for name in ("checkerboard", "spiral")}
    gains = {label: {name: gain(name, before, after, metric) for name in ("checkerboard", "spiral")}
             for label, before, after in zip(list(STEPS)[1:], methods, methods[1:])}
    plots.table({list(STEPS)[0]: first} | gains, corner=plots.in_words(metric))

# %% [markdown]
# <details><summary>What happened</summary>
#
# It depends on the data and on the measure. Call a step clear beyond 2.8 standard errors, as in notebook 5. By total variation, the own target and the weight help clearly on both; changing the tangent does on the board only, and the moving average on the spiral only, where it is the largest step. By sliced W2, the weight helps on the board and hurts on the spiral. By map error, one step of eight is clear: changing the tangent, on the spiral.
# (The steps are taken in this order; in another order each might bring something else.) All in all less noise is worth the bias here, if sharpness is what you want. In two dimensions the teacher is good. On digits the same steps lead elsewhere: there the averaged own velocity harms, and the weight does nothing ([notebook 10](10_pixels.ipynb#one-step-beside-many)).
#
# </details>

# %% [markdown]
# ## The derivative, by hand
#
# Every loss here needs $\mathrm du/\mathrm dt$. For an MLP it takes two lines a layer: carry the rate of change $\dot h$ beside the value $h$. A linear layer maps $\dot h$ by the same matrix, without the bias; an activation multiplies it by its slope at $h$. (PyTorch's `gelu_backward` is that product: forward and backward multiply by the same slope.) `total_derivative` takes this way where a network brings it.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the derivative by hand
Code(inspect.getsource(MeanVelocityMLP.total_derivative), language="python")

# %%
x_b, eps_b, r_b, t_b = batch
z_b, v_b = interpolate(x_b, eps_b, t_b)
by_hand = net.total_derivative(z_b, r_b, t_b, v_b)[1]
by_jvp = torch.func.jvp(net, (z_b, r_b, t_b), (v_b, torch.zeros_like(r_b), torch.ones_like(t_b)))[1]
net64, h = copy.deepcopy(net).double(), 1e-5
z64, r64, t64, v64 = (part.double() for part in (z_b, r_b, t_b, v_b))
with torch.no_grad():
    ahead, behind = net64(z64 + h * v64, r64, t64 + h), net64(z64 - h * v64, r64, t64 - h)
by_differences = (ahead - behind) / (2 * h)
print(f"largest gap to the JVP: by hand {(by_hand - by_jvp).abs().max():.1e}, "
      f"central differences in float64 {(by_differences - by_jvp).abs().max():.1e}")

# %% [markdown]
# ## What we have
#
# * At the exact $u$ the target is off by $J\Delta$. Where the flow tears, on the **seams**, that is huge: the mean-flow **loss is no measure** of how good $u$ is.
# * The stop-gradient keeps the network from making its target quiet instead of right. **Without noise, training went as well without it.**
# * The conditional tangent multiplies the noise by $J$: louder where the map stretches, quieter where it contracts.
# * Improved mean flow replaces the tangent, self-distillation the target too: **variance is traded for bias**.
#
# ## Exercises
#
# Each has a cell for your answer and a folded check that says what is wrong. The solution is folded too.
#
# **1. The quietest mixture.** With $D = J\Delta - \Delta$, the noise of the mixed tangent is $\mathbb E|\Delta + c D|^2$, a parabola in $c$. Find its minimum for the checkerboard, from `delta` and `j_delta` below.

# %%
delta, j_delta = noises(board, nets["network B"])
best_c = ...  # one line

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
D = j_delta - delta
expected = -(delta * D).sum() / (D * D).sum()
check(best_c, expected, tolerance=1e-3,
      hint="Set the derivative to zero: E[Δ·D] + c E|D|² = 0.",
      mistakes={"The sign is reversed: E[Δ·D] + c E|D|² = 0.": -expected,
                "D is JΔ − Δ, not JΔ.": -(delta * j_delta).sum() / (j_delta * j_delta).sum(),
                "Divide by E|D|², not by E|Δ|².": -(delta * D).sum() / (delta * delta).sum()})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
change = j_delta - delta
quietest = -(delta * change).sum() / change.square().sum()
torch.testing.assert_close(quietest, expected)
print(f"{quietest:.2f}: a little beyond the marginal tangent, away from the conditional one")

# %% [markdown]
# **2. Your own improved mean flow.** Write its loss as a regression of $V$ on $\varepsilon - x$.

# %%
def loss_by_v(u_net, x, eps, r, t):
    return ...  # four or five lines


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Variants of the loss, for the check below
def summary(loss):
    slope, = torch.autograd.grad(loss, net.net[-1].weight, retain_graph=True)
    return torch.stack([loss.detach(), slope.norm()])


def variant(tangent, sign=1):
    z, v_cond = interpolate(batch[0], batch[1], batch[3])
    u, dudt = total_derivative(net, z, batch[2], batch[3], tangent(z, v_cond))
    return summary((u + sign * (batch[3] - batch[2]) * dudt - v_cond).square().sum(dim=1).mean())


def with_its_gradient():
    z, v_cond = interpolate(batch[0], batch[1], batch[3])
    tangents = net(z, batch[3], batch[3]).detach(), torch.zeros_like(batch[2]), torch.ones_like(batch[3])
    u, dudt = torch.func.jvp(net, (z, batch[2], batch[3]), tangents)
    return summary((u + (batch[3] - batch[2]) * dudt - v_cond).square().sum(dim=1).mean())


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
answer = loss_by_v(net, *batch)
check(summary(answer) if torch.is_tensor(answer) and answer.requires_grad else answer,
      summary(improved_mean_flow_loss(net, *batch)), tolerance=1e-3,
      hint="V = u + (t − r) sg(du/dt), with u_net(z, t, t), detached, in the tangent.",
      mistakes={"The tangent is the pair's velocity: that is plain mean flow.":
                variant(lambda z, v_cond: v_cond),
                "V has a plus: u + (t − r) du/dt.":
                variant(lambda z, v_cond: net(z, batch[3], batch[3]).detach(), sign=-1),
                "The value is right, the gradient is not: detach du/dt.": with_its_gradient()})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
def regression_of_v(u_net, x, eps, r, t):
    z, v_cond = interpolate(x, eps, t)
    own = u_net(z, t, t).detach()
    u, dudt = total_derivative(u_net, z, r, t, own)
    return (u + (t - r) * dudt.detach() - v_cond).square().sum(dim=1).mean()


torch.testing.assert_close(summary(regression_of_v(net, *batch)),
                           summary(improved_mean_flow_loss(net, *batch)), atol=1e-3, rtol=1e-4)

# %% [markdown]
# **3. Its own teacher.** Write the self-distilled loss on `batch` for `net`, which here is its own average, without the
# robust weight (`p=0`): the network's own velocity in the tangent; in the target too, where $r < t$. Four lines.

# %%
distilled = ...

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
with torch.no_grad():
    z, v_cond = interpolate(batch[0], batch[1], batch[3])
    own = net(z, batch[3], batch[3])
    value, rate = total_derivative(net, z, batch[2], batch[3], own)
    gap = batch[3] - batch[2]
    in_all_rows = (value - own + gap * rate).square().sum(dim=1).mean()
    robust = self_distilled_mean_flow_loss(net, *batch, net)
check(distilled, self_distilled_mean_flow_loss(net, *batch, net, p=0),
      hint="own = net(z, t, t).detach(); tangents (own, 0, 1); "
           "the target has own where r < t, and v_cond where r = t.",
      mistakes={"The target still has ε − x where r < t: that is improved mean flow.":
                improved_mean_flow_loss(net, *batch),
                "The target has the network's own velocity where r = t, too.": in_all_rows,
                "That is the plain loss.": mean_flow_loss(net, *batch),
                "That has the robust weight. Pass p=0.": robust})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
x_b, eps_b, r_b, t_b = batch
z_b, v_b = interpolate(x_b, eps_b, t_b)
own_b = net(z_b, t_b, t_b).detach()
u_b, dudt_b = total_derivative(net, z_b, r_b, t_b, own_b)
tgt_b = torch.where(r_b < t_b, own_b, v_b) - (t_b - r_b) * dudt_b
by_itself = (u_b - tgt_b.detach()).square().sum(dim=1).mean()
torch.testing.assert_close(by_itself, self_distilled_mean_flow_loss(net, *batch, net, p=0))

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Improved Mean Flows](https://arxiv.org/abs/2512.02012) (2025).
# * Lu and Wang, [On Variance Reduction in Learning Mean Flows](https://arxiv.org/abs/2605.09235) (2026): the two roles of the conditional velocity.
# * Boffi et al., [flow maps by self-distillation](https://arxiv.org/abs/2505.18825) (2025); Sabour et al., [Align Your Flow](https://arxiv.org/abs/2506.14603) (2025).
# * [AlphaFlow](https://arxiv.org/abs/2510.20771) (2025): from trajectory flow matching to mean flow along a curriculum.
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) (2025). Raymond Fan, *Introduction to Mean Flow* (2025).
