//! Whether two compilers are alike, by what they say of themselves.

/// Between the compilers of a kernel's modules, where there are several.
pub const COMPILER_DIVIDER: &str = "; ";

/// In what the compiler that built a kernel differs from one of its modules, if it does: in kind or series.
#[must_use]
pub fn compiler_difference(kernel: &str, modules: &str) -> Option<String> {
    let kernel = identity(kernel)?;
    let modules = identity(modules)?;
    if kernel.0 == modules.0 && series(&kernel.1) == series(&modules.1) {
        return None;
    }
    Some(format!("built with {} {}, its modules with {} {}", kernel.0, kernel.1, modules.0, modules.1))
}

/// The series of the gcc that a line such as `x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0` speaks of, as its program is called:
/// `14`, and before 5 `4.8`.
#[must_use]
pub fn gcc_series(line: &str) -> Option<String> {
    let (kind, version) = identity(line)?;
    (kind == "gcc").then(|| series(&version))
}

/// What makes two versions alike: the first number, before 5 the second one too.
fn series(version: &str) -> String {
    let mut numbers = version.split('.');
    match (numbers.next().unwrap_or_default(), numbers.next()) {
        (first @ ("2" | "3" | "4"), Some(second)) => format!("{first}.{second}"),
        (first, _) => first.to_owned(),
    }
}

/// Kind and version in a line such as `x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld …`.
fn identity(line: &str) -> Option<(&'static str, String)> {
    let compiler = line.split(',').next()?;
    let kind = if compiler.contains("clang") { "clang" } else { "gcc" };
    let mut depth = 0_u32;
    let outside: String = compiler
        .chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect();
    let is_version = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    let version = outside.split_ascii_whitespace().find(is_version)?;
    Some((kind, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_series_or_kind_is_a_difference() {
        let gcc14 =
            "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld (GNU Binutils for Debian) 2.44";
        assert_eq!(compiler_difference(gcc14, "gcc-14 (Debian 14.3.0-1) 14.3.0"), None);
        assert_eq!(
            compiler_difference(gcc14, "gcc (Debian 16.2.0-3) 16.2.0").unwrap(),
            "built with gcc 14.2.0, its modules with gcc 16.2.0"
        );
        assert_eq!(
            compiler_difference("gcc version 4.3.2 (Debian 4.3.2-1.1)", "Debian clang version 14.0.6")
                .unwrap(),
            "built with gcc 4.3.2, its modules with clang 14.0.6"
        );
        assert_eq!(compiler_difference("something", gcc14), None);
        assert!(compiler_difference("gcc (GCC) 4.8.5", "gcc (GCC) 4.4.7").is_some());
        assert_eq!(gcc_series(gcc14).as_deref(), Some("14"));
        assert_eq!(gcc_series("gcc (GCC) 4.8.5 20150623").as_deref(), Some("4.8"));
        assert_eq!(gcc_series("Debian clang version 19.1.7 (3)"), None);
    }
}
