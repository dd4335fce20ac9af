"""The website, by Sphinx: `make site` builds it from these pages and the executed notebooks, and runs nothing."""

import html
import json
import re
import tomllib
from pathlib import Path

from docutils import nodes

HERE = Path(__file__).parent
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))
TAG = "v" + PROJECT["project"]["version"]
REPOSITORY, SITE = PROJECT["tool"]["mean-flows"]["repository"], PROJECT["tool"]["mean-flows"]["site"]
PICTURE = re.compile(r'<img alt="([^"]*)" width="(\d+)" src="data:image/png;base64,([^"]*)">')
OUTSIDE = re.compile(r"\[([^]]+)\]\(\.\./([^)]+)\)")  # a link to a file that is not on the site

project = html_title = "Mean Flows"
root_doc = "index"
extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx.ext.githubpages", "sphinx-mathjax-offline",
              "sphinxext.opengraph", "sphinx_design", "sphinx_copybutton"]
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "dollarmath", "substitution"]
myst_heading_anchors = 3
myst_update_mathjax = False  # MathJax's own defaults do; others would be a script in the page, see policy.js
myst_substitutions = {
    "clone": f"a clone of [the repository]({REPOSITORY})" if REPOSITORY else "the folder of the course",
    "colab": "Press the rocket above any notebook, then *Colab*." if REPOSITORY else
             "In the folder of the course, `make colab` writes notebooks that stand alone: *File > Upload* one.",
}

html_theme = "sphinx_book_theme"
html_context = {"default_mode": "light"}  # without scripts; else policy.js asks the reader's system
html_logo = html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["policy.js", "panels.js"]
html_baseurl = SITE
html_use_index = False
html_show_search_summary = False  # summaries are fetched, which a page opened from a folder may not do
html_theme_options = {
    "repository_url": REPOSITORY,
    "repository_branch": TAG,
    "use_repository_button": bool(REPOSITORY),
    "launch_buttons": {"colab_url": "https://colab.research.google.com", "binderhub_url": "https://mybinder.org",
                       "notebook_interface": "jupyterlab"} if REPOSITORY else {},
    "logo": {"text": "Mean Flows"},
    "footer_content_items": ["extra-footer.html"],
    "extra_footer": "A course about MeanFlow, independent of the authors of the method. MIT licence.",
    "navbar_persistent": [],  # one search field is enough
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

ogp_site_url = SITE
ogp_image = "_static/card.png"
ogp_image_alt = "Noise on the left, arrows in the middle, and on the right the checkerboard where they end."
ogp_custom_meta_tags = ['<meta property="og:image:width" content="1200">',
                        '<meta property="og:image:height" content="630">',
                        '<meta name="twitter:card" content="summary_large_image">']


def for_the_site(app, docname, source):
    """A page or a notebook as the site shows it. What is downloaded stays as it is."""
    if not docname.startswith("notebooks/"):
        source[0] = OUTSIDE.sub(outside, source[0].replace("](../notebooks/", "](notebooks/"))
        return
    notebook = json.loads(source[0])
    notebook["cells"] = [cell for cell in notebook["cells"] if "colab" not in cell["metadata"].get("tags", [])]
    for cell in notebook["cells"]:
        text = cell["source"] = "".join(cell["source"]).replace("](../docs/", "](../")
        tags = cell["metadata"].get("tags", [])
        if title := re.match("# @title (.*)\n", text):  # folded in JupyterLab; a solution with its output
            cell["metadata"]["tags"] = ["hide-cell" if "solution" in tags else "hide-input"]
            cell["metadata"]["mystnb"] = {"code_prompt_show": title[1], "code_prompt_hide": title[1]}
        panel = f"{docname.removeprefix('notebooks/')}.{cell['id']}"
        if (path := HERE / "_static" / "panels" / f"{panel}.js").exists():
            frames = json.loads(path.read_text("utf-8").split(" = ", 1)[1])
            markup = frames["markup"].replace("<figure", f'<figure data-frames="{panel}"')
            cell["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": {"text/html": markup}}]
        for output in cell.get("outputs", []):
            if picture := PICTURE.search("".join(output.get("data", {}).get("text/html", ""))):  # a file on the site
                output["data"] = {"image/png": picture[3]}
                output["metadata"] = {"image/png": {"width": int(picture[2])}}
    source[0] = json.dumps(notebook)


def describe_pictures(app, doctree):
    """The alternative texts of a notebook's pictures: myst-nb knows only of one for a cell."""
    if app.env.docname.startswith("notebooks/"):
        notebook = json.loads(Path(app.env.doc2path(app.env.docname)).read_text("utf-8"))
        alts = [html.unescape(picture[1]) for cell in notebook["cells"] for output in cell.get("outputs", [])
                if (picture := PICTURE.search("".join(output.get("data", {}).get("text/html", ""))))]
        for image, alt in zip(doctree.findall(nodes.image), alts, strict=True):
            image["alt"] = alt


def outside(link):
    """A link to a file of the repository; without an address, its text."""
    return f"[{link[1]}]({REPOSITORY}/blob/{TAG}/{link[2]})" if REPOSITORY else link[1]


def finish(app, docname, _template, context, _doctree):
    """Scripts that only one page needs; and folded cells go by their title, not by myst-nb's name for all of them."""
    for name in {"index": ["hero-data.js", "hero.js"], "results": ["sort.js"]}.get(docname, []):
        app.add_js_file(name)
    if "body" in context:
        context["body"] = context["body"].replace('<summary aria-label="Toggle hidden content">', "<summary>")


def setup(app):
    app.connect("source-read", for_the_site)
    app.connect("doctree-read", describe_pictures)
    app.connect("html-page-context", finish)
