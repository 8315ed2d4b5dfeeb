"""What benchmarks ask, in words: a YAML file with one mapping, or a list of them, of PRECOG's seven fields.

The same fields as columns of a table or of JSON lines, PRECOG's own form, are read by `table_columns`.
"""

from collections.abc import Iterator
from pathlib import Path

from foretell.assets.readers.core.records import ReadOptions, Reject, Row
from foretell.assets.readers.core.stream import CutShortError, chunks
from foretell.predictors.schemas.descriptions import DESCRIPTION_FIELDS, BenchmarkDescriptions

MAX_BYTES = 16 << 20


class Descriptions:
    """Reader of descriptions in YAML; ``source_line`` is the position of the benchmark."""

    name = "descriptions"

    def sniff(self, head: bytes, path: Path) -> bool:
        """True for text in which a line names a benchmark and another one of the seven fields."""
        lines = [line.lstrip(b"- \t") for line in head.splitlines()]
        fields = tuple(f"{name}:".encode() for name in DESCRIPTION_FIELDS)
        return any(line.startswith(b"benchmark:") for line in lines) and any(line.startswith(fields) for line in lines)

    def rows(self, path: Path, options: ReadOptions) -> Iterator[tuple[str, Row] | Reject]:
        """Stream one row per benchmark."""
        import yaml

        try:
            content = yaml.safe_load(b"".join(chunks(path))[:MAX_BYTES])
        except (yaml.YAMLError, CutShortError, RecursionError) as error:
            line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
            yield Reject("not YAML", line, "put texts with a colon into quotes", is_file=True)
            return
        known = set(BenchmarkDescriptions.to_schema().columns)
        for number, entry in enumerate(content if isinstance(content, list) else [content], start=1):
            strange = sorted(set(map(str, entry)) - known) if isinstance(entry, dict) else []
            if not isinstance(entry, dict) or strange:
                what = f"the fields {', '.join(strange[:5])} are not known" if strange else "no mapping of fields"
                yield Reject(what, number, f"a description has {', '.join(['benchmark', *DESCRIPTION_FIELDS])}")
                continue
            yield "benchmark_descriptions", {**entry, "source_line": number}
