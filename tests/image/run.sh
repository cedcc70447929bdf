#!/usr/bin/env bash
# Builds the binary and checks that it is static. Builds the image, runs it as in a deployment, and prints its size, its
# memory and its start time. Installs the tools that the script needs, on Debian and its derivatives.
#
# If the variable SERVER_BINARY is set, the script tests this static binary and does not build one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
unset MODEL CARGO_TARGET_DIR
. tests/packages.sh
. tests/image/engine.sh
. tests/image/response.sh

# Number of timed starts of each image.
RUNS=25
# Maximum time in seconds that the test waits for an event. It is long, because the machine may be busy.
PATIENCE=60
# Limits of the containers. docs/container.md recommends the same limits, except --cpus.
LIMITS=(--read-only --cap-drop=ALL --security-opt=no-new-privileges --memory 32m --cpus 0.5)
# Some machines do not permit the engine's default limits.
ULIMITS=(--ulimit nofile=4096:4096 --ulimit nproc=4096:4096)

# More options for run_image.
OPTIONS=()

ok() { printf 'ok: %s\n' "$*"; }

# is WHAT EXPECTED FOUND: fails unless FOUND equals EXPECTED.
is() {
    [ "$2" = "$3" ] || fail "$1: expected \`$2\`, found \`$3\`"
    ok "$1: $2"
}

# has WHAT STRING OUTPUT: fails unless OUTPUT contains STRING.
has() {
    case $3 in
        *"$2"*) ok "$1: $2" ;;
        *) fail "$1: expected the string \`$2\`, found \`$3\`" ;;
    esac
}

# lacks WHAT STRING OUTPUT: fails if OUTPUT contains STRING.
lacks() {
    case $3 in
        *"$2"*) fail "$1: expected no \`$2\`, found \`$3\`" ;;
        *) ok "$1: no $2" ;;
    esac
}

# seconds_since TIME: prints the seconds since TIME, an earlier value of EPOCHREALTIME.
seconds_since() {
    python3 -c 'import sys
since, now = (float(time.replace(",", ".")) for time in sys.argv[1:])
print(f"{now - since:.2f}")' "$1" "$EPOCHREALTIME"
}

# inspect FORMAT: prints a property of the image.
inspect() { engine podman image inspect --format "$1" "$IMAGE"; }

# run_image NAME ARGUMENT...: runs a container in the background, with the limits of a deployment. Sets URL and PID.
run_image() {
    engine podman run --detach --name "$1" "${LIMITS[@]}" "${ULIMITS[@]}" "${OPTIONS[@]}" --network "$NETWORK" \
        --publish 127.0.0.1::5000 "$IMAGE" "${@:2}" >/dev/null
    URL=http://$(engine podman port "$1" 5000/tcp)
    PID=$(engine podman inspect --format '{{.State.Pid}}' "$1")
    curl --silent --show-error --fail --output /dev/null --retry 1000 --retry-delay 0 \
        --retry-max-time "$PATIENCE" --retry-all-errors "$URL/readyz" || {
        engine podman logs "$1"
        fail "the container $1 does not become ready"
    }
}

get() { curl --silent --show-error --fail --compressed --max-time "$PATIENCE" "$URL$1"; }

# stop_image NAME: sends SIGTERM to the container, and fails unless the container ends with exit code 0.
stop_image() {
    local since=$EPOCHREALTIME deadline=$((SECONDS + PATIENCE))
    engine podman kill --signal TERM "$1" >/dev/null
    while [ -e "/proc/$PID" ]; do
        [ "$SECONDS" -lt "$deadline" ] || fail "expected the container to end within $PATIENCE s of SIGTERM"
        sleep 0.01
    done
    ok "time from SIGTERM to the end: $(seconds_since "$since") s"
    is "exit code after SIGTERM" 0 "$(engine podman wait "$1")"
    engine podman rm "$1" >/dev/null
}

