"""`foretell.toml`: settings in a file, and where each setting of an installation comes from."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic_settings import BaseSettings, TomlConfigSettingsSource

from foretell.predictors.errors import InvalidInputError, unknown_name

FILE = "foretell.toml"
ENVIRONMENT, DEFAULT = "environment", "default"


class FileSource(TomlConfigSettingsSource):
    """The files of settings: that of the working folder, whose values win, and that of the home.

    Raises `InvalidInputError` if a file is no TOML, or holds what is no setting; names file and line.
    """

    def __init__(self, settings_cls: type[BaseSettings], given: Mapping[str, Any]) -> None:
        self._fields = settings_cls.model_fields
        super().__init__(settings_cls, [*reversed(settings_files(given.get("home")))])

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        path = Path(file_path)
        values = _read(path)
        for name in values:
            place = f"{path}:{_line(path, name)}"
            if name not in self._fields:
                raise InvalidInputError(f"{place}: {unknown_name('setting', name, sorted(self._fields))}")
            if name == "home" and path != Path.cwd() / FILE:
                raise InvalidInputError(f"{place}: `home` cannot be set in the home itself; use FORETELL_HOME")
        # A path in a file is read from the file's folder, whoever reads it from where.
        return {name: str(path.parent / value) if self._is_path(name, value) else value
                for name, value in values.items()}  # fmt: skip

    def _is_path(self, name: str, value: object) -> bool:
        kind = self._fields[name].annotation
        return isinstance(value, str) and Path in (kind, *get_args(kind)) and not value.startswith("~")


def settings_files(home: Path | str | None = None) -> list[Path]:
    """The files that are there, the one whose values win first; `home` where the caller sets it."""
    working = Path.cwd() / FILE
    if home is None and (named := os.environ.get("FORETELL_HOME")):
        home = named
    if home is None and working.is_file():
        named = _read(working).get("home")
        home = named if isinstance(named, str) else None
    of_home = Path(home or ".foretell").expanduser().absolute() / FILE
    return [path for path in dict.fromkeys((working, of_home)) if path.is_file()]


def origin(settings_cls: type[BaseSettings], name: str) -> tuple[str, str]:
    """Where the setting `name` has its value from (environment, default or, such as ``foretell.toml:3``, a file), and
    the name that it has there."""
    variable = variable_of(settings_cls, name)
    if os.environ.get(variable):
        return ENVIRONMENT, variable
    for path in settings_files():
        if name in _read(path):
            return f"{path}:{_line(path, name)}", name
    return DEFAULT, name


def variable_of(settings_cls: type[BaseSettings], name: str) -> str:
    """The environment variable of a setting."""
    alias = settings_cls.model_fields[name].validation_alias
    return str(alias or f"{settings_cls.model_config['env_prefix']}{name.upper()}")


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: not TOML: {error}; write `name = value` lines, texts in quotes") from None


def _line(path: Path, name: str) -> int:
    """The line that sets `name`, counted from 1; the first where it cannot be told."""
    written = re.compile(rf"""\s*\[*\s*["']?{re.escape(name)}["']?\s*[=.\]]""")
    lines = path.read_text("utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if written.match(line)), 1)
