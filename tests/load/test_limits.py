"""Tests every limit that is a setting. A request just below the limit succeeds. A request just above the limit gets the
documented status, in the error format of its route, and is counted."""

import json
import subprocess
import time
from contextlib import ExitStack, contextmanager

import pytest

import harness
from harness import JSON, ROW, SLOW_ROW

INSTANCE = [21, 1, 14]
NAMES = ",".join(ROW)
# Path, content type, and a function that returns a body with the given number of rows.
ROUTES = {
    "json": ("/predict", JSON, lambda rows: [ROW] * rows),
    "columns": ("/predict", JSON, lambda rows: {name: [value] * rows for name, value in ROW.items()}),
    "csv": ("/predict", "text/csv", lambda rows: f"{NAMES}\n" + "21,1,14\n" * rows),
    "ndjson": ("/predict", "application/x-ndjson", lambda rows: (json.dumps(ROW) + "\n") * rows),
    "form": (
        "/predict_file",
        "multipart/form-data; boundary=b",
        lambda rows: form(f"{NAMES}\n" + "21,1,14\n" * rows),
    ),
    "v2": (
        "/v2/models/online-sales/infer",
        JSON,
        lambda rows: {"inputs": [{"name": "X", "shape": [rows, 3], "datatype": "FP32", "data": INSTANCE * rows}]},
    ),
    "v1": ("/v1/models/online-sales:predict", JSON, lambda rows: {"instances": [INSTANCE] * rows}),
    "vertex": (
        "/v1/endpoints/1/deployedModels/1:predict",
        JSON,
        lambda rows: {"instances": [INSTANCE] * rows},
    ),
    "sagemaker": ("/invocations", "text/csv", lambda rows: "21,1,14\n" * rows),
}
every_route = pytest.mark.parametrize("route", ROUTES)


def form(file):
    head = 'Content-Disposition: form-data; name="file"; filename="f.csv"'
    return f"--b\r\n{head}\r\n\r\n{file}\r\n--b--\r\n"


def encoded_rows(route, rows):
    path, content_type, make = ROUTES[route]
    body = make(rows)
    return path, content_type, body.encode() if isinstance(body, str) else harness.as_json(body)


def send_rows(server, route, rows, pad=0):
    path, content_type, body = encoded_rows(route, rows)
    return server.send("POST", path, body + b"\n" * pad, content_type=content_type)


@contextmanager
def rejections(server, count):
    """Asserts that the server counts exactly `count` rejections while the block runs."""
    before = server.metric("ml_app_rejected_total")
    yield
    rejected = lambda: server.metric("ml_app_rejected_total") - before
    assert harness.eventually(lambda: rejected() >= count) and rejected() == count, (
        f"ml_app_rejected_total: expected {count} more, found {rejected():.0f}"
    )


@pytest.fixture
def limit(figure):
    """Returns a function that records the responses to a request below and a request above a limit."""

    def record(setting, below, above, expected, route="/predict"):
        found = [response.status for response in (below, above)]
        figure(
            f"{setting}: below, above",
            ", ".join(map(str, found)),
            f"200, {expected}",
            found == [200, expected],
        )
        assert above.is_error_of(route), above
        if expected == 503:
            assert above.has_retry_after(), above

    return record


@every_route
def test_max_body(serve, limit, route):
    size = len(encoded_rows(route, 3)[2])
    server = serve("--max-body", str(size + 10))
    below = send_rows(server, route, 3, 10)
    with rejections(server, 1):
        above = send_rows(server, route, 3, 11)
    limit(f"--max-body {size + 10} ({route})", below, above, 413, ROUTES[route][0])


def test_max_body_in_chunks(serve, limit):
    body = harness.as_json([ROW] * 3)
    server = serve("--max-body", str(len(body)))

    def send(body):
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        with server.connect() as connection:
            chunks = b"".join(
                b"%x\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7)
            )
            connection.send(head.encode() + chunks + b"0\r\n\r\n")
            return connection.response()

    below = send(body)
    with rejections(server, 1):
        above = send(body + b" ")
    limit(f"--max-body {len(body)} (in chunks)", below, above, 413)


