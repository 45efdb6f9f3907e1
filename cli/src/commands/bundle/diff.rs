//! `diff`: what changed between two bundles.

mod compare;
#[cfg(feature = "host")]
mod installed;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use bundle_format::{Bases, BundleError, Extent, Kernel, KernelId, Manifest, ScriptName, VerifiedBundle};
use compare::{Difference, KernelChange, Modules, ScriptChange, Sizes, changed_kernels, compare};

use crate::bundle_path::BundlePath;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::trust_options::{Believed, TrustOptions, base_if_named, open_believed};
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count};

/// Show what changed between two bundles
///
/// Compares scripts (source, options, requirements, users), kernels, modules by digest, red cells, toolchains and sizes.
/// Both bundles are verified with the same keys. Of kernels whose modules differ, the frames are decoded to name the
/// modules; where a frame is absent (a subset), only that they differ is told. As diff(1), it ends with 0 if the content is
/// the same, with 1 if it isn't, and with another code if a bundle can't be read or isn't trusted. Content is what the
/// content digest covers: name, version and dates are shown, but aren't a difference.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "stap-bundle diff [OPTIONS] OLD NEW\n       stap-bundle diff [OPTIONS] --installed NEW",
    after_help = "Exit codes: 0 the same content; 1 different; 10 and above: a bundle was refused.\n\nExamples:\n  stap-bundle diff old.stapb new.stapb --key farm.pub\n  stap-bundle diff --installed new.stapb   what would differ from this host's"
)]
pub(crate) struct Args {
    /// The older bundle, with --installed the newer and only one; `-` reads one of the two from standard input.
    old: BundlePath,
    /// The newer bundle.
    #[arg(required_unless_present = "installed", conflicts_with = "installed")]
    new: Option<BundlePath>,
    /// Compare with what is installed on this host under the bundle's name.
    #[arg(long)]
    installed: bool,
    #[command(flatten)]
    trust: TrustOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let named: Vec<&BundlePath> = std::iter::once(&self.old).chain(&self.new).collect();
        let keys = self.trust.keys(&named, global, ui)?;
        match &self.new {
            Some(new) if !self.installed => show_difference(ui, two_files(&self.old, new, &keys)?),
            _ => installed_beside(&self.old, &keys, global, ui),
        }
    }
}

/// One of the two bundles.
struct Side<'b> {
    /// As messages name it.
    about: String,
    bundle: VerifiedBundle<File>,
    /// What its frames may refer to.
    bases: Box<dyn Bases + 'b>,
}

fn two_files(old: &BundlePath, new: &BundlePath, keys: &Believed) -> Result<[Side<'static>; 2], Failure> {
    if old.is_input() && new.is_input() {
        return Err(Failure::new(Exit::Usage, "standard input can't be both bundles")
            .hint("give one of them as a file"));
    }
    let before = open_believed(old, keys)?;
    let after = open_believed(new, keys)?;
    // A delta is often compared with what it was made from.
    let of_old = base_if_named(new, before.manifest().from.as_ref(), keys)?;
    let of_new = base_if_named(old, after.manifest().from.as_ref(), keys)?;
    let side = |path: &BundlePath, bundle, bases| Side { about: path.display().to_string(), bundle, bases };
    Ok([side(old, before, of_old), side(new, after, of_new)])
}

#[cfg(feature = "host")]
fn installed_beside(
    path: &BundlePath,
    keys: &Believed,
    global: &Global,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let new = open_believed(path, keys)?;
    let installed = installed::Installed::open(global, &new.manifest().name)?;
    show_difference(ui, installed.beside(path, new)?)
}

#[cfg(not(feature = "host"))]
fn installed_beside(_: &BundlePath, _: &Believed, _: &Global, _: &mut Ui) -> Result<Exit, Failure> {
    let what = "`diff --installed`: this stap-bundle was built without the host side";
    Err(Failure::new(Exit::NotBuilt, what).hint("run it on the host"))
}

