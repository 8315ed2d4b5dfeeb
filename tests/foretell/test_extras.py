"""A missing package is one line with the command that installs it."""

from __future__ import annotations

import tomllib

import pytest

from foretell.extras import EXTRAS, MissingExtraError, names_missing_extras
from tests.conftest import ROOT


def test_missing_package_of_an_extra_is_named_with_its_command() -> None:
    line = r"this needs dagster, .*: pip install 'foretell\[platform\]'$"
    with pytest.raises(MissingExtraError, match=line), names_missing_extras():
        raise ModuleNotFoundError("No module named 'dagster.core'", name="dagster.core")


def test_other_missing_modules_pass() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'elsewhere'"), names_missing_extras():
        raise ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere")


def test_every_extra_brings_what_it_is_named_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for package, extra in EXTRAS.items():
        wanted = package.replace("_", "-")
        assert any(requirement.startswith(wanted) for requirement in extras[extra]), package
        assert not any(requirement.startswith(wanted) for requirement in project["dependencies"]), package
