//! Trusting a server: getting its certificate, and putting it where clients look. Comparing it is people's work between the two.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};

use crate::account::Account;
use crate::certificate::Certificate;
use crate::error::ServerError;
use crate::launch::Programs;
use crate::preparation::{read_certificate, systemtap_directory};

/// What a certificate is trusted for, and so where clients look for it (TRUST-02).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedFor {
    /// Connections: of all users where root says so, else of this user.
    Connections,
    /// Signatures of modules for users of the group stapusr: root's to say.
    Signatures,
}

/// All users' databases.
const CONNECTIONS: &str = "/etc/systemtap/ssl/client";
const SIGNATURES: &str = "/etc/systemtap/staprun";

const PATIENCE: Duration = Duration::from_secs(120);

/// The certificate that a server shows to whoever connects. Nothing is trusted and nothing is asked of the server.
pub fn fetch_certificate(address: &str) -> Result<Certificate, ServerError> {
    let command = ChildCommand::new("openssl").args(["s_client", "-connect", address]).env_from_here("PATH");
    let finished = command.run(&Limits::within(PATIENCE), &Cancel::new())?;
    let unreached = |said: &str| ServerError::Unreachable { address: address.to_owned(), said: reason(said) };
    let text = finished.stdout.text();
    if !text.contains("BEGIN CERTIFICATE") {
        return Err(unreached(&finished.stderr.text()));
    }
    Certificate::read(text.as_bytes()).map_err(|_| unreached("what it shows is no X.509 certificate"))
}

/// The words in what openssl says of a failure: `NUMBER:error:NUMBER:LIBRARY:FUNCTION:WORDS:FILE:LINE:…`.
fn reason(said: &str) -> String {
    let line = said.lines().map(str::trim).find(|line| !line.is_empty());
    let words =
        line.map(|line| if line.contains(":error:") { line.split(':').nth(5).unwrap_or(line) } else { line });
    words.unwrap_or("it shows no certificate").to_owned()
}

/// The certificate in a file, such as a server's `stap.cert`.
pub fn certificate_file(path: &Path) -> Result<Certificate, ServerError> {
    let missing = || ServerError::Storage {
        doing: "read",
        path: path.to_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    };
    read_certificate(path)?.ok_or_else(missing)
}

/// The database in which a certificate must be for this purpose. Refuses what only root may do.
pub fn trust_database(purpose: TrustedFor) -> Result<PathBuf, ServerError> {
    let own = Account::own()?;
    match purpose {
        TrustedFor::Signatures if own.uid != 0 => Err(ServerError::NotRoot),
        TrustedFor::Signatures => Ok(SIGNATURES.into()),
        TrustedFor::Connections if own.uid == 0 => Ok(CONNECTIONS.into()),
        TrustedFor::Connections => Ok(systemtap_directory(&own).join("ssl/client")),
    }
}

/// Where clients of this user look for certificates of servers, in this order: in its own database, then in everybody's.
pub fn client_databases() -> Result<Vec<PathBuf>, ServerError> {
    let own = systemtap_directory(&Account::own()?).join("ssl/client");
    Ok(vec![own, CONNECTIONS.into()])
}

/// Puts a certificate into a database.
pub fn trust_certificate(certificate: &Certificate, database: &Path) -> Result<(), ServerError> {
    check_database(database)?;
    let program = Programs::find().program("stap-authorize-cert")?;
    let failed = |doing| move |source| ServerError::Storage { doing, path: database.to_owned(), source };
    // It makes one directory, not those above it.
    let parent = database.parent().unwrap_or(database);
    fs::create_dir_all(parent).map_err(failed("make"))?;
    let file = tempfile::NamedTempFile::new().map_err(failed("write a certificate for"))?;
    fs::write(file.path(), certificate.der()).map_err(failed("write a certificate for"))?;
    let command = ChildCommand::new(program).arg(file.path()).arg(database);
    let command = command.env_from_here("PATH").env_from_here("HOME").env("LC_ALL", "C.UTF-8");
    let finished = command.run(&Limits::within(PATIENCE), &Cancel::new())?;
    if finished.status.success() {
        // It makes a new directory writable for everybody, who could then trust whom they like (SIGN-03).
        let only_ours = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        return fs::set_permissions(database, only_ours).map_err(failed("protect"));
    }
    let said = format!("{}{}", finished.stderr.text(), finished.stdout.text());
    Err(ServerError::NotTrusted { database: database.to_owned(), said: said.trim().to_owned() })
}

/// `stap-authorize-cert` wipes a database that it can't open (TRUST-03), and with it whatever else was trusted.
fn check_database(database: &Path) -> Result<(), ServerError> {
    let path = database.join("cert9.db");
    let mut start = [0; 15];
    let read = match fs::File::open(&path) {
        Ok(mut file) => file.read_exact(&mut start),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    if read.is_ok() && start == *b"SQLite format 3" {
        return Ok(());
    }
    Err(ServerError::BrokenDatabase { path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_03_a_database_that_cannot_be_opened_is_not_wiped() {
        let folder = tempfile::tempdir().unwrap();
        check_database(folder.path()).unwrap();
        fs::write(folder.path().join("cert9.db"), "SQLite format 3\0more").unwrap();
        check_database(folder.path()).unwrap();
        for spoiled in ["", "something else entirely"] {
            fs::write(folder.path().join("cert9.db"), spoiled).unwrap();
            let error = check_database(folder.path()).unwrap_err();
            assert!(error.to_string().contains("cert9.db"), "{error}");
        }
    }

    #[test]
    fn what_openssl_says_is_cut_to_its_words() {
        let said = "4067B583:error:8000006F:system library:BIO_connect:Connection refused:../crypto/bio/bio_sock2.c:183:x\n";
        assert_eq!(reason(said), "Connection refused");
        assert_eq!(reason("\nno such host\n"), "no such host");
        assert_eq!(reason(""), "it shows no certificate");
    }

    #[test]
    fn trust_02_signatures_are_roots_to_trust() {
        let found = trust_database(TrustedFor::Signatures);
        if Account::own().unwrap().uid == 0 {
            assert_eq!(found.unwrap(), Path::new("/etc/systemtap/staprun"));
        } else {
            assert!(matches!(found, Err(ServerError::NotRoot)));
        }
    }
}
