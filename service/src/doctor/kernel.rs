//! What the kernel demands of modules, and whether it has the keys by which they are signed.

use bundle_format::{BundleName, Digest};
use installer::Certificate;

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
        findings.push(signatures(rules));
        if let Some(by_file) = self.wants_a_file() {
            let text = format!("{by_file} takes modules by their files only, and staprun hands over bytes");
            let advice = "exempt it from that rule; a kernel signature doesn't help";
            findings.push(Finding::new("modules-by-file", Level::Problem, text).advice(advice));
        }
        findings
    }

    /// The rule that looks at a module's file, of which `staprun` gives the kernel none (`init_module`, not `finit_module`).
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

    /// Each certificate by which modules of an installed bundle are signed, and where its key is.
    pub(super) fn module_keys(&self) -> Vec<Finding> {
        let enforces = self.status.module_rules.enforces_signatures();
        let bundles = self.current.map(installer::CurrentGeneration::bundles).unwrap_or_default();
        let mut findings = Vec::new();
        let enrolled = EnrolledKeys::read(self.host);
        for (id, certificate) in self.keys.certificates() {
            findings.push(self.key(id, certificate, &enrolled, enforces));
        }
        for bundle in bundles {
            let is_signed = bundle.manifest.extras.iter().any(bundle_format::Extra::is_module_certificate);
            if enforces && !is_signed {
                let text =
                    format!("the modules of bundle {} would be rejected: they aren't signed", bundle.name);
                let advice = "on the farm, stap-bundle sign-modules signs them; install that bundle";
                findings.push(Finding::new("modules-unsigned", Level::Problem, text).advice(advice));
            }
        }
        findings
    }

    fn key(
        &self,
        id: &Digest,
        certificate: &Certificate,
        enrolled: &EnrolledKeys,
        enforces: bool,
    ) -> Finding {
        let name = self.keys.name(id);
        let Some(facts) = &certificate.facts else {
            return Finding::new("module-key", Level::Unknown, format!("{name} can't be read"));
        };
        let is_it = |other: &kernel_module::KeyCertificate| {
            other.key_id == facts.key_id || Some(&other.key_id) == facts.issuer_key_id.as_ref()
        };
        let among = |keys: &Option<Vec<_>>| keys.as_ref().is_some_and(|keys| keys.iter().any(is_it));
        let finding = |level, text: String| Finding::new("module-key", level, text);
        match self.keys.is_known(id) {
            Some(true) => finding(Level::Good, format!("the kernel has the key of {name}")),
            None => finding(
                Level::Unknown,
                format!("it isn't known whether the kernel has the key of {name}: /proc/keys can't be read"),
            ),
            Some(false) if among(&enrolled.enrolled) => {
                let text = format!("{name} is enrolled, and valid from the next boot");
                finding(Level::Warning, text).advice("reboot")
            }
            Some(false) if among(&enrolled.waiting) => {
                let text = format!("{name} waits to be enrolled");
                finding(Level::Warning, text).advice("reboot, and confirm it at the console (MokManager)")
            }
            Some(false) => {
                let advice = self.enrolment(id);
                if enforces {
                    let text =
                        format!("modules signed by {name} would be rejected: the kernel has no such key");
                    finding(Level::Problem, text).advice(advice)
                } else {
                    let text =
                        format!("the kernel doesn't have the key of {name}; it takes unsigned modules, too");
                    finding(Level::Note, text)
                }
            }
        }
    }

    /// How the key gets into the kernel.
    fn enrolment(&self, id: &Digest) -> String {
        let file = bundle_format::module_certificate_name(id);
        let bundle = self.bundle_with(&file).map_or_else(|| "NAME".to_owned(), ToString::to_string);
        format!(
            "enrol it: tar -xf /var/lib/stap-bundle/current/bundles/{bundle}/bundle.stapb {file} && mokutil --import {file}, \
             then reboot and confirm it at the console"
        )
    }

    fn bundle_with(&self, certificate: &str) -> Option<&BundleName> {
        let mut bundles = self.current?.bundles().iter();
        let found =
            bundles.find(|bundle| bundle.manifest.extras.iter().any(|extra| extra.name == certificate));
        found.map(|bundle| &bundle.name)
    }
}

fn signatures(rules: &ModuleRules) -> Finding {
    let secure_boot =
        if rules.secure_boot { "Secure Boot is on" } else { "Secure Boot is off, or there is none" };
    match rules.in_words() {
        Some(words) if rules.enforces_signatures() => Finding::new("module-signatures", Level::Note, words),
        _ => {
            let text = format!("{secure_boot}; the kernel takes unsigned modules");
            Finding::new("module-signatures", Level::Good, text)
        }
    }
}
