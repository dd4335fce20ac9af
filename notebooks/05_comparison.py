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
# **The question.** Flow matching and four mean flows, on four distributions: which comes closest, in how many evaluations, and at what cost?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import difflib
import inspect
import itertools
import math
import statistics

import torch
from IPython.display import Code

from mfutils import (
    DISTRIBUTIONS, METHODS, check, chords_of, distilled_mean_flow_loss, flow_map, gaussian,
    improved_mean_flow_loss, interpolate, load_pretrained, load_record, mean_flow_loss, midpoint,
    noise_floor, recorded, sample, sample_r_t, self_distilled_mean_flow_loss, total_variation,
)
from mfutils.lab import digits
from mfutils.show import figures, plots, widgets

# %%
z_1 = gaussian(20_000, torch.manual_seed(0))
targets = {name: dist.sample(20_000, torch.manual_seed(1)) for name, dist in DISTRIBUTIONS.items()}
exact = {name: flow_map(dist, z_1[:4000], 0, 1) for name, dist in DISTRIBUTIONS.items()}
colours = {name: plots.part(DISTRIBUTIONS[name], ends) for name, ends in exact.items()}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw two rows
for row, method, solver, steps in (("A", "flow_matching", midpoint, 6), ("B", "distilled_mean_flow", None, 1)):
    made = {plots.in_words(name): sample(load_pretrained(name, method, solver), z_1[:4000], steps)
            for name in DISTRIBUTIONS}
    places = {plots.in_words(name): places for name, places in colours.items()}
    plots.show({row: plots.painted(made, places, plots.abreast(4))},
               f"Row {row}: checkerboard, crescent, spiral and eight Gaussians, in the colours of where the exact flow "
               "takes the points. The two rows look nearly alike.")

# %% [markdown]
# *One of these rows took one network evaluation per sample, the other took twelve. Which is which?*
#
# <details><summary>The answer</summary>
#
# B took one, of a mean flow (the distilled one below); A is flow matching in six midpoint steps. By total variation B is even ahead on three of the four. Between the eight blobs it has more points on bridges.
#
# </details>
#
# | | |
# |---|---|
# | **You will do** | read a record of training runs, five seeds of each; compare at equal steps and at equal CPU; say what one evaluation is worth |
# | **You will learn** | how the four mean flows differ; when a difference is a difference; where mean flows win and where they lose |
# | **You need** | [notebook 3](03_flow_matching.ipynb) and [notebook 4](04_mean_flow.ipynb) |
# | **Time** | 20 minutes to read, 20 seconds to run |

# %% [markdown]
# ## Four losses
#
# Mean flow is the method of notebook 4. Two relatives change a line or two of its loss, a third needs a teacher. First, **improved mean flow** ([2512.02012](https://arxiv.org/abs/2512.02012), in its boundary form, without guidance). *Why:* one pair's velocity in the *tangent* multiplies the noise of the target by the stretch $J$ of notebook 4; the network's own $u_\theta(z, t, t)$ is nearly $v$, without the noise. The price is a bias where it is not $v$.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what changes
def body(loss):
    """The lines of a loss, without its docstring."""
    head, _, rest = inspect.getsource(loss).split('"""', 2)
    return [*head.rstrip().splitlines(), *rest.strip("\n").splitlines()]


def difference(old, new):
    lines = [line for line in difflib.ndiff(body(old), body(new)) if not line.startswith("?")]
    return Code("\n".join(lines), language="diff")


difference(mean_flow_loss, improved_mean_flow_loss)

# %% [markdown]
# Second, the **self-distilled mean flow**, our variant of Eulerian self-distillation ([Boffi et al. 2025](https://arxiv.org/abs/2505.18825), whose gradient also goes through the time derivative, and who prefer the Lagrangian form, not tested here). *Why:* where $r<t$ the velocity in the *target* can be the network's own, too. Then the target has no noise at all, and instead the error of the teacher, stretched by $J$. The teacher is the moving average of the network. And since such a target has no scatter, outliers may be given less weight without biasing it: `weighted`.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what changes then
difference(improved_mean_flow_loss, self_distilled_mean_flow_loss)

