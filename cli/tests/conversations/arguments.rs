//! Help, unknown words and broken options.

use insta::assert_snapshot;

use crate::world::TestWorld;

#[test]
fn help_lists_the_commands_and_the_exit_codes() {
    assert_snapshot!(TestWorld::new().run("--help"), @"");
}

#[test]
fn short_help_fits_a_screen() {
    let world = TestWorld::new();
    let said = world.run("-h");
    assert!(said.exit == Some(0) && said.stdout.lines().count() < 45, "{said}");
    for command in ["build", "install", "status", "verify"] {
        let said = world.run(&format!("{command} -h"));
        assert!(said.exit == Some(0) && said.stdout.lines().count() < 45, "{said}");
    }
}

#[test]
fn build_help_names_each_default() {
    assert_snapshot!(TestWorld::new().run("build -h"), @"");
}

#[test]
fn every_command_explains_itself() {
    let world = TestWorld::new();
    let help = world.run("-h").stdout;
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> =
        list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let said = world.run(&format!("{command} --help"));
        assert!(said.exit == Some(0) && said.stderr.is_empty(), "{said}");
        assert!(said.stdout.contains("Usage:"), "{said}");
    }
}

#[test]
fn words_that_are_no_command() {
    assert_snapshot!(TestWorld::new().talk("
        isntall fleet.stapb
        gc
        restart counter
    "), @"");
}

#[test]
fn broken_arguments_are_usage_errors() {
    assert_snapshot!(TestWorld::new().talk("
        build
        build -r 6.12.1-test --jobs 0
        install --all-kernels --kernel 6.12.1-test fleet.stapb
        inspect
        -q -v list
        list --colour never
        extract fleet.stapb out --kernel ../etc
        completions tcsh
    "), @"");
}

#[test]
fn no_arguments_at_all() {
    let said = TestWorld::new().run("");
    assert_eq!(said.exit, Some(2), "{said}");
    assert!(said.stderr.contains("Usage: stap-bundle"), "{said}");
}

#[test]
fn the_version_is_one_line() {
    let said = TestWorld::new().run("--version");
    assert_eq!(said.stdout, format!("stap-bundle {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_written_for_each_shell() {
    let world = TestWorld::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = world.run(&format!("completions {shell}"));
        assert!(said.exit == Some(0) && said.stdout.contains("all-kernels"), "{said}");
    }
}
