//! Sections 2, 3 and 5 of the initscript's README, run as written: `docs/compatibility.md` has its commands in a table, each with what
//! it says and how it ends, and the test carries them out one after the other on one host.

use std::fs;
use std::path::{Path, PathBuf};

use builder::ScriptSource;
use bundle_format::Digest;
use fixtures::module::tiny_module;
use script_config::{SourceText, conf_d_order};
use service::LocalModule;

use super::*;

/// The heading of the table.
const TABLE: &str = "### The initscript's README, command by command";

/// What the README's editor writes, by section. Under the name `group1` it isn't read.
const EDITED: [(&str, &str, &str); 5] = [
    ("5.2.2", "group1", "script1_OPT=\"-o /var/log/group1.log -DRELAYHOST=group1\"\n"),
    ("5.2.2", "group1.conf", "script1_OPT=\"-o /var/log/group1.log -DRELAYHOST=group1\"\n"),
    ("5.2.3", "group1.conf", "script2_OPT=\"-DRELAYGUEST=group1\"\nscript2_REQ=script1\n"),
    ("5.5.1", "group1.conf", "script3_OPT=\"-DRELAYGUEST=group1\"\nscript3_REQ=\"script1\"\n"),
    ("5.6.1", "group1.conf", ""),
];

/// One line of the table.
struct Row {
    section: String,
    command: String,
    said: String,
    exit: Option<u8>,
}

fn rows() -> Vec<Row> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, table) = page.split_once(TABLE).unwrap();
    let lines = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let lines = lines.take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, section, command, said, exit, _, _] = cells.as_slice() else { panic!("{line}") };
        Row {
            section: (*section).to_owned(),
            command: command.trim_matches('`').to_owned(),
            said: said.trim_matches('`').to_owned(),
            exit: exit.parse().ok(),
        }
    };
    lines.map(row).collect()
}

/// The host of the README, and the machine on which it is typed.
struct Walk {
    world: World,
}

impl Walk {
    fn at(&self, path: &str) -> PathBuf {
        self.world.dir.path().join(path.trim_start_matches('/'))
    }

    fn configuration(&self) -> Configuration {
        let conf_d = self.at("/etc/systemtap/conf.d");
        let names: Vec<String> = fs::read_dir(&conf_d)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut files = vec![self.at("/etc/systemtap/config")];
        files
            .extend(conf_d_order(names.iter().map(String::as_str)).into_iter().map(|name| conf_d.join(name)));
        let text = |path: &PathBuf| SourceText {
            path: path.display().to_string(),
            text: fs::read_to_string(path).unwrap_or_default(),
        };
        Configuration::load(&files.iter().map(text).collect::<Vec<_>>()).0
    }

    fn opened(&self, named: BTreeSet<script_config::ScriptName>) -> Opened {
        let own = self.configuration();
        let parameters = GlobalParameters { auto_compile: false, ..own.parameters().clone() };
        let identity = HostIdentity { version: Some("#1 SMP".into()), ..identity() };
        Opened { parameters, own, ..Opened::for_test(self.world.host(), identity, named) }
    }

    /// What AUTOCOMPILE makes before a start. The compiler itself is the lab's to test.
    fn autocompile(&self) {
        let opened = self.opened(BTreeSet::new());
        for entry in fs::read_dir(self.at("/etc/systemtap/script.d")).unwrap() {
            let path = entry.unwrap().path();
            let name: script_config::ScriptName =
                path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            let settings = opened.own.settings_of(&name).unwrap().clone();
            let text = fs::read(&path).unwrap();
            let source =
                ScriptSource::new(name, text, 0, &settings.options, settings.requires, settings.users);
            let of_source = source.record();
            let vermagic = format!("{RELEASE} SMP preempt mod_unload modversions ");
            let module = tiny_module(source.name().as_str(), &vermagic);
            let record = LocalModule {
                schema: LocalModule::SCHEMA,
                script: source.name().clone(),
                release: RELEASE.parse().unwrap(),
                uname_v: Some("#1 SMP".into()),
                sha256: Digest::of(&module),
                source_sha256: Some(of_source.source_sha256),
                opts_line: of_source.opts_line.clone(),
                run: of_source.run.clone(),
                requires: of_source.requires.clone(),
                compiled: 1_700_000_000,
                adopted: None,
            };
            opened.service().store_local(&record, &module, "Linux").unwrap();
        }
    }

