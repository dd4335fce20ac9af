"""The colours can be told apart, by colour-blind readers too, and nothing is said by colour alone."""

import io
import itertools
import re

import numpy as np
import pytest
import torch
from colorspacious import cspace_convert, deltaE
from matplotlib import style
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mfutils import DISTRIBUTIONS, METHODS
from mfutils.show import figures, plots

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


def test_the_scoreboard_says_each_number_and_stars_what_cannot_be_told_from_perfect():
    assert list(plots.METHOD) == list(METHODS)
    rows = {"flow matching, Euler": {1: 104.2, 2: None}, "mean flow": {1: 1.86, 2: 0.98}}
    pictures = figures.scoreboard({"board": rows, "moon": rows}, {("moon", "mean flow", 2)}, "distance ÷ floor")
    for title, star in (("board", ""), ("moon", "\n★")):
        assert [text.get_text() for text in pictures[title].axes[0].texts] == ["104", "1.86", "0.98" + star]
    colours = [text.get_color() for text in pictures["board"].axes[0].get_yticklabels()]
    assert colours == [plots.METHOD["flow_matching"], plots.IN_TEXT[plots.METHOD["mean_flow"]]]
    assert list(pictures) == ["board", "moon", "distance ÷ floor"]


def test_a_table_marks_what_is_worse_or_better_and_not_by_colour_alone(monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "display", lambda data, **_: shown.append(data))
    plots.table({"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": "<4>"}}, corner="c",
                harms={("b", "y"): 3.0, ("a", "x"): 0.9, ("b", "x"): None})
    assert shown[0]["text/plain"].split() == ["c", "x", "y", "a", "▲", "1", "2", "b", "3", "▼", "<4>"]
    assert shown[0]["text/html"].count("background") == 2
    worse = f'<td style="background: {plots.harm(3.0)}; color: {plots.INK}">▼ &lt;4&gt;</td>'
    assert f"<td>3</td>{worse}" in shown[0]["text/html"]


def luminance(colour):
    parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts))


@pytest.fixture(params=["default", "dark_background"])
def pictures(request):
    """A picture of each kind that has text, whatever a matplotlibrc says."""
    values, path = torch.rand(16), torch.randn(9, 2)
    with style.context(request.param):
        return [*plots.heat({"t = 1": values, "t = 2": values, "t = 3": values}, 1, "label").values(),
                *figures.chords(path, [(0.0, 0.5), (0.0, 1.0), (0.5, 1.0)]).values(),
                *figures.swings(path, path[0], {"t = 0": path[:3], "t = 1": path[3:6]}).values(),
                *figures.scoreboard({"moon": {method: {1: 1.5, 2: None} for method in METHODS}}, set(), "x").values(),
                *figures.cuts(path, 0.1, 0.9, {"near t": (0.8, (path[0], path[1])), "middle": (0.5, None)}).values(),
                *figures.strips({"moon": {"Eulerian": torch.rand(5) + 0.1, "α-Flow": torch.tensor([1, torch.nan])}},
                                "x", {"moon": 0.2}).values(),
                figures.curves({"a": {0: 1.0, 1: 2.0}, "b": {0: 2.0, 1: 1.0}}, "x", "y", ["red", "blue"], ["-", "--"]),
                figures.histograms({"one": values}, "x"), figures.time_pairs(*torch.rand(2, 30, 1)),
                figures.loss_curve(torch.rand(200), 0.1, {"other": {100: 0.5, 200: 0.2}}, "mean_flow"),
                *figures.targets({"v": (path, path[0], path[1], "mean")}, path).values(),
                *figures.triangles({"t = 1": torch.rand(3, 3)}, 1, "error").values(),
                *figures.quality_by_cost({"moon": {"flow matching, Euler": {1: 1.0, 8: 0.2},
                                                   "mean flow": {1: 0.3, 8: 0.2}, "improved mean flow": {8: 0.19}}},
                                         {"moon": (0.1, 0.11)}, "TV").values(),
                figures.sweep({"a": {0: 1, 1: 2}, "b": {0: 2, 1: 1}}, "x", "y"),
                figures.loss_and_quality({"a": (1, 0.1), "b": (2, 0.5)}, {"a": "above"}, "x", "y")]


def test_what_a_picture_says_can_be_read_on_a_phone(pictures):
    """Ink on white at 4.5 : 1 or more (but for numbers on tiles), and eleven pixels of a column of 360."""
    for fig in pictures:
        column = 0.48 * 360 if fig.get_figwidth() * 72 < 300 else 360
        small = min(1, column / (fig.get_figwidth() * 72))
        for text in (text for text in fig.findobj(Text) if text.get_text() and text.get_visible()):
            assert text.get_fontsize() * small >= 11, text
            on_a_tile = text.axes and text.axes.images and text in text.axes.texts
            assert on_a_tile or 1.05 / (luminance(text.get_color()) + 0.05) > 4.5, text
        assert all(luminance(ax.get_facecolor()[:3]) == pytest.approx(1) for ax in fig.axes)
        corner = Image.open(io.BytesIO(plots.png(fig))).convert("RGB").getpixel((4, 4))
        assert corner == (255, 255, 255) or fig.axes[0].images


@pytest.mark.parametrize(("n", "across"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 3), (6, 3), (7, 4), (8, 4), (9, 3)])
def test_squares_stand_at_most_four_abreast_in_full_rows(n, across):
    width = round(72 * plots.abreast(n))
    assert 180 <= width <= 340
    assert (across + 1) * (width + plots.GAP) > plots.PAGE or across == n
    assert across * (width + plots.GAP) - plots.GAP <= plots.PAGE


