//! `config check` on configurations of the kinds that people publish: each is accepted with what bash makes of it, or refused with the
//! place and the way out.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use script_config::ScriptOptions;

use crate::world::{PROGRAM, TestWorld};

/// Files of conf.d that hold, with the scripts whose options they set.
const ACCEPTED: [(&str, &str); 16] = [
    ("net", "# flight recorder in memory\nnet_OPT=\"-s 4\"\n"),
    ("syslog", "syslog_OPT=\"-DMAXSTRINGLEN=1024 -DMAXACTION=10000 -g\"\n"),
    ("io", "io_OPT=\"-o /var/log/io.log -S 10,5\"\n"),
    ("oom", "oom_OPT='-o /var/log/stap/oom-%F-%H%M.log'\n"),
    ("sleepy", "sleepy_OPT=\"-v 10 20\"\n"),
    ("fs", "fs_OPT=\"-d xfs -d ext4 -d kernel\"\n"),
    ("web", "web_OPT=\"-d /usr/sbin/nginx --ldd\"\n"),
    ("slow", "slow_OPT=\"-t -DSTP_NO_OVERLOAD -D MAXSKIPPED=0\"\n"),
    ("all", "all_OPT=\"--all-modules -g --suppress-time-limits -DMAXERRORS=100\"\n"),
    (
        "a b",
        "BUFFER=16\ncommon=\"-DMAXMAPENTRIES=8192 -s $BUFFER\"\na_OPT=\"$common\"\nb_OPT=\"${common} -o /var/log/b.log\"\nb_REQ=a\n",
    ),
    ("disk", "export disk_OPT=\"-s4\" # per-CPU buffer, MB\n"),
    ("long", "long_OPT=\"-DMAXTRACE=20 \\\n  -s 8 \\\n  -o /var/log/long.log\"\n"),
    ("more", "more_OPT=-g\nmore_OPT+=\" -s 2\"; more_REQ='net'\n"),
    ("place", "place_OPT=\"-o ${LOGDIR:-/var/log}/place.log -F\"\n"),
    ("bad", "bad_OPT=\"--skip-badvars -w -DSTP_OVERLOAD_THRESHOLD=1000000000LL\"\n"),
    ("quoted", "quoted_OPT='-D \"NAME=a b\" -s 1'\n"),
];

/// A file that is refused, and where, as what, with which way out.
const REFUSED: [(&str, &str, &str, &str); 10] = [
    // A vendor's file loads something first.
    (
        "vendor",
        "# load uprobes first\nstap -e 'probe process(\"/usr/libexec/daemon\").function(\"main\") {}' -c true\n\nvendor_OPT=\"-s4\"\n",
        ":2:1: error: command \"stap\" isn't run",
        "write only NAME=value lines; or have the farm ask bash: --eval-config",
    ),
    (
        "cond",
        "if [ -f /etc/redhat-release ]; then\n  cond_OPT=-g\nfi\n",
        ":1:1: error: \"if\" isn't",
        "without a condition",
    ),
    (
        "source",
        "A=1\n. /etc/sysconfig/stap\n",
        ":2:1: error: command \".\" isn't run",
        "put it into conf.d with the suffix .conf",
    ),
    (
        "host",
        "host_OPT=\"-o /var/log/$(hostname).log\"\n",
        ":1:23: error: command substitution",
        "write the text that it gives",
    ),
    ("dos", "dos_OPT=\"-s 4\"\r\n", ":1:15: error: line ends in CR LF", "sed -i 's/\\r$//' FILE"),
    (
        "blank",
        "blank_OPT = \"-s 4\"\n",
        ":1:1: error: blank before the = of \"blank_OPT\"",
        "write blank_OPT=value without blanks",
    ),
    ("bare", "bare_OPT=-g -s 8\n", ":1:13: error: \"-s\" after the value of bare_OPT", "bare_OPT=\"…\""),
    (
        "dash",
        "trace-io_OPT=\"-s 4\"\n",
        ":1:1: error: \"trace-io_OPT\" can't be a variable",
        "letters, digits and _",
    ),
    (
        "array",
        "opts=(-g -s 4)\narray_OPT=\"${opts[*]}\"\n",
        ":1:5: error: array opts isn't read",
        "opts=\"one two\"",
    ),
    (
        "relative",
        "relative_OPT=\"-o out.log\"\n",
        ":1:1: error: output file \"out.log\" of -o",
        "write -o /var/log/out.log",
    ),
];

/// What bash makes of the options in a file.
fn by_bash(world: &TestWorld, name: &str, scripts: &[&str]) -> BTreeMap<String, String> {
    let printed: Vec<String> = scripts.iter().map(|script| format!("echo \"${script}_OPT\"")).collect();
    let output = Command::new("bash")
        .args(["--norc", "-c", &format!(". ./conf.d/{name}.conf\n{}", printed.join("\n"))])
        .env_clear()
        .current_dir(world.work())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{name}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    scripts.iter().zip(text.lines()).map(|(script, line)| ((*script).to_owned(), line.to_owned())).collect()
}

