//! The report as a page that stands alone: no network, no script, one file.

use std::fmt::Write as _;
use std::time::Duration;

use builder::{BuildReport, CellReport, JobOutcome, Maker, Plan};
use bundle_format::Manifest;

use super::red_log::RedLog;
use super::table::{self, Facts, word};
use crate::output::PAGE_BEGINNING;
use crate::words::{bytes, count, date};

/// Colours are those of a terminal's table: green made now, grey from the cache, red without a module.
const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --faint: #6e7781; --bad: #cf222e; --back: #fff; --red: #ffebe9 }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --faint: #8b949e; --bad: #ff7b72; --back: #0d1117; --red: #3d1214 } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; background: var(--back) }
h1 { font-size: 1.5rem; margin: 0 0 .3rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.facts { color: var(--faint); margin: 0 0 1rem; overflow-wrap: anywhere }
.matrix { overflow-x: auto } .kernels td { white-space: normal; overflow-wrap: anywhere } table { border-collapse: collapse }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; white-space: nowrap }
thead th { vertical-align: bottom } tbody th { position: sticky; left: 0; background: var(--back); font-weight: 500 }
td small { color: var(--faint) } .compiled { color: var(--good) } .cached { color: var(--faint) }
td.bad { background: var(--red) } td.bad a { color: var(--bad); font-weight: 600 }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem }
details:has(:target) { border-color: var(--bad) } details div { scroll-margin-top: 4rem } summary { cursor: pointer } summary b { color: var(--bad) }
pre { overflow-x: auto; background: #8881; padding: .6rem; border-radius: 4px; font-size: 13px }
@media (max-width: 45rem) {
  .kernels thead { display: none } .kernels tr, .kernels th, .kernels td { display: block; border-width: 0 }
  .kernels tr { border: 1px solid var(--line); margin-bottom: .5rem } .kernels tbody th { position: static; font-weight: 700 } .kernels td::before { content: attr(data-is) \": \"; color: var(--faint) }
}
.warning { border-left: 4px solid #bf8700; padding: .2rem .8rem; margin: .4rem 0 }
";

/// The whole page; without `facts` no bundle was written.
pub(super) fn page(plan: &Plan, report: &BuildReport, facts: Option<&Facts<'_>>) -> String {
    let title = facts.map_or_else(
        || "no bundle".to_owned(),
        |Facts { manifest: Manifest { name, version, .. }, .. }| format!("{name} {version}"),
    );
    let mut page = Page::begin(&title, "");
    if let Some(Facts { bundle, manifest, id, size }) = facts {
        page.put(format_args!(
            "<p class=\"facts\">{}, {}, of {} · bundle id <code>{}</code></p>\n",
            text(bundle),
            bytes(*size),
            date(manifest.created),
            text(id)
        ));
    }
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    page.put(format_args!(
        "<p class=\"facts\">{}: {} green, {} red · compiling {}, warming up {} of CPU time, {} in all</p>\n",
        count(report.cells.len(), "cell"),
        report.green(),
        report.red(),
        seconds(report.compile_cpu()),
        seconds(report.warm_up_cpu()),
        seconds(report.wall)
    ));
    if let Some(found) = &report.reproducibility {
        let modules = count(found.equal + found.exceptions.len(), "module");
        page.put(format_args!(
            "<p class=\"facts\">compiled twice: {} of {modules} are the same</p>\n",
            found.equal
        ));
    }
    let differing = report.reproducibility.iter().flat_map(|found| &found.exceptions);
    let differing = differing.map(|(cell, found)| format!("{cell}: not the same again, {found}"));
    let noted = report.diagnoses.iter().map(|(_, sentence)| sentence.clone());
    for sentence in noted.chain(table::warnings(plan, report).map(str::to_owned)).chain(differing) {
        page.put(format_args!("<p class=\"warning\">{}</p>\n", text(&sentence)));
    }
    page.matrix(plan, report);
    page.red_cells(report);
    page.kernels(plan, report);
    page.end()
}

/// A page that is being written.
pub(in crate::commands::farm) struct Page(String);

impl Page {
    /// With a style of its own beside that of all pages.
    pub(in crate::commands::farm) fn begin(title: &str, style: &str) -> Self {
        let mut page = Self(String::new());
        page.put(format_args!(
            "{PAGE_BEGINNING}<meta name=\"viewport\" \
             content=\"width=device-width\"><title>{0}</title><style>{STYLE}{style}</style></head><body>\n<h1>{0}</h1>\n",
            text(title)
        ));
        page
    }

    pub(in crate::commands::farm) fn end(mut self) -> String {
        self.put(format_args!("</body></html>\n"));
        self.0
    }

    pub(in crate::commands::farm) fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string can't fail.
        let _ = self.0.write_fmt(arguments);
    }

    fn matrix(&mut self, plan: &Plan, report: &BuildReport) {
        self.put(format_args!("<div class=\"matrix\"><table><thead><tr><th>script</th>"));
        for release in table::releases(report) {
            self.put(format_args!("<th>{}</th>", text(release.as_str())));
        }
        self.put(format_args!("</tr></thead><tbody>\n"));
        for script in plan.scripts() {
            self.put(format_args!("<tr><th>{}</th>", text(script.name().as_str())));
            for (number, cell) in report.cells.iter().enumerate() {
                if cell.cell.script == *script.name() {
                    self.cell(number, cell);
                }
            }
            self.put(format_args!("</tr>\n"));
        }
        self.put(format_args!("</tbody></table></div>\n"));
    }

    fn cell(&mut self, number: usize, cell: &CellReport) {
        let word = word(&cell.outcome);
        let Some(module) = cell.outcome.module() else {
            if !cell.outcome.is_red() {
                return self.put(format_args!("<td><span class=\"cached\">{word}</span></td>"));
            }
            return self.put(format_args!("<td class=\"bad\"><a href=\"#cell-{number}\">{word}</a></td>"));
        };
        let took = match (&cell.outcome, cell.cpu) {
            (JobOutcome::Compiled(_), Some(cpu)) => format!(", {:.1} s", cpu.as_secs_f64()),
            _ => String::new(),
        };
        let maker = match &cell.maker {
            Maker::Here | Maker::Nobody => String::new(),
            maker @ Maker::Server(_) => format!(", by {}", text(&maker.to_string())),
        };
        self.put(format_args!(
            "<td><span class=\"{word}\">{word}</span> <small>{}{took}{maker}</small></td>",
            bytes(module.len)
        ));
    }

    fn red_cells(&mut self, report: &BuildReport) {
        let red = || report.cells.iter().enumerate().filter(|(_, cell)| cell.outcome.is_red());
        if red().next().is_none() {
            return;
        }
        self.put(format_args!("<h2>Red cells</h2>\n"));
        for (number, cell) in red() {
            let reason = cell.outcome.red_reason().unwrap_or_default();
            self.put(format_args!(
                // A browser opens what a link leads into, but not what it leads to.
                "<details><summary><b>{}</b> for {}: {}</summary><div id=\"cell-{number}\">\n",
                text(cell.cell.script.as_str()),
                text(cell.cell.release.as_str()),
                text(&reason)
            ));
            if let Some(path) = cell.outcome.log() {
                let log = RedLog::read(path);
                let pass = log.pass.map_or_else(String::new, |pass| format!("Pass {pass} failed. "));
                self.put(format_args!(
                    "<p>{pass}The last lines of <code>{}</code>:</p><pre>{}</pre>\n",
                    text(&path.display().to_string()),
                    text(&log.tail.join("\n"))
                ));
            }
            self.put(format_args!("</div></details>\n"));
        }
    }

    fn kernels(&mut self, plan: &Plan, report: &BuildReport) {
        self.put(format_args!(
            "<h2>Kernels</h2>\n<div class=\"kernels\"><table><thead><tr><th>release</th><th>version</th><th>systemtap</th>\
             <th>built with</th><th>modules built with</th></tr></thead><tbody>\n"
        ));
        for kernel in plan.kernels() {
            let made = report.draft.kernels.iter().find(|made| made.release == kernel.release);
            let systemtap = plan.toolchain_of(kernel).map(|toolchain| toolchain.stap.as_str());
            self.put(format_args!("<tr><th>{}</th>", text(kernel.release.as_str())));
            for (what, fact) in [
                ("version", kernel.uname_v.as_deref()),
                ("systemtap", systemtap),
                ("built with", kernel.kernel_compiler.as_deref()),
                ("modules built with", made.and_then(|made| made.modules_compiler.as_deref())),
            ] {
                let fact = text(fact.unwrap_or("not known"));
                self.put(format_args!("<td data-is=\"{what}\">{fact}</td>"));
            }
            self.put(format_args!("</tr>\n"));
        }
        self.put(format_args!("</tbody></table></div>\n"));
    }
}

/// Text from outside, made harmless.
pub(in crate::commands::farm) fn text(from: &str) -> String {
    from.chars().fold(String::with_capacity(from.len()), |mut safe, c| {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_log_is_no_markup() {
        assert_eq!(text("a<b> & \"c\"\n\u{1b}[31m"), "a&lt;b&gt; &amp; &quot;c&quot;\n\u{fffd}[31m");
    }

    #[test]
    fn the_style_asks_the_network_for_nothing() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains("http"));
    }
}
