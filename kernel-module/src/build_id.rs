//! The build id that the linker gave a module, or a program: nothing else shows which bytes are loaded.

use std::fs::File;

use object::elf::{FileHeader32, FileHeader64, NT_GNU_BUILD_ID};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader as _};
use object::{Endianness, Object as _, ReadCache};

use crate::section::Sections;

/// The note's section, and its file in `/sys/module/NAME/notes/`.
pub const BUILD_ID_NOTE: &str = ".note.gnu.build-id";

/// `NT_GNU_BUILD_ID`.
const KIND: u32 = 3;

/// The name in the note.
const OWNER: &[u8] = b"GNU\0";

/// Longer than any build id.
const LONGEST: usize = 64;

/// The build id of a module, in hexadecimal digits; `None` if it has none.
#[must_use]
pub fn build_id(module: &[u8]) -> Option<String> {
    let sections = Sections::of(module).ok()?;
    of_note(sections.find(BUILD_ID_NOTE).ok()??, sections.is_little)
}

/// The build id of an ELF file of 64 bits, in hexadecimal digits, without reading all of it; `None` if it has none.
#[must_use]
pub fn build_id_of_file(file: &File) -> Option<String> {
    let cache = ReadCache::new(file);
    let elf = ElfFile64::<Endianness, _>::parse(&cache).ok()?;
    elf.build_id().ok()?.filter(|id| id.len() <= LONGEST).map(hexadecimal)
}

/// How much of a program's file has its program headers and notes, in bytes: linkers put them first.
pub const PROGRAM_HEAD: u64 = 4 << 20;

/// The build id of a program or library, in hexadecimal digits, from the first bytes of its file ([`PROGRAM_HEAD`]); `None` if it
/// has none there, or is no ELF file.
#[must_use]
pub fn program_build_id(head: &[u8]) -> Option<String> {
    // The class byte of the ELF identification.
    if head.get(4) == Some(&1) {
        in_segments::<FileHeader32<Endianness>>(head)
    } else {
        in_segments::<FileHeader64<Endianness>>(head)
    }
}

fn in_segments<H: FileHeader<Endian = Endianness>>(head: &[u8]) -> Option<String> {
    let header = H::parse(head).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, head).ok()? {
        let Ok(Some(mut notes)) = segment.notes(endian, head) else { continue };
        while let Ok(Some(note)) = notes.next() {
            let id = note.desc();
            if note.name() == b"GNU"
                && note.n_type(endian) == NT_GNU_BUILD_ID
                && (1..=LONGEST).contains(&id.len())
            {
                return Some(hexadecimal(id));
            }
        }
    }
    None
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// The build id in a note of this machine, as the kernel shows that of a loaded module.
#[must_use]
pub fn build_id_in_note(note: &[u8]) -> Option<String> {
    of_note(note, cfg!(target_endian = "little"))
}

fn of_note(note: &[u8], is_little: bool) -> Option<String> {
    let word = |at: usize| -> Option<u32> {
        let bytes: [u8; 4] = note.get(at..at + 4)?.try_into().ok()?;
        Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let owner_len = usize::try_from(word(0)?).ok()?;
    let len = usize::try_from(word(4)?).ok().filter(|len| (1..=LONGEST).contains(len))?;
    let is_build_id = word(8)? == KIND && owner_len == OWNER.len() && note.get(12..16)? == OWNER;
    let id = note.get(16..16 + len)?;
    is_build_id.then(|| hexadecimal(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fixtures::module::{build_id_note, module_with, tiny_module};
    use fixtures::program::program_with;

    #[test]
    fn a_build_id_is_read_of_a_module_and_of_the_kernels_note() {
        let note = build_id_note(&[0xab, 0x01]);
        let module = module_with(&[(".modinfo", b"name=a\0"), (BUILD_ID_NOTE, &note)]);
        assert_eq!(build_id(&module).as_deref(), Some("ab01"));
        assert_eq!(build_id_in_note(&note).as_deref(), Some("ab01"));
        assert_eq!(build_id(&tiny_module("a", "6.1 ")), None);
    }

    #[test]
    fn the_build_id_of_a_program_is_that_of_its_notes_segment() {
        let program = program_with(&[0xab, 0x01, 0xff]);
        assert_eq!(program_build_id(&program).as_deref(), Some("ab01ff"));
        for len in 0..program.len() {
            assert_eq!(program_build_id(&program[..len]), None, "{len}");
        }
        assert_eq!(program_build_id(&program_with(&[])), None);
        assert_eq!(program_build_id(&tiny_module("a", "6.1 ")), None);
        assert_eq!(program_build_id(b"#!/bin/sh\n"), None);
        let this = std::fs::read("/proc/self/exe").unwrap();
        let known = build_id(&this);
        assert!(known.is_none() || program_build_id(&this) == known);
    }

    #[test]
    fn notes_that_are_cut_or_of_another_kind_have_none() {
        let note = build_id_note(&[1; 20]);
        for len in 0..note.len() {
            assert_eq!(build_id_in_note(&note[..len]), None, "{len}");
        }
        let mut other = note.clone();
        other[8] = 4;
        assert_eq!(build_id_in_note(&other), None);
        let mut endless = note;
        endless[4..8].copy_from_slice(&[0xff; 4]);
        assert_eq!(build_id_in_note(&endless), None);
    }
}
