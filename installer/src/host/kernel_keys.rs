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
    /// Reads them. A host that shows none of the kernel's, not even the one that it was built with, has unknown keys: it isn't booted, or
    /// this process may not see them.
    #[must_use]
    pub fn read(host: &FileSystem) -> Self {
        let bytes = host.read_file(KEYS, LIMIT).unwrap_or_default();
        let lines = bytes.split(|byte| *byte == b'\n');
        let keys: BTreeSet<String> =
            lines.filter_map(|line| key_id(&String::from_utf8_lossy(line)).map(str::to_owned)).collect();
        Self((!keys.is_empty()).then_some(keys))
    }

    /// Whether the kernel has this key; `None` where nothing is known of its keys.
    #[must_use]
    pub fn has(&self, key_id: &str) -> Option<bool> {
        self.0.as_ref().map(|keys| keys.contains(key_id))
    }
}

/// Of a line `SERIAL FLAGS USES EXPIRY PERMISSIONS UID GID asymmetri NAME: KEYID: X509.rsa …` of a key of root's, the identifier. Names
/// hold blanks and colons, and the type is cut to nine characters.
fn key_id(line: &str) -> Option<&str> {
    let mut columns = line.split_ascii_whitespace().skip(5);
    let [uid, _gid, kind] = [columns.next()?, columns.next()?, columns.next()?];
    if uid != "0" || kind != "asymmetri" {
        return None;
    }
    let (before, _) = line.rsplit_once(": X509.")?;
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
        // What other users put there.
        assert_eq!(key_id("1 I-- 1 perm 1f 1000 1000 asymmetri a: ab: X509.rsa ab []"), None);
        assert_eq!(key_id("1 I-- 1 perm 1f 0 0 user x asymmetri a: ab: X509.rsa ab []"), None);
    }

    #[test]
    fn a_name_in_another_encoding_hides_no_key_and_a_host_without_any_is_unknown() {
        let directory = tempfile::tempdir().unwrap();
        let host = FileSystem::open(directory.path()).unwrap();
        fs::create_dir(directory.path().join("proc")).unwrap();
        let keys = |text: &[u8]| {
            fs::write(directory.path().join("proc/keys"), text).unwrap();
            KernelKeys::read(&host)
        };
        let found = keys(b"1 I-- 1 perm 1f 0 0 user x\xff: 1\n2 I-- 1 perm 1f 0 0 asymmetri M\xfcller: ab: X509.rsa ab []\n");
        assert_eq!(found.has("ab"), Some(true));
        assert_eq!(keys(b"1 I-- 1 perm 1f 0 0 keyring .builtin_trusted_keys: 1\n").has("ab"), None);
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
