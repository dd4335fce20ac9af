"""What was measured, and written down in mfutils/weights. Read-only, so no cell can change what a later one reads."""

import functools
import json
from types import MappingProxyType

from .checks import Choices
from .methods import FOLDER, RECIPE

SOLVERS = Choices({name: name for name in ("euler", "midpoint", "late_midpoint", "adams_bashforth")})
METRICS = Choices(dict.fromkeys(("sliced_w2", "total_variation", "map_error")))


def read_record(name: str):
    """A file of mfutils/weights, as it was written down."""
    return frozen(json.loads((FOLDER / name).read_text("utf-8")))


def frozen(value):
    """Lists as tuples and dicts as read-only views, all the way down."""
    if isinstance(value, dict):
        return MappingProxyType({key: frozen(part) for key, part in value.items()})
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def check_recorded(record, **names):
    """A name that no run of a record has raises ValueError, with those there are."""
    for key, name in names.items():
        Choices(dict.fromkeys(run[key] for run in record["runs"]))[name]


@functools.cache
def load_record():
    """What was written down when the weights were made: recipe, versions; for every run its seed, CPU seconds, and
    distances by number of function evaluations; the noise floors of the distances, as (mean, 95 % quantile)."""
    return read_record("record.json")


def recorded(distribution: str, method: str, metric: str, nfe: int, solver: str = "euler",
             n_steps: int = RECIPE["n_steps"]) -> list:
    """The recorded distances of one method at one number of evaluations, one per seed and in the order of the seeds:
    within a seed all methods share noise and target, so differences can be paired. Empty where nothing was recorded.

    metric: "sliced_w2", "total_variation" or "map_error".
    solver: of flow matching, "euler" or "midpoint"; "late_midpoint" or "adams_bashforth", with short steps near data.
    n_steps: of training. Of the mean flows there are shorter runs, too, which take the CPU seconds of flow matching.
    """
    METRICS[metric]  # an unknown name raises here
    check_recorded(load_record(), distribution=distribution, method=method)
    which = SOLVERS[solver] if method == "flow_matching" else "own"
    if which == "own" and solver != "euler":
        raise ValueError(f"{method} samples by its own u, without a solver; got {solver!r}. Leave out solver=.")
    runs = [run for run in load_record()["runs"] if (run["distribution"], run["method"]) == (distribution, method)
            and run.get("n_steps", RECIPE["n_steps"]) == n_steps]
    return [run[which][metric][str(nfe)] for run in sorted(runs, key=lambda run: run["seed"])
            if str(nfe) in run.get(which, {}).get(metric, {})]
