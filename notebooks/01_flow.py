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
# # 1. A flow turns noise into data
#
# **The question.** How does a velocity field turn noise into data, and why are a few steps along it not enough?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import torch

from mfutils import (
    DISTRIBUTIONS, GaussianMixture, check, euler, interpolate, midpoint, noise_floor, sample,
    sliced_w2,
)
from mfutils.show import figures, plots, widgets

board = DISTRIBUTIONS["checkerboard"]

# %%
torch.manual_seed(0)
x, eps = board.sample(4000), torch.randn(4000, 2)
times = (1.0, 0.6, 0.3, 0.0)
clouds = {f"t = {t}": interpolate(x, eps, t)[0] for t in times}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the four clouds
fig = plots.clouds(clouds, method="data")
plots.show(fig, "Four clouds of points, from t = 1, a round blob of noise, over t = 0.6 and 0.3, to "
                "t = 0, a checkerboard.")

# %% [markdown]
# *A cloud of noise on the left, data on the right, and two moments in between. What moves the points?*
#
# | | |
# |---|---|
# | **You will do** | compute a velocity field by brute force; watch a crowd follow it; sample with one step, with many, and with better ones |
# | **You will learn** | what the conditional and the marginal velocity are; why paths bend although every road is straight; why few steps miss, even with the exact field |
# | **You need** | PyTorch; what a mean and a derivative are. Nothing about flows |
# | **Time** | 20 minutes to read, 20 seconds to run |
#
# Time runs from data at $t = 0$ to noise at $t = 1$, as in the MeanFlow paper. Much of the literature counts the other way. With our
# convention **a velocity points toward noise, and sampling subtracts it**. All symbols are in the [glossary](../docs/glossary.md).

# %% [markdown]
# ## Straight roads
#
# Take a data point $x$ and a noise point $\varepsilon \sim N(0, I)$, and join them by a straight road. At time $t$ the traveller on this road is at
#
# $$z_t = (1-t)\,x + t\,\varepsilon .$$
#
# Its velocity never changes: $\mathrm{d}z_t/\mathrm{d}t = \varepsilon - x$. This is the **conditional velocity**. It belongs to one pair. (Papers call the road a conditional path or interpolant, and the way pairs are drawn a coupling. Ours are drawn independently.)

# %%
t = torch.rand(4000, 1)
z, v_cond = interpolate(x, eps, t)

# %% [markdown]
# `interpolate` is these two formulas. Points have shape `(n, 2)`, times `(n, 1)`:

# %% tags=["nbval-check-output"]
assert torch.equal(z, (1 - t) * x + t * eps)
assert torch.equal(v_cond, eps - x)
z.shape, t.shape, v_cond.shape

# %% [markdown]
# The four clouds above are such travellers: 4,000 pairs, each on its own road. So we know how to turn *pairs* into clouds. But to
# generate data we start from noise alone, and nobody tells us which $x$ a noise point belongs to.
#
# ## Many roads through one point
#
# Stand at one place at one time. Many roads pass through here, from many data points. Which of them is likely? To be here at time $t$,
# the data point $x$ needs the noise $\varepsilon = (z - (1-t)\,x)/t$, and small noise is more likely than large noise, in proportion to
# $\exp(-|\varepsilon|^2/2)$.

# %%
torch.manual_seed(2)
here, now = torch.tensor([[1.6, -1.2]]), 0.6
x = board.sample(200_000)
eps = (here - (1 - now) * x) / now
weight = torch.softmax(-eps.square().sum(dim=1) / 2, dim=0)[:, None]

# %% [markdown]
# Each road has its own conditional velocity. Their mean, weighted by how likely each road is, is the **marginal velocity**:
#
# $$v(z, t) = \mathbb{E}\,[\,\varepsilon - x \mid z_t = z\,].$$
#
# **Predict:** thirty of the roads are drawn below. Will the mean point along one of them?

# %%
by_brute_force = (weight * (eps - x)).sum(dim=0)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw thirty roads and their mean
fig = figures.fan(here[0], x[:30], eps[:30], weight[:30, 0], by_brute_force)
plots.show(fig, "Thirty straight lines that cross in one point, from data points in all squares of "
                "the board; some are dark, others nearly transparent. An arrow starts at the "
                "crossing.")

