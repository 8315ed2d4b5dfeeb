"""How a command shows its result: on the screen, as JSON, or in files whose ending says how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretell.assets.pages import Page
from foretell.assets.store.permissions import umask_of_the_caller
from foretell.pipelines.cli.console import counted, out, print_json, print_table, say
from foretell.pipelines.cli.options import Json
from foretell.predictors.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".json", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Output:
    """What is written beside or instead of the result on the screen.

    A table (`TABLES`) replaces it, a page or a picture comes beside it; `json` prints an object per row, nothing else.

    Raises `InvalidInputError`, before any work, if a file cannot be written; see `check`.
    """

    out: Annotated[
        list[Path],
        typer.Option(
            help="Write the result; the ending says how: .csv, .json, .jsonl, .parquet, .html, for some .png. "
            "Several times for several files."
        ),
    ] = field(default_factory=list)
    json: Json = False

    def __post_init__(self) -> None:
        self.check(is_drawn=True)

    @property
    def on_screen(self) -> bool:
        """Whether people read the result on the screen."""
        return not self.json and not any(path.suffix in TABLES for path in self.out)

    def check(self, *, is_drawn: bool) -> None:
        """Refuse a file that cannot be written.

        Raises `InvalidInputError`, naming the kinds there are (a picture only of what `is_drawn`), or the folder that
        is missing.
        """
        kinds = (*TABLES, ".html", *([".png"] if is_drawn else []))
        for path in self.out:
            if path.suffix not in kinds:
                raise InvalidInputError(f"`--out` must end in {', '.join(kinds)} here, got {path}")
            if not path.parent.is_dir():
                raise InvalidInputError(f"`--out` {path}: there is no folder {path.parent}")

    def write(self, table: pd.DataFrame, page: Page) -> None:
        """Write every file of `out`, and print `table` as JSON where that is asked for.

        Raises `InvalidInputError` if a picture is asked for and there is nothing to draw.
        """
        with umask_of_the_caller():
            for path in self.out:
                if path.suffix == ".html":
                    path.write_text(page.html(), "utf-8")
                    say(f"written to {path}")
                elif path.suffix == ".png":
                    figure = page.figure()
                    if figure is None:
                        raise InvalidInputError(f"`--out` {path}: {page.title} has nothing to draw; an .html says why")
                    figure.savefig(path, dpi=120)
                    say(f"drawn: {path}")
                else:
                    _write_table(table, path)
                    say(f"{counted(len(table), 'row')} written to {path}")
        if self.json:
            print_json(table)

    def show(self, table: pd.DataFrame, page: Page) -> None:
        """`write`, then say the page on the screen, or where JSON or a table takes its place the sentences alone."""
        self.write(table, page)
        print_page(page, sentences_only=not self.on_screen)


@dataclass(frozen=True)
class PlainOutput(Output):
    """`Output` of a command that draws nothing: a picture is refused too."""

    def __post_init__(self) -> None:
        self.check(is_drawn=False)


def print_page(page: Page, *, sentences_only: bool = False) -> None:
    """What a page says, without its figures and what it leaves to paper; without its sections to standard error."""
    tell: Callable[[str], None] = say if sentences_only else out.print
    for line in page.caveats:
        tell(line)
    for line in page.answer:
        say(line) if sentences_only else out.print(line, style="bold")
    for section in () if sentences_only else page.sections:
        if section.page_only:
            continue
        for line in section.lines:
            out.print(f"- {line}")
        if section.table is not None and len(section.table.columns):
            shown = section.table[: section.n_on_screen]
            is_part = len(shown) < (section.n_rows or len(section.table))
            more = f", the first {len(shown)}; all with --json" if is_part else ""
            title, columns = (section.title or page.title) + more, [str(name) for name in shown.columns]
            print_table(title, columns, shown.to_numpy().tolist(), n_keys=section.n_keys, prose=section.prose)
    for line in page.remarks:
        tell(f"- {line}")


def _write_table(table: pd.DataFrame, path: Path) -> None:
    from foretell.assets.store.spreadsheets import without_formulas

    if path.suffix == ".csv":
        without_formulas(table).to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_json(path, orient="records", lines=path.suffix == ".jsonl", date_format="iso")
