"""Write what the record says: tables in docs/results.md, and the README's numbers. `make results`."""

import re
import statistics

import torch

from mfutils import DISTRIBUTIONS, METHODS, load_record, recorded
from mfutils.lab import digits, maps
from mfutils.show.plots import in_words
from tools.course import ROOT

RECORD, DIGITS, MAPS = load_record(), digits.load_record(), maps.load_maps()
NAMES = {name: in_words(name) for name in DISTRIBUTIONS}
DIGIT_METRICS = {"accuracy": "Accuracy", "frechet": "Fréchet distance", "sliced_w2": "Sliced W2",
                 "precision": "Precision", "recall": "Recall", "nearest": "Distance to the nearest training digit",
                 "copying": "Share whose nearest digit of all is a training digit"}
STEPS = {  # the table of one factor: each line changes one thing more
    "mean_flow": "(a) conditional tangent: mean flow",
    "improved_mean_flow": "(b) own tangent: improved mean flow",
    "own_target": "(c) own tangent and, where r < t, own target",
    "averaged_target": "(d) the same from the moving average",
    "self_distilled_mean_flow": "(e) the same with the robust weight: self-distilled mean flow",
}


def scores(distribution, method, metric, nfe, solver=None):
    return recorded(distribution, method, metric, nfe, solver or "euler")


def mean(*which):
    return statistics.mean(scores(*which))


def number(value, digits=3):
    return f"{value:#.{digits}g}"


def spread(values):
    return f"{number(statistics.mean(values))} ± {number(statistics.stdev(values), 2)}"


