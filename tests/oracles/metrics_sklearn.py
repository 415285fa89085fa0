"""The standard metrics of small held-out sets, as scikit-learn computes them.

    /tmp/v2/bin/python tests/oracles/metrics_sklearn.py

Writes tests/data/metrics_sklearn.json. Needs numpy and scikit-learn; the file
in the tree comes from scikit-learn 1.9.1 on numpy 2.4.6. Where fedbiomed can
be imported (6.4.1 here, which brings scikit-learn 1.9.1), also prints where
its `Metrics` say something else.

Scores and targets are exact in float32; metrics are computed in float64. With
one or two columns of scores: those of class 1, left out where no target is 1
(`labels=[1]`, which is `average='binary'` where that is defined). With more:
`average='weighted'`, whatever labels occur. zero_division=0 throughout. Areas
under curves are of class 1 against the others, ranked by its score, with two
columns by its distance from that of class 0. Log loss and Brier score are of the
scores if all rows are probabilities, else of their softmax (one column: only if
all are in [0, 1]). `pooled` has five sites and the metrics of all their rows.
"""
import json
import pathlib
import warnings

import numpy as np
import scipy.special
import sklearn
from sklearn import metrics
from sklearn.calibration import calibration_curve

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
    "r2": metrics.r2_score,
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


def probabilities(scores):
    """[rows, classes], or None."""
    within = ((scores >= 0) & (scores <= 1)).all()
    if scores.shape[1] == 1:
        return np.column_stack([1 - scores, scores]) if within else None
    if within and (abs(scores.sum(axis=1) - 1) <= 1e-3).all():
        return scores
    return scipy.special.softmax(scores, axis=1)


def likelihoods(scores, classes):
    p = probabilities(scores)
    if p is None:
        return {}
    classes = (classes == 1).astype(int) if p.shape[1] == 2 else classes
    labels = list(range(p.shape[1]))
    return {
        "log_loss": float(metrics.log_loss(classes, p, labels=labels)),
        "brier_score": float(metrics.brier_score_loss(classes, p, labels=labels)),
    }


def areas(scores, classes):
    if scores.shape[1] > 2 or 1 not in classes:
        return {}
    positive, score = classes == 1, scores[:, -1] - (scores[:, 0] if scores.shape[1] == 2 else 0)
    result = {"pr_auc": float(metrics.average_precision_score(positive, score))}
    if not positive.all():
        result["roc_auc"] = float(metrics.roc_auc_score(positive, score))
    return result


def scored(scores, classes):
    said, result = predicted(scores), {"accuracy": metrics.accuracy_score(classes, predicted(scores))}
    if classes.max() < max(scores.shape[1], 2):
        result["balanced_accuracy"] = float(metrics.balanced_accuracy_score(classes, said))
    for name, score in SCORES.items():
        if scores.shape[1] > 2:
            result[name] = float(score(classes, said, average="weighted", zero_division=0))
        elif 1 in classes:
            value = score(classes, said, labels=[1], average="macro", zero_division=0)
            if set(classes) | set(said) <= {0, 1}:
                assert value == score(classes, said, average="binary", zero_division=0)
            result[name] = float(value)
    return result | areas(scores, classes) | likelihoods(scores, classes)


def report(scores, classes):
    """The confusion matrix, [precision, recall, f1, support] of each class, their averages, and the
    rows, mean score and share of positives of the bins of a calibration that have rows."""
    n, said = max(scores.shape[1], 2), predicted(scores)
    if classes.max() >= n:
        return None
    of_class = metrics.precision_recall_fscore_support(classes, said, labels=range(n), zero_division=0)
    average = lambda kind: metrics.precision_recall_fscore_support(classes, said, average=kind, zero_division=0)
    p, bins = probabilities(scores), []
    if n == 2 and p is not None:
        true, mean = calibration_curve(classes == 1, p[:, 1], n_bins=10, pos_label=True)
        rows = np.bincount(np.searchsorted(np.linspace(0, 1, 11)[1:-1], p[:, 1]), minlength=10)
        bins = np.column_stack([rows[rows > 0], mean, true]).tolist()
    return {
        "confusion": metrics.confusion_matrix(classes, said, labels=range(n)).tolist(),
        "classes": np.column_stack(of_class).tolist(),
        "averages": {kind: list(average(kind)[:3]) for kind in ["micro", "macro", "weighted"]},
        "calibration": bins,
    }


