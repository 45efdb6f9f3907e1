//! Which machine this is, as far as a bundle must fit it.

use std::time::Duration;

use bundle_format::{KernelRelease, Machine};
use child::{Cancel, ChildCommand, Limits};
use files::FileSystem;
use installer::HostIdentity;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;

/// What this host says about itself. Under `--root` no process is started and no `uname` asked: the kernel is
/// unknown, and the node's name is that of its `/etc/hostname`.
pub(crate) fn identity(global: &Global, root: &FileSystem) -> Result<HostIdentity, Failure> {
    if global.root.is_some() {
        let name = root.read_file("/etc/hostname", 4096).unwrap_or_default();
        return Ok(HostIdentity {
            release: None,
            machine: machine(std::env::consts::ARCH)?,
            version: None,
            uname_a: None,
            node: first_word(&name),
        });
    }
    let uname = rustix::system::uname();
    let text = |field: &std::ffi::CStr| field.to_string_lossy().into_owned();
    let release: KernelRelease = text(uname.release())
        .parse()
        .map_err(|error| Failure::of(Exit::DoesNotFit, &error).about("the running kernel"))?;
    Ok(HostIdentity {
        release: Some(release),
        machine: machine(&text(uname.machine()))?,
        version: Some(text(uname.version())),
        uname_a: Some(uname_a(&uname)),
        node: text(uname.nodename()),
    })
}

/// A host name as `/etc/hostname` holds it: the first word of the first line; `localhost` for a file without one.
fn first_word(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let word = text.lines().next().and_then(|line| line.split_whitespace().next());
    let safe = word.filter(|word| word.bytes().all(|b| b.is_ascii_graphic()));
    safe.unwrap_or("localhost").to_owned()
}

fn machine(name: &str) -> Result<Machine, Failure> {
    name.parse().map_err(|error| Failure::of(Exit::DoesNotFit, &error).about("this machine"))
}

/// The line that `uname -a` prints here. Its last fields differ between distributions, and the initscript compares
/// the whole line (INIT-CACHE-02), so the host's own program is asked.
fn uname_a(uname: &rustix::system::Uname) -> String {
    let asked = ChildCommand::new("uname")
        .arg("-a")
        .env_from_here("PATH")
        .run(&Limits::within(Duration::from_secs(10)), &Cancel::new());
    match asked {
        Ok(finished) if finished.status.success() => finished.stdout.text().trim_end().to_owned(),
        _ => {
            let fields =
                [uname.sysname(), uname.nodename(), uname.release(), uname.version(), uname.machine()];
            let fields: Vec<_> = fields.iter().map(|field| field.to_string_lossy()).collect();
            format!("{} GNU/Linux", fields.join(" "))
        }
    }
}
