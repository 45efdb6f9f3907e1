//! A command line of `stap`, taken apart as `getopt_long` does.

use super::grammar::{self, OptionSpec, TakesValue};
use crate::nearest::nearest;
use crate::problem::OptionCause;

/// An option as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenOption {
    pub(super) spec: &'static OptionSpec,
    pub(super) value: Option<String>,
}

/// The options and the other words, each in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) options: Vec<GivenOption>,
    pub(super) arguments: Vec<String>,
}

impl GivenOption {
    pub(super) fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }

    /// The option as separate words, in the normal form of `getopt` (INIT-CACHE-03). A value
    /// that may be left out stays attached, or it would be taken for a script.
    pub(super) fn words(&self) -> Vec<String> {
        let written = self.spec.written();
        match (&self.value, self.spec.takes) {
            (None, _) => vec![written],
            (Some(value), TakesValue::Optionally) => vec![format!("{written}={value}")],
            (Some(value), _) => vec![written, value.clone()],
        }
    }
}

/// Takes the words apart; problems don't end the reading.
pub(super) fn read(words: Vec<String>) -> (CommandLine, Vec<OptionCause>) {
    let mut line = CommandLine::default();
    let mut problems = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let outcome = if word == "--" {
            line.arguments.extend(words.by_ref());
            Ok(())
        } else if let Some(text) = word.strip_prefix("--") {
            long(text, &mut words, &mut line)
        } else if word.len() > 1 && word.starts_with('-') {
            cluster(&word, &mut words, &mut line)
        } else {
            // Like `stap -g 10 -v`: options may follow arguments.
            line.arguments.push(word);
            Ok(())
        };
        problems.extend(outcome.err());
    }
    (line, problems)
}

fn long(
    text: &str,
    words: &mut impl Iterator<Item = String>,
    line: &mut CommandLine,
) -> Result<(), OptionCause> {
    let (name, attached) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let spec = match grammar::long(name).as_slice() {
        [spec] => *spec,
        [] => return Err(unknown(format!("--{name}"))),
        several => {
            let candidates = several.iter().map(|spec| spec.written()).collect();
            return Err(OptionCause::Ambiguous { option: format!("--{name}"), candidates });
        }
    };
    let value = match (spec.takes, attached) {
        (TakesValue::No, Some(value)) => {
            return Err(OptionCause::UnexpectedValue { option: spec.written(), value });
        }
        (TakesValue::Always, None) => {
            Some(words.next().ok_or_else(|| OptionCause::MissingValue { option: spec.written() })?)
        }
        (_, attached) => attached,
    };
    line.options.push(GivenOption { spec, value });
    Ok(())
}

/// Short options in one word: `-vg`, and `-DX=1` with its value attached.
fn cluster(
    word: &str,
    words: &mut impl Iterator<Item = String>,
    line: &mut CommandLine,
) -> Result<(), OptionCause> {
    let mut letters = word.chars();
    letters.next();
    while let Some(letter) = letters.next() {
        let spec = grammar::short(letter).ok_or_else(|| unknown(format!("-{letter}")))?;
        if spec.takes == TakesValue::No {
            line.options.push(GivenOption { spec, value: None });
            continue;
        }
        let attached = letters.as_str();
        let value = if attached.is_empty() {
            words.next().ok_or_else(|| OptionCause::MissingValue { option: spec.written() })?
        } else {
            attached.to_owned()
        };
        line.options.push(GivenOption { spec, value: Some(value) });
        break;
    }
    Ok(())
}

fn unknown(option: String) -> OptionCause {
    let long = grammar::STAP_OPTIONS.iter().filter(|spec| !spec.is_short()).map(|spec| spec.name);
    let meant = nearest(option.trim_start_matches('-'), long);
    let nearest = meant.filter(|_| option.starts_with("--")).map(|name| format!("--{name}"));
    OptionCause::Unknown { option, nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        let (line, problems) = read(text.split(' ').map(str::to_owned).collect());
        assert_eq!(problems, []);
        let options: Vec<String> = line.options.iter().flat_map(GivenOption::words).collect();
        format!("{} | {}", options.join(" "), line.arguments.join(" "))
    }

    #[test]
    fn options_are_taken_apart_as_getopt_does() {
        assert_eq!(normal("-vgDX=1 -D Y"), "-v -g -D X=1 -D Y | ");
        assert_eq!(normal("--vp=0001 --vp 0002 --skip"), "--vp 0001 --vp 0002 --skip-badvars | ");
        assert_eq!(normal("--color=never --color x"), "--color=never --color | x");
        assert_eq!(normal("-g 10 -v - -- -x"), "-g -v | 10 - -x");
        assert_eq!(normal("-D -g"), "-D -g | ");
    }

    #[test]
    fn what_getopt_refuses_is_named() {
        let problems = |text: &str| read(text.split(' ').map(str::to_owned).collect()).1;
        assert!(matches!(&problems("-Z")[..], [OptionCause::Unknown { option, .. }] if option == "-Z"));
        assert!(matches!(
            &problems("--skip-badvar5")[..],
            [OptionCause::Unknown { nearest: Some(near), .. }] if near == "--skip-badvars"
        ));
        assert!(matches!(&problems("--v 1")[..], [OptionCause::Ambiguous { .. }]));
        assert!(matches!(&problems("-g -D")[..], [OptionCause::MissingValue { .. }]));
        assert!(matches!(&problems("--vp")[..], [OptionCause::MissingValue { .. }]));
        assert!(matches!(&problems("--ldd=1")[..], [OptionCause::UnexpectedValue { .. }]));
        assert_eq!(problems("-Z --nonsense -D").len(), 3);
    }
}
