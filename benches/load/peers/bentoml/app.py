"""BentoML and ONNX Runtime, one worker per processor: bentoml serve app:Predictor."""

import os
from typing import Any

import bentoml
from onnx_model import OnnxModel


@bentoml.service(workers=os.cpu_count(), logging={"access": {"enabled": False}})
class Predictor:
    def __init__(self) -> None:
        self.model = OnnxModel()

    @bentoml.api
    def predict(self, instances: list[Any]) -> dict[str, Any]:
        return self.model.predict(instances)
