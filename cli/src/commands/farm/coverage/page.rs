//! Coverage as a page that needs nothing else: a row for each kernel, as wide a bar as it has hosts.

use fleet::{Grade, Offer};

use super::Found;
use super::shown::{causes, grade_in_words, names, total};
use crate::commands::farm::build::{Page, text};
use crate::words::count;

/// Beside the style of build pages.
const STYLE: &str = "
.bar { display: block; height: .45rem; background: var(--faint); border-radius: 3px; min-width: 2px } .bar.good { background: var(--good) } .bar.bad { background: var(--bad) }
";

pub(super) fn page(offer: &Offer, found: &Found) -> String {
    let mut page = Page::begin("coverage", STYLE);
    page.put(format_args!("<p class=\"facts\">{}</p>\n", text(&total(found))));
    if let Some(next) = &found.next {
        let kernel = text(next.kernel.as_str());
        if next.losses.is_empty() {
            page.put(format_args!("<p class=\"facts\">nothing would be lost with kernel {kernel}</p>\n"));
        }
        for loss in &next.losses {
            page.put(format_args!(
                "<p class=\"warning\">with kernel {kernel} {} would be lost on {}: {}</p>\n",
                text(loss.script.as_str()),
                count(loss.hosts, "host"),
                text(&loss.reason)
            ));
        }
    }
    page.put(format_args!(
        "<div class=\"kernels\"><table><thead><tr><th>kernel</th><th>hosts</th><th>machine</th><th>scripts</th><th>which</th></tr></thead><tbody>\n"
    ));
    let most = found.coverage.kernels.iter().map(|row| row.hosts).max().unwrap_or(1).max(1);
    for row in &found.coverage.kernels {
        let class = match row.grade {
            Grade::All => "good",
            Grade::Some(_) | Grade::OtherPrograms(_) => "",
            _ => "bad",
        };
        page.put(format_args!(
            "<tr><th>{}</th><td data-is=\"hosts\">{}<span class=\"bar {class}\" style=\"width:{}%\"></span></td><td data-is=\"machine\">{}</td>\
             <td data-is=\"scripts\">{}</td><td data-is=\"which\">{}</td></tr>\n",
            text(&row.kind.kernel),
            row.hosts,
            (row.hosts * 100).div_ceil(most),
            text(row.kind.machine.as_deref().unwrap_or("-")),
            text(&grade_in_words(&row.grade, offer.scripts.len())),
            text(&names(row))
        ));
    }
    page.put(format_args!("</tbody></table></div>\n<h2>What is lacking</h2>\n"));
    for line in found.coverage.kernels.iter().flat_map(causes) {
        page.put(format_args!("<p>{}</p>\n", text(&line)));
    }
    page.end()
}
