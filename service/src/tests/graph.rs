//! 200 scripts in a deep and wide graph of requirements, with failures of every kind: what runs afterwards is always exactly
//! what the rules give, by a model that shares nothing with the service.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{World, name};
use crate::StartRefusal;

const SCRIPTS: usize = 200;

/// Requirements by script.
type Graph = BTreeMap<String, BTreeSet<String>>;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// A chain of 60, a fan of 60 on one script, and 80 with up to four requirements each. Names say nothing about places.
fn graph(random: &mut Random) -> Graph {
    let mut numbers: Vec<usize> = (0..SCRIPTS).collect();
    for at in (1..SCRIPTS).rev() {
        numbers.swap(at, random.below(at + 1));
    }
    let script = |at: usize| format!("s{:03}", numbers[at]);
    let mut graph = Graph::new();
    for at in 0..SCRIPTS {
        let mut requires = BTreeSet::new();
        match at {
            1..60 => drop(requires.insert(script(at - 1))),
            60..120 => drop(requires.insert(script(5))),
            _ => {
                for _ in 0..random.below(5) {
                    requires.extend((at > 0).then(|| script(random.below(at))));
                }
            }
        }
        graph.insert(script(at), requires);
    }
    graph
}

/// What is wrong with a script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    StaprunFails,
    FailsLoaded,
    ReportsAnError,
    Vanishes,
    Tampered,
    Red,
    ForeignModule,
}

const FAULTS: [Fault; 7] = [
    Fault::StaprunFails,
    Fault::FailsLoaded,
    Fault::ReportsAnError,
    Fault::Vanishes,
    Fault::Tampered,
    Fault::Red,
    Fault::ForeignModule,
];

fn world(graph: &Graph, faults: &BTreeMap<String, Fault>) -> World {
    let mut world = World::new();
    for (script, requires) in graph {
        let requires: Vec<&str> = requires.iter().map(String::as_str).collect();
        world.script(script, &requires, &["-L"]);
    }
    for (script, fault) in faults {
        match fault {
            Fault::StaprunFails => world.behave(script, "load fail ERROR: no"),
            Fault::FailsLoaded => world.behave(script, "load fail-loaded ERROR: no"),
            Fault::ReportsAnError => world.behave(script, "load error division by 0"),
            Fault::Vanishes => world.behave(script, "load gone"),
            Fault::Tampered => world.tamper(script),
            Fault::Red => world.refuse(script, StartRefusal::RedOnFarm { reason: "red".into() }),
            Fault::ForeignModule => world.fake.insert_module(script, false).unwrap(),
        }
    }
    world
}

/// Every script after what it requires, and otherwise by name.
fn order(graph: &Graph) -> Vec<String> {
    fn visit(graph: &Graph, script: &str, order: &mut Vec<String>) {
        if order.iter().any(|done| done == script) {
            return;
        }
        for required in &graph[script] {
            visit(graph, required, order);
        }
        order.push(script.to_owned());
    }
    let mut all = Vec::new();
    for script in graph.keys() {
        visit(graph, script, &mut all);
    }
    all
}

/// The scripts that run in the end, by the rules: a script runs if nothing is wrong with it and all that it requires runs;
/// with PASSALL nothing runs that comes after the first one that doesn't. A red script is passed over, unless one needs it.
fn model(graph: &Graph, faults: &BTreeMap<String, Fault>, pass_all: bool) -> BTreeSet<String> {
    let needed: BTreeSet<&String> = graph
        .iter()
        .filter(|(script, _)| !is_red(faults, script))
        .flat_map(|(_, requires)| requires)
        .collect();
    let mut running = BTreeSet::new();
    for script in order(graph) {
        if is_red(faults, &script) && !needed.contains(&script) {
            continue;
        }
        let fine =
            !faults.contains_key(&script) && graph[&script].iter().all(|required| running.contains(required));
        if fine {
            running.insert(script);
        } else if pass_all {
            break;
        }
    }
    running
}

fn is_red(faults: &BTreeMap<String, Fault>, script: &str) -> bool {
    faults.get(script) == Some(&Fault::Red)
}

/// What runs by the kernel's account.
fn running(world: &World) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = world.loaded().split_whitespace().map(str::to_owned).collect();
    all.retain(|script| {
        crate::ModuleState::observe(&world.host, &name(script)).unwrap() == crate::ModuleState::Running
    });
    all
}

#[test]
fn passall_no_200_scripts_with_failures_run_as_the_model_says() {
    let mut random = Random(11);
    let graph = graph(&mut random);
    let faults: BTreeMap<String, Fault> = graph
        .keys()
        .filter_map(|script| {
            let fault = FAULTS[random.below(FAULTS.len())];
            (random.below(9) == 0).then(|| (script.clone(), fault))
        })
        .collect();
    assert!(FAULTS.iter().all(|fault| faults.values().any(|found| found == fault)), "{faults:?}");
    let mut world = world(&graph, &faults);
    world.parameters.pass_all = false;
    let expected = model(&graph, &faults, false);
    assert!(expected.len() > 20 && expected.len() < SCRIPTS - faults.len(), "{}", expected.len());
    assert_eq!(world.try_start("").unwrap().exit_code(), 0);
    assert_eq!(running(&world), expected);
    // Nothing was loaded before what it requires ran, and nothing is left of what failed.
    let loads = world.loads();
    for script in &expected {
        for required in &graph[script] {
            assert!(loads[required].ended <= loads[script].begun, "{script} before {required}");
        }
    }
    let foreign = faults.values().filter(|fault| **fault == Fault::ForeignModule).count();
    assert_eq!(world.loaded().split_whitespace().count(), expected.len() + foreign);
    assert_eq!(world.try_stop("").unwrap().exit_code(), 0);
    assert_eq!(world.loaded().split_whitespace().count(), foreign);
}

#[test]
fn passall_yes_200_scripts_with_failures_run_as_the_model_says() {
    let mut random = Random(5);
    let graph = graph(&mut random);
    let order = order(&graph);
    // Late in the order, so that much was started that must be stopped again; and one that nobody needs.
    let mut faults = BTreeMap::new();
    for fault in [Fault::FailsLoaded, Fault::StaprunFails, Fault::ReportsAnError] {
        faults.insert(order[90 + random.below(100)].clone(), fault);
    }
    let needed: BTreeSet<&String> = graph.values().flatten().collect();
    let free = order.iter().find(|script| !needed.contains(script)).unwrap();
    faults.insert(free.clone(), Fault::Red);
    let world = world(&graph, &faults);
    let expected = model(&graph, &faults, true);
    assert!(expected.len() > 50 && expected.len() < SCRIPTS - 10, "{}", expected.len());
    assert_eq!(world.try_start("").unwrap().exit_code(), 1);
    assert_eq!(running(&world), expected);
}
