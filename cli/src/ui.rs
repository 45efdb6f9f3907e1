//! What reaches the terminal or the pipe: results on standard output, everything else on standard error.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

#[cfg(feature = "farm")]
use script_config::Configuration;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::{Global, When};
#[cfg(feature = "farm")]
use crate::message_log::MessageLog;

/// The two streams and how to use them.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line or a fact of a stream"
)]
pub(crate) struct Ui {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    #[cfg_attr(not(feature = "farm"), expect(dead_code, reason = "only `build` uses it"))]
    pub(crate) verbose: bool,
    /// Why a line of the result was lost; a closed pipe is no loss.
    lost: Option<io::Error>,
    out_color: bool,
    err_color: bool,
    /// Where messages go besides (README 3.5).
    #[cfg(feature = "farm")]
    log: Option<MessageLog>,
}

/// How a word stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Good,
    Bad,
    Attention,
    Strong,
    Faint,
}

impl Mark {
    const fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Attention => AnsiColor::Yellow.on_default(),
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

impl Ui {
    pub(crate) fn new(global: &Global) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = |terminal: bool| match global.color {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && !plain,
        };
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            lost: None,
            out_color: color(io::stdout().is_terminal()),
            err_color: color(io::stderr().is_terminal()),
            #[cfg(feature = "farm")]
            log: None,
        }
    }

    /// From now on messages go to the configuration's `LOG_FILE` too, whatever is shown here. If they can't, that is said
    /// once: as a warning where somebody chose the file, else with the progress.
    #[cfg(feature = "farm")]
    pub(crate) fn log_to(&mut self, configuration: &Configuration) {
        let path = &configuration.parameters().log_file;
        match MessageLog::open(path) {
            Ok(log) => self.log = Some(log),
            Err(error) => {
                let failure = Failure::of(Exit::Storage, &error);
                let text = format!("messages aren't kept in {} (LOG_FILE): {}", path.display(), failure.what);
                if configuration.origin("LOG_FILE").is_some() {
                    self.warning(text);
                } else {
                    self.progress(text);
                }
            }
        }
    }

    /// A message for the log alone.
    #[cfg(feature = "farm")]
    pub(crate) fn log(&mut self, text: &str) {
        if let Some(log) = &mut self.log
            && let Err(error) = log.lines(text)
        {
            self.log = None;
            self.warning(format!("no more messages can be kept in LOG_FILE: {error}"));
        }
    }

    /// A host's messages go to the log of the service, which writes it itself.
    #[cfg(not(feature = "farm"))]
    #[expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "the same call as on a farm")]
    fn log(&mut self, _text: &str) {}

    /// Whether progress may be drawn in place.
    #[cfg(feature = "farm")]
    pub(crate) fn draws(&self) -> bool {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        io::stderr().is_terminal() && !is_dumb && !self.quiet && !self.json
    }

    /// A word for standard output.
    pub(crate) fn mark(&self, mark: Mark, word: impl std::fmt::Display) -> String {
        styled(self.out_color, mark, word)
    }

    /// A line of the result.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        if let Err(error) = writeln!(io::stdout().lock(), "{}", text.as_ref())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.lost.get_or_insert(error);
        }
    }

    /// The failure that a result couldn't be written, if one couldn't: a script must not take half a document for whole.
    pub(crate) fn lost_output(&mut self) -> Option<Failure> {
        let error = self.lost.take()?;
        self.json = false;
        Some(Failure::of(Exit::Storage, &error).about("the result can't be written to standard output"))
    }

    /// The result as one JSON document.
    pub(crate) fn document(&mut self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(text),
            Err(error) => self.warning(format!("the result can't be written as JSON: {error}")),
        }
    }

    /// What is going on; not with `--quiet`.
    pub(crate) fn progress(&mut self, text: impl AsRef<str>) {
        self.log(text.as_ref());
        if !self.quiet && !self.json {
            put(&mut io::stderr().lock(), text.as_ref());
        }
    }

    /// A line for a program that follows; it was asked for, so `--quiet` and `--json` don't hold it back.
    #[cfg(feature = "farm")]
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "what reaches a stream goes through here"
    )]
    pub(crate) fn event_line(&mut self, text: &str) {
        put(&mut io::stderr().lock(), text);
    }

    /// Something that the user should know although it isn't a failure.
    pub(crate) fn warning(&mut self, text: impl AsRef<str>) {
        self.log(&format!("warning: {}", text.as_ref()));
        let word = styled(self.err_color, Mark::Attention, "warning");
        put(&mut io::stderr().lock(), &format!("{word}: {}", harmless(text.as_ref())));
    }

    /// What failed, why, and what to do next.
    pub(crate) fn failure(&mut self, failure: &Failure) -> Exit {
        self.log(&format!("error: {}", failure.one_line()));
        if self.json {
            let code = failure.exit.code();
            let Failure { id, what, because, hints, .. } = failure;
            self.document(&serde_json::json!({
                "error": { "code": code, "id": id, "what": what, "because": because, "hints": hints }
            }));
            return failure.exit;
        }
        let mut err = io::stderr().lock();
        let word = styled(self.err_color, Mark::Bad, "error");
        put(&mut err, &format!("{word}: {}", harmless(&failure.what)));
        for because in &failure.because {
            put(&mut err, &format!("  because: {}", harmless(because)));
        }
        for hint in &failure.hints {
            let word = styled(self.err_color, Mark::Good, "hint");
            put(&mut err, &format!("{word}: {}", harmless(hint)));
        }
        failure.exit
    }
}

fn styled(color: bool, mark: Mark, word: impl std::fmt::Display) -> String {
    let style = mark.style();
    if color { format!("{style}{word}{style:#}") } else { word.to_string() }
}

/// Text of others, such as a file's name, must not act on the terminal.
fn harmless(text: &str) -> Cow<'_, str> {
    let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| if acts(c) { c.escape_default().to_string() } else { c.to_string() });
    Cow::Owned(shown.collect())
}

/// Writes a line to standard error; where that fails too, nobody can be told.
fn put(stream: &mut dyn Write, text: &str) {
    let _ = writeln!(stream, "{text}");
}
