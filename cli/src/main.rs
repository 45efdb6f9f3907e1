//! The program `stap-bundle`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stap_bundle::run()
}
