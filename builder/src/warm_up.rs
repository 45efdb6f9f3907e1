//! Stap's own caches for a kernel: made once, by a leader, shared by all that follow.
//!
//! On a kernel that it hasn't seen, stap runs some 130 configuration tests (about 15 CPU seconds) and, for the first script
//! with a tracepoint, compiles some 200 objects to find the tracepoints (70 to 80 CPU seconds). It keeps both in its
//! `SYSTEMTAP_DIR` and takes no lock: two jobs on a cold kernel both pay all of it. So there is one `SYSTEMTAP_DIR` for each
//! [`WarmUpKey`], and the scheduler lets only one job at a time in while a part that it needs is missing.
//!
//! A file `ready.json` beside the directory says which parts are complete. It's written only after a leader that ended by
//! itself; a directory without it is the rest of a killed build, and is emptied: a scan that was cut short for lack of
//! memory or disk space would be kept as "no such tracepoint" for ever.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bundle_format::{Digest, FieldHasher};
use serde::{Deserialize, Serialize};

use crate::sandbox::{Sandbox, SandboxError};
use crate::sysroot::Sysroot;

/// Size limit of stap's cache, in megabytes: its default of 256 is too little for a kernel with many scans, and what it
/// evicts is silently missing.
const CACHE_LIMIT_MB: &str = "8192\n";

/// Words by which a script or a tapset alias uses a tracepoint of the kernel. A script that does so by another way runs
/// its scan itself: that costs time, and nothing else.
const TRACEPOINT_SIGNS: [&str; 8] =
    ["kernel.trace", "scheduler.", "ioblock", "ioscheduler", "workqueue.", "irq_handler.", "softirq.", "vm."];

/// Digest of what stap's own caches depend on: sysroot, toolchain, build tree, guru mode, `-B` options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WarmUpKey(Digest);

impl WarmUpKey {
    /// The key for jobs with these compile options.
    #[must_use]
    pub fn new(
        sysroot: &Sysroot,
        toolchain: Digest,
        build_tree: &Path,
        tree: Digest,
        options: &[String],
    ) -> Self {
        // Only -g and -B are in the name of what stap caches (hash.cxx), whatever order they come in.
        let guru = options.iter().any(|option| option == "-g");
        let mut flags = Vec::new();
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            if option == "-B" {
                flags.extend(rest.next().map(String::as_str));
            } else if let Some(flag) = option.strip_prefix("-B") {
                flags.push(flag);
            }
        }
        let hash = FieldHasher::new()
            .field("stap-bundle warm-up 1")
            .field(sysroot.path().as_os_str().as_encoded_bytes())
            .field(toolchain.as_bytes())
            .field(build_tree.as_os_str().as_encoded_bytes())
            .field(tree.as_bytes())
            .field([u8::from(guru)])
            .list(flags.into_iter());
        Self(hash.finish())
    }
}

impl fmt::Display for WarmUpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.short())
    }
}

/// Parts of stap's caches: those that a job needs, or those that are complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmUp {
    /// The configuration tests, needed by every job that comes to pass 4.
    pub configured: bool,
    /// The tracepoint scan.
    pub scanned: bool,
}

impl WarmUp {
    /// What a script with this text needs, as far as the text tells.
    #[must_use]
    pub fn needed_by(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        Self { configured: true, scanned: TRACEPOINT_SIGNS.iter().any(|sign| text.contains(sign)) }
    }

    /// Whether everything in `needs` is here.
    #[must_use]
    pub fn covers(self, needs: Self) -> bool {
        (self.configured || !needs.configured) && (self.scanned || !needs.scanned)
    }

    /// What is in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { configured: self.configured || other.configured, scanned: self.scanned || other.scanned }
    }
}

/// The `SYSTEMTAP_DIR`s of a build.
#[derive(Debug)]
pub(crate) struct WarmUps {
    directory: PathBuf,
}

impl WarmUps {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The `SYSTEMTAP_DIR` of a key.
    pub(crate) fn path(&self, key: WarmUpKey) -> PathBuf {
        self.directory.join(key.to_string())
    }

