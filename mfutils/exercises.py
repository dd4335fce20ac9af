"""Checks an exercise's answer and says what is wrong with it, without ever raising."""

import torch


def check(answer, expected, hint, tolerance=1e-4):
    """Print whether `answer` equals `expected` within `tolerance`, and otherwise how it differs, with a hint."""
    if answer is ...:
        print("Not answered yet: replace the three dots in the cell above, run it, then run this one.")
        return
    try:
        answer = torch.as_tensor(answer).detach().double()
    except (TypeError, ValueError, RuntimeError):  # None, a function, a list of three dots
        print(f"Not yet. Expected numbers, got {type(answer).__name__}. {hint}")
        return
    expected = torch.as_tensor(expected).detach().double()
    if answer.shape != expected.shape:
        print(f"Not yet. Expected shape {tuple(expected.shape)}, got {tuple(answer.shape)}. {hint}")
    elif not torch.allclose(answer, expected, atol=tolerance, rtol=0):
        print(f"Not yet. Largest difference {(answer - expected).abs().max().item():.3g}. {hint}")
    else:
        print("Right.")
