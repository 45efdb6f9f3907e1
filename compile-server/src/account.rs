//! Users: who we are, as whom a server runs, and whose home `~` means.

use std::path::{Path, PathBuf};

use child::{Cancel, ChildCommand, Limits};

use crate::error::ServerError;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login name; the number, if the user has none.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
}

impl Account {
    /// The user of that name, from wherever this machine has its users (`getent`: files, LDAP and others).
    pub fn named(name: &str) -> Result<Self, ServerError> {
        let plain = !name.is_empty() && !name.starts_with('-') && !name.contains(['/', ':', '\n']);
        let found = if plain { lookup(name)? } else { None };
        found.ok_or_else(|| ServerError::NoSuchUser { name: name.to_owned() })
    }

    /// Who runs this process. The home is `$HOME` where that is set, as for every program.
    pub fn own() -> Result<Self, ServerError> {
        let uid = rustix::process::geteuid().as_raw();
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let found = lookup(&uid.to_string())?;
        let account = found.unwrap_or_else(|| Self {
            name: uid.to_string(),
            uid,
            gid: rustix::process::getegid().as_raw(),
            home: PathBuf::from("/"),
        });
        Ok(Self { home: home.unwrap_or_else(|| account.home.clone()), ..account })
    }

    /// Whether the user is a member of a group, its primary one included.
    pub(crate) fn is_in(&self, group: &str) -> Result<bool, ServerError> {
        let command = ChildCommand::new("id").args(["-nG", &self.name]).env_from_here("PATH");
        let finished = command.run(&Limits::within(std::time::Duration::from_secs(60)), &Cancel::new())?;
        Ok(finished.stdout.text().split_whitespace().any(|name| name == group))
    }

    /// Whether this process runs as that user.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.uid == rustix::process::geteuid().as_raw()
    }

    /// Replaces `~` and `~user` at the start of a value by that user's home; `self` is whom `~` alone means.
    pub(crate) fn expand(&self, value: &str) -> Result<String, ServerError> {
        let Some(behind) = value.strip_prefix('~') else { return Ok(value.to_owned()) };
        let (user, rest) = behind.find('/').map_or((behind, ""), |slash| behind.split_at(slash));
        let home = if user.is_empty() { self.home.clone() } else { Self::named(user)?.home };
        Ok(format!("{}{rest}", home.display()))
    }
}

fn lookup(key: &str) -> Result<Option<Account>, ServerError> {
    let command = ChildCommand::new("getent").args(["passwd", key]).env_from_here("PATH");
    let finished = command.run(&Limits::within(std::time::Duration::from_secs(60)), &Cancel::new())?;
    Ok(parse(&finished.stdout.text()))
}

/// Reads a line of passwd(5).
fn parse(line: &str) -> Option<Account> {
    let mut fields = line.trim_end().split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = Path::new(fields.nth(1)?).to_owned();
    Some(Account { name, uid, gid, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn someone() -> Account {
        parse("ann:x:1000:100:Ann,,:/home/ann:/bin/sh\n").unwrap()
    }

    #[test]
    fn a_line_of_passwd_is_read() {
        let ann = someone();
        assert_eq!((ann.name.as_str(), ann.uid, ann.gid), ("ann", 1000, 100));
        assert_eq!(ann.home, Path::new("/home/ann"));
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_tilde_counts_at_the_start_alone() {
        let ann = someone();
        assert_eq!(ann.expand("~/log").unwrap(), "/home/ann/log");
        assert_eq!(ann.expand("~").unwrap(), "/home/ann");
        assert_eq!(ann.expand("~root/x").unwrap(), "/root/x");
        assert_eq!(ann.expand("/a/~/b").unwrap(), "/a/~/b");
        let error = ann.expand("~<user>/my-stap-server-configs").unwrap_err();
        assert_eq!(error.to_string(), "there is no user <user>");
        assert!(ann.expand("~-x").is_err());
    }

    #[test]
    fn srv_spec_05_a_user_is_in_its_own_groups_and_in_no_other() {
        let root = Account::named("root").unwrap();
        assert!(root.is_in("root").unwrap() && !root.is_in("nogroup").unwrap());
    }

    #[test]
    fn this_user_is_found() {
        let own = Account::own().unwrap();
        assert!(own.is_own() && own.home.is_absolute());
    }
}
