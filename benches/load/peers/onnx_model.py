"""The ONNX file in the environment's MODEL, by ONNX Runtime."""

import os

import numpy as np
import onnxruntime


class OnnxModel:
    """One thread: each server has a process for each processor, and would share them otherwise."""

    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0].name

    def run(self, rows):
        """Labels and scores; of a model without labels they are where the scores are largest."""
        *labels, scores = self.session.run(None, {self.input: np.asarray(rows, np.float32)})
        return labels[0] if labels else scores.argmax(axis=1), scores

    def answer(self, rows):
        labels, scores = self.run(rows)
        return {"predictions": labels.tolist(), "probabilities": scores.tolist()}
