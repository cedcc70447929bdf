"""Ray Serve and ONNX Runtime, one replica per processor: app.py PORT."""

import os
import sys

from onnx_model import OnnxModel
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse


@serve.deployment(num_replicas=os.cpu_count(), logging_config={"enable_access_log": False})
class Predictor:
    def __init__(self):
        self.model = OnnxModel()

    async def __call__(self, request: Request):
        body = await request.json()
        return JSONResponse(self.model.predict(body["instances"]))


if __name__ == "__main__":
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Predictor.bind(), route_prefix="/predict", blocking=True)
