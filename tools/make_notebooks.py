"""Execute notebooks/*.py top to bottom and write the .ipynb beside each: `make notebooks`.

Name some to make only those: `python tools/make_notebooks.py 02`.
Widgets are left out of the saved outputs, since a page without a kernel cannot draw them (every slider has
a still above it), and a cell that writes to stderr fails: readers should see no warnings.
"""

import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from make_colab import opening

FOLDER = Path(__file__).parent.parent / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"


def from_source(source):
    """One percent script as a notebook, with a badge for Colab if there is an address."""
    notebook = jupytext.read(source)
    notebook.cells[:0] = opening(source.stem)
    return notebook


def run(notebook):
    """Execute a notebook in place and leave out what a reader without a kernel has no use for."""
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
            for output in cell.outputs:
                if output.get("name") == "stderr":
                    raise RuntimeError(f"this cell writes to stderr:\n{cell.source}\n\n{output.text}")
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}


def main(source):
    """Run one percent script as a notebook and write it with its outputs."""
    notebook = from_source(source)
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:03}"  # not random: re-making an unchanged notebook changes no line
    run(notebook)
    nbformat.write(notebook, source.with_suffix(".ipynb"))


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("[0-9]*.py")):
        if not sys.argv[1:] or path.name.startswith(tuple(sys.argv[1:])):
            start = time.perf_counter()
            main(path)
            print(f"{path.stem}: {time.perf_counter() - start:.0f} s", flush=True)
