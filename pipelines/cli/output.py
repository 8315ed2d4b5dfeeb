"""Files that a command writes when it is asked to: one option `--out`, the ending says how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.assets.store.permissions import umask_of_the_caller
from foretell.pipelines.cli.console import print_json, say
from foretell.pipelines.cli.options import Json
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TABLES = (".csv", ".json", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Output:
    """What is written beside or instead of the table on the screen.

    Attributes
    ----------
    out : list of Path
        Files; a table (`TABLES`) replaces the one on the screen, a page or a picture comes beside it.
    json : bool
        One JSON object per row on standard output, nothing else.
    """

    out: Annotated[
        list[Path],
        typer.Option(
            help="Write the result; the ending says how: .csv, .json, .jsonl, .parquet, for some .html, .png. "
            "Several times for several files."
        ),
    ] = field(default_factory=list)
    json: Json = False

    @property
    def on_screen(self) -> bool:
        """Whether people read the result on the screen."""
        return not self.json and not any(path.suffix in TABLES for path in self.out)

    def check(self, *pictures: str) -> None:
        """Refuse, before any work, a file that cannot be written: of another kind than a table or one of `pictures`.

        Raises
        ------
        InvalidInputError
            Naming the kinds there are, or the folder that is missing.
        """
        for path in self.out:
            if path.suffix not in (*TABLES, *pictures):
                raise InvalidInputError(f"`--out` must end in {', '.join((*TABLES, *pictures))} here, got {path}")
            if not path.parent.is_dir():
                raise InvalidInputError(f"`--out` {path}: there is no folder {path.parent}")

    def write(
        self, table: pd.DataFrame, *, page: Callable[[], str] | None = None, figure: Callable[[], Figure] | None = None
    ) -> bool:
        """Write every file of `out`, and print `table` as JSON where that is asked for.

        Parameters
        ----------
        table : DataFrame
        page, figure : callable, optional
            Make the page (HTML) and the picture (PNG) where they are wanted.

        Returns
        -------
        bool
            `on_screen`: what people read there is left to the caller.
        """
        with umask_of_the_caller():
            for path in self.out:
                if path.suffix == ".html":
                    assert page is not None, "`check` was called with the kinds that there are"
                    path.write_text(page(), "utf-8")
                    say(f"written to {path}")
                elif path.suffix == ".png":
                    assert figure is not None, "`check` was called with the kinds that there are"
                    figure().savefig(path, dpi=120)
                    say(f"drawn: {path}")
                else:
                    _write_table(table, path)
                    say(f"{len(table)} {'row' if len(table) == 1 else 'rows'} written to {path}")
        if self.json:
            print_json(table)
        return self.on_screen


def _write_table(table: pd.DataFrame, path: Path) -> None:
    from foretell.assets.store.spreadsheets import without_formulas

    if path.suffix == ".csv":
        without_formulas(table).to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_json(path, orient="records", lines=path.suffix == ".jsonl", date_format="iso")
