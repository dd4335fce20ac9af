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

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import inspect

import torch
from IPython.display import Code, Markdown, display

from mfutils import (
    DISTRIBUTIONS, MeanVelocityMLP, check, gaussian, mean_flow_loss, mean_velocity, sample_r_t,
    sliced_w2,
)
from mfutils.lab import digits, recipe
from mfutils.lab.cases import (
    CASES, GROUPS, NAMES, PAPER, diff, edited, load_sweep, swept, swept_points,
)
from mfutils.show import figures, plots, widgets

board = DISTRIBUTIONS["checkerboard"]

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw six trainings
six = ["(v, 1, 1)", "v times the Jacobian", "no stop-gradient", "t − r", "p = 1", "as it should be"]
fig = plots.clouds({letter: swept_points("checkerboard", case)[0] for letter, case in zip("ABCDEF", six)})
plots.show(fig, "Six clouds, A to F: one is scattered beyond the frame, one is blurred beyond "
                "recognition, four are checkerboards of different sharpness.")

# %% [markdown]
# *One step each. Six trainings ran to the end without an error. In five of them a line or two was changed. Which one is as it should be?*
#
# | | |
# |---|---|
# | **You will do** | replace single lines of a complete mean flow, predict what happens, and look; lay any two broken versions side by side; write an edit of your own |
# | **You will learn** | which ingredients are essential and which are taste; where the plane agrees with the paper's ImageNet ablations, and where it does not; which mistakes no loss curve shows |
# | **You need** | [notebook 4](04_mean_flow.ipynb); [notebook 7](07_inside_the_loss.ipynb) helps |
# | **Time** | 30 minutes to read, half a minute to run |

# %% [markdown]
# ## The recipe on one page
#
# Here is everything that makes a mean flow: inputs, training, sampling. The numbers are those that `train` and `sample` would give. Every line is there to be broken.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the recipe
Code(inspect.getsource(recipe.Network) + "\n\n" + inspect.getsource(recipe.train) + "\n\n"
     + inspect.getsource(recipe.sample), language="python")

# %% [markdown]
# To break it, name a line and what replaces it. Nothing else changes. For a start, we hide the time from the network: it sees $z$ and the length $t-r$ of the interval, but not where the interval lies.
#
# On ImageNet this costs little: an FID of 63.13 instead of 61.06, and less than seeing all three, $t$, $r$ and $t-r$ (63.98). **Predict:** and here? We train for ten seconds.

