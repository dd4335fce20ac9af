"""What is exported for Colab holds the page and the module as they are; badges come with an address and go with it."""

import jupytext
import nbformat
import pytest

from tools import make_colab
from tools.course import REPOSITORY, ROOT, SITE, opening, sources
from tools.make_badges import with_badges

STEMS = [path.stem for path in sources()]
HERE = ("https://github.com/someone/mean-flows", "https://someone.github.io/mean-flows/", "v1.2")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder, before = tmp_path_factory.mktemp("dist-colab"), (ROOT / "README.md").stat().st_mtime_ns
    make_colab.main(folder)
    assert (ROOT / "README.md").stat().st_mtime_ns == before  # an export writes nothing but itself
    return folder


@pytest.mark.parametrize("stem", STEMS)
def test_the_export_holds_the_page_and_the_module_as_they_are(stem, exported):
    page = jupytext.read(ROOT / "notebooks" / f"{stem}.py")
    copy = nbformat.read(exported / f"{stem}.ipynb", as_version=4)
    nbformat.validate(copy)
    lesson = [cell.source for cell in page.cells if cell.cell_type == "code"]
    code = [cell.source for cell in copy.cells if cell.cell_type == "code"]
    assert code[-len(lesson):] == lesson
    files = [path for path in (ROOT / "mfutils").rglob("*") if path.suffix in {".py", ".js", ".css"}]
    assert len(files) > 15
    for path in files:
        assert f"%%writefile {path.relative_to(ROOT)}\n" + path.read_text("utf-8") in code
    assert not any(f"({other}.ipynb)" in cell.source for cell in copy.cells for other in STEMS)  # they are not there
    assert (exported / f"{stem}.ipynb").stat().st_size < 7_500_000


@pytest.mark.parametrize("stem", STEMS)
def test_the_learners_export_lacks_the_solutions_and_the_outputs_and_nothing_else(stem, exported):
    full = nbformat.read(exported / f"{stem}.ipynb", as_version=4)
    learners = nbformat.read(exported / "learners" / f"{stem}.ipynb", as_version=4)
    nbformat.validate(learners)
    kept = [cell.source for cell in full.cells if "solution" not in cell.metadata.get("tags", [])]
    assert len(kept) < len(full.cells)
    assert [cell.source for cell in learners.cells] == kept
    assert not any(cell.get("outputs") for cell in learners.cells)


def test_the_readmes_badges_agree_with_the_addresses():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert with_badges(readme) == readme
    assert ("Open in Colab" in readme) == bool(REPOSITORY)
    assert ("Read it online" in readme) == bool(SITE)


def test_without_an_address_there_is_no_badge_and_with_one_there_is_everywhere():
    repository, site, tag = HERE
    assert opening(STEMS[0], "") == []
    bare = with_badges((ROOT / "README.md").read_text("utf-8"), "", "")
    badged = with_badges(bare, *HERE)
    assert "Open in Colab" not in bare
    assert "Read it online" not in bare
    assert badged.count("Open in Colab") == len(STEMS)
    assert 0 < badged.index(f"({site})") < badged.index("![Five rows")  # on the first screen
    for stem in STEMS:
        link = f"https://colab.research.google.com/github/someone/mean-flows/blob/v1.2/notebooks/{stem}.ipynb"
        assert f"({link}) |" in badged
        badge, bootstrap = opening(stem, repository, tag)
        assert link in badge.source
        assert "git+https://github.com/someone/mean-flows@v1.2" in bootstrap.source
    assert with_badges(badged, *HERE) == badged
    assert with_badges(badged, "", "") == bare


def test_no_cell_meant_for_colab_pins_what_colab_has():
    for cell in opening(STEMS[0], HERE[0], HERE[2]):
        assert "--no-deps" in cell.source or "pip" not in cell.source
