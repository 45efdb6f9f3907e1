//! The same files, read by this crate and sourced by the real bash in an empty environment, give
//! the same variables.
//!
//! All files come from a seeded generator, so a failure shows itself again. Bash runs once: it
//! sources one file after the other and forgets the variables in between. If there is no bash, the
//! test fails: without it nobody knows whether the reader is right.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test program fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use script_config::{Environment, parse_assignments};

/// How many files are generated, unless this variable says otherwise: `make test-long` takes ten times as many.
const FILES: (&str, usize) = ("STAP_BUNDLE_BASH_FILES", 5_200);
/// The variables that are compared.
const NAMES: [&str; 6] = ["A", "B", "C", "foo_OPT", "foo_REQ", "AB"];

/// `SplitMix64`: small, and the same on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        usize::try_from(z % u64::try_from(limit).unwrap()).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const LITERALS: [&str; 34] = [
    "a",
    "b",
    "Z",
    "0",
    "9",
    "_",
    "-",
    ".",
    "/",
    ",",
    "+",
    ":",
    "@",
    "%",
    "=",
    "*",
    "?",
    "[",
    "]",
    "^",
    "!",
    "}",
    "x#y",
    "a~b",
    "é",
    "日本",
    "-o",
    "/var/log/",
    "-DX=1",
    "[a-z]*",
    "*/*",
    "$",
    "$.",
    "\\\n",
];

fn subset_file(chance: &mut Chance) -> String {
    let mut text = String::new();
    for _ in 0..=chance.below(6) {
        line(chance, &mut text);
    }
    text
}

fn line(chance: &mut Chance, text: &mut String) {
    match chance.below(12) {
        0 => text.push_str("# comment with $(x) 'and \" quotes \\\n"),
        1 => text.push_str("  \t\n"),
        2 => {
            text.push_str("export ");
            let names = 1 + chance.below(3);
            for _ in 0..names {
                if chance.one_in(4) {
                    let _ = write!(text, "{} ", chance.of(&NAMES));
                } else {
                    assignment(chance, text);
                    text.push(' ');
                }
            }
            text.push('\n');
        }
        _ => {
            for _ in 0..=chance.below(3) {
                assignment(chance, text);
                text.push_str(chance.of(&[" ", ";", " ; ", "\n", "\t", " \\\n ", ";\n\n"]));
            }
            text.push_str(chance.of(&["\n", "\n", " # tail\n", "\n\n"]));
        }
    }
}

fn assignment(chance: &mut Chance, text: &mut String) {
    text.push_str(chance.of(&NAMES));
    text.push_str(chance.of(&["=", "=", "=", "+="]));
    for _ in 0..chance.below(5) {
        piece(chance, text);
    }
}

fn piece(chance: &mut Chance, text: &mut String) {
    match chance.below(8) {
        0 | 1 => text.push_str(chance.of(&LITERALS)),
        2 => single_quoted(chance, text),
        3 | 4 => {
            text.push('"');
            for _ in 0..chance.below(5) {
                quoted_piece(chance, text);
            }
            text.push('"');
        }
        5 => {
            text.push('\\');
            let escaped = ["a", " ", ";", "#", "'", "\"", "$", "~", "\\", "&", "(", "`", "é", "\t"];
            text.push_str(chance.of(&escaped));
        }
        6 => variable(chance, text, false, 0),
        _ => {
            let _ = write!(text, "${}", chance.of(&NAMES));
        }
    }
}

fn single_quoted(chance: &mut Chance, text: &mut String) {
    text.push('\'');
    let inside = ["a", " ", "$A", "\"", "\\", "`", "\n", "\t", "#", "$(x)", "é", "~", "\\\n", ";"];
    for _ in 0..chance.below(5) {
        text.push_str(chance.of(&inside));
    }
    text.push('\'');
}

fn quoted_piece(chance: &mut Chance, text: &mut String) {
    if chance.one_in(4) {
        variable(chance, text, true, 0);
        return;
    }
    text.push_str(chance.of(&[
        "a",
        " ",
        "$A",
        "$B",
        "'",
        "\\\"",
        "\\\\",
        "\\$",
        "\\`",
        "\\x",
        "\\'",
        "\n",
        "\\\n",
        "\t",
        "#",
        ";",
        "|",
        "(",
        "{",
        "}",
        "~",
        "*",
        "é",
        "$ ",
        "$.",
        "!",
        "-D FOO=1",
        "/var/log/x.out",
    ]));
}

