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
# **The question.** How does a velocity field turn noise into data, and why are a few steps not enough?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import torch

from mfutils import (
    DISTRIBUTIONS, GaussianMixture, check, euler, flow_map, gaussian, interpolate, midpoint,
    noise_floor, sample, sliced_w2,
)
from mfutils.lab import digits
from mfutils.show import figures, plots, widgets

board = DISTRIBUTIONS["checkerboard"]

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw digits by two networks
rows = digits.rows(gaussian(20, torch.manual_seed(0), d=64), torch.full((20,), -1))  # any digit
slow, fast = (digits.load_pretrained(name) for name in ("flow_matching", "distilled_mean_flow"))
made = {"1 evaluation": sample(slow, rows, 1), "2 evaluations": sample(slow, rows, 2),
        "32 evaluations": sample(slow, rows, 32), "another network, 1 evaluation": sample(fast, rows, 1)}
sheets = plots.sheets({title: digits.image(z_0) for title, z_0 in made.items()}, columns=5)
plots.show(sheets, "Four sheets of twenty digits. One network, evaluated once: twenty times the same grey smudge; twice: blurred "
           "digits; 32 times: clear digits. Another network, evaluated once: the same digits, a little softer.")

# %% [markdown]
# *Twenty digits from the same noise. The first three sheets are by one network, evaluated once, twice and 32 times for each digit; the last by another one of the same size, evaluated once. What did that one learn?*
#
# | | |
# |---|---|
# | **You will do** | compute a velocity field by brute force; watch a crowd follow it; sample in one step and in many |
# | **You will learn** | what the conditional and the marginal velocity are; why paths bend; why few steps miss, even with the exact field |
# | **You need** | PyTorch; what a mean and a derivative are. Nothing about flows |
# | **Time** | 20 minutes to read, half a minute to run |

# %% [markdown]
# ## Why one step?
#
# Models of images, sound and video begin with noise and evaluate a large network, again and again, to find out which way to go. The diffusion transformers [DiT](https://arxiv.org/abs/2212.09748) and [SiT](https://arxiv.org/abs/2401.08740) do so 500 times for one ImageNet picture: 250 steps, each with and without the picture's class.
# A tool that answers while you type can afford only one.
#
# If you simply go the whole way at once, you get the smudge on the left. **MeanFlow** ([Geng et al. 2025](https://arxiv.org/abs/2505.13447)) trains a network for the jump itself. The catch: its digits are a little softer. This course derives the method, trains it, and measures the catch.
#
# We begin in the plane, with points instead of images: there the right answer is known, exactly and everywhere. (Images and guidance follow in [notebook 10](10_pixels.ipynb).)

# %% [markdown]
# ## Straight roads
#
# Our data are the points of a checkerboard; `board.sample(n)` draws some. Take a data point $x$ and a noise point $\varepsilon \sim N(0, I)$, and join them by a straight road. At time $t$ the traveller on this road is at
#
# $$z_t = (1-t)\,x + t\,\varepsilon .$$
#
# Time runs from data at $t = 0$ to noise at $t = 1$, as in the MeanFlow paper. (Much of the literature counts the other way.) The velocity of a traveller never changes: $\mathrm{d}z_t/\mathrm{d}t = \varepsilon - x$. This is the **conditional velocity**; it belongs to one pair. With our convention **a velocity points toward noise, and sampling subtracts it**.
#
# `interpolate` is these two formulas. Points have shape `(n, 2)`, times `(n, 1)`:

# %%
torch.manual_seed(0)
x, eps = board.sample(20_000), torch.randn(20_000, 2)
t = torch.rand(20_000, 1)
z, v_cond = interpolate(x, eps, t)

# %% tags=["nbval-check-output"]
assert torch.equal(z, (1 - t) * x + t * eps)
assert torch.equal(v_cond, eps - x)
z.shape, t.shape, v_cond.shape

# %% [markdown]
# Here are the travellers of all pairs at four times. Each has the colour of the square that its road leads to.

# %%
times = (1.0, 0.6, 0.3, 0.0)
on_roads = {f"t = {s}": interpolate(x, eps, s)[0] for s in times}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the travellers
plots.show(plots.painted(on_roads, plots.part(board, x)),
           "Four clouds of points. At t = 1 a round blob in which eight colours are mixed like confetti; at 0.6 "
           "and 0.3 the colours begin to part; at 0 a checkerboard, each square in one colour.")

