"""Figures of single pages, drawn from what `plots` has for all."""

import itertools
import math

import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from .plots import (
    DATA,
    INK,
    METHOD,
    NOISE,
    SAMPLES,
    arrows,
    chord,
    color,
    dots,
    flow_field,
    in_our_style,
    planes,
    sheet,
    swing,
    wheel,
)


@in_our_style
def origins(z_1, panels, size=3.2):
    """Where every point came from: a dict from title to points (n, 2), painted as in `wheel`."""
    fig, axes = planes(list(panels), size=size)
    for ax, points in zip(axes, panels.values()):
        wheel(ax, z_1, points)
    return fig



@in_our_style
def folds(z_1, landing, folded, size=3.2):
    """Noise z_1 (n, 2) and where one step takes it (n, 2), with the folded points (n,), True or False, on top."""
    fig, axes = planes(["noise", "one step"], size=size)
    for ax, points in zip(axes, (z_1, landing)):
        ax.scatter(*points[~folded].T.numpy(), c=DATA, s=0.8, linewidths=0, alpha=0.5)
        ax.scatter(*points[folded].T.numpy(), c=METHOD["mean_flow"], s=4, linewidths=0)
    return fig



@in_our_style
def paths(bundles, size=3.2):
    """Paths from noise to data: a dict from title to states (steps + 1, n, 2), noise first."""
    fig, axes = planes(list(bundles), size=size)
    for ax, states in zip(axes, bundles.values()):
        ax.plot(states[..., 0].numpy(), states[..., 1].numpy(), color=INK, linewidth=0.6, alpha=0.5)
        dots(ax, states[0], NOISE, 4)
        dots(ax, states[-1], DATA, 4)
    return fig



@in_our_style
def fan(z, x, eps, weight, v):
    """Roads from data x (k, 2) to noise eps (k, 2) that all pass through one point z (2,), each as opaque as it is
    likely, weight (k,); and −v (2,), the way their mean velocity moves a sample."""
    fig, (ax,) = planes([""], size=4.2)
    for a, b, alpha in zip(x, eps, (weight / weight.max()).tolist()):
        ax.plot(*torch.stack([a, b]).T.numpy(), color=DATA, linewidth=1, alpha=0.08 + 0.92 * alpha)
        ax.plot(*a.tolist(), "o", color=DATA, markersize=4, alpha=0.08 + 0.92 * alpha, markeredgewidth=0)
    arrows(ax, z[None], -v[None], METHOD["flow_matching"], width=0.014)
    ax.plot(*z.tolist(), "o", color=INK, markersize=6, zorder=4)
    return fig



@in_our_style
def fields(panels, size=2.6):
    """The flow at several times: a dict from title to (points, v), as in `flow_field`."""
    fig, axes = planes(list(panels), size=size)
    for ax, (points, v) in zip(axes, panels.values()):
        flow_field(ax, points, v)
    return fig



@in_our_style
def densities(points, values, highest, size=3.2):
    """The same points (n, 2), coloured by several densities on one scale: a dict from title to values (n,)."""
    fig, axes = planes(list(values), size=size)
    for ax, value in zip(axes, values.values()):
        dots = ax.scatter(*points.T.numpy(), c=value.numpy(), s=1, cmap="cividis", vmin=0, vmax=highest, linewidths=0)
    fig.colorbar(dots, ax=list(axes), label="density", shrink=0.8, extend="max")
    return fig



