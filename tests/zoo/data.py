"""Data sets of scikit-learn, and random rows from them. Every run gets the same random rows."""

from functools import cache

import numpy as np
import pandas
from sklearn import datasets

LOADERS = {
    "cancer": datasets.load_breast_cancer,
    "iris": datasets.load_iris,
    "digits": datasets.load_digits,
    "diabetes": lambda: datasets.load_diabetes(scaled=False),
}
SENTENCES = [
    ("the cat sat on the mat", 0),
    ("a dog barked at the cat", 0),
    ("quick brown foxes, lazy dogs", 0),
    ("my dog likes the park", 0),
    ("birds sing in the park", 0),
    ("stock markets fell sharply today", 1),
    ("the market rallied on Friday", 1),
    ("shares of the bank rose", 1),
    ("investors sold their stock", 1),
    ("bank shares fell again", 1),
]


@cache
def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features as float32, and the target."""
    data = LOADERS[name]()
    return data.data.astype(np.float32), data.target


def rows(name: str, count: int) -> np.ndarray:
    """Returns random rows of a data set. Noise of about 1 % ensures that no value equals a threshold of a tree."""
    random = np.random.default_rng(count)
    features, _ = table(name)
    drawn = features[random.integers(0, len(features), count)]
    return (drawn * random.normal(1, 0.01, drawn.shape)).astype(np.float32)


def noise(shape: tuple[int, ...], count: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, *shape), np.float32)


def flowers(count: int) -> pandas.DataFrame:
    """Returns a table of numbers and strings, in which some numbers are missing."""
    random = np.random.default_rng(count)
    lengths, widths = random.normal([5.8, 3.0], [0.8, 0.4], (count, 2)).astype(np.float32).T
    lengths[random.random(count) < 0.1] = np.nan
    colors = random.choice(["blue", "dark blue", "red"], count).astype(object)
    sizes = random.choice(["S", "M", "L"], count).astype(object)
    return pandas.DataFrame({"length": lengths, "width": widths, "color": colors, "size": sizes})


def sentences(count: int) -> np.ndarray:
    random = np.random.default_rng(count)
    words = sorted({word for text, _ in SENTENCES for word in text.split()} | {"unseen", "Zebra"})
    return np.array([" ".join(random.choice(words, random.integers(2, 12))) for _ in range(count)], object)
