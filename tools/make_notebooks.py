"""Execute notebooks/*.py top to bottom and write the .ipynb beside each: `make notebooks`.

Name some to make only those: `python -m tools.make_notebooks 02`.
Widgets are left out of the saved outputs, since a page without a kernel cannot draw them: every panel has a still above
it, and its data, which the website draws.
"""

import sys
import time

import nbformat

from tools.course import from_source, run, sources


def main(source):
    """Run one percent script as a notebook; write it with its outputs."""
    notebook = from_source(source)
    own = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(own, start=1):
        cell.id = f"cell-{number:03}"  # not random: re-making an unchanged notebook changes no line
    run(notebook)
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    source.touch()  # of a pair the source is the newer one: JupyterLab opens no other


if __name__ == "__main__":
    for path in sources(sys.argv[1:]):
        start = time.perf_counter()
        main(path)
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s", flush=True)
