"""A year of nights through the real jobs: Dagster in process, MLflow and its registry on sqlite, small data.

Every night something new lands, `nightly_retrain` runs, and the registry decides. Challengers are useless (the
champion's recipe again, or a poorer one) but for three recipes that are really better; the world changes. What is true
is known (`year_worlds.py`), so every change of the champion can be judged against it.

    python bench/year_study.py --nights 365 --out docs/studies/year.md
    python bench/year_study.py --nights 120 --family benchmark_scores
    python bench/year_study.py --nights 30                               # a look; also a test in CI

Nights that were not decided on luck cannot be repeated by luck: seeds are fixed.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from year_worlds import WORLDS, FamilyWorld, World, day_of

if TYPE_CHECKING:
    from foretell.pipelines.settings import Settings

__all__ = ["WORLDS", "World", "install", "land", "report", "simulate", "takeovers"]

KEEP_RUNS = 60
POLICY = """\
{family}:
  metric: crps
  keep_versions: 10
  min_window_queries: 200
  rule: {rule}
"""
RULE: dict[str, float] = {"screen_nights": 60, "screen_min_queries": 60, "min_gain_of_floor": 0.02}
"""Where they differ from the defaults; a screen of 60 queries for 100, since these worlds are small."""


@dataclass
class Log:
    """What happened, night by night."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        """One row per night."""
        return pd.DataFrame(self.rows)


def install(
    home: Path, world: FamilyWorld, window_days: int, rule: dict[str, float] | None = None
) -> tuple[Settings, Any, Callable[..., Any]]:
    """An installation of its own whose family asks the world for tonight's recipe, and its nightly job."""
    from foretell.pipelines.home import open_home
    from foretell.pipelines.settings import Settings, quiet_environment

    policy = home / "registry.yaml"
    home.mkdir(parents=True, exist_ok=True)
    policy.write_text(POLICY.format(family=world.family, rule=json.dumps(RULE if rule is None else rule)), "utf-8")
    settings = Settings(home=home, window_days=window_days, policy_file=policy)
    quiet_environment(settings)
    open_home(settings, create=True)
    import dagster as dg

    from foretell.assets.lake.tables.assets import TABLE_ASSETS
    from foretell.assets.lake.traces import assets as traces
    from foretell.assets.nightly.assets import build_family_assets
    from foretell.pipelines.definitions import build_definitions
    from foretell.pipelines.runs import QUIET

    family = world.pipeline()
    requests = [traces.raw_traces, traces.curated_traces]
    tables = [asset for asset in TABLE_ASSETS if asset.key.to_user_string() in family.tables]
    own = [asset for asset in family.assets() if set(asset.group_names_by_key.values()) == {family.name}]
    assets = [traces.landed_files, *requests, *tables, *own, *build_family_assets(family)]
    job = build_definitions(settings, assets).resolve_job_def("nightly_retrain")
    instance = dg.DagsterInstance.from_config(str(settings.dagster_home))
    # As on the schedule: where no request has landed, a night curates none.
    skipped = {key for asset in requests for key in asset.keys} if tables else set()
    selection = sorted({key for asset in assets for key in asset.keys} - skipped)

    def run_night(day: str, hooks: frozenset[Any] = frozenset()) -> Any:
        return job.with_hooks(hooks).execute_in_process(
            instance=instance, partition_key=day, run_config=QUIET, raise_on_error=True, asset_selection=selection
        )

    return settings, instance, run_night


def land(settings: Settings, world: FamilyWorld, night: int) -> str:
    """Land what comes on a night; returns its day."""
    from foretell.assets.lake.landing.deliveries import ingest

    world.night = night
    # Whole or not there: two nights at once write the same file, and one must not read what the other has begun.
    draft = settings.home / f".tonight-{os.getpid()}"
    draft.mkdir(exist_ok=True)
    files = [
        file.replace(settings.home / file.name) for file in world.files(draft, world.queries, seed=world.seed + night)
    ]
    draft.rmdir()
    ingest(files, settings.landing)
    return f"{day_of(night):%Y-%m-%d}"


