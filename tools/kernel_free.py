"""Sliders for a page without a kernel: every picture is drawn beforehand, and a little script shows one of them."""

import base64
import html
import itertools
import json

from IPython.display import HTML
from ipywidgets import FloatRangeSlider

from mfutils import plots, widgets

LEVELS = 10  # of r and t
DPI = 96

SCRIPT = """
for (const panel of document.querySelectorAll("figure.panel")) {
  const image = panel.querySelector("img"), play = panel.querySelector("button")
  const knobs = [...panel.querySelectorAll("input, select")]
  const frames = JSON.parse(panel.querySelector("script").textContent)
  const ordered = knobs[0].name == "r"  // r ≤ t: a knob that would pass the other pushes it along
  play.ariaLabel = "play " + (ordered ? "r" : "steps")

  function show(moved) {
    if (ordered && +knobs[0].value > +knobs[1].value) knobs[moved == knobs[0] ? 1 : 0].value = moved.value
    const [alt, data] = frames[knobs.map(knob => knob.value)]
    image.alt = alt
    image.src = "data:image/png;base64," + data
    for (const knob of knobs) if (knob.type == "range")
      knob.nextElementSibling.textContent = knob.ariaValueText = knob.dataset.labels.split(" ")[knob.value]
  }

  function advance() {
    const knob = ordered ? knobs[0] : knobs.at(-1), last = ordered ? +knobs[1].value : +knob.max
    knob.value = +knob.value < last ? +knob.value + 1 : 0
    show(knob)
  }

  let playing = null
  play.onclick = () => {
    play.textContent = playing ? "play" : "stop"
    play.ariaPressed = !playing
    playing = playing ? clearInterval(playing) : setInterval(advance, 700)
  }
  for (const knob of knobs) knob.oninput = () => show(knob)
  show(knobs[0])
}
"""


def figure_under(controls, fig, update):
    """In the place of `widgets.figure_under`: the same controls and pictures, as HTML that needs nothing else."""
    knobs = list(itertools.chain.from_iterable(map(knobs_of, controls)))
    frames, ordered = {}, knobs[0][0] == "r"
    for key in itertools.product(*(range(len(labels)) for _, labels, _ in knobs)):
        if ordered and key[0] > key[1]:
            continue
        values = [tuple(i / LEVELS for i in key)] if ordered else [c.options[i] for c, i in zip(controls, key)]
        alt = update(*values)
        frames[",".join(map(str, key))] = alt, base64.b64encode(plots.light(plots.png(fig, DPI))).decode()
        fig.set_layout_engine("none")  # as laid out for the first one: nothing jumps
    alt, data = frames[",".join(str(start) for _, _, start in knobs)]
    size = f'width="{round(fig.get_figwidth() * 72)}"'
    return HTML(f'<figure class="panel"><img {size} alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
                f'<div>{"".join(map(knob_html, knobs))}<button>play</button></div>'
                f'<script type="application/json">{json.dumps(frames)}</script></figure>')


def knobs_of(control):
    """What a control is in HTML: one knob or two, as (name, labels of its positions, position at first)."""
    if isinstance(control, FloatRangeSlider):
        labels = [f"{i / LEVELS:.1f}" for i in range(LEVELS + 1)]
        return [(name, labels, round(value * LEVELS)) for name, value in zip("rt", control.value)]
    return [(control.description, [str(option) for option in control.options], control.options.index(control.value))]


def knob_html(knob):
    name, labels, start = knob
    if name in ("data", "method"):
        options = "".join(f'<option value="{i}">{label}</option>' for i, label in enumerate(labels))
        return f'<label>{name} <select name="{name}">{options}</select></label>'
    return (f'<label>{name} <input type="range" name="{name}" min="0" max="{len(labels) - 1}" value="{start}" '
            f'data-labels="{html.escape(" ".join(labels))}"><output></output></label>')


def install():
    widgets.figure_under = figure_under
