//! Scripts that travel with their bundle (`docs/bundle-spec.md`, section 7.3): one tar of them in one zstd frame, of which
//! every byte but the scripts' own follows from the manifest, and those are compared with their digests in it.

use std::collections::BTreeMap;
use std::io::Cursor;

use zstd::zstd_safe;

use crate::container::{Encoding, MemberReader, compress, decompress, member_header, padding};
use crate::document::{BundleError, Manifest, io_while};
use crate::limits::{END_MARK, MAX_PLAIN_FRAME, max_compressed};
use crate::names::{Digest, SOURCES_NAME, ScriptName};

/// The texts of a bundle's scripts, by name.
pub type Sources = BTreeMap<ScriptName, Vec<u8>>;

/// Packs the scripts of `manifest`, all of them; the same scripts give the same bytes. Refuses what no reader would take.
pub fn pack_sources(manifest: &Manifest, sources: &Sources) -> Result<Vec<u8>, BundleError> {
    let mut plain = Vec::new();
    for script in &manifest.scripts {
        let Some(text) = sources.get(&script.name) else {
            return Err(wrong(format!("the text of script {} is not known", script.name)));
        };
        let name = file_name(&script.name);
        let len = text.len() as u64;
        check_len(&name, len, MAX_PLAIN_FRAME)?;
        plain.extend_from_slice(&member_header(&name, len)?);
        plain.extend_from_slice(text);
        plain.resize(plain.len() + padding(len), 0);
    }
    plain.resize(plain.len() + END_MARK, 0);
    check_len("all of them", plain.len() as u64, MAX_PLAIN_FRAME)?;
    let packed = compress(&plain, None, Encoding::Whole).map_err(io_while("compressing the scripts"))?;
    // What a farm writes, its hosts take.
    read_sources(&packed, manifest).map(|_| packed)
}

/// The scripts in the content of the extra, each compared with its digest in the manifest.
pub(crate) fn read_sources(packed: &[u8], manifest: &Manifest) -> Result<Sources, BundleError> {
    let Ok(Some(size)) = zstd_safe::get_frame_content_size(packed) else {
        return Err(wrong("it does not begin as a zstd frame with its size".to_owned()));
    };
    check_len("all of them", size, MAX_PLAIN_FRAME)?;
    let inside = |error: BundleError| match error {
        BundleError::Sources { .. } => error,
        other => wrong(other.to_string()),
    };
    let plain = decompress(packed, None, size, SOURCES_NAME).map_err(inside)?;
    read_plain(plain, manifest).map_err(inside)
}

fn read_plain(plain: Vec<u8>, manifest: &Manifest) -> Result<Sources, BundleError> {
    let mut reader = MemberReader::new(Cursor::new(plain));
    let mut sources = Sources::new();
    for script in &manifest.scripts {
        let name = file_name(&script.name);
        let text = reader.sized_member(&name, MAX_PLAIN_FRAME)?;
        let found = Digest::of(&text);
        if found != script.source_sha256 {
            return Err(wrong(format!(
                "{name} has SHA-256 {found}, the manifest says {}",
                script.source_sha256
            )));
        }
        sources.insert(script.name.clone(), text);
    }
    reader.end(0)?;
    Ok(sources)
}

/// Refuses an extra of that name that would take more memory than its scripts may.
pub(crate) fn check_packed_size(size: u64) -> Result<(), BundleError> {
    let limit = max_compressed(MAX_PLAIN_FRAME);
    let member = format!("`{SOURCES_NAME}`");
    if size <= limit { Ok(()) } else { Err(BundleError::OverLimit { member, len: size, limit }) }
}

fn check_len(what: &str, len: u64, limit: u64) -> Result<(), BundleError> {
    if len <= limit { Ok(()) } else { Err(wrong(format!("{what} takes {len} bytes, limit {limit}"))) }
}

/// How a script is called there, and in `SCRIPT_PATH`.
fn file_name(script: &ScriptName) -> String {
    format!("{script}.stp")
}

