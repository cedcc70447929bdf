"""Triton's client and perf_analyzer, unmodified."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

MODEL = "online-sales"
OUTPUTS = ["output_label", "output_probability"]
ROWS = np.array([[21, 1, 14], [45, 0, 5]], np.float32)


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield client


def inputs(rows=ROWS, binary=True):
    tensor = triton.InferInput("X", rows.shape, "FP32")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return [tensor]


def outputs(binary=True, **more):
    return [triton.InferRequestedOutput(name, binary_data=binary, **more) for name in OUTPUTS]


def check(result, rows=len(ROWS)):
    labels, probabilities = (result.as_numpy(name) for name in OUTPUTS)
    assert labels.dtype == np.int64 and labels.tolist() == [1, 0] * (rows // 2)
    assert probabilities.dtype == np.float32 and probabilities.shape == (rows, 2)
    np.testing.assert_allclose(probabilities[:2, 1], [0.9667072, 0.03583306], rtol=1e-5)


def test_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata(MODEL)
    assert metadata["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 3]}]
    assert client.get_model_config(MODEL)["max_batch_size"] == 0
    assert [model["name"] for model in client.get_model_repository_index()] == [MODEL]


def test_the_default_call(client):
    check(client.infer(MODEL, inputs()))


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_json_and_binary_in_both_directions(client, binary_in, binary_out):
    result = client.infer(
        MODEL, inputs(binary=binary_in), outputs=outputs(binary_out), request_id="7", model_version="1"
    )
    check(result)
    assert result.get_response()["id"] == "7"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compression(client, algorithm, binary):
    rows = np.tile(ROWS, (5000, 1))
    result = client.infer(
        MODEL,
        inputs(rows, binary),
        outputs=outputs(binary),
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    check(result, len(rows))


def test_asynchronous_calls(client):
    calls = [client.async_infer(MODEL, inputs()) for _ in range(20)]
    for call in calls:
        check(call.get_result())


@pytest.mark.parametrize("binary", [True, False])
def test_classification(client, binary):
    output = triton.InferRequestedOutput(OUTPUTS[1], binary_data=binary, class_count=2)
    found = client.infer(MODEL, inputs(), outputs=[output]).as_numpy(OUTPUTS[1])
    assert found.shape == (2, 2)
    first = found[0, 0]
    value, index, label = (first.decode() if isinstance(first, bytes) else first).split(":")
    assert (index, label) == ("1", "1")
    assert float(value) == pytest.approx(0.9667072, rel=1e-5)


def test_statistics(client):
    count = lambda: client.get_inference_statistics(MODEL)["model_stats"][0]["inference_count"]
    before = count()
    check(client.infer(MODEL, inputs()))
    assert count() == before + len(ROWS)
    assert len(client.get_inference_statistics()["model_stats"]) == 1


def test_errors_have_status_and_message(client):
    for call, status, text in [
        (lambda: client.get_model_config("other"), "404", "`online-sales`"),
        (lambda: client.infer("other", inputs()), "404", "`online-sales`"),
        (lambda: client.infer(MODEL, inputs(), model_version="2"), "404", "version"),
        (lambda: client.infer(MODEL, inputs(np.zeros((1, 4), np.float32))), "400", "[?, 3]"),
        (lambda: client.load_model(MODEL), "400", "cannot load or unload models"),
        (lambda: client.unload_model(MODEL), "400", "cannot load or unload models"),
        (lambda: client.get_trace_settings(), "404", "/v2/trace"),
    ]:
        with pytest.raises(InferenceServerException) as error:
            call()
        assert error.value.status() == status
        assert text in error.value.message()


def test_strings_in_both_directions(tmp_path):
    from conftest import serve

    city = np.array([["São Paulo"], [""]], object)
    image = np.array([[[1, 2], [3, 4]], [[0, 0], [0, 0]]], np.float32)
    values = {
        "x": (np.array([[1, 2], [3, 4]], np.float32), "FP32"),
        "count": (np.array([[4], [8]], np.int64), "INT64"),
        "flag": (np.array([[True], [False]]), "BOOL"),
        "city": (city, "BYTES"),
        "image": (image, "FP32"),
    }
    with serve(tmp_path / "stderr", "mixed") as server:
        client = triton.InferenceServerClient(server.url.removeprefix("http://"))
        for binary in (True, False):
            inputs = []
            for name, (value, datatype) in values.items():
                inputs.append(triton.InferInput(name, value.shape, datatype))
                inputs[-1].set_data_from_numpy(value, binary_data=binary)
            outputs = [triton.InferRequestedOutput(name, binary) for name in ("score", "echo")]
            result = client.infer("mixed", inputs, outputs=outputs)
            assert result.as_numpy("score").tolist() == [[2.5], [7.0]]
            echo = [text.decode() if isinstance(text, bytes) else text for text in result.as_numpy("echo").ravel()]
            assert echo == ["São Paulo", ""]
        client.close()


# With JSON, perf_analyzer sends one row even if --shape has several rows.
@pytest.mark.parametrize("tensor_format, rows", [("binary", 4), ("json", 1)])
def test_perf_analyzer(server, tensor_format, rows):
    import nvidia.cuda_runtime

    libraries = Path(next(iter(nvidia.cuda_runtime.__path__))) / "lib"
    command = [
        Path(sys.executable).parent / "perf_analyzer",
        *("-m", MODEL, "-u", server.url.removeprefix("http://"), "-i", "http"),
        *("--shape", f"X:{rows},3", "--request-count", "200"),
        *("--input-tensor-format", tensor_format, "--output-tensor-format", tensor_format),
    ]
    run = subprocess.run(
        command,
        env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout
    assert "Request count: 200" in run.stdout and "Throughput:" in run.stdout, run.stdout
    assert "rror" not in run.stdout, run.stdout