# %% [markdown]
# *At $t=1$ the colours are mixed: any noise may be paired with any data.*
#
# But to generate data we start from noise alone, and do not know which $x$ a noise point belongs to.
#
# ## Many roads through one point
#
# Stand at one place at one time. Many roads pass through here, from many data points. Which of them is likely? To be here at time $t$, the data point $x$ needs the noise $\varepsilon = (z - (1-t)\,x)/t$. Such a noise has a probability density in proportion to $\exp(-|\varepsilon|^2/2)$: that is the weight of the road.

# %%
torch.manual_seed(2)
here, now = torch.tensor([[1.6, -1.2]]), 0.6
x_here = board.sample(200_000)
eps_here = (here - (1 - now) * x_here) / now
weight = torch.softmax(-eps_here.square().sum(dim=1) / 2, dim=0)[:, None]

# %% [markdown]
# Each road has its own conditional velocity. Their weighted mean is the **marginal velocity**:
#
# $$v(z, t) = \mathbb{E}\,[\,\varepsilon - x \mid z_t = z\,].$$

# %%
by_brute_force = (weight * (eps_here - x_here)).sum(dim=0)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw thirty roads and their mean
fan = figures.fan(here[0], x_here[:30], eps_here[:30], weight[:30, 0], by_brute_force)
plots.show(fan, "Thirty straight lines that cross in one point, from data points in all squares of "
           "the board; some are dark, others nearly transparent. An arrow starts at the crossing.")

# %% [markdown]
# *Thirty of the roads, the darker the more likely; each begins at its data point (dot). The arrow shows $-v$, the way a sample would move from here: a compromise between all of them.*
#
# Drag the place, and move the time. At which times does a single square decide where the arrow points? And what happens to the arrow as $t$ goes to 1?

# %%
widgets.roads(board)

# %% [markdown]
# For the checkerboard this mean has a closed form (from truncated normal variables). `board.velocity` is that formula. It is exact, so in this notebook nothing has to be learned.

# %%
by_formula = board.velocity(here, now)[0]
print("brute force", by_brute_force, "  formula", by_formula)
assert torch.allclose(by_brute_force, by_formula, atol=0.02)

# %% [markdown]
# ## A crowd that follows the field
#
# A velocity at every place and every time is a *field*. Now forget the pairs. Start a new crowd from noise and let every point follow $v$ in 200 small steps.
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
# **Predict:** on the roads, every traveller goes straight to its partner. In the field, every point follows a mean of many roads. Where does the crowd end? (a) On a blurred board, because averaging blurs. (b) On the board, each point in the square of its partner. (c) On the board, with each colour coming from one region of the noise.

# %%
in_field = {f"t = {s}": crowd[round(200 * (1 - s))] for s in times}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the crowd
plots.show(plots.painted(in_field, plots.part(board, crowd[-1])),
           "Four clouds again. At t = 1 the colours are not mixed: each fills one region of the noise. The "
           "regions move apart and become the eight squares of the board.", guess=True)

# %% [markdown]
# *Each point has the colour of the square where the field takes it.*
#
# <details><summary>What happened</summary>
#
# (c). No point has a partner any more, and yet the crowd ends up distributed like the data. On the roads the colours cross each other; in the field each colour has a territory from the start.
#
# </details>
#
# Move the time, or press play; change between roads and field, and drag the ring. At which $t$ do the arrows stop pointing to the middle?

# %%
widgets.field(board)

# %% [markdown]
# *At about $t = 0.6$. At 0.2 nearly every place belongs to one square.*
#
# ## A window in the plane
#
# Why does the crowd end up like the data? Look at a window in the plane for a short time $\mathrm{d}t$, with the same points in it. On the roads, they cross its border in all directions. In the field, points at the same place move alike.
#
# **Predict:** after $\mathrm{d}t$, where are more points in the window? (a) On the roads, because so many come in. (b) In the field, because so few go out. (c) Equally many.

# %%
torch.manual_seed(3)
t_now, dt, box = 0.3, 0.01, (-0.5, 0.5, 0.0, 1.0)  # left, right, low, high
z_now, road = interpolate(board.sample(2_000_000), torch.randn(2_000_000, 2), t_now)
near = (z_now - torch.tensor([0.0, 0.5])).abs().amax(dim=1) < 1
z_near = z_now[near]
moves = {"on roads": -dt * road[near], "in the field": -dt * board.velocity(z_near, t_now)}

# %%
def inside(z):
    left, right, low, high = box
    return (z[:, 0] > left) & (z[:, 0] < right) & (z[:, 1] > low) & (z[:, 1] < high)


