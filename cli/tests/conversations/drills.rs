//! Every command of `docs/operating/drills.md`, section by section, each in a world of its own that begins as the page says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use bundle_format::{PublicKey, RootsFile};
use fixtures::user::needs_root;
use signing::SigningKey;

use crate::bundles::{Bundle, fleet};
use crate::limited::{on_this_root, running_release};
use crate::world::TestWorld;

/// The command lines of each section of the page, by its heading; what every section begins with has none.
fn sections() -> BTreeMap<String, Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating/drills.md");
    let text = fs::read_to_string(page).unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut heading = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            name.clone_into(&mut heading);
        } else if ["farm$ ", "host# ", "other# "].iter().any(|prompt| line.starts_with(prompt)) {
            found.entry(heading.clone()).or_default().push(line.to_owned());
        }
    }
    found
}

/// The section in which the host's clock begins with 1970 at each boot.
const DEAD_CLOCK: &str = "A host with a dead clock";

/// A farm and hosts that are led through one drill.
struct Drill {
    world: TestWorld,
    serial: u64,
    clock_is_dead: bool,
    /// The release of the machine that is `host` where its clock is asked.
    running: &'static str,
}

impl Drill {
    fn step(&mut self, line: &str) {
        let (line, shown) = line.split_once(" # shows ").unwrap_or((line, ""));
        let (line, expected) = match line.split_once(" # ends with ") {
            Some((line, code)) => (line, code.parse().unwrap()),
            None => (line, 0),
        };
        let (who, command) = line.split_once(' ').unwrap();
        let command = self.with_ids(command);
        match (who, command.strip_prefix("stap-bundle ")) {
            ("farm$", Some(build)) if build.starts_with("build ") => self.build(build),
            ("farm$", Some(words)) => self.ends_with(expected, shown, words),
            ("host#", Some(words)) if self.clock_is_dead => self.ends_in_1970(expected, shown, words),
            ("host#", Some(words)) => self.ends_with(expected, shown, &format!("--root host {words}")),
            ("other#", Some(words)) => self.ends_with(expected, shown, &format!("--root other {words}")),
            (_, Some(words)) => panic!("who does `{words}`?"),
            (_, None) => self.shell(&command),
        }
    }

    fn ends_with(&self, code: i32, shown: &str, words: &str) {
        let said = self.world.run(words);
        assert_eq!(said.exit, Some(code), "{said}");
        assert!(said.to_string().contains(shown), "`{shown}` isn't in {said}");
    }

    /// The same on a host that is asked what time it is, which `--root` doesn't do.
    fn ends_in_1970(&self, code: i32, shown: &str, words: &str) {
        let said = on_this_root(&self.world, "exec faketime '1970-01-01 00:01:00'", words);
        assert!(said.ends_with(&format!("[exit {code}]")), "{said}");
        assert!(said.contains(shown), "`{shown}` isn't in {said}");
    }

    /// What is done with other tools on the host, below its root.
    fn shell(&self, command: &str) {
        let inside = command.strip_prefix("cd / && ").unwrap().replace("/root/", "../");
        let status = Command::new("sh").args(["-ec", &inside]).current_dir(self.world.path("host")).status();
        assert!(status.unwrap().success(), "{command}");
    }

    /// `ID-OF-NAME` is the id of the key in NAME.pub.
    fn with_ids(&self, command: &str) -> String {
        let word = |word: &str| match word.strip_prefix("ID-OF-") {
            Some(name) => self.public(name).id().to_string(),
            None => word.to_owned(),
        };
        command.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    fn public(&self, name: &str) -> PublicKey {
        PublicKey::from_pem(&fs::read_to_string(self.world.path(&format!("{name}.pub"))).unwrap()).unwrap()
    }

    /// The file that `build` would write with these keys and roots.
    fn build(&mut self, words: &str) {
        let words: Vec<&str> = words.split_whitespace().collect();
        let values = |option: &str| -> Vec<&str> {
            words.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1]).collect()
        };
        let read = |name: &str| fs::read(self.world.path(name)).unwrap();
        let key = |name: &&str| SigningKey::from_pem(&String::from_utf8(read(name)).unwrap()).unwrap();
        let keys: Vec<SigningKey> = values("--key").iter().map(key).collect();
        let roots =
            values("--roots").first().map(|name| RootsFile::read(&read(name)).unwrap().complete().unwrap());
        let serial = values("--serial").first().map_or(self.serial + 1, |serial| serial.parse().unwrap());
        let days = values("--best-before").first().map(|days| days.parse::<u64>().unwrap());
        let kernels = vec!["6.12.1-test", "6.13.0-test", self.running];
        let mut bundle = Bundle { kernels, roots, ..fleet(serial) };
        bundle.best_before = days.map(|days| bundle.created() + days * 86_400);
        self.world.write(values("-o")[0], bundle.signed_by(&keys.iter().collect::<Vec<_>>()));
        self.serial = serial;
    }
}

#[test]
fn every_drill_of_the_page_ends_as_it_says() {
    needs_root();
    let running: &'static str = running_release().leak();
    let sections = sections();
    assert_eq!(sections.len(), 8, "one that all begin with, and seven drills: {:?}", sections.keys());
    for (heading, lines) in sections.iter().filter(|(heading, _)| !heading.is_empty()) {
        let mut drill = Drill { world: TestWorld::new(), serial: 0, clock_is_dead: false, running };
        for host in ["host", "other"] {
            fs::create_dir_all(drill.world.path(host).join("lib/modules/6.12.1-test/kernel")).unwrap();
            drill.world.chmod(host, 0o755);
        }
        for directory in ["host/etc", "host/run", "host/var", "staprun"] {
            fs::create_dir_all(drill.world.path(directory)).unwrap();
            drill.world.chmod(directory, 0o755);
        }
        for (position, line) in sections[""].iter().chain(lines).enumerate() {
            drill.clock_is_dead = heading == DEAD_CLOCK && position >= sections[""].len();
            println!("{heading}: {line}");
            drill.step(line);
        }
    }
}
