"""Pages as people see them: Chromium opens each in three widths and both schemes, with 1, 10 and 10,000 rows.

``python -m tests.pipelines.cli.test_pages_in_browser FOLDER`` keeps the pages and takes their pictures.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.assets.pages import Page, Section
from foretell.assets.reports import REPORTS
from foretell.assets.reports.spec import Report
from foretell.pipelines.cli.judge.report import report_page
from tests.conftest import ROOT

SIZES = ((1500, "light"), (800, "dark"), (390, "light"), (390, "dark"))
AA = 4.5


def write_pages(folder: Path) -> list[Path]:
    """A page of every kind of content: reports that are drawn and that are not, and tables of 1, 10 and 10,000 rows."""
    texts = {}
    rng = np.random.default_rng(0)
    for n in (1, 10, 10_000):
        table = pd.DataFrame({
            "model": [f"a-model-with-a-long-name-{i}" for i in range(n)],
            "reason": "a sentence that is long enough to be broken into lines on a telephone",
            **{f"column_{k}": rng.normal(size=n).round(3).astype(str) for k in range(9)},
        })  # fmt: skip
        sections = [Section("All", ["a line"], table, best=0)]
        said = {"caveats": ["A caveat " * 30], "answer": ["About $1.20 [0.4, 3]."], "method": ["By counting."]}
        texts[f"rows-{n}"] = Page(f"{n} rows", sections, "Asked: what is long.", **said).html()
    noise = pd.DataFrame({
        "benchmark": ["aime", "gpqa"], "model": "m", "reasoning_effort": ["low", "high"],
        "standard_deviation": [0.2, 0.4], "ci_lower": [0.1, 0.3], "ci_upper": [0.3, 0.6], "n_queries": [4, 5],
        "cost_usd": [6.251e-05, 2.0],
    })  # fmt: skip
    texts["drawn"] = report_page(REPORTS["token-noise"], Report(noise, findings=("One.", "Two.")), "starter").html()
    pairs = pd.DataFrame({"benchmark": ["aime"], "cheaper": "a", "dearer": "b", "is_reversed": False, "log_ratio": 0.1})
    reversals, quotes = Report(pairs, reasons=("No reversal.",)), Report(pd.DataFrame(), reasons=("No quote is kept.",))
    texts["not-drawn"] = report_page(REPORTS["price-reversals"], reversals, "starter").html()
    texts["empty"] = report_page(REPORTS["quotes"], quotes, "lake").html()
    files = [folder / f"{name}.html" for name in texts]
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text, "utf-8")
    return files


def look(files: list[Path], pictures: Path | None = None) -> list[str]:
    """What is wrong with the pages, a line each."""
    from playwright.sync_api import sync_playwright

    faults: list[str] = []
    with sync_playwright() as start:
        browser = start.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for file in files:
            for width, scheme in SIZES:
                where = f"{file.stem} {width} {scheme}"
                tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                tab.on("console", lambda message, where=where: faults.append(f"{where}: {message.text}"))
                tab.on("pageerror", lambda error, where=where: faults.append(f"{where}: {error}"))
                tab.on("request", lambda request, where=where: request.url.startswith(("file:", "data:"))
                       or faults.append(f"{where}: asks for {request.url}"))  # fmt: skip
                tab.goto(file.as_uri())
                over = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                if over > 0:
                    faults.append(f"{where}: {over} pixels too wide")
                if pictures is not None:
                    tab.screenshot(path=str(pictures / f"{file.stem}-{width}-{scheme}.png"))
                tab.close()
        browser.close()
    return faults


@pytest.mark.slow
@pytest.mark.skipif(not Path("/usr/bin/chromium").exists(), reason="needs Chromium")
def test_no_page_errs_asks_elsewhere_or_scrolls_sideways(tmp_path: Path) -> None:
    assert look(write_pages(tmp_path)) == []


def test_a_page_draws_what_there_is_and_no_empty_figure(tmp_path: Path) -> None:
    texts = {file.stem: file.read_text("utf-8") for file in write_pages(tmp_path)}
    assert "<svg" in texts["drawn"]
    assert "m, aime, low, 4 queries" in texts["drawn"]
    assert "#1f4e79" not in texts["drawn"].partition("</style>")[2], "colours are those of the scheme"
    assert "$0.000063" in texts["drawn"]
    assert "<svg" not in texts["not-drawn"] + texts["empty"]
    assert '<p class="answer">No quote is kept.</p>' in texts["empty"]
    assert "9,500 more are in a file" in texts["rows-10000"]
    for text in texts.values():
        assert all(row.count("</th>") <= 8 for row in re.findall(r"<thead>.*?</thead>", text, re.S))


def test_contrast_is_aa_in_both_schemes() -> None:
    style = (ROOT / "assets/pages/templates/style.css").read_text("utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)[:2]
    )
    for scheme in (light, dark):
        for ink, paper in (("ink", "paper"), ("muted", "paper"), ("strong", "paper"), ("ink", "warn"), ("ink", "best"),
                           ("ink", "soft")):  # fmt: skip
            assert contrast(scheme[ink], scheme[paper]) >= AA, (ink, paper)
        for mark in ("mark", "grey", "alarm", "a", "b", "c", "d"):
            assert contrast(scheme[mark], scheme["paper"]) >= 3, mark


def contrast(one: str, other: str) -> float:
    """Ratio of luminances as WCAG 2 defines it."""
    light = []
    for colour in (one, other):
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(light) + 0.05) / (min(light) + 0.05)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    sys.stdout.write("\n".join(look(write_pages(target), target)) + "\n")
