"""Checks an exercise's answer and says what is wrong with it, without ever raising."""

import torch


def check(answer, expected, hint="", tolerance=1e-4, mistakes=None):
    """Print whether `answer` equals `expected` within `tolerance`; otherwise what is wrong with it, or a hint.

    mistakes: a dict from what may have gone wrong, in words, to the answer it leads to.
    """
    if answer is ...:
        print("Not answered yet: replace the three dots in the cell above, run it, then run this one.")
        return
    try:
        answer = torch.as_tensor(answer).detach().cpu().double()
    except (TypeError, ValueError, RuntimeError):  # None, a function, a list of three dots
        print(f"Not yet. Expected numbers, got {type(answer).__name__}. {hint}")
        return
    expected = torch.as_tensor(expected).detach().double()

    def answer_is(value):
        value = torch.as_tensor(value).detach().double()
        return answer.shape == value.shape and torch.allclose(answer, value, atol=tolerance, rtol=0)

    if answer.shape != expected.shape:
        print(f"Not yet. Expected shape {tuple(expected.shape)}, got {tuple(answer.shape)}. {hint}")
    elif answer_is(expected):
        print("Right.")
    else:
        difference = f"Largest difference {(answer - expected).abs().max().item():.3g}."
        print("Not yet.", next((what for what, value in (mistakes or {}).items() if answer_is(value)),
                               f"{difference} {hint}"))
