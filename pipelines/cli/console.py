"""How the command line shows tables to people and to programs."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from foretell.assets.store.money import money, percent

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

__all__ = ["chance", "count_keys", "counted", "dollars", "interval", "money", "out", "percent", "print_json",
           "print_table", "say", "say_next", "say_problems", "spans", "tokens"]  # fmt: skip

WITHOUT_TERMINAL = 200
"""Columns of a pipe or a log, which has no width of its own."""
LEAST_PROSE = 16
"""Columns that a column of sentences is given at least; of anything else a cell is never broken."""
LEAST_VALUES = 2
"""Columns beside the keys without which a table says too little."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class _PlainConsole(Console):
    """Prints text as it is: no name of a model or benchmark is markup, an emoji or a command to the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    @property  # type: ignore[misc]  # the width is the terminal's, nobody sets it
    def size(self) -> ConsoleDimensions:
        return ConsoleDimensions(*shutil.get_terminal_size((WITHOUT_TERMINAL, 50)))

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(_printable(text), **options)


def _printable(text: object) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


out = _PlainConsole(soft_wrap=not sys.stdout.isatty())
_progress = _PlainConsole(stderr=True, soft_wrap=True)


def say(message: str) -> None:
    """Progress and remarks go to standard error; standard output is for results."""
    _progress.print(message)


def say_next(*commands: str) -> None:
    """What people do next, as one line."""
    say(f"next: {' or '.join(f'`foretell {command}`' for command in commands)}")


def say_problems(problems: Sequence[str], most: int = 20) -> None:
    """What is left out, a line each, and of many how many more there are."""
    more = [f"{len(problems) - most} more like these; {len(problems)} are left out in all"]
    for line in [*problems[:most], *(more if len(problems) > most else [])]:
        say(line)


def print_json(rows: "pd.DataFrame") -> None:
    """One JSON object a line; NaN becomes null."""
    for record in json.loads(rows.to_json(orient="records", date_format="iso")):
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


def counted(n: int, singular: str, plural: str | None = None) -> str:
    """``1 model``, ``2 models``."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def interval(row: Mapping[Hashable, object], unit: str, coverage: int = 90) -> str:
    """Median and interval of a total in ``usd`` or ``tokens``, as text; a dash where it is not known."""
    text = dollars if unit == "usd" else tokens
    ends = [text(row[f"{unit}_{name}"]) for name in ("median", f"lower_{coverage}", f"upper_{coverage}")]
    return "-" if ends[0] == "-" else f"{ends[0]} [{ends[1]}, {ends[2]}]"


def spans(ends: "ArrayLike", text: Callable[[float], str]) -> list[str]:
    """Rows of median, lower and upper end as text; a dash where the median is not known."""
    import numpy as np

    rows = np.asarray(ends, dtype=np.float64).tolist()
    return ["-" if row[0] != row[0] else "{} [{}, {}]".format(*map(text, row)) for row in rows]


def dollars(value: object) -> str:
    """Dollars as text; a dash where they are not known."""
    return money(value) if isinstance(value, float | int) and value == value else "-"


def tokens(value: object) -> str:
    """A number of tokens as text; a dash where it is not known."""
    return f"{value:,.0f}" if isinstance(value, float | int) and value == value else "-"


def chance(value: object) -> str:
    """A simulated probability as text: a thousand draws know nothing below 0.1 % or above 99.9 %."""
    if not isinstance(value, float | int) or value != value:
        return "-"
    return "< 0.1 %" if value < 0.001 else "> 99.9 %" if value > 0.999 else f"{100 * value:.1f} %"


def count_keys(table: "pd.DataFrame") -> int:
    """How many columns from the left hold no numbers: in a table of any kind these tell the rows apart; at least 1."""
    is_number = [kind.kind in "biufcmM" for kind in table.dtypes]
    return max(is_number.index(True) if True in is_number else 1, 1)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, n_keys: int = 1, prose: Sequence[str] = ()
) -> None:
    """A table for people, as wide as the terminal allows; cells are shown as ``str`` makes them.

    The first `n_keys` columns tell the rows apart. They are never left out or broken: where they leave no room for
    `LEAST_VALUES` values (or all there are), every row is a block of its own. The others are in the order of their
    importance: the last ones are left out, and below the table it says which. Lines of `prose` columns may break.
    """
    cells = [[_printable(cell) for cell in row] for row in rows]
    needed = [_needed(name, index, cells, prose) for index, name in enumerate(columns)]
    n_shown = len(columns)
    while n_shown > 1 and sum(needed[:n_shown]) + 3 * n_shown + 1 > out.width:
        n_shown -= 1
    if n_shown < min(n_keys + LEAST_VALUES, len(columns)):
        _print_blocks(title, columns, cells, n_keys)
        return
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for index, name in enumerate(columns[:n_shown]):
        is_text = index < n_keys or name in prose
        table.add_column(
            name, justify="left" if is_text else "right", no_wrap=name not in prose, overflow="fold",
            min_width=needed[index],
        )  # fmt: skip
    for row in cells:
        table.add_row(*row[:n_shown])
    out.print(table, soft_wrap=False)
    if n_shown < len(columns):
        out.print(f"too narrow for {', '.join(columns[n_shown:])}: use a wider terminal or --json")


def _needed(name: str, index: int, cells: Sequence[Sequence[str]], prose: Sequence[str]) -> int:
    """Columns of the terminal that a column of the table must have."""
    widest = max(cell_len(text) for text in [name, *[line for row in cells for line in row[index].split("\n")]])
    return min(widest, LEAST_PROSE) if name in prose else widest


def _print_blocks(title: str, columns: Sequence[str], cells: Sequence[Sequence[str]], n_keys: int) -> None:
    """Every row as a line of keys and, set in, `name value` pairs that fill lines."""
    out.print(title, style="bold", soft_wrap=False)
    for row in cells:
        out.print("  ".join(cell for cell in row[:n_keys] if cell), soft_wrap=False)
        pairs = [f"{name} {cell}" for name, cell in zip(columns[n_keys:], row[n_keys:], strict=True) if cell]
        lines = pairs[:1]
        for pair in pairs[1:]:
            if 2 + cell_len(lines[-1]) + 3 + cell_len(pair) <= out.width:
                lines[-1] += f"   {pair}"
            else:
                lines.append(pair)
        for line in lines:
            out.print(Padding(line, (0, 0, 0, 2), expand=False), soft_wrap=False)
