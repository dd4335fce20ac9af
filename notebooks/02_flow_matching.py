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
# # 2. Train the baseline: flow matching
#
# **The question.** What does flow matching learn, and what does a sample of it cost?
#
# **The ending.** A small network learns the velocity nearly perfectly, and one step of it is still a blob.
# Here is one trained beforehand; you will train your own below and find the same.

# %%
import inspect

import torch
from IPython.display import Code

from mfutils import (
    DISTRIBUTIONS, GaussianMixture, VelocityMLP, check, euler, flow_matching_loss, gaussian,
    interpolate, load_pretrained, midpoint, mixture_of_text, noise_floor, plots, sample, sliced_w2,
    train, widgets,
)

board = DISTRIBUTIONS["checkerboard"]

# %%
torch.manual_seed(0)
trained = load_pretrained("checkerboard", "flow_matching")
z_few = gaussian(3000)
ending = {f"{n} NFE": sample(trained, z_few, n) for n in (1, 8, 128)}
fig = plots.clouds(ending, target=board.sample(3000), size=2.3, method="flow_matching")
plots.show(fig, "Flow-matching samples with 1, 8 and 128 function evaluations beside the target: a "
                "blob in the middle, a blurred checkerboard, a sharp one.")

# %% [markdown]
# *The same network asked 1, 8 and 128 times per sample. The network is good; one question is not enough.*
#
# | | |
# |---|---|
# | **You will do** | write the flow-matching loss on one batch; train a network; count what a sample costs; compare the learned velocity with the exact one; draw data of your own |
# | **You will learn** | why regressing on the *conditional* velocity learns the *marginal* one; which part of the loss can never fall; why few steps fail even with a perfect network |
# | **You need** | [notebook 1](01_derivation.ipynb), or its symbols: $z_t = (1-t)x + t\varepsilon$, data at $t=0$, noise at $t=1$ |
# | **Time** | 30 minutes to read; a minute to run |

# %% [markdown]
# ## What we want and what we have
#
# We want a network $v_\theta(z, t)$ close to the marginal velocity $v(z, t) = \mathbb{E}[\varepsilon - x \mid z_t = z]$. On
# real data nobody has that. What everybody has is pairs, and for each pair its conditional velocity $\varepsilon - x$.
#
# **Flow matching, in English:** draw a data point, a noise point and a time; go to the point between them; ask the network
# for a velocity; compare with $\varepsilon - x$. Here is one batch, all of it visible:

# %%
torch.manual_seed(1)
x = board.sample(2048)
eps = torch.randn(2048, 2)
t = torch.rand(2048, 1)
z, v = interpolate(x, eps, t)  # z = (1 - t) x + t eps,  v = eps - x

# %%
fresh_net = VelocityMLP()
answer = fresh_net(z, t)
by_hand = (answer - v).square().sum(dim=1).mean()
print("z", tuple(z.shape), "  t", tuple(t.shape), "  answer", tuple(answer.shape))
print(f"loss {by_hand.item():.3f}")

# %% [markdown]
# The module's function says the same in three lines, and returns the very same number:

# %%
Code(inspect.getsource(flow_matching_loss), language="python")

# %%
assert torch.equal(flow_matching_loss(fresh_net, x, eps, t), by_hand)

# %% [markdown]
# ## Why the wrong target gives the right answer
#
# The target $\varepsilon - x$ is the marginal velocity plus noise: at a fixed $z$, different pairs pull different ways, and
# on average they pull along $v(z, t)$. Take **any** function $f(z, t)$, write $f - (\varepsilon - x) = (f - v) + (v - (\varepsilon - x))$, and square.
# Given $z_t$ and $t$, the first bracket is fixed and the second has mean zero, so their product has mean zero, and the loss splits:
#
# $$\underbrace{\mathbb{E}\,|f - (\varepsilon - x)|^2}_{\text{what we compute}} \;=\; \underbrace{\mathbb{E}\,|f - v(z_t, t)|^2}_{\text{what we want}} \;+\; \underbrace{\mathbb{E}\,|v(z_t, t) - (\varepsilon - x)|^2}_{\text{irreducible: no } f \text{ in it}}.$$
#
# **Predict:** take the silliest function, $f = 0$. Will the two sides agree for it too, and to how many digits, on 200,000 pairs?

