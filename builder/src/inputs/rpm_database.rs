//! Which RPM packages brought a kernel's build tree, by the rpm database of a sysroot.
//!
//! The database has had three formats, which are rpm's own affair, so rpm is asked: the sysroot's, else this machine's. It runs in the
//! sandbox, on a copy that it can't change. A copy, because `SQLite` needs two files beside its own that may be absent, and because the
//! user of jobs may not get to the original. One that can't change, because an rpm that doesn't know the format would make an empty
//! database, and that has no owner of anything.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bundle_format::{Digest, FieldHasher};
use child::{Cancel, Ended, Limits};

use super::packages::Package;
use super::toolchain::VERSION_LIMIT;
use super::tree_digest::TreeDigests;
use crate::kernels::PackageFormat;
use crate::sandbox::{JobDirectory, Sandbox, Sysroot};
use crate::state::{BuildDirectories, FileStamp, Notes, note_use};

/// Where it is: on Fedora and SUSE, on RHEL, and where Debian's rpm puts that of another root.
const PLACES: [&str; 3] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm", "/root/.rpmdb"];

/// The file that has the packages: `SQLite`, NDB, Berkeley DB.
const PACKAGES: [&str; 3] = ["rpmdb.sqlite", "Packages.db", "Packages"];

/// What `SQLite` looks for beside its file, be it empty.
const BESIDE_SQLITE: [&str; 2] = ["rpmdb.sqlite-wal", "rpmdb.sqlite-shm"];

/// Most bytes of one file of a database.
const LARGEST: u64 = 512 << 20;

const RPM: &str = "/usr/bin/rpm";

/// Where the copy is in the directory of a job, and in the sandbox.
const COPY: &str = "rpmdb";
const MOUNT: &str = "/rpmdb";

/// What rpm prints of a package; a field that it hasn't got is `(none)`.
const FIELDS: &str = r"%{NAME}\t%{EPOCH}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\n";

/// The packages that have a file, or `None` if no rpm could read the database.
type Answer = Option<Vec<Package>>;

/// The databases of sysroots, and who reads them.
pub(crate) struct RpmDatabases<'a> {
    sandbox: &'a Sandbox,
    directories: &'a BuildDirectories,
    digests: TreeDigests<'a>,
    /// By the database's place; `None` where asking is of no use in this run.
    copies: BTreeMap<PathBuf, Option<JobDirectory>>,
}

impl<'a> RpmDatabases<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox, directories: &'a BuildDirectories) -> Self {
        let digests = TreeDigests::of_build(directories);
        Self { sandbox, directories, digests, copies: BTreeMap::new() }
    }

    /// The packages that brought the build tree at `tree`; `None` if there is a database that no rpm could read.
    pub(crate) fn owners_of(
        &mut self,
        tree: &Path,
        sysroot: &Sysroot,
        toolchain: Option<Digest>,
    ) -> Option<Vec<Package>> {
        let readers = Reader::all(sysroot);
        let mut is_unread = false;
        for database in Database::all(sysroot) {
            match self.answer(tree, sysroot, &database, &readers, toolchain) {
                // One that a program of the root has made may be empty, beside that from which the root was filled.
                Some(owners) if owners.is_empty() => {}
                Some(owners) => return Some(owners),
                None => is_unread = true,
            }
        }
        (!is_unread).then(Vec::new)
    }

    /// What a database says, remembered by its digest, by the programs that may be asked and by the toolchain, whose libraries they need.
    fn answer(
        &mut self,
        tree: &Path,
        sysroot: &Sysroot,
        database: &Database,
        readers: &[Reader],
        toolchain: Option<Digest>,
    ) -> Answer {
        // The directory itself may belong to several packages.
        let file = tree.join("Makefile");
        let file = file.to_str().filter(|_| !readers.is_empty())?;
        let digest = self.digests.of_files(sysroot, &database.place, &database.files).ok()?;
        let key = FieldHasher::new()
            .field("stap-bundle owners by rpm 1")
            .field(digest.as_bytes())
            .field(file)
            .field(toolchain.map_or_else(String::new, |digest| digest.to_string()))
            .list(readers.iter().map(|reader| format!("{:?}", reader.program)))
            .finish();
        let note = self.directories.index().join(format!("rpm-{key}.json"));
        if let Some(known) = Notes::read::<Answer>(&note) {
            note_use(&note);
            return known;
        }
        let answer = self.ask(readers, sysroot, database, file)?;
        self.directories.notes().write(&note, &answer);
        answer
    }

    /// `None` if nothing was found out, and may be another time.
    fn ask(
        &mut self,
        readers: &[Reader],
        sysroot: &Sysroot,
        database: &Database,
        file: &str,
    ) -> Option<Answer> {
        let (sandbox, directories) = (self.sandbox, self.directories);
        let copy = self.copies.entry(sysroot.below(&database.place)).or_insert_with(|| {
            let work = directories.new_work(sandbox).ok()?;
            database.copy_to(&work, sysroot).then_some(work)
        });
        let argv = [RPM, "--dbpath", MOUNT, "-q", "-f", "--queryformat", FIELDS, file];
        for reader in readers {
            let work = copy.as_ref()?;
            let shown = work.path().join(COPY);
            let command = sandbox.reading_command(work.user(), &reader.root, (&shown, MOUNT), &argv);
            let limits = Limits::within(VERSION_LIMIT);
            let finished = command.combined_output().run(&limits, &Cancel::new());
            let Some(finished) = finished.ok().filter(|of| matches!(of.status, Ended::Code(_))) else {
                *copy = None;
                return None;
            };
            if let Some(owners) = owners_in(&finished.stdout.text(), file) {
                return Some(Some(owners));
            }
        }
        Some(None)
    }
}