# %% [markdown]
# Three things change at once: the own velocity in the target, the average as a teacher, the weight. Below they come one by one.
#
# Third, the **distilled mean flow**. *Why:* suppose that you own a flow matching network, and walking its paths is cheap. Then you need no identity: walk 100,000 paths once, in 16 midpoint steps, and teach $u_\theta$ what the average velocity *is*, a chord divided by its time. No derivative, no noise in the target. (Distillation of the whole jump is by [Luhman and Luhman 2021](https://arxiv.org/abs/2101.02388), of paths from noise by [Zheng et al. 2023](https://arxiv.org/abs/2211.13449).)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the loss, and where its chords come from
Code("\n".join([*body(distilled_mean_flow_loss), "", *body(chords_of)]), language="python")

# %% [markdown]
# The price: another training before, and a ceiling, the teacher.
#
# All methods have the same network (four layers of 64), batches of 1,024, 12,500 steps (the distilled one after as many of its teacher's), optimisers, schedule and averaging: the *recipe*. It was chosen on these same four distributions. Each was trained from five seeds; a **record** keeps the distances of all, and one trained network of each comes with the course.

# %%
record = load_record()
FOUR = {plots.in_words(name): name for name in DISTRIBUTIONS}
MEAN_FLOWS = list(METHODS)[1:]
SOLVERS = ("euler", "midpoint", "late_midpoint", "adams_bashforth")  # of flow matching


def mean(name, method, metric, nfe, solver="euler"):
    """Of five recorded seeds; none where this was not measured."""
    five = recorded(name, method, metric, nfe, solver)
    return statistics.mean(five) if five else None


print("checkerboard, mean flow, one evaluation, TV of five seeds:",
      recorded("checkerboard", "mean_flow", "total_variation", 1))

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what each change brings
LADDER = {"mean flow": "mean_flow", "own tangent: improved": "improved_mean_flow", "own target": "own_target",
          "averaged": "averaged_target", "weighted: self-distilled": "self_distilled_mean_flow"}
plots.table({plots.in_words(name): {step: f"{mean(name, method, 'total_variation', 1):.3f}"
                                    for step, method in LADDER.items()} for name in ("checkerboard", "spiral")},
            corner="TV, one evaluation")

# %% [markdown]
# From left to right one thing changes at a time. By TV the own target and the weight help clearly on both, the own tangent clearly only on the board, averaging only on the spiral. (By sliced W2 the weight clearly harms the spiral: [notebook 7](07_inside_the_loss.ipynb).)

# %% [markdown]
# ## One picture
#
# The fair opponent of one step is not Euler. So we also plot the best of four solvers within each budget: Euler, midpoint, and two that make their steps shorter near data, at the times $(i/k)^{1.5}$: midpoint again, and Adams–Bashforth, which extrapolates from the last velocity and so needs one evaluation a step. (These two were run up to 12 evaluations.) The mean flows take even steps.
#
# **Predict:** up to how many evaluations are the mean flows that learn from pairs ahead of that best solver, by total variation? (a) About three. (b) About ten. (c) About thirty. And the distilled one?

# %%
NFE = (1, 2, 4, 8, 16, 32)


def curves(name, metric):
    """Distance by evaluations, for six lines."""
    best, within = 9.0, {}
    for nfe in range(1, 33):
        found = (mean(name, "flow_matching", metric, nfe, solver) for solver in SOLVERS)
        if found := [value for value in found if value]:
            within[nfe] = best = min(best, *found)
    of = {plots.in_words(method): {nfe: mean(name, method, metric, nfe) for nfe in NFE}
          for method in METHODS}
    by_euler = of.pop("flow matching")
    return {"flow matching, Euler": by_euler, "flow matching, best solver": within, **of}


# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw total variation by evaluations
def picture(metric):
    return figures.quality_by_cost({title: curves(name, metric) for title, name in FOUR.items()},
                                   {title: record["floor"][metric][name] for title, name in FOUR.items()},
                                   plots.in_words(metric))


plots.show(picture("total_variation"), "Four charts of total variation by evaluations, both logarithmic. Flow matching starts at 1 "
           "and falls, by Euler slowly, by the best solver steeply; the mean flows start at 0.07 to 0.29 and fall little. "
           "The best solver crosses them between seven and sixteen evaluations, the distilled one later or not.", guess=True)

