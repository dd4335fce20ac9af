"""Your own data: a text, a picture or a list of points as a mixture of Gaussians, so that its velocity is exact."""

import io

import numpy as np
import torch
from matplotlib.font_manager import findfont, get_font
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from .checks import check_points
from .data import GaussianMixture

REACH = 2.0  # the longer side of anything given spans [−REACH, REACH]
MOST = 1000  # components: each one costs time and memory wherever the exact velocity is asked for
MOST_CELLS = 4_000_000  # of the grid laid over a picture so that some k of its cells are ink


def mixture_of_points(points, sd=0.06):
    """A narrow Gaussian around every point, after centring and scaling into view.

    points: (k, 2), a list, an array or a tensor in any units, y upward; of more than 1,000 evenly spaced ones
    are taken.  sd: in units of the plane, where the points then span [−2, 2].
    """
    points = torch.as_tensor(np.asarray(points), dtype=torch.float64)
    check_points("points", points)
    points = points[torch.linspace(0, len(points) - 1, min(len(points), MOST)).long()]
    low, high = points.amin(dim=0), points.amax(dim=0)
    span = (high - low).max()
    if span == 0:
        raise ValueError("points must not all be the same; give at least two different ones.")
    return GaussianMixture((points - (low + high) / 2) * (2 * REACH / span), sd)


def mixture_of_picture(picture, k=500):
    """About k Gaussians over the ink of a picture; over greys, which are dithered, in proportion.

    Ink is what differs from the ground, and the ground is what most of the rim shows: so white on black will do, and
    so will a photo of a drawing, since faint ink (less than a fifth) counts as the shadows and the grain of paper.

    picture: a PIL image, or what `PIL.Image.open` takes (a file name, say). Transparent counts as white.
    """
    if not isinstance(picture, Image.Image):
        picture = Image.open(picture)
    picture = ImageOps.exif_transpose(picture).convert("RGBA")  # upright, as a phone took it
    white = Image.new("RGBA", picture.size, "white")
    grey = np.asarray(Image.alpha_composite(white, picture).convert("L"), dtype=float)
    ground = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    ink = np.abs(grey - ground) / max(np.abs(grey - ground).max(), 1)
    ink[ink < 0.2] = 0
    if ink.sum() < k * ink.size / MOST_CELLS:
        raise ValueError("The picture is of one colour, or nearly; give one with dark parts on a light ground.")
    size = (np.array(picture.size) * (k / ink.sum()) ** 0.5).round().astype(int).clip(1)
    paper = Image.fromarray(np.uint8(255 * (1 - ink))).resize(tuple(size), Image.Resampling.BOX)
    rows, columns = (~np.asarray(paper.convert("1"))).nonzero()
    cells = max(np.ptp(rows), np.ptp(columns), 1)
    return mixture_of_points(np.stack([columns, -rows], axis=1), sd=REACH / cells)  # half the spacing: no gaps


def mixture_of_text(text, k=500):
    """About k Gaussians over a bold text; DejaVu's symbols (❀ ♞ ❄ ☎ ♫ ✈ …) make good targets too."""
    if not text.strip():
        raise ValueError("The text is empty; write a letter, a word or a symbol.")
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
    """The bytes of a picture, or of a text with two numbers in every line, as a mixture."""
    try:
        return mixture_of_picture(io.BytesIO(content))
    except UnidentifiedImageError:
        pass
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"The picture cannot be read ({error}). Try a smaller one, as PNG or JPEG.") from None
    try:
        points = np.loadtxt(content.decode().replace(",", " ").splitlines(), ndmin=2)
    except ValueError as error:
        raise ValueError("The file is neither a picture (PNG, JPEG) nor a list of points, two numbers in every line "
                         f"({str(error).rstrip('.')}).") from None
    return mixture_of_points(points)
