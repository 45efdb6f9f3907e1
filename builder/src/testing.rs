//! Stand-ins that several unit tests share.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use bundle_format::Digest;
use script_config::{ScriptOptions, ScriptUsers};
use signing::{KeyPairFiles, PrivateKeyFile};

use crate::inputs::{KernelTarget, ScriptSource, TapsetLibrary};
use crate::job::{CompileJob, KeyParts, compile_command};
use crate::results::Builders;
use crate::sandbox::{JobDirectory, Sandbox};
use crate::warm::{WarmUp, WarmUpFlags, WarmUpKey};

/// A builder with a key of its own.
pub(crate) fn fake_builders() -> Builders {
    let folder = tempfile::tempdir().unwrap();
    let key = PrivateKeyFile::create(&KeyPairFiles::named(&folder.keep().join("builder"))).unwrap();
    Builders::new(Some(key), Vec::new(), false)
}

/// The directory of a job, in one of the test's own.
pub(crate) fn fake_work() -> (tempfile::TempDir, JobDirectory) {
    let base = tempfile::tempdir().unwrap();
    let parent = files::Directory::at_path(base.path()).unwrap();
    let work = JobDirectory::new(parent, false, Sandbox::without_user_change().lease().unwrap()).unwrap();
    (base, work)
}

/// A directory that looks like a sysroot with build trees of these releases: links as Debian makes them, no programs.
pub(crate) fn fake_sysroot(releases: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    fs::create_dir_all(at("mnt")).unwrap();
    write(&at("usr/bin/stap"), "not a program");
    write(&at("usr/share/systemtap/runtime/runtime.h"), "runtime");
    write(&at("usr/share/systemtap/tapset/tapset.stp"), "tapset");
    write(&at("usr/src/linux-headers-common/Makefile"), "all:\n");
    fs::create_dir_all(at("usr/lib/modules")).unwrap();
    symlink("usr/lib", at("lib")).unwrap();
    for release in releases {
        let tree = at(&format!("usr/src/linux-headers-{release}"));
        write(&tree.join("Makefile"), "include /usr/src/linux-headers-common/Makefile\n");
        write(&tree.join("Module.symvers"), &format!("symbols of {release}"));
        write(&tree.join("include/generated/utsrelease.h"), &format!("#define UTS_RELEASE \"{release}\"\n"));
        write(
            &tree.join("include/generated/utsversion.h"),
            &format!("#define UTS_VERSION \"#1 SMP Test {release}\"\n"),
        );
        write(&tree.join("include/generated/compile.h"), "#define UTS_MACHINE\t\t\"x86_64\"\n");
        let modules = at(&format!("usr/lib/modules/{release}"));
        fs::create_dir_all(&modules).unwrap();
        symlink(format!("/usr/src/linux-headers-{release}"), modules.join("build")).unwrap();
    }
    root
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The smallest ELF file that passes as the module `name` for `release`: a header, `.modinfo` and the section names.
pub(crate) fn fake_module(name: &str, release: &str, srcversion: &str) -> Vec<u8> {
    let modinfo = format!(
        "name={name}\0vermagic={release} SMP preempt mod_unload modversions \0srcversion={srcversion}\0depends=a,b\0"
    );
    let names = "\0.modinfo\0.shstrtab\0.stap_privilege\0";
    let privilege = 8_u32.to_le_bytes(); // stapdev, the default
    let privilege_at = 64;
    let modinfo_at = privilege_at + privilege.len();
    let names_at = modinfo_at + modinfo.len();
    let sections_at = names_at + names.len();
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec(); // 64 bit, little-endian
    elf.resize(16, 0);
    let half = |elf: &mut Vec<u8>, value: u16| elf.extend(value.to_le_bytes());
    let word = |elf: &mut Vec<u8>, value: u32| elf.extend(value.to_le_bytes());
    let long = |elf: &mut Vec<u8>, value: usize| elf.extend((value as u64).to_le_bytes());
    half(&mut elf, 1); // relocatable
    half(&mut elf, 62); // x86-64
    word(&mut elf, 1);
    long(&mut elf, 0);
    long(&mut elf, 0);
    long(&mut elf, sections_at);
    word(&mut elf, 0);
    for value in [64, 0, 0, 64, 4, 2] {
        half(&mut elf, value);
    }
    elf.extend(privilege);
    elf.extend(modinfo.as_bytes());
    elf.extend(names.as_bytes());
    elf.resize(elf.len() + 64, 0); // section 0
    for (name_at, kind, at, len) in [
        (1_u32, 1_u32, modinfo_at, modinfo.len()),
        (10, 3, names_at, names.len()),
        (20, 1, privilege_at, privilege.len()),
    ] {
        word(&mut elf, name_at);
        word(&mut elf, kind);
        for value in [0, 0, at, len] {
            long(&mut elf, value);
        }
        word(&mut elf, 0);
        word(&mut elf, 0);
        long(&mut elf, 1);
        long(&mut elf, 0);
    }
    elf
}

/// A script without options.
pub(crate) fn fake_script(name: &str) -> ScriptSource {
    let text = format!("probe begin {{ println(\"{name}\") }}\n").into_bytes();
    ScriptSource::new(
        name.parse().unwrap(),
        text,
        1_000,
        &ScriptOptions::default(),
        Vec::new(),
        ScriptUsers::Root,
    )
}

/// A script of this text and these options, as `NAME_OPT` has them.
pub(crate) fn script_with(text: &str, options: &str) -> ScriptSource {
    let options = ScriptOptions::parse(options, None).unwrap();
    let text = text.as_bytes().to_vec();
    ScriptSource::new("probing".parse().unwrap(), text, 1_000, &options, Vec::new(), ScriptUsers::Root)
}

/// A job for a kernel of which only the release is real.
pub(crate) fn fake_job(script: &str, release: &str) -> CompileJob {
    let script = Arc::new(fake_script(script));
    let kernel = Arc::new(KernelTarget {
        release: release.parse().unwrap(),
        machine: "x86_64".parse().unwrap(),
        uname_v: None,
        symvers: None,
        config: None,
        kernel_compiler: None,
        sysroot: 0,
        build_tree: Path::new("/usr/src/tree").to_owned(),
        tree_digest: Digest::of(release.as_bytes()),
        debuginfo: None,
        compiler: None,
        make: Vec::new(),
        wants_symbol_versions: false,
        by_path: false,
        overlay: crate::sandbox::Overlay::default(),
        packages: Vec::new(),
        stamp: Digest::of(b"stamp"),
        modified: 2_000,
    });
    let argv = compile_command(script.name(), kernel.release.as_str(), &[], &[]);
    let parts = KeyParts::new(argv, script.record().source_sha256, Digest::of(b"toolchain"), &kernel);
    let flags = WarmUpFlags::default();
    let warm_up_key = WarmUpKey::of_test(release);
    let tracepoints = TapsetLibrary::default().used_by(&script);
    CompileJob {
        needs: WarmUp { configured: true, scanned: tracepoints.are_looked_for() },
        tracepoints: Arc::new(tracepoints),
        warm_up_flags: flags,
        key: parts.key(),
        script,
        kernel,
        parts,
        warm_up_key,
    }
}
