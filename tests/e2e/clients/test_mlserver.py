"""`mlserver infer`, as it comes."""

import json
import subprocess
import sys
from pathlib import Path

MODEL = "online-sales"


def test_a_batch(server, tmp_path):
    rows = [[21, 1, 14], [45, 0, 5], [21, 1, 14]]
    asked, answered = tmp_path / "asked", tmp_path / "answered"
    tensor = {"name": "X", "shape": [1, 3], "datatype": "FP32"}
    lines = [json.dumps({"inputs": [{**tensor, "data": row}]}) for row in rows]
    asked.write_text("\n".join(lines) + "\n")
    command = [
        Path(sys.executable).parent / "mlserver",
        *("infer", "-u", server.url.removeprefix("http://"), "-m", MODEL),
        *("-i", asked, "-o", answered, "--batch-size", "2"),
    ]
    subprocess.run(command, check=True, timeout=120, cwd=tmp_path)
    answers = sorted(
        (json.loads(line) for line in answered.read_text().splitlines()),
        key=lambda answer: answer["parameters"]["batch_index"],
    )
    labels = [answer["outputs"][0]["data"] for answer in answers]
    assert labels == [[1], [0], [1]]
