"""Build the site: `python docs/site/build.py DESCRIBED.json OUT`, in the environment `.venv-docs` (see `make docs`).

The sources are laid out as they lie in the repository, so that the links of the documents are the links of the site;
what is generated stands beside them, and nothing generated is committed. Any warning fails the build: a link to a page,
heading or file that is not there, a page that no list names, a docstring that cannot be read.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.cmd.build import build_main
from sphinx.ext.napoleon import Config, NumpyDocstring

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/*.md", "docs/decisions/*.md",
         "docs/studies/*.md", "docs/changelog.d/README.md", "data/public/README.md")  # fmt: skip
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)((?:#[^)\s]*)?)\)")
IMAGES = (".png", ".svg")
NAPOLEON = Config(napoleon_use_ivar=True, napoleon_use_rtype=False)


def main(described: Path, out: Path) -> int:
    """Lay out the sources under ``OUT/source`` and build ``OUT/html``; the exit code of Sphinx."""
    source = out / "source"
    shutil.rmtree(source, ignore_errors=True)
    for path in (path for pattern in PAGES for path in sorted(ROOT.glob(pattern))):
        put(source / path.relative_to(ROOT), followed(path, source))
    told = json.loads(described.read_text("utf-8"))
    put(source / "index.md", (ROOT / "docs" / "site" / "index.md").read_text("utf-8"))
    put(source / "commands.md", "\n".join(commands(told["commands"])))
    put(source / "api.rst", "\n".join(api(told["api"])))
    put(source / "tables.rst", "\n".join(tables(told["tables"])))
    put(source / "gallery.md", "\n".join(gallery()))
    for name in ("decisions", "studies"):
        put(source / "docs" / name / "index.md", "\n".join(listing(name)))
    arguments = ["-W", "--keep-going", "-q", "-b", "html", "-c", str(ROOT / "docs" / "site")]
    return int(build_main([*arguments, "-d", str(out / "doctrees"), str(source), str(out / "html")]))


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def followed(page: Path, source: Path) -> str:
    """The text of a page; files that it links come along, a folder is its list of pages, or a word without a link."""

    def link(match: re.Match[str]) -> str:
        target = (page.parent / match[3]).resolve()
        if "://" in match[3] or not target.is_relative_to(ROOT) or not target.exists():
            return match[0]
        inside = target.relative_to(ROOT)
        if target.is_dir():
            has_list = inside.as_posix() in ("docs/decisions", "docs/studies")
            return f"[{match[2]}]({match[3].rstrip('/')}/index.md)" if has_list else f"`{match[2].strip('`')}`"
        if target.suffix != ".md":
            (source / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(target, source / inside)
        return match[0]

    return LINK.sub(link, page.read_text("utf-8"))


def title_of(page: Path) -> str:
    return next(line for line in page.read_text("utf-8").splitlines() if line.startswith("# ")).removeprefix("# ")


def listing(name: str) -> Iterator[str]:
    """The list of a folder's pages: of decisions the newest first, those that no longer hold marked."""
    pages = sorted((ROOT / "docs" / name).glob("*.md"), reverse=name == "decisions")
    yield f"# {name.capitalize()}\n"
    yield {"decisions": "Choices between options, and why they fell as they did.",
           "studies": "What was measured, each page with the command that prints it."}[name] + "\n"  # fmt: skip
    yield from ("```{toctree}", ":maxdepth: 1", "", *(page.stem for page in pages), "```")


def gallery() -> Iterator[str]:
    """Every picture of the documents, under the page that explains it."""
    yield "# Gallery\n"
    for page in sorted(ROOT.glob("docs/*.md")):
        pictures = [match for match in LINK.finditer(page.read_text("utf-8")) if match[3].endswith(IMAGES)]
        if pictures:
            yield f"## [{title_of(page)}](docs/{page.name})\n"
            yield from (f"![{match[2]}](docs/{match[3]})\n\n{match[2]}\n" for match in pictures)


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") or "-"


def commands(described: list[dict[str, Any]]) -> Iterator[str]:
    """The reference of commands."""
    yield "# Commands\n"
    yield "Generated from the command line itself; `foretell COMMAND --help` prints the same."
    yield "[How to ...](docs/how-to.md) goes by task.\n"
    panel = ""
    for command in described:
        if command["panel"] != panel:
            panel = command["panel"]
            yield f"## {panel if panel != 'Commands' else 'Begin'}\n"
        yield f"### foretell {command['name']}\n"
        yield f"{command['help']}\n"
        yield f"    {command['usage']}\n\nFor example\n\n    {command['example']}\n"
        if command["parameters"]:
            yield "| | what it is | kind | default |\n|---|---|---|---|"
            yield from (f"| `{row['names']}` | {cell(row['help'])} | {cell(row['kind'])} | {cell(row['default'])} |"
                        for row in command["parameters"])  # fmt: skip
            yield ""


def heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def restructured(doc: str) -> str:
    return str(NumpyDocstring(doc, NAPOLEON))


def api(sections: list[dict[str, Any]]) -> Iterator[str]:
    """The reference of the Python API, as reStructuredText of the docstrings."""
    yield heading("Python API", "=")
    yield "Generated from the docstrings. What is not here is not promised to stay.\n"
    for section in sections:
        yield heading(section["title"], "-")
        yield restructured(section["intro"]) + "\n"
        for it in section["objects"]:
            yield from entry(it, "")


def entry(it: dict[str, Any], indent: str) -> Iterator[str]:
    inner = f"{indent}   "
    yield f"{indent}.. py:{it['kind']}:: {it['name']}{it['signature']}\n"
    yield from (f"{inner}{line}" if line else "" for line in restructured(it["doc"]).splitlines())
    yield ""
    for member in it["members"]:
        yield from entry({**member, "kind": "method"}, inner)


def tables(described: list[dict[str, Any]]) -> Iterator[str]:
    """The contracts of tables, a row per column."""
    yield heading("Tables", "=")
    yield "Generated from the contracts that every row must meet; what does not is quarantined with its reason.\n"
    for table in described:
        yield heading(table["name"], "-")
        yield f"``{table['module']}``\n\n{restructured(table['doc'])}\n"
        yield ".. list-table::\n   :header-rows: 1\n"
        yield from row("column", "type", "may be null", "may be absent")
        for column in table["columns"]:
            null, absent = ("yes" if may else "" for may in (column["null"], not column["required"]))
            yield from row(f"``{column['name']}``", column["type"], null, absent)
        yield ""


def row(*cells: str) -> Iterator[str]:
    yield from (f"{'     - ' if place else '   * - '}{text}" for place, text in enumerate(cells))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
