"""Execute notebooks/*.py top to bottom and write the .ipynb beside each: `make notebooks`.

Name some to make only those: `python -m tools.make_notebooks 02`.
Widgets are left out of the saved outputs, since a page without a kernel cannot draw them: every slider has a still
above it. For the website their pictures are drawn in the same run, one file a panel.
"""

import json
import sys
import time

import nbformat

from tools.course import PANELS, from_source, run, sources


def main(source):
    """Run one percent script as a notebook; write it with its outputs, and the frames of its panels."""
    notebook = from_source(source)
    own = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(own, start=1):
        cell.id = f"cell-{number:03}"  # not random: re-making an unchanged notebook changes no line
    panels = run(notebook)
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    source.touch()  # of a pair the source is the newer one: JupyterLab opens no other
    PANELS.mkdir(exist_ok=True)
    for path in PANELS.glob(f"{source.stem}.*"):
        path.unlink()
    for cell, frames in panels.items():
        name = f"{source.stem}.{cell}"
        (PANELS / f"{name}.js").write_text(f"panels[{json.dumps(name)}] = {json.dumps(frames, indent=0)}\n", "utf-8")


if __name__ == "__main__":
    for path in sources(sys.argv[1:]):
        start = time.perf_counter()
        main(path)
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s", flush=True)
