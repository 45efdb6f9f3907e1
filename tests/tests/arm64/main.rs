//! A farm on amd64 builds for arm64 too: one bundle for a kernel of each, made by the compiler and the tapsets of each.
#![cfg(any(feature = "lab", feature = "lab-long"))]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

#[cfg(feature = "lab")]
mod inspection;
#[cfg(feature = "lab-long")]
mod machines;

use std::fs;
use std::path::Path;

use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;

/// A script's name, text and options.
type Script = (&'static str, &'static str, &'static str);

/// Names of registers are in a tapset of each architecture.
const REGISTERS: Script = (
    "registers",
    "global counter\n\
     probe timer.profile { counter = register(%( arch == \"arm64\" %? \"pc\" %: \"rip\" %)) }\n\
     probe procfs(\"counter\").read { $value = sprintf(\"%d\\n\", counter != 0) }\n",
    "",
);

const WHICH_TAPSET: Script = (
    "which_tapset",
    "probe begin { %( arch == \"arm64\" %? println(\"tapset-for-arm64\") %: println(\"tapset-for-other\") %) }\n",
    "-o /var/log/which_tapset.log",
);

/// The farm, with its bundle `both.stapb`.
struct World {
    amd64: Lab,
    arm64: Lab,
    farm: Farm,
}

impl World {
    /// The kernel of arm64 comes from packages.
    fn new(name: &str, scripts: &[Script]) -> Self {
        let (amd64, arm64) = (Lab::open().unwrap(), Lab::arm64().unwrap());
        let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)).unwrap();
        let world = Self { amd64, arm64, farm };
        for directory in ["scripts", "conf.d"] {
            fs::create_dir(world.farm.path(directory)).unwrap();
        }
        for (name, text, options) in scripts {
            fs::write(world.farm.path("scripts").join(format!("{name}.stp")), text).unwrap();
            let line = format!("{name}_OPT='{options}'\n");
            fs::write(world.farm.path("conf.d").join(format!("{name}.conf")), line).unwrap();
        }
        let own = world.farm.directory().display();
        let config = format!("SCRIPT_PATH={own}/scripts\nCONFIG_PATH={own}/conf.d\nLOG_FILE={own}/log\n");
        fs::write(world.farm.path("config"), config).unwrap();
        world.run(&["key", "generate", "--out", "farm"]);
        let packages = world.arm64.packages().display().to_string();
        world.run(&["kernel", "add", &packages, "--kernel-store", "store"]);
        let releases = [&world.amd64, &world.arm64].map(|lab| lab.bootable("testing").unwrap());
        let store = ["--kernel-store", "store"];
        let build = world.farm.build_arguments(&world.arm64, &releases, "farm.key", "both.stapb", &store);
        world.run(&build.unwrap().iter().map(String::as_str).collect::<Vec<_>>());
        world
    }

    /// Runs the farm's program; returns what it printed.
    fn run(&self, words: &[&str]) -> String {
        let program = programs::farm().unwrap();
        programs::run_expecting(&program, self.farm.directory(), words, &[0]).unwrap().stdout.text()
    }
}
