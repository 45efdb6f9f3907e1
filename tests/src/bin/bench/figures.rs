//! The figures, and which of them must be how good.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;

use anyhow::{Context, Result};
use bundle_format::{Manifest, RawBundle, TrustedKeys};
use end_to_end::programs;

use crate::corpus::Corpus;
use crate::grown;
use crate::measure::{Taken, bytes_read, fastest, shell, taken};

/// A grown kernel that is in bundles of 30 and of 300, and neither's first.
const ONE: usize = 8;
/// The program under test is timed so often; the fastest run counts.
const TIMES: usize = 21;
/// Short commands are timed this many at once.
const AT_ONCE: usize = 10;

/// A line of the table.
struct Line {
    what: String,
    bytes: Option<u64>,
    taken: Option<Taken>,
}

/// A promise, what was measured, and whether it is kept.
struct Target {
    what: &'static str,
    limit: String,
    found: String,
    met: bool,
}

/// Measures and keeps.
pub(crate) struct Figures<'c> {
    corpus: &'c Corpus,
    /// The command line of the program under test, as far as its name.
    program: String,
    /// This benchmark's own.
    me: String,
    lines: Vec<Line>,
    targets: Vec<Target>,
}

impl<'c> Figures<'c> {
    pub(crate) fn new(corpus: &'c Corpus) -> Result<Self> {
        let program = format!("'{}'", programs::farm()?.display());
        let me = format!("'{}'", std::env::current_exe()?.display());
        Ok(Self { corpus, program, me, lines: Vec::new(), targets: Vec::new() })
    }

    /// Sizes on real modules.
    pub(crate) fn sizes(&mut self) -> Result<()> {
        self.run(&format!("{} tar corpus corpus.tar", self.me))?;
        let bundle = self.line("bundle", &format!("{} pack corpus packed.stapb", self.me), "packed.stapb")?;
        let gzip = self.line("tar czf (gzip -6)", "gzip -6 -c corpus.tar >corpus.tar.gz", "corpus.tar.gz")?;
        let zstd = "zstd -q -f -19 --long=27 corpus.tar -o corpus.tar.zst";
        let zstd = self.line("zstd -19 --long=27, solid", zstd, "corpus.tar.zst")?;
        let alone = "rm -rf alone && mkdir alone && tar -xf corpus.tar -C alone && cd alone && for kernel in *; do \
                     tar -c \"$kernel\" | zstd -q -19; done >../alone.zst; cd .. && rm -r alone";
        let alone = self.line("a zstd -19 frame per kernel, independent", alone, "alone.zst")?;
        let xz = self.line("xz -9e, solid", "xz -9e -k -f corpus.tar", "corpus.tar.xz")?;
        self.at_most("size against zstd -19 --long=27, solid", ratio(bundle, zstd), 1.02);
        self.at_most("size against xz -9e, solid", ratio(bundle, xz), 1.20);
        let gained = format!("{:.2} and {:.2}", ratio(gzip, bundle), ratio(alone, bundle));
        self.told(
            "times smaller than tar czf, than independent frames (152 modules, four kernels of two families)",
            gained,
        );
        self.run("rm -f corpus.tar corpus.tar.gz corpus.tar.zst corpus.tar.xz alone.zst")
    }

    /// Packing many kernels, and packing them again with a new one among them.
    pub(crate) fn packing(&mut self) -> Result<()> {
        for count in ["@8", "30"] {
            self.run(&format!("{} pack {count} grown-{}.stapb", self.me, count.trim_start_matches('@')))?;
        }
        self.run(&format!("{} tar 300 grown.tar && {} pack 299 grown-299.stapb", self.me, self.me))?;
        let pack = format!("{} pack 300 grown-300.stapb", self.me);
        let zstd = "zstd -q -f -19 -T0 grown.tar -o grown.tar.zst";
        let again = format!("{} pack 300 reused.stapb grown-299.stapb", self.me);
        let [zstd, pack, again] = fastest(self.corpus.directory(), 1, [zstd, &pack, &again])?;
        self.push("300 kernels x 12: zstd -19 -T0", self.len("grown.tar.zst")?, zstd);
        self.push("300 kernels x 12: bundle", self.len("grown-300.stapb")?, pack);
        self.push("300 kernels x 12: bundle, --reuse of 299", self.len("reused.stapb")?, again);
        self.at_most("time of packing 300 x 12 against zstd -19 -T0", pack.wall / zstd.wall, 1.1);
        self.told("the same, processor time", format!("{:.3}", pack.cpu / zstd.cpu));
        self.told("time of packing with --reuse against without", format!("{:.3}", again.wall / pack.wall));
        self.run("rm -f grown.tar grown.tar.zst grown-299.stapb reused.stapb")
    }

