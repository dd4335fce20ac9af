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
# # 3. Flow matching, the baseline
#
# **The question.** What does flow matching learn, and what does a sample of it cost?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import inspect

import torch
from IPython.display import Code

from mfutils import (
    DISTRIBUTIONS, VelocityMLP, check, euler, flow_map, flow_matching_loss, gaussian, interpolate,
    load_pretrained, midpoint, noise_floor, sample, sliced_w2, total_variation, train,
)
from mfutils.show import figures, plots, widgets

board = DISTRIBUTIONS["checkerboard"]

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw two boards
z_few = gaussian(3000, torch.manual_seed(0))
network = load_pretrained("checkerboard", "flow_matching", solver=midpoint)
puzzle = {"A": sample(network, z_few, 32), "B": sample(midpoint(board.velocity), z_few, 32)}
territory = plots.part(board, flow_map(board, z_few, 0, 1))
plots.show(plots.painted({"noise": z_few, **puzzle}, territory),
           "Noise in eight territories of colour, and two checkerboards, A and B, made of the same points. Each "
           "square has one colour. In A a few points lie beside the squares.")

# %% [markdown]
# *The same noise, each point in the colour of the square where the exact flow takes it. One board was made with the exact velocity; the other by a network that never saw this velocity, only single pairs of noise and data. Which is which, and how could the network know?*
#
# <details><summary>Which is which?</summary>
#
# A is by the network: a few of its points lie beside the squares. How it could know is the subject of this notebook.
#
# </details>
#
# | | |
# |---|---|
# | **You will do** | write the flow-matching loss on one batch; train a network in a loop of a dozen lines; count what a sample costs |
# | **You will learn** | why regressing on the *conditional* velocity learns the *marginal* one; which part of the loss cannot be reduced; what to blame for poor samples |
# | **You need** | [notebook 1](01_flow.ipynb): the marginal velocity $v(z,t) = \mathbb{E}[\varepsilon - x \mid z_t = z]$, territories and seams; Euler and midpoint steps |
# | **Time** | 20 minutes to read, a minute to run |

# %% [markdown]
# ## The loss on one batch
#
# We want a network $v_\theta(z, t)$ close to the marginal velocity. On real data nobody can compute that. What everybody has is pairs, and for each pair its
# conditional velocity $\varepsilon - x$.
#
# **Flow matching, in English:** draw a data point, a noise point and a time. Go to the point between them. Ask the network for a velocity, and compare it with
# $\varepsilon - x$.

# %%
torch.manual_seed(1)
x = board.sample(2048)
eps = torch.randn(2048, 2)
t = torch.rand(2048, 1)
z, v_cond = interpolate(x, eps, t)  # z = (1 - t) x + t eps,  v_cond = eps - x

# %%
fresh_net = VelocityMLP()
by_hand = (fresh_net(z, t) - v_cond).square().sum(dim=1).mean()
by_hand

# %% [markdown]
# The network is a plain MLP that sees $z$ and $t$. Nothing in this course depends on it.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the network
sources = map(inspect.getsource, (VelocityMLP, VelocityMLP.__base__))
Code("\n\n".join(sources), language="python")

# %% [markdown]
# And the loss of the module is what we just did:

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the loss, and check that it returns the same number
assert torch.equal(flow_matching_loss(fresh_net, x, eps, t), by_hand)
Code(inspect.getsource(flow_matching_loss), language="python")

# %% [markdown]
# ## Why the noisy target gives the right answer
#
# At a fixed $z$, different pairs pull in different directions. Their mean is $v(z, t)$, so the target $\varepsilon - x$ is the marginal velocity plus noise. Take **any** function $f(z, t)$
# and write $f - (\varepsilon - x) = (f - v) + (v - (\varepsilon - x))$. Given $z_t$ and $t$, the first bracket is fixed and the second has mean zero. So when we square, the mixed
# term has mean zero, and the loss splits:
#
# $$\underbrace{\mathbb{E}\,|f - (\varepsilon - x)|^2}_{\text{what we compute}} \;=\; \underbrace{\mathbb{E}\,|f - v(z_t, t)|^2}_{\text{what we want}} \;+\; \underbrace{\mathbb{E}\,|v(z_t, t) - (\varepsilon - x)|^2}_{\text{irreducible: no } f \text{ in it}}.$$
#
# **Predict:** take the trivial function, $f = 0$. What share of its loss is irreducible? (a) A tenth. (b) Half. (c) Three quarters.

# %%
torch.manual_seed(2)
x_test, eps_test = board.sample(200_000), torch.randn(200_000, 2)
t_test = torch.rand(200_000, 1).clamp(min=1e-3)  # the exact velocity needs t > 0
z_test, v_cond_test = interpolate(x_test, eps_test, t_test)
v_test = board.velocity(z_test, t_test)


