"""Figures of public score tables: `python -m foretell.collect.public_scores SNAPSHOT`, SNAPSHOT = ``llm_scores``.

Writes ``benchmark_runs``, ``models``, ``benchmark_descriptions`` (the YAML file of that name as a table) and
``modern_scores`` (one score per model and described benchmark) into ``data/public``, and prints what was left
out, how far two sources of one cell differ, and how far self-reported scores lie from measured ones. No text
of the sources is kept: a setting is reduced to its own few words (`setting_words`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer
import yaml

from foretell.predictors.benchmark_scores.description.leakage import description_text, leak_groups
from foretell.predictors.errors import DatasetError
from foretell.predictors.model_names import model_keys
from foretell.predictors.schemas.descriptions import DESCRIPTION_FIELDS, BenchmarkDescriptions

FIRST_RELEASE, FEWEST = pd.Timestamp("2023-01-01", tz="UTC"), 5
"""The set ``modern``: models released since, benchmarks with as many of them."""
PUBLIC = Path(__file__).resolve().parents[1] / "public"
ALIASES = {
    "claude-sonnet-3-5": "claude-sonnet-3-5-20241022",
    "claude-haiku-4-5-20251015": "claude-haiku-4-5",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-0513": "gpt-4o-2024-05-13",
    "chatgpt-4o-01-29-2025": "chatgpt-4o",
    "gemini-1-5-pro": "gemini-1-5-pro-002",
    "gemini-1-5-flash": "gemini-1-5-flash-002",
    "gemma-2-27b": "gemma-2-27b-it",
    "gemma-2-9b": "gemma-2-9b-it",
    "gemma-3-27b": "gemma-3-27b-it",
    "qwen-3-235b": "qwen-3-235b-a22b",
    "kimi-k2": "kimi-k2-instruct",
    "o1": "o1-2024-12-17",
    "o3-2025-04-16": "o3",
    "gpt-4": "gpt-4-0613",
    "gpt-4-turbo": "gpt-4-turbo-2024-04-09",
    "mistral-large-2": "mistral-large-2407",
    "llama-4-maverick-17b-128e-instruct": "llama-4-maverick",
    "llama-4-maverick-17b-128e-instruct-fp-8": "llama-4-maverick",
    "llama-4-scout-17b-16e-instruct": "llama-4-scout",
    "llama-4-maverick-17b-128e-instruct-fp8": "llama-4-maverick",
}
"""Spellings that no rule joins: what an undated name meant where it was reported."""
VENDORS = (
    ("anthropic", r"claude"), ("openai", r"gpt|^o[134](?:$|-)|davinci|chatgpt"),
    ("google", r"gemini|gemma|palm|learnlm|medgemma"),
    ("meta", r"llama"), ("deepseek", r"deepseek"), ("alibaba", r"qwen|qwq|qvq"), ("xai", r"grok"),
    ("mistral", r"mi[sx]tral|codestral|magistral|devstral|pixtral"), ("microsoft", r"^phi-|wizardlm"),
    ("zhipu", r"^glm|chatglm"), ("moonshot", r"kimi"), ("minimax", r"minimax"), ("cohere", r"command|c4ai|aya"),
    ("nvidia", r"nemotron"), ("amazon", r"nova"), ("ibm", r"granite"), ("ai21", r"jamba"), ("01-ai", r"^yi-"),
)  # fmt: skip
"""Makers by what their models' names hold; the first that fits."""
EFFORT = re.compile(
    r"(?:[_-]| \()(none|minimal|low|medium|high|xhigh|max|\d+k)(?:\))?(?=$|-20\d\d)|(?:^|[;, :])(\d+k) thinking", re.I
)
EFFORTS = {"none": 0.0, "minimal": 0.25, "low": 1.0, "medium": 2.0, "high": 3.0, "xhigh": 3.5, "max": 4.0}
LEFT_OUT = re.compile(r"chamfer|haus\. 95|factscore|longfact|omnidocbench|codeforces|intelligence_index", re.I)
"""Distances, rates of which lower is better, and indexes: no score in points."""


