"""The batched fitter of learning curves against scipy's `curve_fit`, and the network against MCMC.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/learning_curves.py fitter
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/learning_curves.py mcmc

``fitter``: the same parameters, starts and weights in the same run; scipy gets lean functions of its own. Batched fits
are timed on 2,000 beginnings of LCDB's training curves, scipy on the first of them, where both errors are compared.
The prior of the batched fits is made a hundred times as wide, so that both solve all but the same problem; the error
is the weighted root mean squared residual without the prior.
Times are processor seconds of one thread.

``mcmc``: see `bench/learning_curves_network.py`, which this calls.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from curves_parametric import FAMILIES, _starts, fit_family, weights_of
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import expit

from foretell.assets.families.learning_curves.examples import examples_from_lcdb
from foretell.assets.readers.curves.lcdb import load_mean_curves
from foretell.predictors.learning_curves.curves import CurveBatch, read_curves

Floats = NDArray[np.float64]
STARTER = Path(__file__).resolve().parents[1] / "data" / "starter"
WIDER = 100.0
BATCH = 2000
LIMIT = 30.0


def _exp(z: float) -> float:
    return float(np.exp(np.clip(z, -LIMIT, LIMIT)))


SCALAR: dict[str, Callable[..., Floats]] = {
    "pow3": lambda x, a, s, b: expit(a) - (expit(a) - expit(s)) * np.exp(-_exp(b) * x),
    "pow4": lambda x, a, s, b, d: (
        expit(a) - (expit(a) - expit(s)) * np.exp(-_exp(b) * (np.log(np.exp(x) + _exp(d)) - np.log1p(_exp(d))))
    ),
    "mmf4": lambda x, a, s, b, d: expit(a) - (expit(a) - expit(s)) * expit(b - _exp(d) * x),
}
"""Functions of the log budget as a user of scipy would write them."""


def beginnings(n_curves: int, seed: int) -> CurveBatch:
    """Curves of LCDB's training data sets, cut at 80 % of their anchors."""
    examples = examples_from_lcdb(load_mean_curves(STARTER / "lcdb"))
    rows = examples[(examples["split"] == "train") & (examples["cut"] == "80%")]
    return read_curves(rows.sample(n_curves, random_state=seed).reset_index(drop=True))


def compare_fitters(name: str, batch: CurveBatch, n_scipy: int) -> dict[str, object]:
    """Times and errors of both fitters on one family; scipy fits the first `n_scipy` curves."""
    family, weights = FAMILIES[name], weights_of(batch)
    prior = family.weak_prior(WIDER)
    started = time.process_time()
    fit = fit_family(family, batch.log_x, batch.values, weights, prior=prior, n_iterations=60)
    ours_s = time.process_time() - started
    ours = _error(family(fit.params, batch.log_x)[0], batch.values, weights)[:n_scipy]
    starts = _starts(family, np.broadcast_to(prior.mean, (len(batch), family.n_params)), batch.values, weights)
    started = time.process_time()
    theirs = np.array([_scipy_error(name, batch, weights, i, [s[i] for s in starts]) for i in range(n_scipy)])
    theirs_s = time.process_time() - started
    both = np.isfinite(theirs)
    return {
        "family": name, "curves": len(batch), "scipy_curves": n_scipy, "starts": len(starts),
        "batched_ms_per_curve": 1e3 * ours_s / len(batch),
        "scipy_ms_per_curve": 1e3 * theirs_s / n_scipy, "times_faster": theirs_s / n_scipy / (ours_s / len(batch)),
        "batched_error": float(ours[both].mean()), "scipy_error": float(theirs[both].mean()),
        "batched_no_worse_share": float((ours[both] <= theirs[both] * 1.01 + 1e-3).mean()),
        "scipy_failed": int((~both).sum()),
    }  # fmt: skip


def _scipy_error(name: str, batch: CurveBatch, weights: Floats, i: int, starts: list[Floats]) -> float:
    m = int(batch.lengths[i])
    x, y, w = batch.log_x[i, :m], batch.values[i, :m], weights[i, :m]
    best = np.inf
    for start in starts:
        try:
            params = curve_fit(SCALAR[name], x, y, p0=start, sigma=1 / w, method="lm", maxfev=2000)[0]
        except (RuntimeError, TypeError):
            continue
        best = min(best, float(_error(SCALAR[name](x, *params)[None], y[None], w[None])[0]))
    return best


def _error(fitted: Floats, values: Floats, weights: Floats) -> Floats:
    squares = ((weights * (fitted - values)) ** 2).sum(axis=1)
    return np.asarray(np.sqrt(squares / (weights > 0).sum(axis=1)))


def pfn_versus_mcmc(n_curves: int, batch: int) -> dict[str, object]:
    """Speed and agreement of the network's posterior and emcee's, on the same curves in the same run."""
    from learning_curves_network import compare_with_mcmc

    return dict(compare_with_mcmc(n_curves, batch))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fitter", "mcmc"])
    parser.add_argument("--curves", type=int, default=0, help="curves (fitter: 200 for scipy, mcmc: 20)")
    parser.add_argument("--batch", type=int, default=2000, help="curves of the network's batch")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.what == "mcmc":
        print(json.dumps(pfn_versus_mcmc(options.curves or 20, options.batch)))
        return
    warnings.simplefilter("ignore", OptimizeWarning)
    warnings.simplefilter("ignore", RuntimeWarning)
    batch = beginnings(BATCH, options.seed)
    for name in SCALAR:
        print(json.dumps(compare_fitters(name, batch, options.curves or 200)))


if __name__ == "__main__":
    main()
