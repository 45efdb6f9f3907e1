//! Whether what a power cut left is one of the states that it may leave.
//!
//! The disk is first mended as a boot mends it (`e2fsck -p` replays the journal; anything beyond that fails), then copied
//! out of the image without mounting it, and looked at twice: byte by byte by this module, which knows nothing of
//! the program but the paths, and by the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::{Cancel, ChildCommand, Ended, Finished, Limits};
use end_to_end::programs;
use serde_json::Value;

use crate::plan::{self, Installed};

/// What is installed, or what is wrong with it, in words.
pub(crate) type Verdict = Result<Installed, String>;

const PATIENCE: Duration = Duration::from_secs(600);
const STATE: &str = "var/lib/stap-bundle";

/// A place to look at disks in.
pub(crate) struct Judge {
    work: tempfile::TempDir,
    program: PathBuf,
    release: String,
    /// A bundle above all others, installed to see that the next installer finds its way.
    next: PathBuf,
}

/// The state before a step and the state after it. They are the same where no step is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    pub(crate) before: Installed,
    pub(crate) after: Installed,
}

impl Judge {
    pub(crate) fn new(release: &str, next: PathBuf) -> Self {
        let (work, program) = (tempfile::tempdir().unwrap(), programs::farm().unwrap());
        Self { work, program, release: release.to_owned(), next }
    }

    /// Where a disk is put to be judged.
    pub(crate) fn disk(&self) -> PathBuf {
        self.work.path().join("disk")
    }

    /// Judges [`Judge::disk`]; with `go_on` also by what the next install makes of it.
    pub(crate) fn judge(&self, allowed: Allowed, go_on: bool) -> Verdict {
        let tree = self.work.path().join("tree");
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir(&tree).unwrap();
        self.extract(&tree)?;
        let found = self.look(&tree, allowed)?;
        self.ask(&tree, found)?;
        if go_on {
            self.go_on(&tree, found)?;
        }
        Ok(found)
    }

    fn extract(&self, tree: &Path) -> Result<(), String> {
        let mended = self.run(ChildCommand::new("e2fsck").args(["-f", "-p"]).arg(self.disk()));
        if !matches!(mended.status, Ended::Code(0 | 1)) {
            return Err(format!(
                "e2fsck: {} {}{}",
                mended.status,
                mended.stdout.text(),
                mended.stderr.text()
            ));
        }
        let request = format!("rdump /etc /lib /var {}", tree.display());
        let copied = self.run(ChildCommand::new("debugfs").args(["-R", &request]).arg(self.disk()));
        // It says its name and version in any case.
        let said = copied.stderr.text();
        let is_good = copied.status.success() && said.lines().count() <= 1;
        if is_good { Ok(()) } else { Err(format!("debugfs: {} {said}", copied.status)) }
    }

    fn run(&self, command: ChildCommand) -> Finished {
        let command = command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(self.work.path());
        command.run(&Limits::within(PATIENCE), &Cancel::new()).unwrap()
    }

    /// Which of the two states is current, by the bytes of the modules.
    fn look(&self, tree: &Path, allowed: Allowed) -> Verdict {
        let there = current_modules(tree)?;
        let candidates = [allowed.after, allowed.before];
        let is_it = |candidate: &&Installed| match (&there, plan::modules(**candidate)) {
            (None, wanted) => wanted.is_empty(),
            (Some(there), wanted) => *there == wanted,
        };
        let Some(found) = candidates.iter().find(is_it).copied() else {
            let names = there.map(|there| there.into_keys().collect::<Vec<_>>());
            return Err(format!("modules {names:?} are neither the old set nor the new one"));
        };
        check_floors(tree, found)?;
        self.check_links(tree, allowed, found)?;
        Ok(found)
    }

