//! Both layouts of the README, and archives that are none of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bundle_format::{Digest, ModuleDraft};
use flate2::Compression;
use flate2::write::GzEncoder;
use signing::{ModuleCertificate, ModuleKeyFile, ModuleKeyFiles, ModuleKeyKind, ModuleSigner, generate};
use tar::EntryType;

use super::draft::{ImportRequest, Imported, import};
use super::error::PackageError;
use super::package::ScriptsPackage;
use crate::bundle::BundleIdentity;
use crate::testing::fake_module;

const RELEASE: &str = "6.12.1-test";

/// An archive under way.
struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn member(mut self, kind: EntryType, path: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        // Written raw: the crate's own setter would refuse the names that are tried here.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        header.set_entry_type(kind);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.member(EntryType::Regular, path, content.as_ref())
    }

    fn directory(self, path: &str) -> Self {
        self.member(EntryType::Directory, path, b"")
    }

    fn plain(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn gz(self) -> Vec<u8> {
        gz(&self.plain())
    }
}

fn gz(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn module(name: &str) -> Vec<u8> {
    fake_module(name, RELEASE, "x")
}

fn unpacked() -> Archive {
    Archive::new()
        .directory("6.12.1-test/")
        .file("6.12.1-test/net.ko", module("net"))
        .file("6.12.1-test/net.opts", "Linux farm 6.1 #1 x86_64\n-D FOO=1 --\n")
        .file("6.12.1-test/disk.ko", module("disk"))
        .file("fleet.conf", "net_REQ=disk\n")
}

fn read_text(bytes: &[u8]) -> String {
    match ScriptsPackage::read(bytes) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            format!("{error}{}", source.unwrap_or_default())
        }
    }
}

#[test]
fn both_layouts_of_the_readme_are_read() {
    let packed = Archive::new()
        .directory("var/cache/systemtap/6.12.1-test/")
        .file("var/cache/systemtap/6.12.1-test/net.ko", module("net"))
        .file("var/cache/systemtap/6.12.1-test/net.opts", "Linux farm 6.1 #1 x86_64\n-D FOO=1 --\n")
        .file("var/cache/systemtap/6.12.1-test/disk.ko", module("disk"))
        .file("etc/systemtap/conf.d/fleet.conf", "net_REQ=disk\n");
    let dotted = Archive::new().directory("./").file("./6.12.1-test/disk.ko", module("disk"));
    let facts =
        |package: ScriptsPackage| (package.release, package.modules, package.opts, package.configuration);
    assert_eq!(
        facts(ScriptsPackage::read(&*unpacked().gz()).unwrap()),
        facts(ScriptsPackage::read(&*packed.gz()).unwrap())
    );
    assert_eq!(ScriptsPackage::read(&*dotted.gz()).unwrap().modules.len(), 1);
}

#[test]
fn names_without_a_place_are_refused() {
    for name in [
        "../etc/passwd",
        "/etc/passwd",
        "/6.12.1-test/net.ko",
        "6.12.1-test/../net.ko",
        "6.12.1-test/sub/net.ko",
        "6.12.1-test/net.sh",
        "6.12.1-test/.net.ko",
        "6.12.1-test/a-b.ko",
        "6.12.1-test/9x.ko",
        "..6.12/net.ko",
        ".hidden",
        "net.ko",
        "etc/systemtap/config",
        "etc/systemtap/conf.d/../config",
        "etc/systemtap/conf.d/a/b.conf",
        "var/cache/systemtap/net.conf",
        "var/cache/systemtap/../../../etc/x",
        "6.12.1-test/\u{1b}[31m.ko",
    ] {
        let said = read_text(&Archive::new().file(name, module("net")).gz());
        assert!(said.contains("has no place in it"), "{name}: {said}");
        assert!(!said.contains('\u{1b}'), "{said}");
    }
    for name in ["../", "/", "etc/", "6.12.1-test/uprobes/x/", "a b/"] {
        let said = read_text(&unpacked().directory(name).gz());
        let good = matches!(name, "etc/");
        assert_eq!(said == "accepted", good, "{name}: {said}");
    }
}

