"""Sliders over figures. What a slider shows is computed before; moving it only draws.

Only what ipywidgets 7.7 and 8 share is used. A picture is one HTML widget with an <img>, since that
alone carries alternative text, does not flicker, and is never stacked twice.
"""

import base64
import html

import ipywidgets
import torch

from . import own, plots


def figure_under(controls, fig, update):
    """Controls over a figure: on every move, update(*values) moves the artists and returns the alt text."""
    image = ipywidgets.HTML()

    def redraw(_=None):
        image.value = img(fig, update(*(control.value for control in controls)))

    for control in controls:
        control.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([*controls, image])


def img(fig, alt):
    """The figure as an HTML image. It is laid out the first time only: faster, and nothing jumps."""
    data = base64.b64encode(plots.png(fig)).decode()
    fig.set_layout_engine("none")
    width = round(fig.get_figwidth() * plots.DPI / 2)
    return f'<img alt="{html.escape(alt)}" width="{width}" src="data:image/png;base64,{data}">'


def steps_control(options):
    """A slider over numbers of steps."""
    return ipywidgets.SelectionSlider(options=list(options), value=list(options)[0], description="steps")


def interval_control(levels, value):
    """A slider with two handles, r and t, on `levels` even intervals of [0, 1]: r > t is impossible."""
    return ipywidgets.FloatRangeSlider(min=0, max=1, step=1 / levels, value=value, description="r, t",
                                       readout_format=".2f", layout=ipywidgets.Layout(width="420px"))


def steps_slider(samples, target, distances):
    """Samples (dict from n_steps to points) beside the target, with their distances to it."""
    fig, (left, right) = plots.planes(["samples", "target"], size=3)
    cloud = plots.dots(left, next(iter(samples.values())))
    plots.dots(right, target, plots.DATA)

    def update(n_steps):
        plots.put(cloud, samples[n_steps])
        left.set_title(f"{n_steps} NFE, sliced W2 {distances[n_steps]:.3f}", fontsize=10)
        return f"Samples after {n_steps} steps beside the target; sliced W2 {distances[n_steps]:.3f}."

    return figure_under([steps_control(samples)], fig, update)


def chord_slider(path):
    """The chord of one particle's path between the times r and t.

    path: (k + 1, 2), the particle's states at times 1, 1 − 1/k, …, 0.
    """
    levels = len(path) - 1
    fig, (ax,) = plots.planes([""], size=4.2)
    move = plots.chord(ax, path, 0, levels)

    def update(interval):
        r, t = interval
        start, end = (round((1 - s) * levels) for s in (t, r))
        move(start, end)
        if start == end:
            text = f"r = t = {t:.2f}: the chord has shrunk to the velocity v"
        else:
            u = (path[start] - path[end]) / (t - r)
            text = f"r = {r:.2f}, t = {t:.2f}: u = ({u[0]:.2f}, {u[1]:.2f})"
        ax.set_title(text, fontsize=10)
        return f"A curved path and its chord from t = {t:.2f} to r = {r:.2f}. {text}."

    return figure_under([interval_control(levels, (0.0, 1.0))], fig, update)


def error_slider(errors, rms, levels):
    """Map of |u_net − u| over the plane for every r ≤ t.

    errors, rms: dicts from (i, j), meaning r = i / levels and t = j / levels, to values (n²,) on
    `plots.grid(n)` and to one number.
    """
    fig, (ax,) = plots.planes([""], size=4.2)
    picture = plots.heat_map(ax, errors[0, levels], highest=1.0)
    fig.colorbar(picture, ax=ax, label="error of u", extend="max", shrink=0.8)

    def update(interval):
        i, j = (round(s * levels) for s in interval)
        picture.set_data(errors[i, j].view(picture.get_array().shape).numpy())
        ax.set_title(f"r = {i / levels:.1f}, t = {j / levels:.1f}: rms error {rms[i, j]:.3f}", fontsize=10)
        return f"Map of the error of u at r = {i / levels:.1f}, t = {j / levels:.1f}; rms error {rms[i, j]:.3f}."

    return figure_under([interval_control(levels, (0.0, 1.0))], fig, update)


def comparison_panel(samples, targets, distances):
    """Samples beside the target, by distribution, method and number of steps.

    samples, distances: dicts from (distribution, method, n_steps).  targets: a dict from distribution.
    """
    names, methods, steps = (list(dict.fromkeys(column)) for column in zip(*samples))
    fig, (left, right) = plots.planes(["samples", "target"], size=3)
    cloud = plots.dots(left, samples[names[0], methods[0], steps[0]])
    goal = plots.dots(right, targets[names[0]], plots.DATA)

    def update(*key):
        plots.put(cloud, samples[key])
        plots.put(goal, targets[key[0]])
        left.set_title(f"{key[2]} NFE, sliced W2 {distances[key]:.3f}", fontsize=10)
        return f"{key[0]}, {key[1]}, {key[2]} steps beside the target; sliced W2 {distances[key]:.3f}."

    controls = [ipywidgets.Dropdown(options=names, description="data"),
                ipywidgets.Dropdown(options=methods, description="method"), steps_control(steps)]
    return figure_under(controls, fig, update)


class OwnData(ipywidgets.VBox):
    """Write something, choose a file, or draw with the mouse: `distribution` is the exact mixture of what came last."""

    def __init__(self, text):
        fig, (ax,) = plots.planes([""], size=4)
        cloud = plots.dots(ax, torch.zeros(1, 2), plots.DATA)
        image, state = ipywidgets.HTML(), ipywidgets.HTML()

        def take(mixture_of, given):
            state.value = "Drawing …"
            try:
                self.distribution = mixture_of(given)
            except ValueError as error:
                state.value = f"{html.escape(str(error))} The picture still shows the last one that worked."
                return
            title = f"a mixture of {len(self.distribution.means)} Gaussians"
            plots.put(cloud, self.distribution.sample(plots.SHOWN))
            ax.set_title(title, fontsize=10)
            image.value, state.value = img(fig, f"Samples of your distribution, {title}."), ""

        write = ipywidgets.Text(text, description="write", continuous_update=False)
        choose = ipywidgets.FileUpload(accept="image/*,.csv,.txt", description="or a file")
        hint = ipywidgets.HTML("a picture, or two numbers in every line; below 1 MB")  # more is lost in Colab
        pad = drawing_pad()
        write.observe(lambda change: take(own.mixture_of_text, change.new), "value")
        choose.observe(lambda change: take(own.mixture_of_file, uploaded(change.new)), "value")
        pad.observe(lambda change: change.new[1:] and take(own.mixture_of_points, change.new), "points")
        take(own.mixture_of_text, text)
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