# %%
torch.manual_seed(2)
x_test, eps_test = board.sample(200_000), torch.randn(200_000, 2)
t_test = torch.rand(200_000, 1).clamp(min=1e-3)  # the exact velocity needs t > 0
z_test, v_test = interpolate(x_test, eps_test, t_test)
v_exact = board.velocity(z_test, t_test)


# %%
def mean_square(error):
    return error.square().sum(dim=1).mean().item()


irreducible = mean_square(v_exact - v_test)
print(f"irreducible loss {irreducible:.3f}")

# %%
for name, f in {"zero": 0 * z_test, "z": z_test, "2 z + 1": 2 * z_test + 1}.items():
    left, right = mean_square(f - v_test), mean_square(f - v_exact) + irreducible
    print(f"{name:14} {left:.3f} = {right:.3f}")
    assert abs(left - right) < 0.03 * left

# %% [markdown]
# **What happened.** They agree, up to the noise of the sample. Two things follow, and both are often missed:
#
# * Minimising the loss we can compute minimises the one we want.
# * The loss **cannot fall below the irreducible part**, about 3.38 on the checkerboard (summed over the two coordinates, $t$
#   uniform). A loss that stays at 3.4 is not stuck. It has arrived.

# %%
assert abs(irreducible - 3.38) < 0.03

# %% [markdown]
# ## Train
#
# `train` draws 5,000 batches of 1,024 and follows the gradient: Muon for the square weight matrices, Adam for the other parameters, a
# cosine learning rate, and an exponential moving average of the weights, which is what it returns. The loss is the function you just
# read; the times are uniform. About half a minute. (If you press stop, the work is kept, and the message says how to go on from there.)


# %%
def times(n, generator):
    return torch.rand(n, 1, generator=generator)


torch.manual_seed(0)
v_net, losses = train(VelocityMLP(), flow_matching_loss, board.sample, times)

# %%
fig = plots.loss_curve(losses, floor=irreducible, method="flow_matching")
plots.show(fig, "The training loss falls from above 4 to the dashed line of the irreducible loss "
                "within a few thousand steps and stays there.")

# %% [markdown]
# *The loss reaches its floor, the dashed line computed above, and can do no more.* What is left above the floor is the
# network's own error. The split lets us compute it, on the same 200,000 pairs:

# %%
with torch.no_grad():
    learned = v_net(z_test, t_test)
own_error = mean_square(learned - v_exact)
final_loss = mean_square(learned - v_test)
print(f"loss {final_loss:.3f} = field error {own_error:.3f} + irreducible {irreducible:.3f}")
assert own_error < 0.05

# %% [markdown]
# So more than 98 % of the final loss is noise of the target, not error of the network.

# %%
assert own_error < 0.02 * final_loss

# %% [markdown]
# ## Ask it once, twice, 128 times
#
# **Predict:** the velocity is nearly exact. How many steps does a sharp board take?

# %%
steps = (1, 2, 4, 8, 32, 128)
torch.manual_seed(3)
n = 50_000
z_1, target = gaussian(n), board.sample(n)
samples = {n_steps: sample(euler(v_net), z_1, n_steps) for n_steps in steps}

# %%
panels = {f"{n_steps} NFE": samples[n_steps] for n_steps in steps}
fig = plots.clouds(panels, target=target, size=1.6, method="flow_matching")
plots.show(fig, "Samples with 1, 2, 4, 8, 32 and 128 function evaluations and the target: a point, "
                "a cloud, and from 32 on a sharp checkerboard.")

# %% [markdown]
# A number for the eye's verdict: the **sliced Wasserstein distance** projects two point sets on 64 directions and
# measures, along each, how far mass must be moved. It is in the units of the picture, where a square has side 1. No sample
# of 50,000 scores zero; two fresh *target* sets differ by the **noise floor**:

# %%
floor_mean, floor_95 = noise_floor(sliced_w2, board, n)
print(f"noise floor: mean {floor_mean:.3f}, 95 % quantile {floor_95:.3f}")

# %%
distances = {n_steps: sliced_w2(samples[n_steps], target) for n_steps in steps}
for n_steps, distance in distances.items():
    print(f"{n_steps:4} NFE   sliced W2 {distance:.3f}   {distance / floor_mean:5.1f} × floor")

# %%
assert distances[1] > 0.9
assert distances[128] < 0.03
assert distances[8] > 5 * floor_mean
assert 80 < distances[1] / floor_mean < 120
assert distances[128] < 2.5 * floor_mean

