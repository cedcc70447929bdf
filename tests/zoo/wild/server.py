"""Starts the server with a model, and sends tensors over the Open Inference Protocol."""

import http.client
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path

import numpy as np

START_SECONDS = 300
"""Maximum processor time of a start. Unlike the elapsed time, it does not depend on what else the machine does."""
REQUEST_SECONDS = 120
OPTIONS = ["--host=127.0.0.1", "--port=0", "--max-body=512MiB", f"--request-timeout={REQUEST_SECONDS}"]
DATATYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
    "object": "BYTES",
}  # fmt: skip
DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}


class ServerError(Exception):
    """The server did not start, or returned an error."""


class Server:
    """A running server. Leaving the context stops it."""

    def __init__(self, binary: Path, model: Path):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [binary, "serve", "--model", model, *OPTIONS], stdout=self.log, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> "Server":
        try:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=REQUEST_SECONDS)
            self.model = json.loads(self.request("POST", "/v2/repository/index")[1])[0]["name"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def port(self) -> int:
        while self.processor_seconds() < START_SECONDS:
            ended = self.process.poll() is not None
            self.log.seek(0)
            text = self.log.read()
            if match := re.search(r"listening on http://127\.0\.0\.1:(\d+)", text):
                return int(match[1])
            if ended:
                raise ServerError(last_error(text) or f"the process ended with code {self.process.returncode}")
            time.sleep(0.02)
        raise ServerError(f"not ready after {START_SECONDS} s of processor time")

    def processor_seconds(self) -> float:
        """Returns the processor time that the server has used; see proc_pid_stat(5)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def infer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors, data = [], []
        for name, array in inputs.items():
            data.append(encode(array))
            parameters = {"binary_data_size": len(data[-1])}
            datatype = DATATYPES[str(array.dtype)]
            tensors.append({"name": name, "shape": array.shape, "datatype": datatype, "parameters": parameters})
        head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
        path = f"/v2/models/{urllib.parse.quote(self.model, safe='')}/infer"
        headers, body = self.request("POST", path, head + b"".join(data), headers)
        return decode(body, int(headers["Inference-Header-Content-Length"] or len(body)))

    def request(self, method: str, path: str, body: bytes = b"", headers: dict | None = None):
        try:
            self.connection.request(method, path, body, headers or {})
            response = self.connection.getresponse()
            content = response.read()
        except TimeoutError as error:
            raise ServerError(f"no response within {REQUEST_SECONDS} s") from error
        except (OSError, http.client.HTTPException) as error:
            self.log.seek(0)
            reason = last_error(self.log.read()) or f"{type(error).__name__}: {error}"
            raise ServerError(f"the connection broke: {reason}") from error
        if response.status != 200:
            raise ServerError(f"{response.status}: {content.decode(errors='replace')}")
        return response.headers, content


def last_error(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip() and '"severity":"INFO"' not in line]
    return " ".join(lines[:4])


def encode(array: np.ndarray) -> bytes:
    if array.dtype != object:
        return np.ascontiguousarray(array).tobytes()
    texts = [str(text).encode() for text in array.ravel()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def decode(body: bytes, head_len: int) -> dict[str, np.ndarray]:
    outputs = {}
    offset = head_len
    for tensor in json.loads(body[:head_len])["outputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        dtype = DTYPES[tensor["datatype"]]
        if size is None:
            array = np.array(tensor["data"], dtype)
        else:
            data = body[offset : offset + size]
            offset += size
            array = np.array(texts(data), object) if dtype == "object" else np.frombuffer(data, dtype)
        outputs[tensor["name"]] = array.reshape(tensor["shape"])
    return outputs


def texts(data: bytes) -> list[str]:
    found = []
    while data:
        size = int.from_bytes(data[:4], "little")
        found.append(data[4 : 4 + size].decode())
        data = data[4 + size :]
    return found
