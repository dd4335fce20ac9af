"""A panel is data, knobs and the name of a scene, described once. canvas.js draws it, in a notebook and on the website.

In a notebook the knobs are sliders of ipywidgets, linked to the canvas in the browser: a move asks no kernel.
Only what ipywidgets 7.7 and 8 share is used.
"""

import base64
from dataclasses import dataclass, field

import ipywidgets
import torch
from IPython.display import display

from ..data import Checkerboard, GaussianMixture
from ..methods import load_pretrained

PANEL = "application/vnd.mean-flows.panel+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDE = ipywidgets.Layout(width="min(100%, 460px)")
WITHOUT = "To hold this panel, run<br><code>%pip install anywidget</code><br>and then this cell again."


def slider(key, name, options):
    """A knob with a position for each of the options; `key` is what the scene calls the position."""
    return dict(key=key, name=name, options=[str(option) for option in options], kind="slider")


def menu(key, name, options):
    return {**slider(key, name, options), "kind": "menu"}


def keys(key, name, options):
    """Like a menu, with every option in sight."""
    return {**slider(key, name, options), "kind": "keys"}


def time(key="t", name="t", low=0.0, high=1.0):
    return dict(key=key, name=name, low=low, high=high, step=0.01, kind="time")


def interval(step=0.01):
    """Two times with r ≤ t, in one slider with two handles."""
    return dict(key="rt", name="r, t", low=0.0, high=1.0, step=step, kind="interval")


def widget(knob):
    """A knob as a widget, and which of its traits holds the state."""
    text = dict(description=knob["name"], style=dict(description_width="initial"), layout=WIDE)
    if knob["kind"] in {"time", "interval"}:
        two = knob["kind"] == "interval"
        kind = ipywidgets.FloatRangeSlider if two else ipywidgets.FloatSlider
        start = dict(value=(knob["low"], knob["high"])) if two else {}
        ends = dict(min=knob["low"], max=knob["high"], step=knob["step"])
        return kind(readout_format=".2f", **ends, **start, **text), "value"
    if knob["kind"] == "keys":
        return ipywidgets.ToggleButtons(options=knob["options"], description=knob["name"],
                                        style=dict(description_width="initial", button_width="auto")), "index"
    kind = dict(slider=ipywidgets.SelectionSlider, menu=ipywidgets.Dropdown)
    return kind[knob["kind"]](options=knob["options"], **text), "index"


@dataclass
class Panel:
    """A scene of scenes.js, its data, the state of knobs and handles it starts from, and the knobs.

    play: the key of a knob that a button moves.  shipped: names of networks, such as checkerboard-mean_flow.
    """

    scene: str
    data: dict
    state: dict
    knobs: list
    play: str = ""
    glide: list = field(default_factory=list)  # keys without a knob whose changes move, like those of options
    shipped: list = field(default_factory=list)

    def spec(self):
        """All of it as JSON; shared networks by their names only."""
        return dict(scene=self.scene, data=self.data, state=self.state, knobs=self.knobs, play=self.play,
                    glide=self.glide)

    def live(self):
        """The panel as an ipywidgets box: knobs, then the canvas, which is its last child."""
        try:
            from .canvas import Canvas
        except ImportError:  # not everywhere: Colab had no anywidget for long
            return ipywidgets.HTML(WITHOUT)
        canvas = Canvas({**self.spec(), "shared": {name: shipped(name) for name in self.shipped}})
        knobs = []
        for knob in self.knobs:
            made, trait = widget(knob)
            setattr(made, trait, self.state[knob["key"]])
            ipywidgets.jslink((made, trait), (canvas, knob["key"]))
            knobs.append(made)
        return ipywidgets.VBox([*knobs, canvas])

    def _ipython_display_(self):
        show(self.live(), self)


def show(live, panel):
    """Display a widget, and beside it a panel's data for a page without a kernel; where neither can be shown, a
    sentence."""
    view = dict(version_major=2, version_minor=0, model_id=live.model_id)
    said = "(A panel to hold: run this cell, or see the website.)"
    display({WIDGET: view, PANEL: panel.spec(), "text/plain": said}, raw=True)