# %% [markdown]
# *Mean of five seeds, 50,000 points. The grey band reaches from the mean of the noise floor to its 95 % quantile: a single run inside it cannot be told from perfect, a mean of five perhaps.*
#
# <details><summary>What happened</summary>
#
# (b), with a wide spread: the best solver crosses the plain mean flow at seven to ten evaluations, the improved one at eight to twelve, the self-distilled one at ten to sixteen. The distilled one jumps as well as its teacher walks: the best solver meets it at sixteen or later, on the spiral not within 32. With one or two evaluations all mean flows are far ahead. Compared with Euler alone, they would seem to be ahead for twice as long or more.
#
# </details>

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check: where the lines cross
def level(curve, nfe):
    """A curve's height at some number of evaluations, between two points on logarithmic axes."""
    low, high = max(k for k in curve if k <= nfe), min(k for k in curve if k >= nfe)
    share = 0 if low == high else math.log(nfe / low) / math.log(high / low)
    return curve[low] ** (1 - share) * curve[high] ** share


for label, expected in {"mean flow": (7, 10), "improved mean flow": (8, 12), "self-distilled mean flow": (10, 16),
                        "distilled mean flow": (16, math.inf)}.items():
    crossings = []
    for name in DISTRIBUTIONS:
        lines = curves(name, "total_variation")
        best = lines["flow matching, best solver"]
        crossings.append(next((nfe for nfe in best if best[nfe] <= level(lines[label], nfe)), math.inf))
    assert (min(crossings), max(crossings)) == expected, (label, crossings)

# %% cellView="form" jupyter={"source_hidden": true}
# @title The same by sliced W2
plots.show(picture("sliced_w2"), "The same four charts by sliced W2: the mean flows begin in or just above the band of the noise "
           "floor and stay there; the best solver reaches it between five and twelve evaluations.")

# %% [markdown]
# By sliced W2 a single evaluation is already in the band or just above it. There the floor hides what blur is left, so it decides little.
#
# Choose a distribution and a cell. The shipped networks sample in this page, in the colours of where the exact flow takes each point; the number is TV. On which distribution does one evaluation look worst, and what is wrong with it?

# %%
ROWS = {"flow matching, Euler": ("flow_matching", "Euler"),
        "flow matching, midpoint": ("flow_matching", "midpoint"),
        **{plots.in_words(method): (method, "jump") for method in MEAN_FLOWS}}
cells, shipped = {}, {name: {} for name in DISTRIBUTIONS}
for name, (label, (method, how)) in itertools.product(DISTRIBUTIONS, ROWS.items()):
    shipped[name][label] = f"{name}-{method}", how
    for nfe in NFE[how == "midpoint":5]:
        solver = "midpoint" if how == "midpoint" else "euler"
        cells[name, label, nfe] = mean(name, method, "total_variation", nfe, solver)
widgets.comparison(shipped, cells, "total variation, five seeds,")

# %% [markdown]
# **What happened.** For the plain mean flow, by total variation, the eight Gaussians: points lie on bridges between the blobs. The same happens between the squares.
#
# ## Which leaves the fewest points in gaps?
#
# We count the points that land where there are (nearly) no data: outside the squares of the board, and elsewhere where the density is lower than at 999 of 1,000 data points. **Predict:** the fewest in one step are left by (a) the plain mean flow, (b) the improved one, (c) the self-distilled one, (d) the distilled one, (e) no single one: it depends on the data?

# %%
def astray(name, points):
    """The share outside the squares, or where a mixture's density is below its 0.1 % quantile."""
    dist = DISTRIBUTIONS[name]
    if name == "checkerboard":
        return ((points - plots.part(dist, points)).abs().amax(dim=1) > 0.5).float().mean().item()
    low = dist.log_density(dist.sample(20_000, torch.manual_seed(5))).quantile(0.001)
    return (dist.log_density(points) < low).float().mean().item()


ended = {(plots.in_words(method), title): sample(load_pretrained(name, method), z_1, 1)
          for method in MEAN_FLOWS for title, name in FOUR.items()}
for title, name in FOUR.items():
    teacher = load_pretrained(name, "flow_matching", midpoint)
    ended["the teacher, 32 NFE", title] = sample(teacher, z_1, 16)
