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
# # 1. Derive the average velocity
#
# **The question.** A generative model carries noise to data along a velocity field. Why is one step of that field not
# enough, and what would be?
#
# **The ending.** One step of the *exact* velocity puts every point on the same spot. One step of the *average* velocity
# puts every point where it belongs. Here is that ending; nothing in it is learned, and by the end of the page you will
# have derived it and checked it line by line.

# %%
import torch

from mfutils import (
    DISTRIBUTIONS, GaussianMixture, check, euler, flow_map, interpolate, mean_velocity, plots,
    sample, widgets,
)

board = DISTRIBUTIONS["checkerboard"]


def u(z, r, t):
    """The exact average velocity on the checkerboard."""
    return mean_velocity(board, z, r, t)


# %%
torch.manual_seed(0)
z_1 = torch.randn(4000, 2)
ending = {"noise": z_1,
          "one step of v": sample(euler(board.velocity), z_1, 1),
          "one step of u": sample(u, z_1, 1)}
fig = plots.clouds(ending, target=board.sample(4000), size=2.3)
plots.show(fig, "Four squares: a cloud of noise; one step of the velocity puts all its points on "
                "the centre; one step of the average velocity makes the checkerboard; the "
                "checkerboard itself.")

# %% [markdown]
# *From the same noise, one step of the velocity $v$ collapses to a point; one step of the average velocity $u$ makes the
# checkerboard.*
#
# | | |
# |---|---|
# | **You will do** | follow one particle; turn a definition into an identity, and the identity into one call of `torch.func.jvp`; move a chord over the path it averages |
# | **You will learn** | why paths bend although every road is straight; what an average velocity is; why its tangents are $(v, 0, 1)$ |
# | **You need** | PyTorch, the chain rule, an integral; no knowledge of flows |
# | **Time** | 40 minutes to read; a quarter of a minute to run |
#
# The symbols, once and for all. Time runs from data at $t=0$ to noise at $t=1$, as in the paper; much of the flow-matching
# literature counts the other way.
#
# | concept | maths | code |
# |---|---|---|
# | data, noise | $x$, $\varepsilon \sim N(0, I)$ | `x`, `eps`: shape `(n, 2)` |
# | point on the path | $z_t = (1-t)\,x + t\,\varepsilon$ | `z`; its ends are `z_1` (noise) and `z_0` (data) |
# | two times | $0 \le r \le t \le 1$ | `r`, `t`: shape `(n, 1)` |
# | conditional velocity | $\varepsilon - x$ | `v` |
# | marginal velocity | $v(z,t) = \mathbb{E}[\varepsilon - x \mid z_t = z]$ | `board.velocity(z, t)` |
# | average velocity | $u(z, r, t)$ | `u(z, r, t)` |
# | number of function evaluations per sample | NFE | `n_steps` |

# %% [markdown]
# ## A straight road for every pair
#
# Take a data point and a noise point, and join them by a straight road. At time $t$ the traveller is at
# $z_t = (1-t)\,x + t\,\varepsilon$, and moves with the constant velocity $\mathrm{d}z_t/\mathrm{d}t = \varepsilon - x$. This
# is the **conditional** velocity: it belongs to one pair.

# %% tags=["nbval-check-output"]
torch.manual_seed(1)
x, eps = board.sample(40), torch.randn(40, 2)
t = torch.rand(40, 1)
z, v = interpolate(x, eps, t)
print("x", tuple(x.shape), "  t", tuple(t.shape), "  z", tuple(z.shape), "  v", tuple(v.shape))

# %%
assert torch.equal(interpolate(x, eps, torch.zeros(40, 1))[0], x)
assert torch.equal(interpolate(x, eps, torch.ones(40, 1))[0], eps)
assert torch.equal(v, eps - x)

# %% [markdown]
# ## Where roads cross
#
# To *generate*, we start from noise alone: nobody tells us which $x$ the road leads to. Many roads pass through the same
# point $z$ at the same time, each with its own velocity. The best we can do, knowing only where we are, is to follow their
# mean:
#
# $$v(z, t) = \mathbb{E}\,[\,\varepsilon - x \mid z_t = z\,].$$
#
# This is the **marginal** velocity. A crowd that follows it has, at every time, the same density as the travellers on
# their straight roads ([Lipman et al. 2023](https://arxiv.org/abs/2210.02747), Theorem 1): so it ends as data.
#
# Let us compute it by brute force at one place. If we stand at $z$ at time $t$, a data point $x$ needs the noise
# $\varepsilon = (z - (1-t)x)/t$; so it is likely in proportion to $\exp(-|\varepsilon|^2/2)$.