    /// One kernel out of 1, 30 and 300.
    pub(crate) fn one_of_many(&mut self) -> Result<()> {
        let release = grown::release(self.corpus, ONE)?;
        let program = self.program.clone();
        let extract = |of: &str, to: &str| {
            format!("{program} extract grown-{of}.stapb {to} --kernel {release} --key bench.pub >extract.log")
        };
        let script = |of: &str| {
            format!("rm -rf one; mkdir one; for i in $(seq {AT_ONCE}); do {}; done", extract(of, "one/$i"))
        };
        let scripts = [script("8"), script("30"), script("300")];
        let [one, thirty, many] =
            fastest(self.corpus.directory(), TIMES, scripts.each_ref().map(String::as_str))?;
        for (of, taken) in [("8", one), ("30", thirty), ("300", many)] {
            let kernels = if of == "8" { "1" } else { of };
            let what = format!("extract one kernel of {kernels}, {AT_ONCE} times");
            self.push(&what, self.len(&format!("grown-{of}.stapb"))?, taken);
        }
        self.at_most("time of one kernel of 300 against one of 30", many.wall / thirty.wall, 1.1);
        self.at_most("time of one kernel of 300 against one of 1", many.wall / one.wall, 2.2);
        self.run("rm -rf one")?;
        let (bytes, calls) = bytes_read(self.corpus.directory(), "grown-300.stapb", &extract("300", "one"))?;
        let manifest = self.manifest("grown-300.stapb")?;
        let (frames, limit) = needed(&manifest, &release, self.manifest_len("grown-300.stapb")?)?;
        self.at_most_count("frames that one kernel of 300 needs", frames, 2);
        self.at_most_count(
            "bytes read for it, by its system calls (limit: manifest and those frames)",
            bytes,
            limit,
        );
        self.told("system calls that read them", calls.to_string());
        self.memory("peak memory of extract, one of 300", many, &manifest);
        self.run("rm -rf one")
    }

    /// What a host does: one kernel out of 30 and 300 into the cache, against an archive of that kernel alone.
    pub(crate) fn installing(&mut self) -> Result<()> {
        let release = grown::release(self.corpus, ONE)?;
        let program = self.program.clone();
        self.run(&format!(
            "rm -rf host one; mkdir host; {program} --root host trust add bench.pub; \
             {program} extract grown-8.stapb one --key bench.pub; tar -C one -czf one.tar.gz ."
        ))?;
        let install = |of: &str| {
            format!(
                "rm -rf host.new; cp -a host host.new; \
                 {program} --root host.new install grown-{of}.stapb --kernel {release} >install.log"
            )
        };
        let unpack =
            "rm -rf host.new; cp -a host host.new; tar -xzf one.tar.gz -C host.new; sync -f host.new";
        self.run(&format!(
            "rm -f grown-1.stapb; {program} subset grown-8.stapb --kernel {release} --key bench.pub -o grown-1.stapb"
        ))?;
        let scripts = [install("1"), install("30"), install("300"), unpack.to_owned()];
        let [one, thirty, many, tar] =
            fastest(self.corpus.directory(), TIMES, scripts.each_ref().map(String::as_str))?;
        self.push("install the only kernel of a file", self.len("grown-1.stapb")?, one);
        self.push("install one kernel of 30", self.len("grown-30.stapb")?, thirty);
        self.push("install one kernel of 300", self.len("grown-300.stapb")?, many);
        self.push("tar xzf and sync of its modules alone", self.len("one.tar.gz")?, tar);
        self.at_most("install: one kernel of 300 against one of 30", many.wall / thirty.wall, 1.1);
        self.at_most("install: one kernel of 300 against tar xzf and sync", many.wall / tar.wall, 3.0);
        let manifest = self.manifest("grown-300.stapb")?;
        self.memory("peak memory of install, one of 300", many, &manifest);
        self.run("rm -rf host host.new one one.tar.gz")
    }

