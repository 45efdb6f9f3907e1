//! What must hold for every draft, document, name and header, on generated ones.

#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use bundle_format::{
    BundleDraft, BundleName, Digest, Extent, GroupName, KernelDraft, KernelId, KernelRelease, ModuleDraft,
    RawBundle, RedCell, ScriptName, ScriptRecord, Stream, Toolchain, TrustedKeys,
};
use fixtures::forge::{Forge, farm, header, public, sign};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use serde_json::Value;

/// Modules by release and script; those left out are red cells.
type Cells = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// A draft of these scripts; a script that a kernel has no module of is red there.
fn drafted(scripts: &BTreeSet<String>, cells: &Cells) -> BundleDraft {
    let script = |name: &String| ScriptRecord::plain(name.parse().unwrap(), Digest::of(name.as_bytes()));
    let module =
        |(name, bytes): (&String, &Vec<u8>)| ModuleDraft::of_bytes(name.parse().unwrap(), bytes.clone());
    let red =
        |name: &String| RedCell { script: name.parse().unwrap(), reason: "none".to_owned(), skipped: false };
    let kernels = cells.iter().map(|(release, modules)| KernelDraft {
        vermagic: (!modules.is_empty()).then(|| format!("{release} SMP ")),
        modules: modules.iter().map(module).collect(),
        red: scripts.iter().filter(|name| !modules.contains_key(*name)).map(red).collect(),
        ..KernelDraft::of(release.parse().unwrap(), "x86_64".parse().unwrap())
    });
    BundleDraft {
        name: "generated".parse().unwrap(),
        version: "1".parse().unwrap(),
        serial: 1,
        created: 1,
        best_before: None,
        roots: None,
        scripts: scripts.iter().map(script).collect(),
        toolchains: vec![Toolchain {
            stap: "5".to_owned(),
            compiler: "c".to_owned(),
            digest: Digest::of(b""),
        }],
        kernels: kernels.collect(),
    }
}

fn signed(draft: &BundleDraft) -> Vec<u8> {
    let unsigned = draft.pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    let signature = sign(&farm(), &unsigned.message());
    let mut bytes = Vec::new();
    unsigned.attach(&[(public(&farm()), signature)]).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

fn cells() -> impl Strategy<Value = (BTreeSet<String>, Cells)> {
    // Lower case only: names that differ in case alone are refused.
    let name = "[a-z_][a-z0-9_]{0,20}";
    btree_set(name, 1..5).prop_flat_map(|scripts| {
        let names: Vec<String> = scripts.iter().cloned().collect();
        let modules = btree_map(proptest::sample::select(names), vec(any::<u8>(), 0..3000), 0..5);
        let kernels = btree_map("[0-9]\\.[0-9]{1,3}(-[a-z0-9+~_]{1,10})?", modules, 1..5);
        (Just(scripts), kernels)
    })
}

/// JSON values as strict JSON has them, and as it doesn't.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(9, 64, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(".{0,5}", inner, 0..5).prop_map(Value::from_iter),
        ]
    })
}

/// Whether the rules of section 6.1 hold for a value, as the page has them.
fn is_strict(value: &Value, depth: usize) -> bool {
    depth <= 8
        && match value {
            Value::Null => false,
            Value::Bool(_) | Value::String(_) => true,
            Value::Number(number) => number.as_u64().is_some_and(|number| i64::try_from(number).is_ok()),
            Value::Array(list) => list.iter().all(|value| is_strict(value, depth + 1)),
            Value::Object(map) => map.values().all(|value| is_strict(value, depth + 1)),
        }
}

/// Whether a reader takes a good manifest with this text for an unknown field.
fn takes(field: &str) -> bool {
    let text = Forge::of("fleet", 7, &["6.12.1"]).text().replacen('{', &format!("{{\"unknown\":{field},"), 1);
    let mut sealed = Forge::of("fleet", 7, &["6.12.1"]).sealed_text(text.as_bytes());
    sealed.members.truncate(4);
    let bytes = sealed.bytes();
    let taken = RawBundle::read(Stream(bytes.as_slice()))
        .unwrap()
        .verify(&TrustedKeys::any_of([public(&farm())]))
        .is_ok();
    assert!(!taken || serde_json::from_str::<Value>(&text).is_ok(), "only ours takes {field}");
    taken
}

