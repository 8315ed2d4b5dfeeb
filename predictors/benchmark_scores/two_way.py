"""A two-way model with dates: how hard a benchmark is, how good a model is, and how the one bends the other.

On the logit scale, ``score = mean + benchmark + model + slope * ability + affinity + noise``. Every part is Gaussian:
the benchmark's level follows from its words, its kind (`CUES`, `kind_likeness`), chance and year of
publication, and a remainder of its own; the model's level from how long after the benchmark it was released, price,
size and reasoning, and a remainder of its own; the slope of a benchmark over abilities from the kind of work; a model's
remainders on alike benchmarks covary. The variances are estimated by expectation maximisation (Searle, Casella &
McCulloch 1992, Variance Components, ch. 8), so that little is left to choose where benchmarks are few. Where they are
many, trees on their structure tell more of an unseen one's level: a forest learns the levels that the fit found.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd

from ..arrays import Codes, Floats, Mask
from .description.features import (
    BENCHMARK_COLUMNS,
    CUES,
    MODEL_COLUMNS,
    BenchmarkFeatures,
    cue_matrix,
    kind_inputs,
    kind_likeness,
    unit_rows,
    whole_texts,
)
from .rows import Rows, group_weights
from .scale import moments
from .trees import FOREST, grow, predict_trees

METADATA = [i for i, name in enumerate(MODEL_COLUMNS) if name != "n_shot"]
RELEASE = METADATA.index(MODEL_COLUMNS.index("release_year"))
REASONS = METADATA.index(MODEL_COLUMNS.index("is_reasoning"))
DESCRIBED = ("numbers", "cues", "words", "kind")
BLOCKS = ("mean", "ability", "numbers", "cues", "words", "kind", "group", "benchmark", "metadata", "model", "bend",
          "slope")  # fmt: skip
FIRST_GUESS = (100.0, 100.0, 1.0, 0.1, 0.1, 0.3, 0.5, 0.5, 1.0, 0.2, 0.003, 0.05)
ESTIMATED = BLOCKS[2:-2]
"""The data set the mean and the common slope; slopes of benchmarks stay close to it, since few models measure each."""
FARTHEST = 3.0
"""Deviations from the mean beyond which a figure of a model tells no more."""
MOST_AXES = 200
"""Of words and of kinds, the largest first: of more the fit takes longer and says the same."""
N_TREES = 200
MANY_RUNS = 8
"""Scores from which on a model's remainder is little shrunk: their variance is that of unseen models."""
SWEEPS, SWEEPS_GIVEN = 6, 2
LEAST_YEAR = 2016.0
RECENT = 0.75
"""Quantile of the years of training that stands for an unknown one: who asks for a forecast asks for something new."""
FIRST_ERA = 2023.0
"""Benchmarks older than the first models that are learnt from belong to their era."""


@dataclass(frozen=True)
class Forecast:
    """Of every row, logit scale, shape (n_samples,) each: the `location` of the Gaussian model, how far that of the
    `forest` lies from it (0 where the benchmark was learnt from), and the `model`'s part of the location."""

    location: Floats
    forest: Floats
    model: Floats


