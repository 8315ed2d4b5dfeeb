"""The learning-curve network alone: its posterior against MCMC, and its zero-shot forecasts of LCDB.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/learning_curves_network.py mcmc
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/learning_curves_network.py lcdb --split test

``mcmc``: the network in batches and MCMC on the same curves, in the same run. The other side is the ensemble of Domhan,
Springenberg & Hutter (2015): a weighted sum of eleven families, all parameters, weights and the noise sampled together
by emcee, 100 walkers, 300 steps burnt in and 800 kept, the sizes of the authors' code. The likelihood is written over
all walkers at once, which is much faster than the original. Times are processor seconds of one thread; the network's
include checking, scaling and all Python around it.

``lcdb``: mean absolute error of the median, mean log density and coverage by cut, intervals over data sets, as the
network comes and with one factor on its width that the training split chose. ``--split train`` is for choosing a prior.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import emcee
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.collect.curve_network_prior import CurvePrior
from foretell.predictors.learning_curves.curves import read_curves
from foretell.predictors.learning_curves.pfn import Mixture, PriorFittedNetwork

Floats = NDArray[np.float64]
WALKERS, BURN_IN, KEPT = 100, 300, 800
LEVELS = (0.05, 0.5, 0.95)

# name: (function of (x (m,), parameters (w, p)) -> (w, m), centre and spread of each parameter)
FAMILIES: dict[str, tuple[Callable[[Floats, list[Floats]], Floats], list[float], list[float]]] = {
    "pow3": (lambda x, p: p[0] - p[1] * x ** -np.exp(p[2]), [0.7, 0.3, -0.7], [0.2, 0.2, 0.7]),
    "pow4": (
        lambda x, p: p[0] - p[1] * (x + np.exp(p[3])) ** -np.exp(p[2]),
        [0.7, 0.3, -0.7, 0.0],
        [0.2, 0.2, 0.7, 1.0],
    ),
    "log_log_linear": (lambda x, p: np.log(np.maximum(p[0] * np.log(x) + p[1], 1e-6)), [0.1, 1.6], [0.1, 0.3]),
    "log_power": (lambda x, p: p[0] / (1 + (x / np.exp(p[1])) ** -np.exp(p[2])), [0.7, 0.5, -0.7], [0.2, 1.0, 0.5]),
    "weibull": (
        lambda x, p: p[0] - (p[0] - p[1]) * np.exp(-((np.exp(p[2]) * x) ** np.exp(p[3]))),
        [0.7, 0.4, -2.0, -0.5],
        [0.2, 0.2, 1.0, 0.5],
    ),
    "mmf": (
        lambda x, p: p[0] - (p[0] - p[1]) / (1 + (np.exp(p[2]) * x) ** np.exp(p[3])),
        [0.7, 0.4, -1.0, -0.3],
        [0.2, 0.2, 1.0, 0.5],
    ),
    "janoschek": (
        lambda x, p: p[0] - (p[0] - p[1]) * np.exp(-np.exp(p[2]) * x ** np.exp(p[3])),
        [0.7, 0.4, -2.0, -0.5],
        [0.2, 0.2, 1.0, 0.5],
    ),
    "ilog2": (lambda x, p: p[0] - p[1] / np.log(x + 1), [0.7, 0.2], [0.2, 0.2]),
    "exp4": (
        lambda x, p: p[0] - np.exp(np.minimum(p[1] - np.exp(p[2]) * x ** np.exp(p[3]), 5)),
        [0.7, -1.0, -2.0, -0.7],
        [0.2, 0.5, 1.0, 0.5],
    ),
    "vapor": (
        lambda x, p: np.exp(np.minimum(p[0] + p[1] / x + p[2] * np.log(x), 1)),
        [-0.4, -0.4, 0.02],
        [0.3, 0.3, 0.03],
    ),
    "hill": (
        lambda x, p: p[0] * x ** np.exp(p[1]) / (np.exp(p[2]) + x ** np.exp(p[1])),
        [0.7, 0.0, 0.5],
        [0.2, 0.5, 1.0],
    ),
}
CENTRE = np.array([c for _, centre, _ in FAMILIES.values() for c in centre])
SPREAD = np.array([s for _, _, spread in FAMILIES.values() for s in spread])
N_PARAMETERS = len(CENTRE) + len(FAMILIES) + 1


def ensemble(x: Floats, theta: Floats) -> Floats:
    """Weighted sum of all families at `x` (m,) for each row of `theta`: (w, m)."""
    weights = np.exp(np.clip(theta[:, len(CENTRE) : -1], -20, 5))
    weights /= weights.sum(axis=1, keepdims=True)
    out, at = np.zeros((len(theta), len(x))), 0
    for j, (family, centre, _) in enumerate(FAMILIES.values()):
        columns = [theta[:, at + i : at + i + 1] for i in range(len(centre))]
        out += weights[:, j : j + 1] * family(x[None, :], columns)
        at += len(centre)
    return out


def log_posterior(theta: Floats, x: Floats, y: Floats) -> Floats:
    sd = np.exp(np.clip(theta[:, -1:], -9, 0))
    with np.errstate(all="ignore"):
        residual = (y - ensemble(x, theta)) / sd
        fit = -0.5 * (residual**2).sum(axis=1) - len(y) * np.log(sd[:, 0])
    prior = -0.5 * (((theta[:, : len(CENTRE)] - CENTRE) / SPREAD) ** 2).sum(axis=1)
    prior -= 0.5 * (theta[:, len(CENTRE) : -1] ** 2).sum(axis=1) + 0.5 * (theta[:, -1] + 4) ** 2
    total = fit + prior
    return np.where(np.isfinite(total), total, -np.inf)


def sample_end(x: Floats, y: Floats, target: float, seed: int) -> Floats:
    """Draws of the value at `target`, noise included, within [0, 1]."""
    rng = np.random.default_rng(seed)
    start = np.concatenate([CENTRE, np.zeros(len(FAMILIES)), [-4.0]])
    spread = np.concatenate([SPREAD, np.ones(len(FAMILIES)), [0.5]])
    first = start + 0.3 * spread * rng.standard_normal((WALKERS, N_PARAMETERS))
    sampler = emcee.EnsembleSampler(WALKERS, N_PARAMETERS, log_posterior, args=(x, y), vectorize=True)
    sampler.random_state = np.random.RandomState(seed).get_state()
    sampler.run_mcmc(first, BURN_IN + KEPT, skip_initial_state_check=True)
    draws = sampler.get_chain(discard=BURN_IN, flat=True, thin=10)
    with np.errstate(all="ignore"):
        ends = ensemble(np.array([target]), draws)[:, 0]
    ends = ends + np.exp(draws[:, -1]) * rng.standard_normal(len(ends))
    return np.clip(ends[np.isfinite(ends)], 0, 1)


def curves(n: int, seed: int) -> tuple[list[Floats], list[Floats], Floats, Floats]:
    """Prior curves on half doublings: 16 points, 4 to 12 of them observed."""
    rng = np.random.default_rng(seed)
    t = np.tile(np.arange(16, dtype=np.float32) / 2, (n, 1))
    values = CurvePrior().curves(t, rng).astype(float)
    x = 2.0 ** t[0].astype(float)
    seen = rng.integers(4, 13, n)
    return [x[:k] for k in seen], [values[i, :k] for i, k in enumerate(seen)], np.full(n, x[-1]), values[:, -1]


def forecast(network: PriorFittedNetwork, steps: list[Floats], values: list[Floats], target: Floats) -> Mixture:
    """The network's answer for curves that lie within [0, 1]."""
    return network.forecast(read_curves(pd.DataFrame({"steps": steps, "values": values, "target_step": target})))


