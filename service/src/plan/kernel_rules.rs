//! Whether the kernel would take a module by its signature, before it is asked.

use installer::ModuleSigner;

use crate::kernel::ModuleRules;
use crate::offers::Signature;
use crate::reasons::{Reason, StartRefusal};

/// Why a kernel with these rules wouldn't take the modules of a bundle that these have signed; `None` if it would, or has to be asked.
#[must_use]
pub fn would_refuse(rules: &ModuleRules, signers: &[ModuleSigner]) -> Option<Reason> {
    let signature = if signers.is_empty() {
        Signature::None
    } else {
        let known: Option<Vec<bool>> = signers.iter().map(|signer| signer.has_key).collect();
        let has_key = known.map(|known| known.contains(&true));
        Signature::By { signers: signers.iter().map(|signer| signer.name.clone()).collect(), has_key }
    };
    refusal(rules, &signature).map(|refusal| Reason::from(&refusal))
}

/// Why the kernel wouldn't take a module with this signature. Where its keys aren't known it is asked.
pub(super) fn refusal(rules: &ModuleRules, signature: &Signature) -> Option<StartRefusal> {
    let rule = rules.in_words()?;
    if rules.modules_disabled {
        return Some(StartRefusal::ModulesDisabled);
    }
    if !rules.enforces_signatures() {
        return None;
    }
    match signature {
        Signature::None => Some(StartRefusal::Unsigned { rule }),
        Signature::By { signers, has_key: Some(false) } => {
            Some(StartRefusal::NoKernelKey { rule, signers: signers.clone() })
        }
        Signature::By { .. } | Signature::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_that_enforces_refuses_and_only_what_is_known_to_lack_a_key() {
        let by = |has_key| Signature::By { signers: vec!["farm (ab)".to_owned()], has_key };
        let secure_boot = ModuleRules { secure_boot: true, ..ModuleRules::default() };
        let enforcing = ModuleRules { sig_enforce: true, ..secure_boot.clone() };
        let locked = ModuleRules { lockdown: Some("integrity".to_owned()), ..ModuleRules::default() };
        for signature in [Signature::None, Signature::Unknown, by(Some(false)), by(None), by(Some(true))] {
            assert_eq!(refusal(&ModuleRules::default(), &signature), None);
            assert_eq!(refusal(&secure_boot, &signature), None);
        }
        for rules in [&enforcing, &locked] {
            assert!(matches!(refusal(rules, &Signature::None), Some(StartRefusal::Unsigned { .. })));
            assert!(matches!(refusal(rules, &by(Some(false))), Some(StartRefusal::NoKernelKey { .. })));
            for taken in [by(Some(true)), by(None), Signature::Unknown] {
                assert_eq!(refusal(rules, &taken), None);
            }
        }
        let disabled = ModuleRules { modules_disabled: true, ..ModuleRules::default() };
        assert_eq!(refusal(&disabled, &by(Some(true))), Some(StartRefusal::ModulesDisabled));
    }
}
