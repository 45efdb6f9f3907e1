//! Modules that are signed for kernels: on the farm, and on hosts whose kernel takes signed ones only.

use std::fs;

use bundle_format::{RawBundle, TrustedKeys};
use fixtures::fake_host::FakeHost;
use kernel_module::divide;

use crate::bundles::{Bundle, fleet};
use crate::made_up_kernel;
use crate::world::TestWorld;

/// The farm's bundle `fleet.stapb`, a key for modules `NAME.key` and `NAME.der`, and the bundle signed with it, `NAME.stapb`.
fn world(names: &[&str]) -> TestWorld {
    let world = TestWorld::new();
    FakeHost::create(&world.path("host")).unwrap();
    world.write("farm.key", world.farm.to_pem().unwrap().as_bytes());
    world.chmod("farm.key", 0o600);
    world.bundle("fleet.stapb", &fleet(1));
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    let mut from = "fleet.stapb".to_owned();
    for name in names {
        assert_eq!(world.run(&format!("key generate --module --kind p384 --out {name}")).exit, Some(0));
        sign(&world, &from, name);
        from = format!("{name}.stapb");
    }
    world
}

fn sign(world: &TestWorld, from: &str, name: &str) {
    let line = format!(
        "sign-modules {from} --key farm.key --module-key {name}.key --module-cert {name}.der -o {name}.stapb"
    );
    let said = world.run(&line);
    assert_eq!(said.exit, Some(0), "{said}");
}

fn key_id(world: &TestWorld, name: &str) -> String {
    let der = fs::read(world.path(&format!("{name}.der"))).unwrap();
    kernel_module::KeyCertificate::read(&der).unwrap().key_id
}

/// What is installed of a script for the kernel that runs.
fn installed(world: &TestWorld, script: &str) -> Vec<u8> {
    fs::read(world.path(&format!("host/var/cache/systemtap/6.12.1-test/{script}.ko"))).unwrap()
}

/// The host's kernel has the keys of these, and takes only modules that they have signed.
fn enforce(world: &TestWorld, names: &[&str]) {
    let line = |name: &&str| {
        let id = key_id(world, name);
        format!(
            "1 I------ 1 perm 1f030000 0 0 asymmetri {name} kernel modules: {id}: X509.ecdsa-nist-p384 {id} []\n"
        )
    };
    world.write("host/proc/keys", names.iter().map(line).collect::<String>());
    world.write("host/sys/module/module/parameters/sig_enforce", "Y\n");
}

/// Starts all, and returns why scripts were refused, by their ids.
fn refused(world: &TestWorld) -> Vec<(String, String)> {
    let report = made_up_kernel::start(&world.path("host"), "6.12.1-test", false).unwrap();
    let report = serde_json::to_value(&report).unwrap();
    let scripts = report["scripts"].as_array().unwrap().iter();
    let reason = |script: &serde_json::Value| {
        let reason = &script["outcome"]["reason"];
        Some((reason["id"].as_str()?.to_owned(), reason["text"].as_str()?.to_owned()))
    };
    scripts.filter_map(reason).collect()
}

#[test]
fn signed_modules_are_the_same_modules_in_a_bundle_of_the_same_serial_and_content() {
    let world = world(&["modules"]);
    let manifest = |name: &str| {
        let file = fs::File::open(world.path(name)).unwrap();
        let trusted = TrustedKeys::any_of([world.farm.public().clone()]);
        RawBundle::read(file).unwrap().verify(&trusted).unwrap().manifest().clone()
    };
    let before = manifest("fleet.stapb");
    let after = manifest("modules.stapb");
    assert_eq!((before.serial, before.created, before.content), (after.serial, after.created, after.content));
    assert_ne!(before.kernels[0].frames, after.kernels[0].frames);
    let said = world.run("inspect modules.stapb --key farm.pub").to_string();
    assert!(
        said.contains(&format!("module key  modules kernel modules (key id {})", key_id(&world, "modules"))),
        "{said}"
    );
    let said = world.run("verify --deep modules.stapb --key farm.pub");
    assert_eq!(said.exit, Some(0), "{said}");
    // The same once more is the same bundle.
    sign(&world, "fleet.stapb", "modules");
    let again = world.run("sign-modules modules.stapb --key farm.key --module-key modules.key --module-cert modules.der -o again.stapb");
    assert_eq!(again.exit, Some(0), "{again}");
    assert_eq!(fs::read(world.path("again.stapb")).unwrap(), fs::read(world.path("modules.stapb")).unwrap());
}

