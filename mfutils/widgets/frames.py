"""A panel for a page without a kernel: all its pictures, and a script that shows one of them, frames.js."""

import base64
import html
import itertools
import json
from pathlib import Path
from typing import NamedTuple

from IPython.display import HTML

from .. import plots
from .panel import Interval

SCRIPT = (Path(__file__).parent / "frames.js").read_text()
DPI = 96
POSITIONS = 10  # of r and of t, at most: there is a picture for every pair


def frames(panel):
    """The panel as HTML; the page must hold SCRIPT once, below."""
    knobs = [knob for control in panel.controls for knob in knobs_of(control)]
    pictures = {}
    for key in itertools.product(*(range(len(knob.labels)) for knob in knobs)):
        values = values_at(panel.controls, list(key))
        if any(isinstance(value, tuple) and value[0] > value[1] for value in values):
            continue
        alt = panel.draw(*values)
        pictures[",".join(map(str, key))] = alt, base64.b64encode(plots.light(plots.png(panel.figure, DPI))).decode()
        panel.figure.set_layout_engine("none")  # as laid out for the first one: nothing jumps
    alt, data = pictures[",".join(str(knob.start) for knob in knobs)]
    width = round(panel.figure.get_figwidth() * 72)
    image = f'<img width="{width}" alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
    controls = "".join(knob.markup() for knob in knobs)
    return HTML(f'<figure class="panel">{image}<div>{controls}<button>play</button></div>'
                f'<script type="application/json">{json.dumps(pictures)}</script></figure>')


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
            return f'<label>{self.name} <select name="{self.name}">{options}</select></label>'
        return (f'<label>{self.name} <input type="range" name="{self.name}" min="0" max="{len(self.labels) - 1}" '
                f'value="{self.start}" data-labels="{html.escape(json.dumps(self.labels))}"><output></output></label>')


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
