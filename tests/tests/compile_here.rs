//! `compile` on a host that has `stap`, for itself: the real compiler, and what it leaves.
#![cfg(feature = "lab")]

use std::fs;
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::{Lab, repository};
use end_to_end::programs;
use end_to_end::scratch::Farm;

/// Runs in a mount namespace whose /var/lib is empty: records are kept there, and this machine must not get any.
#[test]
fn init_comp_01_a_script_is_compiled_here_and_recorded() {
    let lab = Lab::open().unwrap();
    let release = lab.bootable("stable").unwrap().release.clone();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("scripts")).unwrap();
    fs::create_dir_all(at("conf.d")).unwrap();
    fs::copy(repository().join("fixtures/scripts/heartbeat.stp"), at("scripts/heartbeat.stp")).unwrap();
    let own = directory.path().display();
    let config = format!(
        "SCRIPT_PATH={own}/scripts\nCONFIG_PATH={own}/conf.d\nCACHE_PATH={own}/cache\nLOG_FILE={own}/log\n"
    );
    fs::write(at("config"), config).unwrap();
    let script = format!(
        "mount -t tmpfs -o mode=0755 tmpfs /var/lib
        compile() {{ '{0}' compile -c '{own}/config' --sysroot '{1}' -r '{release}' --cache '{2}' \"$@\"; }}
        compile -y heartbeat
        compile heartbeat </dev/null 2>'{own}/asked'
        cat /var/lib/stap-bundle/local/'{release}'/heartbeat.json
        cp -a '{own}/cache' '{own}/compiled'
        # A bundle's script is the bundle's: not even -y compiles it here.
        cp -a /etc '{own}/etc'
        mount --bind '{own}/etc' /etc
        install -D -m 644 '{own}/config' /etc/systemtap/config
        cd '{own}'
        '{0}' key generate --out farm >&2
        '{0}' build -r '{release}' --sysroot '{1}' -c config --cache '{2}' --key farm.key -o out.stapb heartbeat >&2
        '{0}' trust add farm.pub >&2
        '{0}' install out.stapb --kernel '{release}' --move-foreign >&2
        compile -y heartbeat 2>owned || echo \"ended with $?\"",
        programs::farm().unwrap().display(),
        lab.root().display(),
        Farm::cache(&lab).unwrap().display(),
    );
    let finished = ChildCommand::new("unshare")
        .args(["-m", "bash", "-euc", &script])
        .env_from_here("PATH")
        .env_from_here("HOME")
        .run(&Limits::within(Duration::from_secs(900)), &Cancel::new())
        .unwrap();
    let said = format!("{}{}", finished.stdout.text(), finished.stderr.text());
    assert!(finished.status.success(), "{said}");
    // A cold kernel takes minutes: what is done is told.
    for part in ["compiling 1 script for ", "1 cell: ", "from the cache, "] {
        assert!(finished.stderr.text().contains(part), "{said}");
    }
    let text = finished.stdout.text();
    let (recorded, ended) = text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(ended, "ended with 16", "{said}");
    let owned = fs::read_to_string(at("owned")).unwrap();
    assert!(owned.contains("heartbeat is owned by bundle stap-scripts"), "{owned}");
    let record: serde_json::Value = serde_json::from_str(recorded.lines().last().unwrap()).unwrap();
    assert_eq!((record["script"].as_str(), record["release"].as_str()), (Some("heartbeat"), Some(&*release)));
    // INIT-COMP-01, 03: what would be replaced is listed, and the end of the input is a no, which is no failure.
    assert!(text.contains("nothing was compiled"), "{said}");
    let asked = fs::read_to_string(at("asked")).unwrap();
    let cache = at("compiled").join(&release);
    for part in ["heartbeat.ko\n", "heartbeat.opts\n", "Replace these modules? [y/N]: "] {
        assert!(asked.contains(part), "{asked}");
    }
    // INIT-CACHE-03, 06: the kernel that it is for, and the options.
    let opts = fs::read_to_string(cache.join("heartbeat.opts")).unwrap();
    let lines: Vec<&str> = opts.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("Linux ") && lines[0].contains(&release), "{opts}");
    assert_eq!(lines[1], record["opts_line"].as_str().unwrap());
    let module = fs::read(cache.join("heartbeat.ko")).unwrap();
    assert_eq!(record["sha256"], bundle_format::Digest::of(&module).to_string());
}
