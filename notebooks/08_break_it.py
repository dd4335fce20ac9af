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
# # 8. Break it
#
# **The question.** Why is each ingredient of a mean flow there, and how would you notice that one is broken?

# %%
import inspect
import textwrap

import torch
from IPython.display import Code

from mfutils import (
    DISTRIBUTIONS, MeanVelocityMLP, check, gaussian, mean_flow_loss, mean_velocity, plots, recipe,
    sample_r_t, sliced_w2, widgets,
)
from mfutils.ablations import (
    CASES, GROUPS, PAPER, diff, edited, load_sweep, swept, swept_points,
)

board, names = DISTRIBUTIONS["checkerboard"], ("checkerboard", "spiral")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw six trainings
six = ["(v, 1, 1)", "v times the Jacobian", "no stop-gradient", "t − r", "p = 1", "as it should be"]
fig = plots.clouds({letter: swept_points("checkerboard", case)[0] for letter, case in zip("ABCDEF", six)},
                   size=1.8)
plots.show(fig, "Six clouds, A to F: one is scattered beyond the frame, one is blurred beyond "
                "recognition, four are checkerboards of different sharpness.")

# %% [markdown]
# *One step each. Six trainings ran to the end without an error. In five of them one line was changed. Which one is as it should be?*
#
# | | |
# |---|---|
# | **You will do** | replace single lines of a complete mean flow, predict what happens, and look; lay any two broken versions side by side; write an edit of your own |
# | **You will learn** | which ingredients are essential and which are taste; where the plane agrees with the paper's ImageNet ablations, and where it does not; which mistakes no loss curve shows |
# | **You need** | [notebook 4](04_mean_flow.ipynb); [notebook 7](07_inside_the_loss.ipynb) helps |
# | **Time** | 30 minutes to read, a minute to run |

# %% [markdown]
# ## The recipe on one page
#
# Here is everything that makes a mean flow: inputs, training, sampling. The numbers are those that `train` and `sample` would give. Every line is there to be broken.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the recipe
Code(inspect.getsource(recipe.Network) + "\n\n" + inspect.getsource(recipe.train) + "\n\n"
     + inspect.getsource(recipe.sample), language="python")

# %% [markdown]
# To break it, name a line and say what shall stand there instead. Nothing else changes. For a start, we take the time from the network: it sees $z$ and the length $t-r$ of the interval, but not where the interval lies.

# %%
edit = ("return torch.cat([z, t, t - r], dim=1)", "return torch.cat([z, t - r], dim=1)")
Code(diff(edit), language="diff")

# %% [markdown]
# On ImageNet this costs next to nothing: an FID of 63.13 instead of 61.06. **Predict:** and here? We train for ten seconds.

