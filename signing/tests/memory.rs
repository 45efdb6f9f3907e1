//! What other processes can see of a private key: a process that signs is looked into, by root and by its own user.
//!
//! It needs root (to look into a process whose memory is closed, and to be two users), `setpriv` and `strace`.

#![expect(clippy::unwrap_used, reason = "a test program fails by panicking")]

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use fixtures::memory::{forms_of_key, holds};
use signing::{KeyPairFiles, PrivateKeyFile, SigningKey};
use tempfile::TempDir;

/// The user under which the signer runs, and who looks into it.
const NOBODY: &str = "65534";

/// What the signer does before it waits to be looked into.
const HOW: &str = "STAP_BUNDLE_TEST_SIGNER";
const KEY: &str = "STAP_BUNDLE_TEST_KEY";

/// Not a test: the process that the tests look into.
#[test]
#[ignore = "run by the other tests"]
fn the_signer_that_is_looked_into() {
    let path = PathBuf::from(std::env::var_os(KEY).unwrap());
    let how = std::env::var(HOW).unwrap();
    let held = match how.as_str() {
        // As builds did.
        "holds" => Some(SigningKey::from_pem(&fs::read_to_string(&path).unwrap()).unwrap()),
        "makes" => {
            PrivateKeyFile::create(&KeyPairFiles::named(&path.with_extension(""))).unwrap();
            None
        }
        _ => {
            let key = PrivateKeyFile::open(&path).unwrap();
            key.sign_result(b"result").unwrap();
            // From a thread with a stack of its own, as builds do.
            std::thread::scope(|scope| scope.spawn(|| key.sign_result(b"another").map(drop)).join())
                .unwrap()
                .unwrap();
            None
        }
    };
    println!("\nsigned");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(held);
}

/// A signer that waits; it ends when this is dropped.
struct Signer {
    child: Child,
    folder: TempDir,
}

impl Signer {
    /// Starts a signer of `pem`, as `nobody`.
    fn start(how: &str, pem: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test must run as root: it changes users");
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        fs::copy(std::env::current_exe().unwrap(), at("signer")).unwrap();
        fs::create_dir(at("keys")).unwrap();
        if how != "makes" {
            fs::write(at("keys/farm.key"), pem).unwrap();
            fs::set_permissions(at("keys/farm.key"), Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(at("keys/farm.key"), Some(65534), Some(65534)).unwrap();
        }
        std::os::unix::fs::chown(at("keys"), Some(65534), Some(65534)).unwrap();
        let mut command = as_nobody(&at("signer"));
        command.args(["--exact", "the_signer_that_is_looked_into", "--ignored", "--nocapture"]);
        command.env(HOW, how).env(KEY, at("keys/farm.key"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "signed"), "the signer has failed");
        Self { child, folder }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the key in `pem` is in its memory, as root finds it.
    fn holds(&self, pem: &str) -> bool {
        holds(self.pid(), &forms_of_key(pem).unwrap()).unwrap()
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(program);
    command
}

fn new_key() -> String {
    SigningKey::generate().unwrap().to_pem().unwrap().to_string()
}

#[test]
fn a_process_that_has_signed_has_no_trace_of_the_key() {
    let pem = new_key();
    assert!(Signer::start("holds", &pem).holds(&pem), "the search itself finds nothing");
    assert!(!Signer::start("signs", &pem).holds(&pem));
}

#[test]
fn a_process_that_has_made_a_key_has_no_trace_of_it() {
    let signer = Signer::start("makes", "");
    let pem = fs::read_to_string(signer.folder.path().join("keys/farm.key")).unwrap();
    assert!(!signer.holds(&pem));
}

/// `gdb`, `gcore` and `strace -p` attach by ptrace(2); the rest is done by reading `/proc/PID/mem`.
#[test]
fn the_same_user_can_not_look_into_a_process_that_has_read_a_key() {
    let pem = new_key();
    let reading = |signer: &Signer| -> Output {
        let mem = format!("/proc/{}/mem", signer.pid());
        as_nobody(Path::new("dd")).arg(format!("if={mem}")).args(["count=0", "status=none"]).output().unwrap()
    };
    let tracing = |signer: &Signer| -> Output {
        let attach = ["-s", "INT", "1", "strace", "-o", "/dev/null", "-p"];
        as_nobody(Path::new("timeout")).args(attach).arg(signer.pid().to_string()).output().unwrap()
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let open = Signer::start("holds", &pem);
    assert!(reading(&open).status.success(), "without it, nothing is closed: {}", said(&reading(&open)));
    let attached = said(&tracing(&open));
    assert!(attached.contains("attached"), "{attached}");
    let closed = Signer::start("signs", &pem);
    let refused = reading(&closed);
    assert!(!refused.status.success() && said(&refused).contains("Permission denied"), "{}", said(&refused));
    let refused = said(&tracing(&closed));
    assert!(refused.contains("Operation not permitted"), "{refused}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", closed.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