    /// Carries out a command of the initscript; `y` answers every question.
    fn service(&self, line: &str) -> Said {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let mut out = Vec::new();
        let mut err = Vec::new();
        let mut input = "y\n".as_bytes();
        let mut console = Console { out: &mut out, err: &mut err, input: &mut input, is_terminal: false };
        let exit = match parse(&words) {
            Err(problem) => usage(&mut console, &problem),
            Ok(request) => {
                if line.starts_with("start") || line.starts_with("restart") {
                    self.autocompile();
                }
                act::act(&request, &self.opened(request.named.clone()), &mut console, &mut quiet())
            }
        };
        Said { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }

    fn listed(&self, directory: &str) -> Said {
        let entries = fs::read_dir(self.at(directory)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        Said { exit: 0, out: names.join("\n"), err: String::new() }
    }

    fn found(&self, word: &str, file: &str) -> Said {
        let text = fs::read_to_string(self.at(file)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(word)).collect();
        Said { exit: u8::from(lines.is_empty()), out: lines.join("\n"), err: String::new() }
    }

    /// Carries out a line of the README; nothing for one that is somebody else's.
    fn run(&self, row: &Row) -> Option<Said> {
        let words: Vec<&str> = row.command.split(' ').collect();
        match words.as_slice() {
            ["service", "systemtap", ..] => return Some(self.service(&words[2..].join(" "))),
            ["cp", script, directory] => {
                fs::write(self.at(directory).join(script), format!("probe begin {{}} # {script}\n")).unwrap();
            }
            ["ls", directory] => return Some(self.listed(directory)),
            ["grep", word, file] => return Some(self.found(word, file)),
            ["rm", file] => fs::remove_file(self.at(file)).unwrap(),
            ["vi", file] => {
                let name = file.rsplit('/').next().unwrap();
                let edit = EDITED.iter().find(|(section, of, _)| *section == row.section && *of == name);
                let (.., lines) = edit.unwrap_or_else(|| panic!("{}: {}", row.section, row.command));
                let before = fs::read_to_string(self.at(file)).unwrap_or_default();
                let stays = |line: &&str| row.section != "5.6.1" || !line.starts_with("script2_");
                let kept: Vec<&str> = before.lines().filter(stays).collect();
                fs::write(self.at(file), kept.join("\n") + "\n" + lines).unwrap();
            }
            ["script1", "fails"] => self.world.fake.behave("script1", "load fail ERROR: no").unwrap(),
            ["script1", "works"] => self.world.fake.behave("script1", "").unwrap(),
            _ => panic!("{}: no way to carry out `{}`", row.section, row.command),
        }
        None
    }
}

#[test]
fn the_commands_of_the_readme_run_as_written() {
    let walk = Walk { world: World::new() };
    for directory in ["script.d", "conf.d"] {
        fs::create_dir_all(walk.at("/etc/systemtap").join(directory)).unwrap();
    }
    fs::create_dir_all(walk.at("/var/log")).unwrap();
    let rows = rows();
    assert!(rows.len() > 30, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| row.said != "–") {
        let Some(said) = walk.run(row) else {
            assert_eq!(row.said, "", "{}: {}", row.section, row.command);
            continue;
        };
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        let lines = said.out.lines().chain(said.err.lines()).map(str::trim_end).map(|line| {
            match line.split_once('(') {
                Some((name, rest)) if rest.split_once(')').is_some_and(|(pid, _)| digits(pid)) => {
                    format!("{name}(PID){}", rest.split_once(')').unwrap().1)
                }
                _ => line.replace(walk.world.dir.path().to_str().unwrap(), ""),
            }
        });
        let found = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ⏎ ");
        // A row may show the beginning alone.
        let is_right = match row.said.strip_suffix('…') {
            Some(begin) => found.starts_with(begin),
            None => found == row.said,
        };
        if !is_right || Some(said.exit) != row.exit {
            wrong.push(format!("{} `{}`: `{found}` {}", row.section, row.command, said.exit));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
