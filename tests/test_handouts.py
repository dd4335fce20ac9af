"""The learners' copies have no solutions and run to the end; the instructors' are the notebooks, which nbval runs."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

import make_handouts

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "notebooks").glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def handouts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handouts")
    make_handouts.main(folder)
    return folder


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
"""  # whoever makes a mistake that an exercise knows is told so


def solutions(notebook):
    return [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_instructors_copy_is_the_notebook(source, handouts):
    copy = nbformat.read(handouts / "instructors" / f"{source.stem}.ipynb", as_version=4)
    assert [cell.source for cell in copy.cells] == [cell.source for cell in jupytext.read(source).cells]
    assert solutions(copy)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_learners_copy_runs_to_the_end_without_a_solution(source, handouts):
    copy = nbformat.read(handouts / "learners" / f"{source.stem}.ipynb", as_version=4)
    assert not solutions(copy)
    assert "jupytext" not in copy.metadata  # a pair would bring the solutions back
    assert len(copy.cells) == len(jupytext.read(source).cells) - len(solutions(jupytext.read(source)))
    copy.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
    NotebookClient(copy, timeout=300, resources={"metadata": {"path": str(handouts)}}).execute()
    said = [output.text for cell in copy.cells for output in cell.get("outputs", []) if output.get("name") == "stdout"]
    assert sum("Not answered yet" in text or "Not yet" in text for text in said) >= 4
