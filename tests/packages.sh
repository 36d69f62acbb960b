# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the scripts that set a machine up: installs Debian packages that are missing.

missing_packages() {
    local package status
    for package in "$@"; do
        status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || true
        [ "$status" = installed ] || printf '%s ' "$package"
    done
}

# install_packages "needed ..." "wanted ...": both are installed where that can be; only a missing needed one is an
# error.
install_packages() {
    command -v dpkg-query >/dev/null || return 0
    local missing get install package log as_root=()
    missing=$(missing_packages $1 $2)
    [ -n "$missing" ] || return 0
    get="apt-get install -y --no-install-recommends"
    install="apt-get update; $get $missing || for package in $missing; do $get \$package; done"
    if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
    if [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }; then
        echo "installing $missing"
        log=$(mktemp)
        if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c "$install" >"$log" 2>&1; then
            tail -n 20 "$log"
            echo "could not install them"
        fi
        rm -f "$log"
    else
        echo "missing packages; as root: apt-get update && $get $missing"
    fi
    missing=$(missing_packages $2)
    [ -z "$missing" ] || echo "goes on without $missing"
    missing=$(missing_packages $1)
    [ -z "$missing" ] || { echo "cannot go on without $missing"; return 1; }
}
