"""The one contract of all predictors: scikit-learn's construction, probabilistic prediction.

A subclass writes ``__init__`` (keyword-only, assigns only), ``_fit``, ``_predict_quantiles`` and, where
it can do better than integrating its quantiles, ``_predict_mean``. Validation, the fitted check,
non-crossing quantiles, the index and the column names happen here, once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import pandas as pd
import pandera.pandas as pa

from .arrays import Floats, Mask
from .errors import DatasetError, InvalidInputError, NotFittedError, OtherCodeError
from .glance import valid_at_a_glance
from .manifest import read_manifest, write_manifest

LEVELS: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of a forecast for people: the median with its 50 % and 90 % intervals."""

EVALUATION_LEVELS: tuple[float, ...] = tuple(
    float(level) for level in np.unique(np.round(np.r_[(np.arange(100) + 0.5) / 100, LEVELS], 6))
)
"""Levels at which a forecast is evaluated: a distribution of 100 equally likely steps, and `LEVELS`."""


Cell: TypeAlias = tuple[str, ...]
"""Values of a predictor's `scope_columns`."""
MAX_VALUE = 80
"""Characters of a value that an error shows."""


def check_levels(levels: Sequence[float]) -> Floats:
    """Return `levels` as an array; InvalidInputError if it is empty or not strictly increasing in (0, 1)."""
    array = np.asarray(levels, dtype=np.float64)
    inside = array.ndim == 1 and array.size > 0 and bool(np.all((array > 0) & (array < 1)))
    if not inside or np.any(np.diff(array) <= 0):
        raise InvalidInputError(f"`levels` must be strictly increasing in (0, 1), got {list(levels)}")
    return array


class Parameters:
    """A class whose `__init__` takes keyword-only arguments with defaults, and only assigns them.

    scikit-learn's protocol of construction (`sklearn.base.clone` works with it): to inherit from `BaseEstimator` would
    import scikit-learn and scipy.stats, which takes longer than a forecast.
    """

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = signature(cls).parameters
        return {name: parameters[name].default for name in sorted(parameters)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; `deep` is of the protocol, no parameter has parameters of its own."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params: Any) -> Self:
        """Assign parameters.

        Raises ValueError if there is no parameter of that name.
        """
        for name, value in params.items():
            if name not in (names := self._defaults()):
                raise ValueError(f"`{name}` is no parameter of {type(self).__name__}, which has {', '.join(names)}")
            setattr(self, name, value)
        return self

    def unfitted(self) -> Self:
        """A new one with the same parameters, which has learnt nothing."""
        return type(self)(**self.get_params())

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import Tags, TargetTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=True))

    def __repr__(self) -> str:
        changed = {k: v for k, v in self._defaults().items() if repr(getattr(self, k)) != repr(v)}
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in changed)})"