@dataclass
class TwoWay:
    """Fitted parts; arrays by name in `arrays`, what they are about in `keys`."""

    features: BenchmarkFeatures
    keys: list[str] = field(default_factory=list)
    variances: Floats = field(default_factory=lambda: np.array(FIRST_GUESS))
    noise: float = 0.3
    affinity: float = 0.0
    arrays: dict[str, Floats] = field(default_factory=dict)
    forest: Any = None

    # -- fitting ---------------------------------------------------------------------------------------
    def fit(self, rows: Rows, z: Floats, *, variances_from: "TwoWay | None" = None) -> Self:
        """Learn from `z` (n_samples,), logit scores; with `variances_from`, its variances are kept."""
        seen, code = np.unique(rows.benchmark, return_inverse=True)
        benchmarks = rows.benchmarks.iloc[seen]
        self.keys = [_key(row) for row in benchmarks[list(BENCHMARK_COLUMNS)].itertuples(index=False)]
        self._learn_scales(benchmarks, rows)
        self._learn_axes(benchmarks)
        described = self._describe(benchmarks)
        self.arrays |= {f"at.{name}": part for name, part in zip(DESCRIBED, described, strict=True)}
        metadata = self._metadata(rows.features, years_of(rows.benchmarks, self.arrays["recent"][0])[rows.benchmark])
        weight = np.asarray(np.bincount(code)[code] ** -0.5, dtype=np.float64)
        weight /= weight.mean()
        if variances_from is not None:
            self.variances, self.noise = variances_from.variances, variances_from.noise
            self.affinity = variances_from.affinity
        groups = np.unique(rows.groups[seen], return_inverse=True)[1]
        learn, n_models = variances_from is None, len(rows.metadata)
        ability: Floats | None = None
        lines, sizes = _lines_of_blocks(described, groups, metadata.shape[1], n_models)
        for sweep in range(SWEEPS if learn else SWEEPS_GIVEN):
            design = _design(code, len(seen), metadata, rows.model, n_models, ability)
            coefficients = self._solve(design, lines, sizes, z, weight, learn)
            parts = dict(zip(BLOCKS, np.split(coefficients, np.cumsum(sizes)[:-1]), strict=True))
            if sweep == 0:  # abilities are those of the additive model, so that levels and slopes are told apart
                level = metadata @ parts["metadata"] + parts["model"][rows.model]
                self.arrays |= {"ability.metadata": parts["metadata"], "ability.model": parts["model"],
                                "ability.scale": np.array([level.mean(), max(level.std(), 1e-3)])}  # fmt: skip
                often = np.bincount(rows.model, minlength=n_models) >= MANY_RUNS
                left = parts["model"][often] if often.sum() > 1 else parts["model"]
                self.arrays["ability.variance"] = np.array([left.var()])
                ability = (level - level.mean()) / self.arrays["ability.scale"][1]
        parts["benchmark"] = parts["benchmark"] + parts.pop("group")[groups]
        self.arrays |= {f"part.{name}": values for name, values in parts.items()}
        without = z - design @ (lines @ coefficients) + parts["model"][rows.model]
        self._learn_affinity(without, code, rows, seen, described, estimate=variances_from is None)
        start, _ = self._lines(described, np.arange(len(seen)))
        self.forest = grow(self.features.matrix(benchmarks), start, group_weights(groups), FOREST, rounds=N_TREES)
        return self

    def _learn_scales(self, benchmarks: pd.DataFrame, rows: Rows) -> None:
        dated = benchmarks["published_year"].dropna().to_numpy(dtype=np.float64)
        self.arrays["recent"] = np.array([np.quantile(dated, RECENT) if len(dated) else LEAST_YEAR])
        numbers = _numbers(benchmarks, self.arrays["recent"][0])
        self.arrays["numbers"] = np.vstack(moments(numbers))
        standard = (numbers - self.arrays["numbers"][0]) / self.arrays["numbers"][1]
        self.arrays["ends"] = np.vstack([standard.min(axis=0), standard.max(axis=0)])
        self.arrays["cues"] = cue_matrix(whole_texts(benchmarks)).mean(axis=0)
        raw = _raw_metadata(rows.features, years_of(rows.benchmarks, self.arrays["recent"][0])[rows.benchmark])
        self.arrays["metadata"] = np.vstack(moments(raw))

    def _learn_axes(self, benchmarks: pd.DataFrame) -> None:
        """Turn the words of training onto as few axes as they span: the same model, solved faster."""
        self.arrays["axes"] = np.eye(len(self.features.vocabularies["word"]))
        self.arrays["years"] = years_of(benchmarks, self.arrays["recent"][0])
        inputs = kind_inputs(self.features, benchmarks)
        self.arrays |= {f"kind.{name}": block for name, block in inputs.items()}
        size, axes = np.linalg.eigh(kind_likeness(inputs, inputs))
        kept = np.flatnonzero(size > 1e-6 * size.max())[-MOST_AXES:]
        self.arrays["kind_axes"] = np.ascontiguousarray(axes[:, kept] / np.sqrt(size[kept]))
        vectors = self._describe(benchmarks)[2]
        _, size, axes = np.linalg.svd(vectors, full_matrices=False)
        self.arrays["axes"] = np.ascontiguousarray(axes[size > 1e-9][:MOST_AXES].T)

    def _solve(self, design: Any, lines: Floats, sizes: list[int], z: Floats, weight: Floats, learn: bool) -> Floats:
        """Posterior mean of the coefficients; one step of expectation maximisation of the variances."""
        import scipy.linalg

        prior = np.repeat(self.variances, sizes)
        weighted = design.multiply((weight / self.noise)[:, None]).T.tocsr()
        system = lines.T @ (weighted @ design).toarray() @ lines + np.diag(1 / prior)
        factor = scipy.linalg.cho_factor(system, lower=True, check_finite=False)
        mean = np.asarray(scipy.linalg.cho_solve(factor, lines.T @ (weighted @ z)))
        if not learn:
            return mean
        spread = np.diag(scipy.linalg.lapack.dpotri(factor[0], lower=1)[0])
        ends = np.cumsum([0, *sizes])
        for i, name in enumerate(BLOCKS):
            block = slice(ends[i], ends[i + 1])
            if sizes[i] and name in ESTIMATED:
                self.variances[i] = max(float((mean[block] ** 2 + spread[block]).mean()), 1e-4)
        left = z - design @ (lines @ mean)
        freedom = len(z) - (len(mean) - (spread / prior).sum())
        self.noise = float((weight * left**2).sum() / max(freedom, 1.0))
        return mean

    def _learn_affinity(
        self, without: Floats, code: Codes, rows: Rows, seen: Codes, described: tuple[Floats, ...], *, estimate: bool
    ) -> None:
        """Keep what each model did beyond its metadata, and how far that covaries over alike benchmarks."""
        vectors = _likeness_vectors(described)
        order = np.lexsort((code, rows.model))
        self.arrays |= {"own.value": without[order], "own.benchmark": code[order].astype(np.float64),
                        "own.model": rows.model[order].astype(np.float64)}  # fmt: skip
        if not estimate:
            return
        left = without - self.arrays["part.model"][rows.model]
        groups = rows.groups[seen][code]
        top = bottom = 0.0
        for at in np.split(order, np.flatnonzero(np.diff(rows.model[order])) + 1):
            if len(at) > 2:
                alike = vectors[code[at]] @ vectors[code[at]].T
                other = groups[at][:, None] != groups[at]
                alike = np.where(other, alike - alike[other].mean() if other.any() else 0.0, 0.0)
                top += float(left[at] @ alike @ left[at])
                bottom += float((alike**2).sum())
        self.affinity = float(np.clip(top / bottom, 0.0, self.noise)) if bottom else 0.0

    # -- forecasts -------------------------------------------------------------------------------------
    def _describe(self, benchmarks: pd.DataFrame) -> tuple[Floats, ...]:
        """Numbers, cues, words and kind of each benchmark, centred as in training."""
        centre, scale = self.arrays["numbers"]
        numbers = (_numbers(benchmarks, self.arrays["recent"][0]) - centre) / scale
        numbers = np.clip(numbers, *self.arrays["ends"]) if "ends" in self.arrays else numbers
        vectors = self.features.blocks(benchmarks)["word"] @ self.arrays["axes"]
        inputs = {name[5:]: block for name, block in self.arrays.items() if name.startswith("kind.")}
        kind = kind_likeness(kind_inputs(self.features, benchmarks), inputs) @ self.arrays["kind_axes"]
        cues = cue_matrix(whole_texts(benchmarks)) - self.arrays["cues"]
        return numbers, cues, vectors * len(CUES) ** 0.5, kind

    def _metadata(self, features: Floats, years: Floats) -> Floats:
        """Standardised metadata, whether each is unknown, and time squared and by reasoning.

        Time is how long after the benchmark (`years`) a model was released: what is learnt of it holds on later days.
        """
        centre, scale = self.arrays["metadata"]
        standard = np.clip((_raw_metadata(features, years) - centre) / scale, -FARTHEST, FARTHEST)
        filled, unknown = np.nan_to_num(standard), np.isnan(standard).astype(np.float64)
        release = filled[:, [RELEASE]]
        return np.hstack([filled, unknown, release**2, release * filled[:, [REASONS]]])

    def places(self, benchmarks: pd.DataFrame) -> Codes:
        """Position of each benchmark among those of training by its description, -1 where there is none."""
        place = {key: i for i, key in enumerate(self.keys)}
        keys = [_key(row) for row in benchmarks[list(BENCHMARK_COLUMNS)].itertuples(index=False)]
        return np.array([place.get(key, -1) for key in keys], dtype=np.intp)

    @property
    def model_deviation(self) -> float:
        """Standard deviation of what metadata leave open of a model's level."""
        return float(np.sqrt(self.variances[BLOCKS.index("model")] + self.arrays["ability.variance"][0]))

    def runs_of_models(self, n_models: int) -> Codes:
        """Scores of each model that were learnt from, shape (n_models,)."""
        return np.bincount(self.arrays["own.model"].astype(np.intp), minlength=n_models)

    def nearest(self, benchmarks: pd.DataFrame) -> Floats:
        """Cosine of each description with the nearest one of training, shape (n_benchmarks,)."""
        home = _likeness_vectors(tuple(self.arrays[f"at.{name}"] for name in DESCRIBED))
        return np.asarray((_likeness_vectors(self._describe(benchmarks)) @ home.T).max(axis=1))

    def is_blank(self, benchmarks: pd.DataFrame) -> Mask:
        """Benchmarks that are not described by a word, format or metric that training knew."""
        blocks = self.features.blocks(benchmarks)
        empty = ~np.any([block.any(axis=1) for block in blocks.values()], axis=0)
        for column, block in (("answer_format", "format"), ("metric", "metric")):
            empty |= (benchmarks[column] != "").to_numpy() & ~blocks[block].any(axis=1) & ~blocks["word"].any(axis=1)
        return np.asarray(empty)

    def likeness(self, benchmarks: pd.DataFrame) -> Floats:
        """How far levels go together by kind and words, shape (n_benchmarks, n_benchmarks); 1 with themselves."""
        vectors = _likeness_vectors(self._describe(benchmarks))
        v = dict(zip(BLOCKS, self.variances, strict=True))
        own = (v["group"] + v["benchmark"]) / (v["group"] + v["benchmark"] + v["kind"] + len(CUES) * v["words"])
        return np.asarray((1 - own) * (vectors @ vectors.T) + own * np.eye(len(vectors)))

    def predict(self, rows: Rows, own: dict[int, tuple[Codes, Floats]] | None = None) -> Forecast:
        """Forecast of every row; a model without rows in training is forecast from its metadata.

        `own`: row -> places (`places`) of training benchmarks and logit scores of the row's model there.
        """
        described = self._describe(rows.benchmarks)
        place = self.places(rows.benchmarks)
        home = tuple(self.arrays[f"at.{name}"] for name in DESCRIBED)
        start, bend = self._lines(described, place)
        start_home, bend_home = self._lines(home, np.arange(len(self.keys)))
        trained = _likeness_vectors(home)
        near = _likeness_vectors(described) @ trained.T
        years = years_of(rows.benchmarks, self.arrays["recent"][0])
        metadata = self._metadata(rows.features, years[rows.benchmark])
        is_seen = np.isin(rows.model, self.arrays["own.model"])
        level = metadata @ self.arrays["part.metadata"]
        talent = metadata @ self.arrays["ability.metadata"]
        talent += np.where(is_seen, self.arrays["ability.model"][rows.model], 0.0)
        out = start[rows.benchmark] + level + bend[rows.benchmark] * talent
        gap = np.zeros(len(start))
        if self.forest is not None:
            gap[place < 0] = (predict_trees(self.forest, self.features.matrix(rows.benchmarks)) - start)[place < 0]
        given = own or {}
        groups: dict[tuple[int, int], list[int]] = {}
        for row, model in enumerate(rows.model):
            groups.setdefault((row, 0) if row in given else (-1, int(model)), []).append(row)
        for at in groups.values():
            first, codes = at[0], rows.benchmark[at]
            record = slice(*np.searchsorted(self.arrays["own.model"], [rows.model[first], rows.model[first] + 0.5]))
            known, values = self.arrays["own.benchmark"][record].astype(np.intp), self.arrays["own.value"][record]
            if first in given:
                places, scores = given[first]
                features = np.repeat(rows.features[[first]], len(places), axis=0)
                there = self._metadata(features, self.arrays["years"][places])
                able = there @ self.arrays["ability.metadata"]
                able += self.arrays["ability.model"][rows.model[first]] if is_seen[first] else 0.0
                forecast = start_home[places] + there @ self.arrays["part.metadata"] + bend_home[places] * able
                known, values = np.r_[known, places], np.r_[values, scores - forecast]
            if len(known):
                ability = 0.0 if is_seen[first] else float(self.arrays["ability.variance"][0])
                model = self.variances[BLOCKS.index("model")]
                lines = model + ability * np.outer(bend_home[known], bend_home[known])
                alike = self.affinity * trained[known] @ trained[known].T
                dual = np.linalg.solve(lines + alike + self.noise * np.eye(len(known)), values)
                shared = model + ability * np.outer(bend[codes], bend_home[known])
                out[at] += (shared + self.affinity * near[codes][:, known]) @ dual
        return Forecast(out, gap[rows.benchmark], out - start[rows.benchmark])

    def _lines(self, described: tuple[Floats, ...], place: Codes) -> tuple[Floats, Floats]:
        """Start and slope of the score of each benchmark over the talent of a model, logit scale."""
        numbers, cues, vectors, kinds = described
        part = {name: self.arrays[f"part.{name}"] for name in BLOCKS if name != "group"}
        slope = part["ability"][0] + np.hstack([numbers, cues]) @ part["bend"]
        slope += np.where(place >= 0, part["slope"][place], 0.0)
        start = part["mean"][0] + numbers @ part["numbers"] + cues @ part["cues"] + vectors @ part["words"]
        start += kinds @ part["kind"]
        centre, scale = self.arrays["ability.scale"]
        start += np.where(place >= 0, part["benchmark"][place], 0.0) - slope * centre / scale
        return start, slope / scale


