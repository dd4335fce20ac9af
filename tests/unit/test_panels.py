"""Every panel, live and as frames: the picture and its text follow the controls."""

import base64
import io
import json
import re
import sys

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image
from traitlets import TraitError

from mfutils import mixture_of_text
from mfutils.show import own_data as own_data_module
from mfutils.show import plots, widgets
from mfutils.show.frames import DPI, FRAMES, frames, gutters, put_out_frames
from mfutils.show.panel import Choice, Interval, Panel

CLOUD = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
LEVELS = 4
KEYS = [(i, j) for j in range(LEVELS + 1) for i in range(j + 1)]
COMBINATIONS = [(name, method, n) for name in ("a", "b") for method in ("c", "mean_flow") for n in (1, 2)]
SQUARES = torch.stack([torch.linspace(1, 0, 51), torch.linspace(1, 0, 51) ** 2], dim=1)  # z_s = (s, s²)


def steps_slider():
    return widgets.steps_slider({1: CLOUD, 8: 2 * CLOUD}, CLOUD, {1: 0.5, 8: 0.25})


def error_slider():
    errors = {key: torch.full((16,), sum(key) / 10) for key in KEYS}
    return widgets.error_slider(errors, {key: key[0] + key[1] / 10 for key in KEYS}, LEVELS)


def comparison_panel():
    samples = {key: (k + 1) / 4 * CLOUD for k, key in enumerate(COMBINATIONS)}
    return widgets.comparison_panel(samples, {"a": CLOUD, "b": -CLOUD},
                                    {key: k / 10 for k, key in enumerate(COMBINATIONS)})


def field_slider():
    places = plots.grid(3)
    return widgets.field_slider({t: (t * CLOUD, t * places) for t in (1.0, 0.5)})


def euler_slider():
    states = {1: [[1.0, 1.0], [0.0, 0.0]], 2: [[1.0, 1.0], [0.0, 1.0], [0.0, 0.5]]}
    paths = torch.stack([SQUARES], dim=1).float()
    return widgets.euler_slider(paths, {n: torch.tensor(path)[:, None] for n, path in states.items()})


def swing_slider():
    z_t, ahead = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])
    tips = {"(v, 0, 1)": torch.tensor([0.0, 1.0]), "(v, 0, 0)": torch.tensor([0.0, 0.5])}
    return widgets.swing_slider(SQUARES, torch.zeros(2), {(name, t): (t * 2 * z_t, t * 2 * ahead, tip)
                                                          for name, tip in tips.items() for t in (0.5, 1.0)})


def journey_slider():
    return widgets.journey_slider(CLOUD, {1.0: CLOUD, 0.5: CLOUD / 2, 0.0: -CLOUD})


def noise_slider():
    one = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    return widgets.noise_slider({(name, r): (k * one, k * (3 - r) * one) for k, name in enumerate("ab", start=1)
                                 for r in (0.5, 0.0)})


def case_panel():
    keys = [(data, steps, case) for data in ("a", "b") for steps in (1, 8) for case in ("x: one", "x: two", "y: one")]
    return widgets.case_panel({key: (k + 1) / 9 * CLOUD for k, key in enumerate(keys)}, {"a": CLOUD, "b": -CLOUD},
                              {key: f"TV {k / 10}" for k, key in enumerate(keys)})


def image_panel():
    keys = [(method, nfe) for method in ("a", "b") for nfe in (1, 2)]
    images = {key: torch.full((4, 9), k / 2 - 1) for k, key in enumerate(keys[:3])}  # the last was not made
    return widgets.image_panel(images, ("method", "NFE"), {key: f"NFE: {key[1]}, {k} found" for k, key in
                                                           enumerate(images)}, columns=2)


def picture(box):
    """The <img> of a live panel: its alternative text and its data."""
    pattern = r'<img alt="(.*?)" width="\d+" src="data:image/png;base64,([^"]*)">'
    return re.search(pattern, box.children[-1].value).groups()


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def test_the_steps_slider_shows_the_number_of_steps_and_the_distance():
    panel = steps_slider()
    box = panel.live()
    slider, cloud = box.children[0], panel.figure.axes[0].lines[0]
    alt, before = picture(box)
    assert "steps: 1," in alt
    slider.value = 8
    alt, after = picture(box)
    assert "steps: 8," in alt
    assert "0.250" in alt
    assert before != after
    assert cloud.get_xydata() == pytest.approx(2 * CLOUD.numpy(), abs=1e-6)
    slider.value = 1
    assert picture(box)[1] == before


