//! Programs of this host, beside those for which a bundle's modules are made.
//!
//! A module knows addresses in one build of a program. Beside another build it is loaded and `staprun` ends with 0, but its data of that
//! program are missing or wrong, and the program may crash, for breakpoints are placed before systemtap compares build ids
//! (docs/upstream/build-id-mismatch.md).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};

use bundle_format::{KernelId, ProgramRecord, ScriptRecord};
use files::{FileError, FileSystem, with_causes};
use kernel_module::{PROGRAM_HEAD, program_build_id};

/// A program for which a module is made, and what is in its place here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its module is made for {path} with build id {wanted}, {here}")]
pub struct OtherProgram {
    /// Absolute.
    pub path: String,
    /// The build id of the farm's.
    pub wanted: String,
    pub here: ProgramHere,
}

/// What is at a program's path on this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramHere {
    #[error("which isn't on this host")]
    Absent,
    /// Another build.
    #[error("this host's has {0}")]
    BuildId(String),
    /// No program, or one without a build id.
    #[error("this host's has no build id")]
    NoBuildId,
    #[error("this host's can't be read: {0}")]
    Unread(String),
    /// The user who asks may not read it, as with some set-user-ID programs; root, who starts scripts, may.
    #[error("this host's is not for this user to read")]
    NotForThisUser,
}

impl OtherProgram {
    /// What comes of it where the script runs all the same.
    pub const EFFECT: &str = "data of that program are missing or wrong, and it may crash";
}

/// The programs of a host, each read once.
#[derive(Debug)]
pub struct HostPrograms<'h> {
    host: &'h FileSystem,
    known: RefCell<BTreeMap<String, ProgramHere>>,
}

impl<'h> HostPrograms<'h> {
    #[must_use]
    pub fn of(host: &'h FileSystem) -> Self {
        Self { host, known: RefCell::default() }
    }

    /// The first program of a script that isn't the one for which its module for that kernel is made.
    #[must_use]
    pub fn other(&self, script: &ScriptRecord, kernel: &KernelId) -> Option<OtherProgram> {
        let of_kernel = script.programs.iter().filter(|program| program.is_for(kernel));
        of_kernel.into_iter().find_map(|program| self.compare(program))
    }

    fn compare(&self, program: &ProgramRecord) -> Option<OtherProgram> {
        let mut known = self.known.borrow_mut();
        let here = known.entry(program.path.clone()).or_insert_with(|| self.look(&program.path)).clone();
        let may_be_it = match &here {
            ProgramHere::BuildId(found) => *found == program.build_id,
            ProgramHere::NotForThisUser => true,
            _ => false,
        };
        (!may_be_it).then(|| OtherProgram {
            path: program.path.clone(),
            wanted: program.build_id.clone(),
            here,
        })
    }

    fn look(&self, path: &str) -> ProgramHere {
        match self.read(path) {
            Ok(Some(build_id)) => ProgramHere::BuildId(build_id),
            Ok(None) => ProgramHere::NoBuildId,
            Err(error) if error.is_not_found() => ProgramHere::Absent,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => ProgramHere::NotForThisUser,
            Err(error) => ProgramHere::Unread(with_causes(&error)),
        }
    }

    fn read(&self, path: &str) -> Result<Option<String>, FileError> {
        let mut head = Vec::new();
        let read = self.host.open_file(path)?.take(PROGRAM_HEAD).read_to_end(&mut head);
        read.map_err(|error| FileError::new("read", path, error))?;
        Ok(program_build_id(&head))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use bundle_format::Digest;
    use fixtures::program::program_with;

    use super::*;

    fn kernel(release: &str) -> KernelId {
        KernelId::of(&release.parse().unwrap(), &"x86_64".parse().unwrap(), None, None, None)
    }

    #[test]
    fn a_program_of_another_build_is_named_with_both_ids_and_one_that_is_not_there_is_too() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        symlink("usr/bin", root.path().join("bin")).unwrap();
        let put =
            |name: &str, bytes: &[u8]| fs::write(root.path().join("usr/bin").join(name), bytes).unwrap();
        put("right", &program_with(&[0xaa]));
        put("wrong", &program_with(&[0xbb]));
        put("plain", &program_with(&[]));
        fs::create_dir(root.path().join("usr/bin/directory")).unwrap();
        let host = FileSystem::open(root.path()).unwrap();
        let programs = HostPrograms::of(&host);
        let found = |path: &str, kernels: Vec<KernelId>| {
            let program =
                ProgramRecord { path: path.into(), build_id: "aa".into(), sha256: Digest::of(b""), kernels };
            let script = ScriptRecord {
                programs: vec![program],
                ..ScriptRecord::plain("a".parse().unwrap(), Digest::of(b""))
            };
            programs.other(&script, &kernel("1.0")).map(|other| other.to_string()).unwrap_or_default()
        };
        assert_eq!(found("/usr/bin/right", Vec::new()), "");
        assert_eq!(found("/bin/right", Vec::new()), "");
        let made_for =
            |path: &str, here: &str| format!("its module is made for {path} with build id aa, {here}");
        assert_eq!(found("/usr/bin/wrong", Vec::new()), made_for("/usr/bin/wrong", "this host's has bb"));
        assert_eq!(found("/usr/bin/wrong", vec![kernel("2.0")]), "");
        assert_eq!(found("/usr/bin/none", Vec::new()), made_for("/usr/bin/none", "which isn't on this host"));
        assert_eq!(
            found("/usr/bin/plain", Vec::new()),
            made_for("/usr/bin/plain", "this host's has no build id")
        );
        assert!(found("/usr/bin/directory", Vec::new()).contains("can't be read"));
    }
}
