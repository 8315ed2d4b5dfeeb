"""A callback for Lightning: forecasts the end of a metric after every validation, and stops what cannot pay.

from foretell.integrations.lightning import StopWhenSettled

callback = StopWhenSettled("val_loss", target_value=0.3)
trainer = Trainer(max_epochs=100, callbacks=[callback])
"""

from __future__ import annotations

import math
from typing import Any

from foretell.integrations._run import WatchedRun

__all__ = ["StopWhenSettled"]


def StopWhenSettled(metric: str, **options: Any) -> Any:
    """The callback for `metric`, as logged with ``self.log``; `options` are those of `WatchedRun`, kept as ``.run``.

    Needs `lightning` or `pytorch_lightning`, of which the first that is installed is used. The end is the trainer's
    ``max_epochs``, else its ``max_steps``.

    Raises
    ------
    ImportError
        If neither is installed.
    """
    try:
        from lightning.pytorch.callbacks import Callback
    except ImportError:
        from pytorch_lightning.callbacks import Callback

    class _StopWhenSettled(Callback):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.run = WatchedRun(metric, **options)

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            value = trainer.callback_metrics.get(metric)
            if value is None or trainer.sanity_checking or not math.isfinite(float(value)):
                return
            by_epoch = trainer.max_epochs is not None and trainer.max_epochs > 0
            end = trainer.max_epochs if by_epoch else trainer.max_steps
            step = trainer.current_epoch + 1 if by_epoch else trainer.global_step
            if end > 0 and self.run.add(step, float(value), end):
                trainer.should_stop = True

    return _StopWhenSettled()
