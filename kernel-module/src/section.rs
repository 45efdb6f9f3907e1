//! Sections of a module, and the fields of `.modinfo`.

use object::read::elf::{ElfFile, FileHeader};
use object::{Endianness, Object, ObjectSection};

/// Why a file isn't read as a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError(String);

impl ReadError {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadError {}

/// What readers of a module need of its ELF file, of 32 or 64 bits.
pub(crate) struct Sections<'b> {
    bytes: &'b [u8],
    /// Bytes of a `long` of the kernel.
    pub(crate) word: usize,
    pub(crate) is_little: bool,
}

impl<'b> Sections<'b> {
    pub(crate) fn of(bytes: &'b [u8]) -> Result<Self, ReadError> {
        // The class byte of the ELF identification; a 32-bit kernel has 32-bit modules.
        let word = if bytes.get(4) == Some(&1) { 4 } else { 8 };
        let sections = Self { bytes, word, is_little: bytes.get(5) != Some(&2) };
        sections.find("")?;
        Ok(sections)
    }

    /// The bytes of the section `name`; `None` if there is none.
    pub(crate) fn find(&self, name: &str) -> Result<Option<&'b [u8]>, ReadError> {
        let found = if self.word == 4 {
            section::<object::elf::FileHeader32<Endianness>>(self.bytes, name)
        } else {
            section::<object::elf::FileHeader64<Endianness>>(self.bytes, name)
        };
        found.map_err(|error| ReadError(error.to_string()))
    }
}

fn section<'b, H: FileHeader<Endian = Endianness>>(
    bytes: &'b [u8],
    name: &str,
) -> object::Result<Option<&'b [u8]>> {
    let file = ElfFile::<H>::parse(bytes)?;
    file.section_by_name(name).map(|section| section.data()).transpose()
}

/// The fields of `.modinfo`: `key=value`, each ended by a NUL. What isn't UTF-8 is no field.
#[derive(Debug)]
pub struct Fields<'b>(Vec<(&'b str, &'b str)>);

impl<'b> Fields<'b> {
    /// Reads the section `.modinfo` of a module.
    pub fn read(module: &'b [u8]) -> Result<Self, ReadError> {
        let section = Sections::of(module)?.find(".modinfo")?;
        section.map(Self::of).ok_or_else(|| ReadError::new("it has no .modinfo"))
    }

    fn of(section: &'b [u8]) -> Self {
        let fields = section.split(|byte| *byte == 0);
        Self(fields.filter_map(|field| std::str::from_utf8(field).ok()?.split_once('=')).collect())
    }

    /// The value of the first field `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'b str> {
        self.0.iter().find(|(found, _)| *found == key).map(|(_, value)| *value)
    }

    /// Release and build options of the kernel, without blanks at the end: what the kernel compares with its own.
    #[must_use]
    pub fn vermagic(&self) -> Option<&'b str> {
        self.get("vermagic").map(str::trim_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fixtures::module::tiny_module;

    #[test]
    fn fields_are_found_by_key() {
        let module = tiny_module("net_drop", "6.12.1 SMP mod_unload ");
        let fields = Fields::read(&module).unwrap();
        assert_eq!(fields.get("name"), Some("net_drop"));
        assert_eq!(fields.vermagic(), Some("6.12.1 SMP mod_unload"));
        assert_eq!(fields.get("nam"), None);
    }

    #[test]
    fn what_is_no_module_or_cut_off_is_an_error() {
        for bytes in [&b""[..], b"no elf at all, but long enough to look at", b"\x7fELF\x02\x01\x01"] {
            Fields::read(bytes).unwrap_err();
        }
        let module = tiny_module("a", "b");
        for len in 0..module.len() {
            assert!(Fields::read(&module[..len]).is_err(), "{len}");
        }
    }
}
