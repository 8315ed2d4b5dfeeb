"""The Gaussian model of the means of cells, against slow and obvious ways."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from foretell.predictors.thinking_tokens.shift import effects as module
from foretell.predictors.thinking_tokens.shift.cells import CELL, CellTable
from foretell.predictors.thinking_tokens.shift.descriptors import describe_models
from foretell.predictors.thinking_tokens.shift.effects import EFFECTS, CellEffects
from tests.predictors.thinking_tokens.shift.synthetic_cells import MODELS, make_table

SDS = {effect.name: 0.1 * (i + 1) for i, effect in enumerate(EFFECTS)}


LENGTHS = {"b1": 0.5, "b2": -0.7}


def _all_described(cells: pd.DataFrame) -> pd.DataFrame:
    return describe_models(cells).assign(length=cells["benchmark"].map(LENGTHS).fillna(0.0))


def _described(table: CellTable) -> CellTable:
    return CellTable(_all_described(table.cells), *(v for k, v in vars(table).items() if k != "cells"))


def _with_sds(table: CellTable) -> CellEffects:
    return CellEffects(_described(table), float(table.mean.mean()), np.array(list(SDS.values())))


def _prior_covariance(cells: pd.DataFrame) -> np.ndarray:
    """By definition, entry by entry."""
    rows = _all_described(cells).to_dict("records")
    out = np.empty((len(rows), len(rows)))
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            both = one["reasons"] * other["reasons"]
            out[i, j] = module.CONSTANT_VARIANCE + module.REASONING_VARIANCE * both
            for effect in EFFECTS:
                if all(one[key] == other[key] for key in effect.keys):
                    out[i, j] += SDS[effect.name] ** 2 * (one[effect.by] * other[effect.by] if effect.by else 1.0)
    return out


TRAIN = [("s", "b1", "gpt-5", "high"), ("s", "b2", "gpt-4o", "")]
ASKED = pd.DataFrame([("s", "b1", "gpt-4o", ""), ("t", "c", "claude-opus-4-6", "")], columns=CELL)


def test_the_posterior_of_two_cells_is_that_of_the_normal_model() -> None:
    table = make_table(TRAIN, [7.0, 5.0], error=0.1)
    mean, covariance = _with_sds(table).posterior(_all_described(ASKED))
    whole = _prior_covariance(pd.concat([table.cells, ASKED], ignore_index=True))
    gain = whole[2:, :2] @ np.linalg.inv(whole[:2, :2] + 0.1 * np.eye(2))
    np.testing.assert_allclose(mean, 6.0 + gain @ np.array([1.0, -1.0]), rtol=1e-5)
    np.testing.assert_allclose(covariance, whole[2:, 2:] - gain @ whole[:2, 2:], rtol=1e-4)


def test_anchors_count_as_cells_that_were_trained_on() -> None:
    """Conditioning later is conditioning at once."""
    first, later = make_table(TRAIN, [7.0, 5.0], 0.1), make_table([("s", "b1", "gpt-4o", "")], [6.0], 0.2)
    later_on, _ = _with_sds(first).joined(_described(later)).posterior(_all_described(ASKED))
    whole = _prior_covariance(pd.concat([first.cells, later.cells, ASKED], ignore_index=True))
    before = whole[2:, :2] @ np.linalg.inv(whole[:2, :2] + 0.1 * np.eye(2))
    mean, covariance = 6.0 + before @ np.array([1.0, -1.0]), whole[2:, 2:] - before @ whole[:2, 2:]
    gain = covariance[1:, 0] / (covariance[0, 0] + 0.2)
    np.testing.assert_allclose(later_on, mean[1:] + gain * (6.0 - mean[0]), rtol=1e-4)


def test_threads_that_ask_first_get_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    # Half a list of factors was read while another thread was making it: in a gateway most first answers were errors.
    fitted = _with_sds(make_table(TRAIN, [7.0, 5.0]))
    factor = np.linalg.cholesky

    def slow(matrix: np.ndarray) -> np.ndarray:
        time.sleep(0.005)
        return factor(matrix)

    monkeypatch.setattr(np.linalg, "cholesky", slow)
    with ThreadPoolExecutor(8) as pool:
        means = list(pool.map(lambda _: fitted.posterior(_all_described(ASKED))[0], range(8)))
    for mean in means[1:]:
        np.testing.assert_array_equal(mean, means[0])


def test_the_order_of_anchors_does_not_matter() -> None:
    fitted = _with_sds(make_table(TRAIN, [7.0, 5.0]))
    rows = [("u", "b", model, "") for model in MODELS]
    anchors = _described(make_table(rows, list(np.linspace(4, 8, len(rows))), 0.05))
    one, other = (
        fitted.joined(anchors.take(order)).posterior(_all_described(ASKED))
        for order in (np.arange(6), np.array([3, 1, 5, 0, 2, 4]))
    )
    np.testing.assert_allclose(one[0], other[0], rtol=1e-8)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-8)


def test_the_less_is_known_the_wider() -> None:
    rng = np.random.default_rng(0)
    rows = [(f"s{s}", f"b{b}", model, "") for s in range(3) for b in range(3) for model in MODELS[:-1]]
    fitted = CellEffects.fit(_described(make_table(rows, list(6 + rng.normal(size=len(rows))))))
    asked = [
        ("s0", "b0", MODELS[0], ""),
        ("s0", "b0", MODELS[-1], ""),
        ("s0", "new", MODELS[-1], ""),
        ("new", "", "x", ""),
    ]
    _, covariance = fitted.posterior(_all_described(pd.DataFrame(asked, columns=CELL)))
    assert (np.diff(np.diag(covariance)) > 0).all()


def test_effects_are_restored_as_they_were() -> None:
    fitted = CellEffects.fit(_described(make_table(TRAIN, [7.0, 5.0])))
    again = CellEffects.from_state(*fitted.state())
    for one, other in zip(*(effects.posterior(_all_described(ASKED)) for effects in (fitted, again)), strict=True):
        np.testing.assert_array_equal(one, other)


def _anchored(anchors: list[float]) -> tuple[CellEffects, CellEffects]:
    """What is known before and after six models were measured on a benchmark of their own."""
    old = [("s", f"b{i}", model, "") for i in range(4) for model in MODELS]
    before = CellEffects(_described(make_table(old, [6.0] * len(old), error=0.001)), 6.0, np.full(len(EFFECTS), 0.2))
    new = make_table([("s", "new", model, "") for model in MODELS], anchors, error=0.05)
    return before, before.joined(_described(new))


def test_a_benchmark_on_which_models_differ_oddly_goes_by_its_own_anchors() -> None:
    usual = [6.3, 6.25, 6.4, 6.2, 6.3, 6.35]
    odd = [4.0, 8.0, 4.5, 8.5, 5.0, 7.5]
    for anchors, is_odd in ((usual, False), (odd, True)):
        before, after = _anchored(anchors)
        assert (after.odd["s", "new"] > 1.0) == is_odd
        mean, covariance = after.posterior(_all_described(make_table(
            [("s", "new", model, "") for model in MODELS], [0.0] * 6).cells))  # fmt: skip
        plain = CellEffects(after.table, after.centre, after.sds)
        usual_mean, usual_covariance = plain.posterior(_all_described(after.table.cells.tail(6)))
        off, off_usual = (np.abs(m - anchors).max() for m in (mean, usual_mean))
        if is_odd:
            assert off < 0.3 < off_usual
            assert (np.diag(covariance) > np.diag(usual_covariance)).all(), "their own means are less sure"
        else:
            np.testing.assert_allclose(mean, usual_mean)
        assert before.odd == {}


def test_how_odd_a_benchmark_is_maximises_the_posterior_by_definition() -> None:
    from scipy.stats import multivariate_normal

    before, after = _anchored([4.0, 8.0, 4.5, 8.5, 5.0, 7.5])
    anchors = after.table.take(np.arange(len(after.table)) >= len(before.table))
    mean, covariance = before.posterior(anchors.cells)
    more = before.sds[module.OWN] ** 2 * np.eye(6)
    values = [
        multivariate_normal(mean, covariance + (times**2 - 1) * more + np.diag(anchors.error)).logpdf(anchors.mean)
        - 2 * np.log(times)
        for times in module.ODD
    ]
    assert after.odd["s", "new"] == module.ODD[int(np.argmax(values))]
