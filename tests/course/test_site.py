"""The website: built where there is no network, then read in a browser that opens it from its folder.

Screenshots go to tests/screenshots, for looking at.
"""

import gzip
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup

from tools.course import FOLDER, ROOT, SITE, TAG, opening, sources

SCREENSHOTS = ROOT / "tests" / "screenshots"
NOTEBOOKS = [f"notebooks/{path.stem}" for path in sources()]
PAGES = ["index", *NOTEBOOKS, "glossary", "results", "teaching", "cluster", "contributing", "credits"]
SOME = ["index", "notebooks/02_average_velocity", "results"]
READ_BY_AXE = PAGES if "ALL_LANES" in os.environ else SOME
HERE = {"repository": "https://github.com/someone/mean-flows", "site": "https://someone.github.io/mean-flows/"}
WCAG_AA = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
           "resultTypes": ["violations"],
           "preload": False,  # of style sheets, which a page from a folder may not fetch
           "rules": {"heading-order": {"enabled": True}, "page-has-heading-one": {"enabled": True}}}
ODD = "o'brien \"é\" $x #1 100% [a]"  # a folder that a shell, a pattern or an address could misread
OPEN, STRICT = {}, {"Content-Security-Policy": "default-src 'self'; img-src 'self' data:"}  # what a server may send


def build(root, target):
    """Build the site of the clone at `root` in target/dist-site, where the system allows it in a network of its own
    with nothing in it."""
    alone = ["unshare", "--map-root-user", "--net"]
    possible = shutil.which("unshare") and subprocess.run([*alone, "true"], capture_output=True).returncode == 0
    assert possible or "REQUIRE_BROWSER" not in os.environ  # in CI it must be
    done = subprocess.run([*(alone if possible else []), sys.executable, "-m", "tools.make_site", target], cwd=root,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / "dist-site"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def soups(site):
    return {path.relative_to(site).as_posix(): BeautifulSoup(path.read_text("utf-8"), "html.parser")
            for path in site.rglob("*.html") if "_static" not in path.parts}


class View:
    """A page of the site in a browser; what it loads, and whatever goes wrong, is kept. It is opened from its folder,
    or with `headers` as from a server that sends them."""

    def __init__(self, site, browser, name, headers=None, **context):
        self.site, self.loaded, self.wrong = site, set(), []
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.page.on("request", self.requested)
        self.page.on("requestfailed", lambda request: self.wrong.append(f"missing: {request.url}"))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda line: line.type in {"error", "warning"} and self.wrong.append(line.text))
        self.page.route("http://course/**", lambda route: route.fulfill(
            path=site / urlsplit(route.request.url).path[1:], headers=headers))
        self.page.goto((site / f"{name}.html").as_uri() if headers is None else f"http://course/{name}.html")
        if context.get("java_script_enabled", True) and self.page.locator(".math").count():
            self.page.wait_for_function("window.MathJax && MathJax.startup && MathJax.startup.promise")
            self.page.evaluate("MathJax.startup.promise.then(() => true)")

    def requested(self, request):
        if request.url.startswith(("data:", "blob:")):  # a picture in the page, a worker
            return
        path = Path(unquote(urlsplit(request.url).path))
        if request.url.startswith("file:") and path.is_relative_to(self.site):
            self.loaded.add(path)
        else:
            self.wrong.append(f"outside: {request.url}")

    def scroll_through(self):
        for y in range(0, self.page.evaluate("document.documentElement.scrollHeight"), 600):
            self.page.evaluate(f"scrollTo(0, {y})")
            self.page.wait_for_timeout(20)
        self.page.wait_for_function("""() => [...document.querySelectorAll("figure.panel")].every(
            panel => panel.querySelector("canvas") && panel.querySelector(".mf-words").textContent)""")


@pytest.fixture
def view(site, browser):
    """view(name, **context): open a page; at the end nothing must have gone wrong on any."""
    views = []

    def open_page(name, **context):
        views.append(View(site, browser, name, **context))
        return views[-1]

    yield open_page
    for opened in views:
        opened.context.close()
        assert opened.wrong == []


