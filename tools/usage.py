"""Measure what one learner uses who runs each notebook to the end on one core: `make usage` writes docs/usage.json.

Memory is the greatest resident size after any cell, children included; beside it that of a JupyterLab server alone.
"""

import json
import os
import socket
import subprocess
import sys
import time

import jupytext
import psutil
from nbclient import NotebookClient

from tools.course import FOLDER, ROOT, sources

MEGABYTE = 2**20


def resident(process):
    family = [process, *process.children(recursive=True)]
    return sum(member.memory_info().rss for member in family) / MEGABYTE


def notebook_usage(source):
    """Run one notebook; its wall-clock seconds, CPU seconds, and greatest memory in MB."""
    client = NotebookClient(jupytext.read(source), timeout=900, resources={"metadata": {"path": str(FOLDER)}})
    most = []

    def look(**_):  # after every cell
        kernel = psutil.Process(client.km.provisioner.process.pid)
        most.append((resident(kernel), sum(kernel.cpu_times()[:4])))  # user, system, and of children that ended

    client.on_cell_executed = look
    start = time.perf_counter()
    client.execute()
    memory, cpu = map(max, zip(*most))
    return dict(seconds=round(time.perf_counter() - start), cpu_seconds=round(cpu), memory_mb=round(memory))


def server_memory():
    """A JupyterLab server, fifteen seconds after its start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(15)
    memory = resident(psutil.Process(server.pid))
    server.terminate()
    return round(memory)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"  # as on a shared machine
    usage = {source.stem: notebook_usage(source) for source in sources()}
    usage["server"] = dict(memory_mb=server_memory())
    print(json.dumps(usage, indent=1))
    (ROOT / "docs" / "usage.json").write_text(json.dumps(usage, indent=1) + "\n", "utf-8")
