"""Runs schemathesis, which generates requests from the OpenAPI document, with all of its checks."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import serving

HERE = Path(__file__).resolve().parent


@serving(None, "mixed")
def test_schemathesis_finds_no_error(server):
    command = [
        Path(sys.executable).parent / "schemathesis",
        *("--config-file", HERE / "schemathesis.toml"),
        *("run", f"{server.url}/openapi.json", "--seed", "1", "--max-examples", "50"),
    ]
    hooks = {**os.environ, "PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "hooks"}
    run = subprocess.run(command, env=hooks, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800)
    assert run.returncode == 0, run.stdout