def arrows_of(panel):
    """Start and step of every arrow in a panel's first picture."""
    quivers = [child for child in panel.figure.axes[0].get_children() if hasattr(child, "U")]
    return [[*start, *step] for quiver in quivers
            for start, *step in zip(quiver.get_offsets().tolist(), quiver.U.tolist(), quiver.V.tolist())]


def test_the_swing_slider_says_by_how_much_the_tip_misses():
    panel = swing_slider()
    alt = panel.draw("(v, 0, 0)", 0.5)
    assert "misses the new one's by 0.500" in alt
    assert arrows_of(panel) == [[0, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 0.5]]  # old chord, new chord, tip
    assert "by 0.000" in panel.draw("(v, 0, 1)", 0.5)


def test_the_euler_slider_draws_every_step_and_says_how_far_they_miss():
    panel = euler_slider()
    assert "Steps: 1" in panel.draw(1)
    assert arrows_of(panel) == [[1, 1, -1, -1]]
    assert "by 0.50 (rms)" in panel.draw(2)
    assert arrows_of(panel) == [[1, 1, -1, 0], [0, 1, 0, -0.5]]


def test_the_noise_slider_shows_and_measures_both_clouds():
    panel = noise_slider()
    assert "marginal tangent: 2.00; conditional tangent: 6.00" in panel.draw("b", 0.0)
    assert [ax.lines[0].get_xydata().tolist() for ax in panel.figure.axes] == [[[2, 0], [0, -2]], [[6, 0], [0, -6]]]


def test_the_field_and_the_journey_show_the_time_they_name():
    panel = field_slider()
    panel.draw(0.5)
    half = arrows_of(panel)
    panel.draw(1.0)
    assert arrows_of(panel) != half
    panel = journey_slider()
    panel.draw(0.0)
    (cloud,) = panel.figure.axes[0].collections
    assert np.asarray(cloud.get_offsets()) == pytest.approx(-CLOUD.numpy())
    assert np.asarray(cloud.get_array()) == pytest.approx(torch.atan2(CLOUD[:, 1], CLOUD[:, 0]).numpy())  # of its noise


def test_a_comparison_that_was_not_made_is_said_to_be_none():
    panel = widgets.comparison_panel({("a", "x", 1): CLOUD, ("a", "y", 2): CLOUD, ("a", "x", 2): CLOUD}, {"a": CLOUD},
                                     dict.fromkeys([("a", "x", 1), ("a", "y", 2), ("a", "x", 2)], 0.5))
    assert [control.name for control in panel.controls] == ["method", "NFE"]  # one distribution needs no menu
    assert "not made" in panel.draw("y", 1)
    assert len(panel.figure.axes[0].lines[0].get_xydata()) == 0
    assert "0.500" in panel.draw("y", 2)


def test_any_two_cases_stand_side_by_side():
    panel = case_panel()
    alt = panel.draw("x: two", "y: one", "b", 8)
    assert "b, steps: 8. Left: x: two, TV 1.0. Right: y: one, TV 1.1." in alt
    shown = [ax.lines[0].get_xydata() for ax in panel.figure.axes]
    for points, expected in zip(shown, (11 / 9 * CLOUD, 12 / 9 * CLOUD, -CLOUD)):
        assert points == pytest.approx(expected.numpy(), abs=1e-6)


def test_a_page_without_a_kernel_keeps_the_left_one():
    pictures = frames(case_panel())["pictures"]
    assert len(pictures) == 2 * 2 * 2
    assert {alt.split("Left: ")[1].split(",")[0] for alt, _ in pictures.values()} == {"x: one"}


def test_the_chord_slider_reports_the_average_velocity_and_draws_its_chord():
    panel = widgets.chord_slider(SQUARES)
    box = panel.live()
    slider = box.children[0]
    slider.value = (0.2, 0.8)
    assert "u = (1.00, 1.00)" in picture(box)[0]
    drawn = [line.get_xydata().tolist() for line in panel.figure.axes[0].lines]
    ends = [[pytest.approx(0.8), pytest.approx(0.64)], [pytest.approx(0.2), pytest.approx(0.04)]]
    assert drawn.count(ends) == 1
    assert arrows_of(panel) == [[pytest.approx(x) for x in (0.2, 0.04, 0.6, 0.6)]]  # from z_r to z_t
    slider.value = (0.5, 0.5)
    assert "velocity v" in picture(box)[0]


