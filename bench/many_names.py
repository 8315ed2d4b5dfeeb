"""How time and memory grow with the number of distinct models, or of distinct benchmarks, at the same number of rows.

    OMP_NUM_THREADS=1 python bench/many_names.py                  # 2,000,000 rows with 1,000 and with 1,000,000 names
    OMP_NUM_THREADS=1 python bench/many_names.py --rows 2e5 --names 1000 1e5 --column benchmark --stages floors

Made-up gateway traffic as `bench/scale.py` makes it, without text, in ten days, but of so many models (a fine-tune or a
deployment has a name of its own) or benchmarks (a name per test or user); fewer where rows are too few for all. Every
column of stages is a process of its own; printed are the CPU seconds of each stage, what memory it took beyond what lay
there before it, and the rows of the table that it left. Fits learn from about --learn-rows runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scale import RAW_DAYS, make_days

COLUMNS = {
    "model": "CASE WHEN q % 2 = 0 THEN 'ft:gpt-4o-2024-08-06:org::' ELSE 'ft:gpt-4o-mini-2024-07-18:org::' END",
    "benchmark": "'test '",
}
"""What has many names, and how these begin, as SQL; prices of such models are known."""
REPORTED = ("price-reversals", "cost-of-pass", "frontier", "thinking-share", "token-noise", "spend", "routing")


def stages(folder: Path, n_names: int, column: str, learn_rows: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name of each stage and what it does: returns the table that it leaves."""
    from foretell.assets.engine import Table
    from foretell.assets.families.success.examples import scored
    from foretell.assets.families.success.family import FAMILY as SUCCESS
    from foretell.assets.families.thinking_tokens.examples import token_examples
    from foretell.assets.families.thinking_tokens.family import FAMILY as TOKENS
    from foretell.assets.judging.floors import floor_table
    from foretell.assets.judging.pipeline import fit_family
    from foretell.assets.judging.splits import evaluate_family
    from foretell.assets.lake.traces.across_days import repeated_keys
    from foretell.assets.lake.traces.bulk_curation import curate_landed_days
    from foretell.assets.registry.model_card import model_card
    from foretell.assets.reports import REPORTS
    from foretell.predictors.success.baselines import GlobalRate
    from foretell.predictors.thinking_tokens.baselines import GlobalBaseline

    traces = Table.under(folder / "curated")
    days = [path.stem.removeprefix("rows-") for path in sorted((folder / "landing" / "0000").glob("*.parquet"))]
    kept: dict[str, Any] = {}

    def keep(name: str, make: Callable[[], Any]) -> Any:
        kept[name] = make()
        return kept[name]

    curate = partial(curate_landed_days, days, folder / "landing", folder / "lake", None)
    yield "curate (checks)", lambda: [check for day in curate() for check in day.checks]
    yield "keys", lambda: repeated_keys(traces)
    yield "examples, tokens", lambda: keep("tokens", lambda: token_examples(traces))
    yield "examples, success", lambda: keep("success", lambda: scored(kept["tokens"]))
    for family, model in ((TOKENS, GlobalBaseline), (SUCCESS, GlobalRate)):
        name = {"thinking_tokens": "tokens"}.get(family.name, family.name)
        cheap = replace(family, predictor=model, baselines=partial(_only, family.reference, model))
        judge = partial(evaluate_family, cheap, dataset="made up", leave_out_vault=True)

        def evaluate(name: str = name, cheap: Any = cheap, judge: Callable[..., Any] = judge) -> pd.DataFrame:
            return keep(f"{name} judged", lambda: judge(fit_family(cheap, kept[name]), kept[name]))

        yield f"floors, {name}", lambda name=name, family=family: floor_table(family, kept[name], dataset="made up")
        yield f"evaluation, {name}", evaluate
        yield (
            f"card, {name}",
            lambda name=name, cheap=cheap: pd.Series(
                model_card(cheap, fit_family(cheap, kept[name]), kept[name], kept[f"{name} judged"]).splitlines()
            ),
        )
    for report in REPORTED:
        yield f"report {report}", lambda report=report: keep(report, lambda: REPORTS[report].make(traces, None)).table
        yield f"page of {report}", lambda report=report: _page(REPORTS[report], kept[report])
    for family in (TOKENS, SUCCESS):
        name = {"thinking_tokens": "tokens"}.get(family.name, family.name)
        for called in ("predictor", *family.baselines()):

            def fit(name: str = name, called: str = called, family: Any = family) -> pd.Series:
                rows = kept[name]
                rows = rows[rows["query_id"].isin(rows["query_id"].unique()[: int(learn_rows / 1.2)])]
                model = family.predictor() if called == "predictor" else family.baselines()[called]
                model.save(folder / f"{name}-{called}-{time.time_ns()}") if _fitted(family, model, rows) else None
                inputs = family.inputs_by_cell(rows).head(1000)
                return model.predict_quantiles(inputs)[0.5]

            yield f"fit, {name}: {called}", fit


