"""`foretell models`: what is registered, how good it is, and why it is champion or not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from foretell.assets.registry.tracking import BASIS_TAG
from foretell.pipelines.cli.console import out, print_json, print_table
from foretell.pipelines.cli.options import Json
from foretell.pipelines.settings import Settings
from foretell.predictors.families import FAMILIES

COLUMNS = ("family", "version", "alias", "crps", "floor", "skill", "cover 90 %", "log e", "created")


def models(json: Json = False) -> None:
    """List registered versions, their error next to the floor, and why each is champion or not."""
    settings = Settings()
    rows = list_versions(settings)
    if json:
        print_json(rows)
        return
    if not rows:
        out.print("no model is registered yet: run `foretell demo`")
        return
    print_table(
        f"registered models in {settings.mlflow_uri}",
        COLUMNS,
        [
            (
                r["family"],
                r["version"],
                ", ".join(name for name in (r["alias"], r["basis"]) if name),
                *[_number(r[k]) for k in ("crps", "crps_floor", "crps_skill", "coverage_90", "log_e")],
                str(r["created"])[:16],
            )
            for r in rows
        ],
        n_keys=3,
    )
    for row in rows:
        if row["decision"]:
            out.print(f"{row['family']} version {row['version']}: {row['decision']}")
    for family, lines in list_audits(settings).items():
        for line in lines:
            out.print(f"{family} by hand: {line}")


def list_audits(settings: Settings) -> dict[str, list[str]]:
    """What people did by hand to each family, oldest first."""
    from foretell.assets.nightly.record import audit_lines

    registry = settings.open_registry()
    return {family: audit_lines(registry, family) for family in FAMILIES}


def list_versions(settings: Settings) -> list[dict[str, Any]]:
    """One dict per version, newest first within its family."""
    registry = settings.open_registry()
    rows: list[dict[str, Any]] = []
    for family in FAMILIES:
        held_out = FAMILIES[family].held_out  # "test" in versions of before
        names: dict[str, list[str]] = {}
        for alias, number in registry.aliases(family).items():
            names.setdefault(number, []).append(alias)
        for version in reversed(registry.versions(family)):
            metrics = registry.metrics(version)
            rows.append(
                {
                    "family": family,
                    "version": int(version.version),
                    "alias": ", ".join(sorted(names.get(str(version.version), []))) or None,
                    "basis": version.tags.get(BASIS_TAG),
                    "created": datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(),
                    "decision": version.tags.get("decision"),
                    "fit_digest": version.tags.get("fit_digest"),
                    "run_id": version.run_id,
                    "log_e": metrics.get("promotion/log_e"),
                    **{
                        name: metrics.get(f"{held_out}/{name}", metrics.get(f"test/{name}"))
                        for name in ("crps", "crps_floor", "crps_excess", "crps_skill", "mae", "coverage_90")
                    },
                }
            )
    return rows


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "-"
