"""What a person does: open a notebook in JupyterLab, run it as far as its last panel, and move every knob, by key and
by mouse. One page holds every kind of panel on small data, while the kernel is busy; one of the course's notebooks is
run whole, and all of them where ALL_LANES is set (`make test-all`). Only where REQUIRE_BROWSER is set, as in CI.

Screenshots go to tests/screenshots, for looking at.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import psutil
import pytest
from stage import PANELS

pytestmark = pytest.mark.skipif("REQUIRE_BROWSER" not in os.environ, reason="in CI; or set REQUIRE_BROWSER=1")
FOLDER = Path(__file__).parents[2] / "notebooks"
SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
EVERY = [path.stem for path in sorted(FOLDER.glob("[0-9]*.ipynb"))]
WHOLE = EVERY if "ALL_LANES" in os.environ else ["02_average_velocity"]


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
    environment = {**os.environ, "PYTHONPATH": str(SCREENSHOTS.parent),
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
    last = [i for i, source in enumerate(sources(page)) if holds_a_panel(source)][-1]
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


def holds_a_panel(source):
    return re.match(r"(widgets|PANELS)\b", source.splitlines()[-1]) or "OwnData" in source


def panel_cells(page):
    """The cells with panels, scrolled to one by one."""
    for i in (i for i, source in enumerate(sources(page)) if holds_a_panel(source)):
        page.evaluate(f"""async () => {{
            const content = {NOTEBOOK}.content;
            await content.scrollToItem({i}, "center"); content.activeCellIndex = {i};
        }}""")
        cell = page.locator(f'.jp-Cell[data-windowed-list-index="{i}"]')
        cell.locator(".mf-square canvas").first.wait_for()
        yield cell


def seen(cell):
    return cell.locator(".mf-words").inner_text(), cell.locator(".mf-square canvas").evaluate_all(
        "squares => squares.map(square => square.toDataURL())")


def changes(cell, act):
    """Whether an act changes what is seen, within five seconds."""
    before = seen(cell)
    act()
    for _ in range(50):
        cell.page.wait_for_timeout(100)
        if seen(cell) != before:
            return True
    return False


def drag(page, handle, by, steps):
    """Take a slider's handle by the mouse and move it sideways in `steps` events."""
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by, y, steps=steps)
    page.mouse.up()


def megabytes(lab, page):
    """What the largest kernel holds, and what the page's scripts hold."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("HeapProfiler.collectGarbage")
    kernel = max(child.memory_info().rss for child in lab[2].children(recursive=True))
    return kernel / 2**20, devtools.send("Runtime.getHeapUsage")["usedSize"] / 2**20


@pytest.mark.parametrize("name", ["panels", *WHOLE])
def test_a_notebook_runs_and_every_knob_moves_its_panel(browser, lab, name):
    if name == "panels":
        written(lab, name, "from stage import PANELS", *(f"PANELS[{panel!r}]()" for panel in PANELS))
    page = open_and_run(browser, lab, name)
    errors = page.evaluate(f"""() => {NOTEBOOK}.content.widgets.filter(cell => cell.model.type == "code")
        .flatMap(cell => cell.model.outputs.toJSON()).filter(output => output.output_type == "error")""")
    assert errors == []
    SCREENSHOTS.mkdir(exist_ok=True)
    if name == "panels":  # from here on the kernel answers nobody
        page.evaluate(f"() => {{ {NOTEBOOK}.context.sessionContext.session.kernel.requestExecute("
                      "{ code: 'import time; time.sleep(600)' }) }")
    for number, cell in enumerate(panel_cells(page)):
        for handle in cell.locator(".noUi-handle").all():
            handle.focus()
            at_end = handle.evaluate("handle => handle.ariaValueNow == handle.ariaValueMax")
            assert changes(cell, lambda: page.keyboard.press("ArrowLeft" if at_end else "ArrowRight"))  # noqa: B023
        for slider in cell.locator(".noUi-target").all():
            for handle, by in zip(slider.locator(".noUi-handle").all(), (200, -200)):  # the second one of an interval
                handle.scroll_into_view_if_needed()
                if handle.evaluate("handle => handle.ariaValueNow == handle.ariaValueMax"):
                    by = -200
                assert changes(cell, lambda: drag(page, handle, by, steps=5))  # noqa: B023
        for button in cell.locator(".widget-toggle-buttons button:not(.mod-active)").all()[:2]:
            assert changes(cell, button.click)
        for menu in cell.locator("select").all():
            assert changes(cell, lambda: menu.select_option(index=2))  # noqa: B023
        for handle in cell.locator(".mf-handle").all():
            handle.focus()
            assert any(changes(cell, lambda: page.keyboard.press(key)) for key in ("ArrowDown", "ArrowUp"))  # noqa: B023
        if number == 0:  # a long drag costs no memory
            kernel, scripts = megabytes(lab, page)
            drag(page, cell.locator(".noUi-handle").first, by=-100, steps=50)
            kernel_now, scripts_now = megabytes(lab, page)
            assert kernel_now < kernel + 50
            assert scripts_now < scripts + 5
        cell.screenshot(path=SCREENSHOTS / f"{name}-{number}.png")
    page.close()


def test_own_data_is_what_was_drawn_written_or_chosen_last(browser, lab):
    cell = 'from mfutils.show import widgets\nwidgets.OwnData("I")'
    page = open_and_run(browser, lab, written(lab, "own_data", cell))
    pad = page.locator("canvas.mf-draws")
    pad.wait_for()

    def after(act):
        before = said()
        act()
        for _ in range(100):
            page.wait_for_timeout(100)
            if said() != before:
                break
        page.wait_for_timeout(500)  # what else was under way
        return int(re.search(r"mixture of (\d+) Gaussians", said())[1])

    def said():
        return page.locator(".jp-OutputArea").inner_text()

    line = after(lambda: drag(page, pad, by=100, steps=10))
    assert 20 < line < 60
    assert after(lambda: drag(page, pad, by=-100, steps=1)) == pytest.approx(2 * line, rel=0.15)  # no holes
    page.get_by_text("clear").click()
    assert after(lambda: drag(page, pad, by=60, steps=10)) < line
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
    page.locator(".jp-OutputArea").screenshot(path=SCREENSHOTS / "own_data.png")
    page.close()
