"""What a person does: open a notebook in JupyterLab, run it as far as its last slider, and move every slider, by key
and by mouse. One page holds every kind of panel on small data; two of the course's notebooks are run whole, and all of
them where ALL_LANES is set (`make test-all`). Only where REQUIRE_BROWSER is set, as in CI.

Screenshots go to tests/screenshots, for looking at; waits from a key to its picture are printed.
"""

import os
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import psutil
import pytest
import torch

from mfutils.show import plots

pytestmark = pytest.mark.skipif("REQUIRE_BROWSER" not in os.environ, reason="in CI; or set REQUIRE_BROWSER=1")
FOLDER = Path(__file__).parents[2] / "notebooks"
SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
PANELS = ("field_slider", "euler_slider", "steps_slider", "swing_slider", "journey_slider", "noise_slider",
          "error_slider", "comparison_panel", "case_panel", "image_panel")  # on small data, by test_panels.py
EVERY = [path.stem for path in sorted(FOLDER.glob("[0-9]*.ipynb"))]
WHOLE = EVERY if "ALL_LANES" in os.environ else ["01_flow", "02_average_velocity"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab server without news pop-ups, on a free port: (address, token, process)."""
    home, token = tmp_path_factory.mktemp("jupyter"), secrets.token_hex(16)
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(SCREENSHOTS.parent / "unit"),
                   "JUPYTER_CONFIG_DIR": str(home), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
                   "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root",
         "--expose-app-in-browser", f"--IdentityProvider.token={token}"],
        cwd=shutil.copytree(FOLDER, home / "notebooks"), env=environment,  # a copy: a browser may save
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(60):
        try:
            urllib.request.urlopen(f"{address}/api?token={token}", timeout=1)
            break
        except OSError:
            time.sleep(1)
    yield address, token, psutil.Process(server.pid)
    server.terminate()
    server.wait(20)


def written(lab, name, *cells):
    """A notebook of these cells, beside the course's; returns its name."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=kernel)
    nbformat.write(page, Path(lab[2].cwd()) / f"{name}.ipynb")
    return name


def open_and_run(browser, lab, name):
    address, token, _ = lab
    page = browser.new_page(viewport={"width": 1250, "height": 1400})
    page.set_default_timeout(60_000)
    page.goto(f"{address}/lab/workspaces/{name}/tree/{name}.ipynb?reset&token={token}")
    page.wait_for_function(f"window.jupyterapp && {NOTEBOOK} && {NOTEBOOK}.context")
    page.evaluate(f"""async () => {{
        const context = {NOTEBOOK}.context;
        await context.ready; await context.sessionContext.ready; await context.sessionContext.session.kernel.info;
    }}""")
    last = [i for i, source in enumerate(sources(page)) if source.startswith("widgets.") or "OwnData" in source][-1]
    page.evaluate(f"""async () => {{
        const content = {NOTEBOOK}.content;
        content.activeCellIndex = {last};
        await window.jupyterapp.commands.execute('notebook:run-all-above');
        content.activeCellIndex = {last};
        await window.jupyterapp.commands.execute('notebook:run-cell');
    }}""")
    return page


def sources(page):
    return page.evaluate(f"() => {NOTEBOOK}.content.widgets.map(cell => cell.model.sharedModel.getSource())")


def slider_cells(page):
    """The cells with widgets, scrolled to one by one."""
    for i in (i for i, source in enumerate(sources(page)) if source.startswith("widgets.")):
        page.evaluate(f"""async () => {{
            const content = {NOTEBOOK}.content;
            await content.scrollToItem({i}, "center"); content.activeCellIndex = {i};
        }}""")
        cell = page.locator(f'.jp-Cell[data-windowed-list-index="{i}"]')
        cell.locator(".jp-OutputArea img").wait_for()
        yield cell


def numbers(text):
    return {float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)}


def settled(page, cell):
    """Wait until the picture says what the labels of all sliders say, and return both."""
    for _ in range(100):
        label = " ".join(cell.locator(".widget-readout").all_inner_texts())
        alt = cell.locator(".jp-OutputArea img").get_attribute("alt")
        if numbers(label) <= numbers(alt):
            return label, alt
        page.wait_for_timeout(50)
    raise AssertionError(f"the sliders say {label!r}, the picture {alt!r}")


def press(page, cell, key):
    """Press a key; milliseconds until the picture changed, or None where the slider was at its end."""
    picture, before = cell.locator(".jp-OutputArea img"), settled(page, cell)
    source = picture.get_attribute("src")
    start = time.perf_counter()
    cell.page.keyboard.press(key)
    for _ in range(200):
        if picture.get_attribute("src") != source:
            return 1000 * (time.perf_counter() - start)
        page.wait_for_timeout(5)
    assert settled(page, cell) == before
    return None


def drag(page, handle, by, steps):
    """Take a slider's handle by the mouse and move it sideways in `steps` events."""
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by, y, steps=steps)
    page.mouse.up()


def milliseconds_to_draw():
    """What a picture like those of the sliders takes on this machine, in the best of five."""
    waits = []
    for _ in range(5):
        fig = plots.clouds({"samples": torch.randn(4000, 2), "target": torch.randn(4000, 2)}, size=3)
        plots.png(fig)  # lays it out
        fig.set_layout_engine("none")
        start = time.perf_counter()
        plots.png(fig)
        waits.append(1000 * (time.perf_counter() - start))
    return min(waits)