def time_network(network: PriorFittedNetwork, n: int) -> float:
    """Processor seconds a curve."""
    steps, values, target, _ = curves(n, 0)
    forecast(network, steps[:64], values[:64], target[:64])  # warm
    started = time.process_time()
    forecast(network, steps, values, target)
    return (time.process_time() - started) / n


def compare_with_mcmc(n_curves: int, batch: int) -> dict[str, object]:
    """Times, their ratio, and how far the two posteriors agree."""
    network = PriorFittedNetwork.load_pretrained()
    per_curve = time_network(network, batch)
    steps, values, target, outcome = curves(n_curves, 1)
    ours = forecast(network, steps, values, target).quantiles(LEVELS)
    started = time.process_time()
    draws = [sample_end(steps[i], values[i], target[i], i) for i in range(n_curves)]
    mcmc_per_curve = (time.process_time() - started) / n_curves
    theirs = np.array([np.quantile(d, LEVELS) for d in draws])
    overlap = np.minimum(ours[:, 2], theirs[:, 2]) - np.maximum(ours[:, 0], theirs[:, 0])
    union = np.maximum(ours[:, 2], theirs[:, 2]) - np.minimum(ours[:, 0], theirs[:, 0])
    last = np.array([v[-1] for v in values])
    both = {"network": ours, "mcmc": theirs}
    return {
        "curves": n_curves,
        "network_ms_per_curve": 1e3 * per_curve,
        "mcmc_ms_per_curve": 1e3 * mcmc_per_curve,
        "times_faster": mcmc_per_curve / per_curve,
        "gain_correlation": float(np.corrcoef(ours[:, 1] - last, theirs[:, 1] - last)[0, 1]),
        "median_difference": float(np.abs(ours[:, 1] - theirs[:, 1]).mean()),
        "interval_overlap_over_union": float(np.clip(overlap / union, 0, None).mean()),
        "interval_width_ratio": float(np.median((ours[:, 2] - ours[:, 0]) / (theirs[:, 2] - theirs[:, 0]))),
        "mae": {name: float(np.abs(q[:, 1] - outcome).mean()) for name, q in both.items()},
        "mae_last_value": float(np.abs(last - outcome).mean()),
        "coverage_90": {name: float(((outcome >= q[:, 0]) & (outcome <= q[:, 2])).mean()) for name, q in both.items()},
    }


