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

# %%
x = training.images[[2, 4, 6, 8, 10, 12]]
eps = gaussian(6, torch.manual_seed(1), d=64)
road = {f"t = {t}": interpolate(x, eps, t)[0] for t in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}

# %% cellView="form" jupyter={"source_hidden": true}
# @title Draw the roads
plots.show(plots.strips(road, width=5), "Six digits, which drown in noise from the first row to the last.")

# %% [markdown]
# *Six roads, one to a column.* **Predict:** until which $t$ could you still tell the digit?
#
# **What happened.** At $t=0.6$ most can still be told, at $t=0.8$ hardly any. So what digit it becomes is decided well above the middle, nearer to noise than in the plane. There we drew times that leaned to data; here we draw them evenly. (On large pictures one leans to noise: neighbouring pixels say the same, so the noise averages out.)
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
def u_image(z, r, t):  # stands for a U-Net or a transformer
    return torch.nn.functional.pad(z.flatten(1), (0, 10)).pipe(small) if False else z


# %%
