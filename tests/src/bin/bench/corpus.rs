//! Real modules: the fixture scripts and systemtap's own examples, compiled for every release of the lab.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use bundle_format::{
    BundleDraft, Extent, Kernel, KernelDraft, Manifest, ModuleDraft, RawBundle, TrustedKeys,
};
use end_to_end::lab::{Lab, repository};
use end_to_end::programs;

use crate::measure::shell;

/// Examples of systemtap's documentation that compile without debugging data.
const EXAMPLES: &[&str] = &[
    "eventcount",
    "interrupts-by-dev",
    "switchfile",
    "biolatency-nd",
    "bitesize-nd",
    "mmfilepage",
    "mmreclaim",
    "dropwatch",
    "net_xmit_json",
    "netfilter_summary",
    "tcp_connections",
    "cycle_thief",
    "sched-latency",
    "schedtimes",
    "sig_by_pid",
    "sigkill",
    "thread-times",
    "pf2",
];

/// What the figures on sizes must rest on.
const SCRIPTS: usize = 24;
const KERNELS: usize = 4;

/// A folder with a bundle of real modules, and what it holds.
pub(crate) struct Corpus {
    directory: PathBuf,
    pub(crate) manifest: Manifest,
    /// By kernel in the manifest's order, the modules by name.
    modules: Vec<Vec<ModuleDraft>>,
}

impl Corpus {
    /// Compiles what isn't in the cache, and packs.
    pub(crate) fn make() -> Result<Self> {
        let lab = Lab::open()?;
        let directory = directory(&lab)?;
        fs::create_dir_all(&directory)?;
        make_scripts(&directory)?;
        let farm = programs::farm()?;
        if !directory.join("bench.key").exists() {
            programs::run_expecting(&farm, &directory, &["key", "generate", "--out", "bench"], &[0])?;
        }
        let conf = repository().join("fixtures/config/conf.d").canonicalize()?;
        let config = format!(
            "SCRIPT_PATH={}/scripts\nCONFIG_PATH={}\nPASSALL=no\n",
            directory.display(),
            conf.display()
        );
        fs::write(directory.join("config"), config)?;
        let releases: Vec<String> =
            lab.releases().iter().map(|release| format!("-r {}", release.release)).collect();
        let root = lab.root();
        shell(
            &directory,
            &format!(
                "code=0; SOURCE_DATE_EPOCH=1 '{}' build {} --sysroot '{}' -c config --key bench.key \
                 --cache cache --time-limit 1800 --best-effort '*' -o corpus.stapb --replace >build.log 2>&1 || code=$?; \
                 [ $code = 0 ] || [ $code = 20 ] || {{ cat build.log >&2; exit $code; }}",
                farm.display(),
                releases.join(" "),
                root.display()
            ),
        )?;
        Self::open()
    }

