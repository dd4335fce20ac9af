"""Own data: what is given is what is drawn, upright and in view, and its velocity is exact."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps

from mfutils import mixture_of_picture, mixture_of_points, mixture_of_text
from mfutils.own import mixture_of_file

SPECK = Image.new("L", (100, 100), "white")
SPECK.putpixel((50, 50), 0)
BLOTCHES = Image.effect_noise((99, 99), 50)
file = io.BytesIO()
BLOTCHES.save(file, "PNG")
TRUNCATED = file.getvalue()[:2000]


@pytest.fixture
def corner():
    """A black square in the upper left of a wide white page, and a thin black line below on the right."""
    page = Image.new("L", (400, 200), "white")
    ImageDraw.Draw(page).rectangle([0, 0, 99, 99], fill="black")
    ImageDraw.Draw(page).rectangle([390, 190, 399, 199], fill="black")
    return page


def test_points_are_centred_scaled_and_kept_in_proportion():
    means = mixture_of_points([[10, 0], [30, 0], [10, 10]]).means
    assert torch.equal(means, torch.tensor([[-2.0, -1.0], [2.0, -1.0], [-2.0, 1.0]], dtype=torch.float64))


def test_of_many_points_a_thousand_even_ones_are_kept():
    line = np.arange(5001)[:, None] * np.ones(2)
    means = mixture_of_points(line).means
    assert len(means) == 1000
    assert torch.equal(means[[0, -1]], torch.tensor([[-2.0, -2.0], [2.0, 2.0]], dtype=torch.float64))


def test_a_picture_is_upright_and_in_proportion(corner):
    mixture = mixture_of_picture(corner, k=400)
    upper_left = (mixture.means[:, 0] < 0) & (mixture.means[:, 1] > -0.05)
    assert 350 < len(mixture.means) < 450
    assert upper_left.double().mean() == pytest.approx(100 / 101, abs=0.01)  # the share of the ink
    assert mixture.means.amax(dim=0).tolist() == pytest.approx([2.0, 1.0], abs=0.06)


def test_a_filled_area_has_no_holes(corner):
    mixture = mixture_of_picture(corner, k=400)
    inside = torch.rand(500, 2, dtype=torch.float64) * 0.6 + torch.tensor([-1.8, 0.2])
    density = mixture.density(inside)
    assert density.max() < 1.1 * density.min()


def test_grey_counts_in_proportion():
    page = Image.new("L", (220, 120), "white")
    ImageDraw.Draw(page).rectangle([10, 10, 109, 109], fill=0)
    ImageDraw.Draw(page).rectangle([110, 10, 159, 109], fill=192)  # a quarter as dark as black
    means = mixture_of_picture(page, k=600).means
    x = (means[:, 0] - means[:, 0].min()) / (means[:, 0].max() - means[:, 0].min())  # [0, 1] over 150 columns
    assert (x > 2 / 3).double().mean() == pytest.approx(0.125 / 1.125, abs=0.03)


def test_light_on_dark_counts_like_dark_on_light(corner):
    assert torch.equal(mixture_of_picture(ImageOps.invert(corner)).means, mixture_of_picture(corner).means)


def test_a_photo_of_a_drawing_keeps_the_drawing_alone(corner):
    light = 0.9 - 0.15 * np.linspace(0, 1, 400)[None, :] + 0.01 * np.random.default_rng(0).standard_normal((200, 400))
    photo = Image.fromarray(np.uint8(255 * light.clip(0, 1) * (0.15 + 0.85 * np.asarray(corner) / 255)))
    means = mixture_of_picture(photo, k=400).means
    x, y = (means - mixture_of_picture(corner, k=400).means.amin(dim=0)).T
    in_square, in_dot = (x < 1.1) & (y > 0.9), (x > 3.8) & (y < 0.2)
    assert in_square.double().mean() > 0.98
    assert (in_square | in_dot).all()


def test_transparent_is_white():
    page = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    ImageDraw.Draw(page).ellipse([0, 0, 99, 99], fill=(0, 0, 0, 255))
    means = mixture_of_picture(page).means
    assert means.norm(dim=1).max() < 2.1  # a disc, without the square's corners


def test_a_text_reads_from_left_to_right():
    means = mixture_of_text("I.").means
    left, right = means[means[:, 0] < 0], means[means[:, 0] > 0]
    assert left[:, 1].max() > right[:, 1].max() + 0.5
    assert abs(left[:, 1].min() - right[:, 1].min()) < 0.15  # both stand on the line


def test_files_hold_pictures_or_points(corner):
    file = io.BytesIO()
    corner.save(file, "PNG")
    assert torch.equal(mixture_of_file(file.getvalue()).means, mixture_of_picture(corner).means)
    assert torch.equal(mixture_of_file(b"1, 2\n3 4\n5,7").means, mixture_of_points([[1, 2], [3, 4], [5, 7]]).means)


@pytest.mark.parametrize(("make", "says"), [
    (lambda: mixture_of_points([[1, 2], [1, 2]]), "all be the same.*at least two"),
    (lambda: mixture_of_points([[1, 2, 3]]), r"shape \(n, 2\)"),
    (lambda: mixture_of_picture(Image.new("L", (9, 9))), "one colour.*dark parts"),
    (lambda: mixture_of_picture(SPECK), "nearly.*dark parts"),
    (lambda: mixture_of_text("  "), "empty; write"),
    (lambda: mixture_of_text("恐"), "font has no '恐'.*picture"),
    (lambda: mixture_of_file(b"1, 2, 3"), r"shape \(n, 2\)"),
    (lambda: mixture_of_file(b"x, y"), "two numbers in every line"),
    (lambda: mixture_of_file(TRUNCATED), "picture cannot be read"),
    (lambda: mixture_of_file(b"\xff\xfe\x00"), "neither a picture .* nor a list of points"),
])
def test_what_cannot_be_used_is_refused_with_advice(make, says):
    with pytest.raises(ValueError, match=says):
        make()
