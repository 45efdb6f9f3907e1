//! `completions`: scripts for the shell.

use clap_complete::Shell;

use crate::exit::Exit;
use crate::ui::Ui;

/// Write a completion script for a shell to standard output
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For which shell.
    shell: Shell,
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::command(), "stap-bundle", &mut script);
        ui.line(String::from_utf8_lossy(&script).trim_end());
        Exit::Done
    }
}
