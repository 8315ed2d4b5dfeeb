"""What a model of the ladder does on the held-out items: exact pass probabilities, draws, greedy answers.

All of it comes from one teacher-forced pass. A draw at temperature 1 that is still right after some characters has
the right answer's beginning as its context, so the odds of its next character are those of that pass; a draw that went
wrong stays wrong. Sampling the characters independently from the pass therefore passes exactly as often as sampling
an answer character by character does (`sample_answers`, which the tests compare).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from foretell.collect.ladder_model import Rows, Transformer, encode
from foretell.collect.ladder_tasks import ALPHABET, MAX_ROW

__all__ = ["measure_rows", "sample_answers"]

CHUNK_ROWS = 100


def measure_rows(model: Transformer, rows: Rows, *, n_draws: int, seed: int) -> pd.DataFrame:
    """Measure one model on encoded items.

    Returns
    -------
    DataFrame, one row per item in their order
        loss (nats, negative log-likelihood of the whole answer, its end included), n_correct (right ones of `n_draws`
        draws at temperature 1), greedy (whether the likeliest character is right at every position).
    """
    n_items = len(rows.start)
    loss = torch.zeros(n_items, dtype=torch.float64)
    correct = np.ones((n_items, n_draws), dtype=bool)
    greedy = np.ones(n_items, dtype=bool)
    generator = torch.Generator().manual_seed(seed)
    order = np.argsort(rows.stop, kind="stable")
    with torch.no_grad():
        for start in range(0, n_items, CHUNK_ROWS):
            index = order[start : start + CHUNK_ROWS]
            tokens, where, answers = rows.chunk(index)
            logits = model(tokens, where)
            item = torch.from_numpy(index)[torch.nonzero(where)[:, 0]]
            loss.index_add_(0, item, functional.cross_entropy(logits, answers, reduction="none").double())
            items = item.numpy()
            np.logical_and.at(greedy, items, (logits.argmax(1) == answers).numpy())
            if n_draws:
                drawn = torch.multinomial(logits.softmax(1), n_draws, replacement=True, generator=generator)
                np.logical_and.at(correct, items, (drawn == answers[:, None]).numpy())
    return pd.DataFrame({"loss": loss.numpy(), "n_correct": correct.sum(1), "greedy": greedy})


def sample_answers(
    model: Transformer, prompt: str, n_draws: int, *, seed: int, max_characters: int = MAX_ROW
) -> list[str]:
    """Answers drawn character by character at temperature 1, up to their ``;``, a limit or the end of the row."""
    generator = torch.Generator().manual_seed(seed)
    start = len(prompt)
    encoded = encode([(prompt, ";")]).tokens[:, :start].astype("int64")
    tokens = torch.from_numpy(encoded).repeat(n_draws, 1)
    with torch.no_grad():
        while tokens.shape[1] < min(MAX_ROW, start + max_characters):
            odds = model(tokens)[:, -1].softmax(1)
            tokens = torch.cat([tokens, torch.multinomial(odds, 1, generator=generator)], dim=1)
    texts = ["".join(ALPHABET[t] for t in row) for row in tokens[:, start:].tolist()]
    return [text[: text.index(";") + 1] if ";" in text else text for text in texts]
