//! `manual`: the manual pages, one for the program, one for each command, and that of the policy. A package is made with it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use crate::exit::Exit;
use crate::failure::Failure;

/// What the program is, in the one line that `apropos` shows.
const NAME: &str = "offline builder and installer of SystemTap modules";

/// Files and directories, each with what it is for.
const FILES: &[(&str, &str)] = &[
    (
        "~/.config/stap-bundle/default.key",
        "The private key that build signs with unless told otherwise; its public half is default.pub beside it.",
    ),
    ("~/.cache/stap-bundle", "What the farm has compiled, so that nothing is compiled twice."),
    (
        "/etc/stap-bundle/trust/default",
        "The keys that this host believes, one *.pub each, or a chain of roots in root.stapr. Only root may write there.",
    ),
    (
        "/var/lib/stap-bundle/state/roots/default/chain.stapr",
        "The chain of roots that this host has accepted; it rules over the keys above. Only root may write there.",
    ),
    (
        "/var/lib/stap-bundle",
        "What is installed: the generations, current, which links to one of them, the lock and the history.",
    ),
    (
        "/etc/stap-bundle/policy.toml",
        "What this host takes of what it believes: names, keys, ages, quota. Only root may write there.",
    ),
    ("/var/lib/stap-bundle/inbox", "Where install looks without a file."),
    (
        "/var/lib/stap-bundle/state/boot-guard.json",
        "What the boot guard remembers of the last boots; boot-guard shows and resets it.",
    ),
    (
        "/var/lib/stap-bundle/state/masks.json",
        "Which scripts are masked, by whom and since when; mask and unmask change it.",
    ),
    ("/run/stap-bundle", "What is remembered of the scripts that run, until the next boot."),
    (
        "/var/cache/systemtap",
        "The initscript's cache; links to the current generation's modules are kept here.",
    ),
    (
        "/etc/sysconfig/stap-server",
        "Global configuration of compile servers: CONFIG_PATH, STAT_PATH, LOG_FILE, STAP_USER.",
    ),
    ("/etc/stap-server/conf.d", "Configured compile servers, one *.conf each."),
    ("/var/run/stap-server", "Status files of compile servers, PID.stat."),
    ("/etc/systemtap/config", "The initscript's global configuration; CONFIG_PATH in it names conf.d."),
];

/// Variables of the environment, each with what it is for.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("STAP_BUNDLE_KEY", "The private key that build signs with; --key overrules it."),
    (
        "SOURCE_DATE_EPOCH",
        "The time that build writes into a bundle, in seconds since 1970. Otherwise that of the newest input.",
    ),
    ("XDG_CONFIG_HOME", "Where stap-bundle/default.key is; ~/.config if it isn't set."),
    ("XDG_CACHE_HOME", "Where build keeps its cache; ~/.cache if it isn't set."),
    ("STAP_USER", "The user of compile servers that root starts, where no file names one."),
    ("STAP_BUNDLE_SERVERD_DIR", "Where stap-serverd is, if not where packages put it."),
    ("NO_COLOR", "If it is set and not empty, nothing is coloured unless --color says so."),
];

/// What a host's administrator may set, with the defaults.
const POLICY: &str = include_str!("../../../packaging/policy.toml");
const POLICY_PAGE: &str = "stap-bundle-policy.toml";

/// Write the manual pages of this program into a directory
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to; made if it isn't there.
    directory: PathBuf,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let written = fs::create_dir_all(&self.directory).and_then(|()| write_pages(&self.directory));
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(self.directory.display());
        written.map_err(failed)?;
        Ok(Exit::Done)
    }
}

/// Writes all pages and returns their paths.
fn write_pages(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut program = crate::command().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    write_page(&program, None, directory, &mut pages)?;
    let policy = directory.join(format!("{POLICY_PAGE}.5"));
    fs::write(&policy, policy_page()?)?;
    pages.push(policy);
    Ok(pages)
}

fn write_page(
    command: &Command,
    parent: Option<&str>,
    directory: &Path,
    pages: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let children: Vec<&Command> = command.get_subcommands().filter(|child| !child.is_hide_set()).collect();
    let path = directory.join(format!("{name}.1"));
    fs::write(&path, page(command, parent, &children)?)?;
    pages.push(path);
    for child in children {
        write_page(child, Some(&name), directory, pages)?;
    }
    Ok(())
}

