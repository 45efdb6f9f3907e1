//! What a compiled module says about itself, read from the ELF file, and whether that is what was asked for.

use bundle_format::{KernelRelease, Machine, ScriptName, hexadecimal};
use kernel_module::Fields;
use object::elf::FileHeader64;
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Endianness, Object, ObjectKind, elf};
use serde::{Deserialize, Serialize};

use super::privilege::Privilege;
use crate::inputs::Program;
use crate::words::quoted;

/// What `.modinfo` and the ELF header say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// The module's name.
    pub name: ScriptName,
    /// What the kernel compares with its own when it loads the module.
    pub vermagic: String,
    /// `uname -m` of the kernels that can load it.
    pub machine: Machine,
    /// Digest of the source as modpost computes it.
    pub srcversion: Option<String>,
    /// Build id in hexadecimal digits.
    pub build_id: Option<String>,
    /// Modules that must be loaded first.
    pub depends: Vec<String>,
    /// Who may load it; `None` if it doesn't say, or was kept before this was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privilege: Option<Privilege>,
    /// What compiled it, by its own words; `None` if it was kept before this was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compilers: Option<Vec<String>>,
    /// The programs and libraries for which it is made, as the sysroot has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<Program>,
}

/// Why a file isn't the module that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error("not a kernel module: {}", quoted(reason))]
    NotAModule { reason: String },
    #[error("its .modinfo has no {field}")]
    NoField { field: &'static str },
    #[error("its name is `{}`, not `{wanted}`", quoted(found))]
    OtherName {
        /// What `.modinfo` says.
        found: String,
        wanted: ScriptName,
    },
    #[error("its vermagic is `{}`, which isn't for the release {wanted}", quoted(found))]
    OtherRelease {
        /// What `.modinfo` says.
        found: String,
        /// The release that was asked for.
        wanted: KernelRelease,
    },
    #[error("it is for the machine {}, not {wanted}", quoted(found))]
    OtherMachine { found: String, wanted: Machine },
}

impl ModuleInfo {
    /// Reads `bytes` and compares name, vermagic and machine with what was asked for.
    pub fn read(
        bytes: &[u8],
        name: &ScriptName,
        release: &KernelRelease,
        machine: &Machine,
    ) -> Result<Self, ModuleError> {
        let info = Self::read_of_any_machine(bytes, name, release)?;
        if info.machine == *machine {
            return Ok(info);
        }
        Err(ModuleError::OtherMachine { found: info.machine.to_string(), wanted: machine.clone() })
    }

    /// As [`ModuleInfo::read`], for any machine that this program has a name for.
    pub(crate) fn read_of_any_machine(
        bytes: &[u8],
        name: &ScriptName,
        release: &KernelRelease,
    ) -> Result<Self, ModuleError> {
        let not_a_module = |reason: String| ModuleError::NotAModule { reason };
        let elf = ElfFile64::<Endianness>::parse(bytes).map_err(|error| not_a_module(error.to_string()))?;
        if elf.kind() != ObjectKind::Relocatable {
            return Err(not_a_module("the ELF file isn't relocatable".to_owned()));
        }
        let fields = Fields::read(bytes).map_err(|error| not_a_module(error.to_string()))?;
        let required = |field| fields.get(field).map(str::to_owned).ok_or(ModuleError::NoField { field });
        let found = required("name")?;
        if found != name.as_str() {
            return Err(ModuleError::OtherName { found, wanted: name.clone() });
        }
        let vermagic = required("vermagic")?;
        if vermagic.split_once(' ').is_none_or(|(first, _)| first != release.as_str()) {
            return Err(ModuleError::OtherRelease { found: vermagic, wanted: release.clone() });
        }
        let found = machine_of(&elf);
        let machine: Machine =
            found.parse().map_err(|_| not_a_module(format!("no machine is known as {found}")))?;
        let build_id = elf.build_id().map_err(|error| not_a_module(error.to_string()))?;
        Ok(Self {
            name: name.clone(),
            vermagic,
            machine,
            srcversion: fields.get("srcversion").map(str::to_owned),
            build_id: build_id.map(hexadecimal),
            compilers: Some(
                kernel_module::compilers(bytes).map_err(|error| not_a_module(error.to_string()))?,
            ),
            privilege: Privilege::of_module(&elf).map_err(not_a_module)?,
            programs: Vec::new(),
            depends: fields.get("depends").map_or_else(Vec::new, |list| {
                list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
            }),
        })
    }
}

/// Bytes of a file that tell for which machine it is.
pub(crate) const ELF_HEADER: u64 = 64;

/// The machine that an ELF file is for, by its header; `None` if it is none, or one that this program has no name for.
pub(crate) fn machine_of_elf(header: &[u8]) -> Option<Machine> {
    let header = FileHeader64::<Endianness>::parse(header).ok()?;
    named_machine(header).ok()?.parse().ok()
}

/// `uname -m` for the ELF header; the header's number where there's no name for it.
fn machine_of(elf: &ElfFile64<'_>) -> String {
    named_machine(elf.elf_header()).map_or_else(|number| format!("ELF machine {number}"), str::to_owned)
}

/// `uname -m` for the ELF header, or the header's number.
fn named_machine(header: &FileHeader64<Endianness>) -> Result<&'static str, u16> {
    let endian = header.endian().unwrap_or_default();
    match (header.e_machine(endian), endian) {
        (elf::EM_X86_64, _) => Ok("x86_64"),
        (elf::EM_AARCH64, Endianness::Little) => Ok("aarch64"),
        (elf::EM_PPC64, Endianness::Little) => Ok("ppc64le"),
        (elf::EM_PPC64, Endianness::Big) => Ok("ppc64"),
        (elf::EM_S390, _) => Ok("s390x"),
        (elf::EM_RISCV, _) => Ok("riscv64"),
        (number, _) => Err(number.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_module;

    fn read(bytes: &[u8]) -> Result<ModuleInfo, ModuleError> {
        ModuleInfo::read(
            bytes,
            &"counter".parse().unwrap(),
            &"6.12.1-test".parse().unwrap(),
            &"x86_64".parse().unwrap(),
        )
    }

    #[test]
    fn the_fields_are_read() {
        let info = read(&fake_module("counter", "6.12.1-test", "x")).unwrap();
        assert_eq!(info.vermagic, "6.12.1-test SMP preempt mod_unload modversions ");
        assert_eq!(info.srcversion.as_deref(), Some("x"));
        assert_eq!((info.depends, info.build_id), (vec!["a".to_owned(), "b".to_owned()], None));
    }

    #[test]
    fn another_module_is_refused_with_both_values() {
        let text = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert_eq!(text(&fake_module("other", "6.12.1-test", "x")), "its name is `other`, not `counter`");
        // A longer release which begins with ours is another release.
        assert_eq!(
            text(&fake_module("counter", "6.12.1-test2", "x")),
            "its vermagic is `6.12.1-test2 SMP preempt mod_unload modversions `, which isn't for the release 6.12.1-test"
        );
        let mut arm = fake_module("counter", "6.12.1-test", "x");
        arm[18] = 0xb7;
        assert_eq!(text(&arm), "it is for the machine aarch64, not x86_64");
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(matches!(read(b""), Err(ModuleError::NotAModule { .. })));
        let mut program = fake_module("counter", "6.12.1-test", "x");
        program[16] = 2; // ET_EXEC
        assert!(matches!(read(&program), Err(ModuleError::NotAModule { .. })));
        let whole = fake_module("counter", "6.12.1-test", "x");
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{len}");
        }
    }
}
