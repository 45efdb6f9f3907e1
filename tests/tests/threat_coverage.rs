//! The page of attacks names each row, and only tests that are there; whether they ran is seen by the last tier of `make test`.

use std::path::Path;

use end_to_end::coverage;

#[test]
fn each_row_of_the_threats_names_tests_that_are_there() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(workspace.join("docs/design/threat-coverage.md")).unwrap();
    let rows = coverage::rows(&page).unwrap();
    let absent = coverage::absent(&rows, &coverage::tests_in_sources(workspace).unwrap());
    assert!(absent.is_empty(), "{}", absent.join("\n"));
}
