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
# # 4. Compare: who wins where, and by how much?
#
# **The question.** Flow matching, mean flow and improved mean flow, on four distributions: which is best at how many steps,
# by how much, at what cost?
#
# **The ending.** In one step the two mean flows win everywhere, by a factor of thirty and more; at 128 steps all three are close.
# Here is the one-step round.

# %%
import statistics
import time

import torch

from mfutils import (
    DISTRIBUTIONS, METHODS, GaussianMixture, MeanVelocityMLP, check, flow_map, gaussian,
    load_pretrained, load_record, mean_flow_loss, noise_floor, plots, retrain, sample, sliced_w2,
    train, widgets,
)

# %%
z_1 = gaussian(20_000, torch.manual_seed(0))
targets = {name: dist.sample(20_000, torch.manual_seed(1)) for name, dist in DISTRIBUTIONS.items()}
nets = {(name, method): load_pretrained(name, method) for name in DISTRIBUTIONS for method in METHODS}

# %%
rows = {name: {method: sample(nets[name, method], z_1, 1) for method in METHODS}
        for name in DISTRIBUTIONS}
for name in DISTRIBUTIONS:
    rows[name]["target"] = targets[name]
fig = plots.gallery(rows)
plots.show(fig, "Four rows, one per distribution, with one-step samples of flow matching (a blob "
                "each time), mean flow and improved mean flow (recognisable checkerboard, crescent,"
                " spiral and eight blobs), and the target.")

# %% [markdown]
# *One evaluation each, from the same noise. Flow matching puts nearly all on the data mean; both mean flows show the shape, more than
# thirty times nearer to the target in sliced W2, as computed below.*
#
# | | |
# |---|---|
# | **You will do** | score twelve trained networks; compare differences with the noise; weigh cost against quality; retrain any of them |
# | **You will learn** | when a difference is a difference; which method to choose for how many steps |
# | **You need** | notebooks [2](02_flow_matching.ipynb) and [3](03_mean_flow.ipynb) |
# | **Time** | 25 minutes to read; a minute and a quarter to run |
#
# ## The contestants
#
# All have the same network (4 × 64, GELU), batch size (1,024), number of steps (15,000), optimiser, schedule and averaging. They
# differ in two things, the loss and the times:
#
# | method | loss | times | tangent of $z$ |
# |---|---|---|---|
# | `flow_matching` | $\lvert v_\theta - (\varepsilon - x)\rvert^2$ | $t$ uniform | none |
# | `mean_flow` | $\lvert u_\theta - \mathrm{sg}(u_\text{tgt})\rvert^2$ | $r \le t$ from squared uniforms; $r = t$ in half of the rows, $r = 0$ in an eighth | $\varepsilon - x$ |
# | `improved_mean_flow` | the same | the same | $u_\theta(z, t, t)$ |
#
# Their weights come with the course (`make weights` makes them again). Each was trained from three seeds; the first is shipped, and
# a record keeps the distances of all three.

# %%
record = load_record()
print("trained with torch", record["torch"], "; distances from", record["n"], "points")
floor = record["floor"]["sliced_w2"]  # distribution → mean and 95 % quantile
scores = {}  # (distribution, method, n_steps) → one sliced W2 per seed
for run in record["runs"]:
    for n_steps, distance in run["sliced_w2"].items():
        scores.setdefault((run["distribution"], run["method"], int(n_steps)), []).append(distance)

# %% [markdown]
# **Trust, but check:** the shipped networks, scored here with fresh noise and fresh targets of 20,000 points, must agree with the
# record of their own seed, up to twice the 95 % quantile of the noise floor at 20,000.

# %%
steps = (1, 2, 4, 8, 32, 128)
samples = {(*key, n): sample(net, z_1, n) for key, net in nets.items() for n in steps}
distances = {key: sliced_w2(points, targets[key[0]]) for key, points in samples.items()}

