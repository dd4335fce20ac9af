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
# # 5. Who wins where, and at what cost?
#
# **The question.** Flow matching and three mean flows, on four distributions: which comes how near in how many evaluations, and what does it cost?

# %%
import statistics

import torch

from mfutils import (
    DISTRIBUTIONS, METHODS, check, gaussian, interpolate, load_pretrained, load_record, mean_flow_loss,
    midpoint, noise_floor, plots, recorded, sample, sample_r_t, sliced_w2, widgets,
)

# %%
z_1 = gaussian(20_000, torch.manual_seed(0))
targets = {name: dist.sample(20_000, torch.manual_seed(1)) for name, dist in DISTRIBUTIONS.items()}
rows = {"A": {}, "B": {}}
for name in DISTRIBUTIONS:
    rows["A"][name] = sample(load_pretrained(name, "flow_matching", solver=midpoint), z_1, 6)
    rows["B"][name] = sample(load_pretrained(name, "self_distilled_mean_flow"), z_1, 1)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw two rows
fig = plots.gallery(rows, method="unknown")
plots.show(fig, "Two rows of four clouds: checkerboard, crescent, spiral and eight Gaussians, nearly "
                "alike.")

# %% [markdown]
# *One of these rows took one network evaluation per sample, the other took twelve. Which is which?*
#
# | | |
# |---|---|
# | **You will do** | read a record of eighty training runs; compare differences with their spread; say what one evaluation is worth |
# | **You will learn** | when a difference is a difference; why two distances can disagree; where mean flows win and where they lose |
# | **You need** | [notebook 3](03_flow_matching.ipynb) and [notebook 4](04_mean_flow.ipynb) |
# | **Time** | 20 minutes to read, half a minute to run |

# %% [markdown]
# ## The contestants
#
# All have the same network (four layers of 64), the same batches of 1,024, 12,500 steps, the same optimisers, schedule and averaging. They differ in the loss and in the times:
#
# | method | times | velocity in the tangent | velocity in the target, where $r < t$ |
# |---|---|---|---|
# | `flow_matching` | $t$ | | |
# | `mean_flow` | $r \le t$ | $\varepsilon - x$, of the pair | $\varepsilon - x$ |
# | `improved_mean_flow` | $r \le t$ | the network's own, $u_\theta(z, t, t)$ | $\varepsilon - x$ |
# | `self_distilled_mean_flow` | $r \le t$ | its moving average's own | its moving average's own, and a robust loss |
#
# Why one would do this is told in [notebook 7](07_inside_the_loss.ipynb). Here we only look at what comes of it. Each method was trained on each distribution from five seeds. One network of each comes with the course, and a **record** keeps the distances of all.

# %%
record = load_record()
print("recipe:", record["recipe"])
print(f"distances from {record['n']:,} points; PyTorch {record['torch']}, {record['cpu_hours']} CPU hours")
print("checkerboard, mean flow, one evaluation, sliced W2 of five seeds:",
      recorded("checkerboard", "mean_flow", "sliced_w2", 1))

# %% [markdown]
# ## Two eyes
#
# **Sliced W2** measures how far mass must be moved. It is nearly blind to a blurred edge, since blur moves mass only a little. **Total variation** divides the plane into 64 × 64 tiles and gives the share of points that lie in a wrong tile. It sees blur at once,
# but not how far a point went astray. A claim in this notebook names the distance it is about.
#
# Both have a noise floor: what two fresh target sets of the same size score.

# %%
plots.table({plots.in_words(name): {
    plots.in_words(metric): "{:.4f} (95 % quantile {:.4f})".format(*record["floor"][metric][name])
    for metric in ("sliced_w2", "total_variation")} for name in DISTRIBUTIONS}, corner="noise floor")

# %% [markdown]
# ## The table
#
# For every method, distribution and number of evaluations: the mean over five seeds, **as a multiple of the noise floor**. Flow matching is there twice, by Euler and by the midpoint rule. A star marks what we cannot tell from perfect: at most one of the five seeds
# lies above the floor's 95 % quantile. (A perfect sampler would get its star in 98 of 100 cells.)
#
# **Predict:** in which columns will the mean flows be ahead, and in which behind?

# %%
NFE = (1, 2, 4, 8, 12, 16, 32)
SOLVED = {"flow matching, Euler": ("flow_matching", "euler"),
          "flow matching, midpoint": ("flow_matching", "midpoint"),
          **{plots.in_words(method): (method, "euler") for method in list(METHODS)[1:]}}


def scores(name, label, metric, nfe):
    """One recorded distance per seed."""
    method, solver = SOLVED[label]
    return recorded(name, method, metric, nfe, solver)


