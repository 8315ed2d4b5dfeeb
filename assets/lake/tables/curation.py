"""Landed rows -> the canonical tables, part by part: each row keeps the contract, came before, or is quarantined.

``n_read == accepted + quarantined + duplicates`` in every part. Only parts are made for which something has landed
since; what they are made from stands in ``<lake>/<table>/parts.json``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.assets.engine import current_engine
from foretell.assets.lake.landing.table_rows import landed_parts, load_part
from foretell.assets.lake.tables.contracts import PLACE, TABLES, LakeTable
from foretell.assets.lake.traces.curation import CORRECT, refused_rows
from foretell.assets.store.durable import write_text_durably
from foretell.assets.store.io import write_table
from foretell.predictors.schemas.quarantine import Quarantine, split_valid

PARTS = "parts.json"
QUARANTINED = "quarantined_rows"
"""Table of the rows that broke a contract, one file per table and part."""
REPEATED = "the key came before with other content ({key} must name one record)"
NAME_APART = "give runs that differ different names, or sources that name them alike a --source each"


@dataclass(frozen=True)
class CuratedTable:
    """What curation did to a table: the account of each part, and which parts were made now.

    An account has `digest`, `read`, `accepted`, `quarantined`, `duplicates`.
    """

    name: str
    parts: Mapping[str, Mapping[str, Any]]
    changed: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Rows over all parts that were read, and what became of them."""
        kinds = ("read", "accepted", "quarantined", "duplicates")
        return {kind: sum(int(part[kind]) for part in self.parts.values()) for kind in kinds}


def curate_rows(table: LakeTable, raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Rows that keep the contract, rows of `Quarantine`, and how many came before with the same content.

    The result does not depend on the order in which records came.
    """
    flags = [] if table.settles is None else [table.settles]
    is_open = ~raw[flags].fillna(False).astype(bool).all(axis=1)
    order = [*table.key, "_open", *PLACE]
    frame = raw.assign(_open=is_open).sort_values(order, kind="stable", ignore_index=True)
    is_repeat = frame.duplicated(table.key)
    digest = pd.util.hash_pandas_object(frame.drop(columns=[*PLACE, *flags, "_open"]), index=False)
    first = digest.groupby([frame[name] for name in table.key], dropna=False).transform("first")
    is_conflict = is_repeat & (digest != first)
    rows, bad = split_valid(frame.loc[~is_repeat, list(table.columns)], table.contract)
    reason = REPEATED.format(key=", ".join(f"`{name}`" for name in table.key))
    quarantine = pd.concat([
        refused_rows(bad, bad["reason"], CORRECT),
        refused_rows(frame[is_conflict], pd.Series(reason, index=frame.index[is_conflict]), NAME_APART),
    ], ignore_index=True)  # fmt: skip
    return rows.reset_index(drop=True), Quarantine.validate(quarantine), int(is_repeat.sum() - is_conflict.sum())


def curate_table(table: LakeTable, landing: Path, lake: Path) -> CuratedTable:
    """Make every part anew for which something has landed since; each is written whole or not at all."""
    folder = table.folder(lake)
    known, landed = read_parts(folder), landed_parts(landing, table)
    changed = tuple(
        part
        for part, digest in landed.items()
        if known.get(part, {}).get("digest") != digest or not (folder / f"{part}.parquet").exists()
    )
    made = current_engine().map(partial(_curate_part, table_name=table.name, landing=landing, lake=lake), changed)
    accounts = {part: account for part, account in known.items() if part in landed}
    accounts |= {part: {**account, "digest": landed[part]} for part, account in zip(changed, made, strict=True)}
    if changed:
        write_text_durably(json.dumps(accounts, indent=1, sort_keys=True) + "\n", folder / PARTS)
    return CuratedTable(table.name, accounts, changed)


def _curate_part(part: str, table_name: str, landing: Path, lake: Path) -> dict[str, int]:
    table = TABLES[table_name]
    raw = load_part(landing, table, part)
    rows, quarantine, n_duplicates = curate_rows(table, raw)
    write_table(quarantine, lake / QUARANTINED / f"{table.name}-{part}.parquet")
    write_table(rows, table.folder(lake) / f"{part}.parquet")
    return {
        "read": len(raw), "accepted": len(rows), "quarantined": len(quarantine), "duplicates": n_duplicates,
    }  # fmt: skip


def read_parts(folder: Path) -> dict[str, dict[str, Any]]:
    """The account of every part; of none where there is no account or it is damaged: they are made anew."""
    try:
        return dict(json.loads((folder / PARTS).read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def stale_tables(landing: Path, lake: Path) -> list[str]:
    """Tables for which something has landed since they were made."""
    stale = []
    for name, table in TABLES.items():
        known, landed = read_parts(table.folder(lake)), landed_parts(landing, table)
        if any(known.get(part, {}).get("digest") != digest for part, digest in landed.items()):
            stale.append(name)
    return stale
