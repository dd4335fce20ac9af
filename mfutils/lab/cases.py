"""Ways to break the recipe: each replaces lines of recipe.py, and nothing else differs.

`make sweep` trains every case on two distributions with five seeds; mfutils/weights/sweep.json is what it found.
"""

import difflib
import functools
import inspect
import linecache
import math
import sys
import textwrap
import types
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import torch

from .. import flow
from ..checks import Choices
from ..methods import FOLDER
from ..records import read_record
from . import recipe

PAGE = inspect.getsource(recipe)
PAPER = 61.06  # the FID of the paper's own recipe: p = 1, 25 % of the rows with r < t, logit-normal (−0.4, 1.0) times


class Case(NamedTuple):
    """edits: pairs (line of the recipe, what stands there instead).  fid: what the paper reports when this one setting
    is changed in its own recipe."""

    edits: tuple
    fid: float | None = None


def edited(*edits):
    """The recipe with some of its lines replaced: a module with `train`, `sample` and `Network`. The new lines may use
    the names of flow.py, too.

    edits: pairs (line, new), where `line` is a whole line of recipe.py, without its indentation, that occurs once, and
    `new` is one line or several. Raises ValueError for a line that is not there, with the one it may have meant.
    """
    text = edited_source(*edits)
    name = f"{recipe.__name__}_{zlib.crc32(text.encode()):08x}"
    if name not in sys.modules:
        page = types.ModuleType(name)
        page.__package__, page.__file__ = recipe.__package__, f"<{name}>"  # its imports are relative
        vars(page).update({name: value for name, value in vars(flow).items() if not name.startswith("__")})
        linecache.cache[page.__file__] = len(text), None, text.splitlines(keepends=True), page.__file__
        exec(compile(text, page.__file__, "exec"), vars(page))
        sys.modules[name] = page  # as of an imported module, its source is found, and its classes can be pickled
    return sys.modules[name]


def edited_source(*edits):
    """The text of the recipe with some of its lines replaced; see `edited`."""
    lines = PAGE.splitlines()
    plain = [line.split("  # ")[0].strip() for line in lines]
    for old, new in edits:
        if plain.count(old) != 1:
            near = difflib.get_close_matches(old, filter(None, plain), n=1, cutoff=0)
            raise ValueError("each edit must name a line that the recipe has once, and another one than the edits "
                             f"before it; {old!r} is there {plain.count(old)} times. Did you mean {near[0]!r}?")
        i = plain.index(old)
        plain[i] = None  # a line is replaced once
        lines[i] = textwrap.indent(new, lines[i][:len(lines[i]) - len(lines[i].lstrip())])
    return "\n".join(lines) + "\n"


def diff(*edits):
    """What the edits take out of the recipe and put in, line by line, as people write a diff."""
    return "\n".join(f"- {old}\n{textwrap.indent(new, '+ ')}" for old, new in edits)


DERIVATIVE = "u, dudt = total_derivative(net, z, r, t, v)"
LIKE = "torch.zeros_like", "torch.ones_like"


def tangents(of_z, of_r, of_t):
    """du/dt along these tangents. `torch.func.jvp` takes any, and its derivative has a gradient."""
    return (DERIVATIVE, f"u, dudt = torch.func.jvp(net, (z, r, t), ({of_z}, {LIKE[of_r]}(r), {LIKE[of_t]}(t)))")


def first_slot(text):
    return ("v = v_cond", f"v = {text}")


def target(text):
    return ("u_tgt = v_cond - (t - r) * dudt", f"u_tgt = {text}")


def loss(text):
    return ("loss = error.mean()", f"loss = {text}")


def times(arguments):
    return ("r, t = sample_r_t(n, p_equal=0.625, p_zero=0.125, draw=squared_uniform, generator=generator)",
            f"r, t = sample_r_t(n, {arguments}, generator=generator)")


def share(percent):
    """`percent` % of the rows have r < t; an eighth of all has r = 0, where there is room for it."""
    return times(f"p_equal={1 - percent / 100:g}, p_zero={0.125 if percent else 0}, draw=squared_uniform")


def draw(text):
    return times(f"p_equal=0.625, p_zero=0.125, draw={text}")


def draw_logit_normal(mean, sd):
    return draw(f"lambda *size, **kw: logit_normal(*size, mean={mean}, sd={sd}, **kw)")


def inputs(text):
    return ("return torch.cat([z, t, t - r], dim=1)", f"return torch.cat([{text}], dim=1)")