    /// Reads the bundle that [`Corpus::make`] has made.
    pub(crate) fn open() -> Result<Self> {
        let directory = directory(&Lab::open()?)?;
        let key = signing::PrivateKeyFile::open(&directory.join("bench.key"))?;
        let trusted = TrustedKeys::any_of([key.public().clone()]);
        let bundle = RawBundle::read(File::open(directory.join("corpus.stapb"))?)?.verify(&trusted)?;
        let manifest = bundle.manifest().clone();
        let all: BTreeSet<_> = manifest.kernels.iter().map(|kernel| kernel.id).collect();
        let mut found: BTreeMap<_, Vec<ModuleDraft>> = BTreeMap::new();
        bundle.read_content(&all, Extent::Everything, &mut |kernel, set| {
            found.entry(kernel.id).or_default().extend(set.modules().map(|module| ModuleDraft {
                record: module.record.clone(),
                bytes: std::sync::Arc::new(module.bytes.to_vec()),
            }));
            Ok(())
        })?;
        let modules = manifest.kernels.iter().map(|kernel| found.remove(&kernel.id).unwrap_or_default());
        let modules: Vec<_> = modules.collect();
        let corpus = Self { directory, manifest, modules };
        ensure!(
            corpus.modules.len() >= KERNELS && corpus.common().len() >= SCRIPTS,
            "{} kernels with {} scripts in common, {KERNELS} with {SCRIPTS} are needed",
            corpus.modules.len(),
            corpus.common().len()
        );
        Ok(corpus)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The private key that signs what is packed.
    pub(crate) fn key(&self) -> PathBuf {
        self.directory.join("bench.key")
    }

    /// Kernels and modules, in the natural order of the releases.
    pub(crate) fn kernels(&self) -> Vec<(&Kernel, &[ModuleDraft])> {
        let kernels = self.manifest.kernels.iter().zip(self.modules.iter().map(Vec::as_slice));
        let mut kernels: Vec<_> = kernels.collect();
        kernels.sort_by(|(a, _), (b, _)| a.release.cmp(&b.release));
        kernels
    }

    /// Names of the scripts that every kernel has.
    pub(crate) fn common(&self) -> Vec<String> {
        let scripts = self.manifest.scripts.iter().map(|script| &script.name);
        let green = scripts.filter(|name| self.manifest.kernels.iter().all(|kernel| kernel.is_green(name)));
        green.map(ToString::to_string).collect()
    }

    /// What the bundle was made from.
    pub(crate) fn draft(&self) -> Result<BundleDraft> {
        let mut draft = self.empty_draft();
        draft.scripts.clone_from(&self.manifest.scripts);
        for (kernel, modules) in self.kernels() {
            let mut of = KernelDraft::of(kernel.release.clone(), kernel.machine.clone());
            of.uname_v.clone_from(&kernel.uname_v);
            of.symvers_sha256 = kernel.symvers_sha256;
            of.config_sha256 = kernel.config_sha256;
            of.compiler.clone_from(&kernel.compiler);
            of.modules_compiler.clone_from(&kernel.modules_compiler);
            of.vermagic.clone_from(&kernel.vermagic);
            of.modules = modules.to_vec();
            of.red.clone_from(&kernel.red);
            draft.kernels.push(of);
        }
        ensure!(!draft.kernels.is_empty(), "the corpus has no kernel");
        Ok(draft)
    }

    /// A draft of this name and toolchain without scripts and kernels.
    pub(crate) fn empty_draft(&self) -> BundleDraft {
        BundleDraft {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            serial: 1,
            created: 1,
            best_before: None,
            scripts: Vec::new(),
            toolchains: self.manifest.toolchains.clone(),
            kernels: Vec::new(),
            roots: None,
        }
    }
}

/// Beside the lab, where the unprivileged user of compiles can get to it.
fn directory(lab: &Lab) -> Result<PathBuf> {
    let root = lab.root();
    let beside = root.parent().and_then(Path::parent).and_then(Path::parent);
    Ok(beside.context("the lab has no parent directory")?.join("bench"))
}

/// The scripts, once: later runs must measure the same.
fn make_scripts(directory: &Path) -> Result<()> {
    let scripts = directory.join("scripts");
    if scripts.is_dir() {
        return Ok(());
    }
    let fixtures = repository().join("fixtures/scripts").canonicalize()?;
    shell(
        directory,
        "rm -rf examples scripts.new && mkdir -p examples scripts.new && cd examples && \
         { apt-get download -q systemtap-doc || { apt-get update -q && apt-get download -q systemtap-doc; }; } && \
         dpkg-deb -x systemtap-doc_*.deb .",
    )?;
    for example in EXAMPLES {
        let name = example.replace('-', "_");
        shell(
            directory,
            &format!(
                "file=$(find examples/usr/share -name '{example}.stp' | sort | head -n 1); \
                 [ -z \"$file\" ] || cp \"$file\" scripts.new/{name}.stp"
            ),
        )?;
    }
    shell(directory, &format!("cp '{}'/*.stp scripts.new/ && rm -r examples", fixtures.display()))?;
    if fs::rename(directory.join("scripts.new"), &scripts).is_err() {
        bail!("{} can't be made", scripts.display());
    }
    Ok(())
}
