"""Build the website from docs/ and the executed notebooks: `make site` writes dist-site/. Nothing is run or fetched."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sphinx.cmd.build import main as sphinx_build

from tools.course import FOLDER, ROOT


def main(target):
    """Bring docs/ and notebooks/ under one roof, as Sphinx wants them, and build target/dist-site; returns the exit
    status. A site that was there is replaced only by one that was built without a warning."""
    with TemporaryDirectory() as folder:
        pages, site = Path(folder) / "pages", Path(folder) / "site"
        shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("_*", "conf.py"))
        shutil.copytree(FOLDER, pages / "notebooks", ignore=shutil.ignore_patterns("*.py", ".*"))
        status = sphinx_build(["--builder=html", "--fail-on-warning", "--quiet", f"--conf-dir={ROOT / 'docs'}",
                               f"--doctree-dir={folder}/doctrees", str(pages), str(site)])
        if status == 0:
            shutil.rmtree(target / "dist-site", ignore_errors=True)  # else pages that are gone would stay
            shutil.copytree(site, target / "dist-site")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else ROOT))
