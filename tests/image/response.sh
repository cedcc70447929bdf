# shellcheck shell=bash
# Sourced by the other scripts in this folder. Finds a free port, and reads a prediction and its response from README.md.

# free_port: prints a port of this machine on which no process listens.
free_port() {
    python3 -c 'import socket
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    print(free.getsockname()[1])'
}

# readme_prediction: sets `path` to the path of the first curl command for a prediction in README.md, and `response`
# to the response shown there.
readme_prediction() {
    path=$(sed -n "s|^\$ curl 'localhost:5000\(/predict[^']*\)'\$|\1|p" README.md | head -n 1)
    response=$(grep -A 1 -F "\$ curl 'localhost:5000$path'" README.md | sed -n 2p)
    if [ -z "$path" ] || [ -z "$response" ]; then
        fail "README.md has no example of a prediction with curl"
    fi
}

# same_response EXPECTED FOUND: fails unless both are the same JSON. Floats may differ by 1e-5.
same_response() {
    python3 - "$1" "$2" <<'PY'
import json, math, sys

def same(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, abs_tol=1e-5)
    return type(a) is type(b) and a == b

expected, found = sys.argv[1:]
if not same(json.loads(expected), json.loads(found)):
    sys.exit(f"error: response: expected {expected}, found {found}")
print(f"ok: {found}")
PY
}