gone = {}
for (label, title), z_0 in ended.items():
    gone.setdefault(label, {})[title] = f"{astray(FOUR[title], z_0):.1%}"

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the board, and show the shares
on_the_board = {label: z_0[:4000] for (label, title), z_0 in ended.items() if title == "checkerboard"}
plots.show(plots.painted({**on_the_board, "exact": exact["checkerboard"]}, colours["checkerboard"]),
           "The board in one step by the four mean flows, by flow matching in 32 evaluations, and by the exact map: eight "
           "coloured squares each; the bridges between them thin out in this order, and the exact one has none.")
plots.table(gone, corner="shipped networks: points astray", guess=True)

# %% [markdown]
# <details><summary>What happened</summary>
#
# (d), on all four, of these networks, one of each; on the board hardly more than its teacher in 32 evaluations. Of those without a teacher: where the data have separate parts, the board and the eight Gaussians, the self-distilled one leaves the fewest; on the crescent and the spiral the improved one. Yet by total variation the self-distilled one is ahead of these three: total variation also counts whether the points *within* the data lie where they are dense. No method tears cleanly.
#
# </details>
#
# ## When is a difference a difference?
#
# Within a seed all methods start from the same noise and are compared with the same target. So we subtract **seed by seed**: what the seeds have in common cancels. The mean of the five differences has a standard error, their standard deviation divided by $\sqrt 5$. In this course a difference is **clear** if it is beyond 2.8 standard errors (5 % of the t distribution with four degrees of freedom; notebook 8, with hundreds of comparisons, asks for more). With no real difference, one in twenty still passes.

# %%
def paired(name, worse, better, metric, nfe=1):
    """Mean difference over seeds, and its standard error."""
    a, b = (recorded(name, method, metric, nfe) for method in (worse, better))
    gaps = [one - other for one, other in zip(a, b)]
    return statistics.mean(gaps), statistics.stdev(gaps) / len(gaps) ** 0.5


PAIRS = list(itertools.pairwise(MEAN_FLOWS))

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the differences
for metric in ("total_variation", "sliced_w2"):
    plots.table({f"{plots.in_words(a)} − {plots.in_words(b)}": {
        title: "{:+.4f} ± {:.4f}{}".format(gap, error, ", clear" if abs(gap) > 2.8 * error else "")
        for title, name in FOUR.items() for gap, error in [paired(name, a, b, metric)]} for a, b in PAIRS},
        corner=f"{plots.in_words(metric)}, one evaluation")

# %% [markdown]
# By total variation, distilled is clearly sharper than self-distilled on all four, self-distilled than improved, and improved than plain on three. By sliced W2 seven of the twelve differences are not clear.
#
# ## Two jumps
#
# With the exact $u$ a second jump changes nothing. **Predict:** with a learned one, which is the sharpest: (a) one jump, (b) two jumps of equal length, (c) a long jump to $t=0.2$ and a short one from there?

# %%
@torch.no_grad()
def jump(u, z, r, t):
    one = torch.ones_like(z[:, :1])
    return z - (t - r) * u(z, r * one, t * one)


def of_two_jumps(method, title):
    """One jump, and two that meet at 0.5 or at 0.2."""
    u = load_pretrained(FOUR[title], method)
    return {"one jump": jump(u, z_1, 0, 1), "two, at 0.5": jump(u, jump(u, z_1, 0.5, 1), 0, 0.5),
            "two, at 0.2": jump(u, jump(u, z_1, 0.2, 1), 0, 0.2)}


# %%
rows, sharpness = {}, {}
for title, name in FOUR.items():
    landed = of_two_jumps("mean_flow", title)
    sharpness[title] = {way: total_variation(z_0, targets[name]) for way, z_0 in landed.items()}
    off = {way: (z_0[:4000] - exact[name]).square().sum(dim=1).mean().sqrt()
           for way, z_0 in landed.items()}
    floor = noise_floor(total_variation, DISTRIBUTIONS[name], 20_000)[0]
    rows[title] = {f"TV, {way}": f"{value:.3f}" for way, value in sharpness[title].items()}
    rows[title]["TV, noise floor"] = f"{floor:.3f}"
    rows[title] |= {f"map error, {way}": f"{value:.3f}" for way, value in off.items()}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show one jump beside two
plots.table(rows, corner="mean flow, shipped, 20,000 points", guess=True)
for title, name in FOUR.items():
    other = {way: total_variation(z_0, targets[name]) for way, z_0 in of_two_jumps("self_distilled_mean_flow", title).items()}
    assert all(values["two, at 0.2"] == min(values.values()) for values in (sharpness[title], other))

