//! What a kernel's configuration says of it.

use std::collections::BTreeSet;

/// Where a build tree has it.
pub(crate) const CONFIGURATION: &str = "include/config/auto.conf";

/// Whether a symbol is set to a value: `=y`, `=m` or another.
pub(crate) fn is_configured(config: &str, symbol: &str) -> bool {
    let value = |line: &str| line.strip_prefix("CONFIG_")?.strip_prefix(symbol)?.strip_prefix('=').map(drop);
    config.lines().any(|line| value(line).is_some())
}

/// Forced loading takes a module without versions, and taints the kernel.
pub(super) fn wants_symbol_versions(config: &str) -> bool {
    is_configured(config, "MODVERSIONS") && !is_configured(config, "MODULE_FORCE_LOAD")
}

/// What compiled the kernel, for trees without `compile.h`: they are made by `modules_prepare`. Without quotes since 5.18.
pub(super) fn compiler_of_config(config: &str) -> Option<String> {
    let text = config.lines().find_map(|line| line.strip_prefix("CONFIG_CC_VERSION_TEXT="))?;
    let text = text.trim_matches('"').trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The machine by configuration symbols, for trees without `compile.h`.
pub(super) fn machine_of_config(config: &str) -> Option<String> {
    let set: BTreeSet<&str> = config.lines().filter_map(|line| line.strip_suffix("=y")).collect();
    let machine = if set.contains("CONFIG_X86_64") {
        "x86_64"
    } else if set.contains("CONFIG_ARM64") {
        "aarch64"
    } else if set.contains("CONFIG_PPC64") {
        if set.contains("CONFIG_CPU_LITTLE_ENDIAN") { "ppc64le" } else { "ppc64" }
    } else if set.contains("CONFIG_S390") {
        "s390x"
    } else if set.contains("CONFIG_RISCV") && set.contains("CONFIG_64BIT") {
        "riscv64"
    } else {
        // Those are refused by name, as far as they have one here.
        let others = [
            ("CONFIG_X86_32", "i686"),
            ("CONFIG_ARM", "arm"),
            ("CONFIG_PPC32", "ppc"),
            ("CONFIG_MIPS", "mips"),
        ];
        return others
            .iter()
            .find(|(symbol, _)| set.contains(symbol))
            .map(|(_, machine)| (*machine).to_owned());
    };
    Some(machine.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_found_by_configuration_too() {
        assert_eq!(machine_of_config("CONFIG_64BIT=y\nCONFIG_X86_64=y\n").as_deref(), Some("x86_64"));
        assert_eq!(
            machine_of_config("CONFIG_PPC64=y\nCONFIG_CPU_LITTLE_ENDIAN=y\n").as_deref(),
            Some("ppc64le")
        );
        assert_eq!(machine_of_config("CONFIG_X86_64=m\n"), None);
    }

    #[test]
    fn the_kernels_compiler_is_found_with_and_without_quotes() {
        let gcc = "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0";
        for config in
            [format!("CONFIG_CC_VERSION_TEXT={gcc}\n"), format!("A=y\nCONFIG_CC_VERSION_TEXT=\"{gcc}\"\n")]
        {
            assert_eq!(compiler_of_config(&config).as_deref(), Some(gcc));
        }
        assert_eq!(compiler_of_config("CONFIG_CC_VERSION_TEXT=\"\"\n"), None);
    }

    #[test]
    fn a_kernel_without_forced_loading_wants_symbol_versions() {
        for (config, wanted) in [
            ("CONFIG_MODVERSIONS=y\n", true),
            ("CONFIG_MODVERSIONS=y\nCONFIG_MODULE_FORCE_LOAD=y\n", false),
            ("CONFIG_ASM_MODVERSIONS=y\n# CONFIG_MODVERSIONS is not set\n", false),
            ("", false),
        ] {
            assert_eq!(wants_symbol_versions(config), wanted, "{config}");
        }
    }
}
