"""FastAPI and ONNX Runtime. /predict accepts JSON. /predict_binary accepts the float32 values of all rows."""

import numpy as np
from fastapi import FastAPI, Request, Response
from onnx_model import OnnxModel
from pydantic import BaseModel

app = FastAPI()
model = OnnxModel()
shape = (-1, *model.session.get_inputs()[0].shape[1:])


class Instances(BaseModel):
    instances: list[list[float]]


class Predictions(BaseModel):
    predictions: list[int]
    probabilities: list[list[float]]


@app.get("/health")
async def health() -> str:
    return "ok"


@app.post("/predict")
async def predict(body: Instances) -> Predictions:
    return Predictions(**model.predict(body.instances))


@app.post("/predict_binary")
async def predict_binary(request: Request) -> Response:
    rows = np.frombuffer(await request.body(), np.float32).reshape(shape)
    _, scores = model.run(rows)
    return Response(scores.tobytes(), media_type="application/octet-stream")
