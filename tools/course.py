"""What the tools share: where the notebooks are, how one is read, run, and given an address."""

import sys
import tomllib
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell

from mfutils.show.panel import PANEL, WIDGET

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
REPOSITORY, SITE = PROJECT["tool"]["mean-flows"]["repository"], PROJECT["tool"]["mean-flows"]["site"]
TAG = "v" + PROJECT["project"]["version"]
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({})"
BOOTSTRAP = '''# In Colab: fetch the module of this course. Elsewhere it is there already.
from importlib.util import find_spec
if not find_spec("mfutils"):
    %pip install --quiet --no-deps git+{}@{}
if not find_spec("anywidget"):
    %pip install --quiet anywidget'''


def sources(beginnings=()):
    """The percent scripts in order, filtered by filename prefix. Exits with a sentence where a prefix fits none."""
    every = sorted(FOLDER.glob("[0-9]*.py"))
    if lost := [text for text in beginnings if not any(path.name.startswith(text) for path in every)]:
        sys.exit(f"There is no notebook {', '.join(lost)}; there are {', '.join(path.stem for path in every)}.")
    return [path for path in every if path.name.startswith(tuple(beginnings) or "")]


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


def run(notebook):
    """Execute a notebook in place and leave out what a reader without a kernel has no use for: of a panel its data stay
    and its widget goes. A cell that writes to stderr fails: readers should see no warnings."""
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            for output in cell.outputs:
                if output.get("name") == "stderr":
                    raise RuntimeError(f"this cell writes to stderr:\n{cell.source}\n\n{output.text}")
            cell.outputs = joined(o for o in cell.outputs if WIDGET not in o.get("data", {}) or PANEL in o.data)
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET, None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}


def joined(outputs):
    """Outputs with neighbouring pieces of text as one: where a kernel cuts them is a matter of time. (nbclient's
    `coalesce_streams` also joins what a table stands between.)"""
    whole = []
    for output in outputs:
        if whole and output.output_type == whole[-1].output_type == "stream":
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def address(stem, repository=REPOSITORY, tag=TAG):
    """Where Colab opens a notebook of a GitHub repository."""
    return f"{repository}/blob/{tag}/notebooks/{stem}.ipynb".replace(
        "https://github.com", "https://colab.research.google.com/github")


def opening(stem, repository=REPOSITORY, tag=TAG):
    """The cells that stand above a notebook's first: badge and bootstrap, or none without an address."""
    if not repository:
        return []
    tags = {"tags": ["colab"]}  # the website leaves them out
    return [new_markdown_cell(BADGE.format(address(stem, repository, tag)), id="badge", metadata=tags),
            new_code_cell(BOOTSTRAP.format(repository, tag), id="bootstrap", metadata=tags)]
