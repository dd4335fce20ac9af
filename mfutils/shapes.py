"""Shapes as data: a text, a picture or a list of points as a mixture of Gaussians, so that its velocity is exact."""

import io
import math
import os
import unicodedata
import warnings

import numpy as np
import torch
from numpy.lib.recfunctions import structured_to_unstructured
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError, features

from .checks import check_points, describe, numbers
from .data import GaussianMixture
from .lists import points_in

REACH = 2.0  # the longer side of anything given spans [−REACH, REACH]
MOST = 1000  # components: each one costs time and memory wherever the exact velocity is asked for
SIDE = 1000  # pixels of a picture; a larger one is shrunk
MOST_CELLS = 4_000_000  # of the grid laid over a picture so that some k of its cells are ink
RIGHT_TO_LEFT = {"R", "AL", "RLE", "RLO", "RLI"}  # Unicode's classes of letters and marks


def mixture_of_points(points, sd=0.06):
    """A narrow Gaussian around every point, after centring and scaling into view.

    points: (k, 2), a list, a tensor or whatever NumPy holds, in any units, y upward. Of more than 1,000 a random 1,000
    are taken, in their order and the same ones every time: every tenth of points that come row by row would be stripes.
    sd: in units of the plane, where the points then span [−2, 2].
    Raises ValueError for what is no (k, 2) finite numbers, and for points that are all the same.
    """
    points = plane_points(points)
    if len(points) > MOST:
        points = points[np.sort(np.random.default_rng(0).choice(len(points), MOST, replace=False))]
    low, high = points.amin(dim=0), points.amax(dim=0)
    scale = 2 * REACH / (high - low).max()
    if not 0 < scale < math.inf:  # infinite for no distance, 0 for one that overflows
        raise ValueError("points must not all be the same, nor further apart than floating-point numbers reach; "
                         f"got x and y from {low.tolist()} to {high.tolist()}. Give at least two different ones.")
    return GaussianMixture((points - (low + high) / 2) * scale, sd)


def plane_points(points):
    """`points` as a finite float64 tensor (k, 2), else ValueError. Two named columns of NumPy's will do, too."""
    if isinstance(points, np.ma.MaskedArray) and np.ma.flatten_mask(np.ma.getmaskarray(points)).any():
        raise ValueError("points must not be masked, for what is under the mask is no point; got masked values. "
                         "Leave their rows out, as numpy.ma.compress_rows(points) does.")
    try:
        named = getattr(getattr(points, "dtype", None), "names", None)
        given = numbers(structured_to_unstructured(points) if named else points)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"points must be real numbers, of shape (n, 2); got {describe(points)} ({error}). "
                         "Give a list, an array or a tensor with one point in every row.") from None
    if given.ndim == 2 and not torch.isfinite(given).all():
        bad = (~torch.isfinite(given)).any(dim=1).nonzero().flatten().tolist()
        raise ValueError(f"points must be finite; {len(bad)} of {len(given)} rows hold NaN or infinity, row {bad[0]} "
                         "first. Leave those rows out.")
    check_points("points", given, d=2)
    return given


def mixture_of_picture(picture, k=500):
    """About k Gaussians over the ink of a picture; over greys, which are dithered, in proportion.

    Ink is what differs from the ground, in lightness or in colour, and the ground is what the rim shows: so white on
    black will do, and so will a photo of a drawing. Faint ink, less than a fifth of the strongest, counts as the grain
    of the paper.

    picture: a PIL image, or what `PIL.Image.open` takes (a file name, say). Transparent counts as white.
    k: more than 1,000 count as 1,000.
    Raises ValueError for what is no picture, a damaged or a far too large one, and one without ink.
    """
    try:
        ink = ink_in(picture)
    except UnidentifiedImageError:
        raise ValueError(f"The file is no picture that can be read here; got {picture!r}. "
                         "Save it as PNG or JPEG.") from None
    return mixture_of_ink(ink, k)


def mixture_of_ink(ink, k):
    """About k Gaussians over ink in [0, 1], (height, width), in proportion to it."""
    k = min(k, MOST)  # more would be thinned, and leave holes
    if ink.sum() < k * ink.size / MOST_CELLS:
        raise ValueError("The picture is of one colour, or nearly; give one with dark parts on a light ground.")
    size = (np.array(ink.shape[::-1]) * (k / ink.sum()) ** 0.5).round().astype(int).clip(1)
    paper = Image.fromarray(np.uint8(255 * (1 - ink))).resize(tuple(size), Image.Resampling.BOX)
    rows, columns = (~np.asarray(paper.convert("1"))).nonzero()
    cells = max(np.ptp(rows), np.ptp(columns), 1)
    return mixture_of_points(np.stack([columns, -rows], axis=1), sd=REACH / cells)  # half the spacing: no gaps


