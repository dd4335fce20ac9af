"""The pages without a kernel: whole, alone, with formulas, and with sliders that move.

On a page made up for the purpose, with every kind of panel; the course's own take minutes to make.
"""

import re

import jupytext
import pytest

import make_html
from course import sources

STEMS = [path.stem for path in sources()]
PAGE = r'''
# %% [markdown]
# # Panels
#
# As in [the first notebook](01_flow.ipynb), and the [glossary](../docs/glossary.md), $z_t = (1-t)\,x$, and
#
# $$u = \frac{1}{t-r}\int_r^t v\,\mathrm{d}s.$$

# %%
import torch

from mfutils import plots, widgets

cloud = torch.randn(50, 2)

# %%
# @title Draw fifty points
plots.show(plots.clouds({"a": cloud}), "Fifty points around the middle of the plane.")

# %%
widgets.steps_slider({n: n / 8 * cloud for n in (1, 8, 32)}, cloud, {n: 0.5 / n for n in (1, 8, 32)})

# %%
s = torch.linspace(1, 0, 51)
widgets.chord_slider(torch.stack([s, s**2], dim=1))

# %%
keys = [(i, j) for j in range(5) for i in range(j + 1)]
widgets.error_slider({key: torch.rand(16) for key in keys}, {(i, j): i + j / 10 for i, j in keys}, 4)

# %%
keys = [(data, method, n) for data in ("one", "two") for method in ("mean flow", "flow matching") for n in (1, 2)]
widgets.comparison_panel({key: k / 4 * cloud for k, key in enumerate(keys)}, {"one": cloud, "two": -cloud},
                         {key: k / 8 for k, key in enumerate(keys)})

# %%
widgets.journey_slider(cloud, {r: r * cloud for r in (1.0, 0.5, 0.0)})

# %%
# @title Solution
1 + 1
'''


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("dist-html") / "panels.html"
    path.write_text(make_html.page(jupytext.reads(PAGE.lstrip(), fmt="py:percent")))
    return path


def test_it_needs_nothing_else(page):
    text = page.read_text()
    assert not re.search(r'<(script|img|iframe)[^>]+src="(?!data:)', text)
    assert not re.search(r"<link|@import|url\(", text)
    links = set(re.findall(r'href="(\d\d_\w+)\.html', text))
    assert links
    assert links <= set(STEMS)
    assert ".ipynb" not in text
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)


def test_its_formulas_are_formulas(page):
    prose = re.sub(r"<(pre|style|script).*?</\1>", "", page.read_text(), flags=re.DOTALL)
    words = re.sub(r"<[^>]+>", "", prose)
    assert page.read_text().count("<math") == 2
    assert "$" not in words
    assert not re.search(r"\\[a-z]+", words)


def test_every_figure_is_described(page):
    images = re.findall(r'<img[^>]*src="data[^>]*>', page.read_text())
    assert len(images) == 6
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)


@pytest.fixture
def view(page, browser):
    """The page in a browser; that it asks for nothing, and fails nowhere, is checked at the end."""
    view = browser.new_page()
    asked, wrong = [], []
    view.on("request", lambda request: asked.append(request.url))
    view.on("pageerror", lambda error: wrong.append(error))
    view.goto(page.as_uri())
    yield view
    assert wrong == []
    assert all(url.startswith(("file:", "data:")) for url in asked)
    view.close()


def test_every_knob_changes_its_picture_and_the_picture_says_so(view):
    panels = view.locator("figure.panel").all()
    assert len(panels) == 5
    for panel in panels:
        picture = panel.locator("img")
        for knob in panel.locator("input, select").all():
            before = picture.get_attribute("alt"), picture.get_attribute("src")
            knob.focus()
            view.keyboard.press("ArrowLeft" if knob.get_attribute("name") == "t" else "ArrowRight")
            now = picture.get_attribute("alt"), picture.get_attribute("src")
            assert now[0] != before[0]
            assert now[1] != before[1]
            label = knob.evaluate("knob => knob.selectedOptions ? knob.selectedOptions[0].text"
                                  " : knob.nextElementSibling.textContent")
            assert re.search(rf"\b{re.escape(label)}\b", now[0])


def test_every_story_plays_and_stops(view):
    for panel in view.locator("figure.panel").all():
        picture, button = panel.locator("img"), panel.get_by_role("button")
        first = picture.get_attribute("alt")
        button.click()
        view.wait_for_timeout(1000)  # one tick
        button.click()
        second = picture.get_attribute("alt")
        assert second != first
        view.wait_for_timeout(800)
        assert picture.get_attribute("alt") == second


def test_r_never_passes_t(view):
    ordered = [panel for panel in view.locator("figure.panel").all() if panel.locator('input[name="t"]').count()]
    assert len(ordered) == 2
    for panel, last in zip(ordered, ("10", "4")):
        r, t = (panel.locator(f'input[name="{name}"]') for name in "rt")
        for knob, key, end in ((t, "Home", "0"), (r, "End", last), (t, "Home", "0")):
            knob.focus()
            view.keyboard.press(key)
            assert r.input_value() == t.input_value() == end


def test_cells_with_a_title_are_folded_and_solutions_with_their_output(view):
    assert view.locator("details summary").all_inner_texts() == ["Draw fifty points", "Solution"]
    assert not view.get_by_text("plots.show").is_visible()
    assert view.get_by_alt_text("Fifty points").is_visible()
    assert not view.locator("details .output").last.is_visible()