def test_it_has_every_notebook_and_page_and_no_machine_paths(site, soups):
    assert {f"{name}.html" for name in PAGES} <= set(soups)
    assert (site / ".nojekyll").exists()  # else GitHub Pages leaves out folders that begin with _
    for name, soup in soups.items():
        assert not re.search(r"/(home|root|tmp|work|Users)/", str(soup)), name


def test_links_and_anchors_resolve(site, soups):
    for name, soup in soups.items():
        for element in soup.find_all(href=True) + soup.find_all(src=True):
            link = urlsplit(urljoin((site / name).as_uri(), element.get("href") or element["src"]))
            if link.scheme != "file":
                continue
            path = Path(unquote(link.path))
            assert path.is_relative_to(site), (name, link)
            assert path.is_file(), (name, link)
            if link.fragment and path.suffix == ".html":
                target = soups[path.relative_to(site).as_posix()]
                assert target.find(id=unquote(link.fragment)), (name, link)


def test_notebooks_stand_in_order_with_previous_and_next(soups):
    for before, after in itertools.pairwise(["index", *NOTEBOOKS]):
        (link,) = soups[f"{before}.html"].find_all("a", class_="right-next")
        assert link["href"].endswith(f"{after.split('/')[-1]}.html")
        (back,) = soups[f"{after}.html"].find_all("a", class_="left-prev")
        assert urljoin(f"{after}.html", back["href"]).endswith(f"{before}.html")


def test_what_is_folded_in_jupyterlab_is_folded_here(soups):
    for path in sources():
        titles = re.findall(r"^# @title (.*)", path.read_text("utf-8"), re.MULTILINE)
        folds = soups[f"notebooks/{path.stem}.html"].select("details.hide")
        assert [fold.summary.get_text().removeprefix("code: ") for fold in folds] == titles
        assert all(("code: " in fold.summary.text) != bool(re.match("Solution|Check", title))
                   for fold, title in zip(folds, titles))
        assert "# @title" not in soups[f"notebooks/{path.stem}.html"].text
        assert not any(fold.has_attr("open") for fold in folds)
        assert "aria-label" not in str([fold.summary for fold in folds])
        for fold in folds:  # a solution is folded with its output, a picture is not
            assert bool(fold.select(".cell_output")) <= ("Solution" in fold.summary.text)


def test_nothing_comes_of_the_themes_icons_but_what_is_drawn(site, soups):
    assert not list(site.rglob("*fontawesome*"))
    for name, soup in soups.items():
        icons = soup.select('[class*="fa-"]')
        assert icons
        assert all(icon.name == "svg" and icon.path for icon in icons), name


def test_a_cell_of_a_table_knows_its_column(soups):
    for name, soup in soups.items():
        for table in soup.select("article table"):
            names = [re.sub(r"\\[()]", "", head.get_text().strip()) for head in table.thead.find_all("th")]
            for row in table.tbody.find_all("tr"):
                assert names == [cell["data-label"] for cell in row.find_all(["th", "td"])], name


def test_every_picture_is_described(soups):
    """The first one of a figure in full, the others by their titles."""
    for name in NOTEBOOKS:
        figures = soups[f"{name}.html"].select("article .cell_output:has(img)")
        assert figures
        for figure in figures:
            texts = [image["alt"] for image in figure.find_all("img")]
            assert len(texts[0]) > 20
            assert all(texts), name


def test_a_notebook_is_downloaded_as_it_is(site, soups):
    for name in NOTEBOOKS:
        links = [link["href"] for link in soups[f"{name}.html"].select("a.btn-download-source-button")]
        (path,) = {(site / name).parent / link for link in links}
        assert path.read_bytes() == (FOLDER / path.name).read_bytes()


def test_links_to_it_have_a_title_and_a_picture(site, soups):
    for name in PAGES:
        tags = {tag["property"]: tag["content"] for tag in soups[f"{name}.html"].find_all("meta", property=True)}
        assert tags["og:title"] == soups[f"{name}.html"].h1.get_text().removesuffix("#")
        assert tags["og:description"]
        assert (site / tags["og:image"].removeprefix(SITE)).is_file()


