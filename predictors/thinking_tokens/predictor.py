"""The thinking-token predictor: learnt heads where runs of a cell were seen, what cells share where none was."""

import copy
import json
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..arrays import Codes, Floats, Mask, load_arrays, save_arrays
from ..base import Cell
from ..errors import InvalidInputError
from .heads.distribution import Heads
from .known_runs.context import flatten_context
from .log_quantiles import MAX_LOG, MEAN_LEVELS
from .pooling.hierarchy import cell_keys
from .shift.cells import CELL
from .shift.public import public_runs
from .shift.queries import RequestForecasts
from .shift.unseen import Anchors, UnseenCells
from .trained_cells import TrainedCellsPredictor

READ_PER_BENCHMARK, READ_AT_MOST = 50, 2_000
"""Texts, by benchmark and in all, that tell how long the queries of a benchmark are expected to be."""

Meant: TypeAlias = tuple[Codes, pd.DataFrame]
"""Which cell each request means, and the cells (`shift.seen.SeenCells.cells_of`)."""

UNSEEN = "unseen"
"""Name of the files of what cells share."""


class ThinkingTokensPredictor(TrainedCellsPredictor):
    """Forecasts output tokens (reasoning included) of requests that were not sent yet.

    Requests in a cell (source, benchmark, model, effort) that was trained on have the forecast of
    `TrainedCellsPredictor`, whose parameters these are. Any other has that of `shift.unseen.UnseenCells`: as wide as
    cells that have as much in common differ, moved by what its text and known runs of its query say.

    Which cell a request means: a model's name in any spelling is that model. Without an effort it is the only one that
    the model was seen with. Without `source` it is the source that the benchmark was seen in; for a known model on an
    unknown benchmark the only source of the training data; else one of its own (`shift.seen.SeenCells.cells_of`).
    """

    # -- fitting -------------------------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        if self.heads:
            super()._fit(X, y, groups, is_censored)
        query, log_tokens = groups.to_numpy(dtype=object), np.log(np.maximum(y.to_numpy(dtype=np.float64), 1.0))
        frame = X[[name for name in (*CELL, "prompt_text", "input_tokens") if name in X]]
        self.unseen_ = UnseenCells().fit(
            frame, log_tokens, is_censored.to_numpy(dtype=bool), query, self._sampled_texts(frame, query),
            public_runs() if self.public else None,
        )  # fmt: skip

    def _sampled_texts(self, X: pd.DataFrame, query: NDArray[np.object_]) -> Floats | None:
        """What some texts of each benchmark make one expect, NaN elsewhere; None where there is no text."""
        if not self.heads or "prompt_text" not in X or X["prompt_text"].isna().all():
            return None
        keys = pd.DataFrame({"of": cell_keys(X, ("source", "benchmark")), "query": query})
        first = keys[~keys.duplicated() & X["prompt_text"].notna().to_numpy()]
        nth = first.groupby("of").cumcount().sort_values(kind="stable")
        rows = nth.index[nth < READ_PER_BENCHMARK][:READ_AT_MOST]
        text = np.full(len(X), np.nan)
        text[rows] = self._text_of_queries(X.iloc[rows])
        return text

    def _text_of_queries(self, X: pd.DataFrame, asked: Mask | bool = True) -> Floats:
        """What the text adds whatever the model, NaN where there is none or it is not `asked`; shape (n_samples,)."""
        text = np.full(len(X), np.nan)
        has_text = self.heads and "prompt_text" in X
        rows = asked & X["prompt_text"].notna().to_numpy() if has_text else np.zeros(len(X), dtype=bool)
        if rows.any():
            frame = X.loc[rows, [name for name in ("benchmark", "prompt_text") if name in X]].assign(model="")
            text[rows] = self.location_.text_effect(frame, self._embed(frame))
        return text

    def adapt(self, X: pd.DataFrame, y: pd.Series, *, is_censored: pd.Series | None = None) -> Self:
        """A copy that has learnt from anchor runs, without training again.

        Anchors of new models, benchmarks and efforts, and of cells that are known, may come in one call: all count at
        once, in any order. A cell that was trained on keeps its shape and moves by what the anchors say of its mean;
        any other is forecast from its anchors and its relatives (`shift.unseen.UnseenCells.adapted`).

        Parameters
        ----------
        X : DataFrame of shape (n_anchors, n_columns)
            The anchors, valid under `Requests`. With context columns (`context.attach_context`) fewer are needed: runs
            of other models on the same queries say which anchors are hard. Runs of an anchor's own model and effort
            count for nothing there: they are anchors.
        y : Series of shape (n_anchors,)
            Output tokens, index of `X`.
        is_censored : Series of bool of shape (n_anchors,), optional
            True where `y` is a lower bound.

        Raises
        ------
        NotFittedError
            Before `fit`.
        InvalidInputError
            If `X` or `y` is not valid.
        """
        self._check_fitted()
        X = self._validate(X)
        tokens = self._aligned(y, X, "y").to_numpy(dtype=np.float64)
        if not np.isfinite(tokens).all():
            raise InvalidInputError(
                f"`y` must be finite, got {int((~np.isfinite(tokens)).sum())} NaN or infinite values"
            )
        censored = pd.Series(False, index=X.index) if is_censored is None else is_censored
        own_row = pd.Series([f"row {i}" for i in range(len(X))], index=X.index, dtype=object)
        query = X["query_id"].astype(object).fillna(own_row) if "query_id" in X else own_row
        anchors = Anchors(
            X,
            np.log(np.maximum(tokens, 1.0)),
            self._aligned(censored, X, "is_censored").to_numpy(dtype=bool),
            query.to_numpy(dtype=object),
            self._text_of_queries(X),
            flatten_context(X),
        )
        adapted = copy.copy(self)
        adapted.unseen_ = self.unseen_.adapted(anchors)
        return adapted

    # -- what a forecast rests on ----------------------------------------------------------------------
    @property
    def known_cells(self) -> frozenset[Cell]:
        """Pairs of model and effort (empty where none was given) that were trained on, or that `adapt` has added.

        Public figures do not count: they say how a model answers elsewhere.
        """
        self._check_fitted()
        return frozenset(self.unseen_.seen_.own_configs)

    @property
    def seen_cells(self) -> frozenset[Cell]:
        """`known_cells` and those of public figures."""
        self._check_fitted()
        return frozenset(self.unseen_.seen_.configs)

    def _described(self, X: pd.DataFrame, meant: Meant | None = None) -> tuple[Any, Any]:
        codes, cells = meant or self.unseen_.seen_.cells_of(X)
        known, basis = (np.array(texts, dtype=object)[codes] for texts in self.unseen_.seen_.describe(cells))
        return known, basis

    # -- forecasts -----------------------------------------------------------------------------------
    def unseen_part(self, X: pd.DataFrame) -> tuple[Mask, RequestForecasts | None]:
        """Which requests are in cells that were trained on, and the forecasts of the others (None: there are none)."""
        self._check_fitted()
        return self._parted(self._validate(X))[1:]

    def _shared_deviation(self, X: pd.DataFrame) -> Floats:
        X, trained, unseen = self._parted(X)
        deviation = np.empty(len(X))
        deviation[trained] = self.location_.shared_deviation(X[trained])
        if unseen is not None:
            deviation[~trained] = np.sqrt(unseen.shared_variance)
        return deviation

    def _parted(
        self, X: pd.DataFrame, meant: Meant | None = None
    ) -> tuple[pd.DataFrame, Mask, RequestForecasts | None]:
        """Requests, models spelt as they were seen; those in cells that were trained on; forecasts of the others."""
        codes, cells = meant or self.unseen_.seen_.cells_of(X)
        trained = self.unseen_.seen_.is_trained(cells)[codes] & self.heads
        model = X["model"]
        spelt = self.unseen_.seen_.spelling(model)
        X = X if spelt is model else X.assign(model=spelt)
        if trained.all():
            return X, trained, None
        rest, meant = X[~trained] if trained.any() else X, (codes[~trained], cells)
        text = self._text_of_queries(rest, self.unseen_.follows_own(*meant))
        return X, trained, self.unseen_.forecast(rest, text, flatten_context(rest), meant)

    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        X, trained, unseen = self._parted(X)
        values = np.empty((len(X), len(levels)))
        if trained.any():
            values[trained] = super()._predict_quantiles(X[trained], levels)
        if unseen is not None:
            values[~trained] = self._tokens_of_unseen(X[~trained], unseen, levels)
        return values

    def _predict_mean(self, X: pd.DataFrame) -> Floats:
        return self._predict_both(X, np.array([0.5]))[1]

    def _answered(self, X: pd.DataFrame, levels: Floats) -> tuple[Floats, Floats, Any, Any]:
        meant = self.unseen_.seen_.cells_of(X)
        return *self._predict_both(X, levels, meant), *self._described(X, meant)

    def _predict_both(self, X: pd.DataFrame, levels: Floats, meant: Meant | None = None) -> tuple[Floats, Floats]:
        X, trained, unseen = self._parted(X, meant)
        values, mean = np.empty((len(X), len(levels))), np.empty(len(X))
        if trained.any():
            values[trained], mean[trained] = super()._predict_both(X[trained], levels)
        if unseen is not None:
            tokens = self._tokens_of_unseen(X[~trained], unseen, np.concatenate([levels, MEAN_LEVELS]))
            values[~trained], mean[~trained] = tokens[:, : len(levels)], tokens[:, len(levels) :].mean(axis=1)
        return values, mean

    def _tokens_of_unseen(self, X: pd.DataFrame, forecasts: RequestForecasts, levels: Floats) -> Floats:
        return self._clipped(X, np.exp(np.minimum(forecasts.quantiles(levels), MAX_LOG)))

    def _heads(self, X: pd.DataFrame) -> Heads:
        heads = super()._heads(X)
        if self.unseen_.anchors_ is not None:
            codes, cells = self.unseen_.seen_.cells_of(X)
            heads = heads.replace_values(heads.values + self.unseen_.learnt_since(cells)[codes][:, None])
        return heads

    # -- persistence ---------------------------------------------------------------------------------
    def _save(self, path: Path) -> dict[str, Any]:
        state, arrays = self.unseen_.state()
        save_arrays(path / f"{UNSEEN}.safetensors", arrays)
        (path / f"{UNSEEN}.json").write_text(json.dumps(state) + "\n", "utf-8")
        return super()._save(path) if self.heads else {}

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        if self.heads:
            super()._load(path, state)
        unseen = json.loads((path / f"{UNSEEN}.json").read_text("utf-8"))
        self.unseen_ = UnseenCells.from_state(unseen, load_arrays(path / f"{UNSEEN}.safetensors"))
