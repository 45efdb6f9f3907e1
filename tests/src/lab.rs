//! The lab: real roots and kernels, made by `tests/lab/lab.sh`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use child::{Cancel, ChildCommand, Limits};
use serde::Deserialize;

/// The lab as its script made it.
#[derive(Debug, Clone)]
pub struct Lab {
    directory: PathBuf,
    releases: Vec<Release>,
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
    releases: Vec<Release>,
}

impl Lab {
    /// Opens the lab that `make lab` has made.
    pub fn open() -> Result<Self> {
        let script = repository().join("tests/lab/lab.sh");
        let finished = ChildCommand::new("bash")
            .arg(&script)
            .arg("path")
            .inherit_environment()
            .run(&Limits::default(), &Cancel::new())?;
        if !finished.status.success() {
            bail!("there is no lab: run `make lab` first\n{}", finished.stderr.text());
        }
        let directory = PathBuf::from(finished.stdout.text().trim());
        let file = directory.join("lab.json");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let document: Document = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        Ok(Self { directory, releases: document.releases })
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