fn set_of_chars(extra: &str) -> impl Fn(&str) -> bool {
    move |text| text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_draft_comes_back_as_it_was((scripts, cells) in cells()) {
        let drafted = drafted(&scripts, &cells);
        let bytes = signed(&drafted);
        prop_assert_eq!(&bytes, &signed(&drafted), "the same draft gives other bytes");
        let trusted = TrustedKeys::any_of([public(&farm())]);
        let open = || RawBundle::read(Cursor::new(&bytes)).unwrap().verify(&trusted).unwrap();
        let manifest = open().manifest().clone();
        let mut found = Cells::new();
        for kernel in &manifest.kernels {
            let modules = found.entry(kernel.release.to_string()).or_default();
            let only = BTreeSet::from([kernel.id]);
            open().read_content(&only, Extent::Wanted, &mut |_, set| {
                modules.extend(set.modules().map(|module| (module.record.name.to_string(), module.bytes.to_vec())));
                Ok(())
            }).unwrap();
        }
        prop_assert_eq!(found, cells);
        let all: BTreeSet<KernelId> = manifest.kernels.iter().map(|kernel| kernel.id).collect();
        open().read_content(&all, Extent::Everything, &mut |_, _| Ok(())).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn strict_json_takes_what_the_page_allows_and_nothing_else(value in value()) {
        // The field stands in the outer object.
        prop_assert_eq!(takes(&value.to_string()), is_strict(&value, 2), "{}", value);
    }

    #[test]
    fn strict_json_takes_no_text_that_another_parser_refuses(text in "[\\[\\]{}:,\"0-9eE+.\\-truefalsn \\\\u]{0,24}") {
        takes(&text);
    }

    #[test]
    fn names_follow_their_rules(text in prop_oneof!["[A-Za-z0-9._+~\\-/ ]{0,70}", any::<String>()]) {
        let first = |ok: fn(char) -> bool| text.chars().next().is_some_and(ok);
        let short = !text.is_empty() && text.len() <= 64 && !text.contains("..");
        let plain = first(|c| c.is_ascii_alphanumeric());
        prop_assert_eq!(text.parse::<KernelRelease>().is_ok(), short && plain && set_of_chars("._+~-")(&text));
        prop_assert_eq!(text.parse::<BundleName>().is_ok(), short && plain && set_of_chars("._+-")(&text));
        let script = first(|c| c.is_ascii_alphabetic() || c == '_') && text.len() <= 55 && set_of_chars("_")(&text);
        prop_assert_eq!(text.parse::<ScriptName>().is_ok(), script);
        if let Ok(name) = text.parse::<KernelRelease>() {
            prop_assert_eq!(name.to_string(), text.clone());
        }
        if let Ok(group) = text.parse::<GroupName>() {
            prop_assert!(group.as_str().len() <= 32 && !group.as_str().contains(|c: char| c.is_ascii_uppercase()));
        }
    }

    #[test]
    fn headers_are_those_of_the_tar_crate(name in "[A-Za-z0-9][A-Za-z0-9._/\\-]{0,99}", size in 0..1_u64 << 33) {
        prop_assume!(name.split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
        let mut other = tar::Header::new_ustar();
        other.set_path(&name).unwrap();
        other.set_mode(0o644);
        other.set_uid(0);
        other.set_gid(0);
        other.set_mtime(0);
        other.set_size(size);
        other.set_entry_type(tar::EntryType::Regular);
        other.set_cksum();
        let ours = header(&name, size);
        prop_assert_eq!(ours.as_slice(), other.as_bytes().as_slice());
    }
}

#[test]
fn a14_releases_of_the_field_are_taken_and_weapons_are_not() {
    const RELEASES: &str = include_str!("releases.txt");
    let real: BTreeSet<&str> =
        RELEASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(real.len(), 400);
    for text in real {
        let release = text.parse::<KernelRelease>().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(release.as_str(), text);
    }
    let bad = [
        "",
        ".",
        "..",
        "/",
        "-",
        "+",
        "~",
        "_",
        "6..1",
        "6/1",
        "/6.1",
        "6.1/",
        "6.1 ",
        " 6.1",
        "6 1",
        "6.1\n",
        "6.1\0",
        "6.1\t",
        "6.1\r",
        "6.1;x",
        "6.1&x",
        "6.1|x",
        "6.1$x",
        "6.1`x",
        "6.1'x",
        "6.1\"x",
        "6.1\\x",
        "6.1*",
        "6.1?",
        "6.1[x]",
        "6.1{x}",
        "6.1(x)",
        "6.1<x",
        "6.1>x",
        "6.1#x",
        "6.1%x",
        "6.1@x",
        "6.1=x",
        "6.1,x",
        "6.1\u{202e}x",
    ];
    assert_eq!(bad.len(), 40);
    for text in bad {
        assert!(text.parse::<KernelRelease>().is_err(), "{text:?}");
    }
}
