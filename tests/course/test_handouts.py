"""The learners' copies have no solutions and miss nothing without them; the instructors' are the notebooks."""

import ast
import builtins
import symtable

import jupytext
import nbformat
import pytest

from tools import make_handouts
from tools.course import sources

SOURCES = sources()


@pytest.fixture(scope="module")
def handouts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handouts")
    make_handouts.main(folder)
    return folder


def solutions(notebook):
    return [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])]


def names(source):
    """The global names that some code uses, in its functions and comprehensions too, and those that it binds."""
    used, bound, tables = set(), set(), [symtable.symtable(source, "cell", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            top = table.get_type() == "module"
            if top and (symbol.is_assigned() or symbol.is_imported()):
                bound.add(symbol.get_name())
            if symbol.is_referenced() and (top or symbol.is_global()):
                used.add(symbol.get_name())
    return used, bound


def missing(notebook):
    """What a notebook, run from top to bottom, uses and has not bound, statement by statement. What a function uses
    must be there when the function is defined: a little strict, and a good habit."""
    known, without = set(dir(builtins)), set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for statement in ast.parse(cell.source).body:
                used, bound = names(ast.unparse(statement))
                loop = isinstance(statement, ast.For | ast.With | ast.FunctionDef | ast.If)
                without |= used - known - (bound if loop else set())
                known |= bound
    return without


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_instructors_copy_is_the_notebook(source, handouts):
    copy = nbformat.read(handouts / "instructors" / f"{source.stem}.ipynb", as_version=4)
    assert [cell.source for cell in copy.cells] == [cell.source for cell in jupytext.read(source).cells]
    assert solutions(copy)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_learners_copy_lacks_the_solutions_and_nothing_that_it_uses(source, handouts):
    copy, page = nbformat.read(handouts / "learners" / f"{source.stem}.ipynb", as_version=4), jupytext.read(source)
    assert not solutions(copy)
    assert "jupytext" not in copy.metadata  # a pair would bring the solutions back
    assert len(copy.cells) == len(page.cells) - len(solutions(page))
    assert missing(copy) == set()


def test_a_name_that_only_a_solution_binds_would_be_missed():
    cells = [nbformat.v4.new_code_cell(source) for source in
             ("import torch", "def f(x):\n    return [helper(y) for y in x]", "print(f(torch.ones(3)), len('a'))",
              "total = total + 1", "for k in range(3):\n    last = k", "print(last, [k for k in range(last)])")]
    assert missing(nbformat.v4.new_notebook(cells=cells)) == {"helper", "total"}