def _design(
    code: Codes, n_benchmarks: int, metadata: Floats, model: Codes, n_models: int, ability: Floats | None
) -> Any:
    """Sparse matrix of each row's benchmark, benchmark times ability, metadata and model."""
    from scipy import sparse

    n = len(code)
    which = sparse.csr_matrix((np.ones(n), (np.arange(n), code)), shape=(n, n_benchmarks))
    own = sparse.csr_matrix((np.ones(n), (np.arange(n), model)), shape=(n, n_models))
    bent = which.multiply((np.zeros(n) if ability is None else ability)[:, None])
    return sparse.hstack([which, bent, sparse.csr_matrix(metadata), own], format="csr")


def _lines_of_blocks(
    described: tuple[Floats, ...], groups: Codes, n_metadata: int, n_models: int
) -> tuple[Floats, list[int]]:
    """From the coefficients of `BLOCKS` to what the columns of `_design` multiply; number of coefficients of each."""
    numbers, cues, vectors, kinds = described
    n = len(numbers)
    kind, ones = np.hstack([numbers, cues]), np.ones((n, 1))
    start = {"mean": ones, "numbers": numbers, "cues": cues, "words": vectors, "kind": kinds,
             "group": np.eye(int(groups.max()) + 1)[groups], "benchmark": np.eye(n)}  # fmt: skip
    slope = {"ability": ones, "bend": kind, "slope": np.eye(n)}
    rest = {"metadata": np.eye(n_metadata), "model": np.eye(n_models)}
    places = {**dict.fromkeys(start, 0), **dict.fromkeys(slope, n), "metadata": 2 * n, "model": 2 * n + n_metadata}
    blocks = {**start, **slope, **rest}
    sizes = [blocks[name].shape[1] for name in BLOCKS]
    lines = np.zeros((2 * n + n_metadata + n_models, sum(sizes)))
    for name, end in zip(BLOCKS, np.cumsum(sizes), strict=True):
        block = blocks[name]
        lines[places[name] : places[name] + len(block), end - block.shape[1] : end] = block
    return lines, sizes


