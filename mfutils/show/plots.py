"""One visual language: data grey-blue, noise grey, a colour for each method, always the same square of the plane.

What draws squares of the plane returns a dict from title to picture: titles are text of the page, and the squares wrap
where it is narrow. `show` puts them on the page with a text for those who cannot see them. An inch of a picture is 72
pixels of the page, a point is one, and no text has fewer than 11. Pictures are made without pyplot, so nothing is drawn
twice and nothing stays open.
"""

import base64
import html
import io
import itertools
import math

import torch
from IPython.display import display
from matplotlib import style
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from ..data import Checkerboard

# Okabe and Ito's palette, told apart by colour-blind readers too.
METHOD = dict(flow_matching="#0072B2", mean_flow="#D55E00", improved_mean_flow="#E69F00",
              self_distilled_mean_flow="#009E73", distilled_mean_flow="#882255")
DATA, NOISE, SAMPLES, INK = "#3D5A78", "#999999", METHOD["mean_flow"], "#222222"
STOPS = ["#1e8fee", "#7a7cf0", "#ac6ad8", "#cd5cac", "#de5774", "#de602f", "#bf7b0f", "#9f8d0e", "#699f08", "#16a56e",
         "#04a19b", "#0a9cbc", "#1e8fee"]  # equally light and strong all around (OKLCH .64, .17)
AROUND = LinearSegmentedColormap.from_list("around", STOPS)
IN_TEXT = {METHOD["mean_flow"]: "#B34A00", METHOD["improved_mean_flow"]: "#8A6000",  # dark enough to be read on white
           METHOD["self_distilled_mean_flow"]: "#007A58", NOISE: "#6B6B6B"}
HARM = {0.5: "#5BA3D0", 0.8: "#A9CFE8", 1: "#DCEBF5",  # upper bound of a factor -> colour
        1.25: "#FBE3D3", 2: "#F4B48A", math.inf: "#E07B39"}
LIMIT = 3.0  # every picture of the plane shows [−LIMIT, LIMIT]²
DPI = 144  # twice as fine as displayed, for sharp screens
SHOWN = 4000  # a cloud shows its first points only: more are slower, and no clearer
PAGE, GAP = 736, 5  # pixels of the page that pictures abreast may take, and between two of them

# Ink on white, whatever a matplotlibrc asks for.
in_our_style = style.context(["default", {"font.size": 12, "axes.spines.top": False, "axes.spines.right": False,
                                          "legend.frameon": False}])


def png(fig, dpi=DPI):
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, facecolor="white", pil_kwargs={"compress_level": 1})
    return buffer.getvalue()


def light(picture):
    """PNG bytes in 256 colours, well chosen: looks the same at a third of the weight."""
    buffer = io.BytesIO()
    few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)  # small areas too
    few.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def show(pictures, alt, guess=False):
    """Display pictures with `alt`, their content in words, as alternative text: one picture; a dict from title to
    picture; or a dict from label to such dicts, one under the other. With `guess`, behind a click: guess first.

    As HTML: JupyterLab, Colab, nbconvert and GitHub show the text of an HTML image to those who cannot see it, and
    JupyterLab drops that of any other.
    """
    rows = pictures if isinstance(pictures, dict) else {"": pictures}
    rows = rows if isinstance(next(iter(rows.values())), dict) else {"": rows}
    alts, groups = itertools.chain([alt], itertools.repeat(None)), []
    for label, row in rows.items():
        parts = [f'<figure style="width:100%;margin:0">{words(label, 14, 600)}</figure>'] * bool(label)
        parts += [square(title, fig, next(alts) or in_words(f"{label} {title}".strip())) for title, fig in row.items()]
        groups.append('<div class="squares" style="display:flex;flex-wrap:wrap;align-items:flex-end;'
                      f'max-width:{PAGE}px;gap:{2 * GAP}px {GAP}px;margin-bottom:{2 * GAP}px">{"".join(parts)}</div>')
    display({"text/html": behind("".join(groups), guess), "text/plain": alt}, raw=True)


