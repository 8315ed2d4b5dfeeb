"""Training and measuring the model ladder: exact probabilities, resumption after a kill, tables."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT

torch = pytest.importorskip("torch")

from foretell.assets.families.downstream_scaling.ladder import (
    LADDER_FILES,
    ladder_scores,
    load_ladder,
)
from foretell.collect.ladder import TINY, collect, plan_runs
from foretell.collect.ladder_measure import measure_rows, sample_answers
from foretell.collect.ladder_model import encode, new_model
from foretell.collect.ladder_tables import build_tables, write_tables
from foretell.collect.ladder_train import LadderPlan, Run, train_run
from foretell.predictors.errors import DatasetError, InvalidInputError


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ladder")
    assert collect(TINY, folder)
    return folder


@pytest.fixture(scope="module")
def tables(cache: Path) -> dict[str, pd.DataFrame]:
    return build_tables(plan_runs(TINY), cache)


def test_default_plan_spans_two_orders_of_magnitude_with_a_clear_top() -> None:
    sizes = [new_model(width, 0).n_params for width in LadderPlan().widths]
    assert len(sizes) >= 7
    assert sizes[-1] / sizes[0] >= 100
    assert (sizes[-1] / sizes[-2]) ** 2 >= 5  # tokens are proportional to parameters: compute grows as their square
    assert len(LadderPlan().seeds) >= 2
    assert len(LadderPlan().checkpoints) >= 4
    runs = [(run.seed, run.width) for run in plan_runs(LadderPlan())]
    assert runs == sorted(runs)


def test_model_counts_its_weights_and_is_causal() -> None:
    model = new_model(8, 3)
    assert model.n_params == 3 * 12 * 8 * 8 + (72 + 28) * 8 + (2 * 3 + 1) * 2 * 8
    rows = torch.randint(0, 72, (2, 20), generator=torch.Generator().manual_seed(0))
    changed = rows.clone()
    changed[:, 12:] = 5
    with torch.no_grad():
        a, b = model(rows), model(changed)
    assert torch.allclose(a[:, :12], b[:, :12], atol=1e-6)
    assert not torch.allclose(a[:, 12:], b[:, 12:])


def test_loss_is_the_answer_s_negative_log_likelihood_character_by_character() -> None:
    model, prompt, answer = new_model(8, 1), "A12+3=", "15;"
    measured = measure_rows(model, encode([("Jab=", "ba;"), (prompt, answer)]), n_draws=0, seed=0)
    tokens = torch.from_numpy(encode([(prompt, answer)]).tokens.astype("int64"))
    total = 0.0
    with torch.no_grad():
        for i in range(len(prompt), len(prompt + answer)):
            total -= float(model(tokens[:, :i])[0, -1].log_softmax(0)[tokens[0, i]])
    assert measured["loss"][1] == pytest.approx(total, rel=1e-5)


def _trained(width: int = 8) -> tuple[object, list[tuple[str, str]]]:
    """A model that has learnt one row half by heart, so that its passes are neither rare nor certain."""
    model, rows = new_model(width, 0), [("~01=", "1;"), ("Jab=", "ba;")]
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(25):
        tokens, where, answers = encode(rows).chunk(np.arange(2))
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(tokens, where), answers).backward()
        optimiser.step()
    return model, rows


@pytest.mark.slow
def test_exact_pass_rate_is_the_frequency_of_sampled_passes() -> None:
    model, rows = _trained()
    n = 1500
    measured = measure_rows(model, encode(rows), n_draws=n, seed=5)
    for i, (prompt, answer) in enumerate(rows):
        exact = math.exp(-measured["loss"][i])
        assert 0.05 < exact < 0.97
        error = 4.5 * math.sqrt(exact * (1 - exact) / n)  # a correct program fails once in 70,000 comparisons
        assert measured["n_correct"][i] / n == pytest.approx(exact, abs=error)
        slow = sum(drawn == answer for drawn in sample_answers(model, prompt, n, seed=6, max_characters=3))
        assert slow / n == pytest.approx(exact, abs=error)


def test_greedy_is_what_the_likeliest_characters_spell() -> None:
    model, rows = _trained()
    rows = [*rows, ("~01=", "0;")]
    measured = measure_rows(model, encode(rows), n_draws=0, seed=0)
    for (prompt, answer), greedy in zip(rows, measured["greedy"], strict=True):
        text = prompt
        with torch.no_grad():
            while len(text) < len(prompt + answer):
                tokens = encode([(text, ";")]).tokens[:, : len(text)].astype("int64")
                best = int(model(torch.from_numpy(tokens))[0, -1].argmax())
                text += "\0=;0123456789abcdefghij"[best] if best < 23 else "?"
        assert bool(greedy) == (text == prompt + answer)


def test_bounded_run_resumes_to_the_same_tables(cache: Path, tmp_path: Path) -> None:
    run = plan_runs(TINY)[1]
    stops = 0
    while not train_run(run, tmp_path / run.name, stop_at=time.monotonic() + 0.2, save_every_s=0.1):
        stops += 1
    assert stops >= 1
    assert train_run(run, tmp_path / run.name)  # nothing is left to do
    _assert_same_run(cache / run.name, tmp_path / run.name)


def _assert_same_run(a: Path, b: Path) -> None:
    names = sorted(path.name for path in a.glob("*.parquet"))
    assert names == sorted(path.name for path in b.glob("*.parquet"))
    for name in names:
        pd.testing.assert_frame_equal(pd.read_parquet(a / name), pd.read_parquet(b / name))
    assert (a / "weights.safetensors").read_bytes() == (b / "weights.safetensors").read_bytes()
    assert not (b / "state.safetensors").exists()


@pytest.mark.slow
def test_run_killed_at_any_time_resumes_to_the_same_tables(cache: Path, tmp_path: Path) -> None:
    run = plan_runs(TINY)[0]
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from foretell.collect.ladder import TINY, plan_runs\n"
        "from foretell.collect.ladder_train import train_run\n"
        "train_run(plan_runs(TINY)[0], Path(sys.argv[1]), save_every_s=0.0,"
        " progress=lambda share: print(share, flush=True))\n"
    )
    folder = tmp_path / run.name
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if float(line) > 0.45:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait(timeout=30)
    process.stdout.close()
    assert (folder / "state.safetensors").exists()
    assert not (folder / "done.json").exists()
    assert train_run(run, folder)
    _assert_same_run(cache / run.name, folder)


def test_state_of_another_plan_or_half_a_file_is_refused(tmp_path: Path) -> None:
    run = plan_runs(TINY)[0]
    assert not train_run(run, tmp_path, stop_at=0.0)
    other = Run(replace(TINY, tokens_per_param=21.0), run.width, run.seed)
    with pytest.raises(InvalidInputError, match="another plan"):
        train_run(other, tmp_path)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(DatasetError, match="remove it to start anew"):
        train_run(run, tmp_path)


@pytest.mark.parametrize(
    "fault", [{"widths": (6,)}, {"widths": ()}, {"seeds": ()}, {"tokens_per_param": 0.0}, {"checkpoints": (0.5,)}]
)
def test_impossible_plans_are_refused(fault: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        replace(TINY, **fault)


def test_tables_have_a_row_per_model_item_and_checkpoint(tables: dict[str, pd.DataFrame]) -> None:
    samples = tables["samples"]
    assert len(samples) == 2 * 39 * 3 * TINY.items_per_level * len(TINY.checkpoints)
    np.testing.assert_allclose(samples["exact_pass_rate"], np.exp(-samples["loss"]), rtol=1e-5)
    assert set(tables) == set(LADDER_FILES)
    for name, columns in LADDER_FILES.items():
        assert tuple(tables[name].columns) == columns
    final = samples[samples["checkpoint"] == 1]
    planned = final["n_params"] * TINY.tokens_per_param
    assert (final["n_train_tokens"] / planned).between(1, 1.2).all()  # the last batch may overshoot


def test_checkpoints_are_the_means_of_samples(tables: dict[str, pd.DataFrame]) -> None:
    samples, cells = tables["samples"], tables["checkpoints"]
    assert len(cells) == 2 * 39 * 4 * len(TINY.checkpoints)
    at = samples[(samples["model"] == "w008-s0") & (samples["benchmark"] == "lookup") & (samples["checkpoint"] == 1)]
    rows = cells[(cells["model"] == "w008-s0") & (cells["benchmark"] == "lookup") & (cells["checkpoint"] == 1)]
    rows = rows.set_index("level")
    assert rows.loc[0, "score"] == pytest.approx(at["exact_pass_rate"].mean(), rel=1e-5)
    assert rows.loc[0, "greedy"] == pytest.approx(at["greedy"].astype("float64").mean(), abs=1e-6)
    assert rows.loc[0, "loss"] == pytest.approx(at["loss"].mean(), rel=1e-5)
    second = at[at["level"] == 2]["exact_pass_rate"].astype("float64")
    assert rows.loc[2, "score_se"] == pytest.approx(second.std(ddof=1) / math.sqrt(len(second)), rel=1e-4)
    p = at["exact_pass_rate"].astype("float64")
    assert rows.loc[0, "sampled_se"] == pytest.approx(math.sqrt((p * (1 - p) / TINY.n_draws).sum()) / len(p), rel=1e-4)
    between = sum(at[at["level"] == k]["exact_pass_rate"].astype("float64").sem() ** 2 for k in (1, 2, 3))
    assert rows.loc[0, "score_se"] == pytest.approx(math.sqrt(between) / 3, rel=1e-4)


def test_written_tables_come_back_and_a_missing_one_is_named(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    write_tables(tables, tmp_path / "ladder")
    back = load_ladder(tmp_path)
    assert set(back) == set(LADDER_FILES)
    pd.testing.assert_frame_equal(back["samples"], tables["samples"])
    pd.testing.assert_frame_equal(back["checkpoints"], tables["checkpoints"])
    descriptions, runs, models = ladder_scores(tmp_path)
    assert len(runs) == 2 * len(descriptions)
    assert set(runs["model"]) == set(models["model"]) == {"w004", "w008"}
    assert set(runs["benchmark"]) == set(descriptions["benchmark"])
    (tmp_path / "ladder" / "runs.parquet").unlink()
    with pytest.raises(DatasetError, match=r"runs\.parquet: no such table"):
        load_ladder(tmp_path)


def test_damaged_tables_are_named(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    write_tables(tables, tmp_path / "ladder")
    broken = tables["samples"].copy()
    broken.loc[3, "n_correct"] = TINY.n_draws + 1
    write_tables({"samples": broken}, tmp_path / "ladder")
    with pytest.raises(DatasetError, match=r"samples\.parquet: row 3"):
        load_ladder(tmp_path)
    write_tables({"samples": tables["samples"].drop(columns="loss")}, tmp_path / "ladder")
    with pytest.raises(DatasetError, match=r"lacks the columns \['loss'\]"):
        load_ladder(tmp_path)
    (tmp_path / "ladder" / "samples.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DatasetError, match="not a parquet file"):
        load_ladder(tmp_path)


def test_no_whole_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no whole run"):
        build_tables(plan_runs(TINY), tmp_path)


def test_weights_of_a_whole_run_give_its_last_checkpoint(cache: Path) -> None:
    from safetensors.torch import load_file

    from foretell.collect.ladder_tasks import heldout_items

    run = plan_runs(TINY)[1]
    items = encode([(item.prompt, item.answer) for item in heldout_items(TINY.items_per_level)])
    model = new_model(run.width, run.seed)
    model.load_state_dict(load_file(cache / run.name / "weights.safetensors"))
    measured = measure_rows(model, items, n_draws=0, seed=0)
    last = pd.read_parquet(cache / run.name / f"checkpoint-{len(TINY.checkpoints) - 1}.parquet")
    np.testing.assert_allclose(measured["loss"], last["loss"], rtol=1e-6)


def test_training_lowers_the_loss_and_raises_the_score(tables: dict[str, pd.DataFrame]) -> None:
    curve = tables["training_curves"].query("model == 'w008-s0'")
    assert curve["validation_loss"].iloc[-1] < curve["validation_loss"].iloc[0] - 0.3
    assert curve["validation_score"].iloc[-1] > curve["validation_score"].iloc[0]
