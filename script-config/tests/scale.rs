//! A large configuration is read fast enough to be read at each boot.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use script_config::{Configuration, ScriptName, SourceText};

const SCRIPTS: usize = 500;
const FILES: usize = 200;

/// What `config check` may take for 500 scripts in 200 files; unoptimised code has more.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });

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
    // The best of three: the machine may be busy.
    let best = (0..3)
        .map(|_| {
            let begin = Instant::now();
            let (configuration, problems) = Configuration::load(&files);
            assert_eq!(problems, []);
            assert_eq!(configuration.check_scripts(&known), []);
            let order = configuration.dependency_graph(&known).order().unwrap();
            assert_eq!(order.len(), SCRIPTS);
            begin.elapsed()
        })
        .min()
        .unwrap();
    println!("read and ordered in {best:?}");
    assert!(best < LIMIT, "took {best:?}, at most {LIMIT:?}");
}
