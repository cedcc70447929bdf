# One static binary in an empty image. Works with Docker, BuildKit, podman and buildah:
#
#     docker build -t ml-app .
#     docker build -t ml-app --build-arg MODEL=other.onnx .
#
# To build the image from a compiled binary, name the binary's directory:
#
#     docker build -t ml-app --build-context compiled=target/x86_64-unknown-linux-musl/release .

FROM --platform=$BUILDPLATFORM rust:1.95.0-alpine3.22 AS rust
WORKDIR /src

# The workspace without its code: cargo's manifests, and an empty program for each source file that they require. The
# result of this stage changes only if a manifest changes, so the layer of compiled dependencies stays cached.
# crates/inventory is complete, because dependencies are compiled against it.
FROM rust AS manifests
COPY . .
# Alpine's shell has no pipefail by default. If a command of the pipeline fails, a manifest is missing, and the build
# with cargo fails.
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

# Cross-compiles for the target platform instead of emulating it: clang and rust-lld support every processor, and
# need only the headers of the target's libc.
FROM rust AS compiled
ARG TARGETARCH
# Alpine removes old versions of a package, so that a pinned version would soon fail.
# hadolint ignore=DL3018
RUN case "${TARGETARCH:-$(uname -m)}" in \
        amd64 | x86_64) arch=x86_64 ;; \
        arm64 | aarch64) arch=aarch64 ;; \
        *) echo "error: TARGETARCH: expected amd64 or arm64, found $TARGETARCH" >&2; exit 1 ;; \
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
# Cargo compiles a file again only if the file is newer than the last build. The copied sources are older than the build
# of the empty programs, so this command touches them, except those of crates/inventory.
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