# %%
torch.manual_seed(2)
here, now = torch.tensor([[0.5, 0.2]]), torch.tensor([[0.6]])
x = board.sample(200_000)
eps = (here - (1 - now) * x) / now
weight = torch.softmax(-eps.square().sum(dim=1) / 2, dim=0)[:, None]
by_brute_force = (weight * (eps - x)).sum(dim=0)
by_brute_force

# %% [markdown]
# For the checkerboard this mean has a **closed form**: given $z$, the noise is a normal distribution cut to pieces by the
# eight squares, and the means of truncated normals are textbook. `board.velocity` is that formula, exact at every $z$ and
# every $0 < t \le 1$. No network on this page.

# %%
by_formula = board.velocity(here, now)[0]
print(by_formula)
assert torch.allclose(by_brute_force, by_formula, atol=0.02)

# %% [markdown]
# ## The roads are straight, the paths are not
#
# **Predict:** forty travellers set out from forty noise points. On the left each keeps to the road of its own pair. On the
# right each follows the marginal velocity, in 500 small steps. Where will the two pictures differ?

# %%
torch.manual_seed(5)
x, eps = board.sample(40), torch.randn(40, 2)
roads = torch.stack([eps, x])
paths = sample(euler(board.velocity), eps, 500, return_path=True)
fig = plots.paths({"conditional: one pair each": roads, "marginal: the mean of all": paths})
plots.show(fig, "Left, forty straight lines that cross each other, from grey noise to dark data. "
                "Right, forty curves from the same noise: most turn inward first, then hook outward"
                " into a square of the board.")

# %% [markdown]
# **What happened.** Two roads can meet at one place at one time; two paths cannot, for there the mean velocity has but one
# value. Near $t = 1$ nobody knows where it is going, so all drift toward the middle of the data; later each sees which square
# is near, and turns. How much do the paths bend? The detour is a path's length divided by the distance between its ends; a
# straight path has detour 1:

# %%
length = (paths[1:] - paths[:-1]).norm(dim=2).sum(dim=0)
distance = (paths[0] - paths[-1]).norm(dim=1)
detour = length / distance
print(f"median detour {detour.median():.2f}, largest {detour.max():.2f}")
assert 1.6 < detour.median() < 2.1

# %% [markdown]
# *The same forty starts: straight roads that ignore each other on the left, bent paths on the right, with a
# median detour of nearly 2. That the velocity changes
# along a path, in direction and in speed, is the whole difficulty of sampling in few steps.*
#
# ## One step lands on the mean
#
# A sampler walks from $t=1$ to $t=0$ along the field. With $n$ Euler steps it assumes, $n$ times, that the velocity stays
# as it is for a while: $z_r = z_t - (t - r)\,v(z_t, t)$.
#
# **Predict:** we take the *exact* field, no learning error at all, and only one step. Where does each point land?

# %%
torch.manual_seed(0)
z_1 = torch.randn(2000, 2)
one_step = sample(euler(board.velocity), z_1, 1)
one_step[:4]

# %% [markdown]
# **What happened.** Every point lands on $(0, 0)$. At $t=1$ a point is pure noise and says nothing about the data, so
# $v(z, 1) = \mathbb{E}[\varepsilon - x \mid \varepsilon = z] = z - \mathbb{E}[x]$, and the step is
# $z - 1\cdot(z - \mathbb{E}[x]) = \mathbb{E}[x]$: **the mean of the data**, whatever the distribution.

# %%
assert one_step.abs().max() < 1e-5

# %%
steps = (1, 2, 4, 8, 32, 128)
fig = plots.clouds({f"{n} NFE": sample(euler(board.velocity), z_1, n) for n in steps}, size=1.7)
plots.show(fig, "Samples by 1, 2, 4, 8, 32 and 128 Euler steps of the exact velocity: a point, a "
                "small cloud, and only at 32 steps and more a clear checkerboard.")

# %% [markdown]
# *Euler steps of the exact field. NFE, the number of function evaluations, is the price of a sample. No better training of $v$ can
# lower it: this is the true $v$.* How many points miss the dark squares, by more than a hundredth?

# %%
around = 0.01 * torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
for n in steps:
    z_0 = sample(euler(board.velocity), z_1, n)
    near_a_square = sum(board.density(z_0 + shift) for shift in around) > 0
    print(f"{n:4} NFE: {1 - near_a_square.float().mean():6.1%} off the board")

