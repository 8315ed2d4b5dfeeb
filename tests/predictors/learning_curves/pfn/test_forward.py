"""The forward pass in NumPy is the network that was trained in torch."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from foretell.predictors.learning_curves.pfn import weights_file
from foretell.predictors.learning_curves.pfn.forward import ForwardPass, NetworkConfig

Curves = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def random_curves(n: int, m: int, n_targets: int, seed: int) -> Curves:
    """Curves of 1 to `m` points anywhere in [0, 1], padded with nonsense, and targets on both sides of the last."""
    rng = np.random.default_rng(seed)
    log_steps = np.cumsum(rng.uniform(0, 1.5, (n, m)), axis=1)
    log_steps -= log_steps[:, :1]
    lengths = rng.integers(1, m + 1, n)
    targets = log_steps[np.arange(n), lengths - 1][:, None] + rng.uniform(-1, 20, (n, n_targets))
    return log_steps, rng.random((n, m)), lengths, targets


@pytest.mark.parametrize(("m", "n_targets"), [(1, 1), (7, 3), (32, 2)])
def test_both_networks_give_the_same_mixtures(m: int, n_targets: int) -> None:
    torch = pytest.importorskip("torch")
    from foretell.collect.curve_network_model import CurveNetwork

    ours = ForwardPass.read(weights_file())
    theirs = CurveNetwork(ours.config).double()
    theirs.load_state_dict({name: torch.from_numpy(weight) for name, weight in ours.weights.items()})
    curves = random_curves(200, m, n_targets, seed=m)
    with torch.no_grad():
        expected = [part.numpy() for part in theirs(*map(torch.from_numpy, curves))]
    for name, ours_part, theirs_part in zip(("log_weights", "means", "sds"), ours(*curves), expected, strict=True):
        assert ours_part.shape == (200, n_targets, ours.config.components), name
        np.testing.assert_allclose(ours_part, theirs_part, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.slow
def test_curves_are_extrapolated_without_torch() -> None:
    code = """
import json, sys
import foretell
curve = foretell.extrapolate([1, 2, 4, 8], [0.3, 0.4, 0.5, 0.55], 64).iloc[0]
assert "torch" not in sys.modules
print(json.dumps(curve[["lower_90", "median", "upper_90"]].tolist()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lower, median, upper = json.loads(done.stdout)
    assert 0.3 < lower < median < upper <= 1


@pytest.mark.parametrize("change", ["missing", "unknown", "reshaped"])
def test_weights_of_another_shape_are_refused(change: str) -> None:
    weights = load_file(weights_file())
    if change == "missing":
        del weights["head.bias"]
    elif change == "unknown":
        weights["tail.bias"] = np.zeros(3)
    else:
        weights["head.bias"] = weights["head.bias"][:-1]
    with pytest.raises(ValueError, match=r"1 tensors differ, first (head|tail)\.bias"):
        ForwardPass(NetworkConfig(), weights)
