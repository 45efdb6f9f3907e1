//! What the kernel demands of modules, and whether it has the keys by which they are signed.

use bundle_format::{BundleName, Digest};
use installer::Certificate;
use kernel_module::KeyCertificate;

use crate::doctor::{Examined, Finding, Level};
use crate::kernel::{EnrolledKeys, ModuleRules};

impl Examined<'_> {
    pub(super) fn kernel(&self) -> Vec<Finding> {
        let rules = &self.status.module_rules;
        let mut findings = Vec::new();
        let modules = self.host.sys_dir.join("module");
        if self.host.files.open_dir(&modules).is_err() {
            let text =
                format!("it isn't known which modules the kernel takes: {} can't be read", modules.display());
            return vec![Finding::new("module-signatures", Level::Unknown, text)];
        }
        if rules.modules_disabled {
            let text = "kernel.modules_disabled is set: no more modules in this boot";
            let advice = "nothing but another boot takes that back; start before whatever sets it";
            findings.push(Finding::new("modules-disabled", Level::Problem, text).advice(advice));
        }
        let lockdown = self.host.sys_dir.join("kernel/security/lockdown");
        findings.push(signatures(
            &ModuleRules { modules_disabled: false, ..rules.clone() },
            self.host.kernel_text(&lockdown).is_ok(),
        ));
        if let Some(by_file) = self.wants_a_file() {
            let text = format!("{by_file} takes modules by their files only, and staprun hands over bytes");
            let advice = "exempt it from that rule; a kernel signature doesn't help";
            findings.push(Finding::new("modules-by-file", Level::Problem, text).advice(advice));
        }
        findings
    }

    /// The rule that looks at a module's file: `staprun` hands over bytes (`init_module`, not `finit_module`).
    fn wants_a_file(&self) -> Option<&'static str> {
        let text = |path: &str| self.host.kernel_text(&self.host.sys_dir.join(path)).unwrap_or_default();
        let is_on = |path: &str| self.host.kernel_text(&self.host.proc_dir.join(path)).unwrap_or_default();
        let loadpin = text("kernel/security/lsm").split(',').any(|name| name.trim() == "loadpin");
        if loadpin && is_on("sys/kernel/loadpin/enforce").trim() != "0" {
            return Some("LoadPin");
        }
        let appraises = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&"appraise") && words.contains(&"func=MODULE_CHECK")
        };
        text("kernel/security/ima/policy").lines().any(appraises).then_some("IMA appraisal")
    }

    /// Each bundle's certificates, and where their keys are. Of several one is enough, for a module is loaded by its signature.
    pub(super) fn module_keys(&self) -> Vec<Finding> {
        let enforces = self.status.module_rules.enforces_signatures();
        let bundles = self.current.map(installer::CurrentGeneration::bundles).unwrap_or_default();
        let enrolled = EnrolledKeys::read(self.host);
        let mut findings: Vec<Finding> = Vec::new();
        for bundle in bundles {
            let signers: Vec<Digest> = bundle.manifest.module_certificates().collect();
            if signers.is_empty() && enforces {
                let text =
                    format!("the modules of bundle {} would be rejected: they aren't signed", bundle.name);
                let advice = "on the farm, stap-bundle sign-modules signs them; install that bundle";
                findings.push(Finding::new("modules-unsigned", Level::Problem, text).advice(advice));
            }
            if self.keys.unread().contains(&bundle.name) {
                let text = format!(
                    "who has signed the modules of bundle {} isn't known: its kept file is damaged",
                    bundle.name
                );
                findings.push(
                    Finding::new("module-key", Level::Unknown, text)
                        .advice("stap-bundle fsck says what is wrong"),
                );
            }
            let loads = signers.iter().any(|id| self.keys.is_known(id) == Some(true));
            for id in &signers {
                let found = self
                    .keys
                    .certificate(id)
                    .map(|it| self.key(id, it, &bundle.name, &enrolled, enforces && !loads));
                findings.extend(found.filter(|found| !findings.contains(found)));
            }
        }
        findings
    }

    /// Where the key of one certificate is; `is_needed` if the modules can't be loaded without it.
    fn key(
        &self,
        id: &Digest,
        certificate: &Certificate,
        bundle: &BundleName,
        enrolled: &EnrolledKeys,
        is_needed: bool,
    ) -> Finding {
        let name = self.keys.name(id);
        let finding = |level, text: String| Finding::new("module-key", level, text);
        let Some(facts) = &certificate.facts else {
            return finding(Level::Unknown, format!("{name} can't be read"));
        };
        let is_it = |other: &KeyCertificate| {
            other.key_id == facts.key_id || Some(&other.key_id) == facts.issuer_key_id.as_ref()
        };
        let among = |keys: &Option<Vec<_>>| keys.as_ref().is_some_and(|keys| keys.iter().any(is_it));
        let level = if is_needed { Level::Problem } else { Level::Note };
        match self.keys.is_known(id) {
            Some(true) => finding(Level::Good, format!("the kernel has the key of {name}")),
            None => {
                let text = format!(
                    "it isn't known whether the kernel has the key of {name}: /proc/keys shows none of its keys"
                );
                finding(Level::Unknown, text)
            }
            Some(false) if among(&enrolled.waiting) => finding(
                level,
                format!("the key of {name} waits to be enrolled; until then the kernel doesn't have it"),
            )
            .advice("reboot, and confirm it at the console (MokManager)"),
            Some(false) if among(&enrolled.enrolled) => {
                let advice = "reboot; if that doesn't help, this kernel takes keys of CAs only (key generate --module --ca), or machine \
                              owners' keys aren't trusted (mokutil --trust-mok)";
                finding(level, format!("the key of {name} is enrolled, but this kernel doesn't have it"))
                    .advice(advice)
            }
            Some(false) if is_needed => finding(
                level,
                format!("modules signed by {name} would be rejected: the kernel has no such key"),
            )
            .advice(enrolment(id, facts, bundle)),
            Some(false) => {
                let text =
                    format!("the kernel doesn't have the key of {name}; it takes the modules without it");
                finding(level, text)
            }
        }
    }
}

