//! `build --server` with systemtap's own daemon and client: servers in the server root, the build on this machine, both on the
//! loopback interface of one network namespace. A virtual machine then runs what they made.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::path::Path;

use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::server_root::{COUNTING_FARM, run_beside};
use end_to_end::vm::{self, HostFiles};

/// Two kernels, and two servers for both; `part` runs a command and tells its exit code.
const BEGIN: &str = r#"
set +e
part() { echo "== $1"; shift; "$@" </dev/null 2>&1; echo "exit $?"; }
stap-bundle key generate --out farm >/dev/null
KERNELS=($(ls "$SYSROOT/lib/modules" | grep cloud))
build() { stap-bundle build -r "${KERNELS[0]}" -r "${KERNELS[1]}" --sysroot "$SYSROOT" -c config --key farm.key --color never "$@"; }
server() { in_root stap-bundle server "$@"; }
# The fingerprint to compare is what the server's own machine shows.
fingerprint() { server status --json | sed -n 's/.*"sha256": "\(.*\)".*/\1/p' | head -n 1; }
# A client's own database, made where systemtap's programs for that are.
trust() {
    in_root stap-bundle server trust "$1" --fingerprint "$(fingerprint)" && mkdir -p .systemtap/ssl &&
        rm -rf .systemtap/ssl/client && cp -r "$ROOT/etc/systemtap/ssl/client" .systemtap/ssl/client
}
"#;

const SERVED: &str = r#"
server start -r "${KERNELS[0]}" --port 5001 --max-threads 2 >/dev/null
server start -r "${KERNELS[0]}" -r "${KERNELS[1]}" --port 5002 --max-threads 1 --max-compressed-request 4000 -n second >/dev/null
part untrusted build -o none.stapb --server 127.0.0.1:5001
part trust trust 127.0.0.1:5001
part absent build -o none.stapb --server 127.0.0.1:5009
part dry build -o none.stapb --server 127.0.0.1:5001 --server localhost:5002 --dry-run
part unserved build -o none.stapb --server 127.0.0.1:5001
part servers build -o servers.stapb --server 127.0.0.1:5001 --server localhost:5002 --report servers.json
part again build -o again.stapb --server 127.0.0.1:5001 --server localhost:5002
part local build -o local.stapb --cache elsewhere
part diff stap-bundle diff servers.stapb local.stapb --key farm.pub
part verify stap-bundle verify servers.stapb --key farm.pub
cp servers.stapb farm.pub "$KEPT"
part extra stap-bundle extract servers.stapb extra --key farm.pub --extra provenance.intoto.json
echo "== provenance"; cat extra/provenance.intoto.json; echo
echo "== same"; cmp servers.stapb again.stapb && echo "byte for byte"
echo "== report"; grep -c '"made_by": "127.0.0.1:5001"' servers.json; grep -c '"made_by": "localhost:5002"' servers.json
# Larger than the limit that the second server states: a comment that can't be compressed.
(cat scripts/count1.stp; head -c 6000 /dev/urandom | base64 -w 60 | sed 's/^/# /') >scripts/large.stp
cp scripts/count1.stp scripts/small.stp
part large build -o large.stapb --server localhost:5002 large
part large-here build -o large.stapb --cache elsewhere --server localhost:5002 --or-here large small
rm scripts/large.stp scripts/small.stp
"#;

/// Continues with the local bundle of what goes before.
const KILLED: &str = r#"
server stop >/dev/null
part unasked build -o unasked.stapb --server 127.0.0.1:5001 --server localhost:5002
server start -r "${KERNELS[0]}" -r "${KERNELS[1]}" --port 5003 --max-threads 1 >/dev/null
server start -r "${KERNELS[0]}" -r "${KERNELS[1]}" --port 5004 --max-threads 1 -n second >/dev/null
PID=$(server status -n second | sed -n 's/.*running as PID //p')
build -o killed.stapb --cache third --server 127.0.0.1:5003 --server localhost:5004 --progress json >out 2>killed.log &
BUILD=$!
# The second server is at a job.
until grep -q '"by":"localhost:5004".*"job-started"' killed.log || ! kill -0 $BUILD; do sleep 0.1; done
kill -9 "$PID"
wait $BUILD; CODE=$?; echo "== killed"; echo "exit $CODE"; cat out
echo "== events"; cat killed.log
part killed-diff stap-bundle diff killed.stapb local.stapb --key farm.pub
# All that there were are lost: what is done is kept, and the next build goes on from there.
PID=$(server status --port 5003 | sed -n 's/.*running as PID //p')
build -o alone.stapb --cache fourth --server 127.0.0.1:5003 --progress json >out 2>alone.log &
BUILD=$!
until grep -q '"event":"cell-done"' alone.log || ! kill -0 $BUILD; do sleep 0.1; done
kill -9 "$PID"
wait $BUILD; CODE=$?; echo "== alone"; echo "exit $CODE"; cat alone.log
server start -r "${KERNELS[0]}" -r "${KERNELS[1]}" --port 5003 --max-threads 1 >/dev/null
part goes-on build -o alone.stapb --cache fourth --server 127.0.0.1:5003
part alone-diff stap-bundle diff alone.stapb local.stapb --key farm.pub
"#;

