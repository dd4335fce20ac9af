"""Draw the README's picture and the one that links to the site show, and write the networks that the site's panels
load: `make picture`."""

import json

import torch
from matplotlib.figure import Figure
from PIL import Image

from mfutils import DISTRIBUTIONS, METHODS, gaussian, load_pretrained, sample
from mfutils.show import plots, widgets
from mfutils.show.panel import shipped
from tools.course import ROOT

STATIC = ROOT / "docs" / "_static"
METHOD = "mean_flow"


def one_step():
    """All distributions in one step, by three methods: docs/one_step.png."""
    torch.manual_seed(0)
    z_1 = gaussian(5000)
    pictures = {method: {name: sample(load_pretrained(name, method), z_1, 1) for name in DISTRIBUTIONS}
                for method in ("flow_matching", "mean_flow", "self_distilled_mean_flow")}
    pictures["target"] = {name: distribution.sample(5000) for name, distribution in DISTRIBUTIONS.items()}
    fig = Figure(figsize=(8.8, 9.1), layout="constrained")
    for row, (method, clouds) in zip(fig.subplots(len(pictures), len(DISTRIBUTIONS)), pictures.items()):
        row[0].set_ylabel(plots.in_words(method), fontsize=13, color=plots.in_text(method))
        for ax, (name, points) in zip(row, clouds.items()):
            plots.plane(ax)
            plots.dots(ax, points, plots.color(method), 1.4)
            ax.set_title(plots.in_words(name) if method == "flow_matching" else "", fontsize=13)
    return fig


def on_page(folder, name, value):
    """Write what the website's panels load: a script that puts a value under a name. (A page opened from a folder may
    load nothing else.)"""
    (STATIC / folder).mkdir(exist_ok=True)
    (STATIC / folder / f"{name}.js").write_text(f"{folder}[{json.dumps(name)}] = {json.dumps(value)}\n", "utf-8")


def card(noise, landing):
    """Noise, the way, and data: the picture of links to the site, 1200 × 630."""
    fig = Figure(figsize=(12, 6.3), layout="constrained")
    axes = fig.subplots(1, 3)
    for ax, title in zip(axes, ("noise", "one step of a mean flow", "where it lands")):
        plots.plane(ax)
        ax.set_title(title, fontsize=16)
    plots.dots(axes[0], noise, plots.NOISE, 3)
    plots.arrows(axes[1], noise[:60], (landing - noise)[:60], plots.METHOD[METHOD], 0.006)
    plots.dots(axes[2], landing, plots.METHOD[METHOD], 3)
    fig.suptitle("Mean Flows, from derivation to one step", fontsize=28, y=0.95)
    fig.text(0.5, 0.05, "A Jupyter course on one-step generative modelling", fontsize=18, ha="center")
    return fig


def main():
    (ROOT / "docs" / "one_step.png").write_bytes(plots.light(plots.png(one_step())))
    torch.manual_seed(0)
    z_1 = gaussian(1600)
    landing = sample(load_pretrained("checkerboard", METHOD), z_1, 1)
    (STATIC / "card.png").write_bytes(plots.light(plots.png(card(z_1, landing), dpi=100)))
    on_page("panels", "race", widgets.race().spec())
    for distribution in DISTRIBUTIONS:
        for method in METHODS:
            on_page("networks", f"{distribution}-{method}", shipped(f"{distribution}-{method}"))
    assert Image.open(STATIC / "card.png").size == (1200, 630)  # as docs/conf.py says


if __name__ == "__main__":
    main()
