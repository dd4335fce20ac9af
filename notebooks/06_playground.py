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
# # 6. Playground: one step to whatever you draw
#
# **The question.** Does it work on data of your own, and what does a one-step map do to the plane?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import math

import torch

from mfutils import (
    DISTRIBUTIONS, check, gaussian, load_pretrained, midpoint, mixture_of_points, mixture_of_text,
    noise_floor, sample, sliced_w2, total_variation, train_method,
)
from mfutils.show import figures, plots, widgets

# %%
z_1 = gaussian(20_000, torch.manual_seed(0))
landings = {plots.in_words(name): sample(load_pretrained(name, "self_distilled_mean_flow"), z_1, 1)
            for name in ("checkerboard", "spiral", "eight_gaussians")}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw one step in colours
fig = figures.origins(z_1, {"noise": z_1, **landings})
plots.show(fig, "A round cloud of noise, painted like a colour wheel, and a checkerboard, a spiral and "
                "eight blobs made from the same points with the same colours.")

# %% [markdown]
# *Every noise point is painted by its direction and keeps its colour on its one step. Can you find the places where neighbours were pulled apart?*
#
# | | |
# |---|---|
# | **You will do** | write, draw or upload a shape; train on it; watch noise turn into it; read a one-step map as a density |
# | **You will learn** | that nothing in the method knew about checkerboards; that one network holds the whole journey; what it means that a map folds |
# | **You need** | [notebook 4](04_mean_flow.ipynb) |
# | **Time** | 15 minutes to read, half a minute to run |

# %% [markdown]
# ## Any shape will do
#
# Cover the ink of a picture with a few hundred narrow Gaussians. A mixture of Gaussians has an exact velocity (as in notebook 1, exercise 3, but with some width), so whatever you draw comes with its own truth.

# %%
examples = {text: mixture_of_text(text) for text in ("❀", "♞", "☎", "Flow")}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw four shapes
fig = plots.clouds({text: dist.sample(4000) for text, dist in examples.items()}, method="data")
plots.show(fig, "Points in the shape of a flower, a chess knight, a telephone, and the word Flow.")

# %% [markdown]
# Now yours. Draw in the left square, write a word or a symbol (♞ ❄ ♫ ✈), or choose a file: a picture, even a photo of a drawing on paper. (In JupyterLab and Colab also a list of points, two numbers in every line.)
# Beside it, at once, what the exact velocity of your shape does to 1,200 points of noise: Euler steps along $v$ in the middle, one step by the exact average velocity $u$ on the right. **Which part of your shape tears the colours apart?**
#
# No network is in this panel: these are the $v$ and $u$ that one would have to *learn*. In a running notebook, go on: run the cells below, but not this one again, which starts afresh.

# %%
own = widgets.OwnData("❀")
own

# %% [markdown]
# (Is your file too large for the button? Put it beside this notebook and write
# `from mfutils import mixture_of_picture; mine = mixture_of_picture("photo.jpg")` below.)
#
# We train two networks on it for 3,000 steps, half a minute together. For sharper lines, raise `n_steps`.

# %%
mine = own.distribution
brief = dict(n_steps=3000, ema_decay=0.99)
u_net, _ = train_method(mine, "self_distilled_mean_flow", **brief)
u_euler, _ = train_method(mine, "flow_matching", **brief)

# %% [markdown]
# `train_method` gives flow matching ready for Euler steps, as `u(z, r, t)` that is $v(z, t)$. For the midpoint rule we take the velocity out again.

# %%
def v_net(z, t):
    return u_euler(z, t, t)