# %%
broken = edited(("return torch.cat([z, t, t - r], dim=1)", "return torch.cat([z, t - r], dim=1)"))
u_broken, losses = broken.train(board)
z_1, target = gaussian(50_000, torch.manual_seed(0)), board.sample(50_000)
clouds = {f"z and t − r: {steps} step{'s' * (steps > 1)}": broken.sample(u_broken, z_1, steps)
          for steps in (1, 8)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw them beside the recipe
right = dict(zip(("recipe: 1 step", "recipe: 8 steps"), swept_points("checkerboard", "as it should be")))
few = {title: points[:1000] for title, points in {**clouds, **right}.items()}
plots.show(plots.clouds(few), "Samples of a network that sees no t, with 1 and 8 steps: boards with bridges, then "
                              "collapsed squares; and those of the recipe.")
for steps, points in zip((1, 8), clouds.values()):
    five = swept("checkerboard", "t − r", "sliced_w2", steps).tolist()
    print(f"sliced W2, steps: {steps}: {sliced_w2(points, target):.3f} here; recorded with five seeds:",
          ", ".join(f"{value:.3f}" for value in five))

# %% [markdown]
# <details><summary>What happened</summary>
#
# It costs a lot. Where $r=t$ this network always sees $t-r=0$, so it cannot tell the velocity at one time from that at another. On images it can: a picture shows how noisy it is ([Sun et al. 2025](https://arxiv.org/abs/2502.13129)). A point in the plane does not.
#
# </details>
#
# So the plane is not ImageNet, and we will say each time which of the two we speak of.
#
# ## Fifty ways
#
# We have done the same for every ingredient: the recipe and fifty-one versions of it, two distributions, five seeds, 2,500 steps each (`make sweep`).
#
# We measure samples of one step and of eight by three numbers:
#
# * **sliced W2** (W2), which grows with how far mass strayed, in the units of the plane;
# * **total variation** (TV), the share of points in a wrong tile, of 64 × 64: from 0, perfect, to 1. It sees blurred edges;
# * the **map error**, how far a point lands from where the exact flow takes it (rms).
#
# And once for every network: the **field error**, how far $u_\theta$ is from the exact $u$ over all $r<t$ (rms), and the final **loss**.
#
# Within a seed, all versions see the same noise and the same target. So we compare **seed by seed**: by which factor is a version worse than the recipe? Take the logarithm of the five factors. If their mean is more than 4.6 standard errors from zero (99 % by Student's $t$), we call the factor **clear**, and mark the entry: ▼ on red for clearly worse (the darker, the more: up to 1.25 times, up to twice, more), ▲ on blue for clearly better. No mark means "not clear", never "no effect". We chose this
# bar before looking. Some entries pass it by chance; the cell below says how many to expect.

# %%
COLUMNS = {"1 step: W2": ("sliced_w2", 1), "TV": ("total_variation", 1), "map": ("map_error", 1),
           "8 steps: W2": ("sliced_w2", 8), "TV ": ("total_variation", 8), "map ": ("map_error", 8),
           "field": ("field_error", None), "loss": ("loss", None)}


def log_factors(case, name, metric, nfe=1, opponent="as it should be"):
    """Seed by seed: the logarithm of the factor by which a case is worse than another."""
    return (swept(name, case, metric, nfe) / swept(name, opponent, metric, nfe)).log()


def clear(logs):
    """The factor, or None where the seeds do not show one."""
    error = logs.std() / len(logs) ** 0.5
    return logs.mean().exp().item() if logs.mean().abs() > 4.6 * error else None


sweep = load_sweep()
print(f"{len(sweep['runs'])} runs, {sweep['cpu_hours']} CPU hours, PyTorch {sweep['torch']}, "
      f"Python {sweep['python']}; distances from {sweep['n']:,} points")
entries = [swept(name, case, metric, nfe).isfinite().all()
           for case in CASES for name in NAMES for metric, nfe in COLUMNS.values()
           if case != "as it should be" and metric != "loss"]
print(f"{sum(entries)} entries beside the recipe; at 1 % expect {sum(entries) / 100:.0f} by chance")

# %% cellView="form" jupyter={"source_hidden": true}
# @title How edits and samples are shown
def show_edits(*groups):
    """What each case takes out of the recipe and puts in."""
    cases = {case: edits for group in groups for case, (edits, _) in GROUPS[group].items()}
    return Code("\n\n".join(f"# {case}\n{diff(*edits)}" for case, edits in cases.items()), language="diff")


def show_clouds(group):
    """Samples on the board, of the recipe first."""
    cases = ["as it should be", *GROUPS[group]]
    rows = {f"{steps} step{'s' * (steps > 1)}": {case: swept_points("checkerboard", case)[k] for case in cases}
            for k, steps in enumerate((1, 8))}
    plots.show(plots.gallery(rows), f"Samples on the checkerboard, {group}, in one step and in eight: {'; '.join(cases)}.")


# %% cellView="form" jupyter={"source_hidden": true}
# @title How a table is made
def spread(values):
    digits = max(0, min(4, 2 - int(values.mean().log10().floor())))
    return f"{values.mean():.{digits}f} ± {values.std():.{digits}f}"


def show_table(group, name):
    """All measures of a group, each with a mark and a colour for its factor over the recipe, where that is clear."""
    rows, harms = {}, {}
    for case in ["as it should be", *GROUPS[group]]:
        label = case if CASES[case].fid is None else f"{case} · FID {CASES[case].fid}"
        rows[label] = {}
        for column, (metric, nfe) in COLUMNS.items():
            values = swept(name, case, metric, nfe)
            rows[label][column] = spread(values) if values.isfinite().all() else ""
            if case != "as it should be" and metric != "loss":
                harms[label, column] = clear(log_factors(case, name, metric, nfe))
    floor = {column: sweep["floor"].get(metric, {}).get(name) for column, (metric, _) in COLUMNS.items()}
    rows["noise floor"] = {column: f"{values[0]:.3g}" if values else "" for column, values in floor.items()}
    plots.table(rows, corner=name, harms=harms)


# %% cellView="form" jupyter={"source_hidden": true}
# @title How a group is shown
def show(*groups):
    for group in groups:
        if len(groups) > 1:
            display(Markdown(f"**{group.capitalize()}**"))
        show_clouds(group)
        for name in NAMES:
            show_table(group, name)


# %% [markdown]
# ## The tangents
#
# The total derivative moves $z$ with the velocity, holds $r$ still and lets $t$ advance: $(v, 0, 1)$. Each of the following is one slip away. The last takes the vector from the wrong side, $v\,\partial u/\partial z$ for $(\partial u/\partial z)\,v$: a VJP, which is what `backward` computes, instead of a JVP.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: the tangents
show_edits("the tangents")

# %% [markdown]
# **Predict:** one of the five does far less damage than the others. Which?
#
# *Pictures: the checkerboard, first seed. Tables: mean of five seeds ± standard deviation. FID: what the paper reports for the same change to its own recipe, on ImageNet, in one step; unchanged it has 61.06.*

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: the tangents
show("the tangents")

# %% [markdown]
# <details><summary>What happened</summary>
#
# * $(v, 0, 0)$ forgets that time goes on, $(v, 1, 0)$ moves $r$, which should stand still, instead of $t$, $(v, 1, 1)$ moves both, $(0, 0, 1)$ forgets that the particle moves. Each ruins one step. Eight steps repair the checkerboard to the eye, since the derivative is weighted by $t-r$. They do not repair it by the numbers, and on the spiral total variation is up to 4.6 times the recipe's.
# * Three of the five have a *lower* loss than the recipe. We come back to this.
# * The vector on the wrong side is hard to see: sliced W2 and map error of one step grow by a third on the checkerboard, and W2 nearly doubles on the spiral; total variation shows nothing clear, and eight steps neither. Why so little? For the exact $v$ the side does not matter: $v$ is the gradient of a function of $z$, so its Jacobian is **symmetric**. (By Tweedie's formula, $v$ is a combination of $z$ and the gradient of the log density.) The Jacobian of $u$ is not,
# because it also holds the stretching along the path. In the plane, at most places, it is nearly so.
#
# </details>
#
# The side of the Jacobian matters as far as it is not symmetric. Its antisymmetric share, for the exact $u$ at 500 places of the checkerboard:

# %%
def asymmetry(r, t, n=500):
    """|J − Jᵀ| / 2|J| for the Jacobian J of the exact u: quartiles over n points."""
    z = (1 - t) * board.sample(n) + t * gaussian(n)
    _, columns = torch.func.jvp(lambda z: mean_velocity(board, z, r, t), (z.repeat(2, 1),),
                                (torch.eye(2).repeat_interleave(n, dim=0),))
    jacobian = torch.stack(columns.split(n), dim=2)
    share = (jacobian - jacobian.mT).norm(dim=(1, 2)) / 2 / jacobian.norm(dim=(1, 2))
    return share.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()


torch.manual_seed(0)
for r, t in ((0.69, 0.7), (0.3, 0.7), (0.0, 0.7), (0.0, 1.0)):
    low, median, high = asymmetry(r, t)
    print(f"r = {r:.2f}, t = {t}: median {median:.1%}, quartiles {low:.1%} and {high:.1%}")

# %% [markdown]
# ## The velocity in the tangent
#
# The identity wants the marginal velocity in the tangent. The paper gives it the pair's, improved mean flow the network's own; one may also mix the two, as [Lu and Wang (2026)](https://arxiv.org/abs/2605.09235) do, on two-dimensional data and on images. We know the exact one, too, and can put it into the tangent, into the target, or into both, where no noise is left at all.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: the velocity in the tangent
show_edits("the velocity in the tangent")

# %% [markdown]
# **Predict:** if the exact velocity in both places removes half of the map error, how much will it remove in the tangent alone, and in the target alone?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: the velocity in the tangent
show("the velocity in the tangent")

# %% [markdown]
# <details><summary>What happened</summary>
#
# Without any noise, map error and field error fall by half. But the exact velocity in the tangent alone takes off a seventh of the map error, and in the target alone a tenth (not clear on the spiral). The reason is that it is *one* noise, seen twice. With $J$ and $\Delta$ of [notebook 7](07_inside_the_loss.ipynb), the noise of the target is $J\Delta$ in the recipe, $\Delta$ with the exact tangent, and $(J-I)\,\Delta$ with the exact target. The loss, nearly all of it noise, shows its size on the checkerboard: 5.5, 3.4 and 1.7. The errors fall far less, until all noise is gone.
#
# </details>
#
# The network's own velocity gains half of what the exact one does in the tangent, on the checkerboard. On the spiral its gain is not clear, but the gain of each of the three mixtures is. One-step TV shows no clear difference between tangents.
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
# <details><summary>What happened</summary>
#
# * **No stop-gradient:** the lower loss, and useless samples. The network makes its target quiet instead of right ([notebook 7](07_inside_the_loss.ipynb)).
# * **Forgotten $t-r$** and **plus for minus**: the final loss is anything from 20 to 200,000, by seed, where the recipe has about 5. Means and standard deviations are made by one or two seeds; a white entry there means that the seeds differ wildly. With the plus, a perfect $u$ would have to satisfy $u - (t-r)\,\mathrm{d}u/\mathrm{d}t = v$, which is another equation than the identity. Each target moves $u$ by $(t-r)\,\mathrm{d}u/\mathrm{d}t$ in the direction in which it should be held back. (In notebook 7, $V = u + (t-r)\,\mathrm{d}u/\mathrm{d}t$ has a plus, and rightly:
# it stands on the other side of the identity.)
# * **bfloat16** in the derivative changes nothing that we can measure. It is one term of the target, and its rounding is small against the noise of one pair. That is a statement about this small network, not about large ones.
#
# </details>
#
# ## Which 25 %?
#
# The paper's best setting on ImageNet is "25 %". Of what? Of the rows with $r \ne t$; the other 75 % are plain flow matching. On CIFAR the same paper has it the other way round, 75 % with $r\ne t$. The recipe has 37.5 %, an eighth of all rows among them with $r=0$. Here are five other shares, and a version that gives no rows to $r=0$.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: the share of rows with r < t
show_edits("the share of rows with r < t")

# %% [markdown]
# **Predict:** is 0 % a mean flow? Does 100 %, with no plain flow matching at all, still train?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: the share of rows with r < t
show("the share of rows with r < t")

# %% [markdown]
# <details><summary>What happened</summary>
#
# 0 % trains $u(z, t, t)$ only. Asked for a jump it extrapolates, and one step is useless; eight are better, with seven times the W2 of the recipe. From 25 % on, all shares train, even 100 %. In one step, more rows with $r<t$ are better: 100 % has the lowest mean by all three measures on both data sets. With eight steps it is the worst of the four: the velocity gets no rows of its own. So the share moves quality between few steps and many. The paper's FID, in one step, is best at 25 %, and rises from there; here it
# is the other way round. (At 25 %, half of our rows with $r<t$ have $r=0$; the paper has no such rows.) Without rows at $r=0$ one step is a little worse, clearly so only by sliced W2 on the checkerboard.
#
# </details>
#
# ## The power of the loss
#
# The paper weights each sample's squared error $e$ by $1/(e+c)^p$, without gradient through the weight. On ImageNet it finds $p=1$ best. Our recipe has $p=0$.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: the loss
show_edits("the loss")

# %% [markdown]
# **Predict:** does the plane agree? And what does it change to take the weight of the *batch mean* instead of each sample's?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: the loss
show("the loss")

# %% [markdown]
# <details><summary>What happened</summary>
#
# **The plane contradicts the paper.** On ImageNet $p=1$ is best; here every power above zero makes the field worse. A weight that favours small errors pulls the minimiser away from the mean of the targets, and only the mean is right. In the plane the targets of one place lie far apart in a few clumps, so a robust centre is far from the mean. On images, squared errors are sums over thousands of coordinates and vary little from pair to pair. There the weight mostly balances different $(r, t)$ against
# each other. (This is our explanation; we have not tested it on images.)
#
# * On the spiral, one step has an even lower total variation with $p=\tfrac12$ (not clearly), while the field is 1.8 times worse. Judge by one number, and you keep a biased field.
# * With $p=1$ the loss reads 1 all the time. With $p=2$ it is worse than useless: $e/(e+c)^2$ goes to zero for *large* errors, so the one seed on the checkerboard that went astray has the lowest loss of the five.
# * The weight of the **batch mean** is one factor for all samples. Adam and Muon hardly mind how large a gradient is, so nothing changes: it is no adaptive weight at all.
# * The weight of the **squared loss** falls as fast as that of $p=2$ for all but tiny errors, and is about as bad as $p=1.5$.
# * With $p=1$ the tangent matters more than with $p=0$, since the weight turns noise into bias: on the spiral the own tangent has a third of the pair's W2 in one step; on the checkerboard it has more.
#
# </details>
#
# ## Times, inputs, optimiser
#
# These are the knobs that people turn first. Hiding $t$ we have seen. **Predict:** does hiding $r$ do as much harm? And among the times and the optimisers, which change matters the most?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: times, inputs, optimiser
show_edits("the times", "what the network sees", "the optimiser")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: times, inputs, optimiser
show("the times", "what the network sees", "the optimiser")

# %% [markdown]
# <details><summary>What happened</summary>
#
# * **Times:** all five are worse than the recipe's squared uniform times, most clearly with eight steps. Those were chosen on these same data, so this is no surprise. Between the five hardly anything is clear.
# * **What the network sees:** it needs both times. Without $r$ it must give one answer for all intervals that end at $t$: one step is as bad as with the worst tangents. Without $t$, eight steps suffer the most. $(t, r)$, $(t, t-r)$ and all three are alike but for one entry. A network can subtract.
# * **Adam** for all weights is worse after 2,500 steps, at the two rates we tried (the better one is the higher; a still higher one might be better). It is also quicker, 8 seconds a run against 11.
# * A **constant rate** alone raises map and field error by about a seventh on the checkerboard. Leaving out the **moving average** alone changes nothing, here where it remembers a hundred steps and the rate falls to zero. Without both, errors double. Lowering the rate and averaging the weights are two ways to calm the last steps.
# * The **tutorials' recipe** (uniform times, no rows with $r=t$, Adam, constant rate, no average) works, with twice the map error of ours after as many steps.
#
# </details>
#
# ## Sampling, and the direction of time
#
# A network that was trained well can still be asked wrongly. And much of the literature has noise at $t=0$. In the last two cases the roads are turned round, and the sampler with them. In the first of the two, $z$ stays at the end $t$ of the interval, and the identity stays as it was. In the second, $z$ lies at the end $r$.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the edits: sampling, the direction of time
show_edits("sampling", "the direction of time")

# %% [markdown]
# **Predict:** which of the four ways of sampling is harmless in one step? And which of the last two is as good as the recipe?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show what happened: sampling, the direction of time
show("sampling", "the direction of time")

# All samples, for the panel below.
samples, said = {}, {}
for group, cases in GROUPS.items():
    for case in cases:
        for name in NAMES:
            for steps, points in zip((1, 8), swept_points(name, case)):
                key = name, steps, f"{group}: {case}"
                samples[key] = points
                said[key] = f"TV {swept(name, case, 'total_variation', steps)[0]:.2f}"
targets = {name: DISTRIBUTIONS[name].sample(1000, torch.manual_seed(0)) for name in NAMES}

# %% [markdown]
# <details><summary>What happened</summary>
#
# * **Forgotten $t-r$** in sampling: with one step it is 1, so nothing is seen. With eight, every step is eight times too long.
# * **Added** for subtracted, **swapped** times and the **wrong end** show at once in one step. With eight steps, swapped times on the board might pass for a network that wants more training.
# * **Noise at 0** with the identity as it was: each average velocity then belongs to its *data* end, while the sampler asks at the noisy one. With eight steps on the checkerboard it looks like a board, only worse; with one it is a blur. With $z$ at $r$ (tangents $(v, 1, 0)$, and a plus) no clear difference to the recipe is left. **The direction of time is a convention. That the velocity belongs to the end where sampling starts is not.**
#
# </details>
#
# ## Any two, side by side
#
# Choose a case for the left square and one for the right, and step through the menus with the arrow keys. (All were trained for 2,500 steps only, a fifth of the recipe's: even the one that is right is still blurred. A fifth of the recorded points is shown.) Which mistakes would you not have noticed from eight steps? Which do you notice only on the spiral?

# %%
widgets.cases(samples, targets, said)

# %% [markdown]
# **What happened.** From eight steps on the checkerboard, most of the wrong tangents, too many rows with $r<t$, and swapped times pass for a network that wants more training. On the spiral, swapped times, noise at 0 and Adam show more. Try your method on more than one data set, and in the number of steps you mean to use.
#
# ## Does the loss tell?
#
# Here are all cases whose target is made of $\varepsilon - x$, unweighted, with the recipe's times. **Predict:** imagine a dot for each, loss against distance. Do the dots rise, fall, or neither?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw loss and quality
same_scale = ["as it should be", *GROUPS["the tangents"], *list(GROUPS["the velocity in the tangent"])[:5],
              "no stop-gradient", *GROUPS["what the network sees"], *GROUPS["the optimiser"]]
dots = {case: (swept("checkerboard", case, "loss").mean(), swept("checkerboard", case, "sliced_w2").mean())
        for case in same_scale if case != "tutorials' recipe"}
named = ["as it should be", "(v, 1, 1)", "t − r", "v times the Jacobian", "(0, 0, 1)", "own",
         "Adam, rate 0.001", "(v, 0, 0)", "t"]
labels = dict.fromkeys(named, "right") | {"(v, 1, 0)": "above", "own": "above", "exact": "below",
                                          "no stop-gradient": "below"}
fig = figures.loss_and_quality(dots, labels, "final training loss", "sliced W2 of one step")
plots.show(fig, "A dot for each case on the checkerboard, final loss against one-step distance: among the "
                "lowest losses are some of the best samples and the worst.")

# %% [markdown]
# <details><summary>What happened</summary>
#
# Neither. The lowest losses belong to $(v, 1, 0)$, $(0, 0, 1)$, $(v, 0, 0)$ and the missing stop-gradient, which are useless, and to the own and the exact tangent, which are among the best. The recipe's own loss is higher, since its target is noisier. Loss curves can be compared between runs with the *same* target only. Look at samples, at two distances.
#
# </details>
#
# ## Does the plane agree with ImageNet?
#
# The paper's Table 1 varies one thing at a time, on ImageNet with a transformer, and judges by the FID of one step. Here is each of its settings against its best one in the same part of the table: for the FID the ratio, for the plane the factor, seed by seed, with its standard error, in one step. Compare directions, not sizes: FID is another kind of number, given without a spread. And both depend on the rest of the recipe: the paper varies around $p=1$ and 25 %, we around $p=0$ and 37.5 %.
#
# Between the two lie the handwritten digits of [notebook 10](10_pixels.ipynb): 64 pixels, a residual MLP, 3,000 steps around $p=0$, 50 % and two uniform times, five seeds, judged by the Fréchet distance (`make digits`). **Predict:** will the digits side with the plane or with ImageNet, (a) on the share of rows, (b) on the tangents, (c) on hiding $t$, (e) on the power?

# %%
BEST = {"(a) rows with r < t": ("25 %", "the share of rows with r < t"),
        "(b) tangents": ("as it should be", "the tangents"),
        "(c) inputs": ("as it should be", "what the network sees"),
        "(d) times": ("logit-normal (−0.4, 1.0)", "the times"),
        "(e) power": ("p = 1", "the loss")}


TV = "total_variation"
OURS = {("(b) tangents", "as it should be"): "(v, 0, 1)", ("(e) power", "as it should be"): "p = 0",
        ("(c) inputs", "as it should be"): "t, t − r"}  # what the recipe has there


def verdict(logs):
    """The factor ± its standard error; with a word where it is clear."""
    mean, error = logs.mean().exp().item(), logs.mean().exp().item() * logs.std().item() / 5 ** 0.5
    word = "" if clear(logs) is None else " worse" if mean > 1 else " better"
    return f"{mean:.2f} ± {error:.2f}{word}"


# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the table
SHORT = digits.load_record()["short"]  # steps of training
RECIPE_THERE = {"50 %": "as it should be", "uniform": "as it should be"}  # on digits
ON_DIGITS = {run["method"] for run in digits.load_record()["runs"] if run["n_steps"] == SHORT}


def of_digits(case, best):
    """The same factor on digits, by the Fréchet distance of one step; no text where it was not run."""
    case, best = (RECIPE_THERE.get(name, name) for name in (case, best))
    if not {case, best} <= ON_DIGITS:
        return ""
    scores = [torch.tensor(digits.recorded(name, "frechet", 1, n_steps=SHORT)) for name in (case, best)]
    return verdict((scores[0] / scores[1]).log())


table = {}
for part, (best, group) in BEST.items():
    fids = {case: fid for case, (_, fid) in GROUPS[group].items() if fid and case != best}
    if group == "the loss":
        fids["as it should be"] = 79.75  # p = 0
    for case, fid in fids.items():
        row = {f"{name}, {short}": verdict(log_factors(case, name, metric, 1, best))
               for name in NAMES for short, metric in (("W2", "sliced_w2"), ("TV", TV))}
        this, other = (OURS.get((part, name), name) for name in (case, best))
        table[f"{part}: {this} against {other}"] = row | {
            "digits, Fréchet": of_digits(case, best), "ImageNet, FID": f"{fid / PAPER:.2f}"}
plots.table(table, corner="plane → digits → ImageNet", guess=True)
entries = [text for row in table.values() for name, text in row.items() if text and "ImageNet" not in name]
print(f"clear: {sum(text.endswith(('worse', 'better')) for text in entries)} of {len(entries)}")


def unknown(x, n=500):
    """The standard deviation of t given z_t alone (rms over n points), for data that are the points x, by Bayes."""
    generator = torch.Generator().manual_seed(0)
    t, levels = torch.rand(n, 1, generator=generator), (torch.arange(40) + 0.5) / 40
    z = (1 - t) * x[torch.randint(len(x), (n,), generator=generator)] + t * torch.randn(n, x.shape[1], generator=generator)
    log_density = torch.stack([(-torch.cdist(z, (1 - s) * x).square() / (2 * s**2)).logsumexp(dim=1) - x.shape[1] * s.log()
                               for s in levels], dim=1)
    likely = log_density.softmax(dim=1)
    mean = likely @ levels
    return (likely * (levels - mean[:, None]).square()).sum(dim=1).mean().sqrt().item()


print(f"how uncertain t is, given z alone: checkerboard {unknown(board.sample(1347)):.2f}, spiral "
      f"{unknown(DISTRIBUTIONS['spiral'].sample(1347)):.2f}, digits {unknown(digits.load()[0].images):.2f}; "
      f"given nothing {12**-0.5:.2f}")

# %% [markdown]
# <details><summary>What happened</summary>
#
# * (a) All agree that 0 % is no mean flow. Otherwise the plane **contradicts** the paper: more rows with $r<t$ are better in one step, clearly in four of eight entries, and worse in none. **The digits lie between**: 50 % is a little better, as in the plane; 100 % is worse by a tenth, as in the paper.
# * (b) All **agree**: each ruins one step. By sliced W2 and on digits $(v, 1, 1)$ is the least bad, as in the paper; total variation orders them differently.
# * (c) Hiding $t$ costs 3 % on ImageNet, a fifth on digits, and sixfold and more by sliced W2 in the plane: the digits lie **between**. The last line says why that may be: a digit tells its own time to within 0.04, a point in the plane hardly at all; that more pixels tell more is a guess. Of the other two settings, one entry of eight is clear in the plane, and small.
# * (d) shows **nothing clear** but one entry of sixteen in the plane, and that one is against the paper's choice. Its gaps of a few per cent are below what five seeds can see here.
# * (e) The plane **contradicts** where $p$ is below 1, which is clearly better here, and agrees above it as far as it is clear. **The digits side with the plane**: both $p=0$ and $p=\tfrac12$ are better than 1 by a fifth.
#
# </details>
#
# A setting tuned on images is a guess in the plane, and the other way round.
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
# * `autograd.functional.jvp` gives a $u$ without gradient unless you pass `create_graph=True`. If only the target comes from it, nothing complains, and nothing is wrong; if the loss is built from that $u$ alone, `backward` fails.
# * With $p=1$ the loss reads 1 before, during and after training.
#
# ## What we have
#
# * **Essential:** the derivative along $(v, 0, 1)$, its factor $t-r$ and its sign; rows with $r<t$; a network that knows both times; asking at the noisy end; and, with noisy velocities, the stop-gradient.
# * **Taste, here:** which two numbers tell the network its times; bfloat16 in the derivative; with $p=0$, pair's or own velocity in the tangent, nearly; a moving average, if the rate falls.
# * **The plane is not ImageNet:** it agrees on the tangents, and disagrees on $p$, on the share of rows with $r<t$ and on hiding $t$. Small images are neither: on $p$ they side with the plane, on 100 % of such rows with ImageNet, on hiding $t$ they lie between.
# * No mistake raised an error. Only the two that explode show in **the loss**. Two distances, two numbers of steps and five seeds told the rest.
# * The first picture: A has the tangents (v, 1, 1), B the vector on the wrong side, C no stop-gradient, D no $t$, E has $p=1$. F is as it should be; to tell it from B you need numbers.
#
# If your own mean flow does not work, start from the symptom:
#
# | you see | suspect |
# |---|---|
# | one step useless, eight steps much better | the derivative: tangents, the end where $z$ lies, no rows with $r<t$ |
# | eight steps hardly better than one, or worse | the velocity, $u(z, t, t)$: too few rows with $r=t$, hidden $t$, a weight with $p>0$; or $t-r$ forgotten in the sampler |
# | the loss grows without bound | a sign, or $t-r$ forgotten in the target |
# | a loss far below that of a working run with the same target | the stop-gradient, the tangents |
# | a loss of 1 that never moves | $p=1$: nothing is wrong, print the unweighted loss too |
# | everything a little blurred | optimiser, rate, average, times |
# | hardly anything | VJP for JVP; the weight of the batch mean: only a comparison over seeds shows the first; nothing here shows the second |
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
# | a loss that grows without bound | here: *The target* |
# | a loss that is flat while samples get better, or low while they are bad | here, *Does the loss tell?*; [4](04_mean_flow.ipynb), *Watch it learn* |
# | "without `detach` it never trains": only with noise | [7](07_inside_the_loss.ipynb), *Detach, and noise*; here |
# | "a lower mean-flow loss is a better $u$": no | [7](07_inside_the_loss.ipynb), *The loss of the truth*; here |
# | "the conditional tangent always costs variance": no | [7](07_inside_the_loss.ipynb), *Which tangent?* |
# | "more steps are worse", "more steps are better" | [5](05_comparison.ipynb); here, *The power of the loss*: they can be worse where the field is biased |
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
# | guidance in training and again in sampling | worse samples at any scale but 1 when sampling | [MeanFlow#45](https://github.com/zhuyu-cs/MeanFlow/issues/45) |
# | a flat loss on images, while FID falls | as here, with no picture to look at | [py-meanflow#1](https://github.com/Gsunshine/py-meanflow/issues/1) |
#
# ## Exercises
#
# Each has a cell for your answer and a folded check that says what is wrong. The solution is folded too.
#
# **1. Half an identity.** Write the edit that takes away only half of the derivative: $u_\text{tgt} = v_\text{cond} - \tfrac12 (t-r)\,\mathrm{d}u/\mathrm{d}t$. Then predict: is one step half as good, and what becomes of eight?

# %%
my_edit = ...  # a pair: (the line, what stands there instead)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
def first_losses(*edits):
    """The losses of the first steps: they tell one edit from another."""
    return edited(*edits).train(board, n_steps=40)[1]


line = "u_tgt = v_cond - (t - r) * dudt"
check(my_edit if my_edit is ... else first_losses(my_edit),
      first_losses((line, "u_tgt = v_cond - (t - r) * dudt / 2")),
      hint="The line to replace is the one that defines u_tgt.",
      mistakes={"That changes nothing.": first_losses(),
                "That takes away none of it.": first_losses((line, "u_tgt = v_cond")),
                "That halves the velocity, too.": first_losses((line, "u_tgt = (v_cond - (t - r) * dudt) / 2")),
                "That adds it. The identity has a minus.": first_losses((line, "u_tgt = v_cond + (t - r) * dudt / 2"))})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
half = edited((line, "u_tgt = v_cond - (t - r) * dudt / 2"))
for name, page in {"half": half, "whole": recipe}.items():
    trained, _ = page.train(board, n_steps=1000)
    scores = [sliced_w2(page.sample(trained, z_1, steps), target) for steps in (1, 8)]
    print(f"{name} of the derivative, 1,000 steps: sliced W2 {scores[0]:.3f} in one step, {scores[1]:.3f} in eight")

# %% [markdown]
# **2. Paired or not?** Take the map error of one step, on the checkerboard, of the case "own" and of the recipe: five seeds each. Give the standard error of the difference of their means in two ways: as if the ten runs were independent, $\sqrt{s_1^2/5 + s_2^2/5}$, and paired, from the five differences. Which of the two lets you call the difference real?

# %%
one, other = (swept("checkerboard", case, "map_error") for case in ("own", "as it should be"))
unpaired, paired = ..., ...

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
both = torch.stack([one, other])
expected = ((both.var(dim=1) / 5).sum().sqrt(), (one - other).std() / 5 ** 0.5)
for answer, right in zip((unpaired, paired), expected):
    check(answer, right, tolerance=1e-5, hint="torch's std and var divide by n − 1, as they should.",
          mistakes={"Divide by √5: the error of a mean is smaller than the spread.": right * 5 ** 0.5,
                    "Divide by n − 1 = 4 in the spread, not by 5.": right * 0.8 ** 0.5})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
gaps = one - other
print(f"difference {gaps.mean():.4f}; unpaired ± {((one.var() + other.var()) / 5).sqrt():.4f}, "
      f"paired ± {gaps.std() / 5 ** 0.5:.4f}")

# %% [markdown]
# **3. The best of fifty.** `CASES` lists all cases by name. Which has the lowest mean map error in one step on the spiral, among those that do not use the exact velocity? Give its name, or its mean map error.

# %%
best_case = ...

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
usable = {case: swept("spiral", case, "map_error").mean() for case in CASES if "exact" not in case}
of_eight = {case: swept("spiral", case, "map_error", 8).mean() for case in usable}
answer = swept("spiral", best_case, "map_error").mean() if best_case in list(CASES) else best_case
check(answer, min(usable.values()), hint="min over CASES of swept('spiral', case, 'map_error').mean().",
      mistakes={"That one uses the exact velocity.": swept("spiral", "exact, in the target too", "map_error").mean(),
                "That is the best with eight steps.": usable[min(of_eight, key=of_eight.get)],
                "That is the recipe.": usable["as it should be"]})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
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
