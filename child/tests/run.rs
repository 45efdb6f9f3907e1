//! Real children: `/bin/sh` and what it starts.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::{Duration, Instant};

use child::{Cancel, ChildCommand, ChildError, Ended, Limits, OutputStream, TERM_GRACE};

/// Far below the half minute and more that the children here would sleep, far above what a busy machine adds.
const SOON: Duration = Duration::from_secs(15);

fn shell(script: &str) -> ChildCommand {
    ChildCommand::new("/bin/sh").args(["-c", script]).env("PATH", "/usr/bin:/bin")
}

fn run(script: &str) -> child::Finished {
    shell(script).run(&Limits::within(Duration::from_secs(20)), &Cancel::new()).unwrap()
}

fn is_alive(pid: &str) -> bool {
    // A zombie that nobody reaps (no init in a container) is dead enough.
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
}

/// Whether the killed process ends within ten seconds: a signal is delivered before its target has died.
fn dies(pid: &str) -> bool {
    (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        !is_alive(pid)
    })
}

#[test]
fn both_streams_and_the_code_come_back() {
    let finished = run("echo out; echo err >&2; exit 7");
    assert_eq!(finished.status, Ended::Code(7));
    assert!(!finished.status.success() && !finished.left_open);
    assert_eq!((finished.stdout.text().as_str(), finished.stderr.text().as_str()), ("out\n", "err\n"));
}

#[test]
fn combined_output_keeps_the_order() {
    let finished = shell("echo a; echo b >&2; echo c")
        .combined_output()
        .run(&Limits::default(), &Cancel::new())
        .unwrap();
    assert_eq!(finished.stdout.text(), "a\nb\nc\n");
    assert!(finished.stderr.is_empty());
}

#[test]
fn the_environment_is_what_was_stated() {
    let finished =
        ChildCommand::new("/usr/bin/env").env("A", "1").run(&Limits::default(), &Cancel::new()).unwrap();
    assert_eq!(finished.stdout.text(), "A=1\n");
    let inherited = ChildCommand::new("/usr/bin/env")
        .inherit_environment()
        .run(&Limits::default(), &Cancel::new())
        .unwrap();
    assert!(inherited.stdout.text().contains("PATH="));
}

#[test]
fn input_is_given_even_when_larger_than_a_pipe_and_even_when_unread() {
    let input = vec![b'x'; 1 << 20];
    let limits = Limits { output_cap: 4 << 20, ..Limits::within(Duration::from_secs(20)) };
    let finished = shell("cat").input(input.clone()).run(&limits, &Cancel::new()).unwrap();
    assert_eq!(finished.stdout.bytes(), input);
    let unread = shell("exec <&-; exit 3").input(input).run(&limits, &Cancel::new()).unwrap();
    assert_eq!(unread.status, Ended::Code(3));
    assert_eq!(run("cat").stdout.text(), "");
}

#[test]
fn a_signal_of_others_is_told_from_ours() {
    assert_eq!(run("kill -9 $$").status, Ended::Signal(9));
}

#[test]
fn the_time_limit_kills_a_grandchild_too() {
    let began = Instant::now();
    let limits = Limits::within(Duration::from_millis(300));
    let finished = shell("sleep 60 & echo $!; wait").run(&limits, &Cancel::new()).unwrap();
    assert_eq!(finished.status, Ended::TimedOut(Duration::from_millis(300)));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(dies(&finished.stdout.text()));
}

#[test]
fn a_child_that_ignores_term_is_killed_after_the_grace() {
    let limits = Limits::within(Duration::from_millis(100));
    let finished = shell("trap '' TERM; while :; do sleep 0.05; done").run(&limits, &Cancel::new()).unwrap();
    assert!(matches!(finished.status, Ended::TimedOut(_)));
    assert!(finished.wall >= TERM_GRACE && finished.wall < SOON, "{:?}", finished.wall);
}

