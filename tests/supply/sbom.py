"""Checks the output of `ml-app sbom` against the schema of CycloneDX and against Cargo.lock.

    sbom.py FILE
"""

import hashlib
import json
import pathlib
import re
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

text = pathlib.Path(sys.argv[1]).read_text()
document = json.loads(text)
error = JsonStrictValidator(SchemaVersion.from_version(document["specVersion"])).validate_str(text)
if error:
    sys.exit(f"error: invalid CycloneDX {document['specVersion']}: {error}")

lock = pathlib.Path("Cargo.lock").read_text()
locked = set(re.findall(r'^name = "(.*)"\nversion = "(.*)"$', lock, re.MULTILINE))
scopes = {}
for component in document["components"]:
    if component["type"] == "library":
        crate = component["name"], component["version"]
        if crate not in locked:
            sys.exit(f"error: expected a crate of Cargo.lock, found {crate}")
        scopes.setdefault(component["name"], set()).add(component["scope"])

for crate, scope in {
    "actix-web": {"required"},
    "tract-onnx": {"required"},
    "inventory": {"required"},
    "utoipa-swagger-ui-vendored": {"required"},
    "prost-derive": {"excluded"},
    "zip": {"excluded"},
    "criterion": None,
}.items():
    if scopes.get(crate) != scope:
        sys.exit(f"error: {crate}: expected the scope {scope}, found {scopes.get(crate)}")

digests = [part["hashes"][0]["content"] for part in document["components"] if part["type"] == "machine-learning-model"]
digest = hashlib.sha256(pathlib.Path("model.onnx").read_bytes()).hexdigest()
if digests != [digest]:
    sys.exit(f"error: expected the model {digest}, found {digests}")

print(f"ok: CycloneDX {document['specVersion']}, {len(scopes)} crates of Cargo.lock and the model")
