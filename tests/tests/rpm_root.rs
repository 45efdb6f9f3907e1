//! Kernels from RPM packages: a root that dnf has filled, modules for its kernels by the real stap, and package URLs by its rpm database.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::{Lab, repository};
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::Value;

/// The second one needs a tracepoint.
const SCRIPTS: [&str; 2] = ["heartbeat", "context_switches"];

/// On a layer over the root, with this machine's rpm hidden. The first build finds no rpm; the second finds one in the root, which is
/// this machine's with its libraries, at a place that no toolchain's digest covers: so cells come from the cache. It finds two databases: an
/// empty one, as a program of the root makes it, and the full one where Debian's rpm puts that of another root.
const OTHER_READERS: &str = r#"
mount --bind /dev/null /usr/bin/rpm
"$@" -o none.stapb --report none.json
umount /usr/bin/rpm
mv "$ROOT/usr/lib/sysimage/rpm" "$ROOT/root/.rpmdb"
rpm --dbpath "$ROOT/usr/lib/sysimage/rpm" --initdb
own=$ROOT/usr/lib/rpm-of-lab
mkdir "$own"
cp -a /usr/lib/rpm "$ROOT/usr/lib/"
loader=$(ldd /usr/bin/rpm | sed -n 's,^[[:space:]]*\(/[^ ]*/ld-linux[^ ]*\) .*,\1,p')
cp $(ldd /usr/bin/rpm | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p') "$loader" /usr/bin/rpm "$own/"
cat >"$ROOT/usr/bin/rpm" <<END
#!/bin/sh
exec ${own#"$ROOT"}/${loader##*/} --library-path ${own#"$ROOT"} ${own#"$ROOT"}/rpm "\$@"
END
chmod 755 "$ROOT/usr/bin/rpm"
mount --bind /dev/null /usr/bin/rpm
"$@" -o own.stapb --report own.json
"#;

/// What `tests/lab/rpm-root.sh` makes.
struct RpmRoot {
    directory: PathBuf,
    /// Each release, and the package URL of its build tree.
    kernels: Vec<(String, String)>,
}

impl RpmRoot {
    fn made() -> Self {
        let script = repository().join("tests/lab/rpm-root.sh");
        let command = ChildCommand::new("bash").arg(script).arg("make").inherit_environment();
        let finished = command.run(&Limits::within(Duration::from_secs(1800)), &Cancel::new()).unwrap();
        assert!(finished.status.success(), "{}", finished.stderr.text());
        let directory = PathBuf::from(finished.stdout.text().trim());
        let list = fs::read_to_string(directory.join("kernels")).unwrap();
        let pair = |line: &str| {
            let (release, url) = line.split_once(' ').unwrap();
            (release.to_owned(), url.to_owned())
        };
        let kernels = list.lines().map(pair).collect();
        Self { directory, kernels }
    }

    fn root(&self) -> String {
        self.directory.join("root").display().to_string()
    }

    /// The path of the package whose name begins so.
    fn package(&self, name: &str) -> String {
        let mut paths = fs::read_dir(self.directory.join("repo")).unwrap().map(|entry| entry.unwrap().path());
        let is_it = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(name);
        paths.find(is_it).unwrap().display().to_string()
    }
}

struct Site {
    rpm: RpmRoot,
    farm: Farm,
    program: PathBuf,
    cache: String,
}

impl Site {
    fn new() -> Self {
        let lab = Lab::open().unwrap();
        let rpm = RpmRoot::made();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rpm-root");
        let farm = Farm::new(&directory).unwrap();
        // The user of jobs must reach the kernel store.
        fs::set_permissions(farm.directory(), fs::Permissions::from_mode(0o755)).unwrap();
        let cache = Farm::cache(&lab).unwrap().display().to_string();
        let site = Self { rpm, farm, program: programs::farm().unwrap(), cache };
        site.run(&["key", "generate", "--out", "farm"]);
        site
    }

    fn run(&self, words: &[&str]) -> String {
        let finished = programs::run_expecting(&self.program, self.farm.directory(), words, &[0]).unwrap();
        finished.stdout.text()
    }

    fn build_words<'w>(&'w self, root: &'w str) -> Vec<&'w str> {
        let mut words =
            vec!["build", "--all-kernels", "--sysroot", root, "-c", "config", "--key", "farm.key"];
        words.extend(["--cache", &self.cache]);
        words.extend(SCRIPTS);
        words
    }

    /// What the bill of materials says of build trees: package URL, if there is one, and comment.
    fn trees_of(&self, bundle: &str) -> Vec<(Option<String>, String)> {
        let into = format!("{bundle}.extras");
        self.run(&["extract", bundle, &into, "--key", "farm.pub", "--extra", "sbom.spdx.json"]);
        let sbom = fs::read(self.farm.path(&into).join("sbom.spdx.json")).unwrap();
        let sbom: Value = serde_json::from_slice(&sbom).unwrap();
        let packages = sbom["packages"].as_array().unwrap().iter();
        let of_kernels =
            packages.filter(|package| package["SPDXID"].as_str().unwrap().starts_with("SPDXRef-Kernel-"));
        let tree = |package: &Value| {
            let url = package["externalRefs"][0]["referenceLocator"].as_str().map(str::to_owned);
            (url, package["comment"].as_str().unwrap().to_owned())
        };
        of_kernels.map(tree).collect()
    }

    fn urls_of(&self, bundle: &str) -> Vec<String> {
        self.trees_of(bundle).into_iter().filter_map(|(url, _)| url).collect()
    }

    /// The same builds on a layer over the root.
    fn build_with_other_readers(&self) {
        let root = self.rpm.root();
        let work = self.farm.path("layer");
        fs::create_dir(&work).unwrap();
        let words = ["bash", "-euc", r#"cd ..; eval "$SCRIPT""#, "bash"];
        let command = ChildCommand::new("bash")
            .arg(repository().join("tests/lab/on-layer.sh").canonicalize().unwrap())
            .args([&root, work.to_str().unwrap()])
            .args(words)
            .arg(&self.program)
            .args(self.build_words(&root))
            .env("ROOT", &root)
            .env("SCRIPT", OTHER_READERS)
            .env("HOME", self.farm.directory())
            .env_from_here("PATH")
            .combined_output();
        let finished = command.run(&Limits::within(Duration::from_secs(1500)), &Cancel::new()).unwrap();
        assert!(finished.status.success(), "{}", finished.stdout.text());
    }
}

fn every_kernel_of_the_root_has_every_module(site: &Site, report: &str) {
    let report = fs::read(site.farm.path(report)).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let cells = report["cells"].as_array().unwrap();
    let green = cells.iter().filter(|cell| cell["bytes"].is_u64());
    let green: BTreeSet<(&str, &str)> =
        green.map(|cell| (cell["script"].as_str().unwrap(), cell["kernel"].as_str().unwrap())).collect();
    let releases = site.rpm.kernels.iter().map(|(release, _)| release.as_str());
    let expected = releases.flat_map(|release| SCRIPTS.map(|script| (script, release)));
    assert_eq!(green, expected.collect(), "{cells:#?}");
    assert_eq!(cells.len(), green.len());
}

/// A release that the root hasn't got, and one of the repository, by the name that dnf finds there.
fn kernel_devel_is_named_for_a_release_that_is_missing(site: &Site) {
    let [(plain, _), (realtime, _)] = &site.rpm.kernels[..] else { panic!("{:?}", site.rpm.kernels) };
    let named = |root: &str, release: &str| {
        let words = ["kernel", "missing", "--for", "dnf", "--sysroot", root, "-r", release];
        site.run(&words).trim().to_owned()
    };
    assert_eq!(named(&site.rpm.root(), plain), "");
    let other = plain.replace("-1.", "-2.");
    assert_eq!(named(&site.rpm.root(), &other), format!("kernel-devel-{other}"));
    let other = realtime.replace("-1.", "-2.");
    let package = format!("kernel-rt-devel-{}", other.strip_suffix("+rt").unwrap());
    assert_eq!(named(&site.rpm.root(), &other), package);
    let empty = site.farm.path("empty");
    fs::create_dir(&empty).unwrap();
    let package = named(empty.to_str().unwrap(), plain);
    let repository = format!("lab,file://{}/repo", site.rpm.directory.display());
    let command = ChildCommand::new("dnf")
        .args([
            "-q",
            "--releasever=0",
            "--repo=lab",
            "--repofrompath",
            &repository,
            "--setopt=reposdir=/none",
        ])
        .arg(format!("--setopt=cachedir={}", site.farm.path("dnf").display()))
        .args(["repoquery", "--queryformat", "%{name}-%{version}-%{release}.%{arch}", &package])
        .env("HOME", site.farm.directory())
        .env_from_here("PATH");
    let finished = command.run(&Limits::within(Duration::from_secs(300)), &Cancel::new()).unwrap();
    assert_eq!(finished.stdout.text().trim(), package, "{}", finished.stderr.text());
}

/// With its epoch, so that its package URL is that of the installed one.
fn the_kernel_store_reads_a_package_of_rpmbuild(site: &Site) {
    let package = site.rpm.package("kernel-rt-devel-");
    site.run(&["kernel", "add", &package, "--kernel-store", "store"]);
    let (release, _) = &site.rpm.kernels[1];
    let record = fs::read(site.farm.path("store").join(release).join("kernel.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let package = &record["packages"][0];
    assert_eq!(package["name"], "kernel-rt-devel");
    let version = package["version"].as_str().unwrap();
    assert!(version.starts_with("1:") && version.ends_with("+rt"), "{version}");
    assert_eq!(package["architecture"], std::env::consts::ARCH);
}

#[test]
fn a_root_of_rpm_packages_builds_and_the_bill_of_materials_has_their_urls() {
    let site = Site::new();
    let root = site.rpm.root();
    let mut words = site.build_words(&root);
    words.extend(["-o", "out.stapb", "--report", "out.json"]);
    site.run(&words);
    every_kernel_of_the_root_has_every_module(&site, "out.json");
    let expected: Vec<&str> = site.rpm.kernels.iter().map(|(_, url)| url.as_str()).collect();
    assert!(expected[1].contains("%2Brt?arch=") && expected[1].ends_with("&epoch=1"), "{expected:?}");
    assert_eq!(site.urls_of("out.stapb"), expected, "by this machine's rpm");

    site.build_with_other_readers();
    every_kernel_of_the_root_has_every_module(&site, "own.json");
    assert_eq!(site.urls_of("own.stapb"), expected, "by the root's rpm");
    for (url, comment) in site.trees_of("none.stapb") {
        assert_eq!(url, None);
        assert!(comment.contains("an rpm database that no rpm could read"), "{comment}");
    }
    kernel_devel_is_named_for_a_release_that_is_missing(&site);
    the_kernel_store_reads_a_package_of_rpmbuild(&site);
}
