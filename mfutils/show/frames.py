"""A panel for a page without a kernel: its knobs in HTML, and all its pictures, drawn beforehand. The website's script
shows them (docs/_static/panels.js)."""

import base64
import html
import io
import itertools
import json
from typing import NamedTuple

import numpy as np
from IPython.display import display
from PIL import Image

from . import plots
from .panel import Interval, Panel

FRAMES = "application/vnd.mean-flows.frames+json"
DPI = 96
SHOWN = 72  # pixels of the page for an inch of the figure, as in a notebook
POSITIONS = 10  # of r and of t, at most: there is a picture for every pair


def put_out_frames():
    """From now on in this kernel a panel that is displayed puts out its frames as data, and no widget."""
    Panel._ipython_display_ = lambda panel: display({FRAMES: frames(panel)}, raw=True)


def frames(panel):
    """The panel as a dict of three. `markup` is HTML and shows the first picture. `pictures` leads from the positions
    of the knobs, as in "0,3", to alternative text and the numbers of the strips that make the picture. `strips` are
    the addresses of their data; one that occurs in many pictures, such as a target, is there once."""
    knobs = [knob for control in panel.controls for knob in knobs_of(control)]
    drawn, strips = {}, {}
    for key in itertools.product(*(range(len(knob.labels)) for knob in knobs)):
        values = values_at(panel.controls, list(key))
        if any(isinstance(value, tuple) and value[0] > value[1] for value in values):
            continue
        alt = panel.draw(*values)
        drawn[",".join(map(str, key))] = alt, Image.open(io.BytesIO(plots.png(panel.figure, DPI))).convert("RGB")
        panel.figure.set_layout_engine("none")  # as laid out for the first one: nothing jumps
    cuts = gutters([image for _, image in drawn.values()])
    pictures = {key: (alt, [strips.setdefault(address(image.crop((left, 0, right, image.height))), len(strips))
                            for left, right in itertools.pairwise(cuts)]) for key, (alt, image) in drawn.items()}
    return dict(markup=markup(panel, knobs, cuts, *pictures[",".join(str(knob.start) for knob in knobs)], list(strips)),
                pictures=pictures, strips=list(strips))


def gutters(images, least=DPI // 16):
    """Where to cut images of one size into strips: at columns blank in every picture, `least` of them or more in a row.
    (Two squares of the plane stand a little further apart.)"""
    ink = np.any([(np.asarray(image) < 255).any(axis=(0, 2)) for image in images], axis=0)
    cuts, column = [0], 0
    for drawn, run in itertools.groupby(ink):
        width = len(list(run))
        if not drawn and width >= least and 0 < column < len(ink) - width:
            cuts.append(column + width // 2)
        column += width
    return [*cuts, len(ink)]


def address(image):
    """A picture as a data: address, in 256 colours and without loss; a third lighter than PNG."""
    buffer = io.BytesIO()
    image.quantize(256, Image.Quantize.MAXCOVERAGE).convert("RGB").save(buffer, "WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def markup(panel, knobs, cuts, alt, chosen, strips):
    """The panel in HTML, with one of its pictures. Its controls are for the script to enable."""
    inches = panel.figure.get_figwidth()
    images = "".join(f'<img alt="" style="width: {100 * (right - left) / cuts[-1]:.4f}%" src="{strips[number]}">'
                     for number, (left, right) in zip(chosen, itertools.pairwise(cuts)))
    controls = "".join(knob.markup() for knob in knobs)
    return (f'<figure class="panel"><div class="picture" role="img" aria-label="{html.escape(alt)}" '
            f'style="width: {inches * SHOWN:.0f}px">{images}</div>'
            f'<div class="knobs">{controls}<button disabled>play</button></div></figure>')


def times_of(interval):
    """The times of an interval's slider, so thinned out that there are at most POSITIONS steps."""
    stride = next(k for k in range(1, interval.levels + 1)
                  if interval.levels % k == 0 and interval.levels // k <= POSITIONS)
    return [i / interval.levels for i in range(0, interval.levels + 1, stride)]


class Knob(NamedTuple):
    """A control of the page, or one handle of an interval: what its positions are called, and where it starts."""

    name: str
    labels: list
    start: int = 0
    slider: bool = True

    def markup(self):
        if not self.slider:
            options = "".join(f'<option value="{i}">{html.escape(text)}</option>' for i, text in enumerate(self.labels))
            return f'<label>{self.name} <select name="{self.name}" disabled>{options}</select></label>'
        last, labels = len(self.labels) - 1, html.escape(json.dumps(self.labels))
        return (f'<label>{self.name} <input type="range" name="{self.name}" disabled min="0" max="{last}" '
                f'value="{self.start}" data-labels="{labels}">'
                f'<output aria-live="off">{self.labels[self.start]}</output></label>')


def knobs_of(control):
    """What a control is in HTML: one knob, or two for an interval."""
    if isinstance(control, Interval):
        times = times_of(control)
        starts = [min(range(len(times)), key=lambda i: abs(times[i] - start)) for start in control.start]
        return [Knob(name, [f"{s:.2f}" for s in times], start) for name, start in zip("rt", starts)]
    options = control.options[:1] if control.live_only else control.options
    return [Knob(control.name, [str(option) for option in options], slider=control.slider)]


def values_at(controls, positions):
    """The controls' values at these positions of their knobs."""
    values = []
    for control in controls:
        if isinstance(control, Interval):
            times = times_of(control)
            values.append((times[positions.pop(0)], times[positions.pop(0)]))
        else:
            values.append(control.options[positions.pop(0)])
    return values