traffic = {}
for who, move in moves.items():
    before, after = inside(z_near), inside(z_near + move)
    come, go = (after & ~before).sum().item(), (before & ~after).sum().item()
    traffic[who] = {"come in": f"{come:,}", "go out": f"{go:,}",
                    "balance": f"{come - go:+,} ± {(come + go) ** 0.5:.0f}"}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the window
few = z_near[:120]
plots.show(figures.window(few, {who: 12 * move[:120] for who, move in moves.items()}, box),
           "A small window with points in and around it, twice. On roads their arrows point in all directions; "
           "in the field neighbours have nearly the same arrow.")
plots.table(traffic, corner="of 2,000,000 points, in dt = 0.01", guess=True)

# %% [markdown]
# *Arrows: moves in $\mathrm{d}t$, twelve times enlarged. After ±, the spread by chance of so many crossings.*
#
# <details><summary>What happened</summary>
#
# (c), up to chance. There is far more traffic on the roads. But what crosses a piece of the border in $\mathrm{d}t$ is the sum of all velocities there, and that is the number of points times their *mean* velocity: velocities that cancel bring as many in as out. So the density $\rho$ changes in the same way in every window, $\partial_t \rho = -\nabla\cdot(\rho\,v)$, and the crowd has the density of the travellers at every time.
#
# </details>
#
# This theorem ([Lipman et al. 2023](https://arxiv.org/abs/2210.02747), Theorem 1) lets us generate: **start from noise, follow $v$, arrive at data.**
#
# ## Eight territories
#
# As we saw, where a point ends is decided by where it starts. `flow_map(board, z, r, t)` follows the field from time $t$ to time $r$ in very fine steps. We evaluate it on a grid in the noise:

# %%
start = plots.grid(140)
ends = plots.part(board, flow_map(board, start, 0, 1, n_steps=12))  # the middle of a square
landing = flow_map(board, z_1[:4000], 0, 1)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the territories
plots.show(figures.territories(ends, {"a sample of noise": z_1[:4000], "where it lands": landing},
                               plots.part(board, landing)),
           "The noise plane is divided into eight regions: six that reach outward like slices, and two small ones "
           "in the middle, with dark borders. Beside it noise points in the same colours, and the eight squares.")

# %% [markdown]
# The dark borders are **seams**. Two points on both sides of a seam start as neighbours and end in different squares: there the exact map *tears* the plane. (Down to any $t > 0$ it only stretches it; the tear is the limit.) A smooth network that maps noise to data in one step will have to imitate that.
#
# Straight roads may cross. Paths in the field never meet at the same time: at one place and time there is one velocity, so two points that meet were together all along. That is why colours do not mix. And averaging over random pairs makes paths bend:

# %%
roads = torch.stack([eps[:40], x[:40]])
paths = euler_path(eps[:40], 500)
length = (paths[1:] - paths[:-1]).norm(dim=2).sum(dim=0)
detour = length / (paths[0] - paths[-1]).norm(dim=1)
print(f"length of a path ÷ distance of its ends: median of 40 {detour.median():.2f}")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw forty roads and forty paths
plots.show(figures.paths({"roads: one pair each": roads, "paths: following the field": paths}),
           "Left, forty straight lines that cross each other. Right, forty curves from the same "
           "noise points: most turn inward first, then hook outward into a square.")

# %% [markdown]
# *From the same noise points (grey). Near noise the field points to the middle; near data it turns to the nearest square.*
#
# The velocity changes along a path, in direction and in speed, but a step holds it constant. That is the whole difficulty of sampling in few steps.
#
# ## One step
#
# **Predict:** take the exact field, so there is no learning error at all, and a single step from $t=1$ to $t=0$. Where do the noise points land? (a) In the squares, but blurred. (b) All over the board, dark squares and white ones. (c) All on one point.

# %%
one_step = z_1 - board.velocity(z_1, 1.0)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the landings
plots.show(plots.clouds({"noise": z_1, "one step of the field": one_step}, method="field"),
           "A round cloud of noise, and beside it the landings: a single dot in the middle.", guess=True)
assert one_step.norm(dim=1).max() < 1e-5

# %% [markdown]
# <details><summary>What happened</summary>
#
# (c). At $t=1$ a point is pure noise and says nothing about its partner, so
# $v(z, 1) = \mathbb{E}[\varepsilon - x \mid \varepsilon = z] = z - \mathbb{E}[x]$, and the step is $z - (z - \mathbb{E}[x]) = \mathbb{E}[x]$:
# **one step lands on the mean of the data**, whatever the data. (The smudge at the top is the mean of all digits.) Training cannot fix this: the field is exact.
#
# </details>
#
# ## A few steps
#
# Seven points, their true paths in grey, and four of Euler's steps, each an arrow along $-v$ at its start:

