//! The lab: real roots and kernels, made by `tests/lab/lab.sh`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use child::{Cancel, ChildCommand, Limits};
use serde::Deserialize;

/// What is fetched from a package mirror may take long.
const TIME_LIMIT: Duration = Duration::from_secs(1800);

/// The lab as its script made it, or what is laid out as it is.
#[derive(Debug, Clone)]
pub struct Lab {
    directory: PathBuf,
    architecture: Architecture,
    releases: Vec<Release>,
}

/// What the kernels and the host are for, by Debian's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// The farm's own.
    Amd64,
    /// The other one.
    Arm64,
}

/// A kernel release of the lab.
#[derive(Debug, Clone, Deserialize)]
pub struct Release {
    /// What `uname -r` prints.
    pub release: String,
    /// `stable` or `testing`.
    pub family: String,
    /// `plain` or `cloud`.
    pub flavour: String,
    /// The kernel image below the lab's directory; only cloud kernels have one.
    pub vmlinuz: Option<PathBuf>,
    /// What `uname -v` prints.
    pub uname_v: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    arch: Architecture,
    releases: Vec<Release>,
}

impl Lab {
    /// Opens the lab that `make lab` has made.
    pub fn open() -> Result<Self> {
        Self::of_script("lab.sh", "path").context("there is no lab: run `make lab` first")
    }

    /// A kernel of arm64, its host, and a root that compiles for it as well; makes them if they aren't there. The kernel's build tree
    /// isn't in the root: [`Self::packages`] has it.
    pub fn arm64() -> Result<Self> {
        Self::of_script("arm64.sh", "make")
    }

    fn of_script(name: &str, command: &str) -> Result<Self> {
        let script = ChildCommand::new("bash").arg(repository().join("tests/lab").join(name)).arg(command);
        let finished = script.inherit_environment().run(&Limits::within(TIME_LIMIT), &Cancel::new())?;
        ensure!(finished.status.success(), "{name} {command}: {}", finished.stderr.text());
        let directory = PathBuf::from(finished.stdout.text().trim());
        let file = directory.join("lab.json");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let Document { arch, releases } =
            serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        Ok(Self { directory, architecture: arch, releases })
    }

    /// What its kernels and its host are for.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Packages for a farm's kernel store.
    #[must_use]
    pub fn packages(&self) -> PathBuf {
        self.directory.join("packages")
    }

    /// The root with systemtap and the build trees.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// The file system of a host without a compiler.
    #[must_use]
    pub fn host(&self) -> PathBuf {
        self.directory.join("host")
    }

    /// All releases.
    #[must_use]
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// The release of a family that can be booted.
    pub fn bootable(&self, family: &str) -> Result<&Release> {
        let found =
            self.releases.iter().find(|release| release.family == family && release.vmlinuz.is_some());
        found.with_context(|| format!("the lab has no bootable kernel of Debian {family}"))
    }

    /// The kernel image of a bootable release.
    pub fn vmlinuz(&self, release: &Release) -> Result<PathBuf> {
        let image = release.vmlinuz.as_ref().with_context(|| format!("{} has no image", release.release))?;
        Ok(self.directory.join(image))
    }
}

/// The top of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