def test_r_after_t_is_impossible():
    slider = Interval(10).widget()
    with pytest.raises(TraitError, match="lower > upper"):
        slider.value = (0.8, 0.3)
    assert slider.value == (0.0, 1.0)


def test_the_error_slider_reads_the_interval_it_shows():
    panel = error_slider()
    box, shown = panel.live(), panel.figure.axes[0].images[0]
    for i, j in KEYS:
        box.children[0].value = (i / LEVELS, j / LEVELS)
        assert f"rms error {i + j / 10:.3f}" in picture(box)[0]
        panel.draw((i / LEVELS, j / LEVELS))  # a picture shown before is not drawn again
        assert shown.get_array().mean() == pytest.approx((i + j) / 10)


def test_the_comparison_panel_finds_every_combination():
    panel = comparison_panel()
    box, (left, right) = panel.live(), panel.figure.axes
    for k, key in enumerate(COMBINATIONS):
        for control, value in zip(box.children, key):
            control.value = value
        assert f"sliced W2 {k / 10:.3f}" in picture(box)[0]
        panel.draw(*key)
        assert left.lines[0].get_xydata() == pytest.approx((k + 1) / 4 * CLOUD.numpy(), abs=1e-6)
        assert right.lines[0].get_xydata() == pytest.approx((1 if key[0] == "a" else -1) * CLOUD.numpy(), abs=1e-6)


def test_the_image_panel_shows_its_sheet_or_says_that_there_is_none():
    panel = image_panel()
    box, shown = panel.live(), panel.figure.axes[0].images[0]
    box.children[1].value = 2
    assert "method a, NFE 2: handwritten digits; NFE: 2, 1 found." in picture(box)[0]
    panel.draw("a", 2)
    assert shown.get_array().shape == (10, 10)
    assert sorted(set(shown.get_array().flatten())) == [-1, -0.5]
    box.children[0].value = "b"
    assert "not made" in picture(box)[0]
    panel.draw("b", 2)
    assert set(shown.get_array().flatten()) == {-1}


