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
# **The question.** Flow matching and three mean flows, on four distributions: which comes closest, in how many evaluations, and at what cost?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import inspect
import statistics

import torch
from IPython.display import Code

from mfutils import (
    DISTRIBUTIONS, METHODS, check, gaussian, interpolate, load_pretrained, load_record,
    mean_flow_loss, midpoint, noise_floor, recorded, sample, sample_r_t, sliced_w2,
)
from mfutils.show import figures, plots, widgets

# %%
z_1 = gaussian(20_000, torch.manual_seed(0))
targets = {name: dist.sample(20_000, torch.manual_seed(1)) for name, dist in DISTRIBUTIONS.items()}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw two rows
rows = {"A": {}, "B": {}}
for name in DISTRIBUTIONS:
    rows["A"][name] = sample(load_pretrained(name, "flow_matching", solver=midpoint), z_1, 6)
    rows["B"][name] = sample(load_pretrained(name, "self_distilled_mean_flow"), z_1, 1)
fig = plots.gallery(rows, method="unknown")
plots.show(fig, "Two rows of four clouds: checkerboard, crescent, spiral and eight Gaussians, nearly "
                "alike.")

# %% [markdown]
# *One of these rows took one network evaluation per sample, the other took twelve. Which is which?*
#
# | | |
# |---|---|
# | **You will do** | read a record of eighty training runs, five seeds of each; compare differences with their spread; say what one evaluation is worth |
# | **You will learn** | when a difference is a difference; why two distances can disagree; where mean flows win and where they lose |
# | **You need** | [notebook 3](03_flow_matching.ipynb) and [notebook 4](04_mean_flow.ipynb) |
# | **Time** | 20 minutes to read, 20 seconds to run |

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
# Mean flow is the method of notebook 4. Improved mean flow asks the network itself for the velocity in the derivative, instead of the pair. Self-distillation takes the network's own velocity in the target as well, from the moving average of its weights, and weighs large errors down; it is the Eulerian form of
# [flow-map self-distillation](https://arxiv.org/abs/2505.18825) with two known additions, the averaged teacher and the weight. [Notebook 7](07_inside_the_loss.ipynb) explains why. The recipe was chosen on these very distributions, and only self-distillation has the weight.
#
# Each method was trained on each distribution from five seeds. One network of each comes with the course, and a **record** keeps the distances of all.

# %%
record = load_record()
print("recipe:", record["recipe"])
print(f"distances from {record['n']:,} points, four distributions, five seeds")
print("checkerboard, mean flow, one evaluation, sliced W2 of five seeds:",
      recorded("checkerboard", "mean_flow", "sliced_w2", 1))

# %% [markdown]
# ## Two distances
#
# As in notebook 3, we score with **sliced W2**, which sees mass that strayed, and with **total variation**, which sees blur (at the size of its 64 × 64 tiles).
# A claim in this notebook names the distance it is about.
#
# Both have a noise floor: what two fresh target sets of the same size score.

# %%
def floor_of(name, metric):
    return "{:.4f} (95 % quantile {:.4f})".format(*record["floor"][metric][name])


plots.table({plots.in_words(name): {plots.in_words(metric): floor_of(name, metric)
                                    for metric in ("sliced_w2", "total_variation")}
             for name in DISTRIBUTIONS}, corner="noise floor")

# %% [markdown]
# ## The table
#
# For every method, distribution and number of evaluations: the mean over five seeds, **as a multiple of the noise floor**. Flow matching is there twice, by Euler and by the midpoint rule. A star marks what we cannot tell from perfect: at most one of the five seeds
# lies above the floor's 95 % quantile. (A perfect sampler would get its star in 98 of 100 cells. Stars look at the seeds one by one, numbers at their mean. White: not recorded.)
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
fig = figures.scoreboard(*multiples_and_stars("sliced_w2"), label="sliced W2 ÷ noise floor")
plots.show(fig, "Four tables, one per distribution, of sliced W2 as a multiple of the noise floor: "
                "five methods by seven numbers of evaluations. Flow matching is far off at the left "
                "and near 1 at the right; the mean flows are near 1 to 2 everywhere.")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the table for total variation
