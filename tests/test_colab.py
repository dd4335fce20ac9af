"""In Colab: each exported notebook, alone in an empty folder, under Colab's versions of the packages.

`make .venv-colab/ready` makes the environment; where there is none they are skipped, unless REQUIRE_COLAB is set.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

import make_colab

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-colab" / "bin" / "python"
STEMS = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
HERE = ("https://github.com/someone/mean-flows", "v1.2")
needs_colab = pytest.mark.skipif(not PYTHON.exists() and not os.environ.get("REQUIRE_COLAB"),
                                 reason="no .venv-colab here; `make .venv-colab/ready` builds it, and CI has it")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist-colab")
    readme = (ROOT / "README.md").read_text()
    make_colab.main(folder)
    assert (ROOT / "README.md").read_text() == readme  # its badges agree with the setting
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a notebook in an empty folder by Colab's Python; returns it with its outputs."""
    kernel = tmp_path / "kernels" / "colab"
    kernel.mkdir(parents=True)
    arguments = [str(PYTHON), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps(dict(argv=arguments, display_name="Colab", language="python")))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    empty = tmp_path / "content"
    empty.mkdir()

    def execute(notebook):
        here = {"metadata": {"path": str(empty)}}
        return NotebookClient(notebook, kernel_name="colab", timeout=300, resources=here).execute()

    return execute


@needs_colab
def test_the_environment_has_colabs_versions_and_not_our_module():
    have = {line.split("==")[0].lower(): line for line in subprocess.run(
        [PYTHON, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout.splitlines()}
    wanted = [line for line in (ROOT / "tests" / "colab.txt").read_text().splitlines() if "==" in line]
    assert all(have[line.split("==")[0]].startswith(line) for line in wanted)
    assert not {"mean-flows", "anywidget", "jupytext"} & set(have)


@needs_colab
@pytest.mark.parametrize("stem", [*STEMS, "learners/01_derivation"])
def test_it_runs_alone_in_an_empty_folder(stem, exported, run):
    notebook = run(nbformat.read(exported / f"{stem}.ipynb", as_version=4))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in outputs)
    assert not [output.text for output in outputs if output.get("name") == "stderr" and "%|" not in output.text]


@pytest.fixture
def copy(tmp_path):
    """The files of this repository, without its history."""
    files = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True).stdout
    for file in files.splitlines():
        target = tmp_path / "copy" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, target)
    return tmp_path / "copy"


@needs_colab
def test_the_bootstrap_fetches_the_tagged_module(copy, run):
    me = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*me, "commit", "--quiet", "-m", "all"], ["tag", "v1.2"]):
        subprocess.run(["git", *command], cwd=copy, check=True)
    cells = make_colab.opening("01_derivation", f"file://{copy}", "v1.2")
    loads = "import mfutils\nmfutils.load_pretrained('spiral', 'mean_flow')\nmfutils.__file__"
    cells.append(nbformat.v4.new_code_cell(loads))
    try:
        notebook = run(nbformat.v4.new_notebook(cells=cells))
    finally:  # the other tests want an environment without it
        subprocess.run([PYTHON, "-m", "pip", "uninstall", "--quiet", "--yes", "mean-flows"], check=True)
    assert "site-packages/mfutils/__init__.py" in notebook.cells[-1].outputs[-1].data["text/plain"]


def test_once_there_is_an_address_every_promise_about_files_holds_with_it(copy):
    project = copy / "pyproject.toml"
    project.write_text(re.sub('repository = ".*?"', f'repository = "{HERE[0]}"', project.read_text()))
    tag = "v" + make_colab.PROJECT["project"]["version"]
    for path in (copy / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.execution_count += 1
        badge, fetch = make_colab.opening(path.stem, HERE[0], tag)
        fetch.execution_count = 1
        notebook.cells[:0] = [badge, fetch]
        nbformat.write(notebook, path)
    subprocess.run([sys.executable, "tools/make_colab.py"], cwd=copy, check=True, capture_output=True)
    tests = ["tests/test_notebooks.py", "tests/test_repository.py", "tests/test_colab.py"]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *tests, "-k", "not needs_colab and not once_there_is"],
                          cwd=copy, capture_output=True, text=True, env={**os.environ, "REQUIRE_COLAB": ""})
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.parametrize("stem", STEMS)
def test_the_export_holds_the_page_and_the_module_as_they_are(stem, exported):
    page = jupytext.read(ROOT / "notebooks" / f"{stem}.py")
    copy = nbformat.read(exported / f"{stem}.ipynb", as_version=4)
    nbformat.validate(copy)
    lesson = [cell.source for cell in page.cells if cell.cell_type == "code"]
    code = [cell.source for cell in copy.cells if cell.cell_type == "code"]
    assert code[-len(lesson):] == lesson
    for module in (ROOT / "mfutils").glob("*.py"):
        assert f"%%writefile mfutils/{module.name}\n{module.read_text()}" in code
    assert not any(f"({other}.ipynb)" in cell.source for cell in copy.cells for other in STEMS)  # they are not there
    assert (exported / f"{stem}.ipynb").stat().st_size < 3_000_000


@pytest.mark.parametrize("stem", STEMS)
def test_the_learners_export_lacks_the_solutions_and_the_outputs_and_nothing_else(stem, exported):
    full = nbformat.read(exported / f"{stem}.ipynb", as_version=4)
    learners = nbformat.read(exported / "learners" / f"{stem}.ipynb", as_version=4)
    nbformat.validate(learners)
    kept = [cell.source for cell in full.cells if "solution" not in cell.metadata.get("tags", [])]
    assert len(kept) < len(full.cells)
    assert [cell.source for cell in learners.cells] == kept
    assert not any(cell.get("outputs") for cell in learners.cells)


def test_without_an_address_there_is_no_badge_and_with_one_there_is_everywhere():
    readme = (ROOT / "README.md").read_text()
    assert make_colab.opening("01_derivation", "") == []
    bare = make_colab.with_badges(readme, "")
    badged = make_colab.with_badges(bare, *HERE)
    assert "Open in Colab" not in bare
    assert badged.count("Open in Colab") == len(STEMS)
    for stem in STEMS:
        link = f"https://colab.research.google.com/github/someone/mean-flows/blob/v1.2/notebooks/{stem}.ipynb"
        assert f"({link}) |" in badged
        badge, bootstrap = make_colab.opening(stem, *HERE)
        assert link in badge.source
        assert "git+https://github.com/someone/mean-flows@v1.2" in bootstrap.source
    assert make_colab.with_badges(badged, *HERE) == badged
    assert make_colab.with_badges(badged, "") == bare


def test_no_cell_meant_for_colab_pins_what_colab_has():
    for cell in make_colab.opening("01_derivation", *HERE):
        assert "--no-deps" in cell.source or "pip" not in cell.source
