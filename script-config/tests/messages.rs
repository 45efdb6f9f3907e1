//! Every message as a user sees it: place, severity, text, id and next step.

use std::collections::BTreeSet;

use script_config::{Configuration, ScriptName, SourceText, conf_d_warning};

/// One line for each cause in the reader of assignments.
const SYNTAX: &str = r#"echo hi
. /etc/default/systemtap
if true; then A=1; fi
setup() { A=1; }
PASSALL = no
foo_OPT= -g
foo_OPT=-o /var/log/x
net-drop_OPT=-g
A=(1 2)
export -n A
export A={a,b}
A=1 | B=2
A=$(hostname)
A=<(x)
A=$((1 + 1))
A=$'\t'
A=$1
A=${B%.log}
A="${B:-'x'}"
A=${B:-${B:-${B:-${B:-${B:-${B:-${B:-${B:-${B:-${B:-${B:-${B:-${B:-${B:-${B:-${B:-${B:-x}}}}}}}}}}}}}}}}}
A=~/log
UID=0
A=$RANDOM
A=$HOSTNAME
LANG=C
A=$NOWHERE
A='x
"#;

/// Files whose problem needs a file of its own.
const ODD: [&str; 4] = ["A=1\r\n", "A=\u{1}", "\u{feff}A=1", "A=1\\"];

/// One line for each cause in parameters and settings.
const VALUES: &str = "\
PASSALL=true
RECURSIVE=
CACHE_PATH=cache
DEFAULT_START='a bad-name'
PASALL=no
SETTING=1
KRELEASE=6.1
a_REQ='b-c 9x'
a_USERS=everyone
b_REQ='c ghost'
c_REQ=b
scrpt_OPT=-g
nobody_OPT=-g
_OPT=-g
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_OPT=-g
";

/// One line for each cause in options.
const OPTIONS: [&str; 22] = [
    "-D it's",
    "-D x\\",
    "-Z",
    "--skip-badvar5",
    "--dump",
    "-g -D",
    "--ldd=1",
    "-l syscall.*",
    "-s 5000",
    "-o /x -S many",
    "-x init",
    "-c ''",
    "-o x.out",
    "-o /x -c 'ls -l'",
    "-S 10,5",
    "-c ls -x 1",
    "--suppress-time-limits -g",
    "-p4",
    "-T 10",
    "--all-modules",
    "-D 'A'",
    "-g 10",
];

fn configuration(files: &[(&str, &str)]) -> (Configuration, String) {
    let sources: Vec<SourceText> = files
        .iter()
        .map(|(path, text)| SourceText { path: (*path).to_owned(), text: (*text).to_owned() })
        .collect();
    let (configuration, problems) = Configuration::load(&sources);
    let lines: Vec<String> = problems.iter().map(script_config::ConfigProblem::render).collect();
    (configuration, lines.join("\n"))
}

#[test]
fn each_message_of_the_syntax() {
    let mut text = configuration(&[("/etc/systemtap/config", SYNTAX)]).1;
    for odd in ODD {
        text = text + "\n" + &configuration(&[("odd.conf", odd)]).1;
    }
    insta::assert_snapshot!(text);
}

#[test]
fn each_message_of_parameters_and_settings() {
    let late = ("conf.d/late.conf", "CONFIG_PATH=/elsewhere");
    let (configuration, mut text) = configuration(&[("/etc/systemtap/config", VALUES), late]);
    let known: BTreeSet<ScriptName> =
        ["a", "b", "c", "script"].iter().map(|name| name.parse().unwrap()).collect();
    for problem in configuration.check_scripts(&known) {
        text = text + "\n" + &problem.render();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn each_message_of_the_options() {
    let lines: Vec<String> = OPTIONS
        .iter()
        .enumerate()
        .map(|(at, text)| script_config::write_assignment(&format!("s{at:02}_OPT"), text))
        .collect();
    insta::assert_snapshot!(configuration(&[("conf.d/group1.conf", &lines.join("\n"))]).1);
}

#[test]
fn each_message_about_files() {
    let folder = "/etc/systemtap/conf.d";
    let mut lines: Vec<String> = [conf_d_warning(folder, "group1"), conf_d_warning(folder, ".x.conf")]
        .into_iter()
        .flatten()
        .map(|problem| problem.render())
        .collect();
    lines.push(SourceText::from_bytes("config", b"A=\xe9").unwrap_err().render());
    insta::assert_snapshot!(lines.join("\n"));
}
