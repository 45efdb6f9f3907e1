//! What must be there before a server starts: its temporary directory, resource limits, log and certificate.
//!
//! Everything in the user's home is done as that user, by a shell: root never follows a link that somebody else could have
//! laid.

use files::read::open;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use child::{Cancel, ChildCommand, Limits};

use crate::account::Account;
use crate::certificate::Certificate;
use crate::error::ServerError;
use crate::programs::Programs;
use crate::settings::Settings;

/// A certificate that ends within so many days is made anew before a start.
pub const RENEW_DAYS: u64 = 30;

/// What a request may use: the limits of systemtap's own packages for its service user (SRVD-LIMIT-01). Those of 30 processes
/// per core only where the user does nothing else.
const LIMITS: &str = "--rlimit-as=4294967296 --rlimit-cpu=60 --rlimit-stack=1024000 --rlimit-fsize=51200000";

/// The macro by which a farm's build asks a server to state what it takes. To a script it means nothing.
pub const QUESTION: &str = "STAP_BUNDLE_ASKS";

/// How the statement begins; words `NAME=NUMBER` follow.
pub const STATEMENT: &str = "stap-bundle-server:";

/// The variable that has those words, for the daemon hands its environment on.
pub(crate) const STATED: &str = "STAP_BUNDLE_STATED";

/// What a server takes at once, and the largest requests: its own settings, else what the daemon does without (PROTO-02, SRVD-NET-02).
pub(crate) fn stated(settings: &Settings) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "threads={} max-request-size={} max-compressed-request={}",
        settings.max_threads.map_or(cores, |threads| threads as usize),
        settings.max_request.unwrap_or(50_000),
        settings.max_compressed.unwrap_or(5_000)
    )
}

/// No certificate is larger.
const CERTIFICATE_SIZE: u64 = 1 << 20;

/// Making an RSA key may take long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Directory for temporary files, log, and the `stap` that holds the limits. `$1` tmp, `$2` stap, `$3` its text, `$4` rc, `$5` log.
const PREPARE: &str = r#"set -eu
umask 077
mkdir -p "$1"
test -w "$1"
if ! grep -qs -e '--rlimit-' "$4"; then
    mkdir -p "${2%/*}"
    printf '%s' "$3" >"$2.$$"
    chmod 700 "$2.$$"
    mv "$2.$$" "$2"
    echo limited
fi
umask 022
# stap-gen-cert makes what is missing writable for everybody.
mkdir -p "${2%/*}/ssl"
: >>"$5""#;

/// A new database, made where nobody else gets to: stap-gen-cert makes it writable for everybody. `$1` database, `$2` stap-gen-cert.
const MAKE: &str = r#"set -eu
umask 022
mkdir -p "${1%/*}"
new="$1.new.$$"
mkdir -m 700 "$new"
trap 'rm -rf "$new"' EXIT
"$2" "$new/database"
chmod -R go-w "$new/database"
mv -T "$new/database" "$1""#;

/// Puts an old database aside once there is a new one, and keeps its machine owner keys. `$1` database, `$2` stap-gen-cert.
const RENEW: &str = r#"set -eu
umask 022
old="$1.$(date -u +%Y%m%dT%H%M%S).$$"
new="$1.new.$$"
mkdir -m 700 "$new"
trap 'rm -rf "$new"' EXIT
"$2" "$new/database"
chmod -R go-w "$new/database"
mv -T "$1" "$old"
mv -T "$new/database" "$1" || { mv -T "$old" "$1"; exit 1; }
if [ -d "$old/moks" ]; then mv -T "$old/moks" "$1/moks"; fi"#;

/// What a start goes on with.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) temporary: PathBuf,
    /// The program that holds the limits, unless the user's own rc file does.
    pub(crate) stap: Option<PathBuf>,
    pub(crate) certificate: Certificate,
    /// The certificate was made now: clients must be told to trust it.
    pub(crate) new_certificate: bool,
}

/// Prepares a server's surroundings.
pub(crate) fn prepare(
    settings: &Settings,
    user: &Account,
    programs: &Programs,
) -> Result<Prepared, ServerError> {
    make_log_directory(Path::new(&settings.log), user)?;
    let own = systemtap_directory(user);
    let temporary = temporary_directory(user);
    let stap = own.join("server-stap");
    let words = [
        temporary.as_path(),
        &stap,
        Path::new(&limited_stap(programs, user)),
        &own.join("rc"),
        Path::new(&settings.log),
    ]
    .map(|path| path.as_os_str().to_owned());
    let prepare = as_user(user, "sh").args(["-c", PREPARE, "sh"]).args(words);
    let said = run(&prepare, "prepare the server's directories and its log", user)?;
    let database = database(settings, user);
    let (certificate, new_certificate) = certificate(&database, user, programs)?;
    let stap = said.contains("limited").then_some(stap);
    Ok(Prepared { temporary, stap, certificate, new_certificate })
}

