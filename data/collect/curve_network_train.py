"""Training: draws curves from the prior for ever, or until its time is up, and can be killed at any moment.

The one state of a training is one safetensors file, replaced atomically: weights, their running average, both moments
of the optimiser, and, as JSON in the header, the counters and the state of the random generator. A run that is killed
and started again goes on from the last checkpoint and draws what an uninterrupted run would have drawn.

    python -m foretell.collect.curve_network_train FOLDER --max-seconds 1800 --export FILE
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import cos, pi
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from foretell.collect.curve_network_model import CurveNetwork, mixture_log_density
from foretell.collect.curve_network_prior import CurvePrior, Draws
from foretell.predictors.errors import DatasetError, InvalidInputError
from foretell.predictors.learning_curves.pfn.forward import NetworkConfig

__all__ = ["CurveSampler", "Training", "TrainingConfig", "export", "train", "train_once"]

CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "learning_curve_network.safetensors"
LOG = "log.jsonl"
FORMAT = 1
logger = logging.getLogger(__name__)


class CurveSampler(Protocol):
    """Anything that curves can be drawn from."""

    def sample(self, n: int, rng: np.random.Generator) -> Draws: ...


@dataclass(frozen=True)
class TrainingConfig:
    """What is trained, and how.

    Parameters
    ----------
    seed : int
        Of the first weights and of the draws.
    n_curves : int
        Curves after which the training ends, if its time does not end before. The learning rate falls along
        whichever of the two is nearer to its end.
    batch : int
        Curves per step of the optimiser; curves of similar length go together.
    pool : int
        Curves drawn at a time; a checkpoint falls between two pools.
    last_weight : float
        Weight of the end of the curve in the loss, against 1 for each other target.
    average : float
        Decay of the running average of the weights, per step. The average is what is exported.
    """

    seed: int = 0
    n_curves: int = 4_000_000
    batch: int = 256
    pool: int = 16_384
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_curves: int = 20_000
    last_weight: float = 2.0
    average: float = 0.999
    checkpoint_seconds: float = 60.0
    validation_curves: int = 4_096
    network: NetworkConfig = field(default_factory=NetworkConfig)


@dataclass(frozen=True)
class Training:
    """Where a training stands.

    Attributes
    ----------
    network : CurveNetwork
        With the averaged weights.
    curves : int
        Prior curves seen.
    seconds, cpu_seconds : float
        Wall and processor time, over all runs that shared the checkpoint.
    losses : tuple of float
        Mean negative log density on held-out draws, one per checkpoint of this run. Lower is better.
    """

    network: CurveNetwork
    curves: int
    seconds: float
    cpu_seconds: float
    losses: tuple[float, ...]


def train(
    config: TrainingConfig,
    folder: Path | str,
    *,
    max_seconds: float | None = None,
    resume: bool = True,
    prior: CurveSampler | None = None,
    device: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Training:
    """Train a network on draws of the prior, from the checkpoint in `folder` if there is one.

    Parameters
    ----------
    config : TrainingConfig
        A checkpoint made under another configuration is refused.
    folder : path
        Receives ``checkpoint.safetensors`` and ``log.jsonl``.
    max_seconds : float, optional
        Wall time over all runs that share the checkpoint; by default `config.n_curves` alone is the end.
    resume : bool
        False starts anew and replaces the checkpoint.
    prior : CurveSampler, optional
        By default `CurvePrior()`.
    device : str, optional
        By default a GPU where there is one, else the processor.

    Raises
    ------
    DatasetError
        If the checkpoint cannot be read or belongs to another configuration or prior.
    """
    if max_seconds is not None and not max_seconds > 0:
        raise InvalidInputError(f"`max_seconds` must be positive, got {max_seconds}")
    prior = CurvePrior() if prior is None else prior
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    state = _State(config, prior, Path(folder), place)
    if resume and state.file.exists():
        state.read()
        progress(f"resumed at {state.curves} curves")
    held_out = prior.sample(config.validation_curves, np.random.default_rng([config.seed, 1]))
    losses: list[float] = []
    started, saved = time.monotonic(), time.monotonic()
    cpu_started, before, cpu_before = time.process_time(), state.seconds, state.cpu_seconds
    while state.curves < config.n_curves and (max_seconds is None or state.seconds < max_seconds):
        for share in _batches(prior.sample(config.pool, state.rng), config.batch, state.rng):
            state.step(share, max_seconds)
            state.seconds = before + time.monotonic() - started
            if max_seconds is not None and state.seconds >= max_seconds:
                break
        state.cpu_seconds = cpu_before + time.process_time() - cpu_started
        ended = state.curves >= config.n_curves or (max_seconds is not None and state.seconds >= max_seconds)
        if ended or time.monotonic() - saved >= config.checkpoint_seconds:
            saved = time.monotonic()
            losses.append(_loss(state.averaged(), held_out, config.batch, place))
            state.write(losses[-1])
            progress(f"{state.curves} curves, {state.cpu_seconds:.0f} CPU s, held-out loss {losses[-1]:.4f}")
    return Training(state.averaged().cpu(), state.curves, state.seconds, state.cpu_seconds, tuple(losses))


class _State:
    """Weights, average, optimiser, generator and counters of one training."""

    def __init__(self, config: TrainingConfig, prior: CurveSampler, folder: Path, device: torch.device) -> None:
        self.config, self.device = config, device
        self.file, self.log = folder / CHECKPOINT, folder / LOG
        self.identity = json.loads(json.dumps({"format": FORMAT, "config": asdict(config), "prior": describe(prior)}))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = CurveNetwork(config.network).to(device)
        self.parameters = dict(self.network.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.optimiser = torch.optim.AdamW(
            list(self.parameters.values()), config.learning_rate, weight_decay=config.weight_decay
        )
        self.rng = np.random.default_rng([config.seed, 0])
        self.curves, self.steps, self.seconds, self.cpu_seconds = 0, 0, 0.0, 0.0

    def step(self, draws: Draws, max_seconds: float | None) -> None:
        done = self.curves / self.config.n_curves
        done = done if max_seconds is None else max(done, self.seconds / max_seconds)
        warm = min(1.0, (self.curves + 1) / max(self.config.warmup_curves, 1))
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * warm * max(0.01, 0.5 * (1 + cos(pi * min(done, 1.0))))
        density = _log_density(self.network, draws, self.device)
        weight = torch.ones(density.shape[1], device=density.device)
        weight[-1] = self.config.last_weight
        (-(density * (weight / weight.sum())).sum(dim=1).mean()).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.curves += len(draws.lengths)
        self.steps += 1
        decay = min(self.config.average, (self.steps + 1) / (self.steps + 10))
        with torch.no_grad():
            names = list(self.parameters)
            torch._foreach_lerp_([self.average[n] for n in names], [self.parameters[n] for n in names], 1 - decay)

    def averaged(self) -> CurveNetwork:
        network = CurveNetwork(self.config.network).to(self.device)
        network.load_state_dict(self.average)
        return network.eval()

    def write(self, loss: float) -> None:
        """Replace the checkpoint at once: a reader sees the old one or the new one."""
        tensors = {f"weights.{n}": p.detach() for n, p in self.parameters.items()}
        tensors |= {f"average.{n}": p for n, p in self.average.items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimiser.state[parameter].items():
                tensors[f"{key}.{name}"] = value
        counters = {
            "curves": self.curves,
            "steps": self.steps,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
        }
        header = {"identity": self.identity, "rng": self.rng.bit_generator.state, **counters, "loss": loss}
        _replace(self.file, {k: v.cpu().contiguous() for k, v in tensors.items()}, header)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({**counters, "loss": loss}) + "\n")

    def read(self) -> None:
        header, tensors = _read(self.file)
        if header.get("identity") != self.identity:
            raise DatasetError(
                f"{self.file}: belongs to another configuration or prior; "
                "train with that one, name another folder, or start anew with `resume=False`"
            )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"weights.{name}"])
                self.average[name].copy_(tensors[f"average.{name}"])
                moments = {key: tensors[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
                self.optimiser.state[parameter] = {
                    key: value if key == "step" else value.to(self.device) for key, value in moments.items()
                }
        self.rng.bit_generator.state = header["rng"]
        self.curves, self.steps = int(header["curves"]), int(header["steps"])
        self.seconds, self.cpu_seconds = float(header["seconds"]), float(header["cpu_seconds"])


def export(folder: Path | str, file: Path | str, *, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the averaged weights of the checkpoint in `folder` to `file`, and its card beside it as ``.json``.

    `facts` (command, commit, machine, ...) go into the card. Returns the card.
    """
    header, tensors = _read(Path(folder) / CHECKPOINT)
    weights = {n.removeprefix("average."): v for n, v in tensors.items() if n.startswith("average.")}
    identity = header["identity"]
    card = {
        "network": identity["config"]["network"],
        "training": {k: v for k, v in identity["config"].items() if k != "network"},
        "prior": identity["prior"],
        "curves": header["curves"],
        "wall_seconds": round(header["seconds"], 1),
        "cpu_seconds": round(header["cpu_seconds"], 1),
        "held_out_loss": header["loss"],
        "n_parameters": sum(v.numel() for v in weights.values()),
        **facts,
    }
    _replace(Path(file), weights, {"network": card["network"]})
    temporary = Path(file).with_suffix(".json.tmp")
    temporary.write_text(json.dumps(card, indent=1, sort_keys=True) + "\n", "utf-8")
    os.replace(temporary, Path(file).with_suffix(".json"))
    return card


