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
# **The question.** Does it survive images?

# %%
import inspect
import math

import torch
from IPython.display import Code

import mfutils
from mfutils import (
    check, digits, euler, flow_map, gaussian, interpolate, mean_flow_loss, midpoint, plots, sample,
    sliced_w2, total_derivative, train, widgets,
)

training, held_out = digits.load()
u_net = digits.load_network("mean_flow")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw three sheets
classes = torch.arange(10).repeat_interleave(3)
z_1 = digits.rows(gaussian(30, torch.manual_seed(0), 64), classes)
written = torch.stack([image for c in range(10) for image in held_out.images[held_out.classes == c][:3]])
puzzle = {"A": digits.image(sample(u_net, z_1, 1)), "B": written, "C": digits.image(flow_map(training, z_1, 0, 1))}
fig = plots.sheets({name: images.view(10, 3, 64).transpose(0, 1).flatten(0, 1) for name, images in puzzle.items()}, 10)
plots.show(fig, "Three sheets, A to C, of three rows of handwritten digits from 0 to 9 each. All look alike.")

# %% [markdown]
# *One sheet was written by people. One is made from noise in one step of a network. One is made by the exact flow, without any error. Which is which?*
#
# | | |
# |---|---|
# | **You will do** | train the loss of notebook 4 on handwritten digits; compare one step with thirty-two; turn guidance up and down; fill the space between 3 and 8 |
# | **You will learn** | that nothing in the method was two-dimensional; why the exact answer is the wrong one on images; what each way of judging images is blind to; how guidance goes into one step |
# | **You need** | [notebook 4](04_mean_flow.ipynb) |
# | **Time** | 25 minutes to read, a minute and a half to run |

# %% [markdown]
# ## A picture is a point
#
# The digits are 8 × 8 pixels from −1, paper, to 1, ink. Row by row, that is a point with 64 coordinates. A pair of a digit $x$ and noise $\varepsilon$ has its straight road, as in the plane.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw ten roads
x, eps = training.images[[2, 4, 6, 8, 10, 12, 14, 16, 18, 20]], gaussian(10, torch.manual_seed(1), d=64)
road = {f"t = {t}": interpolate(x, eps, t)[0] for t in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}
plots.show(plots.strips(road, width=6.5), "Ten digits, which drown in noise from the first row to the last.")

# %% [markdown]
# *Ten roads, one to a column.* Until which $t$ can you tell the digit? In the plane we drew times that leaned to data, where the finest detail is. Pictures have their shapes to find first, so here we draw $r$ and $t$ evenly. (Large pictures are decided nearer to noise still: exercise 3.)
#
# ## What is known is held
#
# We want to say *which* digit. So a row gets ten columns more, for the class: a 1 in one of them; or zeros, where any digit will do. The road leaves them alone, for their "noise" is their value. So their velocity is 0, and so is their average velocity. **To the method a condition is a coordinate that does not move.**

# %%
x = training.sample(512, torch.manual_seed(0))
eps = digits.hold(x, torch.randn(512, 74))
r, t = digits.times(512, torch.manual_seed(0))
z, v_cond = interpolate(x, eps, t)
print("x:", tuple(x.shape), " r and t:", tuple(t.shape))
print("the class does not move:", bool((v_cond[:, 64:] == 0).all()))
print(f"rows that do not know their class: {(x[:, 64:] == 0).all(dim=1).float().mean():.0%}")

# %% [markdown]
# One row in ten hides its class. So the same network learns the velocity of *any* digit, and guidance will need that.
#
# The network is a plain residual MLP. It sees $z$ with the class, $t$ and $t-r$, and answers 0 for what is held.

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
column = torch.ones_like(t)
_, by_torch = torch.func.jvp(small, (z, r, t), (v_cond, 0 * column, column))
torch.testing.assert_close(dudt, by_torch, atol=1e-4, rtol=1e-4)

# %% [markdown]
# No. Points were (n, d) all along. Two things change for images of shape (n, c, h, w): times must be shaped to be multiplied with them, and the squared error is summed over all that follows $n$.

# %%
def u_image(z, r, t):  # stands for a U-Net or a transformer: z (n, 1, 8, 8); r, t (n, 1)
    return small(torch.cat([z.flatten(1), x[:, 64:]], dim=1), r, t)[:, :64].view_as(z)


