"""What the site says of commands, functions and tables, read from the package itself: JSON on standard output.

Runs in the environment of the package (`.venv`); `build.py` runs in that of the site and knows nothing of Foretell.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

INTEGRATIONS = Path(__file__).parents[2] / "foretell" / "integrations"


def commands() -> list[dict[str, Any]]:
    """Every command of the table, with its arguments and options."""
    import typer

    from foretell.pipelines.cli.app import LazyCommand, app

    group = typer.main.get_command(app)
    described = []
    for name, entry in group.commands.items():  # type: ignore[attr-defined]
        assert isinstance(entry, LazyCommand)
        command = entry.load()
        context = typer.Context(command, info_name=f"foretell {name}")
        described.append(
            {
                "panel": str(entry.rich_help_panel), "name": name, "help": inspect.cleandoc(command.help or ""),
                "usage": " ".join(["foretell", name, *map(argument, filter(is_argument, command.params)), "[OPTIONS]"]),
                "example": str(command.epilog).removeprefix("Example: "),
                "parameters": [parameter(given, context) for given in command.params if not given.hidden],
            }
        )  # fmt: skip
    return described


def parameter(given: Any, context: Any) -> dict[str, Any]:
    """A row of the table of a command."""
    kind = given.display_type(context).strip("<>").lower()
    if kind.startswith("list["):
        kind = f"{kind[5:-1]}, several times"
    default = given.default
    shown = "" if default in (None, False, (), []) or callable(default) else str(default)
    return {
        "names": argument(given) if is_argument(given) else ", ".join([*given.opts, *given.secondary_opts]),
        "help": given.help or "", "kind": "switch" if kind == "bool" else kind,
        "default": "required" if given.required else shown,
    }  # fmt: skip


def is_argument(given: Any) -> bool:
    return str(given.param_type_name) == "argument"


def argument(given: Any) -> str:
    name = (given.metavar or given.name.upper()).strip("[]")
    return name if given.required else f"[{name}]"


def api() -> list[dict[str, Any]]:
    """Sections of the Python API: a title, a word before, and objects with signature and docstring."""
    import foretell
    from foretell.predictors import base, errors, metrics
    from foretell.predictors.families import FAMILIES

    functions = [(f"foretell.{name}", getattr(foretell, name)) for name in foretell.__all__ if name != "__version__"]
    kinds = [type(family.new_predictor()) for family in FAMILIES.values()]
    predictors = [(f"{kind.__module__}.{kind.__name__}", kind) for kind in kinds]
    measured = [(f"foretell.predictors.metrics.{name}", getattr(metrics, name)) for name in metrics.__all__]
    raised = [(f"foretell.predictors.errors.{name}", kind) for name, kind in vars(errors).items()
              if inspect.isclass(kind) and issubclass(kind, errors.ForecastError)]  # fmt: skip
    sections = [
        ("In a notebook", inspect.getdoc(foretell), functions, False),
        ("The contract of predictors", "", [("foretell.predictors.base.BasePredictor", base.BasePredictor)], True),
        ("Predictors", "One per family; each keeps the contract above.", predictors, False),
        ("Metrics", inspect.getdoc(metrics), [item for item in measured if callable(item[1])], False),
        ("Errors", "", raised, False),
    ]
    made = [
        {"title": title, "intro": intro or "", "objects": [described(name, it, deep=deep) for name, it in objects]}
        for title, intro, objects, deep in sections
    ]
    # Read, not imported: each needs the package that it is for.
    texts = {path.stem: ast.get_docstring(ast.parse(path.read_text("utf-8"))) for path in INTEGRATIONS.glob("[!_]*.py")}
    modules = [
        {"kind": "module", "name": f"foretell.integrations.{name}", "signature": "", "doc": text or "", "members": []}
        for name, text in sorted(texts.items())
    ]
    return [*made, {"title": "Integrations", "intro": "", "objects": modules}]


def described(name: str, it: Any, *, deep: bool = False) -> dict[str, Any]:
    """Kind, signature and docstring of a class or function, of a class its own public methods too if `deep`."""
    is_class = inspect.isclass(it)
    members = (
        [(key, value) for key, value in vars(it).items() if inspect.isfunction(value) and key[0] != "_"]
        if is_class
        else []
    )
    try:
        signature = str(inspect.signature(it)).replace("'", "")
    except ValueError:
        signature = "(...)"
    return {
        "kind": "class" if is_class else "function", "name": name, "signature": signature,
        "doc": inspect.getdoc(it) or "", "members": [described(key, value) for key, value in members] if deep else [],
    }  # fmt: skip


def tables() -> list[dict[str, Any]]:
    """The contracts of the canonical tables: every column with its type, and whether it may be null."""
    found = []
    for path in sorted((INTEGRATIONS.parent / "predictors" / "schemas").glob("[!_]*.py")):
        module = import_module(f"foretell.predictors.schemas.{path.stem}")
        for name, kind in vars(module).items():
            if inspect.isclass(kind) and kind.__module__ == module.__name__ and hasattr(kind, "to_schema"):
                # What only other contracts are made from has no columns.
                columns = [
                    {
                        "name": str(key),
                        "type": str(column.dtype),
                        "null": bool(column.nullable),
                        "required": bool(column.required),
                    }
                    for key, column in kind.to_schema().columns.items()
                ]
                entry = {"name": name, "module": module.__name__, "doc": inspect.getdoc(kind) or "", "columns": columns}
                found += [entry] if columns else []
    return found


if __name__ == "__main__":
    json.dump({"commands": commands(), "api": api(), "tables": tables()}, sys.stdout)
