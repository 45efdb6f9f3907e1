//! What the tests share: bundles, trees, and a machine that was kept after its boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use end_to_end::hosts::{HostTree, Hosts, Init};
use end_to_end::lab::{Lab, Release, repository};
use end_to_end::machine::{Disk, KeptMachine, Kernel, Machine};
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::Value;

/// The lab, the hosts, and a farm with a key.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) hosts: Hosts,
    pub(crate) farm: Farm,
    /// The older kernel, for which every bundle has modules.
    pub(crate) stable: Release,
    /// The newer kernel.
    pub(crate) testing: Release,
}

/// Made once for all tests.
pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let lab = Lab::open().unwrap();
        let hosts = Hosts::open().unwrap();
        let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("booted-host")).unwrap();
        programs::run_expecting(
            &programs::farm().unwrap(),
            farm.directory(),
            &["key", "generate", "--out", "farm"],
            &[0],
        )
        .unwrap();
        let stable = lab.bootable("stable").unwrap().clone();
        let testing = lab.bootable("testing").unwrap().clone();
        World { lab, hosts, farm, stable, testing }
    })
}

/// Builds a bundle of the scripts of the farm's configuration; returns the report.
pub(crate) fn build(
    lab: &Lab,
    farm: &Farm,
    releases: &[&Release],
    output: &str,
    more: &[&str],
    code: i32,
) -> Value {
    let mut arguments = farm.build_arguments(lab, releases, "farm.key", output, more).unwrap();
    arguments.push("--json".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let program = programs::farm().unwrap();
    let finished = programs::run_expecting(&program, farm.directory(), &arguments, &[code]).unwrap();
    serde_json::from_slice(&finished.stdout.bytes()).unwrap()
}

/// Gives a farm its own scripts, those in its directory `scripts`, and their options.
pub(crate) fn configure(farm: &Farm, options: &str) {
    fs::create_dir_all(farm.path("conf.d")).unwrap();
    fs::write(farm.path("conf.d/scripts.conf"), options).unwrap();
    let own = farm.directory().display();
    let config = format!(
        "SCRIPT_PATH={own}/scripts\nCONFIG_PATH={own}/conf.d\nPASSALL=no\nLOG_FILE={own}/systemtap.log\n"
    );
    fs::write(farm.path("config"), config).unwrap();
}

/// A farm with the key of `first`.
pub(crate) fn farm_beside(first: &Farm, name: &str) -> Farm {
    let farm = Farm::new(&first.directory().with_file_name(name)).unwrap();
    for key in ["farm.key", "farm.pub"] {
        fs::copy(first.path(key), farm.path(key)).unwrap();
    }
    farm
}

/// The fixture scripts in a farm of their own, with another `heartbeat`, which members of stapusr may start.
fn newer_scripts(first: &Farm) -> Farm {
    let farm = farm_beside(first, "booted-host-newer");
    let fixtures = repository().join("fixtures");
    fs::create_dir_all(farm.path("scripts")).unwrap();
    for entry in fs::read_dir(fixtures.join("scripts")).unwrap() {
        let entry = entry.unwrap();
        if entry.path().extension().is_some_and(|extension| extension == "stp") {
            fs::copy(entry.path(), farm.path("scripts").join(entry.file_name())).unwrap();
        }
    }
    let heartbeat = fs::read_to_string(farm.path("scripts/heartbeat.stp")).unwrap();
    let changed = heartbeat.replace("heartbeat begins", "the newer heartbeat begins");
    assert_ne!(heartbeat, changed);
    fs::write(farm.path("scripts/heartbeat.stp"), changed).unwrap();
    let options = fs::read_to_string(fixtures.join("config/conf.d/fixtures.conf")).unwrap();
    configure(&farm, &format!("{options}heartbeat_USERS=stapusr\n"));
    farm
}

impl World {
    /// Builds the bundles of the fixture scripts, once: of one name, and each one may follow the one before it. Returns what
    /// `build` reported of `both.stapb`.
    pub(crate) fn bundles(&self) -> &'static Value {
        static REPORT: OnceLock<Value> = OnceLock::new();
        REPORT.get_or_init(|| {
            let build = |farm: &Farm, releases: &[&Release], output: &str, serial: &str| {
                build(&self.lab, farm, releases, output, &["--name", "fleet", "--serial", serial], 20)
            };
            build(&self.farm, &[&self.stable], "stable-only.stapb", "1");
            let report = build(&self.farm, &[&self.stable, &self.testing], "both.stapb", "2");
            build(&newer_scripts(&self.farm), &[&self.stable], "../booted-host/newer.stapb", "3");
            report
        })
    }

    /// The scripts that the farm compiled for `release`.
    pub(crate) fn green(&self, release: &Release) -> Vec<String> {
        let cells = self.bundles()["cells"].as_array().unwrap();
        let of_release =
            cells.iter().filter(|cell| cell["kernel"] == *release.release && cell["sha256"].is_string());
        let green: Vec<_> = of_release.map(|cell| cell["script"].as_str().unwrap().to_owned()).collect();
        assert!(green.len() >= 12, "{green:?}");
        green
    }

    /// A host with the product, placed as a package does, and the farm's key; nothing is enabled yet.
    pub(crate) fn tree(&self, init: Init) -> HostTree {
        static SYSTEMD: OnceLock<HostTree> = OnceLock::new();
        static SYSVINIT: OnceLock<HostTree> = OnceLock::new();
        let made = if init == Init::Systemd { &SYSTEMD } else { &SYSVINIT };
        HostTree::copy_of(made.get_or_init(|| self.make_tree(init)).root()).unwrap()
    }

    fn make_tree(&self, init: Init) -> HostTree {
        let tree = HostTree::copy_of(&self.hosts.tree(init)).unwrap();
        tree.install_product().unwrap();
        tree.add_kernel(&self.stable).unwrap();
        // The emulated processor is slow, and this machine may be busy: nothing here is about time.
        tree.write("etc/default/stap-bundle", b"START_SECONDS=1800\n", 0o644).unwrap();
        let key = fs::read(self.farm.path("farm.pub")).unwrap();
        tree.write("media/farm.pub", &key, 0o644).unwrap();
        let key = tree.path("media/farm.pub").display().to_string();
        tree.stap_bundle(&["trust", "add", &key]).unwrap();
        tree
    }

    /// As [`World::tree`], with systemd, a bundle, and the unit enabled as a package's preset does.
    pub(crate) fn tree_with_unit(&self, bundle: &str) -> HostTree {
        let tree = self.tree(Init::Systemd);
        tree.stap_bundle(&["install", &self.farm.path(bundle).display().to_string()]).unwrap();
        tree.enable_unit().unwrap();
        tree
    }

    /// A disk with what is in a tree.
    pub(crate) fn disk(&self, tree: &HostTree, name: &str) -> Disk {
        let image = self.farm.path(&format!("{name}.img"));
        tree.image(&image).unwrap();
        Disk::over(&image).unwrap()
    }

    /// A kernel to boot.
    pub(crate) fn kernel(&self, release: &Release) -> Kernel {
        Kernel::of(&self.lab, &self.hosts, release).unwrap()
    }

    /// Boots a tree.
    pub(crate) fn boot(&self, tree: &HostTree, name: &str, release: &Release) -> Machine {
        Machine::boot(&self.kernel(release), self.disk(tree, name)).unwrap()
    }
}

