"""Writes the first inputs of each fuzz target to `<folder>/<target>/`. The inputs are the requests, rows and models
of the tests, in the format that the target reads.

    seeds.py FOLDER
"""

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
# The same order as in src/lib.rs.
CASES = ["online-sales", "mixed", "text", "half", "dictionary", "pipeline", "wide"]
PAGES = ["/", "/apidocs", "/apidocs/swagger-ui.css", "/openapi.json", "/healthz", "/readyz", "/metrics", "/nowhere"]
ROWS = 3


def seed(target, *parts):
    """Writes an input under the name that libFuzzer would give it."""
    content = b"".join(parts)
    folder = Path(sys.argv[1]) / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)


def seed_requests(model, case):
    """Writes the requests of a case. `model` is the byte that selects the model."""
    for file in sorted(case.glob("requests/**/*.http")):
        request = file.read_bytes().split(b"\n=== Response\n")[0]
        seed("http", model, request)
        head, body = request.split(b"\n\n", 1)
        line, *lines = head.decode().lower().split("\n")
        path, headers = line.split(" ")[1], dict(line.split(": ", 1) for line in lines)
        content_type = headers.get("content-type", "")
        length = headers.get("inference-header-content-length")
        if "content-encoding" in headers or "triton" in content_type:
            continue
        if path.endswith("/infer") and length is None:
            seed("oip", model, body)
        elif path.endswith("/infer") and length.isdecimal():
            json_part, tensors = body[: int(length)], body[int(length) :]
            seed("oip_binary", model, json_part.replace(b"\n", b" "), b"\n", tensors)
        elif path.startswith("/v1/models/"):
            seed("instances", model, body)
        if "csv" in content_type:
            seed("csv", model, b"\1", body)
        else:
            seed("any", model, body)


def seed_rows(model, rows):
    """Writes rows in each format with named features. `model` is the byte that selects the model."""
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    columns = {name: [row.get(name) for row in rows] for name in names}
    for layout in rows[0], rows, columns:
        seed("features", model, b"\0", json.dumps(layout, ensure_ascii=False).encode())
        seed("any", model, json.dumps(layout).encode())
    seed("features", model, b"\1", "\n".join(map(json.dumps, rows)).encode())

    texts = [{name: text(value) for name, value in row.items()} for row in rows]
    query = urlencode(texts[0]).encode()
    seed("query", model, query)
    seed("http", model, b"GET /predict?", query, b"\n\n")

    records = [",".join(quoted(row.get(name, "")) for name in names).encode() for row in texts]
    header = ",".join(map(quoted, names)).encode()
    table = b"\n".join([header, *records])
    seed("csv", model, b"\0", table)
    seed("csv", model, b"\1", b"\n".join(records))
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    form = part + table + b"\r\n--x--\r\n"
    seed("multipart", model, form)
    head = b"POST /predict_file\nContent-Type: multipart/form-data; boundary=x\nAccept: text/csv\n\n"
    seed("http", model, head, form)
    for content in table, table * 20:
        seed("coding", b"\0", gzip.compress(content, mtime=0))
        seed("coding", b"\1", zlib.compress(content))
        # The target also compresses its input.
        seed("coding", b"\0", content)
        seed("coding", b"\1", content)


def golden(case):
    """Returns the inputs of the first golden rows of a case, without the predictions."""
    if (case / "golden.json").exists():
        return [row["input"] for row in json.loads((case / "golden.json").read_bytes())[:ROWS]]
    if not (case / "golden.csv").exists():
        return []
    with open(case / "golden.csv", newline="", encoding="utf-8") as file:
        rows = itertools.islice(csv.DictReader(file), ROWS)
        return [{name: number(cell) for name, cell in row.items() if not name.startswith("pr")} for row in rows]


def number(cell):
    try:
        return float(cell)
    except ValueError:
        return cell


def text(value):
    return value if isinstance(value, str) else json.dumps(value)


def quoted(cell):
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n') else cell


for index, name in enumerate(CASES):
    case, model = PROJECT / "tests/cases" / name, bytes([index])
    seed_requests(model, case)
    if rows := golden(case):
        seed_rows(model, rows)
for page in PAGES:
    seed("http", b"\0GET ", page.encode(), b"\nAccept: text/html\nAccept-Encoding: gzip\n\n")
for model in [*PROJECT.glob("tests/cases/*/*.onnx"), *PROJECT.glob("crates/onnx-ml/tests/cases/**/model.onnx")]:
    seed("load", model.read_bytes())
