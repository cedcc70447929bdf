"""Callers that have gone: nobody works for them."""

import time

import pytest

import harness
from harness import HEAVY_ROW

CALLERS = 50
# Some 0.2 s.
ROWS = [HEAVY_ROW] * 10


# What else a machine does shows in a ratio: a fault of the server's shows each time.
@pytest.mark.flaky(reruns=2)
def test_caller_gone(serve, heavy, figure):
    server = serve("--inference-threads", "1", model=heavy)
    start = time.monotonic()
    assert server.predict(ROWS).status == 200
    alone = time.monotonic() - start
    before = server.metric("ml_app_inferences_total")
    callers = [server.connect() for _ in range(CALLERS)]
    for caller in callers:
        caller.send(harness.request("POST", "/predict", harness.as_json(ROWS)))
    gauge = "ml_app_inferences_in_flight"
    assert harness.becomes(lambda: server.metric(gauge) > CALLERS * 0.9, alone * 10), "they are not there"
    for caller in callers:
        caller.reset()
    start = time.monotonic()
    answer = server.predict(ROWS, timeout=alone * CALLERS * 2)
    took = time.monotonic() - start
    assert answer.status == 200, answer
    assert harness.becomes(lambda: server.metric(gauge) == 0, alone * CALLERS * 2), "something runs"
    executed = int(server.metric("ml_app_inferences_total") - before - 1)
    figure(f"executed for {CALLERS} callers that have gone", executed, "<= 10", executed <= 10)
    figure(
        "  the next caller's answer, to that alone",
        f"{took / alone:.1f}x ({harness.ms(took)})",
        "<= 4x",
        took <= 4 * alone,
    )
