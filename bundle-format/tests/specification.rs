//! Holds `docs/bundle-spec.md` to the code: tables, examples and test vectors are read from the page.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at a surprise")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor};
use std::process::Command;

use bundle_format::{
    BundleError, BundleName, BundleVersion, Digest, Extent, Extra, Frame, GroupName, KernelId, KernelRelease,
    Machine, Manifest, ProgramRecord, PublicKey, RawBundle, RedCell, Role, ScriptName, Source, Stream,
    TrustedKeys, limits,
};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::Value;
use support::{SPEC, body, code_block, draft, kernel, key_pair, module, script, signed};

const GOLDEN: &[u8] = include_bytes!("../../fixtures/golden/format-1.stapb");
const GOLDEN_KEY: &str = include_str!("../../fixtures/golden/format-1.pub");

/// The cells of the table after the comment `<!-- table: NAME -->`, without its head.
fn table(name: &str) -> Vec<Vec<&'static str>> {
    let (_, after) = SPEC.split_once(&format!("<!-- table: {name} -->")).unwrap();
    let lines = after.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

fn test_key() -> [u8; 32] {
    let block = code_block("vector: key");
    let secret = block.lines().find_map(|line| line.strip_prefix("secret")).unwrap();
    from_hex(secret).try_into().unwrap()
}

fn trusted() -> TrustedKeys {
    TrustedKeys::any_of([PublicKey::from_pem(GOLDEN_KEY).unwrap()])
}

fn golden_manifest() -> Manifest {
    RawBundle::read(Stream(GOLDEN)).unwrap().verify(&trusted()).unwrap().manifest().clone()
}

/// The members of a bundle: name, header and content, as section 2 has them.
fn members(mut bytes: &[u8]) -> Vec<(String, &[u8], &[u8])> {
    let mut members = Vec::new();
    while bytes[0] != 0 {
        let name = bytes.split(|byte| *byte == 0).next().unwrap();
        let size = std::str::from_utf8(&bytes[124..135]).unwrap();
        let size = usize::from_str_radix(size, 8).unwrap();
        members.push((String::from_utf8(name.to_vec()).unwrap(), &bytes[..512], &bytes[512..512 + size]));
        bytes = &bytes[512 + size.next_multiple_of(512)..];
    }
    assert_eq!(bytes, [0; 1024]);
    members
}

