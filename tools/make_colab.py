"""Write the notebooks for Google Colab: `make colab`.

dist-colab/*.ipynb stand alone, for File > Upload: collapsed cells at their top write mfutils, and the weights that the
notebook needs, beside it. In dist-colab/learners/ are the same without solutions and outputs.
"""

import base64
import re
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from tools.course import REPOSITORY, ROOT, TAG, address, opening, sources, without_outputs

MODULES = [path.relative_to(ROOT) for path in sorted((ROOT / "mfutils").rglob("*"))
           if path.suffix in {".py", ".js", ".css"}]


def standalone(notebook):
    """The notebook under collapsed cells that write what it imports and loads."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":  # the other notebooks are not beside it
            cell.source = re.sub(r"\[([^]]+)\]\((\d\d_\w+\.ipynb|\.\./docs/\w+\.md)\)", linked, cell.source)
    folders = sorted({str(module.parent) for module in MODULES} | {"mfutils/weights"})
    setup = [new_markdown_cell("# Set up: write the module `mfutils` beside this notebook",
                               metadata={"collapsed": True, "jp-MarkdownHeadingCollapsed": True}),
             new_code_cell(f"from pathlib import Path\nfor folder in {folders}:\n"
                           "    Path(folder).mkdir(parents=True, exist_ok=True)"),
             *(new_code_cell(f"%%writefile {module}\n{(ROOT / module).read_text('utf-8')}") for module in MODULES),
             new_code_cell("\n".join(["import base64", *map(embedded, weights_for(notebook))])),
             new_code_cell('from importlib.util import find_spec\nif not find_spec("anywidget"):\n'
                           "    %pip install --quiet anywidget")]
    for number, cell in enumerate(setup):
        cell.id = f"setup-{number:02}"
    notebook.cells[:0] = setup
    return notebook


def linked(link):
    """A link to another notebook or to a page in docs, in the repository; without an address, its text."""
    if not REPOSITORY:
        return link[1]
    if link[2].endswith(".ipynb"):
        return f"[{link[1]}]({address(link[2].removesuffix('.ipynb'))})"
    return f"[{link[1]}]({REPOSITORY}/blob/{TAG}/{link[2].removeprefix('../')})"


def weights_for(notebook):
    """The files of mfutils/weights that a notebook loads: networks that it names, or all; records; digits."""
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    named = re.findall(r'load_pretrained\("(\w+)", "(\w+)"', source)
    folder = ROOT / "mfutils" / "weights"
    others = {"mfutils.lab.cases": {*folder.glob("sweep.*")}, "mfutils.lab.maps": {*folder.glob("maps.*")},
              "import digits": {folder / "digits.json", *(path for path in folder.glob("digits-*")
                                                          if f'"{path.stem.removeprefix("digits-")}"' in source)}}
    wanted = set().union(*(files for word, files in others.items() if word in source))
    others["import digits"] = {*folder.glob("digits*")}
    if source.count("load_pretrained(") > len(named) or re.search(r"\b(load_record|recorded)\(", source):
        return sorted({*folder.iterdir()}.difference(*others.values()) | wanted)
    return sorted({folder / f"{distribution}-{method}.pt" for distribution, method in named} | wanted)


def embedded(path):
    data = base64.b64encode(path.read_bytes()).decode()
    return f"Path('mfutils/weights/{path.name}').write_bytes(base64.b64decode('{data}'))"


def main(target):
    (target / "learners").mkdir(parents=True, exist_ok=True)
    for source in sources():
        page = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
        page.metadata.pop("jupytext")
        fetching = [cell.source for cell in opening(source.stem)]
        page.cells = [cell for cell in page.cells if cell.source not in fetching]  # what it would fetch is embedded
        for folder, notebook in ((target, page), (target / "learners", without_outputs(source, solutions=False))):
            path = folder / f"{source.stem}.ipynb"
            nbformat.write(standalone(notebook), path)
            print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "dist-colab"))
