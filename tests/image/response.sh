# shellcheck shell=bash
# Sourced by the scripts beside it: where to serve, and a prediction whose answer is known.

# free_port: one of this machine that nobody listens on.
free_port() {
    python3 -c 'import socket
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    print(free.getsockname()[1])'
}

# readme_prediction: sets `question` to the path that README.md asks by curl, `answer` to what it shows.
readme_prediction() {
    question=$(sed -n "s|^\$ curl 'localhost:5000\(/predict[^']*\)'\$|\1|p" README.md | head -n 1)
    answer=$(grep -A 1 -F "\$ curl 'localhost:5000$question'" README.md | sed -n 2p)
    if [ -z "$question" ] || [ -z "$answer" ]; then
        fail "README.md shows no prediction by curl"
    fi
}

# same_answer EXPECTED FOUND: the same JSON, floats to 1e-5.
same_answer() {
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
    sys.exit(f"error: expected the answer {expected}, but found {found}")
print(f"ok: {found}")
PY
}
