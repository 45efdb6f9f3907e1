//! A failure as a user sees it: what, why, what next, and the exit code.

use std::error::Error;
use std::fmt;
use std::path::Path;

use bundle_format::{BundleError, ContainerError, Likeness, PartError, RootError};

use crate::exit::Exit;
use crate::way_out::WayOut;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// The problem's identifier (specification, section 17), if it is a bundle's.
    pub(crate) id: Option<String>,
    pub(crate) what: String,
    /// Reasons, the outermost first.
    pub(crate) because: Vec<String>,
    pub(crate) hints: Vec<String>,
    /// What would go though it is used here, if that is why: members of the JSON document.
    pub(crate) removal: Option<Box<serde_json::Value>>,
    pub(crate) way_out: Box<WayOut>,
}

impl Failure {
    /// A failure without a cause of its own.
    pub(crate) fn new(exit: Exit, what: impl fmt::Display) -> Self {
        Self {
            exit,
            id: None,
            what: what.to_string(),
            because: Vec::new(),
            hints: Vec::new(),
            removal: None,
            way_out: Box::default(),
        }
    }

    /// A failure with the chain of its causes; a cause that the text before it already says is left out.
    pub(crate) fn of(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        let mut failure =
            Self::new(of_newer_program(error).unwrap_or(exit), without_number(&error.to_string()));
        failure.way_out.look_at(error);
        let mut source = error.source();
        while let Some(cause) = source {
            failure.way_out.look_at(cause);
            failure.hints.extend(missing_call(cause));
            let text = without_number(&cause.to_string());
            let said = failure.because.last().unwrap_or(&failure.what).contains(&text);
            if !said {
                failure.because.push(text);
            }
            source = cause.source();
        }
        failure
    }

    /// Puts the object in front: "FILE: what".
    pub(crate) fn about(mut self, object: impl fmt::Display) -> Self {
        self.what = format!("{object}: {}", self.what);
        self
    }