step "Tools"
missing=()
command -v curl >/dev/null || missing+=(curl ca-certificates)
command -v file >/dev/null || missing+=(file)
command -v musl-gcc >/dev/null || missing+=(musl-tools)
command -v python3 >/dev/null || missing+=(python3)
command -v readelf >/dev/null || missing+=(binutils)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
install_engine
podman --version
buildah --version
runc --version | head -n 1

begin_engine "$PWD/target/image"
IMAGE=localhost/ml-app:test
PROBE=localhost/probe:test
NETWORK=ml-app-test
engine podman network create --disable-dns "$NETWORK" >/dev/null

step "Static binary"
target=$(uname -m)-unknown-linux-musl
if [ -z "${SERVER_BINARY:-}" ]; then
    need_target "$target"
    cargo rustc --release --target "$target" --no-default-features --bin ml-app -- -C lto=thin
    SERVER_BINARY=target/$target/release/ml-app
fi
mkdir "$scratch/image" "$scratch/root"
install -m 755 "$SERVER_BINARY" "$scratch/image/ml-app"
binary=$scratch/image/ml-app
kind=$(file --brief "$binary")
has file "statically linked" "$kind"
lacks file interpreter "$kind"
has ldd "not a dynamic executable" "$(ldd "$binary" 2>&1 || true)"
lacks "program headers" INTERP "$(readelf --program-headers --wide "$binary")"
lacks "dynamic section" NEEDED "$(readelf --dynamic --wide "$binary")"
# build/order.ld lists functions by name, and an update of Rust changes their names.
start=$(readelf --section-headers --wide "$binary" | sed -nE 's/.* \.text\.start +PROGBITS +\S+ \S+ (\S+) .*/\1/p')
[ $((0x${start:-0})) -gt 1000000 ] || fail "expected the functions of a start in one section, found $((0x${start:-0})) bytes: run build/order.sh"
ok "the functions of a start in one section: $((0x$start)) bytes"
cp "$binary" "$scratch/root/ml-app"
described=$(as_root /usr/sbin/chroot --userspec=65532:65532 "$scratch/root" /ml-app inspect)
has "in an empty root directory" "$(sha256sum model.onnx | cut -d ' ' -f 1)" "$described"

step "Image"
# buildah keeps HEALTHCHECK only in images of Docker's format.
engine buildah build --quiet --format docker --tag "$IMAGE" \
    --build-context compiled="$scratch/image" --build-arg REVISION=abc1234 \
    --build-arg SOURCE=https://example.com/ml-app "$PWD" >/dev/null
is user 65532:65532 "$(inspect '{{.Config.User}}')"
is entrypoint '["/ml-app"]' "$(inspect '{{json .Config.Entrypoint}}')"
is "default command" none "$(inspect '{{range .Config.Cmd}}{{.}} {{else}}none{{end}}')"
is ports '{"5000/tcp":{}}' "$(inspect '{{json .Config.ExposedPorts}}')"
is "health check" '["CMD","/ml-app","healthcheck"]' "$(inspect '{{json .HealthCheck.Test}}')"
label() { inspect "{{index .Labels \"org.opencontainers.image.$1\"}}"; }
is title ml-app "$(label title)"
is description "$(sed -n 's/^description = "\(.*\)"$/\1/p' Cargo.toml)" "$(label description)"
is licenses "$(sed -n 's/^license = "\(.*\)"$/\1/p' Cargo.toml)" "$(label licenses)"
is version "$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)" "$(label version)"
is revision abc1234 "$(label revision)"
is source https://example.com/ml-app "$(label source)"
is layers 1 "$(inspect '{{len .RootFS.Layers}}')"
engine podman save --quiet --format oci-archive "$IMAGE" >"$scratch/image.tar"
files=$(python3 - "$scratch/image.tar" <<'PY'
import io, json, stat, sys, tarfile

with tarfile.open(sys.argv[1]) as image:
    def blob(digest):
        return image.extractfile("blobs/" + digest.replace(":", "/")).read()

    index = json.load(image.extractfile("index.json"))
    manifest = json.loads(blob(index["manifests"][0]["digest"]))
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(blob(layer["digest"]))) as files:
            for file in files:
                print(f"/{file.name} {file.size} bytes, mode {stat.S_IMODE(file.mode):o}")
