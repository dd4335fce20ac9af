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
# # 11. One step is a density
#
# **The question.** What does a one-step map know about how likely a point is, and where is it wrong?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import math

import torch

from mfutils import DISTRIBUTIONS, check, flow_map, gaussian, load_pretrained, sample
from mfutils.show import figures, plots, widgets

spiral, spiral_net = DISTRIBUTIONS["spiral"], load_pretrained("spiral", "self_distilled_mean_flow")

# %%
z_1 = gaussian(20_000, torch.manual_seed(0))
landing = sample(spiral_net, z_1, 1)
few, its_landing = z_1[:4000], landing[:4000]

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw noise and spiral
plots.show(plots.painted({"noise": few, "one step": its_landing}, flow_map(spiral, few, 0, 1)),
           "A round cloud of noise whose colours wind around a seam, and a spiral made of the same points.")

# %% [markdown]
# *The same points before and after one step of a network. Stretching lowers the density, pressing raises it. Can we read the density of the spiral off the map?*
#
# | | |
# |---|---|
# | **You will do** | turn a one-step map into a density; compare it with the true one; find where the map folds |
# | **You will learn** | why a good sampler may be a poor density; what a fold is, and why a smooth network makes them beside seams |
# | **You need** | [notebook 6](06_playground.ipynb); what a determinant is |
# | **Time** | 10 minutes to read, 10 seconds to run |

# %% [markdown]
# ## A map is a density
#
# One step is a map $f(z) = z - u_\theta(z, 0, 1)$. A small patch of noise with its probability is stretched by $\lvert\det \partial f/\partial z\rvert$, so the probability is spread over that much more room. Where $f$ is one-to-one,
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
# For the spiral we know the true density. **Predict:** the samples look right. Will the density be right too? (a) Yes, everywhere. (b) In the median, but point by point it is off. (c) It is off by a constant factor.

# %%
_, by_formula, det = one_step_density(spiral_net, z_1)
true = spiral.density(landing)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw both densities
plots.show(figures.densities(landing, {"by the formula": by_formula, "true": true}, highest=0.5),
           "The one-step samples of the spiral, coloured by density, as the formula gives it and "
           "true: the same bright ridge along the spiral; between the turns the left one is brighter.")

# %%
log_ratio, between = (by_formula / true).log(), true < 0.02
print(f"formula ÷ true: median {log_ratio.median().exp():.2f}; "
      f"half of the points are off by more than a factor of {log_ratio.abs().median().exp():.2f}")
of_data = spiral.density(spiral.sample(20_000, torch.manual_seed(1))) < 0.02
print(f"{between.float().mean():.1%} of the points lie off the arms, where the true density is "
      f"below 0.02; of the data {of_data.float().mean():.1%}")
print(f"formula ÷ true, median: {log_ratio[between].median().exp():.0f} there, "
      f"{log_ratio[~between].median().exp():.2f} on the arms")

# %% [markdown]
# <details><summary>What happened</summary>
#
# (b). On the arms the density is about right in the median, but point by point it is off, with bright filaments: a density is made of derivatives of the map, and these are learned less well than values. The few points off the arms have landed where nearly none should be, and the formula believes them. (One network.)
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
plots.show(figures.folds(z_1, landing, folded),
           "Noise, with thin curved bands of folded points, and the spiral, with the folded "
           "points along the rim of its arms.")

# %% [markdown]
# *Points with a negative determinant, in the noise and where they land.* In the noise they lie beside the **seam**, where the exact map pulls neighbours apart into different turns (the line where colours change at the top of the page). The network stretches a bridge across the gap; the folds are where bridges meet the rim of an arm. (Where, not why.)
#
# The share is a **lower bound** for where the formula fails. Of a sheet that is folded over, only the flipped layer has a negative determinant, but the layers above and below it land on the same place. And where the sheet is flipped twice, the determinant is positive again, and the share misses it.
#
# Drag the patch over the noise: the panel says when its image is turned inside out. Can you find a fold, and is it where the picture says? Does it disappear with more steps?

# %%
widgets.explore(spiral_net, "self_distilled_mean_flow", dist=spiral)

# %% [markdown]
# ## What we have
#
# * A one-step map gives a **density**, up to the quality of its derivatives and its folds.
# * A good sampler may be a poor density: samples depend on values of the map, the density on its derivatives.
# * Folds lie beside seams, at the ends of bridges.
#
# ## Exercises
#
# Each has a cell for your answer and a folded check, which knows the usual mistakes. The solution is folded too.
#
# **1. How many nats?** The entropy of the samples is $-\mathbb E \log p(f(z))$. Compute it for the checkerboard network on `z_1` with `one_step_density`. The data are uniform on eight squares of area 1: what should it be?