# %%
allowed = {name: 2 * noise_floor(sliced_w2, dist, 20_000)[1] for name, dist in DISTRIBUTIONS.items()}
for key, distance in distances.items():
    assert abs(distance - scores[key][0]) < allowed[key[0]], key

# %% [markdown]
# ## Quality against steps
#
# **Predict:** one Euler step of flow matching lands on the mean. At how many steps does it catch up with a mean flow's *one*?
#
# Sliced W2 from 50,000 points, mean over three seeds ± their standard deviation. The first line of each table is the **noise
# floor**: the distance between two fresh target sets, its mean and 95 % quantile.

# %%
means = {key: statistics.mean(values) for key, values in scores.items()}
spreads = {key: statistics.stdev(values) for key, values in scores.items()}

# %%
for name in DISTRIBUTIONS:
    mean, high = floor[name]
    print(f"\n{name}: noise floor {mean:.3f}, 95 % quantile {high:.3f}")
    print(" " * 19 + "".join(f"{n:>7} NFE  " for n in steps))
    for method in METHODS:
        cells = (f"{means[name, method, n]:.3f}±{spreads[name, method, n]:.3f}" for n in steps)
        print(f"{method:19}" + "  ".join(cells))

# %%
curves = {name: {method: {n: scores[name, method, n] for n in steps} for method in METHODS}
          for name in DISTRIBUTIONS}
fig = plots.distances_by_steps(curves, floor)
plots.show(fig, "Four panels of sliced W2 against number of evaluations. In each, flow matching "
                "falls steeply from about 1 to the noise floor, while the two mean flows lie on one"
                " low, nearly flat band just above or within the noise floor.")

# %% [markdown]
# *In every panel flow matching falls with the number of steps and the mean flows hardly change: what they can do, they do at
# once.*
#
# ## A sharper eye
#
# Sliced W2 is blunt: a blurred edge costs it little. **Total variation** between histograms (64 × 64 tiles) is sharp: it is the share
# of points that lie in a wrong tile. Its floor is high, since even 50,000 points are few per tile.

# %%
def blur(name, method, n):
    return statistics.mean(run["total_variation"][str(n)] for run in record["runs"]
                           if (run["distribution"], run["method"]) == (name, method))


# %%
print("total variation, mean over seeds (floor)     1 NFE   8 NFE   128 NFE")
for name in DISTRIBUTIONS:
    for method in METHODS:
        cells = "   ".join(f"{blur(name, method, n):.3f}" for n in (1, 8, 128))
        print(f"{name:16} {method:19} ({record['floor']['total_variation'][name][0]:.3f})  {cells}")

# %% [markdown]
# *By this measure one step of a mean flow is less sharp than eight, and flow matching at 128 is the sharpest of all.*

# %%
for name in DISTRIBUTIONS:
    for method in ("mean_flow", "improved_mean_flow"):
        assert blur(name, method, 1) > blur(name, method, 8) > blur(name, "flow_matching", 128)

# %% [markdown]
# **Before you use the panel:** which distribution do you expect to be the hardest in one step, and what will be wrong with it?

# %%
widgets.comparison_panel(samples, targets, distances)

# %% [markdown]
# ## Who wins where
#
# For every distribution and number of steps, the table names the best method, and with it all that are not clearly worse: whose
# mean is within two standard deviations over seeds (the larger one) of the best. A star marks a method that cannot be told from
# perfect: all its seeds are below the noise floor's 95 % quantile.

# %%
short = {"flow_matching": "FM", "mean_flow": "MF", "improved_mean_flow": "iMF"}


def winners(name, n):
    best = min(METHODS, key=lambda method: means[name, method, n])
    margin = {method: 2 * max(spreads[name, method, n], spreads[name, best, n]) for method in METHODS}
    return [method for method in METHODS
            if means[name, method, n] <= means[name, best, n] + margin[method]]


def starred(name, method, n):
    return short[method] + "*" * (max(scores[name, method, n]) < floor[name][1])


