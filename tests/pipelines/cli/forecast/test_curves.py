"""Forecasts of curves for people: numbers, advice, picture, and runs of MLflow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.assets.registry.tracking import CHAMPION, Fit
from foretell.pipelines.cli.forecast.curves import (
    CurveOptions,
    _advice,
    curve_figure,
    forecast_curves,
    load_forecaster,
    run_predict_curves,
)
from foretell.pipelines.cli.output import Output
from foretell.pipelines.settings import Settings
from foretell.predictors.errors import InvalidInputError
from foretell.predictors.learning_curves.baselines import LastValueBaseline
from foretell.predictors.learning_curves.decisions import jitter_floor
from foretell.predictors.learning_curves.forecaster import CurveForecaster
from foretell.predictors.learning_curves.pfn.predictor import PfnPredictor
from foretell.predictors.plots.forecasts import plot_extrapolation
from tests.predictors.learning_curves.synthetic_curves import INPUTS, make_curves


@pytest.fixture(scope="module")
def forecaster() -> CurveForecaster:
    curves = make_curves(80, 0)
    return LastValueBaseline().fit(curves[INPUTS], curves["value"], groups=curves["dataset"])


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
    assert easy.loc["long", "probability_better"] > 0.9 > hard.loc["long", "probability_better"]
    assert hard.loc["long", "advice"] == "stop: the target is out of reach"
    assert easy.loc["short", "advice"] == "go on"
    assert easy.loc["long", "noise_floor"] == pytest.approx(0.004 * np.sqrt(2 / np.pi), rel=0.6)
    assert np.isnan(easy.loc["short", "noise_floor"]), "two points tell no jitter"


def test_jitter_of_a_line_in_log_step_is_zero() -> None:
    steps = np.arange(1.0, 31.0)
    assert jitter_floor(steps, 0.2 + 0.1 * np.log1p(steps)) == pytest.approx(0.0, abs=1e-12)


def test_the_picture_has_curve_bands_floor_target_and_stop(forecaster: CurveForecaster, tmp_path: Path) -> None:
    told = forecast_curves(forecaster, rows(), target_value=0.8)
    axes = curve_figure(forecaster, rows().iloc[:1], told.iloc[0], 0.8)
    axes.get_figure(root=True).savefig(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    curve = pd.DataFrame({"step": [1.0, 2.0], "value": [0.1, 0.2], "standard_error": [0.01, np.nan]})
    ends = {"median": 0.3, "lower_50": 0.25, "upper_50": 0.35, "lower_90": 0.2, "upper_90": 0.4}
    forecast = pd.DataFrame([{"step": 4.0, **ends, "noise_floor": 0.01, "target_value": 0.33, "stop_step": 2.0}])
    labels = plot_extrapolation(curve, forecast).get_legend_handles_labels()[1]
    assert {
        "observed",
        "90 % interval",
        "50 % interval",
        "noise floor of one run",
        "target",
        "forecast has settled",
    } <= set(labels)
    named = plot_extrapolation(curve, forecast.assign(metric="val_loss", advice="go on"))
    assert (named.get_ylabel(), plot_extrapolation(curve, forecast).get_ylabel()) == ("val_loss", "value")
    assert named.get_title(loc="left").endswith("go on")
    with pytest.raises(InvalidInputError, match="upper_90"):
        plot_extrapolation(curve, forecast.drop(columns="upper_90"))


def test_a_run_told_to_go_on_has_no_stop_in_its_past(forecaster: CurveForecaster) -> None:
    # "may stop here" stood in the past of a run that was told to go on, and the axis was called "value".
    told = forecast_curves(forecaster, rows(), target_value=0.8).iloc[0]
    for advice, is_drawn in (("go on", False), ("may stop: the forecast has settled at step 9", True)):
        asked = pd.concat([told, pd.Series({"advice": advice, "stop_step": 9.0})]).groupby(level=0).last()
        axes = curve_figure(forecaster, rows().iloc[:1], asked, 0.8)
        assert ("forecast has settled" in axes.get_legend_handles_labels()[1]) == is_drawn
        assert axes.get_ylabel() == "val_accuracy"


def test_better_is_below_where_lower_is_better(forecaster: CurveForecaster) -> None:
    # The column was called `probability_above`; it stays by that name for one version.
    falling = rows().iloc[:1].assign(values=[[1 - v for v in rows()["values"].iloc[0]]], metric="val_loss")
    falling = falling.assign(lower_bound=0.0, upper_bound=1.0)
    easy = forecast_curves(forecaster, falling, target_value=0.5).iloc[0]
    assert easy["median"] < 0.5
    assert easy["probability_better"] > 0.9
    assert easy["probability_above"] == easy["probability_better"]


def test_every_curve_says_first_what_was_known(forecaster: CurveForecaster) -> None:
    told = forecast_curves(forecaster, rows())
    assert told.columns.tolist()[:2] == ["known", "basis"]
    assert told["known"].tolist() == ["neither", "neither"]
    assert told["basis"].tolist() == ["20 observed points, no other curve", "2 observed points, no other curve"]


def test_a_file_or_a_run_is_wanted(clean_environment: Path, tmp_path: Path) -> None:
    for file, run in ((None, None), (Path("a"), "b")):
        with pytest.raises(InvalidInputError, match="one of the two"):
            run_predict_curves(Settings(), file, CurveOptions(mlflow_run=run), Output())
    with pytest.raises(InvalidInputError, match="--metric"):
        run_predict_curves(Settings(), None, CurveOptions(mlflow_run="b"), Output())
    curve = tmp_path / "curve.csv"
    curve.write_text('steps,values,target_step\n"[1, 2]","[0.1, 0.2]",8\n', "utf-8")
    with pytest.raises(InvalidInputError, match="`--metric` is about logs of runs; here every row is a curve"):
        run_predict_curves(Settings(), curve, CurveOptions(metric="loss"), Output())


def test_a_target_before_the_last_step_is_refused_in_one_short_line(clean_environment: Path, tmp_path: Path) -> None:
    # 3,000 characters of the curve's values were printed.
    curve = {"steps": list(range(1, 1000)), "values": [0.123456] * 999, "target_step": 2000}
    file = tmp_path / "curves.jsonl"
    file.write_text(json.dumps(curve) + "\n", "utf-8")
    with pytest.raises(InvalidInputError, match="before the last observed step 999") as error:
        run_predict_curves(Settings(), file, CurveOptions(target_step=5), Output())
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("stop", "gain", "floor", "stop_step", "told"),
    [
        (False, 0.02, 0.01, np.nan, "go on"),
        (False, 0.02, 0.01, 50.0, "go on"),  # the noise is known, so it decides and not the trend
        (False, 0.005, 0.01, np.nan, "stop: what is still to come is less than the noise"),
        (False, 0.005, np.nan, 50.0, "may stop: the forecast has settled at step 50"),
        (False, 0.005, np.nan, np.nan, "go on"),
        (True, 0.02, 0.01, np.nan, "stop: the target is out of reach"),
    ],
)
def test_advice_weighs_the_gain_against_the_noise(
    stop: bool, gain: float, floor: float, stop_step: float, told: str
) -> None:
    assert _advice(stop, gain, floor, stop_step) == told


def test_the_champion_answers_whatever_kind_of_curve_it_has_learnt_from(
    clean_environment: Path, tmp_path: Path, forecaster: CurveForecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / "home")
    registry = settings.open_registry()
    head = pd.DataFrame([{"segment": "all", "split": "within", "metric": "crps", "value": 0.1, "predictor": "p"}])
    version = registry.register(Fit("learning_curves", "d", "d", forecaster, head, rows(), rows(), ""))
    registry.point("learning_curves", CHAMPION, str(version.version))
    # The network answered runs of MLflow, and every file without learners, even after a retrain.
    for asked in (rows().assign(learner="SVM"), rows(), rows().assign(resource_unit="steps")):
        answering, why = load_forecaster(settings, asked)
        assert isinstance(answering, LastValueBaseline)
        assert why.startswith("answered by the champion, a LastValueBaseline")
    monkeypatch.setattr(CurveForecaster, "answers", lambda self, X: np.zeros(len(X), dtype=bool))
    answering, why = load_forecaster(settings, rows())
    assert isinstance(answering, PfnPredictor)
    assert "curves of other kinds" in why


@pytest.mark.slow
def test_a_run_of_mlflow_is_forecast_and_drawn(
    clean_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.tracking import MlflowClient

    settings = Settings(home=tmp_path / "home", tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = MlflowClient(tracking_uri=settings.mlflow_uri)
    run = client.create_run(client.create_experiment("e", artifact_location=(tmp_path / "a").as_uri()))
    for step, value in zip(rows()["steps"].iloc[0], rows()["values"].iloc[0], strict=True):
        client.log_metric(run.info.run_id, "val_accuracy", value, step=int(step))
    picture = tmp_path / "curve.png"
    monkeypatch.chdir(tmp_path)
    asked = CurveOptions(mlflow_run=run.info.run_id, metric="val_accuracy", target_step=100, target_value=0.8)
    run_predict_curves(settings, None, asked, Output(json=True))
    assert not list(tmp_path.glob("*.png")), "no file is written unasked"
    capsys.readouterr()
    run_predict_curves(settings, None, asked, Output(out=[picture], json=True))
    told = json.loads(capsys.readouterr().out)
    assert told["curve"] == run.info.run_id
    assert 0.7 < told["median"] < 1.0
    assert told["probability_better"] > 0.5
    assert picture.exists()
