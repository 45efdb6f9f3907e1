use proptest::prelude::*;

use super::*;

fn name(text: &str) -> ScriptName {
    text.parse().unwrap()
}

fn set(text: &str) -> Names {
    text.split_whitespace().map(name).collect()
}

/// `a:b c` says that a requires b and c.
fn graph(lines: &[&str]) -> DependencyGraph {
    let edge = |line: &&str| {
        let (script, required) = line.split_once(':').unwrap_or((line, ""));
        (name(script), set(required))
    };
    DependencyGraph::new(lines.iter().map(edge).collect())
}

fn text(names: &[ScriptName]) -> String {
    names.iter().map(ScriptName::as_str).collect::<Vec<_>>().join(" ")
}

fn order(lines: &[&str]) -> String {
    text(&graph(lines).order().unwrap())
}

#[test]
fn init_dep_01_what_is_required_comes_first() {
    assert_eq!(order(&["a:z", "b", "c", "z"]), "z a b c");
    assert_eq!(order(&["c", "b", "a"]), "a b c");
    assert_eq!(order(&["a:b", "b:c", "c"]), "c b a");
}

#[test]
fn init_dep_02_a_cycle_is_reported_as_its_whole_path() {
    let cyclic = graph(&["a:x", "x:y", "y:z", "z:x", "free"]);
    let error = cyclic.order().unwrap_err();
    assert_eq!(error.to_string(), "requirements form a cycle: x -> y -> z -> x");
    assert_eq!(graph(&["s:s"]).order().unwrap_err().to_string(), "requirements form a cycle: s -> s");
    // Who doesn't depend on the cycle isn't kept from starting.
    assert_eq!(text(&cyclic.start_order(&set("free"), true).unwrap()), "free");
    assert!(cyclic.start_order(&set("a"), false).is_err());
    let (rest, blocked) = cyclic.without_blocked();
    assert_eq!(rest.scripts().cloned().collect::<Names>(), set("free"));
    assert_eq!(blocked.len(), 4);
}

#[test]
fn init_dep_03_a_diamond_has_each_script_once() {
    let diamond = graph(&["a:b c", "b:d", "c:d", "d"]);
    assert_eq!(text(&diamond.order().unwrap()), "d b c a");
    let all = set("a b c d");
    assert_eq!(text(&diamond.stop_order(&all, &all, false).unwrap()), "a c b d");
    let levels = diamond.levels().unwrap();
    assert_eq!(levels.iter().map(|level| text(level)).collect::<Vec<_>>(), ["d", "b c", "a"]);
}

#[test]
fn init_dep_04_a_missing_requirement_is_named_with_those_who_require_it() {
    let incomplete = graph(&["a:ghost", "b:ghost a", "c", "d:b"]);
    assert_eq!(
        incomplete.order().unwrap_err().to_string(),
        "script ghost doesn't exist, and is required by a, b"
    );
    assert_eq!(text(&incomplete.start_order(&set("c"), true).unwrap()), "c");
    assert!(matches!(incomplete.start_order(&set("nobody"), true), Err(DependencyError::Unknown { .. })));
    let (rest, blocked) = incomplete.without_blocked();
    assert_eq!(text(&rest.order().unwrap()), "c");
    assert_eq!(blocked[&name("d")], Blocked::Missing(set("ghost")));
    assert_eq!(incomplete.problems().len(), 1);
}

/// Without -R requirements don't start, but they aren't forgotten: the order keeps to them, and
/// `ready` waits for them.
#[test]
fn init_dep_05_without_recursion_requirements_count_for_order_and_readiness() {
    let chain = graph(&["a:b", "b:c", "c"]);
    assert_eq!(text(&chain.start_order(&set("a c"), false).unwrap()), "c a");
    assert_eq!(text(&chain.start_order(&set("a"), true).unwrap()), "c b a");
    assert_eq!(chain.ready(&set("a"), &set(""), &set("")), set(""));
    assert_eq!(chain.ready(&set("a"), &set("b c"), &set("")), set("a"));
}

/// README 5.2.3: if a requirement fails, who requires it isn't started.
#[test]
fn init_dep_06_a_failure_keeps_dependants_from_starting_whatever_passall_says() {
    let graph = graph(&["a", "b:a", "c:b", "d", "e"]);
    let order = graph.order().unwrap();
    assert_eq!(text(&order), "a b c d e");
    let remaining = |failed: &str, pass_all| text(&graph.remaining_after(&order, &set(failed), pass_all));
    assert_eq!(remaining("a", false), "d e");
    assert_eq!(remaining("b", false), "a d e");
    assert_eq!(remaining("d", false), "a b c e");
    assert_eq!(remaining("d", true), "a b c");
    assert_eq!(remaining("a", true), "");
    assert_eq!(remaining("", true), "a b c d e");
    let blocked = graph.blocked_by(&set("a"));
    assert_eq!(blocked.keys().cloned().collect::<Names>(), set("b c"));
    assert_eq!(graph.ready(&set("a b d"), &set(""), &set("a")), set("d"));
}

