"""The downstream-scaling family: ladders of public and own models, and how forecasts from them are judged.

Every forecast asks for a model that lies above the ladder it is made from. The largest models of every ladder
(`is_target`) are the test split and nothing is ever learnt from them; what is learnt comes from ladders cut off
lower, with a smaller model as target.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from assets.family import family_pipeline
from assets.family_assets import build_family_assets
from assets.input_tables import read_input_table
from assets.resources import Workspace
from assets.sources import Sources
from predictors.base import EVALUATION_LEVELS, BasePredictor
from predictors.errors import InvalidInputError

__all__ = [
    "DATASETS",
    "PIPELINE",
    "downstream_scaling_assets",
    "evaluate_dataset",
    "examples_from_dataset",
    "examples_from_measurements",
    "load_measurements",
    "read_inputs",
]

DATASETS = ("ladder", "olmo-ladder", "pythia-arithmetic", "pythia", "obs-scaling")
PUBLIC = ("olmo-ladder", "pythia-arithmetic", "pythia", "obs-scaling")
REACHES = (1.25, 4.0, 16.0, 64.0, 256.0)
"""How many times the compute of its ladder's largest model the target of an example has at least."""
LEAST_LEVELS = 3
LEAST_SEED_SD = 0.5
VARIANT_SIZES = 5
DRAWS = 100.0
"""Draws of each item of the own ladder: what a pass rate's noise is about, where exact probabilities are not used."""
METRICS = ("mae", "crps", "coverage_90", "width_90", "interval_score_90")
MEASUREMENTS = [
    "dataset", "ladder", "run", "benchmark", "n_params", "n_train_tokens", "train_flops", "score", "standard_error",
    "loss", "n_items", "chance_score", "is_final", "is_target",
]  # fmt: skip
"""Columns of a table of measurements: one row per model or checkpoint and task, scores and errors in points."""


PIPELINE = family_pipeline("downstream_scaling", scale="identity", segments=("benchmark", "abstain"), dataset="ladder")


# -- measurements -------------------------------------------------------------------------------------
def load_measurements(dataset: str, sources: Sources) -> pd.DataFrame:
    """One row per trained model, checkpoint and task of a data set, columns `MEASUREMENTS`.

    Raises
    ------
    InvalidInputError
        If the set is not known.
    DatasetError
        If its files are missing or wrong.
    """
    loaders: dict[str, Callable[[Sources], pd.DataFrame]] = {
        "ladder": _ladder, "olmo-ladder": _olmo, "pythia-arithmetic": _pythia_arithmetic, "pythia": _pythia,
        "obs-scaling": _obs,
    }  # fmt: skip
    if dataset not in loaders:
        raise InvalidInputError(f"`dataset` must be one of {list(DATASETS)}, got {dataset!r}")
    table = loaders[dataset](sources)
    return table.assign(dataset=dataset)[MEASUREMENTS].reset_index(drop=True)


def _fetched(name: str, sources: Sources) -> list[Path]:
    from assets.catalog import fetch

    return fetch(name, cache=sources.cache, mirror=sources.mirror)


def _binomial(score: pd.Series, n_items: pd.Series) -> pd.Series:
    share = (score / 100).clip(0, 1)
    return pd.Series(100 * np.sqrt(np.maximum(share * (1 - share), 0.25 / n_items) / n_items), index=score.index)


def _olmo(sources: Sources) -> pd.DataFrame:
    from assets.readers.olmo_ladder import OLMO_TARGETS, OLMO_TASKS, load_olmo_ladder

    runs = load_olmo_ladder(_fetched("olmo-ladder", sources))
    runs = runs[runs["is_final"]]
    items = runs["benchmark"].map({name: float(n) for name, (_, _, n) in OLMO_TASKS.items()})
    chance = runs["benchmark"].map({name: c for name, (_, c, _) in OLMO_TASKS.items()})
    error = np.hypot(_binomial(runs["score"], items), runs["checkpoint_error"].fillna(0.0))
    is_target = runs["run"].isin(list(OLMO_TARGETS))
    return runs.assign(ladder="olmo", standard_error=error, n_items=items, chance_score=chance, is_target=is_target)


