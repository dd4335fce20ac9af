"""Figures of single pages, drawn from what `plots` has for all."""

import itertools
import math
import textwrap

import torch
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure

from .plots import (
    DATA,
    INK,
    LIMIT,
    METHOD,
    NOISE,
    SAMPLES,
    abreast,
    arrows,
    by_place,
    chord,
    color,
    dots,
    end_names,
    in_our_style,
    in_text,
    near,
    painted,
    planes,
    scale,
    swing,
)


@in_our_style
def maps(panels, width=None):
    """Noise painted by where it goes, with a line wherever neighbours part: a dict from title to places (k², 2), of
    `plots.by_place`, for the tiles of `plots.grid(k)`."""
    pictures, axes = planes(panels, width)
    for ax, where in zip(axes, panels.values()):
        side = round(len(where) ** 0.5)
        torn, square = torch.zeros(side, side, dtype=torch.bool), where.view(side, side, 2)
        for axis in (0, 1):
            torn.narrow(axis, 1, side - 1).logical_or_(square.diff(dim=axis).norm(dim=2) > 0.3)
        colours = by_place(where).reshape(side, side, 3)
        colours[torn.numpy()] = to_rgb(INK)
        ax.imshow(colours, origin="lower", extent=(-LIMIT, LIMIT) * 2, interpolation="nearest")
    return pictures


@in_our_style
def territories(where, panels, places, marked=None):
    """One of `maps`, of where (k², 2), with noise points marked (n, 2) on it; then points as in `plots.painted`."""
    width = abreast(len(panels) + 1)
    pictures = maps({"noise, by where it will land": where}, width)
    if marked is not None:
        (fig,) = pictures.values()
        fig.axes[0].plot(*marked.T.numpy(), "o", color="white", markersize=4, markeredgecolor=INK, markeredgewidth=0.7)
    return pictures | painted(panels, places, width)


@in_our_style
def window(points, moves, box):
    """Travellers near a small window and how they move next: a dict from title to moves (n, 2) of the points (n, 2).
    box: left, right, low, high."""
    left, right, low, high = box
    pictures, axes = planes(moves)
    for ax, move in zip(axes, moves.values()):
        arrows(ax, points, move, INK, 0.004)
        dots(ax, points, DATA, 3)
        ax.fill([left, right, right, left], [low, low, high, high], facecolor="none", edgecolor=METHOD["flow_matching"],
                linewidth=3)
        reach = 0.5 * (right - left)
        ax.set(xlim=(left - reach, right + reach), ylim=(low - reach, high + reach))
    return pictures


@in_our_style
def folds(z_1, landing, folded):
    """Noise z_1 (n, 2) and where one step takes it (n, 2), with the folded points (n,), True or False, on top."""
    pictures, axes = planes(["noise", "one step"])
    for ax, points in zip(axes, (z_1, landing)):
        ax.scatter(*points[~folded].T.numpy(), c=DATA, s=0.8, linewidths=0, alpha=0.5)
        ax.scatter(*points[folded].T.numpy(), c=METHOD["mean_flow"], s=4, linewidths=0)
    return pictures


@in_our_style
def paths(bundles):
    """Paths from noise to data: a dict from title to states (steps + 1, n, 2), noise first."""
    pictures, axes = planes(bundles)
    for ax, states in zip(axes, bundles.values()):
        ax.plot(states[..., 0].numpy(), states[..., 1].numpy(), color=INK, linewidth=0.6, alpha=0.5)
        dots(ax, states[0], NOISE, 4)
        dots(ax, states[-1], DATA, 4)
    return pictures


@in_our_style
def fan(z, x, eps, weight, v):
    """Roads from data x (k, 2) to noise eps (k, 2) that all pass through one point z (2,), each as opaque as it is
    likely, weight (k,); and −v (2,), the way their mean velocity moves a sample."""
    pictures, (ax,) = planes([""])
    for a, b, alpha in zip(x, eps, (weight / weight.max()).tolist()):
        ax.plot(*torch.stack([a, b]).T.numpy(), color=DATA, linewidth=1, alpha=0.08 + 0.92 * alpha)
        ax.plot(*a.tolist(), "o", color=DATA, markersize=4, alpha=0.08 + 0.92 * alpha, markeredgewidth=0)
    arrows(ax, z[None], -v[None], METHOD["flow_matching"], width=0.014)
    ax.plot(*z.tolist(), "o", color=INK, markersize=6, zorder=4)
    return pictures


