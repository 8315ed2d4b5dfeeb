"""`foretell samples`: what more samples of a request buy, and where they stop paying."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.pipelines.cli.console import percent
from foretell.pipelines.cli.judge.compare import EvalLogs, Metric
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import Output
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

    from foretell.predictors.downstream_scaling.laws.pass_at_k import PassRates


@dataclass(frozen=True)
class Terms:
    """What samples cost and are worth, and how well the best of them is told."""

    up_to: Annotated[int, typer.Option(min=1, help="Largest number of samples to forecast.")] = 100
    cost: Annotated[
        list[float] | None, typer.Option(min=0, help="Cost of a sample in units of a right answer's worth; per system.")
    ] = None
    penalty: Annotated[float, typer.Option(min=0, help="What a wrong answer costs, in the same unit.")] = 0.0
    false_positives: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of wrong answers that the verifier accepts (0: perfect).")
    ] = None
    verifier: Annotated[
        Path | None, typer.Option(help="Table with the columns score and accepted (0 or 1), to estimate that share by.")
    ] = None


@flat
def samples(files: EvalLogs, terms: Terms, output: Output, metric: Metric = None) -> None:
    """What more samples of a request buy: pass@k beyond what was measured, votes, best of n."""
    from foretell.assets.pages import Page, Section
    from foretell.assets.readers.scores.eval_logs import read_eval_logs
    from foretell.pipelines.cli.judge.tables import intervals
    from foretell.predictors.plots.reports import plot_lines

    scores, notes = read_eval_logs(files, metric=metric)
    false_positives, how = _false_positives(terms)
    table, found = sample_table(scores, terms, false_positives)
    shown = table[["system", "k"]].assign(
        pass_at_k=intervals(table, "pass_at_k", "lower", "upper"),
        source=table["is_measured"].map({True: "measured", False: "forecast"}),
        **{name: table[name].map("{:.3f}".format) for name in ("best_of", "draws", "majority")},
    )

    figure = partial(
        plot_lines, table, "k", "pass_at_k", "system", band=("lower", "upper"),
        title="One of k samples is right", xlabel="samples k", ylabel="pass@k, 90 % interval",
    )  # fmt: skip
    sections = [Section("Drawn", figure=figure), Section("What k samples are worth", table=shown, n_keys=2)]
    output.show(table, Page("What more samples buy", sections, remarks=[*notes, how, *found]))


def sample_table(scores: pd.DataFrame, terms: Terms, false_positives: float) -> tuple[pd.DataFrame, list[str]]:
    """One row per system and number of samples, and what follows from it in sentences."""
    import numpy as np
    import pandas as pd

    from foretell.predictors.downstream_scaling.laws.pass_at_k import PassRates

    if not scores["score"].isin([0, 1]).all():
        raise InvalidInputError(
            "samples are right (1) or wrong (0), and some scores are neither: name another --metric"
        )
    systems = list(dict.fromkeys(scores["system"]))
    given = terms.cost or []
    if len(given) not in (0, 1, len(systems)):
        raise InvalidInputError(
            f"`--cost` is given {len(given)} times for {len(systems)} systems: {', '.join(systems)}"
        )
    costs = dict(zip(systems, given * len(systems) if len(given) == 1 else given, strict=False))
    ks = np.unique(np.round(np.geomspace(1, terms.up_to, 16)).astype(int))
    tables, notes, rates = [], [], {}
    parts = scores.groupby("system", sort=False)
    of_systems = {str(system): runs.groupby("item")["score"].agg(["sum", "size"]) for system, runs in parts}
    for system, items in of_systems.items():
        theirs = [counts.loc[items.index] for other, counts in of_systems.items() if other != system
                  and items.index.isin(counts.index).all()
                  and counts.loc[items.index, "size"].min() >= 2 * items["size"].max()]  # fmt: skip
        relatives = [PassRates.fit(counts["sum"], counts["size"]) for counts in theirs]
        fitted = rates[system] = PassRates.fit(items["sum"], items["size"], relatives=relatives)
        if fitted.has_relatives:
            notes.append(f"{system}: beyond its own draws by {len(relatives)} systems with more draws of these items.")
        best = [fitted.best_of(int(k), false_positive_rate=false_positives) for k in ks]
        tables.append(fitted.coverage(ks).assign(
            system=system, majority=[fitted.majority(int(k)) for k in ks], best_of=[right for right, _ in best],
            draws=[draws for _, draws in best],
        ))  # fmt: skip
        if (cost := costs.get(system)) is not None:
            # Right answers less wrong ones and samples, for 1 to `up_to` samples until the verifier accepts.
            chances = [fitted.best_of(k, false_positive_rate=false_positives) for k in range(1, terms.up_to + 1)]
            worth = np.array([right - terms.penalty * (1 - right) - cost * draws for right, draws in chances])
            n, most = int(worth.argmax()) + 1, worth.max()
            n_words = f"{n} samples" if n < terms.up_to else f"{n} samples or more (raise --up-to)"
            notes.append(f"{system}: {n_words} at {cost:g} pay best (worth {most:.3f}; {worth[0]:.3f} with one).")
        if items["size"].min() < 2:
            notes.append(
                f"{system}: items have one run, which cannot tell easy items from lucky ones: intervals hold whatever "
                "is possible, values are guesses; repeat some items."
            )
    notes += _equal_money(rates, costs, false_positives)
    return pd.concat(tables)[["system", *tables[0].columns.drop("system")]], notes


def _equal_money(rates: dict[str, PassRates], costs: dict[str, float], false_positives: float) -> list[str]:
    """Every dear system once, against as many samples of each cheaper one as cost the same."""
    lines = []
    for dear, cheap in ((a, b) for a in costs for b in costs if costs[b] > 0 and costs[a] >= 2 * costs[b]):
        n = int(costs[dear] // costs[cheap])
        best, _ = rates[cheap].best_of(n, false_positive_rate=false_positives)
        row = rates[cheap].coverage([n]).iloc[0]
        lines.append(
            f"For the money of one {dear} ({rates[dear].majority(1):.3f}) there are {n} of {cheap}: {best:.3f} with "
            f"this verifier, {rates[cheap].majority(n):.3f} by majority, pass@{n} {row['pass_at_k']:.3f} "
            f"[{row['lower']:.3f}, {row['upper']:.3f}]."
        )
    return lines


def _false_positives(terms: Terms) -> tuple[float, str]:
    if terms.verifier is None:
        share = terms.false_positives or 0.0
        return share, f"The verifier of best_of accepts {percent(share, 1)} of the wrong answers, as given."
    if terms.false_positives is not None:
        raise InvalidInputError("give `--false-positives` or `--verifier`, not both")

    import pandas as pd
    from scipy import stats

    if not terms.verifier.is_file():
        raise InvalidInputError(f"{terms.verifier}: no such file; give a csv with the columns score and accepted")
    table = pd.read_csv(terms.verifier)
    if {"score", "accepted"} - set(table) or not table[["score", "accepted"]].isin([0, 1]).all().all():
        raise InvalidInputError(f"{terms.verifier}: needs the columns score and accepted, 0 or 1 in every row")
    wrong = table.loc[table["score"] == 0, "accepted"]
    if wrong.empty:
        raise InvalidInputError(f"{terms.verifier}: no answer is wrong, so that none shows how often wrong ones pass")
    ends = stats.binomtest(int(wrong.sum()), len(wrong)).proportion_ci(0.95, "wilson")
    shown = f"{percent(wrong.mean(), 1)} [{percent(ends.low, 1)}, {percent(ends.high, 1)}]"
    return float(wrong.mean()), f"The verifier of best_of accepts {shown} of {len(wrong)} wrong answers."