def simulate(
    home: Path,
    world: FamilyWorld,
    *,
    window_days: int = 60,
    rule: dict[str, float] | None = None,
    progress: bool = False,
) -> Log:
    """Run every night; returns what happened."""
    from foretell.assets.nightly.record import read_record
    from foretell.assets.registry.tracking import BASIS_TAG
    from foretell.pipelines.jobs import prune_runs

    settings, instance, run_night = install(home, world, window_days, rule)
    registry, truth = settings.open_registry(), Truth(world, settings)
    log, tried, champion = Log(), {}, None
    for night in range(world.nights):
        started, cpu = time.perf_counter(), time.process_time()
        run_night(land(settings, world, night))
        prune_runs(instance, keep=KEEP_RUNS)
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
        reference_s = reference_work()
        record = read_record(registry, world.family)
        assert record is not None
        for version in registry.family(world.family).versions:
            basis = version.tags.get(BASIS_TAG)  # shipped, or the baseline: no challenger
            tried.setdefault(str(version.version), (basis, -1) if basis else (world.kind, world.level))
        drift = pd.read_parquet(settings.home / "lake" / f"{world.family}_drift.parquet")
        row = {
            "night": world.night,
            "seconds": seconds,
            "cpu_s": cpu_s,
            "reference_s": reference_s,
            "relative": cpu_s / reference_s,
            "action": record.action,
            "champion": record.champion,
            "shadow": record.shadow,
            "n_shadows": record.state.n_shadows,
            "alarm": "" if drift.empty or drift["verdict"].iloc[-1] == "ok" else drift["verdict"].iloc[-1],
            "kind": world.kind,
            "reason": record.reason,
            **sizes(home),
        }
        row["risk"] = truth.risk(registry, record.champion)
        row["recipe"], row["level"] = tried.get(str(record.champion), ("", -1))
        if champion != record.champion:
            row["gain"] = truth.risk(registry, record.former[-1] if record.former else champion) - row["risk"]
        champion = record.champion
        log.rows.append(row)
        if progress:
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    return log


@dataclass
class Truth:
    """What a version would miss by on fresh draws of the world as it is tonight, which are made once for each state."""

    world: FamilyWorld
    settings: Settings
    examples: dict[int, pd.DataFrame] = field(default_factory=dict)
    risks: dict[tuple[int, str], float] = field(default_factory=dict)

    def risk(self, registry: Any, version: str | None) -> float:
        """Mean CRPS over fresh queries, on the scale of the family; NaN without a version."""
        from foretell.assets.judging.pipeline import forecasts_by_cell
        from foretell.predictors.metrics import query_losses

        if version is None:
            return float("nan")
        key = (self.world.n_drifts, version)
        if key not in self.risks:
            rows, family = self._fresh(), self.world.pipeline()
            predictor = registry.load(registry.version(family.name, version))
            forecast = forecasts_by_cell(family, {"it": predictor}, rows)["it"]
            losses = query_losses(rows, forecast, forecast, metric="crps", scale=family.scale)
            self.risks[key] = float(losses[:, 0].mean())
        return self.risks[key]

    def _fresh(self) -> pd.DataFrame:
        """Examples of a lake of its own, into which nothing but fresh draws has come, through the same doors."""
        from foretell.assets.judging.family import LAKE
        from foretell.assets.lake.landing.deliveries import day_digests, ingest
        from foretell.assets.lake.tables.contracts import TABLES
        from foretell.assets.lake.tables.curation import curate_table
        from foretell.assets.lake.traces.bulk_curation import curate_landed_days

        if self.world.n_drifts not in self.examples:
            with tempfile.TemporaryDirectory() as folder:
                home = Path(folder)
                ingest(self.world.files(home, self.world.n_truth, seed=10_000_019), home / "landing")
                family = self.world.pipeline()
                for name in set(family.tables) & set(TABLES):
                    curate_table(TABLES[name], home / "landing", home / "lake")
                curate_landed_days(list(day_digests(home / "landing")), home / "landing", home / "lake", None)
                sources = self.settings.model_copy(update={"home": home}).sources
                self.examples[self.world.n_drifts] = family.examples(LAKE, sources)
        return self.examples[self.world.n_drifts]