# %%
angle = torch.arange(7) * 2 * torch.pi / 7 + 0.35
starts = 2.2 * torch.stack([angle.cos(), angle.sin()], dim=1)
true_paths = euler_path(starts, 500)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw four steps
plots.show(plots.polylines(true_paths, {"4 steps": euler_path(starts, 4)}),
           "Seven bent paths in grey, and for each four arrows that leave the path where it "
           "turns and end beside the path's end.")

# %% [markdown]
# There are better steps. The **midpoint rule** first goes half a step, looks there, and uses *that* velocity for the whole step. It costs two evaluations of the field per step, but it takes the bend into account:

# %%
def midpoint_velocity(z, r, t):
    half = z - (t - r) / 2 * board.velocity(z, t)
    return board.velocity(half, (r + t) / 2)


# %% [markdown]
# Drag the ring, and change solver and steps. At *equal evaluations*, say 8 steps of Euler and 4 of midpoint, which one ends nearer?

# %%
widgets.solvers(board, starts)

# %% [markdown]
# What a sample costs is counted in **function evaluations** (NFE): how often the field, later a network, is evaluated. To compare clouds by a number, take the **sliced Wasserstein distance** (sliced W2): project both on 64 directions, and measure how far mass must be moved along each. (A square has side 1.) Two fresh sets of data are not at distance zero: that is the **noise floor**, which shrinks with more points.
#
# **Predict:** how many evaluations bring 20,000 points near the floor? (a) Both about ten. (b) Midpoint about ten, Euler several times as many. (c) Both several dozen.