/// A header by the rules of section 2.1 alone.
fn header(name: &str, size: usize) -> Vec<u8> {
    let mut header = [name.as_bytes(), &[0; 512]].concat();
    header.truncate(512);
    let checksum_at = 148;
    for row in table("header") {
        let at: usize = row[0].parse().unwrap();
        let len: usize = row[1].parse().unwrap();
        let bytes = match row[2] {
            "name" => continue,
            "size" => format!("{size:011o}\0").into_bytes(),
            "checksum" => {
                assert_eq!(at, checksum_at);
                vec![b' '; 8]
            }
            repeated if repeated.ends_with('*') => vec![from_hex(repeated)[0]; len],
            fixed => from_hex(fixed),
        };
        assert_eq!(bytes.len(), len, "{row:?}");
        header[at..at + len].copy_from_slice(&bytes);
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[checksum_at..checksum_at + 8].copy_from_slice(format!("{sum:07o}\0").as_bytes());
    header
}

/// A member by the rules of section 2 alone.
fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = [&header(name, content.len()), content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A bundle with this raw manifest, signed with the test key; it has no frames.
fn bundle_of_manifest(manifest: &[u8]) -> Vec<u8> {
    let secret = SigningKey::from_bytes(&test_key());
    let template = code_block("signed message").trim_end().replace("LENGTH", &manifest.len().to_string());
    let message = [template.strip_suffix("MANIFEST").unwrap().as_bytes(), manifest].concat();
    let id = PublicKey::from_pem(GOLDEN_KEY).unwrap().id();
    let mut signatures = vec![0, 0, 0, 1];
    signatures.extend(id.as_bytes());
    signatures.extend(secret.sign(&message).to_bytes());
    signatures.resize(1540, 0);
    let first = members(GOLDEN)[0].2;
    [
        member("stap-bundle", first),
        member("signatures", &signatures),
        member("roots", b""),
        member("manifest.json", manifest),
        vec![0; 1024],
    ]
    .concat()
}

/// Why the golden bundle's manifest is refused after `spoil`; a good signature and content digest are made.
fn refusal(spoil: impl FnOnce(&mut Manifest)) -> String {
    let mut manifest = golden_manifest();
    spoil(&mut manifest);
    manifest.content = manifest.content_digest();
    refusal_of_text(&serde_json::to_string(&manifest).unwrap())
}

fn refusal_of_text(manifest: &str) -> String {
    let bytes = bundle_of_manifest(manifest.as_bytes());
    match RawBundle::read(Stream(bytes.as_slice())).unwrap().verify(&trusted()) {
        Ok(_) => "accepted".to_owned(),
        Err(BundleError::Json { source, .. }) => format!("JSON: {source}"),
        Err(error) => error.to_string(),
    }
}

fn golden_text() -> String {
    String::from_utf8(members(GOLDEN)[3].2.to_vec()).unwrap()
}

/// All of a bundle's modules: release, name, bytes.
fn modules(bytes: &[u8]) -> Vec<(String, String, Vec<u8>)> {
    let bundle = RawBundle::read(Stream(bytes)).unwrap().verify(&trusted()).unwrap();
    let all: BTreeSet<KernelId> = bundle.manifest().kernels.iter().map(|kernel| kernel.id).collect();
    let mut modules = Vec::new();
    bundle
        .read_content(&all, Extent::Everything, &mut |kernel, set| {
            for module in set.modules() {
                let name = module.record.name.to_string();
                modules.push((kernel.release.to_string(), name, module.bytes.to_vec()));
            }
            Ok(())
        })
        .unwrap();
    modules
}

#[test]
fn each_limit_is_in_the_table_with_its_value() {
    let values: BTreeMap<&str, u64> = BTreeMap::from([
        ("BLOCK", limits::BLOCK as u64),
        ("END_MARK", limits::END_MARK as u64),
        ("MAX_SIGNATURES", limits::MAX_SIGNATURES as u64),
        ("MAX_ROOTS", limits::MAX_ROOTS),
        ("MAX_ROOT_COUNT", limits::MAX_ROOT_COUNT as u64),
        ("MAX_ROOT", limits::MAX_ROOT),
        ("MAX_ROOT_KEYS", limits::MAX_ROOT_KEYS as u64),
        ("MAX_THRESHOLD", limits::MAX_THRESHOLD),
        ("MAX_REVOKED", limits::MAX_REVOKED as u64),
        ("MAX_MANIFEST", limits::MAX_MANIFEST),
        ("MAX_JSON_DEPTH", limits::MAX_JSON_DEPTH as u64),
        ("MAX_MEMBER", limits::MAX_MEMBER),
        ("MAX_PLAIN_FRAME", limits::MAX_PLAIN_FRAME),
        ("MAX_REFERENCE_AND_FRAME", limits::MAX_REFERENCE_AND_FRAME),
        ("MAX_LIVE_REFERENCES", limits::MAX_LIVE_REFERENCES),
        ("MAX_WINDOW_LOG", u64::from(limits::MAX_WINDOW_LOG)),
        ("MAX_FRAMES", limits::MAX_FRAMES as u64),
        ("MAX_REFERENCE_DEPTH", limits::MAX_REFERENCE_DEPTH as u64),
        ("MAX_SCRIPTS", limits::MAX_SCRIPTS as u64),
        ("MAX_PROGRAMS", limits::MAX_PROGRAMS as u64),
        ("MAX_BUILD_ID", limits::MAX_BUILD_ID as u64),
        ("MAX_EXTRAS", limits::MAX_EXTRAS as u64),
        ("MAX_TEXT", limits::MAX_TEXT as u64),
        ("MAX_JSON_VALUES", limits::MAX_JSON_VALUES as u64),
        ("MAX_TRAILER", limits::MAX_TRAILER as u64),
        ("MAX_CERTIFICATE", limits::MAX_CERTIFICATE),
        ("MAX_PARTS", u64::from(limits::MAX_PARTS)),
    ]);
    let source = include_str!("../src/limits.rs").lines();
    let constants =
        source.filter_map(|line| line.strip_prefix("pub const ")).filter(|line| !line.starts_with("fn "));
    let names = constants.filter_map(|line| Some(line.split_once(": ")?.0));
    assert_eq!(names.collect::<BTreeSet<_>>(), values.keys().copied().collect());
    let rows = table("limits");
    let stated: BTreeMap<&str, u64> = rows.iter().map(|row| (row[0], row[1].parse().unwrap())).collect();
    assert_eq!(stated, values);
    for plain in [1, 255, 256, 1000, limits::MAX_PLAIN_FRAME] {
        assert_eq!(limits::max_compressed(plain), plain + plain / 256 + 1024);
    }
}

#[test]
fn headers_are_those_of_the_table() {
    for (name, found, content) in members(GOLDEN) {
        assert_eq!(found, header(&name, content.len()), "{name}");
    }
    let (mut at, mut covered) = (0, Vec::new());
    for row in table("header") {
        covered.push((at, row[0].parse::<usize>().unwrap()));
        at += row[1].parse::<usize>().unwrap();
    }
    assert!(covered.iter().all(|(end, next)| end == next), "{covered:?}");
    assert_eq!(at, 512);
}

#[test]
fn the_signed_message_is_the_one_stated() {
    let manifest = golden_text();
    let message = code_block("signed message")
        .trim_end()
        .replace("LENGTH", &manifest.len().to_string())
        .replace("MANIFEST", &manifest);
    assert_eq!(Role::Manifest.signed_message(manifest.as_bytes()), message.as_bytes());
}

#[test]
fn the_kernel_id_is_the_digest_of_the_stated_bytes() {
    let manifest = golden_manifest();
    let hashed = from_hex(&code_block("vector: kernel id"));
    let kernel = manifest.kernels_by_release()[0];
    assert_eq!(kernel.id.to_string(), digest(&hashed));
    assert_eq!(kernel.computed_id(), kernel.id);
    assert!(SPEC.contains(&format!("Its id is `{}`", kernel.id)));
    let bare = KernelId::of(&"6.12.1".parse().unwrap(), &"x86_64".parse().unwrap(), None, None, None);
    assert!(SPEC.contains(&format!("`{bare}`")));
}

#[test]
fn the_content_digest_is_that_of_the_stated_bytes() {
    let hashed = from_hex(&code_block("vector: content"));
    let content = golden_manifest().content_digest().to_string();
    assert_eq!(content, digest(&hashed));
    assert!(SPEC.contains(&format!("Their digest is `{content}`")));
}

#[test]
fn the_golden_bundle_is_the_stated_one_and_is_read() {
    let digests = code_block("vector: digests");
    assert!(digests.contains(&format!("{} bytes  {}", GOLDEN.len(), digest(GOLDEN))));
    let bundle = RawBundle::read(Stream(GOLDEN)).unwrap().verify(&trusted()).unwrap();
    assert!(digests.contains(&format!("bundle id  {}", bundle.id())));
    let (_, public) = key_pair(&test_key());
    assert_eq!(public.to_pem().unwrap(), GOLDEN_KEY);
    assert!(code_block("vector: key").contains(&format!("key id  {}", public.id())));
    assert_eq!(from_hex(&code_block("vector: signature")), GOLDEN[1540..1636]);
    let manifest = code_block("vector: manifest").replace('\n', "");
    assert_eq!(manifest, golden_text());
    assert_eq!(manifest.as_bytes(), &GOLDEN[4608..4608 + manifest.len()]);
    let set = code_block("vector: SET.json").replace('\n', "");
    let record = golden_manifest().kernels_by_release()[0].frames[0].clone();
    assert_eq!(Digest::of(set.as_bytes()), record.set_sha256);
    let expected = [("6.12.9-test", "alpha", 1), ("6.12.9-test", "beta", 2), ("6.12.10-test", "alpha", 3)];
    let expected = expected.map(|(release, name, salt)| (release.into(), name.into(), body(1000, salt)));
    assert_eq!(modules(GOLDEN), expected);
}

#[test]
fn the_writer_still_writes_the_golden_bundle() {
    let mut beta = script("beta");
    beta.options = "-g -DMAXSKIPPED=5 \"two words\"".to_owned();
    beta.compile = vec!["-g".to_owned(), "-DMAXSKIPPED=5".to_owned()];
    beta.arguments = vec!["two words".to_owned()];
    beta.requires = vec!["alpha".parse().unwrap()];
    beta.users = vec![GroupName::stapusr()];
    let mut red = kernel("6.12.10-test", vec![module("alpha", body(1000, 3))]);
    red.red = vec![RedCell {
        script: "beta".parse().unwrap(),
        reason: "no such probe point".to_owned(),
        skipped: false,
    }];
    let green = kernel("6.12.9-test", vec![module("alpha", body(1000, 1)), module("beta", body(1000, 2))]);
    let bytes = signed(&draft(vec![beta, script("alpha")], vec![red, green]), &test_key());
    assert!(bytes == GOLDEN, "other bytes than those of zstd 1.5.7: was zstd or the writer changed?");
}

fn delta_text() -> String {
    let bytes = include_bytes!("../../fixtures/golden/format-1-delta.stapb");
    let keys = TrustedKeys::any_of([PublicKey::from_pem(GOLDEN_KEY).unwrap()]);
    let bundle = RawBundle::read(Stream(bytes.as_slice())).unwrap().verify(&keys).unwrap();
    serde_json::to_string(bundle.manifest()).unwrap()
}

#[test]
fn fields_are_those_of_the_tables_in_their_order() {
    // serde_json's own map sorts its keys, so the order is looked for in the text.
    let manifest = golden_text();
    let set = code_block("vector: SET.json");
    let delta = delta_text();
    let program = serde_json::to_string(&ProgramRecord {
        path: "/usr/bin/alpha".to_owned(),
        build_id: "aa".to_owned(),
        sha256: Digest::of(b""),
        kernels: vec![golden_manifest().kernels[0].id],
    })
    .unwrap();
    let places = [
        ("manifest", manifest.as_str()),
        ("from", delta.split_once("\"from\":").unwrap().1),
        ("script", manifest.split_once("\"scripts\":[").unwrap().1),
        ("program", program.as_str()),
        ("kernel", manifest.split_once("\"kernels\":[").unwrap().1),
        ("frame", manifest.split_once("\"frames\":[").unwrap().1),
        ("module", set.split_once("\"modules\":[").unwrap().1),
    ];
    for (name, text) in places {
        let text = text.trim_start();
        let object: Value =
            serde_json::Deserializer::from_str(text).into_iter::<Value>().next().unwrap().unwrap();
        let found: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
        let rows = table(name);
        let stated: BTreeSet<&str> = rows.iter().map(|row| row[0]).collect();
        let needed = rows.iter().filter(|row| !row[1].contains("optional")).map(|row| row[0]).collect();
        assert!(found.is_subset(&stated), "{name}: {found:?}");
        assert!(found.is_superset(&needed), "{name}: {found:?}");
        let present = rows.iter().filter(|row| found.contains(row[0]));
        let mut rest = text;
        for row in present {
            let key = format!("\"{}\":", row[0]);
            rest = rest.split_once(&key).unwrap_or_else(|| panic!("{name}: {key} is out of order")).1;
        }
    }
}

#[test]
fn the_root_of_the_test_vector_is_read_and_signed_as_stated() {
    let raw = code_block("vector: root").replace('\n', "");
    let (secret, public) = key_pair(&test_key());
    let message = Role::Root.signed_message(raw.as_bytes());
    let template = code_block("signed root").trim_end().replace("LENGTH", &raw.len().to_string());
    assert_eq!(message, template.replace("ROOT", &raw).as_bytes());
    let signature = secret.sign(&message).to_bytes();
    let stated = code_block("vector: root signature");
    assert_eq!(from_hex(&stated), [public.id().as_bytes().as_slice(), &signature].concat());
    let mut block = [&[0, 0, 0, 1], public.id().as_bytes().as_slice(), &signature].concat();
    block.resize(1540, 0);
    let len = u32::try_from(raw.len()).unwrap().to_be_bytes();
    let member = [len.as_slice(), &block, raw.as_bytes()].concat();
    let chain = trusted().accept_roots(&member).unwrap();
    assert!(SPEC.contains(&format!("has {} bytes and the digest\n`{}`", member.len(), digest(&member))));
    assert!(SPEC.contains(&format!(
        "digest of the document, which `prev` of root 2 names, is\n`{}`",
        digest(raw.as_bytes())
    )));
    assert_eq!(chain.to_bytes().unwrap(), member);
    assert_eq!(chain.newest().document().write().unwrap(), raw.as_bytes());
    let fields = table("root").iter().map(|row| row[0]).collect::<Vec<_>>();
    let mut rest = raw.as_str();
    for field in fields.iter().filter(|field| **field != "prev") {
        rest = rest.split_once(&format!("\"{field}\":")).unwrap_or_else(|| panic!("{field}")).1;
    }
}

#[test]
fn a_part_of_a_split_bundle_is_recognised_by_the_stated_magic() {
    let (_, after) = SPEC.split_once("### 18.2").unwrap();
    let magic = after.split_once("magic: ").unwrap().1.split_once(" |").unwrap().0;
    let mut part = from_hex(magic);
    assert_eq!(part.len(), 16);
    part.resize(2048, 0);
    let error = RawBundle::read(Stream(part.as_slice())).unwrap_err();
    assert!(error.to_string().contains("part of a split bundle"), "{error}");
}

#[test]
fn a_base_in_a_full_bundle_is_refused() {
    let base = |manifest: &mut Manifest, index: usize| {
        let kernel = manifest.kernels.iter_mut().find(|kernel| kernel.frames[0].index == index).unwrap();
        kernel.frames[0].base = Some(Digest::of(b"base"));
    };
    assert!(refusal(|manifest| base(manifest, 0)).contains("has a base, but the bundle is no delta"));
    let both = refusal(|manifest| {
        manifest.kind = bundle_format::BundleKind::Delta;
        let (id, version) = (bundle_format::BundleId::of_manifest(b"x"), "1".parse().unwrap());
        manifest.from = Some(bundle_format::BaseBundle { id, version, serial: 1 });
        base(manifest, 1);
    });
    assert!(both.contains("frame 1 has a base and a reference"), "{both}");
}

#[test]
fn every_payload_type_is_stated_with_its_length() {
    for role in [Role::Manifest, Role::Root, Role::BuildResult] {
        let kind = role.payload_type();
        assert!(SPEC.contains(&format!("| {} | `{kind}` |", kind.len())), "{kind}");
    }
}

/// The characters of `[...]` at the beginning of a rule, and what follows it.
fn class(rule: &str) -> (BTreeSet<char>, &str) {
    let (inside, rest) = rule.strip_prefix('[').unwrap().split_once(']').unwrap();
    let letters: Vec<char> = inside.chars().collect();
    let mut set = BTreeSet::new();
    let mut at = 0;
    while at < letters.len() {
        if letters.get(at + 1) == Some(&'-') && at + 2 < letters.len() {
            set.extend(letters[at]..=letters[at + 2]);
            at += 3;
        } else {
            set.insert(letters[at]);
            at += 1;
        }
    }
    (set, rest)
}

/// Whether a text is taken as a name.
type Taken = fn(&str) -> bool;

#[test]
fn names_follow_the_stated_rules() {
    let kinds: [(&str, Taken); 6] = [
        ("script", |text| text.parse::<ScriptName>().is_ok()),
        ("kernel release", |text| text.parse::<KernelRelease>().is_ok()),
        ("bundle name", |text| text.parse::<BundleName>().is_ok()),
        ("bundle version", |text| text.parse::<BundleVersion>().is_ok()),
        ("machine", |text| text.parse::<Machine>().is_ok()),
        ("group", |text| text.parse::<GroupName>().is_ok()),
    ];
    for (name, taken) in kinds {
        let (_, after) = SPEC.split_once(&format!("\n| {name} | `^")).unwrap();
        let (first, rest) = class(after);
        let (others, rest) = class(rest);
        let (more, _) = rest.strip_prefix("{0,").unwrap().split_once('}').unwrap();
        let more: usize = more.parse().unwrap();
        assert!(taken(&"a".repeat(more + 1)) && !taken(&"a".repeat(more + 2)) && !taken(""), "{name}");
        for letter in (0..=0x17f).filter_map(char::from_u32) {
            assert_eq!(taken(&letter.to_string()), first.contains(&letter), "{name}: {letter:?} first");
            assert_eq!(taken(&format!("a{letter}a")), others.contains(&letter), "{name}: {letter:?} later");
        }
        assert!(!taken("a..b") && !taken("a/b"), "{name}");
    }
}

#[test]
fn gnu_tar_lists_what_the_manifest_says() {
    let path = std::env::temp_dir().join(format!("stap-bundle-listing-{}.stapb", std::process::id()));
    std::fs::write(&path, GOLDEN).unwrap();
    let listed = Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(&path).env("TZ", "UTC0").output();
    std::fs::remove_file(&path).unwrap();
    let listed = listed.unwrap_or_else(|error| panic!("package `tar` (GNU tar) is needed: {error}"));
    assert!(listed.status.success() && listed.stderr.is_empty(), "{listed:?}");
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed, code_block("vector: listing"));
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next_back()).collect();
    let manifest = golden_manifest();
    let fixed = ["stap-bundle", "signatures", "roots", "manifest.json"].map(str::to_owned);
    let extras = manifest.extras.iter().map(|extra| extra.name.clone());
    let frames = manifest.frames().into_iter().map(|of| of.member);
    assert_eq!(names, fixed.into_iter().chain(extras).chain(frames).collect::<Vec<_>>());
}

