//! `--json`: one document on standard output with fields that stay, and nothing else.

use serde_json::Value;

use crate::bundles::fleet;
use crate::world::TestWorld;

/// The names of an object's fields, in the order of the alphabet.
fn fields(value: &Value) -> String {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(" ")
}

#[test]
fn the_farm_side() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    let key = world.json("key generate --out farm2");
    assert_eq!(fields(&key), "key_id private public");

    let sizes = world.json("inspect --root host fleet.stapb");
    assert_eq!(fields(&sizes), "bytes claimed_signers file manifest_bytes verified");
    let shown = world.json("inspect fleet.stapb --key farm.pub");
    assert_eq!(
        fields(&shown),
        "bundle_id bytes domain file frames frames_present frames_problem judged_by manifest signers verified"
    );
    assert_eq!((&shown["verified"], &shown["manifest"]["serial"]), (&true.into(), &1.into()));
    assert_eq!(world.json("inspect fleet.stapb --unverified")["verified"], false);

    let verified = world.json("verify fleet.stapb --key farm.pub --deep");
    let expected = "best_before bundle_id delta_of domain expired file frames frames_present frames_undecoded good judged_by kernels modules_checked name problems signed_by version";
    assert_eq!(fields(&verified), expected);
    assert_eq!((&verified["modules_checked"], &verified["bundle_id"]), (&3.into(), &shown["bundle_id"]));

    world.config("config", "");
    world.write("scripts/counter.stp", "probe begin {}\n");
    let config = world.json("config check -c config");
    assert_eq!(
        fields(&config),
        "cannot_start evaluated order parameters problems schema scripts skipped_files"
    );
    assert_eq!(fields(&config["parameters"][0]), "from name value");
    let script = "arguments compile options_from requires requires_from run script usable";
    assert_eq!(fields(&config["scripts"][0]), script);

    let exported = world.json("export fleet.stapb --tar-gz -o packages --key farm.pub");
    assert_eq!(
        (fields(&exported), fields(&exported["packages"][0])),
        ("packages".into(), "bytes package".into())
    );

    let extracted = world.json("extract fleet.stapb out --key farm.pub");
    assert_eq!(fields(&extracted), "directory kernels");
    assert_eq!(fields(&extracted["kernels"][0]), "directory modules");
}

#[test]
fn the_host_side() {
    let world = TestWorld::new();
    fixtures::fake_host::FakeHost::create(&world.path("host")).unwrap();
    world.bundle("fleet.stapb", &fleet(1));
    world.bundle("fleet-2.stapb", &fleet(2));
    assert_eq!(fields(&world.json("trust add --root host farm.pub")), "added bundles domain key_id taken");
    assert_eq!(world.json("trust list --root host")["keys"][0], world.farm.public().id().to_string());

    let installed = world.json("install --root host fleet.stapb");
    assert_eq!(
        fields(&installed),
        "bundle_id changed changes domain dry_run generation initscript kernels name removal serial version warnings"
    );
    assert_eq!(fields(&installed["kernels"][0]), "modules red release");
    assert_eq!(fields(&installed["removal"]), "kernels refused scripts");
    assert_eq!(fields(&installed["changes"]), "kernels not_compared scripts");
    assert_eq!(fields(&installed["changes"]["scripts"]), "added changed removed");
    assert_eq!(fields(&installed["changes"]["kernels"][0]), "after before id modules release");
    assert_eq!(installed["changed"], true);
    assert_eq!(world.json("install --root host fleet.stapb")["changed"], false);
    assert_eq!(world.json("install --root host fleet-2.stapb")["generation"], 2);

    let list = world.json("list --root host");
    assert_eq!(fields(&list["generations"][0]), "bundles current empty made number pinned problem");
    assert_eq!(
        fields(&list["generations"][0]["bundles"][0]),
        "bundle_id domain epoch kernels name scripts serial version"
    );

    let status = world.json("status --root host");
    assert_eq!(
        fields(&status),
        "bundles errors generation kernel kernels masks_unknown module_rules schema scripts taint warnings"
    );
    assert_eq!(status["schema"], 1);
    assert_eq!(
        fields(&status["bundles"][0]),
        "best_before best_before_in created domain expired id name refused version"
    );
    let script = "kernel_memory_bytes loaded_bytes masked module_bytes note offered_by options_from pid reason record requires script state warning";
    assert_eq!(fields(&status["scripts"][0]), script);

    assert_eq!(fields(&world.json("rollback --root host")), "changes from initscript to");
    let id = world.farm.public().id().short();
    assert_eq!(fields(&world.json(&format!("trust remove --root host {id}"))), "domain removed");
}

#[test]
fn a_failure_is_a_document_too() {
    let world = TestWorld::new();
    let said = world.run("--json verify absent.stapb --key farm.pub");
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(fields(&document["error"]), "because code hints id what");
    assert_eq!((said.exit, &document["error"]["code"]), (Some(14), &14.into()));
    assert!(said.stderr.is_empty(), "{said}");
    assert_eq!(world.json("onboot")["error"]["code"], 30);
}