def describe(prior: CurveSampler) -> dict[str, Any]:
    """The prior in words that a card can hold: its class and its hyper-parameters."""
    return {"class": type(prior).__name__, **(asdict(prior) if isinstance(prior, CurvePrior) else vars(prior))}


def train_once(
    config: TrainingConfig, store: Path, *, max_seconds: float, device: str, progress: Callable[[str], None]
) -> dict[str, str | int | float]:
    """Train in a folder of `store` that its configuration names, or go on where a killed run stopped; export.

    Returns
    -------
    dict
        `digest` of the averaged weights, `weights` (file), `device`, `curves`, `seconds`, `cpu_seconds` and the
        held-out loss (negative log density of fresh prior curves; lower is better).
    """
    prior = CurvePrior()
    identity = json.dumps([asdict(config), describe(prior), max_seconds], sort_keys=True)
    folder = store / hashlib.sha256(identity.encode()).hexdigest()[:16]
    done = train(config, folder, max_seconds=max_seconds, prior=prior, device=device, progress=progress)
    file = folder / WEIGHTS
    card = export(folder, file, facts={"device": device, "torch": torch.__version__, "python": sys.version.split()[0]})
    return {
        "digest": hashlib.sha256(file.read_bytes()).hexdigest(),
        "weights": str(file),
        "device": device,
        "curves": done.curves,
        "seconds": round(done.seconds, 1),
        "cpu_seconds": round(done.cpu_seconds, 1),
        "held_out_loss": float(card["held_out_loss"]),
    }