/// The name of the image of a host with `stable-only.stapb`.
const USUAL: &str = "usual";

/// A disk of a host with systemd, `stable-only.stapb` and the unit enabled.
pub(crate) fn usual_disk() -> Disk {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    let image = IMAGE.get_or_init(|| {
        let world = world();
        world.bundles();
        let tree = world.tree_with_unit("stable-only.stapb");
        for bundle in ["both.stapb", "newer.stapb"] {
            tree.write(&format!("media/{bundle}"), &fs::read(world.farm.path(bundle)).unwrap(), 0o644)
                .unwrap();
        }
        drop(world.disk(&tree, USUAL));
        world.farm.path(&format!("{USUAL}.img"))
    });
    Disk::over(image).unwrap()
}

/// A machine with systemd that has booted the older kernel and started all scripts, to go on with.
pub(crate) fn running_machine() -> Machine {
    static KEPT: OnceLock<KeptMachine> = OnceLock::new();
    let kept = KEPT.get_or_init(|| {
        let kernel = world().kernel(&world().stable);
        Machine::boot(&kernel, usual_disk()).unwrap().keep(&kernel).unwrap()
    });
    kept.resume().unwrap()
}

/// `status --json` of a machine.
pub(crate) fn status(machine: &mut Machine) -> Value {
    let step = machine.run("stap-bundle status --json").unwrap();
    serde_json::from_str(&step.output).unwrap_or_else(|error| panic!("{error}: {}", step.output))
}

/// The scripts that run, by `status`.
pub(crate) fn running(status: &Value) -> Vec<String> {
    let scripts = status["scripts"].as_array().unwrap().iter();
    let running = scripts.filter(|script| script["state"] == "running");
    running.map(|script| script["script"].as_str().unwrap().to_owned()).collect()
}

/// That exactly these scripts run.
pub(crate) fn assert_running(machine: &mut Machine, scripts: &[String]) {
    let status = status(machine);
    if running(&status) != scripts {
        let log = machine.run("dmesg | tail -n 50; tail -n 50 /var/log/systemtap.log").unwrap();
        panic!("expected {scripts:?}, running {:?}\n{}\n{status}", running(&status), log.output);
    }
}

/// One script's part of `status`.
pub(crate) fn script<'s>(status: &'s Value, name: &str) -> &'s Value {
    let mut scripts = status["scripts"].as_array().unwrap().iter();
    scripts.find(|script| script["script"] == name).unwrap_or_else(|| panic!("no {name} in {status}"))
}

/// The names in /proc/modules, sorted.
pub(crate) fn modules(machine: &mut Machine) -> Vec<String> {
    let text = machine.ok("cut -d' ' -f1 /proc/modules | LC_ALL=C sort").unwrap();
    text.lines().map(str::to_owned).collect()
}

/// That the whole machine came up well.
pub(crate) fn assert_came_up(machine: &mut Machine) {
    let state = machine.run("systemctl is-system-running --wait").unwrap();
    if state.output.trim() != "running" {
        let failed =
            machine.run("systemctl --no-pager --failed; journalctl --no-pager -b -p warning").unwrap();
        panic!("{}\n{}", state.output, failed.output);
    }
}
