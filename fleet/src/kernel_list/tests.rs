//! Lists as fleets give them, each with what is to be read.

use super::*;

/// `kernel host uname_v machine` of each, `-` for what isn't known, and the lines that were passed over.
fn read(text: &str) -> (Vec<String>, Vec<usize>) {
    read_bytes(text.as_bytes())
}

fn read_bytes(bytes: &[u8]) -> (Vec<String>, Vec<usize>) {
    let KernelList { kernels, passed_over } = kernels_in(bytes);
    let shown = |kernel: &ListedKernel| {
        let machine = kernel.machine.as_ref().map(Machine::as_str);
        let facts = [kernel.host.as_deref(), kernel.uname_v.as_deref(), machine];
        let facts: Vec<&str> = facts.iter().map(|fact| fact.unwrap_or("-")).collect();
        format!("{} {}", kernel.kernel, facts.join(" "))
    };
    (kernels.iter().map(shown).collect(), passed_over.iter().map(|passed| passed.line).collect())
}

fn kernels(text: &str) -> Vec<String> {
    let (kernels, passed_over) = read(text);
    assert!(passed_over.is_empty(), "{passed_over:?} of {text}");
    kernels
}

#[test]
fn releases_paths_and_comments() {
    let text = "# web servers\n6.12.1-amd64\n\n  6.12.2-amd64  # db\n  # later\n/usr/src/own\n6.12.1-amd64\n";
    assert_eq!(
        kernels(text),
        ["6.12.1-amd64 - - -", "6.12.2-amd64 - - -", "/usr/src/own - - -", "6.12.1-amd64 - - -"]
    );
}

#[test]
fn a_column_of_hosts_before_or_behind_the_releases() {
    assert_eq!(kernels("web7 6.12.3\n6.12.3 web8\n"), ["6.12.3 web7 - -", "6.12.3 web8 - -"]);
    assert_eq!(kernels("10.1.2.3 6.12.3\n6.12.3 10.1.2.3"), ["6.12.3 10.1.2.3 - -", "6.12.3 10.1.2.3 - -"]);
    assert_eq!(kernels("web7.example.org\t6.12.3\taarch64\n"), ["6.12.3 web7.example.org - aarch64"]);
    // Four numbers are an address, but for kernels 2.6.
    assert_eq!(read("web7 10.0.0.5\nweb7,10.0.0.5\n"), (Vec::new(), vec![1, 2]));
    assert_eq!(kernels("2.6.32.5\nweb7 2.6.32.5"), ["2.6.32.5 - - -", "2.6.32.5 web7 - -"]);
}

#[test]
fn lines_of_uname_of_several_distributions() {
    for (line, expected) in [
        (
            "Linux web7 6.12.3-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.12.3-1 (2026-08-29) x86_64 GNU/Linux",
            "6.12.3-amd64 web7 #1 SMP PREEMPT_DYNAMIC Debian 6.12.3-1 (2026-08-29) x86_64",
        ),
        (
            "Linux rh 5.14.0-503.el9.x86_64 #1 SMP PREEMPT_DYNAMIC Thu Jan  1 10:00:00 EST 2026 x86_64 x86_64 x86_64 GNU/Linux",
            "5.14.0-503.el9.x86_64 rh #1 SMP PREEMPT_DYNAMIC Thu Jan 1 10:00:00 EST 2026 x86_64",
        ),
        ("Linux own 6.6.1 #mine SMP x86_64 GNU/Linux", "6.6.1 own #mine SMP x86_64"),
        (
            "Linux arm 6.6.1 #20260829 SMP Sat Aug 29 aarch64 unknown Linux",
            "6.6.1 arm #20260829 SMP Sat Aug 29 aarch64",
        ),
        (
            "Linux alpine 6.12.3-0-lts #1-Alpine SMP 2026-08-29 12:00:00 x86_64 Linux",
            "6.12.3-0-lts alpine #1-Alpine SMP 2026-08-29 12:00:00 x86_64",
        ),
        // uname -srv, -rv, -sr, -snr, -rm
        ("Linux 6.12.3 #2 SMP Sat Aug 29", "6.12.3 - #2 SMP Sat Aug 29 -"),
        ("6.12.3 #2 SMP Sat Aug 29", "6.12.3 - #2 SMP Sat Aug 29 -"),
        ("Linux 6.12.3", "6.12.3 - - -"),
        ("Linux web7 6.12.3", "6.12.3 web7 - -"),
        ("6.12.3 ppc64le", "6.12.3 - - ppc64le"),
    ] {
        assert_eq!(kernels(line), [expected], "{line}");
    }
}

