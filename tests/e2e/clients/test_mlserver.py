"""`mlserver infer`, unmodified."""

import json
import subprocess
import sys
from pathlib import Path

MODEL = "online-sales"


def test_a_batch(server, tmp_path):
    rows = [[21, 1, 14], [45, 0, 5], [21, 1, 14]]
    requests, responses = tmp_path / "requests", tmp_path / "responses"
    tensor = {"name": "X", "shape": [1, 3], "datatype": "FP32"}
    lines = [json.dumps({"inputs": [{**tensor, "data": row}]}) for row in rows]
    requests.write_text("\n".join(lines) + "\n")
    command = [
        Path(sys.executable).parent / "mlserver",
        *("infer", "-u", server.url.removeprefix("http://"), "-m", MODEL),
        *("-i", requests, "-o", responses, "--batch-size", "2"),
    ]
    subprocess.run(command, check=True, timeout=600, cwd=tmp_path)
    batches = sorted(
        (json.loads(line) for line in responses.read_text().splitlines()),
        key=lambda batch: batch["parameters"]["batch_index"],
    )
    labels = [batch["outputs"][0]["data"] for batch in batches]
    assert labels == [[1], [0], [1]]
