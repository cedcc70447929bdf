"""Connections that come and go, and requests that come in one."""

import time

import harness
from harness import JSON, ROW

# What they have sent when they go: nothing, a part of a head, of a body, a whole question.
LEFT = [
    b"",
    b"POST /predict HTTP/1.1\r\nHost: local",
    harness.request("POST", "/predict", b'{"age"', content_length=100),
    harness.request("POST", "/predict", harness.as_json(ROW)),
]
PIPELINED = 100


def test_connects_and_drops(serve, figure, speed_figure, is_long):
    drops = 100_000 if is_long else 10_000
    server = serve()
    asked = {"during": []}

    def ask(stop):
        while not stop.wait(0.01):
            start = time.monotonic()
            status = server.predict().status
            asked["during"].append((status, time.monotonic() - start))

    server.predict()
    before = server.descriptors()
    start = time.monotonic()
    with harness.meanwhile(ask):
        for number in range(drops):
            connection = server.connect()
            connection.send(LEFT[number // 2 % len(LEFT)])
            connection.reset() if number % 2 else connection.close()
    seconds = time.monotonic() - start
    good = sum(status == 200 for status, _ in asked["during"])
    slowest = max(took for _, took in asked["during"])
    figure(
        f"answered during {drops:,} connects and drops",
        f"{good} of {len(asked['during'])} in {seconds:.0f} s",
        "all",
        good == len(asked["during"]) > 0,
    )
    speed_figure("  the slowest of these", harness.ms(slowest), "<= 1 s", slowest <= 1)
    # A body that was not whole is waited for, until its client is found to be gone.
    back = harness.becomes(lambda: server.descriptors() <= before)
    figure("  open files before and after", f"{before}, {server.descriptors()}", "the same", back)
    assert all(server.predict().status == 200 for _ in range(100))
    gauge = "ml_app_inferences_in_flight"
    figure("  in flight afterwards", int(server.metric(gauge)), "0", server.metric(gauge) == 0)


def test_pipelining(serve, figure):
    """Answers come in the order of the requests, though some are worked on elsewhere."""
    server = serve()
    rows = [{**ROW, "age": 18 + number} for number in range(PIPELINED)]
    # Every fifth is too long to be answered by the thread that reads it.
    bodies = [harness.as_json([row] * (2000 if number % 5 == 0 else 1)) for number, row in enumerate(rows)]
    alone = [server.send("POST", "/predict", body).body for body in bodies]
    assert len(set(alone)) > PIPELINED / 2
    with server.connect() as connection:
        requests = b"".join(harness.request("POST", "/predict", body, accept=JSON) for body in bodies)
        with harness.meanwhile(lambda _: connection.send(requests)):
            answers = [connection.answer() for _ in bodies]
    assert all(answer.status == 200 for answer in answers), answers
    right = sum(answer.body == expected for answer, expected in zip(answers, alone))
    figure(f"{PIPELINED} requests in one write, answered in order", right, str(PIPELINED), right == PIPELINED)
