//! A host's life with early scripts: the first boot, a newer generation, the boot of that; and an image in which a byte was changed.

use end_to_end::hosts::ImageMaker;
use end_to_end::lab::Release;
use end_to_end::machine::Machine;
use serde_json::{Value, json};

use crate::world::{ALL, EARLY, image_of, running, status, world};

pub(crate) fn of(maker: ImageMaker, family: &str) {
    let world = world();
    let release = world.release(family);
    let tree = world.tree(maker, "first.stapb");
    // In a chroot the machine's own kernel runs, for which there is no module.
    let said = tree.shell(&format!("stap-bundle onboot early -R -r {} 2>&1", release.release)).unwrap();
    assert!(said.ends_with("starting from the initramfs: base, early\n"), "{said}");
    let initrd = tree.path(image_of(release).strip_prefix("/").unwrap().to_str().unwrap());
    let mut machine = world.boot(family, &initrd, world.disk(&tree, &format!("{maker:?}-{family}")));

    started_before_the_root_was_mounted(&mut machine);
    all_run_and_the_image_is_as_it_should_be(&mut machine, release, 1);
    the_early_ones_are_like_the_others(&mut machine);
    a_mask_makes_the_image_out_of_date(&mut machine, release);
    assert_eq!(version_of_early(&mut machine), "early first");

    let said = machine.ok("stap-bundle install /media/newer.stapb 2>&1").unwrap();
    let stale = format!(
        "the initramfs image of kernel {} has modules of generation 1, current is 2: run `stap-bundle onboot --refresh`",
        release.release
    );
    assert!(said.contains(&stale), "{said}");
    assert!(image(&status(&mut machine), release)["problem"].is_string());
    machine.ok("stap-bundle onboot --refresh").unwrap();
    assert_eq!(image(&status(&mut machine), release)["problem"], Value::Null);
    assert_eq!(
        machine.ok("stap-bundle -v onboot --refresh 2>&1").unwrap(),
        "starting from the initramfs: base, early\n"
    );

    let disk = machine.power_off().unwrap();
    let initrd = disk.file(image_of(release).to_str().unwrap()).unwrap();
    let mut machine = world.boot(family, &initrd, disk);
    started_before_the_root_was_mounted(&mut machine);
    all_run_and_the_image_is_as_it_should_be(&mut machine, release, 2);
    assert_eq!(version_of_early(&mut machine), "early newer");
}

/// By the kernel's own log.
fn started_before_the_root_was_mounted(machine: &mut Machine) {
    let log = machine.ok("dmesg | grep -E 'stap-bundle: |EXT4-fs \\(vda\\): mounted'").unwrap();
    let place = |words: &str| log.lines().position(|line| line.contains(words));
    let started = place("stap-bundle: started 2 of 2 scripts from the initramfs: base, early");
    assert!(started.is_some() && started < place("mounted"), "{log}");
}

fn all_run_and_the_image_is_as_it_should_be(machine: &mut Machine, release: &Release, generation: u64) {
    let found = status(machine);
    assert_eq!(running(&found), ALL, "{found}\n{}", machine.ok("dmesg | tail -n 40").unwrap());
    let early = &found["onboot"]["early"];
    assert_eq!((&early["running"], &early["failed"]), (&json!(EARLY), &json!({})), "{early}");
    assert_eq!((&early["generation"], &early["ended"]), (&json!(generation), &json!(true)));
    let image = image(&found, release);
    assert_eq!((&image["scripts"], &image["problem"]), (&json!(EARLY), &Value::Null), "{image}");
    // With kernel, bundle and the time of the early start.
    let of = |name: &str| {
        let scripts = found["scripts"].as_array().unwrap();
        scripts.iter().find(|script| script["script"] == name).unwrap()["record"].clone()
    };
    assert_eq!((&of("early")["kernel"], &of("early")["bundle"]), (&json!(release.release), &json!("fleet")));
    assert!(of("early")["started"].as_u64() < of("late")["started"].as_u64(), "{found}");
    let state = machine.run("systemctl is-system-running --wait").unwrap();
    assert_eq!(state.output.trim(), "running", "{}", machine.ok("systemctl --failed --no-pager").unwrap());
    machine.ok("stap-bundle fsck").unwrap();
    // What was logged before the root file system was there has come along.
    machine.ok("test ! -e /run/stap-bundle/onboot.log").unwrap();
}

