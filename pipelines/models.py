"""`foretell models`: what is registered, how good it is, and why it is champion or not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pipelines.console import out, print_json, print_table
from pipelines.settings import Settings
from predictors.families import FAMILIES

COLUMNS = ("family", "version", "alias", "created", "crps", "floor", "skill", "cover 90 %")


def run_models(settings: Settings, *, as_json: bool) -> None:
    """Print a row per registered version, newest first."""
    rows = list_versions(settings)
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("no model is registered yet: run `foretell demo`", markup=False)
        return
    print_table(
        f"registered models in {settings.mlflow_uri}",
        COLUMNS,
        [
            (
                r["family"],
                r["version"],
                r["alias"] or "",
                str(r["created"])[:16],
                *[_number(r[k]) for k in ("crps", "crps_floor", "crps_skill", "coverage_90")],
            )
            for r in rows
        ],
    )
    for row in rows:
        if row["decision"]:
            out.print(f"{row['family']} version {row['version']}: {row['decision']}", markup=False)


def list_versions(settings: Settings) -> list[dict[str, Any]]:
    """One dict per version, newest first within its family."""
    from pipelines.definitions import build_tracking

    registry = build_tracking(settings).registry()
    client = registry.client()
    rows: list[dict[str, Any]] = []
    for family in FAMILIES:
        champion = registry.champion(family)
        for version in reversed(registry.versions(family)):
            metrics = client.get_run(str(version.run_id)).data.metrics
            rows.append(
                {
                    "family": family,
                    "version": int(version.version),
                    "alias": "champion" if champion and champion.version == version.version else None,
                    "created": datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(),
                    "decision": version.tags.get("decision"),
                    "fit_digest": version.tags.get("fit_digest"),
                    "run_id": version.run_id,
                    **{
                        name: metrics.get(f"test/{name}")
                        for name in ("crps", "crps_floor", "crps_excess", "crps_skill", "mae", "coverage_90")
                    },
                }
            )
    return rows


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "-"
