"""A learner's answer is judged right, or told what is wrong with it; whatever it is, nothing is raised."""

from decimal import Decimal

import numpy as np
import pytest
import torch

from mfutils import check

TRUTH = torch.tensor([1.0, 2.0])
MISTAKES = {"The sign is turned round.": -TRUTH, "Divide by two.": 2 * TRUTH}


class Broken:
    """Raises whatever is done with it."""

    def __array__(self, *_, **__):
        raise KeyError("array")

    def __eq__(self, _):
        raise ZeroDivisionError

    def __str__(self):
        raise ZeroDivisionError

    __bool__ = __len__ = __float__ = __repr__ = __str__
    __hash__ = object.__hash__


class BrokenTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, *_, **__):
        raise ZeroDivisionError


endless = []
endless.append(endless)


@pytest.mark.parametrize(("answer", "says"), [
    (..., "Not answered yet"),
    (TRUTH, "Right."),
    ([1.0, 2.00001], "Right."),
    (-TRUTH, "Not yet. The sign is turned round.\n"),
    (2 * TRUTH, "Not yet. Divide by two.\n"),
    ([1.0, 2.5], "Not yet. Largest difference 0.5. Think."),
    (1.0, "Not yet. Expected shape (2,), got (). Think."),
    ([float("nan")] * 2, "Not yet. The answer is not finite: NaN or infinite in 2 of 2 places. Think."),
    ([1.0, float("inf")], "Not yet. The answer is not finite: NaN or infinite in 1 of 2 places. Think."),
    (np.ma.array([1.0, 2.0], mask=[0, 1]), "Not yet. The answer is not finite: NaN or infinite in 1 of 2 places."),
    (None, "Not yet. Expected numbers, got NoneType. Think."),
    (check, "Not yet. Expected numbers, got function. Think."),
    ([..., ...], "Not yet. Expected numbers, got list. Think."),
])
def test_it_says_what_is_wrong(answer, says, capsys):
    check(answer, TRUTH, "Think.", mistakes=MISTAKES)
    assert capsys.readouterr().out.startswith(says)


def test_hints_come_one_by_one_and_a_known_mistake_takes_none(capsys):
    hints = ["Look at the sign.", "And at the factor.", "It is x / 2."]
    for answer in (7.0, None, -TRUTH, [7.0, 7.0], 7.0):
        check(answer, TRUTH, hints, mistakes=MISTAKES)
    said = [line.partition("Hint ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == [f"1 of 3: {hints[0]}", f"2 of 3: {hints[1]}", "", f"3 of 3: {hints[2]}", f"3 of 3: {hints[2]}"]


@pytest.mark.parametrize("form", [
    lambda a: a.astype(">f8"),
    lambda a: a.astype("<i2"),
    lambda a: a.astype("f2"),
    lambda a: a[::-1].copy()[::-1],
    lambda a: np.repeat(a, 3)[::3],
    lambda a: a.astype(object),
    lambda a: [np.array(x) for x in a],
    lambda a: [Decimal(x) for x in a],
    np.ma.array,
    memoryview,
    lambda a: torch.tensor(a).bfloat16(),
    lambda a: torch.tensor(a).to_sparse(),
    lambda a: torch.tensor(a, requires_grad=True),
    lambda a: list(torch.tensor(a, requires_grad=True)),
    lambda a: torch.tensor(-1j * a).conj().imag,
])
def test_numbers_come_in_many_forms(form, capsys):
    """As the answer, as what is expected, and as what a mistake leads to."""
    check(form(np.array([1.0, 2.0])), TRUTH)
    check(TRUTH, form(np.array([1.0, 2.0])))
    check(-TRUTH, TRUTH, mistakes={"The sign.": form(np.array([-1.0, -2.0]))})
    assert capsys.readouterr().out == "Right.\nRight.\nNot yet. The sign.\n"


def test_an_array_without_dimensions_is_a_number(capsys):
    check(np.array(1.0, ">f4"), 1.0)
    check(np.float16(0.5), torch.tensor(0.5))
    assert capsys.readouterr().out == "Right.\nRight.\n"


def test_the_infinite_may_be_right(capsys):
    infinite = [float("inf"), 1.0]
    check(infinite, infinite)
    check(float("nan"), float("nan"))
    check(float("nan"), 1.0, mistakes={"Divided by zero.": float("nan")})
    assert capsys.readouterr().out.splitlines() == [
        "Right.", "Right.", "Not yet. Divided by zero."]


NO_NUMBERS = ["1", b"1", ["1", "2"], np.array(["1", "2"], object), None, [[1], [1, 2]], 1j, TRUTH * 1j,
              TRUTH.to("meta"), TRUTH.as_subclass(BrokenTensor), Broken(), Broken, [Broken(), 1], {"a": 1}, {1, 2},
              endless, 10**400, iter([1, 2]), np.datetime64("2020-01-01"), np.zeros(1, [("x", int), ("y", int)])]


@pytest.mark.parametrize("answer", NO_NUMBERS, ids=range(len(NO_NUMBERS)))
def test_what_is_no_number_is_said_and_not_raised(answer, capsys):
    check(answer, TRUTH, "Think.", mistakes=MISTAKES)
    assert capsys.readouterr().out == f"Not yet. Expected numbers, got {type(answer).__name__}. Think.\n"


@pytest.mark.parametrize("mistakes", [None, [], "abc", TRUTH, [("The sign.", -TRUTH)],
                                      {"odd": None, "odder": "x", "oddest": Broken(), "shape": TRUTH[:1], "off": ...}])
def test_odd_mistakes_are_passed_over(mistakes, capsys):
    check(-TRUTH, TRUTH, "Think.", mistakes=mistakes)
    assert capsys.readouterr().out == "Not yet. Largest difference 4. Think.\n"
    if isinstance(mistakes, dict):
        check(-TRUTH, TRUTH, mistakes={**mistakes, "The sign.": -TRUTH})
        assert capsys.readouterr().out == "Not yet. The sign.\n"