# %%
broken = edited(edit)
u_broken, losses = broken.train(board)
z_1, target = gaussian(50_000, torch.manual_seed(0)), board.sample(50_000)
clouds = {f"z and t − r: {steps} step{'s' * (steps > 1)}": broken.sample(u_broken, z_1, steps)
          for steps in (1, 8)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw them beside the recipe
right = dict(zip(("recipe: 1 step", "recipe: 8 steps"), swept_points("checkerboard", "as it should be")))
fig = plots.clouds({**clouds, **right}, target=target, size=2.0)
plots.show(fig, "Samples of a network that sees no t, with 1 and 8 steps: boards with bridges, then collapsed "
                "squares; those of the recipe; and the target.")
for steps, points in zip((1, 8), clouds.values()):
    five = swept("checkerboard", "t − r", "sliced_w2", steps).tolist()
    print(f"sliced W2, steps: {steps}: {sliced_w2(points, target):.3f} here; recorded with five seeds:",
          ", ".join(f"{value:.3f}" for value in five))

# %% [markdown]
# **What happened.** It costs a lot. Where $r=t$ this network always sees $t-r=0$, so it cannot tell the velocity at one time from that at another. On images it can: a picture shows how noisy it is ([Sun et al. 2025](https://arxiv.org/abs/2502.13129)). A point in the plane does not. So the plane is not ImageNet, and we will say each time which of the two we speak of.
#
# ## Fifty ways
#
# We have done the same for every ingredient: fifty versions, two distributions, five seeds, 2,500 steps each (`make sweep`).
#
# Every run is measured by four numbers. **Sliced W2** sees stray mass and **total variation** sees blur, both with one step and with eight. The **map error** tells how far a point lands from where the exact flow takes it, and the **field error** how far $u_\theta$ is from the exact $u$, over all $r<t$ (both rms).
#
# Within a seed, all versions see the same noise and the same target. So we compare **seed by seed**: by which factor is a version worse than the recipe? We call the factor clear if five seeds show it at 99 % (Student's $t$: the mean of its logarithm is more than 4.6 standard errors from zero). We chose this bar before looking. With hundreds of comparisons, a few pass it by chance.

# %%
def log_factors(case, name, metric, nfe=1, opponent="as it should be"):
    """Seed by seed: the logarithm of the factor by which a case is worse than another."""
    return (swept(name, case, metric, nfe) / swept(name, opponent, metric, nfe)).log()


def clear(logs):
    """The factor, or None where the seeds do not show one."""
    error = logs.std() / len(logs) ** 0.5
    return logs.mean().exp().item() if logs.mean().abs() > 4.6 * error else None


sweep = load_sweep()
print(f"{len(sweep['runs'])} runs, {sweep['cpu_hours']} CPU hours, PyTorch {sweep['torch']}, Python "
      f"{sweep['python']}; distances from {sweep['n']:,} points")

# %% cellView="form" jupyter={"source_hidden": true}
# @title How a group is drawn
COLUMNS = {"W2, 1 step": ("sliced_w2", 1), "W2, 8": ("sliced_w2", 8), "TV, 1": ("total_variation", 1),
           "TV, 8": ("total_variation", 8), "map, 1": ("map_error", 1), "map, 8": ("map_error", 8),
           "field": ("field_error", None)}


def spread(values):
    digits = max(0, 2 - int(values.mean().log10().floor()))
    return f"{values.mean():.{digits}f} ± {values.std():.{digits}f}"


def show_edits(*groups):
    """What each case takes out of the recipe and puts in."""
    cases = {case: edits for group in groups for case, (edits, _) in GROUPS[group].items()}
    return Code("\n\n".join(f"# {case}\n{diff(*edits)}" for case, edits in cases.items()), language="diff")


def show_clouds(group):
    """Samples on the board, of the recipe first."""
    cases = ["as it should be", *GROUPS[group]]
    titles = {case: "\n".join(textwrap.wrap(case, 15)) for case in cases}
    rows = {f"{steps} step{'s' * (steps > 1)}": {titles[case]: swept_points("checkerboard", case)[k] for case in cases}
            for k, steps in enumerate((1, 8))}
    plots.show(plots.gallery(rows, size=min(1.9, 10.5 / len(cases))),
               f"Samples on the checkerboard, {group}, in one step and in eight: {'; '.join(cases)}.")


def show_table(group, name):
    """All measures of a group, each in the colour of its factor over the recipe where that is clear."""
    rows, shades = {}, {}
    for case in ["as it should be", *GROUPS[group]]:
        label = case if CASES[case].fid is None else f"{case} · FID {CASES[case].fid}"
        rows[label] = {}
        for column, (metric, nfe) in COLUMNS.items():
            values = swept(name, case, metric, nfe)
            rows[label][column] = spread(values) if values.isfinite().all() else ""
            if case != "as it should be":
                shades[label, column] = plots.harm(clear(log_factors(case, name, metric, nfe)))
    floor = {column: sweep["floor"].get(metric, {}).get(name) for column, (metric, _) in COLUMNS.items()}
    rows["noise floor"] = {column: f"{values[0]:.3g}" if values else "" for column, values in floor.items()}
    plots.table(rows, corner=name, shades=shades)


def show(*groups):
    for group in groups:
        show_clouds(group)
        for name in names:
            show_table(group, name)


# %% [markdown]
# ## The tangents
#
# The total derivative moves $z$ with the velocity, holds $r$ still and lets $t$ advance: $(v, 0, 1)$. Each of the following is one slip away. The last takes the vector from the wrong side, $v\,\partial u/\partial z$ for $(\partial u/\partial z)\,v$: a VJP instead of a JVP.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: the tangents
show_edits("the tangents")

# %% [markdown]
# **Predict** the order of the damage. And one of the five does far less than the others: which?
#
# *Pictures: the checkerboard, first seed. Tables: mean of five seeds ± standard deviation; red, clearly worse than the recipe in the first row (up to 1.25 times, up to twice, more); blue, clearly better; white, no clear difference. FID: what the paper reports for the same change to its own recipe, on ImageNet, in one step; unchanged it has 61.06.*

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: the tangents
show("the tangents")

# %% [markdown]
# **What happened.**
#
# * $(v, 0, 0)$ forgets that time goes on, $(v, 1, 0)$ moves the nailed end instead of the tip, $(0, 0, 1)$ forgets that the particle moves, $(v, 1, 1)$ moves both ends. One step is ruined by each. With eight short steps the damage is much smaller: the derivative is weighed by $t-r$.
# * Three of the five have a *lower* loss than the recipe. We come back to this.
# * The vector on the wrong side is hard to see. The map error grows by a third, and total variation shows nothing. For the exact $v$ the side would not matter at all: its Jacobian is **symmetric**, because $v$ is the gradient of a function (the score is one, and $v$ is a mixture of $z$ and the score). $u$ is a mean of such velocities along a path, and at most places its Jacobian is nearly symmetric. Quartiles over the checkerboard of the share that a transposition changes:

# %%
def asymmetry(r, t, n=500):
    """The share of the exact u's Jacobian that a transposition changes: quartiles over n points."""
    z = (1 - t) * board.sample(n) + t * gaussian(n)
    columns = [torch.func.jvp(lambda z: mean_velocity(board, z, r, t), (z,), (step.repeat(n, 1),))[1]
               for step in torch.eye(2)]
    jacobian = torch.stack(columns, dim=2)
    share = (jacobian - jacobian.mT).norm(dim=(1, 2)) / 2 / jacobian.norm(dim=(1, 2))
    return share.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()


torch.manual_seed(0)
for r, t in ((0.69, 0.7), (0.3, 0.7), (0.0, 0.7), (0.0, 1.0)):
    print(f"r = {r:.2f}, t = {t}:", *(f"{share:.1%}" for share in asymmetry(r, t)))

# %% [markdown]
# ## The velocity in the tangent
#
# The identity wants the marginal velocity in the tangent. The paper gives it the pair's, improved mean flow the network's own; one may also mix the two, as [Lu and Wang (2026)](https://arxiv.org/abs/2605.09235) do on images. We know the exact one, too. In the last case it stands in the target as well, so that no noise is left at all.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: the velocity in the tangent
show_edits("the velocity in the tangent")

# %% [markdown]
# **Predict:** how much of the error comes from the noise in the tangent, and how much from the noise in the target?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: the velocity in the tangent
show("the velocity in the tangent")

# %% [markdown]
# **What happened.** About half of the error comes from the noise in the *target*: without it, map error and field error fall by half, and total variation by a third or more. The tangent is a smaller matter. The exact velocity there takes a seventh off the map error. The network's own takes about half as much on the checkerboard; on the spiral its gain is not clear, while that of all three mixtures is.
# In one step, total variation notices no tangent at all. So after 2,500 steps improved mean flow is a small step from mean flow. [Notebook 7](07_inside_the_loss.ipynb) goes for the noise in the target, and pays with a bias.
#
# ## The target
#
# Without its stop-gradient; without the factor $t-r$; with a plus for the minus; and with the derivative in bfloat16, as it would be in mixed precision.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: the target
show_edits("the target")

# %% [markdown]
# **Predict:** one of the four is harmless here. Which? And one has a *lower* loss than the recipe, with useless samples.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: the target
show("the target")

# %% [markdown]
# **What happened.**
#
# * **No stop-gradient:** the lower loss, and useless samples. The network makes its target quiet instead of right ([notebook 7](07_inside_the_loss.ipynb)).
# * **Forgotten $t-r$** and **plus for minus** explode in most seeds: the loss grows to tens of thousands, though it stays finite, and the spread is as large as the mean. (A white cell there means that the seeds differ wildly, not that nothing happened.) With the plus, $u + (t-r)\,\mathrm{d}u/\mathrm{d}t$ is a *step along the path*, not an average over it: what the derivative should take away is added instead, and again in the next target.
# * **bfloat16** in the derivative changes nothing that we can measure. It is one term of the target, and its rounding is small against the noise of one pair. In the plane that is no surprise; we do not claim it for large networks.
#
# ## Which 25 %?
#
# The paper's best setting on ImageNet is "25 %". Of what? Of the rows with $r \ne t$; the other 75 % are plain flow matching. On CIFAR the same paper has it the other way round, 75 % with $r\ne t$. Here are five shares, and a version that gives no rows to $r=0$.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: the share of rows with r < t
show_edits("the share of rows with r < t")

# %% [markdown]
# **Predict:** is 0 % a mean flow? Does 100 %, with no plain flow matching at all, still train?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: the share of rows with r < t
show("the share of rows with r < t")

# %% [markdown]
# **What happened.** 0 % is plain flow matching with an extra input that nothing trains: eight steps work, one step does not. From 25 % on, all shares train, even 100 %. In one step, more jumps are better: 100 % has the lowest mean by both distances on both data sets. With eight steps it is the worst of the four. So the share moves quality between few steps and many. The paper's FID, in one step, is best at 25 %; **here the plane does not agree.** Rows with $r=0$ help one step a little (clear only by sliced W2 on the checkerboard): it is the jump they practise.
#
# ## The power of the loss
#
# The paper divides every sample's squared error by itself (plus a small $c$) to the power $p$, held fixed, and finds $p=1$ best.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: the loss
show_edits("the loss")

# %% [markdown]
# **Predict:** does the plane agree? And what does it change to take the weight of the *batch mean* instead of each sample's?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: the loss
show("the loss")

# %% [markdown]
# **What happened.** **The plane contradicts the paper.** There $p=1$ is best; here every power above zero makes the field worse, and $p=2$ is ruin. A weight that trusts small errors pulls the minimiser away from the mean of the targets, and only the mean is right. In the plane the targets of one place lie far apart in a few clumps, so a robust centre is far from the mean. On images, squared errors are sums over thousands of coordinates and vary little from pair to pair. There the weight mostly balances different $(r, t)$ against
# each other. (This is our explanation; we have not tested it on images.) On the spiral, total variation of one step is even lower with $p=\tfrac12$ (not clearly), while the field is 1.8 times worse: judge by one measure, and you keep a biased field.
#
# * With $p=1$ the loss reads 1 all the time.
# * The weight of the **batch mean** is one factor for all samples. Adam and Muon do not mind how large a gradient is, so nothing changes: it is no adaptive weight at all.
# * The weight of the **squared loss** is in effect $p=2$.
#
# ## Times, inputs, optimiser
#
# These are the knobs that people turn first. **Predict:** which of the fourteen matters the most?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: times, inputs, optimiser
show_edits("the times", "what the network sees", "the optimiser")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: times, inputs, optimiser
show("the times", "what the network sees", "the optimiser")

# %% [markdown]
# **What happened.**
#
# * **What the network sees** matters the most: without $t$ it cannot know the velocity. $(t, r)$, $(t, t-r)$ and all three are alike (one clear cell of 28, by a tenth), as in the paper, where they are within three FID. A network can subtract.
# * **Times:** all five are worse than squared uniform times, most clearly with eight steps. The recipe's times were chosen on these very data, so this is no surprise. Between the five hardly anything is clear.
# * **Adam** for all weights is worse after 2,500 steps, at either rate. It is also quicker, 8 seconds a run against 11, and could go on for longer.
# * **Constant rate** alone costs about a seventh of the map and field error, no **moving average** alone nothing; without both, errors double. Averaging weights and lowering the rate are two ways to calm the last steps, and one of them is nearly enough.
# * The **tutorials' recipe** (uniform times, no rows with $r=t$, Adam, constant rate, no average) works, with twice the map error of ours after as many steps.
#
# ## Sampling, and the direction of time
#
# A network that was trained well can still be asked wrongly. And much of the literature has noise at $t=0$. The identity does not mind, if its anchor goes along: the average velocity must belong to the *noisy* end, since that is where sampling starts.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: sampling, the direction of time
show_edits("sampling", "the direction of time")

# %% [markdown]
# **Predict:** which of the four ways of sampling is harmless in one step? What happens if noise moves to $t=0$ and the identity stays as it was?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: sampling, the direction of time
show("sampling", "the direction of time")

# %% [markdown]
# **What happened.**
#
# * **Forgotten $t-r$** in sampling: with one step it is 1, so nothing is seen. With eight, every step is eight times too long.
# * **Added** for subtracted, **swapped** times and the **wrong end** show at once in one step. With eight steps, swapped times on the board might pass for a network that wants more training.
# * **Noise at 0** with the identity as it was: each average velocity then belongs to its *data* end, and the sampler asks at the noisy one. It looks like a board, only worse. With the anchor at $r$ (tangents $(v, 1, 0)$, and a plus) no clear difference to the recipe is left. **The direction of time is a convention; the anchor is not.**
#
# ## Any two, side by side
#
# Start with the recipe on the left. Which mistakes would you *not* have noticed from eight steps? Which would you not have noticed on the checkerboard, but on the spiral?

# %%
samples, scores = {}, {}
for group, cases in GROUPS.items():
    for case in cases:
        for name in names:
            for steps, points in zip((1, 8), swept_points(name, case)):
                key = name, steps, f"{group}: {case}"
                samples[key] = points
                scores[key] = f"TV {swept(name, case, 'total_variation', steps)[0]:.2f}"
targets = {name: DISTRIBUTIONS[name].sample(1000, torch.manual_seed(0)) for name in names}
widgets.case_panel(samples, targets, scores)

# %% [markdown]
# ## Does the loss tell?
#
# Here are all cases whose loss is still a squared distance to $\varepsilon - x$ or to a target made of it, with the recipe's times. **Predict:** is a lower final loss a better sample?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw loss and quality
same_scale = ["as it should be", *GROUPS["the tangents"], *list(GROUPS["the velocity in the tangent"])[:5],
              "no stop-gradient", *GROUPS["what the network sees"], *GROUPS["the optimiser"]]
marked = {"as it should be": "above", "(v, 1, 0)": "above", "(0, 0, 1)": "above", "no stop-gradient": "above",
          "own": "below", "v times the Jacobian": "above", "(v, 1, 1)": "above", "t − r": "above"}
loss_and_distance = {case: (swept("checkerboard", case, "loss").mean(),
                            swept("checkerboard", case, "sliced_w2").mean(), marked.get(case))
                     for case in same_scale if case != "tutorials' recipe"}
fig = plots.loss_and_quality(loss_and_distance, "final training loss", "sliced W2 of one step")
plots.show(fig, "A dot for each case on the checkerboard, final loss against one-step distance: among the "
                "lowest losses are some of the best samples and the worst.")

# %% [markdown]
# **What happened.** No. The lowest losses belong to $(v, 1, 0)$, $(0, 0, 1)$ and the missing stop-gradient, which are useless, and to the own and the exact tangent, which are among the best. The recipe's own loss is higher than theirs, since its target is noisier. Loss curves can only be compared between runs with the *same* target. Look at samples, at two distances.
#
# ## Does the plane agree with ImageNet?
#
# The paper's Table 1 varies one thing at a time, on ImageNet with a transformer, and judges by the FID of one step. Here is each of its settings against its best one in the same part of the table. For the FID we give the ratio; for the plane the factor, seed by seed, with its standard error, in one step. **Predict:** in which of the five parts will the plane contradict?

# %%
BEST = {"(a) rows with r < t": ("25 %", "the share of rows with r < t"),
        "(b) tangents": ("as it should be", "the tangents"),
        "(c) inputs": ("as it should be", "what the network sees"),
        "(d) times": ("logit-normal (−0.4, 1.0)", "the times"),
        "(e) power": ("p = 1", "the loss")}


def verdict(logs):
    """The factor ± its standard error; with a word where it is clear."""
    mean, error = logs.mean().exp().item(), logs.mean().exp().item() * logs.std().item() / 5 ** 0.5
    word = "" if clear(logs) is None else " worse" if mean > 1 else " better"
    return f"{mean:.2f} ± {error:.2f}{word}"


# %%
table = {}
for part, (best, group) in BEST.items():
    fids = {case: fid for case, (_, fid) in GROUPS[group].items() if fid and case != best}
    if group == "the loss":
        fids["as it should be"] = 79.75  # p = 0
    for case, fid in fids.items():
        row = {f"{name}, {short}": verdict(log_factors(case, name, metric, 1, best))
               for name in names for short, metric in (("W2", "sliced_w2"), ("TV", "total_variation"))}
        label = "p = 0" if group == "the loss" and case == "as it should be" else case
        against = "(v, 0, 1)" if group == "the tangents" else "t, t − r" if best == "as it should be" else best
        table[f"{part}: {label}, not {against}"] = {"FID ratio": f"{fid / PAPER:.2f}"} | row
plots.table(table, corner="Table 1 of the paper, and the plane")

# %% [markdown]
# **What happened.**
#
# * (a) agrees that 0 % is no mean flow, and **contradicts** the rest: here more jumps are better in one step, clearly in four of eight cells and never worse.
# * (b) **agrees** without exception; by sliced W2 even in the order of the damage.
# * (c) agrees that hiding $t$ hurts, far more here. Of the two others, one cell of eight is clear, and small.
# * (d) shows **nothing clear** but one cell of sixteen, and that one is against the paper's choice. Its gaps of a few per cent are below what five seeds can see here.
# * (e) **contradicts** where $p$ is below 1, which is clearly better here, and agrees above it as far as it is clear.
#
# A setting tuned on images is a guess in the plane, and the other way round. (And both are conditional on the rest of the recipe: the paper varies one thing around $p=1$ and 25 %, we around $p=0$ and 37.5 %.)
#
# ## Three slips that are not in the recipe
#
# They belong to the libraries rather than to the method.

# %%
torch.manual_seed(0)
net, z, v = MeanVelocityMLP(), gaussian(4), gaussian(4)
r, t = sample_r_t(4, p_equal=0)
tangents = v, torch.zeros_like(r), torch.ones_like(t)

with torch.no_grad():
    _, dudt = torch.func.jvp(net, (z, r, t), tangents)
print("under no_grad, dudt is not zero:", dudt.abs().max().item() > 0)

u, _ = torch.autograd.functional.jvp(net, (z, r, t), tangents)
print("autograd.functional.jvp, without create_graph: u.requires_grad =", u.requires_grad)

x, eps = board.sample(1024), gaussian(1024)
r, t = sample_r_t(1024)
print(f"an untrained network, p = 1: loss {mean_flow_loss(net, x, eps, r, t, p=1.0):.3f}")

# %% [markdown]
# * `no_grad` stops gradients, not tangents. That is useful: the derivative in the target needs no graph, and without one it takes less memory.
# * `autograd.functional.jvp` gives a $u$ without gradient unless you pass `create_graph=True`. If only the target comes from it, nothing complains.
# * With $p=1$ the loss reads 1 before, during and after training.
#
# ## Where each stumbling block is shown
#
# | stumbling block | where |
# |---|---|
# | conditional or marginal velocity | [notebook 1](01_flow.ipynb), *Many roads through one point*; [4](04_mean_flow.ipynb), *Why one pair may stand for the mean* |
# | order of $(r, t)$; order of the tangents | [2](02_average_velocity.ipynb), *Other tangents*; here, *The tangents* and *Sampling* |
# | $t-r$ forgotten | here, in the target and in sampling; [4](04_mean_flow.ipynb), *Three ways to sample wrongly* |
# | the wrong anchor; the direction of time; a sign | here, *Sampling, and the direction of time* and *The target* |
# | VJP for JVP | here, *The tangents* |
# | which 25 %? | here |
# | $p=1$ prints a loss of 1; the weight of the batch mean or of the squared loss | here; [4](04_mean_flow.ipynb), exercise 2 |
# | a loss that diverges | here: *The target*, and $p=2$ on the checkerboard |
# | a loss that is flat while samples get better, or low while they are bad | here, *Does the loss tell?*; [4](04_mean_flow.ipynb), *Watch it learn* |
# | "without `detach` it never trains" | [7](07_inside_the_loss.ipynb), *Detach, and noise*; here |
# | "the conditional tangent always costs variance" | [7](07_inside_the_loss.ipynb), *Which tangent?* |
# | "more steps are worse", "more steps are better" | [5](05_comparison.ipynb); here, columns 1 and 8: they are worse where the field is biased |
# | one step "replaces a hundred" | [5](05_comparison.ipynb), *The verdict* |
# | `no_grad` and tangents; `create_graph` | here |
#
# What two dimensions cannot show:
#
# | stumbling block | symptom | read |
# |---|---|---|
# | fused attention has no forward derivative | an error that names `_scaled_dot_product_flash_attention`; use the math backend, or forward mode by hand | [pytorch#128971](https://github.com/pytorch/pytorch/issues/128971) |
# | `DistributedDataParallel` inside a JVP | errors; or, if you call `.module` to avoid them, gradients that nobody averages | [pytorch#102197](https://github.com/pytorch/pytorch/issues/102197), [pytorch#182661](https://github.com/pytorch/pytorch/issues/182661) |
# | `torch.compile` and dual tensors | tangents come back as `None` in some versions | [pytorch#187284](https://github.com/pytorch/pytorch/issues/187284) |
# | memory of the JVP | activations are kept for a gradient of the tangents that nobody takes | [pytorch#151782](https://github.com/pytorch/pytorch/issues/151782) |
# | guidance in training and again in sampling | oversaturated samples; the scale for sampling is 1 | [MeanFlow#45](https://github.com/zhuyu-cs/MeanFlow/issues/45) |
# | a flat loss on images, while FID falls | as here, with no picture to look at | [py-meanflow#1](https://github.com/Gsunshine/py-meanflow/issues/1) |
#
# ## What we have
#
# * **Essential:** the derivative along $(v, 0, 1)$, its factor $t-r$ and its sign; the stop-gradient; rows with $r<t$; a network that knows both times; asking at the noisy end.
# * **Taste, here:** which pair of times the network sees; bfloat16 in the derivative; pair's or own velocity in the tangent, nearly; a moving average, if the rate falls.
# * **The plane is not ImageNet:** it agrees on the tangents, and disagrees on $p$, on the share of jumps and on hiding $t$.
# * No mistake raised an error. **The loss did not tell**; two distances, two numbers of steps and five seeds did.
# * And the first picture: F is as it should be. B has the vector on the wrong side of the Jacobian, and you cannot see it.
#
# If your own mean flow does not work, start from the symptom:
#
# | you see | suspect |
# |---|---|
# | one step useless, eight steps passable | the derivative: tangents, anchor, no rows with $r<t$ |
# | eight steps worse than one | the velocity, $u(z, t, t)$: hidden $t$, a weight with $p>0$; or $t-r$ forgotten in the sampler |
# | the loss grows without bound | a sign, or $t-r$ forgotten in the target |
# | a loss lower than expected, useless samples | the stop-gradient, the tangents |
# | a loss of 1 that never moves | $p=1$: nothing is wrong, print the unweighted loss too |
# | everything a little blurred | optimiser, rate, average, times |
# | nothing at all | VJP for JVP, the weight of the batch mean: only a comparison with seeds shows them, if that |
#
# ## Exercises
#
# Each has a cell for your answer and a folded check that says what is wrong. The solution is folded too.
#
# **1. Which noise hurts?** Above, the exact velocity stood in the tangent, or in both places. Write the missing edit: the exact velocity, `dist.velocity(z, t.clamp(min=1e-3))`, in the target, and the pair's in the tangent. (Then predict, and train it.)

# %%
my_edit = ...  # a pair: (the line, what stands there instead)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
def first_losses(*edits):
    """The losses of the first steps: they tell one edit from another."""
    return edited(*edits).train(board, n_steps=40)[1]


exact = "dist.velocity(z, t.clamp(min=1e-3))"
line = "u_tgt = v_cond - (t - r) * dudt"
check(my_edit if my_edit is ... else first_losses(my_edit), first_losses((line, f"u_tgt = {exact} - (t - r) * dudt")),
      hint="The line to replace is the one that defines u_tgt; v_cond in it gives way.",
      mistakes={"That puts it into the tangent. Replace the line of u_tgt.": first_losses(("v = v_cond", f"v = {exact}")),
                "That puts it into both.": first_losses(("v = v_cond", f"v = v_cond = {exact}")),
                "That changes nothing.": first_losses()})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
exact_target = (line, f"u_tgt = {exact} - (t - r) * dudt")
torch.testing.assert_close(first_losses(exact_target), edited(exact_target).train(board, n_steps=40)[1])
print(diff(exact_target))

# %% [markdown]
# **2. Paired or not?** Take total variation in one step, on the spiral, of the case "100 %" and of the recipe: five seeds each. Give two standard errors of the difference of their means: as if the ten runs were independent, $\sqrt{s_1^2/5 + s_2^2/5}$, and paired, from the five differences.

# %%
one, other = (swept("spiral", case, "total_variation") for case in ("100 %", "as it should be"))
unpaired, paired = ..., ...

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
both = torch.stack([one, other])
expected = ((both.var(dim=1) / 5).sum().sqrt(), (one - other).std() / 5 ** 0.5)
for answer, right in zip((unpaired, paired), expected):
    check(answer, right, tolerance=1e-5, hint="torch's std and var divide by n − 1, as they should.",
          mistakes={"Divide by √5: the error of a mean is smaller than the spread.": right * 5 ** 0.5,
                    "Divide by n − 1 = 4 in the spread, not by 5.": right * 0.8 ** 0.5})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
gaps = one - other
print(f"difference {gaps.mean():.4f}; unpaired ± {((one.var() + other.var()) / 5).sqrt():.4f}, "
      f"paired ± {gaps.std() / 5 ** 0.5:.4f}")

# %% [markdown]
# **3. The best of fifty.** Which case has the lowest mean map error in one step on the spiral, among those a reader could use, that is, without the exact velocity? Give its name, or its mean map error.

# %%
best_case = ...

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
usable = {case: swept("spiral", case, "map_error").mean() for case in CASES if not case.startswith("exact")}
of_eight = {case: swept("spiral", case, "map_error", 8).mean() for case in usable}
answer = swept("spiral", best_case, "map_error").mean() if best_case in list(CASES) else best_case
check(answer, min(usable.values()), hint="min over CASES of swept('spiral', case, 'map_error').mean().",
      mistakes={"That one uses the exact velocity.": swept("spiral", "exact, in the target too", "map_error").mean(),
                "That is the best with eight steps.": usable[min(of_eight, key=of_eight.get)],
                "That is the recipe.": usable["as it should be"]})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
for case in sorted(usable, key=usable.get)[:3]:
    print(f"{case}: {usable[case]:.4f}")
print("The winner of fifty is flattered: it was chosen because its five seeds came out well.")

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Mean Flows for One-step Generative Modeling](https://arxiv.org/abs/2505.13447) (2025): Table 1.
# * Lu and Wang, [On Variance Reduction in Learning Mean Flows](https://arxiv.org/abs/2605.09235) (2026).
# * [Understanding, Accelerating, and Improving MeanFlow Training](https://arxiv.org/abs/2511.19065) (2025).
# * [AlphaFlow](https://arxiv.org/abs/2510.20771) (2025): shares and curricula.
# * Raymond Fan, *Introduction to Mean Flow* (2025).
