//! What is said of a start before it is one is what it does.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{World, name, names};
use crate::{Foreseen, StartChoice, StartRefusal};

/// What would become of each script, in one line, in the words of [`World::start`].
fn foresee(world: &World, words: &str) -> String {
    let named = names(words);
    let choice = StartChoice { named: &named, with_requirements: false, parameters: &world.parameters };
    let foresight = world.with_service(|service| service.plan(&choice)).unwrap().foresee();
    let outcome = |foreseen: &Foreseen| match foreseen {
        Foreseen::WouldStart => "started".to_owned(),
        Foreseen::WouldUnpack => "unpacked".to_owned(),
        Foreseen::AlreadyRunning => "runs already".to_owned(),
        Foreseen::AlreadyDone => "done already".to_owned(),
        Foreseen::Refused { reason } => format!("refused ({})", reason.id),
    };
    let mut line: Vec<String> = foresight
        .scripts
        .iter()
        .map(|(script, foreseen)| format!("{script} {}", outcome(foreseen)))
        .collect();
    line.push(format!("exit {}", foresight.exit_code));
    line.join(", ")
}

#[test]
fn a_plan_tells_what_the_start_then_does() {
    for pass_all in [true, false] {
        let mut world = World::new().scripts("a b c:b d e:a f:d");
        world.parameters.pass_all = pass_all;
        world.behave("a", "load ended");
        world.start("a");
        world.tamper("d");
        let foreseen = foresee(&world, "");
        assert!(foreseen.contains("d refused (tampered)"), "{foreseen}");
        assert_eq!(foreseen, world.start(""));
    }
}

#[test]
fn what_is_not_unpacked_yet_is_no_refusal() {
    let mut world = World::new().scripts("a b:a");
    let bundle = "stap-scripts".parse().unwrap();
    let release = super::world::RELEASE.parse().unwrap();
    world.refuse("a", StartRefusal::NotUnpacked { bundle, release });
    assert_eq!(foresee(&world, "a"), "a unpacked, exit 0");
    assert_eq!(foresee(&world, ""), "a unpacked, b started, exit 0");
}

#[test]
fn a_failed_compile_is_the_reason_of_its_scripts_and_of_no_other() {
    let world = World::new().scripts("a");
    let failed = BTreeMap::from([
        (name("a"), "it is a bundle's".to_owned()),
        (name("b"), "no build tree of 6.12".to_owned()),
    ]);
    let start = |words: &str| {
        let named: BTreeSet<_> = names(words);
        let choice = StartChoice { named: &named, with_requirements: false, parameters: &world.parameters };
        world.with_service_knowing(&failed, |service| {
            service.start(&choice, &crate::StartOptions::default(), &|_| ()).unwrap()
        })
    };
    let report = start("");
    assert_eq!((report.scripts.len(), report.exit_code()), (1, 0));
    let [left_out] = report.left_out.as_slice() else { panic!("{report:?}") };
    assert_eq!((left_out.script.as_str(), left_out.reason.id.as_str()), ("b", "not-compiled"));
    assert_eq!(left_out.reason.text, "it could not be compiled on this host: no build tree of 6.12");
    let report = start("b");
    let reason = report.scripts[0].outcome.problem().unwrap();
    assert_eq!((reason.id.as_str(), report.exit_code()), ("not-compiled", 1));
    // The next command knows it too, until there is a module.
    let status = world.status("");
    let b = status.scripts.iter().find(|script| script.script == name("b")).unwrap();
    assert_eq!(b.reason.as_ref().unwrap().id, "not-compiled");
    super::compiling::store(&world, "b", "").unwrap();
    assert!(world.status("b").scripts[0].reason.is_none());
}
