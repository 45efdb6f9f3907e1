//! The program as its next version may be: all that it keeps on a host is one version newer. For the test that goes back from it;
//! `start-in DIR RELEASE` is a start at boot beneath a directory, since `start` takes no `--root`.

#![expect(clippy::unwrap_used, reason = "a stand-in for tests may panic")]

use std::path::Path;
use std::process::ExitCode;

#[path = "../tests/conversations/made_up_kernel.rs"]
#[expect(dead_code, reason = "the rest is the test's")]
mod made_up_kernel;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["start-in", directory, release] => {
            let report = made_up_kernel::start(Path::new(directory), release, true).unwrap();
            report.exit_code().into()
        }
        _ => stap_bundle::run(),
    }
}
