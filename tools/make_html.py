"""Write every notebook as one self-contained page, for a website or an e-mail: `make html`.

Nothing is fetched: formulas are MathML, pictures are embedded, and sliders show pictures that were drawn beforehand.
Name some to make only those: `python tools/make_html.py 01`.
"""

import html
import re
import sys
from pathlib import Path

import jupytext
import latex2mathml.converter
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

from course import run, sources
from mfutils.widgets.frames import SCRIPT

STYLE = (Path(__file__).parent / "page.css").read_text()
FOLD = """
for (const input of document.querySelectorAll(".code_cell .input")) {
  const [, title] = input.textContent.trim().match(/^# @title (.*)/) || []
  if (!title) continue
  const what = title == "Solution" ? input.closest(".code_cell") : input  // a solution with its output
  const fold = document.createElement("details")
  fold.append(Object.assign(document.createElement("summary"), { textContent: title }))
  what.replaceWith(fold)
  fold.append(what)
}
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body>{body}<script>{script}</script></body>
</html>
"""


class MathMLRenderer(IPythonRenderer):
    """Markdown as nbconvert renders it, with formulas as MathML instead of text for a script."""

    def inline_math(self, body):
        return latex2mathml.converter.convert(body)

    def block_math(self, body):
        return latex2mathml.converter.convert(body, display="block")


def markdown2html(source):
    source = re.sub(r"\((\d\d_\w+)\.ipynb\)", r"(\1.html)", source)
    source = re.sub(r"\[([^]]+)\]\(\.\./docs/\w+\.md\)", r"\1", source)  # the page stands alone
    return MarkdownWithMath(renderer=MathMLRenderer(escape=False)).render(source)


def page(notebook):
    """A notebook, which is executed, as an HTML page."""
    run(notebook, MFUTILS_PANELS="frames")
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.register_filter("markdown2html", markdown2html)
    body, _ = exporter.from_notebook_node(notebook)
    title = re.match(r"# (.*)", notebook.cells[0].source)[1]
    style = HtmlFormatter(style="friendly").get_style_defs(".highlight") + STYLE
    return PAGE.format(title=html.escape(title), style=style, body=body, script=SCRIPT + FOLD)


def main(target, names=()):
    target.mkdir(parents=True, exist_ok=True)
    for source in sources(names):
        path = target / f"{source.stem}.html"
        path.write_text(page(jupytext.read(source)))
        print(path, flush=True)


if __name__ == "__main__":
    main(Path("dist-html"), sys.argv[1:])
