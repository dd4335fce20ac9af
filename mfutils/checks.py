"""Bad input is refused here, once, with what was given, what is allowed and how to mend it.

Values are looked at only in eager mode: inside `torch.compile` a look at a value would break the graph,
so there only the shapes are checked.
"""

import torch


class Choices(dict):
    """A dict whose unknown keys raise a ValueError that lists the known ones."""

    def __missing__(self, name):
        raise ValueError(f"unknown name {name!r}; choose one of {', '.join(map(repr, self))}.")


def check_points(name, z, n=None):
    """`z` must be a floating (n, 2) tensor of finite numbers, else ValueError."""
    if not torch.is_tensor(z) or not z.is_floating_point():
        raise ValueError(f"{name} must be a float tensor of shape (n, 2); got {_describe(z)}. "
                         "Try torch.as_tensor(..., dtype=torch.float32).")
    if z.ndim != 2 or z.shape[1] != 2 or len(z) == 0:
        raise ValueError(f"{name} must have shape (n, 2) with n ≥ 1, one point per row; got {tuple(z.shape)}.")
    if n is not None and len(z) != n:
        raise ValueError(f"{name} must have as many rows as the points it goes with, {n}; got {len(z)}.")
    if not torch.compiler.is_compiling() and not torch.isfinite(z).all():
        bad = int((~torch.isfinite(z)).any(dim=1).sum())
        raise ValueError(f"{name} must be finite; {bad} of its {len(z)} rows hold NaN or infinity. "
                         "Look for a diverged network, a learning rate too high, or a division by t = 0.")


def check_times(n, after_zero=False, **times):
    """Every time must be a float (n, 1) tensor in [0, 1] (or (0, 1]), and r ≤ t, else ValueError."""
    for name, s in times.items():
        if not torch.is_tensor(s) or not s.is_floating_point() or s.shape != (n, 1):
            raise ValueError(f"{name} must be a float tensor of shape (n, 1) = ({n}, 1), one time per point; "
                             f"got {_describe(s)}. For one time for all, use torch.full((n, 1), 0.5).")
        if not torch.compiler.is_compiling() and not (((s > 0) if after_zero else (s >= 0)) & (s <= 1)).all():
            raise ValueError(f"{name} must lie in {'(0' if after_zero else '[0'}, 1], where 0 is data and 1 is noise; "
                             f"got values from {s.min().item():g} to {s.max().item():g}.")
    if {"r", "t"} <= times.keys() and not torch.compiler.is_compiling():
        r, t = times["r"], times["t"]
        if (r > t).any():
            row = int((r > t).flatten().nonzero()[0])
            raise ValueError(f"r must not exceed t; row {row} has r = {r[row].item():g} > t = {t[row].item():g}. "
                             "The order of arguments is (z, r, t): r is the end nearer to data.")


def check_count(name, n):
    """`n` must be a whole number ≥ 1, else ValueError."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"{name} must be a whole number ≥ 1; got {n!r}.")


def _describe(value):
    if torch.is_tensor(value):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    return f"{type(value).__name__} {value!r}"
