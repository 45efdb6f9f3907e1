//! The server root: the lab's root with systemtap's compile server (`tests/lab/server.sh`), and scripts that run inside it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use child::{Cancel, ChildCommand, Limits};

use crate::lab::repository;
use crate::programs;

/// A part of a script for [`run_beside`]: a farm in `$FARM`, with four scripts of several probes that need no scan.
pub const COUNTING_FARM: &str = r#"
cd "$FARM"; export HOME=$FARM
mkdir scripts conf.d
for n in 1 2 3 4; do
    printf 'global n\nprobe timer.s(%d) { n++ }\nprobe timer.ms(500) { n += 2 }\nprobe end { println(n) }\n' $n >scripts/count$n.stp
done
printf 'SCRIPT_PATH=%s/scripts\nCONFIG_PATH=%s/conf.d\nLOG_FILE=%s/log\n' "$FARM" "$FARM" "$FARM" >config
"#;

/// What a script printed, by its parts.
#[derive(Debug, Clone)]
pub struct Transcript(String);

impl Transcript {
    /// What was printed behind the line `== NAME` and before the next such line.
    pub fn part(&self, name: &str) -> Result<&str> {
        let title = format!("\n== {name}\n");
        let (_, behind) =
            self.0.split_once(&title).with_context(|| format!("no part {name} in\n{}", self.0))?;
        Ok(behind.split("\n== ").next().unwrap_or(behind))
    }
}

/// Makes the server root if it isn't there, and returns its directory.
pub fn make() -> Result<PathBuf> {
    let script = repository().join("tests/lab/server.sh");
    let command = ChildCommand::new("bash").arg(&script).arg("make").inherit_environment();
    let finished = command.run(&Limits::within(Duration::from_secs(3600)), &Cancel::new())?;
    if !finished.status.success() {
        bail!("the server root couldn't be made\n{}", finished.stderr.text());
    }
    Ok(PathBuf::from(finished.stdout.text().trim()))
}

/// Runs a bash script as root inside the server root, with a network of its own and the full program as `stap-bundle` and
/// `stap-server`: `tests/lab/in-server-root.sh`. Nothing that it changes lasts, and nothing that it starts outlives it.
pub fn run(script: &str) -> Result<Transcript> {
    run_by("in-server-root.sh", script)
}

/// Runs a bash script as root on this machine, with the server root mounted beside and a network of its own that both have:
/// `tests/lab/beside-server-root.sh`. Nothing that it starts outlives it.
pub fn run_beside(script: &str) -> Result<Transcript> {
    run_by("beside-server-root.sh", script)
}

fn run_by(runner: &str, script: &str) -> Result<Transcript> {
    let root = make()?.join("root");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("script");
    fs::write(&file, script)?;
    let command = ChildCommand::new("bash")
        .arg(repository().join("tests/lab").join(runner))
        .args([&root, &programs::farm()?, &file])
        .env_from_here("PATH")
        .combined_output();
    let finished = command.run(&Limits::within(Duration::from_secs(3600)), &Cancel::new())?;
    let said = finished.stdout.text();
    if !finished.status.success() {
        bail!("the script ended with {}\n{said}", finished.status);
    }
    Ok(Transcript(format!("\n{said}")))
}