def _pythia_arithmetic(sources: Sources) -> pd.DataFrame:
    from assets.readers.pythia_arithmetic import N_DRAWS, load_pythia_arithmetic

    items = load_pythia_arithmetic(_fetched("pythia-arithmetic", sources))
    keys = ["operation", "n_shot", "model", "n_params", "n_train_tokens", "train_flops", "step"]
    table = items.groupby(keys)["pass_rate"].agg(["mean", "std", "size"]).reset_index()
    benchmark = table["operation"] + "/" + table["n_shot"].astype("str") + "-shot"
    error = 100 * np.maximum(table["std"] / np.sqrt(table["size"]), 0.5 / (N_DRAWS * table["size"]))
    return table.assign(
        ladder="pythia-deduped", run=table["model"], benchmark=benchmark, score=100 * table["mean"],
        standard_error=error, loss=np.nan, n_items=table["size"] * float(N_DRAWS), chance_score=0.0,
        is_final=table["step"] == table["step"].max(),
        is_target=table["model"] == "12b",
    )  # fmt: skip


def _pythia(sources: Sources) -> pd.DataFrame:
    from assets.readers.pythia_evals_scaling import PYTHIA_TASKS, load_pythia_ladders

    table = load_pythia_ladders(_fetched("pythia-evals", sources))
    items = table["benchmark"].map({name: float(n) for name, (_, n) in PYTHIA_TASKS.items()})
    chance = table["benchmark"].map({name: c for name, (c, _) in PYTHIA_TASKS.items()})
    ladder = table["model_family"] + "/" + table["n_shot"].astype("str") + "-shot"
    return table.assign(
        ladder=ladder, run=table["model"], loss=np.nan, n_items=items, chance_score=chance,
        is_target=table["model"] == "12b",
    )  # fmt: skip


def _obs(sources: Sources) -> pd.DataFrame:
    from assets.readers.obs_scaling import OBS_TASKS, load_obs_scaling

    table = load_obs_scaling(_fetched("obs-scaling", sources))
    items = table["benchmark"].map({name: n for name, (_, n) in OBS_TASKS.items()})
    chance = table["benchmark"].map({name: c for name, (c, _) in OBS_TASKS.items()})
    top = table.groupby("model_family")["train_flops"].transform("max")
    return table.assign(
        ladder=table["model_family"], run=table["model"], loss=np.nan, n_items=items, chance_score=chance,
        standard_error=_binomial(table["score"], items), is_final=True, is_target=table["train_flops"] == top,
    )  # fmt: skip


def _ladder(sources: Sources) -> pd.DataFrame:
    from assets.ladder import load_ladder

    return measurements_of_ladder(load_ladder(sources.starter).checkpoints)


def measurements_of_ladder(checkpoints: pd.DataFrame) -> pd.DataFrame:
    """Measurements of the project's own ladder from its table of checkpoints; all seeds of the largest are targets.

    A score is the mean exact pass probability over the items, in points. All models meet the same items, so what
    wanders is the seed: a standard error is the standard deviation over the seeds of a size, pooled over the task's
    sizes, and at least `LEAST_SEED_SD`.
    """
    table = checkpoints[checkpoints["level"] == 0].astype({"benchmark": "str", "model": "str", "family": "str"})
    score = 100.0 * table["score"].astype("float64")
    final = table["checkpoint"] > 0.999
    ends = table[final].assign(score=score[final])
    spread = ends.groupby(["benchmark", "n_params"])["score"].var(ddof=1).groupby("benchmark").mean()
    variance = table["benchmark"].map(spread).fillna(spread.mean())
    error = pd.Series(np.sqrt(variance), index=table.index).clip(lower=LEAST_SEED_SD)
    return table.assign(
        dataset="ladder", ladder=table["family"], run=table["model"], score=score, is_final=final,
        standard_error=error.fillna(LEAST_SEED_SD), loss=table["loss"].astype("float64"),
        n_items=table["n_items"].astype("float64") * DRAWS, chance_score=100.0 * table["chance"].astype("float64"),
        is_target=table["n_params"] == table["n_params"].max(),
    )  # fmt: skip


