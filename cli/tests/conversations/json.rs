//! `--json`: one document on standard output with members that stay, and nothing else. That each fits its schema is seen wherever a
//! conversation asks for JSON (`schema`).

use std::collections::BTreeSet;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::bundles::{Bundle, fleet};
use crate::schema::{PAGE, SCHEMAS, misfit};
use crate::world::TestWorld;

/// The commands of the tree that do something, with a space between their words.
fn commands(command: &clap::Command, before: &str) -> Vec<String> {
    let below = command.get_subcommands().filter(|below| below.get_name() != "help");
    let mut found: Vec<String> =
        below.flat_map(|below| commands(below, &format!("{before} {}", below.get_name()))).collect();
    if found.is_empty() || command.get_positionals().next().is_some() {
        found.push(before.trim_start().to_owned());
    }
    found
}

#[test]
fn each_command_is_on_the_page_with_documents_that_have_a_schema() {
    let commands: BTreeSet<String> = commands(&stap_bundle::command(), "").into_iter().collect();
    let named: BTreeSet<String> = PAGE.keys().cloned().collect();
    assert_eq!(named, commands, "docs/operating/json.md names other commands than there are");
    let without: Vec<&str> =
        PAGE.iter().filter(|(_, kinds)| kinds.is_empty()).map(|(name, _)| &**name).collect();
    assert_eq!(without, ["attach", "completions", "manual", "onboot stage", "server reload"]);
    let kinds: BTreeSet<String> = PAGE.values().flatten().map(|kind| format!("{kind}.json")).collect();
    let files: BTreeSet<String> = SCHEMAS.keys().cloned().collect();
    let others: BTreeSet<String> = ["common-1.json", "error-1.json"].map(str::to_owned).into();
    assert_eq!(kinds.union(&others).cloned().collect::<BTreeSet<_>>(), files);
    for (file, schema) in SCHEMAS.iter().filter(|(file, _)| *file != "common-1.json") {
        let name = file.trim_end_matches(".json").replacen("-1", "/1", 1);
        let name = name.rsplit_once("/1").map_or(name.clone(), |(name, _)| format!("{name}/1"));
        assert_eq!(schema["properties"]["schema"], json!({ "const": name }), "{file}");
        assert!(schema["required"].as_array().unwrap().contains(&"schema".into()), "{file}");
    }
}

#[test]
fn what_a_schema_does_not_allow_is_seen() {
    let schema = SCHEMAS.get("error-1.json").unwrap();
    let good = json!({
        "schema": "error/1",
        "error": { "code": 16, "id": null, "what": "no", "because": ["x"], "hints": [], "removal": { "kernels": [], "scripts": [] } }
    });
    assert_eq!(misfit(schema, &good, "error-1.json"), None);
    for (pointer, name, value, place) in [
        ("", "schema", json!("error/2"), "/schema"),
        ("", "later", json!(1), ""),
        ("/error", "code", json!("16"), "/error/code"),
        ("/error", "because", json!([1]), "/error/because/0"),
        ("/error/removal", "kernels", json!(null), "/error/removal/kernels"),
    ] {
        let mut spoiled = good.clone();
        spoiled.pointer_mut(pointer).unwrap()[name] = value;
        let found = misfit(schema, &spoiled, "error-1.json").unwrap_or_else(|| panic!("{spoiled}"));
        assert_eq!(found.0, place, "{found:?}");
    }
    let mut without = good;
    without["error"].as_object_mut().unwrap().remove("what");
    assert!(misfit(schema, &without, "error-1.json").unwrap().1.contains("\"what\" is missing"));
}

