"""Train the online-sales model, which predicts whether a visitor of the shop buys.

Prints the figures for held-out rows, and writes the model as ONNX and a golden file
with scikit-learn's predictions on a grid of visitors. Writes nothing if the exported
model's predictions differ from these. Exits with 2 if the data is unusable.
"""

import argparse
import itertools
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from pandas.api.types import is_integer_dtype
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, classification_report, precision_score, recall_score
from sklearn.model_selection import train_test_split

from metadata import describe, features_of

ROOT = Path(__file__).resolve().parent.parent
TARGET = "converted"
FEATURES = {
    "age": {"description": "Age of the visitor", "unit": "years", "example": 21},
    "new_user": {"description": "1 on the visitor's first visit, 0 when returning", "example": 1},
    "total_pages_visited": {
        "description": "Pages the visitor opened during the session",
        "unit": "pages",
        "example": 14,
    },
}
CLASSES = {0: "does not buy", 1: "buys"}
# Each start of the server checks these rows, so they are few: on both sides of the boundary, and far from it.
GOLDEN = [(21, 1, 14), (45, 0, 5), (36, 0, 10), (123, 0, 29)]
MIN_ROWS = 10
TOLERANCE = 1e-6


def load(path: Path) -> pd.DataFrame:
    """Read the columns that are used. Raises OSError or ValueError with a message for the user."""
    wanted = [*FEATURES, TARGET]
    frame = pd.read_csv(path)
    missing = [column for column in wanted if column not in frame]
    if missing:
        raise ValueError(
            f"expected the columns {', '.join(wanted)}; "
            f"missing: {', '.join(missing)}; found: {', '.join(map(str, frame.columns))}"
        )
    unusable = [c for c in wanted if not is_integer_dtype(frame[c])]
    if unusable:
        raise ValueError(f"expected an integer in every row of: {', '.join(unusable)}")
    rows = frame[TARGET].value_counts()
    if set(rows.index) != set(CLASSES) or rows.min() < MIN_ROWS:
        raise ValueError(f"{TARGET}: expected 0 or 1, and at least {MIN_ROWS} rows of each")
    return frame[wanted]


def train(frame: pd.DataFrame) -> tuple[LogisticRegression, onnx.ModelProto]:
    """Fit on 70% of the rows, print the figures for the rest, and export."""
    seen, held_out = train_test_split(frame, test_size=0.3, random_state=555, stratify=frame[TARGET])
    X = seen[[*FEATURES]]
    classifier = LogisticRegression(class_weight="balanced").fit(X.to_numpy(), seen[TARGET])

    y = held_out[TARGET]
    predictions = classifier.predict(held_out[[*FEATURES]].to_numpy())
    metrics = {
        "accuracy": accuracy_score(y, predictions),
        "precision": precision_score(y, predictions),
        "recall": recall_score(y, predictions),
    }
    print(classification_report(y, predictions))
    print("coefficients", *classifier.coef_[0])
    print("intercept   ", *classifier.intercept_)
    print("accuracy    ", metrics["accuracy"])

    model = to_onnx(classifier, X[:1].to_numpy(np.float32))
    model.opset_import.sort(key=lambda opset: opset.domain)  # exported in hash order
    describe(
        model,
        name="online-sales",
        description="Predicts whether a visitor of an online shop buys something during the visit.",
        version=1,
        features=features_of(X, **FEATURES),
        classes=CLASSES,
        metrics=metrics,
        golden=[golden_row(classifier, row) for row in GOLDEN],
    )
    return classifier, model


def golden_row(classifier: LogisticRegression, row: tuple) -> dict:
    """Return a golden row: one visitor and the classifier's prediction."""
    X = np.array([row])
    return {
        "inputs": dict(zip(FEATURES, row, strict=True)),
        "outputs": {
            "prediction": int(classifier.predict(X)[0]),
            "probabilities": {
                str(label): float(probability)
                for label, probability in zip(classifier.classes_, classifier.predict_proba(X)[0], strict=True)
            },
        },
    }


def prediction_grid(classifier: LogisticRegression) -> pd.DataFrame:
    """Return the classifier's predictions on a grid that extends well beyond the training range."""
    ages = sorted({*range(0, 131, 5), 17, 21})
    pages = [*range(31), *range(35, 61, 5)]
    grid = pd.DataFrame(itertools.product(ages, (0, 1), pages), columns=[*FEATURES])
    X = grid.to_numpy()
    probabilities = classifier.predict_proba(X)
    return grid.assign(
        prediction=classifier.predict(X),
        **{f"probability_{label}": probabilities[:, i] for i, label in enumerate(classifier.classes_)},
    )


def difference(model: bytes, golden: pd.DataFrame) -> float:
    """Return the largest difference between the exported model's and the golden probabilities.

    It is infinite if a label differs.
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(None, {"X": golden[[*FEATURES]].to_numpy(np.float32)})
    if (labels != golden["prediction"]).any():
        return np.inf
    expected = golden[[f"probability_{label}" for label in CLASSES]].to_numpy()
    return np.abs(pd.DataFrame(probabilities)[[*CLASSES]].to_numpy() - expected).max()


def write(path: Path, content: bytes) -> None:
    """Replace the content of `path` atomically: a reader sees either the old or the new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    print("wrote", path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="CSV with the columns " + ", ".join([*FEATURES, TARGET]))
    parser.add_argument("--out", type=Path, default=ROOT / "model.onnx")
    parser.add_argument("--golden", type=Path, default=ROOT / "tests/cases/online-sales/golden.csv")
    args = parser.parse_args()

    try:
        frame = load(args.data)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        print(f"{args.data}: {reason}", file=sys.stderr)
        return 2

    classifier, model = train(frame)
    content = model.SerializeToString(deterministic=True)
    golden = prediction_grid(classifier)
    largest = difference(content, golden)
    print(f"largest difference between ONNX and scikit-learn on {len(golden)} visitors: {largest:.2g}")
    if not largest <= TOLERANCE:
        print(f"the exported model differs by more than {TOLERANCE:g}; nothing written", file=sys.stderr)
        return 1
    write(args.out, content)
    write(args.golden, golden.to_csv(index=False, lineterminator="\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
