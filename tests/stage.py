"""Every kind of panel on small data, for all tests that hold one."""

import torch

from mfutils import DISTRIBUTIONS, MeanVelocityMLP, VelocityMLP
from mfutils.show import widgets

BOARD = DISTRIBUTIONS["checkerboard"]
DICE = torch.Generator().manual_seed(0)
CLOUD = torch.randn(50, 2, generator=DICE)
TRIANGLE = torch.ones(3, 3).tril().masked_fill(torch.ones(3, 3).triu(1) > 0, torch.nan)
PAIRS = [(i, j) for j in range(5) for i in range(j + 1)]


def comparison():
    torch.manual_seed(0)
    solvers = {"flow matching, Euler": (VelocityMLP(8, 2), "Euler"), "mean flow": (MeanVelocityMLP(8, 2), "jump")}
    distances = {(data, label, nfe): nfe / 10
                 for data in ("checkerboard", "spiral") for label in solvers for nfe in (1, 4)}
    del distances["spiral", "mean flow", 4]  # one that was not made
    return widgets.comparison({"checkerboard": solvers, "spiral": solvers}, distances)


def explore():
    torch.manual_seed(1)
    return widgets.explore(MeanVelocityMLP(16, 2), "mean_flow", BOARD)


def cases():
    keys = [(data, steps, case) for data in ("checkerboard", "spiral") for steps in (1, 8)
            for case in ("x: one", "x: two", "y: three")]
    return widgets.cases({key: (k + 1) / 9 * CLOUD for k, key in enumerate(keys)},
                         {"checkerboard": CLOUD, "spiral": -CLOUD},
                         {key: f"TV {k / 10}" for k, key in enumerate(keys)})


def sheets():
    keys = [(method, nfe) for method in ("one", "two") for nfe in (1, 2)][:3]  # the last one was not made
    said = {key: f"{key[0]}, {key[1]} NFE: Fréchet distance {k}.5" for k, key in enumerate(keys)}
    return widgets.sheets({key: torch.full((4, 9), k / 2 - 1) for k, key in enumerate(keys)}, ("method", "NFE"), said,
                          columns=2)


def draw():
    panel = widgets.draw()
    panel.state |= dict(means=[[-1.0, 0.0], [0.5, 1.0], [1.0, -1.0]], width=0.2)
    return panel


PANELS = dict(
    field=lambda: widgets.field(BOARD), roads=lambda: widgets.roads(BOARD),
    solvers=lambda: widgets.solvers(BOARD, torch.tensor([[1.0, 1.0], [-2.0, 0.5]])),
    chord=lambda: widgets.chord(BOARD, torch.tensor([1.1, 0.4])),
    swing=lambda: widgets.swing(BOARD, torch.tensor([1.1, 0.4]), 0.2, 0.1, [(0, 1), (0, 0), (1, 0), (1, 1)]),
    cut=lambda: widgets.cut(BOARD, torch.tensor([[1.5, -1.2], [0.8, 3.1]])),
    comparison=comparison,
    film=lambda: widgets.film({name: {1: TRIANGLE, 2: TRIANGLE / k} for k, name in enumerate(("one", "two"), 2)}),
    stages=lambda: widgets.stages({k: k * CLOUD for k in (1, 2)}, CLOUD, {k: TRIANGLE / k for k in (1, 2)},
                                  {1: "TV 0.5", 2: "TV 0.25"}),
    error=lambda: widgets.error({key: torch.full((16,), sum(key) / 10) for key in PAIRS},
                                {key: key[0] + key[1] / 10 for key in PAIRS}, 4),
    explore=explore,
    noise=lambda: widgets.noise({(data, r): (k * CLOUD, k * (2 - r) * CLOUD) for k, data in enumerate("ab", start=1)
                                 for r in (0.5, 0.0)}),
    cases=cases, sheets=sheets,
    scales=lambda: widgets.sheets({(c, s): torch.full((4, 9), (c + 1) * s - 1.2) for c in (0, 1) for s in (0.5, 1.0)},
                                  ("class", "ω"), {(c, s): f"class {c}, ω = {s}" for c in (0, 1) for s in (0.5, 1.0)},
                                  columns=2),
    between=lambda: widgets.between({(name, turn): torch.linspace(-1, 1, 36).view(4, 9).roll(k, dims=1)
                                     for k, (name, turn) in enumerate([("1 2 3 4", 0), ("1 2 3 4", 90), ("5 6 7 8", 0),
                                                                       ("5 6 7 8", 90)])}, grid=2),
    race=widgets.race, draw=draw)
