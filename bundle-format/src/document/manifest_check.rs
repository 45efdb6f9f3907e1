//! What must hold between a manifest's fields; checked before anything uses them.
//!
//! The signature says who wrote the manifest, not that it makes sense: a farm with a defect must not
//! make a host read, reserve or write more than the limits, or twice.

use std::collections::{BTreeMap, BTreeSet};

use script_config::RunOptions;

use crate::document::error::BundleError;
use crate::document::kernel_record::{Frame, FrameOf, Kernel};
use crate::document::manifest::{BundleKind, Manifest};
use crate::document::preface::Preface;
use crate::document::program_check::check_programs;
use crate::document::script_record::ScriptRecord;
use crate::document::text::{is_text, printable};
use crate::limits::{
    MAX_EXTRAS, MAX_FRAMES, MAX_LIVE_REFERENCES, MAX_MEMBER, MAX_PLAIN_FRAME, MAX_REFERENCE_AND_FRAME,
    MAX_REFERENCE_DEPTH, MAX_ROOTS, MAX_SCRIPTS, MAX_TEXT, max_compressed,
};
use crate::names::{HEADER_NAME, MANIFEST_NAME, ROOTS_NAME, SIGNATURES_NAME, ScriptName};

/// What an extra may not be called: the fixed members, and the directory of the frames.
const RESERVED_NAMES: [&str; 5] = [HEADER_NAME, SIGNATURES_NAME, ROOTS_NAME, MANIFEST_NAME, "kernels"];

macro_rules! must {
    ($holds:expr, $($problem:tt)+) => {
        if !$holds {
            return Err(BundleError::Manifest { problem: format!($($problem)+) });
        }
    };
}

pub(crate) fn check(manifest: &Manifest) -> Result<(), BundleError> {
    Preface::of(manifest).check().map_err(|what| BundleError::Critical { what })?;
    check_roots(manifest)?;
    check_extras(manifest)?;
    must!(!manifest.toolchains.is_empty(), "no toolchain");
    for toolchain in &manifest.toolchains {
        must!(
            is_text(&toolchain.stap) && is_text(&toolchain.compiler),
            "a toolchain's text is not printable"
        );
    }
    must!(is_text(&manifest.zstd), "zstd's version is not printable");
    check_scripts(manifest)?;
    check_kernels(manifest)?;
    check_frames(manifest)?;
    let content = manifest.content_digest();
    must!(manifest.content == content, "content is {}, computed {content}", manifest.content);
    Ok(())
}

fn check_roots(manifest: &Manifest) -> Result<(), BundleError> {
    let roots = &manifest.roots;
    must!(roots.size <= MAX_ROOTS, "roots has {} bytes, limit {MAX_ROOTS}", roots.size);
    let versions_fit = if roots.size == 0 {
        (roots.first, roots.last) == (0, 0)
    } else {
        (1..=roots.last).contains(&roots.first)
    };
    must!(versions_fit, "roots {} to {} have {} bytes", roots.first, roots.last, roots.size);
    Ok(())
}

fn check_extras(manifest: &Manifest) -> Result<(), BundleError> {
    must!(manifest.extras.len() <= MAX_EXTRAS, "{} extras, limit {MAX_EXTRAS}", manifest.extras.len());
    let mut names = BTreeSet::new();
    for extra in &manifest.extras {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        // Where case is ignored, and where a leading `-` is an option, tar must still unpack a bundle.
        let folded = extra.name.to_ascii_lowercase();
        let good = extra.name.len() <= 64
            && extra.name.bytes().all(plain)
            && extra.name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && !RESERVED_NAMES.contains(&folded.as_str());
        must!(good, "`{}` is no name for an extra", printable(&extra.name));
        must!(names.insert(folded), "duplicate extra `{}`", extra.name);
        must!(extra.size <= MAX_MEMBER, "extra `{}` has {} bytes", extra.name, extra.size);
    }
    Ok(())
}

fn check_scripts(manifest: &Manifest) -> Result<(), BundleError> {
    must!(manifest.scripts.len() <= MAX_SCRIPTS, "{} scripts, limit {MAX_SCRIPTS}", manifest.scripts.len());
    must!(
        ascending(&manifest.scripts, |script| &script.name),
        "scripts are not sorted by name, or there is a duplicate"
    );
    let mut folded = BTreeSet::new();
    for script in &manifest.scripts {
        // One file system in two ignores case: twins would overwrite each other there.
        must!(
            folded.insert(script.name.as_str().to_ascii_lowercase()),
            "script `{}` differs from another only in case",
            script.name
        );
        check_script(manifest, script)?;
    }
    check_requirements(manifest)
}

