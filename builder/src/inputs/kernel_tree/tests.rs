use super::*;
use crate::testing::fake_sysroot;

#[test]
fn debuginfo_is_looked_for_where_stap_does() {
    let root = fake_sysroot(&["1.0", "2.0"]);
    let sysroot = Sysroot::open(root.path()).unwrap();
    let found = || debuginfo_of(&sysroot, &"1.0".parse().unwrap());
    assert_eq!(found(), BTreeSet::new());
    let files = [
        "usr/lib/debug/usr/lib/modules/1.0/vmlinux",
        "usr/lib/debug/usr/lib/modules/2.0/vmlinux",
        "boot/System.map-1.0",
        "boot/System.map-2.0",
        "usr/lib/modules/1.0/kernel/fs/ext4.ko",
        "usr/lib/modules/1.0/modules.order",
    ];
    for file in files {
        std::fs::create_dir_all(root.path().join(file).parent().unwrap()).unwrap();
        std::fs::write(root.path().join(file), "x").unwrap();
    }
    let expected =
        ["/boot/System.map-1.0", "/usr/lib/debug/usr/lib/modules/1.0", "/usr/lib/modules/1.0/kernel"];
    assert_eq!(found(), expected.iter().map(PathBuf::from).collect());
}

#[test]
fn facts_come_from_the_generated_headers() {
    let root = fake_sysroot(&["6.12.1-test"]);
    let sysroot = Sysroot::open(root.path()).unwrap();
    let release: KernelRelease = "6.12.1-test".parse().unwrap();
    let tree = sysroot.resolve(&build_link(&release)).unwrap();
    assert_eq!(tree, Path::new("/usr/src/linux-headers-6.12.1-test"));
    let facts = read_facts(&sysroot, &tree, &release).unwrap();
    assert_eq!(facts.machine.as_str(), "x86_64");
    assert_eq!(facts.uname_v.as_deref(), Some("#1 SMP Test 6.12.1-test"));
    let trees: Vec<_> = trees_of(&sysroot, &tree, &release).into_iter().collect();
    assert_eq!(
        trees,
        [Path::new("/usr/src/linux-headers-6.12.1-test"), Path::new("/usr/src/linux-headers-common")]
    );
}

#[test]
fn a_tree_of_another_release_is_refused_with_both() {
    let root = fake_sysroot(&["6.12.1-test"]);
    let sysroot = Sysroot::open(root.path()).unwrap();
    let wanted: KernelRelease = "6.12.2-test".parse().unwrap();
    let tree = Path::new("/usr/src/linux-headers-6.12.1-test");
    let text = read_facts(&sysroot, tree, &wanted).unwrap_err().to_string();
    assert_eq!(text, "/usr/src/linux-headers-6.12.1-test is a build tree of 6.12.1-test, not of 6.12.2-test");
}

#[test]
fn a_tree_without_compile_h_names_the_compiler_by_its_configuration() {
    let gcc = "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0";
    let root = fake_sysroot(&["1.0"]);
    let sysroot = Sysroot::open(root.path()).unwrap();
    let tree = Path::new("/usr/src/linux-headers-1.0");
    let facts = || read_facts(&sysroot, tree, &"1.0".parse().unwrap()).unwrap();
    assert_eq!(facts().kernel_compiler, None);
    let config = root.path().join("usr/src/linux-headers-1.0/include/config/auto.conf");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(config, format!("CONFIG_X86_64=y\nCONFIG_CC_VERSION_TEXT={gcc}\n")).unwrap();
    assert_eq!(facts().kernel_compiler.as_deref(), Some(gcc));
}

#[test]
fn a_tree_for_a_machine_without_modules_is_refused_by_its_name() {
    let root = fake_sysroot(&["1.0"]);
    let sysroot = Sysroot::open(root.path()).unwrap();
    let at = root.path().join("usr/src/linux-headers-1.0/include");
    let read = |machine: &str| {
        let compile = format!("#define UTS_MACHINE\t\"{machine}\"\n");
        std::fs::write(at.join("generated/compile.h"), compile).unwrap();
        read_facts(&sysroot, Path::new("/usr/src/linux-headers-1.0"), &"1.0".parse().unwrap())
    };
    assert_eq!(read("aarch64").unwrap().machine.as_str(), "aarch64");
    for machine in ["i686", "armv7l", "loongarch64", "a b"] {
        let text = read(machine).unwrap_err().to_string();
        let begins = format!(
            "/usr/src/linux-headers-1.0 is a build tree for {machine}; modules are made for x86_64, aarch64"
        );
        assert!(text.starts_with(&begins), "{text}");
    }
    std::fs::remove_file(at.join("generated/compile.h")).unwrap();
    std::fs::create_dir_all(at.join("config")).unwrap();
    std::fs::write(at.join("config/auto.conf"), "CONFIG_X86_32=y\n").unwrap();
    let text = read_facts(&sysroot, Path::new("/usr/src/linux-headers-1.0"), &"1.0".parse().unwrap());
    assert!(text.unwrap_err().to_string().contains("a build tree for i686"));
}

#[test]
fn a_definition_needs_its_whole_name() {
    assert_eq!(
        defined("#define UTS_VERSION_X \"a\"\n#define UTS_VERSION\t\t\"b\"\n", "UTS_VERSION"),
        Some("b".into())
    );
    assert_eq!(defined("#define UTS_VERSION b\n", "UTS_VERSION"), None);
}
