//! `docs/design/threat-coverage.md`: which tests prove each row of the threats, whether they are there, and whether they ran.
//!
//! A test is named `binary/function`, where the binary is a crate's unit tests (`installer`, `bundle_format`) or a file or
//! folder of its `tests`; a `*` at the end of the function matches any rest. `make test` keeps what its tiers print
//! (`tests/tiers.sh`), and its last tier compares the two.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// The sections of the threats, each with its last row.
const SECTIONS: [(char, u32); 7] = [('A', 15), ('B', 12), ('C', 8), ('D', 7), ('E', 12), ('F', 11), ('G', 6)];

/// A row that no test proves says so with one of these.
const NO_TEST: [&str; 1] = ["not built"];

/// A test, or several that begin alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestName {
    /// The test program.
    binary: String,
    /// The function, or its beginning.
    function: String,
    /// Whether any rest may follow.
    is_prefix: bool,
}

/// One row of the page.
#[derive(Debug)]
pub struct Row {
    /// `A1` to `G6`.
    pub id: String,
    /// The tests of its third column.
    pub tests: Vec<TestName>,
}

/// How a test ended, in all runs of it that were written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Well, each time that it wasn't ignored.
    Passed,
    /// Never run, or never to its end.
    NotRun,
    /// Badly at least once.
    Failed,
}

impl fmt::Display for TestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.binary, self.function, if self.is_prefix { "*" } else { "" })
    }
}

impl TestName {
    fn parse(text: &str) -> Option<Self> {
        let (binary, function) = text.split_once('/')?;
        let (function, is_prefix) = match function.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (function, false),
        };
        let is_name =
            |text: &str| !text.is_empty() && text.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
        let parsed = Self { binary: binary.to_owned(), function: function.to_owned(), is_prefix };
        (is_name(binary) && is_name(function)).then_some(parsed)
    }

    fn is(&self, binary: &str, function: &str) -> bool {
        let fits =
            if self.is_prefix { function.starts_with(&self.function) } else { function == self.function };
        self.binary == binary && fits
    }
}

/// Reads the rows of the page.
///
/// # Errors
/// A row is missing, in another place, or names no test and doesn't say that there is none.
pub fn rows(page: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for line in page.lines() {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let (Some(id), Some(_), Some(tests)) = (cells.next(), cells.next(), cells.next()) else { continue };
        let mut letters = id.chars();
        let is_row =
            letters.next().is_some_and(|c| c.is_ascii_uppercase()) && letters.as_str().parse::<u32>().is_ok();
        if !line.starts_with("| ") || !is_row {
            continue;
        }
        let named = tests.split('`').skip(1).step_by(2);
        let parsed: Option<Vec<TestName>> = named.map(TestName::parse).collect();
        let tests_of_row =
            parsed.with_context(|| format!("row {id}: tests are named `binary/function`: {tests}"))?;
        if tests_of_row.is_empty() && !NO_TEST.iter().any(|words| tests.contains(words)) {
            bail!("row {id} names no test");
        }
        rows.push(Row { id: id.to_owned(), tests: tests_of_row });
    }
    let wanted: Vec<String> = SECTIONS
        .iter()
        .flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}")))
        .collect();
    let found: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    if wanted != found {
        bail!("the rows of the page are {found:?}, expected {wanted:?}");
    }
    Ok(rows)
}

/// The tests in the sources of a workspace, by binary; those that `cfg` leaves out of a build too.
///
/// # Errors
/// A source can't be read.
pub fn tests_in_sources(workspace: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for manifest in walkdir::WalkDir::new(workspace).min_depth(2).max_depth(2) {
        let manifest = manifest?;
        if manifest.file_name() != "Cargo.toml" {
            continue;
        }
        let text = std::fs::read_to_string(manifest.path())?;
        let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        let library =
            name.with_context(|| format!("{} has no name", manifest.path().display()))?.replace('-', "_");
        let Some(package) = manifest.path().parent() else { continue };
        for folder in ["src", "tests"] {
            let folder = package.join(folder);
            for source in walkdir::WalkDir::new(&folder).into_iter().filter_map(Result::ok) {
                if source.path().extension().is_none_or(|suffix| suffix != "rs") {
                    continue;
                }
                let within = source.path().strip_prefix(&folder)?;
                let first = within.iter().next().unwrap_or_default().to_string_lossy();
                let binary =
                    if folder.ends_with("src") { library.as_str() } else { first.trim_end_matches(".rs") };
                let text = std::fs::read_to_string(source.path())?;
                found.entry(binary.to_owned()).or_default().extend(functions(&text));
            }
        }
    }
    Ok(found)
}

