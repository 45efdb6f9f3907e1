//! A farm to work in: a directory with the fixture scripts' configuration and a place for results.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::lab::{Lab, Release, repository};

/// A farm's working directory.
#[derive(Debug, Clone)]
pub struct Farm {
    directory: PathBuf,
}

impl Farm {
    /// Makes the directory (emptied first if it is there) with a global configuration for the fixture scripts.
    pub fn new(directory: &Path) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        let fixtures = repository().join("fixtures").canonicalize()?;
        let config = format!(
            "SCRIPT_PATH={0}/scripts\nCONFIG_PATH={0}/config/conf.d\nPASSALL=no\nLOG_FILE={1}/systemtap.log\n",
            fixtures.display(),
            directory.display()
        );
        fs::write(directory.join("config"), config)?;
        Ok(Self { directory })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The cache that all farms of the tests share, so that nothing is compiled twice: beside the lab, where the
    /// unprivileged user of jobs can get to it.
    pub fn cache(lab: &Lab) -> Result<PathBuf> {
        let root = lab.root();
        let beside = root.parent().and_then(Path::parent).and_then(Path::parent);
        Ok(beside.context("the lab has no parent directory")?.join("test-cache/stap-bundle"))
    }

    /// The arguments of a `build` of all fixture scripts, or of those named, for `releases`.
    pub fn build_arguments(
        &self,
        lab: &Lab,
        releases: &[&Release],
        key: &str,
        output: &str,
        scripts: &[&str],
    ) -> Result<Vec<String>> {
        let text = |path: PathBuf| path.display().to_string();
        let mut arguments = vec!["build".to_owned()];
        for release in releases {
            arguments.extend(["-r".to_owned(), release.release.clone()]);
        }
        arguments.extend(["--sysroot".to_owned(), text(lab.root())]);
        arguments.extend(["-c".to_owned(), "config".to_owned()]);
        arguments.extend(["--key".to_owned(), key.to_owned()]);
        arguments.extend(["--cache".to_owned(), text(Self::cache(lab)?)]);
        arguments.extend(["-o".to_owned(), output.to_owned()]);
        // One script of the fixtures compiles for one family of kernels only.
        arguments.extend(["--best-effort".to_owned(), "*".to_owned()]);
        arguments.extend(scripts.iter().map(|script| (*script).to_owned()));
        Ok(arguments)
    }
}