def errors(said, targets):
    if targets.shape[1] == 1:
        values = {name: float(error(targets[:, 0], said[:, 0])) for name, error in ERRORS.items()}
        # R2 of one row is none.
        return {name: value for name, value in values.items() if np.isfinite(value)}
    values = {name: error(targets, said, multioutput="raw_values") for name, error in ERRORS.items()}
    return {f"{name}_{n + 1}": float(v) for name, all in values.items() for n, v in enumerate(all)}


binary = random.integers(0, 2, 40)
three = random.integers(0, 3, 40)
ten = random.integers(0, 10, 60)
some_of_ten = random.choice([0, 3, 7, 9], 50)
said_few = leaning(ten, 10, 2.0)
said_few[:, [1, 4, 8]] = -9
eighth = random.integers(0, 9, 60) / 8
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
    "one column, probabilities on the edges of bins": (np.arange(41)[:, None] / 40, np.arange(41) * 7 % 3 % 2),
    "two columns, probabilities": (np.column_stack([1 - eighth, eighth]), random.integers(0, 2, 60)),
    "two columns, ties across classes": (np.column_stack([np.zeros(60), np.round(eighth * 2)]), random.integers(0, 2, 60)),
    "three columns, probabilities": (random.dirichlet([1, 1, 1], 30), random.integers(0, 3, 30)),
    "two columns, large scores": (leaning(binary, 2, 4.0) * 64, binary),
}
CLASSIFICATION = {
    name: (scores.astype(np.float32).astype(np.float64), classes)
    for name, (scores, classes) in CLASSIFICATION.items()
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


sizes, at = [37, 12, 80, 5, 41], np.cumsum([37, 12, 80, 5])
site_of_zeros = slice(37 + 12 + 80, 37 + 12 + 80 + 5)
of_two = random.integers(0, 2, sum(sizes))
of_two[site_of_zeros] = 0
of_three = random.integers(0, 3, sum(sizes))
of_forty = random.integers(0, 40, sum(sizes))
reals = random.normal(size=(sum(sizes), 2)) + [3, -1]
noise = lambda columns: random.normal(size=(sum(sizes), columns))
# Sites have other means, so that a mean of the sites' numbers is another number.
shift = np.repeat([-1.0, 0.5, 0.0, 2.0, 1.0], sizes)[:, None]
POOLED = {
    "two classes, two columns": (noise(2) + 1.5 * np.eye(2)[of_two] + shift * [0, 1], of_two),
    "two classes, probabilities": (scipy.special.expit(noise(1) + 2 * of_two[:, None] - 1 + shift), of_two),
    "two classes, one column of scores": (noise(1) + of_two[:, None] + shift, of_two),
    "two classes, sure": (6 * noise(2) + 12 * np.eye(2)[of_two], of_two),
    "three classes": (noise(3) + np.eye(3)[of_three], of_three),
    "forty classes": (noise(40) + 3 * np.eye(40)[of_forty], of_forty),
    "two outputs": (reals + noise(2) / 2 + shift / 4, reals),
}


def pooled():
    for name, (scores, targets) in POOLED.items():
        scores = np.round(scores.astype(np.float32), 4).astype(np.float32).astype(np.float64)
        is_classes = targets.ndim == 1
        targets = targets if is_classes else np.round(targets, 3).astype(np.float32).astype(np.float64)
        sites = zip(np.split(scores, at), np.split(targets, at))
        yield {
            "name": name,
            "columns": scores.shape[1],
            "sites": [{"scores": short(s), "targets": t.ravel().tolist() if is_classes else short(t)} for s, t in sites],
            "metrics": scored(scores, targets) if is_classes else errors(scores, targets),
            "report": report(scores, targets) if is_classes else None,
        }


def short(values):
    """The shortest texts that are these values of float32."""
    return [float(str(value)) for value in values.astype(np.float32).ravel()]


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
        } | ({"report": report(scores, targets)} if result is scored else {})


def write():
    parts = {
        "classification": list(cases(CLASSIFICATION, scored)),
        "regression": list(cases(REGRESSION, errors)),
        "pooled": list(pooled()),
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
            names = list(SCORES) if part == "classification" else [name for name in ERRORS if name != "r2"]
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
