"""Checks an exercise's answer and says what is wrong with it, without ever raising, whatever the answer is."""

from collections import Counter

import torch

from .checks import numbers

misses = Counter()  # of the exercises with several hints


def check(answer, expected, hint="", tolerance=1e-4, mistakes=None):
    """Print whether `answer` equals `expected` within `tolerance`; otherwise what is wrong with it, or a hint.

    answer: anything.  expected: numbers, in a list, a tensor or whatever NumPy holds.
    hint: one text, or several from a nudge to the formula: every miss that is not a known one shows the next.
    mistakes: a dict from what may have gone wrong, in words, to the answer it leads to.
    """
    if answer is ...:
        print("Not answered yet: replace the three dots in the cell above, run it, then run this one.")
        return
    expected, given = as_numbers(expected), as_numbers(answer)
    if given is None or expected is None:
        print(f"Not yet. Expected numbers, got {type(answer).__name__}. {following(hint)}")
    elif given.shape != expected.shape:
        print(f"Not yet. Expected shape {tuple(expected.shape)}, got {tuple(given.shape)}. {following(hint)}")
    elif close(given, expected, tolerance):
        print("Right.")
    else:
        known = mistakes if isinstance(mistakes, dict) else {}
        made = (what for what, value in known.items() if close(given, as_numbers(value), tolerance))
        bad = int((~given.isfinite()).sum())
        off = (f"The answer is not finite: NaN or infinite in {bad} of {given.numel()} places." if bad else
               f"Largest difference {(given - expected).abs().max().item():.3g}.")
        print("Not yet.", next(made, None) or f"{off} {following(hint)}")


def following(hint):
    """The hint that is due: of several, the next one at every miss, then the last one again."""
    if isinstance(hint, str):
        return hint
    misses[tuple(hint)] += 1
    number = min(misses[tuple(hint)], len(hint))
    return f"Hint {number} of {len(hint)}: {hint[number - 1]}" if hint else ""


def as_numbers(values):
    """`values` as a float64 tensor, or None where they are no numbers, or raise whatever they like."""
    try:
        return numbers(values)
    except Exception:  # a function, a text, a list of three dots, an object with a broken __array__
        return None


def close(a, b, tolerance):
    return b is not None and a.shape == b.shape and torch.allclose(a, b, atol=tolerance, rtol=0, equal_nan=True)
