"""KServe's client, unmodified."""

import asyncio

import numpy as np
import pytest
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceRESTClient, RESTConfig

MODEL = "online-sales"
ROWS = np.array([[21, 1, 14], [45, 0, 5]], np.float32)


@pytest.mark.parametrize("binary", [True, False])
def test_v2(server, binary):
    async def calls():
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        assert await client.is_server_ready(server.url) and await client.is_server_live(server.url)
        assert await client.is_model_ready(server.url, MODEL)
        tensor = InferInput("X", list(ROWS.shape), "FP32")
        tensor.set_data_from_numpy(ROWS, binary_data=binary)
        request = InferRequest(infer_inputs=[tensor], model_name=MODEL)
        return await client.infer(server.url, request, model_name=MODEL)

    label, probability = asyncio.run(calls()).outputs
    assert label.as_numpy().tolist() == [1, 0]
    np.testing.assert_allclose(probability.as_numpy()[:, 1], [0.9667072, 0.03583306], rtol=1e-5)


def test_v1(server):
    async def calls():
        client = InferenceRESTClient(RESTConfig(protocol="v1"))
        assert await client.is_server_live(server.url)
        assert await client.is_model_ready(server.url, MODEL)
        return await client.infer(server.url, {"instances": ROWS.tolist()}, model_name=MODEL)

    predictions = asyncio.run(calls())["predictions"]
    assert [prediction["output_label"] for prediction in predictions] == [1, 0]
