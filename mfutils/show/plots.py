"""One visual language: data grey-blue, noise grey, a colour for each method, always the same square of the plane.

What draws a whole figure returns it; `show` puts it on the page with a text for those who cannot see it.
Figures are made without pyplot, so nothing is drawn twice and nothing stays open.
"""

import base64
import html
import io
import math

import torch
from IPython.display import display
from matplotlib import style
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's palette, told apart by colour-blind readers too.
METHOD = dict(flow_matching="#0072B2", mean_flow="#D55E00", improved_mean_flow="#E69F00",
              self_distilled_mean_flow="#009E73")
DATA, NOISE, SAMPLES, INK = "#3D5A78", "#999999", METHOD["mean_flow"], "#222222"
AROUND = LinearSegmentedColormap.from_list("around", ["#0072B2", "#009E73", "#E69F00", "#D55E00", "#882255", "#0072B2"])
MIST = LinearSegmentedColormap.from_list("mist", ["white", "#8FA9C2"])
HARM = {0.5: "#5BA3D0", 0.8: "#A9CFE8", 1: "#DCEBF5",  # upper bound of a factor -> colour
        1.25: "#FBE3D3", 2: "#F4B48A", math.inf: "#E07B39"}
LIMIT = 3.0  # every picture of the plane shows [−LIMIT, LIMIT]²
DPI = 144  # twice as fine as displayed, for sharp screens
SHOWN = 4000  # a cloud shows its first points only: more are slower, and no clearer

in_our_style = style.context("default")  # ink on white, whatever a matplotlibrc asks for


def png(fig, dpi=DPI):
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, facecolor="white", pil_kwargs={"compress_level": 1})  # a slider waits
    return buffer.getvalue()


def light(picture):
    """PNG bytes in 256 colours, well chosen: looks the same at a third of the weight."""
    buffer = io.BytesIO()
    few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)  # small areas too
    few.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def img(picture, alt, width):
    """A picture, PNG bytes, as HTML: JupyterLab, Colab, nbconvert and GitHub show the text of an HTML image to those
    who cannot see it, and JupyterLab drops that of any other. `width` in pixels of the page."""
    data = base64.b64encode(picture).decode()
    return (f'<div class="jp-RenderedImage"><img alt="{html.escape(alt)}" width="{width}" '
            f'src="data:image/png;base64,{data}"></div>')


def show(fig, alt):
    """Display the figure with `alt`, its content in words, as alternative text."""
    width = round(fig.get_figwidth() * DPI / 2)
    display({"text/html": img(light(png(fig)), alt, width), "text/plain": alt}, raw=True)


def table(rows, corner="", harms=None):
    """Display a table, with a plain-text twin where there is no HTML: a dict from row label to (column → text).

    harms: a dict from (row label, column) to the factor by which that cell is worse, where this is clear. The cell gets
    a mark, ▼ for worse and ▲ for better, and a colour.
    """
    columns, harms = list(next(iter(rows.values()))), harms or {}
    lines = [[corner, *map(str, columns)]]
    for label, cells in rows.items():
        lines.append([label, *(f"{mark(harms.get((label, column)))}{cells[column]}" for column in columns)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns) + 1)]
    plain = "\n".join("  ".join(cell.rjust(width) if i else cell.ljust(width)
                                for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)

    def element(tag, cell, factor=None):
        style = f' style="background: {harm(factor)}; color: {INK}"' if factor else ""
        return f"<{tag}{style}>{html.escape(cell).replace('± ', '±&nbsp;')}</{tag}>"  # a spread stays with its sign

    head = "".join(element("th", cell) for cell in lines[0])
    body = "".join("<tr>" + element("th", label) + "".join(
        element("td", cell, harms.get((label, column))) for column, cell in zip(columns, cells)) + "</tr>"
        for label, *cells in lines[1:])
    display({"text/html": f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
             "text/plain": plain}, raw=True)


def harm(factor):
    """The colour of a factor by which something is worse: blue below 1, red above."""
    return next(colour for limit, colour in HARM.items() if factor <= limit)


def mark(factor):
    """The same without colour: ▲ better, ▼ worse, nothing where it is not known."""
    return "" if not factor else "▲ " if factor < 1 else "▼ "


def in_words(label):
    """A label as people write it: self-distilled mean flow, eight Gaussians."""
    return label.replace("_", " ").replace("self distilled", "self-distilled").replace("gaussians", "Gaussians")


def color(*labels):
    """The colour of the first label that has one: a method's (of "flow matching, 1 NFE" too), or that of noise, of data
    or the target, of pairs on their roads, of what follows the exact field; "unknown" is ink, to hide the method."""
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


@in_our_style
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


@in_our_style
def heat(values, highest, label, size=2.6):
    """Maps over the plane on one scale: a dict from title to values (n²,) on `grid(n)`; NaN stays white."""
    fig, axes = planes(list(values), size=size)
    for ax, value in zip(axes, values.values()):
        image = heat_map(ax, value, highest)
    beyond = any((value > highest).any() for value in values.values())
    fig.colorbar(image, ax=list(axes), label=label, shrink=0.8, extend="max" if beyond else "neither")
    return fig


def heat_map(ax, value, highest):
    """One map over the plane of values (n²,) on `grid(n)`; returns the artist."""
    side = round(len(value) ** 0.5)
    return ax.imshow(value.view(side, side).numpy(), origin="lower", cmap="cividis", vmin=0, vmax=highest,
                     extent=(-LIMIT, LIMIT, -LIMIT, LIMIT))


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


@in_our_style
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


def near(ax, path):
    """Zoom in on one path (k, 2) and draw it, in grey."""
    ax.plot(*path.T.numpy(), color=NOISE, linewidth=1.5)
    low, high = path.amin(dim=0), path.amax(dim=0)
    (x, y), reach = ((low + high) / 2).tolist(), 0.7 * (high - low).max().item()
    ax.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach), xticks=[], yticks=[])


@in_our_style
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
