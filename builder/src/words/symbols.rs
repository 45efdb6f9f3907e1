//! What makes a module large: the symbols and unwind tables that stap puts into it.

use object::{Object as _, ObjectSymbol as _};

/// Options that have stap take them of more than the kernel, each with the number of words that it has.
const OPTIONS: [(&str, bool); 3] = [("--all-modules", false), ("--ldd", false), ("-d", true)];

/// What a large module of a script with these options carries.
///
/// Symbols and unwind tables of the kernel are there for backtraces and for names of functions (`print_backtrace`, `symname`), where there is
/// debuginfo; the options add what they name. Measured: 17 MB of a module of 18 MB, and 43 of one of 44 with `--all-modules`.
pub(crate) fn symbols_of(module: &[u8], options: &[String]) -> String {
    if bytes_of_tables(module) < module.len() as u64 / 2 {
        return "code and data of its own: fewer or narrower probes make it smaller".to_owned();
    }
    let mut named = Vec::new();
    let mut words = options.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let known = OPTIONS.iter().find(|(option, takes_word)| {
            word == *option || (*takes_word && word.len() > option.len() && word.starts_with(option))
        });
        match known {
            Some((option, true)) if word == *option => {
                named.push(words.next().map_or(word.to_owned(), |of| format!("{word} {of}")));
            }
            Some(_) => named.push(word.to_owned()),
            None => {}
        }
    }
    named.dedup();
    let of_options = match &named[..] {
        [] => String::new(),
        named => format!(", and of what {} names", named.join(" ")),
    };
    format!(
        "symbols and unwind tables of the kernel, which its backtraces and names of functions need{of_options}"
    )
}

/// Bytes of the objects `_stp_module_N_…`, in which stap puts those tables.
fn bytes_of_tables(module: &[u8]) -> u64 {
    let Ok(module) = object::File::parse(module) else { return 0 };
    let of_tables =
        |symbol: &object::Symbol<'_, '_>| symbol.name().is_ok_and(|name| name.starts_with("_stp_module_"));
    module.symbols().filter(of_tables).map(|symbol| symbol.size()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(module: &[u8], options: &[&str]) -> String {
        symbols_of(module, &options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_that_add_symbols_are_named_and_no_others() {
        let of_kernel = said(&[], &["-g", "-DMAXACTION=1"]);
        assert!(of_kernel.ends_with("names of functions need"), "{of_kernel}");
        assert_eq!(said(&[], &["--all-modules"]), format!("{of_kernel}, and of what --all-modules names"));
        let both = said(&[], &["-g", "-d", "/usr/bin/x", "-d/usr/bin/y", "--ldd"]);
        assert_eq!(both, format!("{of_kernel}, and of what -d /usr/bin/x -d/usr/bin/y --ldd names"));
    }

    #[test]
    fn a_module_without_such_tables_is_large_by_itself() {
        assert!(said(b"no module at all", &["--all-modules"]).starts_with("code and data of its own"));
    }
}
