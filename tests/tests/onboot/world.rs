//! A farm with bundles of scripts for both kernels, and hosts with an image maker.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use end_to_end::hosts::{HostTree, Hosts, ImageMaker};
use end_to_end::lab::{Lab, Release};
use end_to_end::machine::{Disk, Kernel, Machine};
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::Value;

/// The scripts that start early, the one before the other.
pub(crate) const EARLY: [&str; 2] = ["base", "early"];

/// All scripts, by name.
pub(crate) const ALL: [&str; 4] = ["base", "early", "late", "tofile"];

/// Each says on its first line which version of it runs.
const SCRIPTS: [(&str, &str, &str); 4] = [
    ("base", "", ""),
    ("early", "early_REQ='base'\n", ""),
    ("late", "late_REQ='early'\n", ""),
    ("tofile", "", "-o /var/log/tofile"),
];

pub(crate) struct World {
    pub(crate) lab: Lab,
    farm: Farm,
}

/// Made once for all tests.
pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let lab = Lab::open().unwrap();
        let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("onboot")).unwrap();
        let world = World { lab, farm };
        world.run(&["key", "generate", "--out", "farm"]);
        for directory in ["scripts", "conf.d"] {
            fs::create_dir(world.farm.path(directory)).unwrap();
        }
        let own = world.farm.directory().display();
        let config = format!("SCRIPT_PATH={own}/scripts\nCONFIG_PATH={own}/conf.d\nLOG_FILE={own}/log\n");
        fs::write(world.farm.path("config"), config).unwrap();
        let both = ["stable", "testing"];
        world.build("first", "1", &both);
        world.build("newer", "2", &both);
        world.build("stable-only", "3", &both[..1]);
        world
    })
}

impl World {
    fn build(&self, version: &str, serial: &str, families: &[&str]) {
        let mut options = String::new();
        for (name, requires, run) in SCRIPTS {
            let text = format!(
                "probe begin {{ printf(\"{name} {version}\\n\") }}\nprobe timer.s(1) {{ printf(\"{name}\\n\") }}\n"
            );
            fs::write(self.farm.path("scripts").join(format!("{name}.stp")), text).unwrap();
            writeln!(options, "{requires}{name}_OPT='{run}'").unwrap();
        }
        fs::write(self.farm.path("conf.d/scripts.conf"), options).unwrap();
        let releases: Vec<&Release> = families.iter().map(|family| self.release(family)).collect();
        let more = ["--name", "fleet", "--serial", serial];
        let build =
            self.farm.build_arguments(&self.lab, &releases, "farm.key", &format!("{version}.stapb"), &more);
        self.run(&build.unwrap().iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn run(&self, words: &[&str]) {
        programs::run_expecting(&programs::farm().unwrap(), self.farm.directory(), words, &[0]).unwrap();
    }

    pub(crate) fn release(&self, family: &str) -> &Release {
        self.lab.bootable(family).unwrap()
    }

    /// A host with the product, `bundle` and the unit; nothing starts early yet.
    pub(crate) fn tree(&self, maker: ImageMaker, bundle: &str) -> HostTree {
        let tree = HostTree::copy_of(&maker.tree().unwrap()).unwrap();
        tree.install_product().unwrap();
        let file = |name: &str| self.farm.path(name);
        for name in ["first.stapb", "newer.stapb", "stable-only.stapb"] {
            tree.write(&format!("media/{name}"), &fs::read(file(name)).unwrap(), 0o644).unwrap();
        }
        tree.stap_bundle(&["trust", "add", &file("farm.pub").display().to_string()]).unwrap();
        tree.stap_bundle(&["install", &file(bundle).display().to_string()]).unwrap();
        tree.enable_unit().unwrap();
        tree
    }

    /// Boots a disk by the image of its own that is in `initrd`.
    pub(crate) fn boot(&self, family: &str, initrd: &Path, disk: Disk) -> Machine {
        let hosts = Hosts::open().unwrap();
        let kernel = Kernel::of(&self.lab, &hosts, self.release(family)).unwrap().with_initrd(initrd);
        Machine::boot(&kernel, disk).unwrap()
    }

    /// A disk of a tree.
    pub(crate) fn disk(&self, tree: &HostTree, name: &str) -> Disk {
        let image = self.farm.path(&format!("{name}.img"));
        tree.image(&image).unwrap();
        Disk::over(&image).unwrap()
    }
}

/// Where a maker of Debian puts the image of a kernel.
pub(crate) fn image_of(release: &Release) -> PathBuf {
    PathBuf::from(format!("/boot/initrd.img-{}", release.release))
}

/// `status --json` of a machine.
pub(crate) fn status(machine: &mut Machine) -> Value {
    let step = machine.run("stap-bundle status --json").unwrap();
    serde_json::from_str(&step.output).unwrap_or_else(|error| panic!("{error}: {}", step.output))
}

/// The scripts that run.
pub(crate) fn running(status: &Value) -> Vec<&str> {
    let scripts = status["scripts"].as_array().unwrap().iter();
    let running = scripts.filter(|script| script["state"] == "running");
    running.map(|script| script["script"].as_str().unwrap()).collect()
}
