//! `/proc/modules`: which kernel modules are loaded.

use std::collections::BTreeMap;

use files::optional;
use serde::Serialize;

use crate::host::{Host, ServiceError};

/// One line of `/proc/modules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadedModule {
    /// Bytes of code and data, without the buffers that the module took later.
    pub size: u64,
    /// How many hold it; `staprun -d` fails while that isn't 0.
    pub users: u32,
    /// `Live`, `Loading` or `Unloading`.
    pub state: String,
}

/// All modules loaded at one moment, by name.
#[derive(Debug, Clone, Default)]
pub struct LoadedModules(BTreeMap<String, LoadedModule>);

impl LoadedModules {
    /// Reads them. A kernel without module support has no such file, and so no module.
    pub fn read(host: &Host) -> Result<Self, ServiceError> {
        let text = optional(host.kernel_text(&host.proc_dir.join("modules")))?;
        Ok(text.map(|text| Self::parse(&text)).unwrap_or_default())
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&LoadedModule> {
        self.0.get(name)
    }

    /// Whether a module of this name is loaded, in whatever state.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A line is `name size users dependants state address [taints]`; what isn't is skipped, so that a newer
    /// kernel's further fields do no harm.
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let name = words.next()?.to_owned();
            let size = words.next()?.parse().ok()?;
            let users = words.next()?.parse().ok()?;
            let state = words.nth(1)?.to_owned();
            Some((name, LoadedModule { size, users, state }))
        };
        Self(text.lines().filter_map(line).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_size_users_and_state() {
        let text =
            "hello 151552 0 - Live 0xffffffffc0a00000 (OE)\nvirtio_blk 32768 2 a,b, Loading 0x0\nshort 1\n";
        let modules = LoadedModules::parse(text);
        assert_eq!(
            modules.get("hello"),
            Some(&LoadedModule { size: 151_552, users: 0, state: "Live".into() })
        );
        assert_eq!(modules.get("virtio_blk").map(|module| module.users), Some(2));
        assert!(!modules.contains("short") && !modules.contains("hell"));
    }
}
