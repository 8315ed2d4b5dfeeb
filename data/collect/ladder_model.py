"""The models of the ladder: small decoder-only transformers over characters, all of one shape.

`N_LAYERS` layers and `N_HEADS` heads at every width, pre-norm, ReLU, learned positions, tied embeddings: about
``36 width**2`` weights in the layers. Only the width differs between rungs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from foretell.collect.ladder_tasks import ALPHABET, MAX_ROW

__all__ = ["N_HEADS", "N_LAYERS", "Rows", "Transformer", "encode", "new_model"]

N_LAYERS = 3
N_HEADS = 4
_TOKENS = {character: index for index, character in enumerate(ALPHABET)}


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.mix = nn.Linear(width, width, bias=False)
        self.norm_mlp = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, width = x.shape
        qkv = self.qkv(self.norm_attention(x)).view(rows, length, 3, N_HEADS, width // N_HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mix(mixed.transpose(1, 2).reshape(rows, length, width))
        out: torch.Tensor = x + self.down(functional.relu(self.up(self.norm_mlp(x))))
        return out


class Transformer(nn.Module):
    """A causal language model over `ALPHABET`; `width` is a multiple of `N_HEADS`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(len(ALPHABET), width)
        self.positions = nn.Embedding(MAX_ROW, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(N_LAYERS))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor, where: torch.Tensor | None = None) -> torch.Tensor:
        """Log-odds of the next character.

        Parameters
        ----------
        tokens : int tensor, shape (rows, length)
            At most `MAX_ROW` characters a row.
        where : bool tensor, shape (rows, length), optional
            Positions of which the next character is wanted; by default all.

        Returns
        -------
        float tensor, shape (positions, len(ALPHABET)) or (rows, length, len(ALPHABET))
        """
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        x = self.norm(x if where is None else x[where])
        odds: torch.Tensor = functional.linear(x, self.tokens.weight)
        return odds

    @property
    def n_params(self) -> int:
        """All trainable weights, embeddings included."""
        return sum(p.numel() for p in self.parameters())


def new_model(width: int, seed: int) -> Transformer:
    """A model with random weights that depend on `seed` alone."""
    model = Transformer(width)
    generator = torch.Generator().manual_seed(1000 * seed + width)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() < 2:
                continue
            std = 0.5 * width**-0.5 if "tokens" in name else 0.1 if "positions" in name else weight.shape[1] ** -0.5
            if name.endswith(("mix.weight", "down.weight")):
                std *= (2 * N_LAYERS) ** -0.5
            weight.normal_(0.0, std, generator=generator)
    return model


@dataclass(frozen=True)
class Rows:
    """Encoded rows: `tokens` (rows, length) uint8 padded with 0; `start` and `stop` bound the answers' characters."""

    tokens: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def chunk(self, index: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Inputs, the mask of positions whose next character is of the answer, and those characters, row by row."""
        length = int(self.stop[index].max()) - 1
        tokens = torch.from_numpy(self.tokens[index, : length + 1].astype("int64"))
        columns = np.arange(length)
        where = (columns >= self.start[index, None] - 1) & (columns < self.stop[index, None] - 1)
        mask = torch.from_numpy(where)
        return tokens[:, :-1], mask, tokens[:, 1:][mask]


def encode(rows: Sequence[tuple[str, str]]) -> Rows:
    """Encode (prompt, answer) pairs."""
    out = np.zeros((len(rows), MAX_ROW), dtype="uint8")
    for i, (prompt, answer) in enumerate(rows):
        text = prompt + answer
        out[i, : len(text)] = [_TOKENS[c] for c in text]
    start = np.array([len(prompt) for prompt, _ in rows])
    return Rows(out, start, start + np.array([len(answer) for _, answer in rows]))
