//! Called as `systemtap`: the initscript's own command line, messages and exit codes, so that scripts and people who
//! know `service systemtap start foo` go on as before.
//!
//! Only what is said and how it ends differs from `stap-bundle`; what is done is the same. Facts named INIT-… are in
//! `docs/compatibility.md`.

mod act;
mod completion;
mod lines;
mod onboot;
mod parse;
#[cfg(test)]
pub(crate) mod tests;

use std::io::{self, BufRead, IsTerminal as _, Write};
use std::process::ExitCode;

pub(crate) use completion::command;
use parse::{Request, Word};
use script_config::shown_lines;

use crate::commands::host::service::{Damage, Selection};
use crate::failure::Failure;
use crate::global::{Global, When};
use crate::signals::{self, cancel_on_signals};
use crate::ui::Ui;

/// Names under which the program takes the initscript's command line. The second is that of the systemd era.
pub(crate) const NAMES: [&str; 2] = ["systemtap", "systemtap-service"];

/// A usage or parse error (INIT-EXIT-01).
const USAGE: u8 = 3;

const USAGE_TEXT: &str = "\
Usage: systemtap {start|stop|restart|status|compile|onboot|cleanup|condrestart|try-restart|reload|force-reload} [option]
Options:
	-c configfile	: specify config file
	-r kernelrelease: specify kernel release version (compile, cleanup and onboot only)
	-o image	: specify initramfs image (onboot only)
	-b		: keep the old initramfs image as IMAGE.bak (onboot only)
	-R		: recursively dependency checking
	-y		: answer yes for all questions.
	script(s)	: specify systemtap scripts";

/// Where messages go and answers come from.
pub(crate) struct Console<'c> {
    pub(crate) out: &'c mut dyn Write,
    pub(crate) err: &'c mut dyn Write,
    pub(crate) input: &'c mut dyn BufRead,
    /// Whether a person reads the output, and not a script that knows the original's lines.
    pub(crate) is_terminal: bool,
}

impl Console<'_> {
    /// A line on standard output; where nobody reads it, nobody can be told.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}", shown_lines(text));
    }

    /// The beginning of a line.
    fn begin(&mut self, text: &str) {
        let _ = write!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// A line on standard error.
    fn error(&mut self, text: &str) {
        let _ = writeln!(self.err, "{}", shown_lines(text));
    }
}

/// Carries out the words behind the program's name.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let mut out = io::stdout().lock();
    let mut err = io::stderr();
    let mut input = io::stdin().lock();
    let is_terminal = io::stdout().is_terminal();
    let mut console = Console { out: &mut out, err: &mut err, input: &mut input, is_terminal };
    let request = match parse::parse(words) {
        Ok(request) => request,
        Err(problem) => return usage(&mut console, &problem).into(),
    };
    let exit = carry_out(&request, &mut console);
    signals::end_by_it();
    exit.into()
}

/// Usage on standard output (INIT-CLI-02), what is wrong on standard error.
fn usage(console: &mut Console<'_>, problem: &str) -> u8 {
    console.error(&format!("Error: {problem}"));
    console.line(USAGE_TEXT);
    USAGE
}

fn carry_out(request: &Request, console: &mut Console<'_>) -> u8 {
    let global = Global { root: None, json: false, quiet: false, verbose: false, color: When::Never };
    let damage = match request.word {
        Word::Stop => Damage::Warns,
        Word::Status => Damage::Reported,
        _ => Damage::Ends,
    };
    let selection =
        Selection { config: request.config.clone(), script: request.named.iter().cloned().collect() };
    let mut ui = Ui::new(&global);
    match selection.open(&global, damage, &mut ui) {
        Ok(mut opened) => {
            if matches!(request.word, Word::Start | Word::Restart) {
                // The original has no words for it; warnings are seen all the same.
                let quiet = Global { quiet: true, ..global };
                opened.unpack_for_this_kernel(&quiet, &mut Ui::new(&quiet));
            }
            if let Err(failure) = cancel_on_signals(&opened.host().cancel) {
                tell_failure(console, &failure);
                return 1;
            }
            let exit = act::act(request, &opened, console, &mut ui);
            opened.say_unlogged(&mut ui);
            exit
        }
        Err(failure) => {
            tell_failure(console, &failure.of_command("", None));
            1
        }
    }
}

fn tell_failure(console: &mut Console<'_>, failure: &Failure) {
    console.error(&format!("Error: {}", failure.one_line()));
    for hint in &failure.hints {
        console.error(&format!("  {hint}"));
    }
}
