//! What this kernel demands of a module before it takes it: lockdown, `module.sig_enforce`, Secure Boot,
//! `modules_disabled`. Each has its own way out, so each is told by its name.

use std::path::PathBuf;

use serde::Serialize;

use crate::host::Host;

/// The firmware's variable, in efivarfs: four bytes of attributes, then 1 if Secure Boot is on.
const SECURE_BOOT: &str = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// The rules of the running kernel, as far as its files tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ModuleRules {
    /// The lockdown mode, `integrity` or `confidentiality`; absent where there is none.
    pub lockdown: Option<String>,
    /// `module.sig_enforce`: unsigned modules are refused.
    pub sig_enforce: bool,
    /// The firmware verified what it booted; such a kernel takes signed modules only.
    pub secure_boot: bool,
    /// `kernel.modules_disabled`: no module at all is taken until the next boot.
    pub modules_disabled: bool,
}

impl ModuleRules {
    /// Reads `/sys` and `/proc/sys`. What can't be read isn't in force.
    #[must_use]
    pub fn read(host: &Host) -> Self {
        let text = |path: PathBuf| host.kernel_text(&path).unwrap_or_default();
        let lockdown = text(host.sys_dir.join("kernel/security/lockdown"));
        let mode = lockdown.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
        let secure_boot = host.files.read_file(host.sys_dir.join(SECURE_BOOT), 64).unwrap_or_default();
        Self {
            lockdown: mode.filter(|mode| *mode != "none").map(str::to_owned),
            sig_enforce: text(host.sys_dir.join("module/module/parameters/sig_enforce")).trim() == "Y",
            secure_boot: secure_boot.get(4) == Some(&1),
            modules_disabled: text(host.proc_dir.join("sys/kernel/modules_disabled")).trim() == "1",
        }
    }

    /// Whether modules without a signature that it can verify are refused.
    #[must_use]
    pub const fn enforces_signatures(&self) -> bool {
        self.sig_enforce || self.lockdown.is_some()
    }

    /// In words, the one that decides first; `None` if every module is taken.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        let mut rules = Vec::new();
        if self.secure_boot {
            rules.push("Secure Boot".to_owned());
        }
        if self.sig_enforce {
            rules.push("module.sig_enforce".to_owned());
        }
        rules.extend(self.lockdown.as_ref().map(|mode| format!("lockdown ({mode})")));
        match (self.modules_disabled, rules.is_empty()) {
            (true, _) => {
                Some("this kernel takes no more modules until the next boot (modules_disabled)".to_owned())
            }
            (false, true) => None,
            (false, false) => {
                Some(format!("this kernel takes only modules that it can verify: {}", rules.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn rules(files: &[(&str, &[u8])]) -> ModuleRules {
        let (dir, host) = Host::temporary();
        for (path, bytes) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        ModuleRules::read(&host)
    }

    #[test]
    fn each_rule_is_read_from_its_own_file() {
        assert_eq!(rules(&[]), ModuleRules::default());
        assert_eq!(rules(&[]).in_words(), None);
        let lockdown = "sys/kernel/security/lockdown";
        assert_eq!(rules(&[(lockdown, b"[none] integrity confidentiality\n")]), ModuleRules::default());
        let found = rules(&[(lockdown, b"none [integrity] confidentiality\n")]);
        assert_eq!(found.lockdown.as_deref(), Some("integrity"));
        let enforced = rules(&[("sys/module/module/parameters/sig_enforce", b"Y\n")]);
        assert!(enforced.sig_enforce && !enforced.secure_boot);
        assert_eq!(
            enforced.in_words().unwrap(),
            "this kernel takes only modules that it can verify: module.sig_enforce"
        );
        let variable = format!("sys/{SECURE_BOOT}");
        assert!(rules(&[(&variable, &[6, 0, 0, 0, 1])]).secure_boot);
        assert!(!rules(&[(&variable, &[6, 0, 0, 0, 0])]).secure_boot);
        let disabled = rules(&[("proc/sys/kernel/modules_disabled", b"1\n")]);
        assert!(disabled.in_words().unwrap().contains("no more modules"));
    }
}
