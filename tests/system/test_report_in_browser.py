"""The report, opened in a real browser."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from latentloop import run_campaign
from latentloop.loop.report import write_report

CHROMIUM = shutil.which("chromium")
IS_REQUIRED = os.environ.get("LATENTLOOP_REQUIRE_BROWSER") == "1"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not IS_REQUIRED, reason="no chromium here; install Debian's package chromium to run the browser tests"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    run_campaign("quick", folder / "store", overrides=["budget.trials=10", "latent.model.parameters.epochs=3"])
    return write_report(folder / "store", folder / "report.html")


def opened(page: Path, profile: Path, *options: str) -> tuple[str, str]:
    """Return the page's document after its scripts ran, and what the browser logged."""
    assert CHROMIUM is not None, "chromium is required here (LATENTLOOP_REQUIRE_BROWSER=1) and is missing"
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --enable-logging=stderr --v=0 --virtual-time-budget=10000 --dump-dom"
    command = [CHROMIUM, *flags.split(), f"--user-data-dir={profile}", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_every_figure_is_drawn_without_a_word_on_the_console(report: Path, tmp_path: Path, width: int) -> None:
    document, log = opened(report, tmp_path, f"--window-size={width},1200")
    n_figures = len(re.findall(r"<figure\b", document))
    assert n_figures >= 6
    assert len(re.findall(r'class="js-plotly-plot"|js-plotly-plot', document)) >= n_figures
    assert document.count('class="main-svg"') >= n_figures
    assert not [line for line in log.splitlines() if "CONSOLE" in line]


def test_the_table_holds_every_trial(report: Path, tmp_path: Path) -> None:
    document, _ = opened(report, tmp_path, "--window-size=1280,1200")
    body = re.search(r"<tbody.*?</tbody>", document, re.DOTALL)
    assert body is not None
    assert body.group().count("<tr") == 10
