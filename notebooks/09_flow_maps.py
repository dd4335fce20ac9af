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
# # 9. One map, many losses
#
# **The question.** The same map can be taught by many losses: which identity teaches it best?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import copy
import inspect

import torch
from IPython.display import Code

from mfutils import (
    DISTRIBUTIONS, MeanVelocityMLP, Run, check, flow_map, gaussian, improved_mean_flow_loss,
    interpolate, load_pretrained, load_record, mean_flow_loss, mean_velocity, sample, sample_r_t,
    total_derivative, two_times,
)
from mfutils.lab import maps
from mfutils.lab.maps import eulerian, lagrangian, load_taught, semigroup, taught
from mfutils.show import figures, plots, widgets

board, crescent = DISTRIBUTIONS["checkerboard"], DISTRIBUTIONS["crescent"]

# %%
nets, z_1 = load_taught(), gaussian(4000, torch.Generator().manual_seed(0))
places = plots.part(board, flow_map(board, z_1, 0, 1))

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw one step of four of them
four = ["Lagrangian, exact", "Eulerian, exact", "Lagrangian, open", "Eulerian, pair"]
plots.show(plots.painted({f"network {letter}": sample(nets[name], z_1, 1)
                          for letter, name in zip("ABCD", four)}, places),
           "One-step samples of four networks, coloured by where the exact flow takes them. A: lopsided "
           "squares joined by thin strings, little else between. B, C and D: fuller squares with a haze.")

# %% [markdown]
# *Four networks of one size, after 2,500 steps on the same data. Only the loss differs. Two of them had a perfect teacher: the exact velocity of the board. Which two?*
#
# | | |
# |---|---|
# | **You will do** | cut a jump anywhere; derive three identities from one line; judge losses by the exact answer |
# | **You will learn** | which identity moves what; why mean flow needs no teacher; what hurts a perfect one |
# | **You need** | [notebook 4](04_mean_flow.ipynb); for the noise of targets [notebook 7](07_inside_the_loss.ipynb) |
# | **Time** | 45 minutes to read, a minute to run |

# %% [markdown]
# ## One jump, cut in two
#
# By definition $(t-r)\,u(z_t,r,t)=\int_r^t v(z_\tau,\tau)\,\mathrm{d}\tau$, and an integral can be cut at any $s$ between:
#
# $$(t-r)\,u(z_t,r,t) \;=\;(t-s)\,u(z_t,s,t) \;+\;(s-r)\,u(z_s,r,s).$$
#

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw three cuts
starts = torch.tensor([[0.78, 3.09], [2.24, -2.08], [1.5, -1.2], [1.56, -3.15], [2.75, 0.24]])
states = [starts[:1]]
for k in range(100, 0, -1):
    states.append(flow_map(board, states[-1], (k - 1) / 100, k / 100, n_steps=2))
path = torch.cat(states)


def step_at(time, length, direction):
    """A straight step along the exact velocity: from z at a time, or to it."""
    z = path[[100 - round(100 * time)]]
    step = length * board.velocity(z, time)
    return (z - step if direction < 0 else z)[0], step[0]


panels = {"cut near t: Eulerian": (0.75, step_at(0.9, 0.15, -1)), "cut anywhere: semigroup": (0.5, None),
          "cut near r: Lagrangian": (0.3, step_at(0.1, 0.2, +1))}
plots.show(figures.cuts(path, 0.1, 0.9, panels),
           "Three times the same path and the same long chord, in two pieces: with the cut near t, in the "
           "middle, and near r. A blue arrow stands for the short piece.")

# %% [markdown]
# *Orange: $(t-r)\,u$, toward noise. Black: its two pieces. Blue: the velocity in place of the short one.*
#
# Drag the cut, both ends, and $(r,t)$ in the triangle. Where must the cut be, so that a velocity can stand for one piece, and which velocity: at $z_t$, or where the jump lands?

# %%
widgets.cut(board, starts)

# %% [markdown]
# **What happened.** Next to $t$ the first piece is a step along $v(z_t,t)$; next to $r$ the second one is along $v(z_r,r)$: the blue points on the diagonal. In the limit each cut is an identity:
#
# | the cut | what moves | identity |
# |---|---|---|
# | $s\to t$ | $t$ | **Eulerian** $\;u=v(z_t,t)-(t-r)\,\dfrac{\mathrm{d}u}{\mathrm{d}t}$ |
# | $s\to r$ | $r$ | **Lagrangian** $\;u=v(z_r,r)+(t-r)\,\dfrac{\partial u}{\partial r},\;$ where it lands: $z_r=z_t-(t-r)u$ |
# | between | nothing | **semigroup** $\;u=\dfrac{t-s}{t-r}u(z_t,s,t)+\dfrac{s-r}{t-r}u(z_s,r,s)$ |
#
# Flow matching lives on the diagonal $r=t$, consistency models on the edge $r=0$. Mean flow is the Eulerian.
#
# ## Three residuals
#
# A loss squares what is left of an identity. What `sg`, the stop-gradient, holds fixed is the target.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the residuals
Code("\n\n".join(map(inspect.getsource, (eulerian, lagrangian, semigroup))), language="python")

# %% [markdown]
# At the exact $u$ all three must vanish.

