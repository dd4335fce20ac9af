"""The teacher's page: plans that fill their time and name what is there, and a hub sized by what was measured."""

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "teaching.md").read_text("utf-8")
USAGE = json.loads((ROOT / "docs" / "usage.json").read_text("utf-8"))
HEADINGS = [re.sub(r"[*$`\\]|mathrm|[{}]", "", line) for path in (ROOT / "notebooks").glob("*.py")
            for line in re.findall(r"^# ## (.+)", path.read_text("utf-8"), re.MULTILINE)]


def plan(title):
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| (\d+) \| (.*?) \|", section, re.MULTILINE)


def test_the_plans_fill_their_time():
    assert sum(int(minutes) for minutes, _ in plan("Ninety minutes")) == 90
    assert sum(int(minutes) for minutes, _ in plan("Half a day")) == 3.5 * 60


def test_the_plans_name_sections_that_exist():
    named = re.findall(r"\*(.+?)\*", " ".join(where for title in ("Ninety minutes", "Half a day")
                                              for _, where in plan(title)))
    assert len(named) > 10
    for name in named:
        assert any(heading.startswith(name) for heading in HEADINGS), name


def test_the_table_of_use_is_what_was_measured():
    for name, used in USAGE.items():
        if name != "server":
            assert f"| {name} | {used['seconds']} | {used['cpu_seconds']} | {used['memory_mb']} |" in PAGE
    assert f"server alone takes {USAGE['server']['memory_mb']} MB" in PAGE
    assert set(USAGE) - {"server"} == {path.stem for path in (ROOT / "notebooks").glob("*.py")}


def test_the_hub_guarantees_what_a_learner_uses():
    hub = yaml.safe_load((ROOT / "docs" / "jupyterhub.yaml").read_text("utf-8"))
    learner, warm = hub["singleuser"], hub["scheduling"]["userPlaceholder"]["replicas"]
    megabytes = {name: 1024 * float(size.removesuffix("G")) for name, size in learner["memory"].items()}
    kernels = sorted(used["memory_mb"] for name, used in USAGE.items() if name != "server")
    assert megabytes["guarantee"] > USAGE["server"]["memory_mb"] + kernels[-1]
    assert megabytes["limit"] > USAGE["server"]["memory_mb"] + kernels[-1] + kernels[-2]
    assert learner["extraEnv"]["OMP_NUM_THREADS"] == "1"
    seats, gigabytes, cores = 200 + warm, megabytes["guarantee"] / 1024, learner["cpu"]["guarantee"]
    assert f"{warm} seats kept warm that is {seats * gigabytes:.0f} GB and {seats * cores:.0f} cores" in PAGE
    assert 8 * (16 // cores - 1) > seats  # eight nodes of 16 cores, one seat of each left to the system
    assert cores >= 1 / 2  # so that training takes at most twice the seconds of the table