#[test]
fn only_files_and_directories_are_taken() {
    for (kind, word) in [
        (EntryType::Link, "hard link"),
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "pipe"),
        (EntryType::XHeader, "pax header"),
        (EntryType::XGlobalHeader, "pax header"),
        (EntryType::GNULongName, "long name"),
        (EntryType::GNULongLink, "long name"),
        (EntryType::GNUSparse, "sparse file"),
        (EntryType::Continuous, "unknown type"),
        (EntryType::new(b'Z'), "unknown type"),
    ] {
        let said = read_text(&unpacked().member(kind, "6.12.1-test/x.ko", b"").gz());
        assert!(said.contains(word), "{kind:?}: {said}");
    }
}

#[test]
fn repetition_and_mixtures_are_refused() {
    let said = |archive: Archive| read_text(&archive.gz());
    assert!(said(unpacked().file("6.12.1-test/net.ko", module("net"))).contains("duplicate"));
    assert!(said(unpacked().file("./6.12.1-test/NET.ko", module("NET"))).contains("duplicate"));
    let other = said(unpacked().file("6.12.2-test/net.ko", module("net")));
    assert_eq!(other, "it is for 6.12.1-test and for 6.12.2-test; make a package for each release");
    assert!(said(unpacked().file("6.12.1-test/gone.opts", "")).contains("no gone.ko"));
    assert!(said(unpacked().file("6.12.1-test/net.opts.ko", "")).contains("no place"));
    assert!(said(unpacked().file("6.12.1-test/uprobes/uprobes.ko", "")).contains("uprobes"));
    assert!(said(unpacked().file("6.12.1-test/net.uprobes", "")).contains("uprobes"));
    assert!(said(unpacked().file("other.conf", [0xff, 0xfe])).contains("not UTF-8"));
    assert_eq!(said(Archive::new().file("fleet.conf", "")), "there is no REL/NAME.ko in it");
    assert!(said(unpacked().member(EntryType::Directory, "6.12.2-test/", b"x")).contains("1 bytes"));
}

