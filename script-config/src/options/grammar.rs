//! The command line of `stap`, versions 4.8 to 5.6: every option, whether it takes a value, and
//! what a service does with it.

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakesValue {
    /// It takes none.
    No,
    /// It always takes one, attached or as the next word.
    Always,
    /// It takes one only when attached with `=`.
    Optionally,
}

/// What a service does with an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionRole {
    /// It goes to `stap` when the script is compiled.
    Compile,
    /// It goes to `staprun` when the script is started.
    Run,
    /// It is dropped, as section 4.2.1 of the README says: the service decides this itself.
    Ignored,
    /// It goes to `stap`, where it acts only on a script that `stap` itself runs. The service runs
    /// modules with `staprun`, so it has no effect.
    NoEffect,
    /// With it `stap` makes no kernel module; the text says why.
    NoModule(&'static str),
}

/// One option of `stap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its name: one character for a short option, more for a long one, without dashes.
    pub name: &'static str,
    /// Whether it takes a value.
    pub takes: TakesValue,
    /// What a service does with it.
    pub role: OptionRole,
    /// Whether the last initscript knew it (INIT-OPT-01).
    pub stock: bool,
    /// The version that brought it, if later than 4.8.
    pub since: Option<&'static str>,
}

impl OptionSpec {
    /// Tells whether it is a short option, such as `-g`.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.name.len() == 1
    }

    /// Returns it as it is written, such as `-g` or `--vp`.
    #[must_use]
    pub fn written(&self) -> String {
        let dashes = if self.is_short() { "-" } else { "--" };
        format!("{dashes}{}", self.name)
    }
}

const fn flag(name: &'static str, role: OptionRole) -> OptionSpec {
    OptionSpec { name, takes: TakesValue::No, role, stock: false, since: None }
}

const fn value(name: &'static str, role: OptionRole) -> OptionSpec {
    OptionSpec { takes: TakesValue::Always, ..flag(name, role) }
}

const fn maybe(name: &'static str, role: OptionRole) -> OptionSpec {
    OptionSpec { takes: TakesValue::Optionally, ..flag(name, role) }
}

const fn stock(spec: OptionSpec) -> OptionSpec {
    OptionSpec { stock: true, ..spec }
}

const fn since(version: &'static str, spec: OptionSpec) -> OptionSpec {
    OptionSpec { since: Some(version), ..spec }
}

const LISTS: OptionRole = OptionRole::NoModule("it lists instead of compiling");
const TALKS: OptionRole = OptionRole::NoModule("it starts a conversation instead of compiling");
const SERVERS: OptionRole = OptionRole::NoModule("it deals with servers instead of compiling");
const OTHER_RUNTIME: OptionRole = OptionRole::NoModule("that runtime makes no kernel module");
const UNFINISHED: OptionRole = OptionRole::NoModule("stap accepts the letter and then stops");
const BENCHMARK: OptionRole = OptionRole::NoModule("it measures stap instead of compiling");

use OptionRole::{Compile, Ignored, NoEffect, Run};

