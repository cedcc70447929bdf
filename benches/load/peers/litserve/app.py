"""LitServe and ONNX Runtime, one worker per processor: app.py PORT."""

import os
import sys

from litserve import LitAPI, LitServer
from onnx_model import OnnxModel


class Predictor(LitAPI):
    def setup(self, device):
        self.model = OnnxModel()

    def decode_request(self, request):
        return request["instances"]

    def predict(self, rows):
        return self.model.predict(rows)

    def encode_response(self, predictions):
        return predictions


if __name__ == "__main__":
    server = LitServer(Predictor(), accelerator="cpu", workers_per_device=os.cpu_count())
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