#[test]
fn the_farm_side() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    world.bundle("fleet-2.stapb", &Bundle { define: 2, ..fleet(2) });
    let key = world.json("key generate --out farm2");
    assert_eq!(key["schema"], "key-generate/1");
    let shown = world.json("inspect fleet.stapb --key farm.pub");
    assert_eq!((&shown["verified"], &shown["manifest"]["serial"]), (&true.into(), &1.into()));
    assert_eq!(world.json("inspect fleet.stapb --unverified")["verified"], false);
    assert_eq!(world.json("inspect --root host fleet.stapb")["schema"], "inspect-unverified/1");
    let verified = world.json("verify fleet.stapb --key farm.pub --deep");
    assert_eq!((&verified["modules_checked"], &verified["bundle_id"]), (&3.into(), &shown["bundle_id"]));

    world.config("config", "");
    world.write("scripts/counter.stp", "probe begin {}\n");
    assert_eq!(world.json("config check -c config")["scripts"][0]["script"], "counter");
    let difference = world.json("diff fleet.stapb fleet-2.stapb --key farm.pub");
    assert_eq!(difference["same"], false);
    let exported = world.json("export fleet.stapb --tar-gz -o packages --key farm.pub");
    assert_eq!(exported["packages"].as_array().unwrap().len(), 2);
    let imported = world.json("import packages/stap-scripts-6.12.1-test.tar.gz --name old");
    assert_eq!(imported["schema"], "import/1");
    let payload = imported["payload"].as_str().unwrap();
    assert_eq!(world.json(&format!("sign {payload} --dry-run"))["schema"], "inspect/1");
    assert_eq!(world.json(&format!("sign {payload} --payload-out message"))["schema"], "message/1");
    assert_eq!(world.json(&format!("sign {payload} --key farm2.key -o old.stapb"))["schema"], "sign/1");
    let extracted = world.json("extract fleet.stapb out --key farm.pub");
    assert_eq!(extracted["kernels"].as_array().unwrap().len(), 2);
    world.json("subset fleet.stapb --kernel 6.12.1-test -o part.stapb --key farm.pub");
    let parts = world.json("split fleet.stapb --size 65536 -o parts");
    let parts: Vec<&str> =
        parts["parts"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
    world.json(&format!("join {} -o joined.stapb", parts.join(" ")));
    world.write("c/artifacts/ab/ab12/record.json", "{");
    for line in ["cache verify --cache c", "cache gc --cache c", "cache push there --cache c"] {
        world.json(line);
    }
}

#[test]
fn roots() {
    let world = TestWorld::new();
    world.run("key generate --out a");
    world.run("key generate --out b");
    let made = world.json("trust root create --key a.pub -o r.stapr");
    assert_eq!((&made["schema"], &made["complete"]), (&"trust-root/1".into(), &false.into()));
    assert_eq!(world.json("trust root sign r.stapr --payload-out m")["schema"], "message/1");
    for line in [
        "trust root sign r.stapr --key a.key",
        "trust root add-key r.stapr --key b.pub",
        "trust root raise-epoch r.stapr",
        "trust root show r.stapr",
    ] {
        assert_eq!(world.json(line)["schema"], "trust-root/1", "{line}");
    }
    world.json("trust root sign r.stapr --key a.key");
    let pinned = world.json("trust add --root host r.stapr");
    assert_eq!(pinned["root"]["version"], 2);
    for changed in [true, false] {
        assert_eq!(world.json("trust update --root host r.stapr")["changed"], changed);
    }
    assert_eq!(world.json("trust show --root host")["schema"], "trust-list/1");
    world.json("trust remove --root host --domain default");
}

#[test]
fn the_host_side() {
    let world = TestWorld::new();
    fixtures::fake_host::FakeHost::create(&world.path("host")).unwrap();
    world.bundle("fleet.stapb", &fleet(1));
    world.bundle("fleet-2.stapb", &fleet(2));
    assert_eq!(world.json("status --root host")["bundles"], json!([]));
    assert_eq!(world.json("fsck --root host")["generation"], Value::Null);
    world.json("trust add --root host farm.pub");
    assert_eq!(world.json("trust list --root host")["keys"][0], world.farm.public().id().to_string());
    assert_eq!(world.json("install --root host fleet.stapb --dry-run")["dry_run"], true);
    assert_eq!(world.json("install --root host fleet.stapb")["changed"], true);
    assert_eq!(world.json("install --root host fleet.stapb")["changed"], false);
    assert_eq!(world.json("install --root host fleet-2.stapb")["generation"], 2);
    assert_eq!(world.json("list --root host")["generations"].as_array().unwrap().len(), 2);
    assert_eq!(world.json("status --root host")["schema"], "status/1");
    assert_eq!(world.json("diff --root host --installed fleet.stapb")["schema"], "diff/1");
    for (line, schema) in [
        ("fsck", "fsck/1"),
        ("pin 1", "pin/1"),
        ("pin 1 --remove", "pin/1"),
        ("mask counter", "mask/1"),
        ("unmask counter", "unmask/1"),
        ("rollback", "rollback/1"),
        ("gc --dry-run", "gc/1"),
        ("gc", "gc/1"),
        ("uninstall fleet --dry-run", "uninstall/1"),
        ("uninstall fleet", "uninstall/1"),
        ("history", "history/1"),
        ("boot-guard show", "boot-guard-show/1"),
        ("boot-guard settle", "boot-guard-settle/1"),
        ("boot-guard reset", "boot-guard-reset/1"),
        ("cleanup --dry-run -r 6.12.1-test", "cleanup-plan/1"),
    ] {
        assert_eq!(world.json(&format!("{line} --root host"))["schema"], schema, "{line}");
    }
    let id = world.farm.public().id().short();
    assert_eq!(world.json(&format!("trust remove --root host {id} --yes"))["schema"], "trust-remove/1");
}