/// All options, short ones first, each group in the order of stap's own table.
pub const STAP_OPTIONS: &[OptionSpec] = &[
    stock(flag("h", Ignored)),
    stock(flag("V", Ignored)),
    stock(flag("v", Compile)),
    stock(flag("t", Compile)),
    stock(value("p", Ignored)),
    stock(value("I", Compile)),
    stock(value("e", Ignored)),
    value("E", Compile),
    stock(value("o", Run)),
    stock(value("R", Compile)),
    stock(value("r", Ignored)),
    value("a", Compile),
    stock(value("m", Ignored)),
    stock(flag("k", Ignored)),
    stock(flag("g", Compile)),
    stock(flag("P", Compile)),
    stock(value("c", Run)),
    stock(value("x", Run)),
    stock(value("D", Compile)),
    stock(flag("b", Compile)),
    stock(value("s", Run)),
    stock(flag("u", Compile)),
    stock(flag("q", Compile)),
    flag("i", TALKS),
    stock(flag("w", Compile)),
    stock(value("l", LISTS)),
    stock(value("d", Compile)),
    stock(value("L", LISTS)),
    stock(flag("F", Ignored)),
    stock(value("S", Run)),
    value("B", Compile),
    value("J", UNFINISHED),
    flag("j", UNFINISHED),
    flag("W", Compile),
    value("G", Compile),
    value("T", NoEffect),
    flag("skip-badvars", Compile),
    stock(value("vp", Compile)),
    flag("unprivileged", Compile),
    since("5.1", maybe("build-as", Compile)),
    flag("client-options", OptionRole::NoModule("it is meant for stap-server alone")),
    flag("help", Ignored),
    flag("disable-cache", Compile),
    flag("poison-cache", Compile),
    flag("clean-cache", OptionRole::NoModule("it empties stap's cache instead of compiling")),
    value("compatible", Compile),
    flag("ldd", Compile),
    maybe("use-server", Compile),
    maybe("list-servers", SERVERS),
    maybe("trust-servers", SERVERS),
    maybe("use-server-on-error", Compile),
    value("use-http-server", Compile),
    flag("all-modules", Compile),
    maybe("sign-module", Compile),
    value("remote", OptionRole::NoModule("it runs the script on another host")),
    flag("remote-prefix", NoEffect),
    flag("check-version", Compile),
    flag("version", Ignored),
    value("tmpdir", Compile),
    maybe("download-debuginfo", Compile),
    flag("dump-probe-types", LISTS),
    flag("dump-probe-aliases", LISTS),
    flag("dump-functions", LISTS),
    value("privilege", Compile),
    flag("suppress-handler-errors", Compile),
    value("modinfo", Compile),
    value("rlimit-as", Compile),
    value("rlimit-cpu", Compile),
    value("rlimit-nproc", Compile),
    value("rlimit-stack", Compile),
    value("rlimit-fsize", Compile),
    value("sysroot", Compile),
    value("sysenv", Compile),
    flag("suppress-time-limits", Compile),
    value("runtime", Compile),
    flag("dyninst", OTHER_RUNTIME),
    flag("bpf", OTHER_RUNTIME),
    flag("benchmark-sdt", BENCHMARK),
    value("benchmark-sdt-loops", BENCHMARK),
    value("benchmark-sdt-threads", BENCHMARK),
    maybe("color", Compile),
    maybe("colour", Compile),
    maybe("prologue-searching", Compile),
    stock(flag("save-uprobes", Compile)),
    value("target-namespaces", NoEffect),
    maybe("monitor", NoEffect),
    flag("interactive", TALKS),
    flag("example", OptionRole::NoModule("it takes the script from stap's examples")),
    flag("no-global-var-display", Compile),
    since("4.9", flag("language-server", TALKS)),
    since("5.6", flag("debug", Compile)),
    since("5.6", flag("semantic-keep-going", Compile)),
];

/// Returns the short option of this letter.
pub(super) fn short(letter: char) -> Option<&'static OptionSpec> {
    STAP_OPTIONS.iter().find(|spec| spec.is_short() && spec.name.starts_with(letter))
}

/// Returns the long options that `text` may mean: the one of that name, else all that begin with
/// it, as `getopt_long` has it. Two spellings of one option count once.
pub(super) fn long(text: &str) -> Vec<&'static OptionSpec> {
    let all = || STAP_OPTIONS.iter().filter(|spec| !spec.is_short());
    if let Some(exact) = all().find(|spec| spec.name == text) {
        return vec![exact];
    }
    let both_spellings = "color".starts_with(text);
    all()
        .filter(|spec| spec.name.starts_with(text))
        .filter(|spec| !(both_spellings && spec.name == "colour"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_option_is_listed_twice() {
        let mut names: Vec<&str> = STAP_OPTIONS.iter().map(|spec| spec.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    /// Letters and colons as stap hands them to getopt, unchanged from 4.8 to 5.6.
    #[test]
    fn the_short_options_are_those_of_stap() {
        let written: String = STAP_OPTIONS
            .iter()
            .filter(|spec| spec.is_short())
            .map(|spec| spec.name.to_owned() + if spec.takes == TakesValue::No { "" } else { ":" })
            .collect();
        assert_eq!(written, "hVvtp:I:e:E:o:R:r:a:m:kgPc:x:D:bs:uqiwl:d:L:FS:B:J:jWG:T:");
    }

    #[test]
    fn init_opt_01_the_stock_initscript_knows_these() {
        let written: Vec<&str> =
            STAP_OPTIONS.iter().filter(|spec| spec.stock).map(|spec| spec.name).collect();
        assert_eq!(
            written.join(" "),
            "h V v t p I e o R r m k g P c x D b s u q w l d L F S vp save-uprobes"
        );
    }

    #[test]
    fn a_long_option_may_be_cut_short_while_it_is_the_only_one() {
        let names = |text| long(text).iter().map(|spec| spec.name).collect::<Vec<_>>();
        assert_eq!(names("skip"), ["skip-badvars"]);
        assert_eq!(names("use-server"), ["use-server"]);
        assert_eq!(names("use-server-"), ["use-server-on-error"]);
        assert_eq!(names("colo"), ["color"]);
        assert_eq!(names("colou"), ["colour"]);
        assert_eq!(names("v"), ["vp", "version"]);
        assert!(names("kelf").is_empty());
    }
}
