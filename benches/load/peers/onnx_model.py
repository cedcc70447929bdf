"""Runs an ONNX file with ONNX Runtime. The environment variable MODEL is the path of the file."""

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
        """Returns the labels and the scores. If the model has no output for labels, the label of a row is the index
        of its largest score."""
        *labels, scores = self.session.run(None, {self.input: np.asarray(rows, np.float32)})
        return labels[0] if labels else scores.argmax(axis=1), scores

    def predict(self, rows):
        labels, scores = self.run(rows)
        return {"predictions": labels.tolist(), "probabilities": scores.tolist()}