#[test]
fn a_host_that_has_the_unsigned_bundle_installs_the_signed_one() {
    let world = world(&["modules"]);
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    let unsigned = installed(&world, "counter");
    let said = world.run("install --root host modules.stapb");
    assert_eq!(said.exit, Some(0), "{said}");
    let signed = installed(&world, "counter");
    assert_eq!(divide(&signed).body, unsigned);
    assert!(!divide(&signed).trailer.is_empty());
    assert_eq!(world.run("fsck --root host").exit, Some(0));
    assert_eq!(refused(&world), []);
}

#[test]
fn a_kernel_that_enforces_signatures_is_not_asked_for_modules_that_it_would_refuse() {
    let world = world(&["old"]);
    enforce(&world, &["new"][..0]);
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    let [(id, text), _] = &refused(&world)[..] else { panic!("{:?}", refused(&world)) };
    assert_eq!(id, "unsigned");
    assert!(text.ends_with("its module isn't signed for kernels"), "{text}");
    assert_eq!(world.run("install --root host old.stapb").exit, Some(0));
    let [(id, text), _] = &refused(&world)[..] else { panic!("{:?}", refused(&world)) };
    assert_eq!(id, "no-kernel-key");
    assert!(text.contains(&format!("old kernel modules (key id {})", key_id(&world, "old"))), "{text}");
    enforce(&world, &["old"]);
    assert_eq!(refused(&world), []);
    assert_eq!(made_up_kernel::loaded(&world.path("host")), ["counter", "latency"]);
}

#[test]
fn of_two_keys_the_one_that_the_kernel_has_is_installed_and_loaded() {
    let world = world(&["old", "new"]);
    let alone = |name: &str| {
        let line = "sign-modules fleet.stapb --key farm.key";
        let line =
            format!("{line} --module-key {name}.key --module-cert {name}.der -o alone.stapb --replace");
        let said = world.run(&line);
        assert_eq!(said.exit, Some(0), "{said}");
        FakeHost::create(&world.path(name)).unwrap();
        fs::create_dir_all(world.path(&format!("{name}/lib/modules/6.12.1-test/kernel"))).unwrap();
        assert_eq!(world.run(&format!("trust add --root {name} farm.pub")).exit, Some(0));
        assert_eq!(world.run(&format!("install --root {name} alone.stapb")).exit, Some(0));
        fs::read(world.path(&format!("{name}/var/cache/systemtap/6.12.1-test/counter.ko"))).unwrap()
    };
    for name in ["old", "new"] {
        enforce(&world, &[name]);
        world.run("uninstall --root host fleet");
        assert_eq!(world.run("install --root host new.stapb").exit, Some(0));
        assert_eq!(installed(&world, "counter"), alone(name), "{name}");
    }
    // Generations don't change; a start chooses by the keys that the kernel has then.
    enforce(&world, &["old"]);
    assert_eq!(refused(&world), []);
}

#[test]
fn a_signature_that_is_not_in_the_account_is_dropped_and_reported() {
    let world = world(&["modules", "foreign"]);
    assert_eq!(world.run("install --root host modules.stapb").exit, Some(0));
    let path = fs::canonicalize(world.path("host/var/cache/systemtap/6.12.1-test/counter.ko")).unwrap();
    let ours = fs::read(&path).unwrap();
    let mut other = divide(&ours).trailer.to_vec();
    other[40] ^= 1;
    fs::write(&path, [divide(&ours).body, &other].concat()).unwrap();
    let said = world.run("fsck --root host").to_string();
    assert!(
        said.contains("counter.ko ends with a kernel signature that isn't in the signed account"),
        "{said}"
    );
    let report = made_up_kernel::start(&world.path("host"), "6.12.1-test", false).unwrap();
    assert!(
        report.warnings.iter().any(|warning| warning.contains("the kernel isn't given it")),
        "{:?}",
        report.warnings
    );
    assert_eq!(made_up_kernel::loaded(&world.path("host")), ["counter", "latency"]);
    let said = world.run("fsck --root host --repair");
    assert_eq!(said.exit, Some(0), "{said}");
    assert_eq!(installed(&world, "counter"), ours);
}

#[test]
fn subsets_parts_and_deltas_keep_the_signatures() {
    let world = world(&["modules"]);
    for line in [
        "subset modules.stapb --kernel 6.12.1-test --key farm.pub -o subset.stapb",
        "split subset.stapb --size 4K -o part",
        "install --root host subset.stapb",
    ] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{said}");
    }
    let ours = installed(&world, "counter");
    assert!(!divide(&ours).trailer.is_empty());
    let parts: Vec<String> = fs::read_dir(world.path("part"))
        .unwrap()
        .map(|entry| format!("part/{}", entry.unwrap().file_name().into_string().unwrap()))
        .collect();
    let said = world.run(&format!("join {} -o joined.stapb", parts.join(" ")));
    assert_eq!(said.exit, Some(0), "{said}");
    assert_eq!(fs::read(world.path("joined.stapb")).unwrap(), fs::read(world.path("subset.stapb")).unwrap());
    // Its base is made again of what is unpacked, whose files end with signatures.
    let next = Bundle { kernels: vec!["6.12.1-test", "6.13.0-test", "6.14.0-test"], ..fleet(2) };
    world.write("delta.stapb", next.delta_from(&world.path("modules.stapb"), &world.farm));
    let kept = world.path("host/var/lib/stap-bundle/current/bundles/fleet/bundle.stapb");
    fs::write(&kept, fs::read(world.path("subset.stapb")).unwrap()).unwrap();
    let said = world.run("install --root host delta.stapb");
    assert_eq!(said.exit, Some(0), "{said}");
    assert_eq!(installed(&world, "counter"), divide(&ours).body);
}