def reference_work() -> float:
    """Processor seconds of the same work every night: what else the machine does makes it dearer by as much."""
    started = time.process_time()
    text = [json.dumps({"night": i, "values": list(range(20))}) for i in range(4_000)]
    frame = pd.DataFrame([json.loads(line) for line in text])
    frame["day"] = frame["night"] % 60
    for _ in range(20):
        frame.groupby("day")["night"].agg(["mean", "std"]).sort_values("mean").reset_index()
    return time.process_time() - started


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
    if len(rows) < 3:
        return float("nan"), float("nan"), float("nan")
    found = stats.theilslopes(rows[column], rows["night"])
    return 100 * found.slope, 100 * found.low_slope, 100 * found.high_slope


def report(log: pd.DataFrame, world: FamilyWorld, window_days: int) -> str:
    """The study as Markdown."""
    warm_up = min(window_days, world.nights // 2)
    changed = log[log["champion"].ne(log["champion"].shift()) & log["champion"].notna()]
    promoted, wrong = takeovers(log), takeovers(log).query("gain <= 0")
    n_poorer, last = int((log["kind"] == "poorer").sum()), log.iloc[-1]
    alarms = [f"night {r.night} ({r.alarm})" for r in log[log["alarm"] != ""].itertuples()]
    lines = [
        f"# Study: a year of nights through the real jobs: {world.family}",
        "",
        f"Made by `python bench/year_study.py --nights {world.nights} --family {world.family} --queries "
        f"{world.queries}`; do not edit, run it again.",
        "",
        f"{world.nights} nights of {world.queries} {world.unit}; requests are read {window_days} days back, tables "
        f"whole. Better recipes from nights {', '.join(map(str, world.gains))}; drift at night "
        f"{' and '.join(map(str, world.drifts))}; two challengers of three are useless.",
        "",
        "## Promotions",
        "",
        "| night | champion | how | recipe | true gain in CRPS | right |",
        "|---|---|---|---|---|---|",
        *[
            f"| {r.night} | {r.champion} | {r.action} | {r.recipe}{'' if r.level < 0 else f' {r.level}'} | "
            + (f"{r.gain:+.4f} | {'yes' if r.gain > 0 else 'NO'} |" if r.Index in promoted.index else "| |")
            for r in changed.itertuples()
        ],
        "",
        f"{len(promoted)} promotions, {len(promoted) - len(wrong)} of them right by the truth; "
        f"{int((promoted['recipe'] == 'poorer').sum())} of {n_poorer} poorer challengers promoted; "
        f"{int(last['n_shadows'])} shadows started.",
        f"Nights from a better recipe to its place: {', '.join(delays(log, world))}.",
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


def takeovers(log: pd.DataFrame) -> pd.DataFrame:
    """Nights on which a challenger took the place of another champion, with its true `gain`.

    A baseline that is champion for want of a better version is registered anew every night: that is none.
    """
    is_new = log["champion"].ne(log["champion"].shift()) & log["action"].isin(["first", "promote", "cover"])
    return log[is_new & log["gain"].notna()]


def delays(log: pd.DataFrame, world: FamilyWorld) -> list[str]:
    """For every better recipe, how many nights passed until it, or a still better one, was champion."""
    told = []
    for level, night in enumerate(world.gains, start=1):
        reached = log[(log["level"] >= level) & (log["recipe"] != "poorer")]
        told.append(f"{reached['night'].iloc[0] - night}" if len(reached) else "never")
    return told


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--family", choices=list(WORLDS), default=World.family)
    parser.add_argument("--queries", type=int, help="what comes on a night; by default enough to be judged by")
    parser.add_argument("--window", type=int, default=60)
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    world = WORLDS[args.family](args.nights, **({} if args.queries is None else {"queries": args.queries}))
    with tempfile.TemporaryDirectory() as folder:
        log = simulate(args.home or Path(folder), world, window_days=args.window, progress=True).frame()
    text = report(log, world, args.window)
    print(text)
    if args.out:
        args.out.write_text(text, "utf-8")
        log.to_csv(args.out.with_suffix(".csv"), index=False)


if __name__ == "__main__":
    main()
