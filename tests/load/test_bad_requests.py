"""Sends malformed requests, which are mutations of valid requests. Each must get an error response in the format of its
route."""

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import harness
from harness import JSON, ROW, Closed

CLIENTS = 32
# Maximum duration of a request in seconds. A request without its end gets a response only after the timeout of 1 s.
SLOWEST = 2
# Maximum memory of the server in bytes.
MEMORY = 200 * 1024 * 1024

TENSOR = {"inputs": [{"name": "X", "shape": [1, 3], "datatype": "FP32", "data": [21, 1, 14]}]}
INSTANCES = {"instances": [[21, 1, 14]]}
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.csv"\r\n\r\n'
    b"age,new_user,total_pages_visited\n21,1,14\n\r\n--b--\r\n"
)
BODIES = {
    "/predict": [
        (JSON, harness.as_json(ROW)),
        (JSON, harness.as_json([ROW, ROW])),
        (JSON, harness.as_json({name: [value] for name, value in ROW.items()})),
        ("text/csv", b"age,new_user,total_pages_visited\n21,1,14\n"),
        ("application/x-ndjson", harness.as_json(ROW) + b"\n"),
    ],
    "/predict_file": [("multipart/form-data; boundary=b", FORM)],
    "/invocations": [
        ("text/csv", b"21,1,14\n"),
        (JSON, harness.as_json(INSTANCES)),
        (JSON, harness.as_json(TENSOR)),
    ],
    "infer": [(JSON, harness.as_json(TENSOR))],
    ":predict": [(JSON, harness.as_json(INSTANCES))],
}
PATHS = [
    b"/",
    b"/nowhere",
    b"//",
    b"/predict/",
    b"/v2/models",
    b"/v1/",
    b"/%2e%2e/etc/passwd",
    b"/../..",
    b"/predict%00",
    b"/%ff",
    b"/apidocs/../openapi.json",
    b"*",
    "/prédict".encode(),
    b"/predict?" + b"a=b&" * 500,
    b"/" + b"a" * 3000,
]
METHODS = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"get",
    b"PROPFIND",
    b"X" * 40,
    b"M-SEARCH",
    b"\xc3\xa9",
]
VALUES = [
    None,
    True,
    "",
    "abc",
    "é\u202e\U0001f600",
    "\0",
    "a" * 5000,
    -1,
    0,
    1e308,
    -1e308,
    10**40,
    2**63,
    0.1,
    [],
    {},
    [[]],
    [[[1]]],
    {"a": {"b": 1}},
    [None],
]
SIGNS = [b"%", b"%zz", b"&", b"=", b"\xff", b"\xc3\xa9", b"/", b"?", b"#", b"+", b"%00", b"a" * 500]
FRAGMENTS = [
    b"[" * 200,
    b"{" * 50,
    b'{"a":' * 200,
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\0",
    b"1e999",
    b"-",
    b'"\\ud800"',
    b"NaN",
    b"]}",
    b"\r\n",
    b",",
    b'"',
]
TYPES = [
    "",
    "x",
    "text/plain",
    "application/json; charset=utf-16",
    "application/json;;",
    "text/csv",
    "application/x-ndjson",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "b" * 300,
    "application/octet-stream",
    "application/vnd.sagemaker-triton.binary+json;json-header-size=9999999",
    "image/png",
    "é",
    "application/xml",
    "a/b/c",
]
ODD_HEADERS = [
    (b"Accept", b"image/png"),
    (b"Accept", b"*/*;q=x"),
    (b"Accept", b"," * 100),
    (b"Accept", b"\xff"),
    (b"Accept-Encoding", b"gzip;q=9,br"),
    (b"Content-Encoding", b"gzip"),
    (b"Content-Encoding", b"deflate"),
    (b"Content-Encoding", b"br"),
    (b"Content-Encoding", b"gzip, gzip"),
    (b"Content-Encoding", b"\xe9"),
    (b"Inference-Header-Content-Length", b"10"),
    (b"Inference-Header-Content-Length", b"-1"),
    (b"Inference-Header-Content-Length", b"9" * 30),
    (b"Range", b"bytes=0-1"),
    (b"If-None-Match", b"*"),
    (b"X-Request-Id", b"\xff" * 300),
    (b"traceparent", b"00-0-0-0"),
    (b"traceparent", b"\xe9" * 55),
    (b"Connection", b"close"),
    (b"Connection", b"upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Cookie", b"a=" + b"b" * 2000),
    (b"Origin", b"null"),
    (b"Authorization", b"Basic \xff"),
    (b"X-API-Key", b""),
    (b"Forwarded", b'for="[::1]"'),
    (b"Host", b""),
    (b"Transfer-Encoding", b"x"),
    (b"Content-Length", b"1"),
    (b"Expect", b"100-continue"),
    (b"Sec-WebSocket-Key", b"x"),
    (b"Access-Control-Request-Method", b"POST"),
    (b"X-Amzn-SageMaker-Custom-Attributes", b"\x7f"),
    (b"No value", b""),
    (b"", b"no name"),
    (b"A" * 500, b"b"),
]