x_image, eps_image = (part[:, :64].view(-1, 1, 8, 8) for part in (x, eps))
wide_r, wide_t = (time.view(-1, 1, 1, 1) for time in (r, t))
z, v_cond = (1 - wide_t) * x_image + wide_t * eps_image, eps_image - x_image
u, dudt = torch.func.jvp(u_image, (z, r, t), (v_cond, 0 * r, torch.ones_like(t)))
u_tgt = v_cond - (wide_t - wide_r) * dudt
print(f"loss: {(u - u_tgt.detach()).square().flatten(1).sum(dim=1).mean():.3f}")

# %% [markdown]
# The same number. Now we train, by the `train` of the earlier notebooks, a smaller network than the shipped one: two thirds as wide, 4,000 steps instead of 6,000, half a minute. **Predict:** will its single step be legible?

# %%
conditional = digits.holding(mean_flow_loss)  # mean_flow_loss(net, x, hold(x, eps), r, t)
u_small, losses = train(small, conditional, training.sample, digits.times, n_steps=4000,
                        batch_size=512, lr=2e-3, ema_decay=0.995)

classes = torch.arange(10).repeat(2)
z_1 = digits.rows(gaussian(20, torch.manual_seed(2), d=64), classes)
made = {"noise": z_1, "trained here, 1 step": sample(u_small, z_1, 1),
        "32 steps": sample(u_small, z_1, 32), "shipped, 1 step": sample(u_net, z_1, 1),
        "shipped, 32 steps": sample(u_net, z_1, 32)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw what they make
fig = plots.strips({name: digits.image(rows) for name, rows in made.items()})
plots.show(fig, "Rows of 20 images: noise; digits from 0 to 9 twice, of the network trained here in one step and in "
                "32, a little soft; and of the shipped network, clearer.")

# %% [markdown]
# **What happened.** It is, and 32 steps add little to it. The digits of our small network are softer than those of the shipped one, which is half as wide again and was trained for longer.
#
# ## The exact answer copies
#
# In the plane we had the exact velocity of each distribution. Here too: the training digits are 1,347 points, and given $z_t$ each has a probability, by a softmax over squared distances.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the exact velocity
Code(inspect.getsource(digits.Digits.velocity), language="python")

# %% [markdown]
# Every digit of the training set is one exact point. **Predict:** where does the flow of this velocity end, from any noise?

# %%
z_1 = digits.rows(gaussian(450, torch.manual_seed(0), d=64), held_out.classes)
exact, learned = (digits.image(z) for z in (flow_map(training, z_1, 0, 1), sample(u_net, z_1, 1)))
how_far = {"held-out digits": digits.nearest(held_out.images, training.images),
           "one step of the network": digits.nearest(learned, training.images),
           "the exact flow": digits.nearest(exact, training.images)}
for name, (distance, _) in how_far.items():
    print(f"{name}: nearest training digit {distance.mean():.2f} away, at least "
          f"{distance.min():.2f}")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw samples over their nearest training digits, and the distances
first = torch.stack([torch.nonzero(held_out.classes == c)[0, 0] for c in range(10)])
rows = {}
for name, images, below in (("exact flow", exact, "nearest to it"), ("one step", learned, "nearest to these"),
                            ("held out", held_out.images, "nearest to those")):
    rows[name], rows[below] = images[first], training.images[digits.nearest(images[first], training.images)[1]]
plots.show(plots.strips(rows, width=6.5), "Ten digits of the exact flow, each the same picture as its nearest training "
           "digit; ten of one step and ten held-out ones, each similar to its nearest, but another picture.")
fig = plots.histograms({name: distance for name, (distance, _) in how_far.items()},
                       "distance to the nearest training digit")
plots.show(fig, "Histograms of the distance to the nearest training digit: all of the exact flow's are 0; those of one "
                "step lie a little to the left of those of held-out digits.")

# %% [markdown]
# **What happened.** On a training digit, at distance 0. It has to: a flow carries noise to the data, and these data *are* 1,347 pictures. **The exact answer is a copying machine.**
#
# From the same noise, one step of the network goes to the same neighbourhood. But it is a smooth function that cannot, in 6,000 steps, tear itself into 1,347 points. So it ends between them, and its nearest training digits are about as far away as those of new handwriting are.
#
# In the plane we asked how far a network is from the exact flow. That question is wrong here. What we want are digits **as far from the training digits as new handwriting is**: no copies, and no strays. (In the first picture, A is one step, B was written by people, and C are copies. A has faint specks on the paper.)
#
# ## Five judges, and how to fool them
#
# * **Accuracy:** the share in which a small classifier sees the class that was asked for.
# * **Fréchet distance:** the classifier's 128 hidden units see each set of images as a cloud; how far apart are two clouds, taken for Gaussians? (With a network trained on ImageNet in the classifier's place, this is the FID.)
# * **Sliced W2:** as in the plane, along 256 random directions of the pixels.
# * **Nearest:** the mean distance to the nearest training digit.
# * **Recall:** the share of held-out digits within reach of the samples: nearer to one of them than its third-nearest fellow.
#
# Three of them compare with the 450 held-out digits, and depend on how many images there are. So every set has 450, as many of each class.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Show the judges
Code("\n\n".join(inspect.getsource(function) for function in
                  (digits.judge, digits.accuracy, digits.frechet_distance, digits.recall)), language="python")

# %% [markdown]
# How much can you trust a judge? Try to cheat. Four sets that nobody wants: *copies* of training digits, by the exact flow; the *mean* of each class, 450 times; training digits under *noise*; and *one* digit per class, again and again.
#
# **Predict:** whom does each of the four fool?

# %%
means = torch.stack([training.images[training.classes == c].mean(dim=0) for c in range(10)])
ones = torch.stack([training.images[training.classes == c][0] for c in range(10)])
noisy = exact + 0.2 * gaussian(450, torch.manual_seed(3), d=64)
sets = {"copies": exact, "class means": means[held_out.classes],
        "noisy copies": noisy, "one per class": ones[held_out.classes],
        "one step of a mean flow": learned}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Judge them
def judged(images):
    """What the five judges say, as text."""
    return {"accuracy ↑": f"{digits.accuracy(images, held_out.classes):.3f}",
            "Fréchet ↓": f"{digits.frechet_distance(images, held_out.images):.2f}",
            "sliced W2 ↓": f"{sliced_w2(images, held_out.images, 256):.3f}",
            "nearest": f"{digits.nearest(images, training.images)[0].mean():.2f}",
            "recall ↑": f"{digits.recall(images, held_out.images):.3f}"}


floor = digits.record()["floor"]
real = {"accuracy ↑": f"{floor['accuracy']:.3f}", "Fréchet ↓": f"{floor['frechet'][0]:.2f}",
        "sliced W2 ↓": f"{floor['sliced_w2'][0]:.3f}", "nearest": f"{floor['nearest']:.2f}",
        "recall ↑": f"{floor['recall'][0]:.3f}"}
plots.table({"real digits (recorded)": real} | {name: judged(images) for name, images in sets.items()})

# %% [markdown]
# **What happened.**
#
# * **Accuracy** is fooled by all four. It even prefers them to real digits.
# * The **Fréchet distance** and **sliced W2** see the means and the repetitions. They hardly see copies. (The copies are not at the floor because the flow draws some digits twice.) The noisy copies have a better Fréchet distance than our one step.
# * **Nearest** sees copies, unless there is noise on them. The class means look like new handwriting to it.
# * **Recall** sees the means and the repetitions. Noise pleases it, because noisy samples reach further.
#
# No judge sees everything, so we ask all five. And look at the pictures.
#
# ## One step beside many
#
# Four methods, three seeds each, 6,000 steps of training for all, and for one of them 18,000 (`make digits`). The scores are means over ten sets of 450 images. First the Fréchet distance and sliced W2 as multiples of the noise floor, the distance of 450 training digits to the 450 held-out ones, by 400 drawings. A star marks what cannot be told from real digits: every seed is below the floor's 95 % quantile.
#
# **Predict:** how many evaluations does flow matching need to be as good as one of a mean flow?

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the table
LABELS = {"flow matching, Euler": dict(method="flow_matching", solver="euler"),
          "flow matching, midpoint": dict(method="flow_matching", solver="midpoint"),
          **{plots.in_words(method): dict(method=method) for method in (
              "mean_flow", "improved_mean_flow", "self_distilled_mean_flow")}}
LONGER = {"mean flow, 18,000 steps": dict(method="mean_flow", n_steps=18_000)}
NFE = 1, 2, 4, 8, 32


def mean(values):
    return sum(values) / len(values) if values else None


panels, stars = {}, set()
for title, metric in (("Fréchet distance", "frechet"), ("sliced W2", "sliced_w2")):
    panels[title] = {}
    for label, which in (LABELS | LONGER).items():
        every = {nfe: digits.scored(metric=metric, nfe=nfe, **which) for nfe in NFE}
        panels[title][label] = {nfe: mean(values) / floor[metric][0] if values else None
                                for nfe, values in every.items()}
        stars |= {(title, label, nfe) for nfe, values in every.items() if values and max(values) <= floor[metric][1]}
plots.show(plots.scoreboard(panels, stars, "multiple of the noise floor"),
           "Two tables as heat maps, methods by evaluations.")

# %% cellView="form" jupyter={"source_hidden": true}
# @title The other judges
def spread(label, metric, nfe):
    values = torch.tensor(digits.scored(metric=metric, nfe=nfe, **(LABELS | LONGER)[label]))
    return f"{values.mean():.3f} ± {values.std():.3f}" if len(values) else ""


def held(metric):
    return f"{floor[metric][0] if isinstance(floor[metric], list) else floor[metric]:.3f}"


columns = [(metric, nfe) for metric in ("accuracy", "nearest", "recall") for nfe in (1, 32)]
plots.table({label: {f"{metric}, {nfe} NFE": spread(label, metric, nfe) for metric, nfe in columns}
             for label in LABELS | LONGER}
            | {"real digits": {f"{metric}, {nfe} NFE": held(metric) for metric, nfe in columns}})

# %% [markdown]
# **What happened.** The method survives. One evaluation gives digits that the classifier recognises as often as real ones. By the Fréchet distance one evaluation of a mean flow does the work of more than two and less than four by midpoint, and of more than eight by Euler. By sliced W2 two by midpoint are already better. That is less than in the plane. A likely reason: the digits of one class are a single crowd, and there is hardly a seam to get wrong.
#
# * **More evaluations change little.** The Fréchet distance at one evaluation is at most 1.2 times that at 32, for each of the mean flows.
# * **There is no star.** The best cell is at 1.3 times the floor, and with 32 evaluations recall stays below .7, where real digits have .9. More steps do not help: the networks draw ordinary digits too often, and odd ones too rarely.
# * **Self-distillation**, the winner in the plane, is the worst of the three here, by a margin that three seeds show clearly. A recipe tuned in two dimensions is a guess in sixty-four.
# * **Longer training** improves every score at one evaluation, but the samples move toward the training digits: at 32 evaluations, 1.87 away instead of 2.06, where new handwriting is 2.15 away. It is on its way to copying, and only one judge of five says so.
#
# Look for yourself. Same noise, same classes, all methods. At how many evaluations do you stop to see a difference? And what is wrong with flow matching's single step, which the classifier likes best of all?

# %%
z_1 = digits.rows(gaussian(40, torch.manual_seed(4), d=64), torch.arange(10).repeat(4))
pictures, said = {}, {}
for label, which in LABELS.items():
    per_step = 2 if "midpoint" in label else 1
    u = digits.load_network(which["method"], midpoint if per_step == 2 else euler)
    for nfe in NFE:
        if nfe >= per_step:
            images = digits.image(sample(u, z_1, nfe // per_step))
            seen = digits.accuracy(images, torch.arange(10).repeat(4))
            pictures[label, nfe], said[label, nfe] = images, f"NFE: {nfe}, {seen:.0%} recognised"

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw four of them
four = {"flow matching,\nEuler, 1 NFE": ("flow matching, Euler", 1),
        "flow matching,\nmidpoint, 8 NFE": ("flow matching, midpoint", 8),
        "mean flow,\n1 NFE": ("mean flow", 1), "mean flow,\n32 NFE": ("mean flow", 32)}
plots.show(plots.sheets({title: pictures[key] for title, key in four.items()}, 10), "Four sheets of 40 digits.")

# %% [markdown]
# *Four of the 24 sheets.* What changes from one evaluation to 32?

# %%
widgets.image_panel(pictures, ("method", "NFE"), said)

# %% [markdown]
# **What happened.** In one step, flow matching gives the mean of the class: nearly the same picture every time. That is the class at its clearest, so the classifier is never in doubt. With more evaluations the digits part. Those of the mean flows are there with the first, and change little.
#
# ## Guidance in one step
#
# Classifier-free guidance ([Ho and Salimans 2022](https://arxiv.org/abs/2207.12598)) exaggerates what the class changes:
#
# $$v_\omega(z, t \mid c) = \omega\, v(z, t \mid c) + (1-\omega)\, v(z, t) = v(z, t \mid c) + (\omega - 1)\,\big(v(z, t \mid c) - v(z, t)\big).$$
#
# When sampling, that costs two evaluations a step. But $v_\omega$ is a velocity like any other. It has a flow, the flow has an average velocity, and that obeys the identity of notebook 2 with $v_\omega$ for $v$. So put $v_\omega$ into the loss, and one step has the guidance in it (Geng et al. 2025, Section 4.2). Give $\omega$ to the network as one more coordinate that does not move ([Improved Mean Flows](https://arxiv.org/abs/2512.02012) does so), and one network serves every $\omega$.
#
# What stands for $v_\omega$ in a batch? Again $\varepsilon - x$ may stand for $v(z, t \mid c)$. The paper multiplies it by $\omega$, and the network itself gives $v(z, t)$, the velocity of a row that has forgotten its class. Then the noise of the target grows with $\omega$. We take $\varepsilon - x$ once, and for the difference the moving average's own two velocities. The mean is the same.

# %%
u_guided = digits.load_network("guided_mean_flow")
x = digits.sample_scaled(4096, torch.manual_seed(0))
r, t = digits.times(4096, torch.manual_seed(0))
z, v_cond = interpolate(x, digits.hold(x, torch.randn(4096, 75)), t)
more = z[:, -1:]  # ω − 1
with torch.no_grad():
    v_class = u_guided(torch.cat([z[:, :-1], 0 * more], dim=1), t, t)
    v_any = u_guided(digits.forget(z), t, t)
v_guided = v_cond + more * (v_class - v_any)
u, dudt = total_derivative(u_guided, z, r, t, v_guided)
u_tgt = v_guided - (t - r) * dudt
loss = (u - u_tgt.detach()).square().sum(dim=1).mean()

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check that this is the packaged loss, and compare the noise with the paper's form
torch.manual_seed(0)
x, (r, t) = digits.sample_scaled(4096, torch.manual_seed(0)), digits.times(4096, torch.manual_seed(0))
eps = torch.randn(4096, 75)
assert loss == digits.guided_mean_flow_loss(u_guided, x, eps, r, t, u_guided)
for name, target in (("ours", v_guided), ("the paper's", (1 + more) * v_cond - more * v_any)):
    noise = (target - v_class - more * (v_class - v_any)).square().sum(dim=1)
    print(f"noise of v in {name} form, rms: ω up to 1.5: {noise[more[:, 0] < 0.5].mean().sqrt():.1f}, "
          f"ω beyond 2.5: {noise[more[:, 0] > 1.5].mean().sqrt():.1f}")

# %% [markdown]
# **Predict:** what will happen to the digits as $\omega$ grows? What to accuracy, what to recall?

# %%
SCALES = [1.0, 1.25, 1.5, 2.0, 2.5, 3.0]
eps = gaussian(30, torch.manual_seed(5), d=64)
pictures, said = {}, {}
for c in range(10):
    for scale in SCALES:
        z_1 = digits.rows(eps, torch.full((30,), c), torch.full((30, 1), scale))
        pictures[c, scale] = digits.image(sample(u_guided, z_1, 1))
        sure = digits.judge().predict_proba(pictures[c, scale])[:, c].mean()
        said[c, scale] = f"class {c}, ω = {scale}: the judge is {sure:.1%} sure"

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw one class, and judge every scale
fig = plots.sheets({f"ω = {scale}": pictures[8, scale] for scale in (1.0, 2.0, 3.0)}, 10)
plots.show(fig, "Thirty eights for each of three guidance scales: with the scale they get darker and more alike.")


def of_scale(metric, scale, steps=1):
    values = torch.tensor([run["scale"][str(scale)][metric][str(steps)] for run in digits.record()["runs"]
                           if run["method"] == "guided_mean_flow"])
    return f"{values.mean():.3f} ± {values.std():.3f}"


plots.table({f"ω = {scale}": {name: of_scale(metric, scale) for metric, name in (
    ("accuracy", "accuracy ↑"), ("frechet", "Fréchet ↓"), ("sliced_w2", "sliced W2 ↓"), ("nearest", "nearest"),
    ("recall", "recall ↑"))} for scale in SCALES})

# %% [markdown]
# **What happened.** The digits get darker, clearer and more alike. Accuracy reaches 1.000. Recall falls from .54 to .29: fidelity is paid for with variety. The Fréchet distance is best at a little guidance, 1.25, though not clearly better than without, and then grows steeply. The samples also come closer to the training digits, to 1.97 at $\omega=2$: the ordinary is what was drawn most often.
#
# As to the noise: in our form it is the same for every $\omega$; in the paper's it grows with it, to nearly three times ours. (The paper has a second knob, $\kappa$, with which it too hands a part of the guidance to the network's own velocity.)
#
# Turn both knobs. From which $\omega$ do the digits of a class begin to look alike?

# %%
widgets.image_panel(pictures, ("class", "ω"), said)

# %% [markdown]
# ### Guidance twice
#
# A common mistake: code that samples diffusion models guides when it samples, and it runs without complaint on a network that has its guidance in it. Then $\omega$ acts twice. And what if a network *without* guidance is guided in its one step?
#
# Flow matching, guided when sampling, is the fair opponent. **Predict:** which of the four is worst?

# %%
def guided_again(u, scale):
    """Classifier-free guidance of u when sampling: two evaluations a step."""
    return lambda z, r, t: u(z, r, t) + (scale - 1) * (u(z, r, t) - u(digits.forget(z), r, t))


eps = gaussian(450, torch.manual_seed(6), d=64)
u_flow, plain = digits.load_network("flow_matching"), digits.rows(eps, held_out.classes)
twice = digits.rows(eps, held_out.classes, torch.full((450, 1), 2.0))
sets = {"ω = 2 in training, 1 NFE": sample(u_guided, twice, 1),
        "ω = 2 in sampling, 2 NFE": sample(guided_again(u_net, 2.0), plain, 1),
        "ω = 2 in both, 2 NFE": sample(guided_again(u_guided, 2.0), twice, 1),
        "flow matching, ω = 2, 64 NFE": sample(guided_again(u_flow, 2.0), plain, 32)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw and judge them
sets = {name: digits.image(z) for name, z in sets.items()}
some = torch.cat([torch.nonzero(held_out.classes == c)[:3, 0] for c in range(10)]).view(10, 3).T.flatten()
plots.show(plots.sheets({name.replace(", ", ",\n", 1): images[some] for name, images in sets.items()}, 10),
           "Four sheets of thirty digits: clear ones; darker ones; of guidance in both, coarse black ones; and clear "
           "ones of flow matching.")
plots.table({name: judged(images) for name, images in sets.items()})

# %% [markdown]
# **What happened.** With guidance trained in, one evaluation is about as good as flow matching with 64, guided at every step. With guidance in both, the digits are coarse and black, and the Fréchet distance is more than three times as large.
#
# And guiding a one-step map in sampling is not the same thing. Guidance changes the velocity a little at each moment, and the path turns with it. Exaggerating the *average* velocity of the unguided path is one large step, straight on. **Guide in training or in sampling, not in both; and if in one step, then in training.**
#
# ## Between digits
#
# The class is a coordinate, so it can be any number. In the corners of this square stand four digits; in between, the four class columns are mixed as the place says. Every tile is one evaluation, from the *same* noise.

# %%
corners = {"0 6 9 4": (0, 6, 9, 4), "1 7 4 9": (1, 7, 4, 9), "3 5 9 8": (3, 5, 9, 8)}
across = torch.linspace(0, 1, 9).repeat(9)
down = torch.linspace(0, 1, 9).repeat_interleave(9)
share = torch.stack([(1 - across) * (1 - down), across * (1 - down),
                     (1 - across) * down, across * down])


def square(four, angle):
    """The square with these digits in its corners, from noise turned by an angle."""
    one, other = gaussian(2, torch.manual_seed(7), d=64)
    noise = math.cos(angle) * one + math.sin(angle) * other
    known = share.T @ torch.nn.functional.one_hot(torch.tensor(four), 10).float()
    z_1 = torch.cat([noise.expand(81, 64), known, torch.full((81, 1), 0.5)], dim=1)
    return digits.image(sample(u_guided, z_1, 1))


pictures = {(name, turn): square(four, turn * math.pi / 180)
            for name, four in corners.items() for turn in range(0, 360, 15)}
said = {key: f"corners {key[0]}, the noise turned by {key[1]}°" for key in pictures}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw two squares
fig = plots.sheets({"": pictures["0 6 9 4", 0], " ": pictures["1 7 4 9", 0]}, 9, 9)
plots.show(fig, "Two squares of 81 digits each, which change smoothly from the four digits in the corners into one "
                "another.")

# %% [markdown]
# *From 0, 6, 9, 4 and 1, 7, 4, 9 in the corners.* Turn the noise: $\cos\varphi\,\varepsilon_1 + \sin\varphi\,\varepsilon_2$ is as good a noise as $\varepsilon_1$ for every $\varphi$. What does the noise decide, what the class?

# %%
widgets.image_panel(pictures, ("corners", "turn"), said, columns=9)

# %% [markdown]
# **What happened.** The class decides which digit, the noise decides the hand: slant, weight, place. Halfway between classes there are characters that nobody writes. The network never saw half a class, and fills in something plausible.
#
# ## Taking it further
#
# From a residual MLP on 64 pixels to a transformer on a million, the method stays. What changes is around it.
#
# | what | symptom | default | read |
# |---|---|---|---|
# | times for images | an error, or a wrong broadcast, of (n, 1) with (n, c, h, w) | shape $r$ and $t$ to (n, 1, 1, 1) for $z$ and the target; hand them flat to the network | above |
# | how a large network sees $r$ and $t$ | with raw numbers it learns slowly | sines and cosines of $t$ and of $t-r$, each through a small MLP, added to the label's embedding | [DiT in JAX](https://github.com/Gsunshine/meanflow), `models/models_dit.py` |
# | U-Net or transformer | a custom `autograd.Function` has no `jvp`: an error | plain operations, or one `jvp` of your own per function; compute $u$ and its derivative in one call, so that dropout drops the same units | [PyTorch: extending](https://docs.pytorch.org/docs/stable/notes/extending.func.html) |
# | attention | "Trying to use forward AD with _scaled_dot_product_flash_attention" | `sdpa_kernel(SDPBackend.MATH)`; or a kernel with a JVP, or forward mode by hand, as here | [pytorch#128971](https://github.com/pytorch/pytorch/issues/128971), [jvp_flash_attention](https://github.com/amorehead/jvp_flash_attention) |
# | bfloat16 | NaN after many thousand steps | derivative and loss in float32, the rest as you like | [py-meanflow](https://github.com/Gsunshine/py-meanflow), [meanflow#4](https://github.com/Gsunshine/meanflow/issues/4) |
# | compile | tangents that are `None`, where a dual tensor enters a compiled function | put the `jvp` *inside* what is compiled, best the whole training step | [pytorch#187284](https://github.com/pytorch/pytorch/issues/187284) |
# | several GPUs | `jvp` fails on a `DistributedDataParallel` model; on its `.module` it runs, and nobody averages the gradients | average them by hand after `backward`; or $u$ through the wrapped model, and only the derivative through `.module` | [pytorch#102197](https://github.com/pytorch/pytorch/issues/102197), py-meanflow's README |
# | memory | activations are kept for a gradient of the derivative that nobody takes | the derivative under `no_grad`, $u$ in a pass of its own; or by hand, as here | [pytorch#151782](https://github.com/pytorch/pytorch/issues/151782) |
# | what the network predicts | with large patches of raw pixels, $u$ is as noisy as $\varepsilon$, and hard to say | let it say an image $\hat x$: $u = (z - \hat x)/t$ with $t$ not below .05, loss as before | [2601.22158](https://arxiv.org/abs/2601.22158) |
# | which times | fine detail is right, the whole is not | draw $t$ nearer to noise, the more pixels the more (exercise 3) | [2301.10972](https://arxiv.org/abs/2301.10972), [2403.03206](https://arxiv.org/abs/2403.03206) |
# | guidance | samples in hard contrast, all alike | in training *or* in sampling; $\omega$ as an input, and off near the ends of time | [2505.13447](https://arxiv.org/abs/2505.13447), [2512.02012](https://arxiv.org/abs/2512.02012) |
#
# ## What we have
#
# * Nothing in loss, derivative, times, sampler and training was two-dimensional. A class, or a guidance scale, is a **coordinate that does not move**.
# * One evaluation makes digits of the class asked for. Here that saves fewer evaluations than in the plane.
# * The minimiser of the loss over all functions **copies the training set**. Good samples come from a network that does not reach it. So judge by held-out data, and look for copies.
# * Each judge can be fooled. Report several, with their floors, from equally many samples.
# * Guidance belongs into the loss. It buys fidelity for variety.
#
# ## Exercises
#
# Each has a cell for your answer and a folded check that says what is wrong. The solution is folded too.
#
# **1. Guidance, exactly.** At $t=0.7$, for these rows of class 3, compute the guided velocity of $\omega = 2.5$ from the exact velocity of the training digits.

# %%
z = digits.rows(gaussian(50, torch.manual_seed(8), d=64), torch.full((50,), 3))
v_exactly_guided = ...  # one or two lines, with training.velocity and digits.forget

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
of_class, of_any = training.velocity(z, 0.7), training.velocity(digits.forget(z), 0.7)
check(v_exactly_guided, 2.5 * of_class - 1.5 * of_any, tolerance=1e-3,
      hint="ω v(z, t | c) + (1 − ω) v(z, t); the second is the velocity of digits.forget(z).",
      mistakes={"That is the velocity without guidance.": of_class,
                "That forgets the class, and guides nothing.": of_any,
                "The two velocities are exchanged.": 2.5 * of_any - 1.5 * of_class,
                "ω counts from 1: at ω = 1 nothing is added.": 3.5 * of_class - 2.5 * of_any})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
exactly = training.velocity(z, 0.7)
exactly = exactly + 1.5 * (exactly - training.velocity(digits.forget(z), 0.7))
torch.testing.assert_close(exactly, 2.5 * of_class - 1.5 * of_any, atol=1e-3, rtol=0)

# %% [markdown]
# **2. A judge of copies.** Call a sample a *near-copy* if it is nearer to some training digit than 95 % of the held-out digits are. Which share of `learned`, one step of the mean flow, are near-copies? (Of new handwriting it is 5 %, by definition.)

# %%
near_copies = ...  # two lines, with digits.nearest and quantile

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
of_held_out, of_learned = (digits.nearest(images, training.images)[0] for images in (held_out.images, learned))
check(near_copies, (of_learned < of_held_out.quantile(0.05)).float().mean(), tolerance=1e-3,
      hint="digits.nearest(images, training.images)[0] are distances; .quantile(0.05) of those of held_out.images.",
      mistakes={"That is the share that are further away.": (of_learned > of_held_out.quantile(0.05)).float().mean(),
                "Take the 5 % quantile: 95 % of the held-out digits are further away.":
                (of_learned < of_held_out.quantile(0.95)).float().mean(),
                "The quantile is of the held-out digits, not of the samples.": 0.05})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
limit = digits.nearest(held_out.images, training.images)[0].quantile(0.05)
for name, images in (("one step", learned), ("the exact flow", exact)):
    share_near = (digits.nearest(images, training.images)[0] < limit).float().mean()
    print(f"{name}: {share_near:.1%} near-copies")

# %% [markdown]
# **3. Larger pictures want more noise.** Enlarge a picture from 8 × 8 to 16 × 16 by writing every pixel four times, and add noise to each. Averaging the four gives back the small picture, with noise of half the size. So at one and the same $t$ more can be seen. Which $t'$ of the large picture has the ratio of data to noise that $t$ has in the small one? Write $t'$ as a function of $t$.

# %%
def larger(t):
    return ...  # the time t′ of the picture of 16 × 16


# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
# @title Check your answer
times = torch.linspace(0.1, 0.9, 9)
check(larger(times), 2 * times / (1 + times), tolerance=1e-4,
      hint="(1 − t′)/t′ · 2 = (1 − t)/t, since the mean of four has half the noise. Solve for t′.",
      mistakes={"That leans to data: larger pictures want more noise, t′ > t.": times / (2 - times),
                "The mean of four has half the noise, not a quarter.": 4 * times / (1 + 3 * times),
                "That is beyond 1. Solve (1 − t′)/t′ = (1 − t)/(2t) for t′.": 2 * times,
                "Same time, but more can be seen then. How much later is it as hard?": times})

# %% cellView="form" jupyter={"source_hidden": true} tags=["solution"]
# @title Solution
t = torch.tensor([0.2, 0.5, 0.8])
print("t = .2, .5, .8 become", ", ".join(f"{value:.2f}" for value in 2 * t / (1 + t)))
print("With s for 2, t′ = s t / (1 + (s − 1) t): the shift that large models use, s the ratio of side lengths.")

# %% [markdown]
# ## Further reading
#
# * Geng et al., [Mean Flows for One-step Generative Modeling](https://arxiv.org/abs/2505.13447) (2025): Section 4.2 for guidance.
# * Geng et al., [Improved Mean Flows](https://arxiv.org/abs/2512.02012) (2025): guidance as an input.
# * [Pixel Mean Flows](https://arxiv.org/abs/2601.22158) (2026): raw pixels of ImageNet in one step.
# * Kadkhodaie et al., [Generalization in Diffusion Models Arises from Geometry-Adaptive Harmonic Representations](https://arxiv.org/abs/2310.02557) (2023); Kamb and Ganguli, [An Analytic Theory of Creativity in Convolutional Diffusion Models](https://arxiv.org/abs/2412.20292) (2024): why networks do not copy.
# * Raymond Fan, *Introduction to Mean Flow* (2025).
