"""Clients that are slow: they cost the others nothing, and are not waited for for ever."""

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
# A turn of the attack is so much of a second.
TURNS = 20
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
ATTACKS = {
    "head": HEAD + b"X: ",
    "body": HEAD + b"Content-Length: 100000\r\n\r\n[",
}


def slowloris(server, beginning, held):
    """Keeps connections open that send a byte a second each, and opens those anew that are closed;
    `held` learns now and then how many files that costs the server."""

    def run(stop):
        with selectors.DefaultSelector() as answered:

            def connect():
                connection = socket.create_connection((HOST, server.port), PATIENCE)
                connection.sendall(beginning)
                connection.setblocking(False)
                answered.register(connection, selectors.EVENT_READ)
                return connection

            connections = [connect() for _ in range(CONNECTIONS)]
            for at in itertools.cycle(range(TURNS)):
                if stop.wait(1 / TURNS):
                    break
                if at % 5 == 0:
                    held.append(server.descriptors())
                for connection in connections[at::TURNS]:
                    with suppress(BlockingIOError, ConnectionError):
                        connection.send(b" ")
                for key, _ in answered.select(0):
                    # It has an answer, or has been closed.
                    answered.unregister(key.fileobj)
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
            held = []
            with harness.meanwhile(slowloris(server, beginning, held)):
                assert harness.becomes(lambda: server.descriptors() > CONNECTIONS * 0.9), "no attack"
                among = wrk(server, seconds, 16, ROW)
            assert not is_long or statistics.median(held) > CONNECTIONS * 0.6, f"that was no attack: {held}"
            assert among["refused"] == among["broken"] == 0, among
            ratios[attack].append(among["rate"] / alone["rate"])
            assert harness.becomes(lambda: server.descriptors() < CONNECTIONS * 0.1), (
                "they still hold files"
            )
    for attack, found in ratios.items():
        ratio = statistics.median(found)
        speed_figure(
            f"throughput among {CONNECTIONS} slow clients ({attack})",
            f"{ratio:.2f} of that without ({', '.join(f'{one:.2f}' for one in found)})",
            ">= 0.9",
            ratio >= 0.9,
        )


ASKED = harness.request("GET", "/healthz")
# What a connection has sent when it gets slow, how many answers it has then, and what it goes on with.
SLOW = {
    "first head": (HEAD + b"X: ", 0, b" "),
    "first head, silent": (HEAD + b"X: ", 0, b""),
    "second head": (ASKED + HEAD + b"X: ", 1, b" "),
    "second head, silent": (ASKED + HEAD + b"X: ", 1, b""),
    "body": (HEAD + b"Content-Length: 1000\r\n\r\n[", 0, b" "),
    "body, silent": (HEAD + b"Content-Length: 1000\r\n\r\n[", 0, b""),
    "body in chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", 0, b"1\r\n \r\n"),
    "body in chunks that nobody reads": (
        ASKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
        1,
        b"1\r\n \r\n",
    ),
    "lines before a head": (ASKED, 1, b"\r\n"),
    "body nobody reads": (ASKED[:-2] + b"Content-Length: 1000\r\n\r\n", 1, b" "),
    "second body": (ASKED + HEAD + b"Content-Length: 1000\r\n\r\n[", 1, b" "),
}


def test_slow_clients(serve, figure):
    """A byte now and then does not prolong the time for the whole: what is no request ends after the
    times for a head, a request and a pause at the latest."""
    server = serve("--header-timeout", "2", "--request-timeout", "2", "--keep-alive", "2")

    def ask(beginning, answers, more):
        # Taken before the server's own clock starts: the time measured here is never the shorter one.
        start, ended = time.monotonic(), False
        with server.connect() as connection:
            connection.send(beginning)
            found = [connection.answer().status for _ in range(answers)]
            with selectors.DefaultSelector() as answered:
                answered.register(connection.socket, selectors.EVENT_READ)
                while not ended and time.monotonic() < start + PATIENCE:
                    with suppress(ConnectionError):
                        connection.send(more)
                    if answered.select(0.2):
                        try:
                            found.append(connection.answer().status)
                            assert len(found) <= answers + 1, found
                        except harness.Closed:
                            ended = True
            return found, ended, time.monotonic() - start

    with ThreadPoolExecutor(len(SLOW)) as pool:
        results = pool.map(lambda slow: ask(*slow), SLOW.values())
    for (slow, (_, answers, _)), (found, ended, took) in zip(SLOW.items(), results):
        # A second head may be cut short without an answer, and what nobody reads is not waited for.
        expected = [[200] * answers + [408], *([[200]] if answers else [])]
        figure(
            f"slow for 2 s: {slow}",
            f"{found}, {'ended' if ended else 'open'} after {took:.1f} s",
            "408, ended after 2 s at least",
            # The server's clock counts half seconds.
            found in expected and ended and (answers or took >= 1.4),
        )


@pytest.mark.parametrize("model", ["embedded", "heavy"])
def test_half_closed(serve, figure, heavy, model):
    """A client that has asked may shut its side, and still gets its answer."""
    server = serve(model=heavy) if model == "heavy" else serve()
    row = harness.HEAVY_ROW if model == "heavy" else ROW
    found = []
    for rows in ([row], [row] * 20):
        with server.connect() as connection:
            connection.send(harness.request("POST", "/predict", harness.as_json(rows)))
            connection.socket.shutdown(socket.SHUT_WR)
            try:
                answer = connection.answer()
                found.append(answer.status == 200 and len(answer.json()) == len(rows))
            except harness.Closed:
                found.append(False)
    figure("answered though the client shut its side", f"{sum(found)} of {len(found)}", "all", all(found))