fn show_difference(ui: &mut Ui, sides: [Side<'_>; 2]) -> Result<Exit, Failure> {
    let [old, new] = sides.each_ref().map(|side| side.bundle.manifest().clone());
    let changed = changed_kernels(&old, &new);
    let [before, after] = sides;
    let before = modules(before, &changed)?;
    let after = modules(after, &changed)?;
    let difference = compare(&old, &new, &before, &after);
    let exit = if difference.same { Exit::Done } else { Exit::Failed };
    if ui.json {
        ui.document(&difference);
    } else {
        show(ui, &old, &new, &difference);
    }
    Ok(exit)
}

/// The digests of the modules of `wanted`, in one pass; a kernel of which a frame is absent is left out.
fn modules(side: Side<'_>, wanted: &BTreeSet<KernelId>) -> Result<Modules, Failure> {
    let Side { about, bundle, mut bases } = side;
    let green: BTreeMap<KernelId, usize> = {
        let manifest = bundle.manifest();
        let greens = |kernel: &Kernel| manifest.scripts.len() - kernel.red.len();
        manifest.kernels.iter().map(|kernel| (kernel.id, greens(kernel))).collect()
    };
    let there: BTreeSet<KernelId> = wanted.iter().copied().filter(|id| green.contains_key(id)).collect();
    let mut found: Modules = there.iter().map(|id| (*id, BTreeMap::new())).collect();
    let read = bundle.read_content_with(&there, Extent::Wanted, bases.as_mut(), &mut |kernel, set| {
        let records = set.document().modules.iter();
        let modules = found.entry(kernel.id).or_default();
        modules.extend(records.map(|record| (record.name.clone(), record.sha256)));
        Ok(())
    });
    match read {
        // What is there was given out all the same.
        Ok(_) | Err(BundleError::AbsentFrame { .. } | BundleError::BaseAbsent { .. }) => {}
        Err(error) => return Err(Failure::from(error).about(about)),
    }
    found.retain(|id, modules| green.get(id) == Some(&modules.len()));
    Ok(found)
}

fn show(ui: &mut Ui, old: &Manifest, new: &Manifest, difference: &Difference) {
    for (sign, manifest) in [("---", old), ("+++", new)] {
        let Manifest { name, version, serial, .. } = manifest;
        ui.line(format!("{sign} {name} {version}, serial {serial}"));
    }
    for script in &difference.scripts {
        let line = match script {
            ScriptChange::Added { name } => ui.mark(Mark::Good, format!("+ script {name}")),
            ScriptChange::Removed { name } => ui.mark(Mark::Bad, format!("- script {name}")),
            ScriptChange::Changed { name, what } => {
                let what: Vec<&str> = what.iter().map(|field| field.field).collect();
                format!("{} {}", ui.mark(Mark::Attention, format!("~ script {name}:")), what.join(", "))
            }
        };
        ui.line(line);
        if let ScriptChange::Changed { what, .. } = script {
            for field in what.iter().filter(|field| field.old != field.new) {
                ui.line(format!("    {} {:?} -> {:?}", field.field, field.old, field.new));
            }
        }
    }
    for kernel in &difference.kernels {
        show_kernel(ui, kernel);
    }
    for (sign, mark, list) in
        [("-", Mark::Bad, &difference.toolchains_removed), ("+", Mark::Good, &difference.toolchains_added)]
    {
        for toolchain in list {
            ui.line(ui.mark(
                mark,
                format!("{sign} toolchain systemtap {}; {}", toolchain.stap, toolchain.compiler),
            ));
        }
    }
    let [before, after] = difference.frame_bytes;
    if before != after {
        ui.line(format!("  frames {} -> {}", bytes(before), bytes(after)));
    }
    if difference.same {
        ui.progress("The content is the same.");
    }
}

fn show_kernel(ui: &mut Ui, kernel: &KernelChange) {
    match kernel {
        KernelChange::Added { release, modules, sizes, .. } => {
            let text = format!("+ kernel {release}: {}", whole(*modules, *sizes));
            ui.line(ui.mark(Mark::Good, text));
        }
        KernelChange::Removed { release, modules, sizes, .. } => {
            let text = format!("- kernel {release}: {}", whole(*modules, *sizes));
            ui.line(ui.mark(Mark::Bad, text));
        }
        KernelChange::Changed { release, sizes, modules, red_added, red_removed, .. } => {
            let heading = ui.mark(Mark::Attention, format!("~ kernel {release}:"));
            let mut parts = Vec::new();
            match modules {
                Some(changes) => {
                    for (word, names) in [
                        ("added", &changes.added),
                        ("removed", &changes.removed),
                        ("changed", &changes.changed),
                    ] {
                        if !names.is_empty() {
                            let names: Vec<&str> = names.iter().map(ScriptName::as_str).collect();
                            parts.push(format!("{word} {}", names.join(" ")));
                        }
                    }
                }
                None => parts.push(
                    "modules differ; the frames that would tell, or their bases, are absent".to_owned(),
                ),
            }
            for cell in red_added {
                parts.push(format!("red {}: {}", cell.script, cell.reason));
            }
            for cell in red_removed {
                parts.push(format!("no longer red {}", cell.script));
            }
            let [before, after] = sizes;
            if before != after {
                let plain = [bytes(before.plain_bytes), bytes(after.plain_bytes)].join(" -> ");
                let frames = [bytes(before.frame_bytes), bytes(after.frame_bytes)].join(" -> ");
                parts.push(format!("{plain} unpacked, {frames} in frames"));
            }
            ui.line(format!("{heading} {}", parts.join("; ")));
        }
    }
}

/// What a kernel that is only in one of them has.
fn whole(modules: usize, sizes: Sizes) -> String {
    let Sizes { frame_bytes, plain_bytes } = sizes;
    format!("{}, {} unpacked, {} in frames", count(modules, "module"), bytes(plain_bytes), bytes(frame_bytes))
}
