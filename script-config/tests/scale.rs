//! A large configuration is read whole and ordered right. How fast is measured by `make bench-config`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use script_config::{Configuration, ScriptName, SourceText};

const SCRIPTS: usize = 500;
const FILES: usize = 200;

#[test]
fn five_hundred_scripts_in_two_hundred_files() {
    let mut files: Vec<SourceText> = (0..=FILES)
        .map(|number| SourceText { path: format!("conf.d/{number:03}.conf"), text: String::new() })
        .collect();
    for script in 0..SCRIPTS {
        let text = &mut files[1 + script % FILES].text;
        let _ = writeln!(text, "# script {script}\nDIR=/var/log/stap");
        let _ = writeln!(text, "s{script}_OPT=\"-DX={script} -g -o $DIR/s{script}.out -s 8\"");
        if script > 2 {
            let _ = writeln!(text, "s{script}_REQ='s{} s{}'", script / 2, script - 1);
        }
    }
    let known: BTreeSet<ScriptName> =
        (0..SCRIPTS).map(|script| format!("s{script}").parse().unwrap()).collect();
    let (configuration, problems) = Configuration::load(&files);
    assert_eq!(problems, []);
    assert_eq!(configuration.check_scripts(&known), []);
    let order = configuration.dependency_graph(&known).order().unwrap();
    assert_eq!(order.len(), SCRIPTS);
    for (place, script) in order.iter().enumerate() {
        let settings = configuration.settings_of(script).unwrap();
        assert_eq!(settings.options.compile_args()[1], format!("X={}", &script.as_str()[1..]));
        assert!(settings.requires.iter().all(|required| order[..place].contains(required)), "{script}");
    }
}
