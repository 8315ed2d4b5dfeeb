"""Drift: a worse forecast and moved noise are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from foretell.predictors.errors import InvalidInputError
from foretell.predictors.metrics import CusumMonitor, DriftMonitor, night_statistics


def nights(seed: int, n: int, excess: float = 0.1, sigma: float = 1.0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        truth = rng.normal(size=40)
        made.append((truth[:, None] + sigma * rng.normal(size=(40, 2)), truth + np.sqrt(excess) * rng.normal(size=40)))
    return made


def verdicts(monitor: DriftMonitor, data: list[tuple[np.ndarray, np.ndarray]]) -> list[str]:
    return [monitor.update(night_statistics(y, f)) for y, f in data]


def test_worse_forecast_and_moved_noise_are_told_apart() -> None:
    calm = verdicts(DriftMonitor(), nights(9, 60))
    assert calm.count("ok") >= 59
    drifted, noisy = DriftMonitor(), DriftMonitor()
    verdicts(drifted, nights(10, 30))
    after = verdicts(drifted, nights(11, 15, excess=2.0))
    assert "forecast drifted" in after
    verdicts(noisy, nights(12, 30))
    changed = verdicts(noisy, nights(13, 12, sigma=2.0))
    assert "noise moved" in changed
    assert "forecast drifted" not in changed
    blind = DriftMonitor()
    single = [(y[:, :1], f) for y, f in nights(14, 30) + nights(15, 20, excess=3.0)]
    assert "ambiguous" in verdicts(blind, single)


def test_a_monitor_starts_anew_and_refuses_what_is_no_number() -> None:
    cusum = CusumMonitor(base_nights=2)
    assert [cusum.update(x, 1.0) for x in (0.0, 0.0, 4.0, 4.0, 4.0)] == [False, False, False, True, True]
    cusum.reset()
    assert not cusum.update(100.0, 1.0)
    with pytest.raises(InvalidInputError, match="finite"):
        cusum.update(np.nan, 1.0)
    with pytest.raises(InvalidInputError, match="disagree"):
        night_statistics(np.zeros((3, 2)), np.zeros(2))
