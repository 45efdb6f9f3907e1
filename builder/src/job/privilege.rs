//! For which users a module was compiled: `.stap_privilege`, by which staprun decides who may load it (SIGN-05).

use std::fmt;

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection};
use serde::{Deserialize, Serialize};

const SECTION: &str = ".stap_privilege";

/// The least of the groups whose members may load a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Privilege {
    /// `stapusr`: the code was checked to be harmless.
    Stapusr,
    /// `stapsys`.
    Stapsys,
    /// `stapdev`, and root: the default.
    Stapdev,
}

impl Privilege {
    const ALL: [Self; 3] = [Self::Stapusr, Self::Stapsys, Self::Stapdev];

    /// What stap's options ask for; it takes several only if they say the same.
    #[must_use]
    pub fn of_options(options: &[String]) -> Self {
        let asked = |option: &String| match option.strip_prefix("--privilege=") {
            Some(name) => Self::ALL.into_iter().find(|privilege| privilege.to_string() == name),
            None => (option == "--unprivileged").then_some(Self::Stapusr),
        };
        options.iter().find_map(asked).unwrap_or(Self::Stapdev)
    }

    /// What a module says; `None` if it has no such section, an error if that isn't one mask of four bytes.
    pub(crate) fn of_module(elf: &ElfFile64<'_>) -> Result<Option<Self>, String> {
        let Some(section) = elf.section_by_name(SECTION) else { return Ok(None) };
        let bytes = section.data().map_err(|error| error.to_string())?;
        let mask = <[u8; 4]>::try_from(bytes).map(|bytes| match elf.endianness() {
            Endianness::Little => u32::from_le_bytes(bytes),
            Endianness::Big => u32::from_be_bytes(bytes),
        });
        let known =
            mask.ok().and_then(|mask| Self::ALL.into_iter().find(|privilege| privilege.mask() == mask));
        known.map(Some).ok_or_else(|| format!("{SECTION} is none of the masks 2, 4 and 8 in four bytes"))
    }

    const fn mask(self) -> u32 {
        match self {
            Self::Stapusr => 2,
            Self::Stapsys => 4,
            Self::Stapdev => 8,
        }
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stapusr => "stapusr",
            Self::Stapsys => "stapsys",
            Self::Stapdev => "stapdev",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_module;

    #[test]
    fn the_options_say_what_is_wanted() {
        for (options, wanted) in [
            (&["-g"][..], Privilege::Stapdev),
            (&["--unprivileged"], Privilege::Stapusr),
            (&["-v", "--privilege=stapsys"], Privilege::Stapsys),
            (&["--privilege=stapdev"], Privilege::Stapdev),
        ] {
            let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
            assert_eq!(Privilege::of_options(&options), wanted, "{options:?}");
        }
    }

    #[test]
    fn a_module_says_for_whom_it_is() {
        let read = |bytes: &[u8]| Privilege::of_module(&ElfFile64::parse(bytes).unwrap());
        let module = fake_module("a", "1.0", "x");
        assert_eq!(read(&module), Ok(Some(Privilege::Stapdev)));
        let at = module.windows(4).position(|bytes| bytes == 8_u32.to_le_bytes()).unwrap();
        let with = |mask: u8| {
            let mut module = module.clone();
            module[at] = mask;
            read(&module)
        };
        assert_eq!((with(2), with(4)), (Ok(Some(Privilege::Stapusr)), Ok(Some(Privilege::Stapsys))));
        assert!(with(6).unwrap_err().contains(".stap_privilege"));
    }
}