def megabytes(lab, page):
    """What the largest kernel holds, and what the page's scripts hold."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("HeapProfiler.collectGarbage")
    kernel = max(child.memory_info().rss for child in lab[2].children(recursive=True))
    return kernel / 2**20, devtools.send("Runtime.getHeapUsage")["usedSize"] / 2**20


@pytest.mark.parametrize("name", ["panels", *WHOLE])
def test_a_notebook_runs_and_every_slider_moves_its_picture(browser, lab, name, record_property):
    if name == "panels":
        written(lab, name, "import test_panels as widgets", *(f"widgets.{panel}()" for panel in PANELS))
    page = open_and_run(browser, lab, name)
    errors = page.evaluate(f"""() => {NOTEBOOK}.content.widgets.filter(cell => cell.model.type == "code")
        .flatMap(cell => cell.model.outputs.toJSON()).filter(output => output.output_type == "error")""")
    assert errors == []
    SCREENSHOTS.mkdir(exist_ok=True)
    waits = []
    for number, cell in enumerate(slider_cells(page)):
        for handle in cell.locator(".noUi-handle").all():
            handle.focus()
            pressed = [press(page, cell, key) for key in ("ArrowRight", "ArrowLeft")]
            assert any(pressed)
            waits += [wait for wait in pressed if wait]
        for slider in cell.locator(".noUi-target").all():
            for handle, by in zip(slider.locator(".noUi-handle").all(), (120, -120)):  # the second one of an interval
                before = settled(page, cell)
                drag(page, handle, by, steps=5)
                assert settled(page, cell) != before
        if number == 0:  # a long drag costs no memory
            kernel, scripts = megabytes(lab, page)
            drag(page, cell.locator(".noUi-handle").first, by=-100, steps=50)
            settled(page, cell)
            assert cell.locator(".jp-OutputArea img").count() == 1
            kernel_now, scripts_now = megabytes(lab, page)
            assert kernel_now < kernel + 50
            assert scripts_now < scripts + 5
        for menu in cell.locator("select").all():
            options = menu.locator("option").evaluate_all("options => options.map(option => option.value)")
            for option in options[:: -max(1, len(options) // 3)]:  # of a long menu, some
                menu.select_option(option)
                page.wait_for_function(
                    "([cell, option]) => cell.querySelector('.jp-OutputArea img').alt.includes(option)",
                    arg=[cell.element_handle(), option])
        cell.screenshot(path=SCREENSHOTS / f"{name}-{number}.png")
    page.close()
    drawing = milliseconds_to_draw()
    record_property(name, f"key to picture, median {statistics.median(waits):.0f} ms; "
                          f"a picture is drawn in {drawing:.0f} ms")
    if name == "panels":  # many sliders, few other things to do
        assert statistics.median(waits) < max(150, 4 * drawing)  # a slow machine draws slowly, too


def test_own_data_is_what_was_drawn_written_or_chosen_last(browser, lab, record_property):
    cell = 'from mfutils.show import widgets\nwidgets.OwnData("I")'
    page = open_and_run(browser, lab, written(lab, "own_data", cell))
    pad, picture = page.locator('canvas[aria-label^="Draw here"]'), page.locator(".jp-OutputArea img")
    pad.wait_for()

    def gaussians():
        return int(re.search(r"mixture of (\d+) Gaussians", picture.get_attribute("alt"))[1])

    page.evaluate("""() => {
        window.said = ""
        new MutationObserver(changes => changes.forEach(({ addedNodes }) => addedNodes.forEach(
            node => { window.said += node.textContent }))
        ).observe(document.querySelector(".jp-OutputArea"), { childList: true, subtree: true })
    }""")
    waits = []

    def after(act):
        source = picture.get_attribute("src")
        page.evaluate("() => { window.said = '' }")
        start = time.perf_counter()
        act()
        page.wait_for_function("source => document.querySelector('.jp-OutputArea img').src != source", arg=source)
        waits.append(1000 * (time.perf_counter() - start))
        page.wait_for_timeout(500)  # what else was under way
        assert "Drawing …" in page.evaluate("window.said")
        return gaussians()

    drag(page, pad, by=100, steps=10)
    page.wait_for_timeout(500)
    line = gaussians()
    assert 20 < line < 40  # 100 pixels, one point every 3.5
    assert after(lambda: drag(page, pad, by=-100, steps=1)) == pytest.approx(2 * line, abs=2)  # no holes
    page.get_by_text("clear").click()
    assert after(lambda: drag(page, pad, by=100, steps=10)) == pytest.approx(line, abs=2)
    write = page.locator('.jp-OutputArea input[type="text"]')
    write.fill("❀")
    assert after(lambda: write.press("Enter")) > 400
    points = {"name": "points.csv", "mimeType": "text/csv", "buffer": b"1,2\n3,4\n5,7"}

    def choose(file):
        with page.expect_file_chooser() as chooser:
            page.get_by_text("or a file").click()
        chooser.value.set_files(file)

    assert after(lambda: choose(points)) == 3
    choose({**points, "buffer": b"1,x"})
    page.get_by_text("The file is neither a picture").wait_for()
    assert gaussians() == 3
    page.locator(".jp-OutputArea").screenshot(path=SCREENSHOTS / "own_data.png")
    page.close()
    record_property("own data", f"act to picture, {min(waits):.0f} to {max(waits):.0f} ms")
    assert statistics.median(waits) < max(400, 10 * milliseconds_to_draw())
