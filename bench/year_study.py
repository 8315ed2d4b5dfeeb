"""A year of nights through the real jobs: Dagster in process, MLflow and its registry on sqlite, small traces.

Every night new requests land, `nightly_retrain` runs, and the registry decides. Challengers are useless (the champion's
recipe again, or a poorer one) but for three recipes that are really better; the requests drift twice. What is true is
known, so every promotion can be judged against it.

    python bench/year_study.py --nights 365 --out docs/studies/year.md
    python bench/year_study.py --nights 30                               # a look; also a test in CI

Nights that were not decided on luck cannot be repeated by luck: seeds are fixed.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from foretell.pipelines.settings import Settings

FAMILY = "thinking_tokens"
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
MODELS = ("tiny", "small", "large")
BENCHMARKS = ("math", "code", "chat", "law")
SPREAD = 0.45
KEEP_RUNS = 60
POLICY = """\
thinking_tokens:
  metric: crps
  keep_versions: 10
  min_window_queries: 200
  rule: {screen_nights: 60, screen_min_queries: 60, min_gain_of_floor: 0.02}
"""


@dataclass
class World:
    """Requests and what they truly cost; `night` is the one that is coming."""

    nights: int
    queries: int = 40
    seed: int = 0
    night: int = 0

    @property
    def drifts(self) -> tuple[int, int]:
        """Nights from which on lengths are others."""
        return int(self.nights * 0.45), int(self.nights * 0.75)

    @property
    def gains(self) -> tuple[int, int, int]:
        """Nights from which on a better recipe is tried; see `recipe`."""
        return int(self.nights * 0.10), int(self.nights * 0.28), int(self.nights * 0.60)

    def log_mean(self, model: np.ndarray, benchmark: np.ndarray, effort: np.ndarray, night: int) -> np.ndarray:
        """True mean of the log of the output tokens."""
        level = np.array([3.5, 4.2, 5.0])[model] + np.array([0.9, 0.3, -0.5, -0.7])[benchmark]
        level = level + np.array([0.0, 0.9])[effort]
        first, second = self.drifts
        if night >= first:
            level = level + 0.7 * (model == 2)
        if night >= second:
            level = level - 0.6 * (benchmark == 0)
        return np.asarray(level)

    def draw(self, night: int, n: int, seed: int) -> pd.DataFrame:
        """`n` queries of a night with two runs each."""
        rng = np.random.default_rng(seed)
        model, benchmark = rng.integers(0, 3, n), rng.integers(0, 4, n)
        effort = rng.integers(0, 2, n)
        mean = self.log_mean(model, benchmark, effort, night)
        frame = pd.DataFrame(
            {
                "query": np.arange(n),
                "model": np.array(MODELS)[model],
                "benchmark": np.array(BENCHMARKS)[benchmark],
                "reasoning_effort": np.array(["low", "high"])[effort],
            }
        )
        runs = [frame.assign(replicate=k, value=np.exp(rng.normal(mean, SPREAD)).round().clip(1)) for k in range(2)]
        return pd.concat(runs, ignore_index=True)

    def recipe(self) -> Any:
        """Tonight's predictor: the best recipe known by now, or on two nights of three a useless one."""
        from foretell.predictors.thinking_tokens.baselines import GlobalBaseline, ModelBaseline, ModelBenchmarkBaseline

        first, second, third = self.gains
        useful = ModelBaseline(pooling=400.0)
        if self.night >= first:
            useful = ModelBaseline(pooling=5.0)
        if self.night >= second:
            useful = ModelBenchmarkBaseline(pooling=120.0)
        if self.night >= third:
            useful = ModelBenchmarkBaseline(pooling=5.0)
        useless = (useful, useful.set_params(random_state=self.night), GlobalBaseline(random_state=self.night))
        return useless[self.night % 3]


