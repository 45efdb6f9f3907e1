//! Every message as a user sees it: place, severity, text, id and next step.

use std::collections::BTreeSet;

use script_config::{
    ConfigProblem, Configuration, EvaluatedFile, EvaluationCause, FileCause, Place, ScriptName, SourceText,
    VariableChange, conf_d_warning,
};

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
DEFAULT_START='a bad-name scrip'
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
const OPTIONS: [&str; 21] = [
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
    "-c 'ls -l'",
    "-o x.out",
    "-S 10,5",
    "--suppress-time-limits -g",
    "-p4",
    "-T 10",
    "--all-modules",
    "-D 'A'",
    "-g 10",
    "-DRELAYHOST=group1 -g",
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

/// Of the reader of assignments too, but too long for its list.
#[test]
fn the_message_of_a_value_that_is_too_long() {
    let text = format!("A={}\n", "x".repeat(128 * 1024 + 1));
    insta::assert_snapshot!(configuration(&[("config", &text)]).1, @r"
    config:1:1: error: value of A is longer than 131072 bytes [config-value-too-long]
      hint: shorten it
    ");
}

#[test]
fn each_message_of_names() {
    let long = "x".repeat(56);
    let texts = ["", "9x", "net-drop", "a\tb", &long].map(|text| text.parse::<ScriptName>().unwrap_err());
    insta::assert_snapshot!(texts.map(|error| error.to_string()).join("\n"), @r#"
    script name is empty
    script name "9x" starts with the digit '9', a letter or _ must come first
    script name "net-drop" contains '-', only letters, digits and _ are allowed
    script name "a\tb" contains '\t', only letters, digits and _ are allowed
    script name "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" has 56 characters, at most 55 fit a kernel module
    "#);
}

#[test]
fn each_message_of_dependencies() {
    let name = |text: &str| text.parse::<ScriptName>().unwrap();
    let names = |text: &str| text.split_whitespace().map(name).collect::<BTreeSet<_>>();
    let text = "a_REQ=b\nb_REQ=a\nc_REQ=ghost\nd_REQ=e\n";
    let (configuration, _) = configuration(&[("config", text)]);
    let graph = configuration.dependency_graph(&names("a b c d e"));
    let mut texts: Vec<String> = ["a", "c", "nobody"]
        .map(|script| graph.start_order(&names(script), true).unwrap_err().to_string())
        .into();
    texts.push(graph.stop_order(&names("e"), &names("d e"), false).unwrap_err().to_string());
    insta::assert_snapshot!(texts.join("\n"), @r"
    requirements form a cycle: a -> b -> a
    script ghost doesn't exist, and is required by c
    there is no script nobody
    e is required by d, still running
    ");
}

/// What bash may say and give, on a farm that has it evaluate the files.
#[test]
fn each_message_of_evaluated_files() {
    let set = |name: &str, text: &[u8]| VariableChange::Set {
        name: name.to_owned(),
        array: name.starts_with("array"),
        text: text.to_owned(),
    };
    let source = SourceText { path: "/etc/systemtap/config".to_owned(), text: String::new() };
    let changes = vec![set("a_OPT", b"caf\xe9"), set("array_OPT", b"-g"), set("b_OPT", b"-g\r")];
    let complaints = vec![
        ConfigProblem::new(
            Some(Place::whole_line(source.path.as_str(), 3)),
            EvaluationCause::Complaint { text: "hostnme: command not found".to_owned() },
        ),
        ConfigProblem::new(
            Some(Place::whole_file(source.path.as_str())),
            EvaluationCause::Prints { text: "hello".to_owned() },
        ),
        ConfigProblem::new(
            Some(Place::whole_line(source.path.as_str(), 4)),
            EvaluationCause::Outside { what: "/etc/redhat-release".to_owned() },
        ),
    ];
    let (_, problems) = Configuration::evaluated(&[EvaluatedFile { source, changes }], complaints);
    let lines: Vec<String> = problems.iter().map(ConfigProblem::render).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    /etc/systemtap/config: warning: the file prints "hello" [config-prints]
      hint: remove the command that prints, or send its output to /dev/null
    /etc/systemtap/config: error: value of a_OPT isn't UTF-8 [config-value-not-utf8]
      hint: give a_OPT a value of UTF-8 text
    /etc/systemtap/config: error: array array_OPT isn't read [config-array]
      hint: write the words in one value: array_OPT="one two"
    /etc/systemtap/config: error: line ends in CR LF, and the CR would become part of the value [config-carriage-return]
      hint: convert the file: sed -i 's/\r$//' FILE
    /etc/systemtap/config:3: error: bash says: hostnme: command not found [config-bash]
      hint: correct the line; bash sees only this configuration and /usr, and no environment
    /etc/systemtap/config:4: warning: /etc/redhat-release is outside of the sandbox: what depends on it is frozen as the sandbox has it [config-outside]
      hint: write the value that is meant; where hosts differ, set it in the host's own conf.d
    "#);
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
    let error = "net-drop".parse::<ScriptName>().unwrap_err();
    let place = Place::whole_file("/etc/systemtap/script.d/net-drop.stp");
    lines.push(ConfigProblem::new(Some(place), FileCause::NoScript { error }).render());
    insta::assert_snapshot!(lines.join("\n"));
}

/// A package of somebody else's may hold such a line.
#[test]
fn what_a_file_says_could_act_on_the_terminal() {
    let problems = script_config::ScriptOptions::parse("--\u{1b}[2J\u{7}x", None).unwrap_err();
    for problem in problems {
        let said = problem.render();
        assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
        assert!(said.contains("\\u{1b}[2J"), "{said}");
    }
}
