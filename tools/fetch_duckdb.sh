#!/bin/sh
# Fetches DuckDB's shared library and C header with npm, pinned by version and SHA-512.
#
# usage: tools/fetch_duckdb.sh DEPS_DIR      writes DEPS_DIR/lib/libduckdb.so and DEPS_DIR/include/duckdb.h
#
# Needs npm and tar. A second run finds both and uses no network. The library is opened at run time and the
# header is needed by a test only, so a machine without npm still builds everything.
set -eu
deps=${1:?usage: tools/fetch_duckdb.sh DEPS_DIR}
version=1.5.6-r.1
header_version=1.4.4
case $(uname -s)-$(uname -m) in
Linux-x86_64)
    package=@duckdb/node-bindings-linux-x64 file=duckdb-node-bindings-linux-x64-$version.tgz
    sum=21772b64913a904a8cd19e30c1d5671811d7fdface4b7dd53cd0300d743f43e16cf386f4e7c41ef78721ac208870d2651bc6375072145387817824315b998dd5
    ;;
Linux-aarch64 | Linux-arm64)
    package=@duckdb/node-bindings-linux-arm64 file=duckdb-node-bindings-linux-arm64-$version.tgz
    sum=de39d46838a5d41ac5ffabc067055a227275c6805a5861c1e0f0e2527cc958a0a8f1af132f1f63eff80fc8f97f5064417edad822e4e28516527c5e2658c82d58
    ;;
*)
    echo "fetch_duckdb: no package is pinned for $(uname -s) on $(uname -m); install libduckdb or set WEBACCEL_DUCKDB" >&2
    exit 1
    ;;
esac
header_sum=844249e61c9517454b8f776638ba6c5ab411d1bddde1892ab72826ea25178c72430e74aa83f5122b171be6abcdace84560f824b5ac94e9d5c2b603ea7269a9a2
stamp=$deps/duckdb-$version-$header_version.stamp
if [ -f "$stamp" ] && [ -f "$deps/lib/libduckdb.so" ] && [ -f "$deps/include/duckdb.h" ]; then exit 0; fi
command -v npm >/dev/null || {
    echo "fetch_duckdb: npm is needed to fetch libduckdb (apt-get install npm); until then results stay spooled" >&2
    exit 1
}
mkdir -p "$deps/lib" "$deps/include"
work=$(mktemp -d "$deps/duckdb.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# fetch PACKAGE@VERSION FILE SHA512 MEMBER
fetch() {
    (cd "$work" && npm pack --silent --cache "$work/npm" --no-update-notifier "$1" >/dev/null) || {
        echo "fetch_duckdb: npm could not fetch $1: is the network up?" >&2
        exit 1
    }
    echo "$3  $work/$2" | sha512sum -c --quiet - || {
        echo "fetch_duckdb: $1 is not the pinned package: its SHA-512 differs" >&2
        exit 1
    }
    tar -xzf "$work/$2" -C "$work" "$4"
    rm "$work/$2"
}
fetch "$package@$version" "$file" "$sum" package/libduckdb.so
fetch duckdb@$header_version duckdb-$header_version.tgz $header_sum package/src/duckdb/src/include/duckdb.h
chmod 755 "$work/package/libduckdb.so"
mv "$work/package/libduckdb.so" "$deps/lib/libduckdb.so"
mv "$work/package/src/duckdb/src/include/duckdb.h" "$deps/include/duckdb.h"
: >"$stamp"
echo "libduckdb $version in $deps/lib, its header in $deps/include"
