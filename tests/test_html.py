"""The pages without a kernel: whole, alone, with formulas, and with sliders that move."""

import re

import pytest

import make_html

STEMS = [path.stem for path in sorted(make_html.FOLDER.glob("[0-9]*.py"))]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The first of them; the others take minutes to make."""
    folder = tmp_path_factory.mktemp("dist-html")
    make_html.main(folder, STEMS[:1])
    return folder / f"{STEMS[0]}.html"


def test_it_needs_nothing_else(page):
    text = page.read_text()
    assert not re.search(r'<(script|img|iframe)[^>]+src="(?!data:)', text)
    assert not re.search(r"<link|@import|url\(", text)
    assert len(text) < 1_500_000
    assert "kernel_free" not in text
    links = set(re.findall(r'href="(\d\d_\w+)\.', text))
    assert links
    assert links <= set(STEMS)
    assert ".ipynb" not in text
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)


def test_its_formulas_are_formulas(page):
    prose = re.sub(r"<(pre|style|script).*?</\1>", "", page.read_text(), flags=re.DOTALL)
    words = re.sub(r"<[^>]+>", "", prose)
    assert page.read_text().count("<math") > 50
    assert "$" not in words
    assert not re.search(r"\\[a-z]+", words)


def test_every_figure_is_described(page):
    images = re.findall(r'<img[^>]*src="data[^>]*>', page.read_text())
    assert len(images) >= 4
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
    assert panels
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
            assert label in now[0]


def test_every_story_plays_and_stops(view):
    for panel in view.locator("figure.panel").all():
        picture, button = panel.locator("img"), panel.get_by_role("button")
        first = picture.get_attribute("alt")
        button.click()
        view.wait_for_timeout(1600)
        button.click()
        second = picture.get_attribute("alt")
        assert second != first
        view.wait_for_timeout(800)
        assert picture.get_attribute("alt") == second


def test_r_never_passes_t(view):
    for panel in view.locator("figure.panel").all():
        r, t = (panel.locator(f'input[name="{name}"]') for name in "rt")
        for knob, key, end in ((t, "Home", "0"), (r, "End", "10"), (t, "Home", "0")) if r.count() else ():
            knob.focus()
            view.keyboard.press(key)
            assert r.input_value() == t.input_value() == end