    /// What the stock tools see: the modules of the set that is current with their options, and no others. What leads nowhere
    /// isn't there for them.
    fn check_links(&self, tree: &Path, allowed: Allowed, found: Installed) -> Result<(), String> {
        let cache = tree.join("var/cache/systemtap").join(&self.release);
        let names = |installed| plan::modules(installed).into_keys().collect::<BTreeSet<_>>();
        let (before, after, now) = (names(allowed.before), names(allowed.after), plan::modules(found));
        for name in before.intersection(&after) {
            for file in [cache.join(format!("{name}.ko")), cache.join(format!("{name}.opts"))] {
                if fs::symlink_metadata(&file).is_err() {
                    return Err(format!("{} is missing", file.display()));
                }
            }
        }
        for entry in fs::read_dir(&cache).into_iter().flatten() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            if file.starts_with('.') {
                continue;
            }
            let (name, kind) = file.rsplit_once('.').ok_or_else(|| format!("{file} in the cache"))?;
            if !before.contains(name) && !after.contains(name) {
                return Err(format!("{file} is in the cache, of neither set"));
            }
            if !now.contains_key(name) {
                if path.exists() {
                    return Err(format!("{file} leads somewhere, and is not in the current set"));
                }
                continue;
            }
            if kind == "opts" {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                if lines.len() != 2 || !lines[0].starts_with("Linux ") || !text.ends_with("--\n") {
                    return Err(format!("{file} has {text:?}"));
                }
            } else if now.get(name).is_some_and(|bytes| fs::read(&path).ok().as_ref() != Some(bytes)) {
                return Err(format!("the link {file} does not lead to the current set's module"));
            }
        }
        for name in ["00-stap-bundle.conf", "zz-stap-bundle.conf"] {
            let configuration = tree.join("etc/systemtap/conf.d").join(name);
            if !before.is_empty() && !fs::read_to_string(configuration).is_ok_and(|text| !text.is_empty()) {
                return Err(format!("the link {name} in conf.d is missing or leads nowhere"));
            }
        }
        Ok(())
    }

    /// What the program says of it.
    fn ask(&self, tree: &Path, found: Installed) -> Result<(), String> {
        let fsck = self.program(tree, &["--json", "fsck"])?;
        let problems = &fsck["problems"];
        if problems.as_array().is_none_or(|problems| !problems.is_empty()) {
            return Err(format!("fsck: {problems}"));
        }
        let list = self.program(tree, &["--json", "list"])?;
        let mut generations = list["generations"].as_array().into_iter().flatten();
        let current = generations.find(|generation| generation["current"] == true);
        let bundles = current.and_then(|current| current["bundles"].as_array()).into_iter().flatten();
        let said: Vec<_> =
            bundles.map(|bundle| format!("{} {}", bundle["name"], bundle["version"])).collect();
        let fleet = (found.fleet > 0).then(|| format!("\"fleet\" \"1.{}\"", found.fleet));
        let storage = found.storage.then(|| "\"storage\" \"1.0\"".to_owned());
        let wanted: Vec<String> = fleet.into_iter().chain(storage).collect();
        if said == wanted { Ok(()) } else { Err(format!("list says {said:?}, there is {wanted:?}")) }
    }

    fn program(&self, tree: &Path, arguments: &[&str]) -> Result<Value, String> {
        let root = tree.display().to_string();
        let finished = self.run(ChildCommand::new(&self.program).args(["--root", &root]).args(arguments));
        if !finished.status.success() {
            let said = format!("{}{}", finished.stdout.text(), finished.stderr.text());
            return Err(format!("{}: {}: {said}", arguments.join(" "), finished.status));
        }
        Ok(serde_json::from_slice(&finished.stdout.bytes()).unwrap_or(Value::Null))
    }

    /// The next install succeeds, and leaves nothing of the one that was cut.
    fn go_on(&self, tree: &Path, found: Installed) -> Result<(), String> {
        let next = self.next.display().to_string();
        self.program(tree, &["--quiet", "install", &next])?;
        let after = Installed { fleet: plan::LAST, highest: plan::LAST, ..found };
        let found = self.look(tree, Allowed { before: after, after })?;
        self.ask(tree, found)?;
        for directory in [STATE.to_owned(), format!("{STATE}/generations"), format!("{STATE}/state")] {
            for entry in fs::read_dir(tree.join(directory)).unwrap() {
                let name = entry.unwrap().file_name();
                if name.to_string_lossy().starts_with('.') {
                    return Err(format!("{} is left over", name.display()));
                }
            }
        }
        Ok(())
    }
}

/// The modules of the current generation, by script; `None` if none is current.
fn current_modules(tree: &Path) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
    let Ok(current) = fs::read_link(tree.join(STATE).join("current")) else { return Ok(None) };
    let generation = tree.join(STATE).join(current);
    let kernels = fs::read_dir(generation.join("kernels")).map_err(|error| format!("kernels: {error}"))?;
    let mut modules = BTreeMap::new();
    for kernel in kernels {
        for module in fs::read_dir(kernel.unwrap().path()).map_err(|error| error.to_string())? {
            let path = module.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            modules.insert(name, fs::read(path).map_err(|error| error.to_string())?);
        }
    }
    Ok(Some(modules))
}

/// Both copies are there as soon as anything was current, and neither is above what was.
fn check_floors(tree: &Path, found: Installed) -> Result<(), String> {
    for copy in ["floors", "floors.copy"] {
        let path = tree.join(STATE).join("state").join(copy);
        let Ok(text) = fs::read_to_string(&path) else {
            if found.storage {
                return Err(format!("{copy} is missing"));
            }
            continue;
        };
        let json = text.split_once('\n').map_or("", |(_, json)| json);
        let floors: Value = serde_json::from_str(json).map_err(|_| format!("{copy} is {text:?}"))?;
        let floor = floors["floors"]["fleet"]["serial"].as_u64().unwrap_or(0);
        if floor > found.highest {
            return Err(format!("the floor is {floor}, installed was at most {}", found.highest));
        }
    }
    Ok(())
}
