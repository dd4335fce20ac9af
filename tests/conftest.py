import os
import shutil

import pytest
import torch

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
    """A headless Chromium (`apt-get install chromium`), driven by Playwright. Where one of them is missing, tests that
    need them are skipped, unless REQUIRE_BROWSER is set."""
    if not os.environ.get("REQUIRE_BROWSER"):
        pytest.importorskip("playwright", reason="no Playwright here: pip install '.[test]'")
    from playwright.sync_api import sync_playwright
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium and not os.environ.get("REQUIRE_BROWSER"):
        pytest.skip("no Chromium here; install it, or see this test run in CI")
    with sync_playwright() as playwright:
        window = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"])
        yield window
        window.close()


def pytest_terminal_summary(terminalreporter):
    """The seconds of each lane and its slowest test, what all cost beside the notebooks, and what tests measured."""
    lanes, measured = {}, {}
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if hasattr(report, "duration"):
            measured |= dict(report.user_properties)
            parts = report.nodeid.split("::")[0].split("/")
            lane = "/".join(parts[:2] if parts[:2] != ["tests", "course"] else parts)
            lane = "notebooks" if parts[0] == "notebooks" else lane
            lanes.setdefault(lane, []).append((report.duration, report.nodeid))
    terminalreporter.section("seconds by lane")
    seconds = {lane: sum(duration for duration, _ in runs) for lane, runs in sorted(lanes.items())}
    for lane, total in seconds.items():
        most, name = max(lanes[lane])
        terminalreporter.line(f"{lane:38}{total:7.1f}   most {most:6.1f}: {name.split('/')[-1][:70]}")
    if "notebooks" in seconds and len(seconds) > 1:
        terminalreporter.line(f"all lanes {sum(seconds.values()):.0f} s, "
                              f"{sum(seconds.values()) / seconds['notebooks']:.2f} times the notebooks'")
    for name, value in measured.items():
        terminalreporter.line(f"{name}: {value}")
