"""Checks that the server does not run predictions whose clients have disconnected."""

import harness
from harness import SLOW_ROW

CLIENTS = 50
# The prediction of these rows takes several seconds. In this time the requests of the other clients are queued.
FIRST_ROWS = [SLOW_ROW] * 300
ROWS = [SLOW_ROW] * 10


def test_disconnected_clients(serve, slow_model, figure):
    """One request occupies the only inference thread. Meanwhile other requests arrive, and their clients disconnect."""
    server = serve(
        *("--inference-threads", "1", "--queue-timeout", "600", "--request-timeout", "600"), model=slow_model
    )
    in_flight = lambda: server.metric("ml_app_inferences_in_flight")
    assert server.predict(ROWS).status == 200
    before = server.metric("ml_app_inferences_total")
    with server.connect(timeout=600) as first:
        first.send(harness.request("POST", "/predict", harness.as_json(FIRST_ROWS)))
        assert harness.eventually(lambda: in_flight() == 1), "the first request is not executed"
        clients = [server.connect() for _ in range(CLIENTS)]
        for client in clients:
            client.send(harness.request("POST", "/predict", harness.as_json(ROWS)))
        assert harness.eventually(lambda: in_flight() == 1 + CLIENTS), "the requests are not queued"
        for client in clients:
            client.reset()
        assert harness.eventually(lambda: in_flight() <= 1), "the requests are still queued"
        assert first.response().status == 200
    assert server.predict(ROWS).status == 200
    assert harness.eventually(lambda: in_flight() == 0), "a request is still executed"
    executed = int(server.metric("ml_app_inferences_total") - before - 2)
    figure(f"executed for {CLIENTS} disconnected clients", executed, "0", executed == 0)
