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
from pathlib import Path
from tempfile import mkdtemp

import torch
from IPython.display import Code

from mfutils import (
    DISTRIBUTIONS, VelocityMLP, check, euler, flow_matching_loss, gaussian, interpolate,
    load_average, load_pretrained, midpoint, noise_floor, sample, sliced_w2, total_variation, train,
)
from mfutils.show import figures, plots, widgets

board = DISTRIBUTIONS["checkerboard"]

# %%
torch.manual_seed(0)
z_few = gaussian(3000)
trained = load_pretrained("checkerboard", "flow_matching")
clouds = {f"{n} NFE": sample(trained, z_few, n) for n in (1, 4, 128)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw one network, asked three times
fig = plots.clouds(clouds, target=board.sample(3000), method="flow_matching")
plots.show(fig, "Samples of one network with 1, 4 and 128 function evaluations beside the target: a "
                "point in the middle, a blurred cloud, a sharp checkerboard.")

# %% [markdown]
# *The same trained network and the same noise, with 1, 4 and 128 function evaluations (NFE) per sample. Is the left picture a fault of the network?*
#
# | | |
# |---|---|
# | **You will do** | write the flow-matching loss on one batch; train a network in a loop of a dozen lines; count what a sample costs; hold the learned velocity against the exact one |
# | **You will learn** | why regressing on the *conditional* velocity learns the *marginal* one; which part of the loss can never fall; what to blame for poor samples |
# | **You need** | [notebook 1](01_flow.ipynb): the marginal velocity $v(z,t) = \mathbb{E}[\varepsilon - x \mid z_t = z]$; Euler and midpoint steps |
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
# **Predict:** take the silliest function, $f = 0$. Which share of its loss is irreducible: a tenth, a half, or most of it?

# %%
torch.manual_seed(2)
x_test, eps_test = board.sample(200_000), torch.randn(200_000, 2)
t_test = torch.rand(200_000, 1).clamp(min=1e-3)  # the exact velocity needs t > 0
z_test, v_cond_test = interpolate(x_test, eps_test, t_test)
v_test = board.velocity(z_test, t_test)


# %%
def mean_square(error):
    return error.square().sum(dim=1).mean().item()


irreducible = mean_square(v_test - v_cond_test)
functions = {"f = 0": 0 * z_test, "f = z": z_test, "f = 2 z + 1": 2 * z_test + 1}
plots.table({name: {"what we compute": f"{mean_square(f - v_cond_test):.3f}",
                    "what we want": f"{mean_square(f - v_test):.3f}",
                    "irreducible": f"{irreducible:.3f}",
                    "sum of the two": f"{mean_square(f - v_test) + irreducible:.3f}"}
             for name, f in functions.items()})

# %% [markdown]
# <details><summary>What happened</summary>
#
# The first and the last column agree, up to the noise of 200,000 pairs: the split holds for any function. And most of the loss of $f=0$ is irreducible.
#
# </details>
#
# Two things follow.
#
# * The function that minimises the loss we can compute is the one we want: $f = v$. (This holds for an endless supply of fresh samples. On a small, fixed data set the minimiser would remember the data.)
# * The loss **cannot fall below the irreducible part**. A loss that stays just above it is not stuck. It has arrived.
#
# ## A training loop, in the open
#
# A dozen lines of PyTorch are enough. About five seconds:

# %%
torch.manual_seed(0)
plain_net = VelocityMLP()
optimizer = torch.optim.Adam(plain_net.parameters(), lr=2e-3)
for _ in range(2000):
    x, eps, t = board.sample(1024), torch.randn(1024, 2), torch.rand(1024, 1)
    loss = flow_matching_loss(plain_net, x, eps, t)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"last batch: loss {loss.item():.2f}; irreducible {irreducible:.2f}")

