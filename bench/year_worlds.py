"""Worlds of `year_study.py`: what lands on a night, what is true of it, and the recipes that are tried.

A world draws the files of a night; the same draws, many at once, are the truth that every champion is judged by. Of
three challengers two are useless: the recipe of the best one again, or a poorer one. Two or three times a year
a recipe is truly better than all before, and once (twice with tokens) the world changes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from foretell.assets.judging.family import Family

FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
MODELS = ("tiny", "small", "large")
BENCHMARKS = ("math", "code", "chat", "law")
KINDS = ("better", "same", "poorer")
"""Of the challengers of three nights: the best recipe known by now, the same once more, a poorer one."""


def day_of(night: int) -> datetime:
    """Midnight of a night."""
    return FIRST_DAY + timedelta(days=night)


@dataclass
class FamilyWorld:
    """One family's world; `night` is the one that is coming, `queries` how much comes on each."""

    nights: int
    queries: int = 40
    seed: int = 0
    night: int = 0

    family: ClassVar[str]
    unit: ClassVar[str]
    n_truth: ClassVar[int]
    """As `queries`, of the sample that champions are judged by."""
    gain_shares: ClassVar[tuple[float, ...]] = (0.10, 0.28, 0.60)
    """Of the nights, before a better recipe is tried."""
    public_share: ClassVar[float] = 0.0
    """Of the family's public queries, which a champion learns from as well; a sample makes nights cheap."""

    @property
    def drifts(self) -> tuple[int, ...]:
        """Nights from which on the world is another."""
        return (int(self.nights * 0.45),)

    @property
    def gains(self) -> tuple[int, ...]:
        """Nights from which on a better recipe is tried; see `recipes`."""
        return tuple(int(self.nights * share) for share in self.gain_shares)

    @property
    def n_drifts(self) -> int:
        """How often the world has changed by tonight."""
        return sum(self.night >= night for night in self.drifts)

    @property
    def level(self) -> int:
        """How many of the better recipes are known by tonight."""
        return sum(self.night >= night for night in self.gains)

    @property
    def kind(self) -> str:
        """What tonight's challenger is, one of `KINDS`."""
        return KINDS[self.night % len(KINDS)]

    def recipes(self) -> tuple[Any, ...]:
        """The recipe of the first night and those of `gains`, each by itself better than those before."""
        raise NotImplementedError

    def poorer(self) -> Any:
        """A recipe that is worse than all of `recipes`."""
        raise NotImplementedError

    def baseline(self) -> Any:
        """What the first champion must beat."""
        return self.poorer()

    def recipe(self) -> Any:
        """Tonight's predictor, unfitted."""
        made = self.poorer() if self.kind == "poorer" else self.recipes()[self.level]
        return made.set_params(random_state=self.night) if "random_state" in made.get_params() else made

    def files(self, folder: Path, n: int, seed: int) -> list[Path]:
        """Write the files of tonight; of the first night also what is known beforehand."""
        raise NotImplementedError

    def pipeline(self) -> Family:
        """The family with tonight's recipe as its predictor and a sample of its public set."""
        from foretell.assets.families import get_family
        from foretell.assets.judging.family import LAKE
        from foretell.assets.lake.traces.across_days import is_drawn

        family, kept = get_family(self.family), {}

        def examples(dataset: str, sources: Any) -> pd.DataFrame:
            if dataset == LAKE or not self.public_share:
                return family.make_examples(dataset, sources)
            if dataset not in kept:
                rows = family.make_examples(dataset, sources)
                kept[dataset] = rows[is_drawn(rows["query_id"], self.public_share)].reset_index(drop=True)
            return kept[dataset]

        return replace(
            family, predictor=self.recipe, baselines=lambda: {"baseline": self.baseline()}, reference="baseline",
            segments=family.segments[:1], make_examples=examples,
        )  # fmt: skip


# -- requests ---------------------------------------------------------------------------------------
def chat_lines(frame: pd.DataFrame, day: datetime) -> Iterator[str]:
    """Records as an OpenAI-style log holds them; columns `words` and `score` where there are any."""
    for i, row in enumerate(frame.to_dict("records")):
        name = f"{day:%Y%m%d}-{row['query']}"
        usage = {"prompt_tokens": 20, "completion_tokens": int(row["value"]), "total_tokens": 20 + int(row["value"])}
        text = f"{row['benchmark']} {row.get('words', 'question')} {name}"
        yield json.dumps(
            {
                "request": {
                    "model": row["model"],
                    "reasoning_effort": row["reasoning_effort"],
                    "messages": [{"role": "user", "content": text}],
                    "max_tokens": 100_000,
                },
                "benchmark": row["benchmark"],
                **({"score": row["score"]} if "score" in row else {}),
                "response": {
                    "id": f"{name}-{row['replicate']}",
                    "object": "chat.completion",
                    "created": int(day.timestamp()) + 60 + i,
                    "model": row["model"],
                    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}],
                    "usage": usage,
                },
            }
        )


