//! The one compile command.
//!
//! It's the same for every executor, and part of every cache key. What each word is for:
//!
//! - `-E PROBE`: a `procfs` file by which the service can ask a running module; the initscript adds the same probe.
//! - `-m NAME`: the module's name is the script's. It also switches off stap's own script cache, which would answer
//!   with a path into the cache, and its eviction.
//! - `--save-uprobes`: kernels before 3.5 need a module of stap's own for user-space probes.
//! - `-a ARCH`, among the options: the architecture of the build tree, by kbuild's name. Without it stap takes the farm's own, and
//!   a module for another machine has the tapset of this one.
//! - the script by a relative path: the string as typed is in the module's symbols.
//!
//! A stap-server compiles `script/<path as sent>`, so its client sends `/src/NAME.stp`, and both give the same bytes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bundle_format::ScriptName;

/// Raised whenever the command, the environment, the layout of the work directory or what is seen of a build tree changes.
///
/// 2: of the trace headers those that a script needs; which these are follows from script, tapsets and tree.
/// 3: `-a`.
pub const RECIPE_VERSION: u32 = 3;

/// The probe added to every script (section 2.2 of the initscript's README; INIT-COMP).
const SERVICE_PROBE: &str = r#"probe procfs("srvstat").read {$value = "running\n"}"#;

/// Where the script lies, below the work directory.
pub(crate) fn script_path(name: &ScriptName) -> PathBuf {
    Path::new("script/src").join(format!("{name}.stp"))
}

/// The module's file, below the work directory.
pub(crate) fn module_path(name: &ScriptName) -> PathBuf {
    PathBuf::from(format!("{name}.ko"))
}

/// The argument vector of `stap`. `kernel` is a release or the path of a build tree.
#[must_use]
pub fn compile_command(
    name: &ScriptName,
    kernel: &str,
    options: &[String],
    arguments: &[String],
) -> Vec<String> {
    let mut argv: Vec<String> =
        ["stap", "-E", SERVICE_PROBE, "-m", name.as_str(), "-p4", "-r", kernel, "--save-uprobes"]
            .map(str::to_owned)
            .to_vec();
    argv.extend_from_slice(options);
    argv.push(script_path(name).to_string_lossy().into_owned());
    argv.extend_from_slice(arguments);
    argv
}

/// The same up to the analysis (pass 2), in which stap asks the kernel's headers for types.
pub(crate) fn analysis_command(compile: &[String]) -> Vec<String> {
    let mut argv = compile.to_vec();
    // The first is that of the recipe; a script's own arguments are behind.
    if let Some(word) = argv.iter_mut().find(|word| *word == "-p4") {
        "-p2".clone_into(word);
    }
    argv
}

/// Where a compile server's client has the script.
pub(crate) const SENT_DIRECTORY: &str = "/src";

/// The argument vector of a compile server's client: what the server runs is [`compile_command`].
///
/// `-k` keeps the client's temporary directory, in which the server's answer is (CLIENT-05); the server isn't told of it.
pub(crate) fn client_command(
    server: SocketAddr,
    name: &ScriptName,
    kernel: &str,
    options: &[String],
    arguments: &[String],
) -> Vec<String> {
    let mut argv = compile_command(name, kernel, options, arguments);
    let sent = format!("{SENT_DIRECTORY}/{name}.stp");
    let script = script_path(name);
    // The options end where the script's own arguments begin, which may look like it.
    let at = argv.len() - arguments.len() - 1;
    if let Some(word) = argv.get_mut(at).filter(|word| script == Path::new(word.as_str())) {
        *word = sent;
    }
    argv.splice(1..1, [format!("--use-server={server}"), "-k".to_owned()]);
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_sends_the_same_command_with_the_script_at_its_own_place() {
        let arguments = ["script/src/a.stp".to_owned()];
        let server = "[::1]:5001".parse().unwrap();
        let argv = client_command(server, &"a".parse().unwrap(), "6.12.1", &["-g".to_owned()], &arguments);
        assert_eq!(argv[..3], ["stap", "--use-server=[::1]:5001", "-k"]);
        let own = compile_command(&"a".parse().unwrap(), "6.12.1", &["-g".to_owned()], &arguments);
        assert_eq!(argv[3..argv.len() - 2], own[1..own.len() - 2]);
        assert_eq!(argv[argv.len() - 2..], ["/src/a.stp", "script/src/a.stp"]);
    }

    #[test]
    fn an_analysis_is_the_same_command_and_ends_before_code_is_made() {
        let arguments = ["-p4".to_owned()];
        let argv = compile_command(&"a".parse().unwrap(), "6.12.1", &[], &arguments);
        let analysis = analysis_command(&argv);
        assert_eq!((analysis[5].as_str(), analysis.last().map(String::as_str)), ("-p2", Some("-p4")));
        assert_eq!((&analysis[..5], &analysis[6..]), (&argv[..5], &argv[6..]));
    }

    #[test]
    fn the_command_is_the_agreed_one() {
        let argv = compile_command(
            &"schedtimes".parse().unwrap(),
            "6.12.1",
            &["-g".to_owned()],
            &["arg".to_owned()],
        );
        let expected = [
            "stap",
            "-E",
            "probe procfs(\"srvstat\").read {$value = \"running\\n\"}",
            "-m",
            "schedtimes",
            "-p4",
            "-r",
            "6.12.1",
            "--save-uprobes",
            "-g",
            "script/src/schedtimes.stp",
            "arg",
        ];
        assert_eq!(argv, expected);
    }
}
