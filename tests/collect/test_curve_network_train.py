"""Training: survives SIGKILL without a trace, learns an exact posterior, refuses what is not its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from foretell.collect.curve_network_model import mixture_log_density
from foretell.collect.curve_network_prior import CurvePrior, Draws
from foretell.collect.curve_network_train import CHECKPOINT, LOG, TrainingConfig, export, train
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.learning_curves.curves import MAX_POINTS as MAX_CONTEXT
from foretell.predictors.learning_curves.curves import read_curves
from foretell.predictors.learning_curves.pfn import PriorFittedNetwork
from foretell.predictors.learning_curves.pfn.forward import NetworkConfig
from tests.conftest import ROOT

TINY = NetworkConfig(width=16, layers=1, heads=2, hidden=16, components=3)
SHORT = TrainingConfig(
    n_curves=3_000, batch=64, pool=512, warmup_curves=500, checkpoint_seconds=0, validation_curves=256, network=TINY
)
# Runs until it is killed; prints nothing.
ENDLESS = """
import sys, torch
from dataclasses import replace
from foretell.collect.curve_network_train import TrainingConfig, train
from foretell.predictors.learning_curves.pfn.forward import NetworkConfig
torch.set_num_threads(1)
tiny = NetworkConfig(width=16, layers=1, heads=2, hidden=16, components=3)
train(TrainingConfig(n_curves=60_000, batch=64, pool=512, warmup_curves=500, checkpoint_seconds=0,
                     validation_curves=256, network=tiny), sys.argv[1])
