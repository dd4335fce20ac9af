"""Own data: what is given is what is drawn, upright and in view, and its velocity is exact."""

import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, features

from mfutils import mixture_of_picture, mixture_of_points, mixture_of_text
from mfutils.shapes import ink_of, mixture_of_file, points_in

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


def test_of_many_points_a_thousand_are_kept_in_order_and_always_the_same():
    line = np.arange(5001)[:, None] * np.ones(2)
    means = mixture_of_points(line).means
    assert len(means) == 1000
    assert torch.equal(means[[0, -1]], torch.tensor([[-2.0, -2.0], [2.0, 2.0]], dtype=torch.float64))
    assert (means.diff(dim=0) > 0).all()
    torch.rand(1)
    assert torch.equal(mixture_of_points(line).means, means)
    assert len(mixture_of_points(line[:1000]).means) == 1000


@pytest.mark.parametrize("side", [45, 100, 222])
def test_of_points_row_by_row_no_pattern_is_left(side):
    """As np.argwhere gives a filled square. Points that line up make a wave as high as their number; a random thousand
    makes waves whose squares, in units of a thousand, are about exponential with mean 1."""
    means = mixture_of_points(np.argwhere(np.ones((side, side)))).means.numpy()
    pixels = (means + 2) / 4 * (side - 1)
    across, down = np.exp(2j * np.pi / side * pixels[..., None] * np.arange(side)).transpose(1, 0, 2)
    waves = np.abs(across.T @ down) ** 2 / len(means)
    assert waves[0, 0] == pytest.approx(1000)
    assert np.sort(waves.flatten())[-2] < 20


@pytest.mark.parametrize("form", [
    lambda a: np.argwhere(np.ones((3, 2)))[:, ::-1],
    lambda a: a[::-1].copy()[::-1],
    lambda a: a[:, ::-1].copy()[:, ::-1],
    lambda a: np.repeat(a, 2, axis=0)[::2],
    np.asfortranarray,
    lambda a: a.astype(">f4"),
    lambda a: a.astype(">i8"),
    lambda a: a.astype("f2"),
    lambda a: a.astype("u1"),
    lambda a: a.astype(object),
    np.ma.array,
    memoryview,
    lambda a: np.array(list(map(tuple, a)), dtype=[("x", int), ("y", ">f4")]),
    lambda a: torch.tensor(a, requires_grad=True),
    lambda a: torch.tensor(a).bfloat16(),
    lambda a: torch.tensor(a).to_sparse(),
])
def test_points_come_in_many_forms(form):
    array = np.array([[x, y] for y in range(3) for x in range(2)], dtype=float)
    assert torch.equal(mixture_of_points(form(array)).means, mixture_of_points(array.tolist()).means)


def test_points_are_not_changed_and_not_shared():
    array = np.array([[0.0, 0.0], [1.0, 3.0]])
    mixture = mixture_of_points(array)
    means = mixture.means.clone()
    assert array.tolist() == [[0, 0], [1, 3]]
    array[:] = 7
    assert torch.equal(mixture.means, means)


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


def disc(ground, ink):
    page = Image.new("RGB", (200, 200), ground)
    ImageDraw.Draw(page).ellipse([50, 40, 150, 140], fill=ink)
    return page


@pytest.mark.parametrize("colours", [((0, 100, 0), (196, 0, 0)), ("white", "yellow"), ("navy", "black")])
def test_colour_is_ink_even_where_lightness_is_the_same(colours):
    assert torch.equal(mixture_of_picture(disc(*colours)).means, mixture_of_picture(disc("white", "black")).means)


def test_coloured_light_is_no_ink():
    y, x = np.meshgrid(np.linspace(-1, 1, 200), np.linspace(-1, 1, 200), indexing="ij")
    lamp = np.stack([1 - 0.2 * x, 1 - 0.1 * y, 0.7 + 0.25 * x * y], axis=-1)  # warm on the left, cold on the right
    lit = Image.fromarray(np.uint8(np.asarray(disc((200, 200, 200), (200, 40, 200))) * lamp))
    means = mixture_of_picture(lit).means
    expected = mixture_of_picture(disc("white", "black")).means
    assert len(means) == pytest.approx(len(expected), rel=0.1)
    assert means.norm(dim=1).max() < 2.1


