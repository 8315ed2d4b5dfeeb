"""Every quote that is made, kept with its interval until its batch has run."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from foretell.assets.readers.core.messages import query_id_of_text
from foretell.assets.store.digests import fit_digest
from foretell.assets.store.durable import write_text_durably

FOLDER = "quotes"
_ENDS = [f"{unit}_{name}" for unit in ("usd", "tokens") for name in ("median", "lower_90", "upper_90")]
_KEPT = ["stage", "model", "reasoning_effort", "max_tokens", "n_requests", *_ENDS]


def keep_quote(home: Path, file: str, totals: pd.DataFrame, requests: pd.DataFrame) -> None:
    """Keep a quote until its batch has run: a small file under ``<home>/quotes``, without any text.

    A column `stage` of `totals` tells the bills of a pilot from forecasts; `requests` are what was quoted (`query_id`
    or `prompt_text`), of the file of this name.
    """
    texts = requests["prompt_text"].map(lambda text: query_id_of_text(str(text)))
    queries = requests["query_id"].fillna(texts) if "query_id" in requests else texts
    kept = totals.assign(stage=totals.get("stage", "forecast")).reindex(columns=_KEPT)
    content = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"), "file": file,
        "totals": json.loads(kept.to_json(orient="records", double_precision=10)),
        "queries": [str(query)[:16] for query in queries],
    }  # fmt: skip
    text = json.dumps(content)
    (home / FOLDER).mkdir(parents=True, exist_ok=True)
    write_text_durably(text, home / FOLDER / f"{fit_digest(text)[:16]}.json")