#[test]
fn published_configurations_mean_what_bash_makes_of_them() {
    for (names, text) in ACCEPTED {
        let world = TestWorld::new();
        world.config("config", "");
        let scripts: Vec<&str> = names.split(' ').collect();
        for script in scripts.iter().copied().chain(["net"]) {
            world.write(&format!("scripts/{script}.stp"), "probe begin {}\n");
        }
        let name = scripts[0];
        world.write(&format!("conf.d/{name}.conf"), text);
        let said = world.run("config check -c config");
        assert_eq!(said.exit, Some(0), "{said}");
        let document = world.json("config check -c config");
        for (script, options) in by_bash(&world, name, &scripts) {
            let expected = ScriptOptions::parse(&options, None).unwrap();
            let rows = document["scripts"].as_array().unwrap();
            let row = rows.iter().find(|row| row["script"] == script.as_str()).unwrap();
            let words = |name: &str| -> Vec<String> { serde_json::from_value(row[name].clone()).unwrap() };
            assert!(!options.is_empty(), "{name}: bash has no options of {script}");
            assert_eq!(words("compile"), expected.compile_args(), "{script}");
            assert_eq!(words("run"), expected.staprun_args(), "{script}");
            assert_eq!(words("arguments"), expected.script_args(), "{script}");
        }
    }
}

#[test]
fn what_is_not_read_is_refused_with_the_place_and_the_way_out() {
    for (name, text, what, way_out) in REFUSED {
        let world = TestWorld::new();
        world.config("config", "");
        world.write(&format!("scripts/{name}.stp"), "probe begin {}\n");
        world.write(&format!("conf.d/{name}.conf"), text);
        let said = world.run("config check -c config");
        assert_eq!(said.exit, Some(1), "{said}");
        let lines: Vec<&str> = said.stdout.lines().collect();
        let at = lines.iter().position(|line| line.contains(&format!("conf.d/{name}.conf{what}")));
        let at = at.unwrap_or_else(|| panic!("{what}: {said}"));
        assert!(
            lines[at + 1].starts_with("  hint: ") && lines[at + 1].contains(way_out),
            "{way_out}: {said}"
        );
    }
}

/// A host goes on without the file; `status` makes and loads nothing.
#[test]
fn a_host_that_leaves_a_file_out_says_which_line_why_and_what_shows_the_rest() {
    let world = TestWorld::new();
    world.config("config", &format!("STAT_PATH={}/run\n", world.work().display()));
    let (name, text, ..) = REFUSED[0];
    world.write(&format!("conf.d/{name}.conf"), text);
    world.write("conf.d/other.conf", "PASSALL=maybe\n");
    let program = world.path("systemtap");
    symlink(PROGRAM, &program).unwrap();
    let output = Command::new(program)
        .args(["status", "-c", "config"])
        .env_clear()
        .current_dir(world.work())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let line = said.lines().find(|line| line.contains("vendor.conf")).unwrap_or_else(|| panic!("{said}"));
    for part in [
        "conf.d/vendor.conf is left out because of line 2: command \"stap\" isn't run: ",
        "; `stap-bundle config check` shows all that is wrong",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(said.matches("is left out").count(), 1, "only what is skipped whole: {said}");
    assert!(said.contains("other.conf:1:1: PASSALL is \"maybe\""), "{said}");
}

/// README 1 and 4.3.2: the macros by which scripts shared a buffer.
#[test]
fn dropped_macros_are_warned_of_where_they_are_used() {
    let world = TestWorld::new();
    world.config("config", "");
    world.write("scripts/script1.stp", "probe begin {}\n");
    for macro_name in ["RELAY_HOST", "RELAYHOST", "RELAY_GUEST", "RELAYGUEST"] {
        for written in [format!("-D{macro_name}=group1"), format!("-g -D {macro_name}")] {
            world.write("conf.d/group1.conf", format!("script1_OPT=\"{written}\"\n"));
            let said = world.run("config check -c config");
            assert_eq!(said.exit, Some(0), "{said}");
            let expected = format!(
                "conf.d/group1.conf:1:1: warning: systemtap has dropped the macro {macro_name}: it does nothing, and each script has \
                 a buffer of its own [option-dropped-macro]\n  hint: remove -D{macro_name}; put probes that write to one output into \
                 one script, or give each script an -o"
            );
            assert!(said.stdout.contains(&expected), "{said}");
        }
    }
    world.write("conf.d/group1.conf", "script1_OPT=-DRELAY_HOSTS=1\n");
    assert!(!world.run("config check -c config").stdout.contains("dropped"));
}