fig = figures.scoreboard(*multiples_and_stars("total_variation"), label="total variation ÷ floor")
plots.show(fig, "The same four tables for total variation: the mean flows begin at 1.4 to 5 times "
                "the floor with one evaluation and fall; flow matching by midpoint is ahead of all "
                "of them at 32.")

# %% [markdown]
# *Sliced W2 above, total variation below; bright is near. In each block the rows are methods, the columns are evaluations.*
#
# <details><summary>What happened</summary>
#
# Up to four evaluations, all mean flows are far ahead of both solvers, by both distances, and at eight they are ahead or level. At sixteen, flow matching by the midpoint rule is level with the best of them or slightly ahead; at 32 it is ahead in the mean, clearly so by total variation. Row B at the top
# took the single evaluation: it is a little blurred.
#
# </details>

# %%
samples = {}
for name in DISTRIBUTIONS:
    for label, (method, _) in SOLVED.items():
        if "midpoint" in label:
            u, per_step = load_pretrained(name, method, solver=midpoint), 2
        else:
            u, per_step = load_pretrained(name, method), 1
        for nfe in (1, 2, 4, 8, 16)[per_step - 1:]:
            samples[name, label, nfe] = sample(u, z_1, nfe // per_step)
distances = {key: sliced_w2(points, targets[key[0]]) for key, points in samples.items()}

# %% [markdown]
# Choose a distribution, and a cell: a method and its budget. The shipped networks sample in this page. On which distribution do the mean flows look worst in one evaluation, and what is wrong? (The distances here are those of one network and 20,000 points; with fewer points the floor is higher.)

# %%
def shipped(name):
    """The networks of one distribution, by their names, and what makes a step of each."""
    return {label: (f"{name}-{method}", "jump" if method != "flow_matching" else label.split()[-1])
            for label, (method, _) in SOLVED.items()}


widgets.comparison({name: shipped(name) for name in DISTRIBUTIONS}, distances)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check: the shipped networks score what the record says of their seed
for name, dist in DISTRIBUTIONS.items():
    allowed = 2 * noise_floor(sliced_w2, dist, 20_000)[1]
    for label in SOLVED:
        for nfe in (2, 4, 8, 16):
            seed_0 = scores(name, label, "sliced_w2", nfe)[0]
            assert abs(distances[name, label, nfe] - seed_0) < allowed, (name, label, nfe)

# %% [markdown]
# **What happened.** By total variation the eight Gaussians are the hardest: points lie on bridges between the blobs, where neighbours in the noise part. The same happens between the squares of the board.
#
# ## What one evaluation is worth
#
# How many evaluations of flow matching reach the mean distance of *one* evaluation of a mean flow? That depends on the solver, so we ask four: Euler; the midpoint rule with even steps; the midpoint rule at the times $(i/k)^{1.5}$, with short steps near data, where the field is finest; and two-step Adams–Bashforth at the same times, which remembers the last velocity, extrapolates, and so needs one evaluation a step.
#
# First by total variation. We give the first recorded budget whose mean over five seeds is as good as that of one evaluation of the mean flow.

# %%
SOLVERS = {"Euler": "euler", "midpoint, even steps": "midpoint",
           "midpoint, short steps near data": "late_midpoint", "Adams–Bashforth": "adams_bashforth"}
MEAN_FLOWS = list(SOLVED)[2:]


def first_as_good(name, label, metric, solver):
    """The fewest recorded evaluations of flow matching that are as good as one of a mean flow."""
    goal = statistics.mean(scores(name, label, metric, 1))
    for nfe in range(1, 129):
        five = recorded(name, "flow_matching", metric, nfe, SOLVERS[solver])
        if five and statistics.mean(five) <= goal:
            return nfe


def worth(metric):
    """The table for one distance; "more" where no recorded budget is enough."""
    return {solver: {plots.in_words(name): ", ".join(
        str(first_as_good(name, label, metric, solver) or "more") for label in MEAN_FLOWS)
        for name in DISTRIBUTIONS} for solver in SOLVERS}


# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the table for total variation
plots.table(worth("total_variation"), corner="evaluations for mean flow, improved, self-distilled")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the two solvers with short steps
from mfutils.lab import solvers
Code(inspect.getsource(solvers), language="python")

# %% [markdown]
# **What happened.** By total variation and the best of the four, one evaluation of the self-distilled mean flow does the work of **five to eight**: five on the checkerboard, six on the eight Gaussians, seven on the crescent, eight on the spiral. The midpoint rule with even steps needs ten to twelve for the same, and Euler sixteen to thirty-two. When you read that one step "replaces a hundred", ask: by which solver, and by which distance?
#
# By sliced W2 the question has no answer for self-distillation: its goals lie within the noise floor. By map error, which has no floor, the best of the four needs five to eleven.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Is the goal within the floor? And the table for the map error
plots.table({plots.in_words(name): {
    "self-distilled, 1 evaluation": f"{statistics.mean(scores(name, MEAN_FLOWS[2], 'sliced_w2', 1)):.4f}",
    "95 % of the floor": f"{record['floor']['sliced_w2'][name][1]:.4f}"} for name in DISTRIBUTIONS},
    corner="sliced W2")
plots.table(worth("map_error"), corner="map error: mean flow, improved, self-distilled")

# %% [markdown]
# (The two solvers with short steps, and the midpoint rule at 6 and 10, are of flow matching trained again on another processor. At the budgets that both trainings have, their means agree within 1.3 % by total variation.)
#
# ## When is a difference a difference?
#
# Within a seed all methods start from the same noise and are compared with the same target. So we subtract **seed by seed**: what the seeds have in common cancels. The mean of the five differences has a standard error, their standard deviation divided by $\sqrt 5$. With five seeds, a difference is *clear* beyond 2.8 standard errors (5 % of the t distribution with four degrees of freedom), and one in twenty will look clear by accident.

# %%
def paired(name, worse, better, metric, nfe=1):
    """Mean difference over seeds, its standard error, and in how many seeds `better` is better."""
    pairs = zip(scores(name, worse, metric, nfe), scores(name, better, metric, nfe))
    gaps = [a - b for a, b in pairs]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5
    return statistics.mean(gaps), error, sum(gap > 0 for gap in gaps)


PAIRS = [("mean flow", "improved mean flow"), ("improved mean flow", "self-distilled mean flow")]

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the tables
for metric in ("sliced_w2", "total_variation"):
    plots.table({f"{worse} − {better}": {
        plots.in_words(name): "{:+.4f} ± {:.4f} ({} of 5)".format(*paired(name, worse, better, metric))
        for name in DISTRIBUTIONS} for worse, better in PAIRS}, corner=plots.in_words(metric))

# %% [markdown]
# **What happened.** In one evaluation, by total variation, self-distillation is sharper than improved mean flow on every distribution and from every seed. Improved mean flow is clearly sharper than plain mean flow on three; on the spiral five seeds cannot tell.
# By sliced W2, improved mean flow is clearly better than plain mean flow on the crescent and the spiral, and self-distillation is clearly better than improved mean flow only on the board. The rest is not clear.
#
# ## Does asking twice help?
#
# A perfect $u$ would not gain from more steps. A learned one may gain or lose. The tables above have two distances; a third is the **map error**, the distance from where the exact flow takes the same noise. **Predict:** is a second evaluation better or worse by this one?

# %%
def better_cells(metric, few, many):
    """In how many cells, method × distribution, the mean over seeds is better with many."""
    return sum(statistics.mean(scores(name, label, metric, many))
               < statistics.mean(scores(name, label, metric, few))
               for name in DISTRIBUTIONS for label in MEAN_FLOWS)


plots.table({f"{many} evaluations better than {few}": {
    plots.in_words(metric): f"{better_cells(metric, few, many)} of 12"
    for metric in ("total_variation", "sliced_w2", "map_error")}
    for few, many in ((1, 2), (1, 8), (8, 128))}, corner="mean flows")

# %% [markdown]
# <details><summary>What happened</summary>
#
# It depends on the measure. Samples get sharper (total variation), nearly always with the second evaluation already. But by map error the second evaluation is mostly worse; eight are mostly better than one. Beyond eight, total variation still falls, but by little.
#
# </details>
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
# 1. **One to four evaluations:** a mean flow, by far, against Euler and midpoint, on all four distributions and by both distances; at eight it is ahead or level.
# 2. **Sixteen evaluations:** flow matching by the midpoint rule, level with the best mean flow or slightly ahead, and ahead of the plain one. **Thirty-two:** ahead in the mean, clearly so by total variation.
# 3. By total variation, one evaluation of the self-distilled mean flow is worth **five to eight** of flow matching by the best of four solvers, and ten to twelve by midpoint with even steps; by map error five to eleven. By sliced W2 it lies within the noise floor, where "worth" has no meaning.
# 4. Among the mean flows, self-distillation is the sharpest in one evaluation by total variation, on all distributions and from all seeds. It is also the most expensive to train, 40 % above flow matching, and two dimensions may flatter it, since here a network is a good teacher.
# 5. With this network and this training, no mean flow reaches the noise floor of total variation in one evaluation: **one step is paid for with blur.**

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
# @title Variants of the loss, for the check below
net = load_pretrained("checkerboard", "mean_flow")
x, eps = targets["checkerboard"][:512], z_1[:512]
r, t = sample_r_t(512, p_equal=0.1, generator=torch.manual_seed(2))


def summary(loss):
    """The value, and the size of the gradient in the last weights, where a missing detach shows."""
    slope, = torch.autograd.grad(loss, net.net[-1].weight, retain_graph=True)
    return torch.stack([loss.detach(), slope.norm()])


def variant(rate_r=0, rate_t=1, factor=True, detach=True, sign=-1, flip=1, swap=False, part=1):
    z, v = interpolate(*((eps, x) if swap else (x, eps)), t)
    v = flip * (eps - x)
    tangents = v, torch.full_like(r, rate_r), torch.full_like(t, rate_t)
    u, dudt = torch.func.jvp(net, (z, r, t), tangents)
    tgt = v + sign * ((t - r) if factor else 1) * dudt
    return summary((u - (tgt.detach() if detach else tgt)).square().sum(dim=1).mean() / part)


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
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
                "The sign is reversed: improved minus self-distilled.": -gap / error,
                "That is for one evaluation.": paired("crescent", *PAIRS[1], "total_variation")[0]
                / paired("crescent", *PAIRS[1], "total_variation")[1]})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
difference, its_error, _ = paired("crescent", *PAIRS[1], "total_variation", nfe=2)
print(f"paired {difference / its_error:.1f} standard errors, unpaired {difference / unpaired:.1f}")

# %% [markdown]
# **3. A judge that needs no truth.** On images nobody knows the exact map. But a perfect $u$ lands on the same point in one step as in two
# (notebook 2). Write the root mean square distance between the two landings, for any network. Then compare it with the recorded map error, the distance to where the exact flow goes: does the judge rank the methods rightly? (And what would it say of $u = 0$, which never moves?)

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
print("It ranks them differently, and u = 0 would score a perfect zero: consistency is not enough.")

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) and [Improved Mean Flows](https://arxiv.org/abs/2512.02012) (2025).
# * Boffi et al., [flow maps by self-distillation](https://arxiv.org/abs/2505.18825) (2025).
# * All tables by steps, with spreads: [results, and how they were measured](../docs/results.md).
# * Raymond Fan, *Introduction to Mean Flow* (2025).
