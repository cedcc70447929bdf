# shellcheck shell=bash
# Sourced by the other scripts in this folder. Runs podman and buildah with settings, storage and networks below
# target/, so that the scripts do not affect other containers and images of the machine.

step() { printf '\n-- %s\n' "$*"; }

# Installs the Debian packages that are missing.
install_engine() {
    local missing=()
    command -v podman >/dev/null || missing+=(podman)
    command -v buildah >/dev/null || missing+=(buildah)
    command -v runc >/dev/null || missing+=(runc)
    [ -x /usr/lib/podman/netavark ] || missing+=(netavark)
    # netavark publishes ports with iptables.
    [ -x /usr/sbin/iptables ] || missing+=(iptables)
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# engine_at DIRECTORY: writes settings with which the engine keeps all of its state in this directory.
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
    # The engine needs systemd to run health checks on a timer, so the tests run them explicitly. The engine writes files
    # to the current directory.
    ENGINE=(env --chdir "$at" "CONTAINERS_CONF=$at/containers.conf" "CONTAINERS_STORAGE_CONF=$at/storage.conf"
        DISABLE_HC_SYSTEMD=true)
}

# begin_engine DIRECTORY: sets up an engine without containers and images, and sets `scratch` to an empty folder. When
# the script ends, both are cleared.
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

# engine COMMAND...: runs a command of podman or buildah with the settings of `engine_at`.
engine() { as_root "${ENGINE[@]}" "$@"; }

# clear_engine: removes all containers, images and networks.
clear_engine() {
    engine podman rm --force --all --time 0 >/dev/null
    engine buildah rm --all >/dev/null
    engine podman rmi --force --all >/dev/null
    engine podman network prune --force >/dev/null
}
