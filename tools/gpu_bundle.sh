#!/bin/sh
# Packs the command, the libraries it needs, the Vulkan layer and the benchmark into .gpu/webaccel:
# runs on an Ubuntu 24.04 or Debian 12 machine with nothing installed. DuckDB is left out: rows stay
# spooled. At most 25 MiB.
# usage: tools/gpu_bundle.sh WEBACCEL [OUT]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
command=$1
out=${2:-$root/.gpu/webaccel}
rm -rf "$out"
mkdir -p "$out/bin" "$out/lib" "$out/bench" "$out/tools"
cp "$command" "$out/bin/webaccel"
strip "$out/bin/webaccel"
kernels=$(dirname "$command")/bench_gpu_kernels # for bench/gpu_kernels.py; ninja bench_gpu_kernels makes it
[ ! -e "$kernels" ] || { cp "$kernels" "$out/bin/" && strip "$out/bin/bench_gpu_kernels"; }
# Everything but the C library's own parts, which the target machine has.
ldd "$command" | awk '$3 ~ /^\// {print $3}' | grep -vE '/(libc|libm|libdl|librt|libpthread|ld-linux.*)\.so' | while read -r lib; do
    cp -L "$lib" "$out/lib/"
done
for layer in "$(dirname "$command")"/libVkLayer_webaccel_headless.so "$(dirname "$command")"/VkLayer_webaccel_headless.so; do
    [ ! -e "$layer" ] || cp "$layer" "$out/lib/"
done
strip "$out"/lib/*.so* 2>/dev/null || true
cp "$root"/bench/*.py "$root"/bench/*.html "$out/bench/"
cp -r "$root"/bench/gpu "$out/bench/"
cp "$root"/tools/gpu_check.py "$root"/tools/make_bert_models.py "$root"/tools/make_bench_models.py "$out/tools/"
bytes=$(du -sb "$out" | cut -f1)
echo "$out: $bytes bytes"
if [ "$bytes" -gt $((25 * 1024 * 1024)) ]; then
    echo "gpu-bundle: larger than 25 MiB" >&2
    exit 1
fi
