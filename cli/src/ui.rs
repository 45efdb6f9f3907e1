//! What reaches the terminal or the pipe: results on standard output, everything else on standard error.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
#[cfg(feature = "farm")]
use script_config::Configuration;
use script_config::{acts, shown_lines};
use serde::Serialize;

use crate::documents;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::{Global, When};
#[cfg(feature = "farm")]
use crate::message_log::MessageLog;

/// What names standard output, where a file's bytes may be streamed.
pub(crate) const OUTPUT: &str = "-";

/// The two streams and how to use them.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line or a fact of a stream"
)]
pub(crate) struct Ui {
    pub(crate) json: bool,
    /// What the command's JSON document is called.
    pub(crate) command: String,
    pub(crate) quiet: bool,
    #[cfg_attr(not(feature = "farm"), expect(dead_code, reason = "only `build` uses it"))]
    pub(crate) verbose: bool,
    /// Why a line of the result was lost; a closed pipe is no loss.
    lost: Option<io::Error>,
    /// Whether standard output is for the bytes of a file (`-o -`), so that lines go where errors go.
    out_is_taken: bool,
    out_color: bool,
    err_color: bool,
    /// What our own marks begin with until a line is written. Nobody else knows it, so no text of others can be one.
    seal: String,
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

/// All marks, for their codes.
const MARKS: [Mark; 5] = [Mark::Good, Mark::Bad, Mark::Attention, Mark::Strong, Mark::Faint];

/// The code of a mark's end.
const ENDS: char = '-';

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
            command: String::new(),
            quiet: global.quiet,
            verbose: global.verbose,
            lost: None,
            out_is_taken: false,
            out_color: color(io::stdout().is_terminal()),
            err_color: color(io::stderr().is_terminal()),
            seal: format!("\u{1b}{:016x}", RandomState::new().hash_one("seal")),
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
                let text =
                    format!("messages aren't kept in {} (LOG_FILE): {}", path.display(), failure.one_line());
                if configuration.origin("LOG_FILE").is_some() {
                    self.warning(text);
                } else {
                    self.progress(text);
                }
            }
        }
    }

    /// From now on they don't: a host's service writes the log itself.
    #[cfg(feature = "farm")]
    pub(crate) fn end_log(&mut self) {
        self.log = None;
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

    /// A word for a line of standard output.
    pub(crate) fn mark(&self, mark: Mark, word: impl std::fmt::Display) -> String {
        if !self.out_color {
            return word.to_string();
        }
        let seal = &self.seal;
        let code = mark as u8;
        format!("{seal}{code}{word}{seal}{ENDS}")
    }

    /// A line of the result; not with `--quiet`.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        if !self.quiet {
            self.finding(text);
        }
    }

    /// A line that `--quiet` doesn't hold back: what is wrong, or data for another program. What it says may come from a bundle, a
    /// record or a file: nothing of it acts on the terminal but our own marks.
    pub(crate) fn finding(&mut self, text: impl AsRef<str>) {
        let text = self.painted(text.as_ref());
        self.put_line(&text);
    }

    /// Leaves standard output to the file that is written there, if `output` is `-`; lines then go where errors go.
    pub(crate) fn leave_output_to(&mut self, output: Option<&Path>) -> Result<(), Failure> {
        if output.is_none_or(|path| path != Path::new(OUTPUT)) {
            return Ok(());
        }
        if self.json {
            return Err(Failure::new(Exit::Usage, "-o - and --json both write to standard output")
                .hint("name a file: -o FILE; or leave out --json"));
        }
        if io::stdout().is_terminal() {
            return Err(Failure::new(
                Exit::Usage,
                "-o -: standard output is a terminal, which a bundle would garble",
            )
            .hint("name a file, -o FILE, or redirect the output"));
        }
        self.out_is_taken = true;
        self.out_color = self.err_color;
        Ok(())
    }

    fn painted(&self, text: &str) -> String {
        let mut pieces = text.split(self.seal.as_str());
        let mut line = pieces.next().map(|first| shown_lines(first).into_owned()).unwrap_or_default();
        let mut style = Style::new();
        for piece in pieces {
            let code = piece.chars().next().unwrap_or(ENDS);
            match MARKS.iter().find(|mark| char::from(b'0' + **mark as u8) == code) {
                Some(mark) => {
                    style = mark.style();
                    line.push_str(&style.render().to_string());
                }
                None => line.push_str(&style.render_reset().to_string()),
            }
            line.push_str(&shown_lines(piece.get(code.len_utf8()..).unwrap_or_default()));
        }
        line
    }

    fn put_line(&mut self, text: &str) {
        if self.out_is_taken {
            return put(&mut io::stderr().lock(), text);
        }
        if let Err(error) = writeln!(io::stdout().lock(), "{text}")
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

    /// The result as one JSON document, under the command's name.
    pub(crate) fn document(&mut self, value: &impl Serialize) {
        self.document_of(&self.command.clone(), value);
    }

    /// The same under another name, where a command has results of several kinds.
    pub(crate) fn document_of(&mut self, name: &str, value: &impl Serialize) {
        match documents::named(name, value).and_then(|value| serde_json::to_string_pretty(&value)) {
            Ok(text) => self.put_line(&in_json(&text)),
            Err(error) => self.warning(format!("the result can't be written as JSON: {error}")),
        }
    }

    /// What is going on; not with `--quiet`.
    pub(crate) fn progress(&mut self, text: impl AsRef<str>) {
        self.log(text.as_ref());
        if !self.quiet && !self.json {
            put(&mut io::stderr().lock(), &shown_lines(text.as_ref()));
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
        put(&mut io::stderr().lock(), &in_json(text));
    }

    /// Something that the user should know although it isn't a failure.
    pub(crate) fn warning(&mut self, text: impl AsRef<str>) {
        self.log(&format!("warning: {}", text.as_ref()));
        let word = styled(self.err_color, Mark::Attention, "warning");
        put(&mut io::stderr().lock(), &format!("{word}: {}", shown_lines(text.as_ref())));
    }

    /// What failed, why, and what to do next.
    pub(crate) fn failure(&mut self, failure: &Failure) -> Exit {
        self.log(&format!("error: {}", failure.one_line()));
        if self.json {
            self.document_of(documents::ERROR, &documents::of_failure(failure));
            return failure.exit;
        }
        let mut err = io::stderr().lock();
        let word = styled(self.err_color, Mark::Bad, "error");
        put(&mut err, &format!("{word}: {}", shown_lines(&failure.what)));
        for because in &failure.because {
            put(&mut err, &format!("  because: {}", shown_lines(because)));
        }
        for hint in &failure.hints {
            let word = styled(self.err_color, Mark::Good, "hint");
            put(&mut err, &format!("{word}: {}", shown_lines(hint)));
        }
        failure.exit
    }
}

fn styled(color: bool, mark: Mark, word: impl std::fmt::Display) -> String {
    let style = mark.style();
    if color { format!("{style}{word}{style:#}") } else { word.to_string() }
}

/// JSON in which the strings don't act on a terminal, and mean the same. Outside of strings there is nothing that could.
fn in_json(text: &str) -> String {
    let escaped = |c: char| acts(c) && c != '\n';
    if !text.contains(escaped) {
        return text.to_owned();
    }
    let shown = |c: char| if escaped(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// Writes a line to standard error; where that fails too, nobody can be told.
fn put(stream: &mut dyn Write, text: &str) {
    let _ = writeln!(stream, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ui(color: When) -> Ui {
        Ui::new(&Global { root: None, json: false, quiet: false, verbose: false, color })
    }

    #[test]
    fn text_of_others_never_acts_on_the_terminal_and_our_marks_do() {
        let hostile = "\u{1b}[31mgreen\u{1b}[0m \u{9b}2J\u{202e}";
        let plain = ui(When::Never);
        let line = plain.painted(&format!("{}: {hostile}", plain.mark(Mark::Bad, hostile)));
        assert!(!line.contains(acts), "{line:?}");
        let coloured = ui(When::Always);
        let line = coloured.painted(&format!("{}: {hostile}", coloured.mark(Mark::Bad, hostile)));
        let style = Mark::Bad.style();
        let without_ours = line.replace(&format!("{style}"), "").replace(&format!("{style:#}"), "");
        assert!(line != without_ours && !without_ours.contains(acts), "{line:?}");
        // Somebody else's seal is text.
        let other = ui(When::Always).mark(Mark::Good, "x");
        assert!(!coloured.painted(&other).contains(acts));
    }

    #[test]
    fn json_means_the_same_and_does_not_act() {
        let value = serde_json::json!({ "text": "\u{9b}2J\u{7f}\u{202e}\n\u{1b}" });
        let text = in_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.contains(|c| acts(c) && c != '\n'), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
