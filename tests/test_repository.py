"""Promises of the repository: one truth about versions, imports that point one way, a README that holds."""

import ast
import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import mfutils

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()


def pins():
    lines = re.findall(r"^[^#\n]+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert all(re.fullmatch(r"[a-z0-9_-]+==[0-9.]+", line) for line in lines)  # exact, without a local suffix
    return dict(line.split("==") for line in lines)


def test_every_requirement_has_a_pin_within_its_range():
    wanted = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]
    for requirement in wanted:
        assert pins()[requirement.name] in requirement.specifier, requirement
    assert pins()["torch"] == "2.13.0"
    assert "2.11" in next(r for r in wanted if r.name == "torch").specifier


def test_environment_yml_takes_its_versions_from_the_pins():
    conda, pip = [], []
    for entry in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]:
        if isinstance(entry, dict):
            pip = entry["pip"]
        else:
            conda.append(entry)
    assert pip[1:] == ["-c constraints.txt", "-e .[test]"]  # Binder then copies the whole repository first
    assert pip[0] == "--extra-index-url https://download.pytorch.org/whl/cpu"  # else the image holds gigabytes of CUDA
    assert len(conda) == 2
    assert conda[1] == "pip"
    assert conda[0].removeprefix("python=") in SpecifierSet(PROJECT["requires-python"])


def test_imports_point_one_way():
    order = ["checks", "data", "exact", "flow", "nets", "training", "metrics", "exercises", "pretrained",
             "own", "plots", "pad", "widgets"]
    modules = {path.stem for path in (ROOT / "mfutils").glob("*.py")} - {"__init__"}
    assert modules == set(order)
    allowed = {"flow": {"checks"}, "exact": {"checks"}, "data": {"checks"}, "nets": set(), "plots": set()}
    for name in order:
        tree = ast.parse((ROOT / "mfutils" / f"{name}.py").read_text())
        relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
        used = {alias.name for node in relative if node.module is None for alias in node.names}
        used |= {node.module for node in relative if node.module}
        assert used <= set(order[: order.index(name)]), name
        assert used <= allowed.get(name, used), name


def test_public_names_exist_and_say_what_they_do():
    for name in mfutils.__all__:
        thing = getattr(mfutils, name)
        if callable(thing):
            assert thing.__doc__, name


def test_the_readme_names_the_two_commands_and_every_notebook():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert "make lab" in README
    assert "make test" in README
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{path.name}" in README
    for picture in re.findall(r"!\[.+?\]\((?!https:)(.+?)\)", README):
        assert (ROOT / picture).is_file()


def test_ci_runs_the_readmes_test_command():
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()
