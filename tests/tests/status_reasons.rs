//! `docs/status-reasons.md` has every id that the service gives, and no other.

use std::collections::BTreeSet;

use end_to_end::lab::repository;

#[test]
fn the_page_of_reasons_has_the_ids_of_the_code() {
    let read =
        |file: &str| std::fs::read_to_string(repository().join("service/src/reasons").join(file)).unwrap();
    let source = ["start_refusal.rs", "start_failure.rs"].map(read).concat();
    // The arms of both functions `id`, each up to the function after it.
    let functions = source.split("fn id(&self)").skip(1);
    let bodies = functions.map(|text| text.split("\n    }\n").next().unwrap());
    let arms = bodies.flat_map(|body| body.split("=> \"").skip(1));
    let ids: BTreeSet<&str> = arms.map(|arm| arm.split('"').next().unwrap()).collect();
    assert!(ids.len() > 35 && ids.contains("tampered") && ids.contains("host"), "{ids:?}");

    let page = std::fs::read_to_string(repository().join("docs/status-reasons.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let told: BTreeSet<&str> = rows.filter(|id| *id != "id").collect();
    assert_eq!(told, ids);
}
