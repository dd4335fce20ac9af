"""Shapes as data: a text, a picture or a list of points as a mixture of Gaussians, so that its velocity is exact."""

import io
import re

import numpy as np
import torch
from matplotlib.font_manager import findfont, get_font
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from .checks import check_points
from .data import GaussianMixture

REACH = 2.0  # the longer side of anything given spans [−REACH, REACH]
MOST = 1000  # components: each one costs time and memory wherever the exact velocity is asked for
SIDE = 1000  # pixels of a picture; a larger one is shrunk
MOST_CELLS = 4_000_000  # of the grid laid over a picture so that some k of its cells are ink


def mixture_of_points(points, sd=0.06):
    """A narrow Gaussian around every point, after centring and scaling into view.

    points: (k, 2), a list, an array or a tensor in any units, y upward; of more than 1,000 evenly spaced ones
    are taken.  sd: in units of the plane, where the points then span [−2, 2].
    """
    points = torch.as_tensor(np.asarray(points), dtype=torch.float64)
    check_points("points", points, d=2)
    points = points[torch.linspace(0, len(points) - 1, min(len(points), MOST)).long()]
    low, high = points.amin(dim=0), points.amax(dim=0)
    span = (high - low).max()
    if span == 0:
        raise ValueError("points must not all be the same; give at least two different ones.")
    return GaussianMixture((points - (low + high) / 2) * (2 * REACH / span), sd)


def mixture_of_picture(picture, k=500):
    """About k Gaussians over the ink of a picture; over greys, which are dithered, in proportion.

    Ink is what differs from the ground, and the ground is what the rim shows: so white on black will do, and so will
    a photo of a drawing. Faint ink, less than a fifth of the strongest, counts as the grain of the paper.

    picture: a PIL image, or what `PIL.Image.open` takes (a file name, say). Transparent counts as white.
    """
    if isinstance(picture, Image.Image):
        ink = ink_of(picture)
    else:
        with Image.open(picture) as opened:
            opened.draft("RGB", (SIDE, SIDE))  # a large JPEG need not be read in full
            ink = ink_of(opened)
    if ink.sum() < k * ink.size / MOST_CELLS:
        raise ValueError("The picture is of one colour, or nearly; give one with dark parts on a light ground.")
    size = (np.array(ink.shape[::-1]) * (k / ink.sum()) ** 0.5).round().astype(int).clip(1)
    paper = Image.fromarray(np.uint8(255 * (1 - ink))).resize(tuple(size), Image.Resampling.BOX)
    rows, columns = (~np.asarray(paper.convert("1"))).nonzero()
    cells = max(np.ptp(rows), np.ptp(columns), 1)
    return mixture_of_points(np.stack([columns, -rows], axis=1), sd=REACH / cells)  # half the spacing: no gaps


def ink_of(picture):
    """How much each pixel differs from the ground, in [0, 1]: (height, width)."""
    if picture.mode.startswith(("I", "F")):  # more than 8 bits of grey
        deep = np.asarray(picture, dtype=float)
        picture = Image.fromarray(np.uint8(255 * (deep - deep.min()) / max(np.ptp(deep), 1e-9)))
    picture = ImageOps.exif_transpose(picture)  # a copy, upright, as a phone took it
    picture.thumbnail((SIDE, SIDE))
    picture = picture.convert("RGBA")
    for colour in ("white", "black"):  # black only for a white picture on a transparent ground
        paper = Image.alpha_composite(Image.new("RGBA", picture.size, colour), picture)
        grey = np.asarray(paper.convert("L"), dtype=float)
        if np.ptp(grey) > 0:
            break
    difference = np.abs(grey - ground(grey))
    ink = difference / max(np.quantile(difference, 0.999), difference.max() / 4, 16)  # one speck does not set the scale
    return np.where(ink < 0.2, 0, ink).clip(max=1)


def ground(grey):
    """The picture without its ink: a quadratic surface through the pixels of its rim, since light falls off across
    a sheet of paper. Those that fit badly, because ink reaches the rim there, are left out, round by round."""
    height, width = grey.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    rim = (np.abs(x) == 1) | (np.abs(y) == 1)
    values, fits = grey[rim], np.full(6, 0.0)
    fits[0] = np.median(values)
    for _ in range(5):
        miss = np.abs(values - terms[rim] @ fits)
        near = miss <= max(2 * np.median(miss), 2)
        fits = np.linalg.lstsq(terms[rim][near], values[near])[0]
    return terms @ fits


def mixture_of_text(text, k=500):
    """About k Gaussians over a bold text; DejaVu's symbols (❀ ♞ ❄ ☎ ♫ ✈ …) make good targets too."""
    if not text.strip() or len(text) > 40:
        raise ValueError(f"The text is {'too long' if text.strip() else 'empty'}; write a letter, a word or a symbol.")
    path = findfont("DejaVu Sans:bold")
    missing = [letter for letter in text if ord(letter) not in get_font(path).get_charmap()]
    if missing:
        raise ValueError(f"The font has no {missing[0]!r}; try another character, or a picture of this one.")
    font = ImageFont.truetype(path, 300)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("L", (right - left + 20, bottom - top + 20), "white")  # a white rim of 10 pixels
    ImageDraw.Draw(picture).text((10 - left, 10 - top), text, font=font, fill="black")
    return mixture_of_picture(picture, k)


def mixture_of_file(content):
    """The bytes of a picture, or of a list of points, two numbers in every line, as a mixture."""
    try:
        return mixture_of_picture(io.BytesIO(content))
    except UnidentifiedImageError:
        pass
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"The picture cannot be read ({error}). Try a smaller one, as PNG or JPEG.") from None
    try:
        points = numbers(content.decode("utf-8-sig"))
    except ValueError as error:
        raise ValueError("The file is neither a picture (PNG, JPEG) nor a list of points, two numbers in every line "
                         f"({str(error).rstrip('.')}).") from None
    return mixture_of_points(points)


def numbers(text):
    """The numbers of every line, (lines, columns), between commas, semicolons or blanks, under a heading or none."""
    text = text.replace(",", ".") if ";" in text else text.replace(",", " ")  # 1,5; 2 as some spreadsheets write it
    lines = text.replace(";", " ").replace('"', " ").strip().splitlines()
    if lines and re.match(r"\s*[^\W\d]", lines[0]):
        lines = lines[1:]
    if not lines:
        raise ValueError("it holds no numbers")
    table = np.loadtxt(lines, ndmin=2)
    if table.shape[1] != 2:
        raise ValueError(f"here are {table.shape[1]}")
    if not np.isfinite(table).all():
        raise ValueError("some are not finite")
    return table
