"""A square to draw in: the one widget that ipywidgets lacks, by anywidget."""

from pathlib import Path

import anywidget
import traitlets


class DrawingPad(anywidget.AnyWidget):
    """What is drawn, as `points`: a list of [x, y] in [0, 1]², y upward."""

    _esm = Path(__file__).parent / "pad.js"
    points = traitlets.List().tag(sync=True)
