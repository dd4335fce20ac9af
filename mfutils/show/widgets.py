"""Panels to hold, and a place to bring data of one's own."""

from .own_data import OwnData
from .panels import (
    between,
    cases,
    chord,
    comparison,
    draw,
    error,
    explore,
    field,
    noise,
    race,
    roads,
    sheets,
    solvers,
    stages,
    swing,
)

__all__ = ["OwnData", "between", "cases", "chord", "comparison", "draw", "error", "explore", "field", "noise", "race",
           "roads", "sheets", "solvers", "stages", "swing"]