/// `$SYSTEMTAP_DIR` counts for our own servers; `~/.systemtap` is every other user's.
pub(crate) fn systemtap_directory(user: &Account) -> PathBuf {
    let own = std::env::var_os("SYSTEMTAP_DIR").map(PathBuf::from);
    let own = own.filter(|directory| user.is_own() && directory.is_absolute());
    own.unwrap_or_else(|| user.home.join(".systemtap"))
}

/// The directory of a server's certificate.
pub(crate) fn database(settings: &Settings, user: &Account) -> PathBuf {
    settings.ssl.as_ref().map_or_else(|| systemtap_directory(user).join("ssl/server"), PathBuf::from)
}

/// `$TMPDIR`, which may lie where quotas are in force; else a directory of the server's own, never `/tmp`.
fn temporary_directory(user: &Account) -> PathBuf {
    let chosen = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|path| path.is_absolute());
    chosen.unwrap_or_else(|| systemtap_directory(user).join("server-tmp"))
}

/// The original makes the directory as whoever called; the daemon must be able to write there.
fn make_log_directory(log: &Path, user: &Account) -> Result<(), ServerError> {
    let Some(directory) = log.parent().filter(|directory| !directory.exists()) else { return Ok(()) };
    let failed = |source| ServerError::Storage { doing: "make", path: directory.to_owned(), source };
    if user.is_own() {
        return fs::create_dir_all(directory).map_err(failed);
    }
    // Root makes a directory, and gives it away, only where nobody else could have laid a link on the way to it.
    if is_roots_alone(directory).map_err(failed)? {
        fs::create_dir_all(directory).map_err(failed)?;
        return std::os::unix::fs::lchown(directory, Some(user.uid), Some(user.gid)).map_err(failed);
    }
    let made = as_user(user, "mkdir").arg("-p").arg(directory);
    let finished = made
        .run(&Limits::within(PATIENCE), &Cancel::new())
        .map_err(|error| failed(std::io::Error::other(error)))?;
    if finished.status.success() {
        return Ok(());
    }
    Err(failed(std::io::Error::other(finished.stderr.text().trim_end().to_owned())))
}

/// Whether all of the way to `directory` that is there is root's, without links, and nobody else may write there.
fn is_roots_alone(directory: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let Some(there) = directory.ancestors().find(|path| path.symlink_metadata().is_ok()) else {
        return Ok(false);
    };
    if there.canonicalize()? != there {
        return Ok(false);
    }
    for part in there.ancestors() {
        let metadata = part.symlink_metadata()?;
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The text of the program that the daemon starts for each request.
fn limited_stap(programs: &Programs, user: &Account) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processes = if user.is_own() { String::new() } else { format!(" --rlimit-nproc={}", 30 * cores) };
    format!(
        "#!/bin/sh\n# Made at each start of a compile server by stap-bundle: what one request may use.\n\
         # Limits of your own: --rlimit-… in the file rc beside this one; then this program isn't used.\n\
         # A farm that builds by this server asks it how much it takes at once.\n\
         case \" $* \" in *\" -D{QUESTION}=1 \"*) echo \"{STATEMENT} ${STATED}\" >&2 ;; esac\n\
         exec {} {LIMITS}{processes} \"$@\"\n",
        programs.stap()
    )
}

/// The certificate in force, made before the start if there is none, and renewed before it ends.
fn certificate(
    database: &Path,
    user: &Account,
    programs: &Programs,
) -> Result<(Certificate, bool), ServerError> {
    let now = SystemTime::now();
    let file = database.join("stap.cert");
    let found = read_certificate(&file)?;
    if let Some(certificate) = found.filter(|certificate| certificate.is_good(now, RENEW_DAYS)) {
        return Ok((certificate, false));
    }
    let generator = programs.certificate_generator()?;
    let step = if database.exists() {
        let renew = as_user(user, "sh").args(["-c", RENEW, "sh"]).arg(database).arg(generator);
        run(&renew, "renew the server's certificate", user)
    } else {
        let make = as_user(user, "sh").args(["-c", MAKE, "sh"]).arg(database).arg(generator);
        run(&make, "make the server's certificate", user)
    };
    step?;
    let missing = || ServerError::Preparation {
        step: "make the server's certificate",
        user: user.name.clone(),
        said: format!("there is no {}", file.display()),
    };
    Ok((read_certificate(&file)?.ok_or_else(missing)?, true))
}

/// Reads a server's certificate; `None` if there is none.
pub(crate) fn read_certificate(path: &Path) -> Result<Option<Certificate>, ServerError> {
    let failed = |source| ServerError::Storage { doing: "read", path: path.to_owned(), source };
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(failed(error.into_source())),
    };
    let mut bytes = Vec::new();
    file.take(CERTIFICATE_SIZE).read_to_end(&mut bytes).map_err(failed)?;
    let certificate = Certificate::read(&bytes);
    certificate.map(Some).map_err(|source| ServerError::Certificate { path: path.to_owned(), source })
}