    /// From one generation to the other and back, each with the bundle of 300 kernels; and all of a host looked at.
    pub(crate) fn keeping(&mut self) -> Result<()> {
        let program = self.program.clone();
        let [first, second] = [grown::release(self.corpus, ONE)?, grown::release(self.corpus, ONE + 1)?];
        let begin =
            format!("rm -rf host; mkdir host; {program} --root host trust add bench.pub >install.log");
        let install = format!("{program} --root host install");
        self.run(&format!(
            "{begin}; {install} grown-300.stapb --kernel {first} >install.log; \
             {install} grown-300.stapb --kernel {second} >install.log"
        ))?;
        let back = format!(
            "for i in $(seq {AT_ONCE}); do {program} --root host rollback >rollback.log || exit; \
             {program} --root host rollback 2 >rollback.log || exit; done"
        );
        let [back] = fastest(self.corpus.directory(), TIMES, [&back])?;
        self.push(&format!("rollback, {AT_ONCE} times there and back"), self.len("grown-300.stapb")?, back);
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let each = back.wall * 1000.0 / (2 * AT_ONCE) as f64;
        self.at_most("milliseconds of a rollback among 300 kernels", each, 50.0);

        self.run(&format!("{begin}; {install} noise.stapb --all-kernels >install.log"))?;
        let hash =
            "find host/var/lib/stap-bundle -type f -print0 | xargs -0 openssl dgst -sha256 >openssl.log";
        let fsck = format!("{program} --root host fsck >fsck.log");
        let [openssl, fsck] = fastest(self.corpus.directory(), TIMES, [hash, &fsck])?;
        let bytes = self.len("noise.stapb")?;
        self.push("openssl dgst -sha256 of all files of a host", bytes, openssl);
        self.push("fsck of it", bytes, fsck);
        self.told(
            "time of fsck against openssl dgst -sha256 of the same files",
            format!("{:.3}", fsck.wall / openssl.wall),
        );
        self.run("rm -rf host")
    }

    /// Signature and digests, against a program that only hashes.
    pub(crate) fn verifying(&mut self) -> Result<()> {
        if !self.corpus.directory().join("noise.stapb").exists() {
            self.run(&format!("{} pack noise noise.part && mv noise.part noise.stapb", self.me))?;
        }
        let program = self.program.clone();
        let verify =
            |file: &str, deep: &str| format!("{program} verify {file} {deep} --key bench.pub >verify.log");
        let scripts = [
            "openssl dgst -sha256 noise.stapb >openssl.log".to_owned(),
            verify("noise.stapb", ""),
            verify("grown-300.stapb", ""),
            verify("grown-300.stapb", "--deep"),
        ];
        let [openssl, large, many, deep] =
            fastest(self.corpus.directory(), TIMES, scripts.each_ref().map(String::as_str))?;
        self.push(
            "openssl dgst -sha256, a bundle that can't be compressed",
            self.len("noise.stapb")?,
            openssl,
        );
        self.push("verify of the same file", self.len("noise.stapb")?, large);
        self.push("verify, 300 x 12", self.len("grown-300.stapb")?, many);
        self.push("verify --deep, 300 x 12", self.len("grown-300.stapb")?, deep);
        self.at_least(
            "speed of verify against openssl dgst -sha256 (one core each)",
            openssl.wall / large.wall,
            0.9,
        );
        let (grown, noise) = (self.manifest("grown-300.stapb")?, self.manifest("noise.stapb")?);
        self.memory("peak memory of verify, incompressible", large, &noise);
        self.memory("peak memory of verify --deep, 300 x 12", deep, &grown);
        Ok(())
    }

    fn run(&self, script: &str) -> Result<()> {
        shell(self.corpus.directory(), script)
    }

    fn line(&mut self, what: &str, script: &str, file: &str) -> Result<u64> {
        let taken = taken(self.corpus.directory(), script)?;
        let bytes = self.len(file)?;
        self.push(what, bytes, taken);
        Ok(bytes)
    }

    fn push(&mut self, what: &str, bytes: u64, taken: Taken) {
        self.lines.push(Line { what: what.to_owned(), bytes: Some(bytes), taken: Some(taken) });
    }

    fn len(&self, file: &str) -> Result<u64> {
        Ok(fs::metadata(self.corpus.directory().join(file)).with_context(|| file.to_owned())?.len())
    }

    fn raw(&self, file: &str) -> Result<RawBundle<File>> {
        Ok(RawBundle::read(File::open(self.corpus.directory().join(file))?)?)
    }