# %% [markdown]
# *One step is about a hundred times the floor away; 128 come within two and a half times.* Move the slider. Between which two numbers of steps do the squares come
# apart?

# %%
widgets.steps_slider(samples, target, distances, method="flow_matching")

# %% [markdown]
# ## Whose fault is it?
#
# Not the network's. Here is the learned velocity against the exact one, wherever particles come by. (White: none of 50,000
# did.)

# %%
places = plots.grid(64)
gaps = {}
for now in (0.1, 0.25, 0.5, 1.0):
    same = torch.full((len(places), 1), now)
    with torch.no_grad():
        gap = (v_net(places, same) - board.velocity(places, same)).norm(dim=1)
    passing, _ = interpolate(target, z_1, torch.full((n, 1), now))
    white = plots.unvisited(passing, 64)
    gaps[f"t = {now}"] = gap.masked_fill(white, torch.nan)
    print(f"t = {now:<4}   median over the visited tiles {gap[~white].median():.3f}")
    assert gap[~white].median() < 0.3

# %%
fig = plots.heat(gaps, highest=1.0, label="|learned − exact velocity|")
plots.show(fig, "Four maps of the difference between learned and exact velocity at t = 0.1, 0.25, "
                "0.5 and 1: dark, that is small, nearly everywhere; brighter along the edges of the"
                " squares when t is small.")

# %% [markdown]
# *Over most of the plane the error is a small part of a velocity of size 1 or 2 (medians above). It is large only where the exact
# velocity turns sharply: along the squares' edges, at small $t$.*
#
# And here is the test: sample with the **exact** velocity, the same noise, the same steps.

# %%
exact = {n_steps: sliced_w2(sample(euler(board.velocity), z_1, n_steps), target)
         for n_steps in steps}
for n_steps in steps:
    print(f"{n_steps:4} NFE   exact {exact[n_steps]:.3f}   learned {distances[n_steps]:.3f}")

# %%
for n_steps in (1, 2, 4, 8):
    assert abs(exact[n_steps] - distances[n_steps]) < 0.1 * exact[n_steps]

# %%
curves = {"flow matching": distances, "exact velocity": exact}
fig = plots.distance_by_steps({"board": curves}, {"board": (floor_mean, floor_95)})
plots.show(fig, "Sliced W2 against number of function evaluations, both axes logarithmic: the "
                "learned and the exact velocity share one falling line, which comes close to the "
                "grey noise floor at 128.")

# %% [markdown]
# *In up to 8 steps the exact velocity fails just like the learned one: the lines coincide.* The error is in the **step**, which
# holds the velocity constant while the path bends. Better training cannot help; a different thing to learn can.
#
# ## Your own data
#
# The closed form is not a privilege of the board. Any list of points becomes a mixture of narrow Gaussians, one around every point, and the
# velocity of a mixture is exact. So is that of a text or a picture, whose ink is covered by some five hundred of them:

# %%
examples = {text: mixture_of_text(text) for text in ("❀", "♞", "☎", "Flow")}
fig = plots.gallery({"target": {text: dist.sample(4000) for text, dist in examples.items()}})
plots.show(fig, "Points in the shape of a flower, a chess knight, a telephone, and the word Flow.")

# %% [markdown]
# *Four mixtures of about 500 Gaussians, made from one or four letters of bold type (`mixture_of_text`; there are `mixture_of_picture` and
# `mixture_of_points` too).*
#
# Now yours: write something (your name, or one of ♞ ❄ ♫ ✈), choose a file, or draw with the mouse. A file is a picture, even a photo of a drawing
# on paper, or a list of points, two numbers in every line. What the picture beside it shows counts; then run the cells below, but not this one again,
# which starts afresh. (It needs a running kernel. A file too large for the button: put it beside this notebook, and write
# `from mfutils import mixture_of_picture` and `mine = mixture_of_picture("photo.jpg")` below.) **Before you do:** what will one step make of it?

# %%
own = widgets.OwnData("❀")
own

# %%
mine = own.distribution
print("a mixture of", len(mine.means), "Gaussians")
torch.manual_seed(0)
my_net, _ = train(VelocityMLP(), flow_matching_loss, mine.sample, times,
                  n_steps=3000, ema_decay=0.99)

