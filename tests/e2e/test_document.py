"""Checks that the server's responses agree with its OpenAPI document."""

import json

import pytest
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import OpenAPIV30SpecValidator

from conftest import serve, serving

every_model = serving(None, "diabetes", "mixed")

CSV = "text/csv"
JSON = "application/json"
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"
NOT_OFFERED = "image/png"


def assert_valid(document, schema, value):
    """Asserts that the value is valid by a schema of the document."""
    # References are resolved from the root of the schema, so the root gets the components.
    root = {**schema, "components": document["components"]}
    errors = [error.message for error in OAS30Validator(root).iter_errors(value)]
    assert not errors, f"{value!r}: {errors}"


def assert_declared(server, response, method, path, status):
    """Asserts that the response has the status, and that the document declares such a response."""
    assert response.status_code == status, response.text
    operation = server.document["paths"][path][method.lower()]
    assert str(status) in operation["responses"]
    content = operation["responses"][str(status)]["content"]
    media_type = response.headers["content-type"].split(";")[0]
    assert media_type in content
    if status != 200:
        assert media_type == PROBLEM
        assert response.json()["status"] == status
    is_json = media_type in (JSON, PROBLEM)
    assert_valid(server.document, content[media_type]["schema"], response.json() if is_json else response.text)
    if media_type == NDJSON:
        for line in response.text.splitlines():
            assert_valid(server.document, {"$ref": "#/components/schemas/Prediction"}, json.loads(line))


def examples(media):
    """Returns the examples of a media type by name."""
    several = {name: example["value"] for name, example in media.get("examples", {}).items()}
    return {"example": media["example"], **several} if "example" in media else several


def body_examples(server):
    """Returns content type, name and value of each example of a body of `POST /predict`."""
    content = server.document["paths"]["/predict"]["post"]["requestBody"]["content"]
    return [
        (media_type, name, example)
        for media_type, media in content.items()
        for name, example in examples(media).items()
    ]


def encoded(value):
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def query(server):
    """Returns a query with the examples of the parameters of `GET /predict`."""
    pairs = {}
    for parameter in server.document["paths"]["/predict"]["get"]["parameters"]:
        if "schema" in parameter:
            value = parameter["example"]
            pairs[parameter["name"]] = value if isinstance(value, str) else json.dumps(value)
        else:
            pairs[parameter["name"]] = json.dumps(parameter["content"][JSON]["example"])
    return pairs


def row(server):
    content = server.document["paths"]["/predict"]["post"]["requestBody"]["content"]
    return content[JSON]["examples"]["row"]["value"]


def csv(server):
    return server.document["paths"]["/predict"]["post"]["requestBody"]["content"][CSV]["example"]


@every_model
def test_the_document_is_valid(server):
    assert [str(error) for error in OpenAPIV30SpecValidator(server.document).iter_errors()] == []


@every_model
def test_every_example_is_valid(server):
    seen = 0
    for operations in server.document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                media = parameter.get("content", {}).get(JSON, parameter)
                assert_valid(server.document, media["schema"], media["example"])
                seen += 1
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for media in (media for body in bodies for media in body.get("content", {}).values()):
                for example in examples(media).values():
                    assert_valid(server.document, media["schema"], example)
                    seen += 1
    assert seen > 10


@every_model
def test_the_example_of_a_query_succeeds(server):
    response = server.send("GET", "/predict", params=query(server))
    assert_declared(server, response, "GET", "/predict", 200)
    responses = server.document["paths"]["/predict"]["get"]["responses"]
    assert response.json() == responses["200"]["content"][JSON]["example"]


@every_model
def test_every_example_of_a_body_succeeds(server):
    bodies = body_examples(server)
    assert [(media_type, name) for media_type, name, _ in bodies] == [
        (JSON, "row"),
        (JSON, "rows"),
        (JSON, "columns"),
        (CSV, "example"),
        (NDJSON, "example"),
    ]
    for media_type, _, example in bodies:
        response = server.send(
            "POST", "/predict", data=encoded(example), headers={"content-type": media_type}
        )
        assert_declared(server, response, "POST", "/predict", 200)
        assert response.headers["content-type"].split(";")[0] == media_type


