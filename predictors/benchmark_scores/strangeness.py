"""What was never seen: rounds from which the spread of its forecasts is learnt, and what a forecast rests on."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..arrays import Codes, Floats, Mask
from .calibration import ResidualCurve
from .description.features import MODEL_COLUMNS
from .rows import Rows

Own = dict[int, Codes]
"""Position in what is asked -> rows that are known of its model."""
KINDS = ("cell", "model", "benchmark", "neither", "own", "later")
"""What was seen: both, the model, the benchmark, nothing; the benchmark, and scores of the asked model elsewhere;
nothing, the benchmark having been published after all that were learnt from."""
COUNTED_FROM_MIDDLE = ("benchmark",)
"""Kinds whose errors have a direction: forecasts near 0 or 100 of models that are not there yet are too bold, and what
they miss lies towards 50 (decision 1611)."""
CUTS = (0.6, 0.75, 0.9)
"""Quantiles of the release dates after which models are forecast by a fit to those before."""
LATER_CUTS = (0.4, 0.55, 0.7, 0.85)
"""Quantiles of the years of publication after which benchmarks are forecast by what was there before."""
LEAST_PAST = 15
"""Leak groups before a day from which what comes after it is forecast."""
LEAST_STRANGE = 40
LEFT_OUT = 0.1
MOST_OWN = 8
SAME_DESCRIPTION = 1 - 1e-6
"""Likeness from which on two descriptions differ in nothing that training kept."""


def strange_rounds(rows: Rows, z: Floats, folds: Codes, *, seed: int) -> Iterator[tuple[str, Mask, Codes, Own]]:
    """What to fit to and what to forecast, of all rows of training, their logit scores and folds by leak group.

    Yields the kind (of `KINDS`, never ``model``: the out-of-fold forecasts of every fit are those), rows to fit to,
    other rows to forecast, and what is known of their models. Rounds that need release dates are left out where fewer
    than half of the rows have one.
    """
    yield from _later_rounds(rows)
    rng = np.random.default_rng(seed)
    out = rng.random(len(z)) < LEFT_OUT
    yield "cell", ~out, _on_seen(rows, ~out, out), {}
    release = rows.features[:, MODEL_COLUMNS.index("release_year")]
    if np.isnan(release).mean() > 0.5:
        return
    ends = [*np.nanquantile(release, CUTS), np.inf]
    for i, (cut, end) in enumerate(pairwise(ends)):
        before, after = release < cut, (release >= cut) & (release < end)
        if len(np.unique(folds[before])) < 2 or np.unique(rows.groups[rows.benchmark[before]]).size < 3:
            continue
        asked = _on_seen(rows, before, after)
        yield "benchmark", before, asked, {}
        yield "own", before, *_with_own(rows, asked, rng)
        fold = np.unique(folds)[i % len(np.unique(folds))]
        yield "neither", before & (folds != fold), np.flatnonzero(after & (folds == fold)), {}


def _later_rounds(rows: Rows) -> Iterator[tuple[str, Mask, Codes, Own]]:
    """Leak groups that begin after a day, by what was there before: benchmarks and models."""
    published = rows.benchmarks["published_year"].to_numpy(dtype=np.float64)
    used = np.unique(rows.benchmark)
    if np.isnan(published[used]).mean() > 0.5:
        return
    first = pd.Series(published).groupby(rows.groups).transform("min").to_numpy()[rows.benchmark]
    release = np.nan_to_num(rows.features[:, MODEL_COLUMNS.index("release_year")], nan=-np.inf)
    for cut in np.nanquantile(published[rows.benchmark], LATER_CUTS):
        before, after = (published[rows.benchmark] < cut) & (release < cut), np.flatnonzero(first >= cut)
        if np.unique(rows.groups[rows.benchmark[before]]).size >= LEAST_PAST and len(after):
            yield "later", before, after, {}


def strange_curves(residuals: Iterable[tuple[str, tuple[Floats, Floats]]]) -> dict[str, ResidualCurve]:
    """Conformal quantiles by kind, of its standardised residuals and weights; without kinds of too few of them."""
    found: dict[str, list[tuple[Floats, Floats]]] = {}
    for kind, pair in residuals:
        found.setdefault(kind, []).append(pair)
    joined = {kind: [np.concatenate(values) for values in zip(*pairs, strict=True)] for kind, pairs in found.items()}
    # Which way the next benchmarks will miss, those of a few past days do not say; without such days, those of other
    # leak groups and later models are nearest.
    days = joined.get("later", joined.get("neither"))
    if days is not None:
        joined["later"] = [np.concatenate([days[0], -days[0]]), np.tile(days[1], 2)]
    return {kind: ResidualCurve.fit(*pair) for kind, pair in joined.items() if len(pair[0]) >= LEAST_STRANGE}


def kinds_of(is_seen: Mask, has_own: Mask, is_described: Mask, is_later: Mask) -> NDArray[np.object_]:
    """What of each row was seen, one of `KINDS`: its model, scores of its model elsewhere, its benchmark or its day."""
    known = np.where(is_seen, "cell", np.where(has_own, "own", "benchmark"))
    unknown = np.where(is_later, "later", np.where(is_seen | has_own, "model", "neither"))
    return np.where(is_described, known, unknown).astype(object)


def _on_seen(rows: Rows, train: Mask, asked: Mask) -> Codes:
    return np.flatnonzero(asked & np.isin(rows.benchmark, rows.benchmark[train]))


def _with_own(rows: Rows, asked: Codes, rng: np.random.Generator) -> tuple[Codes, Own]:
    """Rows of each model that are left to ask once up to `MOST_OWN` random ones are known, and which."""
    rest: list[int] = []
    own: Own = {}
    for model in np.unique(rows.model[asked]):
        at = rng.permutation(asked[rows.model[asked] == model])
        n = int(rng.integers(1, MOST_OWN + 1))
        if len(at) > n:
            own |= {len(rest) + j: at[:n] for j in range(len(at) - n)}
            rest += list(at[n:])
    return np.array(rest, dtype=np.intp), own


def bases(is_blank: Mask, likeness: Floats, n_scores: Codes, n_runs: Codes) -> list[str]:
    """A short sentence for every forecast, by what is known of it, shape (n_samples,) each.

    Whether nothing of the benchmark is described in words or kinds that training saw, the cosine with the nearest
    description of training, known scores of other models on the benchmark, scores of the model that were learnt from.
    """
    found = []
    for blank, near, scores, runs in zip(is_blank, likeness, n_scores, n_runs, strict=True):
        of_others = f"{scores} known {'score' if scores == 1 else 'scores'} of other models; " if scores else ""
        of_own = f"{runs} {'score' if runs == 1 else 'scores'} of the model" if runs else "a model that was never seen"
        found.append(f"{of_others}{_of_benchmark(bool(blank), float(near))}; {of_own}")
    return found


def _of_benchmark(is_blank: bool, likeness: float) -> str:
    if is_blank:
        return "the spread of all benchmarks, since this one is not described in words that were seen"
    if likeness > SAME_DESCRIPTION:
        return "scores on a benchmark of this very description"
    return f"the description of a benchmark that was never seen (nearest of training: alike to {likeness:.2f})"