# %%
def multiples_and_stars(metric):
    panels, stars = {}, set()
    for name, title in ((name, plots.in_words(name)) for name in DISTRIBUTIONS):
        floor, quantile = record["floor"][metric][name]
        panels[title] = {label: {} for label in SOLVED}
        for label in SOLVED:
            for nfe in NFE:
                five = scores(name, label, metric, nfe)
                panels[title][label][nfe] = statistics.mean(five) / floor if five else None
                if five and sum(score > quantile for score in five) <= 1:
                    stars.add((title, label, nfe))
    return panels, stars


# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the table for sliced W2
fig = plots.scoreboard(*multiples_and_stars("sliced_w2"), label="sliced W2 ÷ noise floor")
plots.show(fig, "Four tables, one per distribution, of sliced W2 as a multiple of the noise floor: "
                "five methods by seven numbers of evaluations. Flow matching is far off at the left "
                "and near 1 at the right; the mean flows are near 1 to 2 everywhere.")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the table for total variation
fig = plots.scoreboard(*multiples_and_stars("total_variation"), label="total variation ÷ floor")
plots.show(fig, "The same four tables for total variation: the mean flows begin at 1.5 to 5 times "
                "the floor with one evaluation and fall; flow matching by midpoint passes them at "
                "about twelve.")

# %% [markdown]
# *Sliced W2 above, total variation below; bright is near. In each block the rows are methods, the columns are evaluations.*
#
# **What happened.** Up to four evaluations, all mean flows are far ahead of both solvers, by both distances, and at eight they are ahead or level. At sixteen, flow matching by the midpoint rule has caught up with the best of them; at 32 it is the sharpest by total variation on all four distributions. Row B at the top
# took the single evaluation: it is a little blurred.
#
# Choose a distribution, a method and a budget. Which distribution is the hardest in one evaluation, and what is wrong with it? (These distances are of one network and 20,000 points, so they lie above the table's.)

