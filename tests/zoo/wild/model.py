"""The description of a model of the wild zoo."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Wild:
    name: str
    family: str
    source: Path | Callable[[Path], None]
    """The ONNX file, or a function that writes it."""
    hints: dict = field(default_factory=dict)
    """How to make inputs, and the tolerance if it is an exception; see packages.toml."""
