"""Writes requests to `<case>/requests/<protocol>/`, as clients send them, but without Content-Length and Host.

A file contains the request, the line `=== Response` and the expected response. With WRITE_RESPONSES=1, the test
`every_request_gets_its_response` appends the responses that are missing. Review them before you commit them. You can also
write requests by hand.
"""

import gzip
import json
import struct
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
MARKER = b"\n=== Response\n"
SALES = "/v2/models/online-sales/infer"
MIXED = "/v2/models/mixed/infer"


def request(case, protocol, name, path, body=b"", method="POST", **headers):
    body = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    file = HERE / case / "requests" / protocol / f"{name}.http"
    file.parent.mkdir(parents=True, exist_ok=True)
    head = [f"{method} {path}"] + [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    content = "\n".join(head).encode() + b"\n\n" + body
    # The response to an unchanged request stays.
    if not file.exists() or file.read_bytes().split(MARKER)[0] != content:
        file.write_bytes(content)


def tensor(name="X", shape=(1, 3), datatype="FP32", data=(21, 1, 14), **more):
    return {"name": name, "shape": list(shape), "datatype": datatype, "data": list(data), **more}


def mixed(head, tensors, **headers):
    """Returns the arguments of `request` for a body of JSON followed by bytes: the body, and the header with the size of
    the JSON."""
    head = json.dumps(head).encode()
    return {"body": head + tensors, "Inference_Header_Content_Length": len(head), **headers}


def strings(*values):
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def infer(name, body, **headers):
    request("online-sales", "oip", name, SALES, body, Content_Type="application/json", **headers)


rows = [21, 1, 14, 45, 0, 5]
infer("accepted/rows", {"id": "7", "inputs": [tensor(shape=(2, 3), data=rows)]})
infer("accepted/nested", {"inputs": [tensor(shape=(2, 3), data=[rows[:3], rows[3:]])]})
infer("accepted/data-first", '{"inputs":[{"data":[21,1,14],"shape":[1,3],"datatype":"FP32","name":"X"}]}')
infer("accepted/one-output", {"inputs": [tensor()], "outputs": [{"name": "output_label"}]})
infer("accepted/outputs-in-their-order", {"inputs": [tensor()], "outputs": [{"name": "output_probability"}, {"name": "output_label"}]})
infer("accepted/classification", {"inputs": [tensor(shape=(2, 3), data=rows)], "outputs": [{"name": "output_probability", "parameters": {"classification": 1}}]})
infer("accepted/more-classes-than-there-are", {"inputs": [tensor()], "outputs": [{"name": "output_probability", "parameters": {"classification": 9}}]})
infer("accepted/missing-values", {"inputs": [tensor(data=[None, "NaN", "Infinity"])], "outputs": [{"name": "output_probability"}]})
infer("accepted/classification-of-missing-values", {"inputs": [tensor(data=[None, 1, 1])], "outputs": [{"name": "output_probability", "parameters": {"classification": 1}}]})
infer("accepted/unknown-parameters", {"parameters": {"a": 1, "b": "c"}, "inputs": [tensor(parameters={"d": True})], "outputs": [{"name": "output_label"}]})
uncompressed = json.dumps({"inputs": [tensor()], "outputs": [{"name": "output_label"}]}).encode()
infer("accepted/gzip", gzip.compress(uncompressed, mtime=0), Content_Encoding="gzip")
infer("accepted/deflate", zlib.compress(uncompressed), Content_Encoding="deflate")
infer("invalid-bytes/brotli", b"\x0b\x02\x80", Content_Encoding="br")
infer("invalid-bytes/no-gzip", b"{}", Content_Encoding="gzip")
infer("invalid-bytes/cut-gzip", gzip.compress(uncompressed, mtime=0)[:20], Content_Encoding="gzip")
request("online-sales", "oip", "accepted/versioned", "/v2/models/online-sales/versions/1/infer", uncompressed)
request("online-sales", "oip", "invalid-routes/unknown-version", "/v2/models/online-sales/versions/2/infer", uncompressed)
request("online-sales", "oip", "invalid-routes/unknown-model", "/v2/models/Online-Sales/infer", uncompressed)

infer("invalid-bytes/empty", "")
infer("invalid-bytes/no-object", "[]")
infer("invalid-bytes/no-json", "{")
infer("invalid-bytes/two-documents", "{}{}")
infer("invalid-bytes/no-utf-8", b'{"inputs":"\xff"}')
infer("invalid-bytes/deep", '{"inputs":[{"name":"X","datatype":"FP32","shape":[1],"data":' + "[" * 1000 + "1" + "]" * 1000 + "}]}")
infer("invalid-bytes/deep-id", '{"id":' + "[" * 1000 + "]" * 1000 + "}")
infer("invalid-inputs/no-inputs", "{}")
infer("invalid-inputs/no-input", {"inputs": []})
infer("invalid-inputs/inputs-twice", '{"inputs":[],"inputs":[]}')
infer("invalid-inputs/input-twice", {"inputs": [tensor(), tensor()]})
infer("invalid-inputs/unknown-input", {"inputs": [tensor("Y")]})
infer("invalid-outputs/unknown-output", {"inputs": [tensor()], "outputs": [{"name": "label"}]})
infer("invalid-outputs/output-twice", {"inputs": [tensor()], "outputs": [{"name": "output_label"}] * 2})
infer("invalid-outputs/outputs-past-those-there-are", {"inputs": [tensor()], "outputs": [{"name": "output_label"}] * 3})
infer("invalid-outputs/output-in-shared-memory", {"inputs": [tensor()], "outputs": [{"name": "output_label", "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 8}}]})
infer("invalid-inputs/input-in-shared-memory", {"inputs": [{"name": "X", "shape": [1, 3], "datatype": "FP32", "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 12}}]})
infer("invalid-outputs/output-as-array", {"inputs": [tensor()], "outputs": [["output_label", None]]})
infer("invalid-outputs/parameters-as-array", {"inputs": [tensor()], "parameters": [1, True]})
infer("accepted/byte-order-mark", "\ufeff" + json.dumps({"inputs": [tensor()]}))
infer("invalid-outputs/no-class", {"inputs": [tensor()], "outputs": [{"name": "output_probability", "parameters": {"classification": 0}}]})
infer("invalid-inputs/no-name", {"inputs": [{"shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]})
infer("invalid-inputs/no-shape", {"inputs": [{"name": "X", "datatype": "FP32", "data": [1, 2, 3]}]})
infer("invalid-inputs/no-datatype", {"inputs": [{"name": "X", "shape": [1, 3], "data": [1, 2, 3]}]})
infer("invalid-inputs/no-data", {"inputs": [{"name": "X", "shape": [1, 3], "datatype": "FP32"}]})
infer("invalid-inputs/data-null", '{"inputs":[{"name":"X","shape":[1,3],"datatype":"FP32","data":null}]}')
infer("invalid-inputs/other-datatype", {"inputs": [tensor(datatype="FP64")]})
infer("invalid-inputs/half-precision", {"inputs": [tensor(datatype="FP16")]})
infer("invalid-inputs/too-few-elements", {"inputs": [tensor(shape=(2, 3))]})
infer("invalid-inputs/too-many-elements", {"inputs": [tensor(data=[1, 2, 3, 4])]})
infer("invalid-inputs/other-width", {"inputs": [tensor(shape=(1, 4), data=[1, 2, 3, 4])]})
infer("invalid-inputs/other-rank", {"inputs": [tensor(shape=(3,))]})
infer("invalid-inputs/zero-rows", {"inputs": [tensor(shape=(0, 3), data=[])]})
infer("invalid-inputs/negative-dimension", {"inputs": [tensor(shape=(-1, 3))]})
infer("invalid-inputs/fractional-dimension", {"inputs": [tensor(shape=(1.5, 3))]})
infer("invalid-inputs/dimensions-that-overflow", {"inputs": [tensor(shape=(2**32, 2**32, 3))]})
infer("invalid-inputs/dimension-past-64-bits", '{"inputs":[{"name":"X","shape":[99999999999999999999,3],"datatype":"FP32","data":[1]}]}')
infer("invalid-inputs/empty-axis-of-very-many-rows", {"inputs": [tensor(shape=(2**62, 0), data=[])]})
infer("invalid-inputs/empty-axis", {"inputs": [tensor(shape=(1, 0), data=[])]})
infer("invalid-inputs/very-many-axes", {"inputs": [tensor(shape=[1] * 1000)]})
infer("invalid-inputs/string-for-number", {"inputs": [tensor(data=[1, "2", 3])]})
infer("invalid-inputs/number-past-the-range", {"inputs": [tensor(data=[1, 1e39, 3])]})
infer("invalid-inputs/number-past-doubles", '{"inputs":[{"name":"X","shape":[1,3],"datatype":"FP32","data":[1,1e999,3]}]}')
infer("invalid-inputs/object-in-data", {"inputs": [tensor(data=[1, {}, 3])]})

head = {"inputs": [{"name": "X", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}}]}
label = {**head, "outputs": [{"name": "output_label", "parameters": {"binary_data": True}}]}
floats = struct.pack("<6f", *rows)
infer("accepted/binary", **mixed(label, floats))
infer("accepted/binary-in-json-out", **mixed({**head, "outputs": [{"name": "output_label"}]}, floats))
infer("accepted/binary-missing-values", **mixed({"inputs": [{**head["inputs"][0], "shape": [1, 3], "parameters": {"binary_data_size": 12}}], "outputs": [{"name": "output_probability"}]}, struct.pack("<3f", float("nan"), float("inf"), 1)))
infer("invalid-bytes/raw", struct.pack("<3f", *rows[:3])[:11], Inference_Header_Content_Length=0)
infer("invalid-bytes/binary-short", **mixed(label, floats[:-1]))
infer("invalid-bytes/binary-long", **mixed(label, floats + b"\0"))
infer("invalid-bytes/binary-without-a-length", json.dumps(label))
infer("invalid-bytes/binary-other-size", **mixed({"inputs": [{**head["inputs"][0], "shape": [1, 3]}]}, floats))
infer("invalid-bytes/binary-and-data", **mixed({"inputs": [tensor(parameters={"binary_data_size": 12})]}, floats[:12]))
infer("invalid-bytes/binary-negative-size", **mixed({"inputs": [{**head["inputs"][0], "parameters": {"binary_data_size": -1}}]}, floats))
infer("invalid-bytes/header-length-past-the-body", "{}", Inference_Header_Content_Length=3)
infer("invalid-bytes/header-length-negative", "{}", Inference_Header_Content_Length=-1)
infer("invalid-bytes/header-length-no-number", "{}", Inference_Header_Content_Length="two")
infer("invalid-bytes/header-length-huge", "{}", Inference_Header_Content_Length="99999999999999999999999")

for name, path in {
    "accepted/server": "/v2", "accepted/live": "/v2/health/live", "accepted/ready": "/v2/health/ready", "accepted/model": "/v2/models/online-sales",
    "accepted/model-ready": "/v2/models/online-sales/versions/1/ready", "accepted/config": "/v2/models/online-sales/config",
    "invalid-routes/no-config": "/v2/models/other/config", "invalid-routes/no-route": "/v2/models/online-sales/other", "invalid-routes/no-method": SALES,
}.items():
    request("online-sales", "oip", name, path, method="GET")
request("online-sales", "oip", "accepted/repository", "/v2/repository/index")
request("online-sales", "oip", "invalid-routes/repository-array", "/v2/repository/index", "[]")
request("online-sales", "oip", "invalid-routes/load", "/v2/repository/models/online-sales/load")


def all_inputs(**changed):
    inputs = [
        {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]},
        {"name": "count", "shape": [2, 1], "datatype": "INT64", "data": [4, 8]},
        {"name": "flag", "shape": [2, 1], "datatype": "BOOL", "data": [True, False]},
        {"name": "city", "shape": [2, 1], "datatype": "BYTES", "data": ["São Paulo", ""]},
        {"name": "image", "shape": [2, 2, 2], "datatype": "FP32", "data": [[[1, 2], [3, 4]], [[0, 0], [0, 0]]]},
    ]
    return [{**tensor, **changed.get(tensor["name"], {})} for tensor in inputs]


parts = {
    "x": struct.pack("<4f", 1, 2, 3, 4), "count": struct.pack("<2q", 4, 8), "flag": b"\1\0",
    "city": strings("São Paulo".encode(), b""), "image": struct.pack("<8f", 1, 2, 3, 4, 0, 0, 0, 0),
}


def as_bytes(parts, names=tuple(parts)):
    """Returns the arguments of `request` for a request with all inputs. The inputs `names` are bytes, taken from `parts`. The
    request asks for all outputs as bytes."""
    inputs = all_inputs()
    for entry in inputs:
        if entry["name"] in names:
            del entry["data"]
            entry["parameters"] = {"binary_data_size": len(parts[entry["name"]])}
    head = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    return mixed(head, b"".join(parts[name] for name in names))


def mixed_infer(name, body, **headers):
    request("mixed", "oip", name, MIXED, body, **headers)


mixed_infer("json", {"inputs": all_inputs()})
mixed_infer("reversed", {"inputs": all_inputs()[::-1]})
mixed_infer("binary", **as_bytes(parts))
mixed_infer("partly-binary", **as_bytes(parts, ("count", "city")))
mixed_infer("binary-strings-cut", **as_bytes({**parts, "city": strings(b"Oslo", b"Rome")[:-1]}))
mixed_infer("binary-strings-too-few", **as_bytes({**parts, "city": strings(b"Oslo")}))
mixed_infer("binary-strings-too-many", **as_bytes({**parts, "city": strings(b"Oslo", b"Rome", b"Bern")}))
mixed_infer("binary-string-no-utf-8", **as_bytes({**parts, "city": strings(b"Oslo", b"\xff")}))
mixed_infer("binary-string-of-four-gigabytes", **as_bytes({**parts, "city": b"\xff" * 8}))
mixed_infer("binary-flag", **as_bytes({**parts, "flag": b"\1\2"}))
mixed_infer("raw-of-many", b"1234", Inference_Header_Content_Length=0)
mixed_infer("missing-input", {"inputs": all_inputs()[1:]})
mixed_infer("other-rows", {"inputs": all_inputs(count={"shape": [1, 1], "data": [4]})})
mixed_infer("fraction-for-integer", {"inputs": all_inputs(count={"data": [4.5, 8]})})
mixed_infer("integer-past-the-range", {"inputs": all_inputs(count={"data": [2**63, 8]})})
mixed_infer("number-for-flag", {"inputs": all_inputs(flag={"data": [1, 0]})})
mixed_infer("null-for-string", {"inputs": all_inputs(city={"data": [None, ""]})})
mixed_infer("classification-of-strings", {"inputs": all_inputs(), "outputs": [{"name": "echo", "parameters": {"classification": 1}}]})


def v1(case, name, body, model=None, **headers):
    request(case, "v1", name, f"/v1/models/{model or case}:predict", body, **headers)


v1("online-sales", "lists", {"instances": [rows[:3], rows[3:]]})
v1("online-sales", "objects", {"signature_name": "serving_default", "instances": [{"age": 21, "new_user": 1, "total_pages_visited": 14}]})
v1("online-sales", "by-input", {"instances": [{"X": rows[:3]}]})
v1("online-sales", "columns", {"inputs": {"age": [21, 45], "new_user": [1, 0], "total_pages_visited": [14, 5]}})
v1("online-sales", "input", {"inputs": {"X": [rows[:3], rows[3:]]}})
v1("online-sales", "the-input", {"inputs": [rows[:3], rows[3:]]})
v1("online-sales", "missing-values", {"instances": [[None, "NaN", "Infinity"], {"age": "-Infinity", "new_user": 1, "total_pages_visited": 1}]})
v1("online-sales", "no-list", {"instances": {"age": 21}})
v1("online-sales", "neither", {"rows": []})
v1("online-sales", "both", {"instances": [rows[:3]], "inputs": [rows[:3]]})
v1("online-sales", "no-instances", {"instances": []})
v1("online-sales", "no-json", "{")
v1("online-sales", "deep", '{"instances":' + "[" * 1000 + "]" * 1000 + "}")
v1("online-sales", "too-short", {"instances": [[1, 2]]})
v1("online-sales", "too-long", {"instances": [[1, 2, 3, 4]]})
v1("online-sales", "no-list-of-features", {"instances": [5]})
v1("online-sales", "unknown-feature", {"instances": [{"age": 1, "new_usr": 1, "total_pages_visited": 1}]})
v1("online-sales", "feature-twice", '{"instances":[{"age":1,"X":[1,2,3]}]}')
v1("online-sales", "columns-of-other-lengths", {"inputs": {"age": [21, 45], "new_user": [1], "total_pages_visited": [14, 5, 6]}})
v1("online-sales", "missing-column", {"inputs": {"age": [21], "new_user": [1]}})
v1("online-sales", "text-for-number", {"instances": [["a", 1, 2]]})
v1("online-sales", "unknown-model", {"instances": [rows[:3]]}, model="other")
request("online-sales", "v1", "models", "/v1/models", method="GET")
request("online-sales", "v1", "model", "/v1/models/online-sales", method="GET")
request("online-sales", "v1", "no-model", "/v1/models/other", method="GET")
row = {"x": [1, 2], "count": 4, "flag": True, "city": "São Paulo", "image": [[1, 2], [3, 4]]}
v1("mixed", "objects", {"instances": [row, {**row, "x": [3, 4], "count": 8}]})
v1("mixed", "lists", {"instances": [[1, 2, 4, True, "São Paulo", [[1, 2], [3, 4]]]]})
v1("mixed", "columns", {"inputs": {key: [value, value] for key, value in row.items()}})
v1("mixed", "no-object", {"inputs": [[1, 2]]})
v1("mixed", "image-of-another-shape", {"instances": [{**row, "image": [[1, 2, 3]]}]})
tensors = {key: value if isinstance(value, list) else [value] for key, value in row.items()}
v1("mixed", "tensors", {"instances": [tensors, {**tensors, "count": 8}]})
v1("mixed", "columns-of-tensors", {"inputs": {key: [value, value] for key, value in tensors.items()}})
v1("mixed", "list-of-two-for-one", {"instances": [{**tensors, "count": [4, 8]}]})
v1("mixed", "object-for-one", {"instances": [{**tensors, "count": {"a": 4}}]})
v1("mixed", "text-for-one", {"instances": [{**tensors, "count": ["a"]}]})
v1("diabetes", "outputs-as-they-are", {"inputs": {"age": [[0.03]], "sex": [[0.05]], "bmi": [[0.06]], "bp": [[0.02]]}}, model="ONNX-Pipeline")
request("online-sales", "v1", "other-verb", "/v1/models/online-sales:classify", {"examples": []})
v1("online-sales", "byte-order-mark", "\ufeff" + json.dumps({"instances": [rows[:3]]}))
v1("text", "texts", {"instances": ["my dog likes the cat", ["shares fell"], {"text": "a cat"}]})

vertex = "/v1/endpoints/1/deployedModels/2:predict"
request("online-sales", "vertex", "lists", vertex, {"instances": [rows[:3]], "parameters": {"a": 1}})
request("online-sales", "vertex", "objects", vertex, {"instances": [{"age": 21, "new_user": 1, "total_pages_visited": 14}]})
size = f"json-header-size={len(json.dumps(label))}"
request("online-sales", "vertex", "triton", vertex, json.dumps(label).encode() + floats, Content_Type=f"application/vnd.vertex-ai-triton.binary+json;{size}")
request("online-sales", "vertex", "malformed", vertex, {"instances": 1})

sagemaker = {"Content_Type": "application/json"}
request("online-sales", "sagemaker", "ping", "/ping", method="GET")
request("online-sales", "sagemaker", "features", "/invocations", {"age": 21, "new_user": 1, "total_pages_visited": 14}, **sagemaker)
request("online-sales", "sagemaker", "instances", "/invocations", {"instances": [rows[:3]]}, **sagemaker)
request("online-sales", "sagemaker", "tensors", "/invocations", {"inputs": [tensor()]}, **sagemaker)
request("online-sales", "sagemaker", "columns", "/invocations", {"inputs": {"X": [rows[:3]]}}, **sagemaker)
request("online-sales", "sagemaker", "csv", "/invocations", "age,new_user,total_pages_visited\n21,1,14\n", Content_Type="text/csv")
request("online-sales", "sagemaker", "csv-without-a-header", "/invocations", "21,1,14\n45,0,5\n", Content_Type="text/csv")
triton = "application/vnd.sagemaker-triton.binary+json"
framed = json.dumps(label).encode() + floats
request("online-sales", "sagemaker", "triton", "/invocations", framed, Content_Type=f"{triton};{size}")
request("online-sales", "sagemaker", "triton-parameters", "/invocations", framed, Content_Type=f"{triton}; charset=utf-8; {size}")
request("online-sales", "sagemaker", "triton-no-size", "/invocations", framed, Content_Type=f"{triton};json-header-size=all")
request("online-sales", "sagemaker", "triton-without-a-size", "/invocations", {"inputs": [tensor()]}, Content_Type=triton)
request("online-sales", "sagemaker", "bytes-out", "/invocations", {"inputs": [tensor()], "outputs": label["outputs"]}, **sagemaker)
request("online-sales", "sagemaker", "the-input", "/invocations", {"inputs": [rows[:3], rows[3:]]}, **sagemaker)
request("diabetes", "sagemaker", "unknown-members-first", "/invocations", {"parameters": {}, "instances": [[1, 2, 3, 4]]}, **sagemaker)
request("text", "sagemaker", "lists-of-one", "/invocations", {"inputs": [["a cat"], ["shares fell"]]}, **sagemaker)
request("online-sales", "sagemaker", "lines", "/invocations", '{"age":21,"new_user":1,"total_pages_visited":14}\n', Content_Type="application/jsonlines")
request("online-sales", "sagemaker", "byte-order-mark", "/invocations", "\ufeff" + json.dumps({"instances": [rows[:3]]}), **sagemaker)
request("online-sales", "sagemaker", "csv-byte-order-mark", "/invocations", "\ufeff21,1,14\n", Content_Type="text/csv")
request("online-sales", "sagemaker", "tensors-as-bytes", "/invocations", {"inputs": [tensor()]}, Content_Type="application/octet-stream")
request("online-sales", "sagemaker", "accepts-something-else", "/invocations", {"instances": [rows[:3]]}, **sagemaker, Accept="application/x-npy")
request("online-sales", "sagemaker", "csv-accepts-something-else", "/invocations", "21,1,14\n", Content_Type="text/csv", Accept="application/vnd.sagemaker-triton.binary+json")
request("text", "sagemaker", "blank-lines", "/invocations", "a cat\n\nshares fell\n", Content_Type="text/csv")
request("online-sales", "sagemaker", "no-method", "/invocations", method="GET")
request("online-sales", "sagemaker", "malformed", "/invocations", "{", **sagemaker)
request("online-sales", "sagemaker", "other-type", "/invocations", "a", Content_Type="image/png")
request("online-sales", "sagemaker", "csv-without-a-header-in-json", "/invocations", "21,1,14\n", Content_Type="text/csv", Accept="application/json")
request("online-sales", "sagemaker", "csv-without-a-header-malformed", "/invocations", "21,1,14\n45,a,5\n", Content_Type="text/csv")

halves = {"name": "x", "shape": [1, 2], "datatype": "FP16"}
sized = {**halves, "parameters": {"binary_data_size": 4}}
bits = struct.pack("<2e", 1.5, -0.25)
request("half", "oip", "binary", "/v2/models/half/infer", **mixed({"inputs": [sized], "parameters": {"binary_data_output": True}}, bits))
request("half", "oip", "raw", "/v2/models/half/infer", bits, Inference_Header_Content_Length=0)
request("half", "oip", "json", "/v2/models/half/infer", {"inputs": [{**halves, "data": [1.5, -0.25]}], "parameters": {"binary_data_output": True}})
request("half", "oip", "json-out", "/v2/models/half/infer", **mixed({"inputs": [sized]}, bits))
request("half", "oip", "model", "/v2/models/half", method="GET")
empty = {"inputs": all_inputs(city={"shape": [0, 2**64 - 1], "data": []})}
mixed_infer("empty-axis-of-strings", empty)
sized_strings = {**all_inputs()[3], "shape": [0, 2**64 - 1], "parameters": {"binary_data_size": 0}}
del sized_strings["data"]
mixed_infer("empty-axis-of-strings-as-bytes", **mixed({"inputs": [*all_inputs()[:3], sized_strings, all_inputs()[4]]}, b""))
v1("half", "lists", {"instances": [[1.5, -0.25], [65504, None]]})
v1("half", "past-the-range", {"instances": [[65520, 1]]})

PARAMETERS = "/v2/models/parameters/infer"


def predict(name, body, path="/predict", **headers):
    request("parameters", "features", name, path, body, **{"Content_Type": "application/json", **headers})


request("parameters", "features", "query", "/predict?x=1&t=2", method="GET")
predict("row", {"x": 1, "t": 2})
predict("rows", [{"x": 1, "t": 2}, {"x": 2, "t": 2}])
predict("rows-with-one-value", [{"x": 1, "t": 2}, {"x": 2}])
predict("rows-that-differ", [{"x": 1, "t": 2}, {"x": 2, "t": 3}])
predict("rows-without-a-value", [{"x": 1}, {"x": 2}])
predict("columns", {"x": [1, 2], "t": 2})
predict("columns-of-equal-values", {"x": [1, 2], "t": [2, 2]})
predict("columns-that-differ", {"x": [1, 2], "t": [2, 3]})
predict("lines", '{"x":1,"t":2}\n{"x":2}\n', Content_Type="application/x-ndjson")
predict("csv", "x,t\n1,2\n2,\n", Content_Type="text/csv")
predict("csv-that-differs", "x,t\n1,2\n2,3\n", Content_Type="text/csv")
v1("parameters", "parameters", {"instances": [1, 2], "parameters": {"t": 2}})
v1("parameters", "parameters-first", {"parameters": {"t": 2}, "instances": [[1], {"x": 2}]})
v1("parameters", "objects", {"instances": [{"x": 1, "t": 2}, {"x": 2, "t": 2}]})
v1("parameters", "twice", {"instances": [{"x": 1, "t": 2}], "parameters": {"t": 2}})
v1("parameters", "twice-but-different", {"instances": [{"x": 1, "t": 2}], "parameters": {"t": 3}})
v1("parameters", "unknown-parameter", {"instances": [1], "parameters": {"u": 3}})
v1("parameters", "feature-as-parameter", {"instances": [1], "parameters": {"t": 2, "x": 1}})
v1("parameters", "missing", {"instances": [1, 2]})
v1("parameters", "columns", {"inputs": {"x": [1, 2], "t": 2}})
scalar = {"name": "t", "shape": [], "datatype": "FP32", "data": [2]}
rows_of_x = {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1, 2]}
request("parameters", "oip", "json", PARAMETERS, {"inputs": [rows_of_x, scalar]})
request("parameters", "oip", "scalar-with-an-axis", PARAMETERS, {"inputs": [rows_of_x, {**scalar, "shape": [1]}]})
request("parameters", "oip", "missing", PARAMETERS, {"inputs": [rows_of_x]})
request("parameters", "oip", "no-rows", PARAMETERS, {"inputs": [{**rows_of_x, "shape": [0, 1], "data": []}, scalar]})
request("parameters", "oip", "classification", PARAMETERS, {"inputs": [rows_of_x, scalar], "outputs": [{"name": "mean", "parameters": {"classification": 1}}]})
request("parameters", "oip", "model", "/v2/models/parameters", method="GET")
request("parameters", "sagemaker", "csv-without-a-header", "/invocations", "1,2\n2,2\n", Content_Type="text/csv")

filled = {"image": {"fill": 0.5}}
json_body = {"Content_Type": "application/json"}
request("image", "features", "filled", "/predict", filled, **json_body)
request("image", "features", "filled-in-the-second-row", "/predict", [filled, filled], **json_body)
request("image", "features", "filled-with-a-string", "/predict", {"image": {"fill": "a"}}, **json_body)
request("image", "features", "other-key", "/predict", {"image": {"fill": 1, "shape": [3, 2, 2]}}, **json_body)
v1("image", "filled", {"instances": [filled, filled]})
