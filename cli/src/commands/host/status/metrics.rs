//! `status --metrics`: the same facts in Prometheus' text format, for a node exporter's textfile collector.
//!
//! The format: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use std::fmt::Write;

use bundle_format::BundleVersion;
use service::{BundleStatus, KernelCoverage, ScriptState, ScriptStatus, StatusReport};

/// The whole report. Where what is installed can't be read, nothing is said of it: no gauge is better than a 0 that nobody counted.
pub(super) fn text(report: &StatusReport, is_known: bool) -> String {
    let mut page = Page(String::new());
    errors(&mut page, report.errors.len());
    if is_known {
        page.metric("stap_bundle_generation", "Number of the current generation; 0 if nothing is installed.");
        page.sample("stap_bundle_generation", &[], report.generation.unwrap_or(0));
    }
    page.metric("stap_bundle_warnings", "What else status warns of.");
    page.sample("stap_bundle_warnings", &[], report.warnings.len());
    let name = "stap_bundle_masks_known";
    page.metric(name, "Whether it is known which scripts are masked; if not, none is started.");
    page.sample(name, &[], u8::from(report.masks_unknown.is_none()));
    bundles(&mut page, &report.bundles);
    kernels(&mut page, &report.kernels);
    scripts(&mut page, &report.scripts);
    if report.masks_unknown.is_none() {
        masks(&mut page, &report.scripts);
    }
    page.0
}

/// The page of a host that can't be looked at.
pub(super) fn of_failure() -> String {
    let mut page = Page(String::new());
    errors(&mut page, 1);
    page.0
}

fn errors(page: &mut Page, number: usize) {
    let name = "stap_bundle_errors";
    page.metric(name, "State of this host that is refused or damaged; other gauges may be missing for it.");
    page.sample(name, &[], number);
}

/// Name, help, and the value where there is one.
type Gauge = (&'static str, &'static str, fn(&BundleStatus) -> Option<i128>);

fn bundles(page: &mut Page, bundles: &[BundleStatus]) {
    page.metric("stap_bundle_bundle_trusted", "Whether an installed bundle is believed.");
    for bundle in bundles {
        let id = bundle.id.map(|id| id.to_string()).unwrap_or_default();
        let version = bundle.version.as_ref().map_or("", BundleVersion::as_str);
        let [name, domain] = names(bundle);
        let labels = [name, domain, ("version", version), ("id", &id)];
        page.sample("stap_bundle_bundle_trusted", &labels, u8::from(bundle.refused.is_none()));
    }
    let of_each: [Gauge; 3] = [
        (
            "stap_bundle_bundle_created_timestamp_seconds",
            "When an installed bundle was made; its age is time() minus this.",
            |bundle| bundle.created.map(i128::from),
        ),
        (
            "stap_bundle_bundle_best_before_timestamp_seconds",
            "When an installed bundle should have been replaced.",
            |bundle| bundle.best_before.map(i128::from),
        ),
        (
            "stap_bundle_bundle_best_before_seconds",
            "Seconds until an installed bundle should be replaced, by this host's clock; below 0 when it is too late.",
            |bundle| bundle.best_before_in.map(i128::from),
        ),
    ];
    for (name, help, value) in of_each {
        let known: Vec<_> = bundles.iter().filter_map(|bundle| Some((bundle, value(bundle)?))).collect();
        if !known.is_empty() {
            page.metric(name, help);
        }
        for (bundle, value) in known {
            page.sample(name, &names(bundle), value);
        }
    }
}

/// By which each gauge of a bundle is known.
fn names(bundle: &BundleStatus) -> [(&str, &str); 2] {
    [("bundle", &bundle.name), ("domain", bundle.domain.as_str())]
}

fn kernels(page: &mut Page, kernels: &[KernelCoverage]) {
    if kernels.is_empty() {
        return;
    }
    let name = "stap_bundle_kernel_covered";
    page.metric(name, "Whether all installed bundles have modules for an installed kernel.");
    for kernel in kernels {
        let running = if kernel.running { "1" } else { "0" };
        let labels = [("release", kernel.release.as_str()), ("running", running)];
        page.sample(name, &labels, u8::from(kernel.lacking.is_empty()));
    }
}

