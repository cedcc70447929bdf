"""Tests with slow clients. They do not slow down other clients, and the server disconnects them after a time limit."""

import itertools
import selectors
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

import harness
from harness import HOST, PATIENCE, ROW, wrk

CONNECTIONS = 1000
# The connections of the attack are divided into this many groups. Each group sends once per second.
TURNS = 20
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
ATTACKS = {
    "headers": HEAD + b"X: ",
    "body": HEAD + b"Content-Length: 100000\r\n\r\n[",
}


def slowloris(server, beginning, open_files):
    """Returns a function for `in_background` that keeps connections open. Each connection sends a byte per second. The
    function opens a connection again if the server closes it, and appends the number of the server's open files to
    `open_files` four times per second.
    """

    def run(stop):
        with selectors.DefaultSelector() as selector:

            def connect():
                connection = socket.create_connection((HOST, server.port), PATIENCE)
                connection.sendall(beginning)
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ)
                return connection

            connections = [connect() for _ in range(CONNECTIONS)]
            for at in itertools.cycle(range(TURNS)):
                if stop.wait(1 / TURNS):
                    break
                if at % 5 == 0:
                    open_files.append(server.descriptors())
                for connection in connections[at::TURNS]:
                    with suppress(BlockingIOError, ConnectionError):
                        connection.send(b" ")
                for key, _ in selector.select(0):
                    # The server has sent a response, or has closed the connection.
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    connections[connections.index(key.fileobj)] = connect()
            for connection in connections:
                connection.close()

    return run


def test_slowloris(serve, speed_figure, is_long):
    rounds, seconds = (10, 10) if is_long else (3, 5)
    server = serve()
    wrk(server, 1, 16, ROW)
    ratios = {attack: [] for attack in ATTACKS}
    for _ in range(rounds):
        alone = wrk(server, seconds, 16, ROW)
        assert alone["refused"] == alone["broken"] == 0, alone
        for attack, beginning in ATTACKS.items():
            open_files = []
            with harness.in_background(slowloris(server, beginning, open_files)):
                assert harness.eventually(lambda: server.descriptors() > CONNECTIONS * 0.9), (
                    "the attack does not begin"
                )
                among = wrk(server, seconds, 16, ROW)
            assert not is_long or statistics.median(open_files) > CONNECTIONS * 0.6, open_files
            assert among["refused"] == among["broken"] == 0, among
            ratios[attack].append(among["rate"] / alone["rate"])
            assert harness.eventually(lambda: server.descriptors() < CONNECTIONS * 0.1), (
                "the connections of the attack are still open"
            )
    for attack, found in ratios.items():
        ratio = statistics.median(found)
        speed_figure(
            f"throughput among {CONNECTIONS} slow clients ({attack})",
            f"{ratio:.2f} of the throughput without them ({', '.join(f'{one:.2f}' for one in found)})",
            ">= 0.9",
            ratio >= 0.9,
        )


HEALTH = harness.request("GET", "/healthz")
# For each kind of slow client: the bytes that it sends at once, the number of responses to them, and the bytes that it
# then sends every 0.2 s.
SLOW = {
    "first headers": (HEAD + b"X: ", 0, b" "),
    "first headers, silent": (HEAD + b"X: ", 0, b""),
    "second headers": (HEALTH + HEAD + b"X: ", 1, b" "),
    "second headers, silent": (HEALTH + HEAD + b"X: ", 1, b""),
    "body": (HEAD + b"Content-Length: 1000\r\n\r\n[", 0, b" "),
    "body, silent": (HEAD + b"Content-Length: 1000\r\n\r\n[", 0, b""),
    "chunked body": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", 0, b"1\r\n \r\n"),
    "chunked body that is not read": (
        HEALTH[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
        1,
        b"1\r\n \r\n",
    ),
    "empty lines before a request": (HEALTH, 1, b"\r\n"),
    "body that is not read": (HEALTH[:-2] + b"Content-Length: 1000\r\n\r\n", 1, b" "),
    "second body": (HEALTH + HEAD + b"Content-Length: 1000\r\n\r\n[", 1, b" "),
}


def test_slow_clients(serve, figure):
    """Checks that a client cannot extend a timeout by sending a byte now and then: the server closes the connection."""
    server = serve("--header-timeout", "2", "--request-timeout", "2", "--keep-alive", "2")

    def send(beginning, responses, more):
        # The measurement begins before the server's own clock starts, so the result is never less than the server's
        # timeout.
        start, ended = time.monotonic(), False
        with server.connect() as connection:
            connection.send(beginning)
            found = [connection.response().status for _ in range(responses)]
            with selectors.DefaultSelector() as selector:
                selector.register(connection.socket, selectors.EVENT_READ)
                while not ended and time.monotonic() < start + PATIENCE:
                    with suppress(ConnectionError):
                        connection.send(more)
                    if selector.select(0.2):
                        try:
                            found.append(connection.response().status)
                            assert len(found) <= responses + 1, found
                        except harness.Closed:
                            ended = True
            return found, ended, time.monotonic() - start

    with ThreadPoolExecutor(len(SLOW)) as pool:
        results = pool.map(lambda slow: send(*slow), SLOW.values())
    for (slow, (_, responses, _)), (found, ended, took) in zip(SLOW.items(), results):
        # The server may close a connection without a response if the headers of a second request are incomplete. It also
        # does not wait for the rest of a body that it does not read.
        expected = [[200] * responses + [408], *([[200]] if responses else [])]
        figure(
            f"slow for 2 s: {slow}",
            f"{found}, {'ended' if ended else 'open'} after {took:.1f} s",
            "408, ended after at least 2 s",
            # The server's clock counts half seconds.
            found in expected and ended and (responses or took >= 1.4),
        )


@pytest.mark.parametrize("model", ["embedded", "slow"])
def test_half_closed(serve, figure, slow_model, model):
    """Checks that a client gets the response even if it shuts down its sending side after the request."""
    server = serve(model=slow_model) if model == "slow" else serve()
    row = harness.SLOW_ROW if model == "slow" else ROW
    found = []
    for rows in ([row], [row] * 20):
        with server.connect() as connection:
            connection.send(harness.request("POST", "/predict", harness.as_json(rows)))
            connection.socket.shutdown(socket.SHUT_WR)
            try:
                response = connection.response()
                found.append(response.status == 200 and len(response.json()) == len(rows))
            except harness.Closed:
                found.append(False)
    figure("responses to clients that shut down their sending side", f"{sum(found)} of {len(found)}", "all", all(found))
