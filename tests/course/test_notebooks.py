"""Promises about the notebooks as files: paired, executed, readable without a kernel, and short of breath."""

import ast
import html
import json
import re
import statistics

import jupytext
import nbformat
import pytest

import mfutils
from mfutils.show.panel import PANEL
from tools import make_notebooks
from tools.course import FOLDER, from_source, joined, sources

SOURCES = sources()
PICTURE = re.compile(r'<img alt="([^"]*)" width="\d+" src="data:image/png;base64,')


@pytest.fixture(params=SOURCES, ids=lambda path: path.stem)
def source(request):
    return request.param


@pytest.fixture
def notebook(source):
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def folded(cell):
    """Closed in JupyterLab and in Colab, under a title that says what is in it."""
    return (cell.metadata.get("jupyter", {}).get("source_hidden") and cell.metadata.get("cellView") == "form"
            and cell.source.startswith("# @title "))


def tagged(notebook, tag):
    return [cell for cell in code_cells(notebook) if tag in cell.metadata.get("tags", [])]


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


def test_every_page_has_its_source():
    assert [path.stem for path in sorted(FOLDER.glob("*.ipynb"))] == [path.stem for path in SOURCES]


def test_a_notebook_that_is_not_there_is_an_error():
    assert [path.stem for path in sources(["04"])] == ["04_mean_flow"]
    with pytest.raises(SystemExit, match="no notebook 99; there are 01_flow, "):
        sources(["04", "99"])


def test_source_and_notebook_agree(source, notebook):
    def content(nb):
        return [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in nb.cells]

    assert content(from_source(source)) == content(notebook)


def test_executing_an_unchanged_source_again_changes_no_byte(tmp_path):
    """The beginning of a page, as far as its first panel: pictures, tables, text, and the panel's data."""
    page = jupytext.read(FOLDER / "02_average_velocity.py")
    last = next(i for i, cell in enumerate(page.cells) if cell.source.startswith("widgets."))
    page.cells = page.cells[: last + 1]
    source = tmp_path / "02_beginning.py"
    jupytext.write(page, source, fmt="py:percent")
    made = []
    for _ in range(2):
        make_notebooks.main(source)
        made.append({path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()})
    assert b"mean-flows.panel+json" in made[0]["02_beginning.ipynb"]
    assert made[0] == made[1]


def test_what_is_printed_below_a_table_stays_below_it():
    table = nbformat.v4.new_output("display_data", {"text/html": "<table></table>"})
    texts = [nbformat.v4.new_output("stream", text=text) for text in ("a\n", "b\n", "c\n")]
    assert [output.get("text") for output in joined([table, *texts[:2], table, texts[2]])] == [
        None, "a\nb\n", None, "c\n"]


def test_jupyterlab_opens_the_pair(source, notebook):
    """Jupytext refuses a page that is newer than its source and differs from it as text, by the order of the metadata
    even; a reader who ran `make notebooks` could then open none."""
    page, lesson = jupytext.writes(notebook, "py:percent"), source.read_text("utf-8")
    assert page.endswith(lesson[lesson.index("# %% [markdown]"):])