/// No script requires itself by way of others: such a set could never be started.
fn check_requirements(manifest: &Manifest) -> Result<(), BundleError> {
    let mut missing: BTreeMap<&ScriptName, usize> = BTreeMap::new();
    let mut dependants: BTreeMap<&ScriptName, Vec<&ScriptName>> = BTreeMap::new();
    for script in &manifest.scripts {
        missing.insert(&script.name, script.requires.len());
        for required in &script.requires {
            dependants.entry(required).or_default().push(&script.name);
        }
    }
    let mut ready: Vec<&ScriptName> = Vec::new();
    ready.extend(missing.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name));
    while let Some(name) = ready.pop() {
        for dependant in dependants.remove(name).unwrap_or_default() {
            let Some(count) = missing.get_mut(dependant) else { continue };
            *count -= 1;
            if *count == 0 {
                ready.push(dependant);
            }
        }
    }
    let stuck = missing.iter().find(|(_, count)| **count > 0);
    must!(
        stuck.is_none(),
        "the requirements of `{}` form a cycle",
        stuck.map_or("", |(name, _)| name.as_str())
    );
    Ok(())
}

fn check_script(manifest: &Manifest, script: &ScriptRecord) -> Result<(), BundleError> {
    let name = &script.name;
    let lists = [&script.compile, &script.arguments, &script.run];
    let mut texts = lists.into_iter().flatten().chain([&script.options, &script.opts_line]);
    must!(
        texts.all(|text| is_argument(text)),
        "an option of script `{name}` is too long or holds a character that does not show"
    );
    check_run(script)?;
    check_programs(name, &script.programs, is_argument)?;
    must!(ascending(&script.requires, |required| required), "requirements of `{name}` are not sorted");
    must!(
        ascending(&script.users, |group| group),
        "groups of `{name}` are not sorted, or there is a duplicate"
    );
    for required in &script.requires {
        must!(required != name, "script `{name}` requires itself");
        must!(
            manifest.script(required).is_some(),
            "script `{name}` requires `{required}`, which is not in the bundle"
        );
    }
    Ok(())
}

/// The host gives them to `staprun` as root: anything but a flight recorder could load or remove modules.
fn check_run(script: &ScriptRecord) -> Result<(), BundleError> {
    if let Err(why) = RunOptions::from_staprun_args(&script.run) {
        must!(
            false,
            "the run arguments of script `{}` are not those of a flight recorder: found `{}`: {why}",
            script.name,
            printable(&script.run.join(" "))
        );
    }
    Ok(())
}

fn check_kernels(manifest: &Manifest) -> Result<(), BundleError> {
    must!(!manifest.kernels.is_empty(), "no kernel");
    must!(
        ascending(&manifest.kernels, |kernel| &kernel.id),
        "kernels are not sorted by id, or there is a duplicate"
    );
    for kernel in &manifest.kernels {
        let release = &kernel.release;
        must!(kernel.id == kernel.computed_id(), "the id of kernel {release} is not that of its facts");
        let facts = [&kernel.uname_v, &kernel.compiler, &kernel.modules_compiler, &kernel.vermagic];
        must!(
            facts.into_iter().flatten().all(|fact| !fact.is_empty() && is_text(fact)),
            "a fact of kernel {release} is empty or not printable"
        );
        let fits =
            kernel.vermagic.as_ref().is_none_or(|magic| magic.split(' ').next() == Some(release.as_str()));
        must!(fits, "the vermagic of kernel {release} is for another release");
        must!(
            kernel.toolchain < manifest.toolchains.len(),
            "kernel {release} names toolchain {}",
            kernel.toolchain
        );
        check_cells(manifest, kernel)?;
    }
    Ok(())
}