@pytest.mark.parametrize("grain", [2, 4])
def test_grain_in_colour_is_no_ink(grain):
    drawing = Image.new("RGB", (400, 300), (205, 200, 180))
    ImageDraw.Draw(drawing).ellipse([120, 80, 280, 220], outline=(165, 160, 145), width=6)
    noise = grain * np.random.default_rng(0).standard_normal((300, 400, 3))
    means = mixture_of_picture(Image.fromarray(np.uint8((np.asarray(drawing) + noise).clip(0, 255)))).means
    radius = (means / torch.tensor([2.0, 2 * 140 / 160])).norm(dim=1)  # 1 on the outer rim of the ellipse
    assert len(means) > 400
    assert ((radius > 0.85) & (radius < 1.1)).double().mean() > 0.98


def test_more_than_a_thousand_from_a_picture_are_a_thousand(corner):
    assert torch.equal(mixture_of_picture(corner, k=5000).means, mixture_of_picture(corner, k=1000).means)


def test_thin_lines_of_a_scan_in_black_and_white_survive_shrinking():
    scan = Image.new("1", (4000, 3000), "white")
    ImageDraw.Draw(scan).line([500, 1001, 3501, 1001], fill="black")
    ImageDraw.Draw(scan).line([1001, 500, 1001, 2501], fill="black")
    expected = mixture_of_picture(scan.convert("L")).means
    assert torch.equal(mixture_of_picture(scan).means, expected)
    assert torch.equal(mixture_of_picture(scan.convert("P")).means, expected)


def test_large_photos_are_taken_and_far_too_large_ones_refused(corner, tmp_path, monkeypatch):
    corner.save(tmp_path / "photo.png")
    corner.save(tmp_path / "photo.jpg")
    expected = mixture_of_picture(corner).means
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)  # Pillow warns above it, and refuses twice that
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(mixture_of_picture(tmp_path / "photo.png").means, expected)
        assert torch.equal(mixture_of_file((tmp_path / "photo.png").read_bytes()).means, expected)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30_000)
    for name in ("photo.png", "photo.jpg"):
        with pytest.raises(ValueError, match="cannot be read .* exceeds .* smaller one"):
            mixture_of_picture(tmp_path / name)
        with pytest.raises(ValueError, match="cannot be read .* exceeds .* smaller one"):
            mixture_of_file((tmp_path / name).read_bytes())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF"])
def test_a_damaged_picture_is_refused(kind, tmp_path):
    file = io.BytesIO()
    BLOTCHES.save(file, kind)
    (tmp_path / "part").write_bytes(file.getvalue()[:1500])
    with pytest.raises(ValueError, match="cannot be read .*PNG or JPEG"):
        mixture_of_picture(tmp_path / "part")
    with pytest.raises(ValueError, match="cannot be read .*PNG or JPEG"):
        mixture_of_file((tmp_path / "part").read_bytes())
    with Image.open(tmp_path / "part") as opened, pytest.raises(ValueError, match="cannot be read"):
        mixture_of_picture(opened)


def test_what_is_no_picture_is_refused_and_no_file_is_as_python_says(tmp_path):
    (tmp_path / "list.csv").write_text("1,2\n3,4")
    with pytest.raises(ValueError, match="no picture .*list.csv.*PNG or JPEG"):
        mixture_of_picture(str(tmp_path / "list.csv"))
    with pytest.raises(ValueError, match="got ndarray.*fromarray"):
        mixture_of_picture(np.zeros((9, 9)))
    with pytest.raises(FileNotFoundError):
        mixture_of_picture(tmp_path / "missing.png")


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


@pytest.mark.skipif(not features.check("raqm"), reason="no libraqm here")
def test_a_text_from_right_to_left_begins_on_the_right():
    x, y = mixture_of_text("לאאאא").means.T  # the first letter is the tall one
    assert y[x > 0].max() > y[x < 0].max()


@pytest.mark.parametrize("text", ["לא", "سلام", "a \u202eb"])
def test_a_text_from_right_to_left_is_refused_where_it_would_be_turned_round(text, monkeypatch):
    monkeypatch.setattr(ImageFont.core, "HAVE_RAQM", False)
    with pytest.raises(ValueError, match="FriBiDi.*right to left.*Install it"):
        mixture_of_text(text)
    assert len(mixture_of_text("Flow").means) > 400


def test_matplotlib_is_loaded_for_texts_alone():
    """It takes a second, and only its font is wanted."""
    code = "import sys, mfutils; mfutils.mixture_of_points([[0, 0], [1, 1]]); assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_holds_a_picture(corner):
    file = io.BytesIO()
    corner.save(file, "PNG")
    assert torch.equal(mixture_of_file(file.getvalue()).means, mixture_of_picture(corner).means)