fn scripts(page: &mut Page, scripts: &[ScriptStatus]) {
    page.metric("stap_bundle_script_running", "Whether a script runs.");
    for script in scripts {
        let bundle = script.credited().unwrap_or_default();
        let runs = u8::from(script.state == ScriptState::Running);
        page.sample(
            "stap_bundle_script_running",
            &[("script", script.script.as_str()), ("bundle", bundle)],
            runs,
        );
    }
    page.metric(
        "stap_bundle_script_done",
        "Whether a script has done its work and ended itself, without an error.",
    );
    for script in scripts {
        let done = u8::from(script.state == ScriptState::Done);
        page.sample("stap_bundle_script_done", &[("script", script.script.as_str())], done);
    }
    page.metric(
        "stap_bundle_script_not_running_reason",
        "Why a script doesn't run: 1 for the reason that holds.",
    );
    for script in scripts {
        if let Some(reason) = &script.reason {
            let labels = [("script", script.script.as_str()), ("reason", reason.id.as_str())];
            page.sample("stap_bundle_script_not_running_reason", &labels, 1);
        }
    }
    page.metric("stap_bundle_script_start_timestamp_seconds", "When a running script was started.");
    for script in scripts {
        if let Some(record) = script.record.as_ref().filter(|_| script.state == ScriptState::Running) {
            let labels = [("script", script.script.as_str())];
            page.sample("stap_bundle_script_start_timestamp_seconds", &labels, record.started);
        }
    }
    let name = "stap_bundle_script_module_bytes";
    page.metric(name, "Code and data of a loaded module, without its relay buffers.");
    for script in scripts {
        if let Some(bytes) = script.module_bytes {
            page.sample(name, &[("script", script.script.as_str())], bytes);
        }
    }
    let name = "stap_bundle_script_kernel_memory_bytes";
    page.metric(name, "Kernel memory of a loaded module with its buffers, about.");
    for script in scripts {
        if let Some(bytes) = script.kernel_memory_bytes {
            page.sample(name, &[("script", script.script.as_str())], bytes);
        }
    }
    page.metric("stap_bundle_script_warning", "Whether something is wrong with a script although it runs.");
    for script in scripts {
        let warned = u8::from(script.warning.is_some());
        page.sample("stap_bundle_script_warning", &[("script", script.script.as_str())], warned);
    }
}

fn masks(page: &mut Page, scripts: &[ScriptStatus]) {
    let name = "stap_bundle_script_masked";
    page.metric(name, "Whether a script doesn't start until it is unmasked.");
    for script in scripts {
        page.sample(name, &[("script", script.script.as_str())], u8::from(script.masked.is_some()));
    }
}

struct Page(String);

impl Page {
    fn metric(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let begin = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{begin}{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

/// As a label's value has it.
fn escaped(text: &str) -> String {
    let text = script_config::shown_lines(text);
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_page_on_metrics_names_every_gauge_and_no_other() {
        let page = include_str!("../../../../../docs/operating/metrics.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let documented: BTreeSet<&str> = rows.map(|(name, _)| name).collect();
        let source = include_str!("metrics.rs");
        let names = source.split('"').filter(|text| {
            let rest = text.strip_prefix("stap_bundle_");
            rest.is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
            })
        });
        assert_eq!(documented, names.collect());
        let examples = page.split("```").skip(3).step_by(2).flat_map(str::split_whitespace);
        let used = examples.filter(|word| word.starts_with("stap_bundle_"));
        assert!(used.clone().count() >= 5 && used.clone().all(|name| documented.contains(name)), "{page}");
    }

    #[test]
    fn a_label_cannot_end_its_line() {
        let mut page = Page(String::new());
        page.sample("m", &[("a", "x\"} 1\nm 2\\")], 0);
        assert_eq!(page.0, "m{a=\"x\\\"} 1\\nm 2\\\\\"} 0\n");
    }
}
