//! The global configuration (SRV-CFG-01).

use std::path::{Path, PathBuf};

use files::read::read_text_given;

use crate::account::Account;
use crate::error::ServerError;
use crate::grammar::{GrammarError, assignments};

/// Most bytes of a configuration file.
pub(crate) const MAX_CONFIG: u64 = 1 << 20;

/// The global configuration file of every `stap-server`.
pub const DEFAULT_CONFIG_FILE: &str = "/etc/sysconfig/stap-server";

/// Where things are, and as whom servers run by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalSettings {
    /// Directory of the configured servers' files.
    pub config_path: PathBuf,
    /// Directory of status files.
    pub stat_path: PathBuf,
    /// Log of servers that have none of their own.
    pub log_file: String,
    /// User of servers that have none of their own; without one, who starts them (as root: `stap-server`).
    pub user: Option<String>,
}

impl Default for GlobalSettings {
    fn default() -> Self {
        Self {
            config_path: "/etc/stap-server/conf.d".into(),
            stat_path: "/var/run/stap-server".into(),
            log_file: "/var/log/stap-server/log".into(),
            user: None,
        }
    }
}

impl GlobalSettings {
    /// Reads the default file, if it is there, then `further`, whose values win; `STAP_USER` of the environment counts where no
    /// file names a user.
    pub fn read(further: Option<&Path>, own: &Account) -> Result<Self, ServerError> {
        let mut settings =
            Self { user: std::env::var("STAP_USER").ok().filter(|name| !name.is_empty()), ..Self::default() };
        let default = Path::new(DEFAULT_CONFIG_FILE);
        match read_text_given(default, MAX_CONFIG) {
            Ok(text) => settings.take(default, &text, own)?,
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                let source = error.into_source();
                return Err(ServerError::Storage { doing: "read", path: default.into(), source });
            }
        }
        if let Some(path) = further {
            match read_text_given(path, MAX_CONFIG) {
                Ok(text) => settings.take(path, &text, own)?,
                Err(error) if error.is_not_found() => {
                    return Err(ServerError::NoConfiguration { path: path.to_owned() });
                }
                Err(error) => {
                    let source = error.into_source();
                    return Err(ServerError::Storage { doing: "read", path: path.into(), source });
                }
            }
        }
        Ok(settings)
    }

    fn take(&mut self, path: &Path, text: &str, own: &Account) -> Result<(), ServerError> {
        for (name, value) in parse(path, text)? {
            let value = own.expand(&value)?;
            match name {
                Name::ConfigPath => self.config_path = value.into(),
                Name::StatPath => self.stat_path = value.into(),
                Name::LogFile => self.log_file = value,
                Name::User => self.user = Some(value),
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    ConfigPath,
    StatPath,
    LogFile,
    User,
}

/// What a file assigns, in its order; empty values say nothing.
fn parse(path: &Path, text: &str) -> Result<Vec<(Name, String)>, GrammarError> {
    let mut found = Vec::new();
    assignments(path, text, |one| {
        let name = match one.name {
            _ if one.adds => return Err(format!("{} is no list, so `+=` has no meaning", one.name)),
            "CONFIG_PATH" => Name::ConfigPath,
            "STAT_PATH" => Name::StatPath,
            "LOG_FILE" => Name::LogFile,
            "STAP_USER" => Name::User,
            other => {
                return Err(format!("`{other}` is none of CONFIG_PATH, STAT_PATH, LOG_FILE, STAP_USER"));
            }
        };
        if !one.value.is_empty() && name != Name::User && !one.value.starts_with(['/', '~']) {
            return Err(format!("{}=`{}` is not an absolute path", one.name, one.value));
        }
        if !one.value.is_empty() {
            found.push((name, one.value.to_owned()));
        }
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Account {
        Account { name: "ann".into(), uid: 1, gid: 1, home: "/home/ann".into() }
    }

    /// As it stands there; `<user>` is a place to fill in.
    #[test]
    fn srv_cfg_01_the_manual_pages_global_file() {
        let text = "CONFIG_PATH=~<user>/my-stap-server-configs\nLOG_FILE=/tmp/stap-server/log\n";
        let parsed = parse(Path::new("g"), text).unwrap();
        let expected = [
            (Name::ConfigPath, "~<user>/my-stap-server-configs".to_owned()),
            (Name::LogFile, "/tmp/stap-server/log".to_owned()),
        ];
        assert_eq!(parsed, expected);
        let mut settings = GlobalSettings::default();
        let filled = text.replace("<user>", "root");
        settings.take(Path::new("g"), &filled, &own()).unwrap();
        assert_eq!(settings.config_path, Path::new("/root/my-stap-server-configs"));
        assert_eq!(settings.log_file, "/tmp/stap-server/log");
        let error = settings.take(Path::new("g"), text, &own()).unwrap_err();
        assert_eq!(error.to_string(), "there is no user <user>");
    }

    #[test]
    fn srv_cfg_01_a_later_file_wins_and_empty_values_say_nothing() {
        let mut settings = GlobalSettings::default();
        settings.take(Path::new("a"), "STAT_PATH=/one\nSTAP_USER=x\n", &own()).unwrap();
        settings.take(Path::new("b"), "STAT_PATH=~/two\nSTAP_USER=\n", &own()).unwrap();
        assert_eq!(
            (settings.stat_path.as_path(), settings.user.as_deref()),
            (Path::new("/home/ann/two"), Some("x"))
        );
        assert_eq!(settings.config_path, GlobalSettings::default().config_path);
    }

    #[test]
    fn what_is_none_of_its_names_is_an_error() {
        for (text, part) in [
            ("ARCH=x", "`ARCH` is none of CONFIG_PATH"),
            ("LOG_FILE+=/x", "no list"),
            ("LOG_FILE=log", "not an absolute path"),
        ] {
            let error = parse(Path::new("g"), text).unwrap_err();
            assert!(error.problem.contains(part), "{text}: {error}");
        }
    }
}
