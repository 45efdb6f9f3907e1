//! What a domain owns, as its file says it; and files that say it badly.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::domains::{TRUST, of_a, two_teams};
use super::world::World;
use crate::{InstallError, TrustStore};

/// What somebody does to a host.
type Spoil<'s> = &'s dyn Fn(&World);

#[test]
fn an_account_that_is_not_exact_makes_the_host_believe_nothing() {
    let owned = format!("{TRUST}/team-b/bundles");
    let spoil: [(&str, Spoil<'_>); 8] = [
        ("it is missing", &|world| fs::remove_file(world.path(&owned)).unwrap()),
        ("it has no pattern", &|world| fs::write(world.path(&owned), "# none\n\n").unwrap()),
        ("line 2: ", &|world| fs::write(world.path(&owned), "b-*\nb *\n").unwrap()),
        ("overlap", &|world| fs::write(world.path(&owned), "*\n").unwrap()),
        ("more than 32", &|world| {
            let lines: Vec<String> = (0..33).map(|number| format!("b-{number}")).collect();
            fs::write(world.path(&owned), lines.join("\n")).unwrap();
        }),
        ("not protected", &|world| {
            fs::set_permissions(world.path(&owned), fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("takes no patterns", &|world| {
            fs::write(world.path(&format!("{TRUST}/default/bundles")), "x\n").unwrap();
        }),
        ("", &|world| symlink("team-b", world.path(&format!("{TRUST}/team-c"))).unwrap()),
    ];
    for (word, spoil) in spoil {
        let world = two_teams();
        world.install(&of_a(1).bytes()).unwrap();
        spoil(&world);
        let error = TrustStore::open(&world.host).unwrap_err();
        assert!(files::with_causes(&error).contains(word), "{word}: {error}");
        assert!(crate::CurrentGeneration::open(&world.host).is_err(), "{word}");
        assert!(matches!(
            world.install(&of_a(2).bytes()).unwrap_err(),
            InstallError::Trust(_) | InstallError::Storage(_)
        ));
    }
    // What can't be a domain says nothing.
    let world = two_teams();
    fs::create_dir(world.path(&format!("{TRUST}/Team C"))).unwrap();
    fs::write(world.path(&format!("{TRUST}/readme")), "x").unwrap();
    world.install(&of_a(1).bytes()).unwrap();
}

#[test]
fn remarks_and_empty_lines_of_an_account_are_passed_over() {
    let world = two_teams();
    fs::write(world.path(&format!("{TRUST}/team-b/bundles")), "# team B\n\n  b-* \r\nnet\n").unwrap();
    let store = TrustStore::open(&world.host).unwrap();
    let bundles: Vec<_> = store.domains()[2].bundles().iter().map(ToString::to_string).collect();
    assert_eq!(bundles, ["b-*", "net"]);
}
