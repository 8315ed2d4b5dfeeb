"""The forward pass of the curve network in NumPy, double precision: what a forecast needs of it, without torch.

`network` is the same function for training; a test holds both together. In single precision a forecast would depend on
which other curves are in its batch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import Floats

CONTEXT_FEATURES = 13
TARGET_FEATURES = 15
SD_FLOOR = 5e-4
"""Least standard deviation of a component, in the range [0, 1]: finer claims are not made."""
NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 256
    components: int = 8

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name of every tensor of weights -> its shape."""
        width, norm = self.width, (self.width,)
        weights: dict[str, tuple[int, ...]] = {
            "embed_context": (width, CONTEXT_FEATURES), "embed_target": (width, TARGET_FEATURES), "norm": norm,
            "head": (3 * self.components + 1, width),
        }  # fmt: skip
        for block in (f"blocks.{i}." for i in range(self.layers)):
            weights |= {
                f"{block}query_key_value": (3 * width, width), f"{block}attention_out": (width, width),
                f"{block}hidden_in": (self.hidden, width), f"{block}hidden_out": (width, self.hidden),
                f"{block}norm_attention": norm, f"{block}norm_hidden": norm,
            }  # fmt: skip
        biases = {f"{name}.bias": shape[:1] for name, shape in weights.items()}
        return biases | {f"{name}.weight": shape for name, shape in weights.items()}


