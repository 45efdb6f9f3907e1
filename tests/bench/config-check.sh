#!/bin/bash
# Measures `config check` on 500 scripts and 200 files of conf.d: the whole command, from start to end.
#
#   tests/bench/config-check.sh [PROGRAM [RUNS]]      default: target/farm/stap-bundle, 50 runs
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/farm/stap-bundle}")
runs=${2:-50}
scripts=500
files=200

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir "$tree/scripts" "$tree/conf.d"
printf 'SCRIPT_PATH=%s/scripts\nCONFIG_PATH=%s/conf.d\nPASSALL=no\n' "$tree" "$tree" >"$tree/config"
for ((script = 0; script < scripts; script++)); do
    echo 'probe begin { exit() }' >"$tree/scripts/s$script.stp"
    file=$tree/conf.d/$(printf '%03d' $((script % files))).conf
    {
        echo "# script $script"
        echo "DIR=/var/log/stap"
        echo "s${script}_OPT=\"-DX=$script -g -o \$DIR/s$script.out -s 8\""
        ((script < 3)) || echo "s${script}_REQ='s$((script / 2)) s$((script - 1))'"
    } >>"$file"
done

# Nothing is measured that doesn't work.
"$program" config check -c "$tree/config" >"$tree/said"
tail -1 "$tree/said" | grep -q "^good: $scripts scripts, 0 problems$"

# EPOCHREALTIME has microseconds, with the locale's decimal point.
for ((run = 0; run < runs; run++)); do
    begun=${EPOCHREALTIME/[^0-9]/}
    "$program" config check -c "$tree/config" >/dev/null
    ended=${EPOCHREALTIME/[^0-9]/}
    echo $((ended - begun))
done | sort -n >"$tree/times"

milliseconds() {
    local time
    time=$(sed -n "$1p" "$tree/times")
    printf '%d.%01d ms' $((time / 1000)) $((time % 1000 / 100))
}
echo "config check, $scripts scripts in $files files, $runs runs:" \
    "minimum $(milliseconds 1), median $(milliseconds $(((runs + 1) / 2))), maximum $(milliseconds "$runs")"