#[test]
fn a_manifest_written_by_the_page_alone_is_read() {
    assert_eq!(refusal(|_| {}), "accepted");
    // A field that nobody knows, and white space.
    let text = golden_text().replacen("{\"format\":1,", "{\"later\": [{\"x\": 1}],\n \"format\" : 1,", 1);
    assert_eq!(refusal_of_text(&text), "accepted");
}

#[test]
fn what_a_newer_manifest_needs_is_said_before_its_shape_is_judged() {
    let other_shape = golden_text().replacen("\"kernels\":[", "\"kernels\":{},\"old_kernels\":[", 1);
    assert!(refusal_of_text(&other_shape).starts_with("JSON"));
    for (from, to, what) in [
        ("\"critical\":[]", "\"critical\":[\"trailers\"]", "`trailers`"),
        ("\"minimum_reader\":0", "\"minimum_reader\":1", "`format 1.1`"),
        ("\"format\":1", "\"format\":2", "`format 2`"),
    ] {
        let found = refusal_of_text(&other_shape.replacen(from, to, 1));
        assert!(found.contains(what) && found.contains("newer stap-bundle"), "{found}");
    }
}

#[test]
fn an_object_of_the_manifest_spelled_as_a_list_is_refused() {
    let text = golden_text();
    let roots = text.split_once("\"roots\":").unwrap().1.split_once('}').unwrap().0;
    let list = roots.replace('{', "[").replace("\"first\":", "").replace("\"last\":", "");
    let list = list.replace("\"size\":", "").replace("\"sha256\":", "") + "]";
    let spelled = text.replacen(&format!("{roots}}}"), &list, 1);
    assert_ne!(spelled, text);
    assert!(refusal_of_text(&spelled).starts_with("JSON"));
    let kind = text.replacen("\"full\"", "{\"full\":null}", 1);
    assert!(refusal_of_text(&kind).starts_with("JSON"));
}