@pytest.mark.parametrize("make", [
    steps_slider, lambda: widgets.chord_slider(SQUARES), error_slider, comparison_panel, field_slider, euler_slider,
    swing_slider, journey_slider, noise_slider, image_panel,
], ids=["steps", "chord", "error", "comparison", "field", "euler", "swing", "journey", "noise", "images"])
def test_every_frame_is_the_picture_that_its_labels_name(make):
    """Knob by knob: the frame at a position shows what the live panel shows at the value of its label; every third."""
    page = frames(make())
    labels = [json.loads(text.replace("&quot;", '"')) for text in re.findall(r'data-labels="(.*?)"', page["markup"])]
    menus = [re.findall(r"<option.*?>(.*?)<", menu) for menu in re.findall(r"<select.*?</select>", page["markup"])]
    ordered = 'name="r"' in page["markup"] and 'name="t"' in page["markup"]
    every = menus + labels
    size = len(every[0])
    assert max(map(len, every)) <= 11  # there is a picture for every combination
    assert len(page["pictures"]) == (size * (size + 1) // 2 if ordered else np.prod([len(knob) for knob in every]))
    live = make()
    for key, (alt, chosen) in list(page["pictures"].items())[::3]:
        values = [knob[int(position)] for knob, position in zip(every, key.split(","))]
        if ordered:
            values = [tuple(float(text) for text in values)]
        else:
            values = [next(option for option in control.options if str(option) == text)
                      for control, text in zip(live.controls, values)]
        assert alt == live.draw(*values)
        here, left = Image.open(io.BytesIO(plots.png(live.figure, DPI))).convert("RGB"), 0
        live.figure.set_layout_engine("none")
        for strip in (pixels(page["strips"][number].split(",")[1]) for number in chosen):
            cut = here.crop((left, 0, left + strip.shape[1], here.height)).quantize(256, Image.Quantize.MAXCOVERAGE)
            assert (strip == np.asarray(cut.convert("RGB"))).all()
            left += strip.shape[1]
        assert left == here.width


def test_what_repeats_in_a_panels_pictures_is_stored_once_and_nothing_is_cut_through():
    panel = frames(comparison_panel())
    target = {key[0]: chosen[-1] for key, (_, chosen) in panel["pictures"].items()}
    assert len(target) == 2  # by distribution
    assert all(chosen[-1] == target[key[0]] for key, (_, chosen) in panel["pictures"].items())
    white = np.full((4, 40, 3), 255, np.uint8)
    one, other = white.copy(), white.copy()
    one[:, 5:10] = other[1, 25] = 0
    assert gutters([one, other]) == [0, 17, 40]  # the middle of 10 to 25; what is white at the ends is no gutter
    assert gutters([one, other], least=16) == [0, 40]


def test_a_page_shows_the_first_picture_before_any_script_runs():
    panel = frames(steps_slider())
    alt, chosen = panel["pictures"]["0"]
    assert f'aria-label="{alt}"' in panel["markup"]
    assert re.findall(r'<img [^>]*src="(.*?)"', panel["markup"]) == [panel["strips"][number] for number in chosen]


def test_a_panel_is_live_until_frames_are_asked_for(monkeypatch):
    shown = []
    for module in ("panel", "frames"):
        monkeypatch.setattr(f"mfutils.show.{module}.display", lambda what, **_: shown.append(what))
    monkeypatch.setattr(Panel, "_ipython_display_", Panel._ipython_display_)  # as it was, afterwards
    steps_slider()._ipython_display_()
    put_out_frames()
    steps_slider()._ipython_display_()
    live, page = shown
    assert isinstance(live, ipywidgets.VBox)
    assert page[FRAMES]["markup"].startswith('<figure class="panel">')


def test_text_is_escaped_and_pictures_do_not_pile_up():
    fig, _ = plots.planes(["x"])
    panel = Panel([Choice("<k>", range(300))], fig, lambda value: f'"{value}" < 301')
    box = panel.live()
    for value in range(1, 20):
        box.children[0].value = value
    assert box.children[-1].value.count("<img") == 1
    assert "&quot;19&quot; &lt; 301" in box.children[-1].value


def test_figures_are_not_registered_with_pyplot():
    import matplotlib.pyplot as plt

    steps_slider().live()
    assert plt.get_fignums() == []


def own_data():
    panel = widgets.OwnData("I")
    (write, choose, _), (pad, image), state = panel.children[0].children, panel.children[1].children, panel.children[2]
    return panel, write, choose, pad, image, state


def test_own_data_is_what_came_last():
    panel, write, _, pad, image, state = own_data()
    first = panel.distribution
    write.value = "❀"
    flower = panel.distribution
    assert flower is not first
    assert f"{len(flower.means)} Gaussians" in image.value
    pad.points = [[0.1, 0.1], [0.2, 0.2], [0.3, 0.1]]
    assert len(panel.distribution.means) == 3
    assert "3 Gaussians" in image.value
    assert state.value == ""
    drawn = panel.distribution
    pad.points = []  # cleared, to draw anew
    assert panel.distribution is drawn
    assert state.value == ""


def test_own_data_keeps_the_last_that_worked_and_says_what_is_wrong():
    panel, write, _, _, image, state = own_data()
    before = panel.distribution, image.value
    write.value = "  "
    assert "text is empty" in state.value
    assert (panel.distribution, image.value) == before


@pytest.mark.parametrize(("text", "says"), [("恐", "font has no"), (" ", "text is empty")])
def test_own_data_has_a_distribution_though_the_first_text_cannot_be_drawn(text, says):
    panel = widgets.OwnData(text)
    (write, *_), (_, image), state = panel.children[0].children, panel.children[1].children, panel.children[2]
    flower = mixture_of_text("❀").means
    assert torch.equal(panel.distribution.means, flower)
    assert f"a mixture of {len(flower)} Gaussians" in image.value
    assert says in state.value
    assert state.value.endswith("The picture shows ❀ instead.")
    write.value = "  "
    assert state.value.endswith("The picture still shows the last one that worked.")
    write.value = "I"
    assert torch.equal(panel.distribution.means, mixture_of_text("I").means)
    assert state.value == ""


@pytest.mark.parametrize("value", [
    {"a.txt": {"metadata": {}, "content": b"1 2\n3 4"}},  # ipywidgets 7
    ({"name": "a.txt", "content": memoryview(b"1 2\n3 4")},),  # ipywidgets 8
], ids=["7", "8"])
def test_an_uploaded_file_is_read_in_both_versions_of_ipywidgets(value):
    assert own_data_module.uploaded(value) == b"1 2\n3 4"


def test_without_anywidget_there_is_no_pad_but_a_word_about_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mfutils.show.pad", None)
    panel, write, _, pad, _, _ = own_data()
    assert "pip install anywidget" in pad.value
    write.value = "O"
    assert "Gaussians" in panel.children[1].children[1].value
