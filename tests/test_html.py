"""The page without a kernel: whole, alone, with formulas, and with sliders that move."""

import re

import pytest

import make_html


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist-html")
    make_html.main(folder, ["01"])
    return folder / "01_derivation.html"


def test_it_needs_nothing_else(page):
    text = page.read_text()
    assert not re.search(r'<(script|img|iframe)[^>]+src="(?!data:)', text)
    assert not re.search(r"<link|@import|url\(", text)
    assert len(text) < 1_500_000
    assert "kernel_free" not in text
    assert 'href="02_flow_matching.html"' in text
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)


def test_its_formulas_are_formulas(page):
    prose = re.sub(r"<(pre|style|script).*?</\1>", "", page.read_text(), flags=re.DOTALL)
    words = re.sub(r"<[^>]+>", "", prose)
    assert page.read_text().count("<math") > 100
    assert "$" not in words
    assert not re.search(r"\\[a-z]+", words)


def test_every_figure_is_described(page):
    images = re.findall(r'<img[^>]*src="data[^>]*>', page.read_text())
    assert len(images) >= 4
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)


def test_its_sliders_move_and_play(page, browser):
    view = browser.new_page()
    asked, wrong = [], []
    view.on("request", lambda request: asked.append(request.url))
    view.on("pageerror", lambda error: wrong.append(error))
    view.goto(page.as_uri())
    panel = view.locator("figure.panel")
    picture, (r, t) = panel.locator("img"), panel.locator("input").all()
    assert "t = 1.00 to r = 0.00" in picture.get_attribute("alt")
    r.focus()
    view.keyboard.press("ArrowRight")
    assert "t = 1.00 to r = 0.10" in picture.get_attribute("alt")
    t.focus()
    view.keyboard.press("Home")  # t = 0 takes r along
    assert "r = t = 0.00" in picture.get_attribute("alt")
    view.keyboard.press("End")
    panel.get_by_role("button").click()
    view.wait_for_timeout(1600)
    assert "to r = 0.20" in picture.get_attribute("alt")
    panel.get_by_role("button").click()
    assert wrong == []
    assert all(url.startswith(("file:", "data:")) for url in asked)
    view.close()