    /// What and why on one line, for a list of failures.
    pub(crate) fn one_line(&self) -> String {
        std::iter::once(self.what.as_str())
            .chain(self.because.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(": ")
    }

    /// Adds what only the whole command line tells: the place below its root, and that the command needs root.
    pub(crate) fn of_command(mut self, command: &str, root: Option<&Path>) -> Self {
        if let Some(place) = self.way_out.open_place(root.unwrap_or(Path::new("/"))) {
            for text in std::iter::once(&mut self.what).chain(&mut self.because) {
                *text = text.replacen(&place.said, &place.named, 1);
            }
            self.hints.splice(0..0, place.command);
        }
        if let Some(line) = self.way_out.as_root(command) {
            let denied =
                std::mem::replace(&mut self.what, format!("`{}` needs root", command.replace('-', " ")));
            self.because.insert(0, denied);
            self.hints = vec![line];
        }
        self
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// The exit code for what only a newer program can read, whatever was to be done with it.
#[cfg(feature = "host")]
fn of_newer_program(error: &(dyn Error + 'static)) -> Option<Exit> {
    installer::NewerState::in_error(error).map(|_| Exit::NotBuilt)
}

#[cfg(not(feature = "host"))]
const fn of_newer_program(_: &dyn Error) -> Option<Exit> {
    None
}

/// What to do where a kernel lacks a call for which there is no other way.
fn missing_call(cause: &(dyn Error + 'static)) -> Option<String> {
    let error = cause.downcast_ref::<std::io::Error>()?;
    (error.raw_os_error() == Some(rustix::io::Errno::NOSYS.raw_os_error())).then(|| {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        format!("stap-bundle needs Linux 3.10 or newer; this is {release}, or a sandbox that denies the call")
    })
}

/// The text without the number that the standard library puts behind the system's words for an error, and without the temporary
/// name that is put behind that.
fn without_number(text: &str) -> String {
    if text == "entity not found" {
        return "No such file or directory".to_owned();
    }
    match text.rsplit_once(" (os error ") {
        Some((words, number)) if number.ends_with(')') || number.contains(") at path ") => words.to_owned(),
        _ => text.to_owned(),
    }
}

/// The exit code of a bundle error.
pub(crate) fn bundle_exit(error: &BundleError) -> Exit {
    match error {
        BundleError::Io { source, .. } => io_exit(source),
        BundleError::Changed => Exit::Storage,
        BundleError::NotTrusted { .. }
        | BundleError::Threshold { .. }
        | BundleError::BadSignature { .. }
        | BundleError::Withdrawn { .. }
        | BundleError::Revoked { .. }
        | BundleError::Epoch { .. }
        | BundleError::Container(ContainerError::Payload) => Exit::Trust,
        BundleError::Roots(error) => root_exit(error),
        BundleError::OldBundle(error) | BundleError::Base(error) => bundle_exit(error),
        BundleError::AbsentFrame { .. }
        | BundleError::BaseAbsent { .. }
        | BundleError::NoBase { .. }
        | BundleError::Container(ContainerError::Part) => Exit::Missing,
        BundleError::Critical { .. } | BundleError::Container(ContainerError::Format { .. }) => {
            Exit::NotBuilt
        }
        BundleError::Receiver(_) | BundleError::Cancelled => Exit::Failed,
        _ => Exit::Malformed,
    }
}

/// The exit code of a source that can't be read: a part of a split bundle may be what is wrong.
fn io_exit(error: &std::io::Error) -> Exit {
    let part = error.get_ref().and_then(|inner| inner.downcast_ref::<PartError>());
    part.map_or(Exit::Storage, part_exit)
}

/// The exit code of an error about parts.
const fn part_exit(error: &PartError) -> Exit {
    match error {
        PartError::Io { .. } => Exit::Storage,
        PartError::Missing { .. } => Exit::Missing,
        PartError::NotAPart { .. } | PartError::Damaged { .. } => Exit::Malformed,
        _ => Exit::Conflict,
    }
}

/// The exit code of an error about roots.
pub(crate) fn root_exit(error: &RootError) -> Exit {
    match error {
        RootError::Critical { .. } => Exit::NotBuilt,
        _ if error.is_malformed() => Exit::Malformed,
        _ => Exit::Trust,
    }
}

/// Why roots aren't believed, with what to do next.
pub(crate) fn root_failure(error: &RootError) -> Failure {
    let failure = Failure::of(root_exit(error), error);
    match error {
        RootError::Incomplete { .. } | RootError::Threshold { .. } => {
            failure.hint("`stap-bundle trust root show FILE` says which signatures are missing")
        }
        RootError::Fork { .. } => {
            failure.hint("somebody signed two different roots under one number: ask your farm before anything else")
        }
        RootError::Layout { offset: 0, .. } => {
            failure.hint("a file of roots is what `stap-bundle trust root create` writes")
        }
        RootError::Order { .. } => failure.hint("bring the farm's whole file of roots"),
        RootError::NoEntry => failure
            .hint("compare the keys' ids with what your farm published, then pin one: stap-bundle trust add NAME.pub"),
        _ => failure,
    }
}

/// The build side isn't in this program.
#[cfg(not(feature = "farm"))]
pub(crate) fn no_farm(command: &str) -> Failure {
    Failure::new(
        Exit::NotBuilt,
        format!("`{command}`: this stap-bundle was built for hosts, without the build side"),
    )
    .hint("run it on the build farm, with the full stap-bundle")
}

impl From<PartError> for Failure {
    fn from(error: PartError) -> Self {
        let failure = Self::of(part_exit(&error), &error);
        match &error {
            PartError::Missing { file: Some(file), .. } => failure.hint(format!("add {file}")),
            PartError::Missing { file: None, .. } => {
                failure.hint("give all parts of the bundle, in any order")
            }
            PartError::Damaged { .. } => failure.hint("copy that part again"),
            PartError::NotAPart { .. } => failure
                .hint("parts are what `stap-bundle split` writes; whole bundles are given one at a time"),
            _ => failure,
        }
    }
}

/// How to get the bundle from what came in its place.
fn way_back(likeness: Likeness) -> String {
    match likeness {
        Likeness::Empty => "did the copy, or the command before the pipe, fail?".to_owned(),
        Likeness::Compressed(by) => format!("decompress it: {by} -dc FILE > NAME.stapb"),
        Likeness::Archive("unzip") => "unpack it: unzip FILE".to_owned(),
        Likeness::Archive(by) => format!("unpack it: {by} xf FILE"),
        Likeness::Base64 => "decode it: base64 -d FILE > NAME.stapb".to_owned(),
        Likeness::LineEnds => {
            "copy it again as binary: `binary` in ftp, `*.stapb binary` in .gitattributes".to_owned()
        }
        Likeness::Html => {
            "the server answered with a page, of a login or an error: open it in a browser".to_owned()
        }
        Likeness::LfsPointer => "fetch the bundle itself: git lfs pull".to_owned(),
        Likeness::Pem => "give the bundle here, and a public key with --key or to `trust add`".to_owned(),
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        let mut failure = Self::of(bundle_exit(&error), &error);
        failure.id = Some(error.id().as_str().to_owned());
        match &error {
            BundleError::NotTrusted { .. } => failure
                .hint("compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub"),
            BundleError::Threshold { .. } => {
                failure.hint("the farm adds a signature with another of its keys")
            }
            BundleError::Withdrawn { .. } | BundleError::Revoked { .. } => {
                failure.hint("bring a bundle that the farm made and signed after its newest root")
            }
            BundleError::Roots(RootError::Fork { .. }) => failure.hint(
                "somebody signed two different roots under one number: ask your farm before anything else",
            ),
            BundleError::Roots(RootError::NoEntry) => failure
                .hint("compare the keys' ids with what your farm published, then pin one: stap-bundle trust add NAME.pub"),
            BundleError::Container(ContainerError::NotABundle) => {
                failure.hint("a bundle is what `stap-bundle build` writes, by default NAME-VERSION.stapb")
            }
            BundleError::Container(ContainerError::LooksLike(likeness)) => failure.hint(way_back(*likeness)),
            BundleError::Container(ContainerError::Payload) => failure.hint(
                "sign it on the farm: stap-bundle sign FILE --key NAME.key -o BUNDLE",
            ),
            BundleError::Container(ContainerError::Part) => {
                failure.hint("join the parts first: stap-bundle join PART… -o FILE")
            }
            BundleError::BaseAbsent { from: Some(from), .. } => failure.hint(format!(
                "this is a delta of version {} (bundle id {}): bring the full bundle of the new version, or that one",
                from.version, from.id
            )),
            BundleError::AbsentFrame { .. } => failure
                .hint("the file is a subset: bring the whole bundle, or name kernels that are in it: -r REL"),
            BundleError::BadSignature { .. }
            | BundleError::Digest { .. }
            | BundleError::Frame { .. }
            | BundleError::Header { .. }
            | BundleError::Padding { .. }
            | BundleError::TrailingBytes { .. }
            | BundleError::Truncated { .. } => {
                failure.hint("copy the file again from where it was built; of a bundle, `stap-bundle verify` says what is still good")
            }
            _ => failure,
        }
    }
}
