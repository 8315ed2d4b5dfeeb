"""Train one model of the ladder, stop and go on at any step, and measure it at its checkpoints.

The state of a run is one safetensors file (weights, optimiser, and what was recorded so far as JSON in its header),
replaced as a whole. A step depends on the plan, the seed and its number only, so a run that was killed and
resumed ends with the tables of one that was not.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional

from foretell.collect.ladder_measure import measure_rows
from foretell.collect.ladder_model import Rows, encode, new_model
from foretell.collect.ladder_tasks import HELDOUT_SEED, TASKS, heldout_items, training_rows
from foretell.predictors.errors import DatasetError, InvalidInputError

__all__ = ["LadderPlan", "Run", "read_run", "train_run"]

STATE = "state.safetensors"
CHUNK_ROWS = 80  # small pieces of a batch stay in the processor's cache: a third faster than whole ones
SAVE_EVERY_S = 30.0
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0


@dataclass(frozen=True)
class LadderPlan:
    """What is trained and how it is measured.

    Every model sees ``tokens_per_param`` tokens (characters, padding not counted) per parameter, embeddings included,
    in batches of ``batch_scale * sqrt(tokens)`` tokens; the peak learning rate is
    ``peak_rate * (24 / width) ** rate_power``, warmed up over 5 % of the tokens and brought to 0 over the last 40 %.
    """

    widths: tuple[int, ...] = (4, 8, 12, 16, 20, 24, 28, 32, 52)
    seeds: tuple[int, ...] = (0, 1)
    tokens_per_param: float = 200.0
    checkpoints: tuple[float, ...] = (0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
    batch_scale: float = 1.0
    peak_rate: float = 0.006
    rate_power: float = 0.75
    items_per_level: int = 25
    n_draws: int = 100
    curve_points: int = 25

    def __post_init__(self) -> None:
        if not self.widths or any(width < 4 or width % 4 for width in self.widths):
            raise InvalidInputError(f"`widths` must be positive multiples of 4, got {self.widths}")
        if not self.seeds or min(self.seeds) < 0 or not self.tokens_per_param > 0:
            raise InvalidInputError("a ladder needs `seeds` of at least 0 and `tokens_per_param` above 0")
        if list(self.checkpoints) != sorted(set(self.checkpoints)) or not 0 < self.checkpoints[0] <= 1:
            raise InvalidInputError(f"`checkpoints` must rise from above 0 to 1, got {self.checkpoints}")
        if self.checkpoints[-1] != 1:
            raise InvalidInputError(f"the last of `checkpoints` must be 1, got {self.checkpoints}")


@dataclass(frozen=True)
class Run:
    """One model of the ladder: a width and a seed."""

    plan: LadderPlan
    width: int
    seed: int

    @property
    def name(self) -> str:
        return f"w{self.width:03d}-s{self.seed}"

    @property
    def digest(self) -> str:
        """What the run depends on; a state of another digest is not resumed."""
        plan = {key: value for key, value in asdict(self.plan).items() if key not in ("widths", "seeds")}
        tasks = [(task.name, task.tag, task.levels) for task in TASKS]
        text = json.dumps([plan, self.width, self.seed, HELDOUT_SEED, tasks], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Progress:
    """A run at a step: the model, its optimiser and what was recorded."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run, self.folder = run, folder
        self.model = new_model(run.width, run.seed)
        self.n_params = self.model.n_params
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=0.0, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
        )
        self.step, self.tokens, self.cpu_s = 0, 0, 0.0
        self.curve: list[dict[str, float]] = []
        self.window: list[float] = [0.0, 0.0]  # summed loss and characters since the last point of the curve
        self.target = run.plan.tokens_per_param * self.n_params
        self.saved_at = time.monotonic()

    @property
    def share(self) -> float:
        return min(1.0, self.tokens / self.target)

    def save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": v for k, v in state.items()}
        record = {
            "digest": self.run.digest, "step": self.step, "tokens": self.tokens, "cpu_s": self.cpu_s,
            "curve": self.curve, "window": self.window,
        }  # fmt: skip
        temporary = self.folder / f".{STATE}.tmp"
        save_file(tensors, temporary, metadata={"run": json.dumps(record)})
        os.replace(temporary, self.folder / STATE)
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        path = self.folder / STATE
        if not path.exists():
            return
        try:
            with safe_open(path, framework="pt") as file:
                record = json.loads(file.metadata()["run"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except Exception as error:  # the library raises its own type, and what is wrong may be the JSON
            raise DatasetError(f"{path}: not a state of this program ({error}); remove it to start anew") from error
        if record["digest"] != self.run.digest:
            raise InvalidInputError(f"{path}: the state of another plan; name another folder, or remove it")
        self.model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        states: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".", 2)
                states.setdefault(int(index), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        if states:
            self.optimiser.load_state_dict({"state": states, "param_groups": groups})
        self.step, self.tokens, self.cpu_s = record["step"], record["tokens"], record["cpu_s"]
        self.curve, self.window = record["curve"], record["window"]

    def advance(self, n_rows: int, heldout: frozenset[str]) -> None:
        plan = self.run.plan
        rng = random.Random(f"train/{self.run.seed}/{self.run.width}/{self.step}")
        rows = encode(list(training_rows(rng, n_rows, heldout)))
        n_answer = int((rows.stop - rows.start).sum())
        rate = plan.peak_rate * (24 / self.run.width) ** plan.rate_power
        rate *= min(1.0, (self.share + 0.002) / 0.05) * min(1.0, (1.0 - self.share) / 0.4 + 1e-3)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for index in np.array_split(np.argsort(rows.stop, kind="stable"), max(1, round(n_rows / CHUNK_ROWS))):
            tokens, where, answers = rows.chunk(index)
            loss = functional.cross_entropy(self.model(tokens, where), answers, reduction="sum") / n_answer
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        if not math.isfinite(total):
            raise DatasetError(f"{self.run.name}: the loss is {total} at step {self.step}")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimiser.step()
        self.step += 1
        self.tokens += int(rows.stop.sum())
        self.window = [self.window[0] + total * n_answer, self.window[1] + n_answer]


def train_run(
    run: Run,
    folder: Path,
    *,
    stop_at: float = math.inf,
    progress: Callable[[float], None] = lambda _: None,
    save_every_s: float = SAVE_EVERY_S,
) -> bool:
    """Train and measure one model, going on where `folder` left off.

    `folder` gets ``checkpoint-<n>.parquet`` (one row per held-out item), ``state.safetensors`` while the run goes on,
    and ``done.json`` and ``weights.safetensors`` at its end.

    Parameters
    ----------
    stop_at : float, optional
        `time.monotonic()` after which the state is saved and the run given up for now.
    progress : callable, optional
        Told the share of the training done, after every step.

    Returns
    -------
    bool
        Whether the run is whole.

    Raises
    ------
    InvalidInputError
        If `folder` holds the state of another plan.
    DatasetError
        If its state cannot be read, or the training diverged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done.json"
    if done.exists():
        if json.loads(done.read_text("utf-8"))["digest"] != run.digest:
            raise InvalidInputError(f"{done}: the run of another plan; name another folder, or remove it")
        return True
    held = heldout_items(run.plan.items_per_level)
    prompts, items = frozenset(item.prompt for item in held), encode([(item.prompt, item.answer) for item in held])
    at = _Progress(run, folder)
    at.resume()
    n_rows = max(8, round(run.plan.batch_scale * math.sqrt(at.target) / 15))
    before, started = at.cpu_s, time.process_time()
    while at.share < 1:
        was = at.share
        at.advance(n_rows, prompts)
        at.cpu_s = before + time.process_time() - started
        _record(at, items, was)
        progress(at.share)
        if time.monotonic() - at.saved_at > save_every_s or time.monotonic() > stop_at:
            at.save()
        if time.monotonic() > stop_at and at.share < 1:
            return False
    at.save()
    _finish(at, done)
    return True


def _record(at: _Progress, items: Rows, was: float) -> None:
    """Measure at the checkpoints and points of the curve that the last step crossed."""
    plan = at.run.plan
    crossed = [i for i, share in enumerate(plan.checkpoints) if was < share <= at.share]
    if crossed:
        measured = measure_rows(at.model, items, n_draws=plan.n_draws, seed=1000 * at.run.seed + at.run.width)
        for i in crossed:
            temporary = at.folder / f".checkpoint-{i}.tmp"
            measured.assign(n_train_tokens=at.tokens, step=at.step).to_parquet(temporary, index=False)
            os.replace(temporary, at.folder / f"checkpoint-{i}.parquet")
    if math.floor(was * plan.curve_points) == math.floor(at.share * plan.curve_points):
        return
    if not crossed:
        measured = measure_rows(at.model, items, n_draws=0, seed=0)
    characters = float((items.stop - items.start).sum())
    at.curve.append({
        "step": at.step, "n_train_tokens": at.tokens, "train_loss": at.window[0] / at.window[1],
        "validation_loss": float(measured["loss"].sum()) / characters,
        "validation_score": float(np.exp(-measured["loss"]).mean()),
    })  # fmt: skip
    at.window = [0.0, 0.0]


def _finish(at: _Progress, done: Path) -> None:
    save_file(dict(at.model.state_dict()), at.folder / "weights.safetensors")
    record: dict[str, Any] = {
        "digest": at.run.digest, "model": at.run.name, "width": at.run.width, "seed": at.run.seed,
        "n_params": at.n_params, "n_train_tokens": at.tokens, "steps": at.step, "cpu_s": round(at.cpu_s, 1),
        "curve": at.curve,
    }  # fmt: skip
    temporary = done.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1), "utf-8")
    os.replace(temporary, done)
    (at.folder / STATE).unlink()


def read_run(run: Run, folder: Path) -> tuple[dict[str, Any], dict[int, pd.DataFrame]]:
    """What a run recorded, and its checkpoints by number.

    Raises
    ------
    DatasetError
        If the run is not whole.
    """
    if not (folder / "done.json").exists():
        raise DatasetError(f"{folder}: this run is not whole; run the collector again to go on")
    record = json.loads((folder / "done.json").read_text("utf-8"))
    numbers = range(len(run.plan.checkpoints))
    return record, {i: pd.read_parquet(folder / f"checkpoint-{i}.parquet") for i in numbers}
