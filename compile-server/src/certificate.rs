//! A server's certificate: what people compare, and until when it is good (SRVD-CERT-02).

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, Tagged};
use sha2::{Digest, Sha256};

/// What begins a certificate in text form.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// An X.509 certificate, as far as a server's user needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    serial: Vec<u8>,
    not_before: Duration,
    not_after: Duration,
}

/// The bytes are no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not X.509 in DER, or in the text form of it.
    #[error("is no X.509 certificate")]
    Malformed(#[source] der::Error),
    /// Nothing but blanks.
    #[error("is empty")]
    Empty,
}

impl Certificate {
    /// Reads a certificate in DER, as `stap.cert` has it, or the first one in text form (PEM).
    pub fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.trim_ascii().is_empty() {
            return Err(CertificateError::Empty);
        }
        let pem = bytes.windows(PEM.len()).position(|window| window == PEM);
        let Some(start) = pem else { return Self::of_der(bytes.to_vec()) };
        let text = bytes.get(start..).unwrap_or_default();
        let (_, der) = der::pem::decode_vec(first_block(text))
            .map_err(|error| CertificateError::Malformed(error.into()))?;
        Self::of_der(der)
    }

    fn of_der(der: Vec<u8>) -> Result<Self, CertificateError> {
        let (serial, not_before, not_after) = fields(&der).map_err(CertificateError::Malformed)?;
        Ok(Self { der, serial, not_before, not_after })
    }

    /// The bytes, in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 over the certificate, as `openssl x509 -fingerprint -sha256` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        colons(&Sha256::digest(&self.der), true)
    }

    /// The serial number as `stap --list-servers` prints it (`certinfo`).
    #[must_use]
    pub fn serial(&self) -> String {
        colons(&self.serial, false)
    }

    /// From when on it is good.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.not_before
    }

    /// Until when it is good.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.not_after
    }

    /// Whether it is good at that time, and so many days longer.
    #[must_use]
    pub fn is_good(&self, now: SystemTime, days: u64) -> bool {
        let until = now + Duration::from_secs(days * 24 * 60 * 60);
        self.not_before() <= now && until < self.not_after()
    }
}

/// One block of PEM and nothing behind it: whatever else a program printed isn't part of it.
fn first_block(text: &[u8]) -> &[u8] {
    const END: &[u8] = b"-----END CERTIFICATE-----";
    let end = text.windows(END.len()).position(|window| window == END);
    end.and_then(|end| text.get(..end + END.len())).unwrap_or(text)
}

fn colons(bytes: &[u8], upper: bool) -> String {
    bytes.iter().enumerate().fold(String::new(), |mut text, (index, byte)| {
        let colon = if index == 0 { "" } else { ":" };
        let _ = if upper { write!(text, "{colon}{byte:02X}") } else { write!(text, "{colon}{byte:02x}") };
        text
    })
}

/// Serial number and validity (RFC 5280, section 4.1): within the certificate the part that is signed comes first, and in that an
/// optional version, the serial number, the algorithm, the issuer, and the validity.
fn fields(der: &[u8]) -> der::Result<(Vec<u8>, Duration, Duration)> {
    let certificate = AnyRef::from_der(der)?;
    certificate.tag().assert_eq(Tag::Sequence)?;
    let mut reader = SliceReader::new(certificate.value())?;
    let to_be_signed: AnyRef<'_> = reader.decode()?;
    to_be_signed.tag().assert_eq(Tag::Sequence)?;
    let mut reader = SliceReader::new(to_be_signed.value())?;
    let mut field: AnyRef<'_> = reader.decode()?;
    if field.tag().is_context_specific() {
        field = reader.decode()?;
    }
    field.tag().assert_eq(Tag::Integer)?;
    let serial = field.value().to_vec();
    let _signature: AnyRef<'_> = reader.decode()?;
    let _issuer: AnyRef<'_> = reader.decode()?;
    let validity: AnyRef<'_> = reader.decode()?;
    validity.tag().assert_eq(Tag::Sequence)?;
    let mut reader = SliceReader::new(validity.value())?;
    Ok((serial, time(&mut reader)?, time(&mut reader)?))
}

fn time<'r>(reader: &mut SliceReader<'r>) -> der::Result<Duration> {
    let field: AnyRef<'r> = reader.decode()?;
    match field.tag() {
        Tag::UtcTime => Ok(field.decode_as::<UtcTime>()?.to_unix_duration()),
        _ => Ok(field.decode_as::<GeneralizedTime>()?.to_unix_duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `openssl req -x509 -newkey ed25519 -nodes -days 365 -set_serial 0xCC1B1A69 -subj '/CN=Systemtap Compile Server'` made.
    const TEXT: &str = include_str!("certificate/example.pem");

    #[test]
    fn srvd_cert_02_serial_validity_and_fingerprint_are_read() {
        let certificate = Certificate::read(format!("CONNECTED\n{TEXT}\nmore\n").as_bytes()).unwrap();
        assert_eq!(certificate.serial(), "00:cc:1b:1a:69");
        let year = certificate.not_after().duration_since(certificate.not_before()).unwrap();
        assert_eq!(year, Duration::from_secs(365 * 24 * 60 * 60));
        assert_eq!(Certificate::read(certificate.der()).unwrap(), certificate);
        // As `openssl x509 -fingerprint -sha256` prints it.
        assert_eq!(certificate.fingerprint(), include_str!("certificate/example.sha256").trim());
    }

    #[test]
    fn srvd_cert_01_it_is_good_from_its_first_day_to_its_last() {
        let certificate = Certificate::read(TEXT.as_bytes()).unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(!certificate.is_good(certificate.not_before() - day, 0));
        assert!(certificate.is_good(certificate.not_before(), 30));
        assert!(certificate.is_good(certificate.not_after() - 31 * day, 30));
        assert!(!certificate.is_good(certificate.not_after() - 30 * day, 30));
        assert!(!certificate.is_good(certificate.not_after(), 0));
    }

    #[test]
    fn other_bytes_are_no_certificate() {
        let der = Certificate::read(TEXT.as_bytes()).unwrap().der().to_vec();
        assert!(matches!(Certificate::read(b" \n"), Err(CertificateError::Empty)));
        for len in 0..der.len() {
            assert!(Certificate::read(&der[..len]).is_err(), "{len}");
        }
        assert!(Certificate::read(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----").is_err());
    }
}