fn variable(chance: &mut Chance, text: &mut String, quoted: bool, depth: usize) {
    text.push_str("${");
    text.push_str(chance.of(&NAMES));
    if chance.one_in(2) {
        text.push_str(":-");
        for _ in 0..chance.below(4) {
            match chance.below(if quoted { 6 } else { 8 }) {
                0 if depth < 3 => variable(chance, text, quoted, depth + 1),
                1 => text.push_str(chance.of(&["$A", "$C", "$"])),
                2 => text.push_str(chance.of(&["\\}", "\\\\", "\\$", "\\\"", "\\x", "\\ ", "\\\n"])),
                0 | 3 => text.push_str(chance.of(&[" ", "  ", "\t", ";", "#", "|", "&", "a~", "*"])),
                4 | 5 => text.push_str(chance.of(&LITERALS[..21])),
                6 => single_quoted(chance, text),
                _ => text.push_str("\"q $A\\\" 'x'\""),
            }
        }
    }
    text.push('}');
}

fn wild_file(chance: &mut Chance) -> String {
    let alphabet = [
        "A", "C", "=", "+", "$", "\"", "'", "\\", " ", "\n", "\t", ";", "{", "}", ":", "-", "~", "#", "(",
        ")", "`", "*", "?", "!", "<", ">", "&", "|", "é", "x", "1", "\r", "${A}", "$A", "${C:-", "export ",
        "\\\n", "[", "]", "_", "\u{a0}", "%", "/", "^", ",", "@", "\u{7f}",
    ];
    let mut text = String::from("A=");
    for _ in 0..2 + chance.below(12) {
        text.push_str(chance.of(&alphabet));
    }
    text
}

type Variables = BTreeMap<String, String>;

fn ours(text: &str) -> Option<Variables> {
    let mut environment = Environment::new();
    parse_assignments("file", text, &mut environment).ok()?;
    let of = |name: &str| Some((name.to_owned(), environment.text(name)?.to_owned()));
    Some(NAMES.into_iter().filter_map(of).collect())
}

/// Sources every file with one bash and returns the variables after each.
fn bash(files: &[String]) -> Vec<Variables> {
    const PROGRAM: &str = r#"
        cd "$1" || exit 1
        names=$2
        for ((file = 0; file < $3; file++)); do
            # All names that the generators can make up; bash has none of its own among them.
            unset -v $names ${!A*} ${!C*} ${!x*} ${!_*}
            . "./$file"
            for name in $names; do
                [[ -v $name ]] && printf '%s=%s\0' "$name" "${!name}"
            done
            printf '\0'
        done
    "#;
    let folder = std::env::temp_dir().join(format!("bash-differential-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    for (number, text) in files.iter().enumerate() {
        std::fs::write(folder.join(number.to_string()), text).unwrap();
    }
    let output = Command::new("bash")
        .args(["--norc", "--noprofile", "-c", PROGRAM, "bash"])
        .arg(&folder)
        .args([NAMES.join(" "), files.len().to_string()])
        .env_clear()
        .output();
    std::fs::remove_dir_all(&folder).unwrap();
    let output = output.expect("this test needs bash");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "bash complains about a file");
    assert!(output.status.success(), "{}", output.status);
    let mut all = Vec::new();
    let mut variables = Variables::new();
    for record in String::from_utf8(output.stdout).unwrap().split('\0') {
        match record.split_once('=') {
            Some((name, text)) => {
                variables.insert(name.to_owned(), text.to_owned());
            }
            None => all.push(std::mem::take(&mut variables)),
        }
    }
    all.pop();
    all
}

#[test]
fn generated_files_mean_what_bash_says_they_mean() {
    let mut chance = Chance(2026);
    let mut files = Vec::new();
    let mut expected = Vec::new();
    let mut keep = |text: String| {
        if let Some(variables) = ours(&text) {
            expected.push(variables);
            files.push(text);
        }
        files.len()
    };
    let total = match std::env::var(FILES.0) {
        Ok(number) => number.parse().unwrap(),
        Err(_) => FILES.1,
    };
    // Files made from the grammar of the subset: nearly all are read.
    let from_grammar = total * 3 / 13;
    let mut subset = 0;
    for _ in 0..from_grammar {
        subset = keep(subset_file(&mut chance));
    }
    // Of the rest only the characters are chosen: most are refused, and the others must agree.
    let wild = total - from_grammar;
    let mut all = subset;
    for _ in 0..wild {
        all = keep(wild_file(&mut chance));
    }
    println!("{subset} files of the subset, {} others", all - subset);
    assert!(subset >= from_grammar * 5 / 6, "only {subset} of {from_grammar} generated files were read");
    assert!(all - subset >= wild / 40, "only {} of {wild} wild files were read", all - subset);
    let found = bash(&files);
    assert_eq!(found.len(), files.len());
    let differing: Vec<_> = (0..files.len()).filter(|&number| expected[number] != found[number]).collect();
    for &number in differing.iter().take(10) {
        println!("file: {:?}\n  ours: {:?}\n  bash: {:?}", files[number], expected[number], found[number]);
    }
    assert_eq!(differing.len(), 0, "of {} files", files.len());
}
