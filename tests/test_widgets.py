"""Every slider, moved in Python: the picture and its text follow."""

import re
import sys

import ipywidgets
import pytest
import torch
from traitlets import TraitError

from mfutils import plots, widgets

CLOUD = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))


def picture(panel):
    """The <img> of a panel: its alternative text and its data."""
    pattern = r'<img alt="(.*?)" width="\d+" src="data:image/png;base64,(.*)">'
    return re.fullmatch(pattern, panel.children[-1].value).groups()


def test_the_steps_slider_shows_the_number_of_steps_and_the_distance():
    panel = widgets.steps_slider({1: CLOUD, 8: 2 * CLOUD}, CLOUD, {1: 0.5, 8: 0.25})
    slider = panel.children[0]
    alt, before = picture(panel)
    assert "after 1 steps" in alt
    slider.value = 8
    alt, after = picture(panel)
    assert "after 8 steps" in alt
    assert "0.250" in alt
    assert before != after
    slider.value = 1
    assert picture(panel)[1] == before


def test_the_chord_slider_reports_the_average_velocity():
    path = torch.stack([torch.linspace(1, 0, 11), torch.linspace(1, 0, 11) ** 2], dim=1)  # z_s = (s, s²)
    panel = widgets.chord_slider(path)
    slider = panel.children[0]
    slider.value = (0.2, 0.8)
    assert "u = (1.00, 1.00)" in picture(panel)[0]
    slider.value = (0.5, 0.5)
    assert "velocity v" in picture(panel)[0]


def test_r_after_t_is_impossible():
    slider = widgets.interval_control(10, (0.0, 1.0))
    with pytest.raises(TraitError, match="lower > upper"):
        slider.value = (0.8, 0.3)
    assert slider.value == (0.0, 1.0)


def test_the_error_slider_reads_the_interval_it_shows():
    levels = 4
    keys = [(i, j) for j in range(levels + 1) for i in range(j + 1)]
    errors = {key: torch.full((16,), sum(key) / 10) for key in keys}
    panel = widgets.error_slider(errors, {key: key[0] + key[1] / 10 for key in keys}, levels)
    for i, j in keys:
        panel.children[0].value = (i / levels, j / levels)
        assert f"rms error {i + j / 10:.3f}" in picture(panel)[0]


def test_the_comparison_panel_finds_every_combination():
    keys = [(name, method, n) for name in ("a", "b") for method in ("c", "d") for n in (1, 2)]
    panel = widgets.comparison_panel(dict.fromkeys(keys, CLOUD), {"a": CLOUD, "b": -CLOUD},
                                     {key: k / 10 for k, key in enumerate(keys)})
    for k, key in enumerate(keys):
        for control, value in zip(panel.children, key):
            control.value = value
        assert f"sliced W2 {k / 10:.3f}" in picture(panel)[0]


def test_text_is_escaped_and_pictures_do_not_pile_up():
    fig, _ = plots.planes(["x"])
    control = ipywidgets.IntSlider(max=300)
    panel = widgets.figure_under([control], fig, lambda value: f'"{value}" < 301')
    for value in range(1, 20):
        control.value = value
    assert panel.children[-1].value.count("<img") == 1
    assert "&quot;19&quot; &lt; 301" in panel.children[-1].value


def test_figures_are_not_registered_with_pyplot():
    import matplotlib.pyplot as plt

    widgets.steps_slider({1: CLOUD}, CLOUD, {1: 0.5})
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


@pytest.mark.parametrize("value", [
    {"a.txt": {"metadata": {}, "content": b"1 2\n3 4"}},  # ipywidgets 7
    ({"name": "a.txt", "content": memoryview(b"1 2\n3 4")},),  # ipywidgets 8
], ids=["7", "8"])
def test_an_uploaded_file_is_read_in_both_versions_of_ipywidgets(value):
    assert widgets.uploaded(value) == b"1 2\n3 4"


def test_without_anywidget_there_is_no_pad_but_a_word_about_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mfutils.pad", None)
    panel, write, _, pad, _, _ = own_data()
    assert "pip install anywidget" in pad.value
    write.value = "O"
    assert "Gaussians" in panel.children[1].children[1].value