target = mine.sample(20_000)
made = {"flow matching, 1 NFE": sample(u_euler, z_1, 1),
        "flow matching, 12 NFE": sample(midpoint(v_net), z_1, 6),
        "self-distilled mean flow, 1 NFE": sample(u_net, z_1, 1),
        "self-distilled mean flow, 4 NFE": sample(u_net, z_1, 4)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw what they make
titles = {name: name.replace("12 NFE", "12 NFE (midpoint)") for name in made}
fig = plots.clouds({titles[name]: points for name, points in made.items()}, target=target)
plots.show(fig, "Samples from networks trained on the learner's own data: flow matching with one and "
                "with twelve evaluations, a self-distilled mean flow with one and four, the target.")

# %%
floors = {metric: noise_floor(metric, mine, 20_000)[0] for metric in (sliced_w2, total_variation)}
plots.table({name: {"sliced W2": f"{sliced_w2(points, target):.3f}",
                    "total variation": f"{total_variation(points, target):.3f}"}
             for name, points in made.items()}
            | {"noise floor": {"sliced W2": f"{floors[sliced_w2]:.3f}",
                               "total variation": f"{floors[total_variation]:.3f}"}})

# %% [markdown]
# *One run on one shape is no ranking, but you see the kind of errors.* What one step blurs are gaps: some points are left between the parts of the shape, where neighbours in the noise went different ways.
#
# ## One network, the whole journey
#
# The network knows $u(z, r, 1)$ for *every* $r$, not only for $r = 0$. So it can jump from noise to any moment of the flow, each with a single evaluation:
# $z_r = z_1 - (1-r)\,u_\theta(z_1, r, 1)$.

# %%
def jump(r):
    t, r = torch.ones(len(z_1), 1), torch.full((len(z_1), 1), r)
    with torch.no_grad():
        return z_1 - (t - r) * u_net(z_1, r, t)


moments = [i / 10 for i in range(10, -1, -1)]
journey = {r: jump(r) for r in moments}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw three moments
fig = figures.origins(z_1, {f"r = {r}": journey[r] for r in (1.0, 0.5, 0.2, 0.0)})
plots.show(fig, "The colour wheel of noise, two moments on the way, and the learner's own shape, with "
                "the colours of the wheel still in order.")

# %% [markdown]
# *Your shape, from noise, in colours. A right click saves the picture.*
#
# Here is the network that you just trained, in your hand. Move $r$ from 1 to 0, and drag the patch of noise; then count more steps, or begin the jump at another $t$. Is the grid stirred, or only bent? Where is it torn, and can you find a patch that is turned inside out?

# %%
widgets.explore(u_net, "self_distilled_mean_flow")

# %% [markdown]
# **What happened.** Neighbours in colour mostly stay neighbours: the network bends the noise into shape, it does not stir it. Only seams part them, and then the gap between the parts shows it.
#
# ## A map is a density
#
# One step is a map $f(z) = z - u_\theta(z, 0, 1)$. A small patch of noise with its probability is stretched by $\lvert\det \partial f/\partial z\rvert$, so the probability is spread over that much more room:
#
# $$p\big(f(z)\big) = \frac{\mathcal N(z; 0, I)}{\lvert\det \partial f/\partial z\rvert}.$$
#
# In the plane, the Jacobian is 2 × 2: two JVPs, one for each column.

# %%
def one_step_density(u, z):
    """Where one step takes z, the density there, and the determinant."""
    zero, one = torch.zeros_like(z[:, :1]), torch.ones_like(z[:, :1])
    columns = [torch.func.jvp(lambda z: z - u(z, zero, one), (z,), (direction.expand_as(z),))
               for direction in torch.eye(2)]
    det = torch.linalg.det(torch.stack([column for _, column in columns], dim=2)).detach()
    density = torch.exp(-z.square().sum(dim=1) / 2) / (2 * torch.pi) / det.abs()
    return columns[0][0].detach(), density, det


# %% [markdown]
# For the spiral we know the true density. **Predict:** the samples look right. Will the density be right too?

# %%
spiral, spiral_net = DISTRIBUTIONS["spiral"], load_pretrained("spiral", "self_distilled_mean_flow")
landing, learned, det = one_step_density(spiral_net, z_1)
true = spiral.density(landing)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw both densities
fig = figures.densities(landing, {"by the formula": learned, "true": true}, highest=0.5)
plots.show(fig, "The one-step samples of the spiral, coloured by density, as the formula gives it and "
                "true: the same bright ridge along the spiral; between the turns the left one is brighter.")

# %%
log_ratio, between = (learned / true).log(), true < 0.02
print(f"formula ÷ true: median {log_ratio.median().exp():.2f}; "
      f"half of the points are off by more than a factor of {log_ratio.abs().median().exp():.2f}")
print(f"{between.float().mean():.1%} of the points lie between the turns; there the median is "
      f"{log_ratio[between].median().exp():.0f}")

# %% [markdown]
# <details><summary>What happened</summary>
#
# On the arms the density is right in the median, but point by point it is off, and the few points between the turns lie where nearly none should be. A density is made of derivatives of the map, and derivatives are learned less well than values. (One network; the kind of error is the same for others, the numbers are not.)
#
# </details>
#
# ## Folds
#
# The exact flow never folds the plane: paths do not cross, so $\det \partial f/\partial z > 0$ everywhere. A learned map may fold it like a sheet of paper. On the flipped side of a fold the determinant is negative, and
# several pieces of noise land on the same place. There the formula is wrong, for it counts one piece only.

# %%
folded = det < 0
print(f"the determinant is negative for {folded.float().mean():.1%} of the noise")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the folds
fig = figures.folds(z_1, landing, folded)
plots.show(fig, "Noise, with thin curved bands of folded points, and the spiral, with the folded "
                "points along the rim of its arms.")

# %% [markdown]
# *Points with a negative determinant, in the noise and where they land.* In the noise they lie beside the **seams**, the lines where the exact map pulls neighbours apart into different turns. A smooth network cannot let go: it stretches a thin bridge across the gap, and where the bridge meets the arm, along its rim, it folds.
#
# The share is a **lower bound** for where the formula fails. Of a sheet that is folded over, only the flipped layer has a negative determinant, but the layers above and below it land on the same place. And where the sheet is flipped twice, the determinant is positive again, and the share misses it.
#
# ## What we have
#
# * Nothing in the method knew about checkerboards. Your own shape comes in one step, after half a minute of training.
# * The network holds the **whole journey**: any moment of the flow is one evaluation from noise.
# * A one-step map gives a **density**, up to the quality of its derivatives and its folds.
#
# Why does the loss work at all, and what does it hide? [Look inside](07_inside_the_loss.ipynb).
#
# ## Exercises
#
# Each has a cell for your answer and a folded check that says what is wrong. The solution is folded too.
#
# **1. A shape from a formula.** Make a heart of 200 Gaussians around the curve $x = 16 \sin^3 s$, $y = 13\cos s - 5\cos 2s - 2\cos 3s - \cos 4s$ with $s$ even in $[0, 2\pi]$, by `mixture_of_points`. It centres and scales the points itself.

# %%
heart = ...  # two or three lines; then try train_method(heart, "self_distilled_mean_flow", **brief)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
s = torch.linspace(0, 2 * math.pi, 200, dtype=torch.float64)
wave = [torch.cos(k * s) for k in range(5)]
curve = torch.stack([16 * s.sin() ** 3, 13 * wave[1] - 5 * wave[2] - 2 * wave[3] - wave[4]], dim=1)
expected = mixture_of_points(curve).means
check(getattr(heart, "means", heart), expected, tolerance=0.2,
      hint="mixture_of_points takes a tensor of shape (200, 2): torch.stack([x, y], dim=1).",
      mistakes={"It stands on its head: y points upward.": expected * torch.tensor([1.0, -1.0]),
                "x and y are exchanged.": expected.flip(1),
                "Hand the points to mixture_of_points.": curve})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
angle = torch.linspace(0, 2 * math.pi, 200)
x = 16 * angle.sin() ** 3
y = sum(c * torch.cos(k * angle) for k, c in enumerate((13, -5, -2, -1), start=1))
own_heart = mixture_of_points(torch.stack([x, y], dim=1))
torch.testing.assert_close(own_heart.means, expected, atol=1e-4, rtol=0)

# %% [markdown]
# **2. Walk across a seam.** Take 201 noise points on the straight line from $(-2, -1)$ to $(2, 1)$ and send them to the checkerboard with the shipped self-distilled network, in one step. What is the largest distance between
# the landings of two neighbours, compared with their distance in the noise? Give the quotient.

# %%
quotient = ...  # three or four lines

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
board_net = load_pretrained("checkerboard", "self_distilled_mean_flow")
line = torch.linspace(-1, 1, 201)[:, None] * torch.tensor([2.0, 1.0])
arrived = sample(board_net, line, 1)
gaps, step = (arrived[1:] - arrived[:-1]).norm(dim=1), (line[1] - line[0]).norm()
check(quotient, gaps.max() / step, tolerance=0.05,
      hint="The distances of neighbours, (a[1:] − a[:-1]).norm(dim=1), before and after the step.",
      mistakes={"That is the distance itself. Divide by the distance in the noise.": gaps.max(),
                "That is the mean stretch. Take the largest.": gaps.mean() / step,
                "That is the smallest stretch. Take the largest.": gaps.min() / step})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
walk = torch.stack([torch.linspace(-2, 2, 201), torch.linspace(-1, 1, 201)], dim=1)
steps_after = sample(board_net, walk, 1).diff(dim=0).norm(dim=1)
stretch = steps_after / walk.diff(dim=0).norm(dim=1)
torch.testing.assert_close(stretch.max(), gaps.max() / step, atol=0.05, rtol=0)
print(f"neighbours are stretched by {stretch.median():.1f} typically, by {stretch.max():.0f} at a seam")

# %% [markdown]
# **3. How many nats?** The entropy of the samples is $-\mathbb E \log p(f(z))$. Compute it for the checkerboard network on `z_1` with `one_step_density`. The data are uniform on eight squares of area 1: what should it be?

# %%
entropy = ...  # one or two lines

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
_, board_density, board_det = one_step_density(board_net, z_1)
check(entropy, -board_density.log().mean(), tolerance=0.01,
      hint="one_step_density returns the landing, the density there, and the determinant.",
      mistakes={"The sign is reversed.": board_density.log().mean(),
                "That is the logarithm of the mean. Take the mean of the logarithm.":
                -board_density.mean().log(),
                "That is the mean log-stretch. Add the entropy of the noise.":
                board_det.abs().log().mean()})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
of_samples = -one_step_density(board_net, z_1)[1].log().mean()
print(f"{of_samples:.2f} nats, of the data log 8 = {math.log(8):.2f}. Some of the excess is blur; and "
      "where the map folds, the formula misses layers, so this is an upper bound.")

# %% [markdown]
# ## Further reading
#
# * Rezende and Mohamed, [Variational Inference with Normalizing Flows](https://arxiv.org/abs/1505.05770) (2015): maps as densities.
# * Boffi et al., [flow maps by self-distillation](https://arxiv.org/abs/2505.18825) (2025): one network for all pairs of times.
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) (2025). Raymond Fan, *Introduction to Mean Flow* (2025).
