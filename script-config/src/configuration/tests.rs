use std::path::Path;

use super::*;
use crate::options::Recorder;
use crate::settings::ScriptUsers;

fn load(files: &[(&str, &str)]) -> (Configuration, Vec<ConfigProblem>) {
    let source = |(path, text): &(&str, &str)| SourceText { path: (*path).into(), text: (*text).into() };
    Configuration::load(&files.iter().map(source).collect::<Vec<_>>())
}

fn ids(problems: &[ConfigProblem]) -> Vec<&'static str> {
    problems.iter().map(ConfigProblem::id).collect()
}

fn name(text: &str) -> ScriptName {
    text.parse().unwrap()
}

fn names(text: &str) -> BTreeSet<ScriptName> {
    text.split_whitespace().map(name).collect()
}

#[test]
fn readme_4_3_1_global_config_example() {
    let text = "SCRIPT_PATH=/var/systemtap/script.d/\nPASSALL=yes\nRECURSIVE=no\n";
    let (configuration, problems) = load(&[("/etc/systemtap/config", text)]);
    assert_eq!(problems, []);
    let parameters = configuration.parameters();
    assert_eq!(parameters.script_path, Path::new("/var/systemtap/script.d"));
    assert!(parameters.pass_all && !parameters.recursive);
    let origin = configuration.origin("PASSALL").unwrap().to_string();
    assert_eq!(origin, "/etc/systemtap/config:2:1");
    assert_eq!(configuration.origin("LOG_FILE"), None);
}

#[test]
fn readme_4_3_2_script_config_example() {
    let text = "script1_OPT=\"-o /var/log/script1.out -DRELAYHOST=group1\"\n\
                script2_OPT=\"-DRELAYGUEST=group1\"\nscript2_REQ=script1\n";
    let (configuration, problems) = load(&[("config", ""), ("group1.conf", text)]);
    let ids: Vec<&str> = problems.iter().map(ConfigProblem::id).collect();
    assert_eq!(ids, ["option-dropped-macro"; 2]);
    let script1 = configuration.settings_of(&name("script1")).unwrap();
    assert_eq!(script1.options.compile_args(), ["-D", "RELAYHOST=group1"]);
    let output = Recorder::File { output: "/var/log/script1.out".into() };
    assert_eq!(script1.options.run_args().mode, output);
    let script2 = configuration.settings_of(&name("script2")).unwrap();
    assert_eq!(script2.requires, [name("script1")]);
    assert_eq!(script2.options.staprun_args(), ["-L"]);
}

/// README 5.2 and 5.5, with the file named `group1.conf`; the name in the README has its warning
/// in `conf_d`.
#[test]
fn readme_5_2_and_5_5_script_installation() {
    let text = "script1_OPT=\"-o /var/log/group1.log -DRELAYHOST=group1\"\n\
                script2_OPT=\"-DRELAYGUEST=group1\"\nscript2_REQ=script1\n\
                script3_OPT=\"-DRELAYGUEST=group1\"\nscript3_REQ=\"script1\"\n";
    let (configuration, problems) = load(&[("config", ""), ("conf.d/group1.conf", text)]);
    let ids: Vec<&str> = problems.iter().map(ConfigProblem::id).collect();
    assert_eq!(ids, ["option-dropped-macro"; 3]);
    let known = names("script1 script2 script3");
    assert_eq!(configuration.check_scripts(&known), []);
    let graph = configuration.dependency_graph(&known);
    let order = graph.order().unwrap();
    assert_eq!(order, [name("script1"), name("script2"), name("script3")]);
    assert_eq!(graph.remaining_after(&order, &names("script1"), false), []);
}

#[test]
fn init_cfg_01_later_files_override_and_conf_d_may_set_globals() {
    let (configuration, problems) = load(&[
        ("config", "PASSALL=yes\nOPT=-g\na_OPT=$OPT\n"),
        ("conf.d/10.conf", "a_OPT+=' -v'\nPASSALL=no\n"),
        ("conf.d/20.conf", "PASSALL=n b_OPT=\"$a_OPT -w\" CACHE_PATH=$STAT_PATH/cache"),
    ]);
    assert_eq!(problems, []);
    assert!(!configuration.parameters().pass_all);
    assert_eq!(configuration.origin("PASSALL").unwrap().to_string(), "conf.d/20.conf:1:1");
    let options = |script| &configuration.settings_of(&name(script)).unwrap().options;
    assert_eq!(options("b").compile_args(), ["-g", "-v", "-w"]);
    assert_eq!(configuration.origin("a_OPT").unwrap().to_string(), "conf.d/10.conf:1:1");
    // The defaults can be used, as in the original.
    assert_eq!(configuration.parameters().cache_path, Path::new("/var/run/systemtap/cache"));
}