# %% [markdown]
# *Map error: the distance from where the exact flow takes the same noise (rms, 4,000 points).*
#
# <details><summary>What happened</summary>
#
# (c), on all four: the parts separate near data, and the second jump, from close by, sharpens them. Two equal jumps gain little, except on the eight Gaussians. By map error there is no such order: a point that has come out on the wrong side of a seam is sent to the wrong part, however sharply. (One network each; why is a guess. The self-distilled networks show the same by TV.)
#
# </details>
#
# ## What it costs
#
# The extra work is done in training: per step, one more pass through the network for the derivative, one for the own velocity; or, before all steps, another training and 100,000 walks. So we compare once more at **equal CPU**: each mean flow trained for only as many steps as fit into the CPU seconds of flow matching's 12,500, a teacher's included. (With our derivative by hand. Through `torch.func.jvp` it takes longer, as notebook 4 said, and fewer steps would fit. Read the order below, not ratios: floors do not simply subtract.)

# %%
def seconds(method):
    return statistics.median(run["seconds"] for run in record["runs"]
                             if run["method"] == method and "n_steps" not in run)


def excess(name, method, **which):
    """Total variation of one evaluation above the noise floor, mean of five seeds."""
    five = recorded(name, method, "total_variation", 1, **which)
    return statistics.mean(five) - record["floor"]["total_variation"][name][0]


# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the costs
costs = {}
for method in MEAN_FLOWS:
    costs[plots.in_words(method)] = {"CPU seconds": f"{seconds(method):.0f}",
                                     "÷ flow matching": f"{seconds(method) / seconds('flow_matching'):.2f}"} | {
        title: f"{excess(name, method):.3f} / {excess(name, method, n_steps=record['at_equal_cpu'][method]):.3f}"
        for title, name in FOUR.items()}
plots.table(costs, corner="TV above the floor in one evaluation: equal steps / equal CPU")
print(f"flow matching: {seconds('flow_matching'):.0f} CPU seconds, median of its runs, one thread")

# %% [markdown]
# And if you have other seconds to spend? **Predict:** how long must the self-distilled mean flow train to be as sharp as the distilled one after 25 seconds: (a) as long, (b) over three times as long, (c) longer than we tried?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw quality by seconds
by_seconds = {}
for title in ("checkerboard", "spiral"):
    by_seconds[title] = {}
    for method in ("mean_flow", "self_distilled_mean_flow", "distilled_mean_flow"):
        lengths = sorted({run.get("n_steps", record["recipe"]["n_steps"]) for run in record["runs"]
                          if (run["distribution"], run["method"]) == (title, method)})
        for n_steps in lengths:
            taken = statistics.median(run["seconds"] for run in record["runs"] if run["method"] == method
                                      and run.get("n_steps", record["recipe"]["n_steps"]) == n_steps)
            by_seconds[title].setdefault(plots.in_words(method), {})[taken] = excess(title, method, n_steps=n_steps)
plots.show(figures.quality_by_seconds(by_seconds, "TV above the floor"),
           "Two charts of total variation above the noise floor by CPU seconds. The distilled mean flow's line is far below the "
           "others at every length.", guess=True)

# %% [markdown]
# *One evaluation after several lengths of training, a teacher's and its walks included; means of three seeds or five. Not drawn: improved, near plain.*
#
# <details><summary>What happened</summary>
#
# (b) on the board, 90 seconds; (c) on the spiral. (Its teacher, in 32 evaluations: 0.028 and 0.009. The distilled one's seconds are another processor's: at equal CPU 45, not 41.)
#
# </details>
#
# ## The verdict
#
# What is one evaluation worth? The fewest recorded evaluations of flow matching, by the best of the four solvers, that reach the mean of *one* of the mean flow. (By sliced W2 a single run of the self-distilled one lies within the noise floor on all four; by the means of five it would be 10, 12, 10 and 7.)

# %%
def worth(name, method, metric):
    """The budget of flow matching that is as good as one evaluation, by means over five seeds."""
    goal, best = mean(name, method, metric, 1), curves(name, metric)["flow matching, best solver"]
    return next((str(nfe) for nfe, value in best.items() if value <= goal), "more")


