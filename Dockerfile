# One static binary in an empty image. Docker, BuildKit, podman and buildah build it alike:
#
#     docker build -t ml-app .
#     docker build -t ml-app --build-arg MODEL=other.onnx .
#
# A binary that cargo compiled outside is put into the same image by naming its directory:
#
#     docker build -t ml-app --build-context compiled=target/x86_64-unknown-linux-musl/release .

FROM --platform=$BUILDPLATFORM rust:1.95.0-alpine3.22 AS rust
WORKDIR /src

# The workspace with its code left out: manifests, and an empty program for each file they ask for. It
# is the same as long as the manifests are, and so is the layer of dependencies compiled from it. Only
# crates/inventory is whole: the dependencies are compiled with it.
FROM rust AS manifests
COPY . .
# Alpine's shell has no pipefail by default; cargo misses a manifest that is not there.
# hadolint ignore=DL4006
RUN find . -name Cargo.toml -o -name Cargo.lock -o -path './.cargo/*' -o -name build.rs \
        -o -path '*/src/lib.rs' -o -path '*/src/main.rs' -o -path '*/benches/*.rs' \
    | while read -r file; do \
        mkdir -p "/manifests/${file%/*}" \
        && case $file in \
            ./crates/inventory/*) cat "$file" ;; \
            *.rs) echo 'pub fn main() {}' ;; \
            *) cat "$file" ;; \
        esac > "/manifests/$file"; \
    done \
    && find /manifests -exec touch -d @0 {} +

# Compiled on the machine that builds for the one that runs, never emulated: clang and rust-lld know
# every processor, and lack only the headers of the other's libc.
FROM rust AS compiled
ARG TARGETARCH
# Alpine takes a version away once it has a newer one.
# hadolint ignore=DL3018
RUN case "${TARGETARCH:-$(uname -m)}" in \
        amd64 | x86_64) arch=x86_64 ;; \
        arm64 | aarch64) arch=aarch64 ;; \
        *) echo "error: expected TARGETARCH amd64 or arm64, but found $TARGETARCH" >&2; exit 1 ;; \
    esac \
    && target=$arch-unknown-linux-musl \
    && rustup target add "$target" \
    && printf '[build]\ntarget = "%s"\n' "$target" >> "$CARGO_HOME/config.toml" \
    && apk add --no-cache musl-dev \
    && if [ "$arch" != "$(uname -m)" ]; then \
        apk add --no-cache clang llvm \
        && apk add --no-cache --no-scripts --initdb --root /sysroot --arch "$arch" \
            --keys-dir /usr/share/apk/keys --repositories-file /etc/apk/repositories musl-dev \
        && printf '[target.%s]\nlinker = "rust-lld"\n' "$target" >> "$CARGO_HOME/config.toml" \
        && printf '[env]\nCC_%s = "clang"\nAR_%s = "llvm-ar"\nCFLAGS_%s = "%s"\n' \
            "$target" "$target" "$target" "--target=$arch-linux-musl --sysroot=/sysroot" \
            >> "$CARGO_HOME/config.toml"; \
    fi
COPY --from=manifests /manifests .
RUN cargo build --release --locked --no-default-features
COPY . .
ARG MODEL=model.onnx
# Cargo goes by the time of a file, and the code is older than the build of what stood in for it.
RUN find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
    && find crates/inventory -exec touch -d @0 {} + \
    && cargo rustc --release --locked --no-default-features --bin ml-app -- -C lto=thin \
    && cp target/*-unknown-linux-musl/release/ml-app /ml-app

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="ml-app" \
      org.opencontainers.image.description="Your trained model, compiled into one binary that answers HTTP" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"
COPY --from=compiled /ml-app /ml-app
USER 65532:65532
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=3s --start-period=1s --retries=3 CMD ["/ml-app", "healthcheck"]
ENTRYPOINT ["/ml-app"]
