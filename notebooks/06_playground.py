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
# **The question.** Does it work on data of your own?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import torch

from mfutils import (
    DISTRIBUTIONS, GaussianMixture, check, flow_map, gaussian, load_pretrained, midpoint,
    mixture_of_text, sample, sliced_w2, total_variation, train_method,
)
from mfutils.show import figures, plots, widgets

# %%
texts = ("❀", "♞", "☎", "Flow")
shapes = {text: mixture_of_text(text) for text in texts}
places = plots.grid(64)
maps = [flow_map(shapes[text], places, 0, 1, n_steps=8) for text in ("☎", "❀", "Flow", "♞")]

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw four shapes, and four pieces of noise
drawn = {text: dist.sample(4000) for text, dist in shapes.items()}
plots.show({"four shapes": plots.painted(drawn, drawn, plots.abreast(4)),
            "four pieces of noise": figures.maps(dict(zip("ABCD", maps)))},
           "Points in the shape of a flower, a chess knight, a telephone, and the word Flow, each place in its own colour. "
           "Below, four squares of noise, painted by where the exact flow takes it, with dark lines along seams.")

# %% [markdown]
# *Above, each place has a colour. Below, noise in the colour of the place where the exact flow takes it, with seams in black. Which noise belongs to which shape?*
#
# <details><summary>The answer</summary>
#
# A is the telephone, B the flower, C the word, D the knight. Where parts of a shape are separate, there are seams in its noise.
#
# </details>
#
# | | |
# |---|---|
# | **You will do** | write, draw or upload a shape; share it; train on it; hold the network in your hand |
# | **You will learn** | that nothing in the method knew about checkerboards; that one network holds the whole journey |
# | **You need** | [notebook 4](04_mean_flow.ipynb) |
# | **Time** | 10 minutes to read, half a minute to run |

# %% [markdown]
# ## Draw
#
# Cover the ink of a picture with a few hundred narrow Gaussians. A mixture of Gaussians has an exact velocity, so whatever you draw has a known $v$ and a known $u$.
#
# Draw in the first square, write a word or a symbol (♞ ❄ ♫ ✈), or choose a file: a picture, even a photo of a drawing on paper. (In JupyterLab and Colab also a list of points, two numbers in every line.) At once you see its noise in colours, what Euler steps along the exact $v$ make of it, and one jump by the exact $u$. **Which part of your shape tears the noise? How many Euler steps until the gaps are clean?**

# %%
own = widgets.OwnData("❀")
own

# %% [markdown]
# ## Share
#
# On the website the address of the page holds your drawing: copy it, and whoever opens the link finds it there. In a notebook, a right click saves any picture below. (Is your file too large for the button? Put it beside this notebook and write
# `from mfutils import mixture_of_picture; mine = mixture_of_picture("photo.jpg")` below. `mixture_of_points` does the same for a tensor of points.)
#
# ## Train
#
# No network was in that panel: $v$ and $u$ were exact. Now *learn* them. In a running notebook, go on here; rerunning the cell above erases your drawing. We train two networks for 3,000 steps, half a minute together. For sharper lines, raise `n_steps`.

# %%
mine = own.distribution
brief = dict(n_steps=3000, ema_decay=0.99)
u_net, _ = train_method(mine, "self_distilled_mean_flow", **brief)
u_euler, _ = train_method(mine, "flow_matching", **brief)

# %% [markdown]
# `train_method` returns a `u(z, r, t)`; for flow matching it ignores $r$. The midpoint rule wants the velocity `v(z, t)`.
#
# **Predict:** which will be nearest to your shape: (a) flow matching in one step, (b) in twelve evaluations, (c) the mean flow in one step? And where will (c) be wrong?

# %%
def v_net(z, t):
    return u_euler(z, t, t)


