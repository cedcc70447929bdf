"""mosec and ONNX Runtime, one worker per processor: app.py --port PORT."""

import os

from mosec import Server, Worker
from onnx_model import OnnxModel


class Predictor(Worker):
    def __init__(self):
        super().__init__()
        self.model = OnnxModel()

    def forward(self, data):
        return self.model.predict(data["instances"])


if __name__ == "__main__":
    server = Server()
    server.append_worker(Predictor, num=os.cpu_count())
    server.run()
