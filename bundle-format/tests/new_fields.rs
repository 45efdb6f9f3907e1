//! Section 12 of the specification: what a later version may add to a bundle without `critical`, and that nothing may go.

#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::collections::BTreeSet;

use bundle_format::{BundleError, CheckReport, Depth, Manifest, RawBundle, Stream, TrustedKeys};
use fixtures::forge::{Forge, Member, farm, public, set_of};
use serde_json::Value;

const SPEC: &str = include_str!("../../docs/bundle-spec.md");

/// A field that nobody knows, with something in it.
const LATER: &str = "\"later\":[{\"x\":1}]";

fn check(bytes: &[u8]) -> Result<(Manifest, CheckReport), BundleError> {
    let trusted = TrustedKeys::any_of([public(&farm())]);
    let verified = RawBundle::read(Stream(bytes))?.verify(&trusted)?;
    let manifest = verified.manifest().clone();
    Ok((manifest, verified.check(Depth::Modules)?))
}

/// The text with a new field in one object of it, once for each object.
fn with_a_new_field(text: &str) -> Vec<String> {
    let mut quoted = false;
    let mut before = ' ';
    let mut texts = Vec::new();
    for (at, character) in text.char_indices() {
        quoted ^= character == '"' && before != '\\';
        before = character;
        if character == '{' && !quoted {
            let (head, tail) = text.split_at(at + 1);
            let comma = if tail.starts_with('}') { "" } else { "," };
            texts.push(format!("{head}{LATER}{comma}{tail}"));
        }
    }
    texts
}

#[test]
fn a_new_field_without_critical_changes_nothing_in_any_object_of_the_manifest() {
    let forge = Forge::good();
    let (plain, _) = check(&forge.sealed().bytes()).unwrap();
    let texts = with_a_new_field(&forge.text());
    assert!(texts.len() > 8, "{}", texts.len());
    for text in texts {
        let (manifest, report) = check(&forge.sealed_text(text.as_bytes()).bytes()).unwrap();
        assert_eq!((&manifest, report.problems.len()), (&plain, 0), "{text}");
    }
}

#[test]
fn a_new_field_without_critical_changes_nothing_in_any_object_of_a_set() {
    let kernel = Forge::good().manifest.kernels.first().unwrap().clone();
    let mut plain = String::new();
    let _ = set_of(&kernel).spoil("SET.json", |member| {
        plain = String::from_utf8(member.content.clone()).unwrap();
        member
    });
    let texts = with_a_new_field(&plain);
    assert!(texts.len() > 2, "{plain}");
    for text in texts {
        let mut forge = Forge::of("fleet", 7, &[kernel.release.as_str()]);
        let set = set_of(&kernel).spoil("SET.json", |_| Member::new("SET.json", text.clone()));
        forge.set_plain(0, &set.bytes());
        let (_, report) = check(&forge.sealed().bytes()).unwrap();
        assert!(report.problems.is_empty() && report.modules > 0, "{text}: {:?}", report.problems);
    }
}

#[test]
fn a_new_field_that_critical_names_is_refused_as_a_newer_one() {
    let text = Forge::good().text().replacen('{', &format!("{{{LATER},"), 1);
    let text = text.replacen("\"critical\":[]", "\"critical\":[\"later\"]", 1);
    let error = check(&Forge::good().sealed_text(text.as_bytes()).bytes()).unwrap_err();
    assert!(matches!(&error, BundleError::Critical { what } if what == "later"), "{error}");
    assert!(error.to_string().contains("a newer stap-bundle is needed"), "{error}");
}

/// The fields that a table of the specification calls optional.
fn optional() -> BTreeSet<&'static str> {
    let rows = SPEC.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.filter(|(_, rest)| rest.split(" |").next().is_some_and(|kind| kind.ends_with("optional")))
        .map(|(field, _)| field)
        .collect()
}

/// The document without one field, once for each field of each object, with the field's name.
fn without_a_field(document: &Value) -> Vec<(String, Value)> {
    let mut shorter = Vec::new();
    match document {
        Value::Object(fields) => {
            for (name, value) in fields {
                let mut rest = fields.clone();
                rest.remove(name);
                shorter.push((name.clone(), Value::Object(rest)));
                for (inner, value) in without_a_field(value) {
                    let mut changed = fields.clone();
                    changed.insert(name.clone(), value);
                    shorter.push((inner, Value::Object(changed)));
                }
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                for (inner, value) in without_a_field(value) {
                    let mut changed = values.clone();
                    *changed.get_mut(at).unwrap() = value;
                    shorter.push((inner, Value::Array(changed)));
                }
            }
        }
        _ => {}
    }
    shorter
}

#[test]
fn only_what_the_tables_call_optional_may_be_absent() {
    let optional = optional();
    assert!(optional.contains("best_before") && optional.contains("uname_v"), "{optional:?}");
    let forge = Forge::good();
    let document: Value = serde_json::from_str(&forge.text()).unwrap();
    let mut missed = 0;
    for (field, shorter) in without_a_field(&document) {
        let found = check(&forge.sealed_text(shorter.to_string().as_bytes()).bytes());
        if !optional.contains(field.as_str()) {
            missed += 1;
            assert!(found.is_err(), "{field} may be absent: {shorter}");
        }
    }
    assert!(missed > 40, "{missed}");
}