def behind(content, guess):
    """HTML that is seen when one has guessed, and clicks; or at once."""
    head = '<summary style="cursor:pointer;font-weight:600">Guessed? Look.</summary>'
    return f'<details class="guess">{head}{content}</details>' if guess else content


def square(title, fig, alt):
    """One picture under its title, as HTML. Two small ones stand abreast on a phone, too."""
    width, height = (72 * fig.get_size_inches()).round().astype(int)
    data = base64.b64encode(light(png(fig))).decode()
    return (f'<figure style="width:{width}px;max-width:{48 if width < 300 else 100}%;margin:0">'
            f'{words(title, 13)}<img alt="{html.escape(alt)}" width="{width}" '
            f'src="data:image/png;base64,{data}" height="{height}" style="width:100%;height:auto;margin:0"></figure>')


def words(title, size, weight=400):
    """A title as HTML, in the colour of the method that it names; nothing for none."""
    look = f"font-size:{size}px;font-weight:{weight};line-height:1.3"
    if color(title) in METHOD.values():
        look += f";color:{in_text(title)}"
    return f'<figcaption style="{look}">{html.escape(in_words(title))}</figcaption>' if title else ""


def abreast(n):
    """The width in inches of each of n pictures that stand at most four abreast, in equally full rows."""
    across = -(-n // -(-n // 4))
    return min(340, (PAGE + GAP) // across - GAP) / 72


def table(rows, corner="", harms=None, guess=False):
    """Display a table, with a plain-text twin where there is no HTML: a dict from row label to (column → text). With
    `guess`, behind a click.

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
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    display({"text/html": behind(whole, guess), "text/plain": plain}, raw=True)


def harm(factor):
    """The colour of a factor by which something is worse: blue below 1, red above."""
    return next(colour for limit, colour in HARM.items() if factor <= limit)


def mark(factor):
    """The same without colour: ▲ better, ▼ worse, nothing where it is not known."""
    return "" if not factor else "▲ " if factor < 1 else "▼ "


def in_words(label):
    """A label as people write it: self-distilled mean flow, eight Gaussians."""
    words = label.replace("_", " ").replace("self distilled", "self-distilled")
    return words.replace("gaussians", "Gaussians").replace("w2", "W2")


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


def in_text(label):
    """The colour of what a label names, dark enough for text; ink for nothing."""
    return IN_TEXT.get(color(label), color(label) or INK)


def plane(ax):
    """Make `ax` a view of the plane: always the same square."""
    ax.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal")
    frame(ax)


def frame(ax):
    """No ticks, and a line all around."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color="#cccccc", linewidth=2)  # at the edge of a picture its outer half is cut off


def dots(ax, points, color=SAMPLES, size=None):
    """Draw points (n, 2) as dots of that size; without one as few whole pixels, which weigh half as much."""
    few = ax.figure.get_figwidth() * (0.6 if len(points) <= 1000 else 0.4)
    ax.plot(*points[:SHOWN].detach().cpu().T.numpy(), "o" if size else "s", color=color, markersize=size or few,
            markeredgewidth=0, alpha=0.6)


def grid(n):
    """The centres of n × n tiles of the plane, row by row: (n², 2)."""
    ticks = (torch.arange(n) + 0.5) / n * 2 * LIMIT - LIMIT
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


@in_our_style
def planes(titles, width=None):
    """An empty plane for each title: a dict from title to picture, and the list of their axes."""
    pictures = {title: Figure(figsize=[width or abreast(len(titles))] * 2) for title in titles}
    axes = [fig.add_axes((0, 0, 1, 1)) for fig in pictures.values()]
    for ax in axes:
        plane(ax)
    return pictures, axes


def clouds(samples, target=None, method="mean_flow", width=None):
    """Samples side by side, in the colour of what their title names, else of `method`: a dict from title to points;
    `target` comes last."""
    panels = samples if target is None else {**samples, "target": target}
    pictures, axes = planes(panels, width)
    for ax, (title, points) in zip(axes, panels.items()):
        dots(ax, points, color(title, method))
    return pictures


def gallery(rows, method="mean_flow"):
    """Rows of small clouds: a dict from row label to (a dict from title to points), in the colour of what title or
    label name, else of `method`."""
    return {label: clouds(row, None, label if color(label) else method, abreast(4)) for label, row in rows.items()}


def part(dist, points):
    """The middle of the square or of the blob that each of the points (n, 2) is nearest to; the points themselves where
    the data are not made of a few such parts."""
    middles = dist.edges[dist.dark.nonzero()] + 0.5 if isinstance(dist, Checkerboard) else dist.means
    middles = middles.to(points)
    return middles[torch.cdist(points, middles).argmin(dim=1)] if len(middles) <= 12 else points


def by_place(places):
    """A colour for each of the places (n, 2), as (n, 3): the hue from its direction, dark near the middle and pale far
    out. What goes to one place then has one colour."""
    colours = AROUND(torch.atan2(places[:, 1], places[:, 0]).numpy() / (2 * math.pi) + 0.5)[:, :3]
    pale = ((places.norm(dim=1, keepdim=True) - 1.3) / 2).clamp(-0.5, 0.4).numpy()
    return (colours * (1 + pale.clip(max=0)) + pale.clip(min=0) * (1 - colours)).clip(0, 1)


def painted(panels, places, width=None):
    """The same points side by side, each in the colour of its place: a dict from title to points (n, 2), and the places
    (n, 2), or a dict from title to them."""
    pictures, axes = planes(panels, width)
    for ax, (title, points) in zip(axes, panels.items()):
        mine = places[title] if isinstance(places, dict) else places
        ax.scatter(*points[:SHOWN].T.numpy(), c=by_place(mine[:SHOWN]), s=2 if width else 3, linewidths=0)
    return pictures


def arrows(ax, starts, steps, color=INK, width=0.008):
    """Arrows from starts (n, 2) along steps (n, 2), in units of the plane."""
    ax.quiver(*starts.T.numpy(), *steps.T.numpy(), angles="xy", scale_units="xy", scale=1, color=color, width=width,
              minlength=0, zorder=3)


def polylines(paths, panels, method="flow_matching"):
    """Solvers side by side, as arrows over the true paths (k, m, 2) of the same m points: a dict from title to their
    states (n + 1, m, 2), in the colour of what the title names, else of `method`."""
    pictures, axes = planes(panels)
    for ax, (title, states) in zip(axes, panels.items()):
        colour = color(title, method)
        ax.plot(paths[..., 0].numpy(), paths[..., 1].numpy(), color=NOISE, linewidth=1.2)
        dots(ax, paths[0], NOISE, 5)
        dots(ax, paths[-1], DATA, 5)
        arrows(ax, states[:-1].flatten(0, 1), (states[1:] - states[:-1]).flatten(0, 1), colour, 0.006)
        ax.plot(*states[-1].T.numpy(), "o", color=colour, markersize=5, zorder=4)
    return pictures


@in_our_style
def heat(values, highest, label):
    """Maps over the plane on one scale: a dict from title to values (n²,) on `grid(n)`; NaN stays white."""
    pictures, axes = planes(values)
    for ax, value in zip(axes, values.values()):
        side = round(len(value) ** 0.5)
        image = ax.imshow(value.view(side, side).numpy(), origin="lower", cmap="cividis", vmin=0, vmax=highest,
                          extent=(-LIMIT, LIMIT) * 2)
    beyond = any((value > highest).any() for value in values.values())
    return pictures | scale(image, label, extend="max" if beyond else "neither")


@in_our_style
def scale(image, label, **options):
    """What the colours of an image say, as one more picture: a dict from its label."""
    fig = Figure(figsize=(2.5, 0.45))
    fig.colorbar(ScalarMappable(image.norm, image.cmap), cax=fig.add_axes((0.06, 0.6, 0.88, 0.4)),
                 orientation="horizontal", **options).minorticks_off()
    return {label: fig}


def mosaic(images, columns):
    """Square images (n, side²) in rows of `columns`, as one array, with a white pixel around each."""
    side = round(images.shape[1] ** 0.5)
    tiles = torch.nn.functional.pad(images.view(-1, columns, side, side), (1, 1, 1, 1), value=-1)
    return tiles.transpose(1, 2).reshape(-1, columns * (side + 2)).numpy()


@in_our_style
def sheets(panels, columns, width=None):
    """Sheets of images with pixels in [−1, 1], ink dark, in rows of `columns`: a dict from title to images (n, side²).
    `width` in inches, else as for squares."""
    pictures, width = {}, width or abreast(len(panels))
    for title, images in panels.items():
        page = mosaic(images, columns)
        pictures[title] = Figure(figsize=(width, width * page.shape[0] / page.shape[1]))
        ax = pictures[title].add_axes((0, 0, 1, 1))
        ax.imshow(page, cmap="gray_r", vmin=-1, vmax=1)
        frame(ax)
    return pictures


def near(ax, path):
    """Zoom in on one path (k, 2) and draw it, in grey."""
    ax.plot(*path.T.numpy(), color=NOISE, linewidth=1.5)
    low, high = path.amin(dim=0), path.amax(dim=0)
    (x, y), reach = ((low + high) / 2).tolist(), 0.7 * (high - low).max().item()
    ax.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach))


