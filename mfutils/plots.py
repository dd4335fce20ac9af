"""One visual language: data grey-blue, noise grey, a colour for each method, always the same square of the plane.

What draws a whole figure returns it; `show` puts it on the page with a text for those who cannot see it.
Figures are made without pyplot, so nothing is drawn twice and nothing stays open.
"""

import html
import io
import itertools
import math

import torch
from IPython.display import display
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's palette, told apart by colour-blind readers too.
METHOD = dict(flow_matching="#0072B2", mean_flow="#D55E00", improved_mean_flow="#E69F00",
              self_distilled_mean_flow="#009E73")
DATA, NOISE, SAMPLES, INK = "#3D5A78", "#999999", METHOD["mean_flow"], "#222222"
AROUND = LinearSegmentedColormap.from_list("around", ["#0072B2", "#009E73", "#E69F00", "#D55E00", "#882255", "#0072B2"])
MIST = LinearSegmentedColormap.from_list("mist", ["white", "#8FA9C2"])
HARM = {0.5: "#5BA3D0", 0.8: "#A9CFE8", 1: "#DCEBF5", 1.25: "#FBE3D3", 2: "#F4B48A", math.inf: "#E07B39"}  # up to
LIMIT = 3.0  # every picture of the plane shows [−LIMIT, LIMIT]²
DPI = 144  # twice as fine as displayed, for sharp screens
SHOWN = 4000  # a cloud shows its first points only: more are slower, and no clearer


def png(fig, dpi=DPI):
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, pil_kwargs={"compress_level": 1})  # quick: a slider waits for it
    return buffer.getvalue()


def light(picture):
    """PNG bytes in 256 colours, well chosen: looks the same at a third of the weight."""
    buffer = io.BytesIO()
    few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)  # small areas too
    few.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def show(fig, alt):
    """Display the figure with `alt`, its content in words, as alternative text."""
    display({"image/png": light(png(fig)), "text/plain": alt}, raw=True,
            metadata={"image/png": {"alt": alt, "width": round(fig.get_figwidth() * DPI / 2)}})