def step(text):
    return ("z = z - (t - r) * u(z, r, t)", f"z = {text}")


def noise_at_0(anchor):
    """Reverse time: noise at 0, data at 1. z is taken at `anchor`."""
    return ("z, v_cond = interpolate(x, eps, t)", f"r, t = 1 - t, 1 - r\nz, v_cond = interpolate(eps, x, {anchor})")


OWN = "net(z, t, t).detach()"
EXACT = "dist.velocity(z, t.clamp(min=1e-3))"
ADAM = ("optimizers = muon_and_adam(net, hidden_lr=0.015, lr=3e-3)",
        "optimizers = [torch.optim.Adam(net.parameters(), lr={})]")
CONSTANT = ("schedules = [CosineAnnealingLR(optimizer, n_steps) for optimizer in optimizers]", "schedules = []")
NO_AVERAGE = ("return average.module, torch.stack(losses)", "return net, torch.stack(losses)")
UPWARD = (("r, t = (torch.full_like(z[:, :1], k / n_steps) for k in (i - 1, i))",
           "r, t = (torch.full_like(z[:, :1], 1 - k / n_steps) for k in (i, i - 1))"),
          step("z + (t - r) * u(z, r, t)"))

# FIDs are those of Geng et al. 2025 (arXiv 2505.13447), Table 1: one evaluation, ImageNet 256 × 256, DiT-B/4.
GROUPS = {
    "the recipe": {"as it should be": Case(())},
    "the tangents": {
        "(v, 0, 0)": Case((tangents("v", 0, 0),), 268.06),
        "(v, 1, 0)": Case((tangents("v", 1, 0),), 329.22),
        "(v, 1, 1)": Case((tangents("v", 1, 1),), 137.96),
        "(0, 0, 1)": Case((tangents("0 * v", 0, 1),)),
        "v times the Jacobian": Case(((DERIVATIVE,
                                       "u, pull = torch.func.vjp(lambda z: net(z, r, t), z)\n"
                                       "dudt = pull(v)[0] + total_derivative(net, z, r, t, 0 * v)[1]"),)),
    },
    "the velocity in the tangent": {
        "3/4 pair, 1/4 own": Case((first_slot(f"0.75 * v_cond + 0.25 * {OWN}"),)),
        "1/2 pair, 1/2 own": Case((first_slot(f"0.5 * v_cond + 0.5 * {OWN}"),)),
        "1/4 pair, 3/4 own": Case((first_slot(f"0.25 * v_cond + 0.75 * {OWN}"),)),
        "own": Case((first_slot(OWN),)),
        "exact": Case((first_slot(EXACT),)),
        "pair, exact in the target": Case((target(f"{EXACT} - (t - r) * dudt"),)),
        "exact, in the target too": Case((("v = v_cond", f"v = v_cond = {EXACT}"),)),
    },
    "the target": {
        "no stop-gradient": Case((tangents("v", 0, 1),
                                  ("error = (u - u_tgt.detach()).square().sum(dim=1)",
                                   "error = (u - u_tgt).square().sum(dim=1)"))),
        "forgotten (t − r)": Case((target("v_cond - dudt"),)),
        "plus for minus": Case((target("v_cond + (t - r) * dudt"),)),
        "bfloat16 derivative": Case(((DERIVATIVE,
                                      "u, _ = total_derivative(net, z, r, t, v)\n"
                                      "with torch.autocast('cpu', dtype=torch.bfloat16):\n"
                                      "    _, dudt = total_derivative(net, z, r, t, v)"),)),
    },
    "the share of rows with r < t": {
        "0 %": Case((share(0),), 328.91),
        "25 %": Case((share(25),), 61.06),
        "50 %": Case((share(50),), 63.14),
        "75 %": Case((share(75),)),
        "100 %": Case((share(100),), 67.32),
        "no rows with r = 0": Case((times("p_equal=0.625, draw=squared_uniform"),)),
    },
    "the loss": {
        "p = 0.5": Case((loss("weighted(error, p=0.5).mean()"),), 63.98),
        "p = 1": Case((loss("weighted(error, p=1).mean()"),), 61.06),
        "p = 1.5": Case((loss("weighted(error, p=1.5).mean()"),), 66.57),
        "p = 2": Case((loss("weighted(error, p=2).mean()"),), 69.19),
        "p = 1, of the batch mean": Case((loss("weighted(error.mean(), p=1)"),)),
        "p = 1, of the squared loss": Case((loss("(error / (error.detach() ** 2 + 1e-3)).mean()"),)),
        "own tangent, p = 0.5": Case((first_slot(OWN), loss("weighted(error, p=0.5).mean()"))),
        "own tangent, p = 1": Case((first_slot(OWN), loss("weighted(error, p=1).mean()"))),
    },
    "the times": {
        "uniform": Case((draw("torch.rand"),), 65.90),
        "logit-normal (−0.2, 1.0)": Case((draw_logit_normal(-0.2, 1.0),), 63.83),
        "logit-normal (−0.2, 1.2)": Case((draw_logit_normal(-0.2, 1.2),), 64.72),
        "logit-normal (−0.4, 1.0)": Case((draw_logit_normal(-0.4, 1.0),), 61.06),
        "logit-normal (−0.4, 1.2)": Case((draw_logit_normal(-0.4, 1.2),), 61.79),
    },
    "what the network sees": {
        "t, r": Case((inputs("z, t, r"),), 61.75),
        "t, r, t − r": Case((inputs("z, t, r, t - r"),), 63.98),
        "t − r": Case((inputs("z, t - r"),), 63.13),
        "t": Case((inputs("z, t, 0 * r"),)),
    },
    "the optimiser": {
        "Adam, rate 0.001": Case(((ADAM[0], ADAM[1].format(1e-3)),)),
        "Adam, rate 0.003": Case(((ADAM[0], ADAM[1].format(3e-3)),)),
        "constant rate": Case((CONSTANT,)),
        "no moving average": Case((NO_AVERAGE,)),
        "constant rate, no moving average": Case((CONSTANT, NO_AVERAGE)),
        "tutorials' recipe": Case((times("p_equal=0"), (ADAM[0], ADAM[1].format(3e-3)), CONSTANT, NO_AVERAGE)),
    },
    "sampling": {
        "swapped r and t": Case((step("z - (t - r) * u(z, t, r)"),)),
        "(t − r) forgotten": Case((step("z - u(z, r, t)"),)),
        "added, not subtracted": Case((step("z + (t - r) * u(z, r, t)"),)),
        "asked at the wrong end": Case((step("z - (t - r) * u(z - (t - r) * u(z, r, t), r, t)"),)),
    },
    "the direction of time": {
        "noise at 0, the same identity": Case((noise_at_0("t"), *UPWARD)),
        "noise at 0, r is the anchor": Case((noise_at_0("r"), *UPWARD, tangents("v", 1, 0),
                                             target("v_cond + (t - r) * dudt"))),
    },
}
CASES = Choices({name: case for group in GROUPS.values() for name, case in group.items()})
NAMES = "checkerboard", "spiral"  # of the distributions in the record
METRICS = Choices(dict.fromkeys(("sliced_w2", "total_variation", "map_error"), (1, 8))
                  | dict.fromkeys(("field_error", "loss", "seconds"), (None,)))  # and the numbers of steps