# %% [markdown]
# From here on we call `train`. It is this loop with five additions:
#
# * **Muon**, an optimiser for hidden weight matrices (here the square ones): it makes each update nearly orthogonal, so that all directions learn at the same pace. Adam keeps the other parameters.
# * A **cosine** schedule lets the learning rate fall to zero.
# * The network that you get back is a **moving average** of the weights (an exponential one, EMA), which smooths out the jitter of single steps. With `ema_decay=0.99` it remembers about the last hundred steps; long runs take 0.999.
# * A progress bar; and if you press stop, the work is kept and the message says how to go on.
# * It can save **checkpoints** along the way, one every so many steps.

# %%
def times(n, generator):
    return torch.rand(n, 1, generator=generator)


runs = Path(mkdtemp())
torch.manual_seed(0)
v_net, losses = train(VelocityMLP(), flow_matching_loss, board.sample, times, ema_decay=0.99,
                      checkpoint=runs / "{step}.pt", checkpoint_every=500)

# %% [markdown]
# We draw two curves beside the irreducible loss: the loss of the training batches, and the loss of the moving average, taken from the
# checkpoints, on our 200,000 test pairs. **Predict:** which of the two comes nearer to the irreducible loss?

# %%
average = {}
for step in range(500, 5001, 500):
    with torch.no_grad():
        learned = load_average(runs / f"{step}.pt", VelocityMLP())(z_test, t_test)
    average[step] = mean_square(learned - v_cond_test)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the loss
fig = figures.loss_curve(losses, irreducible, average)
plots.show(fig, "A jagged training loss, a smooth falling line of the moving average on test pairs, "
                "and a dashed line for the irreducible loss.")

# %% [markdown]
# <details><summary>What happened</summary>
#
# The loss of the moving average comes down to the dashed line. The training loss stays higher until the learning rate has fallen, and it jumps, because each batch brings its own noise.
#
# </details>
#
# The gap between the curve of the moving average and the dashed line
# is the network's own error. The split lets us read it off:

# %%
with torch.no_grad():
    learned = v_net(z_test, t_test)
final, own_error = mean_square(learned - v_cond_test), mean_square(learned - v_test)
print(f"loss {final:.3f} = network's own error {own_error:.3f} + irreducible {irreducible:.3f}")
print(f"share of the network's own error in the loss: {own_error / final:.1%}")

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check: nearly all of the loss is noise of the target
assert own_error < 0.01 * final

# %% [markdown]
# ## What a sample costs
#
# Sampling repeats one line. `sample` is the only sampler of this course; here is all of it.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the sampler
sources = map(inspect.getsource, (sample, euler, midpoint))
Code("\n\n".join(sources), language="python")

# %% [markdown]
# In notebook 1 we sampled with the exact velocity. Now with the learned one, at equal budgets for Euler and midpoint:

# %%
torch.manual_seed(3)
n = 50_000
z_1, target = gaussian(n), board.sample(n)
budgets = (2, 4, 8, 12, 16, 32, 64, 128)
samples = {}
for nfe in budgets:
    samples["checkerboard", "flow matching, Euler", nfe] = sample(euler(v_net), z_1, nfe)
    samples["checkerboard", "flow matching, midpoint", nfe] = sample(midpoint(v_net), z_1, nfe // 2)
distances = {key: sliced_w2(points, target) for key, points in samples.items()}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the samples at four budgets
rows = {solver: {f"{nfe} NFE": samples["checkerboard", f"flow matching, {solver}", nfe]
                 for nfe in (2, 4, 8, 32)} for solver in ("Euler", "midpoint")}
fig = plots.gallery(rows, method="flow_matching")
plots.show(fig, "Two rows, Euler and midpoint, with 2, 4, 8 and 32 evaluations. Both begin as a "
                "cloud and end as a checkerboard; the lower row is sharp earlier.")

# %% [markdown]
# *The same network, the same noise, two solvers.*
#
# Choose a cell: the network you just trained samples in this page, by that solver and that number of evaluations. The cells hold the sliced W2 of 50,000 points; 1,500 are drawn. At how many evaluations do the squares first stand apart, by either solver? Then read on: the tables below give the distances.

# %%
solvers = {"flow matching, Euler": (v_net, "Euler"), "flow matching, midpoint": (v_net, "midpoint")}
widgets.comparison({"checkerboard": solvers}, distances)

# %% [markdown]
# ## Whose fault is it?
#
# With few evaluations the samples are poor, although the network's error is small. There is a simple test, for here we have the exact velocity: sample with it, from the same noise, in the same steps. **Predict:** at which budgets will the exact velocity be clearly better than the learned one?

# %%
exact, shorter = {}, budgets[:6]  # the exact velocity takes longer
for nfe in shorter:
    exact["Euler", nfe] = sample(euler(board.velocity), z_1, nfe)
    exact["midpoint", nfe] = sample(midpoint(board.velocity), z_1, nfe // 2)

# %% [markdown]
# We score with two distances. Sliced W2 sees mass that strayed and hardly sees blur. **Total variation** divides the plane into 64 × 64 tiles and gives the share of points in a wrong tile: it sees blur, and does not care how far mass strayed.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the tables
for metric, name in ((sliced_w2, "sliced W2"), (total_variation, "total variation")):
    table = {}
    for solver in ("Euler", "midpoint"):
        learned = {nfe: samples["checkerboard", f"flow matching, {solver}", nfe] for nfe in budgets}
        table[f"{solver}, learned"] = {f"{nfe} NFE": f"{metric(learned[nfe], target):.3f}" for nfe in budgets}
        table[f"{solver}, exact"] = dict.fromkeys(table[f"{solver}, learned"], "") | {
            f"{nfe} NFE": f"{metric(exact[solver, nfe], target):.3f}" for nfe in shorter}
    plots.table(table, corner=name)
    print("noise floor {:.3f}, 95 % quantile {:.3f}".format(*noise_floor(metric, board, n)))

# %% [markdown]
# <details><summary>What happened</summary>
#
# With two or four evaluations, at none: the exact velocity fails like the learned one, and with one it lands on a point too. There the fault is in the **step**, which holds the velocity constant, or nearly so, while the path bends. No better training of this $v$ can
# mend that. With many evaluations sliced W2 still sees no difference, but total variation does, from twelve by midpoint and sixteen by Euler on: what remains then is the blur of the network itself. (With eight by midpoint the learned velocity happens to be the better one.)
#
# </details>
#
# By sliced W2 the midpoint rule is as good as it gets with about twelve evaluations, and Euler is not quite there with a hundred. To need only one, we must learn something else.
#
# Where is the network wrong at all? The gap between learned and exact velocity, over the plane (white: none of 50,000 travellers came by):

# %%
places, gaps = plots.grid(64), {}
for now in (0.1, 0.25, 0.5, 1.0):
    with torch.no_grad():
        learned = v_net(places, torch.full((64 * 64, 1), now))
    gap = (learned - board.velocity(places, now)).norm(dim=1)
    white = plots.unvisited(interpolate(target, z_1, now)[0], 64)
    gaps[f"t = {now}"] = gap.masked_fill(white, torch.nan)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the error of the velocity
fig = plots.heat(gaps, highest=1.0, label="|learned − exact velocity|")
plots.show(fig, "Four maps of the difference between learned and exact velocity at t = 0.1, 0.25, "
                "0.5 and 1: dark nearly everywhere, and brighter along the edges of the squares when t is small.")

# %% [markdown]
# *The error is large near data, along the edges of the squares and in the gaps between them: the exact velocity turns sharply there, and few travellers come by.*
#
# ## What we have
#
# * Regression on the conditional velocity learns the marginal one. The price is a loss with a high floor, not a bias.
# * In half a minute a small network comes within one per cent of that floor. What is missing shows as blur, when steps are many.
# * With few evaluations the samples are poor **even with the exact velocity**. On the checkerboard and by sliced W2, the midpoint rule needs about twelve, Euler more than a hundred.
#
# Next: [learn the average velocity, and ask once](04_mean_flow.ipynb).
#
# ## Exercises
#
# Each has a cell for your answer and a folded check that says what is wrong. The solution is folded too.
#
# **1. Change a number.** How high is the irreducible loss if $t$ is always $0.5$? Compute it as above, from 100,000 pairs.
# (Say first: higher or lower than over all times?)

# %%
irreducible_at_half = ...  # three or four lines

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
torch.manual_seed(5)
at_half = interpolate(board.sample(1_000_000), gaussian(1_000_000), 0.5)
another_way = mean_square(at_half[1]) - mean_square(board.velocity(at_half[0], 0.5))  # Pythagoras
check(irreducible_at_half, another_way, tolerance=0.08,
      hint="It is the mean square of board.velocity(z, 0.5) − v_cond, with z at t = 0.5.",
      mistakes={"That is the mean over the two coordinates; we sum over them.": another_way / 2,
                "That is the value over all t. Set t to 0.5 instead of drawing it.": irreducible,
                "That is the size of the target. Subtract the exact velocity.":
                mean_square(at_half[1])})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
z_half, v_cond_half = interpolate(board.sample(100_000), gaussian(100_000), 0.5)
floor_at_half = mean_square(board.velocity(z_half, 0.5) - v_cond_half)
print(f"{floor_at_half:.2f}, above the {irreducible:.2f} of all times together")
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
      hint="ε = (z − (1 − t) x) / t, and the velocity is ε − x.",
      mistakes={"That is ε. Subtract x.": (z_now - (1 - t_now) * x_hat) / t_now,
                "Velocity is noise minus data: the sign is reversed.": -v_now,
                "Divide by t: the distance z − x̂ is walked in time t.": z_now - x_hat})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
def velocity_from_data(x_hat, z, t):
    return (z - x_hat) / t


torch.testing.assert_close(velocity_from_data(x_hat, z_now, t_now), v_now)

# %% [markdown]
# **3. Bring your own noise.** Nothing in the loss says that the noise must be Gaussian. Write a source that is uniform on
# the square $[-2, 2]^2$, then train for 1,000 steps with `train(..., noise=uniform, n_steps=1000, ema_decay=0.99)` and score its samples.

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
      hint="Stretch and shift torch.rand(n, 2, generator=generator).",
      mistakes={"Pass the generator on to torch.rand.": 4 * forgotten - 2,
                "That is the square [0, 1]².": draws, "That is the square [−1, 1]².": 2 * draws - 1,
                "That is the square [0, 4]². Shift it.": 4 * draws})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
def uniform_square(n, generator=None):
    return 4 * torch.rand(n, 2, generator=generator) - 2


torch.manual_seed(0)
from_square, _ = train(VelocityMLP(), flow_matching_loss, board.sample, times,
                       noise=uniform_square, n_steps=1000, ema_decay=0.99)
begun = uniform_square(20_000)
print(f"sliced W2 of the noise {sliced_w2(begun, target[:20_000]):.3f}, of 32 midpoint steps "
      f"{sliced_w2(sample(midpoint(from_square), begun, 32), target[:20_000]):.3f}")

# %% [markdown]
# ## Further reading
#
# * Lipman et al., [Flow Matching for Generative Modeling](https://arxiv.org/abs/2210.02747) (2023): the loss, and why it works (Theorem 2).
# * Liu et al., [Rectified Flow](https://arxiv.org/abs/2209.03003) (2023): the same loss, and how to straighten the paths.
# * Jordan et al., [Muon](https://kellerjordan.github.io/posts/muon/) (2024): the optimiser for hidden layers.
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) (2025): where we go next. Raymond Fan, *Introduction to Mean Flow* (2025).
