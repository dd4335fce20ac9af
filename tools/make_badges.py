"""Put the website and "Open in Colab" badges into the README, or take them out: `make badges`, once the addresses in
pyproject.toml have changed. (`make notebooks` puts a badge above every notebook.)"""

import re

from tools.course import BADGE, REPOSITORY, ROOT, SITE, TAG, address

READ = "**[Read it online]({})**, panels and playground included, with nothing to install."


def with_badges(readme, repository=REPOSITORY, site=SITE, tag=TAG):
    """The README with the website above its picture and a badge after every notebook's link in the table; without an
    address, with none."""
    readme = re.sub(r" \[!\[Open in Colab\].*?\]\(.*?\)", "", readme)
    readme = re.sub(re.escape(READ.format("@")).replace("@", ".*?") + "\n\n", "", readme)
    if site:
        readme = readme.replace("\n\n![", f"\n\n{READ.format(site)}\n\n![", 1)
    if repository:
        readme = re.sub(r"(?m)^(\| \[.*?\]\(notebooks/(\w+)\.ipynb\))",
                        lambda link: f"{link[1]} {BADGE.format(address(link[2], repository, tag))}", readme)
    return readme


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_badges(path.read_text("utf-8")), "utf-8")
