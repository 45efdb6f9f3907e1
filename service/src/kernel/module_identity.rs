//! Which bytes a loaded module has: what the kernel shows of them in `/sys/module/NAME`, compared with what a module file has.
//!
//! Anybody with root's rights can load a module of any name. Its name and its state file say nothing about where it is from; the
//! build id that its linker gave it does, and so does `srcversion`, the digest of its sources, where the kernel was built with it.

use kernel_module::{BUILD_ID_NOTE, Fields, build_id, build_id_in_note};
use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::host::Host;

/// Longer than either file.
const LIMIT: u64 = 4096;

/// What tells a module from another one of its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleIdentity {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srcversion: Option<String>,
}

/// Whether a loaded module is the one that it is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadedBytes {
    /// The one that the service has started or, if it didn't, the one that is offered.
    Known,
    /// Somebody has loaded another one of this name.
    Other,
    /// The kernel shows nothing by which it could be told.
    Unknown,
}

impl ModuleIdentity {
    /// Of a module's file.
    pub(crate) fn of(module: &[u8]) -> Self {
        let fields = Fields::read(module).ok();
        let srcversion = fields.and_then(|fields| fields.get("srcversion").map(str::to_owned));
        Self { build_id: build_id(module), srcversion }
    }

    /// Of the module that is loaded under this name.
    fn loaded(host: &Host, name: &ScriptName) -> Self {
        let directory = host.sys_dir.join("module").join(name.as_str());
        let read = |path: &str| host.files.read_file(directory.join(path), LIMIT).ok();
        let note = read(&format!("notes/{BUILD_ID_NOTE}"));
        let srcversion = read("srcversion").map(|text| String::from_utf8_lossy(&text).trim().to_owned());
        Self { build_id: note.and_then(|note| build_id_in_note(&note)), srcversion }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.build_id.is_none() && self.srcversion.is_none()
    }

    /// Compares with the module that is loaded: by the build id if both have one, else by `srcversion`.
    pub(crate) fn compare(&self, host: &Host, name: &ScriptName) -> LoadedBytes {
        let loaded = Self::loaded(host, name);
        let pairs = [(&self.build_id, &loaded.build_id), (&self.srcversion, &loaded.srcversion)];
        match pairs.into_iter().find_map(|(ours, found)| Some(ours.as_ref()? == found.as_ref()?)) {
            Some(true) => LoadedBytes::Known,
            Some(false) => LoadedBytes::Other,
            None => LoadedBytes::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use fixtures::module::{build_id_note, module_with};

    use super::*;

    #[test]
    fn the_build_id_decides_and_srcversion_where_there_is_none() {
        let (dir, host) = Host::temporary();
        let name: ScriptName = "a".parse().unwrap();
        let directory = dir.path().join("sys/module/a");
        let ours = ModuleIdentity { build_id: Some("0102".into()), srcversion: Some("AB".into()) };
        assert_eq!(ours.compare(&host, &name), LoadedBytes::Unknown);
        fs::create_dir_all(directory.join("notes")).unwrap();
        fs::write(directory.join("srcversion"), "AB\n").unwrap();
        assert_eq!(ours.compare(&host, &name), LoadedBytes::Known);
        fs::write(directory.join("srcversion"), "CD\n").unwrap();
        assert_eq!(ours.compare(&host, &name), LoadedBytes::Other);
        fs::write(directory.join("notes/.note.gnu.build-id"), build_id_note(&[1, 2])).unwrap();
        assert_eq!(ours.compare(&host, &name), LoadedBytes::Known);
        fs::write(directory.join("notes/.note.gnu.build-id"), build_id_note(&[1, 3])).unwrap();
        assert_eq!(ours.compare(&host, &name), LoadedBytes::Other);
        assert_eq!(ModuleIdentity::default().compare(&host, &name), LoadedBytes::Unknown);
    }

    #[test]
    fn a_file_has_both_or_neither() {
        let modinfo = b"name=a\0srcversion=AB12\0";
        let module = module_with(&[(".modinfo", modinfo), (BUILD_ID_NOTE, &build_id_note(&[1, 2]))]);
        let expected = ModuleIdentity { build_id: Some("0102".into()), srcversion: Some("AB12".into()) };
        assert_eq!(ModuleIdentity::of(&module), expected);
        assert!(ModuleIdentity::of(b"no module").is_empty());
    }
}