def forecast_lcdb(split: str) -> list[dict[str, object]]:
    """One row per cut."""
    from foretell.assets.families.learning_curves.examples import examples_from_dataset
    from foretell.assets.store.sources import Sources
    from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor
    from foretell.predictors.metrics import mean_estimate

    root = Path(__file__).parents[1]
    examples = examples_from_dataset("lcdb", Sources(root / "data" / "starter", root, None, root)).set_index("cell_id")
    train, asked = examples[examples["split"] == "train"], examples[examples["split"] == split]
    out: list[dict[str, object]] = []
    predictor = PfnPredictor().fit(train, train["value"])
    found = predictor.distribution(asked)
    y, quantiles = asked["value"], found.quantiles(np.array(LEVELS))
    losses = {
        "mae": (quantiles[0.5] - y).abs(),
        "mae_of_mean": (predictor.predict_mean(asked) - y).abs(),
        "log_likelihood": found.log_density(y),
        "coverage_90": ((y >= quantiles[0.05]) & (y <= quantiles[0.95])).astype(float),
    }
    for cut in asked["cut"].unique():
        rows = np.flatnonzero(asked["cut"] == cut)
        codes, groups = pd.factorize(asked["query_id"].iloc[rows])
        row: dict[str, object] = {"cut": cut, "curves": len(rows)}
        for name, loss in losses.items():
            estimate = mean_estimate(loss.to_numpy()[rows], codes, len(groups))
            row[name] = [round(float(v), 4) for v in (estimate.value, *estimate.interval())]
        out.append(row)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["mcmc", "lcdb"])
    parser.add_argument("--curves", type=int, default=20, help="curves that MCMC fits")
    parser.add_argument("--batch", type=int, default=2000, help="curves of the network's batch")
    parser.add_argument("--split", choices=["train", "test"], default="train")
    given = parser.parse_args()
    if given.what == "mcmc":
        print(json.dumps(compare_with_mcmc(given.curves, given.batch), indent=1))
        return
    for row in forecast_lcdb(given.split):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