z_1 = gaussian(20_000, torch.manual_seed(0))
target = mine.sample(20_000)
made = {"flow matching, 1 NFE": sample(u_euler, z_1, 1),
        "flow matching, 12 NFE (midpoint)": sample(midpoint(v_net), z_1, 6),
        "self-distilled mean flow, 1 NFE": sample(u_net, z_1, 1)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw what they make
goal = flow_map(mine, z_1[:4000], 0, 1)
plots.show(plots.painted({**{name: points[:4000] for name, points in made.items()}, "exact": goal}, goal),
           "The learner's own shape by flow matching with one evaluation, a dot; with twelve; by a self-distilled mean flow "
           "with one; and by the exact flow: colours show where each point belongs.", guess=True)

# %%
scored = {"raw noise": z_1, **made, "fresh data (noise floor)": mine.sample(20_000)}
plots.table({name: {"sliced W2": f"{sliced_w2(points, target):.3f}",
                    "total variation": f"{total_variation(points, target):.3f}"}
             for name, points in scored.items()}, corner="20,000 points", guess=True)

# %% [markdown]
# <details><summary>What happened</summary>
#
# (b); (c) is blurrier, with a twelfth of the evaluations. One run on one shape is no ranking, but you see the kind of error: the mean flow leaves points on bridges between the parts of the shape, where neighbours in the noise should part.
#
# </details>
#
# ## Where your network tears
#
# The territories of your noise, by the exact flow and by the network's one step. Black are places whose neighbours land more than 0.3 away.

# %%
tiles = plots.grid(90)
own_maps = {"exact": flow_map(mine, tiles, 0, 1, n_steps=8),
            "your network, one step": sample(u_net, tiles, 1),
            "your network, eight steps": sample(u_net, tiles, 8)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the maps
plots.show(figures.maps(own_maps), "The noise painted by where it lands: by the exact flow, with thin black seams; by one step "
           "of the network, with soft transitions in their places; by eight steps, a little sharper.")

# %% [markdown]
# A network never tears: where the exact map has a black line, its colours change quickly instead.
#
# ## Hold it
#
# The network knows $u(z, r, 1)$ for *every* $r$, not only for $r = 0$. So it can jump from noise to any moment of the flow, each with a single evaluation:
# $z_r = z_1 - (1-r)\,u_\theta(z_1, r, 1)$.

# %%
@torch.no_grad()
def jump(r):
    t, r = torch.ones(4000, 1), torch.full((4000, 1), r)
    return z_1[:4000] - (t - r) * u_net(z_1[:4000], r, t)


journey = {f"r = {r}": jump(r) for r in (1.0, 0.5, 0.2, 0.0)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw four moments
plots.show(plots.painted(journey, goal), "The noise in the colours of where it belongs, two moments on the way, and the learner's "
           "own shape.")

# %% [markdown]
# *Your shape, out of noise. Each picture took one evaluation.*
#
# Here is the network that you just trained, in your hand. Move $r$ from 1 to 0, and drag the patch of noise; then count more steps, or begin the jump at another $t$. Do neighbours stay neighbours? Where should the grid tear, and does it?

# %%
widgets.explore(u_net, "self_distilled_mean_flow", dist=mine)

# %% [markdown]
# **What happened.** Neighbours in colour mostly stay neighbours: the network bends the noise into shape, it does not stir it. Where a seam should part them, it draws a thin bridge. (Some patches come out turned inside out: [notebook 11](11_density.ipynb) looks at such folds.)
#
# ## What we have
#
# * Nothing in the method knew about checkerboards. Your own shape comes in one step, after half a minute of training.
# * The network holds the **whole journey**: any moment of the flow is one evaluation from noise.
# * What one step cannot do is tear: gaps of your shape become bridges.
#
# Why does the loss work at all, and what does it hide? [Look inside](07_inside_the_loss.ipynb).
#
# ## Exercises
#
# Each has a cell for your answer and a folded check, which knows the usual mistakes. The solution is folded too.
#
# **1. A pair of shapes.** Make data of two flowers side by side: the means of `shapes["❀"]` at 0.45 of their size, once shifted by 1.2 to the left and once by 1.2 to the right, with `sd` 0.03. Where will the longest seam be?

# %%
pair = ...  # two or three lines, with GaussianMixture(means, sd); then train on it as above

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
small, shift = 0.45 * shapes["❀"].means, torch.tensor([1.2, 0.0])
two_of_them = torch.cat([small - shift, small + shift])


def moments(means):
    """The mean place and its spread, whatever the order of the means."""
    return torch.cat([means.mean(dim=0), means.std(dim=0)]) if torch.is_tensor(means) and means.dim() == 2 else means


check(moments(getattr(pair, "means", pair)), moments(two_of_them), tolerance=0.02,
      hint=["torch.cat puts two tensors of means one after the other.",
            "Shift all means of one copy: means + torch.tensor([1.2, 0.0]).",
            "GaussianMixture(torch.cat([0.45 * m − shift, 0.45 * m + shift]), sd=0.03) with m = shapes['❀'].means."],
      mistakes={"They lie one above the other: shift along the first coordinate.":
                moments(torch.cat([small - shift.flip(0), small + shift.flip(0)])),
                "Both copies lie at the same place: shift them.": moments(torch.cat([small, small])),
                "Make them smaller first.": moments(torch.cat([small / 0.45 - shift, small / 0.45 + shift]))})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
flowers = GaussianMixture(two_of_them, sd=0.03)
plots.show(figures.maps({"its noise": flow_map(flowers, plots.grid(64), 0, 1, n_steps=8)}),
           "The noise of two flowers: a seam runs down the middle.")
print("The longest seam is the vertical axis. Why: the flower is nearly its own mirror image, so on the axis v points along it, and "
      "what starts on one side of it stays there.")

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
      hint=["load_pretrained('checkerboard', 'self_distilled_mean_flow') and `sample` with one step.",
            "Neighbours are a[1:] and a[:-1].",
            "(a[1:] − a[:-1]).norm(dim=1) before and after the step; the largest after, divided by the one before."],
      mistakes={"That is the distance itself. Divide by the distance in the noise.": gaps.max(),
                "That is the mean stretch. Take the largest.": gaps.mean() / step,
                "That is the smallest stretch. Take the largest.": gaps.min() / step})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
walk = torch.stack([torch.linspace(-2, 2, 201), torch.linspace(-1, 1, 201)], dim=1)
steps_after = sample(board_net, walk, 1).diff(dim=0).norm(dim=1)
stretch = steps_after / walk.diff(dim=0).norm(dim=1)
torch.testing.assert_close(stretch.max(), gaps.max() / step, atol=0.05, rtol=0)
print(f"neighbours are stretched by {stretch.median():.1f} typically, by {stretch.max():.1f} at a seam")
for points in (201, 2001):
    finer = torch.linspace(-1, 1, points)[:, None] * torch.tensor([2.0, 1.0])
    most = [z.diff(dim=0).norm(dim=1).max() / (finer[1] - finer[0]).norm()
            for z in (sample(board_net, finer, 1), flow_map(DISTRIBUTIONS["checkerboard"], finer, 0, 1))]
    print(f"{points} points: the network {most[0]:.1f}, the exact map {most[1]:.0f}")
print("Why: the exact map tears, so the nearer two neighbours are, the larger their quotient. A network is smooth.")

# %% [markdown]
# **3. Search the noise.** One step is *one differentiable function* of the noise. So you can ask which noise makes a given point. For `wish`, a point of your shape, find a noise `z`, shape `(1, 2)`, that `u_net` takes to it in one step, by gradient descent from the origin (or, if that gets stuck at a seam, from somewhere else).

# %%
wish = mine.means[:1].float()
z_found = ...  # some ten lines: Adam on z, a few hundred steps of |z − u(z, 0, 1) − wish|²

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
made_of_it = sample(u_net, z_found.detach(), 1) if torch.is_tensor(z_found) and z_found.shape == (1, 2) else z_found
check(made_of_it, wish, tolerance=0.05,
      hint=["z must be a leaf with requires_grad; the network's weights stay as they are.",
            "`sample` runs without gradient. Write the step yourself: z − u_net(z, r, t) with r = 0 and t = 1.",
            "Did it get stuck at a seam? Start from another place: z = torch.randn(1, 2)."],
      mistakes={"That is the wish itself. Where does one step take it?":
                sample(u_net, wish, 1), "That is the start. Did the optimiser step?": sample(u_net, torch.zeros(1, 2), 1)})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
def search(wish, begin):
    z = begin.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.05)
    for _ in range(400):
        miss = (z - u_net(z, torch.zeros(1, 1), torch.ones(1, 1)) - wish).square().sum()
        optimizer.zero_grad()
        miss.backward()
        optimizer.step()
    return z.detach(), miss.item()


tries = [search(wish, begin) for begin in (torch.zeros(1, 2), *torch.randn(4, 1, 2, generator=torch.manual_seed(0)))]
best, missed = min(tries, key=lambda found: found[1])
print(f"{best.tolist()} lands {missed**0.5:.4f} from the wish. Why this is easy in one step: the gradient goes through a single "
      "evaluation. With many steps it would go through all of them.")

# %% [markdown]
# ## Further reading
#
# * Boffi et al., [flow maps by self-distillation](https://arxiv.org/abs/2505.18825) (2025): one network for all pairs of times.
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) (2025). Raymond Fan, *Introduction to Mean Flow* (2025).
