"""The pages in a real browser: the asset graph loads, and a job launched by a click runs to its end.

Needs Chromium and the Python package playwright (its own browser is not fetched); skipped, saying so, without them.
`python -m tests.pipelines.cli.operate.test_ui_in_browser HOME FOLDER` takes the pictures of docs/img.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pipelines.cli.operate.test_ui import free_port

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
PICTURES = {
    # Schema, owner and what each column is made of.
    "columns": ("{dagster}/assets/request_traces", "raw_traces.provider"),
    "asset-graph": ("{dagster}/asset-groups", "thinking_tokens"),
    "registered-model": ("{dagster}/assets/thinking_tokens_registered_model", "Freshness policy"),
    "drift-checks": ("{dagster}/assets/thinking_tokens_drift?view=checks", "forecast_holds"),
    "registry": ("{mlflow}/#/models/thinking_tokens", "foretell.promotion"),
}


@contextmanager
def pages(home: Path) -> Iterator[dict[str, str]]:
    """Both servers and the daemon on loopback; yields their addresses."""
    ports = {"dagster": free_port(), "mlflow": free_port()}
    arguments = [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
    environment = {**os.environ, "FORETELL_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    environment.pop("DAGSTER_HOME", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "foretell.pipelines.cli.app", "ui", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for _ in ports:
            assert "http://127.0.0.1" in process.stdout.readline()
        yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=90)


@contextmanager
def browser_page() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 850})
            page.set_default_timeout(120_000)
            yield page
        finally:
            browser.close()


@pytest.mark.slow
def test_graph_loads_and_a_job_launched_by_a_click_runs_to_its_end(installed) -> None:
    pytest.importorskip("playwright", reason="pip install playwright (no browser download is needed)")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with pages(installed.settings.home) as addresses, browser_page() as page:
        for url, text in PICTURES.values():
            page.goto(url.format(**addresses), wait_until="domcontentloaded")
            page.get_by_text(text).first.wait_for()
        page.goto(f"{addresses['dagster']}/locations/foretell.pipelines.definitions/jobs/housekeeping")
        page.get_by_text("Launchpad", exact=True).first.click()
        page.get_by_role("button", name="Launch run").first.click()
        page.wait_for_url("**/runs/*")
        page.get_by_text("Success", exact=True).first.wait_for()


if __name__ == "__main__":
    home, folder = map(Path, sys.argv[1:3])
    with pages(home) as addresses, browser_page() as page:
        for name, (url, text) in PICTURES.items():
            page.goto(url.format(**addresses), wait_until="domcontentloaded")
            page.get_by_text(text).first.wait_for()
            page.wait_for_timeout(3000)
            page.screenshot(path=folder / f"{name}.png")