# %%
print(" " * 15 + "".join(f"{n:>9} NFE" for n in steps))
for name in DISTRIBUTIONS:
    cells = (" ".join(starred(name, method, n) for method in winners(name, n)) for n in steps)
    print(f"{name:15}" + "".join(f"{cell:>13}" for cell in cells))

# %% [markdown]
# In one step flow matching is never among the winners. How far behind is it?

# %%
for name in DISTRIBUTIONS:
    best = min(means[name, "mean_flow", 1], means[name, "improved_mean_flow", 1])
    ratio = means[name, "flow_matching", 1] / best
    print(f"{name:16} flow matching is {ratio:3.0f} times as far as the better mean flow, "
          f"which is at {best / floor[name][0]:.1f} × floor")
    assert ratio > 30
    assert best < 2.5 * floor[name][0]

# %%
for name in DISTRIBUTIONS:
    assert all("flow_matching" not in winners(name, n) for n in (1, 2, 4))
    assert "flow_matching" in winners(name, 128)

# %% [markdown]
# In plain words:
#
# * **One to four steps:** a mean flow, on every distribution. At eight it is ahead or level.
# * **128 steps:** flow matching is among the best everywhere. It spends all its rows and its whole network on the velocity; a mean flow
#   spends half. We have not separated the two causes.
# * **Mean flow or improved mean flow?** In one step, the same within the spread over seeds, on every distribution.

# %%
for name in DISTRIBUTIONS:
    assert {"mean_flow", "improved_mean_flow"} <= set(winners(name, 1)) & set(winners(name, 8))

# %% [markdown]
# ## What it costs
#
# **Predict:** how much dearer is a training step that carries a derivative along: a little, twice, five times?
#
# Training: a hundred steps of each method, in turn, five rounds, on the machine that made this page. The ratio is what carries over.


# %%
def seconds_for_all_steps(method, n=100):
    start = time.perf_counter()
    retrain("checkerboard", method, n_steps=n)
    return (time.perf_counter() - start) * 15_000 / n


rounds = [{method: seconds_for_all_steps(method) for method in METHODS} for _ in range(5)]

# %%
ratios = {method: statistics.median(row[method] / row["flow_matching"] for row in rounds)
          for method in METHODS}
print("method               training   ratio   one step: sliced W2, four distributions")
for method in METHODS:
    seconds = statistics.median(row[method] for row in rounds)
    quality = "  ".join(f"{means[name, method, 1]:.3f}" for name in DISTRIBUTIONS)
    print(f"{method:19} {seconds:7.0f} s   {ratios[method]:5.1f}   {quality}")
assert all(1.2 < ratios[method] < 5 for method in ("mean_flow", "improved_mean_flow"))

# %% [markdown]
# The JVP carries a derivative along with every value of the forward pass; the backward pass goes through the value only. So the
# arithmetic grows from about three passes (one forward, and a backward that costs two) to four, and to five for the improved mean flow,
# which also asks for $u(z, t, t)$. What is above that in the ratio is the overhead of calling many small operations.
#
# Sampling: every evaluation costs the same, so one step costs a hundredth of a hundred steps. Training is paid once, sampling each
# time.
#
# ## Retrain one yourself
#
# Any entry of the table, from any seed. Here 2,000 steps instead of 15,000, so that you need not wait; leave out `n_steps` to get
# the shipped recipe.

# %%
net, losses = retrain("spiral", "improved_mean_flow", seed=5, n_steps=2000)
for n in (1, 8):
    mine = sliced_w2(sample(net, z_1, n), targets["spiral"])
    shipped = distances["spiral", "improved_mean_flow", n]
    print(f"{n} NFE: 2,000 steps {mine:.3f}, 15,000 steps {shipped:.3f}")

# %% [markdown]
# ## What we have
#
# * Mean flow turns **training cost into sampling speed**: a training step costs two to three times as much, a sample a hundredth.
# * One step is more than thirty times nearer to the target than flow matching's, and within two and a half times the noise floor.
# * "Multi-step mean flow is worse" is true here by less than 0.025 in sliced W2. How much worse depends on how the times are drawn
#   (exercise 5 of [notebook 3](03_mean_flow.ipynb)), so it is not a law.

