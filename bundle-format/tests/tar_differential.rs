//! GNU tar, bsdtar and Python's tarfile see in a bundle what its manifest lists, and nothing else (A4).
//!
//! Bundles come from a seeded generator and are laid end to end in one directory; each program is started once for many.
//! A few of them are compared here; `STAP_BUNDLE_TAR_BUNDLES` says how many there shall be (tests/tiers.sh).

#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bundle_format::{Manifest, RawBundle, Stream, TrustedKeys};
use fixtures::forge::{Forge, farm, public};

/// Bundles of a quick run.
const FEW: u64 = 40;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn text(&mut self, first: &str, rest: &str, most: u64) -> String {
        let len = self.below(most);
        let mut pick = |set: &str| {
            let at = usize::try_from(self.below(set.len() as u64)).unwrap();
            char::from(set.as_bytes()[at])
        };
        std::iter::once(pick(first)).chain((0..len).map(|_| pick(rest))).collect()
    }

    fn release(&mut self, number: usize) -> String {
        let text = self.text("0123456789abcXYZ", "0123456789.abcXYZ_+~-", 60).replace("..", ".-");
        // Its own number, so that no two are the same.
        let text: String = text.chars().take(58).collect();
        format!("{text}-{number}")
    }

    /// A bundle with up to four kernels and three extras; contents are of any length.
    fn bundle(&mut self) -> Forge {
        let kernels = 1 + usize::try_from(self.below(4)).unwrap();
        let releases: Vec<String> = (0..kernels).map(|number| self.release(number)).collect();
        let releases: Vec<&str> = releases.iter().map(String::as_str).collect();
        let mut forge = Forge::of("fleet", 7, &releases);
        for number in 0..self.below(4) {
            let letters = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
            let name = self.text(letters, &format!("{letters}._-"), 50);
            let len = usize::try_from(
                [0, 1, 511, 512, 513, self.below(3000)][usize::try_from(self.below(6)).unwrap()],
            );
            forge.add_extra(&format!("{name}.{number}"), &vec![b'x'; len.unwrap()]);
        }
        forge
    }
}

/// Name and size of each member, as the manifest has them.
fn listed(manifest: &Manifest, raw_len: usize) -> String {
    let mut list = format!("stap-bundle 512\nsignatures 1540\nroots 0\nmanifest.json {raw_len}\n");
    for extra in &manifest.extras {
        writeln!(list, "{} {}", extra.name, extra.size).unwrap();
    }
    for of in manifest.frames() {
        writeln!(list, "{} {}", of.member, of.frame.size).unwrap();
    }
    list
}

/// How many bundles.
fn asked() -> u64 {
    std::env::var("STAP_BUNDLE_TAR_BUNDLES").map_or(FEW, |text| text.parse().unwrap())
}

/// What a program prints, given the script `text` on its standard input.
fn said(program: &str, arguments: &[&str], text: &str, directory: &Path) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("LC_ALL", "C").env("TZ", "UTC");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} refuses a bundle");
    String::from_utf8(output.stdout).unwrap()
}

/// A line of `tar -tv` as `name size`; also that it is a regular file of root's with mode 0644 and time 0.
fn from_verbose(line: &str, epoch: &str) -> String {
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert!(fields[0] == "-rw-r--r--" && line.contains(epoch), "{line}");
    // GNU tar prints `0/0 SIZE`, bsdtar `LINKS 0 0 SIZE`.
    let (["0/0", size, ..] | ["0", "0", "0", size, ..]) = fields[1..] else {
        panic!("another owner than root: {line}");
    };
    format!("{} {size}\n", fields.last().unwrap())
}

const PYTHON: &str = r"
import sys, tarfile
for number in range(int(sys.argv[1])):
    print('=', number)
    with tarfile.open(f'{number}.stapb', 'r:') as bundle:
        for member in bundle:
            assert member.isreg() and member.mode == 0o644 and member.uid == member.gid == member.mtime == 0, member
            assert not member.pax_headers and not member.linkname and not member.uname and not member.gname
            print(member.name, member.size)
        # One zero block was taken for the end; the other follows, and nothing else.
        assert bundle.fileobj.read() == bytes(512)
";

#[test]
fn three_tar_readers_list_what_the_manifest_says() {
    let count = asked();
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(0x7a72_0001);
    let mut expected = String::new();
    for number in 0..count {
        let forge = random.bundle();
        let bytes = forge.sealed().bytes();
        let raw = RawBundle::read(Stream(bytes.as_slice())).unwrap();
        let len = raw.manifest_len();
        let bundle = raw.verify(&TrustedKeys::any_of([public(&farm())])).unwrap();
        writeln!(expected, "= {number}\n{}", listed(bundle.manifest(), len).trim_end()).unwrap();
        fs::write(directory.path().join(format!("{number}.stapb")), bytes).unwrap();
    }
    let loop_over = |program: &str| {
        format!(
            "n=0; while [ $n -lt {count} ]; do echo = $n; {program} -tvf $n.stapb || exit 1; n=$((n+1)); done"
        )
    };
    for (program, epoch) in [("tar", "1970-01-01 00:00"), ("bsdtar", "Jan  1  1970")] {
        let lines = said("sh", &[], &loop_over(program), directory.path());
        let mut found = String::new();
        for line in lines.split_inclusive('\n') {
            found += &if line.starts_with("= ") { line.to_owned() } else { from_verbose(line, epoch) };
        }
        assert!(found == expected, "{program} sees something else in a bundle");
    }
    let found = said("python3", &["-", &count.to_string()], PYTHON, directory.path());
    assert!(found == expected, "tarfile sees something else in a bundle");
}
