"""The canvas as a widget, by anywidget: what ipywidgets lacks."""

from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).parent
SCRIPTS = "math.js", "canvas.js", "scenes.js"


def script():
    """The renderer as one script that defines `render`."""
    return "\n".join((HERE / name).read_text("utf-8") for name in SCRIPTS)


def page_script():
    """The same for a page that was opened from a folder, where modules may not be loaded."""
    return f"const MeanFlows = (() => {{\n{script()}\nreturn {{ render, mathematics, parts }}\n}})()\n"


class Canvas(anywidget.AnyWidget):
    """Draws a panel's spec; every key of its state is a trait, for sliders to be linked to."""

    _esm = script() + "\nexport default { render }\n"
    _css = (HERE / "canvas.css").read_text("utf-8")
    spec = traitlets.Dict().tag(sync=True)

    def __init__(self, spec):
        self.add_traits(**{key: traitlets.Any(value).tag(sync=True) for key, value in spec["state"].items()})
        super().__init__(spec=spec)
