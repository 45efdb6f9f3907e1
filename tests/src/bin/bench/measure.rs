//! What a command takes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use child::{Cancel, ChildCommand, Limits};

/// What one command took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// Seconds by the clock.
    pub(crate) wall: f64,
    /// Seconds of all processors together.
    pub(crate) cpu: f64,
    /// Most memory of any process, in bytes.
    pub(crate) memory: u64,
}

/// Runs a shell script; that it fails is an error.
pub(crate) fn shell(directory: &Path, script: &str) -> Result<()> {
    taken(directory, script).map(|_| ())
}

/// What a shell script takes.
pub(crate) fn taken(directory: &Path, script: &str) -> Result<Taken> {
    let report = directory.join(".time");
    let command = ChildCommand::new("/usr/bin/time")
        .args(["-q", "-f", "%U %S %M", "-o"])
        .arg(&report)
        .args(["bash", "-eu", "-o", "pipefail", "-c", script])
        .inherit_environment()
        .current_dir(directory);
    let finished = command.run(&Limits { time: None, ..Limits::default() }, &Cancel::new())?;
    if !finished.status.success() {
        bail!("{:?} of: {script}\n{}{}", finished.status, finished.stdout.text(), finished.stderr.text());
    }
    let text = fs::read_to_string(&report)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [user, system, kilobytes] = numbers[..] else { bail!("/usr/bin/time wrote {text:?}") };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "kilobytes of memory")]
    let memory = kilobytes as u64 * 1024;
    Ok(Taken { wall: finished.wall.as_secs_f64(), cpu: user + system, memory })
}

/// Runs the scripts in turn, so that a busy moment of the machine meets all of them, and returns what each one's
/// fastest run took.
pub(crate) fn fastest<const N: usize>(
    directory: &Path,
    times: usize,
    scripts: [&str; N],
) -> Result<[Taken; N]> {
    let mut best: [Option<Taken>; N] = [None; N];
    for _ in 0..times {
        for (best, script) in best.iter_mut().zip(scripts) {
            let run = taken(directory, script)?;
            if best.is_none_or(|best| run.wall < best.wall) {
                *best = Some(run);
            }
        }
    }
    let best: Option<Vec<Taken>> = best.into_iter().collect();
    best.and_then(|best| best.try_into().ok()).context("nothing was run")
}

/// Bytes that the command reads from the file of this name, by its system calls, and how many calls that were.
pub(crate) fn bytes_read(directory: &Path, file: &str, command: &str) -> Result<(u64, usize)> {
    shell(directory, &format!("strace -f -e trace=openat,read,pread64,close -s 0 -o calls {command}"))?;
    let calls = fs::read_to_string(directory.join("calls"))?;
    let (mut descriptor, mut bytes, mut count) = (None, 0, 0);
    for line in calls.lines() {
        let call = line.split_once(' ').map_or(line, |(_, call)| call).trim_start();
        let result = line.rsplit_once(" = ").map_or("", |(_, result)| result);
        let argument = call.split_once('(').map_or("", |(_, rest)| rest);
        if call.starts_with("openat(") && call.contains(&format!("{file}\"")) {
            descriptor = result.parse::<u32>().ok();
        } else if let Some(open) = descriptor {
            let number: String = argument.chars().take_while(char::is_ascii_digit).collect();
            if number != open.to_string() {
                continue;
            }
            if call.starts_with("close(") {
                descriptor = None;
            } else {
                bytes += result.parse::<u64>().unwrap_or_default();
                count += 1;
            }
        }
    }
    if count == 0 {
        bail!("{command} read nothing from {file}");
    }
    Ok((bytes, count))
}