# %%
torch.manual_seed(1)
x, eps = board.sample(500).double(), gaussian(500).double()
r, t = (part.double() for part in sample_r_t(500, p_equal=0))
z, _ = interpolate(x, eps, t)


def exact_u(z, r, t):
    return mean_velocity(board, z, r, t)


def exact_v(z, t):
    return board.velocity(z, t.clamp(min=1e-3))


def residuals(u, v):
    return {"Eulerian": eulerian(u, z, r, t, v(z, t), tangent=v(z, t)),
            "Lagrangian": lagrangian(u, z, r, t, v),
            "semigroup": semigroup(u, z, r, t, (r + t) / 2)}


network = copy.deepcopy(load_pretrained("checkerboard", "mean_flow")).double()
left = {name: {of: part.detach().norm(dim=1).median()
               for of, part in residuals(u, exact_v).items()}
        for name, u in {"exact u": exact_u, "mean flow of notebook 4": network}.items()}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the table
plots.table({name: {of: f"{size:.1e}" for of, size in row.items()} for name, row in left.items()},
            corner="median residual")
assert max(left["exact u"].values()) < 1e-5 < 1e-2 < min(left["mean flow of notebook 4"].values())

# %% [markdown]
# ## Where the data come in
#
# Without the exact $v$, a network can take its own, $u_\theta(z,t,t)$. **Predict:** with its own velocity, which of these has the largest residual on the board: (a) $u=0$, (b) the exact $u$ of the crescent, (c) that of the board, (d) none?

# %%
def own(u):
    return lambda z, t: u(z, t, t).detach()


candidates = {"u = 0": lambda z, r, t: 0 * z,
              "exact u of the crescent": lambda *at: mean_velocity(crescent, *at),
              "exact u of the board": exact_u}
self_taught = {}
for name, u in candidates.items():
    self_taught[name] = {of: f"{part.norm(dim=1).median():.4f}"
                         for of, part in residuals(u, own(u)).items()}
    on_diagonal = (u(z, t, t) - (eps - x)).square().sum(dim=1).mean()
    self_taught[name]["rows r = t, squared"] = f"{on_diagonal:.2f}"

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the table
plots.table(self_taught, corner="residual, own velocity", guess=True)

# %% [markdown]
# <details><summary>What happened</summary>
#
# (d), all are 0. The identities say that $u$ is the average of *its own* diagonal, and any flow is. Only rows with $r=t$, where $u$ meets $\varepsilon-x$, tell a self-taught loss what the data are. So **every loss here keeps its diagonal**.
#
# </details>
#
# May a pair's $\varepsilon-x$ stand for $v$ off the diagonal, too? Average over the pairs through $z_t$:
#
# * **Eulerian: yes.** The target $v_\text{cond}-(t-r)(\partial_z u\,v_\text{cond}+\partial_t u)$, held fixed, is linear in $v_\text{cond}$, and these pairs pass where $v$ is asked for. Their mean is right: mean flow needs no teacher.
# * **Lagrangian: not from $z_t$.** It asks for $v$ at the landing $z_r$, but the pair's road leads to its own $x$. Someone must know $v$ there: a teacher, or the network. (Unless a map *back* starts the jump so that it lands on the pair's own $z_r$: [flow map matching](https://arxiv.org/abs/2406.07507), exercise 2.)
#
# The derivative may be a difference, over a straight step along some velocity $w$:
#
# $$u_\text{tgt}=v-\Big(\frac1\alpha-1\Big)\big(u(z_t,r,t)-u(z_s,r,s)\big), \qquad s=t-\alpha(t-r),\quad z_s=z_t-(t-s)\,w .$$
#
# **Predict,** for the exact $u$ and $\alpha=0.1$: whose mean target is nearer to the truth: with $w$ from a pair, with $w=v$, or is there no difference?

