use super::*;

fn parse(text: &str) -> ScriptOptions {
    ScriptOptions::parse(text, None).unwrap()
}

fn errors(text: &str) -> Vec<&'static str> {
    let problems = ScriptOptions::parse(text, None).unwrap_err();
    let errors = problems.iter().filter(|problem| problem.severity() == Severity::Error);
    errors.map(ConfigProblem::id).collect()
}

fn notes(text: &str) -> Vec<&'static str> {
    parse(text).notes().iter().map(ConfigProblem::id).collect()
}

#[test]
fn init_opt_02_what_the_stock_getopt_refuses_is_allowed_and_noted() {
    for text in [
        "--all-modules",
        "--skip-badvars",
        "-a i386",
        "-B V=1",
        "-E x",
        "-G a=1",
        "-W",
        "-g --suppress-time-limits",
    ] {
        assert_eq!(notes(text), ["stock-option"], "{text}");
        assert!(!parse(text).stock_can_run());
    }
    assert!(parse("-g -DX=1 --vp 0001 --save-uprobes -s 4").stock_can_run());
}

#[test]
fn init_opt_03_a_quoted_value_is_one_word() {
    let options = parse("-D 'A B' -o '/var/log/a b'");
    assert_eq!(options.compile_args(), ["-D", "A B"]);
    assert_eq!(options.staprun_args(), ["-D", "-o", "/var/log/a b"]);
    assert_eq!(notes("-D 'A B'"), ["stock-quotes"]);
}

/// README 4.2.1: what is ignored when compiling, with -S and -F as the real code has it.
#[test]
fn init_opt_04_filters_for_compile_and_run() {
    let all = "-p4 -m x -r 6.1 -e y -s 9 -o /o -h -V -k -S 1,2 -F \
               -v -t -I d -R r -g -P -D X -b -u -q -w -d mod --vp 1 --ldd";
    let options = parse(all);
    assert_eq!(
        options.compile_args().join(" "),
        "-v -t -I d -R r -g -P -D X -b -u -q -w -d mod --vp 1 --ldd"
    );
    assert_eq!(options.staprun_args().join(" "), "-D -o /o -S 1,2 -b 9");
    assert_eq!(parse("-x 7").compile_args(), [""; 0]);
    assert_eq!(parse("-x 7").staprun_args().join(" "), "-L -x 7");
}

#[test]
fn init_opt_05_flight_recorder_is_unconditional() {
    assert_eq!(parse("").run_args().mode, Recorder::Memory);
    assert_eq!(parse("-F").staprun_args(), ["-L"]);
    assert!(notes("-F").is_empty());
    assert_eq!(parse("-F -o /var/log/x").staprun_args(), ["-D", "-o", "/var/log/x"]);
}

#[test]
fn init_opt_06_what_fails_only_at_start_is_found_early() {
    assert_eq!(errors("-S 10"), ["option-rotation-without-output"]);
}

/// `stapio -L` has ended before it would start the command, and `staprun` refuses -D with -c.
#[test]
fn init_opt_06_a_command_that_would_never_run_is_an_error() {
    for text in ["-c ls", "-c 'ls -l'", "-c ''", "-o /x -c ls", "-c ls -x 1"] {
        assert_eq!(
            errors(text).iter().filter(|id| **id == "option-command").count(),
            1,
            "{text}: {:?}",
            errors(text)
        );
    }
    // A bundle of 0.1.0 may have one.
    RunOptions::from_staprun_args(&run_list("-L -c ls")).unwrap();
}

#[test]
fn init_opt_07_an_output_file_is_absolute() {
    for path in ["x.out", "./x", "''", "/var/log/"] {
        assert_eq!(errors(&format!("-o {path}")), ["option-relative-output"], "{path}");
    }
    assert_eq!(errors("-S 1 -o x"), ["option-relative-output"], "-S has its -o, if a wrong one");
    assert_eq!(parse("-o /log/%Y-%m.out").staprun_args(), ["-D", "-o", "/log/%Y-%m.out"]);
}

#[test]
fn init_opt_08_the_buffer_has_1_to_4095_megabytes() {
    for size in ["1", "4095"] {
        assert_eq!(parse(&format!("-s{size}")).staprun_args(), ["-L", "-b", size]);
    }
    for size in ["0", "4096", "-1", "+5", "1M", "x", "99999999999"] {
        assert_eq!(errors(&format!("-s {size}")), ["option-buffer-size"], "{size}");
    }
}

/// The original returns the mode as a number: 0 bad, 1 memory, 2 file. Here it is a type.
#[test]
fn init_opt_09_the_recorder_follows_from_the_options() {
    assert_eq!(parse("-g").run_args().mode, Recorder::Memory);
    let file = Recorder::File { output: "/b".to_owned() };
    assert_eq!(parse("-o /a -o /b").run_args().mode, file, "the last one counts");
    assert!(ScriptOptions::parse("-o", None).is_err());
}

