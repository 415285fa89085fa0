"""Data frames with texts, dates and missing values."""

from __future__ import annotations

from pathlib import Path

import pytest

import fedwasm as fw

PLAN = Path(__file__).parents[3] / "plugins/dist/logistic-regression.wasm"
RULES = {
    "ward": {"kind": "category", "values": ["north", "east"], "unknown": "other"},
    "age": {"kind": "number", "impute": "median", "flag_missing": True},
    "since": "date",
    "name": "drop",
    "ill": {"kind": "class", "values": ["well", "ill"]},
}


def frame():
    pandas = pytest.importorskip("pandas")
    rows = range(60)
    return pandas.DataFrame(
        {
            "ward": [["north", "east", "south"][n % 3] for n in rows],
            "age": [None if n % 9 == 4 else 30.0 + n * 7 % 40 for n in rows],
            "since": pandas.to_datetime("2020-01-01") + pandas.to_timedelta(list(rows), "D"),
            "name": [f"patient {n}" for n in rows],
            "ill": [["well", "ill"][n // 2 % 2] for n in rows],
        }
    )


def job(data, **data_args):
    training = {"epochs": 2, "random_seed": 7, "test_ratio": 0.2}
    return fw.LocalJob(
        PLAN, data, target="ill", training_args=training, data_args=data_args, progress=False
    )


def test_a_frame_with_texts_is_trained_on_and_scored_by_its_rules():
    trained = job(frame(), columns=RULES)
    result = trained.start_training()
    assert result.params["linear.weight"].shape == (2, 3 + 2 + 1)
    names = [scale["name"] for scale in result.preprocessing["columns"]]
    assert names == ["ward[0]", "ward[1]", "ward[2]", "age[0]", "age[1]", "since"]
    ages = frame()["age"].dropna()
    assert ages.min() < result.preprocessing["columns"][3]["fill"] < ages.max()
    # The rules come along with the job.
    scores = fw.evaluate(PLAN, trained, frame(), target="ill", model_args={"n_classes": 2})
    assert 0.0 <= scores["accuracy"] <= 1.0


def test_without_rules_the_error_says_what_to_write():
    with pytest.raises(fw.Error, match="column `ill`: `well` is not a number") as raised:
        job(frame()).start_training()
    assert "[data.columns]" in str(raised.value)


def test_mistakes_in_rules_are_told_all_at_once():
    rules = {"ward": {"kind": "categry"}, "age": {"kind": "number", "impute": "meen"}}
    with pytest.raises(fw.Error) as raised:
        job(frame(), columns=rules).start_training()
    assert "did you mean `category`?" in str(raised.value) and "meen" in str(raised.value)
