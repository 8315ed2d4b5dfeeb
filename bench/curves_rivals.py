"""Forecasters of the literature that `curves_transfer.py` sets beside the family's: small, and served by nobody."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from curves_parametric import forecast_ensemble

from foretell.predictors.arrays import Floats
from foretell.predictors.learning_curves.baselines import PointBaseline, spread_columns
from foretell.predictors.learning_curves.curves import CurveBatch, read_curves
from foretell.predictors.learning_curves.density import ScaleModel

DECAYS = tuple(itertools.product((0.5, 1.0, 2.0), (0.01, 0.1, 1.0), (0.3, 1.0, 3.0), (0.01, 0.03, 0.1, 0.3)))
"""Grid of the process: power and offset of the decay, its size and the noise, both over the spread of the points."""
ASYMPTOTE_SD = 3.0
"""Prior deviation of the asymptote from the last value, over the spread of the points."""
NETS, STEPS, PLACES, HIDDEN = 5, 200, 8, 32
"""Of the deep power laws: nets, steps of each, points that a net reads, width of its two layers."""
FARTHEST = 3.0
"""Spreads from the last value at which a point is read at most: a first loss may be of any height."""


class MapEnsemble(PointBaseline):
    """Power laws and other families of curves, by evidence and by the error of their fit (`forecast_ensemble`)."""

    def _locate(self, batch: CurveBatch) -> tuple[Floats, Floats]:
        return forecast_ensemble(batch)


class GaussianProcess(PointBaseline):
    """Freeze-thaw's process of one curve (Swersky et al. 2014): an asymptote and decays, kernel b^a / (t + t' + b)^a.

    Hyper-parameters are the most probable of `DECAYS`; the spread is calibrated as that of every baseline.
    """

    def _locate(self, batch: CurveBatch) -> tuple[Floats, Floats]:
        power, offset, size, noise = (a[:, None, None] for a in np.array(DECAYS).T)
        out = np.empty((len(batch), 2))
        for i, m in enumerate(batch.lengths):
            # The budget counts in what is asked for, so that the asked point is at 1.
            t = np.r_[np.exp(batch.log_x[i, :m] - batch.target[i]), 1.0]
            y, last = batch.values[i, :m], batch.values[i, m - 1]
            unit = float(_spread(y - last))
            kernel = ASYMPTOTE_SD**2 + size**2 * (offset / (t[:, None] + t + offset)) ** power
            seen = kernel[:, :m, :m] + noise**2 * np.eye(m)
            z = np.clip((y - last) / unit, -FARTHEST, FARTHEST)
            factor = np.linalg.cholesky(seen)
            half = np.linalg.solve(factor, np.broadcast_to(z[:, None], (len(DECAYS), m, 1)))[..., 0]
            evidence = -0.5 * (half**2).sum(axis=1) - np.log(np.einsum("gii->gi", factor)).sum(axis=1)
            best = int(evidence.argmax())
            across = np.linalg.solve(factor[best], kernel[best, :m, m])
            variance = kernel[best, m, m] - across @ across
            out[i] = last + unit * (across @ half[best]), unit * np.sqrt(max(variance, 0.0))
        return np.clip(out[:, 0], 0.0, 1.0), np.minimum(out[:, 1], 1.0)


class DeepPowerLaws(PointBaseline):
    """Deep power laws (Kadra et al. 2023): an ensemble of nets that give the parameters of a power law.

    Where the paper's nets read hyper-parameters, which differ from workload to workload, these read the last points of
    the curve in its own spread. The spread about their mean is calibrated on curves of groups that they had not seen.
    """

    def _fit(self, X: pd.DataFrame, y: pd.Series, groups: pd.Series, is_censored: pd.Series) -> None:
        self._refuse_censored(is_censored)
        batch = read_curves(X)
        outcome = np.clip(batch.scale.to_unit(y.to_numpy(dtype=np.float64)), 0.0, 1.0)
        half = np.random.default_rng(0).permutation(groups.nunique())[pd.factorize(groups)[0]] % 2
        located = np.empty((len(batch), 2))
        for part in (0, 1):
            rows, others = np.flatnonzero(half == part), np.flatnonzero(half != part)
            self.nets_ = _train(batch.take(others), outcome[others])
            located[rows] = np.column_stack(self._locate(batch.take(rows)))
        self.scale_ = ScaleModel.fit(spread_columns(batch, located[:, 1]), located[:, 0], outcome, np.ones(len(batch)))
        self.nets_ = _train(batch, outcome)

    def _locate(self, batch: CurveBatch) -> tuple[Floats, Floats]:
        import torch

        columns, horizon, unit = _read(batch)
        with torch.no_grad():
            moved = torch.stack([_power_law(net(columns), horizon) for net in self.nets_]).double().numpy()
        return np.clip(batch.last + unit * moved.mean(axis=0), 0.0, 1.0), unit * moved.std(axis=0)


def _spread(moved: Floats) -> Floats:
    """Three quarters of the points lie so near to the last, > 0; the last axis is that of the points."""
    return np.asarray(np.maximum(np.quantile(np.abs(moved), 0.75, axis=-1), 1e-6))


def _read(batch: CurveBatch) -> tuple[Any, Any, Floats]:
    """Columns (n, 2 PLACES + 1) and horizons (n,) as tensors, and the spread of each curve, unit scale."""
    import torch

    rows = np.arange(len(batch))
    at = np.maximum(batch.lengths[:, None] - 1 - np.arange(1, PLACES + 1), 0)
    values, when = (a[rows[:, None], at] for a in (batch.values, batch.log_x))
    unit = _spread(values - batch.last[:, None])
    moved = np.clip((values - batch.last[:, None]) / unit[:, None], -FARTHEST, FARTHEST)
    horizon = batch.spans[:, 0]
    columns = np.column_stack([moved, np.minimum(batch.last_log_x[:, None] - when, 5.0), horizon])
    return torch.tensor(columns, dtype=torch.float32), torch.tensor(horizon, dtype=torch.float32), unit


def _power_law(raw: Any, horizon: Any) -> Any:
    """How far b (1 - (t / t_last)^-c) has moved after the horizon, of `raw` (n, 2): b up to 5 spreads, c > 0."""
    import torch

    return 5 * torch.tanh(raw[:, 0] / 5) * -torch.expm1(-torch.nn.functional.softplus(raw[:, 1]) * horizon)


def _train(batch: CurveBatch, outcome: Floats) -> list[Any]:
    import torch

    columns, horizon, unit = _read(batch)
    moved = torch.tensor(np.clip((outcome - batch.last) / unit, -5, 5), dtype=torch.float32)
    nets = []
    for seed in range(NETS):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(
            torch.nn.Linear(columns.shape[1], HIDDEN), torch.nn.SiLU(), torch.nn.Linear(HIDDEN, HIDDEN),
            torch.nn.SiLU(), torch.nn.Linear(HIDDEN, 2),
        )  # fmt: skip
        optimiser = torch.optim.Adam(net.parameters(), lr=3e-3, weight_decay=1e-4)
        for _ in range(STEPS):
            rows = torch.randint(len(moved), (256,))
            loss = (_power_law(net(columns[rows]), horizon[rows]) - moved[rows]).abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        nets.append(net)
    return nets
