//! Messages for what goes wrong most: the thing first, what is wrong with it, what to do.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::world::{Said, TestWorld};

#[test]
fn what_came_in_place_of_a_bundle_is_named_with_the_way_back() {
    let world = TestWorld::new();
    let bundle = fleet(1).signed(&world.farm);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&bundle).unwrap();
    world.write("gz.stapb", gzip.finish().unwrap());
    let crlf: Vec<u8> = bundle
        .iter()
        .flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] })
        .collect();
    world.write("crlf.stapb", crlf);
    world.write("b64.stapb", "c3RhcC1idW5kbGUAAAAAAAAA\n");
    world.write("page.stapb", "<!DOCTYPE html>\n<html><title>Sign in</title>\n");
    world.write("lfs.stapb", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
    assert_snapshot!(world.talk("
        install --root host gz.stapb
        verify crlf.stapb --key farm.pub
        inspect b64.stapb
        install --root host page.stapb
        verify lfs.stapb --key farm.pub
        sign farm.pub
        install --root host -
        install --root host https://farm.example/fleet.stapb
        verify https://farm.example/fleet.stapb --key farm.pub
        install --root host host
    "), @r#"
    $ stap-bundle install --root host gz.stapb
    2> error: gz.stapb: compressed by gzip, not a bundle
    2> hint: decompress it: gzip -dc FILE > NAME.stapb
    [exit 11]
    $ stap-bundle verify crlf.stapb --key farm.pub
    2> error: crlf.stapb: damaged: its line ends were changed on the way, as in a copy in text mode [not-a-bundle]
    2> hint: copy it again as binary: `binary` in ftp, `*.stapb binary` in .gitattributes
    [exit 11]
    $ stap-bundle inspect b64.stapb
    2> error: b64.stapb: base64 text, not a bundle
    2> hint: decode it: base64 -d FILE > NAME.stapb
    [exit 11]
    $ stap-bundle install --root host page.stapb
    2> error: page.stapb: an HTML page, not a bundle
    2> hint: the server answered with a page, of a login or an error: open it in a browser
    [exit 11]
    $ stap-bundle verify lfs.stapb --key farm.pub
    2> error: lfs.stapb: a Git LFS pointer, not the bundle itself [not-a-bundle]
    2> hint: fetch the bundle itself: git lfs pull
    [exit 11]
    $ stap-bundle sign farm.pub
    2> error: farm.pub can't be signed: a key or a certificate (PEM), not a bundle
    2> hint: give the bundle here, and a public key with --key or to `trust add`
    [exit 11]
    $ stap-bundle install --root host -
    2> error: standard input: empty, not a bundle
    2> hint: did the copy, or the command before the pipe, fail?
    [exit 11]
    $ stap-bundle install --root host https://farm.example/fleet.stapb
    2> error: https://farm.example/fleet.stapb is an address, expected a file: stap-bundle fetches nothing
    2> hint: download it first; `install` and `verify` also read a pipe: `-`
    [exit 2]
    $ stap-bundle verify https://farm.example/fleet.stapb --key farm.pub
    2> error: https://farm.example/fleet.stapb is an address, expected a file: stap-bundle fetches nothing
    2> hint: download it first; `install` and `verify` also read a pipe: `-`
    [exit 2]
    $ stap-bundle install --root host host
    2> error: host is a directory, expected a bundle
    [exit 2]
    "#);
}

#[test]
fn a_file_of_another_kind_is_named() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    world.write("notes", "nothing\n");
    assert_snapshot!(world.talk("
        trust add --root host fleet.stapb
        trust add --root host notes
        trust root show fleet.stapb
        verify fleet.stapb --key fleet.stapb
        import notes
        key generate --out notes/x
        fsck --root host --generation 3
    "), @r#"
    $ stap-bundle trust add --root host fleet.stapb
    2> error: fleet.stapb is a bundle, expected a public key (.pub)
    [exit 2]
    $ stap-bundle trust add --root host notes
    2> error: notes: not an Ed25519 public key in PEM (`-----BEGIN PUBLIC KEY-----`): there is no such line
    2> hint: a public key is what `stap-bundle key generate` writes as NAME.pub
    [exit 11]
    $ stap-bundle trust root show fleet.stapb
    2> error: fleet.stapb is a bundle, expected a file of roots (.stapr)
    [exit 2]
    $ stap-bundle verify fleet.stapb --key fleet.stapb
    2> error: fleet.stapb is a bundle, expected a public key (.pub)
    [exit 2]
    $ stap-bundle import notes
    2> error: notes: not a package of the initscript (tar.gz)
    2>   because: unexpected end of file
    [exit 11]
    $ stap-bundle key generate --out notes/x
    2> error: key file notes/x.key: Not a directory
    [exit 14]
    $ stap-bundle fsck --root host --generation 3
    2> error: there is no generation 3; there are none
    2> hint: `stap-bundle list` shows the generations
    [exit 1]
    "#);
}

#[test]
fn a_root_that_others_can_write_is_named_with_the_command_that_mends_it() {
    let world = TestWorld::new();
    world.chmod("host", 0o1777);
    assert_snapshot!(world.run("trust add --root host farm.pub"), @r#"
    $ stap-bundle trust add --root host farm.pub
    2> error: the trust store is not protected
    2>   because: host can be written by others (mode 1777)
    2> hint: chmod go-w host
    2> hint: others could pin a key there: give it to root, and let nobody else write
    [exit 10]
    "#);
}

#[test]
fn a_missing_part_is_named_by_its_file() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &crate::bundles::Bundle { padding: 20_000, ..fleet(1) });
    let said = world.run("split fleet.stapb --size 8192 -o parts");
    assert_eq!(said.exit, Some(0), "{said}");
    let parts = |left_out: &[usize]| {
        let all: Vec<String> = (1..=99)
            .map(|number| format!("parts/fleet.stapb.{number:02}"))
            .filter(|part| world.path(part).exists())
            .collect();
        let kept = all.iter().enumerate().filter(|(at, _)| !left_out.contains(&(at + 1)));
        (all.len(), kept.map(|(_, part)| part.as_str()).collect::<Vec<_>>().join(" "))
    };
    let (count, given) = parts(&[2]);
    let said = world.run(&format!("join {given} -o whole.stapb"));
    assert!(
        said.stderr
            .contains(&format!("error: part 2 of {count} is missing\nhint: add parts/fleet.stapb.02\n")),
        "{said}"
    );
    let (_, given) = parts(&[1, 3]);
    let said = world.run(&format!("join {given} -o whole.stapb"));
    assert!(
        said.stderr
            .contains(&format!("error: parts 1, 3 of {count} are missing\nhint: add parts/fleet.stapb.01\n")),
        "{said}"
    );
}

#[test]
fn where_there_are_domains_the_hint_names_one() {
    let world = TestWorld::new();
    world.write("b.stapb", fleet(1).signed(&world.stranger));
    world.run("trust add --root host farm.pub");
    let said = world.run("install --root host b.stapb");
    assert!(said.stderr.contains("stap-bundle trust add NAME.pub\n"), "{said}");
    world.run("trust add --root host farm.pub --domain team-a --bundles a-*");
    for line in ["install --root host b.stapb", "verify --root host b.stapb"] {
        let said = world.run(line);
        assert!(said.stderr.contains("stap-bundle trust add NAME.pub --domain DOMAIN\n"), "{said}");
        assert!(
            said.stderr.contains("`stap-bundle trust list` shows which domain owns the bundle's name"),
            "{said}"
        );
    }
}

/// Runs a command as `nobody`, if this test may.
fn as_nobody(world: &TestWorld, line: &str) -> Said {
    let mut command = world.command(line);
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    Said::new(line, command.output().unwrap())
}

#[test]
fn what_only_root_may_do_says_so_with_the_line_for_sudo() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    // As root made it, and closed to others.
    std::fs::create_dir_all(world.path("host/var/lib/stap-bundle")).unwrap();
    world.chmod("host/var/lib/stap-bundle", 0o700);
    let base = world.work();
    let base = base.parent().unwrap();
    std::fs::set_permissions(base, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for line in
        ["trust add --root host farm.pub", "mask --root host counter", "install --root host fleet.stapb"]
    {
        let said = as_nobody(&world, line);
        let command = line.split(" --root").next().unwrap();
        assert!(said.stderr.starts_with(&format!("error: `{command}` needs root\n")), "{said}");
        assert!(said.stderr.contains(&format!("stap-bundle {line}\n")), "{said}");
        assert!(said.stderr.contains("hint: sudo "), "{said}");
    }
}
