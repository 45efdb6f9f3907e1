use std::convert::Infallible;
use std::fs;

use super::*;
use crate::testing::fake_sysroot;

const DEBIAN: &str = "override ARCH = arm64\nCC = $(if $(DEBIAN_KERNEL_USE_CCACHE),$(CCACHE)) $(CROSS_COMPILE)gcc-14\n\
                      override CROSS_COMPILE = aarch64-linux-gnu-\n";

/// What is chosen in a root with these programs, where `gcc` says that it is 16, for a tree with these variables.
fn chosen(
    variables: &str,
    programs: &[&str],
    machine: &str,
    built: Option<&str>,
    named: Option<&str>,
) -> ModuleCompiler {
    let root = fake_sysroot(&["1.0"]);
    let tree = Path::new("/usr/src/linux-headers-1.0");
    fs::write(root.path().join("usr/src/linux-headers-1.0/.kernelvariables"), variables).unwrap();
    for program in programs {
        fs::write(root.path().join("usr/bin").join(program), "program").unwrap();
    }
    let sysroot = Sysroot::open(root.path()).unwrap();
    let machine = machine.parse().unwrap();
    let native = "x86_64".parse().unwrap();
    let wish = CompilerWish { machine: &machine, native: Some(&native), kernel_compiler: built, named };
    let version = |program: &str| {
        let version = program.rsplit('-').next().filter(|last| last.parse::<u32>().is_ok()).unwrap_or("16");
        let found =
            programs.contains(&program).then(|| format!("{program} (Debian {version}.2.0-1) {version}.2.0"));
        Ok::<_, Infallible>(found)
    };
    module_compiler(&sysroot, tree, &wish, &version).unwrap()
}

fn compiler(program: &str, make: &[&str], missing: Option<&str>) -> ModuleCompiler {
    let make = make.iter().map(|word| (*word).to_owned()).collect();
    ModuleCompiler { program: program.to_owned(), make, missing: missing.map(str::to_owned) }
}

#[test]
fn a_tree_that_names_its_compiler_is_believed() {
    let gcc12 = Some("gcc-12 (Debian 12.2.0-14) 12.2.0");
    let arm = |programs: &[&str]| chosen(DEBIAN, programs, "aarch64", gcc12, None).program;
    assert_eq!(arm(&["gcc-14", "aarch64-linux-gnu-gcc-14"]), "aarch64-linux-gnu-gcc-14");
    // The farm's own compiler is no stand-in for one that is missing.
    assert_eq!(arm(&["gcc-14"]), "aarch64-linux-gnu-gcc-14");
    // Some trees take the prefix on other machines only.
    let own = DEBIAN.replace("aarch64", "x86_64");
    for (programs, program) in
        [(["gcc-14", "x86_64-linux-gnu-gcc-14"], "x86_64-linux-gnu-gcc-14"), (["gcc-14", "gcc"], "gcc-14")]
    {
        assert_eq!(chosen(&own, &programs, "x86_64", gcc12, None), compiler(program, &[], None));
    }
    let named = chosen("override CC := gcc-13\n", &["gcc-12"], "x86_64", gcc12, None);
    assert_eq!(named, compiler("gcc-13", &[], None));
    // It names the compiler, and make is given the prefix.
    let prefixed = chosen("CC = $(CROSS_COMPILE)gcc-10\n", &["gcc-10"], "aarch64", gcc12, None);
    let make = ["CROSS_COMPILE=aarch64-linux-gnu-"];
    assert_eq!(prefixed, compiler("aarch64-linux-gnu-gcc-10", &make, None));
}

#[test]
fn where_the_tree_names_none_the_kernels_own_version_is_taken() {
    let built = |major: u32| format!("gcc-{major} (Debian {major}.2.0-14) {major}.2.0");
    let chosen = |programs: &[&str], built: Option<&str>| chosen("", programs, "x86_64", built, None);
    let both = ["gcc", "gcc-12"];
    assert_eq!(chosen(&both, Some(&built(12))), compiler("gcc-12", &["CC=gcc-12"], None));
    assert_eq!(chosen(&both, Some(&built(16))), compiler("gcc", &[], None));
    assert_eq!(chosen(&both, None), compiler("gcc", &[], None));
    assert_eq!(chosen(&both, Some(&built(14))), compiler("gcc", &[], Some("gcc-14")));
    // Before gcc 5 the second number counts.
    assert_eq!(chosen(&["gcc"], Some("gcc (GCC) 4.8.5 20150623")), compiler("gcc", &[], Some("gcc-4.8")));
    // Only the kernel's own is there.
    assert_eq!(chosen(&["gcc-12"], Some(&built(12))), compiler("gcc-12", &["CC=gcc-12"], None));
    // Another kind of compiler takes more than a name.
    let clang = Some("Debian clang version 19.1.7 (3)");
    assert_eq!(chosen(&["gcc", "clang-19"], clang), compiler("gcc", &[], None));
}

#[test]
fn a_kernel_of_another_machine_gets_that_machines_tools() {
    let cross = ["gcc", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-gcc-14"];
    let prefix = "CROSS_COMPILE=aarch64-linux-gnu-";
    let built = Some("gcc (GCC) 14.2.1 20250110 (Red Hat 14.2.1-7)");
    let program = "aarch64-linux-gnu-gcc-14";
    let cc = format!("CC={program}");
    assert_eq!(chosen("", &cross, "aarch64", built, None), compiler(program, &[prefix, &cc], None));
    assert_eq!(chosen("", &cross, "aarch64", None, None), compiler("aarch64-linux-gnu-gcc", &[prefix], None));
}

#[test]
fn a_compiler_that_was_named_wins() {
    let gcc16 = Some("gcc-16 (Debian 16.2.0-3) 16.2.0");
    for variables in ["", "CC = gcc-16\n"] {
        let found = chosen(variables, &["gcc", "gcc-13"], "x86_64", gcc16, Some("gcc-13"));
        assert_eq!(found, compiler("gcc-13", &["CC=gcc-13"], None));
    }
}

#[test]
fn the_root_with_the_compiler_that_fits_is_equipped_best() {
    let tree = Path::new("/usr/src/linux-headers-1.0");
    let machine = "aarch64".parse().unwrap();
    let native = "x86_64".parse().unwrap();
    let built = Some("gcc-14 (Debian 14.2.0-19) 14.2.0");
    let wish = CompilerWish { machine: &machine, native: Some(&native), kernel_compiler: built, named: None };
    let equipped_by = |programs: &[&str]| {
        let root = fake_sysroot(&["1.0"]);
        for program in programs {
            fs::write(root.path().join("usr/bin").join(program), "program").unwrap();
        }
        equipped(&Sysroot::open(root.path()).unwrap(), tree, &wish)
    };
    assert_eq!(equipped_by(&["gcc", "gcc-14"]), Equipped::Not);
    assert_eq!(equipped_by(&["aarch64-linux-gnu-gcc"]), Equipped::WithUsual);
    assert_eq!(equipped_by(&["aarch64-linux-gnu-gcc-14"]), Equipped::WithFitting);
}
