"""`foretell backup` and `foretell restore`."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from foretell.pipelines.backups import back_up, restore
from foretell.pipelines.cli.console import print_json, say
from foretell.pipelines.cli.options import Json
from foretell.pipelines.settings import Settings


def backup_command(folder: Annotated[Path, typer.Argument(help="An empty or new folder.")], json: Json = False) -> None:
    """Copy registry, lake and landed files, with checksums, while everything runs on."""
    manifest = back_up(Settings(), folder)
    n_files, n_bytes = len(manifest["files"]), manifest["bytes"]
    if json:
        print_json(pd.DataFrame([{"folder": str(folder), "files": n_files, "bytes": n_bytes}]))
    else:
        say(f"{n_files} files, {n_bytes / 1e6:.1f} MB, in {folder}; `foretell restore {folder}` verifies")


def restore_command(
    folder: Annotated[Path, typer.Argument(help="What `foretell backup` wrote.")], json: Json = False
) -> None:
    """Verify a backup and put it in place; what was there is kept beside it."""
    settings = Settings()
    restored = restore(settings, folder)
    if json:
        print_json(pd.DataFrame([restored]))
        return
    champions = restored["champions"] or "none"
    say(f"{restored['files']} files verified and in place in {settings.home}; champions: {champions}")
    if restored["before"]:
        say(f"what was there before is in {restored['before']}: delete it once all is well")
