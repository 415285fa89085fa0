"""The data of the scenarios: parts of the repository's tables and images, and a table of used cars."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy

EXAMPLES = Path(__file__).resolve().parents[3] / "examples/data"
TARGETS = {"breast_cancer": "benign", "diabetes": "progression", "digits": "digit", "cars": "price"}


class Files:
    """Files with the rows of all sites, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("breast_cancer", "diabetes", "digits"):
            setattr(self, name, EXAMPLES / f"{name}.csv")
        self.cars = write_table(folder / "cars.csv", _CARS, numpy.concatenate([_cars(nth) for nth in range(3)]))
        images, labels = images_of("train")
        self.images = _write_images(folder / "images.npz", images, labels)
        images, labels = images_of("t10k")
        self.held_out_images = _write_images(folder / "held_out.npz", images, labels)


def of_site(folder: Path, site: str, nth: int) -> dict[str, Path]:
    """The files of one of three sites by their tags. Sites differ: in age of their patients, in
    digits, in brand of the cars."""
    header, rows = table("breast_cancer")
    made = {"breast_cancer": write_table(folder / f"{site}-breast_cancer.csv", header, rows[nth::3])}
    for name, by in (("diabetes", "age"), ("digits", "digit")):
        header, rows = table(name)
        # Half of each site's rows are of its kind, the others of all kinds.
        order = numpy.argsort(rows[:, header.index(by)], kind="stable")
        own = numpy.array_split(order[::2], 3)[nth]
        of_all = numpy.random.default_rng(7).permutation(order[1::2])[nth::3]
        made[name] = write_table(folder / f"{site}-{name}.csv", header, rows[numpy.concatenate([own, of_all])])
    made["cars"] = write_table(folder / f"{site}-cars.csv", _CARS, _cars(nth))
    images, labels = images_of("train")
    made["images"] = _write_images(folder / f"{site}-images.npz", images[nth::3], labels[nth::3])
    return made


def images_of(part: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Images uint8 [rows, 28, 28] and labels of a part of MNIST: ``train`` or ``t10k``."""
    folder = EXAMPLES / "mnist10k"
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = numpy.frombuffer(file.read(), "uint8", offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = numpy.frombuffer(file.read(), "uint8", offset=8).astype("int64")
    return images, labels


_CARS = ["year", "mileage", "tax", "mpg", "engine_size", "is_automatic", "is_diesel", "price"]


def _cars(nth: int) -> numpy.ndarray:
    """Used cars of one of three brands: price in thousands of pounds, mileage in thousands of miles.

    Brands differ in everything: what cars cost when they were new, how old they are, how far they
    went, and which engines they have.
    """
    random = numpy.random.default_rng(100 + nth)
    n = 600
    age = numpy.minimum(random.exponential((2.5, 4.0, 6.0)[nth], n), 19).round()
    mileage = numpy.maximum(age * random.normal((9, 8, 7)[nth], 2, n) + random.exponential(2, n), 0.1)
    engine = random.choice([1.0, 1.5, 2.0, 3.0], n, p=[(0.1, 0.3, 0.4, 0.2), (0.05, 0.15, 0.5, 0.3), (0.5, 0.4, 0.1, 0.0)][nth])
    automatic = random.random(n) < (0.6, 0.8, 0.15)[nth]
    diesel = random.random(n) < (0.5, 0.6, 0.3)[nth]
    new = (14, 16, 8)[nth] + 9 * engine + 2.5 * automatic + 1.5 * diesel
    price = new * numpy.exp(-0.11 * age) * (1 - mileage / 400) + random.normal(0, 0.8, n)
    mpg = 75 - 11 * engine + 9 * diesel - 0.5 * age + random.normal(0, 3, n)
    tax = numpy.where(age > 3, 30 + 55 * engine, 145) + random.normal(0, 4, n)
    return numpy.column_stack([2020 - age, mileage, tax, mpg, engine, automatic, diesel, numpy.maximum(price, 0.5)])


def table(name: str) -> tuple[list[str], numpy.ndarray]:
    with open(EXAMPLES / f"{name}.csv") as file:
        return file.readline().strip().split(","), numpy.loadtxt(file, delimiter=",")


def write_table(path: Path, header: list[str], rows: numpy.ndarray) -> Path:
    numpy.savetxt(path, rows, "%.9g", delimiter=",", header=",".join(header), comments="")
    return path


def _write_images(path: Path, images: numpy.ndarray, labels: numpy.ndarray) -> Path:
    numpy.savez(path, image=images, label=labels)
    return path
