#!/bin/sh
# Builds every fuzz target with clang's libFuzzer, ASAN and UBSAN, and runs each on its corpus, two at
# a time. New inputs go to build-fuzz/corpus; crashes stop the script and stay in build-fuzz/crashes.
# usage: tools/fuzz.sh SECONDS [TARGET...]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
seconds=$1
shift
build=$root/build-fuzz
CC=clang cmake -S "$root" -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DWA_FUZZ=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo -DWA_DEPS_DIR="$root/build/deps" >/dev/null
cmake --build "$build"
targets=$*
[ -n "$targets" ] || targets=$(cd "$root/fuzz" && ls fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')
mkdir -p "$build/crashes"
one() {
    mkdir -p "$build/corpus/$1"
    "$build/fuzz_$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="$build/crashes/$1-" "$build/corpus/$1" "$root/fuzz/corpus/$1" >"$build/$1.log" 2>&1 || {
        echo "fuzz_$1 FAILED: $build/$1.log"
        return 1
    }
    echo "fuzz_$1: $(grep -E 'stat::number_of_executed_units' "$build/$1.log" | awk '{print $2}') executions, $(grep -E 'cov: ' "$build/$1.log" | tail -n 1 | sed 's/.*cov: \([0-9]*\) ft: \([0-9]*\).*/coverage \1 edges, \2 features/')"
}
bad=0
set -- $targets
while [ $# -gt 0 ]; do
    one "$1" & a=$!
    b=""
    if [ $# -gt 1 ]; then
        one "$2" & b=$!
        shift
    fi
    shift
    wait "$a" || bad=1
    [ -z "$b" ] || wait "$b" || bad=1
done
exit $bad