@pytest.mark.parametrize("text", [
    "1, 2\n3 4\n5,7",
    "x,y\n1,2\n3,4\n5,7\n",
    "\ufeff1;2\r\n3,0;4\r\n5;7",  # as a spreadsheet saves it where decimals have commas
    '"1"\t"2"\n3\t4\n5\t7',
    "1,0 2,0\n3,0 4,0\n5,0 7,0",
    "1,0\t2\n3\t4,0\n5\t7",
    '"1,0","2,0"\n"3,0",4\n5,7',
    "1,\t2\n3,\t4\n5,\t7",
    "x;y;;\n1;2;;\n3;4;;\n5;7;;\n;;;\n",  # two empty columns, and empty rows
    ";x;y\n;1;2\n;3;4\n;5;7",  # the first column is empty
    "sep=;\nx;y\n1;2\n3;4\n5;7",
    "My points\n\nx,y\nm,m\n1,2\n3,4\n5,7",
    "My points\n,0,1\n0,1,2\n1,3,4\n2,5,7",
    '"x\n[m]";"y\n[m]"\n1;2\n3;4\n5;7',
    "P1 P2\n1 2\n3 4\n5 7",  # begins like a picture
    "2θ;I\n1;2\n3;4\n5;7",
    "[x],[y]\n1,2\n3,4\n5,7",
    "x,#\n1,2\n3,4\n5,7",
    "#x,#y\n1,2\n3,4\n5,7",
    '"#N","y"\n1,2\n3,4\n5,7',
    "# x y\n1 2 # start\n3 4\n#1\n5 7 #ok",
    "1,2\n#closed, it is\n3,4\n5,7",
    "1, 2;\n3, 4;\n5, 7;",
    '"","x","y"\n"1",1,2\n"2",3,4\n"3",5,7',  # R numbers the rows
    ",x,y\nfirst,1,2\nsecond,3,4\nthird,5,7",
    ",0,1\n0,1,2\n1,3,4\n2,5,7",  # pandas numbers rows and columns
    "0,1\n1.0,2.0\n3.0,4.0\n5.0,7.0",
    "0;1\n1,0;2,0\n3,0;4,0\n5,0;7,0",
])
def test_lists_of_points_come_in_many_ways(text):
    assert points_in(text.encode()) == [[1, 2], [3, 4], [5, 7]]
    assert torch.equal(mixture_of_file(text.encode()).means, mixture_of_points([[1, 2], [3, 4], [5, 7]]).means)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "cp850", "mac-roman", "utf-16", "utf-16-le",
                                      "utf-16-be", "utf-32"])
def test_lists_of_points_come_in_many_encodings(encoding):
    assert points_in("Länge\tGrün\r\n1,5\t2\r\n-3\t4,25".encode(encoding)) == [[1.5, 2], [-3, 4.25]]


def test_either_minus_sign_will_do():
    assert points_in("−1,5;2\n-3;−4".encode()) == [[-1.5, 2], [-3, -4]]


@pytest.mark.parametrize(("first", "others", "heading"), [
    ("0,1", [[500 + i, 700 + i * i] for i in range(9)], True),
    ("0,1", [[-500, -700], [-510, -720], [-520, -710]], True),
    ("0,1", [[0.25, 1.5], [-0.5, 0.75]], True),
    ("0,1", [[1e-5, 1.5], [-0.5, 2e-7]], True),
    ("0.0,1.0", [[0.25, 1.5], [-0.5, 0.75]], False),
    ("0.0,1.0", [[500, 700], [510, 720], [520, 710]], False),
    ("0,1", [[1, 0], [0, -1], [-1, 0]], False),  # a square on its corner
    ("0,1", [[5, 0], [5, 2]], False),
    ("0,1", [[1, 2], [2, 4], [3, 8]], False),
    ("0,1", [[0.5, 0.88], [1, 0.54]], False),  # a table of cos that leaves out noughts
    ("1,2", [[500, 700], [510, 720], [520, 710]], False),
])
def test_a_first_line_of_0_and_1_may_number_the_columns(first, others, heading):
    text = "\n".join([first, *(f"{x},{y}" for x, y in others)])
    assert points_in(text.encode()) == ([] if heading else [list(map(float, first.split(",")))]) + others