# -- examples -----------------------------------------------------------------------------------------
def examples_from_measurements(measured: pd.DataFrame, *, reaches: Sequence[float] = REACHES) -> pd.DataFrame:
    """One row per forecast: a target model, and the ladder of models with clearly less compute.

    Each model is the target of several examples, from ladders cut off 1.25 to 256 times below it. Models that are
    targets of the test split stand in no ladder. A test target has one example, from the whole ladder.
    """
    rows: list[dict[str, Any]] = []
    ordered = measured.sort_values(["dataset", "ladder", "benchmark", "train_flops", "run"], kind="stable")
    for _, group in ordered.groupby(["dataset", "ladder", "benchmark"], sort=False):
        rows += _examples_of(group.reset_index(drop=True), reaches)
    return pd.DataFrame(rows)


def _examples_of(group: pd.DataFrame, reaches: Sequence[float]) -> list[dict[str, Any]]:
    """Examples of one task and ladder, models in order of compute."""
    columns = {name: group[name].to_numpy() for name in group.columns}
    flops, params, run, final = (columns[name] for name in ("train_flops", "n_params", "run", "is_final"))
    small = ~columns["is_target"].astype(bool)
    out = []
    for t in np.flatnonzero(final):
        lengths = set()
        for reach in reaches if small[t] else reaches[:1]:
            ends = small & final & (run != run[t]) & (params <= params[t]) & (flops < flops[t] / reach)
            if _n_levels(flops[ends]) < LEAST_LEVELS or int(ends.sum()) in lengths:
                continue
            lengths.add(int(ends.sum()))
            below = np.flatnonzero(small & np.isin(run, run[ends]))
            out.append(_example(columns, int(t), below, reach))
    return out


def _n_levels(flops: np.ndarray) -> int:
    """Different amounts of compute among ascending ones."""
    return 0 if not len(flops) else int((np.diff(np.log(flops)) > 0.02).sum()) + 1


def _example(columns: dict[str, np.ndarray], t: int, below: np.ndarray, reach: float) -> dict[str, Any]:
    def told(name: str) -> Any:
        return columns[name][below].tolist()

    dataset, ladder, benchmark, run = (str(columns[name][t]) for name in ("dataset", "ladder", "benchmark", "run"))
    is_target = bool(columns["is_target"][t])
    # What is learnt counts models, not tasks: all tasks share the luck of the model that they are measured on.
    query = f"task {dataset}|{ladder}|{benchmark}" if is_target else f"model {dataset}|{ladder}|{run}"
    return {
        "cell_id": f"{dataset}|{ladder}|{benchmark}|{run}|{reach:g}", "query_id": query, "replicate": 0,
        "split": "test" if is_target else "train", "value": float(np.clip(columns["score"][t], 0, 100)),
        "is_censored": False, "is_capped": False, "repeat_prob": 1.0,
        "standard_error": float(columns["standard_error"][t]), "benchmark": str(columns["benchmark"][t]),
        "target_run": str(columns["run"][t]), "target_flops": float(columns["train_flops"][t]),
        "target_params": float(columns["n_params"][t]), "target_tokens": float(columns["n_train_tokens"][t]),
        "chance_score": float(columns["chance_score"][t]), "upper_score": 100.0,
        "n_items": float(columns["n_items"][t]),
        "ladder_flops": told("train_flops"), "ladder_params": told("n_params"), "ladder_tokens": told("n_train_tokens"),
        "ladder_scores": np.clip(columns["score"][below], 0, 100).tolist(), "ladder_errors": told("standard_error"),
        "ladder_losses": told("loss"), "ladder_is_final": told("is_final"), "ladder_runs": told("run"),
    }  # fmt: skip