def mean_square(error):
    return error.square().sum(dim=1).mean().item()


irreducible = mean_square(v_test - v_cond_test)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the split for two functions
plots.table(guess=True, rows={name: {"what we compute": f"{mean_square(f - v_cond_test):.3f}",
                    "what we want": f"{mean_square(f - v_test):.3f}", "irreducible": f"{irreducible:.3f}",
                    "sum of the two": f"{mean_square(f - v_test) + irreducible:.3f}"}
             for name, f in {"f = 0": 0 * z_test, "f = z": z_test}.items()})

# %% [markdown]
# <details><summary>What happened</summary>
#
# (c), nearly: 72 %. Why so much? Near $t=1$ a point shows the noise, and the data point of the pair must be guessed. Near $t=0$ it shows the data, and the noise must be guessed. The first and the last column agree, up to the chance of 200,000 pairs: the split holds for any function.
#
# </details>
#
# Two things follow.
#
# * The function that minimises the loss we can compute is the one we want: $f = v$. That is how the network could know. (It holds for an endless supply of fresh samples. On a small, fixed data set the minimiser would memorise the data.)
# * On average the loss **cannot fall below the irreducible part**. A loss that stays just above it is not stuck. But what is left above it is the whole error of the network, so near the floor the second and third decimals matter.
#
# ## A plain training loop
#
# A dozen lines of PyTorch are enough. About five seconds:

# %%
torch.manual_seed(0)
plain_net = VelocityMLP()
optimizer = torch.optim.Adam(plain_net.parameters(), lr=2e-3)
for _ in range(2000):
    batch, noise, time = board.sample(1024), torch.randn(1024, 2), torch.rand(1024, 1)
    loss = flow_matching_loss(plain_net, batch, noise, time)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"last batch: loss {loss.item():.2f}; irreducible {irreducible:.2f}")

# %% [markdown]
# From here on we use `train`: the same loop with a learning rate that falls to zero, a moving average of the weights, and for hidden weights an optimiser, [Muon](https://kellerjordan.github.io/posts/muon/), that learns faster than Adam here. Half a minute:

# %%
def times(n, generator):
    return torch.rand(n, 1, generator=generator)


torch.manual_seed(0)
v_net, losses = train(VelocityMLP(), flow_matching_loss, board.sample, times, ema_decay=0.99)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw what the two sample, and the loss
made = {"2,000 plain steps": sample(midpoint(plain_net), z_few, 32),
        "5,000 steps of train": sample(midpoint(v_net), z_few, 32)}
plots.show(plots.painted({**made, "exact velocity": puzzle["B"]}, territory),
           "Three checkerboards in eight colours: by the plain loop, with fuzzy squares and points between them; by "
           "train, sharper; by the exact velocity, sharp.")
plots.show(figures.loss_curve(losses, irreducible, {}, "flow_matching"),
           "The training loss falls quickly, then slowly, and jitters just above a dashed line, the irreducible loss.")

# %% [markdown]
# *32 midpoint steps each, and the loss of the longer run: that of the weights in training, while `train` returns their smoother average.*
#
# The split lets us read off each network's own error on the test pairs:

# %%
own = {}
for name, net in {"2,000 plain steps": plain_net, "5,000 steps of train": v_net}.items():
    with torch.no_grad():
        learned = net(z_test, t_test)
    total, own[name] = mean_square(learned - v_cond_test), mean_square(learned - v_test)
    print(f"{name}: loss {total:.3f} = own error {own[name]:.3f} + irreducible {irreducible:.3f}")

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check: nearly all of the loss is noise of the target
assert own["5,000 steps of train"] < 0.01 * irreducible

# %% [markdown]
# Both losses look nearly the same, and the own errors differ eightfold; the pictures show it, as blur.
#
# ## What a sample costs
#
# Sampling repeats one line. `sample` is the only sampler of this course; here is all of it.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the sampler
Code("\n\n".join(map(inspect.getsource, (sample, euler, midpoint))), language="python")

