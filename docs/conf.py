"""The website, by Sphinx: `make site` builds it from these pages and the executed notebooks, and runs nothing."""

import base64
import hashlib
import json
import re
import tomllib
from functools import partial
from pathlib import Path

from mfutils.show.canvas import HERE as SHOW
from mfutils.show.canvas import page_script
from mfutils.show.panel import PANEL

HERE = Path(__file__).parent
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))
TAG = "v" + PROJECT["project"]["version"]
REPOSITORY, SITE = PROJECT["tool"]["mean-flows"]["repository"], PROJECT["tool"]["mean-flows"]["site"]
PICTURE = re.compile(r'src="data:image/png;base64,([^"]*)"')
THUMBNAILS = {  # which of a page's pictures stands on the front page
    "01_flow": 15, "02_average_velocity": 6, "03_flow_matching": 12, "04_mean_flow": 17, "05_comparison": 7,
    "06_playground": 0, "07_inside_the_loss": 3, "08_break_it": 7, "09_flow_maps": 0,
    "10_pixels": 1, "11_density": 1}
OUTSIDE = re.compile(r"\[([^]]+)\]\(\.\./([^)]+)\)")  # a link to a file that is not on the site

project = html_title = "Mean Flows"
root_doc = "index"
extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx.ext.githubpages", "sphinx-mathjax-offline",
              "sphinxext.opengraph", "sphinx_design", "sphinx_copybutton", "tools.frame"]
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
html_css_files = ["canvas.css", "panels.css", "site.css"]
html_js_files = ["policy.js", ("canvas.js", {"defer": "defer"}), ("panels.js", {"defer": "defer"})]
html_baseurl = SITE
html_use_index = False
html_search_scorer = str(HERE / "scorer.js")
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
    stem, notebook = docname.removeprefix("notebooks/"), json.loads(source[0])
    notebook["cells"] = [cell for cell in notebook["cells"] if "colab" not in cell["metadata"].get("tags", [])]
    pictures = []
    for cell in notebook["cells"]:
        text = cell["source"] = "".join(cell["source"]).replace("](../docs/", "](../")
        tags = cell["metadata"].get("tags", [])
        if title := re.match("# @title (.*)\n", text):  # folded in JupyterLab; a solution with its output
            cell["source"] = text.removeprefix(title[0])
            cell["metadata"]["tags"] = ["hide-cell" if "solution" in tags else "hide-input"]
            cell["metadata"]["mystnb"] = {"code_prompt_show": title[1], "code_prompt_hide": title[1]}
            cell["outputs"] = [output for output in cell["outputs"]  # nobody can answer here
                               if not "".join(output.get("text", "")).startswith("Not answered yet")]
        for output in cell.get("outputs", []):
            if panel := output.get("data", {}).get(PANEL):  # a file on the site, loaded when it is about to be seen
                name = f"{stem}.{cell['id']}"
                write_static(app, f"panels/{name}.js", f"panels[{json.dumps(name)}] = {json.dumps(panel)}\n")
                own = ' id="draw" data-address' if panel["scene"] == "draw" else ""  # a drawing can be linked to
                output["data"] = {"text/html": f'<figure class="panel" data-panel="{name}"{own}></figure>'}
        for output in cell.get("outputs", []):
            if page := "".join(output.get("data", {}).get("text/html", "")):
                pictures += PICTURE.findall(page)
                output["data"]["text/html"] = PICTURE.sub(partial(picture_file, app), page)
    write_static(app, f"pictures/{stem}.png", base64.b64decode(pictures[THUMBNAILS.get(stem, 0)]))  # for the front page
    source[0] = json.dumps(notebook)


def picture_file(app, picture):
    """A picture of a notebook as a file, so that the page is small: for its data, the address."""
    name = f"pictures/{hashlib.sha256(picture[1].encode()).hexdigest()[:16]}.png"
    write_static(app, name, base64.b64decode(picture[1]))
    return f'src="../_static/{name}" loading="lazy"'


def write_static(app, name, content):
    """A file of the site's _static folder that stands nowhere before."""
    path = Path(app.outdir) / "_static" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_canvas(app):
    """What draws the panels, the same as in a notebook."""
    write_static(app, "canvas.js", page_script())
    write_static(app, "canvas.css", (SHOW / "canvas.css").read_text("utf-8"))


def outside(link):
    """A link to a file of the repository; without an address, its text."""
    return f"[{link[1]}]({REPOSITORY}/blob/{TAG}/{link[2]})" if REPOSITORY else link[1]


def finish(app, docname, _template, context, _doctree):
    """Scripts that only some pages need."""
    if docname == "results":
        app.add_js_file("sort.js")
    if docname.startswith("notebooks/"):
        app.add_js_file("enlarge.js", loading_method="defer")


def setup(app):
    app.connect("builder-inited", write_canvas)
    app.connect("source-read", for_the_site)
    app.connect("html-page-context", finish)