/// The test functions of a source, also those that the macro `refused!` makes: `name: what => …`.
fn functions(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut is_test = false;
    let mut in_macro = false;
    for line in source.lines() {
        in_macro = (in_macro || line.starts_with("refused! {")) && line != "}";
        let line = line.trim_start();
        is_test |= line == "#[test]";
        if let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next()) {
            if is_test {
                found.insert(name.to_owned());
            }
            is_test = false;
        } else if let Some((name, _)) = line.split_once(':').filter(|_| in_macro) {
            found.insert(name.to_owned());
        }
    }
    found
}

/// Reads what `cargo test` has printed: how each test of each binary ended.
#[must_use]
pub fn outcomes(log: &str) -> BTreeMap<(String, String), Outcome> {
    let mut found = BTreeMap::new();
    let mut binary = String::new();
    let mut begun: Option<String> = None;
    for line in log.lines() {
        let line = without_colours(line);
        if let Some(path) = line.trim_start().strip_prefix("Running ").and_then(|rest| rest.split('(').nth(1))
        {
            let file = path.trim_end_matches(')').rsplit('/').next().unwrap_or_default();
            binary = file.rsplit_once('-').map_or(file, |(name, _)| name).replace('-', "_");
            begun = None;
        }
        // `test a::b ... ok`; what a child process prints may come between the points and the result.
        if let Some((name, result)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            let name = name.split(" - should panic").next().unwrap_or(name);
            let function = name.rsplit("::").next().unwrap_or(name);
            begun = Some(function.to_owned());
            note(&mut found, &binary, &mut begun, result);
        } else if begun.is_some() {
            note(&mut found, &binary, &mut begun, &line);
        }
    }
    if let Some(function) = begun {
        found.entry((binary.clone(), function)).or_insert(Outcome::NotRun);
    }
    found
}

fn note(
    found: &mut BTreeMap<(String, String), Outcome>,
    binary: &str,
    begun: &mut Option<String>,
    result: &str,
) {
    let outcome = match result.split(',').next().unwrap_or_default() {
        ended if ended == "ok" || ended.ends_with(" ok") => Outcome::Passed,
        ended if ended.starts_with("ignored") => Outcome::NotRun,
        ended if ended.ends_with("FAILED") => Outcome::Failed,
        _ => return,
    };
    if let Some(function) = begun.take() {
        join(found.entry((binary.to_owned(), function)).or_insert(outcome), outcome);
    }
}

/// One bad end is never made good by another run.
fn join(known: &mut Outcome, news: Outcome) {
    *known = match (*known, news) {
        (Outcome::Failed, _) | (_, Outcome::Failed) => Outcome::Failed,
        (Outcome::Passed, _) | (_, Outcome::Passed) => Outcome::Passed,
        (Outcome::NotRun, Outcome::NotRun) => Outcome::NotRun,
    };
}

fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// What is wrong with the rows: tests that aren't in the sources. Empty if all are.
#[must_use]
pub fn absent(rows: &[Row], sources: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let is_there = |test: &TestName| {
        sources
            .get(&test.binary)
            .is_some_and(|all| all.iter().any(|function| test.is(&test.binary, function)))
    };
    complaints(rows, |test| (!is_there(test)).then(|| "is in no source".to_owned()))
}

