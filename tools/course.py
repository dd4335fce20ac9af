"""What the tools share: where the notebooks are, how one is read, run, and given an address."""

import os
import tomllib
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REPOSITORY = PROJECT["tool"]["mean-flows"]["repository"]
TAG = "v" + PROJECT["project"]["version"]
WIDGET = "application/vnd.jupyter.widget-view+json"
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({})"
BOOTSTRAP = '''# In Colab: fetch the module of this course. Elsewhere it is there already.
from importlib.util import find_spec
if not find_spec("mfutils"):
    %pip install --quiet --no-deps git+{}@{}'''


def sources(beginnings=()):
    """The percent scripts in order; of these only those whose names begin so, if any are given."""
    return [path for path in sorted(FOLDER.glob("[0-9]*.py")) if path.name.startswith(tuple(beginnings) or "")]


def from_source(source):
    """One percent script as a notebook, with a badge for Colab if there is an address."""
    notebook = jupytext.read(source)
    notebook.cells[:0] = opening(source.stem)
    return notebook


def without_outputs(source, solutions):
    """One percent script as a notebook for a workshop, with or without the cells tagged "solution"."""
    notebook = jupytext.read(source)
    notebook.metadata.pop("jupytext")  # no pair: else JupyterLab fills in the cells of a .py that lies beside it
    notebook.cells = [cell for cell in notebook.cells
                      if solutions or "solution" not in cell.metadata.get("tags", [])]
    return notebook


def run(notebook, **environment):
    """Execute a notebook in place, its panels as the environment variables say (see mfutils/widgets/panel.py), and
    leave out what a reader without a kernel has no use for. A cell that writes to stderr fails: readers should see no
    warnings."""
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}})
    client.execute(env=os.environ | environment)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
            for output in cell.outputs:
                if output.get("name") == "stderr":
                    raise RuntimeError(f"this cell writes to stderr:\n{cell.source}\n\n{output.text}")
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}


def address(stem, repository=REPOSITORY, tag=TAG):
    """Where Colab opens a notebook of a GitHub repository."""
    return f"{repository}/blob/{tag}/notebooks/{stem}.ipynb".replace(
        "https://github.com", "https://colab.research.google.com/github")


def opening(stem, repository=REPOSITORY, tag=TAG):
    """The cells that stand above a notebook's first: badge and bootstrap, or none without an address."""
    if not repository:
        return []
    return [new_markdown_cell(BADGE.format(address(stem, repository, tag))),
            new_code_cell(BOOTSTRAP.format(repository, tag))]