# %% [markdown]
# <details><summary>What happened</summary>
#
# The arrow shows $-v$, the way a sample would move from here; the darker a road, the more likely it is. The arrow follows none of the thirty: it is a
# compromise between all likely ones.
#
# </details>
#
# Drag the place, and move the time. Where does a single square decide where the arrow points? And what becomes of the arrow as $t$ goes to 1?

# %%
widgets.roads(board)

# %% [markdown]
# For the checkerboard this mean has a closed form: $x$ must lie in one of eight squares, so $\varepsilon$ must lie in one of eight rectangles, and the mean of a normal distribution on a
# rectangle is in every textbook. `board.velocity` is that formula. It is exact, so in this notebook nothing has to be learned.

# %%
by_formula = board.velocity(here, now)[0]
print("brute force", by_brute_force, "  formula", by_formula)
assert torch.allclose(by_brute_force, by_formula, atol=0.02)

# %% [markdown]
# ## The field
#
# A velocity at every place and every time is a *field*. Here it is at three times, over the density of the travellers.

# %%
torch.manual_seed(3)
x, eps = board.sample(200_000), torch.randn(200_000, 2)
places = plots.grid(15)


def moment(t):
    """The travellers at time t, and the velocity on a grid."""
    return interpolate(x, eps, t)[0], board.velocity(places, t)


# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the field at three times
fig = figures.fields({f"t = {t}": moment(t) for t in (1.0, 0.5, 0.1)})
plots.show(fig, "The density of the travellers at t = 1, 0.5 and 0.1, with arrows over it. At t = 1 "
                "all arrows point to the middle; at 0.1 those between the squares point into one.")

# %% [markdown]
# *The density of the travellers, and arrows for $-v$, the way points move toward data, at an eighth of their length. Inside a square they point outward, for at $t = 0.1$ the whole
# cloud is still a tenth smaller than the board.*
#
# Move the time from 1 to 0, or press play, and drag the traveller; the line is its way to the data. When do the arrows stop pointing to the middle? When does a single square decide where they point?

# %%
widgets.field(board)

# %% [markdown]
# **What happened.** Down to about $t = 0.6$ the arrows point to the middle. From 0.4 on they part, and at 0.2 nearly every place belongs to one square.
#
# ## A crowd that follows the field
#
# Now forget the pairs. Start a new crowd from noise, let every point follow $v$ in 200 small steps toward data, and look at it on the way.
# A step goes from time $t$ to a slightly smaller time $r$. Since $v$ points toward noise, we subtract:

# %%
torch.manual_seed(4)
z_1 = torch.randn(20_000, 2)


def euler_path(z, n):
    """All states on the way from noise to data in n steps of equal length."""
    path = [z]
    for i in range(n, 0, -1):
        t, r = i / n, (i - 1) / n
        path.append(path[-1] - (t - r) * board.velocity(path[-1], t))
    return torch.stack(path)


crowd = euler_path(z_1, 200)

# %% [markdown]
# **Predict:** on the roads, points run straight and cross each other. In the crowd, every point follows a mean of many roads. Will the two look alike
# at $t = 0.5$?

# %%
rows = {"roads": {}, "field": {}}
for t in (0.75, 0.5, 0.25, 0.0):
    rows["roads"][f"t = {t}"] = interpolate(x, eps, t)[0][:20_000]
    rows["field"][f"t = {t}"] = crowd[round(200 * (1 - t))]

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw both crowds
fig = plots.gallery(rows)
plots.show(fig, "Two rows of four clouds at t = 0.75, 0.5, 0.25 and 0: travellers on roads above, "
                "the crowd in the field below.")

# %% [markdown]
# To compare two clouds by a number we use the **sliced Wasserstein distance** (sliced W2): it projects both on 64 directions and measures how far mass must be
# moved along each. It is in the units of the plane, where a square of the board has side 1. Two clouds from the *same* distribution are not at distance zero,
# because samples differ by chance. That distance is the **noise floor**.

# %%
def on_roads(t):
    return interpolate(board.sample(20_000), torch.randn(20_000, 2), t)[0]