@in_our_style
def loss_curve(losses, floor, average, window=50, method="flow_matching"):
    """Training losses (n_steps,), averaged over `window` steps; the loss of the moving average, a dict from step to
    loss; and the loss that no network can go below."""
    fig = Figure(figsize=(7, 3), layout="constrained")
    ax = fig.subplots()
    smooth = losses[: len(losses) // window * window].view(-1, window).mean(dim=1)
    ax.plot(torch.arange(1, len(smooth) + 1) * window, smooth, color=METHOD[method], alpha=0.35, linewidth=1,
            label=f"training loss, mean of {window} batches")
    ax.plot(list(average), list(average.values()), "o-", color=METHOD[method], markersize=4,
            label="moving average, on test pairs")
    ax.axhline(floor, color=INK, linestyle="--", linewidth=1, label="irreducible, on the same pairs")
    ax.set(xlabel="training step", ylabel="loss", ylim=(floor - 0.1, floor + 0.5))
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return fig



@in_our_style
def time_pairs(r, t):
    """Pairs of times (n, 1) as points in the triangle r ≤ t, with a colour for each kind of row."""
    fig = Figure(figsize=(4.6, 4.2), layout="constrained")
    ax = fig.subplots()
    equal, zero = r == t, (r == 0) & (r < t)
    kinds = {"r < t: a jump": (~equal & ~zero, METHOD["mean_flow"]),
             "r = t: flow matching": (equal, METHOD["flow_matching"]), "r = 0: all the way": (zero, "#882255")}
    for label, (rows, colour) in kinds.items():
        ax.plot(r[rows], t[rows], "o", color=colour, markersize=3, alpha=0.6, markeredgewidth=0,
                label=f"{label} ({rows.float().mean():.1%})")
    ax.set(xlabel="r", ylabel="t", aspect="equal", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower right", frameon=False, markerscale=2, fontsize=9)
    return fig



@in_our_style
def targets(points, mean, marginal):
    """Training targets of single pairs at one place, points (n, 2); their mean; and the target of the mean velocity."""
    fig = Figure(figsize=(5.4, 3.6), layout="constrained")
    ax = fig.subplots()
    ax.plot(*points.T.numpy(), "o", color=SAMPLES, markersize=2.5, markeredgewidth=0, alpha=0.4)
    ax.plot(*mean.tolist(), "o", color=INK, markersize=8, label="mean of the targets")
    ax.plot(*marginal.tolist(), "x", color="white", markersize=6, markeredgewidth=2)
    ax.plot(*marginal.tolist(), "+", color=METHOD["flow_matching"], markersize=26, markeredgewidth=1.5,
            label="target of the mean")
    ax.set(aspect="equal", xlabel="first coordinate of the target", ylabel="second")
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside lower center", ncols=2, frameon=False)
    return fig



@in_our_style
def sweep(curves, xlabel, ylabel):
    """Curves of one parameter: a dict from label to {value: height}; the least of each is marked."""
    fig = Figure(figsize=(6.6, 3.2), layout="constrained")
    ax = fig.subplots()
    colours = itertools.cycle((DATA, "#882255", "#56B4E9", "#CC79A7", INK))
    for (label, curve), colour in zip(curves.items(), colours):
        ax.plot(list(curve), list(curve.values()), color=colour, label=label)
        least = min(curve, key=curve.get)
        ax.plot(least, curve[least], "o", color=colour, markersize=5)
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None))
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside right center", frameon=False)
    return fig



