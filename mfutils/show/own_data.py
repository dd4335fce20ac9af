"""Data of one's own: written, chosen as a file, or drawn."""

import html

import ipywidgets
import torch

from .. import shapes
from .panel import show
from .panels import draw

INSTEAD = "❀"  # of a first text that cannot be drawn


class OwnData(ipywidgets.VBox):
    """Write something, choose a file, or draw with the mouse: `distribution` is the exact mixture of what came last, or
    of ❀ as long as nothing that came could be drawn. Beside it, live, what its exact velocity does."""

    def __init__(self, text):
        write = ipywidgets.Text(text, description="write", continuous_update=False)
        choose = ipywidgets.FileUpload(accept="image/*,.csv,.txt", description="or a file")
        hint = ipywidgets.HTML("a picture, or two numbers in every line; below 1 MB")  # more is lost in Colab
        self.state, panel = ipywidgets.HTML(), draw().live()
        self.canvas = getattr(panel, "children", [None])[-1]  # none without anywidget
        write.observe(lambda change: self.take(shapes.mixture_of_text, change.new), "value")
        choose.observe(lambda change: self.take(shapes.mixture_of_file, uploaded(change.new)), "value")
        if self.canvas:
            self.canvas.observe(self.take_drawing, "ink")
        self.take(shapes.mixture_of_text, text)
        super().__init__([ipywidgets.HBox([write, choose, hint]), panel, self.state])

    def _ipython_display_(self):
        """Live, and beside it the panel for the website."""
        panel = draw()
        panel.state |= means_of(self.distribution)
        show(self, panel)

    def take(self, mixture_of, given):
        """Make the mixture and show it, or say what is wrong."""
        try:
            self.distribution = mixture_of(given)
        except ValueError as error:
            shown = "still shows the last one that worked"
            if not hasattr(self, "distribution"):  # the cells below need one
                self.take(shapes.mixture_of_text, INSTEAD)
                shown = f"shows {INSTEAD} instead"
            self.state.value = f"{html.escape(str(error))} The picture {shown}."
            return
        self.state.value = f"a mixture of {len(self.distribution.means)} Gaussians"
        if self.canvas and mixture_of is not shapes.mixture_of_points:  # what is drawn is on the canvas already
            with self.canvas.hold_sync():
                self.canvas.set_state(means_of(self.distribution))

    def take_drawing(self, change):
        points = torch.tensor(change.new).view(-1, 2)
        if len(points) > 1:
            self.take(shapes.mixture_of_points, points)


def means_of(distribution):
    """A mixture as the state of the canvas."""
    return dict(means=[[round(part, 3) for part in mean] for mean in distribution.means.tolist()],
                width=round(distribution.sd[0].item(), 4), ink=[])


def uploaded(value):
    """The bytes of the one file in a FileUpload's value: a dict in ipywidgets 7, a tuple in 8."""
    (file,) = value.values() if isinstance(value, dict) else value
    return bytes(file["content"])
