//! The accepted chain of roots, lost in one copy and in both.

use std::fs;

use insta::assert_snapshot;

use crate::roots::two_of_two;

const CHAIN: &str = "host/var/lib/stap-bundle/state/roots/default/chain.stapr";

#[test]
fn a_lost_copy_is_told_and_mended_and_a_lost_chain_is_brought_again() {
    let world = two_of_two();
    assert_eq!(world.run("install --quiet --root host --all-kernels fleet-1.stapb").exit, Some(0));
    fs::remove_file(world.path(CHAIN)).unwrap();
    assert_snapshot!(world.talk("
        trust list --root host
        status --root host
        fsck --root host
        fsck --root host --repair
        fsck --root host
    "), @r#"
    $ stap-bundle trust list --root host
    root 1 of chain fleet (accepted)
    [FARM-KEY]
    2> warning: /var/lib/stap-bundle/state/roots/default/chain.stapr, a copy of the accepted chain of roots, can't be used: it is not there; the next install, or `stap-bundle fsck --repair`, makes it again
    2> The pinned keys count only for what they let in before; `trust show` has the chain's keys.
    [exit 0]
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     counter
    counter, latency: no kernel runs here for which bundle fleet could have a module
        ask on the host itself, without --root
    2> warning: /var/lib/stap-bundle/state/roots/default/chain.stapr, a copy of the accepted chain of roots, can't be used: it is not there; the next install, or `stap-bundle fsck --repair`, makes it again
    [exit 3]
    $ stap-bundle fsck --root host
    /var/lib/stap-bundle/state/roots/default/chain.stapr: a copy of the accepted chain of roots can't be used: it is not there
      the other copy is good: stap-bundle fsck --repair, or the next install
    1 problem: generation 1, 7 files compared, [SIZE]
    [exit 11]
    $ stap-bundle fsck --root host --repair
    mended: generation 1, 7 files compared, [SIZE]
    2> /var/lib/stap-bundle/state/roots/default/chain.stapr: a copy of the accepted chain of roots can't be used: it is not there
    2> warning: /var/lib/stap-bundle/state/roots/default/chain.stapr, a copy of the accepted chain of roots, can't be used: it is not there; the next install, or `stap-bundle fsck --repair`, makes it again
    [exit 0]
    $ stap-bundle fsck --root host
    good: generation 1, 7 files compared, [SIZE]
    [exit 0]
    "#);
    for copy in [CHAIN.to_owned(), format!("{CHAIN}.copy")] {
        fs::remove_file(world.path(&copy)).unwrap();
    }
    assert_snapshot!(world.talk("
        trust list --root host
        status --root host
        fsck --root host
        trust add --root host stranger.pub
        install --root host --all-kernels fleet-1.stapb
        trust update --root host roots.stapr
        fsck --root host
    "), @r#"
    $ stap-bundle trust list --root host
    [FARM-KEY]
    2> warning: nothing is believed: root 1 ruled when generation 1 was made, and the accepted chain of roots is gone: what was revoked is not known before the farm's newest roots are brought
    [exit 0]
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet -
      refused: root 1 ruled when generation 1 was made, and the accepted chain of roots is gone: what was revoked is not known before the farm's newest roots are brought

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     -
    counter, latency: bundle fleet is not believed: root 1 ruled when generation 1 was made, and the accepted chain of roots is gone: what was revoked is not known before the farm's newest roots are brought
        install the bundle again, signed by a trusted key; see stap-bundle trust list
    2> warning: nothing is believed: root 1 ruled when generation 1 was made, and the accepted chain of roots is gone: what was revoked is not known before the farm's newest roots are brought
    [exit 10]
    $ stap-bundle fsck --root host
    bundles/fleet (bundle fleet): root 1 ruled when generation 1 was made, and the accepted chain of roots is gone: what was revoked is not known before the farm's newest roots are brought
      it isn't believed: bring a bundle that is, or stap-bundle uninstall NAME
    /var/lib/stap-bundle/state/roots/default/chain.stapr: root 1 ruled when generation 1 was made, and the accepted chain of roots is gone: what was revoked is not known before the farm's newest roots are brought
      bring the farm's newest roots: stap-bundle trust update FILE.stapr
    2 problems: generation 1, 2 files compared, [SIZE]
    [exit 11]
    $ stap-bundle trust add --root host stranger.pub
    2> warning: nothing is believed: root 1 ruled when generation 1 was made, and the accepted chain of roots is gone: what was revoked is not known before the farm's newest roots are brought
    2> error: root 1 ruled when generation 1 was made, and the accepted chain of roots is gone: what was revoked is not known before the farm's newest roots are brought
    2> hint: stap-bundle trust update FILE.stapr; where no key is pinned, stap-bundle trust add FILE.stapr
    [exit 10]
    $ stap-bundle install --root host --all-kernels fleet-1.stapb
    already installed: fleet 1.1 as generation 1
      6.12.1-test: 2 modules
      6.13.0-test: 1 module, 1 red cell
    2> root 1 of chain fleet is accepted on this host
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT], [STRANGER-KEY-SHORT]
    [exit 0]
    $ stap-bundle trust update --root host roots.stapr
    nothing new: root 1 rules already
    [exit 0]
    $ stap-bundle fsck --root host
    good: generation 1, 7 files compared, [SIZE]
    [exit 0]
    "#);
}