#[test]
fn values_of_run_options_are_checked() {
    for value in ["0", "x", "1,", ",1", "1,0", "1,2,3", "-1"] {
        assert_eq!(errors(&format!("-o /x -S {value}")), ["option-rotation"], "{value}");
    }
    for value in ["0", "x", "-1", "99999999"] {
        assert_eq!(errors(&format!("-x {value}")), ["option-pid"], "{value}");
    }
    let rotate = parse("-o /x -S 10,3").run_args().rotate;
    assert_eq!(rotate, Some(Rotation { size_mb: 10, files: Some(3) }));
}

#[test]
fn init_cache_03_the_opts_line_is_in_normal_form() {
    assert_eq!(parse("").opts_line(), "--");
    assert_eq!(parse("-DFOO=1 -vg --vp=0001").opts_line(), "-D FOO=1 -v -g --vp 0001 --");
    assert_eq!(parse("-o /x -s 3 -F").opts_line(), "--");
    assert_eq!(parse("-g 10 20").opts_line(), "-g -- 10 20");
    assert_eq!(parse("-E 'probe x {\n}'").opts_line(), "-E probe x { } --");
}

#[test]
fn init_cache_08_arguments_of_the_script_are_kept_apart() {
    let options = parse("-g 10 -v 20 -- -x");
    assert_eq!(options.script_args(), ["10", "20", "-x"]);
    assert_eq!(options.compile_args(), ["-g", "-v"]);
    assert!(options.arguments_need_separator());
    assert!(!parse("10").arguments_need_separator());
    assert_eq!(notes("10 20"), ["stock-argument"]);
}

#[test]
fn save_uprobes_is_for_both_sides() {
    let options = parse("--save-uprobes");
    assert!(options.run_args().save_uprobes);
    assert_eq!(options.compile_args(), ["--save-uprobes"]);
    assert_eq!(options.staprun_args(), ["-L"]);
}

#[test]
fn what_makes_no_module_is_refused() {
    for text in ["-l x", "-L x", "-i", "--dump-functions", "--bpf", "--runtime=dyninst", "-j", "--remote h"] {
        assert_eq!(errors(text), ["option-no-module"], "{text}");
    }
    assert_eq!(parse("--runtime=kernel").compile_args(), ["--runtime", "kernel"]);
    assert_eq!(errors("--suppress-time-limits -g"), ["option-needs-guru"]);
    assert_eq!(notes("-T 10"), ["option-no-effect", "stock-option"]);
    assert_eq!(notes("-p4"), ["option-ignored"]);
    assert_eq!(parse(" -g  ").given(), " -g  ");
}

fn run_list(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { text.split(' ').map(str::to_owned).collect() }
}

#[test]
fn what_staprun_args_writes_is_read_back() {
    for text in ["", "-s 1 -x 7", "-s 4095", "-o /log/%Y.out -S 1 -s 8 -x 4194304", "-o /log/a..b -S 4,2"] {
        let run = parse(text).run_args().clone();
        assert_eq!(RunOptions::from_staprun_args(&run.staprun_args()), Ok(run), "{text}");
    }
}

#[test]
fn run_arguments_that_staprun_args_never_writes_were_taken() {
    for text in [
        "",
        "/tmp/evil.ko -c touch",
        "-d ext4",
        "-L /tmp/evil.ko",
        "-L -d",
        "-L -d ext4",
        "-L -A",
        "-L -R",
        "-L -u/tmp/evil.ko",
        "-L -u /tmp/evil.ko",
        "-L -F 3",
        "-L -b8",
        "-L -b",
        "-L -b 0",
        "-L -b 4096",
        "-L -b 08",
        "-L -b 8 -b 8",
        "-L -x 7 -b 8",
        "-L -x 0",
        "-L -x 4194305",
        "-L -x 7 -c ls",
        "-L -c",
        "-L -S 1",
        "-L -s 4",
        "-L -L",
        "-L -D",
        "-L --",
        "-L -b 8 x",
        "-D",
        "-D -o",
        "-D -o x",
        "-D -o /log/../etc/passwd",
        "-D -o /log/..",
        "-D -o /log/",
        "-D -o /x -c ls",
        "-D -o /x -S 0",
        "-D -o /x -S 1,0",
        "-D -o /x -S 1,",
        "-D -b 8 -o /x",
        "-b 8 -L",
        "-o /x",
    ] {
        assert!(RunOptions::from_staprun_args(&run_list(text)).is_err(), "{text}");
    }
}

#[test]
fn an_output_file_could_climb_out_of_its_directory() {
    for path in ["/log/../etc/passwd", "/..", "/../x"] {
        assert_eq!(errors(&format!("-o {path}")), ["option-climbing-output"], "{path}");
    }
    assert_eq!(parse("-o /log/a..b").staprun_args(), ["-D", "-o", "/log/a..b"]);
}

proptest::proptest! {
    #[test]
    fn any_text_is_parsed_without_panic(text in "\\PC*") {
        let _ = ScriptOptions::parse(&text, None);
    }

    #[test]
    fn any_dashes_are_parsed_without_panic(text in "[-=a-zA-Z '\"\\\\0-9,/]{0,40}") {
        if let Ok(options) = ScriptOptions::parse(&text, None) {
            let line = options.opts_line();
            proptest::prop_assert!(line == "--" || line.contains("--"));
        }
    }
}
