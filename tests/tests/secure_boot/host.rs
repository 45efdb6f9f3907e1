//! A host with Secure Boot that has booted with a bundle signed by two keys: its kernel had the old one when the bundle was installed, and
//! has the new one.

use std::fs;

use end_to_end::hosts::{HostTree, Hosts, Init};
use end_to_end::lab::Lab;
use end_to_end::machine::{Disk, Kernel, Machine};
use end_to_end::secure_boot;
use end_to_end::vm::Step;
use serde_json::Value;

use crate::world::{World, bundles};

pub(crate) struct Host {
    machine: Machine,
}

impl Host {
    pub(crate) fn boot() -> Self {
        let lab = Lab::open().unwrap();
        let hosts = Hosts::open().unwrap();
        let release = lab.bootable("stable").unwrap();
        let world = World::new(&lab, release);
        let tree = HostTree::copy_of(&hosts.tree(Init::Systemd)).unwrap();
        tree.install_product().unwrap();
        tree.add_kernel(release).unwrap();
        secure_boot::add_to(&tree).unwrap();
        for name in bundles() {
            let file = format!("{name}.stapb");
            tree.write(&format!("media/{file}"), &fs::read(world.farm.path(&file)).unwrap(), 0o644).unwrap();
        }
        let in_farm = |name: &str| world.farm.path(name).display().to_string();
        tree.stap_bundle(&["trust", "add", &in_farm("farm.pub")]).unwrap();
        tree.write("proc/keys", world.keys_before.as_bytes(), 0o644).unwrap();
        tree.stap_bundle(&["install", &in_farm("rotated.stapb")]).unwrap();
        tree.enable_unit().unwrap();
        let image = world.farm.path("host.img");
        tree.image(&image).unwrap();
        let kernel = Kernel::of(&lab, &hosts, release).unwrap();
        let kernel = secure_boot::kernel(&kernel, &world.farm.path("firmware"), &world.enrolled()).unwrap();
        Self { machine: Machine::boot(&kernel, Disk::over(&image).unwrap()).unwrap() }
    }

    pub(crate) fn run(&mut self, command: &str) -> Step {
        self.machine.run(command).unwrap()
    }

    pub(crate) fn ok(&mut self, command: &str) -> String {
        self.machine.ok(command).unwrap()
    }

    pub(crate) fn reboot(&mut self) {
        self.machine.reboot("systemctl reboot").unwrap();
    }

    /// Runs a command that prints a document, however it ends.
    pub(crate) fn json(&mut self, command: &str) -> Value {
        let step = self.run(command);
        serde_json::from_str(&step.output).unwrap_or_else(|error| panic!("{error}: {}", step.output))
    }

    /// Installs another bundle in place of the one that is there, and starts all its scripts; returns the report.
    pub(crate) fn start(&mut self, bundle: &str) -> Value {
        self.ok("stap-bundle uninstall fleet");
        // They are one bundle, and each lacks a signature of the one before.
        self.ok(&format!("stap-bundle install --allow-downgrade /media/{bundle}.stapb"));
        self.ok("dmesg -C");
        self.json("stap-bundle start --json 2>/dev/null")
    }
}