class Request:
    """The parts of a request, and mutations of its bytes."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.length = None
        self.cut = None
        self.flip = []

    def raw(self):
        length = self.length if self.length is not None else b"%d" % len(self.body)
        fields = [(b"Host", b"localhost"), *self.headers]
        if self.body or self.length is not None:
            fields.append((b"Content-Length", length))
        head = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        raw = bytearray(self.method + b" " + self.path + b" HTTP/1.1\r\n" + head + b"\r\n" + self.body)
        for position, bit in self.flip:
            raw[int(position * len(raw))] ^= 1 << bit
        return bytes(raw[: self.cut and max(1, int(self.cut * len(raw)))])


def valid_requests(document):
    """Yields at least one request for each operation of the OpenAPI document."""
    for path, operations in document["paths"].items():
        if path.startswith("/apidocs/"):
            path = "/apidocs/swagger-ui.css"
        concrete = path.replace("{model}", "online-sales").replace("{version}", "1")
        concrete = concrete.replace("{endpoint}", "1").replace("{deployed}", "1").replace("{asset}", "x")
        for method in operations:
            if method not in ("get", "post"):
                continue
            if method == "get":
                query = "?age=21&new_user=1&total_pages_visited=14" if path == "/predict" else ""
                yield method, concrete + query, None, b""
                continue
            key = next(
                (key for key in BODIES if path == key or not key.startswith("/") and path.endswith(key)), None
            )
            for content_type, body in BODIES[key] if key else [(JSON, b"{}")]:
                yield method, concrete, content_type, body


def mutated_json(body, by):
    """Returns the JSON after one random change: a value is replaced, added, nested or removed."""
    try:
        value = json.loads(body)
    except ValueError:
        return body
    positions = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            positions.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    walk([value]) if not isinstance(value, (dict, list)) else walk(value)
    if not positions:
        return body
    node, key = by.choice(positions)
    change = by.randrange(5)
    if change == 0:
        del node[key]
    elif change == 1 and isinstance(node, dict):
        node[by.choice(["", "é", "a" * 200, "x", "__proto__"])] = by.choice(VALUES)
    elif change == 2:
        for _ in range(by.choice([1, 10, 120])):
            node[key] = [node[key]]
    else:
        node[key] = by.choice(VALUES)
    return json.dumps(value, ensure_ascii=by.random() < 0.5).encode("utf-8", "surrogatepass")


def mutate(request, by):
    """Applies one random mutation."""
    change = by.randrange(14)
    body = request.body
    at = by.randrange(len(body) + 1)
    if change in (0, 1):
        request.body = mutated_json(body, by)
    elif change == 2 and body:
        request.body = body[:at]
    elif change == 3 and body:
        flipped = bytearray(body)
        for _ in range(by.choice([1, 1, 3, 20])):
            flipped[by.randrange(len(flipped))] ^= 1 << by.randrange(8)
        request.body = bytes(flipped)
    elif change == 4:
        request.body = body[:at] + by.choice(FRAGMENTS) + body[at:]
    elif change == 5:
        request.body = body[:at] + by.randbytes(by.choice([1, 10, 1000])) + body[at:]
    elif change == 6:
        others = [header for header in request.headers if header[0] != b"Content-Type"]
        request.headers = [*others, (b"Content-Type", by.choice(TYPES).encode())]
    elif change == 7:
        request.headers = [*request.headers, by.choice(ODD_HEADERS)]
    elif change == 8:
        request.method = by.choice(METHODS)
    elif change == 9:
        request.path = by.choice(PATHS)
    elif change == 10:
        sizes = [b"%d" % (len(body) + 1), b"%d" % max(0, len(body) - 1), b"0"]
        request.length = by.choice([*sizes, b"-1", b"x", b"", b"9" * 25, b"99999999"])
    elif change == 11:
        request.body = b""
    elif change == 12 and by.random() < 0.3:
        request.cut = by.random()
    elif change == 12:
        cut = by.randrange(1, len(request.path) + 1)
        request.path = request.path[:cut] + by.choice(SIGNS) + request.path[cut:]
    else:
        request.flip = [(by.random(), by.randrange(8)) for _ in range(by.choice([1, 1, 2, 5]))]


def bad_requests(document, count):
    by, valid = random.Random(0), list(valid_requests(document))
    paths = {path for _, path, _, _ in valid}
    assert {"/predict", "/predict_file", "/invocations", "/ping"} <= paths and len(paths) > 20, paths
    for method, path, content_type, body in cycle(valid):
        if count == 0:
            return
        headers = [(b"Content-Type", content_type.encode())] if content_type else []
        request = Request(method.upper().encode(), path.encode(), headers, body)
        for _ in range(by.choice([1, 1, 1, 2, 3])):
            mutate(request, by)
        yield request.raw()
        count -= 1


def error_in_response(server, raw):
    """Sends a request. Returns what is wrong with the response (`None` if nothing is wrong), and the status."""
    method, *target = raw.split(b"\r\n")[0].split(b" ")
    with server.connect() as connection:
        try:
            connection.send(raw)
        except ConnectionError:
            pass  # The server may respond before it has read the whole request.
        try:
            response = connection.response(method.decode("latin-1"))
        except Closed:
            return "no response", 0
        except TimeoutError:
            return f"no response for {harness.PATIENCE} s", 0
        except (AssertionError, ValueError) as error:
            return f"not HTTP: {error}", 0
    status = response.status
    if status >= 500 and status not in (501, 503):
        return f"{status}", status
    if status < 400 or method == b"HEAD":
        return None, status
    if not response.body:
        # A request that is not valid HTTP/1.1 has no route, so no protocol determines the format of the error.
        closes = response.headers.get("connection") == "close"
        return (None if status in (400, 408) and closes else f"{status} without a body"), status
    try:
        if status == 431:
            right = response.is_problem() or response.is_plain()
        else:
            right = response.is_error_of(target[0].decode("latin-1"))
    except (ValueError, IndexError):
        right = False
    return (None if right else f"{status} with {response!r}"), status


def test_bad_requests(serve, figure, speed_figure, is_long):
    count = 100_000 if is_long else 10_000
    server = serve("--request-timeout", "1", "--header-timeout", "1", "--max-body", "1MiB")
    document = server.send("GET", "/openapi.json").json()
    requests, times = list(bad_requests(document, count)), []

    def check(raw):
        start = time.monotonic()
        result = error_in_response(server, raw)
        times.append(time.monotonic() - start)
        return result

    start = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(check, requests))
    seconds = time.monotonic() - start
    statuses = Counter(status for _, status in results)
    errors = [(error, raw) for (error, _), raw in zip(results, requests) if error]
    print(f"\n{count} requests in {seconds:.0f} s: {dict(sorted(statuses.items()))}")
    for error, raw in errors[:20]:
        print(f"{error}: {raw[:400]!r}")
    invalid = sum(statuses[status] for status in (400, 404, 405, 415))
    assert len(statuses) > 5 and invalid > count / 4, "too few of the requests are invalid"
    figure(
        f"{count:,} bad requests: wrong responses",
        f"{len(errors)} ({errors[0][0]:.60})" if errors else "0",
        "0",
        not errors,
    )
    speed_figure("  slowest response", harness.ms(max(times)), f"<= {SLOWEST} s", max(times) <= SLOWEST)
    assert all(server.predict().status == 200 for _ in range(100))
    peak = server.status("VmHWM")
    figure("  peak RSS", f"{peak / 1e6:.1f} MB", f"<= {MEMORY / 1e6:.0f} MB", peak <= MEMORY)
