//! Which servers a command line means, and what a new one is to be.

use crate::settings::Settings;

/// Settings of which only some are given: by options, or by a configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `-a`, ARCH
    pub arch: Option<String>,
    /// `-u`, USER
    pub user: Option<String>,
    pub nickname: Option<String>,
    /// `-r`, RELEASE
    pub releases: Vec<String>,
    /// `-B`, BUILD
    pub build: Vec<String>,
    /// `-I`, INCLUDE
    pub include: Vec<String>,
    /// `-D`, DEFINE
    pub define: Vec<String>,
    /// `-R`, RUNTIME
    pub runtime: Option<String>,
    /// `--log`, LOG
    pub log: Option<String>,
    /// `--port`, PORT
    pub port: Option<u16>,
    /// `--ssl`, SSL
    pub ssl: Option<String>,
    /// `--max-threads`, MAXTHREADS
    pub max_threads: Option<u32>,
    /// `--max-request-size`, MAXREQSIZE
    pub max_request: Option<u64>,
    /// `--max-compressed-request`, MAXCOMPRESSEDREQ
    pub max_compressed: Option<u64>,
}

/// Which servers are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerSelection {
    /// `-n NICK`
    pub nickname: Option<String>,
    /// `-p PID`
    pub pid: Option<i32>,
    /// All other options that describe a server.
    pub wishes: Wishes,
}

impl ServerSelection {
    /// Whether no server is specified: every server is meant, or the configured ones.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

impl Wishes {
    /// Fills up what isn't given.
    pub(crate) fn complete(self, arch: &str, user: &str, log: &str) -> Settings {
        Settings {
            arch: self.arch.unwrap_or_else(|| arch.to_owned()),
            user: self.user.unwrap_or_else(|| user.to_owned()),
            nickname: self.nickname,
            releases: self.releases,
            build: self.build,
            include: self.include,
            define: self.define,
            runtime: self.runtime,
            log: self.log.unwrap_or_else(|| log.to_owned()),
            port: self.port,
            ssl: self.ssl,
            max_threads: self.max_threads,
            max_request: self.max_request,
            max_compressed: self.max_compressed,
        }
    }

    /// Puts these wishes over those of another server: lists go behind its own (SRV-SPEC-01), the rest in place of it.
    pub(crate) fn over(self, base: Self) -> Self {
        let joined = |mut first: Vec<String>, second: Vec<String>| {
            first.extend(second);
            first
        };
        Self {
            arch: self.arch.or(base.arch),
            user: self.user.or(base.user),
            nickname: self.nickname.or(base.nickname),
            releases: joined(base.releases, self.releases),
            build: joined(base.build, self.build),
            include: joined(base.include, self.include),
            define: joined(base.define, self.define),
            runtime: self.runtime.or(base.runtime),
            log: self.log.or(base.log),
            port: self.port.or(base.port),
            ssl: self.ssl.or(base.ssl),
            max_threads: self.max_threads.or(base.max_threads),
            max_request: self.max_request.or(base.max_request),
            max_compressed: self.max_compressed.or(base.max_compressed),
        }
    }

    /// Whether a running server is one of those meant: what is given must be equal, what isn't doesn't count. (The original
    /// fills up with defaults first, so that `stop -r REL` passed by a server with a port of its own and said "done".)
    #[must_use]
    pub fn match_server(&self, server: &Settings) -> bool {
        fn one<T: PartialEq>(wish: Option<&T>, value: Option<&T>) -> bool {
            wish.is_none() || wish == value
        }
        let all = |wish: &Vec<String>, value: &Vec<String>| wish.is_empty() || wish == value;
        one(self.arch.as_ref(), Some(&server.arch))
            && one(self.user.as_ref(), Some(&server.user))
            && one(self.nickname.as_ref(), server.nickname.as_ref())
            && all(&self.releases, &server.releases)
            && all(&self.build, &server.build)
            && all(&self.include, &server.include)
            && all(&self.define, &server.define)
            && one(self.runtime.as_ref(), server.runtime.as_ref())
            && one(self.log.as_ref(), Some(&server.log))
            && one(self.port.as_ref(), server.port.as_ref())
            && one(self.ssl.as_ref(), server.ssl.as_ref())
            && one(self.max_threads.as_ref(), server.max_threads.as_ref())
            && one(self.max_request.as_ref(), server.max_request.as_ref())
            && one(self.max_compressed.as_ref(), server.max_compressed.as_ref())
    }
}

impl From<Settings> for Wishes {
    fn from(settings: Settings) -> Self {
        Self {
            arch: Some(settings.arch),
            user: Some(settings.user),
            nickname: settings.nickname,
            releases: settings.releases,
            build: settings.build,
            include: settings.include,
            define: settings.define,
            runtime: settings.runtime,
            log: Some(settings.log),
            port: settings.port,
            ssl: settings.ssl,
            max_threads: settings.max_threads,
            max_request: settings.max_request,
            max_compressed: settings.max_compressed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::example;

    #[test]
    fn srv_nick_03_what_is_not_given_does_not_count() {
        let server = Settings { port: Some(5001), log: "/x/log".into(), ..example() };
        let by = |wishes: Wishes| wishes.match_server(&server);
        assert!(by(Wishes { releases: vec!["6.1".into()], ..Wishes::default() }));
        assert!(by(Wishes { port: Some(5001), ..Wishes::default() }));
        assert!(!by(Wishes { port: Some(5002), ..Wishes::default() }));
        assert!(!by(Wishes { releases: vec!["6.1".into(), "6.2".into()], ..Wishes::default() }));
        assert!(!by(Wishes { nickname: Some("a".into()), ..Wishes::default() }));
    }

    #[test]
    fn srv_spec_01_lists_accumulate_and_the_rest_is_replaced() {
        let base = Wishes::from(Settings { runtime: Some("/r".into()), ..example() });
        let wishes = Wishes { arch: Some("arm".into()), releases: vec!["6.2".into()], ..Wishes::default() };
        let settings = wishes.over(base).complete("x", "y", "z");
        assert_eq!((settings.arch.as_str(), settings.user.as_str()), ("arm", "stap-server"));
        assert_eq!(
            (settings.releases, settings.runtime),
            (vec!["6.1".to_owned(), "6.2".to_owned()], Some("/r".into()))
        );
    }
}