def _fitted(family: Any, model: Any, rows: pd.DataFrame) -> bool:
    family.fit(model, rows)
    return True


def _only(name: str, model: Callable[[], Any]) -> dict[str, Any]:
    return {name: model()}


def _page(spec: Any, report: Any) -> pd.Series:
    """Lines of a report's page."""
    from foretell.pipelines.cli.judge.report import report_page

    return pd.Series(report_page(spec, report, "made up").html().splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=2e6)
    parser.add_argument("--names", type=float, nargs="+", default=[1e3, 1e6])
    parser.add_argument("--column", nargs="+", choices=list(COLUMNS), default=list(COLUMNS))
    parser.add_argument("--stages", nargs="*", default=[], help="beginnings of the names of stages; by default all")
    parser.add_argument("--learn-rows", type=float, default=1e5)
    parser.add_argument("--one", nargs=3, metavar=("FOLDER", "NAMES", "COLUMN"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(Path(args.one[0]), int(args.one[1]), args.one[2], int(args.learn_rows), args.stages)
        return
    for column in args.column:
        measured = {int(n): measure(int(args.rows), int(n), column, args) for n in args.names}
        print(f"\n{int(args.rows):,} rows by distinct values of `{column}`: CPU seconds, MB more, rows of the table\n")
        print(as_table(measured), flush=True)


def measure(n_rows: int, n_names: int, column: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """What every stage took, in a process of its own."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("FORETELL_BENCH_FOLDER")) as name:
        folder = Path(name)
        named = {column: f"{COLUMNS[column]} || (q % {n_names})", "score": "CAST(hash(i) % 2 AS DOUBLE)"}
        make_days(folder / "curated", n_rows, RAW_DAYS, is_raw=False, more=named)
        make_days(folder / "landing" / "0000", n_rows, RAW_DAYS, is_raw=True, more=named)
        command = [sys.executable, __file__, "--learn-rows", str(args.learn_rows)]
        command += ["--one", name, str(n_names), column, "--stages", *args.stages]
        measured = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("{"):
                    measured.append(json.loads(line))
                    print(column, n_names, line.strip(), file=sys.stderr, flush=True)
        return measured


def one(folder: Path, n_names: int, column: str, learn_rows: int, wanted: list[str]) -> None:
    """Print what each stage takes; those that the wanted ones rest on are made too."""
    needed = ("examples", "evaluation") if wanted else ()
    for name, work in stages(folder, n_names, column, learn_rows):
        if wanted and not name.startswith((*wanted, *needed)):
            continue
        Path("/proc/self/clear_refs").write_text("5", "utf-8")  # the peak begins anew
        before, used = _status("VmRSS"), time.process_time()
        told: dict[str, Any] = {"stage": name}
        try:
            told["rows"] = len(work())
        except MemoryError as error:
            told |= {"rows": 0, "error": str(error)}
        told |= {"cpu_s": time.process_time() - used, "mb": _status("VmHWM") - before}
        print(json.dumps(told), flush=True)


def _status(field: str) -> float:
    (line,) = [line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if line.startswith(field)]
    return int(line.split()[1]) / 1024


def as_table(measured: dict[int, list[dict[str, Any]]]) -> str:
    """A line for each stage; the last columns say how many times the first number of names the last one costs."""
    lines = ["| stage | " + " | ".join(f"{n:,} names" for n in measured) + " | times the CPU |"]
    lines.append("|---" * (len(measured) + 2) + "|")
    by_name = {n: {told["stage"]: told for told in of_n} for n, of_n in measured.items()}
    first, last = by_name[min(by_name)], by_name[max(by_name)]
    for stage in dict.fromkeys(stage for of_n in by_name.values() for stage in of_n):
        cells = []
        for of_n in by_name.values():
            told = of_n.get(stage)
            cells.append("-" if told is None else f"{told['cpu_s']:.1f} s, {told['mb']:,.0f} MB, {told['rows']:,}")
        both = stage in first and stage in last
        ratio = last[stage]["cpu_s"] / max(first[stage]["cpu_s"], 0.1) if both else np.nan
        lines.append(f"| {stage} | " + " | ".join(cells) + f" | {ratio:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