/// How the key gets into the kernel. A certificate that a CA has issued travels with the modules; the CA's doesn't.
fn enrolment(id: &Digest, facts: &KeyCertificate, bundle: &BundleName) -> String {
    let issuer = facts.issuer_key_id.as_ref().filter(|issuer| **issuer != facts.key_id);
    if let Some(issuer) = issuer {
        return format!(
            "enrol the certificate of its CA (key id {issuer}), which the farm has: mokutil --import CA.der, then reboot and confirm it \
             at the console"
        );
    }
    let file = bundle_format::module_certificate_name(id);
    format!(
        "enrol it: stap-bundle extract /var/lib/stap-bundle/current/bundles/{bundle}/bundle.stapb . --extra {file} && mokutil --import \
         {file}, then reboot and confirm it at the console"
    )
}

fn signatures(rules: &ModuleRules, is_lockdown_known: bool) -> Finding {
    let finding = |level, text: String| Finding::new("module-signatures", level, text);
    match rules.in_words() {
        Some(words) if rules.enforces_signatures() => finding(Level::Note, words),
        _ if rules.secure_boot && !is_lockdown_known => {
            let text = "Secure Boot is on, and it isn't known whether the kernel takes unsigned modules: \
                        /sys/kernel/security/lockdown can't be read";
            finding(Level::Unknown, text.to_owned())
        }
        _ => {
            let secure_boot =
                if rules.secure_boot { "Secure Boot is on" } else { "Secure Boot is off, or there is none" };
            finding(Level::Good, format!("{secure_boot}; the kernel takes unsigned modules"))
        }
    }
}