#[test]
fn init_stop_02_stop_keeps_what_others_need() {
    let graph = graph(&["a:lib", "b:lib", "lib:base", "base", "other"]);
    let running = set("a b lib base other gone");
    let refused = graph.stop_order(&set("lib"), &running, false).unwrap_err();
    assert_eq!(refused.to_string(), "lib is required by a, b, still running");
    let stop = |named: &str, running: &Names, recursive| {
        text(&graph.stop_order(&set(named), running, recursive).unwrap())
    };
    assert_eq!(stop("a", &running, false), "a");
    assert_eq!(stop("a", &running, true), "a", "b still needs lib");
    assert_eq!(stop("lib", &running, true), "b a lib base");
    assert_eq!(stop("a", &set("a lib base"), true), "a lib base");
    assert_eq!(stop("a b lib", &running, false), "b a lib");
    assert_eq!(stop("gone", &running, false), "gone", "a script without source can be stopped");
    assert_eq!(stop("a", &set("b"), false), "", "what doesn't run isn't stopped");
}

#[test]
fn a_cycle_keeps_nothing_from_stopping() {
    let graph = graph(&["a:b", "b:a", "c:ghost"]);
    let running = set("a b c");
    assert_eq!(graph.stop_order(&running, &running, true).unwrap().len(), 3);
}

#[test]
fn a_long_chain_needs_no_deep_stack() {
    let link = |i: usize| name(&format!("s{i}"));
    let edges = (0..20_000).map(|i| (link(i), [link(i + 1)].into()));
    let graph = DependencyGraph::new(edges.chain([(link(20_000), Names::new())]).collect());
    assert_eq!(graph.order().unwrap().len(), 20_001);
    assert_eq!(graph.levels().unwrap().len(), 20_001);
}

fn any_graph() -> impl Strategy<Value = DependencyGraph> {
    let script = || (0..12_u8).prop_map(|i| name(&format!("s{i}")));
    let edges = proptest::collection::btree_set(script(), 0..4);
    proptest::collection::btree_map(script(), edges, 0..12).prop_map(DependencyGraph::new)
}

proptest! {
    #[test]
    fn an_order_has_each_script_once_after_its_requirements(graph in any_graph()) {
        let (graph, blocked) = graph.without_blocked();
        let order = graph.order().unwrap();
        let mut seen = Names::new();
        for script in &order {
            prop_assert!(graph.direct_requirements_of(script).all(|name| seen.contains(name)));
            prop_assert!(!blocked.contains_key(script));
            prop_assert!(seen.insert(script.clone()));
        }
        prop_assert_eq!(seen.len(), graph.scripts().count());
        prop_assert_eq!(graph.levels().unwrap().concat().len(), seen.len());
    }

    #[test]
    fn an_order_exists_or_a_problem_is_named(graph in any_graph()) {
        prop_assert_eq!(graph.order().is_ok(), graph.problems().is_empty());
    }

    #[test]
    fn starting_what_is_ready_again_and_again_ends_where_the_rule_says(
        graph in any_graph(), failing in any::<u16>(),
    ) {
        let (graph, _) = graph.without_blocked();
        let order = graph.order().unwrap();
        let fails: Names = order.iter().enumerate()
            .filter(|(i, _)| failing >> (i % 16) & 1 == 1).map(|(_, s)| s.clone()).collect();
        let wanted: Names = order.iter().cloned().collect();
        let mut running = Names::new();
        let mut failed = Names::new();
        loop {
            let ready = graph.ready(&wanted, &running, &failed);
            if ready.is_empty() { break; }
            for script in ready {
                if fails.contains(&script) { failed.insert(script); } else { running.insert(script); }
            }
        }
        let remaining: Names = graph.remaining_after(&order, &failed, false).into_iter().collect();
        prop_assert_eq!(running, remaining);
    }

    #[test]
    fn a_stop_never_pulls_a_requirement_from_under_a_running_script(
        graph in any_graph(), recursive in any::<bool>(), pick in any::<u16>(), run in any::<u16>(),
    ) {
        let (graph, _) = graph.without_blocked();
        let chosen = |bits: u16| graph.scripts().enumerate()
            .filter(|(i, _)| bits >> (i % 16) & 1 == 1).map(|(_, s)| s.clone()).collect::<Names>();
        let named = chosen(pick);
        // What runs has its requirements running.
        let mut running = chosen(run);
        for script in running.clone() { running.extend(graph.requirements_of(&script)); }
        if let Ok(order) = graph.stop_order(&named, &running, recursive) {
            let mut left = running.clone();
            for script in order {
                prop_assert!(graph.direct_dependants_of(&script).all(|user| !left.contains(user)));
                prop_assert!(left.remove(&script));
            }
            prop_assert!(named.is_disjoint(&left));
        }
    }
}
