"""The network: reads the observed points of a curve, answers with a mixture of normals for each asked point.

A small pre-LN transformer without positions: observed points attend to observed points, asked points attend to
observed points only, so that the answer for one target does not depend on which other targets are asked (the mask of
prior-data fitted networks, Mueller et al. 2022, Transformers Can Do Bayesian Inference). The head speaks relative to
the last observed value: a fresh network already forecasts "it stays where it is".

This is the network for training, in torch; forecasts are made by `forward`, the same function in NumPy.
"""

from __future__ import annotations

from math import log, pi

import torch
from torch import Tensor, nn

from foretell.predictors.learning_curves.pfn.forward import CONTEXT_FEATURES, SD_FLOOR, TARGET_FEATURES, NetworkConfig

__all__ = ["CurveNetwork", "mixture_log_density"]


class _Block(nn.Module):
    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm_attention = nn.LayerNorm(config.width)
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.attention_out = nn.Linear(config.width, config.width)
        self.norm_hidden = nn.LayerNorm(config.width)
        self.hidden_in = nn.Linear(config.width, config.hidden)
        self.hidden_out = nn.Linear(config.hidden, config.width)

    def forward(self, x: Tensor, n_context: int, bias: Tensor) -> Tensor:
        n, length, width = x.shape
        size = width // self.heads
        qkv = self.query_key_value(self.norm_attention(x)).view(n, length, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        query, key, value = qkv[0], qkv[1, :, :, :n_context], qkv[2, :, :, :n_context]
        # Written out: on a CPU the fused kernel is three times slower in bfloat16 (its backward pass).
        weights = torch.softmax(query @ key.transpose(-1, -2) * size**-0.5 + bias, dim=-1)
        mixed = (weights @ value).transpose(1, 2).reshape(n, length, width)
        x = x + self.attention_out(mixed)
        hidden: Tensor = self.hidden_out(torch.relu(self.hidden_in(self.norm_hidden(x))))
        return x + hidden


class CurveNetwork(nn.Module):
    """Mixture of normals for the values at asked steps, given observed points.

    Values are in [0, 1], higher is better; steps are ``log2(step / first observed step)``.
    """

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        self.embed_context = nn.Linear(CONTEXT_FEATURES, config.width)
        self.embed_target = nn.Linear(TARGET_FEATURES, config.width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, 3 * config.components + 1)
        k = config.components
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()
            self.head.bias[k : 2 * k] = torch.linspace(-0.5, 1.5, k)

    def forward(
        self, log_steps: Tensor, values: Tensor, lengths: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mixture at each target.

        Parameters
        ----------
        log_steps, values : Tensor of shape (n, m)
            Observed points in ascending order of step, padded behind `lengths`.
        lengths : Tensor of int of shape (n,)
            Observed points of each curve, at least 1.
        targets : Tensor of shape (n, n_targets)
            log2 of the asked step over the first observed step.

        Returns
        -------
        log_weights, means, sds : Tensor of shape (n, n_targets, components)
        """
        context, target, last = features(log_steps, values, lengths, targets)
        m = log_steps.shape[1]
        padded = torch.arange(m, device=lengths.device)[None, :] >= lengths[:, None]
        bias = torch.zeros(padded.shape, device=values.device).masked_fill(padded, -1e4)[:, None, None, :]
        x = torch.cat([self.embed_context(context), self.embed_target(target)], dim=1)
        for block in self.blocks:
            x = block(x, m, bias)
        out = self.head(self.norm(x[:, m:]))
        out = out.to(torch.promote_types(out.dtype, torch.float32))  # mixed precision on a GPU leaves half of it
        weight, mean, spread, scale = out.split([self.config.components] * 3 + [1], dim=-1)
        unit = 0.05 * torch.exp(scale.clamp(-6, 3))
        sds = SD_FLOOR + unit * torch.exp(spread.clamp(-5, 4))
        return torch.log_softmax(weight, dim=-1), last[:, None, None] + unit * mean, sds


def features(log_steps: Tensor, values: Tensor, lengths: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the network reads of each observed point and of each target, and the last value of each curve.

    Everything is relative to the first step and the last observed point; the absolute value enters through the room
    that is left to both ends of the range.
    """
    n, m = values.shape
    index = torch.arange(m, device=values.device)[None, :]
    seen = (index < lengths[:, None]).to(values.dtype)
    at = (lengths - 1)[:, None]
    last, end = values.gather(1, at), log_steps.gather(1, at)
    before = (index - 1).clamp_min(0).expand(n, m)
    step = (log_steps - log_steps.gather(1, before)) * seen
    rise = (values - values.gather(1, before)) * seen
    slope = rise / step.clamp_min(0.02)
    bend = rise - torch.cat([rise[:, :1], rise[:, :-1]], dim=1)
    gap = values - last
    count = torch.log(lengths.to(values.dtype))[:, None].expand(n, m)
    context = torch.stack(
        [
            (log_steps - end) / 4,
            log_steps / 4,
            torch.exp2((log_steps - end).clamp(-20, 0)),
            2 * values - 1,
            torch.log(values.clamp(0, 1) + 0.003) / 2,
            torch.log(1 - values.clamp(0, 1) + 0.003) / 2,
            torch.asinh(gap * 10),
            torch.asinh(gap * 200) / 2,
            torch.asinh(rise * 200) / 2,
            torch.asinh(slope * 50),
            torch.asinh(bend * 200) / 2,
            step,
            count / 2,
        ],
        dim=-1,
    )
    target = _target_features(log_steps, values, seen, rise, step, last, end, count, targets)
    return context * seen[..., None], target, last[:, 0]


def _target_features(
    log_steps: Tensor,
    values: Tensor,
    seen: Tensor,
    rise: Tensor,
    step: Tensor,
    last: Tensor,
    end: Tensor,
    count: Tensor,
    targets: Tensor,
) -> Tensor:
    n, q = targets.shape
    ahead = targets - end

    def slope(reach: float) -> Tensor:
        """Least squares in log step, the last `reach` doublings weighing most."""
        weight = seen * torch.exp2((log_steps - end).clamp(-40, 0) / reach)
        total = weight.sum(1, keepdim=True)
        centre = (weight * log_steps).sum(1, keepdim=True) / total
        middle = (weight * values).sum(1, keepdim=True) / total
        spread = (weight * (log_steps - centre) ** 2).sum(1, keepdim=True)
        return (weight * (log_steps - centre) * (values - middle)).sum(1, keepdim=True) / (spread + 0.01)

    best = values.masked_fill(seen == 0, -1.0).amax(1, keepdim=True)
    worst = values.masked_fill(seen == 0, 2.0).amin(1, keepdim=True)
    falls = (rise.clamp_max(0).abs().sum(1, keepdim=True)) / (seen.sum(1, keepdim=True))
    rough = (rise - slope(2.0) * step).abs().sum(1, keepdim=True) / seen.sum(1, keepdim=True)
    curve = [
        2 * last - 1,
        torch.log(last.clamp(0, 1) + 0.003) / 2,
        torch.log(1 - last.clamp(0, 1) + 0.003) / 2,
        torch.asinh((best - last) * 200) / 2,
        torch.asinh((last - worst) * 20),
        torch.asinh(slope(0.5) * 50),
        torch.asinh(slope(2.0) * 50),
        torch.asinh(slope(20.0) * 50),
        torch.log(falls + 1e-4) / 3,
        torch.log(rough + 1e-4) / 3,
        end / 4,
        count[:, :1] / 2,
    ]
    of_target = [ahead / 4, torch.log(ahead.clamp_min(0) + 0.02) / 2, torch.exp2(-ahead.clamp(0, 20))]
    return torch.cat([torch.cat(curve, 1)[:, None, :].expand(n, q, len(curve)), torch.stack(of_target, -1)], dim=-1)


def mixture_log_density(log_weights: Tensor, means: Tensor, sds: Tensor, y: Tensor) -> Tensor:
    """Log density of `y` (n, n_targets) under the mixture, truncated to [0, 1].

    Training with the truncation lets a component lean on an end of the range instead of wasting mass beyond it.
    """
    z = (y[..., None] - means) / sds
    density = torch.logsumexp(log_weights - 0.5 * z * z - torch.log(sds) - 0.5 * log(2 * pi), dim=-1)
    share = torch.special.ndtr((1 - means) / sds) - torch.special.ndtr(-means / sds)
    inside = (log_weights.exp() * share).sum(dim=-1)
    return density - torch.log(inside.clamp_min(1e-3))
