"""The servers. Each has a command that starts it, and a protocol."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import workload

PEERS = Path(__file__).resolve().parent / "peers"
WORKERS = "{processors}"


@dataclass
class Peer:
    """A server. The command, the path and the variables may contain these placeholders: {port}, {port2}, {port3},
    {processors}, {model}, {name}, {built}, {scratch}, {bin}, and for the default model {pickle} and
    {coefficients}."""

    name: str
    command: list[str]
    path: str
    protocol: object
    health: str = "/health"
    folder: str = ""
    """The folder in PEERS, and the name of the Python environment. Empty for programs of this project."""
    variables: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Path, dict[str, str]], None] | None = None
    """Writes the configuration files of the server into the folder {scratch}. The second argument contains the value
    of each placeholder."""
    default_model: bool = False
    """True if the server can serve only the default model."""
    other_model: tuple[str, ...] = ()
    """Arguments that make the server load a model other than the default model."""


def mlserver(scratch: Path, placeholders: dict[str, str]) -> None:
    """Writes the configuration files of MLServer."""
    settings = {"host": "127.0.0.1", "debug": False, "parallel_workers": int(placeholders["processors"])}
    model = {
        "name": placeholders["name"],
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": placeholders["pickle"]},
    }
    (scratch / "settings.json").write_text(json.dumps(settings))
    (scratch / "model-settings.json").write_text(json.dumps(model))


def ours(name: str, path: str, protocol: object) -> Peer:
    """Returns ml-app, measured with the given protocol."""
    serve = ["{built}/ml-app", "serve", "--host", "127.0.0.1", "--port", "{port}"]
    return Peer(name, serve, path, protocol, health="/readyz", other_model=("--model", "{model}"))


def python(folder: str, name: str, command: list[str], protocol: object = None, **more) -> Peer:
    """Returns a Python server. `more` contains further fields of Peer."""
    path = more.pop("path", "/predict")
    variables = {"MODEL": "{model}", "PYTHONPATH": str(PEERS), **more.pop("variables", {})}
    return Peer(name, command, path, protocol or workload.Instances(), folder=folder, variables=variables, **more)


INFER = "/v2/models/{name}/infer"
FASTAPI = ["{bin}/uvicorn", "app:app", "--workers", WORKERS, "--port", "{port}", "--no-access-log"]
FASTAPI += ["--log-level", "warning"]
PICKLE = {"PICKLE": "{pickle}"}

ALL = [
    ours("ml-app", "/v1/models/{name}:predict", workload.Objects()),
    ours("ml-app, OIP", INFER, workload.OpenInference()),
    ours("ml-app, OIP binary", INFER, workload.OpenInferenceBinary()),
    Peer(
        "actix-web ceiling",
        ["{built}/examples/ceiling", "{coefficients}", "{port}"],
        "/predict",
        workload.Instances(),
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
    python("fastapi", "FastAPI, binary", FASTAPI, workload.RawBinary(), path="/predict_binary"),
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
        workload.OpenInference("predict", ("predict", "predict_proba")),
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
        workload.Scores(),
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
