"""A ladder of small models as numbers: what one row of `LadderRequests` holds, checked and put in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from ..arrays import Codes, Floats, Mask
from ..errors import InvalidInputError
from ..schemas.contracts import Asked

FLOPS_PER_PARAM_TOKEN = 6.0
NUMBERS = ("ladder_flops", "ladder_params", "ladder_tokens", "ladder_scores", "ladder_errors")
LISTS = (*NUMBERS, "ladder_is_final", "ladder_runs", "item_pass_rates")
"""List columns of a row, one entry per model (or checkpoint of one)."""


class LadderRequests(Asked):
    """One row per forecast: a task, the target model's compute, and the ladder that has been measured.

    Scores are points (0-100). Lists of a row have one entry per measured model, in any order, and equal length;
    of them only `ladder_scores` must be there, with either `ladder_flops` or both `ladder_params` and
    `ladder_tokens` (training compute is then 6 N D). Entries may be null where a model was not measured so.

    `target_flops` (or `target_params` and `target_tokens`) say what is asked for. `chance_score` is the score of a
    guess (0 by default), `upper_score` the highest possible (100). `n_items` is the number of items that the target's
    score will be measured on, from which its sampling noise follows. `ladder_errors` are standard errors in points,
    `ladder_runs` names the run (model and seed) of each entry. `ladder_is_final` is false for intermediate checkpoints,
    which only tell how much scores wander. `item_pass_rates` (one list per entry, one number per item, 0-1, null for
    entries without) is what clustering on difficulty needs.
    """

    benchmark: Series[str] | None = pa.Field(nullable=True)
    task_family: Series[str] | None = pa.Field(nullable=True)
    target_flops: Series[float] | None = pa.Field(nullable=True)
    target_params: Series[float] | None = pa.Field(nullable=True)
    target_tokens: Series[float] | None = pa.Field(nullable=True)
    chance_score: Series[float] | None = pa.Field(nullable=True, ge=0, lt=100)
    upper_score: Series[float] | None = pa.Field(nullable=True, gt=0, le=100)
    n_items: Series[float] | None = pa.Field(nullable=True, gt=0)
    ladder_flops: Series[object] | None = pa.Field(nullable=True)
    ladder_params: Series[object] | None = pa.Field(nullable=True)
    ladder_tokens: Series[object] | None = pa.Field(nullable=True)
    ladder_scores: Series[object] = pa.Field(nullable=False)
    ladder_errors: Series[object] | None = pa.Field(nullable=True)
    ladder_is_final: Series[object] | None = pa.Field(nullable=True)
    ladder_runs: Series[object] | None = pa.Field(nullable=True)
    item_pass_rates: Series[object] | None = pa.Field(nullable=True)


@dataclass(frozen=True)
class Ladder:
    """One measured ladder, sorted by compute, and the target.

    Attributes
    ----------
    flops, params, tokens, scores, errors : ndarray of shape (n_models,)
        Final models; scores in points; NaN where unknown.
    runs : tuple of str
        Names of the runs.
    checkpoint_error : float
        Standard deviation of a score between adjacent late checkpoints, points; NaN where there are none.
    target_flops, target_params, target_tokens : float
    chance, upper : float
        Points.
    n_items : float
        NaN where unknown.
    pass_rates : ndarray of shape (n_models, n_items) or None
    """

    flops: Floats
    params: Floats
    tokens: Floats
    scores: Floats
    errors: Floats
    runs: tuple[str, ...]
    checkpoint_error: float
    target_flops: float
    target_params: float
    target_tokens: float
    chance: float
    upper: float
    n_items: float
    pass_rates: Floats | None = None

    def __len__(self) -> int:
        return len(self.flops)

    @property
    def shares(self) -> Floats:
        """Scores as shares of the way from chance (0) to the upper bound (1), shape (n_models,); may lie outside."""
        return self.share(self.scores)

    def share(self, points: Floats) -> Floats:
        """Points as shares of the way from chance to the upper bound, any shape (n, ...)."""
        return (points - self.chance) / (self.upper - self.chance)

    def points(self, shares: Floats) -> Floats:
        """The opposite of `share`: shares of any shape in points."""
        return self.chance + (self.upper - self.chance) * shares

    def share_errors(self, floor: float) -> Floats:
        """Standard deviations of the shares, shape (n_models,): measured errors joined with `floor`."""
        measured = np.where(np.isfinite(self.errors), self.errors, 0.0) / (self.upper - self.chance)
        return np.hypot(measured, floor)

    @property
    def levels(self) -> Floats:
        """The different amounts of compute, FLOPs, ascending, shape (n_levels,)."""
        return compute_levels(self.flops)

    def below(self, keep: Mask, target: int) -> "Ladder":
        """The models in `keep`, shape (n_models,), as a ladder whose target is the model at position `target`."""
        columns: dict[str, Any] = {
            name: vars(self)[name][keep] for name in ("flops", "params", "tokens", "scores", "errors")
        }
        columns |= {f"target_{name}": float(vars(self)[name][target]) for name in ("flops", "params", "tokens")}
        runs = tuple(name for name, is_kept in zip(self.runs, keep, strict=True) if is_kept)
        return replace(self, **columns, runs=runs, pass_rates=None)


def compute_levels(flops: Floats) -> Floats:
    """The different amounts, shape (n_levels,), among ascending `flops` (n,); 2 % apart counts as the same."""
    return flops[np.r_[True, np.diff(np.log(flops)) > 0.02]] if len(flops) else flops


def read_ladders(X: pd.DataFrame) -> list[Ladder]:
    """Every row of a valid `LadderRequests` table as a `Ladder`.

    Raises
    ------
    InvalidInputError
        Naming the row: lists of unequal length, scores outside 0-100 or that look like shares, compute that is not
        positive (a negative one is an int64 that overflowed), no compute at all, or a chance score not below the upper
        score.
    """
    records = X.to_dict("records")
    return [_ladder(record, label) for record, label in zip(records, X.index, strict=True)]


def _ladder(row: Mapping[Any, Any], label: object) -> Ladder:
    scores = _floats(row.get("ladder_scores"), "ladder_scores", label)
    n = len(scores)
    if not n:
        raise InvalidInputError(f"row {label!r}: `ladder_scores` is empty; give the measured scores in points")
    lists: dict[str, Any] = {name: row.get(name) for name in LISTS if not _is_null(row.get(name))}
    for name, values in lists.items():
        if not hasattr(values, "__len__"):
            raise InvalidInputError(f"row {label!r}: `{name}` must be a list, got {values!r}")
        if len(values) != n:
            raise InvalidInputError(f"row {label!r}: `{name}` has {len(values)} entries, `ladder_scores` has {n}")
    if np.any((scores < 0) | (scores > 100)):
        wrong = scores[(scores < 0) | (scores > 100)][0]
        raise InvalidInputError(f"row {label!r}: `ladder_scores` must be points in 0-100, got {wrong:g}")
    _check_points(row, scores, label)
    columns = {name: _floats(lists.get(name, [None] * n), name, label) for name in NUMBERS}
    final = np.array([bool(flag) for flag in lists.get("ladder_is_final", [True] * n)])
    runs = [str(name) for name in lists.get("ladder_runs", [""] * n)]
    params, tokens = columns["ladder_params"], columns["ladder_tokens"]
    flops = _compute(columns["ladder_flops"], params, tokens, label, "ladder")
    chance, upper = _number(row, "chance_score", 0.0), _number(row, "upper_score", 100.0)
    if not chance < upper:
        raise InvalidInputError(f"row {label!r}: `chance_score` {chance:g} must be below `upper_score` {upper:g}")
    target = np.array([_number(row, f"target_{name}", np.nan) for name in ("flops", "params", "tokens")])
    target_flops = float(_compute(target[:1], target[1:2], target[2:], label, "target")[0])
    if np.isnan(target_flops):
        raise InvalidInputError(f"row {label!r}: give `target_flops`, or `target_params` and `target_tokens`")
    order = np.argsort(flops, kind="stable")
    order = order[(np.isfinite(scores) & np.isfinite(flops) & final)[order]]
    return Ladder(
        flops=flops[order], params=params[order], tokens=tokens[order], scores=scores[order],
        errors=columns["ladder_errors"][order], runs=tuple(runs[i] for i in order),
        checkpoint_error=_checkpoint_error(runs, flops, scores), target_flops=target_flops,
        target_params=float(target[1]), target_tokens=float(target[2]), chance=chance, upper=upper,
        n_items=_number(row, "n_items", np.nan), pass_rates=_pass_rates(lists.get("item_pass_rates"), order, label),
    )  # fmt: skip


def with_something(ladder: Ladder) -> Ladder:
    """The ladder, or where nothing at all was measured one model that guesses, as a stand-in."""
    if len(ladder):
        return ladder
    one = np.array([np.nan])
    return replace(
        ladder, flops=np.array([ladder.target_flops]), params=one, tokens=one, scores=np.array([ladder.chance]),
        errors=one, runs=("",), pass_rates=None,
    )  # fmt: skip


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NA


def _number(row: Mapping[Any, Any], name: str, default: float) -> float:
    value: Any = row.get(name)
    return default if _is_null(value) else float(value)


def _floats(value: Any, name: str, label: object) -> Floats:
    """A list as numbers, NaN for entries that are null; empty for no list."""
    try:
        return np.array([np.nan if _is_null(v) else float(v) for v in ([] if _is_null(value) else value)], dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"row {label!r}: `{name}` must be a list of numbers ({error})") from None


def _check_points(row: Mapping[Any, Any], scores: Floats, label: object) -> None:
    """Refuse scores that are shares; whoever names a highest score above 1 has said that they are points."""
    largest = float(np.nanmax(scores, initial=0.0))
    if 0 < largest <= 1 and _number(row, "upper_score", 1.0) <= 1:
        raise InvalidInputError(
            f"row {label!r}: `ladder_scores` look like shares (the largest is {largest:g}); give points: multiply by "
            "100, `chance_score` too, or say with `upper_score`: 100 that no model reaches more than 1 point"
        )


def _compute(flops: Floats, params: Floats, tokens: Floats, label: object, what: str) -> Floats:
    for name, values in (("flops", flops), ("params", params), ("tokens", tokens)):
        bad = values[~np.isnan(values) & ~((values > 0) & np.isfinite(values))]
        if bad.size:
            raise InvalidInputError(
                f"row {label!r}: `{what}_{name}` must be positive and finite, got {bad[0]:g}; a negative value is "
                "often an int64 that overflowed (above 9.2e18): keep compute as a float"
            )
    return np.where(np.isnan(flops), FLOPS_PER_PARAM_TOKEN * params * tokens, flops)


def _pass_rates(rows: Sequence[Any] | None, order: Codes, label: object) -> Floats | None:
    kept = [] if rows is None else [rows[i] for i in order]
    widths = {len(rates) for rates in kept if not _is_null(rates)}
    if len(widths) > 1:
        raise InvalidInputError(f"row {label!r}: `item_pass_rates` differ in length: {sorted(widths)}")
    if not widths or 0 in widths:
        return None
    nothing = [np.nan] * widths.pop()
    table = np.array([nothing if _is_null(rates) else list(rates) for rates in kept], dtype=np.float64)
    if np.any((table < 0) | (table > 1)):
        raise InvalidInputError(f"row {label!r}: `item_pass_rates` must be in 0-1")
    return table


def _checkpoint_error(runs: Sequence[str], flops: Floats, scores: Floats) -> float:
    """Standard deviation of late adjacent checkpoints about their trend: second differences within a run."""
    squares: list[float] = []
    names = np.array(runs)
    for name in np.unique(names[names != ""]):
        at = np.flatnonzero((names == name) & np.isfinite(scores) & np.isfinite(flops))
        at = at[np.argsort(flops[at], kind="stable")]
        if len(at) >= 4:
            late = scores[at[len(at) // 2 :]] if len(at) >= 8 else scores[at]
            squares += list(np.diff(late, 2) ** 2 / 6.0)
    return float(np.sqrt(np.mean(squares))) if squares else float("nan")
