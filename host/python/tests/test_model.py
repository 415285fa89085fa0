"""Models of runs: predictions and scores of data however they are given."""

from __future__ import annotations

import numpy
import pytest
from conftest import DATA, PLANS

import fedwasm as fw

PLAN = PLANS / "logistic-regression.wasm"
CANCER = DATA / "breast_cancer.csv"
TRAINING = {"epochs": 3, "test_ratio": 0.2, "random_seed": 42}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "out"
    job = fw.LocalJob(PLAN, CANCER, target="benign", training_args=TRAINING, out=out, progress=False)
    job.start_training()
    return job


def rows() -> tuple[list[str], numpy.ndarray]:
    names = CANCER.read_text().splitlines()[0].split(",")
    return names, numpy.loadtxt(CANCER, delimiter=",", skiprows=1)


def test_files_arrays_and_frames_get_the_same_predictions(trained):
    pandas = pytest.importorskip("pandas")
    model = trained.model
    names, table = rows()
    inputs = [names.index(name) for name in model.inputs]
    of_file = model.predict(CANCER)
    assert list(of_file) == ["row", "predicted", "probability_0", "probability_1"]
    of_array = model.predict(table[:, inputs])
    # Columns of a frame may be in any order, and its index is kept.
    frame = pandas.read_csv(CANCER).drop(columns="benign")[::-1]
    of_frame = model.predict(frame)
    assert list(of_frame.index) == list(frame.index)
    for name in ["predicted", "probability_0", "probability_1"]:
        assert (of_file[name] == of_array[name]).all()
        assert (of_file[name][::-1] == of_frame[name].to_numpy()).all()
    assert numpy.allclose(of_file["probability_0"] + of_file["probability_1"], 1, atol=1e-15)
    accuracy = (of_file["predicted"] == table[:, names.index("benign")]).mean()
    assert model.evaluate(CANCER)["accuracy"] == accuracy
    assert model.evaluate((table[:, inputs], table[:, names.index("benign")]))["accuracy"] == accuracy


def test_scores_ids_and_files(trained, tmp_path):
    model = fw.Model(trained.result.model.path)
    scores = model.predict(CANCER, scores=True, id="mean_radius")
    assert list(scores) == ["row", "mean_radius", "predicted", "score_0", "score_1"]
    assert (scores["predicted"] == (scores["score_1"] > scores["score_0"])).all()
    scores.save(tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text().startswith("row,mean_radius,predicted,score_0,score_1\n0,")
    with pytest.raises(fw.ConfigurationError, match="its name says the format"):
        scores.save(tmp_path / "scores.xlsx")
    assert "logistic-regression" in repr(model) and "accuracy" in model._repr_html_()
    assert model.card().startswith("# local\n") and "<!DOCTYPE html>" in model.card(html=True)
    assert model.metrics == trained.metrics


def test_a_job_starts_from_a_model(trained):
    still = {**TRAINING, "batch_maxnum": 0}
    options = {"target": "benign", "training_args": still, "progress": False}
    again = fw.LocalJob(PLAN, CANCER, init=trained.model, **options).start_training()
    assert again.params_sha256 == trained.result.params_sha256
    drawn = fw.LocalJob(PLAN, CANCER, **options).start_training().params
    job = fw.LocalJob(PLAN, CANCER, init=trained.model, init_only=["*.bias"], **options)
    part = job.start_training().params
    assert (part["linear.bias"] == trained.params()["linear.bias"]).all()
    assert (part["linear.weight"] == drawn["linear.weight"]).all()


def test_what_is_missing_is_said(trained, tmp_path):
    with pytest.raises(fw.PlanRefused, match="it has no model.json"):
        fw.Model(tmp_path)
    job = fw.LocalJob(PLAN, CANCER, target="benign", training_args=TRAINING, progress=False)
    with pytest.raises(fw.ConfigurationError, match="wrote no files"):
        job.start_training().model
    with pytest.raises(fw.ConfigurationError, match="30 input columns"):
        trained.model.predict(numpy.zeros((2, 3)))