# %%
samples = {}
for name in DISTRIBUTIONS:
    for label, (method, solver) in SOLVED.items():
        halved = "midpoint" in label
        u = load_pretrained(name, method, solver=midpoint) if halved else load_pretrained(name, method)
        for nfe in (2, 4, 8, 16, 32) if halved else (1, 2, 4, 8, 16, 32):
            samples[name, label, nfe] = sample(u, z_1, nfe // 2 if halved else nfe)
distances = {key: sliced_w2(points, targets[key[0]]) for key, points in samples.items()}

# %%
widgets.comparison_panel(samples, targets, distances)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check: the shipped networks score what the record says of their seed
for name, dist in DISTRIBUTIONS.items():
    allowed = 2 * noise_floor(sliced_w2, dist, 20_000)[1]
    for label in SOLVED:
        for nfe in (2, 4, 8, 16, 32):
            seed_0 = scores(name, label, "sliced_w2", nfe)[0]
            assert abs(distances[name, label, nfe] - seed_0) < allowed, (name, label, nfe)

# %% [markdown]
# ## What one evaluation is worth
#
# How many evaluations of flow matching reach the mean distance of *one* evaluation of a mean flow? The record has the midpoint rule at 2, 4, 8, 12, 16, 24, 32 and 64. We give the last budget that does not reach it and the first that does.

# %%
def worth(name, label, metric, solver, budgets):
    goal = statistics.mean(scores(name, label, metric, 1))
    reached = [statistics.mean(scores(name, f"flow matching, {solver}", metric, nfe)) <= goal
               for nfe in budgets]
    if True not in reached:
        return f"> {budgets[-1]}"
    first = reached.index(True)
    return f"{budgets[first - 1]} to {budgets[first]}" if first else f"≤ {budgets[0]}"


MEAN_FLOWS = list(SOLVED)[2:]
BUDGETS = {"midpoint": (2, 4, 8, 12, 16, 24, 32, 64), "Euler": (1, 2, 4, 8, 16, 32, 64, 128)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the tables
for solver, budgets in BUDGETS.items():
    plots.table({label: {f"{plots.in_words(name)}, {short}": worth(name, label, metric, solver, budgets)
                         for name in DISTRIBUTIONS
                         for metric, short in (("sliced_w2", "W2"), ("total_variation", "TV"))}
                 for label in MEAN_FLOWS}, corner=f"by {solver}")

# %% [markdown]
# **What happened.** Against the midpoint rule, one evaluation of a mean flow does the work of four to twelve. Against Euler the numbers are larger and scatter more, which says more about Euler than about mean flows. When you read that one step "replaces a hundred", ask: by which solver?
#
# ## When is a difference a difference?
#
# Within a seed all methods start from the same noise and are compared with the same target. So we subtract **seed by seed**: what the seeds have in common cancels. The mean of the five differences has a standard error, their standard deviation divided by $\sqrt 5$.

# %%
def paired(name, worse, better, metric, nfe=1):
    """Mean difference over seeds, its standard error, and in how many seeds `better` is better."""
    gaps = [a - b for a, b in zip(scores(name, worse, metric, nfe), scores(name, better, metric, nfe))]
    return statistics.mean(gaps), statistics.stdev(gaps) / len(gaps) ** 0.5, sum(gap > 0 for gap in gaps)


PAIRS = [("mean flow", "improved mean flow"), ("improved mean flow", "self-distilled mean flow")]

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the tables
for metric in ("sliced_w2", "total_variation"):
    plots.table({f"{worse} − {better}": {
        plots.in_words(name): "{:+.4f} ± {:.4f} ({} of 5)".format(*paired(name, worse, better, metric))
        for name in DISTRIBUTIONS} for worse, better in PAIRS}, corner=plots.in_words(metric))

# %% [markdown]
# **What happened.** In one evaluation, by total variation, self-distillation is sharper than improved mean flow on every distribution and from every seed. Improved mean flow is sharper than plain mean flow on three; on the spiral the difference is within its error.
# By sliced W2, improved mean flow is clearly better than plain mean flow on the crescent and the spiral, and self-distillation is clearly better than improved mean flow only on the board. The rest drowns in the spread: five seeds cannot tell.
#
# Is the picture the same with more evaluations? It is often said that a mean flow gets *worse* when it is asked more often.

# %%
plots.table({f"{plots.in_words(name)}, {label}": {
    f"{nfe} NFE": f"{statistics.mean(scores(name, label, 'total_variation', nfe)):.3f}"
    for nfe in (1, 8, 32)} for name in DISTRIBUTIONS for label in MEAN_FLOWS}, corner="total variation")

# %% [markdown]
# Measured by total variation, we see the opposite: on all four distributions, all three mean flows are sharper at 8 and at 32 evaluations than at one.
#
# ## What it costs
#
# The extra work is done in training. CPU seconds of a whole run on one thread, from the record:

# %%
def cpu_seconds(method):
    return [run["seconds"] for run in record["runs"] if run["method"] == method]


base = statistics.median(cpu_seconds("flow_matching"))
plots.table({plots.in_words(method): {
    "median CPU seconds": f"{statistics.median(cpu_seconds(method)):.0f}",
    "relative to flow matching": f"{statistics.median(cpu_seconds(method)) / base:.2f} ×",
    "passes through the network": passes}
    for method, passes in zip(METHODS, ("3", "4", "5", "5"))})

# %% [markdown]
# A forward pass counts as one, a backward pass as two. Carrying the derivative along adds one, the network's own velocity another. A part of every step, the optimiser, is the same for all, so the times differ less than the passes.
#
# ## The verdict
#
# 1. **One to four evaluations:** a mean flow, by far, on all four distributions and by both distances; at eight it is still ahead or level.
# 2. **Sixteen and more:** flow matching by the midpoint rule. It is as near by sliced W2, and at 32 sharper by total variation.
# 3. One evaluation of a mean flow is worth **four to twelve** of flow matching by midpoint, depending on method, distribution and distance.
# 4. Among the mean flows, self-distillation is the sharpest in one evaluation, on all distributions and from all seeds. It is also the dearest to train, by two fifths over flow matching, and two dimensions may flatter it, since here a network is a good teacher.
# 5. No mean flow reaches the noise floor of total variation in one evaluation: **one step is paid for with blur.**

# %% [markdown]
# ## Exercises
#
# Each has a cell for your answer and a folded check that says what is wrong. The solution is folded too.
#
# **1. From memory.** Write the plain mean-flow loss: mean over the batch of the squared distance, summed over coordinates. Do not look at notebook 4; the check knows the usual mistakes.

# %%
def loss_from_memory(u_net, x, eps, r, t):
    return ...  # the point, the velocity, u and its derivative, the target, the loss


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
net = load_pretrained("checkerboard", "mean_flow")
x, eps = targets["checkerboard"][:512], z_1[:512]
r, t = sample_r_t(512, p_equal=0.1, generator=torch.manual_seed(2))


def variant(rate_r=0, rate_t=1, factor=True, detach=True, sign=-1, flip=1, swap=False, part=1):
    z, v = interpolate(*((eps, x) if swap else (x, eps)), t)
    v = flip * (eps - x)
    tangents = v, torch.full_like(r, rate_r), torch.full_like(t, rate_t)
    u, dudt = torch.func.jvp(net, (z, r, t), tangents)
    tgt = v + sign * ((t - r) if factor else 1) * dudt
    return summary((u - (tgt.detach() if detach else tgt)).square().sum(dim=1).mean() / part)


def summary(loss):
    """The value, and the size of the gradient in the last weights, where a missing detach shows."""
    slope, = torch.autograd.grad(loss, net.net[-1].weight, retain_graph=True)
    return torch.stack([loss.detach(), slope.norm()])


answer = loss_from_memory(net, x, eps, r, t)
check(summary(answer) if torch.is_tensor(answer) and answer.requires_grad else answer,
      summary(mean_flow_loss(net, x, eps, r, t)), tolerance=1e-3,
      hint="z = (1 − t) x + t ε; v = ε − x; JVP along (v, 0, 1); v − (t − r) du/dt, detached.",
      mistakes={"The value is right, the gradient is not: detach the target.": variant(detach=False),
                "The factor (t − r) is missing in the target.": variant(factor=False),
                "The identity is u = v − (t − r) du/dt, with a minus.": variant(sign=1),
                "The tangents are (v, 0, 0); t moves too.": variant(0, 0),
                "The tangents are (v, 1, 0): r stands still, t moves.": variant(1, 0),
                "The tangents are (v, 1, 1); r stands still.": variant(1, 1),
                "Velocity is noise minus data, ε − x.": variant(flip=-1),
                "z has data and noise exchanged: t = 0 is data.": variant(swap=True),
                "Sum over the two coordinates, then take the mean over points.": variant(part=2)})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
def remembered(u_net, x, eps, r, t):
    z, v_cond = (1 - t) * x + t * eps, eps - x
    u, dudt = torch.func.jvp(u_net, (z, r, t), (v_cond, torch.zeros_like(r), torch.ones_like(t)))
    u_tgt = v_cond - (t - r) * dudt
    return (u - u_tgt.detach()).square().sum(dim=1).mean()


torch.testing.assert_close(summary(remembered(net, x, eps, r, t)),
                           summary(mean_flow_loss(net, x, eps, r, t)), atol=1e-3, rtol=1e-4)

# %% [markdown]
# **2. Is it a difference?** On the *crescent*, by total variation and in *two* evaluations: by how many standard errors is the self-distilled mean flow better than the improved one, paired over seeds?
# Then: how many would it be if you forgot the pairing?

# %%
ratio = ...  # from `paired`

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
a, b = (scores("crescent", label, "total_variation", 2) for label in PAIRS[1])
gap, error, _ = paired("crescent", *PAIRS[1], "total_variation", 2)
unpaired = ((statistics.variance(a) + statistics.variance(b)) / 5) ** 0.5
check(ratio, gap / error, tolerance=0.05,
      hint="paired(name, worse, better, metric, nfe) returns the mean difference and its error.",
      mistakes={"That forgets the pairing.": gap / unpaired,
                "That is over the spread of one seed; a mean of five is less uncertain.":
                gap / (error * 5**0.5),
                "The sign is turned round: improved minus self-distilled.": -gap / error,
                "That is for one evaluation.": paired("crescent", *PAIRS[1], "total_variation")[0]
                / paired("crescent", *PAIRS[1], "total_variation")[1]})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
difference, its_error, _ = paired("crescent", *PAIRS[1], "total_variation", nfe=2)
print(f"paired {difference / its_error:.1f} standard errors, unpaired {difference / unpaired:.1f}")

# %% [markdown]
# **3. A judge that needs no truth.** On images nobody knows the exact map. But a perfect $u$ lands on the same point in one step as in two
# (notebook 2). Write the root mean square distance between the two landings, for any network. (What would this judge say of $u = 0$, which never moves?)

# %%
def inconsistency(u, z):
    return ...  # two lines


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
few, spiral_net = z_1[:1000], load_pretrained("spiral", "mean_flow")
apart = sample(spiral_net, few, 2) - sample(spiral_net, few, 1)
check(inconsistency(spiral_net, few), apart.square().sum(dim=1).mean().sqrt(),
      hint="sample(u, z, 2) and sample(u, z, 1), the squared distance of each point, "
           "the mean over points, the root.",
      mistakes={"The root is missing.": apart.square().sum(dim=1).mean(),
                "Sum the squares over the two coordinates, then take the mean over points.":
                apart.square().mean().sqrt(),
                "That is the mean distance, not the root of the mean square.":
                apart.norm(dim=1).mean()})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
def one_against_two(u, z):
    apart = sample(u, z, 2) - sample(u, z, 1)
    return apart.square().sum(dim=1).mean().sqrt().item()


for label in MEAN_FLOWS:
    inner = one_against_two(load_pretrained("spiral", SOLVED[label][0]), z_1)
    outer = scores("spiral", label, "map_error", 1)[0]
    print(f"{label:26} inconsistency {inner:.3f}   map error of this seed {outer:.3f}")
print("u = 0 would score a perfect zero: consistency is necessary, not sufficient")

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) and [Improved Mean Flows](https://arxiv.org/abs/2512.02012) (2025).
# * Boffi et al., [flow maps by self-distillation](https://arxiv.org/abs/2505.18825) (2025).
# * All tables by steps, with spreads: [docs/results.md](../docs/results.md).
# * Raymond Fan, *Introduction to Mean Flow* (2025).