#[test]
fn servers_make_the_bundle_of_a_local_build_also_when_one_is_killed_in_the_middle() {
    let kept = tempfile::tempdir().unwrap();
    let place = format!("KEPT='{}'\n", kept.path().display());
    let said = run_beside(&format!("{place}{COUNTING_FARM}{BEGIN}{SERVED}{KILLED}")).unwrap();
    let part = |name: &str| said.part(name).unwrap().to_owned();
    let says = |name: &str, words: &[&str]| {
        let said = part(name);
        for word in words {
            assert!(said.contains(word), "{name} without {word:?}: {said}");
        }
    };
    served(&part, &says);
    // Nothing is missing: nobody is asked, and nobody has to be there.
    says("unasked", &["8 from the cache, 0 to compile", "exit 0"]);
    says("killed", &["exit 0", "then it was lost"]);
    says("events", &["\"event\":\"server-lost\""]);
    says("killed-diff", &["The content is the same.", "exit 0"]);
    says("alone", &["exit 21", "compile servers were lost with", "--or-here"]);
    says("goes-on", &["exit 0"]);
    assert!(!part("goes-on").contains("8 cells: 0 from the cache"), "{}", part("goes-on"));
    says("alone-diff", &["The content is the same.", "exit 0"]);
    runs_in_a_machine(kept.path());
}

const START: &str = "stap-bundle start";
const STATUS: &str = "stap-bundle status";
const STOP: &str = "stap-bundle stop";
const LEFT: &str = "cat /proc/modules";

/// Installs and runs what the servers made, on a host without compiler and network.
fn runs_in_a_machine(bundles: &Path) {
    let lab = Lab::open().unwrap();
    let release = lab.bootable("stable").unwrap();
    let files = HostFiles::new(release, &programs::host().unwrap()).unwrap();
    for name in ["servers.stapb", "farm.pub"] {
        files.copy(&bundles.join(name), &format!("media/{name}"), 0o644).unwrap();
    }
    let scenario = [
        "stap-bundle trust add /media/farm.pub",
        "stap-bundle install /media/servers.stapb",
        START,
        STATUS,
        "cut -d' ' -f1 /proc/modules | sort",
        STOP,
        LEFT,
    ];
    let told = vm::run(&lab, release, &files, &scenario, &mut |_| {}).unwrap();
    for step in &told.steps {
        assert_eq!(step.code, 0, "{}: {}\n{}", step.command, step.output, told.console);
    }
    for script in ["count1", "count2", "count3", "count4"] {
        let running = &told.step(scenario[4]).unwrap().output;
        assert!(running.lines().any(|module| module == script), "{script}: {running}");
    }
    assert_eq!(told.step(LEFT).unwrap().output.trim(), "");
}

/// What the first part shows.
fn served(part: &dyn Fn(&str) -> String, says: &dyn Fn(&str, &[&str])) {
    says("untrusted", &["is not trusted here", "stap-bundle server trust 127.0.0.1:5001", "exit 21"]);
    says("absent", &["127.0.0.1:5009 can't be reached", "exit 21"]);
    says(
        "dry",
        &[
            "2 threads, 1 of 2 kernels",
            "localhost:5002: systemtap",
            "1 thread, 2 of 2 kernels",
            "  on         127.0.0.1:5001 or localhost:5002\n",
            "  on         localhost:5002\n",
            "exit 0",
        ],
    );
    says("unserved", &["no compile server compiles 4 cells", "it doesn't serve", "--or-here", "exit 21"]);
    says(
        "servers",
        &["8 cells: 0 from the cache, 8 to compile", " at 127.0.0.1:5001", " at localhost:5002", "exit 0"],
    );
    // What a server made is in the cache under the server's own key.
    says("again", &["8 from the cache, 0 to compile", "exit 0"]);
    says("same", &["byte for byte"]);
    says("local", &["8 cells: 0 from the cache, 8 to compile", "exit 0"]);
    says("diff", &["The content is the same.", "exit 0"]);
    says("verify", &["exit 0"]);
    says("provenance", &["\"madeByCompileServers\":{", "\"count1\",\"count2\",\"count3\",\"count4\""]);
    let report = part("report");
    let counts: Vec<u32> = report.lines().map(|count| count.trim().parse().unwrap()).collect();
    assert_eq!(counts.iter().sum::<u32>(), 8, "{report}");
    says("large", &["no compile server compiles 2 cells", "the request for large has", "exit 21"]);
    says("large-here", &["large for", "small for", " at localhost:5002", "exit 0"]);
}