def examples_from_dataset(dataset: str, sources: Sources) -> pd.DataFrame:
    """One row per forecast and its outcome, see `examples_from_measurements`."""
    return examples_from_measurements(load_measurements(dataset, sources))


# -- evaluation ---------------------------------------------------------------------------------------
def training_examples(dataset: str, sources: Sources, progress: Callable[[str], None] = lambda _: None) -> pd.DataFrame:
    """What a forecaster of `dataset` may learn from: no test target of any set."""
    parts = []
    for name in dict.fromkeys((dataset, *PUBLIC)):
        examples = examples_from_dataset(name, sources)
        parts.append(examples[examples["split"] == "train"])
        progress(f"{name}: {len(parts[-1])} examples to learn from")
    learnt = pd.concat(parts, ignore_index=True)
    return learnt.assign(dataset=learnt["cell_id"].str.split("|").str[0])


def evaluate_dataset(
    dataset: str, sources: Sources, *, progress: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """The Evaluation table of the held-out largest models.

    Learnt is from smaller targets of this and the public sets. Splits are named after the target; segments are tasks,
    and whether the forecaster abstains. Intervals resample tasks.
    """
    train = training_examples(dataset, sources, progress)
    measured = load_measurements(dataset, sources)
    tables = _judged(dataset, train, _test_splits(dataset, measured), progress)
    if dataset == "ladder":
        splits, below = ladder_variants(measured)
        past = train[(train["dataset"] != dataset) | (train["target_params"] < below)]
        tables += _judged(dataset, past, splits, progress)
    from assets.downstream_rivals import ITEM_SETS, cod_tables, item_measurements, observational_tables

    if dataset == "obs-scaling":
        tables += observational_tables(measured)
    if dataset in ITEM_SETS:
        tables += cod_tables(dataset, item_measurements(dataset, sources))
        progress("judged clustering on difficulty")
    return pd.concat(tables, ignore_index=True)


def _judged(
    dataset: str, train: pd.DataFrame, splits: Iterable[tuple[str, pd.DataFrame]], progress: Callable[[str], None]
) -> list[pd.DataFrame]:
    """Fit to `train`, judge on every split."""
    X, y = PIPELINE.inputs(train), train["value"]
    models = PIPELINE.models()
    for name, model in models.items():
        model.fit(X, y, groups=train["query_id"])
        progress(f"fitted {name} to {len(train)} examples")
    tables = []
    for split, rows in splits:
        tables += list(_tables(dataset, split, rows, models))
        progress(f"judged {split}: {len(rows)} forecasts")
    return tables


def ladder_variants(measured: pd.DataFrame) -> tuple[list[tuple[str, pd.DataFrame]], float]:
    """Other ladders out of the own one: each of its `VARIANT_SIZES` largest sizes as target, by seeds of the ladder.

    Returns
    -------
    splits : list of (name, examples)
        ``<target>_from_s0``, ``..._s1``, ``..._all``: the target size's seeds, forecast from those seeds below it.
    below : float
        Parameters of the smallest target: what is learnt for these splits may only stem from targets below it.
    """
    sizes = np.sort(measured["n_params"].unique())[-VARIANT_SIZES:]
    seeds = sorted(measured["run"].str.rsplit("-", n=1).str[1].unique())
    splits = []
    for size in sizes[::-1]:
        part = measured[measured["n_params"] <= size].assign(is_target=measured["n_params"] == size)
        name = part.loc[part["is_target"], "run"].iloc[0].rsplit("-", 1)[0]
        for seed in [*seeds, "all"] if len(seeds) > 1 else ["all"]:
            keep = part["is_target"] | part["run"].str.endswith(seed) if seed != "all" else part["is_target"].notna()
            examples = examples_from_measurements(part[keep])
            examples = examples[examples["split"] == "test"]
            if len(examples):
                splits.append((f"{name}_from_{seed}", examples))
    return splits, float(sizes[0])


def _test_splits(dataset: str, measured: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Name and examples of every test split."""
    examples = examples_from_measurements(measured)
    test = examples[examples["split"] == "test"]
    if dataset != "olmo-ladder":
        return [("largest", test)]
    # The paper's ladder stops at 1.3B and leaves out 0.5xC: only so are its published errors comparable.
    paper = ~measured["run"].str.startswith("3B") & ~measured["run"].str.contains("0.5xC|rerun")
    same = examples_from_measurements(measured[paper | measured["is_target"]])
    same = same[same["split"] == "test"]
    named = {"peteish13_eval_final": "13B", "peteish7_eval_anneal": "7B"}
    out = [(name, same[same["target_run"] == run]) for run, name in named.items()]
    return out + [(f"{name}_from_3B", test[test["target_run"] == run]) for run, name in named.items()]


def _tables(dataset: str, split: str, rows: pd.DataFrame, models: dict[str, BasePredictor]) -> Iterable[pd.DataFrame]:
    from assets.score_noise import add_noise_floors
    from predictors.metrics import evaluate

    cells = rows.set_index("cell_id", drop=False)
    X = PIPELINE.inputs(cells)
    forecasts = {name: model.predict_quantiles(X, EVALUATION_LEVELS) for name, model in models.items()}
    extra = models[PIPELINE.family].extra_columns(X, forecasts[PIPELINE.family])
    keep = ["cell_id", "query_id", "replicate", "value", "repeat_prob", "standard_error", "benchmark"]
    told = {"query_id": cells["benchmark"], "abstain": extra["abstain"].astype("str")}
    outcomes = cells[keep].assign(**told).reset_index(drop=True)
    for name, forecast in forecasts.items():
        reference = None if name == PIPELINE.reference else forecasts[PIPELINE.reference]
        table = evaluate(
            outcomes, forecast, predictor=name, family=PIPELINE.family, dataset=dataset, split=split,
            baseline=reference, baseline_name=None if reference is None else PIPELINE.reference, metrics=METRICS,
            segments=("benchmark", "abstain"),
        )  # fmt: skip
        yield add_noise_floors(table, outcomes)


def read_inputs(path: Path) -> pd.DataFrame:
    """Read forecasts to make: JSON lines, parquet or csv, one row per forecast with the columns of `LadderRequests`.

    Raises
    ------
    InvalidInputError
        If the file cannot be read or a row has no measured scores; says which line and what to do.
    """
    from predictors.downstream_scaling.ladder import LadderRequests

    columns = LadderRequests.to_schema().columns
    lists = [name for name in columns if name.startswith("ladder_") or name == "item_pass_rates"]
    rows = read_input_table(path, known=columns, lists=lists)
    scores = rows["ladder_scores"] if "ladder_scores" in rows else pd.Series(None, index=rows.index, dtype=object)
    if (unmeasured := scores.isna()).any():
        raise InvalidInputError(
            f"{path}:{scores.index[unmeasured][0]}: no `ladder_scores`; give the measured scores in points, as a list"
        )
    return rows


# -- Dagster ------------------------------------------------------------------------------------------
@dg.asset(
    group_name="downstream_scaling",
    kinds={"parquet"},
    description="One row per forecast: a target model, the ladder below it, and the score that was measured.",
)
def downstream_scaling_examples(workspace: Workspace) -> dg.MaterializeResult:
    examples = examples_from_dataset("ladder", workspace.sources)
    return dg.MaterializeResult(
        value=examples,
        metadata={
            "tasks": int(examples["benchmark"].nunique()),
            "targets": int(examples["target_run"].nunique()),
            **{f"{split}_rows": int(n) for split, n in examples["split"].value_counts().items()},
        },
    )


downstream_scaling_assets = [downstream_scaling_examples, *build_family_assets(PIPELINE, fresh_hours=8 * 24)]