# %% [markdown]
# Do not trust such a number alone: the collapsed point scores perfectly, since the centre is a corner of two dark squares. From
# notebook 2 on we measure distances between whole distributions.

# %% [markdown]
#
# ## What would be enough
#
# Follow one particle. It stands at $z_t$ at time $t$; walking on toward the data, it reaches $z_r$ at the smaller time $r$. We know
# both as exactly as we like: `flow_map` integrates the closed-form velocity with a fine Runge–Kutta method.

# %%
one = torch.ones(1, 1, dtype=torch.float64)
start = torch.tensor([[1.9, -1.6]], dtype=torch.float64)
r, t = 0.2 * one, 0.8 * one
z_t = flow_map(board, start, t, one)
z_r = flow_map(board, start, r, one)
z_t, z_r

# %% [markdown]
# Read in the direction of growing time, from $r$ to $t$, it moves by $z_t - z_r$. Divide by the time that takes:

# %%
by_hand = (z_t - z_r) / (t - r)
by_hand

# %% [markdown]
# That is the **average velocity** over the interval: the one constant velocity that would have led from $z_t$ to $z_r$ in a
# single straight step. Its definition ([Geng et al. 2025](https://arxiv.org/abs/2505.13447), eq. 3) is an integral along the path,
#
# $$u(z_t, r, t) = \frac{1}{t-r}\int_r^t v(z_s, s)\,\mathrm{d}s,$$
#
# and the two agree because a velocity integrates to a displacement. The integral, by the trapezoidal rule:

# %%
s = torch.linspace(0.2, 0.8, 1001, dtype=torch.float64)[:, None]
z_s = flow_map(board, z_t.expand(1001, 2), s, t.expand(1001, 1))
by_integral = torch.trapezoid(board.velocity(z_s, s), s, dim=0) / (t - r)
assert torch.allclose(by_integral, by_hand, atol=1e-4)

# %% [markdown]
# The module packs both lines, flow map and quotient, as `mean_velocity`, and this page calls it `u`.

# %%
assert torch.allclose(u(z_t, r, t), by_hand, atol=1e-4)

# %% [markdown]
# A step with $u$ is exact by construction, $z_r = z_t - (t-r)\,u(z_t, r, t)$. So **the number of steps does not matter**:

# %%
torch.manual_seed(0)
z_1 = torch.randn(100, 2, dtype=torch.float64)
landings = {n: sample(u, z_1, n) for n in (1, 2, 50)}
for n in (2, 50):
    gap = (landings[n] - landings[1]).norm(dim=1)
    print(f"{n:2} steps against 1: median gap {gap.median():.1e}")
    assert gap.median() < 1e-4

# %% [markdown]
# Notice what the sampler was. `sample` takes any $u(z, r, t)$ and repeats `z = z - (t - r) * u(z, r, t)`. Flow matching
# passes the velocity at the step's noisy end in the place of $u$, which is all that `euler` does:

# %%
assert torch.equal(euler(board.velocity)(z_t, r, t), board.velocity(z_t, t))

# %% [markdown]
# ## Chord and curve
#
# The chord from $z_t$ to $z_r$ *is* the average velocity, up to the factor $t - r$. **Before you look:** what must happen
# to the chord, and to $u$, as $r$ approaches $t$?

# %%
levels = 50
times = torch.linspace(1, 0, levels + 1, dtype=torch.float64)[:, None]
path = flow_map(board, start.expand(levels + 1, 2), times, torch.ones_like(times))
fig = plots.chords(path, [(0.0, 1.0), (0.2, 0.8), (0.6, 0.8)])
plots.show(fig, "One bent path three times, with its chord from t = 1 to r = 0, from 0.8 to 0.2, "
                "and from 0.8 to 0.6: the shorter the interval, the closer the chord lies to the "
                "path.")

# %% [markdown]
# *One particle's path (grey), the stretch from $t$ to $r$ (dark), and the chord that $u$ replaces it by (orange). The short
# chord nearly lies on the curve.*
#
# Now move $r$ and $t$ yourself. Can you find an interval where $u$ points quite another way than the path does at $z_t$?

# %%
widgets.chord_slider(path)

# %% [markdown]
# As the interval closes, the average becomes the value: $u(z, t, t) = v(z, t)$. The gap falls in proportion to $t - r$:

# %%
gaps = {gap: (u(z_t, t - gap, t) - board.velocity(z_t, t)).norm().item()
        for gap in (0.1, 0.01, 0.001)}
