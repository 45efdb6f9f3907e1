//! The last look at a module before it is loaded: what its own `.modinfo` says.
//!
//! The digest already proves that these are the farm's bytes. This catches a farm that put a module of another name
//! or for another kernel in their place, before the kernel has to (threat F1).

use bundle_format::KernelRelease;
use kernel_module::Fields;
use script_config::ScriptName;

/// How a module differs from what the manifest says of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleMismatch {
    /// Not an ELF file, or one without `.modinfo`.
    #[error("it isn't a kernel module: {problem}")]
    NotAModule { problem: String },
    /// The kernel would call it otherwise.
    #[error("it calls itself {found}, expected {expected}")]
    Name { expected: ScriptName, found: String },
    /// It is for another kernel.
    #[error("its vermagic is `{found}`, expected `{expected}`")]
    Vermagic {
        /// By the manifest or, where that has none, the release of this kernel.
        expected: String,
        found: String,
    },
}

/// Compares what a module says of itself with what the manifest says. The manifest's vermagic may be absent; then the release
/// must be the first word. Returns what the module says.
pub(crate) fn check_module<'b>(
    bytes: &'b [u8],
    name: &ScriptName,
    release: &KernelRelease,
    vermagic: Option<&str>,
) -> Result<Fields<'b>, ModuleMismatch> {
    let fields =
        Fields::read(bytes).map_err(|error| ModuleMismatch::NotAModule { problem: error.to_string() })?;
    let found = fields.get("name").unwrap_or_default();
    if found != name.as_str() {
        return Err(ModuleMismatch::Name { expected: name.clone(), found: found.to_owned() });
    }
    let found = fields.vermagic().unwrap_or_default();
    let first = found.split(' ').next().unwrap_or_default();
    if first == release.as_str() && vermagic.is_none_or(|expected| expected.trim_end() == found) {
        return Ok(fields);
    }
    let expected = vermagic.map_or(release.as_str(), str::trim_end).to_owned();
    Err(ModuleMismatch::Vermagic { expected, found: found.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fixtures::module::tiny_module;

    const VERMAGIC: &str = "6.12.107+deb13-amd64 SMP preempt mod_unload modversions ";

    #[test]
    fn name_and_vermagic_must_be_those_of_the_manifest() {
        let module = tiny_module("net_drop", VERMAGIC);
        let name = "net_drop".parse().unwrap();
        let release: KernelRelease = "6.12.107+deb13-amd64".parse().unwrap();
        check_module(&module, &name, &release, Some(VERMAGIC)).unwrap();
        check_module(&module, &name, &release, None).unwrap();

        let error = check_module(&module, &"other".parse().unwrap(), &release, None).unwrap_err();
        assert_eq!(error.to_string(), "it calls itself net_drop, expected other");
        let error = check_module(&module, &name, &"6.12.108".parse().unwrap(), None).unwrap_err();
        assert!(error.to_string().ends_with("expected `6.12.108`"), "{error}");
        let error = check_module(&module, &name, &release, Some("6.12.107+deb13-amd64 SMP")).unwrap_err();
        assert!(matches!(error, ModuleMismatch::Vermagic { .. }));
    }

    #[test]
    fn bytes_that_are_no_module_are_named_so() {
        for bytes in
            [&b""[..], b"no elf at all, but long enough to look at", &[0x7f, b'E', b'L', b'F', 2, 1, 1]]
        {
            let checked = check_module(bytes, &"a".parse().unwrap(), &"6.12".parse().unwrap(), None);
            assert!(matches!(checked, Err(ModuleMismatch::NotAModule { .. })));
        }
    }
}