# %%
target = board.sample(20_000)
budgets = (2, 4, 8, 12, 16, 32, 64)
blank = {f"{nfe} NFE": "" for nfe in (0, *budgets)}
table = {"raw noise": blank | {"0 NFE": f"{sliced_w2(z_1, target):.3f}"}}
for name, solver, per_step in (("Euler", euler, 1), ("midpoint", midpoint, 2)):
    ends_of = {nfe: sample(solver(board.velocity), z_1, nfe // per_step) for nfe in budgets}
    table[name] = blank | {f"{nfe} NFE": f"{sliced_w2(z_0, target):.3f}"
                           for nfe, z_0 in ends_of.items()}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the table
plots.table(table, corner="sliced W2 of 20,000 points", guess=True)
print("noise floor: mean {:.3f}; in 95 of 100 cases below {:.3f}".format(*noise_floor(sliced_w2, board, 20_000)))

# %% [markdown]
# <details><summary>What happened</summary>
#
# (b). Midpoint gets there with 8 to 12 evaluations. What is below the 95 % line cannot be told from perfect; below the floor's mean is luck (all entries use the same samples). (With more points the floor sinks, and both need more to reach it.) Two or four Euler steps are farther from the board than raw noise: they crowd everything near the middle.
#
# </details>
#
# Good solvers are the fair comparison for a one-step method, so from notebook 3 on midpoint stands beside Euler. (`sample` is the loop you saw; `euler` and `midpoint` make a step's velocity for it.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check: the packaged sampler is the loop
assert torch.equal(sample(euler(board.velocity), starts, 4), euler_path(starts, 4)[-1])
assert torch.allclose(sample(midpoint(board.velocity), starts, 4), sample(midpoint_velocity, starts, 4), atol=1e-6)

# %% [markdown]
# ## What we have
#
# * Each pair has a straight road and a **conditional velocity** $\varepsilon - x$. The mean over all roads through a point is the **marginal velocity** $v(z, t)$.
# * A crowd that follows $v$ turns noise into data. It divides the noise into territories, with **seams** between them.
# * Paths bend, so **few steps miss**, even with the exact field. One step puts everything on the data mean.
# * By sliced W2 a better solver needs about ten evaluations on the board. A different *velocity* may need one: [the average velocity](02_average_velocity.ipynb).
#
# Symbols: see the [glossary](../docs/glossary.md).
#
# ## Exercises
#
# Each has a cell for your answer and a folded check, which knows the usual mistakes. The solution is folded too.
#
# **1. Another landing.** Suppose the noise were not centred: $\varepsilon \sim N(a, I)$ with $a = (3, 0)$. Where does one Euler step of the exact field from $t=1$ put the points of that noise, if the data are the *spiral*? Predict first, then compute the point, shape `(2,)`.

# %%
spiral = DISTRIBUTIONS["spiral"]
its_landing = ...  # one line

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
mean_of_spiral = spiral.means.mean(dim=0)
check(its_landing, mean_of_spiral, tolerance=0.02,
      hint=["What does a point of pure noise know about its partner, wherever the noise lies?",
            "Repeat the derivation of One step: v(z, 1) = z − E[x] holds for any noise.",
            "The mean of the data: spiral.means.mean(dim=0)."],
      mistakes={"That is the mean of the noise; the step goes to that of the data.": torch.tensor([3.0, 0.0]),
                "The noise is shifted, and its velocity with it: z − v(z, 1) does not see the shift.":
                mean_of_spiral + torch.tensor([3.0, 0.0]),
                "The sign is reversed: toward data, the velocity is subtracted.": -mean_of_spiral})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
spiral_landing = spiral.means.mean(dim=0)
print(spiral_landing, "Why: at t = 1 the point z is the noise itself, so v(z, 1) = z − E[x], and the step gives "
      "z − (z − E[x]) = E[x]. Where the noise lies has dropped out.")

# %% [markdown]
# **2. Another solver.** Heun's method takes a whole Euler step, asks for the velocity where it lands, and then walks the step with the *mean* of the two velocities.
# Write that mean for a step from `t` to `r > 0`, both numbers; `midpoint_velocity` shows the form.

# %%
def heun(z, r, t):
    return ...  # two or three lines


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
first = board.velocity(starts, 0.9)
second = board.velocity(starts - 0.3 * first, 0.6)
check(heun(starts, 0.6, 0.9), (first + second) / 2,
      hint=["Which two places does it look at, and at which two times?",
            "The landing of the Euler step is z − (t − r) v(z, t). At which time is it there?",
            "first = v(z, t); landing = z − (t − r) first; then the mean of first and v(landing, r)."],
      mistakes={"That is Euler's velocity, at the start only.": first,
                "That is the velocity at the landing only. Take the mean of both.": second,
                "That is the new place. Return the velocity.": starts - 0.15 * (first + second),
                "The second velocity is asked at time r, not t.":
                (first + board.velocity(starts - 0.3 * first, 0.9)) / 2,
                "That goes away from data: subtract.":
                (first + board.velocity(starts + 0.3 * first, 0.6)) / 2})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
def heun_velocity(z, r, t):
    first = board.velocity(z, t)
    landing = z - (t - r) * first  # it is there at time r
    return (first + board.velocity(landing, r)) / 2  # the trapezoid rule


torch.testing.assert_close(heun_velocity(starts, 0.6, 0.9), (first + second) / 2)

# %% [markdown]
# **3. Derive a field.** The data are eight *points* $m_k$, equally likely. Derive $v(z, t)$: which points may the road
# through $z$ come from, and with what probability? What is the velocity of each road? Then write the mean, for all $z$ and $t$, `(n, 1)`, at once.

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
      hint=["It is the brute-force cell of Many roads, with eight data points in place of 200,000.",
            "Give z the shape (n, 1, 2), so that it meets all eight points at once; softmax over the eight.",
            "The road from m_k through z has the noise (z − (1 − t) m_k) / t, and is likely in proportion to "
            "exp(−|noise|² / 2)."],
      mistakes={"That gives every road the same weight; the far ones are unlikely.": every_road,
                "That is E[x | z]. The velocity is noise minus data.": z_somewhere - 0.6 * exact_v,
                "That is E[ε | z]. The velocity is noise minus data.": z_somewhere + 0.4 * exact_v,
                "The sign is reversed: the velocity is noise minus data.": -exact_v})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
def velocity_to_points(z, t):
    noise = (z[:, None] - (1 - t[..., None]) * points) / t[..., None]  # (n, 8, 2)
    probability = torch.softmax(-noise.square().sum(dim=2) / 2, dim=1)[..., None]  # Bayes, with equal priors
    return (probability * (noise - points)).sum(dim=1)


torch.testing.assert_close(velocity_to_points(z_somewhere, at), exact_v, atol=1e-3, rtol=0)

# %% [markdown]
# ## Further reading
#
# * Lipman et al., [Flow Matching for Generative Modeling](https://arxiv.org/abs/2210.02747) (2023): Theorem 1, and the loss of notebook 3.
# * Liu et al., [Rectified Flow](https://arxiv.org/abs/2209.03003) (2023): straight roads, and how to straighten the paths.
# * Geng et al., [Mean Flows for One-step Generative Modeling](https://arxiv.org/abs/2505.13447) (2025): the paper this course teaches.
# * Raymond Fan, *Introduction to Mean Flow* (2025): the blog tutorial whose subject this course follows.