def table(rows, corner=""):
    """Markdown from a dict from row label to (dict from column to text)."""
    columns = list(next(iter(rows.values())))
    lines = [[corner, *columns], ["---"] + ["--:"] * len(columns)]
    lines += [[label, *(cells[column] for column in columns)] for label, cells in rows.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def both(distribution, method, nfe, solver=None):
    return " / ".join(number(mean(distribution, method, metric, nfe, solver))
                      for metric in ("sliced_w2", "total_variation"))


SOLVERS = {"adams_bashforth": "Adams–Bashforth, short steps near data",
           "late_midpoint": "midpoint, short steps near data", "midpoint": "midpoint, even steps", "euler": "Euler"}


def worth(distribution, method, metric, solver):
    """The fewest recorded evaluations of flow matching that are as good as one of the method, by the means; or None."""
    goal = mean(distribution, method, metric, 1)
    every = [int(nfe) for nfe in next(run for run in RECORD["runs"] if solver in run)[solver][metric]]
    return min((nfe for nfe in every if mean(distribution, "flow_matching", metric, nfe, solver) <= goal), default=None)


def best(distribution, method, metric):
    """The same by the best of the solvers, or None."""
    return min((found for solver in SOLVERS if (found := worth(distribution, method, metric, solver))), default=None)


def span(values):
    return f"{min(values)} to {max(values)}"


def readme_block():
    rows = {in_words(method): {label: both(name, method, 1) for name, label in NAMES.items()} for method in METHODS}
    for nfe in (5, 8):
        rows[f"flow matching by Adams–Bashforth, {nfe} NFE"] = {
            label: both(name, "flow_matching", nfe, "adams_bashforth") for name, label in NAMES.items()}
    rows["flow matching by midpoint, 12 NFE"] = {label: both(name, "flow_matching", 12, "midpoint")
                                                 for name, label in NAMES.items()}
    floor = RECORD["floor"]
    rows["noise floor"] = {label: " / ".join(number(floor[metric][name][0]) for metric in
                                             ("sliced_w2", "total_variation")) for name, label in NAMES.items()}
    one = "self_distilled_mean_flow", "total_variation"
    by_best = span([best(name, *one) for name in DISTRIBUTIONS])
    by_midpoint = span([worth(name, *one, "midpoint") for name in DISTRIBUTIONS])
    by_euler = span([worth(name, *one, "euler") for name in DISTRIBUTIONS])
    of_paths = span([best(name, "distilled_mean_flow", "total_variation") for name in DISTRIBUTIONS])
    return f"""One evaluation (NFE) a sample: distance to the target by sliced W2 / total variation, mean of five seeds,
{RECORD['n']:,} points. The noise floor is the distance of two fresh target sets.

{table(rows)}

Every network was trained for {RECORD['recipe']['n_steps']:,} steps, the distilled one after as many of its teacher's.
**By total variation, one evaluation of the self-distilled mean flow does the work of {by_best} evaluations of flow
matching by the best solver we tried**, of {by_midpoint} by the midpoint rule with even steps, and of {by_euler} by
Euler's, depending on the distribution; one of the distilled mean flow, of {of_paths} by the best solver.
By sliced W2 both are within the noise floor's 95 % quantile on all four.
Spreads, paired differences, and more steps: [docs/results.md](docs/results.md)."""


def by_steps(metric):
    text = ""
    for name, label in NAMES.items():
        mean_floor, high = RECORD["floor"][metric][name] if metric != "map_error" else (None, None)
        text += f"\n**{label}**" + (f", noise floor {number(mean_floor)}, 95 % quantile {number(high)}" if high else "")
        rows = {}
        columns = (1, 2, 4, 6, 8, 10, 12, 16, 24, 32, 64, 128)
        for method, solver in [*(("flow_matching", solver) for solver in reversed(SOLVERS)),
                               *((method, None) for method in METHODS if method != "flow_matching")]:
            values = {nfe: scores(name, method, metric, nfe, solver) for nfe in columns}
            rows[in_words(method) + (f", {SOLVERS[solver]}" if solver else "")] = {
                f"{nfe} NFE": spread(five) if five else "–" for nfe, five in values.items()}
        text += f"\n\n{table(rows)}\n"
    return text


def worths():
    """What one evaluation is worth, by every solver and the best of them."""
    methods = [method for method in METHODS if method != "flow_matching"]
    text = ""
    for metric in ("total_variation", "map_error", "sliced_w2"):
        rows = {label: {name: ", ".join(str(worth(key, method, metric, solver) or "more") for method in methods)
                        for key, name in NAMES.items()} for solver, label in SOLVERS.items()}
        rows["the best of these"] = {name: ", ".join(str(best(key, method, metric) or "more") for method in methods)
                                     for key, name in NAMES.items()}
        text += f"\n**{in_words(metric)}**\n\n{table(rows)}\n"
    return text.strip("\n")


def at_equal_cpu():
    rows = {}
    for method, n_steps in RECORD["at_equal_cpu"].items():
        for metric in ("total_variation", "sliced_w2", "map_error"):
            rows[f"{in_words(method)}, {n_steps:,} steps: {in_words(metric)}"] = {
                name: spread(recorded(key, method, metric, 1, n_steps=n_steps)) for key, name in NAMES.items()}
    return table(rows)


def by_seconds():
    """One evaluation after trainings of other lengths, on two distributions."""
    rows = {}
    for method in METHODS:
        runs = [run for run in RECORD["runs"] if run["method"] == method and run["distribution"] == "spiral"]
        for n_steps in sorted({run.get("n_steps", RECORD["recipe"]["n_steps"]) for run in runs}):
            seconds = [run["seconds"] for run in runs if run.get("n_steps", RECORD["recipe"]["n_steps"]) == n_steps]
            if method != "flow_matching":
                label, median = f"{in_words(method)}, {n_steps:,} steps", statistics.median(seconds)
                rows[label] = {"CPU seconds": f"{median:.0f}"} | {
                    f"{NAMES[name]}, {in_words(metric)}": spread(recorded(name, method, metric, 1, n_steps=n_steps))
                    for name in ("checkerboard", "spiral") for metric in ("total_variation", "sliced_w2")}
    return table(rows)


def paired(metric):
    """Differences between methods in one step, seed by seed: mean ± standard error, and how many have the sign."""
    rows = {}
    for better, worse in (("improved_mean_flow", "mean_flow"), ("self_distilled_mean_flow", "improved_mean_flow"),
                          ("self_distilled_mean_flow", "mean_flow"),
                          ("distilled_mean_flow", "self_distilled_mean_flow")):
        cells = {}
        for name, label in NAMES.items():
            gaps = [a - b for a, b in zip(scores(name, worse, metric, 1), scores(name, better, metric, 1))]
            error = statistics.stdev(gaps) / len(gaps) ** 0.5
            cells[label] = f"{statistics.mean(gaps):+.4f} ± {error:.4f} ({sum(gap > 0 for gap in gaps)} of {len(gaps)})"
        rows[f"{in_words(worse)} − {in_words(better)}"] = cells
    return table(rows)


def one_factor():
    columns = {"1 NFE, sliced W2": ("sliced_w2", 1), "1 NFE, total variation": ("total_variation", 1),
               "8 NFE, total variation": ("total_variation", 8), "1 NFE, map error": ("map_error", 1)}
    return "\n".join(f"\n**{NAMES[name]}**\n\n" + table(
        {label: {column: spread(scores(name, method, *which)) for column, which in columns.items()}
         for method, label in STEPS.items()}) for name in ("checkerboard", "spiral"))


def of_digits(metric):
    """The scores of the digits by method and evaluations, then of real digits."""
    rows, usual = {}, digits.RECIPE["n_steps"]
    longer = max(run["n_steps"] for run in DIGITS["runs"])
    own = [method for method in digits.METHODS if method not in {"flow_matching", "guided_mean_flow"}]
    for method, solver, steps in (("flow_matching", "euler", usual), ("flow_matching", "midpoint", usual),
                                  *((method, "own", usual) for method in (*own, "own_target", "averaged_target")),
                                  *((method, "own", steps) for method, steps in DIGITS["at_equal_cpu"].items()),
                                  ("flow_matching", "midpoint", longer), ("mean_flow", "own", longer)):
        label = in_words(method) + {"euler": ", Euler", "midpoint": ", midpoint", "own": ""}[solver]
        label += f", {steps:,} steps" if steps != usual else ""
        every = {nfe: digits.recorded(method, metric, nfe, solver, steps) for nfe in (1, 2, 4, 8, 32)}
        rows[label] = {f"{nfe} NFE": of_seeds(torch.tensor(values)) if values else "–" for nfe, values in every.items()}
    return table(rows)


def ingredients():
    """The mean flow on digits with one ingredient changed, in one step and in eight."""
    short = DIGITS["short"]
    cases = dict.fromkeys(run["method"] for run in DIGITS["runs"] if run["n_steps"] == short)
    columns = {f"{name}, {nfe} NFE": (metric, nfe) for metric, name in DIGIT_METRICS.items() if metric != "nearest"
               for nfe in ((1, 8) if metric == "frechet" else (1,))}
    return table({case: {column: of_seeds(torch.tensor(digits.recorded(case, *which, n_steps=short)))
                         for column, which in columns.items()} for case in cases})


def guided():
    """The guided network in one step, by its scale."""
    runs = [run["scale"] for run in DIGITS["runs"] if "scale" in run]
    return table({f"ω = {scale}": {name: spread([run[scale][metric]["1"] for run in runs])
                                   for metric, name in DIGIT_METRICS.items()} for scale in runs[0]})


def digits_part():
    record = DIGITS
    real = {metric: value if isinstance(value, tuple) else [value] for metric, value in record["floor"].items()}
    return "\n".join(f"\n**{name}**, of real digits {number(real[metric][0])}"
                     + (f", 95 % quantile {number(real[metric][1], 4)}" if metric in ("frechet", "sliced_w2") else "")
                     + f"\n\n{of_digits(metric)}" for metric, name in DIGIT_METRICS.items())


def of_seeds(values):
    """Mean and spread of a record's tensor, or in how many runs it diverged."""
    lost = int(values.isnan().sum())
    return f"{lost} of {len(values)} diverged" if lost else spread(values.tolist())


def flow_maps():
    """Every loss: in the plane by metric and evaluations; on the digits by Fréchet distance, one step by all judges."""
    text = ""
    for data, metrics in {**dict.fromkeys(("checkerboard", "spiral"), ("map_error", "total_variation", "sliced_w2")),
                          "digits": ("frechet",)}.items():
        for metric in metrics:
            rows = {loss: {f"{nfe} NFE": of_seeds(maps.taught(data, loss, metric, nfe)) for nfe in (1, 2, 4, 8)}
                    for loss in maps.LOSSES}
            if metric == "map_error":
                for loss, row in rows.items():
                    row["error of u"] = of_seeds(maps.taught(data, loss, "field_error"))
            text += f"\n**{in_words(data)}, {DIGIT_METRICS.get(metric, in_words(metric))}**\n\n{table(rows)}\n"
    rows = {loss: {name: of_seeds(maps.taught("digits", loss, metric)) for metric, name in DIGIT_METRICS.items()
                   if metric != "frechet"} for loss in maps.LOSSES}
    return f"{text}\n**digits, one evaluation**\n\n{table(rows)}\n"


def flow_maps_at_equal_cpu():
    """One and two evaluations after fewer steps, which take the CPU seconds of "Eulerian, pair"."""
    usual = MAPS["recipe"]["checkerboard"]["n_steps"]
    shorter = {run["loss"]: run["n_steps"] for run in MAPS["runs"]
               if "loss" in run and run["data"] == "spiral" and run["n_steps"] != usual}
    return table({f"{loss}, {n_steps:,} steps": {
        f"{data}, {in_words(metric)}, {nfe} NFE": of_seeds(maps.taught(data, loss, metric, nfe, n_steps))
        for data in ("checkerboard", "spiral") for metric, nfe in (("map_error", 1), ("total_variation", 1),
                                                                   ("total_variation", 2))}
        for loss, n_steps in {"Eulerian, pair": usual, **shorter}.items()})


def rivals():
    return table({name: {f"{in_words(data)}, {in_words(metric)}, {nfe} NFE":
                         of_seeds(maps.rival(data, name, metric, nfe)) for data in ("checkerboard", "spiral")
                         for metric in ("total_variation", "sliced_w2") for nfe in (1, 4)} for name in maps.rivals()})


def results_page():
    seconds = {in_words(method): {"CPU seconds": f"{statistics.median(values):.0f}"} for method in METHODS
               if (values := [run["seconds"] for run in RECORD["runs"]
                              if run["method"] == method and "n_steps" not in run])}
    shorter = sum("n_steps" in run for run in RECORD["runs"])
    compared = sum(run["method"] in METHODS for run in RECORD["runs"]) - shorter
    steps, batch = RECORD["recipe"]["n_steps"], RECORD["recipe"]["batch_size"]
    return f"""# Results, and how they were measured

How good the samples of every method are, by the number of evaluations a sample costs (NFE). On the website, press the
head of a column to sort by it.

There are {len(RECORD['runs']) - shorter} runs of {steps:,} steps of {batch:,} points: {compared} of the five methods
that notebook 5 compares, {len(RECORD['runs']) - compared - shorter} of the steps between them, and {shorter} of other
lengths. Each of the distilled mean flow is two trainings, its teacher's first.
Five seeds, {RECORD['cpu_hours']} CPU hours of training, PyTorch {RECORD['torch']}, Python {RECORD['python']}.
Distances are from {RECORD['n']:,} points, mean ± standard deviation over seeds; map errors (rms) from
{RECORD['n_of_map_error']:,}. Noise floors are from {RECORD['pairs_of_floor']} pairs of fresh target sets. Within a seed
all methods share noise and target, so that differences can be paired. `make weights` makes the runs and writes
mfutils/weights/record.json; `make results` writes this page. "Short steps near data" are at the times (i / k)^1.5; for
Adams–Bashforth the record has the odd budgets from 3 to 11, too.
{RECORD.get("trained_again", "")}Training, one run, one thread:

{table(seconds, "median over runs")}

## Sliced W2
{by_steps("sliced_w2")}
## Total variation
{by_steps("total_variation")}
## Map error
{by_steps("map_error")}
## What one evaluation is worth

The fewest recorded evaluations of flow matching whose mean over five seeds is as good as that of *one* evaluation of
the mean flow, the improved one, the self-distilled one, the distilled one. By sliced W2 the goals of the last two lie
within the noise floor, where this means little.

{worths()}

## At equal CPU

One evaluation. Each mean flow was trained again for as many steps as take the CPU seconds of flow matching's
{steps:,}, by the medians above (on another processor than the first training).

{at_equal_cpu()}

## Quality and seconds

One evaluation after trainings of other lengths, three seeds or five. The seconds of the distilled mean flow are those
of both trainings, and of the walks between; those of trainings on other days are from another processor.

{by_seconds()}

## Paired differences in one step

Mean ± standard error over seeds, and in how many of them the second method is the better one.

Sliced W2:

{paired("sliced_w2")}

Total variation:

{paired("total_variation")}

## From mean flow to self-distillation, one factor at a time
{one_factor()}

## One map, many losses

Notebook 9. From mfutils/weights/maps.json, which `make maps` makes, {MAPS["cpu_hours"]} CPU hours of training: every
loss of `mfutils.lab.maps`, five seeds, a short recipe of {MAPS["recipe"]["checkerboard"]["n_steps"]:,} steps of 1,024
points in the plane and {MAPS["recipe"]["digits"]["n_steps"]:,} of 512 images. Consistency losses sample with fresh
noise between their steps. A run has diverged where a loss or the samples are not finite or far away.
{flow_maps()}
**At equal CPU.** As many steps as take the CPU seconds of "Eulerian, pair", for losses that cost a tenth more.

{flow_maps_at_equal_cpu()}

**Rivals.** All in the CPU seconds of 6,000 steps of flow matching, those of a teacher included; three seeds. But the
last two have the exact velocity as a teacher, the 2,500 steps of the losses above, and five seeds.

{rivals()}

## Digits

From mfutils/weights/digits.json, which `make digits` makes: {len(DIGITS['runs'])} runs, five seeds (three of guidance
and of the longest trainings), of {digits.RECIPE['n_steps']:,} steps where no other number stands,
{DIGITS['cpu_hours']} CPU hours of training.
Scores are means over {DIGITS['sets']} sets of {DIGITS['n']} images, ± standard deviation over seeds;
those of real digits are from {DIGITS['pairs_of_floor']} drawings of training digits, against those held out.
{digits_part()}

**The guided mean flow in one step, by its scale**

{guided()}

**The mean flow with one ingredient changed**, as in notebook 8; {DIGITS["short"]:,} steps

{ingredients()}
"""


def with_results(readme):
    """The README with its block of results as the record has them."""
    return re.sub(r"(?s)(<!-- make results -->\n).*?(\n<!-- end -->)",
                  lambda found: found[1] + readme_block() + found[2], readme)


if __name__ == "__main__":
    (ROOT / "docs" / "results.md").write_text(results_page(), "utf-8")
    path = ROOT / "README.md"
    path.write_text(with_results(path.read_text("utf-8")), "utf-8")
