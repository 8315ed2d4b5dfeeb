"""Forecasts of public training runs by fits that saw no run of their workload, and what the density of a log changes.

    OMP_NUM_THREADS=1 python bench/curves_transfer.py [--out docs/img/curves_gallery.png]

``transfer``: every base workload of AlgoPerf, with variants, is forecast by a fit to the others, after 20, 40, 60 or
80 % of a run's own logged points; errors of the last are shares of the 5-95 % range of the curve. Rivals: last value,
network alone, ensemble of power laws and other curves, a Gaussian process and deep power laws (`curves_rivals`).
Intervals (95 %) are over base workloads.

``thinned``: the same forecasts from every second, third and fourth of the observed points, the first and last kept.

``target``: all runs of a workload are seen up to the step at which its median run is 40 % done; asked is when each gets
as good as the median run ends, within the longest run. Concordance is over pairs of runs of a workload of which one is
known to be there first; beside it stand the ranks of the last observed value, and of the step that another seed of the
setting took, which is as much as the setting itself tells.

``lcdb``: the stack fitted to LCDB and the same rivals on its test data sets; stack and network from thinned anchors.

``ladder``: every skill of the model ladder by fits to the other skills.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from curves_gallery import draw, whole_curves
from curves_rivals import DeepPowerLaws, GaussianProcess, MapEnsemble

from foretell.assets.families.learning_curves.evaluation import JUDGED
from foretell.assets.families.learning_curves.examples import LISTS, TRAINING_RUNS
from foretell.assets.families.learning_curves.family import FAMILY
from foretell.pipelines.settings import Settings
from foretell.predictors.learning_curves.decisions import steps_to_target
from foretell.predictors.learning_curves.forecaster import CurveForecaster
from foretell.predictors.metrics import mean_estimate

MODELS = ("learning_curves", "network", "map_ensemble", "last_value", "gaussian_process", "deep_power_laws")
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
EVERY = (2, 3, 4)
LANDMARK = 0.4
"""Share of the median run of a workload up to which all its runs are seen when a target is asked about."""


def fresh(name: str) -> CurveForecaster:
    """A forecaster of `MODELS` that has not learnt yet."""
    rivals: dict[str, CurveForecaster] = {
        "map_ensemble": MapEnsemble(), "gaussian_process": GaussianProcess(), "deep_power_laws": DeepPowerLaws(),
    }  # fmt: skip
    model = rivals.get(name) or FAMILY.models()[name]
    assert isinstance(model, CurveForecaster)
    return model


def fitted(name: str, train: pd.DataFrame) -> CurveForecaster:
    """One of `MODELS` that has learnt from the examples."""
    return fresh(name).fit(FAMILY.inputs(train), train["value"], groups=train["query_id"])


def forecast(model: CurveForecaster, rows: pd.DataFrame) -> pd.DataFrame:
    """Error, log density, coverage, width and interval score of each row."""
    made = model.distribution(FAMILY.inputs(rows))
    low, q25, median, q75, high = made.quantiles(np.array(LEVELS)).to_numpy().T
    y = rows["value"].to_numpy()
    return pd.DataFrame({
        "error": np.abs(median - y), "density": made.log_density(rows["value"]).to_numpy(),
        "in_90": (low <= y) & (y <= high), "in_50": (q25 <= y) & (y <= q75), "width_90": high - low,
        "score_90": high - low + 20 * (np.maximum(low - y, 0) + np.maximum(y - high, 0)),
        "cut": rows["cut"].to_numpy(), "base": rows["query_id"].to_numpy(),
    })  # fmt: skip


def thinned(rows: pd.DataFrame, every: int) -> pd.DataFrame:
    """The same curves, of whose points only some were logged: the last, the first, and every so many between."""
    out = rows.copy()
    for name in (name for name in LISTS if name in rows):
        out[name] = pd.Series([_some(v, every) for v in rows[name]], index=rows.index, dtype=object)
    return out


def _some(values: object, every: int) -> object:
    if not isinstance(values, list | np.ndarray) or len(values) < 3:
        return values
    places = sorted({0, *range(len(values) - 1, -1, -every)})
    return [values[i] for i in places]


def told(values: pd.Series, base: pd.Series) -> str:
    """Mean with its interval over base workloads."""
    codes, names = pd.factorize(base)
    mean = mean_estimate(values.to_numpy(dtype=np.float64), codes, len(names))
    low, high = mean.interval()
    return f"{mean.value:.4f} [{low:.4f}, {high:.4f}]"


def show_transfer(tables: dict[str, pd.DataFrame], examples: pd.DataFrame) -> None:
    """Print the table of errors, coverages and likelihoods by cut."""
    stack = tables[MODELS[0]]
    for cut, at in stack.groupby("cut").groups.items():
        floor = examples["standard_error"].to_numpy()[at] * np.sqrt(2 / np.pi)
        last = tables["last_value"].loc[at, "error"].mean()
        print(f"-- {cut} observed; seed floor {floor.mean():.4f} (median {np.median(floor):.4f})")
        for name, table in tables.items():
            rows = table.loc[at]
            print(f"{name:16s} error {told(rows['error'], rows['base'])} (median {rows['error'].median():.4f}, "
                  f"{rows['error'].mean() / last:.2f} of the last value's); density "
                  f"{told(rows['density'].clip(-20), rows['base'])}; 90 % covers {told(rows['in_90'], rows['base'])}, "
                  f"50 % {rows['in_50'].mean():.2f}, median width {rows['width_90'].median():.3f}, "
                  f"interval score {rows['score_90'].mean():.3f}")  # fmt: skip
            if name != MODELS[0]:
                gain, nats = (table.loc[at, key] - stack.loc[at, key] for key in ("error", "density"))
                print(f"{'':16s} the stack gains {told(gain, rows['base'])} in error, "
                      f"{told(-nats.clip(-20, 20), rows['base'])} nats")  # fmt: skip
    print("coverage by base:", stack.groupby("base")["in_90"].mean().sort_values().head(20).round(2).to_dict())


def show_thinned(name: str, whole: pd.DataFrame, thin: dict[int, pd.DataFrame]) -> None:
    """Print error and coverage of thinned curves against those of the whole ones."""
    for every, table in thin.items():
        for cut, part in table.groupby("cut"):
            ref = whole.loc[part.index]
            print(f"{name} every {every}, {cut}: error {part['error'].mean():.4f} "
                  f"({100 * (part['error'].mean() / ref['error'].mean() - 1):+.1f} %), "
                  f"covers {part['in_90'].mean():.3f} "
                  f"({100 * (part['in_90'].mean() - ref['in_90'].mean()):+.1f} points)")  # fmt: skip


def reach(model: CurveForecaster, rows: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    """Forecast and true step at which each run is as good as the median run of its workload; NaN where it never is."""
    out = []
    for (workload, metric), part in rows.groupby(["dataset", "metric"]):
        up = -1.0 if any(word in str(metric) for word in ("loss", "wer")) else 1.0
        curves = whole.loc[part.index]
        seen = LANDMARK * curves["steps"].map(max).median()
        goal, budget = curves["raw"].median(), float(curves["steps"].map(max).max())
        for cell, row in part.iterrows():
            steps, values, width = curves.loc[cell, ["steps", "values", "width"]]
            k = int((np.asarray(steps) <= seen).sum())
            good = np.flatnonzero(up * (np.asarray(values) - goal) >= 0)
            if k < 2 or k == len(steps) or (good.size and good[0] < k):
                continue
            begun = {"steps": steps[:k], "values": [v / width for v in values[:k]], "target_step": budget}
            asked = FAMILY.inputs(pd.DataFrame([{**row, **begun}]))
            answer = steps_to_target(model, asked, goal / width).iloc[0]
            first = steps[good[0]] if good.size else np.nan
            out.append({"workload": workload, "metric": metric, "setting": row["setting"], "base": row["query_id"],
                        "first": first, "end": steps[-1], "behind": up * (goal - values[k - 1]), **answer})  # fmt: skip
    return pd.DataFrame(out)


def concordance(runs: pd.DataFrame, rank: pd.Series) -> tuple[int, float]:
    """Pairs of runs that can be ordered, and how many are by `rank` (ties half); runs of no rank are left out."""
    pairs, right = 0, 0.0
    reached, when = runs["first"].notna(), runs["first"].fillna(runs["end"])
    for i, j in itertools.combinations(runs.index[rank[runs.index].notna()], 2):
        early, late = (i, j) if when[i] < when[j] else (j, i)
        if when[i] == when[j] or not reached[early]:
            continue
        pairs += 1
        right += float(rank[early] < rank[late]) + 0.5 * float(rank[early] == rank[late])
    return pairs, right


def main() -> None:
    """Fit without each base, forecast, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["transfer", "lcdb", "ladder"]
    parser.add_argument("parts", nargs="*", choices=[*names, "all"], default="all")
    parser.add_argument("--out", type=Path, help="picture of twelve curves with the forecasts made at 40 %%")
    parser.add_argument("--settings", type=int, default=1, help="read one of so many settings of each workload")
    options = parser.parse_args()
    parts = names if "all" in options.parts else options.parts
    if "transfer" in parts:
        transfer(Settings(), options.out, options.settings)
    if "lcdb" in parts:
        lcdb(Settings())
    if "ladder" in parts:
        ladder(Settings())


