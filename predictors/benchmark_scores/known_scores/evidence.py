"""Scores that are already known on the benchmark in question: read from requests, and simulated for calibration."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...arrays import Codes, Floats
from ...errors import InvalidInputError
from ..scale import to_logit
from .slopes import ResidualSlopes

MOST_KNOWN = 8
"""Largest number of known scores that calibration simulates."""


@dataclass(frozen=True)
class KnownScores:
    """Scores (points) of trained-on models on one benchmark, and the rows of the request they bear on."""

    benchmark: int
    rows: Codes
    models: Codes
    scores: Floats


def refuse_shares(X: pd.DataFrame) -> None:
    """Refuse known scores of a request that are shares (0-1) where points (0-100) are read, with row and remedy."""
    given = X[[name for name in ("known_scores", "own_scores") if name in X]]
    for name, label, scores in ((column, *item) for column in given for item in given[column].items()):
        largest = max(map(float, scores), default=0.0) if hasattr(scores, "__len__") else 0.0
        if 0 < largest <= 1:
            raise InvalidInputError(
                f"row {label!r}: `{name}` look like shares (the largest is {largest:g}); give points: multiply "
                "by 100, and write true scores below 1 point as 0"
            )


def _placed(
    X: pd.DataFrame, names: str, scores: str, place: Mapping[str, int]
) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """Rows that know some `scores` of `names` that have a place, and these as pairs; others are left out."""
    for row, (called, values) in enumerate(zip(X[names], X[scores], strict=True) if names in X else ()):
        if hasattr(called, "__len__"):
            pairs = [(place[str(n)], float(s)) for n, s in zip(called, values, strict=True) if str(n) in place]
            if pairs:
                yield row, pairs


def known_sets(X: pd.DataFrame, benchmarks: Codes, models: Sequence[str]) -> Iterator[KnownScores]:
    """Distinct sets of known scores in a request; those of models that were never trained on are left out."""
    rows_by_evidence: dict[tuple[int, tuple[tuple[int, float], ...]], list[int]] = {}
    for row, pairs in _placed(X, "known_models", "known_scores", {name: i for i, name in enumerate(models)}):
        rows_by_evidence.setdefault((int(benchmarks[row]), tuple(sorted(pairs))), []).append(row)
    for (benchmark, known), rows in rows_by_evidence.items():
        of_models, scores = zip(*known, strict=True)
        yield KnownScores(benchmark, np.array(rows, np.intp), np.array(of_models, np.intp), np.array(scores))


def own_sets(X: pd.DataFrame, benchmarks: Sequence[str]) -> dict[int, tuple[Codes, Floats]]:
    """Row -> places among `benchmarks` and logit scores of its model there; names that are not there are left out."""
    out = {}
    for row, pairs in _placed(X, "own_benchmarks", "own_scores", {n: i for i, n in enumerate(benchmarks) if n}):
        places, scores = zip(*pairs, strict=True)
        out[row] = (np.array(places, dtype=np.intp), to_logit(scores))
    return out


def counts_of(own: dict[int, tuple[Codes, Floats]], n_rows: int) -> Codes:
    """Scores of its own model that each row has, shape (n_rows,)."""
    return np.array([len(own[row][0]) if row in own else 0 for row in range(n_rows)], dtype=np.intp)


def simulate_evidence(
    slopes: ResidualSlopes, residuals: Floats, benchmarks: Codes, skill: Floats, features: Floats, *, seed: int | None
) -> tuple[Floats, Codes]:
    """Standardised residuals of the other rows of each benchmark when a few random ones are known, and their positions.

    Both of shape (n_simulated,); a residual is standardised as ``(residual - shift) / deviation``.
    """
    rng = np.random.default_rng(seed)
    values, positions = [np.empty(0)], [np.empty(0, dtype=np.intp)]
    order = np.argsort(benchmarks, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(benchmarks[order])) + 1):
        if len(at) < 3:
            continue
        given = rng.permutation(len(at))[: int(rng.integers(1, min(MOST_KNOWN, len(at) - 1) + 1))]
        loadings = slopes.loadings(skill[at], features[at])
        shift, deviation = slopes.update(loadings, given, residuals[at[given]])
        rest = np.setdiff1d(np.arange(len(at)), given)
        values.append((residuals[at[rest]] - shift[rest]) / deviation[rest])
        positions.append(at[rest])
    return np.concatenate(values), np.concatenate(positions)
