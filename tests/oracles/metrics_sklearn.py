"""The standard metrics of small held-out sets, as scikit-learn computes them.

    /tmp/v2/bin/python tests/oracles/metrics_sklearn.py

Writes tests/data/metrics_sklearn.json. Needs numpy and scikit-learn; the file
in the tree comes from scikit-learn 1.9.1 on numpy 2.4.6. Where fedbiomed can
be imported (6.4.1 here, which brings scikit-learn 1.9.1), also prints where
its `Metrics` say something else.

Scores and targets are exact in float32; metrics are computed in float64. With
one or two columns of scores: those of class 1, left out where no target is 1
(`labels=[1]`, which is `average='binary'` where that is defined). With more:
`average='weighted'`, whatever labels occur. zero_division=0 throughout.
"""
import json
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn import metrics

warnings.simplefilter("ignore")
TARGET = pathlib.Path(__file__).parent.parent / "data/metrics_sklearn.json"
SCORES = {
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
    "f1_score": metrics.f1_score,
}
ERRORS = {
    "mean_square_error": metrics.mean_squared_error,
    "mean_absolute_error": metrics.mean_absolute_error,
    "explained_variance": metrics.explained_variance_score,
}
random = np.random.default_rng(20)


def eighths(*shape):
    """Random multiples of 1/8: short to write, exact, and often equal."""
    return np.round(random.normal(size=shape) * 8) / 8


def leaning(classes, columns, strength=1.0):
    """Scores that lean to the classes."""
    return eighths(len(classes), columns) + strength * np.eye(columns)[classes]


def one_hot(classes, columns):
    return np.eye(columns)[classes]


def predicted(scores):
    return (scores[:, 0] > 0.5).astype(int) if scores.shape[1] == 1 else np.argmax(scores, axis=1)


def scored(scores, classes):
    said, result = predicted(scores), {"accuracy": metrics.accuracy_score(classes, predicted(scores))}
    for name, score in SCORES.items():
        if scores.shape[1] > 2:
            result[name] = float(score(classes, said, average="weighted", zero_division=0))
        elif 1 in classes:
            value = score(classes, said, labels=[1], average="macro", zero_division=0)
            if set(classes) | set(said) <= {0, 1}:
                assert value == score(classes, said, average="binary", zero_division=0)
            result[name] = float(value)
    return result


def errors(said, targets):
    if targets.shape[1] == 1:
        return {name: float(error(targets[:, 0], said[:, 0])) for name, error in ERRORS.items()}
    values = {name: error(targets, said, multioutput="raw_values") for name, error in ERRORS.items()}
    return {f"{name}_{n + 1}": float(v) for name, all in values.items() for n, v in enumerate(all)}


binary = random.integers(0, 2, 40)
three = random.integers(0, 3, 40)
ten = random.integers(0, 10, 60)
some_of_ten = random.choice([0, 3, 7, 9], 50)
said_few = leaning(ten, 10, 2.0)
said_few[:, [1, 4, 8]] = -9
CLASSIFICATION = {
    "binary, two columns": (leaning(binary, 2), binary),
    "binary, one column": (np.round((binary * 0.5 + random.normal(size=40)) * 8)[:, None] / 8, binary),
    "one column, scores at the threshold": (np.array([[0.5], [0.625], [0.5], [-1], [9]]), np.array([0, 1, 1, 0, 0])),
    "one column, three classes": (np.array([[0.0], [1], [1], [0], [1]]), np.array([0, 1, 2, 2, 1])),
    "one column, whole scores": (np.array([[2], [-1], [1], [0]]), np.array([1, 0, 1, 0])),
    "two columns, always 0": (one_hot([0] * 6, 2), np.array([0, 1, 0, 1, 1, 0])),
    "two columns, always 1": (one_hot([1] * 6, 2), np.array([0, 1, 0, 1, 1, 0])),
    "two columns, all equal": (np.zeros((6, 2)), np.array([0, 1, 0, 1, 1, 0])),
    "two columns, all wrong": (one_hot([1, 0, 1], 2), np.array([0, 1, 0])),
    "three classes": (leaning(three, 3), three),
    "three classes, perfect": (one_hot(three, 3), three),
    "three classes, all wrong": (one_hot((three + 1) % 3, 3), three),
    "three classes, ties": (np.round(leaning(three, 3) / 2), three),
    "three columns, 0 and 1 occur": (one_hot([0, 1, 1, 0], 3), np.array([0, 1, 0, 0])),
    "three columns, 0 and 1 are, 2 is said": (one_hot([0, 1, 2, 0], 3), np.array([0, 1, 1, 0])),
    "three columns, 1 and 2 occur": (one_hot([1, 2, 2, 1], 3), np.array([1, 2, 1, 2])),
    "three columns, 0 and 2 occur": (one_hot([0, 2, 2, 0, 2], 3), np.array([0, 2, 0, 0, 2])),
    "ten classes": (leaning(ten, 10), ten),
    "ten classes, some are not": (leaning(some_of_ten, 10), some_of_ten),
    "ten classes, some are not said": (said_few, ten),
    "ten classes, none said is": (one_hot([5, 6, 5, 6], 10), np.array([1, 2, 3, 4])),
    "only 0": (one_hot([0, 0, 0], 2), np.array([0, 0, 0])),
    "only 1": (one_hot([1, 1, 1], 2), np.array([1, 1, 1])),
    "only 2": (one_hot([2, 2, 2], 3), np.array([2, 2, 2])),
    "0 is, 1 is said": (one_hot([1, 1], 2), np.array([0, 0])),
    "1 is, 0 is said": (one_hot([0, 0], 2), np.array([1, 1])),
    "2 is, 0 is said": (one_hot([0, 0], 3), np.array([2, 2])),
    "0 is, 2 is said": (one_hot([2, 2], 3), np.array([0, 0])),
    "one row": (np.array([[0.25, 0.75]]), np.array([1])),
}