table = {}
for name, cloud in rows["field"].items():
    t = float(name.removeprefix("t = "))
    floor = sum(sliced_w2(on_roads(t), on_roads(t)) for _ in range(20)) / 20
    table[name] = {"field to roads": f"{sliced_w2(cloud, on_roads(t)):.3f}",
                   "roads to roads (noise floor)": f"{floor:.3f}"}
plots.table(table, corner="sliced W2")

# %% [markdown]
# <details><summary>What happened</summary>
#
# At every time, by sliced W2, the crowd in the field is as near to the travellers as two sets of travellers are to each other. Nobody in the crowd knows a pair, and yet it arrives as data.
#
# </details>
#
# Why? Look at a small window in the plane. How much mass enters and leaves it depends only on how many points are there and on their *mean* velocity. Replace every
# velocity by the mean at its place, and the density changes in the same way. This is Theorem 1 of flow matching
# ([Lipman et al. 2023](https://arxiv.org/abs/2210.02747)). It is what lets us generate: **start from noise, follow $v$, arrive at data.**
#
# ## Roads are straight, paths bend
#
# Let us follow forty points from noise to data: on the left each on the road of its own pair, on the right in the field.

# %%
roads = torch.stack([eps[:40], x[:40]])
paths = euler_path(eps[:40], 500)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw forty roads and forty paths
fig = figures.paths({"roads: one pair each": roads, "paths: following the field": paths})
plots.show(fig, "Left, forty straight lines that cross each other. Right, forty curves from the same "
                "noise points: most turn inward first, then hook outward into a square.")

# %% [markdown]
# *From the same noise points (grey). Roads keep the noise point's own partner; paths end wherever the field takes them.*
#
# Straight roads may cross. Flow paths cannot be at the same place at the same time: the field has a single velocity there, so two points that met would travel together from
# then on. Near noise the field only knows "toward the middle". Near data it sees which square is close, and turns. How much do paths bend? The *detour* is a path's
# length divided by the distance between its ends.

# %%
length = (paths[1:] - paths[:-1]).norm(dim=2).sum(dim=0)
distance = (paths[0] - paths[-1]).norm(dim=1)
detour = length / distance
print(f"median detour {detour.median():.2f}, largest {detour.max():.2f} (a straight line has 1)")

# %% [markdown]
# The velocity changes along a path, in direction and in speed. That is the whole difficulty of sampling in few steps.
#
# ## One step
#
# Each step of our sampler holds the velocity constant for a while. The fewer steps, the longer it does.
#
# **Predict:** take the exact field, so there is no learning error at all, and a single step from $t=1$ to $t=0$. Where do 20,000 noise points land?

# %%
one_step = z_1 - board.velocity(z_1, 1.0)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the landings
fig = plots.clouds({"noise": z_1, "one step of the field": one_step}, method="field")
plots.show(fig, "A round cloud of noise, and beside it the landings: a single dot in the middle.")

# %% [markdown]
# <details><summary>What happened</summary>
#
# They all land on one point. At $t=1$ a point is pure noise and says nothing about its partner, so
# $v(z, 1) = \mathbb{E}[\varepsilon - x \mid \varepsilon = z] = z - \mathbb{E}[x]$, and the step is $z - (z - \mathbb{E}[x]) = \mathbb{E}[x]$:
# **one step lands on the mean of the data**, whatever the distribution. No training can mend this, for this is the true field of independent pairs. (Pairs that are matched in a cleverer way have another field, with straighter paths; that is rectified flow.)
#
# </details>

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check: all land on the mean of the data
assert one_step.norm(dim=1).max() < 1e-5

# %% [markdown]
# ## A few steps
#
# Seven points, their true paths in grey, and four steps as arrows. Every arrow starts in the right direction.

# %%
angle = torch.arange(7) * 2 * torch.pi / 7 + 0.35
starts = 2.2 * torch.stack([angle.cos(), angle.sin()], dim=1)
true_paths = euler_path(starts, 500)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw four steps
fig = plots.polylines(true_paths, {"4 steps": euler_path(starts, 4)})
plots.show(fig, "Seven bent paths in grey, and for each four arrows that leave the path where it "
                "turns and end beside the path's end.")

# %% [markdown]
# *Euler's method: each arrow is one step along $-v$ at its start.*
#
# Drag the ring, and change the number of steps. How many until you see no error? And why do four steps miss the end of the path at the lower left, which is straight?

