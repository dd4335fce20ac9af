"""Draw the README's picture, the one that links to the site show, and the data of the front page's moving one, from the
shipped networks: `make picture`."""

import base64
import json

import torch
from PIL import Image

from mfutils import DISTRIBUTIONS, flow_map, gaussian, load_pretrained, sample
from mfutils.show import plots
from tools.course import ROOT

STATIC = ROOT / "docs" / "_static"
TIMES = [1 - k / 48 for k in range(49)]
ARROWS = 13  # on a side
METHOD = "mean_flow"


def one_step():
    """All distributions in one step, by three methods: docs/one_step.png."""
    torch.manual_seed(0)
    z_1 = gaussian(5000)
    pictures = {method: {name: sample(load_pretrained(name, method), z_1, 1) for name in DISTRIBUTIONS}
                for method in ("flow_matching", "mean_flow", "self_distilled_mean_flow")}
    pictures["target"] = {name: distribution.sample(5000) for name, distribution in DISTRIBUTIONS.items()}
    return plots.gallery(pictures, size=2.2)


def followed(board, z_1):
    """The points (n, 2) at all TIMES on their exact paths: (times, n, 2)."""
    path = [z_1]
    for t, r in zip(TIMES, TIMES[1:]):
        path.append(flow_map(board, path[-1], r, t, n_steps=5))
    return torch.stack(path)


def field(board):
    """−v on a grid at all TIMES, not a number where hardly anybody is: (times, arrows², 2). Near t = 0 the velocity
    grows like 1/t outside the squares, so the last arrows are those of t = 0.02."""
    places, crowd = plots.grid(ARROWS), followed(board, gaussian(20_000))
    steps = []
    for t, points in zip(TIMES, crowd):
        nobody = plots.counts(points, ARROWS) < 5
        steps.append((-board.velocity(places, max(t, 0.02))).masked_fill(nobody[:, None], torch.nan))
    return torch.stack(steps)


def packed(values):
    """Numbers in the plane's units as base64 of little-endian 16-bit thousandths; −32768 is not a number."""
    thousandths = (1000 * values).round().nan_to_num(-32768)
    assert thousandths.abs().max() <= 32768
    return base64.b64encode(thousandths.numpy().astype("<i2").tobytes()).decode()


def card(path, landing):
    """Noise, the way, and data: the picture of links to the site, 1200 × 630."""
    fig, axes = plots.planes(["noise", "one step of a mean flow", "where it lands"], size=4)
    fig.set_size_inches(12, 6.3)
    plots.dots(axes[0], path[0], plots.NOISE, 3)
    plots.arrows(axes[1], path[0][:60], (landing - path[0])[:60], plots.METHOD[METHOD], 0.006)
    plots.dots(axes[2], landing, plots.METHOD[METHOD], 3)
    fig.suptitle("Mean Flows, from derivation to one step", fontsize=28, y=0.95)
    fig.text(0.5, 0.05, "A Jupyter course on one-step generative modelling", fontsize=18, ha="center")
    for ax in axes:
        ax.title.set_fontsize(16)
    return fig


def main():
    (ROOT / "docs" / "one_step.png").write_bytes(plots.light(plots.png(one_step())))
    board = DISTRIBUTIONS["checkerboard"]
    torch.manual_seed(0)
    z_1 = gaussian(1600)
    path, landing = followed(board, z_1), sample(load_pretrained("checkerboard", METHOD), z_1, 1)
    data = dict(n=len(z_1), times=len(TIMES), arrows=ARROWS, limit=plots.LIMIT, path=packed(path),
                field=packed(field(board)), landing=packed(landing))
    (STATIC / "hero-data.js").write_text(f"const HERO = {json.dumps(data, indent=0)}\n", "utf-8")
    (STATIC / "card.png").write_bytes(plots.light(plots.png(card(path, landing), dpi=100)))
    assert Image.open(STATIC / "card.png").size == (1200, 630)  # as docs/conf.py says


if __name__ == "__main__":
    main()
