"""Data of one's own: written, chosen as a file, or drawn."""

import html

import ipywidgets
import torch

from .. import shapes
from . import plots
from .panel import img

INSTEAD = "❀"  # of a first text that cannot be drawn


class OwnData(ipywidgets.VBox):
    """Write something, choose a file, or draw with the mouse: `distribution` is the exact mixture of what came last, or
    of ❀ as long as nothing that came could be drawn."""

    def __init__(self, text):
        fig, (ax,) = plots.planes([""], size=4)
        cloud = plots.dots(ax, torch.zeros(1, 2), plots.DATA)
        image, state = ipywidgets.HTML(), ipywidgets.HTML()

        def take(mixture_of, given):
            state.value = "Drawing …"
            try:
                self.distribution = mixture_of(given)
            except ValueError as error:
                shown = "still shows the last one that worked"
                if not hasattr(self, "distribution"):  # the cells below need one
                    take(shapes.mixture_of_text, INSTEAD)
                    shown = f"shows {INSTEAD} instead"
                state.value = f"{html.escape(str(error))} The picture {shown}."
                return
            title = f"a mixture of {len(self.distribution.means)} Gaussians"
            plots.put(cloud, self.distribution.sample(plots.SHOWN))
            ax.set_title(title, fontsize=10)
            image.value, state.value = img(fig, f"Samples of your distribution, {title}."), ""

        write = ipywidgets.Text(text, description="write", continuous_update=False)
        choose = ipywidgets.FileUpload(accept="image/*,.csv,.txt", description="or a file")
        hint = ipywidgets.HTML("a picture, or two numbers in every line; below 1 MB")  # more is lost in Colab
        pad = drawing_pad()
        write.observe(lambda change: take(shapes.mixture_of_text, change.new), "value")
        choose.observe(lambda change: take(shapes.mixture_of_file, uploaded(change.new)), "value")
        pad.observe(lambda change: change.new[1:] and take(shapes.mixture_of_points, change.new), "points")
        take(shapes.mixture_of_text, text)
        super().__init__([ipywidgets.HBox([write, choose, hint]), ipywidgets.HBox([pad, image]), state])


def drawing_pad():
    try:
        from .pad import DrawingPad
    except ImportError:  # not everywhere: Colab had no anywidget for long
        return ipywidgets.HTML("To draw with the mouse, run<br><code>%pip install anywidget</code><br>"
                               "and then this cell again.")
    return DrawingPad()


def uploaded(value):
    """The bytes of the one file in a FileUpload's value: a dict in ipywidgets 7, a tuple in 8."""
    (file,) = value.values() if isinstance(value, dict) else value
    return bytes(file["content"])