line = eighths(30, 1)
wide = random.normal(size=(20, 1)).astype(np.float32).astype(np.float64)
three_outputs = eighths(25, 3)
constant = np.full((6, 1), np.float32(0.1), dtype=np.float64)
REGRESSION = {
    "one output": (line + eighths(30, 1) / 4, line),
    "one output, worse than the mean": (-2 * line, line),
    "one output, perfect": (line, line),
    "one output, all off by 1/2": (line + 0.5, line),
    "one output, far from zero": (eighths(30, 1) / 8 + line + 2**16, line + 2**16),
    "one output, all bits of float32": (wide[::-1].copy(), wide),
    "constant prediction": (np.zeros((30, 1)), line),
    "constant target": (eighths(6, 1), constant),
    "constant target, met": (constant, constant),
    "constant target, off by a constant": (constant - constant * 2, constant),
    "one row, met": (np.array([[2.0]]), np.array([[2.0]])),
    "one row, missed": (np.array([[2.0]]), np.array([[5.0]])),
    "largest float32": (np.full((3, 1), -(2.0**127)), np.array([[2.0**127], [0], [2.0**126]])),
    "two outputs, one constant": (eighths(8, 2), np.column_stack([eighths(8), np.ones(8)])),
    "three outputs": (three_outputs + eighths(25, 3) / 2, three_outputs),
}


def cases(sets, result):
    for name, (scores, targets) in sets.items():
        assert np.array_equal(scores, scores.astype(np.float32)), name
        assert np.array_equal(targets, targets.astype(np.float32)), name
        yield {
            "name": name,
            "columns": scores.shape[1],
            "scores": scores.ravel().tolist(),
            "targets": targets.ravel().tolist(),
            "metrics": result(scores, targets),
        }


def write():
    parts = {
        "classification": list(cases(CLASSIFICATION, scored)),
        "regression": list(cases(REGRESSION, errors)),
    }
    # One case a line.
    text = [f'"{part}": [\n' + ",\n".join(map(json.dumps, all)) + "\n]" for part, all in parts.items()]
    version = f'"scikit-learn": "{sklearn.__version__}"'
    TARGET.write_text("{\n" + ",\n".join([version, *text]) + "\n}\n")
    print(f"{TARGET}: {len(CLASSIFICATION)} + {len(REGRESSION)} cases, scikit-learn {sklearn.__version__}")
    return parts


def compare(parts):
    """Prints where Fed-BioMed says something else: as it is, and told that 1
    is the positive class."""
    try:
        from fedbiomed.common.metrics import Metrics, MetricTypes
    except ImportError:
        print("no fedbiomed here, nothing compared")
        return
    for part, arguments in [("classification", {}), ("classification", {"pos_label": 1}), ("regression", {})]:
        different = same = 0
        print(f"\n{part} {arguments or ''}: ours | Fed-BioMed's")
        for case in parts[part]:
            scores = np.array(case["scores"]).reshape(-1, case["columns"])
            columns = case["columns"] if part == "regression" else 1
            targets = np.array(case["targets"]).reshape(-1, columns)
            targets = targets.astype(int) if part == "classification" else targets
            names = list(SCORES) if part == "classification" else list(ERRORS)
            names = [name for name in names if name in case["metrics"] or part == "regression"]
            # Only these three know `pos_label`.
            names += ["accuracy"] if part == "classification" and not arguments else []
            for name in names:
                ours = [value for key, value in case["metrics"].items() if key.startswith(name)]
                try:
                    metric = MetricTypes.get_metric_type_by_name(name.upper())
                    theirs = np.atleast_1d(Metrics().evaluate(targets, scores, metric, **arguments))
                    equal = len(ours) == len(theirs) and np.allclose(ours, theirs, rtol=1e-12, atol=1e-12)
                except Exception as error:
                    theirs, equal = f"{type(error).__name__}: {str(error)[-90:]}", False
                same, different = same + equal, different + (not equal)
                if not equal:
                    print(f"  {case['name']}: {name} {ours} | {theirs}")
        print(f"  {same} equal, {different} different")


compare(write())
