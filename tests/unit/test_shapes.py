"""Own data: what is given is what is drawn, upright and in view, and its velocity is exact."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps

from mfutils import mixture_of_picture, mixture_of_points, mixture_of_text
from mfutils.shapes import ink_of, mixture_of_file

SPECK = Image.new("L", (1000, 1000), "white")
SPECK.putpixel((500, 500), 0)
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


@pytest.mark.parametrize("light", [lambda x, y: 1 - 0.2 * x, lambda x, y: 1 - 0.25 * (x**2 + y**2) / 2],
                         ids=["from one side", "darker corners"])
def test_a_photo_of_a_pencil_drawing_keeps_the_drawing_alone(light):
    drawing = Image.new("L", (400, 300), 205)
    ImageDraw.Draw(drawing).ellipse([120, 80, 280, 220], outline=165, width=6)
    y, x = np.meshgrid(np.linspace(-1, 1, 300), np.linspace(-1, 1, 400), indexing="ij")
    grain = 2 * np.random.default_rng(0).standard_normal((300, 400))
    photo = Image.fromarray(np.uint8((np.asarray(drawing) * light(x, y) + grain).clip(0, 255)))
    ImageDraw.Draw(photo).rectangle([199, 149, 201, 151], fill=0)  # a speck
    means = mixture_of_picture(photo).means
    radius = (means / torch.tensor([2.0, 2 * 140 / 160])).norm(dim=1)  # 1 on the outer rim of the ellipse
    assert len(means) > 400
    assert ((radius > 0.85) & (radius < 1.1)).double().mean() > 0.98


def test_a_large_picture_is_shrunk_first(corner):
    large = corner.resize((8000, 4000))
    assert len(mixture_of_picture(large, k=400).means) == pytest.approx(400, rel=0.1)
    assert ink_of(large).shape == (500, 1000)
    assert large.size == (8000, 4000)  # the caller's is left as it was


def test_the_callers_opened_jpeg_is_left_as_it_was(tmp_path):
    page = Image.new("L", (4000, 2000), "white")
    ImageDraw.Draw(page).rectangle([0, 0, 999, 999], fill="black")
    page.save(tmp_path / "photo.jpg")
    with Image.open(tmp_path / "photo.jpg") as opened:
        by_picture = mixture_of_picture(opened, k=400)
        assert opened.size == (4000, 2000)
        assert opened.getpixel((10, 10)) < 50
        assert opened.getpixel((3990, 1990)) > 200
    by_name = mixture_of_picture(tmp_path / "photo.jpg", k=400)
    assert len(by_name.means) == pytest.approx(len(by_picture.means), rel=0.1)


def test_the_gaussians_are_as_wide_as_asked_and_cover_the_ink():
    assert set(mixture_of_points([[0, 0], [1, 1]]).sd.tolist()) == {0.06}
    assert set(mixture_of_points([[0, 0], [1, 1]], sd=0.2).sd.tolist()) == {0.2}
    square = Image.new("L", (220, 220), "white")
    ImageDraw.Draw(square).rectangle([10, 10, 209, 209], fill="black")
    mixture = mixture_of_picture(square, k=400)  # 20 × 20 cells, their centres 4 / 19 apart
    assert mixture.sd[0].item() == pytest.approx(2 / 19, rel=0.06)


def test_deep_grey_and_white_on_transparent(corner):
    expected = mixture_of_picture(corner).means
    deep = Image.fromarray(np.asarray(corner).astype(np.uint16) * 200 + 9000)
    assert torch.equal(mixture_of_picture(deep).means, expected)
    logo = Image.new("RGBA", corner.size, "white")
    logo.putalpha(ImageOps.invert(corner))
    assert torch.equal(mixture_of_picture(logo).means, expected)


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


def test_a_file_holds_a_picture(corner):
    file = io.BytesIO()
    corner.save(file, "PNG")
    assert torch.equal(mixture_of_file(file.getvalue()).means, mixture_of_picture(corner).means)


@pytest.mark.parametrize("text", [
    "1, 2\n3 4\n5,7",
    "x,y\n1,2\n3,4\n5,7\n",
    "\ufeff1;2\r\n3,0;4\r\n5;7",  # as a spreadsheet saves it where decimals have commas
    '"1"\t"2"\n3\t4\n5\t7',
])
def test_lists_of_points_come_in_many_ways(text):
    assert torch.equal(mixture_of_file(text.encode()).means, mixture_of_points([[1, 2], [3, 4], [5, 7]]).means)


@pytest.mark.parametrize(("make", "says"), [
    (lambda: mixture_of_points([[1, 2], [1, 2]]), "all be the same.*at least two"),
    (lambda: mixture_of_points([[1, 2, 3]]), r"shape \(n, 2\)"),
    (lambda: mixture_of_picture(Image.new("L", (9, 9))), "one colour.*dark parts"),
    (lambda: mixture_of_picture(SPECK), "nearly.*dark parts"),
    (lambda: mixture_of_text("  "), "empty; write"),
    (lambda: mixture_of_text("恐"), "font has no '恐'.*picture"),
    (lambda: mixture_of_text("word " * 200), "too long; write"),
    (lambda: mixture_of_file(b"1, 2, 3"), "two numbers in every line .here are 3"),
    (lambda: mixture_of_file(b"1, 2\n3, nan"), "not finite"),
    (lambda: mixture_of_file(b"x, y"), "two numbers in every line .it holds no numbers"),
    (lambda: mixture_of_file(b""), "it holds no numbers"),
    (lambda: mixture_of_file(TRUNCATED), "picture cannot be read"),
    (lambda: mixture_of_file(b"\xff\xfe\x00"), "neither a picture .* nor a list of points"),
])
def test_what_cannot_be_used_is_refused_with_advice(make, says):
    with pytest.raises(ValueError, match=says):
        make()
