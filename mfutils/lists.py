"""Lists of points as people save them: a text with two numbers in every line, by a program or a spreadsheet."""

import codecs
import csv
import math
import re

import numpy as np

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
         codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # the first that fits: UTF-16's begins UTF-32's
MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "--", ".", "?"}  # no words of a heading, and no numbers
SPREADSHEET_ERROR = re.compile(r"#([^\W\d]/?[^\W\d]|\S*[!?])")  # #N/A, #NV, #DIV/0!, #NAME?
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")


def points_in(content):
    """The points, [(x, y), …], in the bytes of a text: two numbers in every line, as spreadsheets and programs write.

    They stand between semicolons, tabs, commas or blanks, in quotes or not, with decimal commas where these separate
    nothing. Headings are left out, and what follows a #, and a first column without heading under others with one: it
    numbers the rows. ValueError says which line is none of this.
    """
    lines = decoded(content).splitlines()
    bare = [line.partition("#")[0].strip(" \t;,") for line in lines]
    counts = {sign: sum(sign in line for line in bare) for sign in ";\t,"}
    delimiters = sorted(filter(counts.get, counts), key=counts.get, reverse=True) + [" "]
    if any(line and "," not in line for line in bare):
        delimiters.append(", ")  # commas in some lines, blanks in others
    complaints = []
    for delimiter in delimiters:
        try:
            return table(lines, delimiter)
        except ValueError as complaint:
            complaints.append(complaint)
    raise complaints[0]


def decoded(content):
    """The text of some bytes: as its mark says, as UTF-8, or as Windows writes it: only headings can hang on that."""
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding)
    if b"\0" in content[:2]:
        return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def table(lines, delimiter):
    """The two numbers of every line without headings and the numbers of rows; ValueError names a line without them."""
    filled = [(place, cells) for place, line in enumerate(lines) if any(cells := row(line, delimiter))]
    places, rows = [place for place, _ in filled], [cells for _, cells in filled]
    top = next((i for i, cells in enumerate(rows) if not is_heading(cells)), len(rows))
    top += numbers_columns(rows[top:])
    skip = int(top > 0 and len(rows[top - 1]) == 3 and not rows[top - 1][0])
    points = []
    for place, cells in zip(places[top:], rows[top:]):
        pair = [number(cell) for cell in cells[skip:]]
        if len(pair) != 2 or not all(map(math.isfinite, pair)):
            wrong = f"here are {len(pair)}" if len(pair) != 2 else "here is what is no number, or not finite"
            line = lines[place] if len(lines[place]) <= 40 else lines[place][:40] + " …"
            raise ValueError(f"{wrong}: line {place + 1}, {line!r}")
        points.append(pair)
    if not points:
        raise ValueError("it holds no numbers")
    return points[top == 0 and labels_columns(rows, points):]


def row(line, delimiter):
    """The cells of a line before any comment; but a spreadsheet's #N/A is none, or its row would vanish unseen."""
    cells = split(line, delimiter)
    if delimiter != " " and len(cells) > 1 and all(
            SPREADSHEET_ERROR.fullmatch(cell) or not math.isnan(number(cell)) for cell in cells):
        return cells
    return split(line.partition("#")[0], delimiter)


def split(line, delimiter):
    """The cells of a line with decimal points, and without separators at its end. For the delimiter " " commas are
    decimal, and for ", " they separate like blanks."""
    line = line.rstrip(" \t;,")
    if delimiter not in ";\t,":
        return line.replace('"', " ").replace(",", "." if delimiter == " " else " ").split()
    try:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:  # the bytes are no text
        return [line]
    unclear = delimiter == ","  # what "1,234" is, in quotes
    return [cell if unclear and THOUSANDS.fullmatch(cell) else cell.replace(",", ".") for cell in cells]


def number(cell):
    """What a cell says, with either minus sign; NaN for what is no number."""
    try:
        return float(re.sub("[−–]", "-", cell))
    except ValueError:
        return math.nan


def is_heading(cells):
    """Whether some cell is a word, and none a number; what begins like a number may be one in other clothes."""
    if not any(letter.isalpha() for cell in cells for letter in cell):
        return False  # "$1", "(1.5)", "- 5": no words, so perhaps numbers
    return all(math.isnan(number(cell)) for cell in cells) and any(
        cell.lower() not in MISSING and not re.match(r"[+−-]?[.,]?\d", cell) and not SPREADSHEET_ERROR.fullmatch(cell)
        for cell in cells)


def numbers_columns(rows):
    """Whether the first row numbers columns, over an empty corner above the rows' numbers: ,0,1 as pandas writes it."""
    return len(rows) > 1 and len(rows[0]) == 3 and not rows[0][0] and all(cells[0] for cells in rows[1:])


def labels_columns(rows, points):
    """Whether the first row is 0, 1 as pandas heads columns without names, and no point: all below are written with
    decimals, as a point would be, 0.0, 1.0; or they lie apart from it, by more than half the longer side of their span.
    """
    if rows[0] != ["0", "1"] or len(rows) < 3:
        return False
    if all(re.search(r"[.eE]", cell) for cells in rows[1:] for cell in cells):
        return True
    low, high = np.min(points[1:], axis=0), np.max(points[1:], axis=0)
    return len(rows) > 3 and bool(np.max([low - points[0], points[0] - high]) > np.max(high - low) / 2)
