//! How much a configuration may hold.

/// How deep `${A:-${B:-…}}` may nest: a limit for the reader's stack, far above what people write.
pub(crate) const MAX_NESTING: usize = 16;

/// The longest value in bytes: the kernel's limit for one argument of a program
/// (`MAX_ARG_STRLEN`). Without it, `A=$A$A` on forty lines would need a terabyte.
pub(crate) const MAX_VALUE_LEN: usize = 128 * 1024;
