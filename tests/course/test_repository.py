"""Promises of the repository: one truth about versions, imports that point one way, a README that holds."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import mfutils

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
README = (ROOT / "README.md").read_text("utf-8")


def pins():
    lines = re.findall(r"^[^#\n]+$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert all(re.fullmatch(r"[a-z0-9_-]+==[0-9.]+", line) for line in lines)  # exact, without a local suffix
    return dict(line.split("==") for line in lines)


def test_every_requirement_has_a_pin_within_its_range():
    wanted = [Requirement(line) for extra in PROJECT["optional-dependencies"].values()
              for line in PROJECT["dependencies"] + extra]
    for requirement in wanted:
        assert pins()[requirement.name] in requirement.specifier, requirement


def test_environment_yml_takes_its_versions_from_the_pins():
    conda, pip = [], []
    for entry in yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]:
        if isinstance(entry, dict):
            pip = entry["pip"]
        else:
            conda.append(entry)
    assert pip[1:] == ["-c constraints.txt", "-e .[test,digits]"]  # Binder then copies the whole repository first
    assert pip[0] == "--extra-index-url https://download.pytorch.org/whl/cpu"  # else the image holds gigabytes of CUDA
    assert len(conda) == 2
    assert conda[1] == "pip"
    assert conda[0].removeprefix("python=") in SpecifierSet(PROJECT["requires-python"])


def imports(path):
    """The modules that a file imports, as they are written, with a dot for each level up."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield "." * node.level + node.module
        elif isinstance(node, ast.ImportFrom):
            yield from ("." * node.level + alias.name for alias in node.names)


FLAT = ["checks", "data", "exact", "flow", "nets", "checkpoints", "training", "metrics", "exercises", "methods",
        "records", "lists", "shapes"]
SERVICES = {"checkpoints", "records", "lists", "shapes"}  # what is read from files and written; the rest is the lesson
ROOMS = {"mfutils": FLAT, "mfutils.lab": ["recipe", "cases", "solvers", "maps", "digits", "judges"],
         "mfutils.show": ["plots", "figures", "canvas", "panel", "widgets"]}


def used_by(room, name):
    """The modules of mfutils that a module imports, in full."""
    package = room.split(".")
    for module in imports(ROOT / Path(*package) / f"{name}.py"):
        if module.startswith("."):
            level = len(module) - len(module.lstrip("."))
            yield ".".join([*package[: len(package) - level + 1], module.lstrip(".")])
        elif module.startswith("mfutils"):
            yield module


def test_imports_point_one_way():
    """A module uses only what stands before it in its room, and rooms use only the core. No exemption."""
    for room, order in ROOMS.items():
        assert {path.stem for path in (ROOT / room.replace(".", "/")).glob("*.py")} - {"__init__"} == set(order)
        for name in order:
            before = {f"{room}.{other}" for other in order[: order.index(name)]}
            if room != "mfutils":
                before |= {f"mfutils.{other}" for other in ROOMS["mfutils"]}
            assert set(used_by(room, name)) <= before, (room, name)
    for name in ("data", "exact", "flow", "nets"):
        assert set(used_by("mfutils", name)) <= {"mfutils.checks"}
    outside = {module.split(".")[0] for module in imports(ROOT / "mfutils" / "flow.py") if module[0] != "."}
    assert outside == {"contextlib", "torch"}


def test_the_lesson_is_read_in_one_sitting():
    lesson = {*FLAT} - SERVICES
    assert sum(len((ROOT / "mfutils" / f"{name}.py").read_text("utf-8").splitlines()) for name in lesson) <= 1150


def test_importing_the_lesson_loads_nothing_that_draws():
    program = """
import sys, time
import torch, torch.func, torch.optim.swa_utils
start = time.perf_counter()
import mfutils
print(time.perf_counter() - start, {"matplotlib", "sklearn", "ipywidgets", "PIL", "IPython"} & set(sys.modules))
mfutils.mixture_of_points([[0, 0], [1, 1]])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split(" ", 1)[1] == "set()\n"


def test_tools_share_one_module_and_experiments_another():
    for room, shared in (("tools", "course"), ("experiments", "engine")):
        for path in (ROOT / room).glob("[a-z]*.py"):
            ours = {module for module in imports(path) if re.match(r"\.|tools|experiments", module)}
            assert ours <= {f".{shared}", f"{room}.{shared}", room}, path


def test_whatever_is_imported_is_declared():
    called = {"pil": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn", "bs4": "beautifulsoup4",
              "axe_playwright_python": "axe-playwright-python", "docutils": "sphinx"}
    ours = {"mfutils", "tools", "experiments", *(path.stem for path in (ROOT / "tests").rglob("*.py"))}

    def packages(files):
        names = {module.split(".")[0].lower() for path in files for module in imports(path)} - {""}
        return {called.get(name, name) for name in names - ours - {name.lower() for name in sys.stdlib_module_names}}

    declared = {Requirement(line).name for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["digits"]}
    for_tests = declared | {Requirement(line).name for extra in PROJECT["optional-dependencies"].values()
                            for line in extra}
    assert packages([*(ROOT / "mfutils").rglob("*.py"), *(ROOT / "notebooks").glob("*.py")]) <= declared
    assert packages([*(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").glob("*.py"),
                     *(ROOT / "experiments").glob("*.py"), ROOT / "docs" / "conf.py"]) <= for_tests


def test_the_readmes_code_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    fewer = "".join(blocks).replace("_times)\nx", "_times, n_steps=20)\nx").replace("n_steps=5000", "n_steps=20")
    assert fewer.count("n_steps=20") == 2
    program = f"{fewer}\nassert x.shape == (5000, 2)\nassert done == 20"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names_exist_are_used_and_say_what_they_do():
    read = README + "".join(path.read_text("utf-8") for path in (ROOT / "notebooks").glob("*.py"))
    for name in mfutils.__all__:
        assert re.search(rf"\b{name}\b", read), name
        thing = getattr(mfutils, name)
        if callable(thing):
            assert thing.__doc__, name


def test_the_readme_names_the_two_commands_and_every_notebook():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"`?make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert "make lab" in README
    assert "make test" in README
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{path.name}" in README
    rows = r"^\| \[(.+?)\]\((notebooks/.+?)\).*? \| (.+?) \|"  # title, file, question
    front_page = (ROOT / "docs" / "index.md").read_text("utf-8")
    cards = r'<a href="(.+?)\.html"><img .+?><span><b>(.+?)</b> (.+?)</span></a>'
    assert [(title, f"{page}.ipynb", re.sub("</?i>", "*", question)) for page, title, question in
            re.findall(cards, front_page)] == re.findall(rows, README, re.MULTILINE)
    for picture in re.findall(r"!\[.+?\]\((?!https:)(.+?)\)", README):
        assert (ROOT / picture).is_file()


def test_ci_runs_the_readmes_test_command():
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
