//! What the detour over a compile server costs: scripts compiled on a warm kernel, in turns by this machine and by a server on its
//! loopback interface, one job at a time. Prints one line; ends with 1 if the target is missed.
//!
//! Both ways run on the same processors, in turns, and the middle of the rounds' ratios counts, so that what else the machine does
//! weighs on both.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are for a terminal")]

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use end_to_end::server_root::{COUNTING_FARM, run_beside};

/// How much longer a job may take by a server.
const LIMIT: f64 = 1.3;

/// Rounds that are measured; one more warms up both ways.
const ROUNDS: usize = 5;

/// `ROUND SECONDS-HERE SECONDS-BY-SERVER`, a line for each round: the sum of all compiles from start to end.
const SCRIPT: &str = r#"
set -e
REL=$(ls "$SYSROOT/lib/modules" | grep cloud | head -n 1)
in_root stap-bundle server start -r "$REL" --port 5001 --max-threads 1
F=$(in_root stap-bundle server status --json | sed -n 's/.*"sha256": "\(.*\)".*/\1/p' | head -n 1)
in_root stap-bundle server trust 127.0.0.1:5001 --fingerprint "$F"
mkdir -p .systemtap/ssl && cp -r "$ROOT/etc/systemtap/ssl/client" .systemtap/ssl/client
# Results of each build are its own, so everything is compiled; what stap keeps for the kernel is warm after the first round.
build() {
    local way=$1; shift
    stap-bundle build -r "$REL" --sysroot "$SYSROOT" -c config --no-sign -o out.stapb -j 1 --cache cache --artifacts "results-$way" \
        --report "$way.json" "$@" >&2
    rm out.stapb
    sed -n '/"cells"/,/^  \]/s/.*"wall_ms": \([0-9]*\).*/\1/p' "$way.json" | awk '{ sum += $1 } END { printf " %.3f", sum / 1000 }' >>line
}
echo "== rounds"
for round in $(seq 0 ROUNDS); do
    printf '%s' "$round" >line
    build "here-$round" 2>>log.txt
    build "server-$round" --server 127.0.0.1:5001 2>>log.txt
    cat line; echo
done
"#;

fn main() -> Result<ExitCode> {
    let said = run_beside(&format!("{COUNTING_FARM}{}", SCRIPT.replace("ROUNDS", &ROUNDS.to_string())))?;
    let mut ratios = Vec::new();
    for line in said.part("rounds")?.lines().skip(1).filter(|line| !line.is_empty()) {
        let seconds: Vec<f64> = line.split(' ').skip(1).map(str::parse).collect::<Result<_, _>>()?;
        let [here, server] = seconds[..] else { anyhow::bail!("not two times: {line}") };
        ensure!(here > 0.0 && server > 0.0, "nothing was compiled: {line}");
        eprintln!("round: {here:.1} s here, {server:.1} s by a server");
        ratios.push(server / here);
    }
    ensure!(ratios.len() == ROUNDS, "{} of {ROUNDS} rounds", ratios.len());
    ratios.sort_by(f64::total_cmp);
    let middle = *ratios.get(ROUNDS / 2).context("no round")?;
    println!("a job by a compile server takes {middle:.2} times as long as here, limit {LIMIT}");
    Ok(if middle <= LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
