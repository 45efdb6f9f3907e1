//! What compiled a module, by the words that compilers leave in its section `.comment`.

use crate::section::{ReadError, Sections};

/// More than any compiler says of itself.
const LONGEST: usize = 200;

/// More than one module's objects are made by.
const MOST: usize = 8;

/// The compilers of a module's objects, each once, sorted: `gcc (Debian 14.4.0-3) 14.4.0`. None if the module names none. Linkers, and what
/// no compiler writes, are passed over.
pub fn compilers(module: &[u8]) -> Result<Vec<String>, ReadError> {
    let section = Sections::of(module)?.find(".comment")?.unwrap_or_default();
    let mut found: Vec<String> = section.split(|byte| *byte == 0).filter_map(compiler).collect();
    found.sort();
    found.dedup();
    found.truncate(MOST);
    Ok(found)
}

/// Whether this is what a compiler whose `--version` says `line` leaves in modules: both end in the same words. A gcc to which nobody gave
/// a name calls itself GCC there and GNU in modules.
#[must_use]
pub fn is_of(compiler: &str, line: &str) -> bool {
    let words = compiler.strip_prefix("gcc ").unwrap_or(compiler);
    let unnamed = words.strip_prefix("(GNU) ").map(|version| format!(" (GCC) {version}"));
    let ends_so = |end: &str| line.ends_with(end);
    line == words || ends_so(&format!(" {words}")) || unnamed.is_some_and(|end| ends_so(&end))
}

fn compiler(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let is_shown = text.len() <= LONGEST && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let gcc = text.strip_prefix("GCC: ").filter(|words| !words.is_empty());
    let name = gcc.map(|words| format!("gcc {words}"));
    name.or_else(|| text.contains("clang version ").then(|| text.to_owned())).filter(|_| is_shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fixtures::module::{module_with, tiny_module};

    fn of_section(comment: &[u8]) -> Vec<String> {
        compilers(&module_with(&[(".comment", comment)])).unwrap()
    }

    #[test]
    fn the_section_names_each_compiler_once() {
        let gcc = b"\0GCC: (Debian 14.4.0-3) 14.4.0\0GCC: (Debian 14.4.0-3) 14.4.0\0";
        assert_eq!(of_section(gcc), ["gcc (Debian 14.4.0-3) 14.4.0"]);
        let clang = b"Linker: Debian LLD 19.1.7\0Debian clang version 19.1.7 (3)\0GCC: (GNU) 4.3.2\0";
        assert_eq!(of_section(clang), ["Debian clang version 19.1.7 (3)", "gcc (GNU) 4.3.2"]);
        assert!(compilers(&tiny_module("a", "b")).unwrap().is_empty());
        compilers(b"no module").unwrap_err();
    }

    #[test]
    fn what_could_not_be_shown_or_is_no_compiler_is_passed_over() {
        assert!(of_section(b"GCC: \x1b[2J\0GCC: \0made by hand\0GCC: \xff\0").is_empty());
        assert!(of_section(format!("GCC: {}\0", "x".repeat(LONGEST)).as_bytes()).is_empty());
        let many: Vec<String> = (0..MOST * 3).map(|number| format!("GCC: (GNU) {number}.0")).collect();
        assert_eq!(of_section(many.join("\0").as_bytes()).len(), MOST);
    }

    #[test]
    fn the_words_of_version_and_section_are_compared_whole() {
        let debian = "gcc (Debian 14.4.0-3) 14.4.0";
        assert!(is_of(debian, "gcc-14 (Debian 14.4.0-3) 14.4.0"));
        assert!(is_of(debian, "x86_64-linux-gnu-gcc-14 (Debian 14.4.0-3) 14.4.0"));
        assert!(!is_of(debian, "gcc (Debian 16.2.0-3) 16.2.0"));
        assert!(!is_of("gcc 4.3.2", "gcc (GNU) 14.3.2"));
        let fedora = "gcc (GNU) 14.2.1 20240912 (Red Hat 14.2.1-3)";
        assert!(is_of(fedora, "gcc (GCC) 14.2.1 20240912 (Red Hat 14.2.1-3)"));
        let clang = "Debian clang version 19.1.7 (3)";
        assert!(is_of(clang, clang));
    }
}
