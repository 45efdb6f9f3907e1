//! Signatures of packages and of indexes, by keys of gpg's.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bundle_format::Digest;
use fixtures::package::{Member, gzip, rpm, rpm_with};
use tempfile::TempDir;

use super::World;
use crate::kernels::{Checked, PackageChecks};

/// A key of gpg's, made for this test.
struct Gpg {
    home: TempDir,
}

impl Gpg {
    fn new(name: &str) -> Self {
        let gpg = Self { home: tempfile::tempdir().unwrap() };
        gpg.run(&["--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never"]);
        gpg
    }

    fn run(&self, args: &[&str]) -> Vec<u8> {
        let command = child::ChildCommand::new("gpg").args(["--batch", "--quiet", "--homedir"]);
        let finished = command
            .arg(self.home.path())
            .args(args)
            .env_from_here("PATH")
            .run(&child::Limits::within(Duration::from_secs(60)), &child::Cancel::new())
            .unwrap();
        assert!(finished.status.success(), "{}", finished.stderr.text());
        finished.stdout.bytes()
    }

    /// With the certificate that gpg has made beside the key.
    fn revoke(&self) {
        let directory = self.home.path().join("openpgp-revocs.d");
        let certificate = fs::read_dir(directory).unwrap().next().unwrap().unwrap().path();
        // gpg guards it with a colon before its first line.
        let text = fs::read_to_string(&certificate).unwrap().replace(":-----BEGIN", "-----BEGIN");
        fs::write(&certificate, text).unwrap();
        self.run(&["--import", certificate.to_str().unwrap()]);
    }

    fn keyring(&self, world: &World, name: &str, args: &[&str]) -> PathBuf {
        world.file(name, &self.run(&[&["--export"], args].concat()))
    }
}

#[test]
fn an_index_counts_if_a_key_of_the_keyring_signed_it() {
    let world = World::new();
    let (ours, other) = (Gpg::new("ours"), Gpg::new("other"));
    let headers = world.headers("1");
    let digest = Digest::of(&fs::read(&headers).unwrap());
    let packages = gzip(format!("Package: linux-headers\nSHA256: {digest}\n\n").as_bytes());
    let index = world.file("Packages.gz", &packages);
    let release =
        format!("Origin: Test\nSHA256:\n {} {} main/Packages.gz\n", Digest::of(&packages), packages.len());
    let text = world.file("Release", release.as_bytes());
    let signed =
        world.file("InRelease", &ours.run(&["--clearsign", "--output", "-", text.to_str().unwrap()]));
    let binary = ours.keyring(&world, "ours.gpg", &[]);
    let armoured = ours.keyring(&world, "ours.asc", &["--armor"]);
    for keyring in [binary.clone(), armoured] {
        let checks = PackageChecks::read(&[keyring], &[signed.clone(), index.clone()], &[]).unwrap();
        let report = World::new().add_checked(std::slice::from_ref(&headers), &checks).unwrap();
        assert!(
            matches!(&report.packages[0].package.checked, Checked::Index { signer } if signer.len() == 40)
        );
        let error = world.add_checked(&[world.common()], &checks).unwrap_err().to_string();
        assert!(error.contains("is in no index"), "{error}");
    }
    let wrong = |keyring: &[PathBuf], indexes: &[PathBuf]| {
        PackageChecks::read(keyring, indexes, &[]).unwrap_err().to_string()
    };
    let theirs = other.keyring(&world, "other.gpg", &[]);
    assert!(
        wrong(&[theirs], &[signed.clone(), index.clone()])
            .contains("its signature is by no key of the keyring")
    );
    assert!(wrong(&[], std::slice::from_ref(&signed)).contains("needs a keyring"));
    let changed = world.file("Changed", &gzip(b"SHA256: 0\n"));
    assert!(
        wrong(std::slice::from_ref(&binary), &[signed.clone(), changed]).contains("is in no InRelease file")
    );
    let mut text = fs::read(&signed).unwrap();
    let at = text.windows(4).position(|window| window == b"Test").unwrap();
    text[at] = b'B';
    // A key that its owner has revoked.
    ours.revoke();
    let revoked = ours.keyring(&world, "revoked.gpg", &[]);
    assert!(wrong(&[revoked], &[signed.clone(), index]).contains("by no key"));
    assert!(wrong(std::slice::from_ref(&binary), &[world.file("Forged", &text)]).contains("by no key"));
    // A .deb that no index has isn't vouched for by a keyring alone.
    let alone = PackageChecks::read(&[binary], &[], &[]).unwrap();
    assert!(
        world.add_checked(&[headers], &alone).unwrap_err().to_string().contains("no signature of its own")
    );
}

#[test]
fn an_rpm_counts_if_a_key_of_the_keyring_signed_its_header() {
    let world = World::new();
    let (ours, other) = (Gpg::new("ours"), Gpg::new("other"));
    let members: [Member<'_>; 1] = [("/usr/lib/debug/lib/modules/1.0/a.ko", 'f', b"x")];
    let sign = |header: &[u8]| {
        let header = world.file("header", header);
        Some(ours.run(&["--detach-sign", "--output", "-", header.to_str().unwrap()]))
    };
    let signed = rpm("kernel-debuginfo", &members, sign);
    let file = world.file("signed.rpm", &signed);
    let by = |gpg: &Gpg| PackageChecks::read(&[gpg.keyring(&world, "k.gpg", &[])], &[], &[]).unwrap();
    let (ours, other) = (by(&ours), by(&other));
    let error = world.add_checked(std::slice::from_ref(&file), &other).unwrap_err().to_string();
    assert!(error.contains("its signature is by no key of the keyring"), "{error}");
    let mut flipped = signed;
    let last = flipped.len() - 9;
    flipped[last] ^= 1;
    let error = world.add_checked(&[world.file("flipped.rpm", &flipped)], &ours).unwrap_err().to_string();
    assert!(error.contains("it is damaged"), "{error}");
    let unsigned = world.file("unsigned.rpm", &rpm("kernel-debuginfo", &members, |_| None));
    let error = world.add_checked(&[unsigned], &ours).unwrap_err().to_string();
    assert!(error.contains("it has no signature"), "{error}");
    // A digest of the payload that isn't SHA-256 vouches for nothing.
    let long = rpm_with("kernel-debuginfo", &members, &"0".repeat(128), sign);
    let error = world.add_checked(&[world.file("long.rpm", &long)], &ours).unwrap_err().to_string();
    assert!(error.contains("covers only its header"), "{error}");
    assert_eq!(world.names(), Vec::<PathBuf>::new());
    let report = world.add_checked(&[file], &ours).unwrap();
    assert!(matches!(report.packages[0].package.checked, Checked::Signature { .. }));
}
