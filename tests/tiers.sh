#!/bin/bash
# Runs every tier of tests and prints the minutes of each. Stops at the first that fails. The last one sees whether each test that
# docs/design/threat-coverage.md names ran and passed, in what the others printed.
set -euo pipefail
cd "$(dirname "$0")/.."

summary=
number=0
target=${CARGO_TARGET_DIR:-target}
# What is compiled once only needs no notes for the next time.
[ -d "$target" ] || export CARGO_INCREMENTAL=0
printed=$target/tiers
rm -rf "$printed"
mkdir -p "$printed"

minutes() {
    printf '%3d min %02d s  %s' $(($1 / 60)) $(($1 % 60)) "$2"
}

tier() {
    local name=$1 begun=$SECONDS
    shift
    number=$((number + 1))
    echo "=== $name: $*"
    "$@" 2>&1 | tee "$printed/$number.log"
    summary="$summary$(minutes $((SECONDS - begun)) "$name")"$'\n'
}

# Starts a tier beside those that follow: it compiles and downloads while they wait for a disk, for another process or for time.
beside() {
    beside_name=$1
    shift
    number=$((number + 1))
    beside_log=$printed/$number.log
    echo "=== $beside_name, beside what follows: $*"
    "$@" >"$beside_log" 2>&1 &
    beside=$!
    trap 'kill "$beside" 2>/dev/null || true' EXIT
}

# Waits for it; its minutes are those that nothing else used.
join() {
    local begun=$SECONDS code=0
    wait "$beside" || code=$?
    trap - EXIT
    echo "=== $beside_name has ended with $code:"
    cat "$beside_log"
    [ "$code" = 0 ] || exit "$code"
    summary="$summary$(minutes $((SECONDS - begun)) "$beside_name, after the others")"$'\n'
}

tier 'packages' make --no-print-directory packages
beside 'programs and lab' make --no-print-directory -j2 programs hosts
tier 'format and lints' make --no-print-directory check
tier 'unit tests and command line' make --no-print-directory without-crash
tier 'kills at every system call' make --no-print-directory crash
tier 'three tar readers' make --no-print-directory tar-readers
join
tier 'real stap on real kernels' make --no-print-directory lab-tests
tier 'virtual machines' make --no-print-directory machine-tests
tier 'each named test ran' cargo run --quiet -p end-to-end --bin coverage -- "$printed"

echo
echo "all tiers passed in $((SECONDS / 60)) min:"
printf '%s' "$summary"