fn check_cells(manifest: &Manifest, kernel: &Kernel) -> Result<(), BundleError> {
    let release = &kernel.release;
    must!(ascending(&kernel.red, |cell| &cell.script), "red cells of kernel {release} are not sorted");
    for cell in &kernel.red {
        must!(
            manifest.script(&cell.script).is_some(),
            "red cell `{}` is no script of the bundle",
            cell.script
        );
        must!(is_text(&cell.reason), "the reason of red cell `{}` is not printable", cell.script);
    }
    let green = manifest.scripts.len() - kernel.red.len();
    must!(
        (green == 0) == kernel.frames.is_empty(),
        "kernel {release} has {green} modules and {} frames",
        kernel.frames.len()
    );
    must!(green == 0 || kernel.vermagic.is_some(), "kernel {release} has modules but no vermagic");
    must!(ascending(&kernel.frames, |frame| &frame.index), "frames of kernel {release} are not sorted");
    Ok(())
}

fn check_frames(manifest: &Manifest) -> Result<(), BundleError> {
    must!(
        manifest.from.is_some() == (manifest.kind == BundleKind::Delta),
        "a delta names the bundle that it was made from, and nothing else does"
    );
    let frames = manifest.frames();
    must!(frames.len() <= MAX_FRAMES, "{} frames, limit {MAX_FRAMES}", frames.len());
    let mut depth: Vec<usize> = Vec::with_capacity(frames.len());
    for (position, of) in frames.iter().enumerate() {
        let Frame { index, reference, size, plain_size, base, .. } = of.frame;
        // In a full bundle a base has no meaning.
        must!(
            base.is_none() || manifest.kind == BundleKind::Delta,
            "frame {index} has a base, but the bundle is no delta"
        );
        must!(base.is_none() || reference.is_none(), "frame {index} has a base and a reference");
        must!(*index == position, "frame indexes are not 0 to {}", frames.len() - 1);
        must!(
            *plain_size > 0 && *plain_size <= MAX_PLAIN_FRAME,
            "frame {index} has {plain_size} plain bytes"
        );
        must!(*size > 0 && *size <= max_compressed(*plain_size), "frame {index} has {size} compressed bytes");
        depth.push(match reference {
            // The base is a step too.
            None => usize::from(base.is_some()),
            Some(reference) => {
                let Some(target) = frames.get(*reference).filter(|_| reference < index) else {
                    must!(false, "frame {index} refers to frame {reference}, which is not an earlier one");
                    return Ok(());
                };
                let both = plain_size + target.frame.plain_size;
                must!(both <= MAX_REFERENCE_AND_FRAME, "frame {index} and its reference have {both} bytes");
                depth.get(*reference).copied().unwrap_or(0) + 1
            }
        });
        must!(
            depth.last().is_some_and(|depth| *depth <= MAX_REFERENCE_DEPTH),
            "frame {index} has a chain of more than {MAX_REFERENCE_DEPTH} references"
        );
    }
    check_live_references(&frames)
}