def test_with_an_address_it_has_launch_buttons_and_its_folder_may_have_any_name(tmp_path):
    clone = tmp_path / ODD
    for part in ("docs", "notebooks", "tools"):
        shutil.copytree(ROOT / part, clone / part)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for name, address in HERE.items():
        project = re.sub(rf'(?m)^{name} = ".*?"', f'{name} = "{address}"', project)
    (clone / "pyproject.toml").write_text(project, "utf-8")
    for path in (clone / "notebooks").glob("*.ipynb"):  # as `make notebooks` then writes them
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[:0] = opening(path.stem, HERE["repository"], TAG)
        nbformat.write(notebook, path)
    built = build(clone, clone)
    page = (built / f"{NOTEBOOKS[0]}.html").read_text("utf-8")
    assert "find_spec" not in page  # the notebook's own cell for Colab
    assert not re.search(r'<(img|script|link rel="stylesheet")[^>]* (src|href)="http', page)
    assert 'og:description" content="The question.' in page
    assert f'"{HERE["repository"]}"' in page
    assert f"https://colab.research.google.com/github/someone/mean-flows/blob/{TAG}/notebooks/01_flow.ipynb" in page
    assert f"https://mybinder.org/v2/gh/someone/mean-flows/{TAG}?urlpath=lab/tree/notebooks/01_flow.ipynb" in page
    assert f'content="{HERE["site"]}_static/card.png"' in page
    assert f'href="{HERE["site"]}notebooks/01_flow.html"' in page  # as the one address of the page
    assert f'{HERE["repository"]}/blob/{TAG}/experiments/engine.py' in (built / "cluster.html").read_text("utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_it_opens_from_its_folder_whole_light_and_readable_by_everyone(view, name, record_property):
    opened = view(name, viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = opened.page
    opened.scroll_through()
    every_panel_has_drawn(page)
    formulas = page.locator("article .math").count()
    assert page.locator("article .math mjx-container").count() == formulas
    assert page.locator("mjx-merror").count() == 0
    assert not re.search(r"\\\(|\$\$|\\mathbb", page.locator("article").inner_text())
    sent = sum(map(weight, opened.loaded)) / 1e6
    record_property(f"site, {name}", f"{sent:.2f} MB as sent")
    assert sent < 1.2
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
    page.evaluate("document.getAnimations().forEach(fading => fading.finish())")
    readable(page, name)
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 within Chromium's margins
    page.evaluate("document.querySelector('#pst-back-to-top').style.display = 'block'")  # as after scrolling up
    page.emulate_media(media="print")
    assert lost_on_paper(page) == []
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 320, "height": 800})  # also a window of 1280 at 400 %
    assert beyond_the_edge(page) == []
    page.emulate_media(color_scheme="dark")
    page.locator('html[data-theme="dark"]').wait_for()
    page.evaluate("document.getAnimations().forEach(fading => fading.finish())")
    page.evaluate("document.querySelectorAll('.cell').forEach((cell, i) => i % 3 && cell.remove())")  # for speed
    page.wait_for_function("""() => [...document.querySelectorAll("pre, .pst-scrollable-table-container")].every(
        box => box.scrollWidth <= box.clientWidth || box.tabIndex == 0)""")  # by the theme, after a change of size
    readable(page, name)


def every_panel_has_drawn(page):
    """Each square has ink, once what takes long is there. (How they move: test_canvas.py.)"""
    page.wait_for_function("!document.querySelector('[aria-busy=true]')")
    blank = page.evaluate("""() => [...document.querySelectorAll(".mf-square canvas")].filter(canvas =>
        !canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(part => part))
        .map(canvas => canvas.ariaLabel)""")
    assert blank == []


def readable(page, name):
    """By axe, WCAG 2.2 AA: one page of each kind, all with ALL_LANES."""
    if name in READ_BY_AXE:
        found = Axe().run(page, options=WCAG_AA)
        assert found.violations_count == 0, found.generate_report()


def beyond_the_edge(page):
    """What makes a reader scroll the page sideways; what scrolls within itself does not."""
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    return page.evaluate("""() => [...document.querySelectorAll("article *")].filter(element => {
        for (let box = element; box.tagName != "ARTICLE"; box = box.parentElement)
            if (getComputedStyle(box).overflowX != "visible" || box.tagName.startsWith("MJX-")) return false
        return element.getBoundingClientRect().right > innerWidth
    }).map(element => element.outerHTML.slice(0, 100))""")