for gap, error in gaps.items():
    print(f"t - r = {gap:<6}  |u - v| = {error:.5f}")
assert 9 < gaps[0.01] / gaps[0.001] < 11

# %% [markdown]
# ## From the definition to something one can learn
#
# We want a network to *be* $u$. But the definition holds an integral along a path, and in training nobody knows the path.
# Four lines get rid of it. Each line below is first said, then checked on our particle.
#
# **Line 1: clear the fraction.** The displacement is time times average velocity:
#
# $$(t-r)\,u(z_t, r, t) = \int_r^t v(z_s, s)\,\mathrm{d}s.$$
#
# **Line 2: differentiate with respect to $t$**, with $r$ fixed and $z_t$ moving along its path. The right side gives $v$ at
# the upper end; the left side needs the product rule:
#
# $$u + (t-r)\,\frac{\mathrm{d}u}{\mathrm{d}t} = v(z_t, t).$$
#
# To check it we move along the path by a small $h$ each way:

# %%
h = 1e-4
ahead, behind = flow_map(board, start, t + h, one), flow_map(board, start, t - h, one)
v_marginal = board.velocity(z_t, t)
dudt = (u(ahead, r, t + h) - u(behind, r, t - h)) / (2 * h)

# %%
left = u(z_t, r, t) + (t - r) * dudt
print(left, v_marginal)
assert torch.allclose(left, v_marginal, atol=1e-3)

# %% [markdown]
# **Line 3: solve for $u$.** This is the **MeanFlow identity** (eq. 6):
#
# $$u(z_t, r, t) = v(z_t, t) - (t-r)\,\frac{\mathrm{d}u}{\mathrm{d}t}.$$
#
# The integral is gone. What is left is local: a velocity and a derivative, both at $z_t$.

# %%
assert torch.allclose(u(z_t, r, t), v_marginal - (t - r) * dudt, atol=1e-3)

# %% [markdown]
# **Line 4: the chain rule.** $\mathrm{d}u/\mathrm{d}t$ is a *total* derivative. As $t$ grows, $z_t$ moves with velocity $v$,
# $r$ stays, and $t$ itself counts:
#
# $$\frac{\mathrm{d}u}{\mathrm{d}t} = \frac{\partial u}{\partial z}\,v + \frac{\partial u}{\partial r}\cdot 0 + \frac{\partial u}{\partial t}\cdot 1.$$
#
# ($\partial u/\partial z$ is a 2 × 2 matrix; it multiplies $v$ from the left.) The two parts, by finite differences:

# %%
along_z = (u(z_t + h * v_marginal, r, t) - u(z_t - h * v_marginal, r, t)) / (2 * h)
along_t = (u(z_t, r, t + h) - u(z_t, r, t - h)) / (2 * h)
assert torch.allclose(along_z + along_t, dudt, atol=1e-3)

# %% [markdown]
# **One call.** A derivative in one direction is a *Jacobian–vector product*: the Jacobian of $u$ in all its inputs
# $(z, r, t)$, times the vector of how fast each input moves, $(v, 0, 1)$. `torch.func.jvp` returns the value and this
# derivative together, in one forward pass, without ever forming the Jacobian:

# %%
tangents = v_marginal, torch.zeros_like(r), torch.ones_like(t)
value, dudt_jvp = torch.func.jvp(u, (z_t, r, t), tangents)
print(dudt, dudt_jvp)
assert torch.allclose(dudt_jvp, dudt, atol=1e-3)

# %% [markdown]
# Read the tangents as a sentence: *$z$ moves with $v$, $r$ stands still, $t$ advances by one.*
#
# Three wrong sentences are common: $(v, 0, 0)$, $(v, 1, 0)$ and $(v, 1, 1)$. **Predict:** which term of line 4 does each lose or add?
# Then see what each does to the residual of the identity, $|u - (v - (t-r)\,\mathrm{d}u/\mathrm{d}t)|$, on 200 points.

# %%
torch.manual_seed(3)
r_, t_ = (0.02 + 0.98 * torch.rand(200, 2, dtype=torch.float64)).sort(dim=1).values.split(1, dim=1)
z_, _ = interpolate(board.sample(200).double(), torch.randn(200, 2, dtype=torch.float64), t_)
v_, zero, unit = board.velocity(z_, t_), torch.zeros_like(t_), torch.ones_like(t_)
residuals = {}
for name, tangents in {"(v, 0, 1)": (v_, zero, unit), "(v, 0, 0)": (v_, zero, zero),
                       "(v, 1, 0)": (v_, unit, zero), "(v, 1, 1)": (v_, unit, unit)}.items():
    u_, dudt_ = torch.func.jvp(u, (z_, r_, t_), tangents)
    residuals[name] = (u_ - (v_ - (t_ - r_) * dudt_)).norm(dim=1).max().item()
    print(f"{name}   largest residual {residuals[name]:.1e}")

