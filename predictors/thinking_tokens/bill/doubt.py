"""What a total rests on and what would tell more: the first line of a quote."""

import numpy as np

from .totals import BatchForecast

FEW_RUNS = 10
NINETY = 1.645


def doubt_line(option: str, basis: str, batch: BatchForecast) -> str:
    """What the forecast of an option rests on, and the factor within which 90 % of its totals lie for the wider of two
    reasons.

    What requests are off by together does not average out, and only runs of such requests tell: the line says what
    `FEW_RUNS` would leave of it. That single ones differ does average out, and nothing tells it before.
    """
    shared = float(np.median(batch.shared_deviation)) ** 2
    of_single = float(np.median(np.log(np.maximum(batch.steps, 1.0)).var(axis=1)))
    spread = float(np.sqrt(batch.steps.var(axis=1).sum()) / batch.steps.mean(axis=1).sum())
    single = min(float(np.log1p(spread**2)), of_single)  # a few long runs make the first too large for one request
    left = shared * of_single / (FEW_RUNS * shared + of_single)
    if shared <= single:
        return f"{option}: {basis}. Widest doubt: single requests differ, {_factor(single)} for the total."
    return (
        f"{option}: {basis}. Widest doubt: how long it answers such requests at all, {_factor(shared)}; "
        f"{FEW_RUNS} finished runs of them (`--runs FILE`) would leave {_factor(left)}."
    )


def _factor(log_variance: float) -> str:
    return f"a factor {np.exp(NINETY * np.sqrt(log_variance)):.2g} either way"