# %%
widgets.solvers(board, starts)

# %% [markdown]
# **What happened.** With 32 steps hardly any error is left to see. A step is wrong wherever the velocity changes on its way: in direction, where a path bends, or in speed. The point at the lower left runs in and out on a straight line, and a long step overshoots the turn.
#
# ## A better step
#
# Euler's method looks at the field once, at the start of the step. The **midpoint rule** first goes half a step, looks there, and uses *that* velocity for the whole
# step. It costs two evaluations of the field per step, but it feels the bend.

# %%
def midpoint_path(z, n):
    path = [z]
    for i in range(n, 0, -1):
        t, r = i / n, (i - 1) / n
        half = path[-1] - (t - r) / 2 * board.velocity(path[-1], t)
        path.append(path[-1] - (t - r) * board.velocity(half, (r + t) / 2))
    return torch.stack(path)


# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw both with eight evaluations
solvers = {"Euler, 8 steps": euler_path(starts, 8), "midpoint, 4 steps": midpoint_path(starts, 4)}
fig = plots.polylines(true_paths, solvers)
plots.show(fig, "Both with eight evaluations: eight short arrows of Euler's method, and four long "
                "ones of the midpoint rule, over the same seven grey paths.")

# %% [markdown]
# *Eight evaluations each.* What a sample costs is counted in **function evaluations** (NFE): how often the field, later a network, is asked. Compare
# Euler and midpoint at equal NFE, by the sliced W2 of 20,000 samples to the board. **Predict:** how many evaluations does each need to come near the noise floor?

