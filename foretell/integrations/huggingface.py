"""A callback for the Trainer of transformers: forecasts the end of a metric after every log, and stops what cannot pay.

from foretell.integrations.huggingface import StopWhenSettled

callback = StopWhenSettled("eval_loss", target_value=0.3)
trainer = Trainer(..., callbacks=[callback])
"""

from __future__ import annotations

import math
from typing import Any

from foretell.integrations._run import WatchedRun

__all__ = ["StopWhenSettled"]


def StopWhenSettled(metric: str, **options: Any) -> Any:
    """The callback for `metric`, as the trainer logs it; `options` are those of `WatchedRun`, kept as ``.run``.

    Needs `transformers`. The end is ``state.max_steps``, which the trainer sets before the first step.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    from transformers import TrainerCallback

    class _StopWhenSettled(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.run = WatchedRun(metric, **options)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> Any:
            value = (logs or {}).get(metric)
            if value is None or not math.isfinite(float(value)) or state.max_steps <= 0:
                return control
            if self.run.add(state.global_step, float(value), state.max_steps):
                control.should_training_stop = True
            return control

    return _StopWhenSettled()
