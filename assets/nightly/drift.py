"""Has the forecast got worse, has the noise moved, are the requests other ones? One row per family and night.

The statistics are `metrics.deciding.drift`; this module chooses the rows, keeps the history and says from
which night on training should read. A night is numbered by its data and replaced when it is run again, and
tonight's training only reads alarms of earlier nights: running a night twice gives the same fit.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from foretell.assets.judging.family import Family
from foretell.assets.judging.pipeline import forecasts_by_cell
from foretell.assets.judging.vault import usable
from foretell.assets.registry.policy import Policy
from foretell.predictors.base import BasePredictor
from foretell.predictors.schemas.examples import has_days

if TYPE_CHECKING:
    from foretell.predictors.metrics import Night

HISTORY = {
    "night": "str",
    "champion": "str",
    "n_queries": "int64",
    "has_repeats": "bool",
    "excess": "float64",
    "excess_error": "float64",
    "floor": "float64",
    "floor_error": "float64",
    "base_excess": "float64",
    "base_error": "float64",
    "psi": "float64",
    "psi_column": "str",
    "psi_p_value": "float64",
    "verdict": "str",
    "since": "str",
}
"""Columns of a history; `since` names the night from which on training should read, "" for all.

`base_excess` is what the champion's excess was on held-out queries of the nights before it took over.
"""

RESETTING = ("forecast drifted", "ambiguous")
MIN_QUERIES = 10
MIN_BASE_QUERIES = 40
MAX_CATEGORIES = 30
MAX_REFERENCE = 20_000
LARGE_PSI = 0.25
PSI_P_VALUE = 0.001


@dataclass(frozen=True)
class InputShift:
    """The column whose distribution moved most.

    `psi` is its population stability index, 0 is no move; above .25 is called large by custom (Siddiqi 2006). `p_value`
    is that sampling alone moves it so far: psi n m / (n + m) is chi-squared (Yurdakul 2018), corrected for the number
    of columns.
    """

    psi: float
    column: str
    p_value: float

    @property
    def is_large(self) -> bool:
        """Large, and not by the luck of a small night."""
        return self.psi > LARGE_PSI and self.p_value < PSI_P_VALUE


def night_row(
    family: Family,
    champion: BasePredictor,
    version: str,
    examples: pd.DataFrame,
    history: pd.DataFrame,
    *,
    learnt_tonight: bool,
    base_nights: int = 20,
) -> dict[str, object] | None:
    """Tonight's statistics of the champion, on queries that nobody has seen before.

    Where the champion has `learnt_tonight`, only what it held out counts. What is normal for a champion is told
    by the held-out queries of the nights before: a change that comes right after a promotion is seen as one. The row
    has no verdict yet; None where no row tells its day or too few queries are new.
    """
    if not has_days(examples):
        return None
    days = examples["started_at"].dt.floor("D")
    night = days.max()
    first_seen = days.groupby(examples[family.fresh_by]).transform("min")
    may_count, is_test = usable(examples), examples["split"] == "test"
    earlier = history[history["night"] < night.date().isoformat()]
    if not earlier.empty and earlier["champion"].iloc[-1] == version:
        base = {name: float(earlier[name].iloc[-1]) for name in ("base_excess", "base_error")}
    else:
        first = night - pd.Timedelta(days=base_nights)
        before = (days < night) & (days >= max(drift_start(examples, history) or first, first))
        base = _base(family, champion, examples[is_test & may_count & before])
    # Where queries return, held-out ones are of another kind (unknown groups, largest models): like with like.
    is_held_out = learnt_tonight or (family.fresh_by != "query_id" and math.isfinite(base["base_excess"]))
    rows = examples[(first_seen == night) & may_count & (is_test if is_held_out else True)]
    if rows["query_id"].nunique() < MIN_QUERIES:
        return None
    shift = input_shift(family.inputs(examples[days == night]), family.inputs(examples[days < night]))
    return {
        "night": night.date().isoformat(),
        "champion": version,
        **asdict(_statistics(family, champion, rows)),
        **base,
        "psi": shift.psi,
        "psi_column": shift.column,
        "psi_p_value": shift.p_value,
    }


def input_shift(tonight: pd.DataFrame, before: pd.DataFrame) -> InputShift:
    """Compare the inputs of a night with those before it, column by column.

    Text of many values and list columns are left out; numbers are cut at the deciles of `before`. NaN where there is
    nothing to compare.
    """
    shifts = []
    is_told = not (tonight.empty or before.empty)
    for name, (a, b) in _counts(tonight, before.tail(MAX_REFERENCE)) if is_told else ():
        n, m = a.sum(), b.sum()
        p, q = (a + 0.5) / (n + 0.5 * a.size), (b + 0.5) / (m + 0.5 * b.size)
        psi = float(((p - q) * np.log(p / q)).sum())
        shifts.append(InputShift(psi, name, float(stats.chi2.sf(psi * n * m / (n + m), a.size - 1))))
    if not shifts:
        return InputShift(float("nan"), "", 1.0)
    worst = min(shifts, key=lambda shift: shift.p_value)
    return replace(worst, p_value=min(1.0, worst.p_value * len(shifts)))


def with_night(history: pd.DataFrame, tonight: dict[str, object], policy: Policy) -> pd.DataFrame:
    """The history with tonight's row, once, and every night's verdict; nights after it are left out and come again.

    The monitor of the forecast starts anew with every champion, whose errors are its own: from its `base_excess`,
    or where that is unknown from its first nights.
    """
    from foretell.predictors.metrics import CusumMonitor, DriftMonitor, Night

    before = history[history["night"] < str(tonight["night"])]
    rows = [*before.to_dict("records"), {**tonight, "verdict": "ok", "since": ""}]
    history = pd.DataFrame(rows)[list(HISTORY)].astype(HISTORY)
    limit, base_nights = policy.drift_limit, policy.drift_base_nights
    monitor = DriftMonitor(
        CusumMonitor(limit=limit, base_nights=base_nights),
        CusumMonitor(limit=limit, base_nights=base_nights, two_sided=True),
    )
    verdicts: list[str] = []
    since: list[str] = []
    champion, quiet = None, ""
    for row in history.to_dict("records"):
        if champion != row["champion"]:
            monitor.excess.reset()
            if math.isfinite(row["base_excess"]):
                error = row["base_error"] * math.sqrt(base_nights)
                monitor.excess.base = [(row["base_excess"], error)] * base_nights
        champion = row["champion"]
        if monitor.excess.up == 0:
            quiet = row["night"]
        floor = row["floor"] if row["floor"] > 0 else float("nan")
        verdict = monitor.update(
            Night(
                excess=row["excess"],
                excess_error=row["excess_error"],
                # A variance and its standard error rise and fall together, which alarms on luck; their logs do less.
                floor=math.log(floor),
                floor_error=row["floor_error"] / floor,
                n_queries=row["n_queries"],
                has_repeats=bool(row["has_repeats"]) and floor > 0,
            )
        )
        verdicts.append(verdict)
        # The sum left zero on the night at which the change probably began.
        since.append(quiet if verdict in RESETTING else since[-1] if since else "")
    return history.assign(verdict=pd.array(verdicts, dtype="str"), since=pd.array(since, dtype="str"))


def training_rows(examples: pd.DataFrame, history: pd.DataFrame, policy: Policy) -> pd.DataFrame:
    """The rows that tonight learns from and is judged on: all, or those since the forecast drifted.

    Only alarms of nights before tonight count, and only once enough queries have come since.
    """
    start = drift_start(examples, history) if policy.reset_window else None
    if start is None:
        return examples
    recent = examples[(examples["started_at"] >= start) | examples["started_at"].isna()]
    learn = recent[recent["split"] != "test"]
    return recent if learn["query_id"].nunique() >= policy.min_window_queries else examples


def drift_start(examples: pd.DataFrame, history: pd.DataFrame) -> pd.Timestamp | None:
    """The day since which the requests are other ones, by alarms of nights before the newest of `examples`."""
    if history.empty or not has_days(examples):
        return None
    earlier = history[history["night"] < examples["started_at"].max().date().isoformat()]
    if earlier.empty or not earlier["since"].iloc[-1]:
        return None
    return pd.Timestamp(date.fromisoformat(earlier["since"].iloc[-1]), tz="UTC")


def _base(family: Family, champion: BasePredictor, rows: pd.DataFrame) -> dict[str, float]:
    if rows["query_id"].nunique() < MIN_BASE_QUERIES:
        return {"base_excess": math.nan, "base_error": math.nan}
    statistics = _statistics(family, champion, rows)
    return {"base_excess": statistics.excess, "base_error": statistics.excess_error}


def _statistics(family: Family, champion: BasePredictor, rows: pd.DataFrame) -> "Night":
    """Excess and floor over cells with two runs where there are enough of them, else of single runs."""
    from foretell.predictors.metrics import night_statistics

    cells = rows.sort_values(["cell_id", "replicate"]).groupby("cell_id")
    values = rows.assign(place=cells.cumcount()).set_index(["cell_id", "place"])["value"]
    if family.scale == "log":
        values = values.map(np.log)
    wide = values.unstack("place")  # noqa: PD010
    assert isinstance(wide, pd.DataFrame)
    pairs = wide.reindex(columns=[0, 1]).dropna()
    chosen = pairs if len(pairs) >= MIN_QUERIES else wide[[0]]
    quantiles = forecasts_by_cell(family, {"champion": champion}, rows)["champion"].loc[chosen.index]
    forecast = (np.log(quantiles) if family.scale == "log" else quantiles).mean(axis=1)
    return night_statistics(chosen.to_numpy(), forecast.to_numpy())


def _counts(tonight: pd.DataFrame, before: pd.DataFrame) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    for name in tonight.columns:
        a, b = tonight[name], before[name]
        if pd.api.types.is_numeric_dtype(b):
            numbers = b.dropna().to_numpy("float64")
            edges = np.unique(np.quantile(numbers, np.arange(1, 10) / 10)) if numbers.size else numbers
            a, b = (
                pd.Series(np.where(column.notna(), np.searchsorted(edges, column.astype("float64")), -1))
                for column in (a, b)
            )
        elif not pd.api.types.is_string_dtype(b):
            continue
        table = pd.concat([a.value_counts(dropna=False), b.value_counts(dropna=False)], axis=1).fillna(0.0)
        if 2 <= len(table) <= MAX_CATEGORIES:
            yield str(name), (table.iloc[:, 0].to_numpy("float64"), table.iloc[:, 1].to_numpy("float64"))
