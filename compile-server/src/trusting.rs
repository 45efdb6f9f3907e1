//! Trusting a server: getting its certificate, and putting it where clients look. Comparing it is people's work between the two.

use files::read::open;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};

use crate::account::Account;
use crate::certificate::Certificate;
use crate::error::ServerError;
use crate::preparation::{read_certificate, systemtap_directory};
use crate::programs::Programs;

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

/// Has this machine's clients trust the service's own server, its connections and its signatures, as the manual page promises.
/// Nobody need compare anything: the certificate is from this disk.
pub(crate) fn trust_on_this_machine(certificate: &Certificate) -> Result<(), ServerError> {
    [CONNECTIONS, SIGNATURES]
        .iter()
        .try_for_each(|database| trust_certificate(certificate, Path::new(database)))
}

/// Puts a certificate into a database.
pub fn trust_certificate(certificate: &Certificate, database: &Path) -> Result<(), ServerError> {
    check_database(database)?;
    let program = Programs::find().program("stap-authorize-cert")?;
    authorize(&program, certificate, database)
}

/// Runs `stap-authorize-cert`, which makes a new directory writable for everybody, who could then trust whom they like (SIGN-03).
/// So a new database is made where nobody else gets to, and comes into place with its modes set.
fn authorize(program: &Path, certificate: &Certificate, database: &Path) -> Result<(), ServerError> {
    let failed = |doing| move |source| ServerError::Storage { doing, path: database.to_owned(), source };
    // It makes one directory, not those above it.
    let parent = database.parent().unwrap_or(database);
    fs::create_dir_all(parent).map_err(failed("make"))?;
    let file = tempfile::NamedTempFile::new().map_err(failed("write a certificate for"))?;
    fs::write(file.path(), certificate.der()).map_err(failed("write a certificate for"))?;
    let is_new = fs::symlink_metadata(database).is_err();
    let only_ours = fs::Permissions::from_mode(0o700);
    let closed = tempfile::Builder::new().prefix(".trust-").permissions(only_ours).tempdir_in(parent);
    let closed = closed.map_err(failed("make"))?;
    let place = if is_new { closed.path().join("database") } else { database.to_owned() };
    if !is_new {
        protect(database, false).map_err(failed("protect"))?;
    }
    let command = ChildCommand::new(program).arg(file.path()).arg(&place);
    let command = command.env_from_here("PATH").env_from_here("HOME").env("LC_ALL", "C.UTF-8");
    let finished = command.run(&Limits::within(PATIENCE), &Cancel::new());
    // However it ended: what it leaves must not stay open.
    if fs::symlink_metadata(&place).is_ok() {
        protect(&place, is_new).map_err(failed("protect"))?;
    }
    let finished = finished?;
    if !finished.status.success() {
        let said = format!("{}{}", finished.stderr.text(), finished.stdout.text());
        return Err(ServerError::NotTrusted { database: database.to_owned(), said: said.trim().to_owned() });
    }
    if is_new {
        fs::rename(&place, database).map_err(failed("make"))?;
    }
    Ok(())
}

/// Leaves writing to the owner alone, in a database and its files. A new one is read by all who compile with what it trusts; who may
/// read one that was there stays as it was.
fn protect(database: &Path, is_new: bool) -> io::Result<()> {
    let protect = |path: &Path, of_new: u32| {
        let mode = if is_new { of_new } else { fs::metadata(path)?.permissions().mode() & 0o7777 & !0o022 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    protect(database, 0o755)?;
    for entry in fs::read_dir(database)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            protect(&entry.path(), 0o644)?;
        }
    }
    Ok(())
}

/// `stap-authorize-cert` wipes a database that it can't open (TRUST-03), and with it whatever else was trusted.
fn check_database(database: &Path) -> Result<(), ServerError> {
    let path = database.join("cert9.db");
    let mut start = [0; 15];
    let read = match open(&path) {
        Ok(mut file) => file.read_exact(&mut start),
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => Err(error.into_source()),
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

    /// A new database was open for everybody until its modes were set, and stayed so if the program failed.
    #[test]
    fn a_database_was_open_for_everybody() {
        let certificate = Certificate::read(include_bytes!("certificate/example.pem")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        // As the real one: open for all. It tells the mode of the directory in which it works.
        let program = folder.path().join("stap-authorize-cert");
        let text = "#!/bin/sh\numask 0\nmkdir -p \"$2\"\nstat -c %a \"${2%/*}\" >>\"${0%/*}/modes\"\n: >\"$2/cert9.db\"\n\
                    chmod 777 \"$2\"\nexit $(cat \"${0%/*}/code\")\n";
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let database = folder.path().join("ssl/client");
        fs::write(folder.path().join("code"), "1").unwrap();
        assert!(matches!(authorize(&program, &certificate, &database), Err(ServerError::NotTrusted { .. })));
        assert!(!database.exists());
        assert_eq!(fs::read_dir(folder.path().join("ssl")).unwrap().count(), 0);
        fs::write(folder.path().join("code"), "0").unwrap();
        authorize(&program, &certificate, &database).unwrap();
        assert_eq!((mode(&database), mode(&database.join("cert9.db"))), (0o755, 0o644));
        assert_eq!(fs::read_to_string(folder.path().join("modes")).unwrap(), "700\n700\n");
        // One that is there already is closed even if the program fails.
        fs::write(folder.path().join("code"), "1").unwrap();
        assert!(authorize(&program, &certificate, &database).is_err());
        assert_eq!((mode(&database), mode(&database.join("cert9.db"))), (0o755, 0o644));
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