def table(rows, corner="", shades=None):
    """Display a table, with a plain-text twin where there is no HTML: a dict from row label to (column → text).

    shades: a dict from (row label, column) to the colour behind that cell.
    """
    columns = list(next(iter(rows.values())))
    lines = [[corner, *columns], *([label, *(cells[column] for column in columns)] for label, cells in rows.items())]
    widths = [max(len(str(line[i])) for line in lines) for i in range(len(columns) + 1)]
    plain = "\n".join("  ".join(str(cell).rjust(width) if i else str(cell).ljust(width)
                                for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)

    def element(tag, cell, colour=None):
        style = f' style="background: {colour}; color: {INK}"' if colour else ""
        text = html.escape(str(cell)).replace("± ", "±&nbsp;")  # a spread stays with its sign
        return f"<{tag}{style}>{text}</{tag}>"

    head = "".join(element("th", cell) for cell in lines[0])
    body = "".join("<tr>" + element("th", label) + "".join(
        element("td", cell, (shades or {}).get((label, column))) for column, cell in zip(columns, cells)) + "</tr>"
        for label, *cells in lines[1:])
    display({"text/html": f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
             "text/plain": plain}, raw=True)


def harm(factor):
    """The colour of a factor by which something is worse: blue below 1, red above, white where it is not known."""
    return next((colour for limit, colour in HARM.items() if factor <= limit), None) if factor else None


def in_words(label):
    """A label as people write it: self-distilled mean flow, eight Gaussians."""
    return label.replace("_", " ").replace("self distilled", "self-distilled").replace("gaussians", "Gaussians")


def color(*labels):
    """The colour of the first label that has one: a method's (of "flow matching, 1 NFE" too), or that of noise, of data
    or the target, of pairs on their roads, of what follows the exact field, and of what is not to be known yet."""
    known = {**METHOD, "noise": NOISE, "data": DATA, "target": DATA, "roads": DATA, "field": METHOD["flow_matching"],
             "unknown": INK}
    for label in labels:
        key = label.split(",")[0].replace(" ", "_").replace("-", "_")
        if key in known:
            return known[key]
    return None


def plane(ax, title=""):
    """Make `ax` a view of the plane: square, with ticks at −2, 0 and 2, so that distances can be judged."""
    ax.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal", xticks=[-2, 0, 2], yticks=[-2, 0, 2])
    ax.tick_params(labelsize=6, labelcolor="#888888", color="#cccccc", length=2, pad=1.5)
    ax.set_title(title, fontsize=10)
    ax.spines[:].set_color("#cccccc")


def dots(ax, points, color=SAMPLES, size=1.3):
    """Draw points (n, 2) as small dots; returns the artist, for `put`."""
    artist = ax.plot([], [], "o", color=color, markersize=size, markeredgewidth=0, alpha=0.6)[0]
    put(artist, points)
    return artist


def put(artist, points):
    """Move the dots to other points (n, 2)."""
    artist.set_data(*points[:SHOWN].detach().cpu().T.numpy())


def grid(n):
    """The centres of n × n tiles of the plane, row by row: (n², 2)."""
    ticks = (torch.arange(n) + 0.5) / n * 2 * LIMIT - LIMIT
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def planes(titles, columns=None, size=2.0):
    """A figure of empty planes, one per title; returns it with the flat list of axes."""
    columns = columns or len(titles)
    rows = -(-len(titles) // columns)
    fig = Figure(figsize=(columns * size, rows * (size + 0.25)), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False).flatten()
    for ax, title in zip(axes, titles):
        plane(ax, title)
    return fig, axes


def clouds(samples, target=None, size=2.0, method="mean_flow"):
    """Samples side by side, in the colour of what their title names, else of `method`: a dict from title to points;
    `target` comes last."""
    panels = samples if target is None else {**samples, "target": target}
    fig, axes = planes(list(panels), size=size)
    for ax, (title, points) in zip(axes, panels.items()):
        dots(ax, points, color(title, method))
    return fig


def gallery(rows, size=1.9, method="mean_flow"):
    """Rows of clouds: a dict from row label to (a dict from column title to points), in the colour of what title or
    label name, else of `method`."""
    titles = list(next(iter(rows.values())))
    fig, axes = planes(titles * len(rows), columns=len(titles), size=size)
    fig.set_size_inches(len(titles) * size, len(rows) * size + 0.3)  # only the top row has titles
    for start, (label, panels) in zip(range(0, len(axes), len(titles)), rows.items()):
        axes[start].set_ylabel(in_words(label))
        for ax, (title, points) in zip(axes[start:], panels.items()):
            dots(ax, points, color(title, label, method))
            ax.set_title("" if start else in_words(title), fontsize=10)
    return fig


def wheel(ax, z_1, points, size=1.5):
    """Points (n, 2), each in the colour of the direction in which its noise z_1 (n, 2) lies; returns the artist."""
    direction = torch.atan2(z_1[:, 1], z_1[:, 0])
    return ax.scatter(*points.T.numpy(), c=direction.numpy(), s=size, cmap=AROUND, linewidths=0)


def origins(z_1, panels, size=3.2):
    """Where every point came from: a dict from title to points (n, 2), painted as in `wheel`."""
    fig, axes = planes(list(panels), size=size)
    for ax, points in zip(axes, panels.values()):
        wheel(ax, z_1, points)
    return fig


def folds(z_1, landing, folded, size=3.2):
    """Noise z_1 (n, 2) and where one step takes it (n, 2), with the folded points (n,), True or False, on top."""
    fig, axes = planes(["noise", "one step"], size=size)
    for ax, points in zip(axes, (z_1, landing)):
        ax.scatter(*points[~folded].T.numpy(), c=DATA, s=0.8, linewidths=0, alpha=0.5)
        ax.scatter(*points[folded].T.numpy(), c=METHOD["mean_flow"], s=4, linewidths=0)
    return fig


def paths(bundles, size=3.2):
    """Paths from noise to data: a dict from title to states (steps + 1, n, 2), noise first."""
    fig, axes = planes(list(bundles), size=size)
    for ax, states in zip(axes, bundles.values()):
        ax.plot(states[..., 0].numpy(), states[..., 1].numpy(), color=INK, linewidth=0.6, alpha=0.5)
        dots(ax, states[0], NOISE, 4)
        dots(ax, states[-1], DATA, 4)
    return fig


def counts(points, n):
    """How many of the points (m, 2) lie in each tile of `grid(n)`: (n²,)."""
    return torch.histogramdd(points, [n, n], range=[-LIMIT, LIMIT] * 2).hist.T.flatten()


def unvisited(points, n):
    """Which tiles of `grid(n)` hold none of the points: (n²,), True or False."""
    return counts(points, n) == 0


def arrows(ax, starts, steps, color=INK, width=0.008):
    """Arrows from starts (n, 2) along steps (n, 2), in units of the plane; returns the artist, for `aim`."""
    return ax.quiver(*starts.T.numpy(), *steps.T.numpy(), angles="xy", scale_units="xy", scale=1, color=color,
                     width=width, minlength=0, zorder=3)


def aim(artist, starts, steps):
    """Move equally many arrows elsewhere."""
    artist.set_offsets(starts.numpy())
    artist.set_UVC(*steps.T.numpy())


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


def flow_field(ax, points, v):
    """Where points (n, 2) are dense, in grey-blue, and −v over it, the way they move toward data, at an eighth of its
    length.  v: (k², 2) on `grid(k)`.  Returns move(points, v), which shows another time."""
    tiles, k = 48, round(len(v) ** 0.5)

    def drawn(points, v):
        share = counts(points, tiles).view(tiles, tiles).numpy()
        return share, (-v / 8).masked_fill(unvisited(points, k)[:, None], torch.nan)

    share, steps = drawn(points, v)
    mist = ax.imshow(share, origin="lower", cmap=MIST, extent=(-LIMIT, LIMIT) * 2, vmin=0, interpolation="bilinear")
    quiver = arrows(ax, grid(k), steps, INK, 0.005)

    def move(points, v):
        share, steps = drawn(points, v)
        mist.set(data=share, clim=(0, share.max()))
        aim(quiver, grid(k), steps)

    return move


def fields(panels, size=2.6):
    """The flow at several times: a dict from title to (points, v), as in `flow_field`."""
    fig, axes = planes(list(panels), size=size)
    for ax, (points, v) in zip(axes, panels.values()):
        flow_field(ax, points, v)
    return fig


def polyline(ax, paths, states, color):
    """The steps of a solver, states (n + 1, m, 2), as arrows over the true paths (k, m, 2) of the same m points.
    Returns move(states), which shows other steps."""
    ax.plot(paths[..., 0].numpy(), paths[..., 1].numpy(), color=NOISE, linewidth=1.2)
    dots(ax, paths[0], NOISE, 5)
    dots(ax, paths[-1], DATA, 5)
    shown = []

    def move(states):
        while shown:
            shown.pop().remove()
        steps = states[1:] - states[:-1]
        shown.append(arrows(ax, states[:-1].flatten(0, 1), steps.flatten(0, 1), color, 0.006))
        shown.extend(ax.plot(*states[-1].T.numpy(), "o", color=color, markersize=5, zorder=4))

    move(states)
    return move


def polylines(paths, panels, size=3.2):
    """Solvers side by side over the true paths: a dict from title to states, as in `polyline`."""
    fig, axes = planes(list(panels), size=size)
    for ax, (title, states) in zip(axes, panels.items()):
        polyline(ax, paths, states, color(title, "flow_matching"))
    return fig


def heat(values, highest, label, size=2.6):
    """Maps over the plane on one scale: a dict from title to values (n²,) on `grid(n)`; NaN stays white."""
    fig, axes = planes(list(values), size=size)
    for ax, value in zip(axes, values.values()):
        image = heat_map(ax, value, highest)
    beyond = any((value > highest).any() for value in values.values())
    fig.colorbar(image, ax=list(axes), label=label, shrink=0.8, extend="max" if beyond else "neither")
    return fig


def densities(points, values, highest, size=3.2):
    """The same points (n, 2), coloured by several densities on one scale: a dict from title to values (n,)."""
    fig, axes = planes(list(values), size=size)
    for ax, value in zip(axes, values.values()):
        dots = ax.scatter(*points.T.numpy(), c=value.numpy(), s=1, cmap="cividis", vmin=0, vmax=highest, linewidths=0)
    fig.colorbar(dots, ax=list(axes), label="density", shrink=0.8, extend="max")
    return fig


def heat_map(ax, value, highest):
    """One map over the plane of values (n²,) on `grid(n)`; returns the artist."""
    side = round(len(value) ** 0.5)
    return ax.imshow(value.view(side, side).numpy(), origin="lower", cmap="cividis", vmin=0, vmax=highest,
                     extent=(-LIMIT, LIMIT, -LIMIT, LIMIT))


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


def mosaic(images, columns):
    """Square images (n, side²) in rows of `columns`, as one array, with a white pixel around each."""
    side = round(images.shape[1] ** 0.5)
    tiles = torch.nn.functional.pad(images.view(-1, columns, side, side), (1, 1, 1, 1), value=-1)
    return tiles.transpose(1, 2).reshape(-1, columns * (side + 2)).numpy()


def sheet(ax, images, columns, title=""):
    """Draw images (n, side²) with pixels in [−1, 1], ink dark, in rows of `columns`; returns the artist, whose
    `set_data` takes another `mosaic`."""
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)
    ax.spines[:].set_visible(False)
    return ax.imshow(mosaic(images, columns), cmap="gray_r", vmin=-1, vmax=1)


def sheets(panels, columns, across=None, width=12.0):
    """Sheets of images, `across` of them to a row: a dict from title to images (n, side²)."""
    across = across or len(panels)
    down = -(-len(panels) // across)
    high, wide = mosaic(next(iter(panels.values())), columns).shape
    fig = Figure(figsize=(width, down * (width / across * high / wide + 0.5)), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.15, h_pad=0.06)
    for ax, (title, images) in zip(fig.subplots(down, across, squeeze=False).flatten(), panels.items()):
        sheet(ax, images, columns, title)
    return fig


def strips(rows, width=9.0):
    """One row of images under the other: a dict from label to images (n, side²)."""
    n = len(next(iter(rows.values())))
    fig = Figure(figsize=(width, (width - 1.9) / n * len(rows) + 0.1), layout="constrained")
    fig.get_layout_engine().set(rect=(0.01, 0, 0.99, 1))
    for ax, (label, images) in zip(fig.subplots(len(rows), 1, squeeze=False).flatten(), rows.items()):
        sheet(ax, images, n)
        ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10)
    return fig


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


def near(ax, path):
    """Zoom in on one path (k, 2) and draw it, in grey."""
    ax.plot(*path.T.numpy(), color=NOISE, linewidth=1.5)
    low, high = path.amin(dim=0), path.amax(dim=0)
    (x, y), reach = ((low + high) / 2).tolist(), 0.7 * (high - low).max().item()
    ax.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach), xticks=[], yticks=[])


