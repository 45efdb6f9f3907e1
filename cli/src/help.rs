//! The list of commands in `--help`, by where they are used: clap has one list for all.

use clap::{Command, Subcommand};

use crate::commands::{Bundle, Farm, Host};
use crate::tables::terminal_width;

/// Widest line of a description, as in the rest of the help.
pub(crate) const WIDEST: usize = 100;

/// The command line with its list of commands in groups.
pub(crate) fn with_groups(mut command: Command) -> Command {
    // `help` is a command as well, which clap adds.
    command.build();
    let width = terminal_width().map_or(WIDEST, |width| usize::from(width).min(WIDEST));
    let list = list(&command, width);
    let template =
        format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{{all-args}}{{after-help}}");
    command.mut_subcommands(|command| command.hide(true)).help_template(template)
}

/// The names of a room's commands.
fn names<C: Subcommand>() -> Vec<String> {
    let room = C::augment_subcommands(Command::new("room"));
    room.get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

fn list(command: &Command, width: usize) -> String {
    let host: Vec<String> = std::iter::once("trust".to_owned()).chain(names::<Host>()).collect();
    let groups = [
        ("On a build farm", names::<Farm>()),
        ("With a bundle, anywhere", names::<Bundle>()),
        ("On a host", host),
    ];
    let grouped: Vec<String> = groups.iter().flat_map(|(_, names)| names.clone()).collect();
    let others = command.get_subcommands().map(|command| command.get_name().to_owned());
    let others: Vec<String> = others.filter(|name| !grouped.contains(name)).collect();
    let mut list = String::new();
    for (heading, names) in groups.iter().chain([&("Besides", others)]) {
        let shown = names.iter().filter_map(|name| command.find_subcommand(name));
        let lines: String =
            shown.filter(|command| !command.is_hide_set()).map(|shown| line(command, shown, width)).collect();
        if !lines.is_empty() {
            let style = command.get_styles().get_header();
            list = format!("{list}{style}{heading}:{style:#}\n{lines}\n");
        }
    }
    list
}

/// A command with what it is for.
fn line(whole: &Command, command: &Command, width: usize) -> String {
    /// As wide as the longest name, `sign-modules`.
    const NAME: usize = 12;
    let mut about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    if !aliases.is_empty() {
        about = format!("{about} [aliases: {}]", aliases.join(", "));
    }
    let style = whole.get_styles().get_literal();
    let mut text = format!("  {style}{:NAME$}{style:#} ", command.get_name());
    let indent = NAME + 4;
    let mut column = indent - 1;
    for word in about.split(' ') {
        let length = word.chars().count();
        if column + 1 + length > width && column >= indent {
            text = format!("{text}\n{:indent$}{word}", "");
            column = indent + length;
        } else {
            text = format!("{text} {word}");
            column += 1 + length;
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_in_one_group_and_no_line_is_too_long() {
        let mut command = crate::command();
        command.build();
        for width in [60, WIDEST] {
            let list = list(&command, width);
            let plain = clap::builder::StyledStr::from(list).to_string();
            for known in command.get_subcommands().filter(|known| !known.is_hide_set()) {
                let name = format!("  {} ", known.get_name());
                assert_eq!(
                    plain.lines().filter(|line| line.starts_with(&name)).count(),
                    1,
                    "{name}\n{plain}"
                );
            }
            assert!(plain.lines().all(|line| line.chars().count() <= width), "{plain}");
        }
    }
}