    fn manifest(&self, file: &str) -> Result<Manifest> {
        let key = signing::PrivateKeyFile::open(&self.corpus.key())?;
        let trusted = TrustedKeys::any_of([key.public().clone()]);
        Ok(self.raw(file)?.verify(&trusted)?.manifest().clone())
    }

    fn manifest_len(&self, file: &str) -> Result<u64> {
        Ok(self.raw(file)?.manifest_len() as u64)
    }

    fn memory(&mut self, what: &'static str, taken: Taken, manifest: &Manifest) {
        let frames = manifest.frames();
        let referred = frames.iter().filter_map(|of| frames.get(of.frame.reference?));
        let references = referred.map(|of| of.frame.plain_size).max().unwrap_or_default();
        self.at_most_count(what, taken.memory, (64 << 20) + references);
    }

    fn at_most(&mut self, what: &'static str, found: f64, limit: f64) {
        let (met, limit) = (found <= limit, format!("<= {limit}"));
        self.targets.push(Target { what, limit, found: format!("{found:.3}"), met });
    }

    fn at_least(&mut self, what: &'static str, found: f64, limit: f64) {
        let (met, limit) = (found >= limit, format!(">= {limit}"));
        self.targets.push(Target { what, limit, found: format!("{found:.3}"), met });
    }

    fn at_most_count(&mut self, what: &'static str, found: u64, limit: u64) {
        let (met, limit) = (found <= limit, format!("<= {limit}"));
        self.targets.push(Target { what, limit, found: found.to_string(), met });
    }

    fn told(&mut self, what: &'static str, found: String) {
        self.targets.push(Target { what, limit: "-".to_owned(), found, met: true });
    }

    /// Prints both tables; whether all targets are met.
    pub(crate) fn print(&self, out: &mut dyn Write) -> Result<bool> {
        let mut text = String::new();
        let kernels = self.corpus.kernels();
        let modules: usize = kernels.iter().map(|(_, modules)| modules.len()).sum();
        let names: Vec<String> = kernels.iter().map(|(kernel, _)| kernel.release.to_string()).collect();
        writeln!(
            text,
            "corpus: {modules} modules, {} scripts in common, of {}\n",
            self.corpus.common().len(),
            names.join(", ")
        )?;
        writeln!(text, "| what | bytes | seconds | processor seconds | peak memory, MiB |")?;
        writeln!(text, "|---|---:|---:|---:|---:|")?;
        for Line { what, bytes, taken } in &self.lines {
            let bytes = bytes.map_or_else(String::new, |bytes| bytes.to_string());
            let taken = taken.map_or_else(String::new, |Taken { wall, cpu, memory }| {
                format!("{wall:.2} | {cpu:.2} | {}", memory.div_ceil(1 << 20))
            });
            writeln!(text, "| {what} | {bytes} | {taken} |")?;
        }
        writeln!(text, "\n| target | must be | is | |")?;
        writeln!(text, "|---|---:|---:|---|")?;
        for Target { what, limit, found, met } in &self.targets {
            let word = match (*met, limit.as_str()) {
                (_, "-") => "",
                (true, _) => "pass",
                (false, _) => "**FAIL**",
            };
            writeln!(text, "| {what} | {limit} | {found} | {word} |")?;
        }
        out.write_all(text.as_bytes())?;
        fs::write(self.corpus.directory().join("table.md"), &text)?;
        Ok(self.targets.iter().all(|target| target.met))
    }
}

/// Frames that a release needs, and the bytes of them and of all that stands before the first frame, with headers,
/// and the end mark.
fn needed(manifest: &Manifest, release: &str, manifest_len: u64) -> Result<(u64, u64)> {
    let frames = manifest.frames();
    let own =
        frames.iter().find(|of| of.kernel.release.to_string() == release).context("the kernel is absent")?;
    let mut next = Some(own);
    let (mut count, mut bytes) = (0, 0);
    while let Some(of) = next {
        count += 1;
        bytes += member(of.frame.size);
        next = of.frame.reference.and_then(|reference| frames.get(reference));
    }
    let before = member(512) + member(1540) + member(manifest.roots.size) + member(manifest_len);
    Ok((count, before + bytes + 1024))
}

/// A member with its header and padding.
const fn member(len: u64) -> u64 {
    512 + len.next_multiple_of(512)
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of file sizes")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}
