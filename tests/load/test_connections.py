"""Tests with connections that clients open and close quickly, and with pipelined requests."""

import time

import harness
from harness import JSON, ROW

# The bytes that a client sends before it disconnects: nothing, part of the headers, part of the body, or a whole request.
SENT = [
    b"",
    b"POST /predict HTTP/1.1\r\nHost: local",
    harness.request("POST", "/predict", b'{"age"', content_length=100),
    harness.request("POST", "/predict", harness.as_json(ROW)),
]
PIPELINED = 100


def test_connects_and_drops(serve, figure, speed_figure, is_long):
    drops = 100_000 if is_long else 10_000
    server = serve()
    meanwhile = []

    def predict(stop):
        while not stop.wait(0.01):
            start = time.monotonic()
            status = server.predict().status
            meanwhile.append((status, time.monotonic() - start))

    server.predict()
    before = server.descriptors()
    start = time.monotonic()
    with harness.in_background(predict):
        for number in range(drops):
            connection = server.connect()
            connection.send(SENT[number // 2 % len(SENT)])
            connection.reset() if number % 2 else connection.close()
    seconds = time.monotonic() - start
    good = sum(status == 200 for status, _ in meanwhile)
    slowest = max(took for _, took in meanwhile)
    figure(
        f"successful during {drops:,} connects and drops",
        f"{good} of {len(meanwhile)} in {seconds:.0f} s",
        "all",
        good == len(meanwhile) > 0,
    )
    speed_figure("  slowest of the successful requests", harness.ms(slowest), "<= 1 s", slowest <= 1)
    # The server waits for the rest of an incomplete body until it notices that the client has disconnected.
    back = harness.eventually(lambda: server.descriptors() <= before)
    figure("  open files before and after", f"{before}, {server.descriptors()}", "equal", back)
    assert all(server.predict().status == 200 for _ in range(100))
    gauge = "ml_app_inferences_in_flight"
    figure("  in flight afterwards", int(server.metric(gauge)), "0", server.metric(gauge) == 0)


def test_pipelining(serve, figure):
    """Checks that responses come in the order of the requests, although some predictions run on the inference pool."""
    server = serve()
    rows = [{**ROW, "age": 18 + number} for number in range(PIPELINED)]
    # Every fifth request has too many rows to run on the I/O thread.
    bodies = [harness.as_json([row] * (2000 if number % 5 == 0 else 1)) for number, row in enumerate(rows)]
    alone = [server.send("POST", "/predict", body).body for body in bodies]
    assert len(set(alone)) > PIPELINED / 2
    with server.connect() as connection:
        requests = b"".join(harness.request("POST", "/predict", body, accept=JSON) for body in bodies)
        with harness.in_background(lambda _: connection.send(requests)):
            responses = [connection.response() for _ in bodies]
    assert all(response.status == 200 for response in responses), responses
    right = sum(response.body == expected for response, expected in zip(responses, alone))
    figure(f"{PIPELINED} requests in one write: responses in order", right, str(PIPELINED), right == PIPELINED)
