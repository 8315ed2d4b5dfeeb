"""`foretell models`: what is registered, how good it is, and why it is champion or not."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from foretell.assets.pages import Page, Section
from foretell.assets.registry.tracking import BASIS_TAG
from foretell.pipelines.cli.options import check_family, flat
from foretell.pipelines.cli.output import PlainOutput
from foretell.pipelines.settings import Settings
from foretell.predictors.families import FAMILIES

NUMBERS = {"crps": "crps", "floor": "crps_floor", "skill": "crps_skill", "cover 90 %": "coverage_90", "log e": "log_e"}


@flat
def models(
    output: PlainOutput,
    family: Annotated[
        str | None,
        typer.Argument(
            metavar="[FAMILY]", help=f"One of {', '.join(FAMILIES)}; by default all.", callback=check_family
        ),
    ] = None,
) -> None:
    """List registered versions, their error next to the floor, and why each is champion or not."""
    import pandas as pd

    from foretell.assets.nightly.record import audit_lines

    settings, families = Settings(), list(FAMILIES) if family is None else [family]
    rows = pd.DataFrame(list_versions(settings, families))
    if rows.empty:
        make = "demo" if family is None else f"retrain {family}"
        output.show(rows, Page("registered models", answer=[f"no model is registered yet: run `foretell {make}`"]))
        return
    shown = rows[["family", "version"]].assign(
        alias=[", ".join(filter(None, names)) for names in rows[["alias", "basis"]].fillna("").to_numpy()],
        **{
            name: ["-" if pd.isna(value) else format(value, ".3f") for value in rows[column]]
            for name, column in NUMBERS.items()
        },
        created=rows["created"].str[:16],
    )
    reasons = zip(rows["family"], rows["version"], rows["decision"].fillna(""), strict=True)
    decided = [f"{family} version {version}: {decision}" for family, version, decision in reasons if decision]
    registry = settings.open_registry()
    by_hand = [f"{family} by hand: {line}" for family in families for line in audit_lines(registry, family)]
    title = f"registered models in {settings.mlflow_uri}"
    sections = [Section(title, table=shown, n_keys=3), Section("Decisions", [*decided, *by_hand])]
    output.show(rows, Page(title, sections))


def list_versions(settings: Settings, families: Iterable[str] = FAMILIES) -> list[dict[str, Any]]:
    """One dict per version of some families, newest first within its family."""
    registry = settings.open_registry()
    rows: list[dict[str, Any]] = []
    for family in families:
        held_out = FAMILIES[family].held_out  # "test" in versions of before
        record = registry.family(family)
        for version in reversed(record.versions):
            metrics = registry.metrics(version)
            rows.append(
                {
                    "family": family,
                    "version": int(version.version),
                    "alias": ", ".join(sorted(a for a, n in record.aliases.items() if n == version.version)) or None,
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
