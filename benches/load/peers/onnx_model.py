"""Runs the ONNX file that the variable MODEL names, with ONNX Runtime."""

import os

import numpy as np
import onnxruntime


class OnnxModel:
    """A session with one thread, because each server has one process per processor."""

    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0].name

    def run(self, rows):
        """Returns labels and scores. If the model has no labels, they are the indices of the largest scores."""
        *labels, scores = self.session.run(None, {self.input: np.asarray(rows, np.float32)})
        return labels[0] if labels else scores.argmax(axis=1), scores

    def predict(self, rows):
        labels, scores = self.run(rows)
        return {"predictions": labels.tolist(), "probabilities": scores.tolist()}