/// What follows the release was a comment: of two builds of one release nobody saw the second.
#[test]
fn a_build_behind_a_release_is_no_comment() {
    let text = "6.12.3 #1 SMP Sat Aug 29 12:00:00 UTC 2026\n6.12.3 #1 SMP Sun Aug 30 12:00:00 UTC 2026\n";
    let builds: Vec<Option<String>> =
        kernels_in(text.as_bytes()).kernels.into_iter().map(|kernel| kernel.uname_v).collect();
    let build = |day: &str| Some(format!("#1 SMP {day} 12:00:00 UTC 2026"));
    assert_eq!(builds, [build("Sat Aug 29"), build("Sun Aug 30")]);
}

#[test]
fn output_of_ansible() {
    let text = "web7 | CHANGED | rc=0 >>\nLinux web7 6.12.3 #1 SMP x86_64 GNU/Linux\n\
                inventory-name | SUCCESS | rc=0 >>\n6.12.4\n\
                web8 | UNREACHABLE! => {\n    \"changed\": false,\n    \"msg\": \"timed out\",\n    \"unreachable\": true\n}\n\
                web9 | CHANGED | rc=0 | (stdout) 6.12.5\n\
                web10 | FAILED | rc=127 >>\nuname: not found\n\
                6.12.6\n";
    assert_eq!(
        read(text),
        (
            ["6.12.3 web7 #1 SMP x86_64", "6.12.4 inventory-name - -", "6.12.5 web9 - -", "6.12.6 - - -"]
                .map(str::to_owned)
                .to_vec(),
            vec![5, 11, 12]
        )
    );
}

#[test]
fn output_of_ssh_and_its_relatives() {
    let text = "Warning: Permanently added 'web7' (ED25519) to the list of known hosts.\n\
                web7: 6.12.3\n\
                web8: Linux other 6.12.4 #1 SMP x86_64 GNU/Linux\n\
                web9: ssh: connect to host web9 port 22: Connection refused\n\
                ssh: connect to host web10 port 22: No route to host\n\
                Welcome to Debian 13.1\n\
                Last login: Sat Aug 29 12:00:00 2026 from 10.0.0.1\n\
                [1] 12:00:00 [SUCCESS] web11\n6.12.5\n\
                [2] 12:00:01 [FAILURE] web12 Exited with error code 255\n\
                web13 Linux web13 6.12.6 #1 SMP x86_64 GNU/Linux\n\
                Connection to web7 closed.\n";
    assert_eq!(
        read(text),
        (
            [
                "6.12.3 web7 - -",
                "6.12.4 web8 #1 SMP x86_64",
                "6.12.5 web11 - -",
                "6.12.6 web13 #1 SMP x86_64"
            ]
            .map(str::to_owned)
            .to_vec(),
            vec![1, 4, 5, 6, 7, 10, 12]
        )
    );
}

#[test]
fn tables_with_and_without_a_heading() {
    let build = "#1 SMP Debian (2026-08-29)";
    let expected = [format!("6.12.3 web7 {build} x86_64"), "6.12.4 web8 - aarch64".to_owned()];
    for text in [
        format!("Hostname,Kernel,Version,Arch\nweb7,6.12.3,{build},x86_64\nweb8,6.12.4,,aarch64\n"),
        format!(
            "\"rack\";\"uname -r\";\"uname -v\";\"host\";\"machine\"\n3;6.12.3;\"{build}\";web7;x86_64\n4;6.12.4;;web8;aarch64"
        ),
        format!("web7,6.12.3,\"{build}\",x86_64\r\naarch64,web8,6.12.4\r\n"),
        format!("web7\t6.12.3\t{build}\tx86_64\nweb8\t6.12.4\taarch64\n"),
        format!("web7,Linux a 6.12.3 {build} x86_64 GNU/Linux\nweb8,6.12.4 aarch64\n"),
    ] {
        assert_eq!(kernels(&text), expected, "{text}");
    }
    assert_eq!(kernels("10.0.0.1,6.12.3"), ["6.12.3 10.0.0.1 - -"]);
    assert_eq!(read("host,kernel\nweb7,n/a\nweb8,6.12.3\n"), (vec!["6.12.3 web8 - -".to_owned()], vec![2]));
}

#[test]
fn marks_and_line_ends_of_windows() {
    let text = "6.12.3\r\nweb7 6.12.4\r\n";
    let expected = (vec!["6.12.3 - - -".to_owned(), "6.12.4 web7 - -".to_owned()], Vec::new());
    assert_eq!(read(&format!("\u{feff}{text}")), expected);
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        let units = format!("\u{feff}{text}");
        let bytes: Vec<u8> = units.encode_utf16().flat_map(order).collect();
        assert_eq!(read_bytes(&bytes), expected);
    }
}

#[test]
fn what_names_no_kernel_is_passed_over_by_line() {
    let text = "6.12.1\nweb7\n6.12.1/x\nLinux web8 a/b #1 SMP x86_64\n6.12.1 6.12.2\n| | |\n,,\n";
    assert_eq!(read(text), (vec!["6.12.1 - - -".to_owned()], vec![2, 3, 4, 5, 6, 7]));
    assert_eq!(kernels_in(text.as_bytes()).passed_over[1].text, "6.12.1/x");
}