@in_our_style
def scoreboard(panels, stars, label, columns=2, highest=10):
    """Tables as heat maps on one logarithmic scale, from 1 (the noise floor) to `highest` and beyond.

    panels: a dict from title to rows, a dict from method to (NFE → multiple of the floor, or None).
    stars: the (title, method, NFE) that cannot be told from perfect.
    """
    methods = list(next(iter(panels.values())))
    every = list(next(iter(panels.values()))[methods[0]])
    fig = Figure(figsize=(10.5, 0.3 * (len(methods) + 2.2) * -(-len(panels) // columns)), layout="constrained")
    axes = fig.subplots(-(-len(panels) // columns), columns, sharex=True, sharey=True).flatten()
    for ax, (title, rows) in zip(axes, panels.items()):
        values = torch.tensor([[math.nan if value is None else value for value in row.values()]
                               for row in rows.values()])
        image = ax.imshow(values.numpy(), norm=LogNorm(1, highest), cmap="cividis_r", aspect="auto")
        for (i, method), (j, nfe) in itertools.product(enumerate(methods), enumerate(every)):
            if rows[method][nfe] is not None:
                star = "★" if (title, method, nfe) in stars else ""
                ax.text(j, i, f"{rows[method][nfe]:.3g}{star}", ha="center", va="center", fontsize=8,
                        color="white" if values[i, j] > highest**0.5 else INK)
        ax.set(xticks=range(len(every)), yticks=range(len(methods)), xticklabels=every, yticklabels=methods)
        ax.set_title(title, fontsize=10)
        ax.tick_params(length=0, labelsize=8)
        ax.spines[:].set_visible(False)
        for text in ax.get_yticklabels():
            text.set_color(color(text.get_text()) or INK)
    for ax in axes[-columns:]:
        ax.set_xlabel("function evaluations (NFE)", fontsize=9)
    bar = fig.colorbar(image, ax=list(axes), label=label, extend="max", format="%g",
                       ticks=sorted(tick for tick in {1, 2, 5, highest} if tick <= highest), aspect=30)
    bar.ax.minorticks_off()
    return fig



@in_our_style
def loss_and_quality(points, labels, xlabel, ylabel):
    """Runs by their loss and by how good they are: a dict from case to (loss, distance), and one from those cases that
    are named to where the name stands: "left", "right" or "below"."""
    places = {"left": ((-7, 0), "right", "center"), "right": ((7, 0), "left", "center"),
              "below": ((0, -6), "center", "top")}
    fig = Figure(figsize=(7.2, 3.8), layout="constrained")
    ax = fig.subplots()
    for case, (x, y) in points.items():
        ax.plot(x, y, "o", color=INK if case == "as it should be" else SAMPLES, markersize=6, alpha=0.8)
        if case in labels:
            offset, ha, va = places[labels[case]]
            ax.annotate(case, (x, y), xytext=offset, textcoords="offset points", fontsize=9, ha=ha, va=va)
    ax.set(yscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.margins(x=0.22)  # for the names
    ax.set_yticks(ticks := [0.03, 0.1, 0.3, 1], list(map(str, ticks)))
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
    return fig



@in_our_style
def strips(rows, width=9.0):
    """One row of images under the other: a dict from label to images (n, side²)."""
    n = len(next(iter(rows.values())))
    fig = Figure(figsize=(width, (width - 1.9) / n * len(rows) + 0.1), layout="constrained")
    fig.get_layout_engine().set(rect=(0.01, 0, 0.99, 1))
    for ax, (label, images) in zip(fig.subplots(len(rows), 1, squeeze=False).flatten(), rows.items()):
        sheet(ax, images, n)
        ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10)
    return fig



@in_our_style
def histograms(values, xlabel, bins=40):
    """How often values occur: a dict from label to values (n,), as shares of each; where all agree, a line."""
    fig = Figure(figsize=(6.6, 3.0), layout="constrained")
    ax = fig.subplots()
    edges = torch.linspace(0, max(value.max().item() for value in values.values()), bins + 1)
    for (label, value), colour in zip(values.items(), itertools.cycle((DATA, METHOD["mean_flow"], NOISE, "#882255"))):
        if value.max() - value.min() < 1e-3:
            ax.axvline(value.mean().item(), color=colour, linewidth=3, label=label)
        else:
            ax.hist(value.numpy(), edges.numpy(), weights=[1 / len(value)] * len(value), histtype="stepfilled",
                    alpha=0.5, color=colour, label=label)
    ax.set(xlabel=xlabel, ylabel="share")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.08, 1))
    return fig



@in_our_style
def swings(path, z_r, panels, size=3.2):
    """Several moments of one swinging chord: a dict from title to (z_t, ahead, tip), as in `swing`."""
    fig, axes = planes(list(panels), size=size)
    for ax, moment in zip(axes, panels.values()):
        swing(ax, path, z_r)(*moment)
    return fig



@in_our_style
def chords(path, intervals):
    """The chords of one path over several intervals (r, t), side by side.

    path: (k + 1, 2), the states at times 1, 1 − 1/k, …, 0.
    """
    fig, axes = planes([f"r = {r:.1f}, t = {t:.1f}" for r, t in intervals], size=2.6)
    for ax, (r, t) in zip(axes, intervals):
        chord(ax, path, *(round((1 - s) * (len(path) - 1)) for s in (t, r)))
    return fig

