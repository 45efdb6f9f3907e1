//! The schemas of `docs/operating/json` are JSON Schema, and a validator that isn't ours sees what they allow.

#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::repository;

/// That of the system: the packages of `tests/packages.sh` are for this one.
const PYTHON: &str = "/usr/bin/python3";

/// Validates a document against a schema of the directory, whose files refer to each other.
const PROGRAM: &str = "import json, pathlib, sys, jsonschema, warnings\n\
    warnings.simplefilter('ignore')\n\
    files = {path.name: json.loads(path.read_text()) for path in pathlib.Path(sys.argv[1]).glob('*.json')}\n\
    kind = jsonschema.Draft202012Validator\n\
    for schema in files.values(): kind.check_schema(schema)\n\
    resolver = jsonschema.RefResolver('', files[sys.argv[2]], store=files)\n\
    found = kind(files[sys.argv[2]], resolver=resolver).iter_errors(json.load(sys.stdin))\n\
    print('\\n'.join(error.message for error in found), end='')";

fn misfit(schema: &str, document: &str) -> String {
    let directory = repository().join("docs/operating/json");
    let command = ChildCommand::new(PYTHON).args(["-c", PROGRAM]).arg(&directory).arg(schema);
    let command = command.input(document.to_owned()).env_from_here("PATH");
    let finished = command.run(&Limits::default(), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{schema}: {}", finished.stderr.text());
    finished.stdout.text()
}

#[test]
fn the_schemas_are_json_schema() {
    let error = |hints: &str| {
        let error = format!(r#"{{"code": 10, "id": null, "what": "no", "because": [], "hints": {hints}}}"#);
        misfit("error-1.json", &format!(r#"{{"schema": "error/1", "error": {error}, "later": 1}}"#))
    };
    assert_eq!(error("[]"), "");
    assert!(error("[1]").contains("is not of type 'string'"));
    let changes =
        r#"{"scripts": {"added": [], "changed": [], "removed": []}, "kernels": [], "not_compared": []}"#;
    let rollback = |initscript: &str| {
        format!(
            r#"{{"schema": "rollback/1", "from": 2, "to": 1, "changes": {changes}, "initscript": {initscript}}}"#
        )
    };
    assert_eq!(misfit("rollback-1.json", &rollback(r#"{"error": "no"}"#)), "");
    assert!(!misfit("rollback-1.json", &rollback("7")).is_empty());
}