@every_route
def test_max_rows(serve, limit, route):
    server = serve(environment={"ML_APP_MAX_ROWS": "10"})
    below = send_rows(server, route, 10)
    with rejections(server, 1):
        above = send_rows(server, route, 11)
    limit(f"ML_APP_MAX_ROWS=10 ({route})", below, above, 413, ROUTES[route][0])


@pytest.mark.parametrize("size", [4096, 65536])
def test_max_header(serve, limit, size):
    server = serve("--max-header", str(size))

    def send(size):
        bare = len(harness.request("GET", "/healthz", x=""))
        return server.send("GET", "/healthz", x="x" * (size - bare))

    # The server does not count all white space of the headers, so the sizes differ from the limit by 8 bytes.
    below = send(size - 8)
    with rejections(server, 1):
        above = send(size + 8)
    limit(f"--max-header {size}", below, above, 431)
    assert server.predict().status == 200


def test_max_header_by_default(serve, limit):
    server = serve()
    size = 32 * 1024
    limit("--max-header by default", server.predict(x="x" * (size - 500)), server.predict(x="x" * size), 431)


def cut_short(server, part):
    """Sends part of a request. Returns the response, and the seconds until the response.

    The measurement begins before the server's own clock starts, so the result is never less than the server's timeout.
    """
    start = time.monotonic()
    with server.connect() as connection:
        connection.send(part)
        response = connection.response()
        took = time.monotonic() - start
        assert connection.is_closed(), "the connection stays open"
        return response, took


def in_two_parts(server, first, rest):
    """Sends a request with a pause between its two parts. Returns the response."""
    with server.connect() as connection:
        connection.send(first)
        time.sleep(0.6)
        connection.send(rest)
        return connection.response()


def test_header_timeout(serve, figure):
    """Does not check the body of the error. A request without complete headers has no route, so no protocol determines
    the format of the error."""
    raw = harness.request("POST", "/predict", harness.as_json(ROW))
    below = in_two_parts(serve("--header-timeout", "600"), raw[:40], raw[40:])
    above, took = cut_short(serve("--header-timeout", "1"), raw[:40])
    found = f"{below.status}, {above.status} after {took:.1f} s"
    # The server's clock counts half seconds.
    is_met = below.status == 200 and above.status == 408 and took >= 0.4
    figure("--header-timeout 600, 1: below, above", found, "200, 408 after 1 s at least", is_met)


@pytest.mark.parametrize("route", ["json", "v2", "v1", "form"])
def test_request_timeout_of_a_body(serve, limit, route):
    path, content_type, body = encoded_rows(route, 1)
    raw = harness.request("POST", path, body, content_type=content_type)
    below = in_two_parts(serve("--request-timeout", "600"), raw[:-5], raw[-5:])
    server = serve("--request-timeout", "1")
    with rejections(server, 1):
        above, took = cut_short(server, raw[:-5])
    limit(f"--request-timeout 600, 1, body ({route})", below, above, 408, path)
    assert took >= 0.9, took


def rows_for(server, seconds):
    """Returns rows for which the slow model needs about this much processor time."""
    rows = [SLOW_ROW] * 10
    assert server.predict(rows).status == 200
    before = server.processor_seconds()
    for _ in range(3):
        assert server.predict(rows).status == 200
    return [SLOW_ROW] * max(1, round(30 * seconds / (server.processor_seconds() - before)))


def begin(server, rows):
    """Sends a request for a prediction. Returns the connection."""
    connection = server.connect()
    connection.send(harness.request("POST", "/predict", harness.as_json(rows)))
    return connection


def wait_for_in_flight(server, count):
    assert harness.eventually(lambda: server.metric("ml_app_inferences_in_flight") == count), (
        f"expected {count} requests in flight"
    )