# %%
for name in DISTRIBUTIONS:
    for method in ("mean_flow", "improved_mean_flow"):
        assert means[name, method, 128] - means[name, "flow_matching", 128] < 0.025

# %% [markdown]
# ## Exercises
#
# **1. Compute from the table.** On which distribution is the one-step `improved_mean_flow` the furthest from its own noise floor, as a multiple
# of the floor's mean? Give the multiple.

# %%
furthest = ...  # from means and floor

# %%
multiples = {name: means[name, "improved_mean_flow", 1] / floor[name][0] for name in DISTRIBUTIONS}
check(furthest, max(multiples.values()), tolerance=0.1,
      hint="Divide means[name, 'improved_mean_flow', 1] by floor[name][0]; take the largest.")

# %% tags=["solution"]
worst = max(multiples, key=multiples.get)
furthest = multiples[worst]
print(worst, round(furthest, 1))
check(furthest, max(multiples.values()), "", tolerance=0.1)

# %% [markdown]
# **2. Break even.** Suppose a training step of a mean flow costs 2.5 times one of flow matching, an evaluation costs a third of a
# flow-matching training step on the same number of points, and flow matching needs 32 evaluations for the quality mean flow has
# with one. After how many batches of samples has the mean flow paid for 15,000 steps of dearer training?

# %%
batches = ...  # one line

# %%
check(batches, 1.5 * 15_000 / (31 / 3), tolerance=1,
      hint="Extra training: 1.5 × 15,000. Saved per batch of samples: 31 evaluations of a third each.")

# %% tags=["solution"]
batches = (2.5 - 1) * 15_000 / ((32 - 1) / 3)
print(f"{batches:.0f} batches: fewer than it was trained on")
check(batches, 1.5 * 15_000 / (31 / 3), "", tolerance=1)

# %% [markdown]
# **3. Your own distribution.** A `GaussianMixture` takes any list of points, and its exact velocity comes with it. Make a distribution of
# your own (your initial, a heart, a ring), then train a mean flow on it for 5,000 steps and look at one step of it.

# %%
mine = ...  # GaussianMixture(points, sd=0.1), points a (k, 2) list or tensor

# %%
_, _, times = METHODS["mean_flow"]
if mine is not ...:
    own, _ = train(MeanVelocityMLP(), mean_flow_loss, mine.sample, times, n_steps=5000)
    fig = plots.clouds({"one step": sample(own, z_1, 1)}, target=mine.sample(4000), size=2.3)
    plots.show(fig, "One step of a mean flow trained on my distribution, and my distribution.")

# %% tags=["solution"]
s = torch.linspace(0, 2 * torch.pi, 60)
x, y = 16 * s.sin() ** 3, 13 * s.cos() - 5 * (2 * s).cos() - 2 * (3 * s).cos()
heart = GaussianMixture(torch.stack([x, y], dim=1) / 9, sd=0.1)
torch.manual_seed(0)
own, _ = train(MeanVelocityMLP(), mean_flow_loss, heart.sample, times, n_steps=5000)
ones = torch.ones(4000, 1)
panels = {"learned, one step": sample(own, z_1, 1),
          "exact flow map": flow_map(heart, z_1[:4000], 0 * ones, ones)}
fig = plots.clouds(panels, target=heart.sample(4000), size=2.3)
plots.show(fig, "A heart: one step of a briefly trained mean flow, blurred; the exact flow map; the"
                " target.")

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) and [Improved Mean Flows](https://arxiv.org/abs/2512.02012) (2025).
# * Boffi, Albergo, Vanden-Eijnden, [flow maps by self-distillation](https://arxiv.org/abs/2505.18825) (2025).
# * [AlphaFlow](https://arxiv.org/abs/2510.20771) (2025): from flow matching to mean flow along a curriculum.
# * Raymond Fan, *Introduction to Mean Flow* (2025).