/// A reader in one pass keeps a reference until its last use; all that it keeps at once has a limit.
fn check_live_references(frames: &[FrameOf<'_>]) -> Result<(), BundleError> {
    let mut last_use = vec![0; frames.len()];
    for of in frames {
        if let Some(last) = of.frame.reference.and_then(|reference| last_use.get_mut(reference)) {
            *last = of.frame.index;
        }
    }
    // What is let go after each frame.
    let mut dropped = vec![0; frames.len()];
    let mut live = 0;
    for (of, last) in frames.iter().zip(last_use) {
        let index = of.frame.index;
        if last > index {
            live += of.frame.plain_size;
            if let Some(after) = dropped.get_mut(last) {
                *after += of.frame.plain_size;
            }
        }
        live -= dropped.get(index).copied().unwrap_or(0);
        must!(live <= MAX_LIVE_REFERENCES, "{live} bytes of references are in use after frame {index}");
    }
    Ok(())
}

/// Whether `list` is strictly ascending by `key`: sorted, and nothing twice.
fn ascending<T, K: Ord>(list: &[T], key: impl Fn(&T) -> &K) -> bool {
    list.windows(2).all(|pair| matches!(pair, [a, b] if key(a) < key(b)))
}

/// What may be an argument of a program and reach a terminal: printable ASCII, letters and digits of all
/// scripts, not over long. No control, format or separator characters, which hide or reorder text.
fn is_argument(text: &str) -> bool {
    let shows = |c: char| matches!(c, ' '..='~') || (c.is_alphanumeric() && !BLANK_LETTERS.contains(&c));
    text.len() <= MAX_TEXT && text.chars().all(shows)
}

/// The fillers of Hangul: letters to Unicode, and nothing to the eye.
const BLANK_LETTERS: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::kernel_record::RedCell;
    use crate::document::manifest::{FORMAT, RootsRecord, Toolchain};
    use crate::document::program_record::ProgramRecord;
    use crate::document::set::modules_digest;
    use crate::document::strict_json;
    use crate::limits::{MAX_JSON_VALUES, MAX_MANIFEST};
    use crate::names::{Digest, KernelId};

    fn script(name: &str) -> ScriptRecord {
        ScriptRecord::plain(name.parse().unwrap(), Digest::of(b""))
    }

    /// A kernel without a module.
    fn red_kernel(release: &str, scripts: &[ScriptRecord]) -> Kernel {
        let cell = |script: &ScriptRecord| RedCell {
            script: script.name.clone(),
            reason: "r".repeat(20),
            skipped: false,
        };
        let mut kernel = Kernel {
            id: KernelId::of(&release.parse().unwrap(), &"x86_64".parse().unwrap(), None, None, None),
            release: release.parse().unwrap(),
            machine: "x86_64".parse().unwrap(),
            uname_v: Some("#1 SMP".to_owned()),
            symvers_sha256: Some(Digest::of(b"")),
            config_sha256: None,
            compiler: None,
            modules_compiler: None,
            vermagic: None,
            toolchain: 0,
            frames: Vec::new(),
            red: scripts.iter().map(cell).collect(),
            modules_sha256: modules_digest([], None),
        };
        kernel.id = kernel.computed_id();
        kernel
    }

    fn manifest(scripts: Vec<ScriptRecord>, kernels: usize) -> Manifest {
        let mut kernels: Vec<Kernel> =
            (0..kernels).map(|index| red_kernel(&format!("6.1.{index}"), &scripts)).collect();
        kernels.sort_by_key(|kernel| kernel.id);
        let mut manifest = Manifest {
            format: FORMAT,
            minimum_reader: 0,
            kind: BundleKind::Full,
            name: "test".parse().unwrap(),
            version: "1".parse().unwrap(),
            serial: 1,
            epoch: 0,
            created: 1,
            best_before: None,
            critical: Vec::new(),
            from: None,
            roots: RootsRecord { first: 0, last: 0, size: 0, sha256: Digest::of(b"") },
            extras: Vec::new(),
            scripts,
            toolchains: vec![Toolchain { stap: "5".into(), compiler: "c".into(), digest: Digest::of(b"") }],
            zstd: "1".to_owned(),
            kernels,
            content: Digest::of(b""),
        };
        manifest.content = manifest.content_digest();
        manifest
    }

    fn refusal(spoil: impl FnOnce(&mut ScriptRecord)) -> String {
        let mut one = script("one");
        spoil(&mut one);
        check(&manifest(vec![one], 1)).map_or_else(|error| error.to_string(), |()| "accepted".to_owned())
    }

    #[test]
    fn a_signed_name_that_no_script_can_have_is_refused() {
        let text =
            serde_json::to_string(&ScriptRecord { requires: vec!["b".parse().unwrap()], ..script("a") })
                .unwrap();
        assert!(serde_json::from_str::<ScriptRecord>(&text).is_ok());
        for name in ["", "9x", "bad-name", "../a", &"x".repeat(56)] {
            for field in ["\"a\"", "\"b\""] {
                let spoilt = text.replacen(field, &format!("\"{name}\""), 1);
                assert_ne!(spoilt, text);
                let error = serde_json::from_str::<ScriptRecord>(&spoilt).unwrap_err().to_string();
                assert!(error.starts_with("script name "), "{name}: {error}");
            }
        }
    }

    #[test]
    fn programs_have_absolute_paths_and_build_ids_and_are_in_order() {
        let program = |path: &str, build_id: &str| ProgramRecord {
            path: path.to_owned(),
            build_id: build_id.to_owned(),
            sha256: Digest::of(b""),
            kernels: Vec::new(),
        };
        let with = |programs: &[ProgramRecord]| refusal(|script| script.programs = programs.to_vec());
        assert_eq!(with(&[program("/a", "aa"), program("/a", "ab"), program("/b", "0f")]), "accepted");
        for bad in [
            ("a", "aa"),
            ("", "aa"),
            ("/a\n", "aa"),
            ("/a", "AA"),
            ("/a", "a"),
            ("/a", ""),
            ("/a", &"0".repeat(130)),
        ] {
            assert!(with(&[program(bad.0, bad.1)]).contains("a program of script `one`"), "{bad:?}");
        }
        let twice = manifest(Vec::new(), 1).kernels[0].id;
        let of_kernels = ProgramRecord { kernels: vec![twice, twice], ..program("/a", "aa") };
        assert!(with(&[of_kernels]).contains("out of order"));
        for bad in [["/b", "/a"], ["/a", "/a"]] {
            assert!(with(&bad.map(|path| program(path, "aa"))).contains("are not sorted"), "{bad:?}");
        }
    }

    #[test]
    fn what_a_script_probes_is_no_part_of_the_content() {
        let plain = manifest(vec![script("one")], 1);
        let mut probing = plain.clone();
        probing.scripts[0].programs.push(ProgramRecord {
            path: "/a".to_owned(),
            build_id: "aa".to_owned(),
            sha256: Digest::of(b""),
            kernels: vec![plain.kernels[0].id],
        });
        assert_eq!(probing.content_digest(), plain.content_digest());
        check(&probing).unwrap();
        assert!(!serde_json::to_string(&plain).unwrap().contains("programs"));
    }

    #[test]
    fn a_signed_run_list_could_load_any_module_as_root() {
        let with =
            |run: &[&str]| refusal(|script| script.run = run.iter().map(|&word| word.into()).collect());
        for good in [&["-L"][..], &["-L", "-b", "4"], &["-D", "-o", "/log/x", "-S", "1,2", "-b", "4"]] {
            assert_eq!(with(good), "accepted");
        }
        for bad in [
            &[][..],
            &["/tmp/evil.ko", "-c", "touch /tmp/pwned"],
            &["-d", "ext4"],
            &["-L", "/tmp/evil.ko"],
            &["-L", "-u/tmp/evil.ko"],
            &["-L", "-b", "04"],
            &["-D", "-o", "/log/../etc/passwd"],
        ] {
            let found = with(bad);
            let said = "run arguments of script `one` are not those of a flight recorder: found `";
            assert!(found.contains(said), "{found}");
        }
        assert!(with(&["-d", "ext4"]).contains("found `-d ext4`"));
    }

    #[test]
    fn characters_that_do_not_show_were_taken_in_options() {
        for good in ["-DX=1 \"two words\"", "-G name=Zoë", "日本語", "~"] {
            assert_eq!(refusal(|script| script.options = good.to_owned()), "accepted", "{good}");
        }
        for bad in [
            '\n',
            '\t',
            '\u{7f}',
            '\u{85}',
            '\u{a0}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{3000}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            let fields: [fn(&mut ScriptRecord, String); 4] = [
                |script, text| script.options = text,
                |script, text| script.opts_line = text,
                |script, text| script.compile = vec![text],
                |script, text| script.arguments = vec![text],
            ];
            for set in fields {
                let found = refusal(|script| set(script, format!("-g{bad}x")));
                assert!(found.contains("does not show"), "{bad:?}: {found}");
            }
        }
    }

    #[test]
    fn three_hundred_kernels_with_fifty_red_scripts_fit() {
        let scripts = (10..60).map(|index| script(&format!("script_{index}"))).collect();
        let full = manifest(scripts, 300);
        let raw = strict_json::write(&full).unwrap();
        assert!(raw.len() as u64 <= MAX_MANIFEST, "{} bytes", raw.len());
        let read: Manifest = strict_json::parse(&raw).unwrap();
        check(&read).unwrap();
        assert_eq!(read, full);
        const { assert!(300 * (50 * 3 + 18) + 50 * 30 < MAX_JSON_VALUES) };
    }

    #[test]
    fn scripts_and_red_cells_are_found_by_name() {
        let full = manifest(vec![script("a"), script("b"), script("d")], 1);
        for (name, there) in [("A", false), ("a", true), ("b", true), ("c", false), ("d", true), ("e", false)]
        {
            let name: ScriptName = name.parse().unwrap();
            assert_eq!(full.script(&name).map(|script| &script.name), there.then_some(&name));
            assert_eq!(full.kernels[0].is_green(&name), !there);
        }
    }
}
