//! What bash makes of files. Here it runs without the sandbox, so that these tests need nothing but bash;
//! `tests/eval_config.rs` holds what only the sandbox gives.

use child::ChildCommand;

use super::*;

/// Long enough for a slow machine, and a test waits for all of it only in case of a hang.
const PATIENCE: Duration = Duration::from_secs(120);

type Evaluated = Result<(Configuration, Vec<ConfigProblem>), EvaluationError>;

fn sources(files: &[(&str, &str)]) -> Vec<SourceText> {
    let source = |(path, text): &(&str, &str)| SourceText { path: (*path).into(), text: (*text).into() };
    files.iter().map(source).collect()
}

fn evaluate(files: &[(&str, &str)], time: Duration) -> Evaluated {
    let files = sources(files);
    let directory = tempfile::tempdir().unwrap();
    let mount = directory.path().to_str().unwrap();
    write_copies(directory.path(), &JobUser::Own, mount, &files).unwrap();
    let program = directory.path().join(PROGRAM);
    let command = ChildCommand::new("/bin/bash").args(["--noprofile", "--norc"]).arg(program);
    let finished = command.run(&limits(time), &Cancel::new()).unwrap();
    judge(&files, mount, &finished)
}

fn config(text: &str) -> (Configuration, Vec<String>) {
    let (configuration, problems) = evaluate(&[("config", text)], PATIENCE).unwrap();
    (configuration, problems.iter().map(ConfigProblem::render).collect())
}

fn error(text: &str) -> String {
    evaluate(&[("a", "A=1"), ("b", text), ("c", "B=1")], PATIENCE).unwrap_err().to_string()
}

#[test]
fn bash_does_what_the_reader_refuses() {
    let text = "PASSALL=$(echo no)\nif true; then RECURSIVE=yes; else RECURSIVE=no; fi\n\
                options() { echo \"-g -s $1\"; }\na_OPT=$(options 4)\nwords=(-D 'X=1')\nb_OPT=\"${words[*]}\"\n\
                for script in c d; do declare ${script}_REQ='a b'; done\ne_OPT=\"-s $((2 * 8))\"\n\
                TEMP_PATH=${CACHE_PATH%/systemtap}\nLOG_FILE=`echo /log`\n[ -f /nowhere ] && AUTOCOMPILE=no\n";
    let (configuration, problems) = config(text);
    // The sandbox has no such file, whatever a host has.
    assert!(
        problems.len() == 1 && problems[0].starts_with("config:11: warning: /nowhere is outside"),
        "{problems:?}"
    );
    let parameters = configuration.parameters();
    assert!(!parameters.pass_all && parameters.recursive && parameters.auto_compile);
    assert_eq!(
        (parameters.temp_path.to_str(), parameters.log_file.to_str()),
        (Some("/var/cache"), Some("/log"))
    );
    let values: Vec<Option<&str>> = ["a_OPT", "b_OPT", "c_REQ", "d_REQ", "e_OPT"]
        .iter()
        .map(|name| configuration.environment().text(name))
        .collect();
    assert_eq!(values, [Some("-g -s 4"), Some("-D X=1"), Some("a b"), Some("a b"), Some("-s 16")]);
}

#[test]
fn init_cfg_01_files_see_each_other_in_order_and_each_value_has_its_file() {
    let files = [
        ("config", "base() { echo -g; }\nPASSALL=no"),
        ("10.conf", "a_OPT=$(base)\nPASSALL=yes\n"),
        ("20.conf", "a_OPT+=' -v'\nb_OPT=1\nb_OPT='new\nline'\n"),
        ("30.conf", "unset b_OPT c_OPT\n"),
    ];
    let (configuration, problems) = evaluate(&files, PATIENCE).unwrap();
    assert_eq!(problems, []);
    assert_eq!(configuration.environment().text("a_OPT"), Some("-g -v"));
    assert_eq!(configuration.environment().text("b_OPT"), None);
    let origin = |name| configuration.origin(name).unwrap().to_string();
    assert_eq!((origin("PASSALL"), origin("a_OPT")), ("10.conf:2:1".to_owned(), "20.conf:1:1".to_owned()));
}

