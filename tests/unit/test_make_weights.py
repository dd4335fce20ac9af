"""A table of runs: interrupted, it loses the runs in flight and no other; a run that fails does not stop the rest."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import make_weights

PROGRAM = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
import make_weights

def run(job):
    if job["floor"] == "bad" and not Path("mended").exists():
        raise ValueError("bad job")
    with open("started", "a") as file:
        file.write(job["floor"] + "\\n")
    time.sleep(job["seconds"])
    return dict(double=2 * job["seconds"])

if __name__ == "__main__":
    jobs = [dict(floor=str(k), seconds=0.3) for k in range(8)]
    jobs += [dict(floor=name, seconds=0.1) for name in sys.argv[1:]]
    make_weights.BUILD = Path(".")
    found = make_weights.run_all(run, jobs, Path("runs.jsonl"))
    print("found", len(found), found[make_weights.json.dumps(jobs[0])])
"""


def stoppable():
    """Started in the background, a program ignores SIGINT, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path):
    (tmp_path / "table.py").write_text(PROGRAM.format(path=[os.path.dirname(make_weights.__file__)]))

    def process(*jobs):
        return subprocess.Popen([sys.executable, "table.py", *jobs], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, start_new_session=True, preexec_fn=stoppable)

    return process


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_goes_on_where_it_was(number, start, tmp_path):
    table, results = start(), tmp_path / "runs.jsonl"
    while len(lines(results)) < 3:
        time.sleep(0.05)
    (os.killpg if number == signal.SIGINT else os.kill)(table.pid, number)  # Ctrl-C reaches the workers too
    table.wait(20)
    assert table.returncode != 0
    kept = lines(results)
    assert 3 <= len(kept) < 8
    started = len((tmp_path / "started").read_text().splitlines())
    time.sleep(0.7)
    assert len((tmp_path / "started").read_text().splitlines()) == started  # no worker goes on alone
    with results.open("a") as file:
        file.write('\n{"job": {"floor": "7", "sec')  # cut off by a crash
    again, _ = start().communicate(timeout=60)
    assert f"{len(kept)} of 8 runs are there" in again
    assert "found 8 {'double': 0.6}" in again


def test_a_run_that_fails_is_recorded_does_not_stop_the_rest_and_is_tried_again(start, tmp_path):
    table = start("bad", "good")
    said, complaint = table.communicate(timeout=60)
    assert table.returncode == 1
    assert "1 runs failed" in complaint
    failed = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines() if '"failed"' in line]
    assert [(entry["job"]["floor"], "bad job" in entry["failed"]) for entry in failed] == [("bad", True)]
    assert said.count("minutes left") == 10
    (tmp_path / "mended").touch()
    again, _ = start("bad", "good").communicate(timeout=60)
    assert "9 of 10 runs are there" in again
    assert "found 10" in again