# %%
target = board.sample(20_000)
floor, floor_95 = noise_floor(sliced_w2, board, 20_000)
table = {"Euler": {}, "midpoint": {}}
for nfe in (2, 4, 8, 12, 16, 32, 64):
    by_euler = sample(euler(board.velocity), z_1, nfe)
    by_midpoint = sample(midpoint(board.velocity), z_1, nfe // 2)
    table["Euler"][f"{nfe} NFE"] = f"{sliced_w2(by_euler, target):.3f}"
    table["midpoint"][f"{nfe} NFE"] = f"{sliced_w2(by_midpoint, target):.3f}"
plots.table(table, corner="sliced W2")
print(f"noise floor: mean {floor:.3f}, 95 % quantile {floor_95:.3f}")

# %% [markdown]
# Two fresh sets of board points are nearer than the quantile in 95 of 100 cases, so a distance below it cannot be told from perfect.
#
# <details><summary>What happened</summary>
#
# On the checkerboard the midpoint rule gets there with 8 to 12 evaluations, depending on the draw; Euler's method needs several
# times as many.
#
# </details>
#
# Good solvers are the fair opponents of every one-step method, so from notebook 3 on midpoint stands beside Euler. (`sample` is the loop you saw; `euler` and `midpoint` are its two ways to ask for a velocity.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check: the packaged sampler is the loop
assert torch.equal(sample(euler(board.velocity), starts, 4), euler_path(starts, 4)[-1])
assert torch.allclose(sample(midpoint(board.velocity), starts, 4), midpoint_path(starts, 4)[-1], atol=1e-6)

# %% [markdown]
# ## What we have
#
# * Each pair has a straight road and a **conditional velocity** $\varepsilon - x$. The mean over all roads through a point is the **marginal velocity** $v(z, t)$.
# * A crowd that follows $v$ has the density of the travellers at every time, so it turns noise into data.
# * Paths bend, so **few steps miss**, even with the exact field. One step puts everything on the data mean.
# * On the checkerboard a better solver needs about ten evaluations. A different *velocity* may need one: [the average velocity](02_average_velocity.ipynb).
#
# ## Exercises
#
# Each has a cell for your answer and a folded check that says what is wrong. The solution is folded too: open it when you have tried.
#
# **1. Another landing.** With the *spiral* as data, where does one Euler step of the exact field land? Say it first, then compute the point, shape `(2,)`.

# %%
spiral = DISTRIBUTIONS["spiral"]
landing = ...  # one line

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
expected = spiral.means.mean(dim=0)
check(landing, expected, tolerance=0.02,
      hint="It is the mean of the data; one step of `sample(euler(spiral.velocity), …)` goes there.",
      mistakes={"That is the mean of the noise; the step goes to that of the data.": torch.zeros(2),
                "The sign is reversed: toward data, the velocity is subtracted.": -expected})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
spiral_landing = sample(euler(spiral.velocity), torch.zeros(1, 2), 1)[0]
print(spiral_landing)
assert torch.allclose(spiral_landing.double(), spiral.means.mean(dim=0), atol=0.02)

# %% [markdown]
# **2. Another solver.** Heun's method takes a whole Euler step, asks for the velocity where it lands, and then walks the step with the *mean* of the two velocities.
# Write the mean velocity for a step from `t` to `r`, both numbers; `euler_path` shows how a step is taken.

# %%
def heun(z, r, t):
    return ...  # two or three lines


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
z_t = starts
first = board.velocity(z_t, 0.9)
second = board.velocity(z_t - 0.3 * first, 0.6)
check(heun(z_t, 0.6, 0.9), (first + second) / 2,
      hint="first = v(z, t); landing = z − (t − r) first; then the mean of first and v(landing, r).",
      mistakes={"That is Euler's velocity, at the start only.": first,
                "That is the velocity at the landing only. Take the mean of both.": second,
                "That is the new place. Return the velocity.": z_t - 0.15 * (first + second),
                "The second velocity is asked at time r, not t.":
                (first + board.velocity(z_t - 0.3 * first, 0.9)) / 2,
                "That goes away from data: subtract.":
                (first + board.velocity(z_t + 0.3 * first, 0.6)) / 2})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
def heun_velocity(z, r, t):
    first = board.velocity(z, t)
    landing = z - (t - r) * first
    return (first + board.velocity(landing, r)) / 2


torch.testing.assert_close(heun_velocity(z_t, 0.6, 0.9), (first + second) / 2)

# %% [markdown]
# **3. Derive a field.** The data are eight *points* $m_k$, equally likely. Derive $v(z, t)$: which points may the road
# through $z$ come from, and with what probability? What is the velocity of each road? Then write the mean, for all $z$ at once.

# %%
points = DISTRIBUTIONS["eight_gaussians"].means.float()  # (8, 2)


def to_points(z, t):
    return ...  # three lines: each road's noise, its probability (torch.softmax), the mean velocity


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
narrow = GaussianMixture(points, sd=1e-4)
z_somewhere, at = torch.randn(200, 2, generator=torch.manual_seed(8)), torch.full((200, 1), 0.6)
exact_v = narrow.velocity(z_somewhere, at)
every_road = ((z_somewhere[:, None] - 0.4 * points) / 0.6 - points).mean(dim=1)
check(to_points(z_somewhere, at), exact_v, tolerance=1e-3,
      hint="The road from m_k through z has the noise (z − (1 − t) m_k) / t, "
           "and is likely in proportion to exp(−|noise|² / 2).",
      mistakes={"That gives every road the same weight; the far ones are unlikely.": every_road,
                "That is E[x | z]. The velocity is noise minus data.": z_somewhere - 0.6 * exact_v,
                "That is E[ε | z]. The velocity is noise minus data.": z_somewhere + 0.4 * exact_v,
                "The sign is reversed: the velocity is noise minus data.": -exact_v})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
def velocity_to_points(z, t):
    noise = (z[:, None] - (1 - t[..., None]) * points) / t[..., None]  # (n, 8, 2)
    probability = torch.softmax(-noise.square().sum(dim=2) / 2, dim=1)[..., None]
    return (probability * (noise - points)).sum(dim=1)


torch.testing.assert_close(velocity_to_points(z_somewhere, at), exact_v, atol=1e-3, rtol=0)

# %% [markdown]
# ## Further reading
#
# * Lipman et al., [Flow Matching for Generative Modeling](https://arxiv.org/abs/2210.02747) (2023): Theorem 1, and the loss of notebook 3.
# * Liu et al., [Rectified Flow](https://arxiv.org/abs/2209.03003) (2023): straight roads, and how to straighten the paths.
# * Geng et al., [Mean Flows for One-step Generative Modeling](https://arxiv.org/abs/2505.13447) (2025): the paper this course teaches.
# * Raymond Fan, *Introduction to Mean Flow* (2025): the blog tutorial whose subject this course follows.