fn image<'s>(status: &'s Value, release: &Release) -> &'s Value {
    let images = status["onboot"]["images"].as_array().unwrap();
    images.iter().find(|image| image["kernel"] == release.release).unwrap()
}

fn the_early_ones_are_like_the_others(machine: &mut Machine) {
    let genuine = machine.ok("systemtap status").unwrap();
    for script in EARLY {
        assert!(genuine.contains(&format!("{script} is running...")), "{genuine}");
    }
    assert_ne!(machine.run("stap-bundle stop early").unwrap().code, 0);
    machine.ok("stap-bundle stop late early").unwrap();
    assert_eq!(running(&status(machine)), ["base", "tofile"]);
    machine.ok("stap-bundle start early late").unwrap();
    machine.ok("stap-bundle restart -R base").unwrap();
    assert_eq!(running(&status(machine)), ALL);
}

fn a_mask_makes_the_image_out_of_date(machine: &mut Machine, release: &Release) {
    let said = machine.ok("stap-bundle mask early 2>&1").unwrap();
    assert!(said.contains("is out of date (options, masks, trust, boot guard or program)"), "{said}");
    machine.ok("stap-bundle unmask early").unwrap();
    assert_eq!(image(&status(machine), release)["problem"], Value::Null);
}

/// The first line of what `early` has recorded.
fn version_of_early(machine: &mut Machine) -> String {
    let step = machine.run("timeout 20 stap-bundle attach early").unwrap();
    step.output.lines().find(|line| line.starts_with("early ")).unwrap_or_default().to_owned()
}

/// A hook that comes after ours changes a byte of a module.
const CHANGE: &str = r#"for module in "$ROOT"/var/lib/stap-bundle/generations/*/kernels/*/early.ko; do
    printf X | dd of="$module" bs=1 seek=500 conv=notrunc status=none
done
"#;

pub(crate) fn of_a_changed_module(maker: ImageMaker, family: &str) {
    let world = world();
    let release = world.release(family);
    let tree = world.tree(maker, "first.stapb");
    let (path, hook) = match maker {
        ImageMaker::InitramfsTools => (
            "usr/share/initramfs-tools/hooks/zz-change",
            format!(
                "#!/bin/sh\n[ \"$1\" = prereqs ] && {{ echo stap-bundle; exit; }}\nROOT=$DESTDIR\n{CHANGE}"
            ),
        ),
        ImageMaker::Dracut => (
            "usr/lib/dracut/modules.d/99zz-change/module-setup.sh",
            format!(
                "check() {{ return 0; }}\ndepends() {{ return 0; }}\ninstall() {{ ROOT=$initdir\n{CHANGE}}}\n"
            ),
        ),
    };
    tree.write(path, hook.as_bytes(), 0o755).unwrap();
    tree.shell(&format!("stap-bundle onboot early base -r {}", release.release)).unwrap();
    let initrd = tree.path(image_of(release).strip_prefix("/").unwrap().to_str().unwrap());
    let mut machine = world.boot(family, &initrd, world.disk(&tree, &format!("changed-{maker:?}-{family}")));
    let log = machine.ok("dmesg | grep 'stap-bundle: '").unwrap();
    assert!(log.contains("early didn't start from the initramfs: its module is not the one"), "{log}");
    let found = status(&mut machine);
    let early = &found["onboot"]["early"];
    assert_eq!((&early["running"], &early["failed"]["early"]["id"]), (&json!(["base"]), &json!("tampered")));
    let shown = machine.ok("stap-bundle status").unwrap();
    assert!(shown.contains("this boot: early didn't start: its module is not the one"), "{shown}");
    // The host's own is good.
    assert_eq!(running(&found), ALL);
    let state = machine.run("systemctl is-system-running --wait").unwrap();
    assert_eq!(state.output.trim(), "running");
}