def named_ends(ax, *texts):
    """Two labelled dots; returns move(points (2, 2))."""
    ends = ax.plot([], [], "o", color=INK, markersize=5, zorder=4)[0]
    labels = [ax.annotate(text, (0, 0), xytext=shift, textcoords="offset points", fontsize=12)
              for text, shift in zip(texts, ((-10, -17), (7, 7)))]

    def move(points):
        ends.set_data(*points.T.numpy())
        for label, point in zip(labels, points):
            label.xy = point.tolist()

    return move


def chord(ax, path, start, end):
    """A particle's path (k, 2), noise first, and the displacement z_t − z_r from its state `end` to its state `start`.

    Returns move(start, end), which redraws the chord elsewhere.
    """
    near(ax, path)
    stretch = ax.plot([], [], color=DATA, linewidth=3)[0]
    arrow = arrows(ax, path[[end]], path[[start]] - path[[end]], SAMPLES, 0.012)
    ends = named_ends(ax, "$z_t$", "$z_r$")

    def move(start, end):
        stretch.set_data(*path[start : end + 1].T.numpy())
        aim(arrow, path[[end]], path[[start]] - path[[end]])
        ends(path[[start, end]])

    move(start, end)
    return move


def swing(ax, path, z_r):
    """A particle's path (k, 2) and a chord that swings about z_r (2,). Returns move(z_t, ahead, tip): the chord to z_t,
    the chord to where the path leads next, and where an arrow `tip` from z_t thinks that is; all (2,)."""
    near(ax, path)
    nowhere = torch.zeros(1, 2)
    old, new, tip_arrow = (arrows(ax, nowhere, nowhere, color, width) for color, width in
                           (("#F0B890", 0.012), (SAMPLES, 0.012), (INK, 0.01)))
    ends = named_ends(ax, "$z_t$", "$z_r$")

    def move(z_t, ahead, tip):
        aim(old, z_r[None], (z_t - z_r)[None])
        aim(new, z_r[None], (ahead - z_r)[None])
        aim(tip_arrow, z_t[None], tip[None])
        ends(torch.stack([z_t, z_r]))

    return move


def swings(path, z_r, panels, size=3.2):
    """Several moments of one swinging chord: a dict from title to (z_t, ahead, tip), as in `swing`."""
    fig, axes = planes(list(panels), size=size)
    for ax, moment in zip(axes, panels.values()):
        swing(ax, path, z_r)(*moment)
    return fig


def chords(path, intervals):
    """The chords of one path over several intervals (r, t), side by side.

    path: (k + 1, 2), the states at times 1, 1 − 1/k, …, 0.
    """
    fig, axes = planes([f"r = {r:.1f}, t = {t:.1f}" for r, t in intervals], size=2.6)
    for ax, (r, t) in zip(axes, intervals):
        chord(ax, path, *(round((1 - s) * (len(path) - 1)) for s in (t, r)))
    return fig
