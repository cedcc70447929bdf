# shellcheck shell=bash
# Sourced by the scripts beside it: podman and buildah with settings, storage and a network of their
# own below target/, so that no other container or image of the machine is touched.

step() { printf '\n-- %s\n' "$*"; }

# Debian's packages, each unless what it is needed for is there.
install_engine() {
    local missing=()
    command -v podman >/dev/null || missing+=(podman)
    command -v buildah >/dev/null || missing+=(buildah)
    command -v runc >/dev/null || missing+=(runc)
    [ -x /usr/lib/podman/netavark ] || missing+=(netavark)
    # netavark publishes ports with it.
    [ -x /usr/sbin/iptables ] || missing+=(iptables)
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# engine_at DIRECTORY: the settings of the engine, which keeps all of its state in there.
engine_at() {
    local at=$1
    mkdir -p "$at/networks"
    cat >"$at/containers.conf" <<CONF
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"

[containers]
log_driver = "k8s-file"

[network]
network_backend = "netavark"
network_config_dir = "$at/networks"
CONF
    cat >"$at/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$at/storage"
runroot = "$at/run"
CONF
    # Health checks on a timer need systemd; here they are run by hand.
    # It writes notes where it is started.
    ENGINE=(env --chdir "$at" "CONTAINERS_CONF=$at/containers.conf" "CONTAINERS_STORAGE_CONF=$at/storage.conf"
        DISABLE_HC_SYSTEMD=true)
}

# begin_engine DIRECTORY: an engine with its state in there and nothing in it yet, and the folder
# `scratch`; both are empty again when the script ends.
begin_engine() {
    engine_at "$1"
    scratch=$(mktemp -d)
    trap end_engine EXIT
    clear_engine
}

end_engine() {
    local code=$?
    clear_engine || true
    rm -rf "$scratch"
    exit "$code"
}

# engine COMMAND...: podman or buildah, with those settings.
engine() { as_root "${ENGINE[@]}" "$@"; }

# clear_engine: no container, image or network is left.
clear_engine() {
    engine podman rm --force --all --time 0 >/dev/null
    engine buildah rm --all >/dev/null
    engine podman rmi --force --all >/dev/null
    engine podman network prune --force >/dev/null
}