#[test]
fn cancelling_from_another_thread_wakes_the_run_at_once() {
    let cancel = Cancel::new();
    let other = cancel.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        other.cancel();
    });
    let began = Instant::now();
    let finished = shell("sleep 60 & wait").run(&Limits::default(), &cancel).unwrap();
    canceller.join().unwrap();
    assert_eq!(finished.status, Ended::Cancelled);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(shell("echo never").run(&Limits::default(), &cancel).unwrap().status, Ended::Cancelled);
}

#[test]
fn a_daemon_survives_a_normal_end_and_does_not_hold_us_up() {
    let began = Instant::now();
    // As staprun -D leaves stapio: the pid comes after the parent's end, stdout is closed, stderr stays open.
    let finished = run("(sleep 0.1; sh -c 'echo $PPID'; exec sleep 30 >/dev/null) & exit 0");
    assert_eq!(finished.status, Ended::Code(0));
    assert!(finished.left_open);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let daemon = finished.stdout.text();
    assert!(is_alive(&daemon), "{daemon:?}");
    run(&format!("kill {daemon}"));
}

#[test]
fn a_daemon_that_keeps_everything_open_costs_the_drain_only() {
    let limits = Limits { drain: Duration::from_millis(200), ..Limits::default() };
    let began = Instant::now();
    let finished = shell("sleep 30 & echo $!").run(&limits, &Cancel::new()).unwrap();
    assert!(finished.left_open && began.elapsed() < SOON);
    assert!(is_alive(&finished.stdout.text()));
    run(&format!("kill {}", finished.stdout.text()));
}

#[test]
fn output_beyond_the_cap_keeps_both_ends() {
    let limits = Limits { output_cap: 100, ..Limits::default() };
    let finished = shell("seq 1 100000").run(&limits, &Cancel::new()).unwrap();
    let text = finished.stdout.text();
    assert!(text.starts_with("1\n2\n") && text.ends_with("99999\n100000\n") && text.contains("bytes cut"));
    assert_eq!(finished.stdout.cut(), 588_895 - 100);
}

#[test]
fn a_child_that_never_stops_writing_meets_its_limit() {
    let limits = Limits { output_cap: 100, ..Limits::within(Duration::from_millis(300)) };
    let finished = shell("exec yes").run(&limits, &Cancel::new()).unwrap();
    assert!(matches!(finished.status, Ended::TimedOut(_)));
    assert!(finished.wall < SOON);
}

#[test]
fn lines_are_streamed_and_captured() {
    let mut lines = Vec::new();
    let finished = shell("echo one; echo two >&2; printf three")
        .run_streaming(&Limits::default(), &Cancel::new(), |stream, line| {
            lines.push((stream, String::from_utf8_lossy(line).into_owned()));
        })
        .unwrap();
    lines.sort_by_key(|(stream, _)| *stream == OutputStream::Stderr);
    let expected =
        [(OutputStream::Stdout, "one"), (OutputStream::Stdout, "three"), (OutputStream::Stderr, "two")];
    assert_eq!(lines, expected.map(|(stream, line)| (stream, line.to_owned())));
    assert_eq!(finished.stdout.text(), "one\nthree");
}

#[test]
fn cpu_time_is_measured_with_that_of_children() {
    let finished = run("sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'");
    let cpu = finished.cpu.unwrap();
    assert!(cpu > Duration::from_millis(20) && cpu < Duration::from_secs(20), "{cpu:?}");
}

#[test]
fn what_cannot_start_says_why() {
    let run = |command: ChildCommand| command.run(&Limits::default(), &Cancel::new()).unwrap_err();
    assert!(matches!(run(ChildCommand::new("no-such-program")), ChildError::NotFound { .. }));
    let error = run(ChildCommand::new("/bin/sh").current_dir("/no/such/place"));
    assert_eq!(error.to_string(), "working directory /no/such/place doesn't exist, so /bin/sh can't start");
}

#[test]
fn a_panic_in_the_line_sink_leaves_no_child() {
    let mut pid = String::new();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        shell("echo $$; exec sleep 60").run_streaming(&Limits::default(), &Cancel::new(), |_, line| {
            pid = String::from_utf8_lossy(line).into_owned();
            panic!("the sink fails");
        })
    }));
    assert!(result.is_err());
    assert!(dies(&pid));
}