@in_our_style
def densities(points, values, highest):
    """The same points (n, 2), coloured by several densities on one scale: a dict from title to values (n,)."""
    pictures, axes = planes(values)
    for ax, value in zip(axes, values.values()):
        image = ax.scatter(*points.T.numpy(), c=value.numpy(), s=1, cmap="cividis", vmin=0, vmax=highest, linewidths=0)
    return pictures | scale(image, "density", extend="max")


def chart(height):
    """An empty chart with its figure, as wide as a phone; the height in inches."""
    fig = Figure(figsize=(abreast(1), height), layout="constrained")
    return fig, fig.subplots()


@in_our_style
def loss_curve(losses, floor, others, method, window=50):
    """Training losses (n_steps,), averaged over `window` steps; a loss that no network can go below; and other losses
    on the way, a dict from label to {step: loss}."""
    fig, ax = chart(3.6)
    smooth = losses[: len(losses) // window * window].view(-1, window).mean(dim=1)
    ax.plot((torch.arange(len(smooth)) + 0.5) * window, smooth, color=METHOD[method], linewidth=1.2,
            label=f"training loss, mean of {window} batches")
    for (label, curve), colour in zip(others.items(), (METHOD["flow_matching"], INK)):
        ax.plot(list(curve), list(curve.values()), "o-", color=colour, markersize=4, label=label)
    ax.axhline(floor, color=INK, linestyle="--", linewidth=1, label="irreducible" + ", where r = t" * bool(others))
    highest = max([smooth.max().item(), *(max(curve.values()) for curve in others.values())]) if others else floor + 0.5
    ax.set(xlabel="training step", ylabel="loss", ylim=(floor - 0.1, highest + 0.1))
    fig.legend(loc="outside upper left")
    return fig


@in_our_style
def time_pairs(r, t):
    """Pairs of times (n, 1) as points in the triangle r ≤ t, with a colour for each kind of row."""
    fig, ax = chart(4.7)
    equal, zero = r == t, (r == 0) & (r < t)
    kinds = {"r < t: a jump": (~equal & ~zero, METHOD["mean_flow"]),
             "r = t: flow matching": (equal, METHOD["flow_matching"]), "r = 0: all the way": (zero, "#882255")}
    for label, (rows, colour) in kinds.items():
        ax.plot(r[rows], t[rows], "o", color=colour, markersize=3, alpha=0.6, markeredgewidth=0,
                label=f"{label} ({rows.float().mean():.1%})")
    ax.set(xlabel="r", ylabel="t", aspect="equal", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    ax.legend(loc="lower right", markerscale=2, handletextpad=0.1)
    return fig


@in_our_style
def targets(panels, places):
    """What single pairs at one place say, in the colours of their data and on one scale: a dict from title to (points
    (n, 2), the mean of all (2,), what it should be (2,), its name), and the places (n, 2) of `plots.by_place`."""
    pictures, axes = planes(panels)
    reach = 1.08 * max((points - points.mean(dim=0)).abs().max().item() for points, *_ in panels.values())
    for ax, (points, mean, right, name) in zip(axes, panels.values()):
        ax.scatter(*points.T.numpy(), c=by_place(places), s=4, linewidths=0)
        ax.plot(*mean.tolist(), "o", color=INK, markersize=11)
        ax.plot(*right.tolist(), "P", color="white", markersize=7, markeredgewidth=0)
        ax.annotate(name, mean.tolist(), xytext=(0, -20), textcoords="offset points", ha="center", va="center",
                    color=INK, fontsize=14, bbox=dict(facecolor="white", alpha=0.85, edgecolor="none", pad=1))
        x, y = points.mean(dim=0).tolist()
        ax.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach))
    return pictures


