//! Variables that aren't the configuration's own.

/// Whose a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The configuration's.
    Configuration,
    /// Bash's: it sets the variable, forbids to set it, or changes its behaviour by it.
    Shell,
    /// The environment's: who starts the service decides the value.
    Environment,
}

/// Variables that bash owns, besides all that start with `BASH`.
const SHELL: [&str; 44] = [
    "COMP_CWORD",
    "COMP_KEY",
    "COMP_LINE",
    "COMP_POINT",
    "COMP_TYPE",
    "COMP_WORDBREAKS",
    "COMP_WORDS",
    "COMPREPLY",
    "COPROC",
    "DIRSTACK",
    "ENV",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "EXECIGNORE",
    "FIGNORE",
    "FUNCNAME",
    "FUNCNEST",
    "GLOBIGNORE",
    "GLOBSORT",
    "GROUPS",
    "HISTCMD",
    "HOSTTYPE",
    "IFS",
    "IGNOREEOF",
    "LINENO",
    "MACHTYPE",
    "MAPFILE",
    "OPTARG",
    "OPTERR",
    "OPTIND",
    "OSTYPE",
    "PIPESTATUS",
    "POSIXLY_CORRECT",
    "PPID",
    "RANDOM",
    "REPLY",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "TMOUT",
    "UID",
    "_",
];

/// Variables of the environment, besides all that start with `LC_`.
const ENVIRONMENT: [&str; 23] = [
    "CDPATH", "COLUMNS", "DISPLAY", "EDITOR", "HOME", "HOSTNAME", "LANG", "LANGUAGE", "LINES", "LOGNAME",
    "MAIL", "OLDPWD", "PAGER", "PATH", "PS1", "PS2", "PS4", "PWD", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
];

pub(crate) fn owner(name: &str) -> Owner {
    if name.starts_with("BASH") || SHELL.contains(&name) {
        Owner::Shell
    } else if name.starts_with("LC_") || ENVIRONMENT.contains(&name) {
        Owner::Environment
    } else {
        Owner::Configuration
    }
}