/// One page. The exit codes are a section of their own, so the table at the end of `--help` is left out.
fn page(command: &Command, parent: Option<&str>, children: &[&Command]) -> io::Result<Vec<u8>> {
    let example = command.get_after_help().filter(|_| parent.is_some()).map(ToString::to_string);
    let mut command = command.clone().version(env!("CARGO_PKG_VERSION"));
    if parent.is_none() {
        // NAME is one line, for apropos; the program's own text is a paragraph, and stays the description.
        command = command.about(NAME);
    }
    let man = Man::new(command)
        .source(concat!("stap-bundle ", env!("CARGO_PKG_VERSION")))
        .manual("SystemTap bundles");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if !children.is_empty() {
        man.render_subcommands_section(&mut text)?;
    }
    match parent {
        None => {
            exit_status(&mut text)?;
            definitions(&mut text, "FILES", FILES)?;
            definitions(&mut text, "ENVIRONMENT", ENVIRONMENT)?;
        }
        Some(parent) => {
            if let Some(example) = example {
                examples(&mut text, &example)?;
            }
            see_also(&mut text, parent)?;
        }
    }
    Ok(text)
}

fn policy_page() -> io::Result<Vec<u8>> {
    let version = concat!("stap-bundle ", env!("CARGO_PKG_VERSION"));
    let mut roff = Roff::new();
    roff.control("TH", [POLICY_PAGE, "5", "", version, "SystemTap bundles"]);
    roff.control("SH", ["NAME"])
        .text([roman(format!("{POLICY_PAGE} - limits which bundles a host accepts"))]);
    roff.control("SH", ["SYNOPSIS"]).text([roman("/etc/stap-bundle/policy.toml")]);
    roff.control("SH", ["DESCRIPTION"]).text([roman(
        "Narrows what a host takes of the bundles that trusted farms have signed. It belongs to root, and nobody else may write it. \
         A key that is unknown or of another type is an error, reported with its line number. \
         What follows is all of it, with the defaults; settings that are commented out are off, or show an example.",
    )]);
    roff.control("SH", ["THE FILE"]).control("nf", []);
    for line in POLICY.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("SH", ["SEE ALSO"]).text([
        bold("stap-bundle"),
        roman("(1), "),
        bold("stap-bundle-install"),
        roman("(1)"),
    ]);
    let mut text = Vec::new();
    roff.to_writer(&mut text)?;
    Ok(text)
}

fn exit_status(text: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (exit, meaning) in Exit::TABLE {
        roff.control("TP", ["4"]).text([bold(exit.code().to_string())]).text([roman(*meaning)]);
    }
    roff.to_writer(text)
}

fn definitions(text: &mut Vec<u8>, heading: &str, list: &[(&str, &str)]) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (name, purpose) in list {
        roff.control("TP", []).text([italic(*name)]).text([roman(*purpose)]);
    }
    roff.to_writer(text)
}

/// The examples below a command's help, line for line.
fn examples(text: &mut Vec<u8>, example: &str) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in example.lines().skip(1) {
        roff.text([roman(line.trim_start())]);
    }
    roff.control("fi", []);
    roff.to_writer(text)
}

fn see_also(text: &mut Vec<u8>, parent: &str) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    if parent != "stap-bundle" {
        roff.text([bold(parent), roman("(1), ")]);
    }
    roff.text([bold("stap-bundle"), roman("(1), where the exit codes, files and variables are listed")]);
    text.write_all(roff.to_roff().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(directory: &Path, name: &str) -> String {
        fs::read_to_string(directory.join(name)).unwrap()
    }

    #[test]
    fn each_command_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        let pages = write_pages(directory.path()).unwrap();
        let names: Vec<_> = pages.iter().filter_map(|page| page.file_name()?.to_str()).collect();
        for name in
            ["stap-bundle.1", "stap-bundle-verify.1", "stap-bundle-install.1", "stap-bundle-trust-add.1"]
        {
            assert!(names.contains(&name), "{name} of {names:?}");
        }
        assert!(read(directory.path(), "stap-bundle.1").contains(&format!("stap\\-bundle \\- {NAME}\n")));
        assert!(read(directory.path(), "stap-bundle-install.1").contains("stap\\-bundle install \\-"));
    }

    #[test]
    fn the_main_page_names_every_exit_code_file_and_variable() {
        let directory = tempfile::tempdir().unwrap();
        write_pages(directory.path()).unwrap();
        let page = read(directory.path(), "stap-bundle.1");
        for (exit, meaning) in Exit::TABLE {
            let mut entry = Roff::new();
            entry.control("TP", ["4"]).text([bold(exit.code().to_string())]).text([roman(*meaning)]);
            // Every rendering begins with definitions of its own.
            let entry = entry.render();
            let (_, entry) = entry.split_once(".TP").unwrap();
            assert!(page.contains(entry.trim_end()), "{meaning}");
        }
        for (name, _) in FILES.iter().chain(ENVIRONMENT) {
            assert!(page.contains(&name.replace('-', "\\-")), "{name}");
        }
    }

    #[test]
    fn the_same_program_gives_the_same_pages() {
        let pages = || {
            let directory = tempfile::tempdir().unwrap();
            let pages = write_pages(directory.path()).unwrap();
            pages.iter().map(|page| fs::read(page).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(pages(), pages());
    }
}
