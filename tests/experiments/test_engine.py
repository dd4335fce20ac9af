"""A table of runs: interrupted, it loses the runs in flight and no other; one that fails or dies does not stop the
rest."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from experiments import digits as make_digits
from experiments import sweep, weights

TABLE = """
import os, sys, time
from pathlib import Path
sys.path[:0] = {path!r}
from experiments import engine

def run(job):
    if job["name"] == "bad" and not Path("mended").exists():
        raise ValueError("bad job")
    if job["name"] == "deadly" and not Path("mended").exists():
        os._exit(1)
    with open("started", "a") as file:
        file.write(job["name"] + "\\n")
    time.sleep(job["seconds"])
    return dict(double=2 * job["seconds"])

if __name__ == "__main__":
    import table
    jobs = [dict(name=name, seconds=0.1) for name in sys.argv[1:]]
    jobs += [dict(name=str(k), seconds=0.3) for k in range(8)]
    lines = runs.run_all(table.run, jobs, Path("runs.jsonl"), ("flow",), runs.Processes(2))
    print("found", len(lines), lines[-1]["found"])
"""


def stoppable():
    """Started in the background, a program ignores SIGINT, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path):
    (tmp_path / "table.py").write_text(TABLE.format(path=[os.path.dirname(runs.__file__)]))

    def process(*jobs):
        return subprocess.Popen([sys.executable, "table.py", *jobs], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, start_new_session=True, preexec_fn=stoppable)

    return process


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line] if path.exists() else []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_goes_on_where_it_was(number, start, tmp_path):
    table, results = start(), tmp_path / "runs.jsonl"
    while len(lines(results)) < 3:
        assert table.poll() is None
        time.sleep(0.05)
    (os.killpg if number == signal.SIGINT else os.kill)(table.pid, number)  # Ctrl-C reaches the workers too
    table.wait(20)
    assert table.returncode != 0
    kept = lines(results)
    assert 3 <= len(kept) < 8
    started = len((tmp_path / "started").read_text("utf-8").splitlines())
    time.sleep(0.7)
    assert len((tmp_path / "started").read_text("utf-8").splitlines()) == started  # no worker goes on alone
    with results.open("a") as file:
        file.write('\n{"job": {"name": "7", "sec')  # cut off by a crash
    again, _ = start().communicate(timeout=60)
    assert f"{len(kept)} of 8 runs are there" in again
    assert "found 8 {'double': 0.6}" in again


def test_a_run_that_fails_or_dies_is_recorded_does_not_stop_the_rest_and_is_tried_again(start, tmp_path):
    said, complaint = start("bad", "deadly", "good").communicate(timeout=60)
    assert "2 runs failed" in complaint
    failed = {entry["job"]["name"]: entry["failed"] for entry in lines(tmp_path / "runs.jsonl") if "failed" in entry}
    assert failed.keys() == {"bad", "deadly"}
    assert "bad job" in failed["bad"]
    assert "BrokenProcessPool" in failed["deadly"]
    assert said.count("minutes left") == 11
    (tmp_path / "mended").touch()
    again, _ = start("bad", "deadly", "good").communicate(timeout=60)
    assert "9 of 11 runs are there" in again
    assert "found 11" in again


def test_what_other_code_made_is_run_anew(tmp_path, monkeypatch):
    ours = runs.versions(sweep.run, ("flow",))
    path, line = tmp_path / "runs.jsonl", dict(job=dict(seed=0), versions=ours, found=dict(loss=1.0))
    path.write_text(json.dumps(line))
    assert list(runs.finished(path, ours)) == ['{"seed": 0}']
    for other in ((sweep.run, ("flow", "nets")), (weights.run, ("flow",))):
        assert not runs.finished(path, runs.versions(*other))


def test_a_worker_with_other_versions_is_refused(tmp_path, monkeypatch, capsys):
    class Foreign:
        """An executor whose worker has another code."""

        def submit(self, measured, *arguments):
            future = Future()
            future.set_result(dict(versions=dict(torch="1.0"), seconds=1, found={}))
            return future

        def shutdown(self, wait):
            pass

    with pytest.raises(SystemExit, match="1 runs failed"):
        runs.run_all(sweep.run, [dict(seed=0)], tmp_path / "runs.jsonl", ("flow",), Foreign())
    assert "the worker has other versions: {'torch': '1.0'}" in capsys.readouterr().out


def test_the_tables_are_lists_of_jobs_for_one_engine():
    for table in (sweep, weights, make_digits):
        texts = [json.dumps(job) for job in table.JOBS]
        assert len(set(texts)) == len(texts)
        assert [json.dumps(json.loads(text)) for text in texts] == texts  # a finished one is known again
        package = Path(runs.mfutils.__file__).parent
        assert all((package / f"{name}.py").is_file() for name in table.MODULES)