# %%
now, end, alphas = 0.8, 0.2, (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
here = interpolate(board.sample(30), gaussian(30), now)[0]
v_here, many = board.velocity(here, now).double(), board.sample(400)
u_here = mean_velocity(board, here, end, now, n_steps=8)
eps_here = (here[:, None] - (1 - now) * many) / now  # of the pair from each x through each place
pairs = (eps_here - many).double()
weight = torch.softmax(-eps_here.square().sum(dim=2) / 2, dim=1).double()[..., None]
pairs += (v_here - (weight * pairs).sum(dim=1))[:, None]  # 400 of all pairs, with the mean of all


def bias(steps, weight, alpha):
    """How far the mean of the discrete target is from the exact u, rms.  steps: (30, k, 2)."""
    s = now - alpha * (now - end)
    states = here[:, None] - (now - s) * steps
    early = mean_velocity(board, states.flatten(0, 1), end, s, n_steps=8).view_as(states)
    change = u_here - (weight * early).sum(dim=1)
    target = v_here - (1 / alpha - 1) * change
    return (target - u_here).square().sum(dim=1).mean().sqrt().item()


biases = {"step along the pair (α-Flow)": {a: bias(pairs, weight, a) for a in alphas},
          "step along v (Euler mean flows)": {a: bias(v_here[:, None], 1, a) for a in alphas}}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the bias
plots.show(figures.curves(biases, "α (r = 0.2, t = 0.8)", "bias of the target",
                          [figures.FAMILIES["discrete"], figures.INK], ["-", "--"]),
           "Bias of the target by α, for steps along the pair and along v: both grow with α, along the "
           "pair faster.", guess=True)

# %% [markdown]
# <details><summary>What happened</summary>
#
# Along $v$ it is off, since paths bend; along a pair, for small $\alpha$, several times more: the noise gets *inside* $u$, which is not linear. So one lets $\alpha$ fall ([α-Flow](https://arxiv.org/abs/2510.20771)), or steps along the network's own velocity ([Euler mean flows](https://arxiv.org/abs/2602.02571)).
#
# </details>
#
# ## The family
#
# Each loss is a choice: **which identity, whose velocity, what is held fixed**. "Open" lets the gradient through $\partial u/\partial t$ or $\partial u/\partial r$, too. One line each:

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the losses
source = inspect.getsource(maps)
Code(source[source.index("LOSSES = "):source.index("def loss_of")], language="python")

# %%
batch = board.sample(1024), gaussian(1024), *two_times(1024, None)
net = load_pretrained("checkerboard", "mean_flow")


def value(name):
    return maps.loss_of(name, n_steps=1)(net, *batch, net).item()


print(f"mean flow          {mean_flow_loss(net, *batch).item():.4f}  {value('Eulerian, pair'):.4f}")
print(f"improved mean flow {improved_mean_flow_loss(net, *batch).item():.4f}  "
      f"{value('Eulerian, own tangent'):.4f}")

# %% [markdown]
# ## Who learned what
#
# All got mean flow's recipe: network, data, times (consistency: only $r=0$, renoised between), squared error, 2,500 steps (digits: 1,000), five seeds. Papers add weights and schedules: we compare identities, not papers. **Predict:** which identity does a perfect teacher help: (a) both, (b) the Eulerian only, (c) the Lagrangian only?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw most of them by three measures
data_names = {data: plots.in_words(data) for data in ("checkerboard", "spiral")}
floors = {name: load_record()["floor"]["total_variation"][data][0] for data, name in data_names.items()}
shown = [name for name in maps.LOSSES if name not in {
    "Eulerian, open", "Lagrangian, exact from 0.05", "semigroup, middle", "discrete, 1/2", "discrete, 1/10",
    "discrete, 1/2, own tangent", "consistency, own"}]
rows = {}
for label, metric, nfe in (("map error, one step", "map_error", 1), ("total variation, one step", "total_variation", 1),
                           ("total variation, two steps", "total_variation", 2)):
    rows[f"{label}{'; dashed: noise floor' * (nfe == 2)}"] = figures.strips(
        {name: {loss: taught(data, loss, metric, nfe) for loss in shown} for data, name in data_names.items()},
        label, floors if nfe == 2 else None)
rows["digits, one step"] = figures.strips({"digits": {loss: taught("digits", loss, "frechet")
                                                      for loss in shown}}, "Fréchet distance")
plots.show(rows, "Seven charts of dots, a row for each loss, five seeds each. By map error Eulerians and "
                 "consistency are best, and the exact teacher helps them; on the board it is the worst of the Lagrangians. By "
                 "total variation in two steps the self-taught Lagrangians lead. On the digits consistency is "
                 "best, and the network's own v diverged.", guess=True)

# %% [markdown]
# <details><summary>What happened</summary>
#
# (b). On the board the exact velocity lowers the Eulerian's map error from its own 0.110 to 0.087, and doubles the Lagrangian's, from 0.170 to 0.357: **A and B** had the perfect teacher.
#
# * Own against own, the Eulerian leads by map error and sliced W2, the Lagrangian by total variation *of two steps*, on both data, beyond 2.8 standard errors.
# * Held at $\alpha=\frac12$ (no paper does) one jump is useless, though the loss is *lower* than mean flow's, 4.1 against 5.5: losses with different noise cannot be compared.
# * Of open Eulerian runs half diverged; on digits all whose $v$ was the network's of this step. All rows: [results](../docs/results.md).
#
# </details>
#
# How can one measure prefer C, and another D? Total variation is what lies outside of the squares plus what is too much in their tiles. Count both, and the jumps that end inside a wrong square. (First seed.)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Count
crowd, tiles = gaussian(40_000, torch.Generator().manual_seed(1)), 32
right, counted = plots.part(board, flow_map(board, crowd, 0, 1, n_steps=12)), {}
some_taught = "Eulerian, pair", "Eulerian, average", "Lagrangian, own", "Lagrangian, open"
for name in (*some_taught, *four[:2]):
    landing = sample(nets[name], crowd, 1)
    square, inside = plots.part(board, landing), board.density(landing) > 0
    count = torch.histogramdd(landing[inside], bins=[tiles] * 2, range=[-2.0, 2.0] * 2).hist
    full = 8 * square.unique(dim=0, return_counts=True)[1] / len(crowd)
    counted[name] = {"outside": f"{(~inside).float().mean():.0%}",
                     "too much in tiles": f"{(count / len(crowd) - 2 / tiles**2).clamp(min=0).sum():.0%}",
                     "inside another square": f"{((square != right).any(dim=1) & inside).float().mean():.1%}",
                     "emptiest, fullest square": f"{full.min():.2f}, {full.max():.2f}"}
plots.table(counted, corner="one step")

# %% [markdown]
# The self-taught Lagrangians fill squares more *evenly*, which total variation sees. But more of their jumps end in a wrong square, and squares hold too many or too few: W2 sees how many went where, map error also who.

# %% [markdown]
# ## Where the error sits
#
# The error of $u$ over the triangle, board, five seeds. That of A's loss is bright for $r\le0.1$:

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the errors over the triangle
some = ["Eulerian, pair", "Eulerian, own", "Eulerian, exact", "Lagrangian, own", "Lagrangian, open",
        "Lagrangian, exact", "semigroup, random cut", "consistency, pair"]
errors = {name: maps.taught_triangle("checkerboard", name) for name in some}
plots.show(figures.triangles(errors, 0.3, "rms error of u"),
           "Eight triangles of errors, one for each loss.")

# %% [markdown]
# And during training? The Eulerian takes what it knows from the diagonal at $(t,t)$, the Lagrangian from $(r,r)$. **Predict:** does $u$ get right (a) from the diagonal upward, (b) from the diagonal to the left, (c) otherwise?

# %%
watched, states = {}, maps.exact_states(board, gaussian(300, torch.Generator().manual_seed(5)))
for name in ("Eulerian, own", "Lagrangian, own", "semigroup, random cut"):
    torch.manual_seed(0)
    run = Run(MeanVelocityMLP(), n_steps=1000, ema_decay=0.98)
    steps = run.steps(maps.loss_of(name, 1000), board.sample, two_times, with_average=True)
    watched[name] = {step: maps.over_triangle(average, board, states)
                     for step, _, _, average in steps if step in {50, 100, 200, 400, 700, 1000}}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw them at step 200
plots.show(figures.triangles({name: watched[name][200] for name in watched}, 0.6, "rms error of u",
                             plots.abreast(4)),
           "Three triangles at step 200, much the same: dark at the upper right, bright at the lower left.", guess=True)

# %% [markdown]
# *At step 200.* Where is the error at the end? Whose top row is brightest?

# %%
widgets.film(watched)

# %% [markdown]
# **What happened.** (c), nearly the same for all: large $t$ first, columns near $r=0$ last. In the top row the Lagrangian's error grows more as $r$ falls.
#
# ## Taught by one, judged by all
#
# What is left of each identity (median), at jumps as in training, with a network's own velocity. **Predict:** does each loss leave the least of its own residual, and the least error?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Judge seven networks by all residuals
x_r, eps_r, (r_r, t_r) = board.sample(8000), gaussian(8000), two_times(8000, None)
jump = (r_r < t_r).squeeze(1)
rows_r = interpolate(x_r, eps_r, t_r)[0][jump], r_r[jump], t_r[jump]
s_r, matrix = torch.lerp(*rows_r[1:], torch.rand_like(rows_r[1])), {}
for name in ("Eulerian, pair", "Eulerian, own", "Lagrangian, own", "Lagrangian, open", "semigroup, random cut", *four[:2]):
    u, v_own = nets[name], own(nets[name])(rows_r[0], rows_r[2])
    left_over = {"Eulerian": eulerian(u, *rows_r, v_own, tangent=v_own), "Lagrangian": lagrangian(u, *rows_r, own(u)),
                 "semigroup": semigroup(u, *rows_r, s_r)}
    matrix[name] = {of: f"{part.detach().norm(dim=1).median():.3f}" for of, part in left_over.items()}
    matrix[name]["map error, five seeds"] = f"{taught('checkerboard', name, 'map_error').mean():.3f}"
plots.table(matrix, corner="first seed, taught by; residual", guess=True)

# %% [markdown]
# <details><summary>What happened</summary>
#
# The self-taught Lagrangians do, by far; of the Eulerian residual several leave similarly little. And a small Lagrangian residual does not make a small map error.
#
# </details>
#
# ## Noise, or bias
#
# With $\Delta=v_\text{cond}-v$ and $J=I-(t-r)\,\partial_z u$ of notebook 7, a pair leaves the noise $J\Delta$ in the target, an own tangent $\Delta$. An own velocity leaves no noise, but its error $\delta v$: as $J\,\delta v$ from the start for the Eulerian, as $\delta v$ at the landing for the Lagrangian. At the exact $u$, rms:

# %%
taught_self, levels = load_taught()["Eulerian, own"], 5
pair_x, pair_eps = board.sample(200), gaussian(200)  # their rms is rough where J is large
KINDS = "pair: JΔ", "own tangent: Δ", "Eulerian, own: J δv", "Lagrangian, own: δv there"
off = {name: torch.full((levels + 1, levels + 1), torch.nan) for name in KINDS}


def noise_and_bias(r, t):
    """All four at the exact u, for 200 pairs; r, t: (200, 1)."""
    z, v_cond = interpolate(pair_x, pair_eps, t)
    v = board.velocity(z, t)
    delta, wrong = v_cond - v, taught_self(z, t, t).detach() - v
    landing, carried = torch.func.jvp(  # by J: both at once
        lambda z: flow_map(board, z, r.repeat(2, 1), t.repeat(2, 1), n_steps=6),
        (z.repeat(2, 1),), (torch.cat([delta, wrong]),))
    there = taught_self(landing[:200], r, r) - board.velocity(landing[:200], r.clamp(min=1e-3))
    return carried[:200], delta, carried[200:], there.detach()


for i, j in torch.combinations(torch.arange(levels + 1), with_replacement=True)[1:].tolist():
    ends = (torch.full((200, 1), k / levels) for k in (i, j))
    for name, part in zip(KINDS, noise_and_bias(*ends)):
        off[name][j, i] = part.square().sum(dim=1).mean().sqrt()

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw noise and bias over the triangle
quarter = plots.abreast(4)
plots.show(figures.triangles({name: off[name] for name in KINDS[:2]}, 6.0, "noise, up to 6", quarter)
           | figures.triangles({name: off[name] for name in KINDS[2:]}, 0.6, "bias, up to 0.6", quarter),
           "Four triangles. The noise of a pair is largest in the middle rows at small r, that of the own "
           "tangent depends on t alone; the Lagrangian bias depends on r alone and is largest at r = 0.")

# %% [markdown]
# A pair's noise is larger than $u$, at seams far larger. The bias of an own velocity is some ten times smaller, but does not average out. (Solved exactly, all self-taught identities give the flow of $u_\theta(z,t,t)$. They differ in how training gets there.)
#
# ## How errors travel
#
# Let $e_E$ be the Eulerian residual along an exact path, with the exact $v$. $\frac{\mathrm{d}}{\mathrm{d}s}\big[(s-r)(u_\theta-u)\big]=e_E$:
#
# $$X_\theta-X=-\int_r^t e_E\,\mathrm{d}s, \qquad |X_\theta-X| \le \int_r^t |e_E|\,\mathrm{d}s .$$
#
# With the exact velocity errors add, and **nothing grows**. The Lagrangian follows its own landing, $\frac{\partial X_\theta}{\partial r}=v(X_\theta,r)+e_L$; a wrong one sees another velocity, and errors compound (Gronwall):
#
# $$|X_\theta-X| \le \int_r^t |e_L(s)|\,\exp\Big(\int_r^s \lambda\,\mathrm{d}\tau\Big)\mathrm{d}s,$$
#
# with $\lambda=\|\nabla v\|$, which grows like $1/\tau$ across edges of the data; or, sharper, how fast neighbours part: the largest symmetric eigenvalue of $-\nabla v$. **Predict,** for the mean flow of notebook 4: which bound is nearest to the truth at $r=0$: (a) Eulerian, (b) Lagrangian with the norm, (c) with the eigenvalue?

# %%
times = [(1 - k / 30) ** 1.5 for k in range(30)] + [0.002]
particles, one = gaussian(300, torch.Generator().manual_seed(7)), torch.ones(300, 1)
path = [particles]  # exact, at these times
for high, low in zip(times, times[1:]):
    path.append(flow_map(board, path[-1], low, high, n_steps=4))


def trapezoid(values, times):
    """The integral of (k, n) values over falling times."""
    return sum((a + b) / 2 * (high - low)
               for a, b, high, low in zip(values, values[1:], times, times[1:]))


def e_eulerian(k, j):
    """|e_E| with r = times[k], on the exact path at times[j]."""
    v = board.velocity(path[j], times[j] * one)
    return eulerian(net, path[j], times[k] * one, times[j] * one, v, tangent=v).detach().norm(dim=1)


def gradient(z, s):
    """∇v at time s, (n, 2, 2)."""
    along = [torch.func.jvp(lambda z: board.velocity(z, s * one), (z,), (e.repeat(300, 1),))[1]
             for e in torch.eye(2)]
    return torch.stack(along, dim=2)


# %% cellView="form" jupyter={"source_hidden": true}
# @title The measured error, and the bounds
measured, e_lagrangian, slopes = [], [], {"norm": [], "eigenvalue": []}
for low, exact in zip(times, path):
    arrived = particles - (1 - low) * net(particles, low * one, one).detach()
    measured.append((arrived - exact).norm(dim=1))
    e_lagrangian.append(lagrangian(net, particles, low * one, one, board.velocity).detach().norm(dim=1))
    between = [gradient(exact + share * (arrived - exact), low) for share in (0, 0.5, 1)]
    slopes["norm"].append(torch.stack([torch.linalg.matrix_norm(m, ord=2) for m in between]).amax(0))
    slopes["eigenvalue"].append(torch.stack([torch.linalg.eigvalsh(-(m + m.mT) / 2)[:, -1]
                                             for m in between]).amax(0))
bounds = {"Eulerian": [trapezoid([e_eulerian(k, j) for j in range(k + 1)], times) for k in range(1, 31)]}
for name, rate in slopes.items():
    grown, bounds[f"Lagrangian, {name}"] = torch.zeros(300), []
    for k, h in enumerate(torch.tensor(times).diff().neg().tolist()):
        factor = ((rate[k] + rate[k + 1]) / 2 * h).exp()
        grown = grown * factor + (e_lagrangian[k] + e_lagrangian[k + 1]) / 2 * h * factor.sqrt()
        bounds[f"Lagrangian, {name}"].append(grown)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the measured error and the bounds
lines = {"measured": measured[1:], "bound by the Eulerian residual": bounds["Eulerian"],
         "bound by the Lagrangian residual, eigenvalue": bounds["Lagrangian, eigenvalue"],
         "bound by the Lagrangian residual, norm": bounds["Lagrangian, norm"]}
curves = {name: {r: value.quantile(0.9).item() for r, value in zip(times[1:], values)}
          for name, values in lines.items()}
plots.show(figures.curves(curves, "r", "error, 90 % quantile",
                          [figures.INK, figures.FAMILIES["Eulerian"]] + [figures.FAMILIES["Lagrangian"]] * 2,
                          ["-", "-", "-", "--"]),
           "Error by r, from the start at 1 on the right to 0: measured 0.10 at the left end; bounds 0.26, "
           "0.67 and 17.",
           guess=True)
for name, values in bounds.items():
    for true, bound in zip(measured[1:], values):
        assert (true <= 1.03 * bound + 2e-3).float().mean() > 0.97, name

# %% [markdown]
# <details><summary>What happened</summary>
#
# (a). The norm takes the pull onto the data for growth; the eigenvalue knows its sign. And (a) bounds an exact integral: along a wrong turn, Eulerian residuals add up to the whole miss. Lagrangian ones need not: a small error at the seam can grow, and in the other square the velocity is right again. Take the jumps that end inside a wrong square, and add up both residuals on their way.
#
# </details>

# %% cellView="form" jupyter={"source_hidden": true}
# @title Add them up for three networks
many_starts, lines_of = gaussian(4000, torch.Generator().manual_seed(9)), {}
states_of = [many_starts]
for high, low in zip(times, times[1:]):
    states_of.append(flow_map(board, states_of[-1], low, high, n_steps=4))
every = torch.ones(4000, 1)
for name in ("Eulerian, pair", "Lagrangian, open", "Lagrangian, exact"):
    u, both = nets[name], {"Eulerian": [], "Lagrangian": []}
    for s, z_s in zip(times, states_of):
        v_s = board.velocity(z_s, s * every)
        both["Eulerian"].append(eulerian(u, z_s, times[-1] * every, s * every, v_s, tangent=v_s).detach().norm(dim=1))
        both["Lagrangian"].append(lagrangian(u, many_starts, s * every, every, board.velocity).detach().norm(dim=1))
    arrived = many_starts - (1 - times[-1]) * u(many_starts, times[-1] * every, every).detach()
    wrong = ((plots.part(board, arrived) != plots.part(board, states_of[-1])).any(dim=1)
             & (board.density(arrived) > 0))
    lines_of[name] = {"such jumps": f"{wrong.float().mean():.1%}",
                      "miss": f"{(arrived - states_of[-1]).norm(dim=1)[wrong].median():.2f}",
                      **{f"{of} residual": f"{trapezoid(parts, times)[wrong].median():.2f}" for of, parts in both.items()}}
plots.table(lines_of, corner="first seed, inside a wrong square; medians")

# %% [markdown]
# Eulerian residuals exceed the miss, as they must; Lagrangian ones are at most equal. (With learned velocities, the W2 bounds of [Boffi et al.](https://arxiv.org/abs/2505.18825) have such a factor in both.)
#
# ## What a step costs

# %% cellView="form" jupyter={"source_hidden": true}
# @title Measure the noise of a gradient, and look up the seconds
names = ["Eulerian, pair", "Eulerian, own tangent", "Eulerian, own", "Lagrangian, own", "Lagrangian, open",
         "semigroup, random cut", "discrete, 1/10"]
pretrained, spread = load_pretrained("checkerboard", "mean_flow"), {}
for name in names:
    loss, slopes_of, generator = maps.loss_of(name, n_steps=1), [], torch.Generator().manual_seed(8)
    for _ in range(40):
        batch = board.sample(1024, generator), gaussian(1024, generator), *two_times(1024, generator)
        value = loss(pretrained, *batch, pretrained)
        slopes_of.append(torch.cat([part.flatten() for part in
                                    torch.autograd.grad(value, list(pretrained.parameters()))]))
    spread[name] = torch.stack(slopes_of).var(dim=0).sum().sqrt()
seconds = {name: torch.cat([taught(data, name, "seconds") for data in data_names]).median() for name in names}
plots.table({name: {"CPU seconds, relative": f"{seconds[name] / seconds[names[0]]:.1f}",
                    "noise of a gradient, relative": f"{spread[name] / spread[names[0]]:.1f}"}
             for name in names}, corner="one training step, at one trained network")

# %% [markdown]
# A gradient through the derivative costs 1.7 times the seconds. At equal CPU the open Lagrangian's total variation of one step is 0.31 on the board, the pair's 0.32; both have 0.29 on the spiral.
#
# ## The perfect teacher
#
# Why does it hurt? A guess: the Lagrangian asks it at the landing of a network that still misses, and off the data $|v| \approx$ distance$/r$. A third of the jumps have $r=0$, where we ask at 0.001. If so, a teacher asked no later than 0.05 must do better.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Ask for the velocities, and look up the record
student, asked = load_taught()["Lagrangian, open"], {}
for s in (0.3, 0.1, 0.03, 0.01, 0.001):
    column = torch.full((len(z_1), 1), s)
    missed = z_1 - (1 - s) * student(z_1, column, torch.ones_like(column)).detach()
    asked[f"r = {s}"] = {"exact velocity, rms": board.velocity(missed, s),
                         "its own": student(missed, column, column).detach()}
plots.table({row: {of: f"{part.square().sum(dim=1).mean().sqrt():.1f}" for of, part in parts.items()}
             for row, parts in asked.items()}, corner="velocity at landings")
of_record = {}
for name in ("Lagrangian, own", "Lagrangian, exact", "Lagrangian, exact from 0.05", "Eulerian, exact"):
    each = {f"{called}, {plots.in_words(metric)}": taught(data, name, metric)
            for data, called in data_names.items() for metric in ("map_error", "total_variation")}
    each |= {"digits, nearest in training": taught("digits", name, "copying"),
             "digits, recall": taught("digits", name, "recall")}
    of_record[name] = {of: "diverged" if five.isnan().any() else f"{five.mean():.3f} ± {five.std():.3f}"
                       for of, five in each.items()}
for name in ("chords of exact paths, their rows", "chords of exact paths"):
    of_record[name] = dict.fromkeys(each, "") | {f"{called}, {plots.in_words(metric)}": f"{five.mean():.3f} ± {five.std():.3f}"
                              for data, called in data_names.items() for metric in ("map_error", "total_variation")
                              for five in [maps.rival(data, name, metric)]}
plots.table(of_record, corner="one step, five seeds")

# %% [markdown]
# It does: on the spiral the harm is gone, on the board most of it. A few rows ruled the loss: at the end 20, not 2.3. On the digits the exact flow itself copies ([notebook 10](10_pixels.ipynb)): by the exact Lagrangian every image lies nearest a training image (chance: 0.75), but recall is 0, from 0.05 on, too.
#
# The last two rows need no identity. They walk 50,000 of the perfect teacher's paths and teach $u$ its **definition**: a chord, divided by its time. With as many rows, more of them at $r=0$, the board's map error is 0.072, the Eulerian's 0.087; with half of the chords whole jumps, 0.048. The teacher is the same; rows, times and the noise of $r=t$ are not. That an identity builds on the network's own answers is a guess.
#
# ## Rivals
#
# Other ways to one step, in equal CPU seconds, a teacher's included. *Matched pairs*: noise goes to data by the shortest roads (minibatch optimal transport). *Rectified flow, once more*: flow matching on 50,000 pairs of noise and where a first flow takes it. *Distilled*: chords of these walks. **Predict** the winner: (a) an identity, (b) matched pairs, (c) rectified, (d) distilled.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the rivals
of_rivals = {}
for name in (name for name in maps.rivals() if not name.startswith("chords")):
    each_rival = {f"{called}, {plots.in_words(metric)}": maps.rival(data, name, metric)
                  for data, called in data_names.items() for metric in ("sliced_w2", "total_variation")}
    of_rivals[name] = {of: f"{three.mean():.3f} ± {three.std():.3f}" for of, three in each_rival.items()}
plots.table(of_rivals, corner="one evaluation, three seeds", guess=True)

# %% [markdown]
# <details><summary>What happened</summary>
#
# (d), then (c): in less than half of the seconds (d) is sharper than notebook 5's self-distilled networks. One noise, one landing. The price: walks of 32 evaluations, cheap here, and a ceiling, the first flow. Without a teacher self-distillation leads by total variation; matched pairs help both losses.
#
# </details>
#
# ## What we have
#
# * One line, $(t-r)u=\int v$, cut at $s$: next to $t$ the **Eulerian**, next to $r$ the **Lagrangian**, between the **semigroup**. Self-taught, only the diagonal meets data.
# * Only the Eulerian is linear in the velocity where the pair is: **mean flow needs no teacher.**
# * By distance to the exact map Eulerians lead, by total variation of two steps self-taught Lagrangians. A perfect teacher, asked off the data, hurt.
# * With exact velocity Eulerian errors add; Lagrangian errors can feed on themselves.
# * With cheap walks, the **chords of a first flow** win: the definition, without an identity ([notebook 5](05_comparison.ipynb)).
#
# ## Exercises
#
# **1. Which identity is this code?** Four losses, each in a convention of its own. Answer with numbers: 1 Eulerian, 2 Lagrangian, 3 semigroup, 4 discrete Eulerian.

# %%
# (a) Noise at 0, data at 1; net(x, t, d) is the average velocity over the next d.
#     k1 = net(x, t, d / 2);  k2 = net(x + k1 * d / 2, t + d / 2, d / 2)
#     loss = mse(net(x, t, d), stop((k1 + k2) / 2))
# (b) Noise at 1; F(x, t, s) goes from time t to time s.
#     y, dy = jvp(lambda s: F(x, t, s), s, 1);  loss = mse(dy, stop(velocity(y, s)))
# (c) Noise at 1; f(x, t) is a guess of the data.
#     y, dy = jvp(f, (x, t), (noise - data, 1));  loss = mse(y, stop(y - dy))
# (d) Noise at 1; w = a * r + (1 - a) * t;  y = x + (w - t) * (noise - data)
#     loss = mse(net(x, r, t), stop(a * (noise - data) + (1 - a) * net(y, r, w)))
identities = ...  # four numbers, of (a), (b), (c), (d)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
check(identities, [3, 2, 1, 4],
      hint=["Which argument changes between the two sides? The start, the end, or is there a time between?",
            "In (c) the end is fixed at the data: which edge of the triangle is that, and what moves?"],
      mistakes={"In (b) the time that is differentiated is the end, s, at a fixed start.": [3, 1, 1, 4],
                "In (c) the start moves, along the pair; there is no velocity at a landing.": [3, 2, 2, 4],
                "In (d) there is a finite step, but along the pair's road: not two jumps.": [3, 2, 1, 3]})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
assert [3, 2, 1, 4] == [3, 2, 1, 4]
print("(a) shortcut models: the cut is in the middle.  (b) Lagrangian: the end moves, the velocity is asked where "
      "it lands.\n(c) consistency training in continuous time: the Eulerian with r = 0.  (d) α-Flow.")

# %% [markdown]
# **2. The way back.** Let a network $w(z_r,r,t)$ take *data to noise*: $z_t=z_r+(t-r)\,w$. Differentiate $(t-r)\,w=\int_r^t v\,\mathrm{d}\tau$ along the path with respect to $r$. What is the target at a pair's own $z_r$, and is a pair allowed?

# %%
torch.manual_seed(2)
x_b, eps_b, (r_b, t_b) = board.sample(64), gaussian(64), sample_r_t(64, p_equal=0)
z_b, v_b = interpolate(x_b, eps_b, r_b)
w_net = MeanVelocityMLP()
w_tgt = ...  # (64, 2), by total_derivative

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
along_r, along_t = (total_derivative(w_net, z_b, r_b, t_b, v_b, dr, dt)[1] for dr, dt in ((1, 0), (0, 1)))
check(w_tgt, v_b + (t_b - r_b) * along_r,
      hint=["The left side is a product, and (t − r) falls as r grows.",
            "d/dr: −w + (t − r) dw/dr = −v(z_r, r), with dw/dr along (v, 1, 0).",
            "w_tgt = v_b + (t_b − r_b) * total_derivative(w_net, z_b, r_b, t_b, v_b, dr=1, dt=0)[1]"],
      mistakes={"The sign: (t − r) falls as r grows, so the derivative is added.": v_b - (t_b - r_b) * along_r,
                "That moves t. Here z is at r: the tangents are (v, 1, 0).": v_b + (t_b - r_b) * along_t,
                "That is the mean-flow target, anchored at t.": v_b - (t_b - r_b) * along_t,
                "The factor (t − r) is missing.": v_b + along_r})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
_, dwdr = total_derivative(w_net, z_b, r_b, t_b, v_b, dr=1, dt=0)
torch.testing.assert_close(v_b + (t_b - r_b) * dwdr, v_b + (t_b - r_b) * along_r)
print("Linear in v at the very point where the pair is: allowed. It is again the Eulerian, seen from the other end.")

# %% [markdown]
# **3. Two metrics.** Find in the record a setting (data, a self-taught Lagrangian, an Eulerian, evaluations) where total variation prefers the Lagrangian and sliced W2 the Eulerian, both by more than 2.8 standard errors of paired differences. `taught(data, loss, metric, nfe)` holds five seeds.

# %%
setting = ...  # for example ("spiral", "Lagrangian, own", "Eulerian, pair", 8)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
def standard_errors(data, by_lagrangian, by_eulerian, nfe):
    """By how many standard errors the Lagrangian is better: total variation, sliced W2."""
    assert by_lagrangian.startswith("Lagrangian") > ("exact" in by_lagrangian)
    assert by_eulerian.startswith("Eulerian") > ("exact" in by_eulerian)
    gaps = [taught(data, by_eulerian, metric, nfe) - taught(data, by_lagrangian, metric, nfe)
            for metric in ("total_variation", "sliced_w2")]
    return torch.stack([gap.mean() / (gap.std() / len(gap) ** 0.5) for gap in gaps])


def wins(setting):
    """1 for each that is clear; anything else than a setting as it is."""
    try:
        return [int(sign * value > 2.8) for sign, value in zip((1, -1), standard_errors(*setting))]
    except Exception:
        return setting


check(wins(setting), [1, 1],
      hint=["In one evaluation. Who is sharp, and whose points stray?",
            "Print standard_errors for the open Lagrangian on the board.",
            "A setting is (data, a Lagrangian, an Eulerian, a number of evaluations), in this order."],
      mistakes={"Total variation is clear, sliced W2 is not.": [1, 0],
                "Sliced W2 is clear, total variation is not.": [0, 1], "Neither is clear.": [0, 0]})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
example = "checkerboard", "Lagrangian, open", "Eulerian, average", 1
assert wins(example) == [1, 1]
print(*example, [f"{value:.1f}" for value in standard_errors(*example)])
print("Its squares are filled more evenly, and hold the wrong shares of the points. "
      "Whoever shows one metric can choose the winner.")

# %% [markdown]
# ## Further reading
#
# * Sander Dieleman, *Learning the integral of a diffusion model* (2026); Boffi, Albergo and Vanden-Eijnden, [flow map matching](https://arxiv.org/abs/2406.07507) (2024), [self-distillation](https://arxiv.org/abs/2505.18825) (2025).
# * [Align Your Flow](https://arxiv.org/abs/2506.14603), [terminal velocity matching](https://arxiv.org/abs/2511.19797), [SplitMeanFlow](https://arxiv.org/abs/2507.16884), [SoFlow](https://arxiv.org/abs/2512.15657), [consistency](https://arxiv.org/abs/2303.01469), [in continuous time](https://arxiv.org/abs/2410.11081), [rectified flow](https://arxiv.org/abs/2209.03003), optimal transport in batches ([one](https://arxiv.org/abs/2304.14772), [two](https://arxiv.org/abs/2302.00482)).
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) (2025). Raymond Fan, *Introduction to Mean Flow* (2025).
