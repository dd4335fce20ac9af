"""Bad input is refused here, once, with what was given, what is allowed and how to mend it."""

from numbers import Integral, Real

import numpy as np
import torch


class Choices(dict):
    """A dict whose unknown keys raise a ValueError that lists the known ones."""

    def __missing__(self, name):
        raise ValueError(f"unknown name {name!r}; choose one of {', '.join(map(repr, self))}.")


def numbers(values):
    """A copy of `values` as a float64 tensor on the CPU: a number, a list (of tensors, too), a tensor, or whatever
    NumPy holds, strided or in another byte order. What is masked is NaN. Raises TypeError or ValueError for what is
    no numbers."""
    if isinstance(values, (list, tuple)):
        values = [numbers(part) for part in values] if any(map(torch.is_tensor, values)) else values
        values = torch.stack(values) if values and torch.is_tensor(values[0]) else values
    if torch.is_tensor(values):
        values = values.detach().cpu().to_dense()
        if values.is_complex():
            raise TypeError("complex numbers")
        return values.to(torch.float64, copy=True)
    array = np.ma.asarray(values) if np.ma.isMaskedArray(values) else np.asarray(values)
    words = array.dtype.kind == "O" and any(isinstance(part, (str, bytes)) for part in array.flat)
    if array.dtype.kind not in "biufO" or words or values is None:  # a None within is NaN
        raise TypeError(f"values of NumPy's type {array.dtype}")
    return torch.from_numpy(np.array(np.ma.filled(array.astype(np.float64), np.nan)))


def check_points(name, z, n=None, d=None):
    """`z` must be a floating (n, d) tensor of finite numbers, else ValueError. Without n or d, any will do."""
    width = "d" if d is None else d
    if not torch.is_tensor(z) or not z.is_floating_point():
        raise ValueError(f"{name} must be a float tensor of shape (n, {width}); got {describe(z)}. "
                         "Try torch.as_tensor(..., dtype=torch.float32).")
    if z.ndim != 2 or 0 in z.shape or d not in (None, z.shape[1]):
        raise ValueError(f"{name} must have shape (n, {width}) with n ≥ 1, one point per row; got {tuple(z.shape)}.")
    if n not in (None, len(z)):
        raise ValueError(f"{name} must have as many rows as the points it goes with, {n}; got {len(z)}.")
    if not torch.isfinite(z).all():
        bad = int((~torch.isfinite(z)).any(dim=1).sum())
        raise ValueError(f"{name} must be finite; {bad} of its {len(z)} rows hold NaN or infinity. "
                         "Look for a diverged network, a learning rate too high, or a division by t = 0.")


def columns(z, after_zero=False, **times):
    """Each time, a number or a float (n, 1) tensor, as a column (n, 1) beside the points z (n, d).

    Raises ValueError for another shape, for a time outside [0, 1] (or (0, 1]), and for r > t.
    """
    for name, s in times.items():
        if isinstance(s, Real):
            s = times[name] = torch.full_like(z[:, :1], s)
        if not torch.is_tensor(s) or not s.is_floating_point() or s.shape != (len(z), 1):
            raise ValueError(f"{name} must be a number, or a float tensor of shape (n, 1) = ({len(z)}, 1), one time "
                             f"per point; got {describe(s)}.")
        if not (((s > 0) if after_zero else (s >= 0)) & (s <= 1)).all():
            raise ValueError(f"{name} must lie in {'(0' if after_zero else '[0'}, 1], where 0 is data and 1 is noise; "
                             f"got values from {s.min().item():g} to {s.max().item():g}.")
    if {"r", "t"} <= times.keys() and (times["r"] > times["t"]).any():
        r, t = times["r"], times["t"]
        row = int((r > t).flatten().nonzero()[0])
        raise ValueError(f"r must not exceed t; row {row} has r = {r[row].item():g} > t = {t[row].item():g}. "
                         "The order of arguments is (z, r, t): r is the end nearer to data.")
    return tuple(times.values())


def check_like(name, value, z):
    """What a network returns must have the shape of the points z, else ValueError: a column would be broadcast."""
    if not torch.is_tensor(value) or value.shape != z.shape:
        raise ValueError(f"{name} must return a tensor of the shape of z, {tuple(z.shape)}; got {describe(value)}.")


def check_count(name, n):
    """`n` must be a whole number ≥ 1, else ValueError."""
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"{name} must be a whole number ≥ 1; got {n!r}.")


def called_as_written(module, forward) -> bool:
    """Whether calling `module` runs the function `forward` and nothing else: no other class's, none put on the object,
    and no hook."""
    hooked = (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
              or torch.nn.modules.module._has_any_global_hook())
    return (type(module).forward is forward and "forward" not in vars(module)
            and type(module).__call__ is torch.nn.Module.__call__ and not hooked)


def describe(value) -> str:
    """What was given, in a few words."""
    if torch.is_tensor(value):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:60] + ' …'}"