def lost_on_paper(page):
    """What would lie over the text of every sheet, or leads nowhere, or is cut off since paper does not scroll."""
    return page.evaluate("""() => [...document.querySelectorAll("body *")].filter(element => {
        const { position, overflowX } = getComputedStyle(element)
        const cut = element.matches("div, pre") && overflowX != "visible" && element.scrollWidth > element.clientWidth
        return element.getClientRects().length
            && (cut || ["fixed", "sticky"].includes(position) || element.matches(".skip-link, figure button"))
    }).map(element => element.outerHTML.slice(0, 100))""")


def weight(path):
    """The bytes of a file as servers of static pages send it: text is compressed."""
    data = path.read_bytes()
    return len(gzip.compress(data)) if path.suffix in {".html", ".js", ".css", ".svg"} else len(data)


def test_panels_are_light_and_come_when_they_are_near(site, view):
    """The data of all panels together, and nothing of them before they are about to be seen."""
    folders = [site / "_static" / name for name in ("panels", "networks")]
    assert sum(path.stat().st_size for folder in folders for path in folder.glob("*.js")) < 1.5e6
    opened = view("notebooks/08_break_it", viewport={"width": 1280, "height": 800})
    assert not [path for path in opened.loaded if path.parent.name == "panels"]
    opened.scroll_through()
    assert len([path for path in opened.loaded if path.parent.name == "panels"]) == 1


def test_tables_of_results_sort_up_and_down(view):
    page = view("results").page
    table = page.locator("article table").nth(1)  # sliced W2 on the board

    def column(k):
        return [cell.split(" ")[0] for cell in table.locator(f"tbody tr td:nth-child({k})").all_inner_texts()]

    for k in (2, 3):
        button, texts = table.locator("th button").nth(k - 1), column(k)
        values = sorted(float(text) for text in texts if text != "–")
        none = [text for text in texts if text == "–"]
        for name, expected in (("ascending", values), ("descending", values[::-1])):
            button.click()
            assert table.locator(f'th[aria-sort="{name}"]').count() == 1
            assert [float(text) for text in column(k)[:len(values)]] == expected
            assert column(k)[len(values):] == none
    assert "–" in column(2)  # there was something to keep last
    table.locator("th button").first.click()
    assert column(1) == sorted(column(1))


def test_search_finds_what_is_in_a_notebook(view):
    page = view("glossary").page
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+K")
    page.keyboard.type("midpoint")
    page.keyboard.press("Enter")
    page.locator("#search-results li a").first.wait_for()
    found = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert any("01_flow" in link for link in found)
    page.set_viewport_size({"width": 320, "height": 800})
    assert beyond_the_edge(page) == []


def test_who_looks_for_a_title_finds_its_page_first(view):
    page = view("search").page
    page.wait_for_load_state("networkidle")
    page.goto(page.url + "?q=average+velocity")
    page.locator("#search-results li a").first.wait_for()
    assert "02_average_velocity" in page.locator("#search-results li a").first.get_attribute("href")


def test_a_picture_opens_large_and_closes_by_key(view):
    page = view("notebooks/02_average_velocity").page
    picture = page.locator(".enlarge").first
    small = picture.bounding_box()["width"]
    picture.focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog.enlarged img").bounding_box()["width"] > small
    page.keyboard.press("Escape")
    assert page.locator("dialog.enlarged").count() == 0
    assert picture.evaluate("picture => picture == document.activeElement")


