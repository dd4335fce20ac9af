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
# # 10. Pixels
#
# **The question.** Does MeanFlow still work on images?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Imports
import inspect
import math

import torch
from IPython.display import Code

import mfutils
from mfutils import (
    check, flow_map, gaussian, interpolate, mean_flow_loss, midpoint, sample, sliced_w2,
    total_derivative, train,
)
from mfutils.lab import digits, judges
from mfutils.show import figures, plots, widgets

training, held_out = digits.load()
u_net = digits.load_pretrained("mean_flow")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw three sheets
classes = torch.arange(10).repeat(2)
z_1 = digits.rows(gaussian(20, torch.manual_seed(0), d=64), classes)
written = torch.stack([held_out.images[held_out.classes == c][k] for k in range(2) for c in range(10)])
puzzle = {"A": digits.image(sample(u_net, z_1, 1)), "B": written, "C": digits.image(flow_map(training, z_1, 0, 1))}
fig = plots.sheets(puzzle, columns=5)
plots.show(fig, "Three sheets, A to C, of handwritten digits from 0 to 9, each digit twice. All look alike.")

# %% [markdown]
# *One sheet was written by people. One is made from noise in one step of a network. One is made by the exact flow, without any error. Which is which?*
#
# | | |
# |---|---|
# | **You will do** | train the loss of notebook 4 on handwritten digits; compare one step with thirty-two; turn guidance up and down; fill the space between 3 and 8 |
# | **You will learn** | that nothing in the method was two-dimensional; why the exact answer is the wrong one on images; what each way of judging images is blind to; how guidance goes into one step |
# | **You need** | [notebook 4](04_mean_flow.ipynb), and [5](05_comparison.ipynb) for the names of the methods |
# | **Time** | 30 minutes to read, half a minute to run |

# %% [markdown]
# ## A picture is a point
#
# The digits have 8 × 8 pixels, from −1 (paper) to 1 (ink). Row by row, that is a point with 64 coordinates. A pair of a digit $x$ and noise $\varepsilon$ has its straight road, as in the plane.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw ten roads
ten = training.images[[2, 4, 6, 8, 10, 12, 14, 16, 18, 20]], gaussian(10, torch.manual_seed(1), d=64)
road = {f"t = {now}": interpolate(*ten, now)[0] for now in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}
plots.show(plots.sheets(road, columns=10, width=6.5), "Ten digits, which drown in noise from the first row to the last.")

# %% [markdown]
# *Ten roads, one to a column.* Until which $t$ can you tell the digit?
#
# In the plane we squared the times: $t$ was uniform, and $r$ leaned to data, where the fine detail is. A picture has its shape to find first. So here we draw two plain uniform times and call the larger one $t$, which then leans to noise. Half of the rows have $r=t$, one eighth has $r=0$.
#
# ## The condition stays fixed
#
# We want to say *which* digit. So a row gets ten more columns for its class: a 1 in one of them, or zeros where the class is not given. The road leaves these columns alone: we set their "noise" equal to their value. So their velocity is 0, and so is their average velocity. **To the method, a condition is a coordinate that does not move.**

# %%
x = training.sample(512, torch.manual_seed(0))
eps = digits.keep_condition(x, torch.randn(512, 74))
r, t = digits.two_times(512, torch.manual_seed(0))
z, v_cond = interpolate(x, eps, t)
print("x:", tuple(x.shape), " r and t:", tuple(t.shape))
print("the class does not move:", bool((v_cond[:, 64:] == 0).all()))
print(f"rows without a class: {(x[:, 64:] == 0).all(dim=1).float().mean():.0%}")

# %% [markdown]
# One row in ten hides its class. So the same network also learns the velocity of *any* digit. Guidance will need it.
#
# The network is a plain residual MLP. It sees $z$ with the class, and the times as before. Its answer for the class columns is always 0.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the network
Code(inspect.getsource(digits.ResidualMLP.__init__) + "\n" + inspect.getsource(digits.ResidualMLP.forward),
     language="python")

# %% [markdown]
# ## The same functions
#
# Now the loss of notebook 4, line by line, on the batch above. Is there a line that knows about pictures?

# %%
torch.manual_seed(0)
small = digits.ResidualMLP(width=128, inner=192, depth=2)
u, dudt = total_derivative(small, z, r, t, v_cond)
u_tgt = v_cond - (t - r) * dudt
loss = (u - u_tgt.detach()).square().sum(dim=1).mean()
print(f"loss: {loss:.3f}")

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check that they are the functions of the plane
assert loss == mean_flow_loss(small, x, eps, r, t)
for name in ("interpolate", "mean_flow_loss", "improved_mean_flow_loss", "self_distilled_mean_flow_loss",
             "flow_matching_loss", "total_derivative", "sample_r_t"):
    assert getattr(digits, name) is getattr(mfutils, name)
assert digits.train is mfutils.train
_, by_torch = torch.func.jvp(small, (z, r, t), (v_cond, torch.zeros_like(r), torch.ones_like(t)))
torch.testing.assert_close(dudt, by_torch, atol=1e-4, rtol=1e-4)

# %% [markdown]
# No line does. Points were (n, d) all along. A U-Net or a transformer wants images of shape (n, c, h, w). Then two things change: for the arithmetic, times are shaped (n, 1, 1, 1); and the squared error is summed over all that follows $n$. The network still gets times as (n, 1), and the class beside the picture.

