"""A learner's answer is judged right, or told what is wrong with it; whatever it is, nothing is raised."""

import pytest
import torch

from mfutils import check

TRUTH = torch.tensor([1.0, 2.0])
MISTAKES = {"The sign is turned round.": -TRUTH, "Divide by two.": 2 * TRUTH}


@pytest.mark.parametrize(("answer", "says"), [
    (..., "Not answered yet"),
    (TRUTH, "Right."),
    ([1.0, 2.00001], "Right."),
    (-TRUTH, "Not yet. The sign is turned round.\n"),
    (2 * TRUTH, "Not yet. Divide by two.\n"),
    ([1.0, 2.5], "Not yet. Largest difference 0.5. Think."),
    (1.0, "Not yet. Expected shape (2,), got (). Think."),
    ([float("nan")] * 2, "Not yet. Largest difference nan. Think."),
    (None, "Not yet. Expected numbers, got NoneType. Think."),
    (check, "Not yet. Expected numbers, got function. Think."),
    ([..., ...], "Not yet. Expected numbers, got list. Think."),
])
def test_it_says_what_is_wrong(answer, says, capsys):
    check(answer, TRUTH, "Think.", mistakes=MISTAKES)
    assert capsys.readouterr().out.startswith(says)