#[test]
fn a_failure_is_a_document_too() {
    let world = TestWorld::new();
    let said = world.run("--json verify absent.stapb --key farm.pub");
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.exit, &document["error"]["code"]), (Some(14), &14.into()));
    assert!(said.stderr.is_empty(), "{said}");
    assert_eq!(world.json("onboot --root host")["error"]["code"], 2);
    assert_eq!(world.json("attach counter")["error"]["code"], 2);
    assert_eq!(world.json("completions bash")["error"]["code"], 2);
}

#[test]
fn a_wrong_command_line_is_a_document_too() {
    let world = TestWorld::new();
    assert_snapshot!(world.talk("
        list --colour never --json
        --json
        --json build -r 6.12.1-test --jobs 0
        extract --json
    "), @r#"
    $ stap-bundle list --colour never --json
    {
      "error": {
        "because": [],
        "code": 2,
        "hints": [
          "a similar argument exists: '--color'",
          "Usage: stap-bundle list --color <WHEN>"
        ],
        "id": null,
        "what": "unexpected argument '--colour' found"
      },
      "schema": "error/1"
    }
    [exit 2]
    $ stap-bundle --json
    {
      "error": {
        "because": [],
        "code": 2,
        "hints": [
          "`stap-bundle --help` lists the commands"
        ],
        "id": null,
        "what": "a command is missing"
      },
      "schema": "error/1"
    }
    [exit 2]
    $ stap-bundle --json build -r 6.12.1-test --jobs 0
    {
      "error": {
        "because": [],
        "code": 2,
        "hints": [],
        "id": null,
        "what": "invalid value '0' for '--jobs <N>': 0 is not in 1..=65535"
      },
      "schema": "error/1"
    }
    [exit 2]
    $ stap-bundle extract --json
    {
      "error": {
        "because": [],
        "code": 2,
        "hints": [
          "Usage: stap-bundle extract --json <FILE> <DIR>"
        ],
        "id": null,
        "what": "the following required arguments were not provided: <FILE> <DIR>"
      },
      "schema": "error/1"
    }
    [exit 2]
    "#);
    for line in ["--json list --colour never", "--json --root", "trust --json"] {
        let said = world.run(line);
        assert!(said.exit == Some(2) && said.stderr.is_empty(), "{said}");
    }
    // Behind `--` it is a file.
    assert!(world.run("inspect --colour -- --json").stderr.contains("unexpected argument"));
}

#[test]
fn a_refused_removal_lists_what_would_go() {
    let world = TestWorld::new();
    world.run("trust add --root host farm.pub");
    world.bundle("fleet.stapb", &fleet(1));
    let less = Bundle { kernels: vec!["6.12.9-test"], ..fleet(2) };
    world.bundle("less.stapb", &less);
    world.json("install --root host fleet.stapb");
    let said = world.run("--json install --root host less.stapb --all-kernels");
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.exit, &document["error"]["code"]), (Some(16), &16.into()), "{said}");
    assert_eq!(document["error"]["removal"], json!({ "kernels": ["6.12.1-test"], "scripts": [] }));
}