def packed(values):
    """Numbers in base64, as floating-point ones of 16 bits."""
    values = torch.as_tensor(values).detach().cpu().half()
    data = base64.b64encode(values.numpy().astype("<f2").tobytes()).decode()
    return dict(shape=list(values.shape), bits=16, data=data)


def packed_small(values):
    """Numbers in base64, as whole ones of 8 bits times a scale; the lowest is not a number."""
    scale = values.nan_to_num(0).abs().max().item() / 127 or 1.0
    whole = (values.detach().cpu() / scale).round().nan_to_num(-128).numpy().astype("i1")
    return dict(shape=list(values.shape), bits=8, scale=scale, data=base64.b64encode(whole.tobytes()).decode())


def exact(dist):
    """A distribution of the plane with a known velocity, as `described`; ValueError for all else, a network too."""
    if not isinstance(dist, Checkerboard | GaussianMixture):
        raise ValueError("dist must have an exact velocity that the page knows, a Checkerboard or a GaussianMixture; "
                         f"got {dist!r}. Try DISTRIBUTIONS['checkerboard'], or explore(u_net) for a network.")
    return described(dist)


def described(u):
    """A distribution with a known velocity, or a network of the plane, as math.js computes it.

    A network must be linear layers with one activation between them, on (z, t) or (z, t, t − r). Whether it is, its own
    numbers decide: a hook or another forward is found out. Raises ValueError for what the page cannot compute.
    """
    if isinstance(u, Checkerboard):
        return dict(board=True)
    if isinstance(u, GaussianMixture) and u.means.shape[1] == 2:
        return dict(means=[[round(part, 7) for part in mean] for mean in u.means.tolist()],
                    sd=[round(sd, 7) for sd in u.sd.tolist()])
    layers = list(getattr(u, "net", ()))
    linear, others = layers[::2], layers[1::2]
    activations = {str(layer).replace("approximate='none'", "") for layer in others}
    known = {"GELU()", "SiLU()", "Tanh()", "ReLU()"}
    if (not others or not activations <= known or not all(isinstance(layer, torch.nn.Linear) for layer in linear)
            or linear[0].in_features not in {3, 4} or linear[-1].out_features != 2
            or any(layer.bias is None for layer in linear)):
        raise ValueError(f"u must be a MeanVelocityMLP or VelocityMLP with one of {', '.join(sorted(known))}, or a "
                         f"distribution of the plane; got {u!r}. For other networks, draw what sample() gives.")
    if not all(parameter.abs().max() < 6e4 for parameter in u.parameters()):  # the highest number of 16 bits is 65,504
        raise ValueError("u has weights that are not finite, or beyond 60,000: its training has diverged.")
    net = dict(layers=[[packed(layer.weight), packed(layer.bias)] for layer in linear],
               activation=str(others[0]).split("(")[0])
    _check_as_layers(u, linear, others[0])
    return net


def shipped(name):
    """The network that comes with the course, by distribution and method: checkerboard-flow_matching, say."""
    distribution, method = name.split("-")
    return described(load_pretrained(distribution, method, solver=(lambda v: v) if method == "flow_matching" else None))


@torch.no_grad()
def _check_as_layers(u, linear, activation):
    """ValueError unless u is these layers on (z, t) or (z, t, t − r)."""
    dice = torch.Generator().manual_seed(0)
    z, (r, t) = torch.randn(16, 2, generator=dice), torch.rand(2, 16, 1, generator=dice).sort(dim=0).values
    columns = linear[0].in_features
    z, r, t = (part.to(linear[0].weight) for part in (z, r, t))
    h = torch.cat([z, t, t - r], dim=1)[:, :columns]
    for layer in linear[:-1]:
        h = activation(torch.nn.functional.linear(h, layer.weight, layer.bias))
    h = torch.nn.functional.linear(h, linear[-1].weight, linear[-1].bias)
    given = u(z, t) if columns == 3 else u(z, r, t)
    if given.shape != h.shape or not torch.allclose(given, h, atol=1e-4):
        raise ValueError("u must be its layers, one after the other, on (z, t) or (z, t, t − r); this one computes "
                         "something else (a hook, other features, another forward?). Draw what sample() gives.")
