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
# # 2. The average velocity
#
# **The question.** What single velocity makes one step exact, and how could a network learn it without walking the path?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import torch

from mfutils import (
    DISTRIBUTIONS, GaussianMixture, check, euler, flow_map, interpolate, mean_velocity, sample,
)
from mfutils.show import figures, plots, widgets

board = DISTRIBUTIONS["checkerboard"]

# %%
angle = torch.arange(7) * 2 * torch.pi / 7 + 0.35
starts = 2.2 * torch.stack([angle.cos(), angle.sin()], dim=1)
levels = torch.linspace(1, 0, 41)[:, None]
paths = torch.stack([flow_map(board, z.expand(41, 2), levels, 1.0) for z in starts], dim=1)
step_a = sample(euler(board.velocity), starts, 1, return_path=True)
step_b = torch.stack([starts, paths[-1]])

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw two kinds of steps
plots.show(plots.polylines(paths, {"step A": step_a, "step B": step_b}, method="unknown"),
           "Seven bent paths twice, each with one straight arrow. The arrows of step A all end "
           "in the middle; those of step B end where the paths end.")

# %% [markdown]
# *Seven points, their true paths in grey, and one straight step for each. Step A uses the velocity $v$ at the start, and misses. What velocity does step B use?*
#
# | | |
# |---|---|
# | **You will do** | follow one particle; swing a chord; turn a definition into an identity, and the identity into one call of `torch.func.jvp` |
# | **You will learn** | what the average velocity is; why $u = v - (t-r)\,\mathrm{d}u/\mathrm{d}t$; why the tangents are $(v, 0, 1)$ |
# | **You need** | [notebook 1](01_flow.ipynb) or its result: following the field $v(z, t)$ from $t=1$ to $t=0$ turns noise into data. The product rule and the chain rule |
# | **Time** | 20 minutes to read, 20 seconds to run |
#
# Nothing in this notebook is learned. All velocities are exact, so every line can be checked.

# %% [markdown]
# ## One particle
#
# A particle starts at a noise point and follows the field. `flow_map(board, z, r, t)` carries $z$ along its path from time $t$ to time $r$. We look at two times, $r < t$. Remember that $t=1$ is noise: on the way to data, $z_t$ comes *before* $z_r$.
#
# Between the two the particle was displaced by $D = z_t - z_r$. (Read in the direction of growing time, toward noise, like all velocities here.) Divide by the time this took:

# %%
start = torch.tensor([[2.1, 0.75]], dtype=torch.float64)
r, t = torch.tensor([[0.2]], dtype=torch.float64), torch.tensor([[0.8]], dtype=torch.float64)
z_t = flow_map(board, start, t, 1.0)
z_r = flow_map(board, start, r, 1.0)
D = z_t - z_r
u_by_hand = D / (t - r)
u_by_hand

# %% [markdown]
# This is the **average velocity** $u(z_t, r, t)$: the one constant velocity that leads from $z_t$ to $z_r$ in a single straight step,
#
# $$z_r = z_t - (t-r)\,u(z_t, r, t).$$
#
# The paper defines it as the mean of $v$ along the path ([Geng et al. 2025](https://arxiv.org/abs/2505.13447), eq. 3):
#
# $$u(z_t, r, t) = \frac{1}{t-r}\int_r^t v(z_s, s)\,\mathrm{d}s .$$
#
# Both are the same, because a velocity integrates to a displacement. (Two means, not to be mixed up: $v$ is a mean over all pairs at *one place*, $u$ a mean along *one path*.) `mean_velocity` does what we just did, displacement by time. We call it `u`:

# %%
def u(z, r, t):
    """The exact average velocity on the checkerboard."""
    return mean_velocity(board, z, r, t)


assert torch.allclose(u(z_t, r, t), u_by_hand, atol=1e-4)

# %% [markdown]
# ## One step, exactly
#
# So step B uses $u(z_1, 0, 1)$. Let us send noise through it, each point in the colour of the square where the exact flow takes it. **Predict:** with $v$, samples got better with more steps. With $u$, ten steps instead of one (a) are better, (b) land on the same points, (c) land on the board, too, but elsewhere?

