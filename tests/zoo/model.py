"""What a model of the zoo is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Inputs = dict[str, np.ndarray]
"""Arrays by the names of the graph's inputs; a single one may be called `None`."""


@dataclass
class Model:
    name: str
    family: str
    export: Callable[[Path], None]
    """Writes the ONNX file, and what belongs beside it."""
    inputs: Callable[[int], Inputs]
    """Inputs of so many rows."""
    rows: tuple[int, ...] = (1, 7, 1000)
    tolerance: float = 1e-5
    """Of floats, relative or absolute."""
    reason: str = ""
    """Why the tolerance is another than 1e-5."""
