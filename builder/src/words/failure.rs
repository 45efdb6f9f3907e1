//! A compile that failed: what its log says, and what is known beside the log.

use std::path::Path;

use super::first_error::{FirstError, quotes_source};

/// What is known of a compile besides its log.
#[derive(Clone, Copy, Default)]
pub(crate) struct Circumstances<'c> {
    /// The script's options for stap.
    pub options: &'c [String],
    /// Empty if it isn't known.
    pub release: &'c str,
    /// The sysroot's; a compile server's aren't known.
    pub surroundings: Option<&'c dyn Surroundings>,
}

/// What a compile finds around it.
pub(crate) trait Surroundings {
    fn has_file(&self, path: &Path) -> bool;

    /// Whether the kernel has a configuration symbol, as its build tree says; `None` if that doesn't tell.
    fn is_configured(&self, symbol: &str) -> Option<bool>;

    /// The build id of the kernel, if its image is there.
    fn kernel_build_id(&self) -> Option<String>;
}

/// The log of a compile that failed.
#[derive(Clone, Copy)]
pub(super) struct Failure<'f> {
    pub log: &'f str,
    pub error: FirstError<'f>,
    pub circumstances: Circumstances<'f>,
}

/// A probe point in a quoted line, and what follows it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProbePoint<'f>(&'f str);

impl ProbePoint<'_> {
    /// What is in quotes behind a component: `x` of `trace("x")`.
    pub(super) fn argument(self, component: &str) -> Option<String> {
        let mut places = self.0.match_indices(component).map(|(at, _)| &self.0[at + component.len()..]);
        places.find_map(|rest| {
            let quoted = rest.trim_start().strip_prefix('(')?.trim_start().strip_prefix('"')?;
            Some(quoted.split_once('"')?.0.to_owned())
        })
    }
}

impl<'f> Failure<'f> {
    pub(super) fn new(log: &'f str, circumstances: Circumstances<'f>) -> Self {
        Self { log, error: FirstError::of(log).unwrap_or_default(), circumstances }
    }

    /// Whether the first error has these words.
    pub(super) fn says(&self, words: &str) -> bool {
        self.error.said.line.contains(words)
    }

    /// Whether stap was about that when it found the error.
    pub(super) fn is_about(&self, words: &str) -> bool {
        self.error.doing.is_some_and(|doing| doing.line.contains(words))
    }

    /// The probe point that stap doesn't find, if its first component is this one.
    pub(super) fn unmatched(&self, component: &str) -> Option<ProbePoint<'f>> {
        let is_one = self.is_about(&format!("while resolving probe point: identifier '{component}' at "));
        let unmatched = self.says(": no match") || self.says(": glob ");
        let doing = self.error.doing?;
        let probe_point = doing.source?.get(doing.column()?..)?;
        (is_one && unmatched).then_some(ProbePoint(probe_point))
    }

    /// The probe point that stap doesn't find, if a tapset has made it of others: `vfs.open.return`.
    pub(super) fn unmatched_alias(&self) -> Option<&'f str> {
        const OF_STAP: [&str; 4] = ["kernel", "kprobe", "module", "process"];
        let doing = self.error.doing?;
        let is_one = self.says(": no match") && self.is_about("while resolving probe point: identifier '");
        let probe_point = doing.source?.get(doing.column()?..)?;
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_.*".contains(c);
        let alias = probe_point.split(|c| !is_of_name(c)).next()?;
        let first = alias.split('.').next()?;
        (is_one && !first.is_empty() && !OF_STAP.contains(&first)).then_some(alias)
    }

    /// Whether stap warned that it has no debuginfo of `module`. A warning alone explains nothing.
    pub(super) fn lacks_debuginfo_of(&self, module: &str) -> bool {
        let warning = format!("WARNING: cannot find module {module} debuginfo:");
        self.log.lines().any(|line| line.starts_with(&warning))
    }

    /// Whether stap warned that it has no symbols of the kernel.
    pub(super) fn lacks_symbols(&self) -> bool {
        self.log.lines().any(|line| line.starts_with("WARNING: Kernel function symbol table missing"))
    }

    /// The program of a probe point that isn't found, if the sysroot doesn't have it.
    pub(super) fn missing_program(&self) -> Option<String> {
        // One without a path, which stap looks for in PATH.
        if let Some((_, rest)) = self.error.said.line.split_once("cannot find executable '") {
            return Some(rest.split_once('\'')?.0.to_owned());
        }
        let program = self.unmatched("process")?.argument("process")?;
        if self.says(": glob ") {
            return Some(program);
        }
        let surroundings = self.circumstances.surroundings?;
        let is_path = program.starts_with('/') && !program.contains(['*', '?', '[', '{']);
        (is_path && !surroundings.has_file(Path::new(&program))).then_some(program)
    }

    /// Whether a line has these words that isn't quoted source.
    pub(super) fn states(&self, words: &str) -> bool {
        self.log.lines().any(|line| line.contains(words) && !quotes_source(line))
    }

    /// The first line that begins so.
    pub(super) fn log_line_of(&self, beginning: &str) -> Option<&'f str> {
        self.log.lines().find(|line| line.starts_with(beginning))
    }

    /// The line above the first error, in which the compiler names the function.
    pub(super) fn line_before_error(&self) -> Option<&'f str> {
        let lines: Vec<&'f str> = self.log.lines().collect();
        let at = lines.iter().position(|line| *line == self.error.said.line)?;
        lines.get(at.checked_sub(1)?).copied()
    }

    /// Whether the first error is in the code that stap makes of script and tapsets.
    pub(super) fn is_in_made_code(&self) -> bool {
        let place = self.error.said.line.split(' ').next().unwrap_or_default();
        place.starts_with("/tmp/stap") && place.contains("_src.c:")
    }

    /// Names and values that the script's options define (`-DNAME=VALUE`).
    pub(super) fn macros(&self) -> impl Iterator<Item = (&'f str, &'f str)> {
        let options = self.circumstances.options;
        let defined = options.iter().enumerate().filter_map(|(at, option)| match option.as_str() {
            "-D" => options.get(at + 1).map(String::as_str),
            option => option.strip_prefix("-D"),
        });
        defined.filter_map(|definition| definition.split_once('='))
    }
}
