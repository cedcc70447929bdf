"""The description of a model of the zoo."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Inputs = dict[str, np.ndarray]
"""Maps the names of the graph's inputs to arrays. If there is only one input, its name may be `None`."""


@dataclass
class Model:
    name: str
    family: str
    export: Callable[[Path], None]
    """Writes the ONNX file, and its external data if it has any."""
    inputs: Callable[[int], Inputs]
    """Returns inputs with the given number of rows."""
    rows: tuple[int, ...] = (1, 7, 1000)
    tolerance: float = 1e-5
    """Maximum relative or absolute difference of a float."""
    reason: str = ""
    """The reason for a tolerance other than 1e-5."""
