//! Keys that the firmware's boot loader, shim, hands to the kernel at the next boot (Machine Owner Keys), and those that it was asked to
//! take.

use std::path::PathBuf;

use kernel_module::KeyCertificate;

use crate::host::Host;

/// As shim leaves it for the kernel: a list as it is.
const MIRROR: &str = "firmware/efi/mok-variables/MokListRT";
/// Variables of shim, in efivarfs: four bytes of attributes, then the list.
const VARIABLES: &str = "firmware/efi/efivars";
const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";
const ATTRIBUTES: usize = 4;

/// More than firmware has room for.
const LIMIT: u64 = 1 << 20;

/// The kind of a list of X.509 certificates (`EFI_CERT_X509_GUID`).
const X509: [u8; 16] =
    [0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72];
/// Kind, then three numbers: bytes of the list, of its header, of each entry.
const LIST_HEAD: usize = 28;
/// Who has put it there.
const OWNER: usize = 16;

/// The certificates that are enrolled, and those that wait for it; `None` where the firmware shows no such list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EnrolledKeys {
    pub(crate) enrolled: Option<Vec<KeyCertificate>>,
    pub(crate) waiting: Option<Vec<KeyCertificate>>,
}

impl EnrolledKeys {
    pub(crate) fn read(host: &Host) -> Self {
        let read = |path: PathBuf| host.files.read_file(host.sys_dir.join(path), LIMIT).ok();
        let variable = |name: &str| {
            let bytes = read(PathBuf::from(VARIABLES).join(format!("{name}-{SHIM}")))?;
            Some(bytes.get(ATTRIBUTES..)?.to_vec())
        };
        let enrolled = read(MIRROR.into()).or_else(|| variable("MokListRT"));
        Self {
            enrolled: enrolled.map(|list| certificates(&list)),
            waiting: variable("MokNew").map(|list| certificates(&list)),
        }
    }
}

/// A list of signatures of one kind.
struct SignatureList<'l> {
    kind: &'l [u8],
    entries: &'l [u8],
    /// Bytes of each entry.
    size: usize,
}

impl<'l> SignatureList<'l> {
    /// The first of several lists, and what is behind it.
    fn first(lists: &'l [u8]) -> Option<(Self, &'l [u8])> {
        let number = |at: usize| Some(u32::from_le_bytes(lists.get(at..at + 4)?.try_into().ok()?) as usize);
        let all = number(16)?;
        let header = number(20)?;
        let size = number(24)?;
        let (list, rest) = lists.split_at_checked(all)?;
        let entries = list.get(LIST_HEAD.checked_add(header)?..)?;
        (size > OWNER).then_some((Self { kind: list.get(..16)?, entries, size }, rest))
    }
}

/// The certificates of signature lists, one behind the other. What is malformed ends it.
fn certificates(mut lists: &[u8]) -> Vec<KeyCertificate> {
    let mut found = Vec::new();
    while let Some((list, rest)) = SignatureList::first(lists) {
        if list.kind == X509 {
            let bodies = list.entries.chunks_exact(list.size).filter_map(|entry| entry.get(OWNER..));
            found.extend(bodies.filter_map(KeyCertificate::read));
        }
        lists = rest;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kind: &[u8], entries: &[&[u8]]) -> Vec<u8> {
        let size = entries.first().map_or(OWNER + 1, |entry| entry.len() + OWNER);
        let all = LIST_HEAD + size * entries.len();
        let number = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
        let mut bytes = [kind, &number(all), &number(0), &number(size)].concat();
        for entry in entries {
            bytes.extend([7; OWNER]);
            bytes.extend(*entry);
        }
        bytes
    }

    #[test]
    fn certificates_are_found_among_lists_of_other_kinds() {
        let der = include_bytes!("../../../fixtures/module-signature/test-certificate.der");
        let certificate = KeyCertificate::read(der).unwrap();
        let bytes =
            [list(&[1; 16], &[&[5; 32], &[6; 32]]), list(&X509, &[der]), list(&X509, &[b"no DER"])].concat();
        assert_eq!(certificates(&bytes), [certificate]);
        for end in 0..bytes.len() {
            // Never a panic, whatever is cut off.
            let _ = certificates(&bytes[..end]);
        }
        assert_eq!(certificates(&[0; 64]), []);
    }
}
