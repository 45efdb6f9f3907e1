//! What may be typed behind the name `systemtap` (README 2.1, INIT-CLI-01 to -09).

use std::collections::BTreeSet;
use std::path::PathBuf;

use bundle_format::KernelRelease;
use script_config::ScriptName;

/// The initscript's commands (INIT-CLI-02).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Start,
    Stop,
    Restart,
    TryRestart,
    Status,
    Compile,
    Cleanup,
    Onboot,
}

/// A command line that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) word: Word,
    pub(super) config: Option<PathBuf>,
    pub(super) release: Option<KernelRelease>,
    pub(super) recursive: bool,
    pub(super) yes: bool,
    /// `-o`, of onboot: the image to write.
    pub(super) image: Option<PathBuf>,
    /// `-b`, of onboot: the image that is there is kept.
    pub(super) keep_old: bool,
    pub(super) named: BTreeSet<ScriptName>,
    /// The same as they were typed: the original's lines come in that order, and its exit code is that of the last one.
    pub(super) order: Vec<ScriptName>,
}

/// Each spelling of a command.
pub(super) const WORDS: &[(&str, Word)] = &[
    ("start", Word::Start),
    ("stop", Word::Stop),
    ("restart", Word::Restart),
    ("reload", Word::Restart),
    ("force-reload", Word::Restart),
    ("condrestart", Word::TryRestart),
    ("try-restart", Word::TryRestart),
    ("status", Word::Status),
    ("compile", Word::Compile),
    ("cleanup", Word::Cleanup),
    ("onboot", Word::Onboot),
];

/// Understands the words behind the program's name: the command first, then options and names in any order. What is
/// wrong is said in one line.
pub(super) fn parse(words: &[String]) -> Result<Request, String> {
    let mut words = words.iter();
    let first = words.next().ok_or("a command is missing")?;
    let word = WORDS.iter().find(|(spelling, _)| spelling == first).map(|(_, word)| *word);
    let word = word.ok_or_else(|| format!("`{}` is no command", first.escape_default()))?;
    let mut request = Request {
        word,
        config: None,
        release: None,
        recursive: false,
        yes: false,
        image: None,
        keep_old: false,
        named: BTreeSet::new(),
        order: Vec::new(),
    };
    let mut names_only = false;
    while let Some(word) = words.next() {
        match word.strip_prefix('-') {
            // The initscript drops these.
            Some("-") if !names_only => names_only = true,
            Some(letters) if !names_only && !letters.is_empty() => {
                request.options(letters, &mut words)?;
            }
            _ => {
                let name: ScriptName =
                    word.parse().map_err(|error: script_config::ScriptNameError| error.to_string())?;
                request.order.push(name.clone());
                request.named.insert(name);
            }
        }
    }
    request.check()?;
    Ok(request)
}

impl Request {
    /// The letters of one word behind its `-`, as getopt reads them: `-Ry`, `-rREL`, `-r REL`.
    fn options<'w>(
        &mut self,
        letters: &str,
        rest: &mut impl Iterator<Item = &'w String>,
    ) -> Result<(), String> {
        for (at, letter) in letters.char_indices() {
            match letter {
                'R' => self.recursive = true,
                'y' => self.yes = true,
                'b' if self.word == Word::Onboot => self.keep_old = true,
                'c' | 'r' | 'o' => {
                    let glued = letters.get(at + 1..).filter(|glued| !glued.is_empty()).map(str::to_owned);
                    let value = glued.or_else(|| rest.next().cloned());
                    let value = value.ok_or_else(|| format!("option -{letter} needs a value"))?;
                    return self.option(letter, &value);
                }
                other => return Err(format!("`-{}` is no option", other.escape_default())),
            }
        }
        Ok(())
    }

    fn option(&mut self, letter: char, value: &str) -> Result<(), String> {
        match letter {
            'c' => self.config = Some(value.into()),
            'r' => {
                let release = value.parse().map_err(|error| format!("-r: {error}"))?;
                self.release = Some(release);
            }
            _ if self.word == Word::Onboot => self.image = Some(value.into()),
            _ => return Err("`-o` is no option".into()),
        }
        Ok(())
    }

    /// README 2.3.4: with another command, `-r` would load another kernel's modules (INIT-CLI-06).
    fn check(&self) -> Result<(), String> {
        let takes_release = matches!(self.word, Word::Compile | Word::Cleanup | Word::Onboot);
        if self.release.is_some() && !takes_release {
            return Err("option -r is valid only with compile and cleanup".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn init_cli_01_the_command_is_the_first_word() {
        assert_eq!(parsed("start a").unwrap().word, Word::Start);
        assert_eq!(parsed("-R start").unwrap_err(), "`-R` is no command");
        assert_eq!(parsed("").unwrap_err(), "a command is missing");
    }

    #[test]
    fn init_cli_02_every_spelling_is_known() {
        for (spelling, word) in WORDS {
            assert_eq!(parsed(spelling).unwrap().word, *word, "{spelling}");
        }
        assert_eq!(parsed("offboot").unwrap_err(), "`offboot` is no command");
    }

    #[test]
    fn init_cli_03_options_and_scripts_in_any_order() {
        let request = parsed("cleanup b -yr6.1 a -R -c /etc/x -- --").unwrap_err();
        assert!(request.contains("--"), "{request}");
        let request = parsed("cleanup b -yr6.1 a -R -c /etc/x --").unwrap();
        let names: Vec<&str> = request.named.iter().map(ScriptName::as_str).collect();
        assert_eq!((names, request.yes, request.recursive), (vec!["a", "b"], true, true));
        assert_eq!((request.config, request.release.unwrap().as_str()), (Some("/etc/x".into()), "6.1"));
        assert_eq!(parsed("start -R -- a").unwrap().named.len(), 1);
    }

    #[test]
    fn init_cli_04_an_unknown_option_and_a_missing_value_are_usage() {
        for (line, text) in [
            ("start -x", "`-x` is no option"),
            ("start --recursive", "`--` is no option"),
            ("start -c", "option -c needs a value"),
            ("start -o img", "`-o` is no option"),
            ("start -b", "`-b` is no option"),
        ] {
            assert_eq!(parsed(line).unwrap_err(), text, "{line}");
        }
        let onboot = parsed("onboot -b -o img -r 6.1 a").unwrap();
        assert_eq!((onboot.keep_old, onboot.image), (true, Some("img".into())));
    }

    #[test]
    fn init_cli_05_a_value_may_hold_blanks() {
        let words = ["start", "-c", "/etc/my config"].map(str::to_owned);
        assert_eq!(parse(&words).unwrap().config, Some("/etc/my config".into()));
    }

    #[test]
    fn init_cli_06_r_goes_with_compile_and_cleanup_only() {
        for word in ["compile", "cleanup"] {
            assert!(parsed(&format!("{word} -r 6.1")).is_ok());
        }
        for word in ["start", "stop", "restart", "status", "condrestart"] {
            let text = parsed(&format!("{word} -r 6.1")).unwrap_err();
            assert_eq!(text, "option -r is valid only with compile and cleanup");
        }
    }

    #[test]
    fn init_cli_08_names_are_checked() {
        for name in ["bad-name", "9x", "a;b", "$(id)"] {
            assert!(parsed(&format!("start {name}")).is_err(), "{name}");
        }
        assert!(parsed("start Up").is_ok());
    }
}
