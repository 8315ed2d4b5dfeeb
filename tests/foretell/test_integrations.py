"""Callbacks for trainers, against the interface that these call; the packages themselves are not installed in CI."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import foretell
from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base classes that callbacks derive from, and the network as what is served."""
    for name, base in (("lightning.pytorch.callbacks", "Callback"), ("transformers", "TrainerCallback")):
        module = ModuleType(name)
        setattr(module, base, type(base, (), {}))
        for parent in ("lightning", "lightning.pytorch") if "." in name else ():
            monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(foretell, "load", lambda family: PfnPredictor.zero_shot(), raising=False)


def test_nothing_is_imported_before_a_callback_is_made() -> None:
    folder = Path(foretell.__file__).parent / "integrations"
    for file in folder.glob("*.py"):
        heads = [line for line in file.read_text("utf-8").splitlines() if line.startswith(("import", "from"))]
        assert not [line for line in heads if line.split()[1].startswith(("lightning", "pytorch_", "transformers"))]


def test_lightning_stops_a_run_that_cannot_reach_its_target(trainers: None) -> None:
    from foretell.integrations.lightning import StopWhenSettled

    hopeless = StopWhenSettled("val_loss", target_value=0.01)
    for callback, stops in ((hopeless, True), (StopWhenSettled("val_loss", target_value=0.01, stops=False), False)):
        trainer = SimpleNamespace(max_epochs=40, max_steps=-1, global_step=0, sanity_checking=True, should_stop=False,
                                  callback_metrics={"val_loss": 9.0})  # fmt: skip
        callback.on_validation_end(trainer, None)
        trainer.sanity_checking = False
        for epoch in range(12):
            trainer.current_epoch = epoch
            trainer.callback_metrics = {"val_loss": 2.0 + 0.001 * np.cos(epoch)}
            callback.on_validation_end(trainer, None)
        assert trainer.should_stop is stops
        told = callback.run.forecasts
        assert [t["step"] for t in told] == list(range(4, 13)), "the sanity check is no point"
        assert told[-1]["lower_90"] <= told[-1]["median"] <= told[-1]["upper_90"]
        assert told[-1]["stop"]


def test_the_trainer_of_transformers_goes_on_while_it_may_pay(trainers: None) -> None:
    from foretell.integrations.huggingface import StopWhenSettled

    callback = StopWhenSettled("eval_loss", target_value=1.9)
    control = SimpleNamespace(should_training_stop=False)
    state = SimpleNamespace(max_steps=1000, global_step=0)
    for step in range(50, 400, 50):
        state.global_step = step
        callback.on_log(None, state, control, logs={"loss": 1.0})
        callback.on_log(None, state, control, logs={"eval_loss": 1 + 20 * step**-0.5})
    assert not control.should_training_stop
    assert len(callback.run.forecasts) == 4
    assert callback.run.forecasts[-1]["probability_better"] > 0.5
