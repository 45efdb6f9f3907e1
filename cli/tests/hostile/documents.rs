//! Signed manifests that no farm in its right mind would sign: names, text, numbers, sizes, JSON itself.

use bundle_format::{Digest, RedCell};
use fixtures::forge::Forge;

use crate::refused;

/// The good manifest with one replacement.
fn with(from: &str, to: &str) -> Vec<u8> {
    Forge::good().with_text(from, to).bytes()
}

/// The good bundle with another text in place of its kernel's release.
fn release(text: &str) -> Vec<u8> {
    with("\"release\":\"6.12.1-test\"", &format!("\"release\":\"{text}\""))
}

fn script(text: &str) -> Vec<u8> {
    with("\"name\":\"counter\"", &format!("\"name\":\"{text}\""))
}

fn extra_called(name: &str) -> Vec<u8> {
    let mut forge = Forge::good();
    forge.add_extra(name, b"content");
    forge.sealed().bytes()
}

fn options(text: &str) -> Vec<u8> {
    typed(|forge| text.clone_into(&mut forge.manifest.scripts[0].options))
}

fn reason(text: &str) -> Vec<u8> {
    typed(|forge| {
        let script = "latency".parse().unwrap();
        forge.kernel("6.13.0-test").red.push(RedCell { script, reason: text.to_owned(), skipped: false });
    })
}

fn typed(spoil: impl FnOnce(&mut Forge)) -> Vec<u8> {
    let mut forge = Forge::good();
    spoil(&mut forge);
    forge.sealed().bytes()
}

/// The good manifest with one more, unknown, field in front.
fn unknown_field(value: &str) -> Vec<u8> {
    with("{\"format\":1", &format!("{{\"unknown\":{value},\"format\":1"))
}

/// The manifest as these bytes, properly signed.
fn raw(manifest: &[u8]) -> Vec<u8> {
    Forge::good().sealed_text(manifest).bytes()
}

fn longer_than_the_limit() -> Vec<u8> {
    let text = Forge::good().text();
    let blanks = " ".repeat((4 << 20) + 1 - text.len());
    raw(text.replacen(',', &format!(",{blanks}"), 1).as_bytes())
}

fn scripts(count: usize) -> Vec<u8> {
    typed(|forge| {
        let one = forge.manifest.scripts[0].clone();
        let named = |index| bundle_format::ScriptRecord {
            name: format!("s{index:05}").parse().unwrap(),
            ..one.clone()
        };
        forge.manifest.scripts = (0..count).map(named).collect();
    })
}

fn extras(count: usize) -> Vec<u8> {
    typed(|forge| (0..count).for_each(|index| forge.add_extra(&format!("x{index}"), b"")))
}

const NO_RELEASE: &str = "is not a kernel release";
const DOES_NOT_SHOW: &str = "holds a character that does not show";
const UNREADABLE: &str = "manifest.json can't be read";