# %%
torch.manual_seed(0)
z_1 = torch.randn(4000, 2)
landings = {"noise": z_1, "one step of v": sample(euler(board.velocity), z_1, 1),
            "one step of u": sample(u, z_1, 1), "ten steps of u": sample(u, z_1, 10)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the landings
plots.show(plots.painted(landings, plots.part(board, flow_map(board, z_1, 0, 1))),
           "Noise in eight territories of colour. One step of v: a dot. One step of u: the eight squares of the "
           "board, each in its one colour. Ten steps of u: the same.", guess=True)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check: ten steps land where one does
assert (landings["ten steps of u"] - landings["one step of u"]).norm(dim=1).median() < 1e-4

# %% [markdown]
# <details><summary>What happened</summary>
#
# (b), up to an integration error of about $10^{-6}$. Every step with $u$ is exact, however long it is. One step tears the noise along its seams and puts each territory into its square.
#
# </details>
#
# Every sampler of this course takes the step $z_r = z_t - (t-r)\,u$. Replace $u$ by $v(z_t, t)$, the velocity where the step *begins*, and it is Euler's step of notebook 1.
#
# ## Chord and path
#
# The arrow from $z_r$ to $z_t$ is the chord of the path. Up to the factor $t-r$ it *is* the average velocity.

# %%
k = 50
times = torch.linspace(1, 0, k + 1, dtype=torch.float64)[:, None]
path = flow_map(board, start.expand(k + 1, 2), times, 1.0)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw three chords
plots.show(figures.chords(path, [(0.0, 1.0), (0.2, 0.8), (0.6, 0.8)]),
           "One bent path, three times, with an arrow from z_r to z_t: over the whole path, over a part of it, "
           "and over a short piece, where it lies on the path.")

# %% [markdown]
# *The path in grey, its part between $r$ and $t$ in blue-grey, the chord in orange.*
#
# Drag $z_t$ and $z_r$ along the path. What does the chord do as $r$ comes close to $t$? Can you find a chord that points *back* against the velocity at $z_t$ (blue)?

# %%
widgets.chord(board, start)

# %% [markdown]
# **What happened.** As $r$ goes to $t$, the chord divided by $t-r$ becomes the velocity: $u(z, t, t) = v(z, t)$. And where the path turns back, the average can point the other way.
#
# ## A chord that swings
#
# We want a network to *be* $u$. But its definition needs the path, and in training nobody knows the path. Is there something we can say about $u$ that is local?
#
# Fix one end of the chord, $z_r$, and let the other end move: $t$ grows to $t + \mathrm{d}t$, and $z_t$ moves along its path. **Predict:** the displacement $D = z_t - z_r$ changes by (a) $u\,\mathrm{d}t$, (b) $v(z_t, t)\,\mathrm{d}t$, (c) something that depends on the path in between.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the chord at three times
dt, labels = 0.06, [0.65, 0.75, 0.85]
now = torch.tensor(labels, dtype=torch.float64)[:, None]
z_now, z_next = (flow_map(board, start.expand(3, 2), time, 1.0) for time in (now, now + dt))
v_now = board.velocity(z_now, now)
moments = zip(z_now, z_next, dt * v_now)
plots.show(figures.swings(path, z_r[0], {f"t = {label}": moment for label, moment in zip(labels, moments)}),
           "A path three times, with a pale arrow from z_r to z_t, an orange arrow to a point a "
           "little further on, and a short black arrow that joins the two tips. In a box the tips, three times as large.",
           guess=True)

# %% [markdown]
# *The old chord (pale), the new chord (orange), and $v\,\mathrm{d}t$ at the old tip (black).*
#
# <details><summary>What happened</summary>
#
# (b). One end is fixed, so $D$ changes by how far the other end moves: $v(z_t, t)\,\mathrm{d}t$. That is all. (The black arrow misses the new tip where $v$ changes during $\mathrm{d}t$, so most in the bend; less and less as $\mathrm{d}t$ shrinks.)
#
# </details>
#
# ## From the picture to an identity
#
# The picture says
#
# $$\frac{\mathrm{d}D}{\mathrm{d}t} = v(z_t, t).$$
#
# Put in $D = (t-r)\,u$ and use the product rule, with $r$ fixed:
#
# $$u + (t-r)\,\frac{\mathrm{d}u}{\mathrm{d}t} = v(z_t, t).$$
#
# Solve for $u$. This is the **MeanFlow identity** (eq. 6):
#
# $$u(z_t, r, t) = v(z_t, t) - (t-r)\,\frac{\mathrm{d}u}{\mathrm{d}t}.$$
#
# The integral is gone. What is left is a velocity and a derivative, both at $z_t$. And the converse holds: if a function satisfies the identity everywhere, then $\mathrm{d}[(t-r)\,u]/\mathrm{d}t = v$ along every path, and integrating
# from $r$ to $t$ gives back $(t-r)\,u = D$. **Of all functions that stay finite at $r=t$, only the average velocity satisfies it.**
#
# $u$ stands on both sides, so this is a condition on $u$, not a formula for it. But a network can be trained to meet it: compute the right side with the network itself, and move the left side toward it. [Notebook 4](04_mean_flow.ipynb) does that, and asks why chasing one's own derivative should ever settle. Here we check the condition on our particle, with a small step $h$ along the path each way (in double precision, since we take small differences).

# %%
h = 1e-4
ahead, behind = flow_map(board, start, t + h, 1.0), flow_map(board, start, t - h, 1.0)
dudt = (u(ahead, r, t + h) - u(behind, r, t - h)) / (2 * h)
v = board.velocity(z_t, t)
print("u                 ", u(z_t, r, t))
print("v - (t - r) du/dt ", v - (t - r) * dudt)

# %% [markdown]
# ## One derivative, one call
#
# $\mathrm{d}u/\mathrm{d}t$ is a *total* derivative: per unit of $t$, $z$ changes by $v$, $r$ by 0, and $t$ by 1. By the chain rule
#
# $$\frac{\mathrm{d}u}{\mathrm{d}t} = \frac{\partial u}{\partial z}\,v + \frac{\partial u}{\partial r}\cdot 0 + \frac{\partial u}{\partial t}\cdot 1.$$
#
# Here $\partial u/\partial z$ is a 2 × 2 matrix that multiplies $v$ from the left. The two parts, by differences:

# %%
along_z = (u(z_t + h * v, r, t) - u(z_t - h * v, r, t)) / (2 * h)
along_t = (u(z_t, r, t + h) - u(z_t, r, t - h)) / (2 * h)
along_z + along_t, dudt

# %% [markdown]
# A derivative along one direction is a **Jacobian–vector product** (JVP): the Jacobian of $u$ in all its inputs $(z, r, t)$, times a vector that says how fast each input moves. The parts of that vector are called **tangents**; ours are
# $(v, 0, 1)$. `torch.func.jvp` returns the value and the derivative together, in one forward pass. (Our `u` is a solver, not a network; the derivative goes through its steps all the same.)

# %%
zero, one = torch.zeros_like(t), torch.ones_like(t)
value, dudt_jvp = torch.func.jvp(u, (z_t, r, t), (v, zero, one))
dudt_jvp

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check: the JVP is the derivative
assert torch.allclose(dudt_jvp, dudt, atol=1e-3)
assert torch.allclose(value, u(z_t, r, t))

# %% [markdown]
# In words: *$z$ moves with $v$, $r$ stands still, $t$ advances by one.*
#
# With other tangents the code runs just as well, and answers another question. Here each choice says where the tip of the swinging chord goes in $\mathrm{d}t$, by $\big(u + (t-r)\,\mathrm{d}u/\mathrm{d}t\big)\,\mathrm{d}t$, which should be $v\,\mathrm{d}t$.

# %%
TANGENTS = {"(v, 0, 1)": (0, 1), "(v, 0, 0)": (0, 0), "(v, 1, 0)": (1, 0), "(v, 1, 1)": (1, 1)}
tips, dt = {}, 0.06  # the step of t, as above
for name, (of_r, of_t) in TANGENTS.items():
    u_there, rate = torch.func.jvp(u, (z_t, r, t), (v, of_r * one, of_t * one))
    tips[name] = dt * (u_there + (t - r) * rate)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw where each choice sends the tip
next_tip = flow_map(board, start, t + dt, 1.0)[0]
plots.show(figures.swings(path, z_r[0], {name: (z_t[0], next_tip, tip[0]) for name, tip in tips.items()}),
           "The same two chords four times, at t = 0.8, each with a black arrow at the tip of the old one: only the "
           "first ends at the tip of the new chord.")

# %% [markdown]
# Drag $t$ toward $r = 0.2$. Which of the four look right there, and why does that not help?

# %%
widgets.swing(board, start, 0.2, dt, TANGENTS.values())

# %% [markdown]
# **What happened.** $\mathrm{d}u/\mathrm{d}t$ enters with the factor $t-r$, so over short intervals every choice looks right; but one step asks for the longest interval. In the paper's ablation on ImageNet, with a small network, one-step images had FID 61 with $(v, 0, 1)$, and 138 to 329 with the others (Table 1b; FID is a distance between sets of images, lower is better).
#
# How wrong are they on the whole plane? We take 200 points and pairs of times, and look at how far $u$ is from $v - (t-r)\,\mathrm{d}u/\mathrm{d}t$:

# %%
torch.manual_seed(3)
r_, t_ = (0.02 + 0.98 * torch.rand(200, 2, dtype=torch.float64)).sort(dim=1).values.split(1, dim=1)
z_, _ = interpolate(board.sample(200).double(), torch.randn(200, 2, dtype=torch.float64), t_)
v_ = board.velocity(z_, t_)
for name, (of_r, of_t) in TANGENTS.items():
    tangents = (v_, torch.full_like(r_, of_r), torch.full_like(t_, of_t))
    u_, dudt_ = torch.func.jvp(u, (z_, r_, t_), tangents)
    residual = (u_ - (v_ - (t_ - r_) * dudt_)).norm(dim=1).median().item()
    assert (residual < 1e-5) == (name == "(v, 0, 1)")
    print(f"{name}: median residual of the exact u {residual:.1g}")

# %% [markdown]
# Only $(v, 0, 1)$ satisfies the identity.
#
# ## What we have
#
# * The **average velocity** $u(z, r, t)$ jumps from $t$ to $r$ in one exact step, however far.
# * Fix $z_r$: the chord's tip moves with $v$. This is the **MeanFlow identity** $u = v - (t-r)\,\mathrm{d}u/\mathrm{d}t$. It needs no path and no integral.
# * Its derivative is **one JVP with tangents $(v, 0, 1)$**.
#
# The identity will be our training signal. First the baseline, a loss that learns $v$: [flow matching](03_flow_matching.ipynb).
#
# ## Exercises
#
# Each has a cell for your answer and a folded check, which knows the usual mistakes. The solution is folded too.
#
# **1. Use it.** From `z_t`, at time `t = 0.8`, compute where the particle is at time 0.5, with one evaluation of `u`.

# %%
z_half = ...  # one line

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
check(z_half, flow_map(board, start, 0.5, 1.0), tolerance=1e-3,
      hint=["How long is the jump, and which way is data?",
            "u belongs to the noisy end, z_t; the time that it jumps to is its second argument.",
            "z_s = z_t − (t − s) u(z_t, s, t) with s = 0.5."],
      mistakes={"The factor t − s is missing.": z_t - u(z_t, 0.5 * one, t),
                "Toward data, subtract.": z_t + 0.3 * u(z_t, 0.5 * one, t),
                "That is an Euler step with v. Use the average velocity.": z_t - 0.3 * v,
                "That is the jump to r = 0.2. Ask u for the time 0.5.": z_t - 0.3 * u(z_t, r, t)})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
z_middle = z_t - (t - 0.5) * u(z_t, 0.5 * one, t)  # the definition, solved for where the chord ends
torch.testing.assert_close(z_middle, flow_map(board, start, 0.5, 1.0), atol=1e-3, rtol=0)

# %% [markdown]
# **2. The other end.** We fixed $z_r$ and moved $t$. Now fix $z_t$ and move $r$: differentiate $D = (t-r)\,u$ in $r$, and find
# $\partial u/\partial r$ in terms of $u$, $v(z_r, r)$ and $t - r$. (Which way does $D$ change when $z_r$ moves?)

# %%
du_dr = ...  # one line, from u(z_t, r, t), board.velocity(z_r, r), t and r

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
expected = (u(z_t, r + h, t) - u(z_t, r - h, t)) / (2 * h)
v_r = board.velocity(z_r, r)
check(du_dr, expected, tolerance=1e-3,
      hint=["Draw the chord with its tip fixed. When z_r moves on by v dr, what becomes of z_t − z_r?",
            "The product rule on (t − r) u in r: the derivative of t − r is −1.",
            "−u + (t − r) ∂u/∂r = −v(z_r, r)."],
      mistakes={"z_r is subtracted in D, so dD/dr = −v(z_r, r).": (u_by_hand + v_r) / (t - r),
                "The derivative of t − r is −1, so the product rule gives −u.":
                -(u_by_hand + v_r) / (t - r),
                "Both signs are turned: t − r gives −u, and D changes by −v(z_r, r).": -expected,
                "That has v(z_t, t) in it. r is the end that moves: use v(z_r, r).":
                (u_by_hand - v) / (t - r)})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
rate_in_r = (u(z_t, r, t) - board.velocity(z_r, r)) / (t - r)  # z_r is subtracted, so D changes by −v(z_r, r)
torch.testing.assert_close(rate_in_r, expected, atol=1e-3, rtol=0)

# %% [markdown]
# **3. With pencil and paper.** If the data are a single Gaussian $N(m, s^2 I)$, everything has a closed form. At time $t$ the cloud is a Gaussian too: what are its mean and its standard deviation $\sigma_t$? How does the flow carry a point of the one to the other, and so what is $u$?

# %%
m, sd = torch.tensor([1.0, -0.5], dtype=torch.float64), 0.4


def u_gaussian(z, r, t):
    return ...  # a few lines


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
def spread(time):
    return ((1 - time) ** 2 * sd**2 + time**2).sqrt()


exact_u = mean_velocity(GaussianMixture([m.tolist()], sd), z_, r_, t_)
there = (1 - r_) * m + spread(r_) / spread(t_) * (z_ - (1 - t_) * m)
check(u_gaussian(z_, r_, t_), exact_u, tolerance=1e-3,
      hint=["z_t = (1 − t) x + t ε is a sum of two independent Gaussians: its mean, its variance?",
            "The flow keeps every point at its place relative to the mean, in units of σ: (z_t − mean) / σ_t is constant.",
            "σ_t² = (1 − t)² s² + t²; z_r = (1 − r) m + (σ_r / σ_t) (z_t − (1 − t) m); u = (z_t − z_r) / (t − r)."],
      mistakes={"That is z_r. Subtract it from z and divide by t − r.": there,
                "That is the displacement. Divide it by t − r.": z_ - there,
                "The sign is reversed: z_t − z_r.": (there - z_) / (t_ - r_),
                "The ratio is σ_r / σ_t, not σ_t / σ_r.":
                (z_ - (1 - r_) * m - spread(t_) / spread(r_) * (z_ - (1 - t_) * m)) / (t_ - r_)})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
def u_of_one_gaussian(z, r, t):
    z_at_r = (1 - r) * m + spread(r) / spread(t) * (z - (1 - t) * m)  # by symmetry v is radial, so the flow shifts and scales
    return (z - z_at_r) / (t - r)


torch.testing.assert_close(u_of_one_gaussian(z_, r_, t_), exact_u, atol=1e-4, rtol=0)

# %% [markdown]
# **4. Another code base.** Some networks take the length of the step instead of its end: $w(z, t, \ell)$ with $\ell = t - r$, as below. Which tangents
# give *the same* total derivative $\mathrm{d}u/\mathrm{d}t$, with $r$ fixed as before? Compute it.

# %%
def w(z, t, length):
    return u(z, t - length, t)


total = ...  # one line: the second of what torch.func.jvp(w, (z_t, t, t - r), …) returns

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
def with_tangents(*tangents):
    return torch.func.jvp(w, (z_t, t, t - r), tangents)[1]


check(total, dudt, tolerance=1e-3,
      hint=["One tangent for each input, in the order of the inputs.",
            "How fast do z, t and t − r move while r stands still?",
            "t and t − r both advance by one."],
      mistakes={"With (v, 1, 0) the step keeps its length, so r moves along. Here r stands still.":
                with_tangents(v, one, zero),
                "(v, 0, 1) is for arguments (z, r, t); here the second is t.":
                with_tangents(v, zero, one),
                "z moves too, with velocity v.": with_tangents(0 * z_t, one, one)})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
same_rate = torch.func.jvp(w, (z_t, t, t - r), (v, one, one))[1]  # r stands still, so t and t − r grow alike
torch.testing.assert_close(same_rate, dudt, atol=1e-3, rtol=0)

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Mean Flows for One-step Generative Modeling](https://arxiv.org/abs/2505.13447) (2025): Section 4.1, and Table 1b for the tangents.
# * Boffi et al., [How to build a consistency model: learning flow maps via self-distillation](https://arxiv.org/abs/2505.18825) (2025): the same object, learned through each of its three identities.
# * The [JAX autodiff cookbook](https://docs.jax.dev/en/latest/notebooks/autodiff_cookbook.html), on JVPs in mathematics and in code.
# * Raymond Fan, *Introduction to Mean Flow* (2025).