#[test]
fn references_that_would_fill_the_memory_are_refused() {
    let with_live_references = |count: usize| {
        refusal(|manifest| {
            let old = manifest.kernels[0].frames[0].clone();
            let plain_size = limits::MAX_PLAIN_FRAME;
            let frame = |index: usize| {
                let reference = index.checked_sub(count);
                Frame { index, reference, plain_size, ..old.clone() }
            };
            manifest.kernels[0].frames = (0..2 * count).map(frame).collect();
            manifest.kernels[1].frames = vec![Frame { index: 2 * count, reference: None, ..old.clone() }];
        })
    };
    assert_eq!(with_live_references(4), "accepted");
    let found = with_live_references(5);
    assert!(found.contains("references are in use"), "{found}");
}

#[test]
fn root_versions_without_roots_are_refused() {
    let found = refusal(|manifest| manifest.roots.last = 3);
    assert!(found.contains("roots 0 to 3 have 0 bytes"), "{found}");
}

#[test]
fn requirements_that_form_a_cycle_are_refused() {
    let found = refusal(|manifest| manifest.scripts[0].requires = vec!["beta".parse().unwrap()]);
    assert!(found.contains("cycle"), "{found}");
}

#[test]
fn an_extra_that_tar_could_not_unpack_is_refused() {
    let with = |names: &[&str]| {
        let extra = |name: &&str| Extra { name: (*name).to_owned(), size: 0, sha256: Digest::of(b"") };
        refusal(|manifest| manifest.extras = names.iter().map(extra).collect())
    };
    assert_eq!(with(&["sbom.spdx.json", "new-thing"]), "accepted");
    for names in [&["kernels"][..], &["Roots"], &["-rf"], &[".x"], &["a/b"], &[""], &["a", "A"]] {
        assert!(with(names).contains("extra"), "{names:?}");
    }
}