"""


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def _weights(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / CHECKPOINT)


@pytest.mark.slow
def test_resumed_training_equals_an_uninterrupted_one(tmp_path):
    """Stopped between two pools, bit for bit: weights, average and both moments of the optimiser."""
    whole = train(SHORT, tmp_path / "whole")
    assert whole.curves == 3_072
    seen: list[str] = []

    def stop_after_two(line: str) -> None:
        seen.append(line)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SHORT, tmp_path / "parts", progress=stop_after_two)
    resumed = train(SHORT, tmp_path / "parts", progress=seen.append)
    assert seen[2] == "resumed at 1024 curves"
    assert resumed.curves == whole.curves
    first, second = _weights(tmp_path / "whole"), _weights(tmp_path / "parts")
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.slow
def test_killed_training_goes_on_and_its_loss_falls(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(tmp_path)], cwd=ROOT)
    deadline = time.monotonic() + 60
    log = tmp_path / LOG
    while time.monotonic() < deadline and not (log.exists() and len(log.read_text().splitlines()) >= 3):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(before) >= 3
    longer = TrainingConfig(
        n_curves=60_000,
        batch=64,
        pool=512,
        warmup_curves=500,
        checkpoint_seconds=0,
        validation_curves=256,
        network=TINY,
    )
    after = train(longer, tmp_path, max_seconds=before[-1]["seconds"] + 1.5)
    assert after.curves > before[-1]["curves"]
    assert after.losses[-1] < before[0]["loss"]


def test_finished_training_is_not_trained_again(tmp_path):
    first = train(SHORT, tmp_path)
    again = train(SHORT, tmp_path)
    assert again.curves == first.curves
    assert again.losses == ()


def test_checkpoint_of_another_configuration_or_prior_is_refused(tmp_path):
    train(TrainingConfig(n_curves=512, pool=512, validation_curves=64, network=TINY), tmp_path)
    other = TrainingConfig(n_curves=512, pool=512, validation_curves=64, network=TINY, seed=1)
    with pytest.raises(DatasetError, match="another configuration or prior"):
        train(other, tmp_path)
    with pytest.raises(DatasetError, match="another configuration or prior"):
        train(
            TrainingConfig(n_curves=512, pool=512, validation_curves=64, network=TINY),
            tmp_path,
            prior=CurvePrior(dip=0.5),
        )
    assert train(other, tmp_path, resume=False).curves == 512


def test_broken_checkpoint_is_named(tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"torn")
    with pytest.raises(DatasetError, match=r"checkpoint\.safetensors: not a checkpoint"):
        train(SHORT, tmp_path)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_time_must_be_positive(tmp_path, seconds):
    with pytest.raises(InvalidInputError, match="`max_seconds` must be positive"):
        train(SHORT, tmp_path, max_seconds=seconds)


def test_exported_weights_forecast_and_their_card_counts(tmp_path):
    trained = train(SHORT, tmp_path)
    file = tmp_path / "weights.safetensors"
    card = export(tmp_path, file, facts={"command": "test"})
    network = PriorFittedNetwork.load_pretrained(file)
    assert json.loads(file.with_suffix(".json").read_text("utf-8")) == card
    assert card["curves"] == trained.curves
    assert card["prior"]["class"] == "CurvePrior"
    assert card["command"] == "test"
    for name, value in trained.network.state_dict().items():
        np.testing.assert_array_equal(network.network.weights[name], value.double().numpy())
    curve = pd.DataFrame({"steps": [[1, 2]], "values": [[0.3, 0.4]], "target_step": [10.0]})
    assert np.isfinite(network.forecast(read_curves(curve)).mean()).all()


class LinearPrior:
    """``y = a + b t + noise``, all normal: the posterior of any future point is known exactly."""

    start, start_sd, slope_sd, noise = 0.5, 0.1, 0.02, 0.01

    def sample(self, n: int, rng: np.random.Generator) -> Draws:
        t = np.cumsum(rng.uniform(0.2, 1.0, (n, 10)), axis=1)
        t -= t[:, :1]
        y = self.start + self.start_sd * rng.standard_normal((n, 1)) + self.slope_sd * rng.standard_normal((n, 1)) * t
        y += self.noise * rng.standard_normal(t.shape)
        lengths = rng.integers(1, 9, n)
        seen = np.arange(10)[None, :] < lengths[:, None]
        rows = np.arange(n)[:, None]
        at = np.sort(np.column_stack([rng.integers(lengths, 10), np.full(n, 9)]), axis=1)
        padded = np.zeros((2, n, MAX_CONTEXT), dtype=np.float32)
        padded[0, :, :10], padded[1, :, :10] = np.where(seen, t, 0), np.where(seen, y, 0)
        return Draws(padded[0], padded[1], lengths, t[rows, at].astype(np.float32), y[rows, at].astype(np.float32))

    def exact(self, t: np.ndarray, y: np.ndarray, ahead: float) -> tuple[float, float]:
        """Mean and standard deviation of the value at `ahead`, given the points: conjugate Bayes."""
        basis, sds = np.column_stack([np.ones_like(t), t]), np.array([self.start_sd, self.slope_sd])
        precision = basis.T @ basis / self.noise**2 + np.diag(1 / sds**2)
        mean = np.linalg.solve(precision, basis.T @ (y - self.start) / self.noise**2)
        asked = np.array([1.0, ahead])
        return self.start + asked @ mean, float(np.sqrt(asked @ np.linalg.solve(precision, asked) + self.noise**2))


@pytest.mark.parametrize(
    ("curves", "worst_gap"),
    [(30_000, 0.15), pytest.param(200_000, 0.05, marks=pytest.mark.slow)],
)
def test_network_approaches_the_exact_posterior_of_a_conjugate_prior(tmp_path, curves, worst_gap):
    """Its log density falls short of the exact one by little: in the mean, the divergence of the two."""
    config = TrainingConfig(
        n_curves=curves, batch=128, pool=4_096, learning_rate=3e-3, warmup_curves=4_000, last_weight=1.0, average=0.99,
        validation_curves=64, network=NetworkConfig(width=32, layers=2, heads=2, hidden=64, components=3),
    )  # fmt: skip
    prior = LinearPrior()
    network = train(config, tmp_path, prior=prior).network
    draws = prior.sample(1_000, np.random.default_rng(7))
    asked = torch.from_numpy(draws.target_log_steps)
    with torch.no_grad():
        log_weights, means, sds = network(
            torch.from_numpy(draws.log_steps), torch.from_numpy(draws.values), torch.from_numpy(draws.lengths), asked
        )
        ours = mixture_log_density(log_weights, means, sds, torch.from_numpy(draws.targets))[:, -1].numpy()
        forecast = (log_weights.exp() * means).sum(-1)[:, -1].numpy()
    exact = np.array(
        [
            prior.exact(draws.log_steps[i, :k].astype(float), draws.values[i, :k].astype(float), float(asked[i, -1]))
            for i, k in enumerate(draws.lengths)
        ]
    )
    z = (draws.targets[:, -1] - exact[:, 0]) / exact[:, 1]
    gap = (-0.5 * z**2 - np.log(exact[:, 1]) - 0.5 * np.log(2 * np.pi)) - ours
    import sys

    sys.stderr.write(f"{curves} {gap.mean()} {np.corrcoef(forecast, exact[:, 0])[0, 1]}\n")
    assert -0.01 < gap.mean() < worst_gap
    assert np.corrcoef(forecast, exact[:, 0])[0, 1] > 0.99
