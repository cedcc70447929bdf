"""Write what fuzzing starts with, `<folder>/<target>/`: the requests, rows and models of the tests, in
the form that each target reads. Each is named after what is in it."""

import csv
import gzip
import hashlib
import itertools
import json
import sys
import zlib
from pathlib import Path
from urllib.parse import urlencode

PROJECT = Path(__file__).resolve().parent.parent
# In the order of src/lib.rs.
CASES = ["online-sales", "mixed", "text", "half", "dictionary", "pipeline", "wide"]
ROWS = 3


def seed(target, content):
    folder = Path(sys.argv[1]) / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)


def parts(request):
    """Path, headers and body."""
    head, body = request.split(b"\n\n", 1)
    line, *lines = head.decode().split("\n")
    headers = (header.split(":", 1) for header in lines)
    return line.split(" ")[1], {name.lower(): value.strip() for name, value in headers}, body


def requests(model, case):
    for file in sorted(case.glob("requests/*/*.http")):
        request = file.read_bytes()
        seed("http", model + request)
        path, headers, body = parts(request)
        length = headers.get("inference-header-content-length")
        if "content-encoding" in headers or "triton" in headers.get("content-type", ""):
            continue
        if path.endswith("/infer") and length is None:
            seed("oip", model + body)
        elif path.endswith("/infer") and length.isdecimal():
            head, tensors = body[: int(length)], body[int(length) :]
            seed("oip_binary", model + head.replace(b"\n", b" ") + b"\n" + tensors)
        elif path.startswith("/v1/models/"):
            seed("instances", model + body)
        if "csv" not in headers.get("content-type", ""):
            seed("any", model + body)
        elif path == "/invocations":
            seed("csv", model + b"\1" + body)


def tables(model, case):
    """Rows, as each format of named features has them."""
    rows = []
    if (case / "golden.json").exists():
        rows = [row["input"] for row in json.loads((case / "golden.json").read_bytes())[:ROWS]]
    elif (case / "golden.csv").exists():
        with open(case / "golden.csv", newline="", encoding="utf-8") as file:
            rows = list(itertools.islice(csv.DictReader(file), ROWS))
        rows = [{name: value(cell) for name, cell in row.items() if "pr" not in name[:2]} for row in rows]
    if not rows:
        return
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    columns = {name: [row.get(name) for row in rows] for name in names}
    for layout in rows[0], rows, columns:
        seed("features", model + b"\0" + json.dumps(layout, ensure_ascii=False).encode())
        seed("any", model + json.dumps(layout).encode())
    seed("features", model + b"\1" + "\n".join(map(json.dumps, rows)).encode())
    cell = lambda value: value if isinstance(value, str) else "" if value is None else json.dumps(value)
    texts = [{name: cell(row.get(name)) for name in names} for row in rows]
    table = "\n".join(line([row[name] for name in names]) for row in [dict(zip(names, names)), *texts]).encode()
    seed("csv", model + b"\0" + table)
    seed("csv", model + b"\1" + table.split(b"\n", 1)[1])
    query = urlencode(texts[0]).encode()
    seed("query", model + query)
    seed("http", model + b"GET /predict?" + query + b"\n\n")
    form = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n" + table + b"\r\n--x--\r\n"
    seed("multipart", model + form)
    seed("http", model + b"POST /predict_file\nContent-Type: multipart/form-data; boundary=x\nAccept: text/csv\n\n" + form)
    for index, pack in enumerate([lambda data: gzip.compress(data, mtime=0), zlib.compress]):
        seed("coding", bytes([index]) + pack(table))
        seed("coding", bytes([index]) + pack(table * 20))


def value(cell):
    try:
        return float(cell)
    except ValueError:
        return cell


def line(cells):
    return ",".join('"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n') else cell for cell in cells)


for index, name in enumerate(CASES):
    requests(bytes([index]), PROJECT / "tests/cases" / name)
    tables(bytes([index]), PROJECT / "tests/cases" / name)
for path in ["/", "/apidocs", "/apidocs/swagger-ui.css", "/openapi.json", "/healthz", "/readyz", "/metrics", "/nowhere"]:
    seed("http", b"\0GET " + path.encode() + b"\nAccept: text/html\nAccept-Encoding: gzip\n\n")
for model in [*PROJECT.glob("tests/cases/*/*.onnx"), *PROJECT.glob("crates/onnx-ml/tests/cases/*/model.onnx")]:
    seed("load", model.read_bytes())
