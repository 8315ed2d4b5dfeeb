"""A Dask cluster runs what it is sent, so it listens to its own run, and a run connects to nobody it cannot check."""

from __future__ import annotations

import pytest

pytest.importorskip("distributed")

from distributed import Client

from foretell.assets.engine import open_engine
from foretell.assets.engine.on_dask import DaskEngine
from foretell.predictors.errors import InvalidInputError


@pytest.mark.parametrize("address", ["tcp://203.0.113.1:8786", "203.0.113.1:8786", "tcp://scheduler:8786"])
def test_a_scheduler_elsewhere_is_asked_over_tls_only(address: str) -> None:
    # The run would unpickle what it answers.
    with pytest.raises(InvalidInputError, match=r"neither on this machine nor of TLS.*tls://"):
        DaskEngine(address)


@pytest.mark.parametrize(
    "address", ["tls://scheduler:8786", "tcp://127.0.0.1:8786", "localhost:8786", "tcp://[::1]:8786"]
)
def test_a_scheduler_with_tls_or_on_this_machine_is_accepted(address: str) -> None:
    assert DaskEngine(address).name == "dask"


@pytest.mark.slow
def test_another_user_of_the_machine_cannot_send_work_to_the_cluster_of_a_run() -> None:
    with open_engine("dask", n_workers=1) as engine:
        assert isinstance(engine, DaskEngine)
        assert engine.map(abs, [-1]) == [1]
        address = engine.client.scheduler_info()["address"]
        assert address.startswith("tls://127.0.0.1:")
        for stranger in (address, address.replace("tls://", "tcp://")):
            with pytest.raises((OSError, TypeError)):
                Client(stranger, timeout=2)
