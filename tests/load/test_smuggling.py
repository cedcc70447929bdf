"""Tests request smuggling: a proxy and the server disagree about the end of a request, so that a part of the request
becomes a second request. The server must not respond to a second request in any of these probes.

Sections 2, 3, 5, 6 and 7 of <https://www.rfc-editor.org/rfc/rfc9112> specify how a server handles each probe.
"""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import Closed

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
SIZE = len(SMUGGLED)
# Time in seconds after which a connection counts as open.
OPEN_SECONDS = 60

# The permitted outcomes of a probe.
# The server responds with a 4xx, 501 or 505, and closes the connection.
REJECTED = "rejected"
# The server sends one response, and closes the connection.
LAST = "one response, then closed"
# The server sends one response. The connection may stay open, because the whole probe is one request.
ONE = "one response"


def post(*fields, body=SMUGGLED, line=b"POST /predict HTTP/1.1", host=b"Host: localhost"):
    lines = [line, *([host] if host else []), b"Content-Type: application/json", *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


LENGTH = b"Content-Length: %d" % SIZE
# Read as chunks, the body is empty, and the smuggled request follows it. Read by its length, the body contains the
# smuggled request.
CHUNKS = b"0\r\n\r\n" + SMUGGLED
CHUNKS_LENGTH = b"Content-Length: %d" % len(CHUNKS)
CHUNKED = b"Transfer-Encoding: chunked"


def both(*codings):
    """Returns a request with a length and with transfer codings. The server may use either, but must close the
    connection."""
    return post(CHUNKS_LENGTH, *codings, body=CHUNKS)


def chunks(body):
    return post(CHUNKED, body=body)


PROBES = {
    # 6.1, 6.3: length and coding.
    "length and coding": (LAST, both(CHUNKED)),
    "coding and length": (LAST, post(CHUNKED, CHUNKS_LENGTH, body=CHUNKS)),
    "short length and coding": (LAST, post(b"Content-Length: 5", CHUNKED, body=CHUNKS)),
    "coding in odd case": (LAST, both(b"tRANSFER-eNCODING: cHUNKED")),
    "coding after a tab": (LAST, both(b"Transfer-Encoding:\tchunked")),
    "coding without a space": (LAST, both(b"Transfer-Encoding:chunked")),
    "coding before spaces": (LAST, both(b"Transfer-Encoding: chunked \t ")),
    "space before the colon": (REJECTED, both(b"Transfer-Encoding : chunked")),
    "tab before the colon": (REJECTED, both(b"Transfer-Encoding\t: chunked")),
    "space before the name": (REJECTED, both(b" Transfer-Encoding: chunked")),
    "vertical tab": (REJECTED, both(b"Transfer-Encoding: \x0bchunked")),
    "null after the coding": (REJECTED, both(b"Transfer-Encoding: chunked\x00")),
    "return in the field": (REJECTED, both(b"Transfer-Encoding: chunked\rX: y")),
    "unknown coding": (REJECTED, both(b"Transfer-Encoding: xchunked")),
    "unknown coding alone": (REJECTED, post(b"Transfer-Encoding: xchunked", body=CHUNKS)),
    "identity": (REJECTED, both(b"Transfer-Encoding: identity")),
    "no coding": (REJECTED, both(b"Transfer-Encoding:")),
    "chunked, identity": (REJECTED, both(b"Transfer-Encoding: chunked, identity")),
    "identity, chunked": (LAST, both(b"Transfer-Encoding: identity, chunked")),
    "chunked twice": (REJECTED, both(b"Transfer-Encoding: chunked, chunked")),
    "two codings, chunked last": (LAST, both(b"Transfer-Encoding: identity", CHUNKED)),
    "two codings, chunked first": (REJECTED, both(CHUNKED, b"Transfer-Encoding: identity")),
    "two codings, the last unknown": (REJECTED, both(CHUNKED, b"Transfer-Encoding: x")),
    "chunked in quotes": (REJECTED, both(b'Transfer-Encoding: "chunked"')),
    "chunked with a parameter": (REJECTED, both(b"Transfer-Encoding: chunked;q=1")),
    "chunked and a comma": (LAST, both(b"Transfer-Encoding: chunked,")),
    "chunked named by Connection": (LAST, both(b"Connection: transfer-encoding", CHUNKED)),
    "coding of HTTP/1.0": (LAST, post(CHUNKED, CHUNKS_LENGTH, body=CHUNKS, line=b"POST /predict HTTP/1.0")),
    "coding of HTTP/1.0 alone": (LAST, post(CHUNKED, body=CHUNKS, line=b"POST /predict HTTP/1.0")),
    "length of HTTP/1.0, kept alive": (
        ONE,
        post(LENGTH, b"Connection: keep-alive", line=b"POST /predict HTTP/1.0"),
    ),
    # 6.2, 6.3: lengths.
    "two lengths": (REJECTED, post(LENGTH, b"Content-Length: 0")),
    "two lengths, the first 0": (REJECTED, post(b"Content-Length: 0", LENGTH)),
    "two lengths in a list": (REJECTED, post(b"Content-Length: 0, %d" % SIZE)),
    "a length twice": (ONE, post(LENGTH, LENGTH)),
    "a length twice in a list": (ONE, post(b"Content-Length: %d, %d" % (SIZE, SIZE))),
    "zeros before the length": (ONE, post(b"Content-Length: 000%d" % SIZE)),
    "spaces about the length": (ONE, post(b"Content-Length:  %d \t" % SIZE)),
    "+": (REJECTED, post(b"Content-Length: +%d" % SIZE)),
    "-": (REJECTED, post(b"Content-Length: -%d" % SIZE)),
    "-0": (REJECTED, post(b"Content-Length: -0")),
    "no length": (REJECTED, post(b"Content-Length:")),
    "space in the length": (REJECTED, post(b"Content-Length: 0 %d" % SIZE)),
    "hexadecimal": (REJECTED, post(b"Content-Length: 0x%x" % SIZE)),
    "fraction": (REJECTED, post(b"Content-Length: 0.0")),
    "exponent": (REJECTED, post(b"Content-Length: 0e0")),
    "underscore": (REJECTED, post(b"Content-Length: 0_0")),
    "letters after the length": (REJECTED, post(b"Content-Length: 0abc")),
    "other digits": (REJECTED, post("Content-Length: ٠".encode())),
    "null in the length": (REJECTED, post(b"Content-Length: 0\x00")),
    "vertical tab in the length": (REJECTED, post(b"Content-Length: 0\x0b")),
    "length of 2^64": (REJECTED, post(b"Content-Length: %d" % 2**64)),
    "length of 2^64 + 1": (REJECTED, post(b"Content-Length: %d" % (2**64 + 1))),
    "length of 30 digits": (REJECTED, post(b"Content-Length: " + b"9" * 30)),
    "space before the length's colon": (REJECTED, post(LENGTH, b"Content-Length : 0")),
    # 2.2, 5.1, 5.2: lines.
    "folded length": (ONE, post(b"X: y\r\n Content-Length: 0", LENGTH)),
    "folded value of the length": (ONE, post(b"Content-Length:\r\n %d" % SIZE)),
    "folded coding": (LAST, both(b"Transfer-Encoding:\r\n chunked")),
    "folded first line": (
        REJECTED,
        b"POST /predict HTTP/1.1\r\n Content-Length: 0\r\n" + LENGTH + b"\r\n\r\n" + SMUGGLED,
    ),
    "bare LFs": (ONE, post(LENGTH, body=b"").replace(b"\r\n", b"\n") + SMUGGLED),
    "bare LF before a length": (REJECTED, post(b"X: y\nContent-Length: 0", LENGTH)),
    "bare LF before the end": (ONE, post(LENGTH, b"X: y", body=b"")[:-4] + b"\n\r\n" + SMUGGLED),
    "bare CR before a length": (ONE, post(b"X: y\rContent-Length: 0", LENGTH)),
    "bare CRs": (REJECTED, post(LENGTH, body=b"").replace(b"\r\n", b"\r") + SMUGGLED),
    "CR CR LF": (REJECTED, post(b"X: y\r", LENGTH)),
    "null in a value": (ONE, post(b"X: a\x00b", LENGTH)),
    "null in a name": (REJECTED, post(b"X\x00: a", LENGTH)),
    "null in the target": (REJECTED, post(LENGTH, line=b"POST /predict\x00 HTTP/1.1")),
    "no colon": (REJECTED, post(b"Content-Length 0", LENGTH)),
    "no name": (REJECTED, post(b": 0", LENGTH)),
    "space in a name": (REJECTED, post(b"Content Length: 0", LENGTH)),
    "a name of other letters": (REJECTED, post("Content-Lengtħ: 0".encode(), LENGTH)),
    # 7.1: chunks.
    "size of 17 digits": (REJECTED, chunks(b"10000000000000000\r\n" + CHUNKS)),
    # This is a valid size, but the chunk does not arrive.
    "size of all Fs": (ONE, chunks(b"F" * 16 + b"\r\n" + CHUNKS)),
    "size of 17 Fs": (REJECTED, chunks(b"F" * 17 + b"\r\n" + CHUNKS)),
    "negative size": (REJECTED, chunks(b"-1\r\n" + CHUNKS)),
    "+ before the size": (REJECTED, chunks(b"+0\r\n\r\n" + SMUGGLED)),
    "0x before the size": (REJECTED, chunks(b"0x0\r\n\r\n" + SMUGGLED)),
    "space before the size": (REJECTED, chunks(b" 0\r\n\r\n" + SMUGGLED)),
    "underscore in the size": (REJECTED, chunks(b"0_0\r\n\r\n" + SMUGGLED)),
    "no size": (REJECTED, chunks(b"\r\n\r\n" + SMUGGLED)),
    "size that is no number": (REJECTED, chunks(b"g\r\n\r\n" + SMUGGLED)),
    "chunk longer than its size": (REJECTED, chunks(b"1\r\n[]" + CHUNKS)),
    "chunk without its end": (REJECTED, chunks(b"2\r\n[]" + CHUNKS)),
    "chunk that ends with LF": (REJECTED, chunks(b"2\r\n[]\n" + CHUNKS)),
    "chunk that ends with CR": (REJECTED, chunks(b"2\r\n[]\r" + CHUNKS)),
    "size that ends with LF": (REJECTED, chunks(b"2\n[]\r\n" + CHUNKS)),
    "size that ends with CR": (REJECTED, chunks(b"2\r[]\r\n" + CHUNKS)),
    "last size that ends with LF": (REJECTED, chunks(b"2\r\n[]\r\n0\n\r\n" + SMUGGLED)),
    # The trailer extends to the next empty line, and its content is ignored.
    "last line that ends with LF": (ONE, chunks(b"2\r\n[]\r\n0\r\n\n" + SMUGGLED)),
    # One parser could read these bytes as an extension, and another parser could read them as a chunk.
    "extension with LF": (
        REJECTED,
        chunks(b"2;\nxx\r\n%x\r\n0\r\n\r\n" % (SIZE + 5) + SMUGGLED + b"\r\n0\r\n\r\n"),
    ),
    "extension with CR": (REJECTED, chunks(b"2;\rxx\r\n[]\r\n" + CHUNKS)),
    "extension with null": (REJECTED, chunks(b"2;\x00\r\n[]\r\n" + CHUNKS)),
    "smuggled as an extension": (ONE, chunks(b"2;" + SMUGGLED.split(b"\r\n")[0] + b"\r\n[]\r\n0\r\n\r\n")),
    "extension of 64 KiB": (ONE, chunks(b"2;" + b"x" * 65536 + b"\r\n[]\r\n0\r\n\r\n")),
    "extension in quotes": (ONE, chunks(b'2;a="b;c"\r\n[]\r\n0\r\n\r\n')),
    "smuggled as a trailer": (ONE, chunks(b"2\r\n[]\r\n0\r\n" + SMUGGLED)),
    "length as a trailer": (ONE, chunks(b"2\r\n[]\r\n0\r\nContent-Length: 5\r\n\r\n")),
    "smuggled in a chunk": (ONE, chunks(b"%x\r\n" % SIZE + SMUGGLED + b"\r\n0\r\n\r\n")),
    # 6: a body that the server ignores is not parsed as a request.
    "body of a GET": (ONE, post(LENGTH, line=b"GET /healthz HTTP/1.1")),
    "body of a HEAD": (ONE, post(LENGTH, line=b"HEAD /healthz HTTP/1.1")),
    "body of a DELETE": (ONE, post(LENGTH, line=b"DELETE /predict HTTP/1.1")),
    "body of an OPTIONS": (ONE, post(LENGTH, line=b"OPTIONS /predict HTTP/1.1")),
    "body of a TRACE": (ONE, post(LENGTH, line=b"TRACE /predict HTTP/1.1")),
    "body for no route": (ONE, post(LENGTH, line=b"POST /nowhere HTTP/1.1")),
    "body for a wrong method": (ONE, post(LENGTH, line=b"POST /healthz HTTP/1.1")),
    "body of a wrong type": (ONE, post(LENGTH).replace(b"application/json", b"image/png")),
    "body in chunks for no route": (
        ONE,
        post(CHUNKED, body=b"%x\r\n" % SIZE + SMUGGLED + b"\r\n0\r\n\r\n", line=b"POST /nowhere HTTP/1.1"),
    ),
    "body that is too large": (ONE, post(b"Content-Length: 100000", body=SMUGGLED * (100_000 // SIZE))),
    "body that is expected": (ONE, post(LENGTH, b"Expect: 100-continue")),
    "body of an unknown expectation": (ONE, post(LENGTH, b"Expect: miracles")),
    "body of an upgrade": (ONE, post(LENGTH, b"Connection: upgrade", b"Upgrade: websocket")),
    "body of an upgrade to HTTP/2": (
        ONE,
        post(
            LENGTH,
            b"Connection: upgrade, http2-settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        ),
    ),
    # 3: request lines.
    "absolute target": (ONE, post(LENGTH, line=b"POST http://other.example/predict HTTP/1.1")),
    "absolute target of HTTP/1.0": (ONE, post(LENGTH, line=b"POST http://other.example/predict HTTP/1.0")),
    "authority as the target": (REJECTED, post(LENGTH, line=b"POST localhost:80 HTTP/1.1")),
    "CONNECT": (REJECTED, post(line=b"CONNECT localhost:80 HTTP/1.1")),
    "space in the target": (REJECTED, post(LENGTH, line=b"POST /predict /x HTTP/1.1")),
    "two spaces": (ONE, post(LENGTH, line=b"POST  /predict HTTP/1.1")),
    "tabs in the line": (REJECTED, post(LENGTH, line=b"POST\t/predict\tHTTP/1.1")),
    "space after the version": (ONE, post(LENGTH, line=b"POST /predict HTTP/1.1 ")),
    "version of HTTP/0.9": (REJECTED, b"POST /predict\r\n\r\n" + SMUGGLED),
    "version in small letters": (REJECTED, post(LENGTH, line=b"POST /predict http/1.1")),
    "version 1.2": (ONE, post(LENGTH, line=b"POST /predict HTTP/1.2")),
    "version 2.0": (REJECTED, post(LENGTH, line=b"POST /predict HTTP/2.0")),
    "version 1.01": (REJECTED, post(LENGTH, line=b"POST /predict HTTP/1.01")),
    "HTTP/2": (REJECTED, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED),
    "method with a colon": (REJECTED, post(LENGTH, line=b"PO:ST /predict HTTP/1.1")),
    "no host": (REJECTED, post(LENGTH, host=None)),
    "two hosts": (REJECTED, post(LENGTH, b"Host: other.example")),
}


def responses_to(server, raw, expected):
    """Returns the responses to these bytes, and whether the server closed the connection after them.

    If the connection may stay open, the client shuts down its sending side after the first response. The server then
    closes the connection when it has responded to all requests that it sees. So the test needs no time limit to find
    out whether a further response comes.
    """
    found = []
    with server.connect(timeout=OPEN_SECONDS) as connection:
        try:
            connection.send(raw)
            while True:
                found.append(connection.response(raw.split(b" ")[0].decode("latin-1") if not found else "GET"))
                if expected is ONE:
                    connection.socket.shutdown(socket.SHUT_WR)
        except (Closed, OSError) as error:
            return found, not isinstance(error, TimeoutError)


@pytest.fixture
def server(serve):
    # The keep-alive time is longer than a probe waits. So the server does not close a connection because it is idle.
    return serve("--max-body", "64KiB", "--request-timeout", "1", "--header-timeout", "1", "--keep-alive", "600")


def test_a_second_request_is_detected(server):
    found, _ = responses_to(server, post(b"Content-Length: 2", body=b"[]" + SMUGGLED), ONE)
    assert [response.status for response in found] == [422, 404], found


def test_smuggling(server, figure):
    missing = server.metric("ml_app_http_requests_total", status=404)
    with ThreadPoolExecutor(16) as pool:
        found = dict(
            zip(PROBES, pool.map(lambda probe: responses_to(server, probe[1], probe[0]), PROBES.values()))
        )
    wrong, smuggled = [], 0
    for name, (expected, _) in PROBES.items():
        got, ended = found[name]
        statuses = [response.status for response in got]
        smuggled += len(got) > 1
        is_rejected = ended and len(got) == 1 and (400 <= statuses[0] < 500 or statuses[0] in (501, 505))
        right = is_rejected if expected is REJECTED else len(got) == 1 and (ended or expected is ONE)
        if not right:
            wrong.append(f"{name}: expected {expected}, found {statuses}{', ended' if ended else ''}")
    print("\n" + "\n".join(wrong))
    figure(f"{len(PROBES)} ways to hide a request: two responses", smuggled, "0", smuggled == 0)
    figure(
        "  not handled as in RFC 9112",
        f"{len(wrong)}: {'; '.join(wrong)}" if wrong else "0",
        "0",
        not wrong,
    )
    received = sum(response.status == 404 for got, _ in found.values() for response in got)
    hidden = server.metric("ml_app_http_requests_total", status=404) - missing - received
    figure("  404s in the metrics that no client received", int(hidden), "0", hidden == 0)
    assert server.predict().status == 200
