"""Pages of HTML that need nothing but themselves: one set of templates, one stylesheet; nothing is fetched.

`templates/` holds the Jinja2 templates, all of which begin from ``base.html``, and ``style.css``, which goes into every
page: light and dark, for wide screens, phones and paper. Texts are escaped by the templates.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    Drawing: TypeAlias = Axes | Figure | SubFigure

MAX_COLUMNS = 8
WIDTHS = ((60, "text long prose"), (16, "text long"), (0, "text"))
"""Characters beyond which a text may be broken into lines, the more the wider."""
MAX_ROWS = 500
"""Rows of a table on a page; a file holds them all."""
COLOURS = {"#1f4e79": "mark", "#e0a030": "floor", "#8c8c8c": "grey", "#666666": "muted", "#b03030": "alarm",
           "#000000": "ink", "#dddddd": "rule", "#7f7f7f": "a", "#c0504d": "b", "#4f81bd": "c", "#9bbb59": "d",
           "#ffffff": "paper"}  # fmt: skip
"""Colours that figures are drawn in, and the names that the stylesheet has for them in light and in dark."""
_NUMBER = re.compile(r"^[\s$<>~+-]*[\d.,]+(e[+-]?\d+)?\s*(%|k|M|x)?(\s*\[.*\])?$|^(-|inf|nan|\[.*\])?$")


@dataclass(frozen=True)
class Section:
    """A part of a page below its head.

    `lines` are sentences. `table` is of text, shown as it is: more than `MAX_COLUMNS` columns are folded, of more than
    `MAX_ROWS` rows the first are shown; the first `n_keys` columns tell the rows apart, lines of `prose` columns may
    break on a screen, `best` is a row that is marked, `n_rows` how many there are where the table holds only the first,
    `n_on_screen` how many a screen shows. `figure` is what is drawn, or what draws it when it is wanted. A folded
    section opens on demand; one that is `page_only`, and every figure, is left out on a screen.
    """

    title: str = ""
    lines: Sequence[str] = ()
    table: pd.DataFrame | None = None
    figure: Drawing | Callable[[], Drawing | None] | None = None
    best: int | None = None
    n_keys: int = 1
    prose: Sequence[str] = ()
    n_rows: int | None = None
    n_on_screen: int | None = None
    is_folded: bool = False
    page_only: bool = False

    def draw(self) -> Figure | None:
        """The figure; None where there is none."""
        drawn = self.figure() if callable(self.figure) else self.figure
        return None if drawn is None else drawn.get_figure(root=True)


@dataclass(frozen=True)
class Page:
    """What there is to say of a result, on a page of HTML or on a screen.

    `caveats` must be known first, `answer` says it in sentences; `remarks` must be known beside the tables, wherever
    they are shown; `asked` and `method`, how it was come by, are for the page.
    """

    title: str
    sections: Sequence[Section] = ()
    asked: str = ""
    caveats: Sequence[str] = ()
    answer: Sequence[str] = ()
    remarks: Sequence[str] = ()
    method: Sequence[str] = ()

    def html(self) -> str:
        """The whole page, which needs nothing beside it."""
        parts = [{**vars(part), "tables": _tables(part), "picture": (figure := part.draw()) and svg(figure)}
                 for part in self.sections]  # fmt: skip
        return render("result.html", **{**vars(self), "sections": parts, "method": [*self.remarks, *self.method]})

    def figure(self) -> Figure | None:
        """The first figure that there is."""
        return next((figure for part in self.sections if (figure := part.draw()) is not None), None)


def render(template: str, **context: Any) -> str:
    """The page that a template makes of `context`; a name that it lacks is an error."""
    return _environment().get_template(template).render(**context)


def svg(figure: Figure) -> str:
    """A figure as a drawing that lies in the page, its letters and colours those of the page."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "foretell"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.S)
    for colour, name in COLOURS.items():
        drawn = drawn.replace(colour, f"var(--{name})")
    opening, rest = drawn.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', opening)
    # Paths without a fill are black, and so are letters without a colour: both take that of the page.
    return (
        f'<svg {box[0] if box else ""} role="img" fill="var(--ink)" xmlns:xlink="http://www.w3.org/1999/xlink">{rest}'
    )


def _tables(part: Section) -> list[dict[str, Any]]:
    """The table in pieces of at most `MAX_COLUMNS` columns, each with the keys; those after the first are folded."""
    if part.table is None or part.table.empty:
        return []
    names, keys = list(part.table.columns), list(part.table.columns[: min(part.n_keys, 3)])
    pieces, rest = [names[:MAX_COLUMNS]], names[MAX_COLUMNS:]
    room = max(MAX_COLUMNS - len(keys), 1)
    pieces += [[*keys, *rest[start : start + room]] for start in range(0, len(rest), room)]
    shown = part.table.head(MAX_ROWS)
    texts = {name: list(map(str, shown[name])) for name in names}
    is_text = {name: not all(map(_NUMBER.match, values)) for name, values in texts.items()}
    longest = {name: max(map(len, values)) for name, values in texts.items()}
    kinds = {name: is_text[name] * next(kind for least, kind in WIDTHS if longest[name] >= least) for name in names}
    return [
        {
            "columns": [{"name": str(name).replace("_", " "), "kind": kinds[name]} for name in piece],
            "rows": shown[piece].astype(str).to_numpy().tolist(),
            "best": part.best,
            "n_more": (part.n_rows or len(part.table)) - len(shown),
            "folded": ", ".join(str(name).replace("_", " ") for name in piece[len(keys) :]) if place else "",
        }
        for place, piece in enumerate(pieces)
    ]


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """A table of values as a page shows it: four significant digits, dollars as dollars."""
    import pandas as pd

    from foretell.assets.store.markdown import cell
    from foretell.assets.store.money import money

    texts, is_money = {}, False
    for name in map(str, table.columns):
        # The ends of an interval stand behind what they are of.
        is_money = name.split("_per_")[0].endswith("usd") or (is_money and name in ("ci_lower", "ci_upper"))
        texts[name] = [money(v) if is_money and isinstance(v, float) else cell(v) for v in table[name]]
    return pd.DataFrame(texts)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = str(files("foretell.assets.pages") / "templates")
    loader = FileSystemLoader(folder)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