worths = {f"{plots.in_words(method)}, {plots.in_words(metric)}":
          {title: worth(name, method, metric) for title, name in FOUR.items()}
          for metric in ("total_variation", "map_error") for method in MEAN_FLOWS}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what one evaluation is worth
assert [worth(name, "self_distilled_mean_flow", "sliced_w2") for name in DISTRIBUTIONS] == ["10", "12", "10", "7"]
assert [worth(name, "distilled_mean_flow", "total_variation") for name in DISTRIBUTIONS] == ["11", "24", "24", "12"]
for name in DISTRIBUTIONS:
    gaps = [one - walked for one, walked in zip(recorded(name, "distilled_mean_flow", "map_error", 1),
                                                recorded(name, "flow_matching", "map_error", 32, "midpoint"))]
    assert abs(statistics.mean(gaps)) < 0.002
plots.table(worths, corner="evaluations of flow matching, best solver")

# %% [markdown]
# 1. **Against the best tested solver**, by total variation, one evaluation of the self-distilled mean flow is worth **five to eight** of flow matching; by map error five to eleven. (With midpoint on even steps it would be ten to twelve, with Euler sixteen to thirty-two: when you read "replaces a hundred", ask by which solver.) One of the distilled mean flow is worth **eleven to twenty-four**; its map error is that of its teacher in 32.
# 2. **One or two evaluations:** a mean flow, by far. The best solver draws level by TV after seven to ten evaluations (plain), ten to sixteen (self-distilled), or sixteen and more (distilled).
# 3. **With walked paths:** the distilled mean flow is the sharpest in one evaluation, on all four, at equal steps and at equal CPU, its teacher included. On our digits at equal steps only (below, by the Fréchet distance between sets of images; notebook 10). [Notebook 9](09_flow_maps.ipynb#the-perfect-teacher) asks why. **From pairs alone** it is the self-distilled one here. Its weight is not the reason: where it was left out, on board and spiral, it is still ahead of the improved one. But the recipe was chosen in the plane, and **on digits that order reverses**.
# 4. **The price of one step is blur:** bridges between the parts, and uneven density within them.

# %%
for method in MEAN_FLOWS:
    five = digits.recorded(method, "frechet", 1)
    print(f"digits, one evaluation, {plots.in_words(method)}: Fréchet distance "
          f"{statistics.mean(five):.2f} ± {statistics.stdev(five):.2f} (five seeds; low: good)")

# %% [markdown]
# All tables by solver and by steps, with spreads: [results, and how they were measured](../docs/results.md). Rivals with other pairs: [notebook 9](09_flow_maps.ipynb#rivals).

# %% [markdown]
# ## Exercises
#
# Each has a cell for your answer and a folded check, which knows the usual mistakes. The solution is folded too.
#
# **1. From memory.** Write the plain mean-flow loss: mean over the batch of the squared distance, summed over coordinates. Do not look at notebook 4.

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
if "mean_flow_loss" in loss_from_memory.__code__.co_names:
    print("That calls the packaged loss. Write its lines yourself: five will do.")
else:
    check(summary(answer) if torch.is_tensor(answer) and answer.requires_grad else answer,
          summary(mean_flow_loss(net, x, eps, r, t)), tolerance=1e-3,
          hint=["In English: go to the point, ask for u and its derivative, say what u should have been, compare.",
                "The derivative is one torch.func.jvp of u_net at (z, r, t); with which tangents?",
                "z = (1 − t) x + t ε; v = ε − x; JVP along (v, 0, 1); v − (t − r) du/dt, detached."],
          mistakes={"The value is right, the gradient is not: detach the target.": variant(detach=False),
                    "The factor (t − r) is missing in the target.": variant(factor=False),
                    "The identity is u = v − (t − r) du/dt, with a minus.": variant(sign=1),
                    "The tangents are (v, 0, 0); t moves too.": variant(0, 0),
                    "The tangents are (v, 1, 0): r stands still, t moves.": variant(1, 0),
                    "The tangents are (v, 1, 1); r stands still.": variant(1, 1),
                    "Velocity is noise minus data, ε − x.": variant(flip=-1),
                    "z has data and noise exchanged: t = 0 is data.": variant(swap=True),
                    "Sum over the two coordinates, then take the mean over points.": variant(part=2)})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