const fn wrong(problem: String) -> BundleError {
    BundleError::Sources { problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{ScriptRecord, Toolchain};
    use crate::write::{BundleDraft, KernelDraft, ModuleDraft};

    fn texts() -> Sources {
        let text = |name: &str| {
            (name.parse().unwrap(), format!("probe begin {{ println(\"{name}\") }}\n").into_bytes())
        };
        [text("disk_io"), text("net_rx")].into()
    }

    fn manifest() -> Manifest {
        let record =
            |(name, text): (&ScriptName, &Vec<u8>)| ScriptRecord::plain(name.clone(), Digest::of(text));
        let mut kernel = KernelDraft::of("6.12.1-test".parse().unwrap(), "x86_64".parse().unwrap());
        kernel.vermagic = Some("6.12.1-test SMP ".to_owned());
        kernel.modules = vec![ModuleDraft::of_bytes("disk_io".parse().unwrap(), vec![1; 3000])];
        kernel.red = vec![crate::document::RedCell {
            script: "net_rx".parse().unwrap(),
            reason: "no probe".to_owned(),
            skipped: false,
        }];
        let draft = BundleDraft {
            name: "fleet".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            serial: 1,
            created: 1,
            best_before: None,
            roots: None,
            scripts: texts().iter().map(record).collect(),
            toolchains: vec![Toolchain {
                stap: "5.6".to_owned(),
                compiler: "gcc 15".to_owned(),
                digest: Digest::of(b""),
            }],
            kernels: vec![kernel],
        };
        draft.pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap().manifest().clone()
    }

    /// The tar of these members, packed, whatever it holds.
    fn packed(members: &[(&str, &[u8])], end: usize) -> Vec<u8> {
        let mut plain = Vec::new();
        for (name, text) in members {
            plain.extend_from_slice(&member_header(name, text.len() as u64).unwrap());
            plain.extend_from_slice(text);
            plain.resize(plain.len() + padding(text.len() as u64), 0);
        }
        plain.resize(plain.len() + end, 0);
        compress(&plain, None, Encoding::Whole).unwrap()
    }

    #[test]
    fn what_was_packed_is_read_and_is_the_same_each_time() {
        let manifest = manifest();
        let texts = texts();
        let packed = pack_sources(&manifest, &texts).unwrap();
        assert_eq!(pack_sources(&manifest, &texts).unwrap(), packed);
        assert_eq!(read_sources(&packed, &manifest).unwrap(), texts);
    }

    #[test]
    fn a_farm_packs_no_text_that_its_manifest_does_not_name() {
        let mut other = texts();
        other.insert("net_rx".parse().unwrap(), b"other".to_vec());
        assert!(matches!(pack_sources(&manifest(), &other), Err(BundleError::Sources { .. })));
        other.pop_last();
        assert!(matches!(pack_sources(&manifest(), &other), Err(BundleError::Sources { .. })));
    }

    #[test]
    fn every_other_tar_is_refused() {
        let manifest = manifest();
        let texts = texts();
        let [disk, net] = ["disk_io", "net_rx"].map(|name| texts[name].as_slice());
        let bad = [
            ("another order", packed(&[("net_rx.stp", net), ("disk_io.stp", disk)], END_MARK)),
            ("one is missing", packed(&[("disk_io.stp", disk)], END_MARK)),
            (
                "one too many",
                packed(&[("disk_io.stp", disk), ("net_rx.stp", net), ("more.stp", b"x")], END_MARK),
            ),
            ("one twice", packed(&[("disk_io.stp", disk), ("disk_io.stp", disk)], END_MARK)),
            ("a way out", packed(&[("x/disk_io.stp", disk), ("net_rx.stp", net)], END_MARK)),
            ("another text", packed(&[("disk_io.stp", disk), ("net_rx.stp", disk)], END_MARK)),
            ("no end", packed(&[("disk_io.stp", disk), ("net_rx.stp", net)], 512)),
            ("bytes behind", packed(&[("disk_io.stp", disk), ("net_rx.stp", net)], END_MARK + 512)),
            ("a bomb", compress(&vec![0; 33 << 20], None, Encoding::Trial).unwrap()),
            ("no frame", b"probe begin {}".to_vec()),
            ("nothing", Vec::new()),
        ];
        for (what, packed) in bad {
            let error = read_sources(&packed, &manifest).unwrap_err();
            assert!(matches!(error, BundleError::Sources { .. }), "{what}: {error:?}");
        }
    }
}