/// An rpm that may be asked.
struct Reader {
    /// Whose programs and libraries it needs.
    root: PathBuf,
    program: FileStamp,
}

impl Reader {
    /// The sysroot's own comes first: it has the database's format.
    fn all(sysroot: &Sysroot) -> Vec<Self> {
        let own = sysroot.host_path(Path::new(RPM)).ok().map(|rpm| (sysroot.path().to_owned(), rpm));
        let machines = Path::new(RPM).canonicalize().ok().map(|rpm| (PathBuf::from("/"), rpm));
        let machines = machines.filter(|_| sysroot.path() != Path::new("/"));
        let stamped = |(root, rpm): (PathBuf, PathBuf)| Some(Self { root, program: FileStamp::of(&rpm)? });
        own.into_iter().chain(machines).filter_map(stamped).collect()
    }
}

/// A database, as seen inside a sysroot.
#[derive(Debug, PartialEq, Eq)]
struct Database {
    place: PathBuf,
    /// But for locks and memory that processes share.
    files: Vec<PathBuf>,
}

impl Database {
    /// One may be at several places, by links.
    fn all(sysroot: &Sysroot) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for place in PLACES.iter().filter_map(|place| sysroot.resolve(Path::new(place)).ok()) {
            let names = sysroot.names_in(&place);
            let has_packages = names.iter().any(|name| PACKAGES.iter().any(|packages| name == packages));
            if !has_packages || found.iter().any(|known| known.place == place) {
                continue;
            }
            let is_data = |name: &OsString| {
                let name = name.to_string_lossy();
                !name.starts_with(['.', '_']) && !name.ends_with("-shm")
            };
            let files = names.into_iter().filter(is_data).map(|name| place.join(name));
            let is_file = |file: &PathBuf| sysroot.host_path(file).is_ok_and(|file| file.is_file());
            found.push(Self { files: files.filter(is_file).collect(), place });
        }
        found
    }

    /// Whether all of it was copied.
    fn copy_to(&self, work: &JobDirectory, sysroot: &Sysroot) -> bool {
        let write = |name: &str, bytes: &[u8]| work.write(&Path::new(COPY).join(name), bytes).is_ok();
        let has = |name: &str| self.files.contains(&self.place.join(name));
        let copied = |file: &PathBuf| {
            let name = file.file_name().and_then(|name| name.to_str());
            let bytes = sysroot.host_path(file).ok().and_then(|host| files::read::read(&host, LARGEST).ok());
            name.zip(bytes).is_some_and(|(name, bytes)| write(name, &bytes))
        };
        let is_sqlite = has(PACKAGES[0]);
        self.files.iter().all(copied)
            && BESIDE_SQLITE.iter().all(|name| !is_sqlite || has(name) || write(name, b""))
    }
}

