//! The symbol versions of a module (`CONFIG_MODVERSIONS`): of each symbol that it uses, the CRC of what its kernel's declaration expands to.
//! A kernel refuses a module whose CRC of a symbol isn't its own.

use crate::section::{ReadError, Sections};

/// Bytes of an entry of `__versions`: a `long` with the CRC, and the name, padded with NULs.
const ENTRY: usize = 64;

/// A symbol that a module uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolVersion {
    /// The symbol.
    pub name: String,
    /// Its CRC, as the module was compiled.
    pub crc: u32,
}

/// The symbols of a module with their CRCs: those of `__versions`, and those of `__version_ext_names` and `__version_ext_crcs`
/// (`CONFIG_EXTENDED_MODVERSIONS`, since Linux 6.14). None if the kernel has no `CONFIG_MODVERSIONS`.
pub fn symbol_versions(module: &[u8]) -> Result<Vec<SymbolVersion>, ReadError> {
    let sections = Sections::of(module)?;
    let mut versions = Vec::new();
    if let Some(section) = sections.find("__versions")? {
        read_basic(section, &sections, &mut versions)?;
    }
    if let Some(names) = sections.find("__version_ext_names")? {
        let crcs = sections.find("__version_ext_crcs")?;
        let crcs =
            crcs.ok_or_else(|| ReadError::new("it has __version_ext_names and no __version_ext_crcs"))?;
        read_extended(names, crcs, &sections, &mut versions)?;
    }
    Ok(versions)
}

fn read_basic(
    section: &[u8],
    sections: &Sections<'_>,
    versions: &mut Vec<SymbolVersion>,
) -> Result<(), ReadError> {
    if !section.len().is_multiple_of(ENTRY) {
        let problem = format!("its __versions has {} bytes, no multiple of {ENTRY}", section.len());
        return Err(ReadError::new(problem));
    }
    for entry in section.chunks_exact(ENTRY) {
        let (crc, name) = entry.split_at(sections.word);
        // In the `long` of a 64-bit kernel the CRC is the lower half.
        let half = if sections.is_little { crc.get(..4) } else { crc.get(sections.word - 4..) };
        let crc = half.and_then(|half| number(half, sections.is_little));
        let name = name.split(|byte| *byte == 0).next().and_then(text);
        push(name, crc, versions);
    }
    Ok(())
}

fn read_extended(
    names: &[u8],
    crcs: &[u8],
    sections: &Sections<'_>,
    versions: &mut Vec<SymbolVersion>,
) -> Result<(), ReadError> {
    let names: Vec<&[u8]> = names.strip_suffix(b"\0").unwrap_or(names).split(|byte| *byte == 0).collect();
    if crcs.len() != names.len() * 4 && !(crcs.is_empty() && names == [b""]) {
        let problem =
            format!("it has {} extended symbol names and {} bytes of CRCs", names.len(), crcs.len());
        return Err(ReadError::new(problem));
    }
    for (name, crc) in names.into_iter().zip(crcs.chunks_exact(4)) {
        push(text(name), number(crc, sections.is_little), versions);
    }
    Ok(())
}

fn push(name: Option<&str>, crc: Option<u32>, versions: &mut Vec<SymbolVersion>) {
    if let Some((name, crc)) = name.zip(crc)
        && versions.iter().all(|known| known.name != name)
    {
        versions.push(SymbolVersion { name: name.to_owned(), crc });
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

fn number(bytes: &[u8], is_little: bool) -> Option<u32> {
    let bytes = bytes.try_into().ok()?;
    Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fixtures::module::{module_with, tiny_module, versions_section};

    fn pairs(module: &[u8]) -> Vec<(String, u32)> {
        symbol_versions(module).unwrap().into_iter().map(|symbol| (symbol.name, symbol.crc)).collect()
    }

    #[test]
    fn reads_basic_and_extended_versions() {
        let basic = versions_section(&[("module_layout", 0xdead_beef), ("vfs_read", 1)]);
        let module = module_with(&[("__versions", &basic)]);
        let expected = [("module_layout".to_owned(), 0xdead_beef), ("vfs_read".to_owned(), 1)];
        assert_eq!(pairs(&module), expected);

        let crcs: Vec<u8> = [7_u32, 8].iter().flat_map(|crc| crc.to_le_bytes()).collect();
        let long = "s".repeat(80);
        let names = format!("vfs_read\0{long}\0");
        let both = [
            ("__versions", basic.as_slice()),
            ("__version_ext_crcs", crcs.as_slice()),
            ("__version_ext_names", names.as_bytes()),
        ];
        // What both have is the same to the kernel; the first counts.
        assert_eq!(pairs(&module_with(&both))[2..], [(long, 8)]);
        assert!(pairs(&tiny_module("a", "b")).is_empty());
    }

    #[test]
    fn sections_of_odd_lengths_are_errors() {
        let bad: [&[(&str, &[u8])]; 3] = [
            &[("__versions", &[0; 63])],
            &[("__version_ext_names", b"a\0b\0"), ("__version_ext_crcs", &[0; 4])],
            &[("__version_ext_names", b"a\0")],
        ];
        for sections in bad {
            symbol_versions(&module_with(sections)).unwrap_err();
        }
    }
}
