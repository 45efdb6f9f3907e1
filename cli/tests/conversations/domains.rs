//! Domains: two teams on one host, as an administrator sees them.

use insta::assert_snapshot;

use crate::bundles::{Bundle, fleet};
use crate::world::TestWorld;

/// Bundles of both teams, and one of team B that is called as team A's.
fn world() -> TestWorld {
    let world = TestWorld::new();
    let of_a = |serial| Bundle { name: "stap-scripts", ..fleet(serial) };
    let of_b = Bundle { name: "b-net", scripts: vec!["net"], red: Vec::new(), ..fleet(1) };
    world.write("a-1.stapb", of_a(1).signed(&world.farm));
    world.write("a-2.stapb", of_a(2).signed(&world.farm));
    world.write("b-1.stapb", of_b.signed(&world.stranger));
    world.write("b-as-a.stapb", of_a(9).signed(&world.stranger));
    world
}

#[test]
fn a_second_team_gets_a_domain_and_signs_nothing_of_the_first() {
    let world = world();
    assert_snapshot!(world.talk("
        trust add --root host farm.pub
        trust add --root host stranger.pub --domain team-b
        trust add --root host stranger.pub --domain team-b --bundles b-*
        trust list --root host
        install --root host a-1.stapb
        install --root host b-1.stapb
        install --root host b-as-a.stapb
        install --root host a-2.stapb
        inspect --root host b-as-a.stapb
        list --root host
        history --root host
    "), @r#"
    $ stap-bundle trust add --root host farm.pub
    pinned: key [FARM-KEY]
    2> Compare this id with the one that your farm published.
    [exit 0]
    $ stap-bundle trust add --root host stranger.pub --domain team-b
    2> error: domain team-b is new, so which bundles it owns must be said
    2> hint: such as --bundles 'team-b-*'
    [exit 2]
    $ stap-bundle trust add --root host stranger.pub --domain team-b --bundles b-*
    pinned in domain team-b: key [STRANGER-KEY]
      owns b-*: only keys of this domain sign bundles of these names
    2> Compare this id with the one that your farm published.
    [exit 0]
    $ stap-bundle trust list --root host
    domain default, which owns what no other domain owns
    [FARM-KEY]
    domain team-b, which owns b-*
    [STRANGER-KEY]
    [exit 0]
    $ stap-bundle install --root host a-1.stapb
    installed: stap-scripts 1.1 as generation 1
      6.12.1-test: 2 modules
    2> stap-scripts 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 1 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from nothing to generation 1
    [exit 0]
    $ stap-bundle install --root host b-1.stapb
    installed: b-net 1.1 as generation 2 in domain team-b
      6.12.1-test: 1 module
      + script net
      ~ kernel 6.12.1-test: added net
      ~ not unpacked kernel 6.13.0-test
    2> b-net 1.1 is signed by trusted key [STRANGER-KEY-SHORT]
    2> staging generation 2 with 1 kernel
    2>   6.12.1-test: 1 module, [SIZE]
    2>   bundle stap-scripts is carried over
    2> switching from generation 1 to generation 2
    [exit 0]
    $ stap-bundle install --root host b-as-a.stapb
    2> error: b-as-a.stapb: it is signed in domain team-b, but the name `stap-scripts` belongs to domain default
    2> hint: stap-bundle trust list shows which domain owns what
    [exit 10]
    $ stap-bundle install --root host a-2.stapb
    installed: stap-scripts 1.2 as generation 3
      6.12.1-test: 2 modules
      no script, kernel or module differs from generation 2
    2> stap-scripts 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 3 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2>   bundle b-net is carried over
    2> switching from generation 2 to generation 3
    [exit 0]
    $ stap-bundle inspect --root host b-as-a.stapb
    2> error: b-as-a.stapb: it is signed in domain team-b, but the name `stap-scripts` belongs to domain default
    2> hint: stap-bundle trust list shows which domain owns what
    [exit 10]
    $ stap-bundle list --root host
     GENERATION   MADE  BUNDLE                      SCRIPTS  KERNELS
     1            -     stap-scripts 1.1            2        6.12.1-test
     2            -     b-net 1.1 in domain team-b  1        6.12.1-test
     2            -     stap-scripts 1.1            2        6.12.1-test
     3 (current)  -     b-net 1.1 in domain team-b  1        6.12.1-test
     3 (current)  -     stap-scripts 1.2            2        6.12.1-test
    [exit 0]
    $ stap-bundle history --root host
    at an unknown time  pinned key [FARM-KEY]
    at an unknown time  pinned key [STRANGER-KEY] in domain team-b, which owns b-* from then on
    at an unknown time  installed stap-scripts 1.1 as generation 1
    at an unknown time  installed b-net 1.1 in domain team-b as generation 2, after 1
    at an unknown time  installed stap-scripts 1.2 as generation 3, after 2
    [exit 0]
    "#);
    documents_name_the_domain(&world);
}

fn documents_name_the_domain(world: &TestWorld) {
    let status = world.json("status --root host");
    let domains: Vec<_> =
        status["bundles"].as_array().unwrap().iter().map(|bundle| bundle["domain"].clone()).collect();
    assert_eq!(domains, ["team-b", "default"]);
    let list = world.json("list --root host");
    let newest = list["generations"].as_array().unwrap().last().unwrap();
    let domains: Vec<_> =
        newest["bundles"].as_array().unwrap().iter().map(|bundle| bundle["domain"].clone()).collect();
    assert_eq!(domains, ["team-b", "default"]);
    assert_eq!(world.json("inspect --root host b-1.stapb")["domain"], "team-b");
    assert_eq!(world.json("inspect b-1.stapb --key stranger.pub")["domain"], serde_json::Value::Null);
    let trust = world.json("trust list --root host");
    assert_eq!(trust["domains"][1]["bundles"], serde_json::json!(["b-*"]));
    let history = world.json("history --root host");
    assert_eq!(history["events"][0]["event"]["domain"], "default");
    assert_eq!(history["events"][1]["event"]["domain"], "team-b");
}

#[test]
fn what_a_new_domain_takes_from_default_is_said_and_refused() {
    let world = world();
    assert_snapshot!(world.talk("
        trust add --root host farm.pub
        install --root host a-1.stapb
        trust add --root host stranger.pub --domain team-b --bundles stap-*,b-*
        status --root host
        fsck --root host
        trust add --root host farm.pub --domain team-c --bundles *-scripts
        trust add --root host farm.pub --bundles x
        trust remove --root host --domain team-c
        trust remove --root host --domain team-b
        status --root host
        trust remove --root host --domain default --yes
    "), @r#"
    $ stap-bundle trust add --root host farm.pub
    pinned: key [FARM-KEY]
    2> Compare this id with the one that your farm published.
    [exit 0]
    $ stap-bundle install --root host a-1.stapb
    installed: stap-scripts 1.1 as generation 1
      6.12.1-test: 2 modules
    2> stap-scripts 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 1 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from nothing to generation 1
    [exit 0]
    $ stap-bundle trust add --root host stranger.pub --domain team-b --bundles stap-*,b-*
    pinned in domain team-b: key [STRANGER-KEY]
      owns stap-*, b-*: only keys of this domain sign bundles of these names
    2> warning: installed bundle stap-scripts goes from domain default to team-b and is refused from now on: it is signed in domain default, but the name `stap-scripts` belongs to domain team-b
    2> Compare this id with the one that your farm published.
    [exit 0]
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle stap-scripts - in domain team-b
      refused: it is signed in domain default, but the name `stap-scripts` belongs to domain team-b

     SCRIPT   STATE    KERNEL  BUNDLE        SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       stap-scripts  -      -       -     -
     latency  stopped  -       stap-scripts  -      -       -     -
    counter, latency: bundle stap-scripts is not believed: it is signed in domain default, but the name `stap-scripts` belongs to domain team-b
        install the bundle again, signed by a trusted key; see stap-bundle trust list
    [exit 10]
    $ stap-bundle fsck --root host
    bundles/stap-scripts (bundle stap-scripts): it is signed in domain default, but the name `stap-scripts` belongs to domain team-b
      it isn't believed: bring a bundle that is, or stap-bundle uninstall NAME
    1 problem: generation 1, 2 files compared, [SIZE]
    [exit 11]
    $ stap-bundle trust add --root host farm.pub --domain team-c --bundles *-scripts
    2> error: `*-scripts` of domain team-c and `stap-*` of domain team-b overlap: both own `stap-scripts`
    2> hint: choose patterns that leave each name to one domain; `stap-bundle trust list` shows them
    [exit 16]
    $ stap-bundle trust add --root host farm.pub --bundles x
    2> error: domain default owns what no other domain owns, and takes no patterns
    2> hint: name a domain of its own: --domain NAME
    [exit 2]
    $ stap-bundle trust remove --root host --domain team-c
    2> error: there is no domain team-c
    2> hint: `stap-bundle trust list` shows the domains
    [exit 1]
    $ stap-bundle trust remove --root host --domain team-b
    removed: domain team-b, with its pins and its chain
    2> warning: installed bundle stap-scripts goes from domain team-b to default, whose keys signed it too
    2> The names that it owned are those of default again, and only keys of default sign them.
    [exit 0]
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle stap-scripts 1.1

     SCRIPT   STATE    KERNEL  BUNDLE        SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       stap-scripts  -      -       -     -
     latency  stopped  -       stap-scripts  -      -       -     counter
    counter, latency: no kernel runs here for which bundle stap-scripts could have a module
        ask on the host itself, without --root
    [exit 3]
    $ stap-bundle trust remove --root host --domain default --yes
    removed: the pins and the chain of domain default
    2> warning: bundle stap-scripts is refused: signed by key [FARM-KEY-SHORT], which isn't trusted here
    2> What they let in is refused from now on, installed bundles too. To believe a farm again: stap-bundle trust add NAME.pub.
    [exit 0]
    "#);
}

#[test]
fn a_key_of_two_domains_is_removed_by_domain() {
    let world = world();
    let id = world.farm.public().id().short();
    for line in ["trust add --root host farm.pub", "trust add --root host farm.pub --domain a --bundles a-*"]
    {
        assert_eq!(world.run(line).exit, Some(0));
    }
    assert_snapshot!(world.talk(&format!("
        trust remove --root host {id}
        trust remove --root host {id} --domain b --yes
        trust remove --root host {id} --domain a --yes
        trust list --root host
    ")), @r#"
    $ stap-bundle trust remove --root host [FARM-KEY-SHORT]
    2> error: 2 pinned keys begin with `[FARM-KEY-SHORT]`
    2> hint: give more of the id or, where domains share the key, --domain NAME; `stap-bundle trust list` shows both
    [exit 1]
    $ stap-bundle trust remove --root host [FARM-KEY-SHORT] --domain b --yes
    2> error: there is no domain b
    2> hint: `stap-bundle trust list` shows the domains
    [exit 1]
    $ stap-bundle trust remove --root host [FARM-KEY-SHORT] --domain a --yes
    removed in domain a: key [FARM-KEY]
    2> Bundles that only this key signed are refused from now on, installed ones too.
    [exit 0]
    $ stap-bundle trust list --root host
    domain default, which owns what no other domain owns
    [FARM-KEY]
    domain a, which owns a-*
    2> no key is pinned in domain a: no bundle can be installed
    [exit 0]
    "#);
}
