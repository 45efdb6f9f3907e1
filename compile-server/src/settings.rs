//! What one server is: its complete settings, and how they are shown.

use std::fmt;

/// The settings of one server. Empty lists and `None` leave a choice to `stap-serverd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Architecture of the modules (`-a`).
    pub arch: String,
    /// As whom it runs (`-u`).
    pub user: String,
    /// Its name; without one, its process id is its name (SRV-NICK-05).
    pub nickname: Option<String>,
    /// Kernel releases or build trees (`-r`); the daemon adds the running kernel.
    pub releases: Vec<String>,
    /// Options for kbuild (`-B`).
    pub build: Vec<String>,
    /// Tapset directories (`-I`).
    pub include: Vec<String>,
    /// Macros (`-D`).
    pub define: Vec<String>,
    /// The runtime's directory (`-R`).
    pub runtime: Option<String>,
    pub log: String,
    /// The port asked for; without one, any.
    pub port: Option<u16>,
    /// Directory of the certificate database.
    pub ssl: Option<String>,
    /// How many requests it serves at once; 0 serves one after another.
    pub max_threads: Option<u32>,
    /// Largest request, in bytes, unpacked.
    pub max_request: Option<u64>,
    /// Largest request, in bytes, packed.
    pub max_compressed: Option<u64>,
}

impl Settings {
    /// Whether two servers would do the same. Names don't count; lists count whole (SRV-STAT-02: the original compares their
    /// first element).
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        Self { nickname: None, ..self.clone() } == Self { nickname: None, ..other.clone() }
    }

    /// The first setting that has a line feed or another control character. In a status file, a line feed would begin a setting
    /// that nobody gave.
    pub(crate) fn with_control_characters(&self) -> Option<&'static str> {
        let one = |value: &Option<String>| value.clone().into_iter().collect::<Vec<String>>();
        let all: [(&'static str, Vec<String>); 10] = [
            ("ARCH (-a)", vec![self.arch.clone()]),
            ("USER (-u)", vec![self.user.clone()]),
            ("NICKNAME (-n)", one(&self.nickname)),
            ("RELEASE (-r)", self.releases.clone()),
            ("BUILD (-B)", self.build.clone()),
            ("INCLUDE (-I)", self.include.clone()),
            ("DEFINE (-D)", self.define.clone()),
            ("RUNTIME (-R)", one(&self.runtime)),
            ("LOG (--log)", vec![self.log.clone()]),
            ("SSL (--ssl)", one(&self.ssl)),
        ];
        let spoiled = |values: &[String]| values.iter().any(|value| value.chars().any(char::is_control));
        all.into_iter().find(|(_, values)| spoiled(values)).map(|(name, _)| name)
    }

    /// The arguments for `stap-serverd`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut all = vec!["-a".to_owned(), self.arch.clone()];
        let mut put = |option: &str, value: &str| all.extend([option.to_owned(), value.to_owned()]);
        for (option, values) in
            [("-r", &self.releases), ("-B", &self.build), ("-I", &self.include), ("-D", &self.define)]
        {
            for value in values {
                put(option, value);
            }
        }
        if let Some(runtime) = &self.runtime {
            put("-R", runtime);
        }
        all.push(format!("--log={}", self.log));
        let numbers = [
            ("--port", self.port.map(u64::from)),
            ("--max-threads", self.max_threads.map(u64::from)),
            ("--max-request-size", self.max_request),
            ("--max-compressed-request", self.max_compressed),
        ];
        all.extend(numbers.iter().filter_map(|(option, value)| Some(format!("{option}={}", (*value)?))));
        all.extend(self.ssl.iter().map(|directory| format!("--ssl={directory}")));
        all
    }
}

/// As the options by which the server would be specified (SRV-STATUS-01).
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-a \"{}\"", self.arch)?;
        for (option, values) in
            [("-r", &self.releases), ("-I", &self.include), ("-B", &self.build), ("-D", &self.define)]
        {
            values.iter().try_for_each(|value| write!(f, " {option} \"{value}\""))?;
        }
        if let Some(runtime) = &self.runtime {
            write!(f, " -R \"{runtime}\"")?;
        }
        write!(f, " -u \"{}\"", self.user)?;
        if let Some(nickname) = &self.nickname {
            write!(f, " -n \"{nickname}\"")?;
        }
        write!(f, " --log \"{}\"", self.log)?;
        if let Some(ssl) = &self.ssl {
            write!(f, " --ssl \"{ssl}\"")?;
        }
        for (option, value) in [
            ("--port", self.port.map(u64::from)),
            ("--max-threads", self.max_threads.map(u64::from)),
            ("--max-request-size", self.max_request),
            ("--max-compressed-request", self.max_compressed),
        ] {
            if let Some(value) = value {
                write!(f, " {option} {value}")?;
            }
        }
        Ok(())
    }
}

