"""The functions of `import foretell`: what the command line does, for notebooks and services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from foretell.extras import names_missing_extras
from foretell.predictors.errors import DatasetError, InvalidInputError

if TYPE_CHECKING:
    from foretell.assets.lake.traces.curation import Curated
    from foretell.predictors.base import BasePredictor
    from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor
    from foretell.predictors.metrics import Scale
    from foretell.predictors.thinking_tokens.bill.quote import Quote

__all__ = ["evaluate", "extrapolate", "floor", "load", "quote", "read_traces"]

FLOOR_COLUMNS = ("noise_floor", "floor_ci_lower", "floor_ci_upper", "floor_source", "n_queries", "n_replicates")


def quote(
    requests: pd.DataFrame | Path | str | Sequence[str],
    models: str | Sequence[str],
    *,
    runs: pd.DataFrame | Path | str | Sequence[Path | str] | None = None,
    budget_usd: float | None = None,
    predictor: BasePredictor | None = None,
) -> Quote:
    """What a batch of requests will take on each of several models, before it is sent.

    Parameters
    ----------
    requests : DataFrame, path or sequence of str
        One row per request with `prompt_text`, and where known `query_id`, `benchmark`, `input_tokens`,
        `reasoning_effort`, `temperature`, `top_p`, `max_tokens`, also by the names that files have (`prompt`); or a
        file that `foretell quote` reads; or the prompts.
    models : str or sequence of str
        Models to quote; one that training did not see is forecast as an unknown model.
    runs : DataFrame, path or sequence of paths, optional
        Finished runs of this work on any model, such as `read_traces(path).traces`: `model`, `output_tokens`, and where
        known `query_id`, `prompt_text`, `benchmark`, `reasoning_effort`, `is_censored`, `reasoning_tokens`, `score`.
        They say how long its answers are; runs of the very queries take the place of those that the requests bring.
        Files of `foretell pilot`, or a frame with the design of one (`request`, `probability`, `n_units` and what
        `bill_from_pilot` wants), are a pilot: `Quote.pilot` is the bill by its design; the forecast stays as it was.
    budget_usd : float, optional
        Asks for the probability that the total exceeds it, USD.
    predictor : BasePredictor, optional
        What `load` returned. By default the champion of this installation.

    Returns
    -------
    Quote
        `caveats`: what must be read first; `totals`: a row per model, tokens and USD with intervals; `requests`: a row
        per request and model; `left_out`: requests without text; `cheapest`: the model, None where it cannot be told;
        `pilot`: the bill from the runs of a pilot, None without one.

    Raises
    ------
    InvalidInputError
        If no request is left, no model is named or one twice, `runs` lack a column, or the pilot is of another batch.
    DatasetError
        If there is no champion, or it cannot quote.

    Examples
    --------
    >>> import foretell
    >>> quoted = foretell.quote(["What is 2 + 2?"], ["gpt-5", "gpt-5-mini"])  # doctest: +SKIP
    >>> quoted.totals[["model", "usd_median", "usd_lower_90", "usd_upper_90"]]  # doctest: +SKIP
    """
    from foretell.assets.lake.own_runs import learn_from_runs, read_runs, with_runs_of_queries
    from foretell.assets.lake.requests import in_our_words, read_requests
    from foretell.pipelines.settings import Settings
    from foretell.predictors.thinking_tokens.bill.quote import QuoteTerms
    from foretell.predictors.thinking_tokens.bill.quote import quote as quote_batch
    from foretell.predictors.thinking_tokens.log_quantiles import LogQuantilePredictor

    if isinstance(requests, str | Path):
        requests, _ = read_requests(Path(requests))
    elif not isinstance(requests, pd.DataFrame):
        requests = pd.DataFrame({"prompt_text": pd.Series(list(requests), dtype="str")})
    requests = in_our_words(requests)
    predictor = load() if predictor is None else predictor
    price_file, drawn = Settings().price_file, None
    if isinstance(runs, pd.DataFrame):
        drawn = runs if {"probability", "n_units"} <= set(runs) else None
    elif runs is not None:
        from foretell.pipelines.pilots.plan import read_pilot

        files = [Path(file) for file in ([runs] if isinstance(runs, str | Path) else runs)]
        pilot = read_pilot(files, price_file)
        drawn = None if pilot is None else pilot[0]
        runs = read_runs(files, price_file=price_file)[0] if drawn is None else None
    if isinstance(runs, pd.DataFrame) and drawn is None:
        predictor, requests = learn_from_runs(predictor, runs), with_runs_of_queries(requests, runs)
    if not isinstance(predictor, LogQuantilePredictor):
        raise DatasetError(f"a {type(predictor).__name__} cannot quote a batch; give a ThinkingTokensPredictor")
    terms = QuoteTerms([models] if isinstance(models, str) else models, budget_usd=budget_usd)
    quoted = quote_batch(predictor, requests.drop(columns="model", errors="ignore"), terms, price_file=price_file)
    if drawn is None:
        return quoted
    from foretell.pipelines.cli.forecast.quote_pilot import bill_after

    return replace(quoted, pilot=bill_after(quoted, terms, drawn, None, "the batch"))


def load(family: str = "thinking_tokens", source: Path | str | None = None) -> BasePredictor:
    """Load a fitted predictor; no pickle is read.

    Parameters
    ----------
    family : str
        `thinking_tokens`, `benchmark_scores`, `learning_curves`, `downstream_scaling` or `success`.
    source : path or str, optional
        Folder that `BasePredictor.save` wrote, or a registered version as ``models:/<family>@champion`` or
        ``models:/<family>/<version>``. By default the champion of this installation: that of ``FORETELL_TRACKING_URI``,
        else of ``FORETELL_HOME`` (``.foretell`` of the working folder).

    Returns
    -------
    BasePredictor
        With `predict` (median), `predict_mean`, `predict_interval` and `predict_quantiles`.

    Raises
    ------
    InvalidInputError
        If there is no such family.
    DatasetError
        If nothing is there, or what is there is of another family or version of the code.
    MissingExtraError
        If a registered version is asked for and MLflow is not installed.

    Examples
    --------
    >>> import foretell
    >>> predictor = foretell.load("thinking_tokens", "models/tokens")  # doctest: +SKIP
    >>> predictor.predict_interval(requests, coverage=0.9)  # doctest: +SKIP
    """
    from foretell.pipelines.cli.forecast.champion import load_champion
    from foretell.pipelines.settings import Settings, switch_telemetry_off

    switch_telemetry_off()
    with names_missing_extras():
        return load_champion(Settings(), family, source)


def read_traces(path: Path | str, format: str | None = None) -> Curated:
    """Read one file of requests that were sent: validated, priced, with nothing lost.

    Parameters
    ----------
    path : path or str
        SDK and gateway logs, batch files, OpenTelemetry, Inspect logs, csv and parquet (docs/formats.md); ``.gz`` and
        ``.zst`` too.
    format : str, optional
        By default it is told from the content.

    Returns
    -------
    Curated
        `traces`: one row per request; `quarantine`: every other record with reason, line and remedy; `warnings`: what
        is accepted but should be known; `n_read` and `n_duplicates`, so that the counts add up.

    Raises
    ------
    DatasetError
        If there is no such file.
    InvalidInputError
        If `format` is no known format.

    Examples
    --------
    >>> import foretell
    >>> read = foretell.read_traces("calls.jsonl.gz")  # doctest: +SKIP
    >>> read.traces.groupby("model")["cost_usd"].sum()  # doctest: +SKIP
    """
    from foretell.assets.lake.traces.curation import curate
    from foretell.assets.readers import reading
    from foretell.pipelines.settings import Settings
    from foretell.predictors.thinking_tokens.prices.cost import price_requests

    read = reading.read_traces(path, format)
    return curate(read.rows, price=partial(price_requests, price_file=Settings().price_file), rejects=read.rejects)


def floor(runs: pd.DataFrame, *, scale: Scale = "log") -> pd.DataFrame:
    """The noise floor: the error that no forecaster can remove, estimated from repeated runs of the same queries.

    Parameters
    ----------
    runs : DataFrame
        One row per run: `query_id`, `value`, and where runs of one query are to be told apart `cell_id`, where queries
        were drawn for repetition `repeat_prob`. Or `read_traces(path).traces`, whose output tokens are the value;
        models and efforts of which more than a fifth of the answers were cut off are left out.
    scale : {"log", "identity"}
        Scale that errors are taken on. On ``"log"`` the values must be positive.

    Returns
    -------
    DataFrame
        A row per metric (``crps``, ``mae``, ``mse``): `noise_floor` in the unit of the metric on that scale with its
        95 % interval `floor_ci_lower`, `floor_ci_upper`, and what it rests on: `floor_source`, `n_queries`,
        `n_replicates`. Where repeats do not suffice the floor is NaN, never 0, and `floor_source` says why.

    Raises
    ------
    InvalidInputError
        If a column is missing, or nothing is left.

    Examples
    --------
    >>> import foretell, pandas as pd
    >>> runs = pd.DataFrame({"query_id": list("aabbcc"), "value": [10.0, 12.0, 300.0, 280.0, 50.0, 55.0]})
    >>> foretell.floor(runs).loc["crps", "noise_floor"].round(3)
    np.float64(0.058)
    """
    from foretell.assets.engine import Table
    from foretell.assets.families.thinking_tokens.examples import token_examples
    from foretell.predictors.metrics import partial_evaluation

    if "value" not in runs and {"output_tokens", "config_hash"} <= set(runs.columns):
        examples = token_examples(Table((runs,)))
        runs = examples[~examples["is_capped"]]
    missing = {"query_id", "value"} - set(runs.columns)
    if missing or runs.empty:
        seen = "no run that is not mostly cut off" if not missing else f"no column {', '.join(sorted(missing))}"
        raise InvalidInputError(f"`runs` must have rows with `query_id` and `value`, or be traces; it has {seen}")
    if "cell_id" not in runs:
        runs = runs.assign(cell_id=runs["query_id"])
    floors = partial_evaluation(runs, metrics=("crps", "mae", "mse"), scale=scale).telling()
    table = floors.table(predictor="none", family="none", dataset="runs", split="all")
    return table[table["segment"] == "all"].set_index("metric")[list(FLOOR_COLUMNS)]


def evaluate(family: str, dataset: str) -> pd.DataFrame:
    """Fit a family of predictors on a data set and judge it on queries that it never saw, next to the noise floor.

    Parameters
    ----------
    family : str
        As in `load`.
    dataset : str
        ``lake`` (your own traces), ``starter`` or ``ladder`` (bundled), or a public set by name, which is fetched
        (``FORETELL_MIRROR`` serves it offline).

    Returns
    -------
    DataFrame
        The Evaluation table: a row per predictor, split, segment and metric, with value, noise floor, excess and skill,
        each with its 95 % interval; errors: lower is better.

    Raises
    ------
    InvalidInputError
        If family or data set are unknown.
    DatasetError
        If the files can neither be fetched nor found in the mirror.
    MissingExtraError
        If a package is not installed that the family needs for it.

    Examples
    --------
    >>> import foretell
    >>> table = foretell.evaluate("thinking_tokens", "starter")  # doctest: +SKIP
    >>> table.query("segment == 'all' and metric == 'crps'")  # doctest: +SKIP
    """
    with names_missing_extras():
        from foretell.pipelines.cli.judge.evaluate import evaluate_dataset
        from foretell.pipelines.settings import Settings, switch_telemetry_off

        switch_telemetry_off()
        return evaluate_dataset(Settings(), family, dataset)


def extrapolate(
    steps: ArrayLike, values: ArrayLike, target_step: float | Sequence[float], **known: object
) -> pd.DataFrame:
    """Where a training curve will be at a later step, by a network that was trained on curves of a prior.

    Parameters
    ----------
    steps : array-like of shape (n_points,)
        Budget of each observed point, increasing, in any unit.
    values : array-like of shape (n_points,)
        The metric there; NaN marks a diverged point.
    target_step : float or sequence of float
        Steps to forecast, none before the last observed one, in the unit of `steps`.
    **known
        What else is known of the curve: `metric` (its name tells whether lower is better), `higher_is_better`,
        `lower_bound` and `upper_bound` of the metric (0 and 1 where absent and all values lie there).

    Returns
    -------
    DataFrame
        Index `target_step`; `mean`, `median` and the ends of the 50 % and 90 % intervals, in the unit of the metric.

    Raises
    ------
    InvalidInputError
        If the points are no curve, a target lies before the last one, or `known` holds an unknown name.

    Examples
    --------
    >>> import foretell
    >>> forecast = foretell.extrapolate([1, 2, 4, 8], [0.31, 0.42, 0.50, 0.55], 64, metric="accuracy")
    >>> bool(forecast["lower_90"].iloc[0] < forecast["median"].iloc[0] < forecast["upper_90"].iloc[0])
    True
    """
    from foretell.predictors.schemas.learning_curves import CurveRequests
    from foretell.predictors.serving import forecast_frame

    allowed = sorted(set(CurveRequests.to_schema().columns) - {"steps", "values", "target_step"})
    unknown = sorted(set(known) - set(allowed))
    if unknown:
        raise InvalidInputError(f"unknown: {', '.join(unknown)}; a curve may have {', '.join(allowed)}")
    targets = np.atleast_1d(np.asarray(target_step, dtype=np.float64))
    curve = [np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)]
    rows: list[dict[str, Any]] = [
        {"steps": curve[0], "values": curve[1], "target_step": target, **known} for target in targets
    ]
    index = pd.Index(targets, name="target_step")
    forecasts = forecast_frame(_curve_network(), pd.DataFrame(rows))
    return forecasts.set_axis(index)


@cache
def _curve_network() -> PfnPredictor:
    from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor

    return PfnPredictor.zero_shot()