# %%
my_target, start = mine.sample(20_000), z_1[:20_000]
panels = {f"{n_steps} NFE": sample(euler(my_net), start, n_steps) for n_steps in (1, 8, 128)}
fig = plots.clouds(panels, target=my_target, size=2.3, method="flow_matching")
plots.show(fig, "Samples of a network trained on the learner's own data, with 1, 8 and 128 "
                "evaluations, beside the target.")

# %%
my_floor, _ = noise_floor(sliced_w2, mine, 20_000)
my_distances = {title: sliced_w2(points, my_target) for title, points in panels.items()}
for title, distance in my_distances.items():
    print(f"{title:8} sliced W2 {distance:.3f}   {distance / my_floor:5.1f} × floor")
assert my_distances["1 NFE"] > my_distances["128 NFE"]

# %%
one_step = sample(euler(mine.velocity), start[:1000], 1)
furthest = (one_step - mine.means.mean(dim=0)).abs().max()
print(f"one step of the exact velocity: all within {furthest:.0e} of the mean of the data")
assert furthest < 1e-3

# %% [markdown]
# *Whatever you drew, one step puts it into a small heap; of the exact velocity, onto its mean, as computed. Only many steps draw it.* For sharper
# lines, train longer: `n_steps=10_000`.
#
# ## What we have
#
# * Regression on the conditional velocity learns the marginal one; the price is a loss with a high floor, not a bias.
# * A small network reaches that floor in about half a minute.
# * With 8 Euler steps a sample is still more than five times the noise floor away, **even with the exact velocity**. A better solver needs about a
#   dozen evaluations (exercise 2).
#
# Next: [learn the average velocity, and ask once](03_mean_flow.ipynb).
#
# ## Exercises
#
# Each has a cell for your answer, a check that says what is wrong, and a solution (in JupyterLab it is folded: click on the dots).
#
# **1. Change a number.** How high is the irreducible loss if $t$ is always $0.5$? Compute it as above, from 100,000 pairs.
# (Say first: higher or lower than 3.38?)

# %%
irreducible_at_half = ...  # four lines

# %%
torch.manual_seed(5)
x, eps, t = board.sample(1_000_000), gaussian(1_000_000), torch.full((1_000_000, 1), 0.5)
z, v = interpolate(x, eps, t)
another_way = mean_square(v) - mean_square(board.velocity(z, t))  # Pythagoras, as for f = 0
check(irreducible_at_half, another_way, tolerance=0.08,
      hint="It is the mean square of board.velocity(z, t) − v at t = 0.5.",
      mistakes={"That is the mean over the two coordinates; we sum over them.": another_way / 2,
                "That is the value over all t. Fill t with 0.5 instead of drawing it.": irreducible,
                "That is the size of the target. Subtract the exact velocity.": mean_square(v)})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
torch.manual_seed(6)
x, eps, t = board.sample(100_000), gaussian(100_000), torch.full((100_000, 1), 0.5)
z, v = interpolate(x, eps, t)
irreducible_at_half = mean_square(board.velocity(z, t) - v)
print(f"{irreducible_at_half:.2f}, above the {irreducible:.2f} of all times together")
check(irreducible_at_half, another_way, tolerance=0.08)

# %% [markdown]
# **2. A better step.** The midpoint rule takes half an Euler step, asks for the velocity *there*, and uses it for the whole
# step: two evaluations, but the bend is felt. Write it for `v_net`, as a function of `(z, r, t)` that returns the velocity; `sample` does the step. Then
# compare 4 midpoint steps (8 NFE) with 8 Euler steps.


# %%
def half_way(z, r, t):
    return ...  # two lines


# %%
with torch.no_grad():
    z_t, low, high = z_1[:5], torch.full((5, 1), 0.2), torch.full((5, 1), 0.9)
    half, first = torch.full((5, 1), 0.55), v_net(z_t, high)
    expected = v_net(z_t - 0.35 * first, half)
    check(half_way(z_t, low, high), expected,
          hint="Ask at time (r + t) / 2, where half a step, of length (t − r) / 2, leads.",
          mistakes={"That is Euler's velocity, the one at (z, t).": first,
                    "That asks the exact velocity; ask v_net.": board.velocity(
                        z_t - 0.35 * board.velocity(z_t, high), half),
                    "That is the new place. Return the velocity.": z_t - 0.7 * expected,
                    "That goes the whole step before it asks.": v_net(z_t - 0.7 * first, half),
                    "The time is wrong: ask at (r + t) / 2.": v_net(z_t - 0.35 * first, high),
                    "That goes away from data: subtract.": v_net(z_t + 0.35 * first, half)})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def half_way(z, r, t):
    half = (r + t) / 2
    return v_net(z - (t - half) * v_net(z, t), half)


