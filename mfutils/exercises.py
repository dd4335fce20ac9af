"""Checks an exercise's answer and says what is wrong with it, without ever raising, whatever the answer is."""

import numpy as np
import torch

from .checks import numbers


def check(answer, expected, hint="", tolerance=1e-4, mistakes=None):
    """Print whether `answer` equals `expected` within `tolerance`; otherwise what is wrong with it, or a hint.

    answer: anything.  expected: numbers, in a list, a tensor or whatever NumPy holds; else TypeError or ValueError.
    mistakes: a dict from what may have gone wrong, in words, to the answer it leads to. What is no numbers there is
    passed over.
    """
    if answer is ...:
        print("Not answered yet: replace the three dots in the cell above, run it, then run this one.")
        return
    try:
        answer = real_numbers(answer)
    except Exception:  # None, a function, a list of three dots, or an object that raises whatever it likes
        print(f"Not yet. Expected numbers, got {type(answer).__name__}. {hint}")
        return
    expected = real_numbers(expected)
    if answer.shape != expected.shape:
        print(f"Not yet. Expected shape {tuple(expected.shape)}, got {tuple(answer.shape)}. {hint}")
    elif close(answer, expected, tolerance):
        print("Right.")
    else:
        print("Not yet.", mistake(answer, mistakes, tolerance) or f"{difference(answer, expected)} {hint}")


def mistake(answer, mistakes, tolerance):
    """Which mistake leads to the answer, in words, or None."""
    for what, value in mistakes.items() if isinstance(mistakes, dict) else ():
        try:
            if close(answer, real_numbers(value), tolerance, equal_nan=True):
                return str(what)
        except Exception:  # this one helps nobody, but a later one may
            continue


def close(a, b, tolerance, equal_nan=False):
    return a.shape == b.shape and torch.allclose(a, b, atol=tolerance, rtol=0, equal_nan=equal_nan)


def difference(answer, expected):
    """How far the answer is off, in words."""
    off = answer != expected  # where it should be infinite, and is, it is not
    bad = int((~torch.isfinite(answer) & off).sum())
    if bad:
        return f"The answer is not finite: NaN or infinite in {bad} of {answer.numel()} places."
    return f"Largest difference {(answer - expected)[off].abs().max().item():.3g}."


def real_numbers(values):
    """`values` as a plain float64 tensor: what `numbers` takes, tensors in lists too. What is masked counts as NaN; a
    None, which NumPy makes a NaN of, and a text are no numbers. Raises whatever the values raise."""
    values = without_tensors(values)
    if isinstance(values, np.ma.MaskedArray):
        values = values.astype(np.float64).filled(np.nan)
    array = np.asarray(values)
    if array.dtype == object and any(value is None or isinstance(value, (str, bytes)) for value in array.flat):
        raise TypeError("no numbers")
    return numbers(array)


def without_tensors(values):
    """The values with arrays for tensors, of any device or dtype, with a gradient or without."""
    if torch.is_tensor(values):
        return numbers(values).numpy()
    if isinstance(values, (list, tuple)):
        return [without_tensors(value) for value in values]
    return values