def setting_words(config: object, raw_model: str) -> str:
    """A setting in a few words of ours: ``effort=high;shots=5;cot;tools;samples``, empty where none is told."""
    text = config if isinstance(config, str) else ""
    try:
        fields: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
    except ValueError:
        fields = {}
    words = []
    effort = _effort(raw_model) or _effort("_" + str(fields.get("effort", ""))) or ""
    if fields.get("mode") in ("thinking", "non-thinking"):
        words.append(str(fields["mode"]))
    if effort:
        words.append(f"effort={effort}")
    shots = re.search(r"(\d+)", str(fields["shots"])) if "shots" in fields else re.search(r"(\d+)[ -]?shots?\b", text)
    if shots or re.search(r"zero.?shot", text, re.I):
        words.append(f"shots={int(shots.group(1)) if shots else 0}")
    tools = str(fields.get("tools", ""))
    words += [name for name, pattern, where in (
        ("cot", r"\bcot\b|chain.?of.?thought", text), ("tools", r"agentic|with|python|search|bash", tools),
        ("samples", r"cons@|maj@|pass@(?!1\b)\d|parallel|best.of", text), ("reasoning", r"reasoning on", text),
    ) if re.search(pattern, where, re.I)]  # fmt: skip
    if "edit_format" in fields or "edit format" in fields:
        words.append(f"format={fields.get('edit_format', fields.get('edit format'))}")
    return ";".join(words)


def _effort(text: str) -> str | None:
    match = EFFORT.search(text)
    return (match.group(1) or match.group(2)).lower() if match else None


def effort_rank(setting: str) -> float:
    """How hard the model was made to think: what to take where one cell has several settings."""
    match = re.search(r"effort=(\w+)", setting)
    if match is None:
        return 1.5 if "non-thinking" not in setting.split(";") else 0.0
    word = match.group(1)
    return EFFORTS.get(word, 3.0 if word.endswith("k") else 1.5)


def canonical_models(names: pd.Series) -> pd.Series:
    """One id per model: efforts cut off, dated and undated spellings joined where only one release is in the data."""
    full = {name: model_keys(EFFORT.sub("", name.strip().replace(" ", "-"))) for name in names.unique()}
    bases: dict[str, set[str]] = {}
    for keys in full.values():
        bases.setdefault(keys[-1], set()).add(keys[0])
    joined = {}
    for name, keys in full.items():
        dated = bases[keys[-1]] - {keys[-1]}
        joined[name] = keys[-1] if len(dated) <= 1 and not _is_other_release(keys, dated) else keys[0]
        joined[name] = ALIASES.get(joined[name], joined[name])
    return names.map(joined)


def _is_other_release(keys: tuple[str, ...], dated: set[str]) -> bool:
    """A month such as ``-0528`` after an open model's name is a second release, not the date of the first."""
    return any(re.search(r"(?:deepseek|kimi|qwen-3).*-\d{4}$", one) for one in (*dated, keys[0]))


