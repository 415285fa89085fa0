"""Dice and IoU of masks at five sites, as scikit-learn and NumPy compute them.

    /tmp/v2/bin/python tests/oracles/masks_sklearn.py

Writes tests/data/masks_sklearn.json. Needs numpy and scikit-learn. `metrics` and `report` are of the
voxels of all sites in one place; the metrics are the means over the classes but the background that
have voxels or were said to have some. Scores of a row are those of class 0 for all voxels, then those
of class 1, and so on; one score a voxel is the probability of class 1.
"""
import json
import pathlib
import warnings

import numpy as np
from sklearn import metrics

warnings.simplefilter("ignore")
TARGET = pathlib.Path(__file__).parent.parent / "data/masks_sklearn.json"
random = np.random.default_rng(17)


def site(rows, voxels, classes, columns, strength, labels=None):
    labels = np.arange(classes) if labels is None else np.array(labels)
    masks = random.choice(labels, (rows, voxels))
    if columns == 1:
        scores = np.round((masks * 0.25 * strength + random.random((rows, voxels)) * 0.75) * 16) / 16
        return scores[:, None, :], masks
    scores = np.round(random.normal(size=(rows, columns, voxels)) * 8) / 8
    return scores + strength * np.moveaxis(np.eye(columns)[masks], -1, 1), masks


def case(name, sites, columns):
    n = max(columns, 2)
    said = [(s[:, 0] > 0.5).astype(int) if columns == 1 else s.argmax(axis=1) for s, _ in sites]
    said = np.concatenate([one.ravel() for one in said])
    are = np.concatenate([masks.ravel() for _, masks in sites])
    iou = metrics.jaccard_score(are, said, labels=range(n), average=None, zero_division=0)
    of_class = metrics.precision_recall_fscore_support(are, said, labels=range(n), zero_division=0)
    dice = np.array([2 * ((are == c) & (said == c)).sum() / max(((are == c).sum() + (said == c).sum()), 1) for c in range(n)])
    assert np.allclose(dice, of_class[2], atol=1e-15)
    there = [c for c in range(1, n) if (are == c).any() or (said == c).any()]
    average = lambda kind: [
        *metrics.precision_recall_fscore_support(are, said, average=kind, zero_division=0)[:3],
        metrics.jaccard_score(are, said, average=kind, zero_division=0),
    ]
    return {
        "name": name,
        "columns": columns,
        "voxels": sites[0][1].shape[1],
        "sites": [{"scores": s.ravel().tolist(), "masks": m.ravel().tolist()} for s, m in sites],
        "metrics": {"dice": dice[there].mean(), "iou": iou[there].mean()} if there else {},
        "classes": np.column_stack([*of_class[:3], iou, of_class[3]]).tolist(),
        "averages": {kind: average(kind) for kind in ["micro", "macro", "weighted"]},
    }


SIZES = [3, 1, 4, 2, 5]
make = lambda columns, classes, strength, labels=None: [site(n, 12, classes, columns, strength, labels) for n in SIZES]
CASES = [
    case("two classes", make(2, 2, 1.0), 2),
    case("one score a voxel", make(1, 2, 1.0), 1),
    case("four classes", make(4, 4, 1.5), 4),
    case("five classes, one is not", make(5, 5, 1.5, [0, 1, 2, 4]), 5),
    case("all wrong", [(1.0 - np.moveaxis(np.eye(2)[m], -1, 1), m) for _, m in make(2, 2, 1.0)], 2),
    case("all right", [(np.moveaxis(np.eye(3)[m], -1, 1), m) for _, m in make(3, 3, 1.0)], 3),
    case("background alone", [(np.moveaxis(np.eye(2)[m * 0], -1, 1), m * 0) for _, m in make(2, 2, 1.0)], 2),
]
TARGET.write_text("[\n" + ",\n".join(json.dumps(one) for one in CASES) + "\n]\n")