@functools.cache
def load_sweep():
    """What `make sweep` wrote down: command, versions, CPU hours, noise floors, and a line for every run."""
    return read_record("sweep.json")


def swept(distribution, case, metric, nfe=1):
    """What was measured of one case, one number per seed and in the order of the seeds: (5,). Within a seed all cases
    share the noise and the target, so differences can be paired. NaN where a run diverged, and for the field error of
    cases that turn time around.

    metric: "sliced_w2", "total_variation" or "map_error", of 1 or 8 steps; "field_error", "loss" (of the last 100
    batches) or "seconds" (of training), whatever nfe says. Raises ValueError for an unknown name or number.
    """
    check_known(distribution, case)
    if METRICS[metric] != (None,) and nfe not in METRICS[metric]:
        raise ValueError(f"the record has 1 and 8 steps; got nfe={nfe!r}.")
    runs = [run for run in load_sweep()["runs"] if (run["distribution"], run["case"]) == (distribution, case)]
    values = [run.get(metric, math.nan) for run in sorted(runs, key=lambda run: run["seed"])]
    return torch.tensor([value[str(nfe)] if isinstance(value, Mapping) else value for value in values])


@functools.cache
def load_samples():
    return torch.load(FOLDER / "sweep.pt", weights_only=True)


def swept_points(distribution, case):
    """A thousand points of the first seed, sampled in one step and in eight: two tensors (1000, 2)."""
    check_known(distribution, case)
    kept = load_samples()
    return kept["points"][case, distribution].float() / kept["per_unit"]


def check_known(distribution, case):
    Choices(dict.fromkeys(NAMES))[distribution]
    CASES[case]
