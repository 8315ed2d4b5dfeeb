"""Every study and benchmark, one after the other: `make studies`. Hours on two idle cores; never in CI.

    python bench/studies.py --list
    python bench/studies.py                       # all that can run here
    python bench/studies.py drift promotion       # some, by name
    FORETELL_MIRROR=... python bench/studies.py   # those that read public data too

What a study prints is written to docs/studies/printed/NAME.txt; a study that keeps a page writes it itself. Both are
committed with the change that moves them, and quoted in docs/. A study that fails does not stop the others.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRINTED = ROOT / "docs" / "studies" / "printed"
MIRROR = "{mirror}"
"""Stands in a command for the folder that FORETELL_MIRROR names."""


@dataclass(frozen=True)
class Study:
    """One command of bench/.

    Attributes
    ----------
    command : str
        Script in bench/ and its arguments.
    page : str
        Page of docs/studies that the script writes itself; empty if it only prints.
    reads_public : bool
        Whether it reads public data that are not bundled.
    package : str
        A package that no extra of `make venv` brings.
    """

    command: str
    page: str = ""
    reads_public: bool = False
    package: str = ""

    def obstacle(self) -> str:
        """Why the study cannot run here; empty if it can."""
        mirror = os.environ.get("FORETELL_MIRROR")
        if self.reads_public and (not mirror or not Path(mirror).is_dir()):
            return "reads public data: set FORETELL_MIRROR to a folder"
        if self.package and find_spec(self.package) is None:
            return f"needs the package {self.package}"
        return ""

    def arguments(self) -> list[str]:
        """The command line, the interpreter first."""
        script, *rest = self.command.replace(MIRROR, os.environ.get("FORETELL_MIRROR", "")).split()
        return [sys.executable, str(ROOT / "bench" / script), *rest]


STUDIES: dict[str, Study] = {
    # Simulations: seeds are fixed, so that the numbers are those of the page until the code changes.
    "noise-floor": Study("noise_floor_study.py", page="noise-floor.md"),
    "promotion": Study("promotion_study.py", page="promotion.md"),
    "drift": Study("drift_study.py", page="drift.md"),
    "year": Study("year_study.py --nights 365"),
    "pilot": Study(f"pilot_study.py {MIRROR}/../snapshots {MIRROR} --draws 3 --repeats 10", reads_public=True),
    "replay": Study("replay.py", reads_public=True),
    "scores-modern": Study("modern_scores.py"),
    "compare-splits": Study("compare_study.py splits"),
    "compare-power": Study("compare_study.py power"),
    "compare-clusters": Study("compare_study.py clusters"),
    "compare-golden": Study("compare_study.py golden"),
    "compare-components": Study("compare_study.py components"),
    "compare-samples": Study("compare_study.py samples"),
    "compare-related": Study("compare_study.py related"),
    "success-ablation": Study("success_ablation.py", reads_public=True),
    "compare-success": Study("compare_study.py success", reads_public=True),
    # Accuracy.
    "tokens-starter": Study("thinking_tokens_study.py regimes --dataset starter"),
    "tokens-regimes": Study("thinking_tokens_study.py regimes --dataset pricing-reversal", reads_public=True),
    "tokens-lrm": Study("thinking_tokens_study.py lrm", reads_public=True),
    "tokens-lrm-limits": Study("lrm_limits.py", reads_public=True),
    "tokens-dollars": Study("thinking_tokens_study.py dollars", reads_public=True),
    "tokens-ablations": Study("thinking_tokens_study.py ablations", reads_public=True),
    "tokens-warm-ablations": Study("thinking_tokens_study.py warm-ablations", reads_public=True),
    "tokens-new-model": Study("thinking_tokens_study.py new-model", reads_public=True),
    "tokens-transfer": Study("transfer.py", reads_public=True),
    "tokens-texts": Study("token_texts.py", reads_public=True),
    "tokens-rows-of-heads": Study("rows_of_heads.py", reads_public=True),
    "tokens-warm-start": Study("warm_start.py", reads_public=True),
    "scores-mteb": Study(f"benchmark_scores_study.py {MIRROR} evaluate mteb", reads_public=True),
    "scores-harness": Study(f"benchmark_scores_study.py {MIRROR} evaluate llm-harness", reads_public=True),
    "scores-next-runs": Study("next_runs_study.py modern"),
    "scores-asked": Study("asked_scores_study.py --ask right noise --samples 1 --cutoff 2024-09"),
    "scores-next-runs-mteb": Study("next_runs_study.py mteb", reads_public=True),
    "curves-transfer": Study("curves_transfer.py transfer lcdb ladder"),
    "curves-early-stopping": Study("learning_curves_study.py"),
    "runs-early-stopping": Study("early_stopping.py"),
    "curves-network": Study("learning_curves_network.py lcdb --split test", package="emcee"),
    # Speed and memory: of an idle machine.
    "curves-fitter": Study("learning_curves.py fitter"),
    "curves-mcmc": Study("learning_curves.py mcmc", package="emcee"),
    "scores-cost": Study(f"benchmark_scores_study.py {MIRROR} cost mteb", reads_public=True),
    "scaling-speed": Study("downstream_scaling.py"),
    "scaling-laws": Study("ladders_transfer.py laws"),
    "scaling-champion": Study("ladders_transfer.py champion"),
    "scaling-cod": Study("ladders_transfer.py cod"),
    "fit-rows": Study("fit_rows.py --rows 1e4 1e5 5e5"),
    "start": Study("start.py"),
    "budgets": Study("budgets.py --rows 1000000"),
    "quote-speed": Study("quote_speed.py"),
    "serve-speed": Study("serve_speed.py --out docs/studies/serve-speed.md", page="serve-speed.md"),
    "serve-http": Study("serve_http.py --out docs/studies/serve-http.md", page="serve-http.md"),
    "ingest-openai": Study("ingest.py --rows 100000 1000000 --format openai_jsonl"),
    "ingest-otlp": Study("ingest.py --rows 100000 1000000 --format otlp_json"),
    "evaluate-speed": Study("evaluate_speed.py", page="evaluate-speed.md"),
    "scale": Study("scale.py", page="scale.md"),
    "many-names": Study("many_names.py"),
    # Drawings.
    "terminal": Study("terminal.py"),
    # Search for faults.
    "kills": Study("kills.py --kills 50"),
    "litellm": Study("litellm_proxy.py"),
    "fuzz-structured": Study("fuzz_readers.py structured --seconds 600"),
    "fuzz-bytes": Study("fuzz_readers.py bytes --seconds 600", package="atheris"),
}
"""Studies by name. bench/year_age.py is missing: it uses up an installation that a year of nights has left behind."""


def run_study(name: str) -> bool:
    """Run one study, keep what it prints, and say how it ended."""
    started = time.monotonic()
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **os.environ}
    done = subprocess.run(STUDIES[name].arguments(), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    minutes = (time.monotonic() - started) / 60
    if done.returncode:
        print(f"{name}: exit code {done.returncode} after {minutes:.1f} minutes", flush=True)
        return False
    PRINTED.mkdir(exist_ok=True)
    if not STUDIES[name].page:
        (PRINTED / f"{name}.txt").write_text(f"$ python bench/{STUDIES[name].command}\n{done.stdout}", "utf-8")
    print(f"{name}: done in {minutes:.1f} minutes", flush=True)
    return True


def main() -> int:
    """Command line; exit code 1 if a study failed."""
    parser = argparse.ArgumentParser(description="Run the studies of bench/.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="studies to run; all by default")
    parser.add_argument("--list", action="store_true", help="say what there is, and what cannot run here")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(STUDIES))
    if unknown:
        parser.error(f"no such study: {', '.join(unknown)}; --list names them")
    failed = []
    for name in args.names or STUDIES:
        obstacle = STUDIES[name].obstacle()
        if args.list or obstacle:
            print(f"{name}: {obstacle or STUDIES[name].command}", flush=True)
        elif not run_study(name):
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