def end_names(ax, z_t, z_r):
    """The two ends of a chord, (2,) each, with their names, outside of it."""
    outward = (z_t - z_r) / (z_t - z_r).norm()
    for text, point, shift in (("$z_t$", z_t, 14 * outward), ("$z_r$", z_r, -14 * outward)):
        ax.plot(*point.tolist(), "o", color=INK, markersize=5, zorder=4)
        ax.annotate(text, point.tolist(), xytext=shift.tolist(), textcoords="offset points", fontsize=16, ha="center",
                    va="center")


def chord(ax, path, start, end):
    """A particle's path (k, 2), noise first, and the displacement z_t − z_r from its state `end` to state `start`."""
    near(ax, path)
    ax.plot(*path[start : end + 1].T.numpy(), color=DATA, linewidth=3)
    arrows(ax, path[[end]], path[[start]] - path[[end]], SAMPLES, 0.012)
    end_names(ax, path[start], path[end])


def swing(ax, path, z_r, z_t, ahead, tip):
    """A particle's path (k, 2) and a chord that swings about z_r (2,): the chord to z_t, the chord to where the path
    leads next, and where an arrow `tip` from z_t thinks that is; all (2,). A box has the tips, three times as large."""
    near(ax, path)
    lens = ax.inset_axes((0.56, 0.34, 0.42, 0.42), xticks=[], yticks=[])
    (x, y), reach = ((z_t + ahead) / 2).tolist(), 0.07 * (ax.get_xlim()[1] - ax.get_xlim()[0])
    lens.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach))
    lens.spines[:].set(visible=True, color=NOISE)
    ax.indicate_inset(lens.viewLim.bounds, edgecolor=NOISE)
    for view, width in ((ax, 0.012), (lens, 0.024)):
        view.plot(*path.T.numpy(), color=NOISE, linewidth=1.5)
        for start, end, colour in ((z_r, z_t, "#F0B890"), (z_r, ahead, SAMPLES), (z_t, z_t + tip, INK)):
            arrows(view, start[None], (end - start)[None], colour, width)
    end_names(ax, z_t, z_r)
