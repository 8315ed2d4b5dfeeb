"""The set ``modern``: scores of the models people use, on benchmarks that this project described in its own words.

One score per model and benchmark, the model thinking as hard as any source reports; made with its standard errors by
``data/collect/public_scores.py`` and committed in ``data/public``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from foretell.assets.store.sources import read_public

MODERN = "modern"


def load_modern(public: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Descriptions, runs and models of the set, as `prepare_tables` takes them."""
    described = read_public(public, "benchmark_descriptions").drop(columns=["chance_level", "human_level"])
    cells = read_public(public, "modern_scores").rename(columns={"standard_error": "standard_error_reported"})
    models = read_public(public, "models").rename(columns={"vendor": "model_family"})
    runs = cells.assign(
        run_id=cells["model"] + "|" + cells["benchmark"], metric="score", higher_is_better=True,
        n_shot=np.nan, n_replicates=np.nan, replicate_sd=np.nan,
        started_at=pd.Series(pd.NaT, index=cells.index, dtype="datetime64[us, UTC]"),
    )  # fmt: skip
    used = models[models["model"].isin(runs["model"])]
    return (
        described[described["benchmark"].isin(runs["benchmark"])], runs,
        used.assign(embed_dim=np.nan, n_languages=np.nan, uses_instructions=np.nan),
    )  # fmt: skip