@every_model
@pytest.mark.parametrize("accept", [JSON, CSV, NDJSON])
def test_predictions_come_in_each_format(server, accept):
    operation = server.document["paths"]["/predict_file"]["post"]
    example = operation["responses"]["200"]["content"][accept]["example"]
    for path, body in {
        "/predict": {"data": csv(server).encode()},
        "/predict_file": {"files": {"file": ("rows.csv", csv(server).encode(), CSV)}},
    }.items():
        headers = {"accept": accept, **({"content-type": CSV} if "data" in body else {})}
        response = server.send("POST", path, headers=headers, **body)
        assert_declared(server, response, "POST", path, 200)
        assert response.headers["content-type"].split(";")[0] == accept
        assert (response.json() if accept == JSON else response.text) == example


@every_model
def test_probes_and_pages_are_declared(server):
    for path in ["/", "/apidocs", "/openapi.json", "/healthz", "/readyz", "/metrics"]:
        assert_declared(server, server.send("GET", path), "GET", path, 200)


@every_model
def test_bad_queries_get_declared_problems(server):
    good = query(server)
    first, *rest = good
    for status, parameters, accept in [
        (422, {}, JSON),
        (422, {name: good[name] for name in rest}, JSON),
        (422, {**good, first: "abc"}, JSON),
        (422, {**good, "no_feature": "1"}, JSON),
        (422, {**good, first: [good[first], good[first]]}, JSON),
        (406, good, NOT_OFFERED),
    ]:
        response = server.send("GET", "/predict", params=parameters, headers={"accept": accept})
        assert_declared(server, response, "GET", "/predict", status)


@every_model
def test_bad_bodies_get_declared_problems(server):
    good = row(server)
    first, *rest = good
    header = csv(server).splitlines()[0]
    for status, body, content_type, accept in [
        (400, "{", JSON, JSON),
        (400, json.dumps(good) + "}", JSON, JSON),
        (400, b"\xff", JSON, JSON),
        (400, "", CSV, CSV),
        (400, "{\n", NDJSON, NDJSON),
        (406, good, JSON, NOT_OFFERED),
        (406, good, JSON, CSV),
        (415, "age is 21", "text/plain", JSON),
        (415, csv(server), "text/csv; charset=utf-16", CSV),
        (422, {name: good[name] for name in rest}, JSON, JSON),
        (422, {**good, first: "abc"}, JSON, JSON),
        (422, {**good, "no_feature": 1}, JSON, JSON),
        (422, [good, {}], JSON, JSON),
        (422, [], JSON, JSON),
        (400, 1, JSON, JSON),
        (400, None, JSON, JSON),
        (422, "no_feature\n1\n", CSV, CSV),
        (422, header + "\n" + "abc," * len(rest) + "abc\n", CSV, JSON),
        (422, '{"no_feature": 1}\n', NDJSON, NDJSON),
    ]:
        body = body if isinstance(body, bytes) else encoded(body)
        response = server.send(
            "POST", "/predict", data=body, headers={"content-type": content_type, "accept": accept}
        )
        assert_declared(server, response, "POST", "/predict", status)


@every_model
def test_bad_files_get_declared_problems(server):
    multipart = {"content-type": "multipart/form-data; boundary=x"}
    file = {"file": ("rows.csv", csv(server).encode(), CSV)}
    for status, request in [
        (400, {"data": b"--x\r\nno form", "headers": multipart}),
        (400, {"files": {"other": file["file"]}}),
        (406, {"files": file, "headers": {"accept": NOT_OFFERED}}),
        (415, {"data": csv(server).encode(), "headers": {"content-type": CSV}}),
        (422, {"files": {"file": ("rows.csv", b"no_feature\n1\n", CSV)}}),
    ]:
        response = server.send("POST", "/predict_file", **request)
        assert_declared(server, response, "POST", "/predict_file", status)


def test_too_large_bodies_get_a_declared_problem(tmp_path):
    with serve(tmp_path / "stderr", None, "--max-body", "1KiB") as server:
        body = b" " * 2000
        response = server.send("POST", "/predict", data=body, headers={"content-type": JSON})
        assert_declared(server, response, "POST", "/predict", 413)
        response = server.send("POST", "/predict_file", files={"file": ("rows.csv", body, CSV)})
        assert_declared(server, response, "POST", "/predict_file", 413)