def remembered(u_net, x, eps, r, t):
    z, v_cond = (1 - t) * x + t * eps, eps - x
    u, dudt = torch.func.jvp(u_net, (z, r, t), (v_cond, torch.zeros_like(r), torch.ones_like(t)))  # r stands still
    u_tgt = v_cond - (t - r) * dudt  # the identity, solved for u
    return (u - u_tgt.detach()).square().sum(dim=1).mean()  # the target is an answer


torch.testing.assert_close(summary(remembered(net, x, eps, r, t)),
                           summary(mean_flow_loss(net, x, eps, r, t)), atol=1e-3, rtol=1e-4)

# %% [markdown]
# **2. Is it a difference?** On the *crescent*, by total variation and in *two* evaluations: by how many standard errors is the self-distilled mean flow better than the improved one, paired over seeds, and by how many if you forget the pairing and add the two variances? Give both.

# %%
by_pairs, without_pairs = ..., ...  # from recorded("crescent", method, "total_variation", 2)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
a, b = (recorded("crescent", method, "total_variation", 2) for method in PAIRS[1])
gap, error = paired("crescent", *PAIRS[1], "total_variation", 2)
unpaired = gap / ((statistics.variance(a) + statistics.variance(b)) / 5) ** 0.5
check(by_pairs, gap / error, tolerance=0.05,
      hint=["Subtract seed by seed, then ask how uncertain the mean of the five differences is.",
            "`paired` above returns the mean difference and its standard error."],
      mistakes={"That forgets the pairing.": unpaired,
                "That is over the spread of one seed; a mean of five is less uncertain.":
                gap / (error * 5**0.5),
                "The sign is reversed: improved minus self-distilled.": -gap / error})
check(without_pairs, unpaired, tolerance=0.05,
      hint=["The variance of a difference of two independent means is the sum of their variances.",
            "The variance of a mean of five is the variance of one divided by five."],
      mistakes={"A mean of five is less uncertain than one.": unpaired / 5**0.5, "That is the paired one.": gap / error})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
print(f"paired {gap / error:.1f} standard errors, unpaired {unpaired:.1f}. Why they differ: two methods that share noise "
      "and target share part of their luck, and subtracting seed by seed takes out what they share.")

# %% [markdown]
# **3. A check without the truth.** On images nobody knows the exact map. But a perfect $u$ lands on the same point in one step as in two
# (notebook 2). Write the root mean square distance between the two landings, for any network. Does it rank the methods as the map error does? And what would it say of $u = 0$, which never moves?

# %%
def inconsistency(u, z):
    return ...  # two lines


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
few, spiral_net = z_1[:1000], load_pretrained("spiral", "mean_flow")
apart = sample(spiral_net, few, 2) - sample(spiral_net, few, 1)
check(inconsistency(spiral_net, few), apart.square().sum(dim=1).mean().sqrt(),
      hint=["Where does one step land, and where do two?",
            "sample(u, z, 2) and sample(u, z, 1); then the squared distance of each point.",
            "(a − b).square().sum(dim=1).mean().sqrt()."],
      mistakes={"The root is missing.": apart.square().sum(dim=1).mean(),
                "Sum the squares over the two coordinates, then take the mean over points.":
                apart.square().mean().sqrt(),
                "That is the mean distance, not the root of the mean square.":
                apart.norm(dim=1).mean()})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
def one_against_two(u, z):
    apart = sample(u, z, 2) - sample(u, z, 1)
    return apart.square().sum(dim=1).mean().sqrt().item()


for method in MEAN_FLOWS:
    inner = one_against_two(load_pretrained("spiral", method), z_1)
    outer = recorded("spiral", method, "map_error", 1)[0]
    print(f"{plots.in_words(method):26} inconsistency {inner:.3f}   map error of this seed {outer:.3f}")
print("It ranks them differently. Why: it asks whether u agrees with itself, not with the data. u = 0 agrees with itself "
      "perfectly and would score zero.")

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Mean Flows](https://arxiv.org/abs/2505.13447) and [Improved Mean Flows](https://arxiv.org/abs/2512.02012) (2025).
# * Boffi et al., [flow maps by self-distillation](https://arxiv.org/abs/2505.18825) (2025).
# * Raymond Fan, *Introduction to Mean Flow* (2025).
