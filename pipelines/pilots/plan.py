"""Which requests of a batch make its pilot, on which models, and what they cost at worst; and the file that says so."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.assets.readers.core.usage import UsageError, tokens_of
from foretell.pipelines.pilots.ledger import json_object, worst_case
from foretell.pipelines.pilots.sending import Call
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics.estimates.survey import draw_systematic, inclusion_probabilities, sampling_sizes
from foretell.predictors.thinking_tokens.bill.quote import Quote
from foretell.predictors.thinking_tokens.prices.cost import price_requests, request_rates

_BODIES = ("body", "params", "request")
_OF_TABLE = ("max_tokens", "temperature", "top_p", "reasoning_effort")
_PARAMETERS = {
    "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "reasoning_effort", "reasoning",
    "thinking", "verbosity", "tools", "tool_choice", "parallel_tool_calls", "response_format", "seed", "stop", "n",
    "frequency_penalty", "presence_penalty", "logit_bias", "service_tier",
}  # fmt: skip
_COMPLETION_CAP = ("gpt-5", "o1", "o3", "o4")
"""Names of models that take their cap as ``max_completion_tokens``."""


def draw_pilot(quoted: Quote, n: int, seed: int) -> pd.DataFrame:
    """Draw the pilot of a quoted batch: the same requests on every model.

    Probabilities rise with the forecast, averaged over the models; large requests are certain.

    Returns
    -------
    DataFrame
        One row per drawn request and model: `request`, `model`, `probability`, `n_units`, `n_drawn`, `seed`,
        `forecast_tokens`, `forecast_usd` (null without a price) and their totals over the batch, `forecast_total_*`.
    """
    rows = quoted.requests
    table = rows.set_index(["request", "option"])["mean"].unstack(sort=False)  # noqa: PD010
    usd = rows.set_index(["request", "option"])["cost_mean_usd"].unstack(sort=False)  # noqa: PD010
    worth = usd.where(usd.notna().all(), table)
    forecast = (worth / worth.mean()).mean(axis=1).to_numpy()
    n = min(n, len(table))
    probability = inclusion_probabilities(sampling_sizes(forecast), n)
    drawn = draw_systematic(probability, forecast, np.random.default_rng(seed))
    parts = [
        pd.DataFrame(
            {
                "request": table.index[drawn], "model": model, "probability": probability[drawn],
                "n_units": len(table), "n_drawn": n, "seed": seed,
                "forecast_tokens": table[model].to_numpy()[drawn], "forecast_usd": usd[model].to_numpy()[drawn],
                "forecast_total_tokens": table[model].sum(), "forecast_total_usd": usd[model].sum(skipna=False),
            }
        )
        for model in table
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def raw_requests(file: Path) -> dict[int, dict[str, Any]]:
    """The requests as they stand in the file, by line or row, from 1; of an Inspect log there are none."""
    if file.suffix == ".jsonl":
        lines = enumerate(file.read_text("utf-8", "replace").split("\n"), 1)
        return {number: json_object(line) or {} for number, line in lines if line.strip()}
    if file.suffix in (".csv", ".parquet"):
        table = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
        return dict(enumerate(json.loads(table.to_json(orient="records")), 1))
    return {}


def body_of(raw: Mapping[str, Any], request: Mapping[str, Any], model: str, max_tokens: int | None) -> dict[str, Any]:
    """The chat request that is sent: as it stands in the file where it is one, else made of its text and settings."""
    body = next((raw[key] for key in _BODIES if isinstance(raw.get(key), dict)), raw)
    if isinstance(body.get("messages"), list) and "anthropic_version" not in body:
        # Beside the request, a line of a file may hold anything; what a provider does not know it refuses.
        kept = set(body) - {"stream", "stream_options"} if body is not raw else _PARAMETERS
        sent = {key: value for key, value in body.items() if key in kept}
    else:
        settings = {name: request.get(name) for name in _OF_TABLE}
        sent = {name: value for name, value in settings.items() if value is not None and value == value}
        if "max_tokens" in sent:
            sent["max_tokens"] = int(sent["max_tokens"])
        sent["messages"] = [{"role": "user", "content": request["prompt_text"]}]
    sent["model"] = model
    if not {"max_tokens", "max_completion_tokens"} & set(sent) and max_tokens is not None:
        takes_other = model.rpartition("/")[2].startswith(_COMPLETION_CAP)
        sent["max_completion_tokens" if takes_other else "max_tokens"] = max_tokens
    return sent


def plan_calls(
    drawn: pd.DataFrame, requests: pd.DataFrame, file: Path, max_tokens: int | None, price_file: Path | None
) -> list[Call]:
    """The calls of a pilot in a random order, each with its worst case in USD (NaN where nothing bounds it)."""
    raw, calls = raw_requests(file), []
    for row in json.loads(drawn.to_json(orient="records", double_precision=15)):
        request = requests.loc[row["request"]].to_dict()
        body = body_of(raw.get(row["request"], {}), request, row["model"], max_tokens)
        calls.append(Call(f"{row['request']}:{row['model']}", body, float("nan"), row))
    calls = bounded(calls, price_file)
    order = np.random.default_rng(int(drawn["seed"].iloc[0])).permutation(len(calls))
    return [calls[k] for k in order]


def bounded(calls: Sequence[Call], price_file: Path | None) -> list[Call]:
    """The calls, each with its worst case in USD; NaN (and null in what is kept) where nothing bounds it."""
    worst = [worst_case(call.body) or (np.nan, np.nan) for call in calls]
    frame = pd.DataFrame(worst, columns=["input_tokens", "output_tokens"])
    frame["model"] = [call.body["model"] for call in calls]
    frame["service_tier"] = [call.body.get("service_tier") for call in calls]
    # Every token at the dearest rate of its side, short or long input, whichever is more.
    usd = np.zeros(len(frame))
    for inputs in (frame["input_tokens"], frame["input_tokens"] * 0):
        rates = request_rates(frame.assign(input_tokens=inputs), price_file=price_file)
        dear = rates[["input", "cache_read", "cache_write"]].max(axis=1) * frame["input_tokens"]
        dear += rates[["output", "reasoning"]].max(axis=1) * frame["output_tokens"]
        usd = np.maximum(usd, (rates["request"] + dear).to_numpy())  # NaN wins: no price, no bound
    return [
        replace(call, reserved_usd=bound, kept={**call.kept, "reserved_usd": bound if bound == bound else None})
        for call, bound in zip(calls, usd.tolist(), strict=True)
    ]


def usage_price(price_file: Path | None) -> Callable[[Call, Mapping[str, Any]], float]:
    """What a call cost by the usage of its answer, in USD; NaN where it has none."""

    def price(call: Call, body: Mapping[str, Any]) -> float:
        try:
            tokens = tokens_of(body.get("usage"))
        except UsageError:
            return float("nan")
        row = {"model": call.body["model"], "service_tier": call.body.get("service_tier"), **tokens}
        return float(price_requests(pd.DataFrame([row]), price_file=price_file)["cost_usd"].iloc[0])

    return price


def write_plan(calls: Sequence[Call], file: Path) -> None:
    """Write the pilot as the input of a batch; ``pilot`` holds the design, ``custom_id`` joins the answers to it."""
    with file.open("w", encoding="utf-8") as lines:
        for call in calls:
            line = {"custom_id": call.key, "method": "POST", "url": "/v1/chat/completions", "body": call.body}
            lines.write(json.dumps({**line, "pilot": call.kept}, ensure_ascii=False) + "\n")


def read_plan(file: Path) -> list[Call]:
    """The calls of a pilot as `write_plan` wrote them.

    Raises `InvalidInputError` if a line is no call of a pilot.
    """
    calls = []
    for number, line in raw_requests(file).items():
        if not isinstance(line.get("pilot"), dict) or not isinstance(line.get("body"), dict):
            raise InvalidInputError(f"{file}:{number}: not a line of a pilot; name another file with --plan")
        worst = line["pilot"]["reserved_usd"]
        calls.append(Call(str(line["custom_id"]), line["body"], np.nan if worst is None else worst, line["pilot"]))
    return calls


def read_pilot(files: Sequence[Path], price_file: Path | None = None) -> tuple[pd.DataFrame, list[str]] | None:
    """Read a pilot from its plan and its results, in any order; None where no line holds a design.

    Returns
    -------
    runs : DataFrame
        One row per drawn request and model: the columns of `draw_pilot`, and `usd`, `output_tokens`, `max_tokens`,
        `finish_reason`, `answer` (text), `line` (the result as it stands), null where no answer came.
    faults : list of str
        A line per answer that says too little.

    Raises `InvalidInputError` if a result belongs to no drawn request.
    """
    designs: dict[str, dict[str, Any]] = {}
    results: dict[str, tuple[str, dict[str, Any]]] = {}
    lines_of = [file for file in files if file.suffix == ".jsonl" and file.is_file()]
    if len(lines_of) < len(files) or not any(b'"pilot"' in file.read_bytes() for file in lines_of):
        return None
    for file in files:
        for number, line in raw_requests(file).items():
            key = str(line.get("custom_id"))
            if isinstance(line.get("pilot"), dict):
                designs[key] = {**designs.get(key, {}), **line["pilot"], "body": line.get("body") or line["request"]}
            if "response" in line:
                results[key] = (f"{file}:{number}", line)
    if not designs:
        return None
    price, rows, faults = usage_price(price_file), [], []
    for key, design in designs.items():
        where, line = results.get(key, ("", {}))
        body = (line.get("response") or {}).get("body")
        row = {**design, "usd": None, "output_tokens": None, "finish_reason": None, "answer": None, "line": line}
        row["max_tokens"] = design["body"].get("max_completion_tokens", design["body"].get("max_tokens"))
        if isinstance(body, dict) and not design.get("fault"):
            try:
                row["output_tokens"] = tokens_of(body.get("usage"))["output_tokens"]
            except UsageError as error:
                faults.append(f"{where}: {error}; left out of the bill")
            choice = (body.get("choices") or [{}])[0]
            row["finish_reason"] = choice.get("finish_reason")
            row["answer"] = (choice.get("message") or {}).get("content")
            row["usd"] = price(Call(key, design["body"], 0.0, {}), body)
        elif line:
            faults.append(f"{where}: {design.get('fault') or 'no answer'}; left out of the bill")
        rows.append(row)
    for key in results.keys() - designs.keys():
        raise InvalidInputError(f"{results[key][0]}: {key!r} was not drawn: give the file that `pilot` wrote as well")
    return pd.DataFrame(rows), faults


def scores_of(runs: pd.DataFrame, check: str, file: Path) -> pd.Series:
    """Whether each answer passes: ``regex:PATTERN`` and ``exact:COLUMN`` (of the requests) look at its text,
    ``column:NAME`` takes the score that stands in the results; null where there is no answer.

    Raises `InvalidInputError` if the check is none of these, or its column is missing.
    """
    kind, _, what = check.partition(":")
    answered = runs["output_tokens"].notna()
    if kind == "column":
        scores = pd.to_numeric(pd.Series([line.get(what) for line in runs["line"]], index=runs.index), errors="coerce")
    elif kind == "regex":
        try:
            scores = runs["answer"].map(lambda text: float(re.search(what, str(text)) is not None))
        except re.error as error:
            raise InvalidInputError(f"`--check` {check!r}: {error}") from None
    elif kind == "exact":
        wanted = {number: line.get(what) for number, line in raw_requests(file).items()}
        pairs = zip(runs["answer"], runs["request"], strict=True)
        right = [
            None if wanted.get(k) is None else float(str(text).strip() == str(wanted[k]).strip()) for text, k in pairs
        ]
        scores = pd.Series(right, index=runs.index, dtype="float64")
    else:
        raise InvalidInputError(f"`--check` must be exact:COLUMN, regex:PATTERN or column:NAME, got {check!r}")
    if scores[answered].isna().any():
        at = runs.loc[answered & scores.isna(), "request"].iloc[0]
        raise InvalidInputError(f"`--check {check}`: request {at} has no {what!r} to compare with")
    return scores.where(answered)