# %%
def u_image(z, r, t):  # in place of a U-Net: z (n, 1, 8, 8); r and t (n, 1); the class is x[:, 64:]
    return small(torch.cat([z.flatten(1), x[:, 64:]], dim=1), r, t)[:, :64].view_as(z)


x_image, eps_image = (part[:, :64].view(-1, 1, 8, 8) for part in (x, eps))
wide_r, wide_t = (time.view(-1, 1, 1, 1) for time in (r, t))
z_image, v_image = (1 - wide_t) * x_image + wide_t * eps_image, eps_image - x_image
tangents = v_image, 0 * r, torch.ones_like(t)
u_of_images, its_rate = torch.func.jvp(u_image, (z_image, r, t), tangents)
images_tgt = v_image - (wide_t - wide_r) * its_rate
print(f"loss: {(u_of_images - images_tgt.detach()).square().flatten(1).sum(dim=1).mean():.3f}")

# %% [markdown]
# The same number. Now we train with the `train` of the earlier notebooks, for half a minute. Our network is smaller than the shipped one (two blocks of width 128, not three of 192) and gets 4,000 steps, not 6,000. **Predict:** what will 32 steps do better than one?

# %%
conditioned = digits.conditioned(mean_flow_loss)  # with keep_condition(x, eps) for eps
u_small, losses = train(small, conditioned, training.sample, digits.two_times, n_steps=4000,
                        batch_size=512, lr=2e-3, ema_decay=0.995)
