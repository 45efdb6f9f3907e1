//! JSON documents against `docs/operating/json`: each that a conversation meets must be of a kind that the page gives to its
//! command, and must fit that kind's schema to the member.
//!
//! The schemas are open, since members are only ever added. Here they are closed: a member that no schema has is red.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/operating").join(name)
}

/// Each schema's file with its content.
pub(crate) static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let entries = fs::read_dir(place("json")).unwrap().map(|entry| entry.unwrap());
    let read = |path: PathBuf| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    entries.map(|entry| (entry.file_name().into_string().unwrap(), read(entry.path()))).collect()
});

/// The commands of the page, each with the documents that it writes.
pub(crate) static PAGE: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| {
    let page = fs::read_to_string(place("json.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let between = |text: &str, begin: &str, end: &str| -> Vec<String> {
        text.split(begin).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0.to_owned())).collect()
    };
    let row = |(commands, documents): (&str, &str)| {
        let documents = between(documents, "(json/", ".json)");
        let commands =
            format!("`{commands}").split(", ").map(|name| name.trim_matches('`').to_owned()).collect();
        (commands, documents)
    };
    let rows = rows.map(row).flat_map(|(commands, documents): (Vec<String>, Vec<String>)| {
        commands.into_iter().map(move |command| (command, documents.clone()))
    });
    rows.collect()
});

/// The command of a line, with a hyphen between its words.
fn command_of(line: &str) -> String {
    let tree = stap_bundle::command();
    let mut command = &tree;
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        if let Some(below) = command.find_subcommand(word) {
            words.push(below.get_name());
            command = below;
        }
    }
    words.join(" ")
}

/// Checks what a command line has written, if it asks for JSON.
pub(crate) fn check(line: &str, stdout: &str, stderr: &str) {
    let words = || line.split_whitespace().take_while(|word| *word != "--");
    if words().any(|word| ["-h", "--help", "--version"].contains(&word)) {
        return;
    }
    if words().any(|word| word == "--json") {
        let document = serde_json::from_str(stdout)
            .unwrap_or_else(|error| panic!("{line}: not one JSON document: {error}\n{stdout}\n{stderr}"));
        check_document(line, &document);
    }
}

/// Checks one document of a command line.
fn check_document(line: &str, document: &Value) {
    if let Some(directory) = std::env::var_os("STAP_BUNDLE_SAMPLES") {
        let bytes = serde_json::to_vec(document).unwrap();
        let name = format!("{}-{}", std::process::id(), bundle_format::Digest::of(&bytes));
        let sample = serde_json::json!({ "line": line, "document": document, "command": command_of(line) });
        fs::write(PathBuf::from(directory).join(name), sample.to_string()).unwrap();
        return;
    }
    let kind = document["schema"].as_str().unwrap_or_else(|| panic!("{line}: no schema in {document:#}"));
    let kind = kind.replace('/', "-");
    if kind != "error-1" {
        let command = command_of(line);
        let kinds = PAGE.get(&command).unwrap_or_else(|| panic!("{command}: no row of json.md"));
        assert!(kinds.contains(&kind), "{line}: {kind} isn't in the row of {command} of json.md");
    }
    check_kind(&kind, document, line);
}

/// Checks what a command would write of a report.
pub(crate) fn check_report(name: &str, report: &impl serde::Serialize) {
    let mut document = serde_json::to_value(report).unwrap();
    document["schema"] = format!("{name}/1").into();
    check_kind(&format!("{name}-1"), &document, name);
}

/// Checks a document against the schema of a kind.
pub(crate) fn check_kind(kind: &str, document: &Value, about: &str) {
    let file = format!("{kind}.json");
    let schema =
        SCHEMAS.get(&file).unwrap_or_else(|| panic!("{about}: there is no docs/operating/json/{file}"));
    let found = misfit(schema, document, &file).map(|(place, what)| format!("{kind}{place}: {what}"));
    assert_eq!(found, None, "{about}\n{document:#}");
}

/// Where a value doesn't fit, and why.
type Misfit = Option<(String, String)>;

/// Keywords that say nothing about values.
const ANNOTATIONS: &[&str] = &["$schema", "$id", "$defs", "title", "description"];

/// What doesn't fit a schema of the file `file`. A keyword that isn't looked at here is a mistake of the schema.
pub(crate) fn misfit(schema: &Value, value: &Value, file: &str) -> Misfit {
    let keywords = schema.as_object().unwrap_or_else(|| panic!("{file}: {schema} is no schema"));
    keywords.iter().find_map(|(keyword, said)| match keyword.as_str() {
        keyword if ANNOTATIONS.contains(&keyword) => None,
        "$ref" => {
            let (schema, file) = referred(said.as_str().unwrap(), file);
            misfit(schema, value, &file)
        }
        "type" => of_type(said, value),
        "const" => wrong(said == value, || format!("{value} isn't {said}")),
        "enum" => wrong(said.as_array().unwrap().contains(value), || format!("{value} is none of {said}")),
        "anyOf" => {
            let misfits: Vec<Misfit> =
                said.as_array().unwrap().iter().map(|schema| misfit(schema, value, file)).collect();
            if misfits.iter().any(Option::is_none) { None } else { misfits.into_iter().flatten().last() }
        }
        "required" => {
            let members = value.as_object()?;
            let absent =
                said.as_array().unwrap().iter().find(|name| !members.contains_key(name.as_str().unwrap()))?;
            Some((String::new(), format!("{absent} is missing")))
        }
        "properties" => of_members(keywords, value, file),
        "additionalProperties" => {
            assert!(!keywords.contains_key("properties"), "{file}: {keyword} beside properties");
            let mut members = value.as_object()?.iter();
            members.find_map(|(name, value)| below(name, misfit(said, value, file)))
        }
        "items" => {
            let mut items = value.as_array()?.iter().enumerate();
            items.find_map(|(at, value)| below(&at.to_string(), misfit(said, value, file)))
        }
        _ => panic!("{file}: the keyword {keyword} isn't checked"),
    })
}

fn of_members(keywords: &serde_json::Map<String, Value>, value: &Value, file: &str) -> Misfit {
    let known = keywords["properties"].as_object().unwrap();
    value.as_object()?.iter().find_map(|(name, value)| match known.get(name) {
        Some(schema) => below(name, misfit(schema, value, file)),
        None => Some((String::new(), format!("{name} isn't in the schema"))),
    })
}

fn of_type(said: &Value, value: &Value) -> Misfit {
    let is = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("there is no type {other}"),
    };
    let fits = said.as_array().map_or_else(|| is(said), |names| names.iter().any(is));
    wrong(fits, || format!("{value} is no {said}"))
}

/// What a reference means, and the file in which that is.
fn referred(reference: &str, file: &str) -> (&'static Value, String) {
    let (other, pointer) = reference.split_once('#').unwrap();
    let file = if other.is_empty() { file } else { other };
    let schema = SCHEMAS.get(file).and_then(|schema| schema.pointer(pointer));
    (schema.unwrap_or_else(|| panic!("{file}: there is no {reference}")), file.to_owned())
}

fn wrong(fits: bool, what: impl FnOnce() -> String) -> Misfit {
    (!fits).then(|| (String::new(), what()))
}

fn below(name: &str, found: Misfit) -> Misfit {
    found.map(|(place, what)| (format!("/{name}{place}"), what))
}
