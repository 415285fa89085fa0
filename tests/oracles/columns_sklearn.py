"""Writes tests/data/columns/: a table, the rules of its columns, and the matrix that a pipeline of
scikit-learn makes of it in float64, fitted on all rows but every fifth. Needs numpy, pandas and
scikit-learn."""

import json
import pathlib

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
)

OUT = pathlib.Path(__file__).parent.parent / "data" / "columns"
N = 211
random = np.random.default_rng(7)


def holes(values, share=0.15):
    values = values.astype(object)
    values[random.random(N) < share] = None
    return values


wards = ["A", "B", "C", "D"]
table = pd.DataFrame(
    {
        "mean": holes(random.normal(120.0, 15.0, N)),
        "median": holes(random.lognormal(3.0, 2.0, N)),
        "frequent": holes(np.round(random.normal(0.0, 1.0, N), 1)),
        "constant": holes(random.normal(-5.0, 0.1, N)),
        "range": holes(random.uniform(-3.0, 9.0, N)),
        "log": holes(random.lognormal(2.0, 1.0, N)),
        "clipped": random.normal(0.0, 10.0, N),
        "flagged": holes(random.normal(50.0, 9.0, N)),
        "ward": holes(random.choice(wards, N)),
        "unit": random.choice(["x", "y", "z", "w"], N),
        "raw": holes(random.normal(3.0, 1.0, N)),
    }
)
rules = """mean     = { kind = "number", impute = "mean" }
median   = { kind = "number", impute = "median" }
frequent = { kind = "number", impute = "most-frequent" }
constant = { kind = "number", impute = -4.5 }
range    = { kind = "number", impute = "mean", scale = "min-max" }
log      = { kind = "number", impute = "median", log1p = true }
clipped  = { kind = "number", clip = [-5, 7.5] }
flagged  = { kind = "number", impute = "mean", flag_missing = true }
ward     = { kind = "category", values = ["A", "B", "C", "D"], impute = "most-frequent" }
unit     = { kind = "category", values = ["x", "y", "z"], unknown = "other" }
raw      = { kind = "number", impute = "median", scale = "none" }
"""


def number(imputer, *steps):
    return Pipeline([("impute", imputer), *((f"s{at}", step) for at, step in enumerate(steps))])


def indicator():
    return Pipeline(
        [
            ("indicate", MissingIndicator(features="all")),
            ("numbers", FunctionTransformer(lambda x: x.astype(np.float64))),
        ]
    )


other = FunctionTransformer(lambda x: np.where(np.isin(x, ["x", "y", "z"]), x, "~"))
pipeline = ColumnTransformer(
    [
        ("mean", number(SimpleImputer(), StandardScaler()), ["mean"]),
        ("median", number(SimpleImputer(strategy="median"), StandardScaler()), ["median"]),
        ("frequent", number(SimpleImputer(strategy="most_frequent"), StandardScaler()), ["frequent"]),
        ("constant", number(SimpleImputer(strategy="constant", fill_value=-4.5), StandardScaler()), ["constant"]),
        ("range", number(SimpleImputer(), MinMaxScaler()), ["range"]),
        ("log", number(SimpleImputer(strategy="median"), FunctionTransformer(np.log1p), StandardScaler()), ["log"]),
        ("clipped", Pipeline([("clip", FunctionTransformer(lambda x: np.clip(x, -5, 7.5))), ("s", StandardScaler())]), ["clipped"]),
        ("flagged", FeatureUnion([("value", number(SimpleImputer(), StandardScaler())), ("flag", indicator())]), ["flagged"]),
        ("ward", Pipeline([("impute", SimpleImputer(strategy="most_frequent")), ("code", OneHotEncoder(categories=[wards], sparse_output=False))]), ["ward"]),
        ("unit", Pipeline([("other", other), ("code", OneHotEncoder(categories=[["x", "y", "z", "~"]], sparse_output=False))]), ["unit"]),
        ("raw", SimpleImputer(strategy="median"), ["raw"]),
    ]
)
numbers = [name for name in table if name not in ("ward", "unit")]
typed = table.astype({name: np.float64 for name in numbers} | {"ward": object, "unit": object})
typed["ward"] = typed["ward"].where(typed["ward"].notna(), np.nan)
training = np.arange(N) % 5 != 4
matrix = pipeline.fit(typed[training]).transform(typed)
OUT.mkdir(exist_ok=True)
table.to_csv(OUT / "table.csv", index=False)
(OUT / "columns.toml").write_text(rules)
(OUT / "matrix.json").write_text(json.dumps([list(map(float, row)) for row in matrix]) + "\n")
print(matrix.shape, float(np.abs(matrix).max()))
