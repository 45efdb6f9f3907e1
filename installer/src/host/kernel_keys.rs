//! The keys by which this host's kernel believes signed modules, as far as /proc/keys shows them to root.

use std::collections::BTreeSet;

use files::FileSystem;

const KEYS: &str = "/proc/keys";

/// More than any kernel has keys.
const LIMIT: u64 = 1 << 20;

/// Key identifiers of the kernel's asymmetric keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelKeys(Option<BTreeSet<String>>);

impl KernelKeys {
    /// Reads them. A host that doesn't show them, such as one that isn't booted, has unknown keys.
    #[must_use]
    pub fn read(host: &FileSystem) -> Self {
        let text = host.read_file(KEYS, LIMIT).ok();
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
        Self(text.map(|text| text.lines().filter_map(key_id).map(str::to_owned).collect()))
    }

    /// Whether the kernel has this key; `None` where nothing is known of its keys.
    #[must_use]
    pub fn has(&self, key_id: &str) -> Option<bool> {
        self.0.as_ref().map(|keys| keys.contains(key_id))
    }
}

/// Of a line `ID FLAGS USES EXPIRY PERM UID GID asymmetri NAME: KEYID: X509.rsa …` the identifier. Names hold blanks and colons, and the
/// type is cut to nine characters.
fn key_id(line: &str) -> Option<&str> {
    let at = line.find(" asymmetri ")?;
    let (before, _) = line.get(at..)?.rsplit_once(": X509.")?;
    let (_, id) = before.rsplit_once(": ")?;
    id.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(id)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_identifier_is_read_whatever_the_name_is() {
        let line = "0b4e8b5c I------     1 perm 1f030000     0     0 asymmetri Debian Secure Boot CA: 6cce: x: \
                    6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1: X509.rsa bb419ea1 []";
        assert_eq!(key_id(line), Some("6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1"));
        assert_eq!(key_id("1 I-- 1 perm 1f 0 0 keyring   .machine: 1"), None);
        assert_eq!(key_id("1 I-- 1 perm 1f 0 0 blacklist bin:0102"), None);
    }

    #[test]
    fn a_host_that_shows_no_keys_has_unknown_ones() {
        let directory = tempfile::tempdir().unwrap();
        let host = FileSystem::open(directory.path()).unwrap();
        assert_eq!(KernelKeys::read(&host).has("ab"), None);
        fs::create_dir(directory.path().join("proc")).unwrap();
        fs::write(
            directory.path().join("proc/keys"),
            "1 I-- 1 perm 1f 0 0 asymmetri a: ab: X509.rsa ab []\n",
        )
        .unwrap();
        let keys = KernelKeys::read(&host);
        assert_eq!((keys.has("ab"), keys.has("cd")), (Some(true), Some(false)));
    }
}