refused! {
    a01_release_dot_dot: release("..") => 11, NO_RELEASE;
    a01_release_climbs: release("../../etc/cron.d") => 11, NO_RELEASE;
    a01_release_climbs_within: release("6.1/../../x") => 11, NO_RELEASE;
    a01_release_absolute: release("/etc/cron.d/x") => 11, NO_RELEASE;
    a01_release_with_a_slash: release("6.1/x") => 11, NO_RELEASE;
    a01_release_hidden: release(".ssh") => 11, NO_RELEASE;
    a01_release_empty: release("") => 11, NO_RELEASE;
    a01_release_of_an_option: release("-rf") => 11, NO_RELEASE;
    a01_release_with_a_backslash: release("6.1\\\\x") => 11, NO_RELEASE;
    a01_script_climbs: script("../../sbin/init") => 11, "only letters, digits and _ are allowed";
    a01_script_absolute: script("/etc/passwd") => 11, "only letters, digits and _ are allowed";
    a01_script_with_a_dot: script("a.ko") => 11, "only letters, digits and _ are allowed";
    a01_script_with_a_dash: script("a-b") => 11, "only letters, digits and _ are allowed";
    a01_script_empty: script("") => 11, "script name is empty";
    a01_script_too_long: script(&"a".repeat(56)) => 11, "at most 55 fit a kernel module";
    a01_script_begins_with_a_digit: script("1st") => 11, "starts with the digit";
    a01_bundle_name_climbs: with("\"name\":\"fleet\"", "\"name\":\"../../../etc\"") => 11, "is not a bundle name";
    a01_bundle_name_hidden: with("\"name\":\"fleet\"", "\"name\":\".x\"") => 11, "is not a bundle name";
    a01_bundle_version_climbs: with("\"version\":\"1.7\"", "\"version\":\"../1\"") => 11, "is not a bundle version";
    a01_machine_climbs: with(&format!("\"machine\":\"{}\"", std::env::consts::ARCH), "\"machine\":\"../x\"")
        => 11, "is not a machine name";
    a01_group_climbs: with("\"users\":[]", "\"users\":[\"../root\"]") => 11, "is not a group name";
    a01_requirement_climbs: with("\"requires\":[\"counter\"]", "\"requires\":[\"../x\"]")
        => 11, "only letters, digits and _ are allowed";
    a01_extra_climbs: extra_called("../../etc/passwd") => 11, "is no name for an extra";
    a01_extra_absolute: extra_called("/etc/passwd") => 11, "is no name for an extra";
    a01_extra_within_kernels: extra_called("kernels/0000-x.tar.zst") => 11, "is no name for an extra";
    a01_extra_called_like_a_member: extra_called("MANIFEST.json") => 11, "is no name for an extra";
    a01_extra_hidden: extra_called(".bashrc") => 11, "is no name for an extra";
    a01_extra_of_an_option: extra_called("--checkpoint-action=exec=sh") => 11, "is no name for an extra";
    a05_json_key_twice: with("\"serial\":7", "\"serial\":7,\"serial\":8") => 11, "duplicate key `serial`";
    a05_json_key_twice_by_an_escape: with("\"serial\":7", "\"serial\":7,\"\\u0073erial\":8")
        => 11, "duplicate key `serial`";
    a05_json_key_twice_in_an_unknown_field: unknown_field("{\"a\":1,\"a\":2}") => 11, "duplicate key `a`";
    a05_script_twice: typed(|forge| {
        let one = forge.manifest.scripts[0].clone();
        forge.manifest.scripts.insert(0, one);
    }) => 11, "there is a duplicate";
    a05_kernel_twice: typed(|forge| {
        let mut one = forge.manifest.kernels[0].clone();
        one.frames.clear();
        forge.manifest.kernels.insert(0, one);
    }) => 11, "kernels are not sorted by id, or there is a duplicate";
    a05_extra_twice: typed(|forge| {
        forge.add_extra("notes.txt", b"one");
        forge.add_extra("notes.txt", b"two");
    }) => 11, "duplicate extra `notes.txt`";
    a05_frame_index_twice: typed(|forge| forge.manifest.kernels.iter_mut().flat_map(|kernel| &mut kernel.frames)
        .for_each(|frame| { frame.index = 0; frame.reference = None; })) => 11, "frame indexes are not 0 to 1";
    a05_red_cell_twice: typed(|forge| {
        let cell = RedCell { script: "latency".parse().unwrap(), reason: "none".to_owned(), skipped: false };
        forge.kernel("6.13.0-test").red = vec![cell.clone(), cell];
    }) => 11, "red cells of kernel 6.13.0-test are not sorted";
    a09_manifest_one_byte_over: longer_than_the_limit() => 11, "at most 4194304 are allowed";
    a09_manifest_empty: raw(b"") => 11, UNREADABLE;
    a09_manifest_of_one_brace: raw(b"{") => 11, UNREADABLE;
    a09_json_nine_deep: unknown_field("[[[[[[[[1]]]]]]]]") => 11, "nested deeper than 8";
    a09_json_a_million_deep: unknown_field(&"[".repeat(1_000_000)) => 11, "nested deeper than 8";
    a09_json_of_too_many_values: unknown_field(&format!("[{}0]", "0,".repeat(200_000)))
        => 11, "more than 200000 values";
    a09_json_of_two_million_keys: unknown_field(&format!("{{{}\"z\":0}}", many_keys()))
        => 11, "more than 200000 values";
    a09_scripts_one_over: scripts(10_001) => 11, "scripts";
    a09_extras_one_over: extras(65) => 11, "65 extras, limit 64";
    a09_text_one_byte_over: reason(&"x".repeat(4097)) => 11, "is not printable";
    a09_argument_one_byte_over: options(&"x".repeat(4097)) => 11, "is too long";
    a09_roots_over_the_limit: with("\"roots\":{\"first\":0,\"last\":0,\"size\":0", "\"roots\":{\"first\":1,\"last\":1,\"size\":4194305")
        => 11, "limit 4194304";
    a10_extra_of_8_gib: typed(|forge| {
        forge.add_extra("sources.tar.zst", b"x");
        forge.manifest.extras[0].size = 1 << 33;
    }) => 11, "extra `sources.tar.zst` has 8589934592 bytes";
    a10_extra_of_2_63: typed(|forge| {
        forge.add_extra("sources.tar.zst", b"x");
        forge.manifest.extras[0].size = (1 << 63) - 1;
    }) => 11, "extra `sources.tar.zst` has 9223372036854775807 bytes";
    a10_integer_beyond_2_63: with("\"serial\":7", "\"serial\":9223372036854775808") => 11, "larger than 2^63-1";
    a10_integer_beyond_2_64: with("\"serial\":7", "\"serial\":18446744073709551616") => 11, UNREADABLE;
    a10_integer_negative: with("\"serial\":7", "\"serial\":-1") => 11, UNREADABLE;
    a10_integer_minus_zero: with("\"serial\":7", "\"serial\":-0") => 11, UNREADABLE;
    a10_integer_with_an_exponent: with("\"serial\":7", "\"serial\":7e0") => 11, UNREADABLE;
    a10_integer_with_a_fraction: with("\"serial\":7", "\"serial\":7.0") => 11, UNREADABLE;
    a10_integer_with_a_leading_zero: with("\"serial\":7", "\"serial\":07") => 11, UNREADABLE;
    a10_integer_as_a_string: with("\"serial\":7", "\"serial\":\"7\"") => 11, UNREADABLE;
    a12_not_utf8: raw(&[Forge::good().text().as_bytes().strip_suffix(b"}").unwrap(), b",\"x\":\"\xff\"}"].concat())
        => 11, UNREADABLE;
    a12_byte_order_mark: raw(&[b"\xef\xbb\xbf", Forge::good().text().as_bytes()].concat()) => 11, UNREADABLE;
    a12_bytes_behind_the_object: raw(format!("{}\n", Forge::good().text()).as_bytes()) => 11, UNREADABLE;
    a12_second_document: raw(format!("{0}{0}", Forge::good().text()).as_bytes()) => 11, UNREADABLE;
    a12_half_a_surrogate: unknown_field("\"\\ud800\"") => 11, UNREADABLE;
    a12_null: with("\"serial\":7", "\"serial\":7,\"best_before\":null") => 11, UNREADABLE;
    a12_object_spelled_as_a_list: with("\"roots\":{", "\"roots\":[0,0,0,\"x\"],\"was\":{") => 11, UNREADABLE;
    a12_kind_spelled_as_an_object: with("\"kind\":\"full\"", "\"kind\":{\"full\":[]}") => 11, UNREADABLE;
    a12_release_with_nul: release("6.1\\u0000x") => 11, NO_RELEASE;
    a12_release_with_a_newline: release("6.1\\nx") => 11, NO_RELEASE;
    a12_release_right_to_left: release("6.1\\u202ex") => 11, NO_RELEASE;
    a12_release_beyond_ascii: release("6.1ä") => 11, NO_RELEASE;
    a12_option_with_nul: options("-D\0X") => 11, DOES_NOT_SHOW;
    a12_option_with_a_newline: options("-D X\nreboot") => 11, DOES_NOT_SHOW;
    a12_option_right_to_left: options("-D \u{202e}X") => 11, DOES_NOT_SHOW;
    a12_option_of_zero_width: options("-D \u{200b}X") => 11, DOES_NOT_SHOW;
    a12_option_of_a_blank_letter: options("-D \u{3164}X") => 11, DOES_NOT_SHOW;
    a12_reason_with_an_escape: reason("\u{1b}[2J\u{1b}]0;owned\u{7}") => 11, "is not printable";
    a12_fact_with_a_newline: typed(|forge| forge.kernel("6.12.1-test").compiler = Some("gcc\nx".to_owned()))
        => 11, "is empty or not printable";
    a12_toolchain_with_an_escape: typed(|forge| forge.manifest.toolchains[0].stap = "\u{1b}c".to_owned())
        => 11, "not printable";
    a12_zstd_with_an_escape: typed(|forge| forge.manifest.zstd = "\u{1b}c".to_owned()) => 11, "not printable";
    a12_scripts_that_differ_in_case: typed(|forge| {
        forge.manifest.scripts[0].name = "Latency".parse().unwrap();
        forge.manifest.scripts[1].requires.clear();
    }) => 11, "differs from another only in case";
    a12_extras_that_differ_in_case: typed(|forge| {
        forge.add_extra("notes.txt", b"one");
        forge.add_extra("Notes.txt", b"two");
    }) => 11, "duplicate extra `Notes.txt`";
    a12_kind_with_an_escape: with("\"kind\":\"full\"", "\"kind\":\"\\u001b[2J\\u001b]0;owned\\u0007\"") => 11, UNREADABLE;
    a12_digest_with_an_escape: with("\"source_sha256\":\"", "\"source_sha256\":\"\\u001b[2J") => 11, UNREADABLE;
    a12_kind_of_a_megabyte: with("\"kind\":\"full\"", &format!("\"kind\":\"{}\"", "x".repeat(1 << 20)))
        => 11, UNREADABLE;
    a12_script_name_of_a_megabyte: script(&"x".repeat(1 << 20)) => 11, UNREADABLE;
    a12_key_of_a_megabyte_twice: { let key = "x".repeat(1 << 20);
        unknown_field(&format!("{{\"{key}\":1,\"{key}\":2}}")) } => 11, UNREADABLE;
    a14_release_of_65_bytes: release(&"6".repeat(65)) => 11, NO_RELEASE;
    a14_release_with_a_blank: release("6.1 x") => 11, NO_RELEASE;
    a14_release_with_a_shell_command: release("6.1$(reboot)") => 11, NO_RELEASE;
    a14_vermagic_of_another_release: typed(|forge|
        forge.kernel("6.12.1-test").vermagic = Some("6.12.2-test SMP ".to_owned())) => 11, "is for another release";
    c06_kernel_id_of_other_facts: typed(|forge| forge.kernel("6.12.1-test").uname_v = Some("#2 SMP".to_owned()))
        => 11, "is not that of its facts";
    c06_content_of_another_bundle: { let text = Forge::good().text(); let at = text.rfind("\"content\":\"").unwrap() + 11;
        raw(format!("{}{}\"}}", &text[..at], Digest::of(b"other")).as_bytes()) } => 11, "content is";
    c06_requirement_that_is_not_there: with("\"requires\":[\"counter\"]", "\"requires\":[\"nobody\"]")
        => 11, "which is not in the bundle";
    c06_requirement_of_itself: typed(|forge| {
        let own = forge.manifest.scripts[0].name.clone();
        forge.manifest.scripts[0].requires = vec![own];
    }) => 11, "requires itself";
    c06_requirements_in_a_circle: typed(|forge| {
        let other = forge.manifest.scripts[1].name.clone();
        forge.manifest.scripts[0].requires = vec![other];
    }) => 11, "form a cycle";
    c06_run_arguments_load_another_module: typed(|forge|
        forge.manifest.scripts[0].run = vec!["-L".to_owned(), "/tmp/evil.ko".to_owned()])
        => 11, "not those of a flight recorder";
    c06_run_arguments_remove_a_module: typed(|forge|
        forge.manifest.scripts[0].run = vec!["-d".to_owned(), "ext4".to_owned()])
        => 11, "not those of a flight recorder";
    c06_log_that_climbs: typed(|forge| forge.manifest.scripts[0].run =
        ["-D", "-o", "/log/../etc/passwd"].map(str::to_owned).to_vec()) => 11, "not those of a flight recorder";
    c06_toolchain_that_is_not_there: typed(|forge| forge.kernel("6.12.1-test").toolchain = usize::MAX >> 1)
        => 11, "names toolchain";
    c06_no_kernel: typed(|forge| forge.manifest.kernels.clear()) => 11, "no kernel";
    g05_newer_format: with("{\"format\":1", "{\"format\":2") => 30, "a newer stap-bundle is needed";
    g05_format_beyond_32_bits: with("{\"format\":1", "{\"format\":4294967297") => 30, "a newer stap-bundle is needed";
    g05_newer_reader: with("\"minimum_reader\":0", "\"minimum_reader\":1") => 30, "a newer stap-bundle is needed";
    g05_reader_beyond_32_bits: with("\"minimum_reader\":0", "\"minimum_reader\":4294967296")
        => 30, "a newer stap-bundle is needed";
    g05_critical_entry: with("\"critical\":[]", "\"critical\":[\"moon\"]") => 30, "needs `moon`";
    g05_critical_entry_with_an_escape: with("\"critical\":[]", "\"critical\":[\"\\u001b[2J\"]")
        => 30, "a newer stap-bundle is needed";
}

fn many_keys() -> String {
    (0..250_000).flat_map(|index| [format!("\"{index}\":0"), ",".to_owned()]).collect()
}