class BasePredictor(Parameters):
    """Base class of all predictors.

    One row of `X` is one forecast to make. Learned attributes end in ``_``; `fit` twice equals `fit`
    once on the second data. Predictions keep ``X.index``.

    `X` is valid under `input_schema`. `scope_columns` are those whose values make a cell, such as model and effort: a
    fit says nothing of its own about a cell that it has not seen. Empty where every row stands for itself.
    """

    family: ClassVar[str]
    input_schema: ClassVar[type[pa.DataFrameModel]]
    scope_columns: ClassVar[tuple[str, ...]] = ()

    def fit(
        self, X: pd.DataFrame, y: pd.Series, *, groups: pd.Series | None = None, is_censored: pd.Series | None = None
    ) -> Self:
        """Learn from past runs, the same on any number of cores.

        Parameters
        ----------
        X : DataFrame of shape (n_samples, n_columns)
            One row per run, valid under `input_schema`.
        y : Series of shape (n_samples,)
            Observed values in the unit of the target, same index as `X`.
        groups : Series of shape (n_samples,), optional
            What must not straddle the split into training and calibration, such as the query.
            By default every row is a group of its own.
        is_censored : Series of bool of shape (n_samples,), optional
            True where `y` is a lower bound (the run was cut off). By default nothing is censored.

        Raises
        ------
        InvalidInputError
            If `X` breaks its schema, lengths or indexes disagree, or `y` is not finite.
        """
        X = self._validate(X)
        y = self._aligned(y, X, "y").astype("float64")
        if not np.isfinite(y.to_numpy()).all():
            raise InvalidInputError(f"`y` must be finite, got {int((~np.isfinite(y)).sum())} NaN or infinite values")
        if groups is None:
            groups = pd.Series(np.arange(len(X)), index=X.index)
        if is_censored is None:
            is_censored = pd.Series(False, index=X.index)
        groups = self._aligned(groups, X, "groups")
        is_censored = self._aligned(is_censored, X, "is_censored").astype(bool)
        if is_censored.all():
            raise InvalidInputError("`is_censored` is True in every row: a lower bound alone cannot be learnt from")
        from threadpoolctl import threadpool_limits

        # Sums in another order differ in the last digit, and trees make more of it: .4 % of an error was seen.
        with threadpool_limits(limits=1, user_api="blas"):
            self._fit(X, y, groups, is_censored)
        self.n_samples_ = len(X)
        self.known_cells_ = frozenset(self.cells(X)) if self.scope_columns else frozenset()
        return self

    @property
    def known_cells(self) -> frozenset[Cell] | None:
        """Cells that were learnt from; None where it was saved before this was written down."""
        self._check_fitted()
        return getattr(self, "known_cells_", None)

    @classmethod
    def cells(cls, X: pd.DataFrame) -> pd.Series:
        """Cell of every row by `scope_columns`, index of `X`; an absent or null value is the empty string."""
        columns = [
            X[name].to_numpy(dtype=object, na_value="") if name in X else [""] * len(X) for name in cls.scope_columns
        ]
        return pd.Series(list(zip(*columns, strict=True)), index=X.index, dtype=object)

    def predict_quantiles(self, X: pd.DataFrame, levels: Sequence[float] = LEVELS) -> pd.DataFrame:
        """Forecast quantiles.

        Returns
        -------
        DataFrame of shape (n_samples, n_levels)
            Index of `X`, one column per level (the level as a float), in the unit of the target,
            non-decreasing from left to right.

        Raises
        ------
        NotFittedError
            Before `fit`.
        InvalidInputError
            If `X` breaks its schema or `levels` is not strictly increasing in (0, 1).
        """
        self._check_fitted()
        checked = check_levels(levels)
        X = self._validate(X)
        values = self._sorted(X, checked, self._predict_quantiles(X, checked) if len(X) else [])
        return pd.DataFrame(values, index=X.index, columns=pd.Index([float(q) for q in checked], name="level"))

    def _sorted(self, X: pd.DataFrame, checked: Floats, values: Any) -> Floats:
        values = np.sort(np.asarray(values, dtype=np.float64).reshape(-1, checked.size), axis=1)
        if values.shape != (len(X), checked.size):
            raise AssertionError(f"{type(self).__name__}._predict_quantiles returned shape {values.shape}")
        return np.asarray(values)

    def predict_interval(self, X: pd.DataFrame, coverage: float = 0.9) -> pd.DataFrame:
        """Central interval that holds the outcome with probability `coverage`: columns ``lower``, ``upper``."""
        if not 0 < coverage < 1:
            raise InvalidInputError(f"`coverage` must be in (0, 1), got {coverage}")
        quantiles = self.predict_quantiles(X, levels=(0.5 - coverage / 2, 0.5 + coverage / 2))
        return quantiles.set_axis(["lower", "upper"], axis=1)

    def predict(self, X: pd.DataFrame) -> pd.Series:
        """Forecast the median."""
        return self.predict_quantiles(X, levels=(0.5,))[0.5].rename("median")

    def predict_mean(self, X: pd.DataFrame) -> pd.Series:
        """Forecast the mean, which is what a sum of many runs (a bill) needs."""
        self._check_fitted()
        X = self._validate(X)
        values = self._predict_mean(X) if len(X) else np.empty(0)
        return pd.Series(np.asarray(values, dtype=np.float64), index=X.index, name="mean")

    def answer(self, X: pd.DataFrame, levels: Sequence[float] = LEVELS) -> tuple[Floats, Floats, Any, Any]:
        """What `predict_quantiles`, `predict_mean`, `known_of` and `basis_of` say of rows that are checked once.

        Arrays of shape (n_samples, n_levels) and (n_samples,); then two of texts, None where there are none.
        """
        self._check_fitted()
        checked = check_levels(levels)
        X = self._validate(X)
        values, mean, known, basis = self._answered(X, checked) if len(X) else ([], [], *self._described(X))
        return self._sorted(X, checked, values), np.asarray(mean, dtype=np.float64), known, basis

    def extra_columns(self, X: pd.DataFrame, forecast: pd.DataFrame) -> pd.DataFrame:
        """What the family adds to a served forecast, index of `X`; nothing by default."""
        return pd.DataFrame(index=X.index)

    def known_of(self, X: pd.DataFrame) -> pd.Series:
        """What was seen of each row before, index of `X`: the first thing that whoever asks is told.

        ``cell`` (model and benchmark), ``model``, ``benchmark`` or ``neither``; null where the predictor does not
        tell. A learner is the model of its curve and a data set the benchmark.
        """
        return self.described(X)["known"]

    def basis_of(self, X: pd.DataFrame) -> pd.Series:
        """What each forecast rests on, a short sentence; index of `X`, null where the predictor does not tell."""
        return self.described(X)["basis"]

    def described(self, X: pd.DataFrame) -> pd.DataFrame:
        """`known_of` and `basis_of` as columns `known` and `basis`; index of `X`."""
        self._check_fitted()
        known, basis = self._described(self._validate(X))
        return pd.DataFrame({"known": known, "basis": basis}, index=X.index, dtype="str")

    def check_request(self, X: pd.DataFrame) -> None:
        """Refuse rows that are valid and yet surely not meant so, such as shares where points are read.

        Called where rows come from people and services, not where the project asks about its own tables.
        """

    # -- what a subclass writes ------------------------------------------------------------------
    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        raise NotImplementedError

    def _predict_quantiles(self, X: pd.DataFrame, levels: Floats) -> Floats:
        raise NotImplementedError

    def _predict_mean(self, X: pd.DataFrame) -> Floats:
        levels = (np.arange(200) + 0.5) / 200
        return np.asarray(self._predict_quantiles(X, levels).mean(axis=1))

    def _predict_both(self, X: pd.DataFrame, levels: Floats) -> tuple[Floats, Floats]:
        """Quantiles and mean; a family overrides it where one computation serves both."""
        return self._predict_quantiles(X, levels), self._predict_mean(X)

    def _answered(self, X: pd.DataFrame, levels: Floats) -> tuple[Floats, Floats, Any, Any]:
        """`_predict_both` and `_described`."""
        return *self._predict_both(X, levels), *self._described(X)

    def _described(self, X: pd.DataFrame) -> tuple[Any, Any]:
        """Texts for `known_of` and `basis_of`, (n_samples,) each; None where the predictor does not tell."""
        return None, None

    def _save(self, path: Path) -> dict[str, Any]:
        """Write arrays and models beside the manifest; return what belongs into the manifest (JSON)."""
        raise NotImplementedError

    def _load(self, path: Path, state: dict[str, Any]) -> None:
        """Restore what `_save` wrote."""
        raise NotImplementedError

    # -- persistence without pickle ----------------------------------------------------------------
    def save(self, path: Path | str) -> Path:
        """Write the fitted predictor to the folder `path`; no pickle, so loading runs no foreign code.

        The manifest holds a checksum of every file and of itself: what was cut short is told before it is parsed.
        """
        self._check_fitted()
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {
            "class": f"{type(self).__module__.removeprefix(__package__ or '')}:{type(self).__qualname__}",
            "params": self.get_params(),
            "n_samples": self.n_samples_,
            "state": self._save(folder),
        }
        if self.known_cells is not None:
            manifest["known_cells"] = sorted(self.known_cells)
        write_manifest(folder, manifest)
        return folder

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a predictor that `save` wrote; DatasetError if the folder holds none, or one of another class."""
        predictor = load_predictor(path)
        if not isinstance(predictor, cls):
            raise DatasetError(f"{path}: holds a {type(predictor).__name__}, not a {cls.__name__}")
        return predictor

    # -- checks -----------------------------------------------------------------------------------
    def _check_fitted(self) -> None:
        if not hasattr(self, "n_samples_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call `fit` or `load` first")

    def _validate(self, X: pd.DataFrame) -> pd.DataFrame:
        if not isinstance(X, pd.DataFrame):
            raise InvalidInputError(f"`X` must be a DataFrame, got {type(X).__name__}")
        at_a_glance = valid_at_a_glance(self.input_schema, X)
        if at_a_glance is not None:
            return at_a_glance
        from pandera.errors import SchemaErrors

        try:
            return self.input_schema.validate(X, lazy=True)
        except SchemaErrors as error:
            cases = error.failure_cases
            missing = sorted(set(cases.loc[cases["check"] == "column_in_dataframe", "failure_case"]))
            if missing:
                raise InvalidInputError(f"`X` lacks the columns {missing}") from None
            of_row = cases["schema_context"] == "DataFrameSchema"  # fails once for every column, with the same words
            first = cases.assign(column=cases["column"].mask(of_row, None)).drop_duplicates(["column", "check"]).head(5)
            faults = "; ".join(
                f"{row['column']}: {row['check']} (saw {_short(row['failure_case'])})"
                if isinstance(row["column"], str)
                else f"{row['check']} (in row {row['index']})"
                for row in first.to_dict("records")
            )
            raise InvalidInputError(f"`X` breaks {self.input_schema.__name__}: {faults}") from None

    @staticmethod
    def _aligned(values: pd.Series, X: pd.DataFrame, name: str) -> pd.Series:
        if not isinstance(values, pd.Series):
            raise InvalidInputError(f"`{name}` must be a Series, got {type(values).__name__}")
        if len(values) != len(X) or not values.index.equals(X.index):
            raise InvalidInputError(f"`{name}` and `X` must have the same index, got {len(values)} and {len(X)} rows")
        return values


def _short(value: object) -> str:
    """A value as an error names it: a curve or a prompt has thousands of characters."""
    text = repr(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}... of {len(text):,} characters"


def known_words(is_model_known: Mask, is_benchmark_known: Mask) -> np.ndarray:
    """The answers of `BasePredictor.known_of` from two flags of every row, shape (n_samples,) each."""
    words = np.array(["neither", "benchmark", "model", "cell"], dtype=object)
    codes = 2 * np.asarray(is_model_known, dtype=np.intp) + np.asarray(is_benchmark_known, dtype=np.intp)
    return np.asarray(words[codes])


def load_predictor(path: Path | str) -> BasePredictor:
    """Read any predictor that `BasePredictor.save` wrote.

    Only classes of this package are built, so a folder cannot name code of its own.

    Raises
    ------
    DatasetError
        If the folder holds no manifest, is damaged or names a class outside `predictors`.
    OtherCodeError
        If it is whole and was written by another version of `predictors`, which this one cannot read.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    module, _, name = manifest["class"].partition(":")
    module = re.sub(r"^(foretell\.)?predictors\.", ".", module)  # as versions before wrote it
    if not re.fullmatch(r"(\.\w+)+", module):
        raise DatasetError(f"{folder}: names the class {module}:{name}, which is not one of this package")
    try:
        cls = getattr(import_module(module, __package__), name, None)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith(f"{__package__}."):
            raise
        raise OtherCodeError(
            f"{folder}: names the class {module}:{name}, whose module this version of the code does not have"
        ) from error
    if cls is None:
        raise OtherCodeError(f"{folder}: names the class {module}:{name}, which this version of the code does not have")
    if not (isinstance(cls, type) and issubclass(cls, BasePredictor)):
        raise DatasetError(f"{folder}: {module}:{name} is not a predictor")
    try:
        params = {key: tuple(v) if isinstance(v, list) else v for key, v in manifest["params"].items()}
        predictor = cls(**params)
        predictor._load(folder, manifest["state"])
        predictor.n_samples_ = manifest["n_samples"]
        if "known_cells" in manifest:
            predictor.known_cells_ = frozenset(tuple(cell) for cell in manifest["known_cells"])
    except (KeyError, TypeError, FileNotFoundError) as error:
        raise OtherCodeError(
            f"{folder}: written by another version of this code, which cannot read it ({type(error).__name__}: "
            f"{error}); run `foretell retrain {cls.family}`"
        ) from error
    return predictor
