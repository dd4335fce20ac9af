"""Draw the README's picture and the one that links to the site show, and write the networks that the site's panels
load: `make picture`."""

import json

import torch
from matplotlib.figure import Figure
from PIL import Image

from mfutils import DISTRIBUTIONS, METHODS, flow_map, gaussian, load_pretrained, sample
from mfutils.show import plots, widgets
from mfutils.show.panel import shipped
from tools.course import ROOT

STATIC = ROOT / "docs" / "_static"
METHOD, BOARD = "distilled_mean_flow", DISTRIBUTIONS["checkerboard"]


def one_step():
    """All distributions in one step, by three methods and by the exact map, each point in the colour of where that
    takes it: docs/one_step.png."""
    torch.manual_seed(0)
    z_1 = gaussian(5000)
    exact = {name: flow_map(distribution, z_1, 0, 1) for name, distribution in DISTRIBUTIONS.items()}
    pictures = {"noise": dict.fromkeys(DISTRIBUTIONS, z_1)}
    for method in ("flow_matching", "mean_flow", METHOD):
        pictures[plots.in_words(method)] = {name: sample(load_pretrained(name, method), z_1, 1)
                                            for name in DISTRIBUTIONS}
    pictures["exact"] = exact
    fig = Figure(figsize=(8.8, 11.2), layout="constrained")
    for row, (method, clouds) in zip(fig.subplots(len(pictures), len(DISTRIBUTIONS)), pictures.items()):
        row[0].set_ylabel(method, fontsize=13, color=plots.in_text(method))
        for ax, (name, points) in zip(row, clouds.items()):
            plots.plane(ax)
            colours = plots.by_place(plots.part(DISTRIBUTIONS[name], exact[name]))
            ax.scatter(*points.T.numpy(), c=colours, s=1.5, linewidths=0)
            ax.set_title(plots.in_words(name) if method == "noise" else "", fontsize=13)
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
    for ax, title in zip(axes, ("noise", "one step of a distilled mean flow", "where it lands")):
        plots.plane(ax)
        ax.set_title(title, fontsize=16)
    colours = plots.by_place(plots.part(BOARD, flow_map(BOARD, noise, 0, 1)))
    plots.arrows(axes[1], noise[:60], (landing - noise)[:60], colours[:60], 0.006)
    for ax, points in ((axes[0], noise), (axes[2], landing)):
        ax.scatter(*points.T.numpy(), c=colours, s=9, linewidths=0)
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
