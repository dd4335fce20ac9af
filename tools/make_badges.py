"""Put "Open in Colab" badges into the README's table, or take them out: `make badges`, once `repository` in
pyproject.toml has changed. (`make notebooks` puts one above every notebook.)"""

import re

from course import BADGE, REPOSITORY, ROOT, TAG, address


def with_badges(readme, repository=REPOSITORY, tag=TAG):
    """The README with a badge after every notebook's link in the table, or with none without an address."""
    readme = re.sub(r" \[!\[Open in Colab\].*?\]\(.*?\)", "", readme)
    if not repository:
        return readme
    return re.sub(r"(?m)^(\| \[.*?\]\(notebooks/(\w+)\.ipynb\))",
                  lambda link: f"{link[1]} {BADGE.format(address(link[2], repository, tag))}", readme)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_badges(path.read_text()))
