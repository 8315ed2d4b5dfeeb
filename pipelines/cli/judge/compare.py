"""`foretell compare`: is the difference between two evals or more a gain, or noise?"""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.console import say_next
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import Output

if TYPE_CHECKING:
    import pandas as pd

Metric = Annotated[str | None, typer.Option(help="Score to read where a log has several; by default the first shared.")]
EvalLogs = Annotated[
    list[Path], typer.Argument(help="Logs of Inspect, lm-eval or promptfoo, or tables with the columns item and score.")
]
SENTENCES = 10
"""Of more pairs the table alone speaks."""


@flat
def compare(
    files: EvalLogs,
    output: Output,
    margin: Annotated[
        float | None, typer.Option(help="Difference that does not matter, in the unit of the score; by default 2 %.")
    ] = None,
    metric: Metric = None,
) -> None:
    """Is this gain noise? Evals of two systems or more: paired difference, power, verdict."""
    from foretell.assets.readers.scores.eval_logs import read_eval_logs
    from foretell.predictors.metrics import compare_systems, sentence, summarise_systems
    from foretell.predictors.plots.reports import plot_eval_differences

    scores, notes = read_eval_logs(files, metric=metric)
    pairs, systems = compare_systems(scores, margin=margin), summarise_systems(scores)
    notes += _notes(pairs, systems)
    verdicts = [sentence(row) for row in pairs.head(SENTENCES).to_dict("records")]
    sections = [Section("Drawn", figure=partial(plot_eval_differences, pairs)), *_tables(pairs, systems)]
    output.show(pairs, Page("Is this gain noise?", sections, answer=verdicts, remarks=notes))
    open_ones = pairs[(pairs["verdict"] == "undecided") & (pairs["difference"] != 0)]
    if len(open_ones) and output.on_screen:
        teaches = len(systems) == 2 and systems["luck"].notna().all()  # `power` learns from repeated items alone
        logs = "".join(f" --log {shlex.quote(str(file))}" for file in files) if teaches else ""
        say_next(f"power {abs(open_ones['difference'].iloc[0]):.2g}{logs}")


def _tables(pairs: pd.DataFrame, systems: pd.DataFrame) -> list[Section]:
    """What people read, as text."""
    import pandas as pd

    from foretell.assets.store.markdown import cell
    from foretell.pipelines.cli.judge.tables import intervals
    from foretell.predictors.metrics import rank_intervals

    shown = systems[["system"]].assign(score=intervals(systems, "mean", "ci_lower", "ci_upper"))
    if len(systems) > 2:
        shown["rank"] = [f"{row.rank_lower}-{row.rank_upper}" for row in rank_intervals(pairs).itertuples()]
    rest = systems.drop(columns=["system", "mean", "ci_lower", "ci_upper"]).dropna(axis=1, how="all").map(cell)
    of_pairs = pd.DataFrame({
        "pair": pairs["a"] + " - " + pairs["b"], "difference": intervals(pairs, "difference", "ci_lower", "ci_upper"),
        "verdict": pairs["verdict"], "p (Holm)": pairs["p_value_holm"].map(cell),
        "detectable": pairs["minimum_detectable_effect"].map(cell),
        "P(a above b)": intervals(pairs, "probability_of_improvement", "improvement_lower", "improvement_upper"),
        "items": pairs["n_items"], "clusters": pairs["n_clusters"], "p equal": pairs["p_value_equivalence"].map(cell),
        "items needed": pairs["items_needed"].map(cell),
    })  # fmt: skip
    columns = pd.concat([shown, rest], axis=1).rename(columns=lambda name: name.replace("_", " "))
    return [Section("Systems", table=columns), Section("Pairs", table=of_pairs)]


def _notes(pairs: pd.DataFrame, systems: pd.DataFrame) -> list[str]:
    lines = []
    for row in pairs.to_dict("records"):
        if row["n_only_a"] or row["n_only_b"]:
            rest = f"{row['n_only_a']} only of {row['a']} and {row['n_only_b']} only of {row['b']} are left out"
            lines.append(f"{row['a']} and {row['b']} share {row['n_items']} items; {rest}.")
    for row in systems.to_dict("records"):
        if row["luck"] == row["luck"]:
            lines.append(f"Two evals like that of {row['system']} differ by up to {row['luck']:.3g} by luck (95 %).")
        else:
            lines.append(f"{row['system']} has one run of each item: its luck cannot be told; repeat some (epochs).")
    return lines
