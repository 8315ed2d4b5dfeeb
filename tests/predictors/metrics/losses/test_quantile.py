"""Losses of quantile forecasts."""

from __future__ import annotations

import numpy as np
import pytest

from foretell.predictors.metrics import crps_quantiles


def test_crps_agrees_with_a_public_library() -> None:
    scoringrules = pytest.importorskip("scoringrules")
    rng = np.random.default_rng(8)
    y, members = rng.normal(size=50), np.sort(rng.normal(size=(50, 20)), axis=1)
    ours = crps_quantiles(y, members, (np.arange(20) + 0.5) / 20)
    np.testing.assert_allclose(ours, scoringrules.crps_ensemble(y, members, estimator="nrg"), rtol=1e-10)
