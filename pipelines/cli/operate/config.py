"""`foretell config`: every setting, its value, and where it comes from."""

import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from foretell.assets.pages import Page, Section
from foretell.pipelines.cli.options import flat
from foretell.pipelines.cli.output import PlainOutput
from foretell.pipelines.settings import Settings
from foretell.pipelines.settings_file import FILE, origin, settings_files, variable_of

PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]*@")


@flat
def config(output: PlainOutput) -> None:
    """Every setting with where it comes from: environment, foretell.toml of this folder or of the home, default."""
    import pandas as pd

    table = pd.DataFrame(list_settings(Settings()))
    shown = table[["setting", "value", "from", "meaning"]].replace(str(Path.cwd()) + "/", "", regex=True)
    files = ", ".join(str(path) for path in settings_files()) or "none"
    how = (
        f"files read: {files}. A setting goes into {FILE} of this folder or of the home as `name = value`, or into "
        "the environment as the variable that --json names; what is nearer to the command wins."
    )
    output.show(table, Page("settings", [Section(table=shown, prose=("meaning",))], remarks=[how]))


def list_settings(settings: Settings) -> list[dict[str, str | None]]:
    """A row per setting: `setting`, `value` (no secret), `from`, `variable`, `meaning`."""
    rows: list[dict[str, str | None]] = []
    for name, field in Settings.model_fields.items():
        place, called = origin(Settings, name)
        rows.append({
            "setting": name, "value": _shown(getattr(settings, name)),
            "from": place if called == name else f"{place} {called}", "variable": variable_of(Settings, name),
            "meaning": " ".join((field.description or "").replace("``", "`").split()),
        })  # fmt: skip
    return rows


def _shown(value: Any) -> str:
    if value is None or value == () or value == {}:
        return "-"
    if isinstance(value, SecretStr):
        return "set, not shown"
    if isinstance(value, dict):
        return ", ".join(f"{name}={other}" for name, other in value.items())
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return PASSWORD.sub(r"\1:[secret]@", text)