z_ten = digits.rows(gaussian(10, torch.manual_seed(2), d=64), torch.arange(10))
made = {"noise": z_ten, "trained here, 1 step": sample(u_small, z_ten, 1),
        "trained here, 32 steps": sample(u_small, z_ten, 32),
        "shipped, 1 step": sample(u_net, z_ten, 1), "shipped, 32 steps": sample(u_net, z_ten, 32)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw what they make
fig = plots.sheets({name: digits.image(rows) for name, rows in made.items()}, columns=10, width=6.5)
plots.show(fig, "Rows of ten images: noise; digits from 0 to 9 of the network trained here, in one step and in 32; and of "
                "the shipped network. In each column nearly the same digit.")

# %% [markdown]
# <details><summary>What happened</summary>
#
# Not much: a stroke is closed here, a speck removed there. One step of a network trained for half a minute writes digits, each of the class we asked for. And both networks make nearly the same digit from the same noise.
#
# </details>
#
# ## The exact velocity again
#
# In the plane we knew the exact velocity of each distribution. Here we know it too: the training digits are 1,347 points. Given $z_t$, each of them has a probability, by a softmax over squared distances.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the exact velocity
Code(inspect.getsource(digits.Digits.velocity) + "\n"
     + inspect.getsource(digits.Digits._velocity), language="python")

# %% [markdown]
# **Predict:** where does the flow of this velocity end?

# %%
z_held = digits.rows(gaussian(450, torch.manual_seed(0), d=64), held_out.classes)
exact, learned = map(digits.image, (flow_map(training, z_held, 0, 1), sample(u_net, z_held, 1)))
how_far = {"held-out digits": judges.nearest(held_out.images, training.images)[0],
           "one step of the network": judges.nearest(learned, training.images)[0],
           "the exact flow": judges.nearest(exact, training.images)[0]}
for name, distance in how_far.items():
    print(f"{name}: nearest training digit {distance.mean():.2f} away, "
          f"at least {distance.min():.2f}")
order, other = held_out.classes.argsort(), exact.clone()
other[order] = exact[order.roll(1)]  # of its neighbour in the same class
print(f"one step to exact flow: of the same noise {(learned - exact).norm(dim=1).mean():.2f}, "
      f"of another {(learned - other).norm(dim=1).mean():.2f}")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw samples over their nearest training digits, and the distances
first = torch.stack([torch.nonzero(held_out.classes == c)[0, 0] for c in range(10)])
rows = {}
for name, images, below in (("exact flow", exact, "nearest to it"), ("one step, same noise", learned, "nearest to these"),
                            ("held out", held_out.images, "nearest to those")):
    rows[name], rows[below] = images[first], training.images[judges.nearest(images[first], training.images)[1]]
plots.show(plots.sheets(rows, columns=10, width=6.5), "Ten digits of the exact flow, each the same picture as its nearest "
           "training digit; ten of one step and ten held-out ones, each similar to its nearest, but another picture.")
fig = figures.histograms(how_far, "distance to the nearest training digit")
plots.show(fig, "Histograms of the distance to the nearest training digit: all of the exact flow's are 0; those of one "
                "step and those of held-out digits lie around 2, nearly on each other.")

# %% [markdown]
# <details><summary>What happened</summary>
#
# It ends on a training digit, at distance 0. It has to: a flow carries noise to the data, and these data *are* 1,347 pictures. **The exact answer is a copying machine.**
#
# </details>
#
# From the same noise, one step of the network goes to the same neighbourhood. But it ends *between* the training digits. Why networks do so is a question of current research (see *Further reading*); training for a limited time is a part of the answer.
#
# In the plane we asked how far a network is from the exact flow. Here that is the wrong question. What we want are digits like those held out: neither copies nor outliers. (Both parts hold digits by the same 13 people. For new hands, we would have to hold out people.)
#
# The first picture: **A** is one step, with faint specks on the paper; **B** was written by people; **C** are copies.
#
# ## Six judges, and how to fool them
#
# * **Accuracy:** how often a small classifier sees the class we asked for. The classifier was trained on the training digits: it is right about all of them, and about 98.4 % of those held out.
# * **Fréchet distance:** the classifier's 128 hidden units see each set of images as a cloud. How far apart are two clouds, taken for Gaussians? (With a network trained on ImageNet for the classifier, this is the FID.)
# * **Sliced W2:** as in the plane, along 256 random directions.
# * **Recall:** around each sample, draw a ball that reaches to its third-nearest other sample. Recall is the share of held-out digits that lie in at least one ball. **Precision** is the same with the roles exchanged: the share of samples in the balls of the held-out digits.
# * **Copying:** the share of images whose nearest digit of all 1,797 is a training digit. For new digits it is 75 %, since 75 % of them are training digits; more means that the images cling to what was trained on.
#
# All but the first and the last compare with the 450 held-out digits, and depend on how many images there are. So we always compare sets of 450, with the same number of each class. Two sets of real digits are not at distance 0 either. Their distance is the **noise floor**: the first row of the table, mean of 400 random sets of training digits.
#
# Can you trust these judges? Try to cheat. Here are four sets that nobody wants: *copies* of training digits, from the exact flow; the *mean* of each class; copies with *noise*; and *one* digit per class, again and again.
#
# **Predict:** whom does each of the four fool?

# %%
means = torch.stack([training.images[training.classes == c].mean(dim=0) for c in range(10)])
ones = torch.stack([training.images[training.classes == c][0] for c in range(10)])
noisy = digits.image(exact + 0.2 * gaussian(450, torch.manual_seed(3), d=64))
sets = {"copies": exact, "class means": means[held_out.classes], "noisy copies": noisy,
        "one per class": ones[held_out.classes], "one step of a mean flow": learned}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Judge them
JUDGES = {"accuracy": "accuracy ↑", "frechet": "Fréchet ↓", "sliced_w2": "sliced W2 ↓", "precision": "precision ↑",
          "recall": "recall ↑", "copying": "copying"}


def judged(images):
    """What the judges say of images (450 k, 64), as text: the mean over sets of 450."""
    parts = images.split(450)
    scores = {"frechet": judges.frechet_distance, "sliced_w2": lambda a, b: sliced_w2(a, b, 256),
              "precision": judges.precision, "recall": judges.recall}
    values = {metric: sum(score(part, held_out.images) for part in parts) / len(parts)
              for metric, score in scores.items()}
    values |= {"accuracy": judges.accuracy(images, held_out.classes.repeat(len(parts))), "copying": judges.copying(images)}
    return {name: f"{values[metric]:.{2 if metric == 'frechet' else 3}f}" for metric, name in JUDGES.items()}


floor = {metric: value[0] if isinstance(value, tuple) else value for metric, value in digits.load_record()["floor"].items()}
real = {name: f"{floor[metric]:.{2 if metric == 'frechet' else 3}f}" for metric, name in JUDGES.items()}
plots.table({"real digits (recorded)": real} | {name: judged(images) for name, images in sets.items()})

# %% [markdown]
# <details><summary>What happened</summary>
#
# * **Accuracy** is fooled by all four: it looks at the class only. (It has seen the copied digits in training, so 1.000 is no feat. But the class means it has not seen.)
# * The **Fréchet distance** and **sliced W2** see the means and the repetitions. They hardly see that copies are copies. (The copies miss the floor because the flow draws some digits twice.)
# * **Precision** does not penalise the means: they lie in the middle of everything. **Recall** does. But recall likes noise, since balls around scattered samples are large.
# * **Copying** sees every copy, also under noise. It says nothing about anything else.
#
# </details>
#
# No judge sees everything. So we ask all six, and look at the pictures.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the judges
Code("\n\n".join(inspect.getsource(function) for function in (
    judges.judge, judges.accuracy, judges.frechet_distance, judges.recall, judges.precision, judges.copying)),
     language="python")

# %% [markdown]
# ## One step beside many
#
# Five methods, five seeds each, 6,000 steps of training for all; two of them also 18,000, three seeds (`make digits`). A score is the mean over ten sets of 450 images. First the Fréchet distance and sliced W2, as multiples of the noise floor. A star would mark what cannot be told from real digits: all seeds below the floor's 95 % quantile.
#
# **Predict:** how many evaluations does flow matching need to be as good as one of a mean flow?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the table
LABELS = {"flow matching, Euler": dict(method="flow_matching", solver="euler"),
          "flow matching, midpoint": dict(method="flow_matching", solver="midpoint"),
          **{plots.in_words(method): dict(method=method) for method in (
              "mean_flow", "improved_mean_flow", "self_distilled_mean_flow", "distilled_mean_flow")}}
LONGER = {"flow matching, midpoint, 18,000 steps": LABELS["flow matching, midpoint"] | dict(n_steps=18_000),
          "mean flow, 18,000 steps": dict(method="mean_flow", n_steps=18_000)}
NFE = 1, 2, 4, 8, 32
panels, stars = {}, set()
for title, metric in (("Fréchet distance", "frechet"), ("sliced W2", "sliced_w2")):
    panels[title] = {}
    for label, which in (LABELS | LONGER).items():
        every = {nfe: digits.recorded(metric=metric, nfe=nfe, **which) for nfe in NFE}
        panels[title][label] = {nfe: sum(values) / len(values) / floor[metric] if values else None
                                for nfe, values in every.items()}
        highest = digits.load_record()["floor"][metric][1]
        stars |= {(title, label, nfe) for nfe, values in every.items() if values and max(values) <= highest}
plots.show(figures.scoreboard(panels, stars, "multiple of the noise floor", highest=4),
           "Two tables as heat maps, methods by evaluations, from 1.2 to 7 times the noise floor.")

# %% cellView="form" jupyter={"source_hidden": true}
# @title The other judges, and the price
def spread(label, metric, nfe):
    values = torch.tensor(digits.recorded(metric=metric, nfe=nfe, **(LABELS | LONGER)[label]))
    return f"{values.mean():.3f} ± {values.std():.3f}" if len(values) else ""


columns = [(metric, nfe) for metric in ("accuracy", "precision", "recall", "copying") for nfe in (1, 32)]
plots.table({"real digits": {f"{metric}, {nfe} NFE": f"{floor[metric]:.3f}" for metric, nfe in columns}}
            | {label: {f"{metric}, {nfe} NFE": spread(label, metric, nfe) for metric, nfe in columns}
               for label in LABELS | LONGER})
one_step = digits.image(sample(digits.load_pretrained("flow_matching"), z_held, 1))
by_chance = judges.copying_by_chance(one_step, generator=torch.manual_seed(0))
print(f"copying, one step of flow matching: {judges.copying(one_step):.3f}; with the labels dealt out anew "
      f"{by_chance.mean():.3f} ± {by_chance.std():.3f}")
STEPS = {"(a) mean flow": "mean_flow", "(b) own tangent: improved": "improved_mean_flow", "(c) own target": "own_target",
         "(d) averaged, against (b)": "averaged_target", "(e) weighted: self-distilled": "self_distilled_mean_flow",
         "chords of flow matching: distilled": "distilled_mean_flow"}
ladder, before, less = {}, None, digits.load_record()["at_equal_cpu"]
for step, method in STEPS.items():
    five, fewer = (torch.tensor(digits.recorded(method, "frechet", 1, n_steps=n)) for n in (6000, less.get(method)))
    if five.isnan().all():
        ladder[step] = dict.fromkeys(ladder["(a) mean flow"], "") | {"Fréchet, 1 NFE": "diverged, 5 of 5"}
        continue
    taken = sorted(run["seconds"] for run in digits.load_record()["runs"]
                   if (run["method"], run["n_steps"]) == (method, 6000))
    gain = before - five if before is not None and step[0] == "(" else None
    ladder[step] = {"Fréchet, 1 NFE": f"{five.mean():.2f} ± {five.std():.2f}",
                    "better than above by": f"{gain.mean():+.2f} ± {gain.std() / 5**0.5:.2f}" if gain is not None else "",
                    "CPU seconds": f"{taken[len(taken) // 2]:.0f}",
                    "at equal CPU, three seeds": f"{fewer.mean():.2f} ± {fewer.std():.2f}" if len(fewer) else ""}
    before = five
plots.table(ladder, corner="one change at a time, five seeds")

# %% [markdown]
# <details><summary>What happened</summary>
#
# MeanFlow works on images of 8 × 8. One evaluation writes digits that the classifier recognises as often as held-out ones. By the Fréchet distance, one evaluation of a plain or improved mean flow does the work of more than two and fewer than four by midpoint, and of more than eight by Euler; one of the distilled does the work of four by midpoint. By sliced W2, two by midpoint are already better. That is less than in the plane; we have no tested explanation.
#
# </details>
#
# * **More evaluations change little.** For each mean flow, the Fréchet distance at one evaluation is at most 1.2 times that at 32.
# * **There is no star.** Precision is higher than that of real digits and recall much lower: all networks write ordinary digits too often, and odd ones too rarely. More evaluations do not mend this.
# * **Self-distillation**, in the plane the winner among those that learn from pairs, is the worst of them here, by margins that five seeds show clearly. The last table changes one thing at a time. With the velocity of the network of this very step in the target, training diverges; with that of its average, in target and tangent, the Fréchet distance is 0.5 above (b); two changes, which we cannot tell apart. The robust weight, though it was chosen in the plane, is innocent. Is the teacher a worse one here than in the plane? That is a guess. A recipe from two dimensions is a guess in sixty-four.
# * **The distilled mean flow** makes the best single step after 6,000 steps here, too; it keeps most of its teacher's recall. But it takes two trainings. When both together get the seconds of flow matching's one, it is behind a mean flow in as many seconds, 2.51 against 2.40.
# * **Copying:** none of the samples above is a copy, but as a crowd they lean to the training digits: .79 to .83 instead of .75. Could that be chance? Deal out the labels "training" and "held out" anew among the 1,797 digits, samples fixed, 400 times. For flow matching's single step, a few pictures again and again, it well could (the line under the table). For the mean flows, exercise 2 asks. Three times the training improves nearly every other score, and raises copying to between .86 and .88. Whoever looks at the Fréchet distance alone sees no reason to stop.
#
# (We chose width and training by looking at the 450 held-out digits, too, which flatters all rows a little. And in training flow matching draws uniform times, while the mean flows' lean to noise; one run of flow matching with their times had a Fréchet distance of 2.1 at 8 evaluations by midpoint, instead of 2.0.)
#
# Now look for yourself. Same noise, same classes, all methods.

# %%
asked = torch.arange(10).repeat(3)
z_asked = digits.rows(gaussian(30, torch.manual_seed(4), d=64), asked)
sheets, recognised = {}, {}
for label, which in LABELS.items():
    per_step = 2 if "midpoint" in label else 1
    u = digits.load_pretrained(which["method"], midpoint if per_step == 2 else None)
    for nfe in NFE:
        if nfe >= per_step:
            images = digits.image(sample(u, z_asked, nfe // per_step))
            seen = judges.accuracy(images, asked)
            sheets[label, nfe] = images
            frechet = torch.tensor(digits.recorded(metric="frechet", nfe=nfe, **which)).mean()
            recognised[label, nfe] = (f"{label}, {nfe} NFE: {100 * seen:.0f} % recognised; "
                                      f"Fréchet distance {frechet:.2f}")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw four of them
four = {"flow matching, Euler, 1 NFE": ("flow matching, Euler", 1),
        "flow matching, midpoint, 8 NFE": ("flow matching, midpoint", 8),
        "mean flow, 1 NFE": ("mean flow", 1), "mean flow, 32 NFE": ("mean flow", 32)}
plots.show(plots.sheets({title: sheets[key][:20] for title, key in four.items()}, columns=10, width=4.7),
           "Four sheets of digits. In flow matching's single step, the two digits of a class are nearly the same.")

# %% [markdown]
# *Four of the 29 sheets.* The cells hold the Fréchet distance, the mean of five seeds. From how many evaluations on can you no longer see a difference? And what is wrong with flow matching's single step, which the classifier likes best of all?

# %%
widgets.sheets(sheets, ("method", "NFE"), recognised)

# %% [markdown]
# **What happened.** In one step, flow matching gives the mean of the class, nearly the same picture every time. No class looks more like itself, so the classifier is never in doubt. With more evaluations its digits become different from each other. A mean flow's digits differ after one evaluation, and change little after that.
#
# ## Guidance in one step
#
# On large and varied data, samples of a class are often unclear. So nearly everybody uses classifier-free guidance ([Ho and Salimans 2022](https://arxiv.org/abs/2207.12598)), which exaggerates what the class changes. Our digits hardly need it, but they show how it works:
#
# $$\begin{aligned}
# v_\omega(z, t \mid c) &= v(z, t \mid c) + (\omega - 1)\,\big(v(z, t \mid c) - v(z, t)\big) \\
# &= \omega\, v(z, t \mid c) + (1-\omega)\, v(z, t).
# \end{aligned}$$
#
# When sampling, that costs two evaluations a step. But $v_\omega$ is a velocity like any other. It has a flow (which in general ends in no sharpened version of the data, but somewhere else), the flow has an average velocity, and that obeys the identity of notebook 2 with $v_\omega$ in the place of $v$. So put $v_\omega$ into the loss, and one evaluation has the guidance in it (Geng et al. 2025, Section 4.2). Make $\omega-1$ one more column of the condition, and one network serves every $\omega$; a 0 means "no guidance".
#
# What stands for $v_\omega$ in a batch? As always, $\varepsilon - x$ may stand for $v(z, t \mid c)$. For the other velocities we ask the moving average of the network, without gradient. There are two ways:
#
# $$\omega\,(\varepsilon - x) + (1-\omega)\,u(z, t, t), \qquad (\varepsilon - x) + (\omega-1)\,\big(u(z, t, t \mid c) - u(z, t, t)\big).$$
#
# The left one multiplies the noise of $\varepsilon-x$ by $\omega$. The right one does not, but takes over $\omega - 1$ times the network's error. In the paper $u(\cdot\mid c)$ is itself the guided output, and a term with $\kappa$ mixes it in; the effective scale is then $\omega/(1-\kappa)$. Its sequel ([2512.02012](https://arxiv.org/abs/2512.02012), where $\omega$ is an input, too) adds $(1-1/\omega)$ times the difference of the *guided* $u(z,t,t\mid c)$ and $u(z,t,t)$ in its code, and puts the network's own velocity into the tangent. We take the right form, with velocities without guidance: the fixed point is the same, the terms are not. Here is a batch with $\omega$ between 1 and 3.

# %%
u_guided = digits.load_pretrained("guided_mean_flow")
guided = digits.sample_scaled(4096, torch.manual_seed(0))  # 64 pixels, 10 for the class, ω − 1
r_4, t_4 = digits.two_times(4096, torch.manual_seed(0))
z_4, v_4 = interpolate(guided, digits.keep_condition(guided, torch.randn(4096, 75)), t_4)
more = z_4[:, -1:]  # ω − 1
with torch.no_grad():
    v_class = u_guided(torch.cat([z_4[:, :-1], 0 * more], dim=1), t_4, t_4)  # with the class, ω = 1
    v_any = u_guided(digits.forget(z_4), t_4, t_4)  # without the class, ω = 1
v_guided = v_4 + more * (v_class - v_any)
u_4, dudt_4 = total_derivative(u_guided, z_4, r_4, t_4, v_guided)
u_tgt_4 = v_guided - (t_4 - r_4) * dudt_4
loss_4 = (u_4 - u_tgt_4.detach()).square().sum(dim=1).mean()

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check that this is the packaged loss
torch.manual_seed(0)
rows_again, times_again = (draw(4096, torch.manual_seed(0)) for draw in (digits.sample_scaled, digits.two_times))
assert loss_4 == digits.guided_mean_flow_loss(u_guided, rows_again, torch.randn(4096, 75), *times_again, u_guided)

# %% [markdown]
# **Predict:** what will happen to the digits as $\omega$ grows? What to accuracy, what to recall?

# %%
SCALES = [1.0, 1.25, 1.5, 2.0, 2.5, 3.0]
eps_20 = gaussian(20, torch.manual_seed(5), d=64)
by_scale, certain = {}, {}
for c in range(10):
    for scale in SCALES:
        z_1 = digits.rows(eps_20, torch.full((20,), c), torch.full((20, 1), scale))
        by_scale[c, scale] = digits.image(sample(u_guided, z_1, 1))
        sure = judges.judge().predict_proba(by_scale[c, scale])[:, c].mean()
        certain[c, scale] = f"class {c}, ω = {scale}: the classifier is {sure:.1%} sure"

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw one class, and judge every scale
fig = plots.sheets({f"ω = {scale}": by_scale[8, scale] for scale in (1.0, 2.0, 3.0)}, columns=5)
plots.show(fig, "Twenty eights for each of three guidance scales: with the scale they get darker and more alike.")


def of_scale(metric, scale, steps=1):
    values = torch.tensor([run["scale"][str(scale)][metric][str(steps)] for run in digits.load_record()["runs"]
                           if run["method"] == "guided_mean_flow"])
    return f"{values.mean():.3f} ± {values.std():.3f}"


plots.table({f"ω = {scale}": {name: of_scale(metric, scale) for metric, name in JUDGES.items()} for scale in SCALES})

# %% [markdown]
# <details><summary>What happened</summary>
#
# The digits become darker, clearer and more alike. Accuracy reaches 1.000, and recall falls from .54 to .29: guidance trades variety for fidelity. The Fréchet distance is best at a little guidance, 1.25, though not clearly better than without; then it grows steeply.
#
# </details>
#
# Turn class and $\omega$. From which $\omega$ on do the digits of a class begin to look alike?

# %%
widgets.sheets(by_scale, ("class", "ω"), certain, columns=5)

# %% [markdown]
# ### Guidance twice
#
# Code that samples diffusion models guides when it samples, and it runs without complaint on a network that has its guidance in it. Then the scale acts twice. One could also guide the one step of a network *without* guidance. And flow matching, guided at each of its steps, is the fair opponent.
#
# **Predict:** in which order will these four come, at $\omega = 1.25$ and at $\omega = 2$?

# %%
def guided_again(v, scale):
    """Classifier-free guidance of v(z, t), or of u(z, r, t), when sampling: two evaluations."""
    def guided(z, *times):
        return scale * v(z, *times) + (1 - scale) * v(digits.forget(z), *times)

    return guided


classes = held_out.classes.repeat(4)
eps_1800 = gaussian(len(classes), torch.manual_seed(6), d=64)
v_net = digits.load_pretrained("flow_matching", solver=lambda v: v)
plain, guided_sets = digits.rows(eps_1800, classes), {}
for scale in (1.25, 2.0):
    z_1 = digits.rows(eps_1800, classes, torch.full((len(eps_1800), 1), scale))
    guided_sets[f"ω = {scale} in training, 1 NFE"] = sample(u_guided, z_1, 1)
    guided_sets[f"ω = {scale} in sampling, 2 NFE"] = sample(guided_again(u_net, scale), plain, 1)
    guided_sets[f"ω = {scale} in both, 2 NFE"] = sample(guided_again(u_guided, scale), z_1, 1)
    by_midpoint = midpoint(guided_again(v_net, scale))  # two evaluations, twice a step
    guided_sets[f"ω = {scale}, flow matching, 8 NFE"] = sample(by_midpoint, plain, 2)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw and judge them
pages = {name: digits.image(rows) for name, rows in guided_sets.items()}
some = torch.cat([torch.nonzero(held_out.classes == c)[:1, 0] for c in range(10)])
plots.show(plots.sheets({name: images[some] for name, images in pages.items() if "2.0" in name},
                        columns=5), "Four sheets of ten digits: clear ones; darker ones; of guidance in both, coarse "
                                    "black ones; and clear ones of flow matching.")
plots.table({name: judged(images) for name, images in pages.items()})

# %% [markdown]
# <details><summary>What happened</summary>
#
# By the Fréchet distance, guidance in both comes last, at either $\omega$. At $\omega = 1.25$, guiding the one step in sampling is close to guidance in training, with the better sliced W2. At $\omega = 2$ it fails: its Fréchet distance is twice as large, and precision falls. The reason: guidance changes the velocity a little at each moment, and the path turns with it. A single step that exaggerates the average velocity of the *unguided* path goes straight on instead.
#
# Flow matching with 8 evaluations is a little better than one evaluation with guidance trained in, above all in recall. **Guide in training or in sampling, not in both. If you have one evaluation, and want much guidance, train it in.** (One network of each kind, 1,800 digits.)
#
# </details>
#
# ## Between digits
#
# The class is a coordinate, so we may give it any number. In the corners of this square stand four digits. In between, the four class columns are mixed as the place says; guidance is $\omega = 1.5$. Every tile is one evaluation, from the *same* noise.

# %%
corners = {"3 8 5 9": (3, 8, 5, 9), "0 6 9 4": (0, 6, 9, 4)}
across, down = torch.linspace(0, 1, 9).repeat(9), torch.linspace(0, 1, 9).repeat_interleave(9)
share = torch.stack([(1 - across) * (1 - down), across * (1 - down),
                     (1 - across) * down, across * down])
one, other = gaussian(2, torch.manual_seed(156), d=64)  # one that writes all corners clearly


def square(four, angle):
    """The square with these digits in its corners, from noise turned by an angle."""
    noise = math.cos(angle) * one + math.sin(angle) * other
    known = share.T @ torch.nn.functional.one_hot(torch.tensor(four), 10).float()
    z_1 = torch.cat([noise.expand(81, 64), known, torch.full((81, 1), 0.5)], dim=1)
    return digits.image(sample(u_guided, z_1, 1))


squares = {(name, turn): square(four, turn * math.pi / 180)
            for name, four in corners.items() for turn in range(0, 360, 36)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw two squares
fig = plots.sheets({f"in the corners: {name}": squares[name, 0] for name in ("3 8 5 9", "0 6 9 4")}, columns=9)
plots.show(fig, "Two squares of 81 digits each, which change smoothly from the four digits in the corners into one "
                "another.")

# %% [markdown]
# *Two squares.* Drag the point between the digits: the large one is a blend of its four neighbours. Then turn the noise: $\cos\varphi\,\varepsilon_1 + \sin\varphi\,\varepsilon_2$ is as good a noise as $\varepsilon_1$, for every $\varphi$. What does the noise decide, and what the class?

# %%
widgets.between(squares, grid=9)

# %% [markdown]
# **What happened.** The class decides which digit, the noise decides the handwriting: slant, weight, place. Halfway between two classes there are characters that nobody writes. They are the network's own invention: it never saw half a class, and the exact flow for "half 3, half 8" would give threes and eights, and nothing in between.
#
# ## Taking it further
#
# From a residual MLP on 64 pixels to a transformer on large images, the method stays. What changes is around it. A list for the day you need it:
#
# | what | symptom | default | read |
# |---|---|---|---|
# | where it runs | a million pixels cost too much | in the latents of an autoencoder, as the paper and its sequel on ImageNet; or on raw pixels, see below | [2505.13447](https://arxiv.org/abs/2505.13447) |
# | times for images | an error, or a wrong broadcast, of (n, 1) with (n, c, h, w) | (n, 1, 1, 1) for $z$ and the target, (n, 1) for the network | above |
# | how the network sees $r$ and $t$ | raw numbers are hard to use for a large network | sines and cosines of $t$ and of $t-r$, each through a small MLP, added to the label's embedding | [meanflow](https://github.com/Gsunshine/meanflow), `models/models_dit.py` |
# | weight of the loss | large errors of a few rows rule the batch | the adaptive weight with $p=1$, from the paper; judge by samples, not by the printed 1 | [notebook 8](08_break_it.ipynb) |
# | U-Net or transformer | a custom `autograd.Function` without a `jvp`: an error | plain operations; $u$ and its derivative in one call, so that dropout drops the same units | [PyTorch: extending](https://docs.pytorch.org/docs/stable/notes/extending.func.html) |
# | attention | "Trying to use forward AD with _scaled_dot_product_flash_attention" | `sdpa_kernel(SDPBackend.MATH)`; a kernel with a JVP; or forward mode by hand, as here | [pytorch#128971](https://github.com/pytorch/pytorch/issues/128971), [jvp_flash_attention](https://github.com/amorehead/jvp_flash_attention) |
# | bfloat16 | a derivative with two or three digits; in the plane it did no measurable harm ([notebook 8](08_break_it.ipynb)) | the authors' PyTorch code keeps the JVP and the loss in float32 | [py-meanflow](https://github.com/Gsunshine/py-meanflow) |
# | compile | before PyTorch 2.13: tangents that are lost where a dual tensor enters a compiled function (fixed in June 2026) | put the `jvp` *inside* what is compiled, best the whole training step | [pytorch#187284](https://github.com/pytorch/pytorch/issues/187284) |
# | several GPUs | `jvp` fails on a `DistributedDataParallel` model; on its `.module` it runs, and the gradients are not averaged | average them yourself after `backward`; or $u$ through the wrapped model, and only the derivative through `.module` | [pytorch#102197](https://github.com/pytorch/pytorch/issues/102197), py-meanflow's README |
# | what the network predicts | on large patches of raw pixels, $u$ is as noisy as $\varepsilon$, and a network of limited width cannot say it | predict an image $\hat x$: $u = (z - \hat x)/t$, with $t$ not below 0.05; the loss stays one of velocities, and two perceptual ones (LPIPS, ConvNeXt) are added | [2601.22158](https://arxiv.org/abs/2601.22158) |
# | which times | details are right, the whole is not, or the other way round | tune them: in latents the paper draws two logit-normal times (−0.4, 1) and takes the larger for $t$, so $r$ leans to data (median 0.28), and $t$ slightly to noise (0.54); raw pixels want more noise, the more the larger (exercise 3) | [2301.10972](https://arxiv.org/abs/2301.10972), [2403.03206](https://arxiv.org/abs/2403.03206) |
# | guidance | hard contrast, all alike | in training, $\omega$ as an input ([2210.03142](https://arxiv.org/abs/2210.03142)), off near the ends of time ([2404.07724](https://arxiv.org/abs/2404.07724)) | [2512.02012](https://arxiv.org/abs/2512.02012) |
#
# ## What we have
#
# * Nothing in path, loss, derivative, sampler and training was two-dimensional. A class, or a guidance scale, is a **coordinate that does not move**.
# * One evaluation writes a digit of the class we ask for. By a good solver, flow matching needs only a few evaluations here, fewer than in the plane.
# * The exact flow **copies the training set**. Good samples come from a network that does not follow it to the end. So compare with data that were held out, and test for copying.
# * Each judge can be fooled. Report several, with their floors, from sets of one size. And look.
# * Guidance belongs in the loss, if one evaluation is all you have. It trades variety for fidelity.
#
# ## Exercises
#
# Each has a cell for your answer and a folded check that says what is wrong. The solution is folded too.
#
# **1. Guidance, exactly.** Here are digits of class 3 on their roads, at $t=0.7$. Compute the guided velocity for $\omega = 2.5$ from the exact velocity of the training digits.

# %%
threes = training.images[training.classes == 3][:50]
z_3, _ = interpolate(threes, gaussian(50, torch.manual_seed(8), d=64), 0.7)
z_3 = digits.rows(z_3, torch.full((50,), 3))
v_exactly_guided = ...  # one or two lines, with training.velocity and digits.forget

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
of_class, of_any = training.velocity(z_3, 0.7), training.velocity(digits.forget(z_3), 0.7)
check(v_exactly_guided, 2.5 * of_class - 1.5 * of_any, tolerance=1e-3,
      hint="ω v(z, t | c) + (1 − ω) v(z, t); the second is the velocity of digits.forget(z).",
      mistakes={"That is the velocity without guidance.": of_class,
                "That forgets the class, and guides nothing.": of_any,
                "The two velocities are exchanged.": 2.5 * of_any - 1.5 * of_class,
                "ω counts from 1: at ω = 1 nothing is added.": 3.5 * of_class - 2.5 * of_any})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
exactly = training.velocity(z_3, 0.7)
exactly = exactly + 1.5 * (exactly - training.velocity(digits.forget(z_3), 0.7))
torch.testing.assert_close(exactly, 2.5 * of_class - 1.5 * of_any, atol=1e-3, rtol=0)

# %% [markdown]
# **2. Copying, or chance?** The share of `learned`, one step of the mean flow, whose nearest digit of all is a training digit is `judges.copying(learned)`. Is it chance? A share of 450 independent draws would have the standard error $\sqrt{p(1-p)/n}$ with $p = 0.75$. But two samples with the same nearest digit do not count twice. So take the shares that you get when the labels "training" and "held out" are dealt out anew: `judges.copying_by_chance(learned, generator=torch.manual_seed(0))`, 400 numbers. By how many of *their* standard deviations is the share above their mean?

# %%
standard_errors = ...  # one or two lines

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
null = judges.copying_by_chance(learned, generator=torch.manual_seed(0))
excess = judges.copying(learned) - null.mean()
check(standard_errors, excess / null.std(), tolerance=0.02,
      hint="The share of `learned`, less the mean of the 400, divided by their standard deviation.",
      mistakes={"That is the difference. Divide by the standard deviation of the 400.": excess,
                "That counts the 450 as independent.": excess / math.sqrt(0.75 * 0.25 / 450),
                "That is the error of the mean of 400; one share is one draw.": excess / null.std() * 20,
                "The sign: above the mean counts as positive.": -excess / null.std()})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
shares = judges.copying_by_chance(learned, generator=torch.manual_seed(0))
share_of_learned = judges.copying(learned)
print(f"{share_of_learned:.3f} is {(share_of_learned - shares.mean()) / shares.std():.1f} standard deviations above "
      f"{shares.mean():.3f}; as independent draws it would be "
      f"{(share_of_learned - 0.75) / math.sqrt(0.75 * 0.25 / 450):.1f} of theirs. No digit is a copy, "
      "but as a crowd they lean to what was trained on.")

# %% [markdown]
# **3. Larger pictures want more noise.** Enlarge a picture from 8 × 8 to 16 × 16 by writing every pixel four times. Now put it on its road: at time $t'$, data are multiplied by $1-t'$ and noise by $t'$. The mean over each block of four gives back the small picture, with noise of half the size. For which $t'$ does this small picture have the ratio of data to noise, $(1-t)/t$, that an 8 × 8 picture has at time $t$? Write $t'$ as a function of $t$.

# %%
def larger(t):
    return ...  # the time t′ of the picture of 16 × 16


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
times = torch.linspace(0.1, 0.9, 9)
check(larger(times), 2 * times / (1 + times), tolerance=1e-4,
      hint="In the mean of four, the ratio of data to noise is (1 − t′) / (t′ / 2).",
      mistakes={"That leans to data: larger pictures want more noise, t′ > t.": times / (2 - times),
                "The mean of four has half the noise, not a quarter.": 4 * times / (1 + 3 * times),
                "That is beyond 1. Solve (1 − t′) / (t′ / 2) = (1 − t) / t for t′.": 2 * times,
                "At the same time, more can be seen in the large picture.": times})

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true} tags=["solution"]
# @title Solution
at = torch.tensor([0.2, 0.5, 0.8])
print("t = .2, .5, .8 become", ", ".join(f"{value:.2f}" for value in 2 * at / (1 + at)))
print("With s for 2, t′ = s t / (1 + (s − 1) t): large models shift their times by this formula.")

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Mean Flows for One-step Generative Modeling](https://arxiv.org/abs/2505.13447) (2025): Section 4.2 for guidance. Its sequel: [Improved Mean Flows](https://arxiv.org/abs/2512.02012) (2025).
# * [Pixel Mean Flows](https://arxiv.org/abs/2601.22158) (2026): raw pixels of ImageNet in one step.
# * Why networks do not copy: Gu et al., [On Memorization in Diffusion Models](https://arxiv.org/abs/2310.02664) (2023); Kadkhodaie et al., [Generalization in Diffusion Models Arises from Geometry-Adaptive Harmonic Representations](https://arxiv.org/abs/2310.02557) (2023); Bertrand et al., [On the Closed-Form of Flow Matching](https://arxiv.org/abs/2506.03719) (2025).
# * Judges: Meehan et al., [A Non-Parametric Test to Detect Data-Copying](https://arxiv.org/abs/2004.05675) (2020); Stein et al., [Exposing Flaws of Generative Model Evaluation Metrics](https://arxiv.org/abs/2306.04675) (2023).
# * Raymond Fan, *Introduction to Mean Flow* (2025).