PY
)
is files "/ml-app $(stat --format %s "$binary") bytes, mode 755" "$files"

step "Limits of the engine"
mkdir "$scratch/probe"
musl-gcc -static -O2 -Wall -Wno-unused-result -s -o "$scratch/probe/probe" tests/image/probe.c
cat >"$scratch/probe/Dockerfile" <<'DOCKERFILE'
FROM scratch
COPY probe /probe
USER 65532:65532
ENTRYPOINT ["/probe"]
DOCKERFILE
engine buildah build --quiet --format docker --tag "$PROBE" "$scratch/probe" >/dev/null
probe() { engine podman run --rm "${LIMITS[@]}" "${ULIMITS[@]}" --network none "$PROBE" "$@"; }
is "memory for 8 MiB" "wrote to 8 MiB" "$(probe fill 8)"
is "memory for 128 MiB: killed" 137 "$(probe fill 128 >/dev/null && echo 0 || echo $?)"
share=$(probe spin 1)
[ "$share" -le 65 ] || fail "expected at most half a core, found $share %"
ok "processor: $share %, with a limit of 50 %"

step "Container"
readme_prediction
run_image served
same_response "$response" "$(get "$path")"
resident=$(sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB$/\1/p' "/proc/$PID/status")
anonymous=$(sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\) kB$/\1/p' "/proc/$PID/status")
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$PID/status" | tr '\t' ' '; }
is "user ids" "65532 65532 65532 65532" "$(status Uid)"
is "group ids" "65532 65532 65532 65532" "$(status Gid)"
is "bounding set of capabilities" 0000000000000000 "$(status CapBnd)"
is "new privileges forbidden" 1 "$(status NoNewPrivs)"
page=$(get /apidocs)
has "/apidocs" swagger-ui "$page"
links=$(grep -oE '(src|href)="[^":]+"' <<<"$page" | cut -d '"' -f 2 | sort -u)
has "links of /apidocs" swagger-ui-bundle.js "$links"
for link in $links; do
    size=$(get "/$link" | wc -c)
    [ "$size" -gt 500 ] || fail "/$link: expected more than 500 bytes, found $size"
    ok "/$link: $size bytes"
done
# post ROWS: prints the status of a request with this number of rows in JSON.
post() {
    python3 -c 'import json, sys
row = {"age": 21, "new_user": 1, "total_pages_visited": 14}
print(json.dumps([row] * int(sys.argv[1])))' "$1" | curl --silent --output /dev/null --write-out '%{http_code}' \
        --max-time "$PATIENCE" --header 'content-type: application/json' --data-binary @- "$URL/predict"
}
for _ in 1 2 3; do is "body of 0.95 MiB" 200 "$(post 18000)"; done
is "body of more than 1/32 of the memory" 413 "$(post 25000)"
engine podman healthcheck run served || fail "HEALTHCHECK fails"
ok "HEALTHCHECK succeeds"
engine podman exec served /ml-app healthcheck || fail "/ml-app healthcheck fails"
ok "/ml-app healthcheck succeeds"
rejected=$(engine podman exec served /ml-app healthcheck --port 1 2>&1) && fail "/ml-app healthcheck --port 1 succeeds"
has "without a server" "from 127.0.0.1:1" "$rejected"
stop_image served

has "ml-app sbom" '"purl": "pkg:cargo/actix-web@' \
    "$(engine podman run --rm "${LIMITS[@]}" "${ULIMITS[@]}" --network none "$IMAGE" sbom)"

# The command and the variable of SageMaker.
OPTIONS=(--env SAGEMAKER_BIND_TO_PORT=5000)
run_image sagemaker serve
is "/ping" "" "$(get /ping)"
is "/invocations" 1 "$(curl --silent --fail --max-time "$PATIENCE" --header 'content-type: text/csv' \
    --header 'accept: text/csv' --data '21,1,14' "$URL/invocations" | cut -d , -f 4)"
stop_image sagemaker

# The variables of Vertex AI.
OPTIONS=(--env AIP_HTTP_PORT=5000 --env AIP_HEALTH_ROUTE=/health/check --env AIP_PREDICT_ROUTE=/score)
run_image vertex
has "AIP_HEALTH_ROUTE" true "$(get /health/check)"
has "AIP_PREDICT_ROUTE" '{"predictions":[' "$(curl --silent --fail --max-time "$PATIENCE" \
    --header 'content-type: application/json' --data '{"instances":[[21,1,14]],"parameters":{}}' "$URL/score")"
stop_image vertex
OPTIONS=()

code=0
rejected=$(engine podman run --rm "${LIMITS[@]}" "${ULIMITS[@]}" --network none \
    --env PORT=https --env ML_APP_WORKERS=many "$IMAGE" 2>&1) || code=$?
is "exit code with invalid settings" 64 "$code"
has message "PORT: expected a port from 0 to 65535, found \`https\`" "$rejected"
has message "ML_APP_WORKERS: expected a number from 1 to 1024, found \`many\`" "$rejected"

code=0
rejected=$(engine podman run --rm "${ULIMITS[@]}" --network none "$IMAGE" serve --model other.onnx 2>&1) || code=$?
is "exit code with --model" 1 "$code"
has message "cannot read the model other.onnx" "$rejected"

step "Cost"
port=$(free_port)
starts=$(as_root python3 -B tests/image/start.py "$RUNS" "$port" "$path" "$IMAGE" "$PROBE" -- \
    "${ENGINE[@]}" podman -- \
    "${LIMITS[@]}" "${ULIMITS[@]}" --network "$NETWORK" --publish "127.0.0.1:$port:5000")
{ read -r app app_min && read -r floor floor_min; } <<<"$starts"
python3 - "$(inspect '{{.Size}}')" "$(stat --format %s "$binary")" "$(gzip --stdout "$binary" | wc -c)" \
    "$anonymous" "$resident" "$app" "$app_min" "$floor" "$floor_min" "$RUNS" <<'PY'
import sys

image, binary, gzipped, anonymous, resident, *starts, runs = (float(number) for number in sys.argv[1:])
app, app_min, floor, floor_min = starts

def row(what, target, found, verdict=""):
    print(f"{what:<52}{target:>11}{found:>11}  {verdict}".rstrip())

def measured(what, limit, found, unit):
    verdict = "met" if found <= limit else "NOT MET"
    row(what, f"≤ {limit} {unit}", f"{found:.1f} {unit}", verdict)
    return found <= limit

row("", "target", "measured")
is_small = measured("image", 12, image / 1e6, "MB")
row("  binary in the image", "", f"{binary / 1e6:.1f} MB")
row("  binary in the image, gzipped as in registries", "", f"{gzipped / 1e6:.1f} MB")
measured("memory after the first response (RssAnon)", 5, anonymous * 1024 / 1e6, "MB")
row("  including pages of the executable", "", f"{resident * 1024 / 1e6:.1f} MB")
row("`podman run` to the first 200, median", "", f"{app:.1f} ms")
row("  of a minimal static C server", "", f"{floor:.1f} ms")
measured("  the difference", 10, app - floor, "ms")
row("`podman run` to the first 200, fastest", "", f"{app_min:.1f} ms")
row("  of a minimal static C server", "", f"{floor_min:.1f} ms")
row("  the difference", "", f"{app_min - floor_min:.1f} ms")
print(f"({runs:.0f} starts each, in turns, published port, 32 MB of memory, half a processor)")
# Times vary between runs. The size does not, so a larger image is an error.
sys.exit(0 if is_small else "the image is too large")
PY