def test_request_timeout_of_a_run(serve, limit, slow_model):
    patient = serve("--request-timeout", "600", "--inference-threads", "1", model=slow_model)
    below = patient.predict(rows_for(patient, 0.3))
    server = serve("--request-timeout", "1", "--inference-threads", "1", model=slow_model)
    rows = rows_for(patient, 5)
    with rejections(server, 1):
        start = time.monotonic()
        above = server.predict(rows)
        took = time.monotonic() - start
    limit("--request-timeout 600, 1, run", below, above, 503)
    assert took >= 0.9, took


def test_queue_timeout(serve, limit, slow_model):
    """A request waits for an inference thread that another request occupies: first for less than the limit, then for
    more."""
    patient = serve("--queue-timeout", "600", "--inference-threads", "1", model=slow_model)
    rows = rows_for(patient, 5)
    with begin(patient, [SLOW_ROW] * 5) as before:
        below = patient.predict(SLOW_ROW)
        assert before.response().status == 200
    server = serve("--queue-timeout", "1", "--inference-threads", "1", model=slow_model)
    with rejections(server, 1), begin(server, rows) as before:
        wait_for_in_flight(server, 1)
        start = time.monotonic()
        above = server.predict(SLOW_ROW)
        took = time.monotonic() - start
        assert before.response().status == 200, "the request on the inference thread fails"
    limit("--queue-timeout 600, 1", below, above, 503)
    assert took >= 0.9, took


def test_max_in_flight(serve, limit, slow_model):
    server = serve("--max-in-flight", "2", "--inference-threads", "1", model=slow_model)
    rows = rows_for(server, 3)
    with begin(server, [SLOW_ROW]) as first, begin(server, [SLOW_ROW]) as second:
        below = [connection.response() for connection in (first, second)]
    assert all(response.status == 200 for response in below), below
    wait_for_in_flight(server, 0)
    with begin(server, rows) as first:
        wait_for_in_flight(server, 1)
        with begin(server, [SLOW_ROW]):
            wait_for_in_flight(server, 2)
            before = server.metric("ml_app_rejected_total", reason="in_flight")
            above = server.predict(SLOW_ROW)
            # The reason `in_flight` shows that the request was not rejected because of a timeout.
            assert server.metric("ml_app_rejected_total", reason="in_flight") > before
            assert first.response().status == 200
    limit("--max-in-flight 2", below[1], above, 503)


def test_max_in_flight_of_short_predictions(serve, figure):
    """A single client with short predictions never reaches the limit."""
    server = serve("--max-in-flight", "1")
    done = harness.wrk(server, 2, 1, ROW)
    figure(
        "--max-in-flight 1, one client",
        f"{done['refused']} of {done['requests']:,} refused",
        "0",
        done["refused"] == 0 and done["requests"] > 10,
    )


def send_until(status, send):
    """Sends requests until a response has this status. Returns the last response."""
    responses = []
    harness.eventually(lambda: responses.append(send()) or responses[-1].status == status)
    return responses[-1]


def test_max_buffered(serve, limit):
    """The server buffers three bodies that lack their last byte. A large fourth body exceeds the limit, a small fourth
    body does not."""
    part = 256 * 1024
    server = serve("--max-body", "1MiB", "--max-buffered", "1MiB")
    body = harness.as_json(ROW).ljust(part)
    incomplete = harness.request("POST", "/predict", body)[:-1]
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(3)]
        for connection in connections:
            connection.send(incomplete)
        # Once the server has read the three bodies, a fourth one exceeds the limit.
        with rejections(server, 1):
            above = send_until(503, lambda: server.send("POST", "/predict", body.ljust(part + 1000)))
        below = server.send("POST", "/predict", body[: part - 1000])
        for connection in connections:
            connection.send(b" ")
        assert all(connection.response().status == 200 for connection in connections)
    limit("--max-buffered 1MiB", below, above, 503)
    assert server.send("POST", "/predict", harness.as_json(ROW).ljust(1024 * 1024)).status == 200, (
        "the space of the earlier bodies is still taken"
    )


