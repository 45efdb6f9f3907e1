//! `completions`: scripts for the shell.

use crate::exit::Exit;
use crate::ui::Ui;

/// The shells for which there is a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    /// What the shell reads.
    const fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("completions/shells/stap-bundle.bash"),
            Self::Zsh => include_str!("completions/shells/stap-bundle.zsh"),
            Self::Fish => include_str!("completions/shells/stap-bundle.fish"),
        }
    }
}

/// Write a completion script for a shell to standard output
///
/// It is for `systemtap` and `stap-server` too. The shell asks `stap-bundle` itself what may follow, so scripts of this host are among
/// the answers, and the script stays good when options change. Nothing from a configuration file is executed for it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  source <(stap-bundle completions bash)   for this shell, if no package has installed it\n  stap-bundle completions fish > ~/.config/fish/completions/stap-bundle.fish"
)]
pub(crate) struct Args {
    /// For which shell.
    shell: Shell,
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Exit {
        ui.finding(self.shell.script().trim_end());
        Exit::Done
    }
}