@dataclass
class Log:
    """What happened, night by night."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        """One row per night."""
        return pd.DataFrame(self.rows)


def chat_lines(frame: pd.DataFrame, day: datetime) -> Iterator[str]:
    """Records as an OpenAI-style log holds them."""
    for i, row in enumerate(frame.to_dict("records")):
        name = f"{day:%Y%m%d}-{row['query']}"
        usage = {"prompt_tokens": 20, "completion_tokens": int(row["value"]), "total_tokens": 20 + int(row["value"])}
        yield json.dumps(
            {
                "request": {
                    "model": row["model"],
                    "reasoning_effort": row["reasoning_effort"],
                    "messages": [{"role": "user", "content": f"{row['benchmark']} question {name}"}],
                    "max_tokens": 100_000,
                },
                "benchmark": row["benchmark"],
                "response": {
                    "id": f"{name}-{row['replicate']}",
                    "object": "chat.completion",
                    "created": int(day.timestamp()) + 60 + i,
                    "model": row["model"],
                    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}],
                    "usage": usage,
                },
            }
        )


def install(home: Path, world: World, window_days: int) -> tuple[Settings, Any, Callable[..., Any]]:
    """An installation of its own whose family asks the world for tonight's recipe, and its nightly job."""
    from foretell.pipelines.home import open_home
    from foretell.pipelines.settings import Settings, quiet_environment

    policy = home / "registry.yaml"
    home.mkdir(parents=True, exist_ok=True)
    policy.write_text(POLICY, "utf-8")
    settings = Settings(home=home, window_days=window_days, policy_file=policy)
    quiet_environment(settings)
    open_home(settings, create=True)
    import dagster as dg

    from foretell.assets.families.thinking_tokens.assets import thinking_tokens_examples
    from foretell.assets.families.thinking_tokens.family import FAMILY as THINKING_TOKENS
    from foretell.assets.lake.traces import assets as traces
    from foretell.assets.nightly.assets import build_family_assets
    from foretell.pipelines.definitions import build_definitions
    from foretell.pipelines.runs import QUIET
    from foretell.predictors.thinking_tokens.baselines import GlobalBaseline

    pipeline = replace(
        THINKING_TOKENS,
        predictor=world.recipe,
        baselines=lambda: {"global": GlobalBaseline()},
        reference="global",
        segments=("model",),
    )
    assets = [
        traces.landed_files,
        traces.raw_traces,
        traces.curated_traces,
        thinking_tokens_examples,
        *build_family_assets(pipeline),
    ]
    job = build_definitions(settings, assets).resolve_job_def("nightly_retrain")
    instance = dg.DagsterInstance.from_config(str(settings.dagster_home))

    def run_night(day: str, hooks: frozenset[Any] = frozenset()) -> Any:
        return job.with_hooks(hooks).execute_in_process(
            instance=instance, partition_key=day, run_config=QUIET, raise_on_error=True
        )

    return settings, instance, run_night


def land(settings: Settings, world: World, night: int) -> str:
    """Land the requests of a night; returns its day."""
    from foretell.assets.lake.landing.deliveries import ingest

    world.night = night
    day = FIRST_DAY + timedelta(days=night)
    file = settings.home / "tonight.jsonl"
    tonight = world.draw(night, world.queries, seed=world.seed + night)
    # Whole or not there: two nights at once write the same file, and one must not read what the other has begun.
    draft = file.with_name(f".tonight-{os.getpid()}")
    draft.write_text("\n".join(chat_lines(tonight, day)) + "\n", "utf-8")
    draft.replace(file)
    ingest([file], settings.landing)
    return f"{day:%Y-%m-%d}"


def simulate(home: Path, world: World, *, window_days: int = 60, progress: bool = False) -> Log:
    """Run every night; returns what happened."""
    from foretell.assets.nightly.record import read_record
    from foretell.pipelines.jobs import prune_runs

    settings, instance, run_night = install(home, world, window_days)
    registry = settings.open_registry()
    log = Log()
    for night in range(world.nights):
        started, cpu = time.perf_counter(), time.process_time()
        run_night(land(settings, world, night))
        prune_runs(instance, keep=KEEP_RUNS)
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
        reference_s = reference_work()
        record = read_record(registry, FAMILY)
        assert record is not None
        drift = pd.read_parquet(settings.home / "lake" / f"{FAMILY}_drift.parquet")
        row = {
            "night": world.night,
            "seconds": seconds,
            "cpu_s": cpu_s,
            "reference_s": reference_s,
            "relative": cpu_s / reference_s,
            "action": record.action,
            "champion": record.champion,
            "shadow": record.shadow,
            "n_shadows": record.state["n_shadows"],
            "alarm": "" if drift.empty or drift["verdict"].iloc[-1] == "ok" else drift["verdict"].iloc[-1],
            **sizes(home),
        }
        if record.action in ("promote", "first") and record.champion is not None:
            row["gain"] = true_gain(registry, world, record)
        row["risk"] = true_risk(registry, world, record.champion)
        log.rows.append(row)
        if progress:
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    return log


def reference_work() -> float:
    """Processor seconds of the same work every night: what else the machine does makes it dearer by as much."""
    started = time.process_time()
    text = [json.dumps({"night": i, "values": list(range(20))}) for i in range(4_000)]
    frame = pd.DataFrame([json.loads(line) for line in text])
    frame["day"] = frame["night"] % 60
    for _ in range(20):
        frame.groupby("day")["night"].agg(["mean", "std"]).sort_values("mean").reset_index()
    return time.process_time() - started


_oracle: dict[tuple[str | None, bool, bool], float] = {}