    fn ready_file(&self, key: WarmUpKey) -> PathBuf {
        self.directory.join(format!("{key}.ready.json"))
    }

    /// Makes the directory ready for jobs and returns what is complete in it; what a killed build left is removed.
    pub(crate) fn prepare(&self, key: WarmUpKey, sandbox: &Sandbox) -> Result<WarmUp, SandboxError> {
        let path = self.path(key);
        let error = |source| SandboxError::Prepare { path: path.clone(), source };
        let ready = fs::read(self.ready_file(key)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let (Some(ready), true) = (ready, path.is_dir()) {
            return Ok(ready);
        }
        self.discard(key).map_err(error)?;
        sandbox.prepare_directory(&path)?;
        sandbox.prepare_directory(&path.join("cache"))?;
        fs::write(path.join("cache/cache_mb_limit"), CACHE_LIMIT_MB).map_err(error)?;
        Ok(WarmUp::default())
    }

    /// Looks at what a job that ended by itself has left, and notes it.
    pub(crate) fn note(&self, key: WarmUpKey, before: WarmUp) -> io::Result<WarmUp> {
        let found = before.or(found_in(&self.path(key).join("cache"))?);
        if found != before {
            let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
            serde_json::to_writer(&mut file, &found)?;
            file.persist(self.ready_file(key))?;
        }
        Ok(found)
    }

    /// Removes all that was cached for a key.
    pub(crate) fn discard(&self, key: WarmUpKey) -> io::Result<()> {
        for result in [fs::remove_file(self.ready_file(key)), fs::remove_dir_all(self.path(key))] {
            if let Err(error) = result
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Which parts have left their files (`stapconf_HASH.h`, `tracequery_kmod_HASH.o`), in two-letter subdirectories.
fn found_in(cache: &Path) -> io::Result<WarmUp> {
    let mut found = WarmUp::default();
    for entry in walkdir::WalkDir::new(cache).max_depth(2) {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        found.configured |= name.starts_with("stapconf_");
        found.scanned |= name.starts_with("tracequery_");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_sysroot;

    #[test]
    fn only_guru_mode_and_make_flags_divide_warm_ups() {
        let root = fake_sysroot(&[]);
        let sysroot = Sysroot::open(root.path()).unwrap();
        let digest = Digest::of(b"");
        let key = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
            WarmUpKey::new(&sysroot, digest, Path::new("/t"), digest, &options)
        };
        assert_eq!(key(&["-v", "-DMAXACTION=9"]), key(&[]));
        assert_eq!(key(&["-B", "V=0"]), key(&["-BV=0"]));
        assert!(key(&["-g"]) != key(&[]) && key(&["-BV=0"]) != key(&[]));
    }

    #[test]
    fn tracepoints_are_seen_in_the_text() {
        assert!(WarmUp::needed_by(b"probe kernel.trace(\"sched_switch\") {}").scanned);
        assert!(WarmUp::needed_by(b"probe scheduler.ctxswitch {}").scanned);
        assert!(!WarmUp::needed_by(b"probe timer.s(1) {}").scanned);
    }

    #[test]
    fn a_directory_without_a_note_is_emptied() {
        let base = tempfile::tempdir().unwrap();
        let warm_ups = WarmUps::new(base.path().to_owned());
        let sandbox = Sandbox::without_user_change();
        let key = WarmUpKey(Digest::of(b"key"));
        let put = |name: &str| {
            fs::create_dir_all(warm_ups.path(key).join("cache/ab")).unwrap();
            fs::write(warm_ups.path(key).join("cache/ab").join(name), "").unwrap();
        };
        put("tracequery_kmod_x.o");
        assert_eq!(warm_ups.prepare(key, &sandbox).unwrap(), WarmUp::default());
        assert!(!warm_ups.path(key).join("cache/ab").exists());
        put("stapconf_x.h");
        let configured = WarmUp { configured: true, scanned: false };
        assert_eq!(warm_ups.note(key, WarmUp::default()).unwrap(), configured);
        assert_eq!(warm_ups.prepare(key, &sandbox).unwrap(), configured);
        assert!(warm_ups.path(key).join("cache/ab/stapconf_x.h").exists());
    }
}
