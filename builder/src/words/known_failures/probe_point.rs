//! Probe points and what they read, which stap doesn't find.

use super::{Ends, KnownFailure, TRACEPOINT, seen};

pub(super) const ROWS: [KnownFailure; 17] = [
    KnownFailure {
        class: TRACEPOINT,
        shown: |failure| Some(vec![failure.unmatched("kernel")?.argument("trace")?]),
        cause: "no trace header of this kernel's build tree has the tracepoint {}",
        next: "make the probe optional (`?`) or leave the script out; a tracepoint of a module may have its header in the kernel's full \
               source alone (-r PATH)",
        ends: Ends::WithTheKey,
    },
    KnownFailure {
        class: "kernel-debuginfo",
        shown: |failure| {
            failure.unmatched("kernel")?;
            seen(failure.lacks_debuginfo_of("kernel"))
        },
        cause: NEEDS_DEBUGINFO,
        next: INSTALL_DEBUGINFO,
        ends: Ends::WithDebuginfo,
    },
    KnownFailure {
        class: "kernel-debuginfo",
        shown: |failure| {
            let words = [
                "kernel/module debuginfo",
                "Missing separate debuginfo",
                "scope not found for module 'kernel'",
            ];
            seen(words.iter().any(|words| failure.says(words)))
        },
        cause: NEEDS_DEBUGINFO,
        next: INSTALL_DEBUGINFO,
        ends: Ends::WithDebuginfo,
    },
    KnownFailure {
        class: "tapset-probe",
        shown: |failure| {
            let alias = failure.unmatched_alias()?;
            failure.lacks_debuginfo_of("kernel").then(|| vec![alias.to_owned()])
        },
        cause: "the tapset's probe {} is made of functions of the kernel or its modules, which need their debuginfo",
        next: INSTALL_DEBUGINFO,
        ends: Ends::WithDebuginfo,
    },
    KnownFailure {
        class: "kernel-debuginfo",
        shown: |failure| {
            let of_kernel = failure.says("not found in 'kernel':") && failure.says("type definition");
            seen(of_kernel && failure.lacks_debuginfo_of("kernel"))
        },
        cause: "it asks for a type of the kernel, which needs the kernel's debuginfo",
        next: "install that in the sysroot, or name the header (\"kernel<linux/sched.h>\")",
        ends: Ends::WithDebuginfo,
    },
    KnownFailure {
        class: "kernel-debuginfo",
        shown: |failure| seen(failure.says("unresolved @var() expression")),
        cause: "it reads a variable of the kernel or a program, which needs debuginfo of what has it",
        next: "install that in the sysroot, or guard it with @defined",
        ends: Ends::AtAnyTime,
    },
    KnownFailure {
        class: "syscall-variables",
        shown: |failure| {
            let of_syscalls = failure.says("unable to find tracepoint variable")
                && ["$id", "$regs"].iter().all(|name| failure.says(name));
            seen(of_syscalls || failure.is_about("probe tp_syscall."))
        },
        cause: "this systemtap makes tracepoints of syscall.* and nd_syscall.*, which have no such variable and no @entry",
        next: "use the tapset's own variables (argstr and its like), or probe the kernel's function",
        ends: Ends::WithDebuginfo,
    },
    KnownFailure {
        class: "symbol-table",
        shown: |failure| {
            failure.unmatched("kprobe")?;
            failure.lacks_symbols().then(|| vec![failure.circumstances.release.to_owned()])
        },
        cause: "kprobe.function needs the kernel's symbol table, and the sysroot has none",
        next: "copy the kernel's System.map to /boot/System.map-{} there, or probe what needs none (kernel.trace, timer)",
        ends: Ends::WithDebuginfo,
    },
    KnownFailure {
        class: "kernel-function",
        shown: |failure| Some(vec![failure.unmatched("kprobe")?.argument("function")?]),
        cause: "this kernel's symbol table has no function {}",
        next: "make the probe optional (`?`), or leave the script out for it",
        ends: Ends::WithDebuginfo,
    },
    KnownFailure {
        class: "kernel-function",
        shown: |failure| Some(vec![failure.unmatched("kernel")?.argument("function")?]),
        cause: "this kernel has no function {} that can be probed",
        next: "make the probe optional (`?`), or leave the script out for it",
        ends: Ends::WithDebuginfo,
    },
    KnownFailure {
        class: "program-debuginfo",
        shown: |failure| {
            let (_, rest) = failure.error.said.line.split_once("debuginfo scope not found for module '")?;
            let (module, _) = rest.split_once('\'')?;
            module.starts_with('/').then(|| vec![module.to_owned()])
        },
        cause: "it reads a variable of {}, which needs that program's debuginfo",
        next: "install that in the sysroot, or guard it with @defined",
        ends: Ends::AtAnyTime,
    },
    KnownFailure {
        class: "program-debuginfo",
        shown: |failure| {
            let (_, rest) = failure.error.said.line.split_once("type definition '")?;
            let (_, rest) = rest.split_once("' not found in '")?;
            let (program, _) = rest.split_once('\'')?;
            (program.starts_with('/') && failure.lacks_debuginfo_of(program))
                .then(|| vec![program.to_owned()])
        },
        cause: "it asks for a type of {}, which needs that program's debuginfo",
        next: "install that in the sysroot, or guard it with @defined",
        ends: Ends::AtAnyTime,
    },
    KnownFailure {
        class: "module-debuginfo",
        shown: |failure| {
            let (_, rest) = failure.error.said.line.split_once("debuginfo scope not found for module '")?;
            let (module, _) = rest.split_once('\'')?;
            (!module.starts_with('/')).then(|| vec![module.to_owned()])
        },
        cause: "it reads a variable of the kernel's module {}, which needs that module's debuginfo",
        next: INSTALL_DEBUGINFO,
        ends: Ends::WithDebuginfo,
    },
    KnownFailure {
        class: "module-file",
        shown: |failure| Some(vec![failure.unmatched("module")?.argument("module")?]),
        cause: "the sysroot has no file of the kernel's module {}, or that has no such function",
        next: "install the kernel's own modules (/lib/modules/REL/kernel) and their debuginfo there, or make the probe optional (`?`)",
        ends: Ends::WithDebuginfo,
    },
    KnownFailure {
        class: "program-file",
        shown: |failure| Some(vec![failure.missing_program()?]),
        cause: "the sysroot has no program {}",
        next: "install it there as hosts have it, or make the probe optional (`?`)",
        ends: Ends::AtAnyTime,
    },
    KnownFailure {
        class: "program-function",
        shown: |failure| Some(vec![failure.unmatched("process")?.argument("process")?]),
        cause: "{} has no such function, mark or library as far as stap can see in the sysroot",
        next: "install the program there as hosts have it, with its debuginfo, or make the probe optional (`?`)",
        ends: Ends::AtAnyTime,
    },
    KnownFailure {
        class: "member",
        shown: |failure| {
            let words =
                ["unable to find member", "unable to find local", "unable to find tracepoint variable"];
            seen(words.iter().any(|words| failure.says(words)))
        },
        cause: "what the script reads isn't there in this kernel",
        next: "guard it with @defined, or leave the script out for it",
        ends: Ends::WithDebuginfo,
    },
];

const NEEDS_DEBUGINFO: &str = "it needs the kernel's debuginfo";

const INSTALL_DEBUGINFO: &str = "take it into the kernel store or install it in the sysroot, or probe what needs none (kernel.trace, timer)";