@in_our_style
def triangles(values, highest, label, width=None):
    """Values over the triangle r ≤ t on one scale: a dict from title to (k, k), by t and then r, NaN where r > t."""
    pictures = {title: Figure(figsize=[width or abreast(len(values))] * 2) for title in values}
    for fig, value in zip(pictures.values(), values.values()):
        ax = fig.add_axes((0.1, 0.1, 0.89, 0.89))
        half = 0.5 / (len(value) - 1)
        image = ax.imshow(value.numpy(), origin="lower", cmap="cividis", vmin=0, vmax=highest,
                          extent=(-half, 1 + half) * 2)
        ax.set(xticks=[], yticks=[])
        for place in (0, 1):
            ax.text(place, -half - 0.02, place, ha="center", va="top", fontsize=11)
            ax.text(-half - 0.02, place, place, ha="right", va="center", fontsize=11)
        ax.text(0.5, -half - 0.02, "r", ha="center", va="top")
        ax.text(-half - 0.02, 0.5, "t", ha="right", va="center")
        ax.spines[:].set_visible(False)
    beyond = any((value > highest).any() for value in values.values())
    return pictures | scale(image, label, extend="max" if beyond else "neither")


@in_our_style
def sweep(curves, xlabel, ylabel):
    """Curves of one parameter, named at their right ends: a dict from label to {value: height}; the least of each is
    marked."""
    fig, ax = chart(4.7)
    colours = itertools.cycle((DATA, "#882255", "#56B4E9", "#CC79A7", INK))
    for (label, curve), colour in zip(curves.items(), colours):
        ax.plot(list(curve), list(curve.values()), color=colour)
        ax.annotate(label, list(curve.items())[-1], xytext=(5, 0), textcoords="offset points", va="center")
        least = min(curve, key=curve.get)
        ax.plot(least, curve[least], "o", color=colour, markersize=5)
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None))
    ax.locator_params(axis="x", nbins=5)
    return fig