@pytest.mark.parametrize(("make", "says"), [
    (lambda: mixture_of_points([[1, 2], [1, 2]]), "all be the same.*at least two"),
    (lambda: mixture_of_points([[1, 2, 3]]), r"shape \(n, 2\)"),
    (lambda: mixture_of_points([]), r"shape \(n, 2\)"),
    (lambda: mixture_of_points([[1, 2], [3]]), r"real numbers, of shape \(n, 2\); got list \[\[1, 2\], \[3\]\]"),
    (lambda: mixture_of_points("abc"), "real numbers.*got str 'abc'"),
    (lambda: mixture_of_points(np.array([["1", "2"]])), "real numbers.*got ndarray"),
    (lambda: mixture_of_points(np.array([1 + 2j, 3])), "real numbers.*complex"),
    (lambda: mixture_of_points(np.zeros(2, [("x", float), ("name", "U3")])), "real numbers"),
    (lambda: mixture_of_points(torch.zeros(2, 2, device="meta")), "real numbers"),
    (lambda: mixture_of_points([[10**400, 1], [1, 2]]), "real numbers"),
    (lambda: mixture_of_points(np.ma.array(np.eye(2), mask=np.eye(2))), "masked.*compress_rows"),
    (lambda: mixture_of_points(np.ma.array(np.zeros(2, "i,i"), mask=[(0, 0), (0, 1)])), "masked.*compress_rows"),
    (lambda: mixture_of_points([[0, 0], [1, 2], [np.nan, 1], [3, None]]), "finite; 2 of 4 rows.*row 2.*Leave"),
    (lambda: mixture_of_points([[1e308, 0], [-1e308, 0]]), "nor further apart"),
    (lambda: mixture_of_picture(Image.new("L", (9, 9))), "one colour.*dark parts"),
    (lambda: mixture_of_picture(SPECK), "nearly.*dark parts"),
    (lambda: mixture_of_text("  "), "empty; write"),
    (lambda: mixture_of_text("恐"), "font has no '恐'.*picture"),
    (lambda: mixture_of_text("word " * 200), "too long; write"),
    (lambda: mixture_of_file(b"1, 2, 3"), "two numbers in every line .here are 3"),
    (lambda: mixture_of_file(b"1, 2\n3, nan"), "not finite: line 2, '3, nan'.*rows that lack a number"),
    (lambda: mixture_of_file(b"1,2\n3,inf"), "not finite: line 2, '3,inf'"),
    (lambda: mixture_of_file(b"nan,3\n1,2"), "not finite: line 1, 'nan,3'"),
    (lambda: mixture_of_file(b"x,y\n1,2\n\n#\n3,\n4,5"), "here are 1: line 5, '3,'"),
    (lambda: mixture_of_file(b"x,y\n1,2\n3,"), "here are 1: line 3, '3,'"),
    (lambda: mixture_of_file(b"x,y\n1,2\n,3"), "no number, or not finite: line 3, ',3'"),
    (lambda: mixture_of_file(b"x,y\nNA,NA\n1,2"), "no number, or not finite: line 2, 'NA,NA'"),
    (lambda: mixture_of_file(b"1;2\n#NV;3\n4;5"), "no number, or not finite: line 2, '#NV;3'"),
    (lambda: mixture_of_file(b"1,2\n#DIV/0!,#DIV/0!\n4,5"), "no number, or not finite: line 2"),
    (lambda: mixture_of_file(b"1,o5\n1,2"), "no number, or not finite: line 1, '1,o5'"),
    (lambda: mixture_of_file(b"x,y\n1,2\nx,y\n1,2"), "no number, or not finite: line 3, 'x,y'"),
    (lambda: mixture_of_file(b"5 cm;3 cm\n1;2"), "no number, or not finite: line 1"),
    (lambda: mixture_of_file(b"1.234,5;2\n1;2"), "no number, or not finite: line 1"),
    (lambda: mixture_of_file(b'"1,234","5,678"\n1,2'), "no number, or not finite: line 1"),
    (lambda: mixture_of_file(b",x,y\n0,5.0,\n1,6.0,"), "here are 1: line 2, '0,5.0,'"),
    (lambda: mixture_of_file(b"i,x,y\n0,1,2\n1,3,4"), "here are 3: line 2, '0,1,2'.*two columns"),
    (lambda: mixture_of_file(b"x;y\n1,2\n3,4,5"), "here are 3: line 3, '3,4,5'"),
    (lambda: mixture_of_file(b"1 2 " * 99), "here are 198: line 1, '(1 2 ){10} …'"),
    (lambda: mixture_of_file(b"PK\x03\x04\x14\x00\x06\x00"), "spreadsheet as CSV"),
    (lambda: mixture_of_file(b"a" * 200_000 + b",b"), "neither a picture"),
    (lambda: mixture_of_file(bytes(range(256)) * 99), "neither a picture"),
    (lambda: mixture_of_file(b"x, y"), "two numbers in every line .it holds no numbers"),
    (lambda: mixture_of_file(b""), "it holds no numbers"),
    (lambda: mixture_of_file(TRUNCATED), "picture cannot be read"),
    (lambda: mixture_of_file(b"\xff\xfe\x00"), "neither a picture .* nor a list of points"),
])
def test_what_cannot_be_used_is_refused_with_advice(make, says):
    with pytest.raises(ValueError, match=says):
        make()
