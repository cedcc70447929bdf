"""The description of a model of the zoo."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Inputs = dict[str, np.ndarray]
"""Arrays by the names of the graph's inputs. The name of a single input may be `None`."""


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
    """Why the tolerance is not 1e-5."""
