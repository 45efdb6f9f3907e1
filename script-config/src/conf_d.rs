//! Which files of `conf.d` are read, and in which order.
//!
//! The original reads what the shell's `CONFIG_PATH/*.conf` matches, in the order of the locale
//! (INIT-CFG-01, INIT-FILE-02). The order here is that of the C locale, byte by byte, so that the
//! farm and the host agree whatever their locales are.

use crate::place::Place;
use crate::problem::{ConfigProblem, FileCause};

/// What a regular file in `conf.d` is, judged by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfDFile {
    /// A configuration file: it ends in `.conf` and doesn't start with a dot.
    Read,
    /// It ends in `.conf` but starts with a dot, so the shell's `*` passes it over.
    Hidden,
    /// A left-over of an editor or a package manager. Not read, and nobody meant it to be.
    LeftOver,
    /// Any other name. Not read, and probably a mistake: section 5 of the original's README
    /// itself leaves the suffix out.
    WithoutSuffix,
}

/// What editors and package managers leave behind.
const LEFT_OVER_SUFFIXES: [&str; 14] = [
    "~",
    ".bak",
    ".orig",
    ".old",
    ".swp",
    ".swo",
    ".tmp",
    ".rej",
    ".rpmsave",
    ".rpmnew",
    ".rpmorig",
    ".dpkg-old",
    ".dpkg-dist",
    ".dpkg-new",
];

/// Returns what the file of this name in `conf.d` is.
///
/// ```
/// use script_config::{ConfDFile, conf_d_file_kind};
/// assert_eq!(conf_d_file_kind("group1.conf"), ConfDFile::Read);
/// assert_eq!(conf_d_file_kind("group1"), ConfDFile::WithoutSuffix);
/// ```
#[must_use]
pub fn conf_d_file_kind(name: &str) -> ConfDFile {
    let hidden = name.starts_with('.');
    // Not Path::extension: the shell's pattern is about the bytes, and `.conf` alone is hidden.
    match name.strip_suffix(".conf") {
        Some(_) if hidden => ConfDFile::Hidden,
        Some(_) => ConfDFile::Read,
        None if hidden || name.starts_with('#') || name == "README" => ConfDFile::LeftOver,
        None if LEFT_OVER_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) => ConfDFile::LeftOver,
        None => ConfDFile::WithoutSuffix,
    }
}

/// Returns the warning about a regular file in `folder` that isn't read, with the `mv` command
/// that makes it read; nothing for one that is read, and nothing for a left-over.
#[must_use]
pub fn conf_d_warning(folder: &str, name: &str) -> Option<ConfigProblem> {
    let folder = folder.trim_end_matches('/');
    let path = format!("{folder}/{name}");
    let cause = match conf_d_file_kind(name) {
        ConfDFile::Read | ConfDFile::LeftOver => return None,
        ConfDFile::WithoutSuffix => FileCause::WithoutSuffix { path: path.clone() },
        ConfDFile::Hidden => {
            let bare = name.trim_start_matches('.');
            let visible = if bare == "conf" { "unnamed.conf" } else { bare };
            FileCause::Hidden { path: path.clone(), visible: format!("{folder}/{visible}") }
        }
    };
    Some(ConfigProblem::new(Some(Place::whole_file(path)), cause))
}

/// Returns the names that are read, in the order in which they are read: later ones override
/// earlier ones (INIT-CFG-01).
#[must_use]
pub fn conf_d_order<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut read: Vec<&str> =
        names.into_iter().filter(|name| conf_d_file_kind(name) == ConfDFile::Read).collect();
    read.sort_unstable();
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_file_02_only_names_that_the_shell_pattern_matches_are_read() {
        for (name, kind) in [
            ("group1.conf", ConfDFile::Read),
            ("a b.conf", ConfDFile::Read),
            ("x..conf", ConfDFile::Read),
            (".conf", ConfDFile::Hidden),
            (".x.conf", ConfDFile::Hidden),
            ("group1", ConfDFile::WithoutSuffix),
            ("group1.CONF", ConfDFile::WithoutSuffix),
            ("group1.conf~", ConfDFile::LeftOver),
            ("group1.conf.rpmsave", ConfDFile::LeftOver),
            (".group1.conf.swp", ConfDFile::LeftOver),
            ("#group1.conf#", ConfDFile::LeftOver),
            ("", ConfDFile::WithoutSuffix),
        ] {
            assert_eq!(conf_d_file_kind(name), kind, "{name}");
        }
    }

    #[test]
    fn init_cfg_01_files_are_read_in_byte_order() {
        let names = ["b.conf", "a.conf", "B.conf", "10.conf", "9.conf", "group1", "é.conf"];
        let order = conf_d_order(names);
        assert_eq!(order, ["10.conf", "9.conf", "B.conf", "a.conf", "b.conf", "é.conf"]);
    }

    #[test]
    fn the_readme_name_gets_the_command_that_mends_it() {
        let warning = conf_d_warning("/etc/systemtap/conf.d/", "group1").unwrap();
        assert_eq!(warning.next_step(), "mv /etc/systemtap/conf.d/group1 /etc/systemtap/conf.d/group1.conf");
        let odd = conf_d_warning("/etc/systemtap/conf.d", "it's mine").unwrap();
        assert_eq!(
            odd.next_step(),
            r"mv '/etc/systemtap/conf.d/it'\''s mine' '/etc/systemtap/conf.d/it'\''s mine.conf'"
        );
        assert_eq!(conf_d_warning("/etc/systemtap/conf.d", "group1.conf"), None);
        assert_eq!(conf_d_warning("/etc/systemtap/conf.d", "group1.conf~"), None);
    }
}
