"""Write a copy of every notebook for learners, without solutions, and one for instructors, with them: `make handout`.

Both come without outputs: in a workshop people see their own.
"""

import sys
from pathlib import Path

import jupytext
import nbformat

FOLDER = Path(__file__).parent.parent / "notebooks"


def handout(source, solutions):
    """One percent script as a notebook without outputs, with or without the cells tagged "solution"."""
    notebook = jupytext.read(source)
    notebook.metadata.pop("jupytext")  # no pair: else JupyterLab fills in the cells of a .py that lies beside it
    notebook.cells = [cell for cell in notebook.cells
                      if solutions or "solution" not in cell.metadata.get("tags", [])]
    return notebook


def main(target):
    for source in sorted(FOLDER.glob("[0-9]*.py")):
        for audience, solutions in (("learners", False), ("instructors", True)):
            path = target / audience / f"{source.stem}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(handout(source, solutions), path)
            print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "handouts"))