def test_it_was_run_from_top_to_bottom_without_errors_or_warnings(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"


def test_it_holds_no_widget_no_machine_path_and_is_light(source, notebook):
    text = source.with_suffix(".ipynb").read_text("utf-8")
    assert "widgets" not in notebook.metadata
    assert "application/vnd.jupyter.widget-view+json" not in text
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
    assert len(text) < 1_500_000


def test_every_panel_is_in_the_page_as_data_and_light(notebook):
    for cell in code_cells(notebook):
        panels = [output.data[PANEL] for output in cell.outputs if PANEL in output.get("data", {})]
        assert len(panels) == bool(re.search(r"^(widgets\.|own$)", cell.source, re.MULTILINE))
        assert all(len(json.dumps(panel)) <= 150_000 for panel in panels)


def test_every_figure_is_described_in_words(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert "image/png" not in output.get("data", {})  # JupyterLab shows no text for such
            if alts := re.findall(PICTURE, output.get("data", {}).get("text/html", "")):
                assert len(alts[0]) > 20  # the first one's text is of them all
                assert output["data"]["text/plain"] == html.unescape(alts[0])
                assert all(alts)


def test_a_still_stands_above_every_slider_with_a_question_between(notebook):
    cells = notebook.cells
    sliders = [i for i, cell in enumerate(cells) if cell.cell_type == "code" and "widgets." in cell.source]
    assert sliders
    for i in sliders:
        assert cells[i - 1].cell_type == "markdown"
        assert "?" in cells[i - 1].source
        above = [output for cell in cells[max(0, i - 8):i] for output in cell.get("outputs", [])]
        assert any(PICTURE.search(output.get("data", {}).get("text/html", "")) for output in above)


def test_it_is_short_and_so_are_its_cells(source, notebook):
    cells = jupytext.read(source).cells
    assert 25 <= len(cells) <= 65
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    assert words <= 2000 or source.stem in {"07_inside_the_loss", "08_break_it", "10_pixels"}  # the laboratory, still
    visible = [lines(cell) for cell in code_cells(notebook) if not folded(cell)]
    to_take_home = [cell for cell in visible if "from torch import nn" in cell]
    assert len(to_take_home) == (source.stem == "04_mean_flow")
    assert all(len(cell) <= 40 and not any("mfutils" in line for line in cell) for cell in to_take_home)
    assert all(len(cell) <= 20 for cell in visible if cell not in to_take_home)
    assert statistics.median(len(lines(cell)) for cell in code_cells(notebook)) <= 8
    assert max(len(line) for cell in visible for line in cell) <= 100


def test_what_only_draws_or_checks_is_folded(notebook):
    for cell in code_cells(notebook):
        titled = cell.source.startswith("# @title ")
        if titled or "plots.show(" in cell.source or re.search(r"\bcheck\(\w", cell.source):
            assert folded(cell), cell.source


def test_it_opens_with_what_the_reader_will_do_learn_need_and_how_long(notebook):
    opening = "".join(cell.source for cell in notebook.cells[:8])
    for word in ("# ", "The question", "You will do", "You will learn", "You need", "to run"):
        assert word in opening


def test_every_prediction_is_followed_by_what_happened(notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    lesson = re.findall(r"(?:\*\*|<summary>)(Predict|What happened)", prose.split("## Exercises")[0])
    assert "Predict" in lesson
    for this, following in zip(lesson, [*lesson[1:], "end"]):
        assert (this, following) not in {("Predict", "Predict"), ("Predict", "end")}
    for cell in notebook.cells:  # folds open and close in one cell, with the blank lines that Markdown wants
        folds = re.findall(r"<details><summary>[^<]+</summary>\n\n(?:(?!details>).)+\n\n</details>(?=\n\n|$)",
                           cell.source, re.DOTALL)
        assert 2 * len(folds) == len(re.findall("details>", cell.source))


def test_its_first_picture_waits_for_no_training(notebook):
    first = next(i for i, cell in enumerate(code_cells(notebook)) if "plots.show(" in cell.source)
    assert first < 4
    assert not any(re.search(r"\btrain(_method)?\(", cell.source) for cell in code_cells(notebook)[: first + 1])


def test_it_credits_the_paper_and_the_tutorial(notebook):
    text = "".join(cell.source for cell in notebook.cells)
    assert "2505.13447" in text
    assert "Raymond Fan" in text
    assert "Further reading" in text


def test_it_has_exercises_with_solutions(notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^\*\*(\d)\. ", prose, re.MULTILINE)
    solutions = tagged(notebook, "solution")
    assert headings == [str(number + 1) for number in range(len(headings))]
    assert len(solutions) == len(headings) >= 3
    assert all(folded(cell) and cell.source.startswith("# @title Solution\n") for cell in solutions)
    assert all(cell.metadata["jupyter"].get("outputs_hidden") for cell in solutions)  # they give it away


def test_every_exercise_knows_the_usual_mistakes(notebook):
    checks = [cell.source for cell in code_cells(notebook) if cell.source.startswith("# @title Check your answer")]
    assert len(checks) == len(tagged(notebook, "solution"))
    assert all("mistakes=" in source for source in checks)


def names_bound(source):
    """The names that code binds at its top level."""
    functions, rest = [], []
    for statement in ast.parse(source).body:
        (functions if isinstance(statement, ast.FunctionDef) else rest).append(statement)
    return {statement.name for statement in functions} | {
        node.id for statement in rest for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def test_an_untouched_exercise_is_never_right(source, notebook):
    """Not after Run All, nor on a second run: a solution binds none of the names that stand for an answer."""
    said = [output.get("text", "") for cell in code_cells(notebook) for output in cell.outputs]
    assert not any("Right." in text for text in said)
    statements = [ast.unparse(node) for node in ast.parse(source.read_text("utf-8")).body]
    stubs = [text for text in statements if re.search(r"(=|return) \(?\.\.\.", text)]
    answers = set().union(*map(names_bound, stubs))
    assert len(answers) >= 3
    for cell in tagged(notebook, "solution"):
        assert not names_bound(cell.source) & answers, cell.source


def bound_by(tree):
    """The names that a cell binds, functions too."""
    nodes = list(outside_functions(tree))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)} | {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def outside_functions(tree):
    """The nodes of a cell but for what is inside of functions and comprehensions, which have names of their own."""
    yield tree
    if not isinstance(tree, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp
                      | ast.GeneratorExp):
        for child in ast.iter_child_nodes(tree):
            yield from outside_functions(child)


def taken_from_before(tree):
    """The names that a cell reads before it binds them."""
    found, bound = set(), set()
    for statement in tree.body:
        nodes = list(ast.walk(statement))
        read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        own = {name.arg for node in nodes if isinstance(node, ast.arguments) for name in (*node.args, *node.kwonlyargs)}
        own |= {name.id for node in nodes if isinstance(node, ast.FunctionDef | ast.For | ast.With | ast.comprehension)
                for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
        found |= read - own - bound
        bound |= bound_by(statement)
    return found


def test_any_cell_may_be_run_again_after_all_others(notebook):
    """No cell reads a name that a later one binds anew to something else."""
    cells = [cell for cell in code_cells(notebook) if "colab" not in cell.metadata.get("tags", [])]
    trees = [ast.parse(cell.source) for cell in cells]
    bound = list(map(bound_by, trees))
    for i, tree in enumerate(trees):
        again = taken_from_before(tree) & set().union(*bound[:i]) & set().union(*bound[i + 1:])
        assert not again, cells[i].source


def test_it_defines_no_public_name_of_mfutils(source):
    defined = {node.name for node in ast.walk(ast.parse(source.read_text("utf-8")))
               if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert not defined & set(mfutils.__all__)


def test_checked_outputs_have_something_to_check():
    notebooks = [nbformat.read(path.with_suffix(".ipynb"), as_version=4) for path in SOURCES]
    checked = [cell for notebook in notebooks for cell in tagged(notebook, "nbval-check-output")]
    assert len(checked) >= 2
    assert all(cell.execution_count and cell.outputs for cell in checked)  # else nbval compares nothing