def _batches(draws: Draws, size: int, rng: np.random.Generator) -> Iterator[Draws]:
    """Batches of curves of similar length, in random order: little padding."""
    order = np.argsort(draws.lengths + rng.random(len(draws.lengths)))
    starts = np.arange(0, len(order), size)
    for start in rng.permutation(starts):
        yield _take(draws, order[start : start + size])


def _take(draws: Draws, rows: Any) -> Draws:
    longest = int(draws.lengths[rows].max())
    return Draws(
        draws.log_steps[rows, :longest],
        draws.values[rows, :longest],
        draws.lengths[rows],
        draws.target_log_steps[rows],
        draws.targets[rows],
    )


def _log_density(network: CurveNetwork, draws: Draws, device: torch.device) -> Tensor:
    tensors = [
        torch.from_numpy(np.ascontiguousarray(a)).to(device)
        for a in (draws.log_steps, draws.values, draws.lengths, draws.target_log_steps, draws.targets)
    ]
    with torch.autocast(device.type, torch.bfloat16):
        log_weights, means, sds = network(*tensors[:4])
    return mixture_log_density(log_weights, means, sds, tensors[4])


def _loss(network: CurveNetwork, draws: Draws, size: int, device: torch.device) -> float:
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(draws.lengths), size):
            part = _take(draws, np.arange(start, min(start + size, len(draws.lengths))))
            total -= float(_log_density(network, part, device).mean(dim=1).sum())
    return total / len(draws.lengths)


def _replace(file: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    save_file(dict(tensors), temporary, metadata={"foretell": json.dumps(header, sort_keys=True)})
    with temporary.open("rb+") as handle:
        os.fsync(handle.fileno())
    temporary.chmod(0o644)
    os.replace(temporary, file)


def _read(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(file, framework="pt") as handle:
            header = json.loads((handle.metadata() or {})["foretell"])
            return header, {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DatasetError(f"{file}: not a checkpoint of this project ({error}); delete it to start anew") from error


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the learning-curve network on draws of its prior.")
    parser.add_argument("folder", type=Path, help="receives the checkpoint and the log")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-curves", type=int, default=TrainingConfig.n_curves)
    parser.add_argument("--max-seconds", type=float, default=None)
    parser.add_argument("--export", type=Path, default=None, help="where the averaged weights go at the end")
    parser.add_argument("--commit", default="", help="commit of the code, for the card")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    config = TrainingConfig(seed=given.seed, n_curves=given.n_curves)
    train(config, given.folder, max_seconds=given.max_seconds, progress=logger.info)
    if given.export is not None:
        command = f"python -m {__spec__.name} FOLDER --seed {given.seed} --n-curves {given.n_curves}"
        if given.max_seconds is not None:
            command += f" --max-seconds {given.max_seconds:g}"
        facts = {"command": command, "commit": given.commit, "seed": given.seed, "torch": torch.__version__}
        logger.info("%s", json.dumps(export(given.folder, given.export, facts=facts)))


if __name__ == "__main__":
    main()
