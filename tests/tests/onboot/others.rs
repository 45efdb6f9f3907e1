//! The other makers and kernels, kernels without modules, and a power cut. Part of `make test-long`.

use end_to_end::hosts::ImageMaker;
use serde_json::{Value, json};

use crate::life;
use crate::world::{ALL, image_of, running, status, world};

#[test]
fn dracut_with_the_older_kernel() {
    life::of(ImageMaker::Dracut, "stable");
    life::of_a_changed_module(ImageMaker::Dracut, "stable");
}

#[test]
fn dracut_with_the_newer_kernel() {
    life::of(ImageMaker::Dracut, "testing");
}

#[test]
fn initramfs_tools_with_the_newer_kernel() {
    life::of(ImageMaker::InitramfsTools, "testing");
}

/// A kernel's package has its image made by whatever makes images; nobody calls `onboot` then.
#[test]
fn a_second_kernel_gets_the_scripts_and_one_without_modules_an_image_that_boots() {
    for maker in [ImageMaker::InitramfsTools, ImageMaker::Dracut] {
        let world = world();
        let testing = world.release("testing");
        let make = |release: &str| match maker {
            ImageMaker::InitramfsTools => format!("update-initramfs -c -k {release} 2>&1"),
            ImageMaker::Dracut => format!("dracut --force /boot/initrd.img-{release} {release} 2>&1"),
        };
        let tree = world.tree(maker, "first.stapb");
        tree.write("etc/stap-bundle/onboot", b"base\nearly\n", 0o644).unwrap();
        let said = tree.shell(&make(&testing.release)).unwrap();
        assert!(!said.contains("lacks"), "{said}");
        let initrd = |tree: &end_to_end::hosts::HostTree| {
            tree.path(image_of(testing).strip_prefix("/").unwrap().to_str().unwrap())
        };
        let mut machine =
            world.boot("testing", &initrd(&tree), world.disk(&tree, &format!("second-{maker:?}")));
        let found = status(&mut machine);
        assert_eq!(found["onboot"]["early"]["running"], json!(["base", "early"]), "{found}");
        assert_eq!(running(&found), ALL);

        let tree = world.tree(maker, "stable-only.stapb");
        tree.write("etc/stap-bundle/onboot", b"base\nearly\n", 0o644).unwrap();
        let said = tree.shell(&make(&testing.release)).unwrap();
        assert!(said.contains(&format!("the image of kernel {} lacks early", testing.release)), "{said}");
        let mut machine =
            world.boot("testing", &initrd(&tree), world.disk(&tree, &format!("without-{maker:?}")));
        let found = status(&mut machine);
        assert_eq!((&found["onboot"]["early"], running(&found).len()), (&Value::Null, 0), "{found}");
        assert_eq!(machine.run("systemctl is-system-running --wait").unwrap().output.trim(), "running");
    }
}

/// The list is new and the image is whole, whichever it is.
#[test]
fn a_power_cut_while_images_are_made_leaves_whole_ones_and_status_says_so() {
    for maker in [ImageMaker::InitramfsTools, ImageMaker::Dracut] {
        let world = world();
        let release = world.release("stable");
        let tree = world.tree(maker, "first.stapb");
        tree.shell(&format!("stap-bundle onboot base -r {}", release.release)).unwrap();
        let initrd = tree.path(image_of(release).strip_prefix("/").unwrap().to_str().unwrap());
        let mut machine = world.boot("stable", &initrd, world.disk(&tree, &format!("cut-{maker:?}")));
        // The record says that the image is being given its scripts.
        let staged = format!("grep -q early /var/lib/stap-bundle/state/onboot/{}.json", release.release);
        machine
            .ok(&format!(
                "(setsid stap-bundle onboot base early >/dev/null 2>&1 &); until {staged}; do sleep 0.2; done"
            ))
            .unwrap();
        let disk = machine.cut().unwrap();
        let initrd = disk.file(image_of(release).to_str().unwrap()).unwrap();
        let mut machine = world.boot("stable", &initrd, disk);
        let found = status(&mut machine);
        assert_eq!(found["onboot"]["scripts"], json!(["base", "early"]), "{found}");
        assert_eq!(found["onboot"]["early"]["running"], json!(["base"]), "{found}");
        let problem = &found["onboot"]["images"][0]["problem"];
        assert!(problem.as_str().is_some_and(|problem| problem.contains("wasn't finished")), "{found}");
        machine.ok("stap-bundle onboot --refresh").unwrap();
        assert_eq!(status(&mut machine)["onboot"]["images"][0]["problem"], Value::Null);
    }
}
