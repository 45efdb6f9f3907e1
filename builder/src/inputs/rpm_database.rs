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
        let sandbox = self.sandbox;
        let directories = self.directories;
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
mod tests;