def read_runs(snapshot: Path, names: dict[str, str]) -> pd.DataFrame:
    """Scores in points under canonical names; `model_raw` is kept for the join with metadata."""
    raw = pd.read_parquet(snapshot / "scores.parquet")
    kept = raw[raw["score01"].notna() & ~raw["benchmark"].str.contains(LEFT_OUT)]
    typer.echo(f"{len(raw) - len(kept)} of {len(raw)} scores left out: Elo, distances, rates of which lower is better")
    kept = kept[kept["score01"].between(0, 1)]
    runs = pd.DataFrame({
        "source": kept["source"],
        "model_raw": kept["model"],
        "model": canonical_models(kept["model"]),
        "benchmark": [_benchmark(s, b, names) for s, b in zip(kept["source"], kept["benchmark"], strict=True)],
        "setting": [setting_words(c, m) for c, m in zip(kept["config"], kept["model"], strict=True)],
        "score": (100 * kept["score01"]).round(3),
        "scale": "points",
        "metric": kept["benchmark"].str.extract(r"::(.*)$")[0].str.strip().str.lower(),
        "date": kept["date"].astype("str").where(kept["date"].notna()),
        "self_reported": kept["self_reported"].map({True: True, False: False}).astype("boolean"),
        "n_items": kept["n_items"].astype("Int64"),
        "release_date": kept["release_date"],
        "n_params": kept["n_params"],
    })  # fmt: skip
    middle = runs.groupby("benchmark")["score"].transform("median")
    slipped = (runs["score"] < 1) & (middle > 30) & runs["source"].isin(["llm-stats", "benchpress"])
    typer.echo(
        f"{int(slipped.sum())} shares of shares left out (below 1 point where the benchmark's median is above 30)"
    )
    runs = runs[~slipped].drop_duplicates(["source", "model_raw", "benchmark", "setting"])
    return runs.sort_values(["source", "benchmark", "model", "setting", "model_raw"], ignore_index=True)


SET_OF = {"openllm-v1": "open-llm-v1", "openllm-v2": "open-llm-v2", "reasoning-gym": "reasoning-gym", "sloth": "sloth"}
"""Sources whose names of benchmarks mean their own settings, and are not joined with those of others."""


def _benchmark(source: str, name: str, names: dict[str, str]) -> str:
    if source in SET_OF:
        return f"{SET_OF[source]}:{name}"
    return names.get(name, f"{source}:{name}")


