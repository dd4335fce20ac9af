import os
import shutil

import pytest
import torch
from playwright.sync_api import sync_playwright

from mfutils import DISTRIBUTIONS


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def board():
    return DISTRIBUTIONS["checkerboard"]


@pytest.fixture(params=list(DISTRIBUTIONS))
def dist(request):
    return DISTRIBUTIONS[request.param]


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium (`apt-get install chromium`). Where there is none, tests that need it are skipped, unless
    REQUIRE_BROWSER is set."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium and not os.environ.get("REQUIRE_BROWSER"):
        pytest.skip("no Chromium here; install it, or see this test run in CI")
    with sync_playwright() as playwright:
        window = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"])
        yield window
        window.close()


def pytest_terminal_summary(terminalreporter):
    """The seconds of each lane, its slowest test, and what tests measured."""
    lanes, measured = {}, {}
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if hasattr(report, "duration"):
            measured |= dict(report.user_properties)
            parts = report.nodeid.split("::")[0].split("/")
            lane = "/".join(parts[:2] if parts[:2] == ["tests", "unit"] else parts)
            lanes.setdefault(lane, []).append((report.duration, report.nodeid.split("::", 1)[1]))
    terminalreporter.section("seconds by lane")
    for lane, runs in sorted(lanes.items()):
        most, name = max(runs)
        terminalreporter.line(f"{lane:38}{sum(duration for duration, _ in runs):7.1f}   most {most:6.1f}: {name[:60]}")
    for name, value in measured.items():
        terminalreporter.line(f"{name}: {value}")
