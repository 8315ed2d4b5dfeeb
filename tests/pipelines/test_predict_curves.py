"""Forecasts of curves for people: numbers, advice, picture, and runs of MLflow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assets.tracking import CHAMPION, Fit
from pipelines.curves import _advice, draw_curve, forecast_curves, jitter_floor, load_forecaster, run_predict_curves
from pipelines.definitions import build_tracking
from pipelines.settings import Settings
from predictors.errors import InvalidInputError
from predictors.forecast_plots import plot_extrapolation
from predictors.learning_curves.baselines import MapEnsembleBaseline
from predictors.learning_curves.forecaster import CurveForecaster
from predictors.learning_curves.pfn.predictor import PfnPredictor
from tests.predictors.learning_curves.synthetic_curves import INPUTS, make_curves


@pytest.fixture(scope="module")
def forecaster() -> CurveForecaster:
    curves = make_curves(80, 0)
    return MapEnsembleBaseline().fit(curves[INPUTS], curves["value"], groups=curves["dataset"])


def rows() -> pd.DataFrame:
    steps = np.arange(1.0, 21.0)
    noise = np.random.default_rng(0).normal(0, 0.004, 20)
    rising = 0.9 - 0.5 * steps**-0.8 + noise
    return pd.DataFrame(
        {
            "steps": [steps.tolist(), steps[:2].tolist()],
            "values": [rising.tolist(), [0.3, 0.35]],
            "target_step": [100.0, 100.0],
            "metric": ["val_accuracy", "val_accuracy"],
        },
        index=["long", "short"],
    )


def test_forecast_and_advice_of_every_curve(forecaster: CurveForecaster) -> None:
    easy, hard = (forecast_curves(forecaster, rows(), target_value=goal) for goal in (0.5, 0.9999))
    assert easy.index.tolist() == ["long", "short"]
    assert (easy["lower_90"] <= easy["median"]).all()
    assert (easy["median"] <= easy["upper_90"]).all()
    assert easy.loc["long", "probability_above"] > 0.9 > hard.loc["long", "probability_above"]
    assert hard.loc["long", "advice"] == "stop: the target is out of reach"
    assert easy.loc["short", "advice"] == "go on"
    assert easy.loc["long", "noise_floor"] == pytest.approx(0.004 * np.sqrt(2 / np.pi), rel=0.6)
    assert np.isnan(easy.loc["short", "noise_floor"]), "two points tell no jitter"


def test_jitter_of_a_line_in_log_step_is_zero() -> None:
    steps = np.arange(1.0, 31.0)
    assert jitter_floor(steps, 0.2 + 0.1 * np.log1p(steps)) == pytest.approx(0.0, abs=1e-12)


def test_the_picture_has_curve_bands_floor_target_and_stop(forecaster: CurveForecaster, tmp_path: Path) -> None:
    told = forecast_curves(forecaster, rows(), target_value=0.8)
    draw_curve(forecaster, rows().iloc[:1], told.iloc[0], 0.8, tmp_path / "sub" / "curve.png")
    assert (tmp_path / "sub" / "curve.png").read_bytes()[:4] == b"\x89PNG"
    curve = pd.DataFrame({"step": [1.0, 2.0], "value": [0.1, 0.2], "standard_error": [0.01, np.nan]})
    ends = {"median": 0.3, "lower_50": 0.25, "upper_50": 0.35, "lower_90": 0.2, "upper_90": 0.4}
    forecast = pd.DataFrame([{"step": 4.0, **ends, "noise_floor": 0.01, "target_value": 0.33, "stop_step": 2.0}])
    labels = plot_extrapolation(curve, forecast).get_legend_handles_labels()[1]
    assert {"observed", "90 % interval", "50 % interval", "noise floor of one run", "target", "may stop here"} <= set(
        labels
    )
    with pytest.raises(InvalidInputError, match="upper_90"):
        plot_extrapolation(curve, forecast.drop(columns="upper_90"))


def test_a_file_or_a_run_is_wanted(clean_environment: Path) -> None:
    for arguments in ({}, {"file": Path("a"), "mlflow_run": "b"}):
        with pytest.raises(InvalidInputError, match="one of the two"):
            run_predict_curves(Settings(), **arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="--metric"):
        run_predict_curves(Settings(), mlflow_run="b")


@pytest.mark.parametrize(
    ("stop", "gain", "floor", "stop_step", "told"),
    [
        (False, 0.02, 0.01, np.nan, "go on"),
        (False, 0.02, 0.01, 50.0, "go on"),  # the noise is known, so it decides and not the trend
        (False, 0.005, 0.01, np.nan, "stop: what is still to come is less than the noise"),
        (False, 0.005, np.nan, 50.0, "may stop: the trend has settled at step 50"),
        (False, 0.005, np.nan, np.nan, "go on"),
        (True, 0.02, 0.01, np.nan, "stop: the target is out of reach"),
    ],
)
def test_advice_weighs_the_gain_against_the_noise(
    stop: bool, gain: float, floor: float, stop_step: float, told: str
) -> None:
    assert _advice(stop, gain, floor, stop_step) == told


def test_curves_of_named_learners_go_to_the_champion_and_all_others_to_the_network(
    clean_environment: Path, tmp_path: Path, forecaster: CurveForecaster, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=tmp_path / "home")
    named = rows().assign(learner="SVM")
    assert isinstance(load_forecaster(settings, named), PfnPredictor), "no champion yet"
    assert "foretell retrain learning_curves" in capsys.readouterr().err
    registry = build_tracking(settings).registry()
    head = pd.DataFrame([{"segment": "all", "split": "test", "metric": "crps", "value": 0.1, "predictor": "p"}])
    version = registry.register(Fit("learning_curves", "d", "d", forecaster, head, rows(), named, ""))
    registry.point("learning_curves", CHAMPION, str(version.version))
    assert isinstance(load_forecaster(settings, named), MapEnsembleBaseline)
    assert isinstance(load_forecaster(settings, named, zero_shot=True), PfnPredictor)
    assert isinstance(load_forecaster(settings, rows()), PfnPredictor), "no learner is named"
    assert isinstance(load_forecaster(settings, named.assign(learner=["SVM", None])), PfnPredictor), "one is missing"


@pytest.mark.slow
def test_a_run_of_mlflow_is_forecast_and_drawn(
    clean_environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.tracking import MlflowClient

    settings = Settings(home=tmp_path / "home", tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = MlflowClient(tracking_uri=settings.mlflow_uri)
    run = client.create_run(client.create_experiment("e", artifact_location=(tmp_path / "a").as_uri()))
    for step, value in zip(rows()["steps"].iloc[0], rows()["values"].iloc[0], strict=True):
        client.log_metric(run.info.run_id, "val_accuracy", value, step=int(step))
    picture = tmp_path / "curve.png"
    run_predict_curves(
        settings, mlflow_run=run.info.run_id, metric="val_accuracy", target_step=100, target_value=0.8,
        out_plot=picture, as_json=True,
    )  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    assert told["curve"] == run.info.run_id
    assert 0.7 < told["median"] < 1.0
    assert told["probability_above"] > 0.5
    assert picture.exists()
