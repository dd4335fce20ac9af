"""An extension of Sphinx for the website: what its theme and myst-nb leave to be wished, mended in the pages' HTML."""

import re
import shutil
from pathlib import Path

FOLD = re.compile(r'<details class="admonition hide[^>]*>\s*<summary[^>]*>\s*<p[^>]*>(.*?)</p>.*?</summary>', re.DOTALL)
MATHS = re.compile(r'\(?<span class="math notranslate nohighlight">[^<]*</span>[-,.;:?!)’”]+')  # no line ends inside
ICONS = {  # strokes in a square of 24
    "bars": "M3 6h18M3 12h18M3 18h18",
    "list": "M9 6h12M9 12h12M9 18h12M3 6h2M3 12h2M3 18h2",
    "magnifying-glass": "M15 15l6 6M3.5 10a6.5 6.5 0 1 0 13 0a6.5 6.5 0 1 0-13 0",
    "sun": "M7.5 12a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0M12 1v3M12 20v3M1 12h3M20 12h3M4.2 4.2l2.1 2.1M17.7 17.7l2.1 2.1"
           "M4.2 19.8l2.1-2.1M17.7 6.3l2.1-2.1",
    "moon": "M20.5 14A9 9 0 1 1 10 3.5A7 7 0 0 0 20.5 14z",
    "circle-half-stroke": "M3 12a9 9 0 1 0 18 0a9 9 0 1 0-18 0M12 3v18M14 4v16M16 5v14M18 6.5v11M19.5 9v6",
    "expand": "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
    "download": "M12 3v12M6 10l6 6 6-6M4 21h16",
    "file": "M5 2h9l5 5v15H5zM14 2v5h5",
    "file-pdf": "M5 2h9l5 5v15H5zM14 2v5h5M9 13h6M9 17h6",
    "arrow-up": "M12 21V4M5 11l7-7 7 7",
    "angle-left": "M15 5l-7 7 7 7",
    "angle-right": "M9 5l7 7-7 7",
    "rocket": "M8 13C9 7 14 3 21 3c0 7-4 12-10 13zM8 13l-4 1 3-4h2M11 16l-1 4 4-3v-2M3 21l3-3",
    "github": "M6 8v8M4 5a2 2 0 1 0 4 0a2 2 0 1 0-4 0M4 19a2 2 0 1 0 4 0a2 2 0 1 0-4 0M16 6a2 2 0 1 0 4 0a2 2 0 1 0-4 0"
              "M18 8c0 5-12 2-12 8",
}


def mend(_app, _docname, _template, context, _doctree):
    if "body" in context:
        body = FOLD.sub(fold, context["body"])
        body = MATHS.sub(r'<span class="together">\g<0></span>', body)
        body = re.sub('(?<=<span class="pre">)[^<]+', lambda name: re.sub("[_/]", r"\g<0><wbr>", name[0]), body)
        context["body"] = re.sub("<table.*?</table>", labelled, body, flags=re.DOTALL)


def fold(summary):
    """What is pressed to open a folded cell: its title where there is something to do, else "code", small."""
    title = summary[1] if summary[1].startswith(("Solution", "Check")) else (
        f'<small>code<span class="visually-hidden">: {summary[1]}</span></small>')
    return f'<details class="hide"><summary>{title}</summary>'


def labelled(table):
    """A table whose cells know the name of their column: in a narrow window each row is a card, see site.css."""
    head, body = table[0].split("</thead>")
    names = [re.sub(r"<[^>]*>|\\[()]", "", name).strip().replace('"', "&quot;")
             for name in re.findall("<th[ >].*?</th>", head, re.DOTALL)]

    def row(cells):
        name = iter(names)
        return re.sub("<t[dh](?=[ >])", lambda cell: f'{cell[0]} data-label="{next(name)}"', cells[0])

    body = re.sub("<tr.*?</tr>", row, body, flags=re.DOTALL)
    return f"{head}</thead>{body}".replace("± ", "±&#8239;")  # a spread stays with its sign


def icon(element):
    """An icon of the theme as a drawing; its own script, with every icon there is, weighs 1.5 MB."""
    (strokes,) = (ICONS[name] for name in re.findall(r"fa-([\w-]+)", element[1]) if name in ICONS)
    return f'<svg{element[1]} viewBox="0 0 24 24" aria-hidden="true"><path d="{strokes}"/></svg>'


def draw_icons(app, error):
    """In whole pages, for the icons stand in the theme's part of them."""
    for path in [] if error else Path(app.outdir).rglob("*.html"):
        page = re.sub('<script [^>]*fontawesome.js[^>]*></script>', "", path.read_text("utf-8"))
        path.write_text(re.sub(r'<(?:i|span)( class="[^"]*\bfa-[^>]*)></(?:i|span)>', icon, page), "utf-8")
    for path in (Path(app.outdir) / "_static").rglob("*fontawesome*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def setup(app):
    app.connect("html-page-context", mend)
    app.connect("build-finished", draw_icons)
    return {"parallel_read_safe": True}