# %%
board_net = load_pretrained("checkerboard", "self_distilled_mean_flow")
entropy = ...  # one or two lines

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
_, board_density, board_det = one_step_density(board_net, z_1)
check(entropy, -board_density.log().mean(), tolerance=0.01,
      hint=["A mean over samples; of which function?",
            "one_step_density returns the landing, the density there, and the determinant."],
      mistakes={"The sign is reversed.": board_density.log().mean(),
                "That is the logarithm of the mean. Take the mean of the logarithm.":
                -board_density.mean().log(),
                "That is the mean log-stretch. Add the entropy of the noise.":
                board_det.abs().log().mean()})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
of_samples = -one_step_density(board_net, z_1)[1].log().mean()
print(f"{of_samples:.2f} nats, of the data log 8 = {math.log(8):.2f}. Why more: some of the excess is blur; and where the "
      "map folds, the formula misses layers, so this is an upper bound.")

# %% [markdown]
# **2. More steps, fewer folds?** Write the determinant of the map that *two* jumps make, from 1 to 0.2 and from 0.2 to 0, for the spiral's network at `few`. (The determinant of a product is the product of the determinants.)

# %%
det_of_two = ...  # a few lines: a one-step determinant from r to t, then twice

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
def jump_with_det(z, r, t):
    columns = [torch.func.jvp(lambda z: z - (t - r) * spiral_net(z, torch.full_like(z[:, :1], r), torch.full_like(z[:, :1], t)),
                              (z,), (direction.expand_as(z),)) for direction in torch.eye(2)]
    return columns[0][0].detach(), torch.linalg.det(torch.stack([column for _, column in columns], dim=2)).detach()


half, first = jump_with_det(few, 0.2, 1.0)
_, second = jump_with_det(half, 0.0, 0.2)
check(det_of_two, first * second, tolerance=1e-2,
      hint=["The second determinant is taken where the first jump landed.",
            "Copy one_step_density's columns, with z − (t − r) u(z, r, t).",
            "det = det(first, at z_1) · det(second, at z_0.2)."],
      mistakes={"The second determinant belongs to where the first jump landed.":
                first * jump_with_det(few, 0.0, 0.2)[1], "That is the first jump only.": first,
                "That is the second jump only.": second})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
print(f"one jump: negative for {(det[:4000] < 0).float().mean():.1%} of the noise")
for s in (0.5, 0.2):
    met, before = jump_with_det(few, s, 1.0)
    after = jump_with_det(met, 0.0, s)[1]
    print(f"two that meet at {s}: {(before * after < 0).float().mean():.1%}; the first alone {(before < 0).float().mean():.1%}")
print("Why it matters where they meet: a long jump that ends before the turns part folds next to nothing, and a short one close "
      "to data little. A jump from 0.5 has all of the parting before it. (Two negative factors would hide a double fold.)")

# %% [markdown]
# **3. What is missing?** Where the map folds, several pieces of noise land on one place. How could you find, by sampling alone, the mean density around the origin for the checkerboard network? Count the landings of `z_1` in the square $[-0.25, 0.25]^2$.

# %%
density_by_counting = ...  # one or two lines

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
arrived = sample(board_net, z_1, 1)
inside = (arrived.abs() < 0.25).all(dim=1)
check(density_by_counting, inside.float().mean() / 0.25, tolerance=0.005,
      hint=["Which share of the samples lands there, and how large is the square?", "Share divided by area."],
      mistakes={"That is the share. Divide by the area of the square.": inside.float().mean(),
                "The area is 0.5 squared.": inside.float().mean() / 0.5,
                "That is the number of points; divide by how many there are, and by the area.": inside.sum()})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
print(f"{inside.float().mean() / 0.25:.3f}, of the data 1/16 = {1 / 16:.3f}: half of that square is dark, with density 1/8. "
      "Why counting is right where the formula is not: it adds up all layers that land there.")

# %% [markdown]
# ## Further reading
#
# * Rezende and Mohamed, [Variational Inference with Normalizing Flows](https://arxiv.org/abs/1505.05770) (2015): maps as densities.
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) (2025). Raymond Fan, *Introduction to Mean Flow* (2025).
