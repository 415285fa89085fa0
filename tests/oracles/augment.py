"""What `[data.augment]` makes of rows, by NumPy's flip, rot90 and pad, for the tests of
host/training/src/augment.rs; and the rows of epochs that are drawn by class, for those of its loader.

Run: python3 tests/oracles/augment.py > tests/data/augment_numpy.json
"""
import json
import struct
import sys

import numpy as np
from seeds_and_shuffle import below, chacha20_words, seed

ROUND = struct.pack("<I", 1)


def word(words):
    return next(words) | next(words) << 32


def fraction(words):
    return (word(words) >> 11) / 2**53


def moved(x, flips, turns, shift, crop):
    """The last three axes are depth, height and width."""
    x = np.flip(x, [axis for axis, is_flipped in zip((-3, -2, -1), flips) if is_flipped])
    x = np.rot90(x, turns, axes=(-2, -1))
    if crop:
        around = [(0, 0)] * (x.ndim - 3) + [(crop, crop)] * 3
        padded = np.pad(x, around, mode="edge")
        depth, height, width = x.shape[-3:]
        z, y, w = (crop + s for s in shift)
        x = padded[..., z : z + depth, y : y + height, w : w + width]
    return x


def change(row, mask, augment, n):
    words = chacha20_words(seed("augment", 42, ROUND), n)
    flips = [
        axis in augment.get("flip", []) and word(words) & 1 == 1
        for axis in ("depth", "height", "width")
    ]
    turns = word(words) & 3 if augment.get("rotate90") else 0
    crop = augment.get("crop", 0)
    shift = [below(words, 2 * crop + 1) - crop for _ in range(3)] if crop else [0, 0, 0]
    row, mask = moved(row, flips, turns, shift, crop), moved(mask, flips, turns, shift, crop)
    scale, add = 1.0, 0.0
    if "intensity" in augment:
        low, high = augment["intensity"]["scale"]
        scale = low + (high - low) * fraction(words)
        low, high = augment["intensity"]["shift"]
        add = low + (high - low) * fraction(words)
    values = row.astype(np.float64).ravel() * scale + add
    if "noise" in augment:
        for at in range(0, len(values), 2):
            radius = np.sqrt(-2 * np.log(1 - fraction(words)))
            angle = 2 * np.pi * fraction(words)
            normals = radius * np.array([np.cos(angle), np.sin(angle)])
            values[at : at + 2] += augment["noise"] * normals[: len(values) - at]
    return values.astype(np.float32), mask


def case(shape, augment, first, n_rows):
    """`shape` is channels, depth, height and width; the mask has one channel."""
    rows, masks, changed, changed_masks = [], [], [], []
    for n in range(n_rows):
        size = int(np.prod(shape))
        row = (np.arange(size, dtype=np.float32) + 100 * n).reshape(shape)
        mask = np.arange(size // shape[0]).reshape(1, *shape[1:]) + 7 * n
        new, new_mask = change(row, mask, augment, first + n)
        rows += row.ravel().tolist()
        masks += mask.ravel().tolist()
        changed += new.tolist()
        changed_masks += new_mask.ravel().tolist()
    return {
        "shape": shape, "augment": augment, "first": first, "rows": rows, "masks": masks,
        "changed": changed, "changed_masks": changed_masks,
    }


def by_class(classes, n_epochs):
    words = chacha20_words(seed("shuffle", 42, ROUND))
    groups = [[row for row, c in enumerate(classes) if c == wanted] for wanted in sorted(set(classes))]
    draw = lambda group: group[below(words, len(group))]
    return [[draw(groups[below(words, len(groups))]) for _ in classes] for _ in range(n_epochs)]


if __name__ == "__main__":
    intensity = {"scale": [0.5, 1.5], "shift": [-1.0, 2.0]}
    every = {"flip": ["depth", "height", "width"], "rotate90": True, "crop": 2}
    classes = [0, 0, 0, 0, 0, 0, 3, 1, 0, 1]
    json.dump(
        {
            "cases": [
                case([2, 1, 4, 4], {"flip": ["height", "width"]}, 0, 6),
                case([1, 1, 4, 4], {"rotate90": True}, 3, 8),
                case([3, 1, 3, 5], {"crop": 2}, 0, 6),
                case([1, 3, 4, 4], every, 1000, 8),
                case([1, 1, 3, 5], {"intensity": intensity}, 0, 3),
                case([1, 1, 3, 5], {"noise": 0.25}, 5, 3),
                case([2, 2, 4, 4], {**every, "intensity": intensity, "noise": 0.5}, 2**40, 3),
            ],
            "by_class": {"classes": classes, "epochs": by_class(classes, 2)},
        },
        sys.stdout,
    )
    print()