/// What is wrong with the rows: tests that didn't run, or failed. Empty if each of them ended well.
#[must_use]
pub fn unproven(rows: &[Row], ran: &BTreeMap<(String, String), Outcome>) -> Vec<String> {
    complaints(rows, |test| {
        let mut of_it = ran.iter().filter(|((binary, function), _)| test.is(binary, function)).peekable();
        if of_it.peek().is_none() {
            return Some("never ran".to_owned());
        }
        let ((_, function), outcome) = of_it.find(|(_, outcome)| **outcome != Outcome::Passed)?;
        let word = if *outcome == Outcome::Failed { "failed" } else { "was ignored or didn't end" };
        Some(format!("{function} {word}"))
    })
}

fn complaints(rows: &[Row], wrong: impl Fn(&TestName) -> Option<String>) -> Vec<String> {
    let tests = rows.iter().flat_map(|row| row.tests.iter().map(move |test| (row, test)));
    tests
        .filter_map(|(row, test)| wrong(test).map(|what| format!("row {}: {test}: {what}", row.id)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tests: &str) -> Row {
        let tests = tests.split_whitespace().map(|name| TestName::parse(name).unwrap()).collect();
        Row { id: "A1".to_owned(), tests }
    }

    const LOG: &str =
        "\u{1b}[1m     Running\u{1b}[0m unittests src/lib.rs (target/debug/deps/bundle_format-0a1b)
test keys::tests::b5_whole ... ok
test keys::tests::b5_twice ... noise of a child
more noise
ok
test keys::tests::long ... ignored, takes long
     Running tests/hostile/main.rs (/x-y/target/debug/deps/hostile-77)
test a01_name - should panic ... ok
test a01_other ... FAILED
test a02_cut ... ";

    #[test]
    fn each_end_is_read_with_its_binary() {
        let found = outcomes(LOG);
        let end = |binary: &str, function: &str| found[&(binary.to_owned(), function.to_owned())];
        assert_eq!(found.len(), 6);
        assert_eq!(end("bundle_format", "b5_whole"), Outcome::Passed);
        assert_eq!(end("bundle_format", "b5_twice"), Outcome::Passed);
        assert_eq!(end("bundle_format", "long"), Outcome::NotRun);
        assert_eq!(end("hostile", "a01_name"), Outcome::Passed);
        assert_eq!(end("hostile", "a01_other"), Outcome::Failed);
        assert_eq!(end("hostile", "a02_cut"), Outcome::NotRun);
    }

    #[test]
    fn a_row_is_proven_by_tests_that_ran_and_passed_alone() {
        let ran = outcomes(LOG);
        assert_eq!(unproven(&[row("bundle_format/b5_*")], &ran), Vec::<String>::new());
        let wrong = |tests: &str| unproven(&[row(tests)], &ran).join("\n");
        assert_eq!(wrong("hostile/a01_*"), "row A1: hostile/a01_*: a01_other failed");
        assert_eq!(wrong("bundle_format/long"), "row A1: bundle_format/long: long was ignored or didn't end");
        assert_eq!(wrong("hostile/a02_cut"), "row A1: hostile/a02_cut: a02_cut was ignored or didn't end");
        assert_eq!(wrong("hostile/b5_whole"), "row A1: hostile/b5_whole: never ran");
    }

    #[test]
    fn a_test_is_ignored_in_one_tier_and_run_in_another() {
        let mut found =
            outcomes("     Running x (d/a-1)\ntest t ... ignored\n     Running x (d/a-1)\ntest t ... ok\n");
        assert_eq!(found.remove(&("a".to_owned(), "t".to_owned())), Some(Outcome::Passed));
    }

    #[test]
    fn a_test_is_found_by_its_attribute_or_in_the_macro_of_refusals() {
        let source = "fn no() {}\nTEST\n#[ignore]\nfn yes() {}\nfn other() {}\nrefused! {\n    a01_x: &forge() => 11, \"text\";\n}\nkey: value\n";
        let found = functions(&source.replace("TEST", "#[test]"));
        assert_eq!(found, ["a01_x", "yes"].map(str::to_owned).into());
    }
}