#[test]
fn nothing_that_a_file_does_to_bash_reaches_our_own_lines() {
    let text = "set -efu\nIFS=/\nshopt -s nullglob extglob\na_OPT=-g\nprintf() { exit 9; }\nunset() { exit 9; }\n\
                compgen() { exit 9; }\nexec >/dev/null\ncd /\nbreak\nset -- x y\n";
    let files = [
        ("config", text),
        ("10.conf", "b_OPT=-v\nreturn\n"),
        ("20.conf", "c_OPT=$-\ncase x in @(x|y)) d_OPT=-w;; esac"),
    ];
    let (configuration, problems) = evaluate(&files, PATIENCE).unwrap();
    let text = |name| configuration.environment().text(name);
    assert_eq!((text("a_OPT"), text("b_OPT"), text("d_OPT")), (Some("-g"), Some("-v"), Some("-w")));
    // The next file has what this one set, as in the initscript.
    assert!(text("c_OPT").unwrap().contains('f'), "{problems:?}");
}

#[test]
fn what_bash_says_is_an_error_at_its_line() {
    let (_, problems) = config("a_OPT=-g\nnosuch_command -x\nb_OPT=$(also_none)\n");
    insta::assert_snapshot!(problems.join("\n"), @"
    config:2: error: bash says: nosuch_command: command not found [config-bash]
      hint: correct the line; bash sees only this configuration and /usr, and no environment
    config:3: error: bash says: also_none: command not found [config-bash]
      hint: correct the line; bash sees only this configuration and /usr, and no environment
    ");
    let (_, problems) = config("echo hello\necho again >&2\na_OPT=(-g -v)\nPASSALL=maybe");
    insta::assert_snapshot!(problems.join("\n"), @r#"
    config: warning: the file prints "hello" [config-prints]
      hint: remove the command that prints, or send its output to /dev/null
    config:3:1: error: array a_OPT isn't read [config-array]
      hint: write the words in one value: a_OPT="one two"
    config:4:1: error: PASSALL is "maybe", which is neither yes nor no [parameter-not-boolean]
      hint: write one of y Y yes Yes YES 1 or one of n N no No NO 0
    "#);
}

#[test]
fn a_file_that_is_not_bash_is_named_and_nothing_of_it_is_run() {
    let files = [
        ("config", "PASSALL=no\n"),
        ("bad.conf", "PASSALL=yes\nif true; then\nA=1\n"),
        ("c.conf", "a_OPT=-g"),
    ];
    let (configuration, problems) = evaluate(&files, PATIENCE).unwrap();
    assert!(!configuration.parameters().pass_all);
    assert_eq!(configuration.environment().text("a_OPT"), Some("-g"));
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("bash says: syntax error: unexpected end of file"), "{problems:?}");
}

#[test]
fn a_file_that_ends_bash_is_named_with_what_bash_said() {
    assert_eq!(error("exit 3"), "b ends bash (exit 3)");
    assert_eq!(error("exit 0"), "b ends bash (exit 0)");
    assert_eq!(
        error("set -u\nA=$NOTHING"),
        "b ends bash (exit 1), and said: line 2: NOTHING: unbound variable"
    );
    assert_eq!(error("kill -9 $$"), "b ends bash (killed by signal 9)");
}

#[test]
fn megabytes_of_output_are_refused() {
    let printing = error("while :; do echo printed; done | head -c 3000000");
    assert_eq!(printing, "b makes bash write more than 262144 bytes, and said: printed");
    let values = error("A=0123456789abcdef\nfor ((n = 0; n < 19; n++)); do A=$A$A; done");
    assert_eq!(values, "b makes bash write more than 4194304 bytes");
    assert!(error("A=0123456789abcdef\nwhile :; do A=$A$A; done").starts_with("b ends bash"));
}

#[test]
fn a_file_that_hangs_is_killed_at_the_limit() {
    let files = [("config", "A=1"), ("b.conf", "while :; do :; done"), ("c.conf", "")];
    let error = evaluate(&files, Duration::from_secs(10)).unwrap_err();
    assert_eq!(error.to_string(), "bash isn't done with b.conf after 10 s");
}

#[test]
fn values_come_through_as_they_are() {
    let (configuration, problems) =
        config("A_OPT=$'-D X=\\'a\\tb\\nc\\''\nB_OPT='-D é=\"日本\" \\\\'\nC_OPT=\nUNUSED=1");
    let text = |name| configuration.environment().text(name);
    assert_eq!(text("A_OPT"), Some("-D X='a\tb\nc'"));
    assert_eq!(text("B_OPT"), Some("-D é=\"日本\" \\\\"));
    assert_eq!(text("C_OPT"), Some(""));
    assert!(problems.iter().any(|problem| problem.contains("UNUSED is no parameter")), "{problems:?}");
}
