"""How long prompts are: of the benchmarks of one source, those of longer prompts have longer answers.

What a length says differs between sources, and of a source that was never seen it does not say the level: lengths are
centred within their source.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from ...arrays import Codes, Floats, numbers_of
from ..prices.cost import CHARACTERS_PER_TOKEN

LENGTH = "length"
"""Column of cells: log characters of their prompts above what is usual in their source; 0 where either is unknown."""
STEP = 0.5
"""To which lengths are rounded where the benchmark's own is not known: requests of one rounded length are one cell."""


def log_lengths(X: pd.DataFrame) -> Floats:
    """Log characters of each prompt, four to a token where only `input_tokens` are known, else NaN; shape (n,)."""
    characters = numbers_of(X, "prompt_chars")
    if "prompt_text" in X:
        characters = np.asarray(X["prompt_text"].str.len().to_numpy(np.float64, na_value=np.nan), dtype=np.float64)
    characters = np.where(np.isnan(characters), CHARACTERS_PER_TOKEN * numbers_of(X, "input_tokens"), characters)
    return np.asarray(np.log(np.maximum(characters, 1.0)))


@dataclass(frozen=True)
class PromptLengths:
    """Mean log characters of the prompts, by benchmark and source (the mean of its benchmarks)."""

    benchmark: dict[tuple[str, str], float]
    source: dict[str, float]

    @classmethod
    def of(cls, frame: pd.DataFrame, log_length: Floats) -> Self:
        """Learn from runs: `source` and `benchmark` of each, and the length of its prompt (NaN: unknown)."""
        rows = frame[["source", "benchmark"]].assign(length=log_length).dropna(subset="length")
        means = rows.groupby(["source", "benchmark"])["length"].mean()
        lengths: list[dict[Any, float]] = [of.to_dict() for of in (means, means.groupby(level="source").mean())]
        return cls(*lengths)

    def joined(self, other: "PromptLengths") -> "PromptLengths":
        """These, and what `other` knows of benchmarks and sources that these do not."""
        return PromptLengths({**other.benchmark, **self.benchmark}, {**other.source, **self.source})

    def placed(self, cells: pd.DataFrame) -> pd.DataFrame:
        """`cells` with `LENGTH`, by their benchmark alone."""
        codes = np.arange(len(cells))
        return cells.assign(**{LENGTH: self._away(cells, codes, np.full(len(cells), np.nan))})

    def split(self, codes: Codes, cells: pd.DataFrame, log_length: Floats) -> tuple[Codes, pd.DataFrame]:
        """Cell of each request (n,), and the cells with `LENGTH`.

        Requests of a benchmark whose length is not known have that of their own prompt, rounded: several cells then
        stand for one.
        """
        return by_length(codes, cells, self._away(cells, codes, log_length))

    def _away(self, cells: pd.DataFrame, codes: Codes, log_length: Floats) -> Floats:
        keys = list(zip(cells["source"].tolist(), cells["benchmark"].tolist(), strict=True))
        known = np.array([self.benchmark.get(key, np.nan) for key in keys], dtype=np.float64)[codes]
        usual = np.array([self.source.get(source, np.nan) for source, _ in keys], dtype=np.float64)[codes]
        own = STEP * np.round((log_length - usual) / STEP)
        return np.nan_to_num(np.where(np.isnan(known), own, known - usual))

    def state(self) -> dict[str, Any]:
        """JSON from which `from_state` restores the lengths."""
        return {"benchmark": [[*key, value] for key, value in self.benchmark.items()], "source": self.source}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Restore what `state` returned."""
        return cls({(source, name): value for source, name, value in state["benchmark"]}, dict(state["source"]))


def by_length(codes: Codes, cells: pd.DataFrame, away: Floats) -> tuple[Codes, pd.DataFrame]:
    """Cells told apart by `LENGTH` as well, and which of them each of n rows is in: `codes` and `away` are theirs."""
    lengths, distinct = pd.factorize(away)
    places, _ = pd.factorize(codes * max(len(distinct), 1) + lengths)
    first = np.unique(places, return_index=True)[1]
    is_each = np.array_equal(codes[first], np.arange(len(cells)))
    of_cell = cells if is_each else cells.iloc[codes[first]].reset_index(drop=True)
    return places.astype(np.intp), of_cell.assign(**{LENGTH: away[first].astype(np.float64)})
