"""Pages of HTML that need nothing but themselves: no script, no font, no address is fetched."""

from __future__ import annotations

import html
import re

import pandas as pd

__all__ = ["page", "table_html"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; color: #1f4e79; }
p.lead { font-size: 1.1rem; margin: .3rem 0 1rem; } .muted { color: #666; font-size: .87rem; }
.scroll { overflow-x: auto; } figure { margin: 1rem 0; } img { max-width: 100%; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; width: 100%; }
th { text-align: right; border-bottom: 2px solid #1f4e79; padding: .25rem .6rem; vertical-align: bottom; }
td { text-align: right; border-bottom: 1px solid #e3e8ee; padding: .25rem .6rem; white-space: nowrap; }
th:first-child, td:first-child, td.text, th.text { text-align: left; } tr.best td { background: #eef5e9; }
svg { display: block; width: 100%; height: auto; } li { margin: .15rem 0; }
@media print { body { margin: 0; max-width: none; } .scroll { overflow: visible; } }
"""
_NUMBER = re.compile(r"^[\s$<>~+-]*[\d.,]+(e[+-]?\d+)?\s*(%|k|M)?(\s*\[.*\])?$|^(-|inf|nan|\[.*\])$")


def page(title: str, body: str) -> str:
    """A whole page; `body` is HTML, `title` is text."""
    safe = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe}</title><style>{_STYLE}</style></head><body><h1>{safe}</h1>{body}</body></html>\n"
    )


def table_html(table: pd.DataFrame, *, best: int | None = None) -> str:
    """A table of text that is shown as it is; columns of words are aligned left, row `best` is marked."""
    words = {name: not all(_NUMBER.match(str(value)) for value in table[name]) for name in table.columns}
    head = "".join(f"<th{_kind(words[name])}>{html.escape(str(name).replace('_', ' '))}</th>" for name in table.columns)
    rows = []
    for position, row in enumerate(table.itertuples(index=False)):
        cells = "".join(
            f"<td{_kind(words[name])}>{html.escape(str(value))}</td>"
            for name, value in zip(table.columns, row, strict=True)
        )
        rows.append(f"<tr{' class=best' if position == best else ''}>{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _kind(is_words: bool) -> str:
    return " class=text" if is_words else ""