assert torch.equal(half_way(z_t, low, high), midpoint(v_net)(z_t, low, high))  # the module has it
midpoint_distance = sliced_w2(sample(half_way, z_1, 4), target)
print(f"8 NFE: Euler {distances[8]:.3f}, midpoint {midpoint_distance:.3f}")
assert midpoint_distance < distances[8]

# %% [markdown]
# **3. Bring your own noise.** Nothing in the loss says that the noise must be Gaussian. Write a source that is uniform on
# the square $[-2, 2]^2$, then train for 2,000 steps from it with `train(..., noise=uniform, n_steps=2000)` and look at the samples.
# (Without Gaussian noise the closed form of $v$ is gone; the loss does not need it.)


# %%
def uniform(n, generator=None):
    return ...  # one line


# %%
seven = torch.Generator()
draws = torch.rand(1000, 2, generator=seven.manual_seed(7))
forgotten = torch.rand(1000, 2, generator=torch.manual_seed(8))
torch.manual_seed(8)
check(uniform(1000, seven.manual_seed(7)), 4 * draws - 2,
      hint="Stretch and shift torch.rand(n, 2, generator=generator).",
      mistakes={"Pass the generator on to torch.rand.": 4 * forgotten - 2,
                "That is the square [0, 1]².": draws, "That is the square [−1, 1]².": 2 * draws - 1,
                "That is the square [0, 4]². Shift it.": 4 * draws})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def uniform(n, generator=None):
    return 4 * torch.rand(n, 2, generator=generator) - 2


torch.manual_seed(0)
net, _ = train(VelocityMLP(), flow_matching_loss, board.sample, times, noise=uniform, n_steps=2000)
start = uniform(20_000)
print(f"sliced W2 of the noise {sliced_w2(start, target[:20_000]):.3f}, of 128 steps "
      f"{sliced_w2(sample(euler(net), start, 128), target[:20_000]):.3f}")

# %% [markdown]
# **4. Derive and implement: an exact velocity.** The data are eight *points* $m_k$, equally likely. Derive $v(z, t)$: which of them may the road
# through $z$ lead to, and with what probability? What is the velocity of each road? Then write the mean, for all $z$ at once.

# %%
points = DISTRIBUTIONS["eight_gaussians"].means.float()  # (8, 2)


def to_points(z, t):
    return ...  # three lines: each road's noise, its probability (torch.softmax), the mean velocity


# %%
narrow = GaussianMixture(points, sd=1e-4)
z, t = gaussian(200, torch.manual_seed(8)), torch.full((200, 1), 0.6)
exact_v = narrow.velocity(z, t)
every_road = ((z[:, None] - 0.4 * points) / 0.6 - points).mean(dim=1)
check(to_points(z, t), exact_v, tolerance=1e-3,
      hint="The road from m_k through z has the noise (z − (1 − t) m_k) / t, "
           "and is likely in proportion to exp(−|noise|² / 2).",
      mistakes={"That gives every road the same weight; the far ones are unlikely.": every_road,
                "That is E[x | z]. The velocity is noise minus data.": z - 0.6 * exact_v,
                "That is E[ε | z]. The velocity is noise minus data.": z + 0.4 * exact_v,
                "The sign is turned round: the velocity is noise minus data.": -exact_v})

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def to_points(z, t):
    noise = (z[:, None] - (1 - t[..., None]) * points) / t[..., None]  # (n, 8, 2)
    probability = torch.softmax(-noise.square().sum(dim=2) / 2, dim=1)[..., None]
    return (probability * (noise - points)).sum(dim=1)


check(to_points(z, t), exact_v, tolerance=1e-3)

# %% [markdown]
# ## Further reading
#
# * Lipman et al., [Flow Matching for Generative Modeling](https://arxiv.org/abs/2210.02747) (2023): the loss and why it works.
# * Liu, Gong, Liu, [Rectified Flow](https://arxiv.org/abs/2209.03003) (2023): the same loss, and how to straighten the paths.
# * Raymond Fan, *Introduction to Mean Flow* (2025): the tutorial this course follows in subject.
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) (2025): where we go next.
