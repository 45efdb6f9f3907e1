//! The signature that is appended to a module for the kernel (`include/linux/module_signature.h`): a message, twelve bytes, the
//! last four being its length, and a mark.

use der::{Decode as _, Tag, Tagged as _};

/// Ends a signed module.
const MARK: &[u8] = b"~Module signature appended~\n";
const INFORMATION: usize = 12;
/// What the twelve bytes begin with: all is zero but the kind, PKCS#7.
const PKCS7: [u8; 8] = [0, 0, 2, 0, 0, 0, 0, 0];

/// A module's file, divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Divided<'m> {
    /// The ELF file itself.
    pub body: &'m [u8],
    /// All that is behind it; empty without a signature.
    pub trailer: &'m [u8],
}

/// Divides a module's file. A mark behind which no length fits is no signature; then all of it is the body.
#[must_use]
pub fn divide(file: &[u8]) -> Divided<'_> {
    let whole = Divided { body: file, trailer: &[] };
    let Some(rest) = file.strip_suffix(MARK) else { return whole };
    let Some((_, length)) = rest.split_last_chunk::<4>() else { return whole };
    let length = (u32::from_be_bytes(*length) as usize).checked_add(INFORMATION + MARK.len());
    match length.and_then(|length| file.len().checked_sub(length)) {
        Some(at) => {
            let (body, trailer) = file.split_at(at);
            Divided { body, trailer }
        }
        None => whole,
    }
}

/// A message with all that a kernel wants behind it; `None` if it is too long.
#[must_use]
pub fn trailer_of(message: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(message.len()).ok()?.to_be_bytes();
    Some([message, &PKCS7, &length, MARK].concat())
}

/// The message in DER of these bytes, if they are one signature as kernels read it, and nothing else: a message, what says so, and
/// the mark.
#[must_use]
pub fn message_of(trailer: &[u8]) -> Option<&[u8]> {
    let divided = divide(trailer);
    let end = divided.trailer.len().checked_sub(INFORMATION + MARK.len())?;
    let (message, rest) = divided.trailer.split_at_checked(end)?;
    let is_sequence =
        der::asn1::AnyRef::from_der(message).is_ok_and(|message| message.tag() == Tag::Sequence);
    (divided.body.is_empty() && is_sequence && rest.starts_with(&PKCS7)).then_some(message)
}

#[must_use]
pub fn is_trailer(bytes: &[u8]) -> bool {
    message_of(bytes).is_some()
}

/// Whether the file ends as a signed module does.
#[must_use]
pub fn is_signed(file: &[u8]) -> bool {
    file.ends_with(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_divided_where_its_signature_begins() {
        let trailer = [&b"pkcs7"[..], &[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 5], MARK].concat();
        let file = [b"ELF", trailer.as_slice()].concat();
        assert_eq!(divide(&file), Divided { body: b"ELF", trailer: &trailer });
        assert_eq!(divide(b"ELF"), Divided { body: b"ELF", trailer: &[] });
        assert!(is_signed(&file) && !is_signed(b"ELF"));
        // Two, one behind the other: the last one counts, as for the kernel.
        let twice = [file.as_slice(), &trailer].concat();
        assert_eq!(divide(&twice).body, file);
    }

    #[test]
    fn a_length_that_does_not_fit_is_no_signature() {
        for length in [6_u32, 1000, u32::MAX] {
            let file = [&b"ELF"[..], &[0; 8], &length.to_be_bytes(), MARK].concat();
            assert_eq!(divide(&file), Divided { body: &file, trailer: &[] });
        }
        for end in 0..MARK.len() + INFORMATION {
            let file = [&[0; INFORMATION], MARK].concat();
            assert!(divide(&file[file.len() - end..]).trailer.is_empty());
        }
    }
}
