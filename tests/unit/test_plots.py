"""The colours can be told apart, by colour-blind readers too."""

import itertools

import numpy as np
import pytest
import torch
from colorspacious import cspace_convert, deltaE
from matplotlib.colors import to_rgb

from mfutils import METHODS, plots

COLOURS = {name: to_rgb(getattr(plots, name)) for name in ("DATA", "NOISE", "INK")}
COLOURS |= {name: to_rgb(color) for name, color in plots.METHOD.items()}
COLOURS["page"] = 1, 1, 1
CLOUDS = {"DATA", "NOISE", "mean_flow", "page"}


@pytest.mark.parametrize("blindness", ["protanomaly", "deuteranomaly", "tritanomaly"])
def test_colours_differ_under_full_colour_blindness(blindness):
    """Simulated after Machado et al. (2009). A difference of 1 in CAM02-UCS is just visible; we ask for 8, and for 20
    between those of the clouds, whose dots are small and lie on each other."""
    how = {"name": "sRGB1+CVD", "cvd_type": blindness, "severity": 100}
    seen = {name: np.clip(cspace_convert(rgb, how, "sRGB1"), 0, 1) for name, rgb in COLOURS.items()}
    for one, other in itertools.combinations(seen, 2):
        difference = deltaE(seen[one], seen[other], input_space="sRGB1")
        assert difference > (20 if {one, other} <= CLOUDS else 8), (one, other)


def test_every_method_has_its_colour_and_four_curves_are_drawn():
    assert list(plots.METHOD) == list(METHODS)
    curves = {method: {1: [0.1, 0.3], 2: [0.05, 0.07]} for method in METHODS}
    fig = plots.distance_by_steps({"board": curves, "moon": curves}, dict.fromkeys(("board", "moon"), (0.01, 0.02)))
    for ax in fig.axes:
        drawn = [container.lines[0] for container in ax.containers]
        assert [line.get_color() for line in drawn] == [plots.METHOD[method] for method in METHODS]
        assert [line.get_ydata().tolist() for line in drawn] == [[pytest.approx(0.2), pytest.approx(0.06)]] * 4
    (ax,) = plots.distance_by_steps({"board": {"flow matching, learned": {1: 0.2}, "exact": {1: 0.1}}},
                                    {"board": (0.01, 0.02)}).axes
    drawn = [container.lines[0].get_color() for container in ax.containers]
    assert drawn == [plots.METHOD["flow_matching"], plots.DATA]  # no method's colour for what is none
    with pytest.raises(ValueError, match="5 curves"):
        plots.distance_by_steps({"board": curves | {"one more": {1: 0.1, 2: 0.1}}}, {"board": (0.01, 0.02)})


def test_a_label_has_its_methods_colour_however_it_is_written():
    for label in ("self_distilled_mean_flow", "self-distilled mean flow", "self-distilled mean flow, 1 NFE"):
        assert plots.color("elsewhere", label) == plots.METHOD["self_distilled_mean_flow"]
        assert plots.in_words(label).startswith("self-distilled mean flow")
    assert plots.color("target") == plots.DATA
    assert plots.color("noise") == plots.NOISE
    assert plots.color("8 NFE") is None


def test_a_cloud_may_carry_a_gradient():
    assert len(plots.clouds({"samples": torch.zeros(3, 2, requires_grad=True)}).axes) == 1


def test_a_table_is_html_with_a_plain_text_twin(monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "display", lambda data, raw: shown.append(data))
    plots.table({"mean flow": {"1 NFE": 0.25, "8 NFE": "<1"}, "x": {"1 NFE": 10, "8 NFE": 2}}, corner="method")
    (data,) = shown
    assert data["text/plain"] == ("method     1 NFE  8 NFE\n"
                                  "mean flow   0.25     <1\n"
                                  "x             10      2")
    assert "<th>mean flow</th><td>0.25</td><td>&lt;1</td>" in data["text/html"]
    assert data["text/html"].count("<tr>") == 3
