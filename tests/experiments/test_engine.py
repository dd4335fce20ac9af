"""A table of runs: interrupted, it loses the runs in flight and no other; one that fails or dies does not stop the
rest; and when the code changes, all is run anew."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from experiments import digits, engine, sweep, weights

ROOT = Path(__file__).parents[2]
TABLE = """
import os, sys, time
from pathlib import Path
from experiments import engine

def run(job):
    with open("started", "a", encoding="utf-8") as file:
        file.write("x")
    print("what a run prints is no answer")
    while job["name"] == "stuck" and not Path("mended").exists():
        time.sleep(0.02)
    if job["name"] == "bad" and not Path("mended").exists():
        raise ValueError("bad job")
    if job["name"] == "deadly" and not Path("mended").exists():
        os._exit(7)
    with open("ended", "a", encoding="utf-8") as file:
        file.write("x")
    return dict(double=2 * job["k"], ratio=float("nan"))

if __name__ == "__main__":
    jobs = [dict(name=name, k=k) for k, name in enumerate(sys.argv[1:])]
    lines = engine.run_all("table", jobs, Path("runs.jsonl"), engine.Processes(2))
    print("found", len(lines), lines[-1]["found"])
"""  # without PyTorch: that starts at once


def stoppable():
    """Started in the background, a program ignores SIGINT, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path):
    """Start the table above with these jobs."""
    (tmp_path / "table.py").write_text(TABLE, "utf-8")
    begun = []

    def process(*jobs):
        begun.append(subprocess.Popen([sys.executable, "table.py", *jobs], cwd=tmp_path, encoding="utf-8",
                                      env=os.environ | dict(PYTHONPATH=str(ROOT)), stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, start_new_session=True, preexec_fn=stoppable))
        return begun[-1]

    yield process
    (tmp_path / "mended").touch()  # whatever a failed test left ends
    for one in begun:
        one.kill()


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line] if path.exists() else []


def size(path):
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_goes_on_where_it_was(number, start, tmp_path):
    jobs = ["quick"] * 3 + ["stuck"] * 3
    table, results, started, ended = start(*jobs), *(tmp_path / name for name in ("runs.jsonl", "started", "ended"))
    while len(lines(results)) < 3 or size(started) < 5:  # two are in flight, and one waits
        assert table.poll() is None
        time.sleep(0.02)
    (os.killpg if number == signal.SIGINT else os.kill)(table.pid, number)  # Ctrl-C reaches the whole group
    table.communicate(timeout=10)
    assert table.returncode != 0
    (tmp_path / "mended").touch()
    time.sleep(0.3)
    assert (size(started), size(ended)) == (5, 3)  # no worker goes on alone
    assert len(lines(results)) == 3
    with results.open("a", encoding="utf-8") as file:
        file.write('\n{"job": {"name": "stuck", "k')  # cut off by a crash
    again, _ = start(*jobs).communicate(timeout=20)
    assert "3 of 6 runs are there" in again
    assert "found 6 {'double': 10, 'ratio': nan}" in again


def test_a_run_that_fails_or_dies_is_recorded_does_not_stop_the_rest_and_is_tried_again(start, tmp_path):
    jobs = "bad", "deadly", "good", "good", "good"
    said, complaint = start(*jobs).communicate(timeout=20)
    assert "2 runs failed" in complaint
    assert "Traceback" in complaint
    failed = {entry["job"]["name"]: entry["failed"] for entry in lines(tmp_path / "runs.jsonl") if "failed" in entry}
    assert failed == dict(bad="ValueError('bad job')", deadly="RuntimeError('its process ended with 7')")
    assert said.count("minutes left") == 5
    (tmp_path / "mended").touch()
    again, _ = start(*jobs).communicate(timeout=20)
    assert "3 of 5 runs are there" in again
    assert "found 5" in again


def test_a_change_of_the_code_that_results_depend_on_runs_all_anew(start, tmp_path):
    files = [tmp_path / "mfutils" / name for name in ("__init__.py", "checks.py", "lab/recipe.py", "show/plots.py")]
    for file in files:  # a package of this name, found before the real one
        file.parent.mkdir(exist_ok=True)
        file.touch()

    def there_after_a_change(file):
        file.write_text(file.read_text("utf-8") + "# changed\n", "utf-8")
        said, _ = start("good").communicate(timeout=20)
        assert "found 1" in said
        return int(said.split(" of 1 runs are there")[0])

    *kernel, plots = files
    assert [there_after_a_change(file) for file in (*kernel, tmp_path / "table.py")] == [0, 0, 0, 0]
    assert there_after_a_change(plots) == 1  # what only shows changes no result


def test_results_know_their_versions():
    made_by = engine.versions("experiments.sweep")
    assert made_by["scikit-learn"] == version("scikit-learn")
    assert made_by["torch"] == version("torch").split("+")[0]
    assert made_by.keys() == {"python", "torch", "scikit-learn", "code"}
    assert made_by["code"] != engine.versions("experiments.weights")["code"]


def test_a_worker_with_other_versions_is_refused(tmp_path, capsys):
    class Foreign:
        """An executor whose worker has another code."""

        def submit(self, measured, *arguments):
            future = Future()
            future.set_result(dict(versions=dict(torch="1.0"), seconds=1, found={}))
            return future

        def shutdown(self, wait):
            pass

    with pytest.raises(SystemExit, match="1 runs failed"):
        engine.run_all("experiments.sweep", [dict(seed=0)], tmp_path / "runs.jsonl", Foreign())
    assert "the worker has other versions: {'torch': '1.0'}" in capsys.readouterr().out


def test_interrupted_it_begins_nothing_more_on_any_executor(tmp_path, monkeypatch):
    begun = []

    def measured(table, job):
        begun.append(job)
        time.sleep(0.1)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "measured", measured)
    monkeypatch.setattr(engine, "result_of", interrupted)
    executor = ThreadPoolExecutor(1)
    with pytest.raises(KeyboardInterrupt):
        engine.run_all("experiments.sweep", [dict(k=k) for k in range(9)], tmp_path / "runs.jsonl", executor)
    executor.shutdown()
    assert 1 <= len(begun) <= 2


@pytest.mark.parametrize("table", [sweep, weights, digits])
def test_the_tables_are_lists_of_jobs_for_one_engine(table, monkeypatch):
    texts = [json.dumps(job) for job in table.JOBS]
    assert len(set(texts)) == len(texts)
    assert [json.dumps(json.loads(text)) for text in texts] == texts  # a finished one is known again
    monkeypatch.setattr(engine, "run_all", lambda name, *_: sys.exit(name))
    with pytest.raises(SystemExit, match=f"^{table.__name__}$"):
        table.main(None)
