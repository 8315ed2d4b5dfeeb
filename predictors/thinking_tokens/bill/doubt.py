"""What a total rests on and what would tell more: the first line of a quote."""

from __future__ import annotations

import numpy as np

from .totals import BatchForecast

FEW_RUNS = 10
NINETY = 1.645


def doubt_line(option: str, basis: str, batch: BatchForecast) -> str:
    """A sentence or two for people.

    Parameters
    ----------
    option : str
        What is quoted.
    basis : str
        See `BasePredictor.basis_of`.
    batch : BatchForecast
        Its requests. What they are off by together does not average out, and only runs of such requests tell; that
        single ones differ does, and nothing tells it before.

    Returns
    -------
    str
        What the forecast rests on, the factor within which 90 % of the totals lie for the wider of the two reasons, and
        what `FEW_RUNS` runs would make of the first.
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
