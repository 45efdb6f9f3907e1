//! The page of a real build: every cell in its place, each red one leading to its reason and log, and nothing from outside.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::Value;

/// What stands between `begin` and `end`, at each place.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> Vec<&'t str> {
    text.split(begin).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
}

#[test]
fn the_page_of_a_build_has_each_cell_and_leads_from_the_red_ones_to_their_logs() {
    let lab = Lab::open().unwrap();
    let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-page")).unwrap();
    let run = |words: &[&str], allowed: &[i32]| {
        programs::run_expecting(&programs::farm().unwrap(), farm.directory(), words, allowed).unwrap()
    };
    run(&["key", "generate", "--out", "farm"], &[0]);
    let kernels = [lab.bootable("stable").unwrap(), lab.bootable("testing").unwrap()];
    for report in ["page.html", "report.json"] {
        let mut words = farm.build_arguments(&lab, &kernels, "farm.key", "out.stapb", &[]).unwrap();
        words.extend(["--report".to_owned(), report.to_owned()]);
        // A script of the fixtures compiles for one family of kernels only.
        run(&words.iter().map(String::as_str).collect::<Vec<_>>(), &[20]);
    }
    let page = fs::read_to_string(farm.path("page.html")).unwrap();
    let report: Value = serde_json::from_slice(&fs::read(farm.path("report.json")).unwrap()).unwrap();
    let cells = report["cells"].as_array().unwrap();

    // One row for each script, one column for each kernel, and a word in each cell.
    let matrix = &between(&page, "<tbody>", "</tbody>")[0];
    let rows = between(matrix, "<tr>", "</tr>");
    let scripts: BTreeSet<&str> = cells.iter().map(|cell| cell["script"].as_str().unwrap()).collect();
    let named: BTreeSet<&str> = rows.iter().map(|row| between(row, "<th>", "</th>")[0]).collect();
    assert_eq!(named, scripts);
    assert!(rows.iter().all(|row| row.matches("<td").count() == kernels.len()), "{matrix}");
    for kernel in kernels {
        assert!(page.contains(&format!("<th>{}</th>", kernel.release)), "{}", kernel.release);
    }

    // Each red cell leads to a place that is there, opens to its reason, and has the log's last lines.
    let red: Vec<&Value> = cells.iter().filter(|cell| cell["reason"].is_string()).collect();
    let (links, places) = (between(&page, "href=\"#", "\""), between(&page, "<div id=\"", "\""));
    assert!(!red.is_empty() && links.len() == red.len(), "{} red cells, links {links:?}", red.len());
    assert_eq!(links, places);
    assert_eq!(page.matches("<details>").count(), red.len());
    assert!(between(&page, "<pre>", "</pre>").iter().all(|log| !log.trim().is_empty()));

    // It stands alone: what it shows is in it.
    for outside in ["<script", "<link", "<img", "<iframe", "url(", "@import", " src="] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("href=").count(), links.len());
    // Each element that is opened is closed.
    for element in [
        "html", "head", "body", "title", "style", "table", "thead", "tbody", "tr", "td", "details", "pre",
        "div",
    ] {
        let opened = [">", " "].map(|end| page.matches(&format!("<{element}{end}")).count());
        assert_eq!(opened[0] + opened[1], page.matches(&format!("</{element}>")).count(), "{element}");
    }

    names_what_compiled_each_module(&lab, &farm);
}

/// `inspect` names the compiler of each kernel's modules, as these name it in `.comment`, and that of the kernel, as its build tree has it.
fn names_what_compiled_each_module(lab: &Lab, farm: &Farm) {
    let run = |words: &[&str]| {
        programs::run_expecting(&programs::farm().unwrap(), farm.directory(), words, &[0]).unwrap()
    };
    let said = run(&["--json", "inspect", "out.stapb", "--key", "farm.pub"]);
    let document: Value = serde_json::from_str(&said.stdout.text()).unwrap();
    let kernels = document["manifest"]["kernels"].as_array().unwrap();
    run(&["extract", "out.stapb", "compiled", "--key", "farm.pub"]);
    let mut seen = BTreeSet::new();
    for kernel in kernels {
        let release = kernel["release"].as_str().unwrap();
        let recorded = kernel["modules_compiler"].as_str().unwrap();
        let compile = lab.root().join("lib/modules").join(release).join("build/include/generated/compile.h");
        let own = kernel["compiler"].as_str().unwrap();
        assert!(fs::read_to_string(compile).unwrap().contains(&format!("\"{own}\"")), "{own}");
        let modules: Vec<_> = modules_below(&farm.path("compiled"))
            .into_iter()
            .filter(|module| module.components().any(|part| part.as_os_str() == release))
            .collect();
        assert!(!modules.is_empty(), "{release}");
        for module in modules {
            let bytes = fs::read(&module).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            for words in between(&text, "GCC: ", "\0") {
                assert!(recorded.ends_with(words), "{}: {words}, not {recorded}", module.display());
                seen.insert(words.to_owned());
            }
        }
    }
    assert_eq!(seen.len(), 2, "each family of the lab has a compiler of its own: {seen:?}");
}

fn modules_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| if path.is_dir() { modules_below(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|end| end == "ko")).collect()
}
