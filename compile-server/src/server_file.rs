//! Configuration files of servers, and the assignments of status files (SRV-CFG-02, SRV-STAT-01).

use std::path::Path;
use std::str::FromStr;

use crate::account::Account;
use crate::error::ServerError;
use crate::grammar::{Assignment, GrammarError, assignments};
use crate::selection::Wishes;

/// Names that a server's file may assign.
const NAMES: &str = "ARCH, RELEASE, BUILD, INCLUDE, DEFINE, RUNTIME, USER, NICKNAME, LOG, PORT, SSL, MAXTHREADS, MAXREQSIZE, \
                     MAXCOMPRESSEDREQ";

/// Reads the text of a server's file. `path` is for messages alone.
pub fn parse_server_file(path: &Path, text: &str) -> Result<Wishes, GrammarError> {
    let mut wishes = Wishes::default();
    assignments(path, text, |one| wishes.take(one))?;
    Ok(wishes)
}

impl Wishes {
    fn take(&mut self, one: Assignment<'_>) -> Result<(), String> {
        match one.name {
            "RELEASE" => list(&mut self.releases, one),
            "BUILD" => list(&mut self.build, one),
            "INCLUDE" => list(&mut self.include, one),
            "DEFINE" => list(&mut self.define, one),
            _ if one.adds => return Err(format!("{} is no list, so `+=` has no meaning", one.name)),
            "ARCH" => self.arch = text(one.value),
            "USER" => self.user = text(one.value),
            "NICKNAME" => self.nickname = text(one.value),
            "RUNTIME" => self.runtime = text(one.value),
            "LOG" => self.log = text(one.value),
            "SSL" => self.ssl = text(one.value),
            "PORT" => self.port = number(one, "a port, 0 to 65535")?.filter(|port| *port != 0),
            "MAXTHREADS" => self.max_threads = number(one, "a number of threads")?,
            "MAXREQSIZE" => self.max_request = size(one)?,
            "MAXCOMPRESSEDREQ" => self.max_compressed = size(one)?,
            other => return Err(format!("`{other}` is none of {NAMES}")),
        }
        Ok(())
    }

    /// Replaces `~` and `~user` at the start of what are paths; `~` alone is the home of the server's user.
    pub(crate) fn expanded(self, home: &Account) -> Result<Self, ServerError> {
        let one = |value: Option<String>| value.map(|value| home.expand(&value)).transpose();
        let all =
            |values: Vec<String>| values.iter().map(|value| home.expand(value)).collect::<Result<_, _>>();
        Ok(Self {
            releases: all(self.releases)?,
            include: all(self.include)?,
            runtime: one(self.runtime)?,
            log: one(self.log)?,
            ssl: one(self.ssl)?,
            ..self
        })
    }
}

/// `=` begins the list anew, with nothing or `()` as an empty one; `+=` adds, and an empty value adds nothing (SRV-CFG-03).
fn list(values: &mut Vec<String>, one: Assignment<'_>) {
    if !one.adds {
        values.clear();
    }
    if !one.value.is_empty() && one.value != "()" {
        values.push(one.value.to_owned());
    }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn number<T: FromStr>(one: Assignment<'_>, expected: &str) -> Result<Option<T>, String> {
    if one.value.is_empty() {
        return Ok(None);
    }
    one.value.parse().map(Some).map_err(|_| format!("{}=`{}` is not {expected}", one.name, one.value))
}

fn size(one: Assignment<'_>) -> Result<Option<u64>, String> {
    let expected = "a number of bytes, 1 or more";
    let value: Option<u64> = number(one, expected)?;
    if value == Some(0) { Err(format!("{}=0 is not {expected}", one.name)) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Wishes, GrammarError> {
        parse_server_file(Path::new("a.conf"), text)
    }

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    /// The first example of the manual page: what is empty gets its default.
    #[test]
    fn srv_cfg_02_the_manual_pages_native_server() {
        let wishes = parsed("ARCH=\nUSER=\nRELEASE=\nNICKNAME=native\n").unwrap();
        assert_eq!(wishes, Wishes { nickname: Some("native".into()), ..Wishes::default() });
        let settings = wishes.complete("x86_64", "stap-server", "/log");
        assert_eq!((settings.arch.as_str(), settings.user.as_str()), ("x86_64", "stap-server"));
    }

    /// Its second one.
    #[test]
    fn srv_cfg_02_the_manual_pages_server_for_another_kernel() {
        let wishes = parsed("ARCH=i386\nRELEASE=2.6.18-128.el5\nPORT=5001\nLOG=/path/to/log/file\n").unwrap();
        let expected = Wishes {
            arch: Some("i386".into()),
            releases: strings(&["2.6.18-128.el5"]),
            port: Some(5001),
            log: Some("/path/to/log/file".into()),
            ..Wishes::default()
        };
        assert_eq!(wishes, expected);
    }

    /// Its third one. The page says that the rest of the line is the value, so its quotes are part of it.
    #[test]
    fn srv_cfg_03_the_manual_pages_larger_server() {
        let wishes = parsed(
            "USER=serveruser\nRELEASE=/kernels/2.6.18-92.1.18.el5/build\nINCLUDE=/mytapsets\nINCLUDE+=/yourtapsets\n\
             BUILD='VARIABLE1=VALUE1 VARIABLE2=VALUE2'\nDEFINE=STP_MAXMEMORY=1024\nDEFINE+=DEBUG_TRANS\n\
             RUNTIME=/myruntime\nNICKNAME=my-server\nSSL=/path/to/NSS/certificate/database\n",
        )
        .unwrap();
        let expected = Wishes {
            user: Some("serveruser".into()),
            releases: strings(&["/kernels/2.6.18-92.1.18.el5/build"]),
            include: strings(&["/mytapsets", "/yourtapsets"]),
            build: strings(&["'VARIABLE1=VALUE1 VARIABLE2=VALUE2'"]),
            define: strings(&["STP_MAXMEMORY=1024", "DEBUG_TRANS"]),
            runtime: Some("/myruntime".into()),
            nickname: Some("my-server".into()),
            ssl: Some("/path/to/NSS/certificate/database".into()),
            ..Wishes::default()
        };
        assert_eq!(wishes, expected);
    }

    #[test]
    fn srv_cfg_03_lists_begin_anew_with_is_and_grow_with_plus_is() {
        let wishes =
            parsed("INCLUDE=/a\nINCLUDE+=/b\nINCLUDE=/c\nINCLUDE+=\nDEFINE+=X\nDEFINE=()\nBUILD+=A=1 B=2\n")
                .unwrap();
        assert_eq!((wishes.include, wishes.define), (strings(&["/c"]), Vec::new()));
        assert_eq!(wishes.build, strings(&["A=1 B=2"]));
    }

    #[test]
    fn what_a_file_may_not_hold_is_named() {
        for (text, part) in [
            ("PORT=65536", "PORT=`65536` is not a port"),
            ("PORT=-1", "is not a port"),
            ("MAXREQSIZE=0", "1 or more"),
            ("MAXTHREADS=x", "number of threads"),
            ("PORT+=1", "PORT is no list"),
            ("CONFIG_PATH=/x", "`CONFIG_PATH` is none of ARCH"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.problem.contains(part), "{text}: {error}");
        }
        assert_eq!(parsed("PORT=0\nMAXTHREADS=0").unwrap().max_threads, Some(0));
    }
}