def years_of(benchmarks: pd.DataFrame, recent: float) -> Floats:
    """Year to whose models each benchmark is held, shape (n_benchmarks,)."""
    return np.asarray(np.maximum(benchmarks["published_year"].fillna(recent).to_numpy(dtype=np.float64), FIRST_ERA))


def _raw_metadata(features: Floats, years: Floats) -> Floats:
    """Metadata with the release as years after the benchmark, shape (n_samples, len(METADATA))."""
    raw = features[:, METADATA].copy()
    raw[:, RELEASE] -= years
    return raw


def _numbers(benchmarks: pd.DataFrame, recent: float) -> Floats:
    """Year of publication, chance of a guess, whether there is a choice; shape (n, 3)."""
    classes = benchmarks["n_classes"].to_numpy(dtype=np.float64)
    year = np.maximum(benchmarks["published_year"].fillna(recent).to_numpy(dtype=np.float64), LEAST_YEAR)
    return np.column_stack([year, np.nan_to_num(1 / classes), (~np.isnan(classes)).astype(np.float64)])


def _likeness_vectors(described: tuple[Floats, ...]) -> Floats:
    """Vectors of length 1 whose products say how alike benchmarks are in kind and words."""
    return unit_rows(np.hstack([unit_rows(described[1]), unit_rows(described[2])]))


def _key(row: Any) -> str:
    """A short digest of a description, to know it again; no word of it is kept."""
    return hashlib.sha256(repr(["" if v != v else v for v in row]).encode()).hexdigest()[:16]
