//! What the compiler says of C code: of systemtap's runtime, of options that become macros, of the script and its tapsets.

use super::super::failure::Failure;
use super::kernel_tree::NEEDED;
use super::{Details, Ends, KnownFailure, seen};

pub(super) const ROWS: [KnownFailure; 8] = [
    KnownFailure {
        class: "tracepoint-check",
        // By systemtap 5.6 with kernels of arm64 from 6.16 on.
        shown: |failure| {
            let (_, rest) = failure.error.said.line.split_once("function 'check_trace_callback_type_")?;
            let name = rest.split_once("_tp'")?.0;
            failure.error.said.line.contains("implicit declaration").then(|| vec![name.to_owned(); 3])
        },
        cause: "this systemtap asks for a check of the tracepoint {} that this kernel hasn't got",
        next: "add `-D check_trace_callback_type_{}_tp=check_trace_callback_type_{}` to the script's options",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "frame-size",
        shown: longest_string,
        cause: "{} makes stack frames that are larger than the {} bytes which this kernel's compiler options allow",
        next: "{} is the most that works",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "frame-size",
        shown: |failure| seen(too_large_frames(failure).next().is_some()),
        cause: "it makes stack frames that are larger than this kernel's compiler options allow",
        next: "use shorter strings (-DMAXSTRINGLEN=N), or fewer at once",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "option-value",
        shown: |failure| {
            let expanded = |name: &str| failure.log.contains(&format!("in expansion of macro '{name}'"));
            let bad = failure.macros().find(|(name, value)| value.parse::<i64>().is_err() && expanded(name));
            bad.map(|(name, value)| vec![format!("-D{name}={value}")])
        },
        cause: "the option {} makes code that doesn't compile",
        next: "give it a whole number",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "this-arrow",
        shown: |failure| {
            let first = failure.error.said.code?;
            seen(first.contains("THIS->") && failure.is_in_made_code())
        },
        cause: "its C code uses THIS->, which stap gives to scripts for systemtap 1.7 and older only",
        next: "add --compatible=1.7 to the script's options, or write STAP_ARG_NAME and STAP_RETVALUE",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "embedded-header",
        shown: |failure| {
            let (_, rest) = failure.error.said.line.split_once("fatal error: ")?;
            let header = rest.strip_suffix(": No such file or directory")?;
            failure.is_in_made_code().then(|| vec![header.to_owned()])
        },
        cause: "its C code includes {}, which this kernel's build tree lacks",
        next: "correct the script or tapset for this kernel, or leave the script out for it",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "embedded-c",
        shown: |failure| {
            let function = function_of(failure.line_before_error()?)?;
            failure.is_in_made_code().then(|| vec![function.to_owned()])
        },
        cause: "the C code of its function {} doesn't compile for this kernel",
        next: "correct it where it is defined, in the script or a tapset",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "runtime",
        shown: |failure| {
            let place = failure.error.said.line.split(" error: ").next()?;
            let is_configured = |symbol: &str| failure.circumstances.surroundings?.is_configured(symbol);
            let is_usual = NEEDED.iter().all(|symbol| is_configured(symbol) == Some(true));
            let is_own =
                place.contains("/systemtap/runtime/") && failure.macros().next().is_none() && is_usual;
            // Where a macro is expanded, the place is the macro's, and the fault may be anyone's.
            seen(is_own && !failure.log.contains("in expansion of macro"))
        },
        cause: "systemtap's own runtime doesn't compile for this kernel",
        next: "build with a newer systemtap",
        ends: Ends::WithTheKey,
    },
];

/// Bytes of a frame that is too large, and how many are allowed.
fn too_large_frames(failure: &Failure<'_>) -> impl Iterator<Item = (u64, u64)> {
    failure.log.lines().filter_map(|line| {
        let (_, rest) = line.split_once("error: the frame size of ")?;
        let (size, rest) = rest.split_once(" bytes is larger than ")?;
        Some((size.parse().ok()?, rest.split_once(" bytes")?.0.parse().ok()?))
    })
}

/// The option that makes strings long, what is allowed, and the longest strings that fit into every frame that was too large.
fn longest_string(failure: &Failure<'_>) -> Option<Details> {
    const OPTION: &str = "MAXSTRINGLEN";
    /// Frames are aligned to this many bytes.
    const ALIGNMENT: u64 = 8;
    let (_, given) = failure.macros().find(|(name, _)| *name == OPTION)?;
    let length: u64 = given.parse().ok().filter(|length| *length > 0)?;
    let room = |(size, allowed): (u64, u64)| {
        let strings = (size / length).max(1);
        Some(allowed.checked_sub(size.checked_sub(strings * length)?)? / strings / ALIGNMENT * ALIGNMENT)
    };
    let allowed = too_large_frames(failure).map(|(_, allowed)| allowed).min()?;
    let most = too_large_frames(failure).map(room).collect::<Option<Vec<u64>>>()?.into_iter().min()?;
    let option = |length: u64| format!("-D{OPTION}={length}");
    Some(vec![option(length), allowed.to_string(), option(most)])
}

/// The function of a script or a tapset whose C code the compiler was in: `In function 'function___global_NAME__overload_0':`.
fn function_of(line: &str) -> Option<&str> {
    let (_, name) = line.split_once("In function 'function_")?;
    let (name, _) = name.rsplit_once("__overload_")?;
    name.strip_prefix("__global_").or_else(|| Some(name.rsplit_once("_stp_")?.1.trim_start_matches('_')))
}