# %%
assert residuals["(v, 0, 1)"] < 1e-4
assert min(error for name, error in residuals.items() if name != "(v, 0, 1)") > 0.1

# %% [markdown]
# The order of the arguments is the trap of the field. The same derivative, in several code bases:
#
# | where | network | tangents |
# |---|---|---|
# | this course; the paper's Algorithm 1; `zhuyu-cs/MeanFlow` | $u(z, r, t)$ | $(v, 0, 1)$ |
# | the authors' two repositories (JAX and PyTorch) | $u(z, t, r)$ | $(v, 1, 0)$ |
# | `lucidrains` | $u(z, t, t-r)$ | $(v, 1, 1)$ |
#
# All three are right, each for its own arguments. The paper tried the wrong ones: in one step on ImageNet 256², with a small network,
# the FID (a distance between sets of images; lower is better) is 61.06 with the right tangents, and 268.06, 329.22 and 137.96 with
# $(v,0,0)$, $(v,1,0)$ and $(v,1,1)$ (Table 1b).
#
# ## With pencil and paper: one Gaussian
#
# If the data is a single Gaussian $N(m, s^2 I)$, everything is one line. Put $\sigma_t^2 = (1-t)^2 s^2 + t^2$, the variance of
# $z_t$. A point keeps its place relative to the mean, in units of $\sigma$:
#
# $$z_r = (1-r)\,m + \frac{\sigma_r}{\sigma_t}\,\big(z_t - (1-t)\,m\big), \qquad u = \frac{z_t - z_r}{t - r}.$$

# %%
m, sd = torch.tensor([1.0, -0.5], dtype=torch.float64), 0.4
blob = GaussianMixture([m.tolist()], sd)


def spread(t):
    return ((1 - t) ** 2 * sd**2 + t**2).sqrt()


def u_blob(z, r, t):
    return (z - (1 - r) * m - spread(r) / spread(t) * (z - (1 - t) * m)) / (t - r)


# %% [markdown]
# It agrees with the numerical truth, and it satisfies the identity to the last digits:

# %%
assert torch.allclose(u_blob(z_, r_, t_), mean_velocity(blob, z_, r_, t_), atol=1e-5)
v_ = blob.velocity(z_, t_)
u_, dudt_ = torch.func.jvp(u_blob, (z_, r_, t_), (v_, zero, unit))
residual = (u_ - (v_ - (t_ - r_) * dudt_)).abs().max().item()
print(f"largest residual {residual:.1e}")
assert residual < 1e-9

# %% [markdown]
# ## What we have
#
# * Straight roads, averaged, give bent paths; **one Euler step of the exact field lands on the data mean**.
# * The **average velocity** $u(z, r, t)$ jumps from $t$ to $r$ in one exact step, however far.
# * The **MeanFlow identity** $u = v - (t-r)\,\mathrm{d}u/\mathrm{d}t$ says what $u$ is without a path and without an integral.
# * Its derivative is **one JVP with tangents $(v, 0, 1)$**.
#
# The identity will be our training signal. But first we need the baseline: [learn $v$](02_flow_matching.ipynb).
#
# ## Exercises
#
# Each has a cell for your answer, a check that says what is wrong, and a solution (in JupyterLab it is folded: click on the dots).
#
# **1. Another landing.** Where does one Euler step of the exact field land on the *spiral*? Say it before you compute it,
# then give the landing point, shape `(2,)`.

# %%
spiral = DISTRIBUTIONS["spiral"]
landing = ...  # one line

# %%
expected = spiral.means.mean(dim=0)
check(landing, expected, tolerance=0.02,
      hint="It is the mean of the data; `sample(euler(spiral.velocity), z, 1)` goes there.",
      mistakes={"That is the mean of the noise; the step goes to that of the data.": torch.zeros(2),
                "The sign is turned round: toward data, the velocity is subtracted.": -expected})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
landing = sample(euler(spiral.velocity), torch.zeros(1, 2), 1)[0]
check(landing, expected, tolerance=0.02)

