"""Write the notebooks for Google Colab: `make colab`.

dist-colab/*.ipynb stand alone, for File > Upload: collapsed cells at their top write mfutils, and the weights that the
notebook needs, beside it. In dist-colab/learners/ are the same without solutions and outputs. Once `repository` in
pyproject.toml holds a public address, the README and the notebooks made by `make notebooks` carry "Open in Colab"
badges, and the notebooks a cell that fetches mfutils.
"""

import base64
import re
import sys
import tomllib
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from make_handouts import FOLDER, handout

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REPOSITORY = PROJECT["tool"]["mean-flows"]["repository"]
TAG = "v" + PROJECT["project"]["version"]
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({})"
BOOTSTRAP = '''# In Colab: fetch the module of this course. Elsewhere it is there already.
from importlib.util import find_spec
if not find_spec("mfutils"):
    %pip install --quiet --no-deps git+{}@{}'''


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


def with_badges(readme, repository=REPOSITORY, tag=TAG):
    """The README with a badge after every notebook's link in the table, or with none without an address."""
    readme = re.sub(r" \[!\[Open in Colab\].*?\]\(.*?\)", "", readme)
    if not repository:
        return readme
    return re.sub(r"(?m)^(\| \[.*?\]\(notebooks/(\w+)\.ipynb\))",
                  lambda link: f"{link[1]} {BADGE.format(address(link[2], repository, tag))}", readme)


def standalone(notebook):
    """The notebook under collapsed cells that write what it imports and loads."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":  # the other notebooks are not beside it
            cell.source = re.sub(r"\[([^]]+)\]\((\d\d_\w+)\.ipynb\)", linked, cell.source)
    modules = sorted((ROOT / "mfutils").glob("*.py")) + [ROOT / "mfutils" / "pad.js"]
    setup = [new_markdown_cell("# Set up: write the module `mfutils` beside this notebook",
                               metadata={"collapsed": True, "jp-MarkdownHeadingCollapsed": True}),
             new_code_cell("from pathlib import Path\nPath('mfutils/weights').mkdir(parents=True, exist_ok=True)"),
             *(new_code_cell(f"%%writefile mfutils/{module.name}\n{module.read_text()}") for module in modules),
             new_code_cell("\n".join(["import base64", *map(embedded, weights_for(notebook))]))]
    for number, cell in enumerate(setup):
        cell.id = f"setup-{number:02}"
    notebook.cells[:0] = setup
    return notebook


def linked(link):
    return f"[{link[1]}]({address(link[2])})" if REPOSITORY else link[1]


def weights_for(notebook):
    """The files of mfutils/weights that a notebook loads: those it names, or all."""
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    named = re.findall(r'load_pretrained\("(\w+)", "(\w+)"\)', source)
    folder = ROOT / "mfutils" / "weights"
    if source.count("load_pretrained(") > len(named) or "load_record(" in source:
        return sorted(folder.iterdir())
    return [folder / f"{distribution}-{method}.pt" for distribution, method in sorted(set(named))]


def embedded(path):
    data = base64.b64encode(path.read_bytes()).decode()
    return f"Path('mfutils/weights/{path.name}').write_bytes(base64.b64decode('{data}'))"


def main(target):
    (target / "learners").mkdir(parents=True, exist_ok=True)
    for source in sorted(FOLDER.glob("[0-9]*.py")):
        page = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
        page.metadata.pop("jupytext")
        fetching = [cell.source for cell in opening(source.stem)]
        page.cells = [cell for cell in page.cells if cell.source not in fetching]  # what it would fetch is embedded
        for folder, notebook in ((target, page), (target / "learners", handout(source, solutions=False))):
            path = folder / f"{source.stem}.ipynb"
            nbformat.write(standalone(notebook), path)
            print(path)
    readme = ROOT / "README.md"
    readme.write_text(with_badges(readme.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "dist-colab"))
