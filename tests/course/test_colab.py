"""In Colab: the exported notebooks, alone in an empty folder, under Colab's versions of the packages. Two of them, and
all where ALL_LANES is set (`make test-all`).

`make .venv-colab/ready` makes the environment; where there is none they are skipped, unless REQUIRE_COLAB is set. As
every exercise is run here once more, so is every mistake that it knows: whoever makes it is told so.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from tools import make_colab
from tools.course import PROJECT, ROOT, opening, sources

PYTHON = ROOT / ".venv-colab" / "bin" / "python"
EVERY = [path.stem for path in sources()]
WHOLE = EVERY if "ALL_LANES" in os.environ else ["02_average_velocity", "05_comparison"]
ADDRESS = "https://github.com/someone/mean-flows"
needs_colab = pytest.mark.skipif(not PYTHON.exists() and not os.environ.get("REQUIRE_COLAB"),
                                 reason="no .venv-colab here; `make .venv-colab/ready` builds it, and CI has it")
STRICT = """
import contextlib, io, mfutils

def strict(answer, expected, hint="", tolerance=1e-4, mistakes=None, check=mfutils.check):
    for what, value in (mistakes or {}).items():
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            check(value, expected, hint, tolerance, mistakes)
        assert said.getvalue() == f"Not yet. {what}\\n", (what, said.getvalue())
    check(answer, expected, hint, tolerance, mistakes)

mfutils.check = strict
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist-colab")
    make_colab.main(folder)
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
    wanted = [line for line in (ROOT / "tests" / "colab.txt").read_text("utf-8").splitlines() if "==" in line]
    assert all(have[line.split("==")[0]].startswith(line) for line in wanted)
    assert not {"mean-flows", "jupytext"} & set(have)


@needs_colab
@pytest.mark.parametrize("stem", WHOLE)
def test_it_runs_alone_in_an_empty_folder(stem, exported, run):
    notebook = nbformat.read(exported / f"{stem}.ipynb", as_version=4)
    first = next(i for i, cell in enumerate(notebook.cells) if not cell.id.startswith("setup-"))
    notebook.cells.insert(first, nbformat.v4.new_code_cell(STRICT))
    run(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = [output.text for output in outputs if output.get("name") == "stdout"]
    assert sum("Not answered yet" in text for text in said) >= 3
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
    cells = opening(EVERY[0], f"file://{copy}", "v1.2")
    cells.append(nbformat.v4.new_code_cell("import mfutils.show.widgets\n"
                                           "mfutils.load_pretrained('spiral', 'mean_flow')"))
    cells.append(nbformat.v4.new_code_cell("mfutils.__file__"))
    try:
        notebook = run(nbformat.v4.new_notebook(cells=cells))
    finally:  # the other tests want an environment without it
        subprocess.run([PYTHON, "-m", "pip", "uninstall", "--quiet", "--yes", "mean-flows"], check=True)
    assert "site-packages/mfutils/__init__.py" in notebook.cells[-1].outputs[-1].data["text/plain"]


def test_once_there_is_an_address_every_promise_about_files_holds_with_it(copy):
    project = copy / "pyproject.toml"
    project.write_text(re.sub('repository = ".*?"', f'repository = "{ADDRESS}"', project.read_text("utf-8")))
    for path in (copy / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.execution_count += 1
        badge, fetch = opening(path.stem, ADDRESS, "v" + PROJECT["project"]["version"])
        fetch.execution_count = 1
        notebook.cells[:0] = [badge, fetch]
        nbformat.write(notebook, path)
    subprocess.run([sys.executable, "-m", "tools.make_badges"], cwd=copy, check=True)
    files = ["tests/course/test_notebooks.py", "tests/course/test_repository.py", "tests/course/test_exports.py"]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-k", "not changes_no_byte", *files],
                          cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert "Open in Colab" in (copy / "README.md").read_text("utf-8")
