//! What is in the bundle.

use std::fs;

use end_to_end::lab::Lab;
use object::{Architecture, Object};
use serde_json::Value;

use crate::{REGISTERS, WHICH_TAPSET, World};

#[test]
fn one_bundle_has_modules_of_both_architectures_by_the_tapsets_of_each() {
    let world = World::new("arm64-inspection", &[REGISTERS, WHICH_TAPSET]);
    let shown = world.run(&["inspect", "both.stapb", "--key", "farm.pub", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let kernels = shown["manifest"]["kernels"].as_array().unwrap();
    assert_eq!(kernels.len(), 2, "{shown}");
    world.run(&["extract", "both.stapb", "modules", "--key", "farm.pub"]);
    let expected = [
        (&world.amd64, "x86_64", Architecture::X86_64, "tapset-for-other"),
        (&world.arm64, "aarch64", Architecture::Aarch64, "tapset-for-arm64"),
    ];
    for (lab, machine, architecture, branch) in expected {
        let release = &lab.bootable("testing").unwrap().release;
        let kernel = kernels.iter().find(|kernel| kernel["release"] == release.as_str()).unwrap();
        assert_eq!(kernel["machine"], machine, "{shown}");
        for (script, ..) in [REGISTERS, WHICH_TAPSET] {
            let module = module(&world, lab, script);
            assert_eq!(
                object::File::parse(&*module).unwrap().architecture(),
                architecture,
                "{script} of {release}"
            );
        }
        let module = module(&world, lab, WHICH_TAPSET.0);
        for word in ["tapset-for-arm64", "tapset-for-other"] {
            let has = module.windows(word.len()).any(|window| window == word.as_bytes());
            assert_eq!(has, word == branch, "{word} in the module of {release}");
        }
    }
}

fn module(world: &World, lab: &Lab, script: &str) -> Vec<u8> {
    let directory = world.farm.path("modules").join(&lab.bootable("testing").unwrap().release);
    fs::read(directory.join(format!("{script}.ko"))).unwrap()
}
