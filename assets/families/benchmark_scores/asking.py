"""A benchmark in words and names of models -> rows to forecast: what is read, completed, and refused."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.assets.store.sources import read_public
from foretell.predictors.errors import InvalidInputError, unknown_name
from foretell.predictors.model_names import ModelNames
from foretell.predictors.schemas.descriptions import DESCRIPTION_FIELDS

LONGEST = 20_000
"""Characters: a description is a paragraph or a page, not a paper."""
FEWEST_WORDS = 4
OTHER_FIELDS = ("domain", "answer_format", "metric", "languages", "n_classes", "published", "known_scores", "benchmark")
FIELDS = (*DESCRIPTION_FIELDS, *OTHER_FIELDS)
TEXT_FILES, TABLES = (".yaml", ".yml", ".json", ".txt", ".md"), (".csv", ".parquet", ".jsonl")
METADATA = ("released_at", "n_params", "context_tokens", "input_usd_per_million", "output_usd_per_million",
            "is_reasoning", "open_weights")  # fmt: skip
METRICS = {"exact match": "exact_match", "em": "exact_match", "acc": "accuracy", "pass_at_1": "pass@1"}
REQUEST = re.compile(r'"?(?:messages|prompt_text|input_tokens|output_tokens|custom_id)"?\s*[:,]')
SCORE = re.compile(
    r"(?<![\w.])\d+(?:[.,]\d+)?\s*(?:%|per ?cent\b|percentage points?\b)"
    r"|\b(?:accuracy|f1|bleu|rouge|scores?|exact match|win rate|pass@1)\b[^.\d\n]{0,20}?(?<![\w.])\d+(?:[.,]\d+)?"
    r"(?![\w.]*[-\s]?(?:shot|way|class|option|point))",
    re.IGNORECASE,
)


def ask_rows(benchmark: str, models: Sequence[str], public: Path) -> pd.DataFrame:
    """Rows of `ScoreRequests`, one per model, redacted as the texts of training were.

    Parameters
    ----------
    benchmark : str
        A description, or a file of one: text, or YAML or JSON with some of `FIELDS`; ``known_scores`` maps names of
        models to their scores there, in points, and ``benchmark`` is the name that its scores will land under.
    models : sequence of str
        Names in any spelling; their release, size and price are looked up.
    public : Path
        Folder of the public figures.

    Raises
    ------
    InvalidInputError
        If the text is none, too long, of another kind, or states a score; if a field, a metric or a model is unknown.
    """
    from foretell.predictors.benchmark_scores.description.redaction import redact_descriptions

    text, where = _text_of(benchmark)
    fields = _fields_of(text, where)
    known = read_public(public, "benchmark_descriptions")
    metric = METRICS.get(str(fields.get("metric")).lower(), fields.get("metric"))
    if metric is not None and metric not in set(known["metric"]):
        raise unknown_name(f"metric of {where}", str(metric), sorted(set(known["metric"])))
    row: dict[str, Any] = {name: fields.get(name) for name in FIELDS[:11]} | {"metric": metric}
    row["benchmark"] = str(fields.get("benchmark") or "")
    published = fields.get("published")
    row["published_year"] = None if published is None else year_of(published, f"{where}: `published`")
    for name in ("domain", "languages"):
        row[name] = "|".join(row[name]) if isinstance(row[name], list) else row[name]
    both = pd.concat([known[["benchmark", *DESCRIPTION_FIELDS]], pd.DataFrame([row])], ignore_index=True)
    asked, _ = redact_descriptions(both)  # beside the described ones, whose words tell names from sentence starts
    asked = pd.concat([asked.tail(1).assign(benchmark=row["benchmark"] or None)] * len(models), ignore_index=True)
    out = with_metadata(asked.assign(model=list(models)), public, strict=True)
    evidence = fields.get("known_scores") or {}
    if evidence:
        names = with_metadata(pd.DataFrame({"model": list(map(str, evidence))}), public, strict=True)["model"].tolist()
        out["known_models"], out["known_scores"] = [names] * len(out), [list(map(float, evidence.values()))] * len(out)
    return out.set_axis(pd.RangeIndex(1, len(out) + 1, name="row"))


def unseen_rows(public: Path) -> pd.DataFrame:
    """Rows to forecast of described benchmarks that no champion learns from, too few models having run; with `score`.

    None is of a leak group that is learnt from; `score` is what was reported, points.
    """
    from foretell.predictors.benchmark_scores.description.redaction import redact_descriptions

    described = read_public(public, "benchmark_descriptions")
    learnt, runs = read_public(public, "modern_scores"), read_public(public, "benchmark_runs")
    groups = described.loc[described["benchmark"].isin(learnt["benchmark"]), "leak_group"]
    asked = redact_descriptions(described)[0][~described["leak_group"].isin(groups)]
    asked["published_year"] = asked["published_at"].dt.year + (asked["published_at"].dt.month - 1) / 12
    asked["n_classes"] = asked["n_classes"].astype("float64")
    runs = runs[runs["benchmark"].isin(asked["benchmark"]) & runs["model"].isin(learnt["model"])]
    rows = runs.groupby(["benchmark", "model"], as_index=False)["score"].median().merge(asked, on="benchmark")
    return with_metadata(rows.drop(columns=["published_at", "n_items"]), public)


def with_metadata(rows: pd.DataFrame, public: Path, *, strict: bool = False) -> pd.DataFrame:
    """Rows whose models are called as training called them, with what is published of them where the rows say nothing.

    Raises
    ------
    InvalidInputError
        If `strict` and a model is not known, with the likely names.
    """
    if "model" not in rows:
        return rows
    listed = read_public(public, "models").set_index("model")
    names = ModelNames(listed.index)
    canonical: list[str] = []
    for name in rows["model"].fillna("").astype("str"):
        found = names.find(name)
        if found is None and strict:
            likely = ", ".join(names.suggest(name)) or "none that looks alike"
            raise InvalidInputError(
                f"unknown model {name!r} (known: {likely}); for any other give a file with its release_year, prices "
                "or size"
            )
        canonical.append(found or name)
    about = listed.reindex(canonical).set_axis(rows.index)
    about["release_year"] = about["released_at"].dt.year + (about["released_at"].dt.month - 1) / 12
    out = rows.assign(model=canonical)
    for name in (*METADATA[1:], "release_year"):
        out[name] = out[name].fillna(about[name]) if name in out else about[name]
    return out


def _text_of(benchmark: str) -> tuple[str, str]:
    """The text, and what to call it in a message."""
    path = Path(benchmark) if len(benchmark) < 500 and "\n" not in benchmark else None
    if path is None or not (path.suffix.lower() in (*TEXT_FILES, *TABLES) or path.is_file()):
        return benchmark, "the description"
    if path.suffix.lower() in TABLES:
        raise InvalidInputError(f"{path}: a table, no description; give it as FILE, without `--benchmark`")
    if not path.is_file():
        raise InvalidInputError(f"{path}: no such file")
    if path.stat().st_size > 4 * LONGEST:
        raise InvalidInputError(f"{path}: {path.stat().st_size:,} bytes are no description; give a paragraph or a page")
    return path.read_text("utf-8", errors="replace"), str(path)


def _fields_of(text: str, where: str) -> dict[str, Any]:
    """The fields of a description, all of it `task` where it is plain text."""
    import yaml

    if len(text) > LONGEST:
        raise InvalidInputError(f"{where}: {len(text):,} characters are no description; give a paragraph or a page")
    if REQUEST.search(text):
        raise InvalidInputError(f"{where}: looks like a file of requests; token forecasts are `foretell quote FILE`")
    try:
        loaded = yaml.safe_load(text) if re.match(r"\s*(?:\{|[a-z_]+:)", text) else None
    except yaml.YAMLError as error:
        raise InvalidInputError(f"{where}: neither text nor YAML ({' '.join(str(error).split())})") from error
    fields = loaded if isinstance(loaded, dict) else {"task": text}
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise unknown_name(f"field of {where}", str(unknown[0]), FIELDS)
    words = " ".join(str(fields[name]) for name in DESCRIPTION_FIELDS if fields.get(name))
    if len(re.findall(r"[^\W\d_]{2,}", words)) < FEWEST_WORDS:
        raise InvalidInputError(
            f"{where}: says nothing; describe in a few sentences what is asked and how it is scored"
        )
    for name in DESCRIPTION_FIELDS:
        match = SCORE.search(str(fields.get(name) or ""))
        if match:
            at = text.find(match.group())
            line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
            raise InvalidInputError(
                f"{where}: states a score at line {line}, column {column} "
                f"({json.dumps(match.group(), ensure_ascii=False)}); take it out: a forecast must not know results"
            )
    return fields


def year_of(month: object, where: str) -> float:
    """The decimal year of a year or a month such as 2025-06; of a year alone, its middle.

    Raises `InvalidInputError`, naming `where` it stands, if it is neither.
    """
    match = re.match(r"(\d{4})(?:-(\d\d))?", str(month))
    if match is None or not 1990 <= int(match.group(1)) <= 2100:
        raise InvalidInputError(f"{where} must be a year or a month such as 2025-06, got {month!r}")
    return int(match.group(1)) + (int(match.group(2) or 7) - 1) / 12


def release_of(model: str, public: Path) -> float | None:
    """Decimal year in which a model was released, in any spelling; None where it is not known."""
    found = with_metadata(pd.DataFrame({"model": [model]}), public)["release_year"].iloc[0]
    return None if pd.isna(found) else float(found)
