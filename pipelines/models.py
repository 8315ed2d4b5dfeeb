"""`foretell models`: what is registered, how good it is, and why it is champion or not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pipelines.console import out, print_json, print_table
from pipelines.settings import Settings
from predictors.families import FAMILIES

COLUMNS = ("family", "version", "alias", "created", "crps", "floor", "skill", "cover 90 %", "log e")


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
                *[_number(r[k]) for k in ("crps", "crps_floor", "crps_skill", "coverage_90", "log_e")],
            )
            for r in rows
        ],
    )
    for row in rows:
        if row["decision"]:
            out.print(f"{row['family']} version {row['version']}: {row['decision']}", markup=False)
    for family, lines in list_audits(settings).items():
        for line in lines:
            out.print(f"{family} by hand: {line}", markup=False)


def list_audits(settings: Settings) -> dict[str, list[str]]:
    """What people did by hand to each family, oldest first."""
    from assets.promotion_record import audit_lines
    from pipelines.definitions import build_tracking

    registry = build_tracking(settings).registry()
    return {family: audit_lines(registry, family) for family in FAMILIES}


def list_versions(settings: Settings) -> list[dict[str, Any]]:
    """One dict per version, newest first within its family."""
    from pipelines.definitions import build_tracking

    registry = build_tracking(settings).registry()
    client = registry.client()
    rows: list[dict[str, Any]] = []
    for family in FAMILIES:
        names: dict[str, list[str]] = {}
        for alias, number in registry.aliases(family).items():
            names.setdefault(number, []).append(alias)
        for version in reversed(registry.versions(family)):
            metrics = client.get_run(str(version.run_id)).data.metrics
            rows.append(
                {
                    "family": family,
                    "version": int(version.version),
                    "alias": ", ".join(sorted(names.get(str(version.version), []))) or None,
                    "created": datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(),
                    "decision": version.tags.get("decision"),
                    "fit_digest": version.tags.get("fit_digest"),
                    "run_id": version.run_id,
                    "log_e": metrics.get("promotion/log_e"),
                    **{
                        name: metrics.get(f"test/{name}")
                        for name in ("crps", "crps_floor", "crps_excess", "crps_skill", "mae", "coverage_90")
                    },
                }
            )
    return rows


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "-"