def test_a_shown_picture_has_its_title_as_text_and_the_first_one_the_words(monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "display", lambda data, raw: shown.append(data))
    points = torch.zeros(3, 2)
    plots.show(plots.clouds({"mean_flow, 1 NFE": points, "a < b": points}), 'All "words".')
    plots.show(plots.gallery({"roads": {"t": points}, "field": {"t": points}}), "Two rows.")
    plots.show(Figure(figsize=(1, 2)), "Alone.")
    assert [data["text/plain"] for data in shown] == ['All "words".', "Two rows.", "Alone."]
    flat, nested, alone = (data["text/html"] for data in shown)
    assert re.findall(r'<img alt="(.*?)" width="340" src="data:image/png;base64,', flat) == [
        "All &quot;words&quot;.", "a &lt; b"]
    assert re.findall(r"<figcaption[^>]*>(.*?)<", flat) == ["mean flow, 1 NFE", "a &lt; b"]
    assert flat.count(plots.in_text("mean_flow")) == 1  # the title that names it
    assert re.findall(r'alt="(.*?)"', nested) == ["Two rows.", "field t"]
    assert nested.index(">roads<") < nested.index("<img") < nested.index(">field<")
    assert 'width="72"' in alone
    assert 'height="144"' in alone
    assert "figcaption" not in alone


def test_where_one_is_to_guess_the_answer_waits_for_a_click(monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "display", lambda data, raw: shown.append(data["text/html"]))
    plots.show(plots.clouds({"a": torch.zeros(3, 2)}), "A cloud.", guess=True)
    plots.table({"a": {"x": 1}}, guess=True)
    for answer in shown:
        assert re.fullmatch(r'<details class="guess"><summary[^>]*>[^<]+</summary>.+</details>', answer, re.DOTALL)


def test_eight_territories_have_eight_colours():
    """Any two differ clearly; for colour-blind readers their borders are drawn."""
    board, blobs = DISTRIBUTIONS["checkerboard"], DISTRIBUTIONS["eight_gaussians"]
    for dist in (board, blobs):
        middles = plots.part(dist, dist.sample(500)).unique(dim=0)
        assert len(middles) == 8
        for a, b in itertools.combinations(plots.by_place(middles), 2):
            assert deltaE(a, b, input_space="sRGB1") > 8, (a, b)


def test_a_point_belongs_to_the_part_it_lies_in():
    board = DISTRIBUTIONS["checkerboard"]
    x = board.sample(1000)
    assert (x - plots.part(board, x)).abs().max() <= 0.5
    assert plots.part(DISTRIBUTIONS["spiral"], x).equal(x)


def test_the_maps_show_a_line_where_neighbours_part_and_nowhere_else():
    where = plots.grid(30).clone()
    where[:, 0] += 2.0 * (where[:, 0] > 0)  # torn along the vertical axis
    (fig,) = figures.maps({"torn": where}).values()
    picture = fig.axes[0].images[0].get_array()
    line = np.isclose(picture, to_rgb(plots.INK)).all(axis=2)
    assert line.sum(axis=0).tolist() == [0] * 15 + [30] + [0] * 14


def test_harm_is_red_for_worse_blue_for_better_and_nothing_where_it_is_unknown():
    colours = [plots.harm(factor) for factor in (0.4, 0.7, 0.99, 1.01, 1.9, 9.0)]
    assert colours == list(plots.HARM.values())
    red, blue = ([to_rgb(colour)[k] for colour in colours] for k in (0, 2))
    assert [r > b for r, b in zip(red, blue)] == [False] * 3 + [True] * 3


def quiver(ax):
    (artist,) = [child for child in ax.get_children() if hasattr(child, "U")]
    return artist


def test_arrows_are_drawn_in_the_units_of_the_plane():
    _, (ax,) = plots.planes([""])
    plots.arrows(ax, torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, -1.0]]))
    artist = quiver(ax)
    assert (artist.scale, artist.scale_units, artist.angles) == (1, "xy", "xy")
    assert artist.get_offsets().tolist() == [[0, 1]]
    assert (artist.U.tolist(), artist.V.tolist()) == ([2.0], [-1.0])


def test_a_label_has_its_methods_colour_however_it_is_written():
    for label in ("self_distilled_mean_flow", "self-distilled mean flow", "self-distilled mean flow, 1 NFE"):
        assert plots.color("elsewhere", label) == plots.METHOD["self_distilled_mean_flow"]
        assert plots.in_words(label).startswith("self-distilled mean flow")
    assert plots.color("target") == plots.DATA
    assert plots.color("noise") == plots.NOISE
    assert plots.color("8 NFE") is None


def test_a_cloud_may_carry_a_gradient():
    assert list(plots.clouds({"samples": torch.zeros(3, 2, requires_grad=True)})) == ["samples"]


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


def test_a_mosaic_is_read_like_a_page():
    images = torch.arange(6.0)[:, None].expand(6, 4) / 6
    page = plots.mosaic(images, columns=3)
    assert page.shape == (8, 12)
    assert page[1::4, 1::4].flatten() == pytest.approx(torch.arange(6) / 6)  # a pixel in from the left, row by row
    assert (page[::4] == -1).all()
    upright = plots.mosaic(torch.tensor([[0.0, 0.1, 0.2, 0.3]]), columns=1)[1:3, 1:3]
    assert upright == pytest.approx(np.array([[0.0, 0.1], [0.2, 0.3]]))


def test_a_histogram_of_one_value_is_a_line():
    fig = figures.histograms({"spread": torch.linspace(0, 2, 50), "one": torch.zeros(50)}, "distance")
    (ax,) = fig.axes
    assert [list(line.get_xdata()) for line in ax.lines] == [[0, 0]]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["spread", "one"]
