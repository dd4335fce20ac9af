"""Build the website from docs/ and the executed notebooks: `make site` writes dist-site/. Nothing is run or fetched."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sphinx.cmd.build import main as sphinx_build

from course import FOLDER, ROOT


def main(target):
    """Bring docs/ and notebooks/ under one roof, as Sphinx wants them, and build the pages; returns the exit status."""
    with TemporaryDirectory() as folder:
        pages = Path(folder) / "pages"
        shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("_*", "conf.py"))
        shutil.copytree(FOLDER, pages / "notebooks", ignore=shutil.ignore_patterns("*.py", ".*"))
        return sphinx_build(["--builder=html", "--fail-on-warning", "--quiet", f"--conf-dir={ROOT / 'docs'}",
                             f"--doctree-dir={folder}/doctrees", str(pages), str(target)])


if __name__ == "__main__":
    if not sys.argv[1:]:
        shutil.rmtree(ROOT / "dist-site", ignore_errors=True)  # else pages that are gone would stay
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "dist-site"))
