//! What a build in parts costs beside one build: processor time of four shards on one machine and a merge, and of one build of the same
//! cells, each from empty caches, with real compiles for two kernels. Prints one line; ends with 1 if the target is missed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are for a terminal")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::Value;

/// How much more processor time parts may take.
const LIMIT: f64 = 1.1;

/// Parts; two of them have a kernel each.
const SHARDS: u32 = 4;

/// Rounds; the middle of their ratios counts. In each, both ways take turns in going first, for what the machine keeps of files.
const ROUNDS: usize = 3;

/// Scripts, of several probes each, that need no scan: that would be most of the time, and the same for both.
const SCRIPTS: u32 = 4;

struct Ways<'a> {
    program: &'a Path,
    farm: &'a Farm,
    options: String,
}

impl Ways<'_> {
    /// Processor seconds of a command, and of the compiles in their sandboxes, which nobody outside waits for: they are in its
    /// report.
    fn cpu(&self, words: &str) -> Result<f64> {
        let words: Vec<&str> =
            words.split_whitespace().chain(["--report", "report.json", "--replace"]).collect();
        let finished = programs::run_expecting(self.program, self.farm.directory(), &words, &[0])?;
        let own = finished.cpu.context("the kernel tells no processor time")?;
        let report: Value = serde_json::from_slice(&fs::read(self.farm.path("report.json"))?)?;
        let of = |name: &str| report[name].as_u64().with_context(|| format!("the report has no {name}"));
        let sandboxed = Duration::from_millis(of("compile_cpu_ms")? + of("warm_up_cpu_ms")?);
        Ok((own + sandboxed).as_secs_f64())
    }

    fn one(&self, round: usize) -> Result<f64> {
        let cache = format!("one-{round}");
        let Self { options, .. } = self;
        let cpu = self.cpu(&format!("build --no-sign -o one.stapb --cache {cache} {options}"))?;
        fs::remove_dir_all(self.farm.path(&cache))?;
        Ok(cpu)
    }

    fn parts(&self, round: usize) -> Result<f64> {
        let cache = format!("parts-{round}");
        let Self { options, .. } = self;
        let mut cpu = 0.0;
        for shard in 1..=SHARDS {
            cpu += self.cpu(&format!("build --shard {shard}/{SHARDS} --cache {cache} {options}"))?;
        }
        cpu +=
            self.cpu(&format!("merge --shards {SHARDS} --no-sign -o parts.stapb --cache {cache} {options}"))?;
        fs::remove_dir_all(self.farm.path(&cache))?;
        Ok(cpu)
    }
}

fn write_scripts(farm: &Farm) -> Result<()> {
    let own = farm.directory().display();
    for folder in ["scripts", "conf.d"] {
        fs::create_dir(farm.path(folder))?;
    }
    for number in 1..=SCRIPTS {
        let text = format!(
            "global n\nprobe timer.s({number}) {{ n++ }}\nprobe timer.ms(500) {{ n += 2 }}\nprobe end {{ println(n) }}\n"
        );
        fs::write(farm.path(&format!("scripts/count{number}.stp")), text)?;
    }
    let config = format!("SCRIPT_PATH={own}/scripts\nCONFIG_PATH={own}/conf.d\nLOG_FILE={own}/log\n");
    Ok(fs::write(farm.path("config"), config)?)
}

fn main() -> Result<ExitCode> {
    let lab = Lab::open()?;
    let base = Farm::cache(&lab)?.parent().context("the cache has no parent")?.join("shards-figure");
    let (farm, program) = (Farm::new(&base)?, programs::farm()?);
    let (stable, testing) = (lab.bootable("stable")?, lab.bootable("testing")?);
    write_scripts(&farm)?;
    let options =
        format!("-r {} -r {} --sysroot {} -c config", stable.release, testing.release, lab.root().display());
    let ways = Ways { program: &program, farm: &farm, options };
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let (one, parts) = if round % 2 == 0 {
            let parts = ways.parts(round)?;
            (ways.one(round)?, parts)
        } else {
            (ways.one(round)?, ways.parts(round)?)
        };
        eprintln!(
            "round: {one:.1} s of processor time in one build, {parts:.1} s in {SHARDS} shards and a merge"
        );
        let bytes = |name: &str| fs::read(farm.path(name));
        ensure!(bytes("one.stapb")? == bytes("parts.stapb")?, "other bytes than those of one build");
        // Two kernels are compiled for in each way.
        ensure!(one > 10.0 && parts > 10.0, "something was not compiled: {one} and {parts} s");
        ratios.push(parts / one);
    }
    fs::remove_dir_all(&base)?;
    ratios.sort_by(f64::total_cmp);
    let middle = *ratios.get(ROUNDS / 2).context("no round")?;
    println!(
        "{SHARDS} shards and a merge take {middle:.2} times the processor time of one build, limit {LIMIT}"
    );
    Ok(if middle <= LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
