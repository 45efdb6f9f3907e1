//! What the program for hosts is made of.

use std::process::Command;

/// The build side stays off the hosts: an auditor of a host never meets the compiler, and a host can sign nothing.
#[test]
fn the_host_program_contains_no_build_side() {
    let packages = |features: &[&str]| -> Vec<String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["tree", "--offline", "--package", "stap-bundle", "--edges", "normal", "--prefix", "none"])
            .args(["--format", "{p}", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
            .args(features)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    };
    let contains = |list: &[String], name: &str| list.iter().any(|package| package == name);
    let host = packages(&["--no-default-features", "--features", "host"]);
    for absent in ["builder", "signing", "compile-server"] {
        assert!(!contains(&host, absent), "{absent} is in the host program");
    }
    for present in ["installer", "service"] {
        assert!(contains(&host, present), "{present} is missing from the host program");
    }
    // The list names what it is asked about.
    assert!(contains(&packages(&[]), "builder"));
}