#[test]
fn init_cfg_01_conf_d_can_not_move_itself() {
    let (configuration, problems) = load(&[("config", "CONFIG_PATH=/a"), ("x.conf", "CONFIG_PATH=/b")]);
    assert_eq!(ids(&problems), ["parameter-config-path-too-late"]);
    assert_eq!(configuration.parameters().config_path, Path::new("/a"));
}

#[test]
fn a_file_with_unsupported_syntax_is_skipped_whole() {
    let (configuration, problems) = load(&[
        ("config", "PASSALL=no"),
        ("a.conf", "a_OPT=-g\nif true; then\nPASSALL=yes\nfi\nb_OPT=$(date)"),
        ("b.conf", "c_OPT=-v"),
    ]);
    assert_eq!(ids(&problems), ["config-keyword", "config-command-substitution"]);
    assert_eq!(configuration.skipped_files(), ["a.conf"]);
    assert!(!configuration.parameters().pass_all);
    let mentioned: Vec<&str> =
        configuration.scripts_with_settings().into_iter().map(ScriptName::as_str).collect();
    assert_eq!(mentioned, ["c"]);
}

#[test]
fn init_cfg_02_unknown_names_get_a_warning_with_the_nearest() {
    let text = "PASALL=no\nLOGDIR=/l\nx_OPT=\"-o $LOGDIR/x\"\nSTAP=/opt/stap\nfoo=1";
    let (_, problems) = load(&[("config", text)]);
    assert_eq!(ids(&problems), ["parameter-unknown", "parameter-internal", "parameter-unknown"]);
    assert_eq!(problems[0].next_step(), "did you mean PASSALL?");
    assert_eq!(problems[0].place().unwrap().to_string(), "config:1:1");
}

#[test]
fn init_cfg_04_script_variables_are_found_by_their_ends() {
    let long = "x".repeat(56);
    let text = format!("a_REQ=' b  c b\tbad-name'\nb_USERS=stapusr\nc_USERS=all\n{long}_OPT=-g\n_OPT=-g");
    let (configuration, problems) = load(&[("config", &text)]);
    assert_eq!(ids(&problems), ["script-requirement-name", "script-users", "script-name", "script-name"]);
    assert_eq!(configuration.settings_of(&name("b")).unwrap().users, ScriptUsers::Stapusr);
    let of_a = configuration.settings_of(&name("a")).unwrap_err();
    assert_eq!(ids(of_a), ["script-requirement-name"]);
    let nobody = configuration.settings_of(&name("nobody")).unwrap();
    assert_eq!(*nobody, ScriptSettings::default());
}

#[test]
fn settings_and_scripts_are_held_against_each_other() {
    let text = "scrpt1_OPT=-g\na_REQ=ghost\nb_REQ=c\nc_REQ=b\n";
    let (configuration, problems) = load(&[("config", text)]);
    assert_eq!(problems, []);
    let problems = configuration.check_scripts(&names("script1 a b c"));
    assert_eq!(ids(&problems), ["script-unknown", "requirement-missing", "requirement-cycle"]);
    assert_eq!(problems[0].next_step(), "did you mean script1_OPT?");
    assert_eq!(problems[1].place().unwrap().to_string(), "config:2:1");
    assert_eq!(problems[2].to_string(), "requirements form a cycle: b -> c -> b");
}

#[test]
fn wrong_options_do_not_hide_a_missing_requirement_or_a_cycle() {
    let text = "a_OPT=-Z\na_REQ=ghost\nb_OPT=-Z\nb_REQ=c\nc_REQ=b\nDEFAULT_START='a scrip'\n";
    let (configuration, _) = load(&[("config", text)]);
    let problems = configuration.check_scripts(&names("a b c script"));
    let expected = ["parameter-default-start-unknown", "requirement-missing", "requirement-cycle"];
    assert_eq!(ids(&problems), expected);
    assert_eq!(problems[0].next_step(), "did you mean script?");
}

#[test]
fn a_file_that_is_not_text_is_refused_with_its_place() {
    let error = SourceText::from_bytes("f", b"A=1\n# caf\xe9\n").unwrap_err();
    assert_eq!(error.id(), "config-not-utf8");
    assert_eq!(error.place().unwrap().to_string(), "f:2:6");
    assert!(SourceText::from_bytes("f", "é".as_bytes()).is_ok());
}
