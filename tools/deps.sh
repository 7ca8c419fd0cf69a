#!/bin/sh
# Installs what building, the demo and the checks need: Debian packages (as root), and registry
# packages pinned by version and checksum under build/deps. A second run needs no network.
# usage: tools/deps.sh
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
deps=$root/build/deps
stamp=$deps/.done-$(cat "$root"/tools/deps.sh "$root"/tools/fetch_*.sh "$root"/tools/deps/* 2>/dev/null | sha256sum | cut -c1-16)
debian="build-essential cmake ninja-build pkg-config python3 python3-pip ca-certificates libwebsockets-dev libssl-dev libcap-dev \
libjansson-dev libsqlite3-dev libutf8proc-dev libcmocka-dev libvulkan-dev libvulkan1 libcairo2-dev fonts-dejavu-core procps"
browsers="chromium firefox-esr mesa-vulkan-drivers"
tests="libonnx-testdata"

missing=""
if command -v dpkg-query >/dev/null 2>&1; then
    for p in $debian $browsers $tests; do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
    done
    command -v npm >/dev/null 2>&1 || missing="$missing nodejs npm"
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then
        echo "deps: installing Debian packages:$missing"
        mkdir -p "$root/build"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -q >/dev/null || echo "deps: apt-get update failed; trying with the lists at hand" >&2
        # shellcheck disable=SC2086
        apt-get install -y -q --no-install-recommends $missing >"$root/build/apt.log" 2>&1 || {
            tail -n 20 "$root/build/apt.log" >&2
            rm -f "$root/build/apt.log"
            echo "deps: apt-get could not install:$missing" >&2
            exit 1
        }
        rm -f "$root/build/apt.log"
    else
        echo "deps: not root, so these Debian packages are not installed:$missing" >&2
        echo "deps: ask root for: apt-get install --no-install-recommends$missing" >&2
    fi
fi

[ -e "$stamp" ] && exit 0
mkdir -p "$deps"
"$root/tools/fetch_models.sh" "$deps" || echo "deps: no models fetched; the demo and the tests that need them will say so" >&2
if [ -x "$root/tools/fetch_duckdb.sh" ]; then
    "$root/tools/fetch_duckdb.sh" "$deps" || echo "deps: no DuckDB library fetched; rows stay spooled" >&2
fi
"$root/tools/fetch_chromium_webnn.sh" "$deps" || echo "deps: no Chromium with WebNN fetched; target webnn needs another browser, its tests say so" >&2
if [ -e "$deps/models/l6/model.safetensors" ] && [ -e "$deps/models/ppocr/det/model.onnx" ] && [ -e "$deps/lib/libduckdb.so" ]; then
    rm -f "$deps"/.done-*
    : >"$stamp"
fi