# %%
torch.manual_seed(3)
n = 50_000
z_1, target = gaussian(n), board.sample(n)
budgets = (2, 4, 8, 12, 32, 128)
solvers = {"Euler": (euler, 1), "midpoint": (midpoint, 2)}
samples = {(name, nfe): sample(solver(v_net), z_1, nfe // per_step)
           for name, (solver, per_step) in solvers.items() for nfe in budgets}
exact_end = plots.part(board, flow_map(board, z_1, 0, 1, n_steps=12))

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the samples at four budgets
for name in solvers:
    plots.show(plots.painted({f"{name}, {nfe} NFE": samples[name, nfe] for nfe in (2, 4, 8, 32)}, exact_end),
               f"Samples by {name} with 2, 4, 8 and 32 evaluations: first a cloud, in the end a checkerboard whose "
               "squares have one colour each.")

# %% [markdown]
# *The network you just trained, the same noise, two solvers. Colours as before: the square where the exact flow takes the point.*
#
# Colours hardly mix, as paths in the field do not cross. But a few steps along a smooth field make a smooth map, and that cannot tear. Where the noise should part along its seams, points stay behind on **bridges**; the more and the better the steps, the thinner. (Two evaluations by midpoint hardly move a point: half way, $z$ is as much data as noise, and the best guess of their difference is almost zero.)
#
# Choose a cell; its number is the sliced W2 of 50,000 points. At how many evaluations are the squares first separate, by either solver? Does the number agree with what you see?

# %%
w2 = {("checkerboard", f"flow matching, {name}", nfe): sliced_w2(points, target)
      for (name, nfe), points in samples.items()}
mine = {f"flow matching, {name}": (v_net, name) for name in solvers}
widgets.comparison({"checkerboard": mine}, w2)

# %% [markdown]
# Sliced W2 does not always agree with the eye: it is sensitive to mass that is far from its place, and hardly to blur. So we add a second distance. **Total variation** (TV) divides the plane into 64 × 64 tiles and gives the share of mass that would have to move to another tile. It sees blur, and ignores how far mass has to move. Two fresh sets of data have a TV of about 0.08, since a tile holds few points.
#
# ## Where does the error come from?
#
# Is it the network, or the step? There is a simple test, because we have the exact velocity: sample with it, from the same noise, in the same steps. **Predict:** the exact velocity is clearly ahead (a) with 4 evaluations and with 32, (b) with 4 only, (c) with 32 only, and only by one of the distances?

# %%
for name, (solver, per_step) in solvers.items():
    for nfe in budgets[:5]:  # the exact velocity takes longer
        samples[f"{name}, exact", nfe] = sample(solver(board.velocity), z_1, nfe // per_step)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the tables
for metric, name in ((sliced_w2, "sliced W2"), (total_variation, "total variation")):
    blank = {f"{nfe} NFE": "" for nfe in (0, *budgets)}
    table = {"raw noise": blank | {"0 NFE": f"{metric(z_1, target):.3f}"}}
    for row in ("Euler", "Euler, exact", "midpoint", "midpoint, exact"):
        table[row] = blank | {f"{nfe} NFE": f"{metric(points, target):.3f}"
                              for (who, nfe), points in samples.items() if who == row}
    floor, high = noise_floor(metric, board, n)
    print(f"{name}: noise floor {floor:.3f}, 95 % of cases below {high:.3f}")
    plots.table(table, corner=f"{name}, 50,000 points", guess=True)

# %% [markdown]
# <details><summary>What happened</summary>
#
# (c). With few evaluations the exact velocity does little better than the learned one, at eight by midpoint even worse: most of the error is that of the **step**, which holds the velocity nearly constant while the path bends. Training this $v$ better cannot fix that. The more evaluations, the more the network's own blur counts: with 32 the two are equal by sliced W2, but by total variation the exact one is clearly ahead.
#
# </details>
#
# Look at the row of raw noise, too. By sliced W2 it is *nearer* to the board than two or four Euler steps; by TV it is as near as four evaluations of midpoint, whose picture is much better. So look at raw noise, at the floor, and at the samples.
#
# By sliced W2 and with 50,000 points, midpoint is as good as it gets with about twelve evaluations, and Euler is not quite there with 128. To need only one, we must learn something else.

# %% [markdown]
# ## What we have
#
# * Regression on the conditional velocity learns the marginal one. The price is a loss with a high floor, not a bias.
# * Near that floor small differences matter: they are the network's error.
# * With few evaluations the samples are poor **even with the exact velocity**: a step holds it while the path bends. Bridges along the seams are where it shows.
#
# Next: [learn the average velocity, and ask once](04_mean_flow.ipynb).
#
# ## Exercises
#
# Each has a cell for your answer and a folded check, which knows the usual mistakes. The solution is folded too.
#
# **1. Half way.** How high is the irreducible loss if $t$ is always $0.5$? Compute it as above, from 100,000 pairs.
# (Say first: higher or lower than over all times? Why?)

# %%
irreducible_at_half = ...  # three or four lines

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
torch.manual_seed(5)
at_half = interpolate(board.sample(1_000_000), gaussian(1_000_000), 0.5)
another_way = mean_square(at_half[1]) - mean_square(board.velocity(at_half[0], 0.5))  # Pythagoras
check(irreducible_at_half, another_way, tolerance=0.08,
      hint=["It is the last term of the split, with another t.",
            "Draw x and eps, go to z at t = 0.5, and compare board.velocity(z, 0.5) with v_cond.",
            "mean_square(board.velocity(z, 0.5) − v_cond)."],
      mistakes={"That is the mean over the two coordinates; we sum over them.": another_way / 2,
                "That is the value over all t. Set t to 0.5 instead of drawing it.": irreducible,
                "That is the size of the target. Subtract the exact velocity.":
                mean_square(at_half[1])})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
z_half, v_cond_half = interpolate(board.sample(100_000), gaussian(100_000), 0.5)
floor_at_half = mean_square(board.velocity(z_half, 0.5) - v_cond_half)
print(f"{floor_at_half:.2f}, above the {irreducible:.2f} of all times together. Why: at t = 1 the noise is known, and "
      "only x is uncertain (variance 8/3); at t = 0 only the noise is (variance 2). Half way neither is known, and since "
      "z is their sum, an error in the one is the opposite error in the other: in the difference they add up.")
assert abs(floor_at_half - another_way) < 0.08

# %% [markdown]
# **2. Another target.** Many networks predict the data instead of the velocity: $\hat x(z, t) \approx \mathbb{E}[x \mid z_t = z]$. Which velocity does that give? Start from $z_t = (1-t)x + t\varepsilon$ and eliminate $\varepsilon$.

# %%
def velocity_of(x_hat, z, t):
    return ...  # one line


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
z_now, t_now = z_test[:100].double(), t_test[:100].double().clamp(min=0.2)
v_now = board.velocity(z_now, t_now)
x_hat = z_now - t_now * v_now
check(velocity_of(x_hat, z_now, t_now), v_now, tolerance=1e-6,
      hint=["Which noise leads from x̂ to z at time t?",
            "Solve z = (1 − t) x̂ + t ε for ε, and subtract x̂.",
            "ε = (z − (1 − t) x̂) / t, and the velocity is ε − x̂ = (z − x̂) / t."],
      mistakes={"That is ε. Subtract x.": (z_now - (1 - t_now) * x_hat) / t_now,
                "Velocity is noise minus data: the sign is reversed.": -v_now,
                "Divide by t: the distance z − x̂ is walked in time t.": z_now - x_hat})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
def velocity_from_data(x_hat, z, t):
    return (z - x_hat) / t  # means are linear, so E[ε | z] follows from E[x | z]; near t = 0 errors are divided by t


torch.testing.assert_close(velocity_from_data(x_hat, z_now, t_now), v_now)

# %% [markdown]
# **3. Other noise.** Nothing in the loss says that the noise must be Gaussian. Write a source that is uniform on
# the square $[-2, 2]^2$, then train for 1,000 steps with `train(..., noise=uniform, n_steps=1000, ema_decay=0.99)` and score its samples. Why does it still work?

# %%
def uniform(n, generator=None):
    return ...  # one line


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
seven = torch.Generator()
draws = torch.rand(1000, 2, generator=seven.manual_seed(7))
forgotten = torch.rand(1000, 2, generator=torch.manual_seed(8))
torch.manual_seed(8)
check(uniform(1000, seven.manual_seed(7)), 4 * draws - 2,
      hint=["torch.rand is uniform on [0, 1).", "Stretch it and shift it; pass on the generator.",
            "4 * torch.rand(n, 2, generator=generator) − 2."],
      mistakes={"Pass the generator on to torch.rand.": 4 * forgotten - 2,
                "That is the square [0, 1]².": draws, "That is the square [−1, 1]².": 2 * draws - 1,
                "That is the square [0, 4]². Shift it.": 4 * draws})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
def uniform_square(n, generator=None):
    return 4 * torch.rand(n, 2, generator=generator) - 2


torch.manual_seed(0)
from_square, _ = train(VelocityMLP(), flow_matching_loss, board.sample, times,
                       noise=uniform_square, n_steps=1000, ema_decay=0.99)
begun = uniform_square(20_000)
print(f"sliced W2, 20,000 points: the noise {sliced_w2(begun, target[:20_000]):.3f}, after 32 midpoint steps "
      f"{sliced_w2(sample(midpoint(from_square), begun, 32), target[:20_000]):.3f}. Why it works: the split of the loss "
      "used no property of the noise, and v is still the mean of all roads.")

# %% [markdown]
# ## Further reading
#
# * Lipman et al., [Flow Matching for Generative Modeling](https://arxiv.org/abs/2210.02747) (2023): the loss, and why it works (Theorem 2).
# * Liu et al., [Rectified Flow](https://arxiv.org/abs/2209.03003) (2023): the same loss, and how to straighten the paths.
# * Jordan et al., [Muon](https://kellerjordan.github.io/posts/muon/) (2024): the optimiser for hidden layers.
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) (2025): where we go next. Raymond Fan, *Introduction to Mean Flow* (2025).
