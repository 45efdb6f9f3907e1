//! Bundles that a farm gone mad, or a thief, would make: one test for each, named after its row of the attack table in
//! `docs/design/threat-coverage.md`. Each is signed properly unless the signature is the attack. Asserted are the exit
//! code, a part of the message that will stay, that nothing at all was written, and that memory was bounded.

#![expect(clippy::unwrap_used, reason = "what the tests share may panic as they may")]

mod containers;
mod deltas;
mod documents;
mod frames;
mod memory;
mod names;
mod signatures;
mod sources;
mod versions;
mod world;

/// Tests that assert one refusal each: `NAME: BUNDLE => EXIT, "message";`.
macro_rules! refused {
    ($($name:ident: $bundle:expr => $exit:literal, $message:expr;)+) => {
        $(
            #[test]
            fn $name() {
                crate::world::refused(&$bundle, $exit, $message);
            }
        )+
    };
}
use refused;

/// A good bundle is taken by the same commands, or all the refusals would prove nothing.
#[test]
fn the_bundle_that_all_others_were_made_from_is_good() {
    let world = world::World::new();
    world.write("good.stapb", &fixtures::forge::Forge::good().sealed().bytes());
    for line in [
        "verify good.stapb --deep --key farm.pub",
        "extract good.stapb out --key farm.pub",
        "--root host install good.stapb",
    ] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{line}: {}", said.text);
    }
}
