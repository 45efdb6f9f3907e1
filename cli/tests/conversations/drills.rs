//! Every command of `docs/operating/drills.md`, section by section, each in a world of its own that begins as the page says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use bundle_format::{PublicKey, RootsFile};
use signing::SigningKey;

use crate::bundles::{Bundle, fleet};
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

/// A farm and hosts that are led through one drill.
struct Drill {
    world: TestWorld,
    serial: u64,
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
        let bundle = Bundle { roots, ..fleet(serial) };
        self.world.write(values("-o")[0], bundle.signed_by(&keys.iter().collect::<Vec<_>>()));
        self.serial = serial;
    }
}

#[test]
fn every_drill_of_the_page_ends_as_it_says() {
    let sections = sections();
    assert_eq!(sections.len(), 7, "one that all begin with, and six with commands: {:?}", sections.keys());
    for (heading, lines) in sections.iter().filter(|(heading, _)| !heading.is_empty()) {
        let mut drill = Drill { world: TestWorld::new(), serial: 0 };
        for host in ["host", "other"] {
            fs::create_dir_all(drill.world.path(host).join("lib/modules/6.12.1-test/kernel")).unwrap();
            drill.world.chmod(host, 0o755);
        }
        for line in sections[""].iter().chain(lines) {
            println!("{heading}: {line}");
            drill.step(line);
        }
    }
}
