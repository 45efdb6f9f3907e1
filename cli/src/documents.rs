//! JSON documents: what each is called, and the document of a usage error.
//!
//! A document's `schema` is a name and a version, such as `install/1`. `docs/operating/json.md` has the rules, and
//! `docs/operating/json/` a JSON Schema for each name.

use std::ffi::OsString;

use clap::ArgMatches;
use clap::error::ErrorKind;
use serde::Serialize;
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;

/// The document of a failure, whichever command failed.
pub(crate) const ERROR: &str = "error";

/// Rises when a member goes, or changes its meaning; a new member leaves it as it is.
const VERSION: u32 = 1;

/// Commands that write another command's document.
const SHARED: &[(&str, &str)] = &[
    ("merge", "build"),
    ("try-restart", "restart"),
    ("trust-show", "trust-list"),
    ("cache-pull", "cache-copy"),
    ("cache-push", "cache-copy"),
    ("server-condrestart", "server-start"),
    ("server-force-reload", "server-start"),
    ("server-restart", "server-start"),
    ("trust-root-add-key", "trust-root"),
    ("trust-root-create", "trust-root"),
    ("trust-root-raise-epoch", "trust-root"),
    ("trust-root-retire-key", "trust-root"),
    ("trust-root-revoke", "trust-root"),
    ("trust-root-set-threshold", "trust-root"),
    ("trust-root-show", "trust-root"),
    ("trust-root-sign", "trust-root"),
];

/// Commands that pass something through, and what: there is no document of it.
const WITHOUT: &[(&str, &str)] =
    &[("attach", "a script's own data"), ("completions", "a script for a shell")];

/// Refuses JSON from a command that has none.
pub(crate) fn refuse_without(command: &str) -> Result<(), Failure> {
    let Some((name, what)) = WITHOUT.iter().find(|(name, _)| *name == command) else { return Ok(()) };
    Err(Failure::new(Exit::Usage, format!("`{name}` writes {what}, which --json can't change"))
        .hint("leave --json out"))
}

/// The name of a command's document: its words, or the name that it shares.
pub(crate) fn of_command(matches: &ArgMatches) -> String {
    let mut words = Vec::new();
    let mut rest = matches;
    while let Some((word, below)) = rest.subcommand() {
        words.push(word);
        rest = below;
    }
    let own = words.join("-");
    SHARED.iter().find(|(command, _)| *command == own).map_or(own, |(_, shared)| (*shared).to_owned())
}

/// A document under its name.
pub(crate) fn named(name: &str, value: &impl Serialize) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(value)?;
    if let Value::Object(members) = &mut value {
        members.insert("schema".to_owned(), format!("{name}/{VERSION}").into());
    }
    Ok(value)
}

/// A failure's members, without those that say nothing.
pub(crate) fn of_failure(failure: &Failure) -> Value {
    let Failure { exit, id, what, because, hints, removal, .. } = failure;
    let mut error = serde_json::json!({
        "code": exit.code(), "id": id, "what": what, "because": because, "hints": hints,
    });
    if let (Some(removal), Some(members)) = (removal, error.as_object_mut()) {
        members.insert("removal".to_owned(), removal.as_ref().clone());
    }
    serde_json::json!({ "error": error })
}

/// Whether a command line that can't be understood asks for JSON.
pub(crate) fn are_wanted(words: impl Iterator<Item = OsString>) -> bool {
    words.take_while(|word| word != "--").any(|word| word == "--json")
}

/// A wrong command line, taken apart: the parser's text is for a terminal.
pub(crate) fn usage_failure(error: &clap::Error) -> Failure {
    let is_nothing_to_do =
        [ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, ErrorKind::MissingSubcommand];
    if is_nothing_to_do.contains(&error.kind()) {
        return Failure::new(Exit::Usage, "a command is missing")
            .hint("`stap-bundle --help` lists the commands");
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(words_of);
    let what = paragraphs.next().unwrap_or_default();
    let mut failure = Failure::new(Exit::Usage, what.strip_prefix("error: ").unwrap_or(&what));
    failure.hints = paragraphs
        .filter(|paragraph| !paragraph.is_empty() && !paragraph.starts_with("For more information"))
        .map(|paragraph| paragraph.strip_prefix("tip: ").map_or_else(|| paragraph.clone(), str::to_owned))
        .collect();
    failure
}

/// A paragraph on one line.
fn words_of(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_wanted_before_the_words_that_are_no_options() {
        let wanted = |line: &str| are_wanted(line.split(' ').map(OsString::from));
        assert!(wanted("stap-bundle list --colour --json"));
        assert!(!wanted("stap-bundle list -- --json"));
    }

    #[test]
    fn each_shared_name_is_of_a_command_that_is_there() {
        let mut command = crate::command();
        command.build();
        for (path, _) in SHARED {
            let found = std::iter::successors(Some((&command, *path)), |(command, rest)| {
                command.get_subcommands().find_map(|below| {
                    let rest = rest.strip_prefix(below.get_name())?;
                    (rest.is_empty() || rest.starts_with('-')).then(|| (below, rest.trim_start_matches('-')))
                })
            });
            assert_eq!(found.last().map(|(_, rest)| rest), Some(""), "{path}");
        }
    }
}