def true_risk(registry: Any, world: World, version: str | None) -> float:
    """CRPS on the log scale of a version on fresh requests of the present, 4,000 of them; memoised by drift."""
    if version is None:
        return float("nan")
    key = (version, *(world.night >= night for night in world.drifts))
    if key not in _oracle:
        from foretell.assets.families.thinking_tokens.family import FAMILY as THINKING_TOKENS
        from foretell.predictors.metrics import evaluate

        sample = world.draw(world.night, 4000, seed=10_000_019)
        sample = sample[sample["replicate"] == 0]
        inputs = sample[["model", "benchmark", "reasoning_effort"]].drop_duplicates().reset_index(drop=True)
        inputs["cell_id"] = inputs.index.astype(str)
        runs = sample.merge(inputs).assign(query_id=lambda f: f["query"].astype(str), repeat_prob=1.0)
        runs["cell_id"] = runs["cell_id"] + "-" + runs["query_id"]
        predictor = registry.load(registry.version(FAMILY, version))
        cells = runs.set_index("cell_id")
        from foretell.predictors.base import EVALUATION_LEVELS

        forecast = predictor.predict_quantiles(THINKING_TOKENS.inputs(cells), EVALUATION_LEVELS)
        table = evaluate(runs, forecast, predictor="x", family=FAMILY, dataset="truth", split="test", scale="log",
                         metrics=("crps",))  # fmt: skip
        _oracle[key] = float(table["value"].iloc[0])
    return _oracle[key]


def true_gain(registry: Any, world: World, record: Any) -> float:
    """How much lower the true risk of the new champion is than that of the one before it; NaN for the first."""
    if not record.former:
        return float("nan")
    return true_risk(registry, world, record.former[-1]) - true_risk(registry, world, record.champion)


def sizes(home: Path) -> dict[str, float]:
    """Megabytes of each part of the store."""
    parts = {"mlflow_mb": "mlflow", "dagster_mb": "dagster", "lake_mb": "lake", "landing_mb": "landing",
             "models_mb": "models"}  # fmt: skip
    return {
        name: sum(path.stat().st_size for path in (home / folder).rglob("*") if path.is_file()) / 1e6
        for name, folder in parts.items()
    }


def slope(log: pd.DataFrame, column: str, warm_up: int) -> tuple[float, float, float]:
    """Growth of a night's cost over the year: seconds per 100 nights with its 95 % interval (Theil-Sen)."""
    from scipy import stats

    rows = log[log["night"] >= warm_up]
    found = stats.theilslopes(rows[column], rows["night"])
    return 100 * found.slope, 100 * found.low_slope, 100 * found.high_slope


def report(log: pd.DataFrame, world: World, window_days: int) -> str:
    """The study as Markdown."""
    warm_up = min(window_days, world.nights // 2)
    promoted = log[log["action"] == "promote"]
    last = log.iloc[-1]
    alarms = [f"night {r.night} ({r.alarm})" for r in log[log["alarm"] != ""].itertuples()]
    lines = [
        "# Study: a year of nights through the real jobs",
        "",
        f"Made by `python bench/year_study.py --nights {world.nights}`; do not edit, run it again.",
        "",
        f"{world.nights} nights of {world.queries} queries x 2 runs; training reads {window_days} days. "
        f"Better recipes from nights {', '.join(map(str, world.gains))}; drift at nights "
        f"{' and '.join(map(str, world.drifts))}; two challengers of three are useless.",
        "",
        "## Promotions",
        "",
        "| night | champion | true gain in CRPS | right |",
        "|---|---|---|---|",
        *[
            f"| {r.night} | {r.champion} | {r.gain:+.4f} | {'yes' if r.gain > 0 else 'NO'} |"
            for r in promoted.itertuples()
        ],
        "",
        f"{len(promoted)} promotions, {int((promoted['gain'] > 0).sum())} of them right by the truth; "
        f"{int(last['n_shadows'])} shadows started.",
        f"Alarms of drift: {', '.join(alarms) or 'none'}.",
        f"True risk of the champion: {log['risk'].dropna().iloc[0]:.4f} on the first night with one, "
        f"{log['risk'].iloc[-1]:.4f} on the last.",
        "",
        "## Cost of a night",
        "",
        "| | median | growth per 100 nights after the window is full |",
        "|---|---|---|",
    ]
    names = {"cpu_s": "processor time, s", "relative": "the same in units of a fixed piece of work",
             "seconds": "wall time, s (busy machine)"}  # fmt: skip
    for column, name in names.items():
        growth, lower, upper = slope(log, column, warm_up)
        lines.append(f"| {name} | {log[column].median():.2f} | {growth:+.2f} [{lower:+.2f}, {upper:+.2f}] |")
    lines += ["", "## Size of the store on the last night, MB", ""]
    lines += ["| part | all | per night, second half |", "|---|---|---|"]
    half = log.iloc[len(log) // 2]
    for column in ("mlflow_mb", "dagster_mb", "lake_mb", "landing_mb", "models_mb"):
        per_night = (last[column] - half[column]) / max(1, last["night"] - half["night"])
        lines.append(f"| {column.removesuffix('_mb')} | {last[column]:.1f} | {per_night:.3f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--window", type=int, default=60)
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    world = World(args.nights)
    with tempfile.TemporaryDirectory() as folder:
        log = simulate(args.home or Path(folder), world, window_days=args.window, progress=True).frame()
    text = report(log, world, args.window)
    print(text)
    if args.out:
        args.out.write_text(text, "utf-8")
        log.to_csv(args.out.with_suffix(".csv"), index=False)


if __name__ == "__main__":
    main()