def transfer(settings: Settings, picture: Path | None, every_setting: int) -> None:
    """Parts ``transfer``, ``thinned`` and ``target``, and the gallery."""
    examples = FAMILY.examples(TRAINING_RUNS, settings.sources).set_index("cell_id", drop=False)
    names = examples.drop_duplicates("setting")
    names = names.loc[names.groupby("dataset").cumcount() % every_setting == 0, "setting"]
    examples = examples[examples["setting"].isin(names)]
    whole = whole_curves(settings.sources, examples)
    judged = examples[examples["source"] == JUDGED]
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in MODELS}
    thin: dict[int, list[pd.DataFrame]] = {every: [] for every in EVERY}
    targets, shown, asked = [], [], []
    for base, rows in judged.groupby("query_id"):
        train = examples[examples["query_id"] != base]
        asked.append(rows)
        for name in MODELS:
            model = fitted(name, train)
            parts[name].append(forecast(model, rows))
            if name != MODELS[0]:
                continue
            for every in EVERY:
                thin[every].append(forecast(model, thinned(rows, every)))
            validation = rows[(rows["cut"] == "40%") & ~rows["metric"].str.contains("train")]
            targets.append(reach(model, validation, whole))
            shown.append((model, validation.sample(2, random_state=1)))
        print(f"{base}: {len(rows)} forecasts", flush=True)
    tables = {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}
    rows = pd.concat(asked)
    show_transfer(tables, rows)
    show_thinned("training runs,", tables[MODELS[0]], {e: pd.concat(t, ignore_index=True) for e, t in thin.items()})
    show_target(pd.concat(targets, ignore_index=True))
    if picture is not None:
        draw(shown, whole, picture)


