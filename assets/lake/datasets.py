"""The data sets that can be named: loaded, curated and priced in one call."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foretell.predictors.errors import DatasetError, InvalidInputError

if TYPE_CHECKING:
    from foretell.assets.lake.traces.curation import Curated, Pricer

TRACE_DATASETS = ("starter", "pricing-reversal", "lrm-token-economy")
PUBLIC = "public"
"""The public figures that the package carries: token counts that a provider measured, without prompts."""


def load_traces(name: str, *, starter: Path, cache: Path, mirror: str | None, price: "Pricer") -> "Curated":
    """Load one of `TRACE_DATASETS`, curated and priced by `price`.

    `starter` is the file of the set ``starter``; public files come from `mirror` or are kept in `cache`, see
    `foretell.assets.catalog.fetch`. Raises `InvalidInputError` if the set is not known, and `DatasetError` if a file is
    missing or not the one its checksum names.
    """
    from foretell.assets.catalog import fetch, load_entry

    if name not in TRACE_DATASETS:
        raise InvalidInputError(f"`name` must be one of {sorted(TRACE_DATASETS)}, got {name!r}")
    if name == "starter":
        if not starter.is_file():
            raise DatasetError(f"{starter}: the starter traces are missing; restore the file from the repository")
        return _curated([starter], format="openai_jsonl", source="starter", price=price)
    entry = load_entry(name)
    files, prompts = fetch(name, cache=cache, mirror=mirror), None
    runs = [path for path in files if "/data/" in path.as_posix()]
    if name == "lrm-token-economy":
        # Its table of runs names the prompts and does not hold them; the content is known by its checksum.
        document = json.loads(next(path for path in files if path.suffix == ".json").read_text("utf-8"))
        prompts = {prompt["prompt_id"]: prompt["prompt"] for prompt in document["prompts"]}
        runs = [path for path in files if path.name == "evaluation_stats.csv"]
    return _curated(runs, format=entry.reader, source=name, price=price, prompts=prompts)


def _curated(
    files: Sequence[Path], *, format: str | None, source: str, price: "Pricer", prompts: dict[str, str] | None = None
) -> "Curated":
    import pandas as pd

    from foretell.assets.lake.traces.curation import concat, curate
    from foretell.assets.readers.reading import read_traces

    # Files of one set can share a name (run0.json): the two folders above tell them apart.
    reads = [read_traces(f, format, source=source, source_file="/".join(f.parts[-3:])) for f in files]
    rejects = pd.concat([read.rejects for read in reads], ignore_index=True)
    rows = concat([read.rows for read in reads])
    if prompts is not None:
        rows["prompt_text"] = rows["item_id"].map(prompts).astype("str").where(rows["item_id"].isin(prompts.keys()))
    return curate(rows, price=price, rejects=rejects)
