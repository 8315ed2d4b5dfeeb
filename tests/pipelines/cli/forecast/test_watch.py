"""Following a run: a line for every new point, a picture that grows, and the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.pipelines.cli.forecast import watch as watching
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError


def test_only_a_run_of_the_tracking_server_is_followed(clean_environment: Path) -> None:
    for name in ("abc", "mlflow-run:"):
        with pytest.raises(InvalidInputError, match="mlflow-run:ID"):
            watching.watch(run=name, metric="loss", out=[], json=False)


@pytest.mark.slow
def test_a_run_is_followed_until_it_ends(
    clean_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.tracking import MlflowClient

    settings = Settings(home=tmp_path / "home", tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("FORETELL_TRACKING_URI", settings.mlflow_uri)
    client = MlflowClient(tracking_uri=settings.mlflow_uri)
    run = client.create_run(client.create_experiment("e", artifact_location=(tmp_path / "a").as_uri())).info.run_id
    losses = [5.0, 3.0, 2.4, 2.1, 1.95, 1.9]

    def one_more(seconds: float) -> None:
        """The training goes on while the watcher sleeps."""
        if losses:
            client.log_metric(run, "val_loss", losses.pop(0), step=10 * (6 - len(losses)))
        else:
            client.set_terminated(run)

    monkeypatch.setattr(watching.time, "sleep", one_more)
    picture, asked = tmp_path / "run.png", {"metric": "val_loss", "json": False, "every": 10.0}
    watching.watch(run=f"mlflow-run:{run}", target_step=200, target_value=1.0, out=[picture], **asked)
    printed = capsys.readouterr()
    lines = [line for line in printed.out.splitlines() if line.strip()]
    assert [line.split(":")[0] for line in lines] == [f"step {10 * (i + 1)}" for i in range(6)]
    assert "target" in lines[0]
    assert f"{run}: finished after 6 points" in printed.err
    assert picture.stat().st_size > 10_000
    with pytest.raises(InvalidInputError, match="no such run"):
        watching.watch(run="mlflow-run:nothing", target_step=None, target_value=None, out=[], **asked)