@pytest.mark.parametrize("name", READ_BY_AXE)
def test_code_is_whole_in_a_common_window_and_what_is_cut_says_so(view, name):
    page = view(name).page
    for width in (400, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        cut = page.locator("article :is(pre, div, table)").evaluate_all("""boxes => boxes.filter(box =>
            box.clientWidth > 1 && box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX != "visible"
        ).map(box => [box.textContent, getComputedStyle(box).backgroundImage])""")
        assert all("gradient" in shade for _, shade in cut)
    cut = page.locator("div.cell > .cell_input pre").evaluate_all(
        "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).map(box => box.textContent)")
    assert all(max(map(len, text.splitlines())) > 88 for text in cut)


def test_the_front_page_is_played_with_at_once(view):
    """Start is above the fold; the panel is light, and the ring and the steps move it; a link holds what is seen."""
    opened = view("index", viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
    page = opened.page
    page.wait_for_function("document.querySelector('.mf-words').textContent.includes('against one')")
    assert page.get_by_text("Start reading").bounding_box()["y"] < 400
    squares = page.locator(".mf-square canvas")
    assert squares.first.bounding_box()["y"] < 500
    own = [path for path in opened.loaded if path.parent.name in {"panels", "networks"}]
    assert len(own) == 3  # the panel, two networks
    assert sum(path.stat().st_size for path in own) < 80_000
    words = page.locator(".mf-words").inner_text()
    assert words.startswith("1 evaluation against one.")
    page.locator('.hero input[type="range"]').press("ArrowRight")
    page.get_by_text("midpoint", exact=True).click()
    page.wait_for_function("document.querySelector('.mf-words').textContent.startsWith('4 evaluations against one.')")
    page.locator(".mf-handle").first.press("ArrowUp")
    page.wait_for_function("location.hash.includes('z=')")
    assert "n=1" in page.evaluate("location.hash")
    assert page.evaluate("Object.keys(networks).length") == 2
    page.get_by_text("spiral", exact=True).click()  # its networks come when they are asked for
    page.wait_for_function("Object.keys(networks).length == 4")


def test_the_front_page_is_painted_as_soon_as_others(view):
    """Nothing of the panel stands in the way: first paint, the best of four, beside that of another page, in turn."""
    times = {"index": [], "glossary": []}
    for name in 4 * list(times):
        page = view(name).page
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        times[name].append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(times["index"]) < 1.3 * min(times["glossary"])


@pytest.mark.parametrize("name", ["index", "notebooks/02_average_velocity"])
def test_without_scripts_it_has_still_pictures_its_colours_and_nothing_dead(site, browser, name):
    opened = View(site, browser, name, java_script_enabled=False)
    page = opened.page
    for summary in page.locator("details.guess > summary").all():  # what a prediction hides opens by itself
        summary.click()
    stills = page.locator("figure.hero img" if name == "index" else ".cell_output img").all()
    assert stills
    assert all(still.is_visible() and still.evaluate("image => image.naturalWidth") for still in stills)
    assert page.locator(":is(button, input, select, canvas):visible").count() == 0
    assert page.locator("html").get_attribute("data-theme") == "light"
    opened.context.close()


@pytest.mark.parametrize("name", ["index", "notebooks/02_average_velocity"])
def test_a_strict_policy_changes_nothing(site, browser, name):
    chosen = [{"origin": "http://course", "localStorage": [{"name": "mode", "value": "dark"}]}]
    looks = []
    for headers in (OPEN, STRICT):
        opened = View(site, browser, name, headers, reduced_motion="reduce", storage_state={"origins": chosen})
        opened.scroll_through()
        opened.page.evaluate("scrollTo(0, 0)")
        looks.append(opened.page.evaluate("""() => [...document.querySelectorAll("body *")].map(element => {
            const { x, y, width, height } = element.getBoundingClientRect(), style = getComputedStyle(element)
            return [element.tagName, element.classList.value, ...[x, y, width, height].map(Math.round), style.color,
                    style.backgroundColor, style.fontFamily, element.onclick != null]
        })"""))
        assert opened.page.locator("html").get_attribute("data-theme") == "dark"
        opened.context.close()
    assert any("Content Security Policy" in line for line in opened.wrong)  # it was in force
    assert [pair for pair in zip(*looks, strict=True) if pair[0] != pair[1]] == []


@pytest.mark.skipif("ALL_LANES" not in os.environ, reason="once a week, or with ALL_LANES=1")
@pytest.mark.parametrize("name", ["index", "notebooks/01_flow", "notebooks/05_comparison"])
def test_screenshots_for_looking_at(view, name):
    SCREENSHOTS.mkdir(exist_ok=True)
    for width, theme in itertools.product((1280, 400), ("light", "dark")):
        opened = view(name, viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce")
        if name != "index":
            opened.page.locator("figure.panel").first.scroll_into_view_if_needed()
            opened.page.locator("figure.panel canvas").first.wait_for()
        opened.page.screenshot(path=SCREENSHOTS / f"site-{name.split('/')[-1]}-{width}-{theme}.png")
