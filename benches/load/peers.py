"""The servers: how each is started, and which protocol it is asked by."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import questions

PEERS = Path(__file__).resolve().parent / "peers"
WORKERS = "{processors}"


@dataclass
class Peer:
    """Words may have {port}, {processors}, {model}, {name}, {built}, {scratch}, {bin}, and what files the
    model has: {pickle}, {coefficients}."""

    name: str
    command: list[str]
    path: str
    protocol: object
    health: str = "/health"
    folder: str = ""
    """Of PEERS; its environment has the same name. A program of ours has none."""
    variables: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Path, dict[str, str]], None] | None = None
    """Writes what it wants to read into a folder, {scratch}."""
    default_model: bool = False
    """Serves the default model alone."""
    other_model: tuple[str, ...] = ()
    """Words that follow where it is to serve another one."""


def mlserver(scratch: Path, words: dict[str, str]) -> None:
    settings = {"host": "127.0.0.1", "debug": False, "parallel_workers": int(words["processors"])}
    model = {
        "name": words["name"],
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": words["pickle"]},
    }
    (scratch / "settings.json").write_text(json.dumps(settings))
    (scratch / "model-settings.json").write_text(json.dumps(model))


def ours(name: str, path: str, protocol: object) -> Peer:
    serve = ["{built}/ml-app", "serve", "--host", "127.0.0.1", "--port", "{port}"]
    return Peer(name, serve, path, protocol, health="/readyz", other_model=("--model", "{model}"))


def python(folder: str, name: str, command: list[str], protocol: object = None, **more) -> Peer:
    path = more.pop("path", "/predict")
    variables = {"MODEL": "{model}", "PYTHONPATH": str(PEERS), **more.pop("variables", {})}
    return Peer(name, command, path, protocol or questions.Instances(), folder=folder, variables=variables, **more)


INFER = "/v2/models/{name}/infer"
FASTAPI = ["{bin}/uvicorn", "app:app", "--workers", WORKERS, "--port", "{port}", "--no-access-log"]
FASTAPI += ["--log-level", "warning"]
PICKLE = {"PICKLE": "{pickle}"}

ALL = [
    ours("ml-app", "/v1/models/{name}:predict", questions.Objects()),
    ours("ml-app, OIP", INFER, questions.OpenInference()),
    ours("ml-app, OIP binary", INFER, questions.OpenInferenceBinary()),
    Peer(
        "actix-web ceiling",
        ["{built}/examples/ceiling", "{coefficients}", "{port}"],
        "/predict",
        questions.Instances(),
        default_model=True,
    ),
    python(
        "flask",
        "Flask",
        ["{bin}/flask", "--app", "app", "run", "--port", "{port}"],
        variables=PICKLE,
        default_model=True,
    ),
    python(
        "flask",
        "Flask, gunicorn",
        ["{bin}/gunicorn", "--workers", WORKERS, "--bind", "127.0.0.1:{port}", "--log-level", "warning", "app:app"],
        variables=PICKLE,
        default_model=True,
    ),
    python("fastapi", "FastAPI, ONNX Runtime", FASTAPI),
    python("fastapi", "FastAPI, binary", FASTAPI, questions.RawBinary(), path="/predict_binary"),
    python("litserve", "LitServe", ["{bin}/python", "app.py", "{port}"]),
    python(
        "mosec",
        "mosec",
        ["{bin}/python", "app.py", "--address", "127.0.0.1", "--port", "{port}", "--log-level", "warning"],
        path="/inference",
        health="/",
    ),
    python(
        "bentoml",
        "BentoML",
        ["{bin}/bentoml", "serve", "app:Predictor", "--host", "127.0.0.1", "--port", "{port}"],
        health="/readyz",
        variables={"BENTOML_HOME": "{scratch}", "BENTOML_DO_NOT_TRACK": "True"},
    ),
    python(
        "mlserver",
        "MLServer",
        ["{bin}/mlserver", "start", "{scratch}"],
        questions.OpenInference("predict", ("predict", "predict_proba")),
        path=INFER,
        health="/v2/health/ready",
        variables={
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{port2}",
            "MLSERVER_METRICS_PORT": "{port3}",
        },
        prepare=mlserver,
        default_model=True,
    ),
    python(
        "kserve",
        "KServe",
        ["{bin}/python", "app.py", "--http_port", "{port}", "--enable_grpc", "false", "--workers", WORKERS]
        + ["--enable_latency_logging", "false"],
        questions.Scores(),
        path="/v1/models/model:predict",
        health="/v2/health/ready",
        variables=PICKLE,
        default_model=True,
    ),
    python(
        "ray",
        "Ray Serve",
        ["{bin}/python", "app.py", "{port}"],
        health="/-/healthz",
        variables={"RAY_USAGE_STATS_ENABLED": "0"},
    ),
]