def show_target(runs: pd.DataFrame) -> None:
    """Print concordance within workloads and coverage of the intervals of steps to the target."""
    median = runs["reach_step_50"]
    by_step = median.where(np.isfinite(median), 1e12 * (2 - runs["probability_reached"]))
    when = runs["first"].fillna(1e12)
    same = when.groupby([runs["setting"], runs["workload"], runs["metric"]])
    others = (same.transform("sum") - when) / (same.transform("size") - 1).replace(0, np.nan)
    ranks = {
        "forecast step": by_step, "last observed value": runs["behind"],
        "other seeds of the setting": others,
    }  # fmt: skip
    for name, rank in ranks.items():
        pairs = pd.DataFrame([
            (part["base"].iloc[0], *concordance(part, rank)) for _, part in runs.groupby(["workload", "metric"])
        ], columns=["base", "pairs", "right"])  # fmt: skip
        by_base = pairs.groupby("base")[["pairs", "right"]].sum()
        by_base = by_base[by_base["pairs"] > 0]
        share, n = by_base["right"] / by_base["pairs"], by_base["pairs"].sum()
        print(f"steps to target, ranked by {name}: concordance {by_base['right'].sum() / n:.3f} over {n:.0f} pairs; "
              f"mean of bases {told(share, share.index.to_series())}")  # fmt: skip
    first = runs["first"].fillna(np.inf)
    inside = (runs["reach_step_05"] <= first) & ((first <= runs["reach_step_95"]) | np.isinf(runs["reach_step_95"]))
    never = runs["first"].isna()
    expected = runs["probability_reached"]
    print(f"steps to target: {len(runs)} runs, {never.mean():.2f} never reach it; 90 % interval covers "
          f"{told(inside, runs['base'])}; reached {1 - never.mean():.2f}, forecast {expected.mean():.2f}, "
          f"Brier {((expected - ~never) ** 2).mean():.3f}")  # fmt: skip


def lcdb(settings: Settings) -> None:
    """Part ``lcdb``: errors and likelihoods of all, and of the stack and the network from thinned anchors."""
    examples = FAMILY.examples("lcdb", settings.sources)
    train, test = (examples[examples["split"] == name] for name in ("train", "test"))
    tables = {}
    for name in MODELS:
        model = fitted(name, train)
        tables[name] = forecast(model, test)
        if name in MODELS[:2]:
            thin = {every: forecast(model, thinned(test, every)) for every in EVERY}
            show_thinned(f"lcdb, {name},", tables[name], thin)
    show_transfer(tables, test)


def ladder(settings: Settings) -> None:
    """Part ``ladder``: errors, likelihoods and coverage with the skill left out."""
    examples = FAMILY.examples("ladder", settings.sources)
    skills = [(skill, examples["query_id"] == skill) for skill in examples["query_id"].unique()]
    tables = {
        name: pd.concat(
            [forecast(fitted(name, examples[~rows]), examples[rows]) for _, rows in skills], ignore_index=True
        )
        for name in MODELS
    }
    show_transfer(tables, pd.concat([examples[rows] for _, rows in skills]))


if __name__ == "__main__":
    main()