#[test]
fn limits_hold_before_memory_is_used() {
    // A size that the archive doesn't have.
    let mut plain = Archive::new().file("6.12.1-test/net.ko", "").plain();
    plain[124..136].copy_from_slice(b"77777777777\0");
    let sum: u32 = plain[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    plain[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(read_text(&gz(&plain)).contains("8589934591 bytes"), "{}", read_text(&gz(&plain)));
    let said = read_text(&unpacked().file("6.12.1-test/other.opts", vec![b'x'; 70_000]).gz());
    assert!(said.contains("at most 65536"), "{said}");
    let bomb = Archive::new().file("6.12.1-test/net.ko", vec![0; 20 << 20]).gz();
    assert!(read_text(&bomb).contains("100 times"), "{}", read_text(&bomb));
    let many = (0..21_100).fold(Archive::new(), |archive, _| archive.directory("6.12.1-test/"));
    // Random mtimes would be needed to stay below the ratio, so that is what refuses it first or the count does.
    assert_ne!(read_text(&many.gz()), "accepted");
}

#[test]
fn bytes_behind_the_archive_are_refused() {
    let good = unpacked().gz();
    assert_eq!(read_text(&good), "accepted");
    assert!(read_text(&[good.as_slice(), b"x"].concat()).contains("bytes follow"));
    assert!(read_text(&[good.clone(), good.clone()].concat()).contains("bytes follow"));
    let mut plain = unpacked().plain();
    plain.resize(plain.len().next_multiple_of(10_240), 0);
    assert_eq!(read_text(&gz(&plain)), "accepted");
    plain.push(1);
    assert!(read_text(&gz(&plain)).contains("bytes follow"));
    for cut in (0..good.len()).step_by(7) {
        assert_ne!(read_text(&good[..cut]), "accepted", "cut at {cut}");
    }
    assert!(read_text(b"no gzip at all").contains("not a package of the initscript"));
    assert!(matches!(ScriptsPackage::read(&*unpacked().plain()), Err(PackageError::Read(_))));
}

#[test]
fn no_spoiled_archive_panics() {
    let good = unpacked().gz();
    let plain = unpacked().plain();
    for at in 0..plain.len().min(4096) {
        let mut spoiled = plain.clone();
        spoiled[at] ^= 0x55;
        let _ = read_text(&gz(&spoiled));
    }
    for at in 0..good.len() {
        let mut spoiled = good.clone();
        spoiled[at] ^= 1;
        let _ = read_text(&spoiled);
    }
}

fn identity() -> BundleIdentity {
    BundleIdentity::called("old".parse().unwrap())
}

fn import_all(packages: &[(&str, Vec<u8>)], sources: Option<&Path>) -> Result<Imported, String> {
    import_signed(packages, sources, Vec::new())
}

fn import_signed(
    packages: &[(&str, Vec<u8>)],
    sources: Option<&Path>,
    certificates: Vec<ModuleCertificate>,
) -> Result<Imported, String> {
    let directory = tempfile::tempdir().unwrap();
    let write = |(name, bytes): &(&str, Vec<u8>)| -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let packages = packages.iter().map(write).collect();
    let sources = sources.map(Path::to_owned);
    let request = ImportRequest { packages, sources, certificates, identity: identity() };
    import(&request).map_err(|error| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text.replace(&format!("{}/", directory.path().display()), "")
    })
}

#[test]
fn a_draft_says_what_is_known_and_no_more() {
    let second = Archive::new()
        .file("6.12.2-test/disk.ko", fake_module("disk", "6.12.2-test", "y"))
        .file("fleet.conf", "net_REQ=disk\n")
        .gz();
    let imported = import_all(&[("b.tar.gz", second), ("a.tar.gz", unpacked().gz())], None).unwrap();
    let draft = imported.draft;
    assert_eq!(
        (draft.created, draft.serial, draft.version.as_str()),
        (1_700_000_000, 1_700_000_000, "2023.1114.2213")
    );
    let net = draft.scripts.iter().find(|script| script.name.as_str() == "net").unwrap();
    assert_eq!((net.compile.join(" "), net.requires[0].as_str()), ("-D FOO=1".to_owned(), "disk"));
    assert_eq!(net.opts_line, "-D FOO=1 --");
    assert_eq!(net.source_sha256, bundle_format::Digest::of(b""));
    let [first, second] = &draft.kernels[..] else { panic!("{:?}", draft.kernels) };
    assert_eq!((first.release.as_str(), first.machine.as_str()), (RELEASE, "x86_64"));
    assert!(first.uname_v.is_none() && first.symvers_sha256.is_none() && first.config_sha256.is_none());
    assert_eq!(second.red[0].reason, "not in the imported package");
    assert_eq!(draft.toolchains[0].stap, super::UNKNOWN);
    assert!(imported.notes.iter().any(|note| note.contains("uname -v")), "{:?}", imported.notes);
    assert!(imported.notes.iter().any(|note| note.contains("source is not known of: disk net")));
    draft.pack(std::io::Cursor::new(Vec::new()), &mut |_| {}).unwrap();
}

#[test]
fn sources_give_their_digests() {
    let sources = tempfile::tempdir().unwrap();
    std::fs::write(sources.path().join("disk.stp"), "probe begin {}").unwrap();
    let missing = import_all(&[("a.tar.gz", unpacked().gz())], Some(sources.path())).unwrap_err();
    assert!(missing.starts_with("a.tar.gz: the source of net:"), "{missing}");
    std::fs::write(sources.path().join("net.stp"), "probe end {}").unwrap();
    let imported = import_all(&[("a.tar.gz", unpacked().gz())], Some(sources.path())).unwrap();
    assert_eq!(imported.draft.scripts[0].source_sha256, bundle_format::Digest::of(b"probe begin {}"));
    assert!(imported.notes.iter().all(|note| !note.contains("source")));
}

/// A key for modules, and its certificate.
fn module_signer(name: &str) -> ModuleSigner {
    let directory = tempfile::tempdir().unwrap();
    let files = ModuleKeyFiles::named(&directory.keep().join(name));
    let certificate = generate(&files, ModuleKeyKind::P384, name, false, None).unwrap();
    ModuleSigner::with_file(certificate, ModuleKeyFile::open(&files.key, None).unwrap())
}

#[test]
fn a_kernel_signature_is_kept_if_its_certificate_is_given() {
    let body = module("net");
    let farm = module_signer("farm");
    let other = module_signer("other");
    let draft = ModuleDraft::of_bytes("net".parse().unwrap(), body.clone());
    let trailer = farm.trailers(&[&draft]).unwrap().remove(0);
    let signed = |body: &[u8]| {
        let file = [body, &trailer.raw().unwrap()].concat();
        [("a", Archive::new().file("6.12.1-test/net.ko", file).gz())]
    };
    let certificates = || vec![other.certificate().clone(), farm.certificate().clone()];
    let imported = import_signed(&signed(&body), None, certificates()).unwrap();
    let record = &imported.draft.kernels[0].modules[0].record;
    assert_eq!((record.sha256, record.trailers.as_slice()), (Digest::of(&body), &[trailer.clone()][..]));
    let all = certificates();
    let kept: Vec<_> = imported.signers(&all).map(ModuleCertificate::id).collect();
    assert_eq!(kept, [farm.certificate().id()]);

    let refused = import_all(&signed(&body), None).unwrap_err();
    assert!(refused.contains("whose certificate wasn't given"), "{refused}");
    let refused = import_signed(&signed(&body), None, vec![other.certificate().clone()]).unwrap_err();
    assert!(refused.contains("names another certificate than those given"), "{refused}");
    // A signature of other bytes is none: kernels that enforce nothing refuse it too.
    let mut changed = body;
    *changed.last_mut().unwrap() ^= 1;
    let refused = import_signed(&signed(&changed), None, certificates()).unwrap_err();
    assert!(refused.contains("which isn't of its bytes"), "{refused}");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let refused = |packages: &[(&str, Vec<u8>)]| import_all(packages, None).unwrap_err();
    let twice = refused(&[("a", unpacked().gz()), ("b", unpacked().gz())]);
    assert_eq!(twice, format!("a and b are both for {RELEASE}"));
    let other = Archive::new().file("6.12.1-test/net.ko", module("disk")).gz();
    assert_eq!(refused(&[("a", other)]), "a: module net: its name is `disk`, not `net`");
    let other = Archive::new().file("6.12.1-test/net.ko", fake_module("net", "6.12.9", "x")).gz();
    assert!(refused(&[("a", other)]).contains("isn't for the release 6.12.1-test"));
    let other = Archive::new().file("6.12.1-test/net.ko", "no ELF").gz();
    assert!(refused(&[("a", other)]).contains("not a kernel module"));
    let signed = [module("net"), b"signature~Module signature appended~\n".to_vec()].concat();
    assert!(
        refused(&[("a", Archive::new().file("6.12.1-test/net.ko", signed).gz())])
            .contains("kernel signature")
    );
    let stale = Archive::new()
        .file("6.12.1-test/net.ko", module("net"))
        .file("6.12.1-test/net.opts", "x\n-D FOO=1 --\n")
        .file("fleet.conf", "net_OPT='-DBAR=1'\n");
    assert!(refused(&[("a", stale.gz())]).contains("compile it again"));
    // What the configuration says was shown as it stood, and all of it.
    let acting = Archive::new()
        .file("6.12.1-test/net.ko", module("net"))
        .file("6.12.1-test/net.opts", "x\n-D FOO=1 --\n")
        .file("fleet.conf", format!("net_OPT='-DBAR=\u{1b}[2J{}'\n", "x".repeat(5000)));
    let said = refused(&[("a", acting.gz())]);
    assert!(said.len() < 2000 && !said.contains('\u{1b}'), "{said:?}");
    let command = unpacked().file("more.conf", "rm -rf /\n");
    assert!(refused(&[("a", command.gz())]).contains("isn't run"));
    let missing =
        Archive::new().file("6.12.1-test/net.ko", module("net")).file("fleet.conf", "net_REQ=gone\n");
    assert!(refused(&[("a", missing.gz())]).contains("gone"));
    let second = Archive::new()
        .file("6.12.2-test/net.ko", fake_module("net", "6.12.2-test", "y"))
        .file("6.12.2-test/disk.ko", fake_module("disk", "6.12.2-test", "y"))
        .gz();
    let said = refused(&[("a", unpacked().gz()), ("b", second)]);
    assert_eq!(said, "a and b disagree about options, requirements or users of script net");
}

#[test]
fn a_name_in_the_tar_readers_message_could_act_on_the_terminal() {
    let mut tar = unpacked().file("6.12.1-test/\u{1b}[2J.ko", b"x").plain();
    let at = tar.windows(4).position(|window| window == b"\x1b[2J").unwrap();
    // Its size is no number, and its checksum is right.
    let header = &mut tar[at - 12..at - 12 + 512];
    header[124..136].fill(b'z');
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let said = match ScriptsPackage::read(&*gz(&tar)) {
        Err(PackageError::Read(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(said.contains(r"\u{1b}[2J") && !said.contains('\u{1b}'), "{said:?}");
}