/// The architecture of this machine, by the names of kbuild (SRV-SPEC-05).
#[must_use]
pub fn own_architecture() -> String {
    let uname = rustix::system::uname();
    squashed(&uname.machine().to_string_lossy()).to_owned()
}

fn squashed(machine: &str) -> &str {
    match machine.as_bytes() {
        [b'i', _, b'8', b'6'] => "i386",
        b"sun4u" => "sparc64",
        b"aarch64" => "arm64",
        [b's', b'h', _] => "sh",
        _ if machine.starts_with("arm") || machine.starts_with("sa1") => "arm",
        _ if machine.starts_with("s390") => "s390",
        _ if machine.starts_with("ppc") => "powerpc",
        _ if machine.starts_with("mips") => "mips",
        _ => machine,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Settings {
        Settings {
            arch: "x86_64".into(),
            user: "stap-server".into(),
            nickname: None,
            releases: vec!["6.1".into()],
            build: Vec::new(),
            include: Vec::new(),
            define: Vec::new(),
            runtime: None,
            log: "/var/log/stap-server/log".into(),
            port: None,
            ssl: None,
            max_threads: None,
            max_request: None,
            max_compressed: None,
        }
    }

    /// A line feed in any of them wrote a further line into the status file.
    #[test]
    fn a_line_feed_in_a_setting_spoiled_the_status_file() {
        assert_eq!(example().with_control_characters(), None);
        let text = || "a\nUSER=root".to_owned();
        let spoiled = [
            Settings { arch: text(), ..example() },
            Settings { user: text(), ..example() },
            Settings { nickname: Some(text()), ..example() },
            Settings { releases: vec!["6.1".into(), text()], ..example() },
            Settings { build: vec![text()], ..example() },
            Settings { include: vec![text()], ..example() },
            Settings { define: vec![text()], ..example() },
            Settings { runtime: Some("\u{1b}[31m".into()), ..example() },
            Settings { log: "/a\rb".into(), ..example() },
            Settings { ssl: Some(text()), ..example() },
        ];
        assert!(spoiled.iter().all(|settings| settings.with_control_characters().is_some()));
    }

    #[test]
    fn srv_spec_05_machines_have_the_names_of_kbuild() {
        for (machine, arch) in [
            ("i686", "i386"),
            ("sun4u", "sparc64"),
            ("armv7l", "arm"),
            ("sa110", "arm"),
            ("s390x", "s390"),
            ("aarch64", "arm64"),
            ("ppc64le", "powerpc"),
            ("mips64", "mips"),
            ("sh4", "sh"),
            ("x86_64", "x86_64"),
            ("riscv64", "riscv64"),
        ] {
            assert_eq!(squashed(machine), arch, "{machine}");
        }
    }

    #[test]
    fn srv_stat_02_lists_are_compared_whole_and_names_not_at_all() {
        let one = example();
        let named = Settings { nickname: Some("a".into()), ..one.clone() };
        assert!(one.same_as(&named));
        let more = Settings { releases: vec!["6.1".into(), "6.2".into()], ..one.clone() };
        assert!(!one.same_as(&more));
        assert!(!one.same_as(&Settings { port: Some(5001), ..one.clone() }));
    }

    #[test]
    fn srvd_opt_01_every_setting_reaches_the_daemon() {
        let settings = Settings {
            build: vec!["V=1".into()],
            include: vec!["/t".into()],
            define: vec!["X=1".into()],
            runtime: Some("/r".into()),
            port: Some(5001),
            ssl: Some("/db".into()),
            max_threads: Some(0),
            max_request: Some(9),
            max_compressed: Some(8),
            ..example()
        };
        let expected = "-a x86_64 -r 6.1 -B V=1 -I /t -D X=1 -R /r --log=/var/log/stap-server/log --port=5001 \
                        --max-threads=0 --max-request-size=9 --max-compressed-request=8 --ssl=/db";
        assert_eq!(settings.arguments().join(" "), expected);
    }

    #[test]
    fn srv_status_01_settings_are_shown_as_options() {
        let settings = Settings { nickname: Some("n".into()), port: Some(5), ..example() };
        assert_eq!(
            settings.to_string(),
            "-a \"x86_64\" -r \"6.1\" -u \"stap-server\" -n \"n\" --log \"/var/log/stap-server/log\" --port 5"
        );
    }
}
