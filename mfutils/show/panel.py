"""A panel is controls over a figure, described once. Displayed, it is live: ipywidgets that redraw. For a page without
a kernel `frames` draws every picture beforehand.

Only what ipywidgets 7.7 and 8 share is used. A live picture is one HTML widget with an <img>, since that alone
carries alternative text, does not flicker, and is never stacked twice.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import ipywidgets
from IPython.display import display
from matplotlib.figure import Figure

from . import plots


class Choice(NamedTuple):
    """One of several options; a slider over them, or a menu. A page without a kernel shows the first option only of one
    that is `live_only`: two long menus would need too many pictures."""

    name: str
    options: Sequence
    slider: bool = True
    live_only: bool = False

    def widget(self):
        kind = ipywidgets.SelectionSlider if self.slider else ipywidgets.Dropdown
        return kind(options=list(self.options), description=self.name)


class Interval(NamedTuple):
    """Two times on `levels` even intervals of [0, 1], as one slider with two handles: r > t is impossible."""

    levels: int
    start: tuple = (0.0, 1.0)

    def widget(self):
        return ipywidgets.FloatRangeSlider(min=0, max=1, step=1 / self.levels, value=self.start, description="r, t",
                                           readout_format=".2f", layout=ipywidgets.Layout(width="420px"))


@dataclass
class Panel:
    """draw(*values of the controls) moves the figure's artists and returns the alternative text; an interval's value
    is the pair (r, t)."""

    controls: Sequence
    figure: Figure
    draw: Callable

    def live(self):
        """The panel as an ipywidgets box: the controls, then the picture."""
        image, controls = ipywidgets.HTML(), [control.widget() for control in self.controls]

        @functools.lru_cache(maxsize=200)  # going back is quicker still
        def picture(*values):
            return img(self.figure, self.draw(*values))

        def redraw(_=None):
            image.value = picture(*(control.value for control in controls))

        for control in controls:
            control.observe(redraw, names="value")
        redraw()
        return ipywidgets.VBox([*controls, image])

    def _ipython_display_(self):
        display(self.live())


def img(fig, alt):
    """The figure as an HTML image. It is laid out the first time only: faster, and nothing jumps."""
    picture = plots.png(fig)
    fig.set_layout_engine("none")
    return plots.img(picture, alt, round(fig.get_figwidth() * plots.DPI / 2))