#[test]
fn a_direct_read_compares_the_end_mark() {
    let manifest = golden_manifest();
    let wanted = BTreeSet::from([manifest.kernels_by_release()[0].id]);
    let read = |bytes: &[u8]| {
        let bundle = RawBundle::read(Cursor::new(bytes)).unwrap().verify(&trusted()).unwrap();
        bundle.read_content(&wanted, Extent::Wanted, &mut |_, _| Ok(()))
    };
    assert!(read(GOLDEN).is_ok());
    for from_end in [1, 512, 1024] {
        let mut spoiled = GOLDEN.to_vec();
        let at = spoiled.len() - from_end;
        spoiled[at] = 1;
        assert!(matches!(read(&spoiled), Err(BundleError::Header { .. })), "{from_end}");
    }
}

#[test]
fn a_source_that_fails_is_not_called_no_bundle() {
    struct Broken;
    impl Source for Broken {
        fn read_full(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("medium error"))
        }
        fn skip(&mut self, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn remaining(&mut self) -> io::Result<Option<u64>> {
            Ok(None)
        }
    }
    assert!(matches!(RawBundle::read(Broken), Err(BundleError::Io { .. })));
}

#[test]
fn a_set_whose_text_is_not_printable_is_refused() {
    let set = code_block("vector: SET.json").replace('\n', "");
    let read = |text: &str| bundle_format::read_set(text.as_bytes(), &Digest::of(text.as_bytes()));
    assert!(read(&set).is_ok());
    let with =
        |text: &str| read(&set.replacen("\"trailers\"", &format!("\"build_id\":\"{text}\",\"trailers\""), 1));
    assert!(with("0a1b").is_ok());
    assert!(with("\\u001b[2J").is_err());
}