def read_models(snapshot: Path, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per model that has a score: maker, release, size, price per million tokens, whether it reasons."""
    listed = pd.read_parquet(snapshot / "models.parquet")
    listed["key"] = pd.Series([model_keys(str(m)) for m in listed["model"]], index=listed.index, dtype=object)
    listed["id"] = [ALIASES.get(k[0], k[0]) for k in listed["key"]]
    listed["base"] = [ALIASES.get(k[-1], k[-1]) for k in listed["key"]]
    numbers = {"cost_in": "input_usd_per_million", "cost_out": "output_usd_per_million", "context": "context_tokens"}
    for name in numbers:
        listed[name] = listed[name].where(listed[name] > 0)
    for name in ("reasoning", "open_weights"):
        listed[name] = listed[name].map({"True": 1.0, "False": 0.0, True: 1.0, False: 0.0})
    listed["released"] = pd.to_datetime(listed["release_date"], errors="coerce", utc=True)
    own = runs.groupby("model").agg(released=("release_date", _mode), n_params=("n_params", "median"))
    tables = [listed.groupby(key).agg(
        {**dict.fromkeys((*numbers, "reasoning", "open_weights", "n_params"), "median"), "released": "min"}
    ) for key in ("id", "base")]  # fmt: skip
    out = pd.DataFrame(index=sorted(runs["model"].unique()))
    for name in (*numbers, "reasoning", "open_weights"):
        out[name] = tables[0][name].reindex(out.index).fillna(tables[1][name].reindex(out.index))
    released = pd.to_datetime(own["released"], errors="coerce", utc=True).reindex(out.index)
    out["released_at"] = released.fillna(tables[0]["released"].reindex(out.index)).fillna(
        tables[1]["released"].reindex(out.index)
    )
    size = own["n_params"].reindex(out.index).fillna(tables[0]["n_params"].reindex(out.index))
    out["n_params"] = size.fillna(pd.Series({m: _size_in_name(m) for m in out.index}))
    named = out.index.str.contains(
        r"^o[134](?:$|-)|^gpt-5|reason|think|-r1|qwq|qvq|magistral|gemini-(?:2-5|3)-|grok-4|^gpt-oss"
    )
    out.loc[named, "reasoning"] = 1.0
    out.loc[out.index.str.contains(r"^gpt-[34]|^llama-[1234]|^gemma|^phi-[123]"), "reasoning"] = 0.0
    old = out["released_at"] < pd.Timestamp("2024-09-01", tz="UTC")
    out["reasoning"] = out["reasoning"].fillna(pd.Series(np.where(old, 0.0, np.nan), index=out.index)).gt(0.5).where(
        out["reasoning"].notna() | old).astype("float64")  # fmt: skip
    out["vendor"] = [next((maker for maker, p in VENDORS if re.search(p, m)), None) for m in out.index]
    out.loc[out["n_params"].notna() & out["vendor"].isin(["meta", "microsoft"]), "open_weights"] = 1.0
    for name in ("reasoning", "open_weights"):
        out[name] = out[name].round()
    out = out.rename(columns={**numbers, "reasoning": "is_reasoning"}).rename_axis("model").reset_index()
    return out[["model", "vendor", "released_at", "n_params", "context_tokens", "input_usd_per_million",
                "output_usd_per_million", "is_reasoning", "open_weights"]]  # fmt: skip


def _mode(values: pd.Series) -> Any:
    counts = values.dropna().value_counts()
    return counts.index[0] if len(counts) else None


def _size_in_name(name: str) -> float:
    match = re.search(r"(?:^|-)(?:(\d+)x)?(\d+(?:-\d+)?)b(?=-|$)", name)
    return float(match.group(2).replace("-", ".")) * 1e9 * float(match.group(1) or 1) if match else np.nan


def label_noise(runs: pd.DataFrame) -> str:
    """How far two sources of one cell differ, and self-reported scores from measured ones, points."""
    cells = runs[runs["source"].isin(["llm-stats", "benchpress", "epoch-runs", "epoch-external", "aider", "evalplus"])]
    best = cells.assign(rank=cells["setting"].map(effort_rank)).sort_values("rank").groupby(
        ["model", "benchmark", "source"]).tail(1)  # fmt: skip
    wide = best.pivot_table(index=["model", "benchmark"], columns="source", values="score")
    lines = []
    for a, b in (
        ("llm-stats", "benchpress"),
        ("llm-stats", "epoch-runs"),
        ("benchpress", "epoch-runs"),
        ("aider", "epoch-external"),
    ):
        if a in wide and b in wide:
            d = (wide[a] - wide[b]).dropna()
            if len(d) > 4:
                lines.append(f"{a} - {b}: {len(d)} cells, mean |difference| {d.abs().mean():.2f}, mean {d.mean():+.2f},"
                             f" over 5 points {100 * (d.abs() > 5).mean():.0f} %")  # fmt: skip
    kind = best.assign(own=best["self_reported"].map({True: "self", False: "measured"}))
    pairs = kind.pivot_table(index=["model", "benchmark"], columns="own", values="score").dropna()
    d = pairs["self"] - pairs["measured"]
    by = d.groupby(level="model").mean()
    ends = 1.96 * by.std() / np.sqrt(len(by))
    lines.append(f"self-reported - measured: {len(d)} cells of {len(by)} models, mean {d.mean():+.2f}, over models "
                 f"{by.mean():+.2f} [{by.mean() - ends:+.2f}, {by.mean() + ends:+.2f}]")  # fmt: skip
    return "\n".join(lines)


def describe(entries: dict[str, Any]) -> pd.DataFrame:
    """The descriptions of the YAML file as a table with leak groups: one row per benchmark."""
    table = pd.DataFrame([{**entry, "benchmark": name} for name, entry in entries.items()])
    made_from = []
    for name, entry in entries.items():
        parent = entries.get(entry["derived_from"] or "", {})
        urls = (entry["source_url"], parent.get("source_url"))
        made_from.append(" ".join(filter(None, (name, entry["derived_from"], *urls))))
    texts = description_text(table, DESCRIPTION_FIELDS[:4]).tolist()
    table = table.assign(
        leak_group=leak_groups(table["benchmark"].tolist(), texts, made_from),
        domain=table["domain"].str.join("|"),
        languages=table["languages"].str.join("|"),
        licence="Apache-2.0",
        n_items=table["n_items"].astype("Int64"),
        n_classes=table["n_classes"].astype("Int64"),
        published_at=pd.to_datetime(table["published"], format="%Y-%m", utc=True),
    )
    columns = list(BenchmarkDescriptions.to_schema().columns)
    valid = BenchmarkDescriptions.validate(table[columns], lazy=True)
    return valid.assign(chance_level=table["chance_level"], human_level=table["human_level"])


def modern_cells(runs: pd.DataFrame, models: pd.DataFrame, described: pd.DataFrame) -> pd.DataFrame:
    """A model on a benchmark, thinking as hard as any source reports: what the data set ``modern`` learns from.

    `score` is the median over sources, points; `standard_error` how far two sources of one cell differ, over the root
    of their number, beside the sampling of items.
    """
    used = models.loc[models["released_at"] >= FIRST_RELEASE, "model"]
    runs = runs[runs["model"].isin(used) & runs["benchmark"].isin(described["benchmark"])]
    effort = runs["setting"].map(effort_rank)
    runs = runs[effort == effort.groupby([runs["model"], runs["benchmark"]]).transform("max")]
    cell = ["model", "benchmark"]
    figures = {"score": ("score", "median"), "n_items": ("n_items", "max")}
    by_source = runs.groupby([*cell, "source"], as_index=False).agg(**figures)
    spread = by_source.groupby(cell)["score"].agg(["max", "min", "size"])
    twice = spread[spread["size"] == 2]
    # half of a root of pi times the mean difference: the deviation of a normal, less moved by slips than squares are
    deviation = float((twice["max"] - twice["min"]).mean() * np.sqrt(np.pi) / 2)
    own = runs.groupby(cell)["self_reported"].mean()
    typer.echo(f"one source's score around its cell: standard deviation {deviation:.2f} points ({len(twice)} cells)")
    cells = by_source.groupby(cell, as_index=False).agg(
        score=("score", "median"), n_sources=("score", "size"), n_items=("n_items", "max")
    )
    told = cells["benchmark"].map(described.set_index("benchmark")["n_items"])
    items = cells["n_items"].fillna(told).astype("float64")
    share = cells["score"] / 100
    sampling = (1e4 * share * (1 - share) / (items - 1)).where(items > 1, 0.0)
    cells["standard_error"] = np.sqrt(sampling + deviation**2 / cells["n_sources"]).round(3)
    cells["self_reported"] = own.reindex(pd.MultiIndex.from_frame(cells[cell])).to_numpy()
    return cells[cells.groupby("benchmark")["model"].transform("size") >= FEWEST]


def main(snapshot: Path) -> None:
    """Make the tables of figures from the snapshot ``llm_scores``."""
    if not (snapshot / "scores.parquet").is_file():
        raise DatasetError(f"{snapshot}: no scores.parquet; name the snapshot llm_scores")
    entries = yaml.safe_load((PUBLIC / "benchmark_descriptions.yaml").read_text("utf-8"))
    described = describe(entries)
    runs = read_runs(snapshot, {alias: name for name, entry in entries.items() for alias in entry["aliases"]})
    models = read_models(snapshot, runs)
    typer.echo(label_noise(runs))
    tables = {
        "benchmark_runs": runs.drop(columns=["model_raw", "release_date", "n_params"]),
        "models": models,
        "benchmark_descriptions": described,
        "modern_scores": modern_cells(runs, models, described),
    }
    for name, table in tables.items():
        path = PUBLIC / f"{name}.parquet"
        table.to_parquet(path, compression="zstd", index=False)
        typer.echo(f"{path.name}: {len(table)} rows, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