@dataclass
class _Requests(FamilyWorld):
    unit: ClassVar[str] = "queries x 2 runs"
    n_truth: ClassVar[int] = 2000

    def draw(self, night: int, n: int, seed: int) -> pd.DataFrame:
        """`n` queries of a night with two runs each."""
        raise NotImplementedError

    def files(self, folder: Path, n: int, seed: int) -> list[Path]:
        file = folder / "tonight.jsonl"
        file.write_text("\n".join(chat_lines(self.draw(self.night, n, seed), day_of(self.night))) + "\n", "utf-8")
        return [file]


@dataclass
class World(_Requests):
    """Requests and what they truly cost."""

    family: ClassVar[str] = "thinking_tokens"
    spread: ClassVar[float] = 0.45

    @property
    def drifts(self) -> tuple[int, ...]:
        """Nights from which on lengths are others."""
        return int(self.nights * 0.45), int(self.nights * 0.75)

    def log_mean(self, model: np.ndarray, benchmark: np.ndarray, effort: np.ndarray, night: int) -> np.ndarray:
        """True mean of the log of the output tokens."""
        level = np.array([3.5, 4.2, 5.0])[model] + np.array([0.9, 0.3, -0.5, -0.7])[benchmark]
        level = level + np.array([0.0, 0.9])[effort]
        first, second = self.drifts
        if night >= first:
            level = level + 0.7 * (model == 2)
        if night >= second:
            level = level - 0.6 * (benchmark == 0)
        return np.asarray(level)

    def draw(self, night: int, n: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        model, benchmark = rng.integers(0, 3, n), rng.integers(0, 4, n)
        effort = rng.integers(0, 2, n)
        mean = self.log_mean(model, benchmark, effort, night)
        frame = pd.DataFrame(
            {
                "query": np.arange(n),
                "model": np.array(MODELS)[model],
                "benchmark": np.array(BENCHMARKS)[benchmark],
                "reasoning_effort": np.array(["low", "high"])[effort],
            }
        )
        runs = [frame.assign(replicate=k, value=np.exp(rng.normal(mean, self.spread)).round().clip(1)) for k in (0, 1)]
        return pd.concat(runs, ignore_index=True)

    def recipes(self) -> tuple[Any, ...]:
        from foretell.predictors.thinking_tokens.baselines import ModelBaseline, ModelBenchmarkBaseline

        return (
            ModelBaseline(pooling=400.0), ModelBaseline(pooling=5.0),
            ModelBenchmarkBaseline(pooling=120.0), ModelBenchmarkBaseline(pooling=5.0),
        )  # fmt: skip

    def poorer(self) -> Any:
        from foretell.predictors.thinking_tokens.baselines import GlobalBaseline

        return GlobalBaseline()


@dataclass
class SuccessWorld(_Requests):
    """Scored requests: how often each model is right, on which benchmark, and that proofs are hard."""

    family: ClassVar[str] = "success"

    def draw(self, night: int, n: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        model, benchmark, is_proof = rng.integers(0, 3, n), rng.integers(0, 4, n), rng.random(n) < 0.5
        logit = np.array([-1.2, 0.3, 1.8])[model] + np.array([-0.8, 0.2, 0.9, -0.3])[benchmark]
        logit = logit + 1.2 * (((model + benchmark) % 3) == 0) + np.where(is_proof, -1.3, 1.3)
        if night >= self.drifts[0]:
            logit = logit - 2.5 * (model == 2)  # silently made worse
        frame = pd.DataFrame({
            "query": np.arange(n), "model": np.array(MODELS)[model], "benchmark": np.array(BENCHMARKS)[benchmark],
            "reasoning_effort": "low", "words": np.where(is_proof, "prove the theorem", "compute the sum"), "value": 30,
        })  # fmt: skip
        right = 1 / (1 + np.exp(-logit))
        runs = [frame.assign(replicate=k, score=(rng.random(n) < right).astype(int)) for k in (0, 1)]
        return pd.concat(runs, ignore_index=True)

    def recipes(self) -> tuple[Any, ...]:
        from foretell.predictors.success.baselines import ModelBenchmarkRate
        from foretell.predictors.success.predictor import SuccessPredictor

        softer = [SuccessPredictor(n_components=8, penalty=penalty) for penalty in (1000.0, 100.0, 1.0)]
        return (ModelBenchmarkRate(), *softer)

    def poorer(self) -> Any:
        from foretell.predictors.success.baselines import GlobalRate

        return GlobalRate()


# -- tables -----------------------------------------------------------------------------------------
def write_csv(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """The rows as a table with a header."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


SKILLS = ("arithmetic", "translation", "law", "chemistry", "history", "coding")
N_MODELS = 18
FORMATS = ("multiple choice", "free text", "number")


@dataclass
class ScoresWorld(FamilyWorld):
    """Scores of a pool of models on many described benchmarks; a new model joins every tenth of the year."""

    n_benchmarks: int = 600
    family: ClassVar[str] = "benchmark_scores"
    unit: ClassVar[str] = "scores"
    n_truth: ClassVar[int] = 2000
    public_share: ClassVar[float] = 0.1

    def benchmarks(self) -> pd.DataFrame:
        """Descriptions, with the true ease of each in `ease`."""
        rng = np.random.default_rng(self.seed)
        number = np.arange(self.n_benchmarks)
        skill, form = rng.integers(0, len(SKILLS), len(number)), rng.integers(0, len(FORMATS), len(number))
        words = [" ".join(rng.choice(list("abcdefghijklmnop"), 5)) for _ in number]
        return pd.DataFrame({
            "benchmark": [f"own{i}" for i in number], "leak_group": [f"own{i}" for i in number],
            "task": [f"Questions about {SKILLS[s]} of the kind {w}." for s, w in zip(skill, words, strict=True)],
            "answer_format": np.array(FORMATS)[form],
            "ease": np.array([-1.2, -0.4, 0.2, 0.6, 1.0, -0.2])[skill] + np.array([1.2, 0.0, -1.2])[form]
            + rng.normal(0, 0.3, len(number)),
        })  # fmt: skip

    def files(self, folder: Path, n: int, seed: int) -> list[Path]:
        described, rng = self.benchmarks(), np.random.default_rng(seed)
        n_models = N_MODELS - 10 + 10 * self.night // self.nights
        size = np.random.default_rng(self.seed + 1).uniform(np.log(2e7), np.log(4e10), N_MODELS)
        ability = 0.5 * (size - np.log(1e9)) + np.random.default_rng(self.seed + 2).normal(0, 0.5, N_MODELS)
        # Every cell comes once: which, is the same draw on every night, of which each has its own part.
        if n == self.queries:
            order = np.random.default_rng(self.seed + 3).permutation(N_MODELS * self.n_benchmarks)
            order = order[(order // self.n_benchmarks) < n_models]
            cells = order[[(self.night * n + i) % len(order) for i in range(n)]]
        else:
            cells = rng.permutation(n_models * self.n_benchmarks)[:n]
        model, at = cells // self.n_benchmarks, cells % self.n_benchmarks
        logit = ability[model] + described["ease"].to_numpy()[at] + rng.normal(0, 0.3, n)
        if self.n_drifts:
            logit = logit - 1.5 * (described["answer_format"].to_numpy()[at] == "free text")  # a stricter grader
        hours = rng.uniform(0, 24, n)
        rows = [
            {"model": f"net-{m}", "benchmark": f"own{b}", "score": round(100 / (1 + np.exp(-z)), 3), "config": f"n{c}",
             "started_at": (day_of(self.night) + timedelta(hours=h)).isoformat()}
            for m, b, z, h, c in zip(model, at, logit, hours, [self.night] * n, strict=True)
        ]  # fmt: skip
        files = [write_csv(folder / "tonight.csv", rows)]
        if self.night == 0 or n != self.queries:
            table = described.drop(columns="ease").to_dict("records")
            files.append(write_csv(folder / "described.csv", table))
            models = [{"model": f"net-{m}", "n_params": round(float(np.exp(size[m])))} for m in range(N_MODELS)]
            files.append(write_csv(folder / "models.csv", models))
        return files

    def recipes(self) -> tuple[Any, ...]:
        from foretell.predictors.benchmark_scores.baselines import (
            ModelBaseline,
            StructuredBaseline,
            TypeBaseline,
            TypeSizeBaseline,
        )

        return ModelBaseline(), TypeBaseline(), TypeSizeBaseline(), StructuredBaseline()

    def poorer(self) -> Any:
        from foretell.predictors.benchmark_scores.baselines import GlobalBaseline

        return GlobalBaseline()


@dataclass
class CurvesWorld(FamilyWorld):
    """Training runs that ended on the day before, with 14 logged points each."""

    queries: int = 16
    family: ClassVar[str] = "learning_curves"
    unit: ClassVar[str] = "training runs"
    gain_shares: ClassVar[tuple[float, ...]] = (0.10,)
    n_truth: ClassVar[int] = 250
    public_share: ClassVar[float] = 0.02

    def files(self, folder: Path, n: int, seed: int) -> list[Path]:
        rng, rows = np.random.default_rng(seed), []
        steps = np.linspace(0, 2000, 15)[1:].round()
        for run in range(n):
            end, start, speed = rng.uniform(0.55, 0.92), rng.uniform(0.05, 0.2), rng.uniform(0.5, 1.1)
            share = 1 - (1 + steps / 150) ** -speed
            value = start + (end - start) * share + rng.normal(0, 0.004, len(steps))
            if self.n_drifts:  # the learning rate now falls at the end, and the curve rises once more
                value = value + 0.5 * (1 - value) * (steps > 1500)
            day = day_of(self.night) + timedelta(minutes=int(rng.integers(0, 600)))
            rows += [
                {"curve_id": f"{day_of(self.night):%m%d}-{run}", "step": step, "value": round(float(v), 5),
                 "metric": "val_acc", "dataset": "own", "target_step": 2000, "is_finished": True,
                 "started_at": day.isoformat(), "wall_time_s": 3.0 * step}
                for step, v in zip(steps, np.clip(value, 0, 1), strict=True)
            ]  # fmt: skip
        return [write_csv(folder / "tonight.csv", rows)]

    def recipes(self) -> tuple[Any, ...]:
        from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor
        from foretell.predictors.learning_curves.predictor import LearningCurvePredictor

        cheap = LearningCurvePredictor(n_prefixes=3, location_rounds=40, scale_rounds=20)
        return PfnPredictor(), cheap

    def poorer(self) -> Any:
        from foretell.predictors.learning_curves.baselines import LastValueBaseline

        return LastValueBaseline()


TASKS = {"qa": 25.0, "code": 0.0, "sums": 0.0, "law": 25.0, "logic": 50.0}
SIZES = (1e7, 3e7, 1e8, 3e8, 1e9, 3e9)


@dataclass
class ScalingWorld(FamilyWorld):
    """Ladders of six sizes on five tasks, whole ones, each on one night."""

    queries: int = 4
    family: ClassVar[str] = "downstream_scaling"
    unit: ClassVar[str] = "ladders x 5 tasks"
    gain_shares: ClassVar[tuple[float, ...]] = (0.10, 0.28)
    n_truth: ClassVar[int] = 60
    public_share: ClassVar[float] = 0.2

    def files(self, folder: Path, n: int, seed: int) -> list[Path]:
        rng, rows = np.random.default_rng(seed), []
        for ladder in range(n):
            luck = rng.normal(0, 0.5)
            for task, guess in TASKS.items():
                ease, slope = rng.normal(-1.0, 1.2) + luck, rng.uniform(0.8, 2.4)
                for n_params in SIZES:
                    z = ease + slope * np.log10(120 * n_params**2 / 1e19)
                    if self.n_drifts and n_params == SIZES[-1]:
                        z = z - 1.0  # data run out: the largest is trained on what was seen before
                    score = guess + (100 - guess) / (1 + np.exp(-z)) + rng.normal(0, 1.0)
                    rows.append(
                        {"family": f"l{day_of(self.night):%m%d}-{ladder}", "model": f"m{n_params:.0e}",
                         "benchmark": task, "n_params": n_params, "n_train_tokens": 20 * n_params,
                         "score": round(float(np.clip(score, 0, 100)), 2), "standard_error": 1.0,
                         "chance_score": guess, "started_at": day_of(self.night).isoformat()}
                    )  # fmt: skip
        return [write_csv(folder / "tonight.csv", rows)]

    def recipes(self) -> tuple[Any, ...]:
        from foretell.predictors.downstream_scaling.baselines import DirectExponentialBaseline
        from foretell.predictors.downstream_scaling.predictor import DownstreamScalingPredictor

        laws = [("exponential",), ("logit_line", "exponential")]
        return (DirectExponentialBaseline(), *(DownstreamScalingPredictor(candidates=names) for names in laws))

    def poorer(self) -> Any:
        from foretell.predictors.downstream_scaling.baselines import LastValueBaseline

        return LastValueBaseline()


WORLDS: dict[str, type[FamilyWorld]] = {
    world.family: world for world in (World, SuccessWorld, ScoresWorld, CurvesWorld, ScalingWorld)
}
"""The world of every family, by its name."""