# %% [markdown]
# **2. The other end.** We differentiated in $t$. Differentiate line 1 in $r$ instead, with $z_t$ and $t$ fixed, and find
# $\partial u/\partial r$ in terms of $u$, $v(z_r, r)$ and $t - r$. (Mind the sign: $r$ is the lower limit.)

# %%
du_dr = ...  # one line, from u(z_t, r, t), board.velocity(z_r, r), t and r

# %%
expected = (u(z_t, r + h, t) - u(z_t, r - h, t)) / (2 * h)
v_r = board.velocity(z_r, r)
check(du_dr, expected, "Start from −u + (t − r) ∂u/∂r = −v(z_r, r).", tolerance=1e-3,
      mistakes={"r is the lower limit: the right side gives −v(z_r, r).": (by_hand + v_r) / (t - r),
                "The derivative of t − r is −1, so the product rule gives −u.":
                -(by_hand + v_r) / (t - r),
                "Both signs are turned: t − r gives −u, the lower limit −v(z_r, r).": -expected,
                "That has v(z_t, t) in it. r is the end that moves: use v(z_r, r).":
                (by_hand - v_marginal) / (t - r)})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
du_dr = (u(z_t, r, t) - board.velocity(z_r, r)) / (t - r)
check(du_dr, expected, tolerance=1e-3)

# %% [markdown]
# **3. Two jumps are one.** The displacement from $t$ to $r$ is the displacement from $t$ to $s$ plus that from $s$ to $r$.
# Write $u(z_t, r, t)$ with the help of $u$ on the two parts, where $s = 0.4$. (Where do you stand at time $s$?)

# %%
s = 0.4 * one
composed = ...  # two lines, or one long one

# %%
first, z_middle = u(z_t, s, t), z_t - (t - s) * u(z_t, s, t)
check(composed, by_hand, tolerance=1e-3,
      hint="First jump: z_s = z_t − (t − s) u(z_t, s, t). Then average the two, weighted by time.",
      mistakes={"The second jump starts where the first one ended, at z_s, not at z_t.":
                ((t - s) * first + (s - r) * u(z_t, r, s)) / (t - r),
                "The two parts are not equally long: weigh them by t − s and s − r.":
                (first + u(z_middle, r, s)) / 2,
                "That is the displacement. Divide it by t − r.": by_hand * (t - r)})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
z_s = z_t - (t - s) * u(z_t, s, t)
composed = ((t - s) * u(z_t, s, t) + (s - r) * u(z_s, r, s)) / (t - r)
check(composed, by_hand, tolerance=1e-3)

# %% [markdown]
# **4. Another code base.** Some networks take the length of the step instead of its end: $w(z, t, h)$ with $h = t - r$, as below. Derive
# which tangents give *the same* total derivative $\mathrm{d}u/\mathrm{d}t$, with $r$ fixed as before, and compute it.


# %%
def w(z, t, h):
    return u(z, t - h, t)


total = ...  # one line: the second of what torch.func.jvp(w, (z_t, t, t - r), …) returns

# %%
def with_tangents(*tangents):
    return torch.func.jvp(w, (z_t, t, t - r), tangents)[1]


check(total, dudt, tolerance=1e-3,
      hint="One tangent for each input: how fast do z, t and h = t − r move while r stands still?",
      mistakes={"With (v, 1, 0) the step keeps its length, so r moves along. Here r stands still.":
                with_tangents(v_marginal, one, 0 * one),
                "(v, 0, 1) is for arguments (z, r, t); here the second is t.":
                with_tangents(v_marginal, 0 * one, one),
                "z moves too, with velocity v.": with_tangents(0 * z_t, one, one)})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
total = torch.func.jvp(w, (z_t, t, t - r), (v_marginal, one, one))[1]
check(total, dudt, tolerance=1e-3)

# %% [markdown]
# ## Further reading
#
# * Geng, Deng, Bai, Kolter, He, [Mean Flows for One-step Generative Modeling](https://arxiv.org/abs/2505.13447) (2025): the paper this course teaches.
# * Raymond Fan, *Introduction to Mean Flow* (2025): the blog tutorial whose subject this course follows.
# * Lipman et al., [Flow Matching for Generative Modeling](https://arxiv.org/abs/2210.02747) (2023); Liu et al., [Rectified Flow](https://arxiv.org/abs/2209.03003) (2023).
# * Boffi, Albergo, Vanden-Eijnden, [flow maps by self-distillation](https://arxiv.org/abs/2505.18825) (2025): the same object from another side.
