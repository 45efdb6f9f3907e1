//! The body of the fuzz target `policy` over its corpus, and over mutations of it from a fixed seed.

use std::fs;

use fixtures::fuzz::{Mutations, document, seeds};

use crate::Policy;
use crate::tests::world::World;

/// Mutations of each seed.
const MUTATIONS: u32 = 400;

#[test]
fn no_policy_near_the_corpus_acts_on_a_terminal() {
    let world = World::new();
    let path = world.path("/etc/stap-bundle/policy.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut mutations = Mutations::default();
    let seeds = seeds("policy");
    assert!(!seeds.is_empty());
    for (name, seed) in seeds {
        let read = || Ok(Policy::read(&world.host).map(|_| Vec::new())?);
        document(&seed, &path, &read);
        assert_eq!(Policy::read(&world.host).is_ok(), name != "escape", "{name}");
        (0..MUTATIONS).for_each(|_| document(&mutations.of(&seed), &path, &read));
    }
}
