"""The sweep on a real Dask cluster, one of whose workers is killed: the same results as on this machine, to the bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif("ALL_LANES" not in os.environ, reason="once a week, or with ALL_LANES=1")
pytest.importorskip("distributed", reason="no Dask here: pip install '.[cluster]'")
ROOT = Path(__file__).parents[2]
CLUSTER = """
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        input()
"""
TABLE = """
import sys
from pathlib import Path
from experiments import engine, sweep

if __name__ == "__main__":
    jobs = [job | dict(n_steps=30, n=2000) for job in sweep.JOBS[:96:12]]  # on the board, first seed
    jobs, path = jobs[::int(sys.argv.pop())], Path(sys.argv.pop())
    engine.run_all("experiments.sweep", jobs, path, engine.executor(**engine.command_line()))
"""
JOBS = 8


@pytest.fixture
def start(tmp_path):
    """Start one of the programs above. Only the table knows where the experiments are."""
    (tmp_path / "cluster.py").write_text(CLUSTER, "utf-8")
    (tmp_path / "table.py").write_text(TABLE, "utf-8")
    begun = []

    def process(program, *arguments):
        known = dict(PYTHONPATH=str(ROOT)) if program == "table.py" else {}
        begun.append(subprocess.Popen([sys.executable, program, *map(str, arguments)], cwd=tmp_path, encoding="utf-8",
                                      env=os.environ | known, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT))
        return begun[-1]

    yield process
    for one in begun:
        one.kill()


def found(path):
    """What every run found, without its seconds, which differ."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
    return {json.dumps(line["job"]): {key: value for key, value in line["found"].items() if key != "seconds"}
            for line in lines if "found" in line}


def test_executor_order_resumption_and_a_killed_worker_change_no_bit(start, tmp_path):
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    cluster = start("cluster.py")
    address = cluster.stdout.readline().strip()
    table = start("table.py", "--scheduler", address, there, 1)
    while not there.exists():
        assert table.poll() is None, table.stdout.read()
        time.sleep(0.05)
    workers = [process for process in psutil.Process(cluster.pid).children(recursive=True)
               if "spawn_main" in " ".join(process.cmdline()) and not process.children()]
    assert len(workers) == 2
    assert len(found(there)) < JOBS
    workers[0].send_signal(signal.SIGKILL)
    said, _ = table.communicate(timeout=120)
    assert table.returncode == 0, said
    cluster.communicate("\n", timeout=60)

    start("table.py", "--workers", 1, here, 2).communicate(timeout=120)  # half, then the rest, backwards
    said, _ = start("table.py", "--workers", 1, here, -1).communicate(timeout=120)
    assert f"{JOBS // 2} of {JOBS} runs are there" in said
    assert len(found(here)) == JOBS
    assert found(here) == found(there)