def ink_in(picture):
    """The ink of a PIL image or a file. UnidentifiedImageError for no picture, ValueError for one that is damaged or
    too large; what the file system says, that there is no such file, say, is passed on."""
    if not isinstance(picture, (Image.Image, str, bytes, os.PathLike)) and not hasattr(picture, "read"):
        raise ValueError("picture must be a PIL image, the name of a file or an open file; "
                         f"got {type(picture).__name__}. PIL.Image.fromarray makes an image of an array.")
    try:
        if isinstance(picture, Image.Image):
            return ink_of(picture)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # phones take 108 megapixels
            with Image.open(picture) as opened:
                opened.draft("RGB", (SIDE, SIDE))  # a large JPEG need not be read in full
                return ink_of(opened)
    except UnidentifiedImageError:
        raise
    except Exception as error:  # damaged files bring forth all kinds
        if getattr(error, "errno", None):
            raise
        raise ValueError(f"The picture cannot be read ({error}). Try a smaller one, below 100 megapixels, as PNG or "
                         "JPEG.") from None


def ink_of(picture):
    """How much each pixel differs from the ground, in [0, 1]: (height, width)."""
    picture = ImageOps.exif_transpose(picture)  # a copy, upright, as a phone took it
    if picture.mode.startswith(("I", "F")):  # more than 8 bits of grey
        deep = np.asarray(picture, dtype=float)
        picture = Image.fromarray(np.uint8(255 * (deep - deep.min()) / max(np.ptp(deep), 1e-9)))
    elif picture.mode in {"1", "P", "PA"}:
        picture = picture.convert("RGBA")  # else shrinking drops pixels, and thin lines of a scan with them
    picture.thumbnail((SIDE, SIDE))
    picture = picture.convert("RGBA")
    for colour in ("white", "black"):  # black only for a white picture on a transparent ground
        paper = Image.alpha_composite(Image.new("RGBA", picture.size, colour), picture)
        channels = np.asarray(paper.convert("RGB"), dtype=float).transpose(2, 0, 1)
        if np.ptp(channels, axis=(1, 2)).max() > 0:
            break
    grey = np.asarray(paper.convert("L"), dtype=float)
    difference = np.abs(grey - ground(grey))
    for channel in [] if (channels == grey).all() else channels:
        colour = np.abs(channel - ground(channel))
        difference = np.maximum(difference, colour - 4 * np.median(colour))  # less the grain: it is stronger in colours
    ink = difference / max(np.quantile(difference, 0.999), difference.max() / 4, 16)  # one speck does not set the scale
    return np.where(ink < 0.2, 0, ink).clip(max=1)


def ground(channel):
    """One channel of the picture without its ink: a quadratic surface through the pixels of its rim, since light falls
    off across a sheet of paper. Those that fit badly, because ink reaches the rim there, are left out, round by round.
    """
    height, width = channel.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    rim = (np.abs(x) == 1) | (np.abs(y) == 1)
    values, fits = channel[rim], np.full(6, 0.0)
    fits[0] = np.median(values)
    for _ in range(5):
        miss = np.abs(values - terms[rim] @ fits)
        near = miss <= max(2 * np.median(miss), 2)
        fits = np.linalg.lstsq(terms[rim][near], values[near])[0]
    return terms @ fits


def mixture_of_text(text, k=500):
    """About k Gaussians over a bold text; DejaVu's symbols (❀ ♞ ❄ ☎ ♫ ✈ …) make good targets too.

    Raises ValueError for no text, for more than 40 letters, and for one that cannot be drawn here.
    """
    from matplotlib.font_manager import findfont, get_font  # brings the font; slow to load, and only needed here

    if not text.strip() or len(text) > 40:
        raise ValueError(f"The text is {'too long' if text.strip() else 'empty'}; write a letter, a word or a symbol.")
    path = findfont("DejaVu Sans:bold")
    missing = [letter for letter in text if ord(letter) not in get_font(path).get_charmap()]
    if missing:
        raise ValueError(f"The font has no {missing[0]!r}; try another character, or a picture of this one.")
    if not features.check("raqm") and any(unicodedata.bidirectional(letter) in RIGHT_TO_LEFT for letter in text):
        raise ValueError("Without the library FriBiDi a text from right to left would be drawn in the wrong order. "
                         "Install it (apt install libfribidi0, brew install fribidi), or give a picture of the text.")
    font = ImageFont.truetype(path, 300)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("L", (right - left + 20, bottom - top + 20), "white")  # a white rim of 10 pixels
    ImageDraw.Draw(picture).text((10 - left, 10 - top), text, font=font, fill="black")
    return mixture_of_picture(picture, k)


def mixture_of_file(content):
    """The bytes of a picture, or of a list of points, two numbers in every line, as a mixture; else ValueError."""
    try:
        ink = ink_in(io.BytesIO(content))
    except (UnidentifiedImageError, ValueError) as no_picture:
        try:
            points = points_in(content)
        except ValueError as no_points:
            if isinstance(no_picture, ValueError):  # a picture, but damaged
                raise no_picture from None
            raise ValueError("The file is neither a picture (PNG, JPEG) nor a list of points, two numbers in every "
                             f"line ({no_points}). Save a photo as JPEG and a spreadsheet as CSV, with two columns and "
                             "no rows that lack a number.") from None
        return mixture_of_points(points)
    return mixture_of_ink(ink, k=500)