class ForwardPass:
    """Mixture of normals for the values at asked steps, given observed points.

    Parameters
    ----------
    config : NetworkConfig
    weights : mapping of str to ndarray
        As `NetworkConfig.shapes` lists them; kept in double precision.

    Raises
    ------
    ValueError
        If a tensor is missing, unknown or of another shape.
    """

    def __init__(self, config: NetworkConfig, weights: Mapping[str, NDArray[Any]]) -> None:
        wanted, given = config.shapes(), {name: tensor.shape for name, tensor in weights.items()}
        wrong = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        if wrong:
            shape, expected = given.get(wrong[0]), wanted.get(wrong[0])
            raise ValueError(f"{len(wrong)} tensors differ, first {wrong[0]} of shape {shape}, expected {expected}")
        self.config = config
        self.weights: dict[str, Floats] = {name: np.asarray(w, dtype=np.float64) for name, w in weights.items()}

    @classmethod
    def read(cls, file: Path) -> "ForwardPass":
        """Read weights with their size in the header, as `train.export` writes them.

        Raises
        ------
        OSError, SafetensorError, KeyError, TypeError, ValueError
            If the file is missing, or not such weights.
        """
        from safetensors import safe_open

        with safe_open(file, framework="numpy") as handle:
            header = json.loads((handle.metadata() or {})["foretell"])
            weights = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        return cls(NetworkConfig(**header["network"]), weights)

    def __call__(
        self, log_steps: Floats, values: Floats, lengths: NDArray[np.integer], targets: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Mixture at each target.

        Parameters
        ----------
        log_steps, values : ndarray of shape (n, m)
            Observed points in ascending order of step, padded behind `lengths`: log2 of the step over the first
            observed one, and the value in [0, 1], higher is better.
        lengths : ndarray of int of shape (n,)
            Observed points of each curve, at least 1.
        targets : ndarray of shape (n, n_targets)
            log2 of the asked step over the first observed step.

        Returns
        -------
        log_weights, means, sds : ndarray of shape (n, n_targets, components)
        """
        context, target, last = features(log_steps, values, lengths, targets)
        m = log_steps.shape[1]
        is_padded = np.arange(m)[None, :] >= lengths[:, None]
        bias = np.where(is_padded, -1e4, 0.0)[:, None, None, :]
        x = np.concatenate([self._linear("embed_context", context), self._linear("embed_target", target)], axis=1)
        for layer in range(self.config.layers):
            # Of the last layer only the targets are read.
            first = m if layer == self.config.layers - 1 else 0
            x = self._block(f"blocks.{layer}.", x, m, bias, first)
        k = self.config.components
        out = self._linear("head", self._norm("norm", x))
        weight, mean, spread, scale = np.split(out, [k, 2 * k, 3 * k], axis=-1)
        unit = 0.05 * np.exp(np.clip(scale, -6, 3))
        sds = SD_FLOOR + unit * np.exp(np.clip(spread, -5, 4))
        weight = weight - weight.max(axis=-1, keepdims=True)
        log_weights = weight - np.log(np.exp(weight).sum(axis=-1, keepdims=True))
        return log_weights, last[:, None, None] + unit * mean, sds

    def _block(self, name: str, x: Floats, n_context: int, bias: Floats, first: int) -> Floats:
        """Attention of the points from `first` on to the `n_context` observed ones, then the hidden layer."""
        n, length, width = x.shape
        heads, size = self.config.heads, width // self.config.heads
        qkv = self._linear(name + "query_key_value", self._norm(name + "norm_attention", x))
        qkv = qkv.reshape(n, length, 3, heads, size).transpose(2, 0, 3, 1, 4)
        query, key, value = qkv[0, :, :, first:], qkv[1, :, :, :n_context], qkv[2, :, :, :n_context]
        attention = query @ key.swapaxes(-1, -2)
        attention *= size**-0.5
        attention += bias
        attention -= attention.max(axis=-1, keepdims=True)
        np.exp(attention, out=attention)
        attention /= attention.sum(axis=-1, keepdims=True)
        mixed = (attention @ value).transpose(0, 2, 1, 3).reshape(n, length - first, width)
        x = x[:, first:] + self._linear(name + "attention_out", mixed)
        hidden = np.maximum(self._linear(name + "hidden_in", self._norm(name + "norm_hidden", x)), 0.0)
        return np.asarray(x + self._linear(name + "hidden_out", hidden))

    def _linear(self, name: str, x: Floats) -> Floats:
        weight = self.weights[name + ".weight"]
        # One product of two matrices: NumPy would call BLAS once per curve.
        flat = x.reshape(-1, x.shape[-1]) @ weight.T
        flat += self.weights[name + ".bias"]
        return flat.reshape(*x.shape[:-1], len(weight))

    def _norm(self, name: str, x: Floats) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.einsum("...i,...i->...", centred, centred)[..., None] / x.shape[-1]
        centred *= 1.0 / np.sqrt(variance + NORM_EPSILON)
        centred *= self.weights[name + ".weight"]
        centred += self.weights[name + ".bias"]
        return np.asarray(centred)


def features(
    log_steps: Floats, values: Floats, lengths: NDArray[np.integer], targets: Floats
) -> tuple[Floats, Floats, Floats]:
    """What the network reads of each observed point and of each target, and the last value of each curve.

    As `network.features`: shapes (n, m, 13), (n, n_targets, 15) and (n,).
    """
    n, m = values.shape
    seen = (np.arange(m)[None, :] < lengths[:, None]).astype(np.float64)
    rows, at = np.arange(n), lengths - 1
    last, end = values[rows, at][:, None], log_steps[rows, at][:, None]
    # Of each point to the one before; 0 at the first and behind the last.
    step, rise = (np.diff(points, axis=1, prepend=points[:, :1]) * seen for points in (log_steps, values))
    bend = rise - np.concatenate([rise[:, :1], rise[:, :-1]], axis=1)
    count = np.broadcast_to(np.log(lengths.astype(np.float64))[:, None], (n, m))
    unit = np.clip(values, 0, 1)
    context = np.stack(
        [
            (log_steps - end) / 4,
            log_steps / 4,
            np.exp2(np.clip(log_steps - end, -20, 0)),
            2 * values - 1,
            np.log(unit + 0.003) / 2,
            np.log(1 - unit + 0.003) / 2,
            np.arcsinh((values - last) * 10),
            np.arcsinh((values - last) * 200) / 2,
            np.arcsinh(rise * 200) / 2,
            np.arcsinh(rise / np.maximum(step, 0.02) * 50),
            np.arcsinh(bend * 200) / 2,
            step,
            count / 2,
        ],
        axis=-1,
    )
    curve = _curve_features(log_steps, values, seen, last, end, step, rise)
    ahead = targets - end
    of_target = [ahead / 4, np.log(np.maximum(ahead, 0) + 0.02) / 2, np.exp2(-np.clip(ahead, 0, 20))]
    of_curve = np.broadcast_to(curve[:, None, :], (n, targets.shape[1], curve.shape[1]))
    target = np.concatenate([of_curve, np.stack(of_target, axis=-1)], axis=-1)
    return context * seen[..., None], target, last[:, 0]


def _curve_features(
    log_steps: Floats, values: Floats, seen: Floats, last: Floats, end: Floats, step: Floats, rise: Floats
) -> Floats:
    """What the network reads of a curve as a whole, shape (n, 12)."""
    n_points = seen.sum(axis=1, keepdims=True)

    def slope(reach: float) -> Floats:
        """Least squares in log step, the last `reach` doublings weighing most."""
        weight = seen * np.exp2(np.clip(log_steps - end, -40, 0) / reach)
        total = weight.sum(axis=1, keepdims=True)
        steps = log_steps - (weight * log_steps).sum(axis=1, keepdims=True) / total
        heights = values - (weight * values).sum(axis=1, keepdims=True) / total
        spread = (weight * steps**2).sum(axis=1, keepdims=True)
        return np.asarray((weight * steps * heights).sum(axis=1, keepdims=True) / (spread + 0.01))

    best = np.where(seen == 0, -1.0, values).max(axis=1, keepdims=True)
    worst = np.where(seen == 0, 2.0, values).min(axis=1, keepdims=True)
    falls = np.abs(np.minimum(rise, 0)).sum(axis=1, keepdims=True) / n_points
    recent = slope(2.0)
    rough = np.abs(rise - recent * step).sum(axis=1, keepdims=True) / n_points
    unit = np.clip(last, 0, 1)
    columns = [
        2 * last - 1,
        np.log(unit + 0.003) / 2,
        np.log(1 - unit + 0.003) / 2,
        np.arcsinh((best - last) * 200) / 2,
        np.arcsinh((last - worst) * 20),
        np.arcsinh(slope(0.5) * 50),
        np.arcsinh(recent * 50),
        np.arcsinh(slope(20.0) * 50),
        np.log(falls + 1e-4) / 3,
        np.log(rough + 1e-4) / 3,
        end / 4,
        np.log(n_points) / 2,
    ]
    return np.concatenate(columns, axis=1)