/// The packages that rpm names for `file`, none if it says that no package has it; `None` if that is no answer.
fn owners_in(output: &str, file: &str) -> Option<Vec<Package>> {
    let mut owners: Vec<Package> = Vec::new();
    for package in output.lines().filter_map(package_in) {
        if !owners.contains(&package) {
            owners.push(package);
        }
    }
    if !owners.is_empty() {
        return Some(owners);
    }
    // The second one where the file isn't to be seen.
    let unowned = [
        format!("file {file} is not owned by any package"),
        format!("error: file {file}: No such file or directory"),
    ];
    let mut said = output.lines().filter(|line| !line.starts_with("warning: ")).peekable();
    said.peek()?;
    said.all(|line| unowned.iter().any(|known| known == line)).then_some(owners)
}

/// The package of a line that has the fields.
fn package_in(line: &str) -> Option<Package> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, epoch, version, release, architecture] = fields[..] else { return None };
    let is_value = |field: &str| {
        !field.is_empty()
            && field != "(none)"
            && field.len() < 256
            && field.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if ![name, version, release, architecture].into_iter().all(is_value) {
        return None;
    }
    let epoch = match epoch {
        "(none)" | "0" => String::new(),
        number => format!("{}:", number.parse::<u32>().ok()?),
    };
    Some(Package {
        format: PackageFormat::Rpm,
        name: name.to_owned(),
        version: format!("{epoch}{version}-{release}"),
        architecture: Some(architecture.to_owned()),
        file: None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{fake_sysroot, fake_work};

    const FILE: &str = "/usr/src/kernels/5.14.0-427.el9.x86_64/Makefile";

    /// One a line.
    fn owners(output: &str) -> Option<String> {
        let shown = |package: Package| {
            format!("{} {} {}\n", package.name, package.version, package.architecture.unwrap())
        };
        Some(owners_in(output, FILE)?.into_iter().map(shown).collect())
    }

    #[test]
    fn every_owner_is_named_once_with_its_epoch() {
        let line = "kernel-devel\t(none)\t5.14.0\t427.el9\tx86_64\n";
        let devel = "kernel-devel 5.14.0-427.el9 x86_64\n";
        assert_eq!(owners(line).unwrap(), devel);
        let several =
            format!("{line}kernel-rt-devel\t2\t5.14.0\t447.el9+rt\tx86_64\n{line}other\t0\t1\t2\tnoarch\n");
        let others = "kernel-rt-devel 2:5.14.0-447.el9+rt x86_64\nother 1-2 noarch\n";
        assert_eq!(owners(&several).unwrap(), format!("{devel}{others}"));
        let warned = format!("warning: Found bdb Packages database while attempting sqlite backend\n{line}");
        assert_eq!(owners(&warned).unwrap(), devel);
    }

    #[test]
    fn a_file_of_no_package_has_no_owner() {
        let unowned = format!("file {FILE} is not owned by any package\n");
        assert_eq!(owners(&unowned).unwrap(), "");
        assert_eq!(owners(&format!("warning: some\n{unowned}")).unwrap(), "");
        assert_eq!(owners(&format!("error: file {FILE}: No such file or directory\n")).unwrap(), "");
    }

    /// As rpm 4.18 fails where it can't open the database.
    #[test]
    fn a_database_that_cannot_be_opened_is_no_database_without_owners() {
        let unowned = format!("file {FILE} is not owned by any package\n");
        let failed = "error: cannot open Packages index using sqlite - No such file or directory (2)\n\
                      error: cannot open Packages database in /rpmdb\n";
        for output in [
            format!("{failed}{unowned}"),
            format!("{failed}error: file {FILE}: No such file or directory\n"),
            String::new(),
            "warning: some\n".to_owned(),
            "file /etc/passwd is not owned by any package\n".to_owned(),
            "bwrap: execvp /usr/bin/rpm: No such file or directory\n".to_owned(),
            "kernel-devel\t(none)\t5.14.0\t427.el9\n".to_owned(),
            "kernel-devel\tx\t5.14.0\t427.el9\tx86_64\n".to_owned(),
            "kernel-devel\t(none)\t5.14.0\t\tx86_64\n".to_owned(),
            "kernel-devel\t(none)\t5.14.0\t427 el9\tx86_64\n".to_owned(),
            "gpg-pubkey\t(none)\td651ff2e\t5dadbbc1\t(none)\n".to_owned(),
            "\u{fffd}\u{fffd}\t\t\t\t\n".to_owned(),
        ] {
            assert_eq!(owners(&output), None, "{output}");
        }
    }

    fn sysroot_with(files: &[&str]) -> (tempfile::TempDir, Sysroot) {
        let root = fake_sysroot(&["1.0"]);
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let sysroot = Sysroot::open(root.path()).unwrap();
        (root, sysroot)
    }

    #[test]
    fn the_copy_has_the_data_and_what_sqlite_needs_beside_it() {
        let (_root, sysroot) = sysroot_with(&[
            "var/lib/rpm/rpmdb.sqlite",
            "var/lib/rpm/rpmdb.sqlite-shm",
            "var/lib/rpm/.rpm.lock",
            "var/lib/rpm/__db.001",
        ]);
        let (_base, work) = fake_work();
        assert!(Database::all(&sysroot)[0].copy_to(&work, &sysroot));
        let names = fs::read_dir(work.path().join(COPY)).unwrap();
        let mut sizes: Vec<(String, u64)> = names
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
            .collect();
        sizes.sort();
        let expected = [("rpmdb.sqlite", 24), ("rpmdb.sqlite-shm", 0), ("rpmdb.sqlite-wal", 0)];
        assert_eq!(sizes, expected.map(|(name, size)| (name.to_owned(), size)));
    }

    #[test]
    fn databases_are_found_where_distributions_have_them_and_each_once() {
        let files = ["usr/lib/sysimage/rpm/rpmdb.sqlite", "root/.rpmdb/Packages.db"];
        let (root, sysroot) = sysroot_with(&files);
        fs::create_dir_all(root.path().join("var/lib")).unwrap();
        std::os::unix::fs::symlink("../../usr/lib/sysimage/rpm", root.path().join("var/lib/rpm")).unwrap();
        let found = |sysroot: &Sysroot| -> Vec<PathBuf> {
            Database::all(sysroot).into_iter().flat_map(|database| database.files).collect()
        };
        assert_eq!(found(&sysroot), files.map(|file| Path::new("/").join(file)));
        assert_eq!(found(&sysroot_with(&["var/lib/rpm/Packages"]).1), [Path::new("/var/lib/rpm/Packages")]);
        assert!(found(&sysroot_with(&["var/lib/rpm/other"]).1).is_empty());
    }

    /// The sandbox is a shell here, which refuses its arguments.
    #[test]
    fn that_no_rpm_could_read_a_database_is_known_and_remembered() {
        let (_root, sysroot) = sysroot_with(&["var/lib/rpm/rpmdb.sqlite", "usr/bin/rpm"]);
        let base = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::without_user_change();
        let directories = BuildDirectories::beneath(base.path());
        directories.prepare(&sandbox).unwrap();
        let tree = Path::new("/usr/src/linux-headers-1.0");
        let ask = || {
            let mut databases = RpmDatabases::new(&sandbox, &directories);
            let owners = databases.owners_of(tree, &sysroot, Some(Digest::of(b"toolchain")));
            (owners, databases.copies.len())
        };
        assert_eq!(ask(), (None, 1));
        assert_eq!(ask(), (None, 0), "it was asked again");
        fs::write(sysroot.path().join("var/lib/rpm/rpmdb.sqlite"), "another").unwrap();
        assert_eq!(ask(), (None, 1));
        let (_root, without) = sysroot_with(&[]);
        let mut databases = RpmDatabases::new(&sandbox, &directories);
        assert_eq!(databases.owners_of(tree, &without, None), Some(Vec::new()));
    }
}