#[test]
fn what_cannot_sign_is_refused_before_anything_is_written() {
    let world = world(&["one", "two"]);
    let sign =
        |rest: &str| world.run(&format!("sign-modules fleet.stapb --key farm.key -o out.stapb {rest}"));
    for (rest, what) in [
        ("--module-cert one.der", "one.der: no key was given that is the one of this certificate"),
        (
            "--module-cert one.der --module-key two.key",
            "no key was given that is the one of this certificate",
        ),
        (
            "--module-cert one.der --module-key one.key --module-key two.key",
            "two.key is the key of none of the certificates given",
        ),
        ("--module-cert one.key --module-key one.key", "not an X.509 certificate in DER or PEM"),
        ("--module-cert one.der --module-signer false", "`false`: exit 1: it said nothing"),
        ("--module-cert one.der --module-signer pwd", "isn't one by the key of certificate"),
        ("", "no certificate was given to sign the modules with"),
    ] {
        let said = sign(rest);
        assert_ne!(said.exit, Some(0), "{said}");
        assert!(said.to_string().contains(what), "{what}: {said}");
        assert!(!world.path("out.stapb").exists());
    }
    world.chmod("one.key", 0o644);
    let said = sign("--module-cert one.der --module-key one.key").to_string();
    assert!(said.contains("chmod 600 one.key"), "{said}");
}

/// OpenSSL in place of a token.
#[test]
fn a_program_that_has_the_key_signs_the_same_or_as_well() {
    let world = world(&["modules"]);
    world.write("token", "#!/bin/sh\n/usr/bin/openssl pkeyutl -sign -inkey modules.key -in /dev/stdin\n");
    world.chmod("token", 0o755);
    let said = world.run(
        "sign-modules fleet.stapb --key farm.key --module-cert modules.der --module-signer ./token -o by-token.stapb",
    );
    assert_eq!(said.exit, Some(0), "{said}");
    assert_eq!(world.run("verify --deep by-token.stapb --key farm.pub").exit, Some(0));
    enforce(&world, &["modules"]);
    assert_eq!(world.run("install --root host by-token.stapb").exit, Some(0));
    assert_eq!(refused(&world), []);
}
/// What operators read; each block that a farm runs is run.
#[test]
fn the_commands_of_the_page_for_operators_work() {
    let world = world(&[]);
    fs::copy(world.path("fleet.stapb"), world.path("scripts.stapb")).unwrap();
    let page = include_str!("../../../docs/operating/signed-modules.md");
    for name in ["farm", "token", "ca"] {
        let (_, rest) = page.split_once(&format!("<!-- {name} -->\n```sh\n")).unwrap();
        let (block, _) = rest.split_once("```").unwrap();
        let mut shell = std::process::Command::new("/bin/sh");
        let path = format!("{}:/usr/bin:/bin", world.programs().display());
        let ended = shell.args(["-euc", block]).current_dir(world.work()).env("PATH", path).output().unwrap();
        assert!(ended.status.success(), "{name}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(world.run("verify --deep signed.stapb --key farm.pub").exit, Some(0));
}

#[test]
fn a_signature_takes_little_more_than_itself() {
    const SIGNATURE: usize = 384;
    let world = world(&[]);
    let scripts =
        vec!["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "b1", "b2", "b3", "b4", "b5", "b6", "b7"];
    let modules = scripts.len();
    world.bundle(
        "fleet.stapb",
        &Bundle { scripts, red: Vec::new(), kernels: vec!["6.12.1-test"], ..fleet(1) },
    );
    assert_eq!(world.run("key generate --module --out rsa").exit, Some(0));
    sign(&world, "fleet.stapb", "rsa");
    let size = |name: &str| fs::metadata(world.path(name)).unwrap().len();
    let grown = usize::try_from(size("rsa.stapb") - size("fleet.stapb")).unwrap();
    assert!(grown < modules * (SIGNATURE + 600), "{grown}");
    assert!(grown > modules * SIGNATURE, "{grown}");
}