/// A command that runs as the server's user, with nothing of our environment but what names places.
pub(crate) fn as_user(user: &Account, program: &str) -> ChildCommand {
    let command = if user.is_own() {
        ChildCommand::new(program).env_from_here("PATH").env_from_here("SYSTEMTAP_DIR")
    } else {
        // No right of root's survives, and none can come back through a setuid program.
        ChildCommand::new("setpriv")
            .arg(format!("--reuid={}", user.uid))
            .arg(format!("--regid={}", user.gid))
            .args(["--init-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"])
            .arg(program)
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
    };
    command
        .env("HOME", &user.home)
        .env("USER", &user.name)
        .env("LOGNAME", &user.name)
        .env("LC_ALL", "C.UTF-8")
        // Modules are then the same, whoever compiles them.
        .env("STAP_NTHREADS", "1")
        .current_dir("/")
}

fn run(command: &ChildCommand, step: &'static str, user: &Account) -> Result<String, ServerError> {
    let finished = command.run(&Limits::within(PATIENCE), &Cancel::new())?;
    let said = finished.stdout.text();
    if finished.status.success() {
        return Ok(said);
    }
    let said = format!("{}{said}", finished.stderr.text());
    let said = if said.trim().is_empty() { finished.status.to_string() } else { said.trim().to_owned() };
    Err(ServerError::Preparation { step, user: user.name.clone(), said })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A new database was open for everybody until its modes were set; and a renewal that failed left one that was half made.
    #[test]
    fn a_servers_database_was_open_for_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("ssl/server");
        let generator = folder.path().join("stap-gen-cert");
        let text = "#!/bin/sh\numask 0\nmkdir \"$1\"\nstat -c %a \"${1%/*}\" >>\"${0%/*}/modes\"\n: >\"$1/key4.db\"\n\
                    cat \"${0%/*}/text\" >\"$1/stap.cert\"\n";
        fs::write(&generator, text).unwrap();
        fs::set_permissions(&generator, fs::Permissions::from_mode(0o755)).unwrap();
        let run = |script: &str| {
            let command = ChildCommand::new("sh").args(["-c", script, "sh"]).arg(&database).arg(&generator);
            command.env_from_here("PATH").run(&Limits::default(), &Cancel::new()).unwrap().status.success()
        };
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let others = || fs::read_dir(folder.path().join("ssl")).unwrap().count() - 1;
        fs::write(folder.path().join("text"), "one").unwrap();
        assert!(run(MAKE));
        assert_eq!((mode(&database) & 0o022, mode(&database.join("key4.db")) & 0o022, others()), (0, 0, 0));
        fs::create_dir(database.join("moks")).unwrap();
        // The generator fails: the old one stays, and nothing else.
        fs::remove_file(folder.path().join("text")).unwrap();
        assert!(!run(RENEW));
        assert_eq!(
            (fs::read_to_string(database.join("stap.cert")).unwrap(), others()),
            ("one".to_owned(), 0)
        );
        fs::write(folder.path().join("text"), "two").unwrap();
        assert!(run(RENEW));
        assert_eq!(fs::read_to_string(database.join("stap.cert")).unwrap(), "two");
        assert!(database.join("moks").is_dir());
        assert_eq!((mode(&database) & 0o022, others()), (0, 1));
        assert_eq!(fs::read_to_string(folder.path().join("modes")).unwrap(), "700\n".repeat(3));
    }

    /// The user's link there made root give him another directory.
    #[test]
    fn a_log_below_a_directory_of_others_is_not_made_by_root() {
        assert!(is_roots_alone(Path::new("/usr/absent/stap-server")).unwrap());
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_roots_alone(&directory.path().join("logs/sub")).unwrap());
        std::os::unix::fs::symlink("/usr", directory.path().join("link")).unwrap();
        assert!(!is_roots_alone(&directory.path().join("link/sub")).unwrap());
    }
}