@in_our_style
def quality_by_cost(panels, floors, ylabel):
    """Distance by number of evaluations, both logarithmic: a dict from title to (a dict from label to {NFE: distance}),
    and one from title to the noise floor's mean and 95 % quantile. Lines are named at their ends, Euler's within."""
    pictures = {}
    for title, lines in panels.items():
        pictures[title], ax = chart(3.4)
        mean, high = floors[title]
        ax.axhspan(mean, high, color=NOISE, alpha=0.35, linewidth=0)
        ax.annotate("noise floor", (1, mean), xytext=(0, -3), textcoords="offset points", va="top", color="#555555")
        for label, curve in lines.items():
            style = "--" if "Euler" in label else "-"
            ax.plot(list(curve), list(curve.values()), style, color=color(label), linewidth=1.8, marker="o",
                    markersize=3)
        last, highest = (max(map(most, lines.values())) for most in (max, lambda curve: max(curve.values())))
        height, gap = 0, (1.6 * highest / mean) ** 0.065  # between two names
        for end, label in sorted((curve[max(curve)], label) for label, curve in lines.items()):
            name = label.removeprefix("flow matching, ")
            name = name.removesuffix(" mean flow")  # but the plain one
            ink = dict(color=in_text(label), fontsize=11)
            if "Euler" in label:
                ax.annotate(name, (8, lines[label][8]), xytext=(7, 3), textcoords="offset points", **ink)
                continue
            height = max(end, height * gap)
            ax.annotate(name, (last, end), xytext=(last * 1.4, height), va="center", **ink,
                        arrowprops=dict(arrowstyle="-", color=ink["color"], linewidth=0.5, shrinkA=0, shrinkB=3,
                                        relpos=(0, 0.5)))
        ax.set(xscale="log", yscale="log", xlabel="evaluations", ylabel=ylabel, xlim=(0.9, last * 6),
               ylim=(mean / 1.6, None))
        ax.set_xticks(ticks := [1, 2, 4, 8, 16, 32], list(map(str, ticks)))
        ax.set_yticks(ticks := [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1) if tick > mean / 1.2],
                      [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    return pictures


@in_our_style
def quality_by_seconds(panels, ylabel):
    """Distance by seconds of training, both logarithmic: a dict from title to (a dict from label to {seconds:
    distance}). Lines are named at their ends."""
    pictures = {}
    for title, lines in panels.items():
        pictures[title], ax = chart(3.0)
        for label, line in lines.items():
            seconds = sorted(line)
            ax.plot(seconds, [line[s] for s in seconds], color=color(label), linewidth=1.8, marker="o",
                    markersize=3)
            ax.annotate(label.removesuffix(" mean flow"), (seconds[-1], line[seconds[-1]]), xytext=(7, 0), va="center",
                        textcoords="offset points", color=in_text(label), fontsize=11)
        ax.set(xscale="log", yscale="log", xlabel="CPU seconds", ylabel=ylabel, xlim=(8, 400))
        low, high = ax.get_ylim()
        for axis, (first, last), ticks in ((ax.xaxis, (8, 400), (10, 20, 50, 100, 200)),
                                           (ax.yaxis, (low, high), (0.01, 0.02, 0.05, 0.1, 0.2, 0.5))):
            ticks = [tick for tick in ticks if first < tick < last]
            axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    return pictures


@in_our_style
def scoreboard(panels, stars, label, highest=10):
    """Tables as heat maps on one logarithmic scale, from 1 (the noise floor) to `highest` and beyond.

    panels: a dict from title to rows, a dict from method to (NFE → multiple of the floor, or None).
    stars: the (title, method, NFE) that cannot be told from perfect.
    """
    pictures = {}
    for title, rows in panels.items():
        every = list(next(iter(rows.values())))
        pictures[title], ax = chart(0.48 * len(rows) + 0.6)
        values = torch.tensor([[math.nan if value is None else value for value in row.values()]
                               for row in rows.values()])
        image = ax.imshow(values.numpy(), norm=LogNorm(1, highest), cmap="cividis_r", aspect="auto")
        for (i, method), (j, nfe) in itertools.product(enumerate(rows), enumerate(every)):
            if (value := rows[method][nfe]) is not None:
                star = "\n★" if (title, method, nfe) in stars else ""
                ax.text(j, i, f"{value:.{2 + (value >= 1)}g}{star}", ha="center", va="center", fontsize=11.5,
                        linespacing=0.9, color="white" if value > highest**0.53 else "black")
        ax.set(xticks=range(len(every)), xticklabels=every, xlabel="function evaluations (NFE)")
        ax.set_yticks(range(len(rows)), [textwrap.fill(method, 16) for method in rows], linespacing=0.9)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        for text, method in zip(ax.get_yticklabels(), rows):
            text.set_color(in_text(method))
    return pictures | scale(image, label, extend="max", format="%g",
                            ticks=sorted(tick for tick in {1, 2, 5, highest} if tick <= highest))


@in_our_style
def loss_and_quality(points, labels, xlabel, ylabel):
    """Runs by their loss and by how good they are: a dict from case to (loss, distance), and one from those cases that
    are named to where the name stands: "right", "above" or "below"."""
    places = {"right": ((7, 0), "center"), "above": ((-6, 6), "bottom"), "below": ((-6, -8), "top")}
    fig, ax = chart(5)
    for case, (x, y) in points.items():
        ax.plot(x, y, "o", color=INK if case == "as it should be" else SAMPLES, markersize=6, alpha=0.8)
        if case in labels:
            offset, va = places[labels[case]]
            ax.annotate(case, (x, y), xytext=offset, textcoords="offset points", va=va)
    ax.set(yscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.margins(x=0.15, y=0.12)  # for the names
    ax.set_yticks(ticks := [0.03, 0.1, 0.3, 1], list(map(str, ticks)))
    ax.minorticks_off()
    return fig


@in_our_style
def histograms(values, xlabel, bins=40):
    """How often values occur: a dict from label to values (n,), as shares of each; where all agree, a line."""
    fig, ax = chart(3.4)
    edges = torch.linspace(0, max(value.max().item() for value in values.values()), bins + 1)
    for (label, value), colour in zip(values.items(), itertools.cycle((DATA, METHOD["mean_flow"], NOISE, "#882255"))):
        if value.max() - value.min() < 1e-3:
            ax.axvline(value.mean().item(), color=colour, linewidth=3, label=label)
        else:
            ax.hist(value.numpy(), edges.numpy(), weights=[1 / len(value)] * len(value), histtype="stepfilled",
                    alpha=0.5, color=colour, label=label)
    ax.set(xlabel=xlabel, ylabel="share")
    fig.legend(loc="outside upper left")
    return fig


@in_our_style
def swings(path, z_r, panels):
    """Several moments of one swinging chord: a dict from title to (z_t, ahead, tip), as in `swing`."""
    pictures, axes = planes(panels)
    for ax, moment in zip(axes, panels.values()):
        swing(ax, path, z_r, *moment)
    return pictures


@in_our_style
def chords(path, intervals):
    """The chords of one path over several intervals (r, t), side by side.

    path: (k + 1, 2), the states at times 1, 1 − 1/k, …, 0.
    """
    pictures, axes = planes([f"r = {r:.1f}, t = {t:.1f}" for r, t in intervals])
    for ax, (r, t) in zip(axes, intervals):
        chord(ax, path, *(round((1 - s) * (len(path) - 1)) for s in (t, r)))
    return pictures


@in_our_style
def cuts(path, r, t, panels):
    """One jump in two pieces: a dict from title to (time of the cut, a step that stands for a piece: its start (2,) and
    the step (2,), or None).

    path: (k + 1, 2), the states at times 1, 1 − 1/k, …, 0.
    """
    def state(s):
        return path[round((1 - s) * (len(path) - 1))]

    pictures, axes = planes(panels)
    for ax, (s, step) in zip(axes, panels.values()):
        near(ax, path)
        z_t, z_s, z_r = map(state, (t, s, r))
        arrows(ax, z_r[None], (z_t - z_r)[None], SAMPLES, 0.014)
        for start, end in ((z_r, z_s), (z_s, z_t)):
            arrows(ax, start[None], (end - start)[None], INK, 0.008)
        if step:
            arrows(ax, step[0][None], step[1][None], METHOD["flow_matching"], 0.012)
        end_names(ax, z_t, z_r)
    return pictures


FAMILIES = {"Eulerian": METHOD["mean_flow"], "Lagrangian": METHOD["self_distilled_mean_flow"], "semigroup": "#882255",
            "discrete": METHOD["improved_mean_flow"], "α-Flow": METHOD["improved_mean_flow"], "consistency": DATA}


@in_our_style
def strips(panels, xlabel, perfect=None):
    """Values of several seeds in a row each, on one logarithmic scale: a dict from title to (a dict from label to
    (seeds,), NaN where a run diverged), in the colour of the identity that the label begins with; and one from title to
    what is perfect."""
    pictures = {}
    for title, rows in panels.items():
        pictures[title], ax = chart(0.27 * len(rows) + 0.7)
        for i, (label, values) in enumerate(rows.items()):
            colour = FAMILIES.get(label.split(",")[0], INK)
            ax.axhline(i, color=NOISE, linewidth=0.5, alpha=0.4, zorder=0)
            ax.plot(values, [i] * len(values), "o", color=colour, markersize=4, alpha=0.55, markeredgewidth=0)
            ax.plot(values.mean(), i, "|", color=colour, markersize=11, markeredgewidth=2)  # none if one is NaN
            if lost := int(values.isnan().sum()):
                ax.annotate(f"{lost} of {len(values)} diverged", (0.03, i), xycoords=("axes fraction", "data"),
                            va="center", color=INK, fontsize=11)
        if perfect:
            ax.axvline(perfect[title], color=INK, linestyle="--", linewidth=1)
        ax.set(xscale="log", xlabel=xlabel, ylim=(len(rows) - 0.4, -0.6))
        ax.set_yticks(range(len(rows)), rows, fontsize=11)
        ax.tick_params(axis="y", length=0)
        low, high = ax.get_xlim()
        ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 20) if low <= tick <= high]
        if len(ticks) < 2:
            ticks = [tick / 20 for tick in range(1, 100) if low <= tick / 20 <= high]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    return pictures


@in_our_style
def curves(lines, xlabel, ylabel, colours, styles=()):
    """Curves on logarithmic heights, named in a legend: a dict from label to {x: height}, a colour for each."""
    fig, ax = chart(3.9)
    for (label, line), colour, style in zip(lines.items(), colours, itertools.chain(styles, itertools.repeat("-"))):
        ax.plot(list(line), list(line.values()), style, color=colour, label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel, yscale="log")
    fig.legend(loc="outside upper left")
    return fig
