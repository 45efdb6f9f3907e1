//! Compiles scripts for kernels and prints what happens: `matrix CACHE SYSROOT RELEASE[,RELEASE]… SCRIPT…`.
//!
//! For trying the builder by hand. `stap-bundle build` is the program for people.

#![expect(clippy::print_stdout, reason = "an example is looked at")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use builder::{
    BuildDirectories, BuildEvent, BuildOptions, BuildRequest, BundleIdentity, JobOutcome, Plan, ScriptSource,
    build,
};
use child::Cancel;
use script_config::ScriptOptions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cache, sysroot, releases, scripts @ ..] = &arguments[..] else {
        return Err("usage: matrix CACHE SYSROOT RELEASE[,RELEASE]... SCRIPT...".into());
    };
    let begun = Instant::now();
    let request = BuildRequest {
        releases: releases.split(',').map(str::to_owned).collect(),
        sysroots: vec![PathBuf::from(sysroot)],
        scripts: scripts.iter().map(|path| script(Path::new(path))).collect::<Result<_, _>>()?,
        directories: BuildDirectories::beneath(Path::new(cache)),
    };
    let cancel = Cancel::new();
    let plan = Plan::make(&request, &cancel)?;
    println!("plan of {} jobs: {:.2?}", plan.jobs().len(), begun.elapsed());
    let identity = BundleIdentity {
        name: "example".parse()?,
        version: None,
        serial: None,
        created: None,
        other_inputs_modified: 0,
        best_before: None,
    };
    let at = |event| println!("{:7.2} {}", begun.elapsed().as_secs_f64(), words(&event));
    let report = build(&plan, &BuildOptions::new(identity), &at, &cancel)?;
    let (green, red) = (report.green(), report.red());
    println!("{green} green, {red} red, wall {:.2?}, CPU {:.2?}", report.wall, report.cpu());
    println!("draft: version {}, created {}", report.draft.version, report.draft.created);
    for kernel in &report.draft.kernels {
        println!("  {} {:?} {:?}", kernel.release, kernel.uname_v, kernel.vermagic);
    }
    println!("{:#?}", report.draft.toolchains);
    println!("in all: {:.2?}", begun.elapsed());
    Ok(())
}

fn script(path: &Path) -> Result<ScriptSource, Box<dyn std::error::Error>> {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().parse()?;
    let modified = path.metadata()?.modified()?.duration_since(UNIX_EPOCH)?.as_secs();
    let options = ScriptOptions::default();
    Ok(ScriptSource::new(name, std::fs::read(path)?, modified, &options, Vec::new(), Vec::new()))
}

fn words(event: &BuildEvent) -> String {
    match event {
        BuildEvent::CellDone(report) => {
            let word = match &report.outcome {
                JobOutcome::Compiled(module) => format!("compiled {} {}", module.len, module.digest),
                JobOutcome::Cached(_) => "cached".to_owned(),
                other => format!("RED {}", other.red_reason().unwrap_or_default()),
            };
            let cpu = report.cpu.unwrap_or(Duration::ZERO);
            format!("{}: {word} (wall {:.2?}, CPU {cpu:.2?})", report.cell, report.wall)
        }
        other => format!("{other:?}"),
    }
}