def test_max_connections(serve, figure):
    """A connection above the limit waits until one of the other connections is closed."""
    count = 8
    server = serve("--max-connections", str(count))
    raw = harness.request("POST", "/predict", harness.as_json(ROW))
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(count)]
        for connection in connections:
            connection.send(raw)
        below = [connection.response().status for connection in connections]
        further = stack.enter_context(server.connect(timeout=1))
        further.send(raw)
        try:
            found = str(further.response().status)
        except TimeoutError:
            found = "waits"
        connections[0].close()
        # A buffered reader cannot be used after a timeout.
        further.file = further.socket.makefile("rb")
        further.socket.settimeout(harness.PATIENCE)
        after = further.response().status if found == "waits" else None
    figure(
        f"--max-connections {count}: below, above, after one is closed",
        f"{below.count(200)} succeed, {found}, {after}",
        f"{count} succeed, waits, 200",
        below.count(200) == count and found == "waits" and after == 200,
    )


def test_keep_alive(serve, figure):
    """The server keeps a connection between requests, and closes it when it has been idle for the time limit."""
    raw = harness.request("POST", "/predict", harness.as_json(ROW))
    found = []
    with serve("--keep-alive", "600").connect() as connection:
        for _ in range(3):
            time.sleep(0.6 if found else 0)
            connection.send(raw)
            found.append(connection.response().status)
    with serve("--keep-alive", "2").connect() as connection:
        start = time.monotonic()
        connection.send(raw)
        assert connection.response().status == 200
        closed = connection.is_closed()
        took = time.monotonic() - start
    figure(
        "--keep-alive 600, 2: below, above",
        f"{found}, {'closed' if closed else 'open'} after {took:.1f} s",
        "3 times 200, closed after 2 s at least",
        # The server's clock counts half seconds.
        found == [200] * 3 and closed and took >= 1.4,
    )


KEYS = ["first-key-0123456789", "second-key-0123456789", "third-key-0123456789"]


def test_api_keys(serve, figure, tmp_path):
    """Tests API keys from a file and from the environment, in both headers."""
    file = tmp_path / "keys"
    file.write_text("\n".join(KEYS) + "\n")
    servers = [
        serve("--api-key-file", file),
        serve(environment={"ML_APP_API_KEYS": f"{KEYS[0]}\n\n {KEYS[1]}\t\n{KEYS[2]}"}),
    ]
    right = [{"authorization": f"Bearer {key}"} for key in KEYS] + [{"x_api_key": key} for key in KEYS]
    wrong = [
        {},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {KEYS[0]}x"},
        {"authorization": f"Bearer {KEYS[0][:-1]}"},
        {"authorization": f"Basic {KEYS[0]}"},
        {"authorization": f"Bearer {','.join(KEYS)}"},
        {"x_api_key": ""},
        {"x_api_key": KEYS[0].upper()},
    ]
    found = {"right": [], "wrong": []}
    for server in servers:
        found["right"] += [server.predict(**headers).status for headers in right]
        for route in ("json", "v2", "v1", "sagemaker"):
            path, content_type, body = encoded_rows(route, 1)
            for headers in wrong:
                response = server.send("POST", path, body, content_type=content_type, **headers)
                assert "www-authenticate" in response.headers, response
                assert response.is_error_of(path), response
                found["wrong"].append(response.status)
        assert [server.send("GET", path).status for path in ("/healthz", "/readyz")] == [200, 200]
    figure(
        "API keys: right ones, wrong ones",
        " ".join(f"{set(statuses)}" for statuses in found.values()),
        "{200} {401}",
        set(found["right"]) == {200} and set(found["wrong"]) == {401},
    )


SETTINGS = [
    "max-rows",
    "max-header",
    "header-timeout",
    "request-timeout",
    "keep-alive",
    "max-connections",
    "max-in-flight",
    "queue-timeout",
    "max-buffered",
    "inference-threads",
]


def test_invalid_settings():
    """The server reports all invalid settings at once, and exits with code 64."""
    flags = [word for name in SETTINGS for word in (f"--{name}", "many")]
    done = subprocess.run(
        [harness.BINARY, "serve", *flags], capture_output=True, text=True, timeout=harness.PATIENCE, check=False
    )
    assert done.returncode == 64, done
    missing = [name for name in SETTINGS if f"--{name}: expected" not in done.stderr]
    assert not missing, done.stderr
