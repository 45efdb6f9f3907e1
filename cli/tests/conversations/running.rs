//! `status`: a host on which scripts run.

use std::fs;

use fixtures::fake_host::FakeHost;
use insta::assert_snapshot;
use service::RestartReport;

use crate::bundles::fleet;
use crate::made_up_kernel;
use crate::schema::check_report;
use crate::world::TestWorld;

/// Starts everything that is installed, as on a host that runs 6.12.1-test; returns what the stand-in for `staprun` has loaded.
pub(crate) fn start(world: &TestWorld) -> Vec<String> {
    let directory = world.path("host");
    let report = made_up_kernel::start(&directory, "6.12.1-test", false).unwrap();
    check_report("start", &report);
    made_up_kernel::loaded(&directory)
}

#[test]
fn status_tells_what_is_installed_and_what_runs() {
    let world = TestWorld::new();
    let fake = FakeHost::create(&world.path("host")).unwrap();
    assert_snapshot!(world.run("status --root host"), @r#"
    $ stap-bundle status --root host
    no kernel runs here, nothing is installed
    no scripts
    [exit 3]
    "#);
    world.bundle("fleet.stapb", &fleet(1));
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    assert_snapshot!(world.run("status --root host"), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     counter
    counter, latency: no kernel runs here for which bundle fleet could have a module
        ask on the host itself, without --root
    [exit 3]
    "#);
    start(&world);
    assert_snapshot!(world.run("status --root host"), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL       BUNDLE     SINCE                    MODULE     DATA    REQUIRES
     counter  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  -
     latency  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  counter
    kernel memory: about [SIZE] in 2 modules, recorders' buffers included
    [exit 0]
    "#);
    fake.remove_module("latency").unwrap();
    assert_snapshot!(world.run("status --root host latency"), @r#"
    $ stap-bundle status --root host latency
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE  KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     latency  dead   -       fleet   -      -       -     counter
    latency: no kernel runs here for which bundle fleet could have a module
        ask on the host itself, without --root
    [exit 1]
    "#);
    fake.remove_module("counter").unwrap();
    fake.insert_module("counter", false).unwrap();
    assert_snapshot!(world.talk("
        status --root host counter
        status --root host nobody
    "), @r#"
    $ stap-bundle status --root host counter
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL       BUNDLE     SINCE                    MODULE     DATA    REQUIRES
     counter  foreign  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  -
    counter: a kernel module of that name is loaded, and isn't one of systemtap's
        rename the script, or unload that module by hand
    [exit 4]
    $ stap-bundle status --root host nobody
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT  STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     nobody  stopped  -       -       -      -       -     -
    nobody: no installed bundle offers it
        stap-bundle list shows what is offered; install a bundle that has it
    [exit 3]
    "#);
}

#[test]
fn status_writes_gauges() {
    let world = TestWorld::new();
    FakeHost::create(&world.path("host")).unwrap();
    world.bundle("fleet.stapb", &fleet(1));
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    start(&world);
    let metrics = world.run("status --root host --metrics");
    assert_eq!(metrics.exit, Some(0));
    assert_snapshot!(metrics, @r#"
    $ stap-bundle status --root host --metrics
    # HELP stap_bundle_errors State of this host that is refused or damaged; other gauges may be missing for it.
    # TYPE stap_bundle_errors gauge
    stap_bundle_errors 0
    # HELP stap_bundle_generation Number of the current generation; 0 if nothing is installed.
    # TYPE stap_bundle_generation gauge
    stap_bundle_generation 1
    # HELP stap_bundle_warnings What else status warns of.
    # TYPE stap_bundle_warnings gauge
    stap_bundle_warnings 0
    # HELP stap_bundle_masks_known Whether it is known which scripts are masked; if not, none is started.
    # TYPE stap_bundle_masks_known gauge
    stap_bundle_masks_known 1
    # HELP stap_bundle_bundle_trusted Whether an installed bundle is believed.
    # TYPE stap_bundle_bundle_trusted gauge
    stap_bundle_bundle_trusted{bundle="fleet",domain="default",version="1.1",id="[SHA-256]"} 1
    # HELP stap_bundle_bundle_created_timestamp_seconds When an installed bundle was made; its age is time() minus this.
    # TYPE stap_bundle_bundle_created_timestamp_seconds gauge
    stap_bundle_bundle_created_timestamp_seconds{bundle="fleet",domain="default"} 1700000001
    # HELP stap_bundle_kernel_covered Whether all installed bundles have modules for an installed kernel.
    # TYPE stap_bundle_kernel_covered gauge
    stap_bundle_kernel_covered{release="6.12.1-test",running="0"} 1
    # HELP stap_bundle_script_running Whether a script runs.
    # TYPE stap_bundle_script_running gauge
    stap_bundle_script_running{script="counter",bundle="fleet"} 1
    stap_bundle_script_running{script="latency",bundle="fleet"} 1
    # HELP stap_bundle_script_done Whether a script has done its work and ended itself, without an error.
    # TYPE stap_bundle_script_done gauge
    stap_bundle_script_done{script="counter"} 0
    stap_bundle_script_done{script="latency"} 0
    # HELP stap_bundle_script_not_running_reason Why a script doesn't run: 1 for the reason that holds.
    # TYPE stap_bundle_script_not_running_reason gauge
    # HELP stap_bundle_script_start_timestamp_seconds When a running script was started.
    # TYPE stap_bundle_script_start_timestamp_seconds gauge
    stap_bundle_script_start_timestamp_seconds{script="counter"} [SECONDS]
    stap_bundle_script_start_timestamp_seconds{script="latency"} [SECONDS]
    # HELP stap_bundle_script_module_bytes Code and data of a loaded module, without its relay buffers.
    # TYPE stap_bundle_script_module_bytes gauge
    stap_bundle_script_module_bytes{script="counter"} [BYTES]
    stap_bundle_script_module_bytes{script="latency"} [BYTES]
    # HELP stap_bundle_script_kernel_memory_bytes Kernel memory of a loaded module with its buffers, about.
    # TYPE stap_bundle_script_kernel_memory_bytes gauge
    stap_bundle_script_kernel_memory_bytes{script="counter"} 12734464
    stap_bundle_script_kernel_memory_bytes{script="latency"} 12734464
    # HELP stap_bundle_script_warning Whether something is wrong with a script although it runs.
    # TYPE stap_bundle_script_warning gauge
    stap_bundle_script_warning{script="counter"} 0
    stap_bundle_script_warning{script="latency"} 0
    # HELP stap_bundle_script_masked Whether a script doesn't start until it is unmasked.
    # TYPE stap_bundle_script_masked gauge
    stap_bundle_script_masked{script="counter"} 0
    stap_bundle_script_masked{script="latency"} 0
    [exit 0]
    "#);
}

#[test]
fn status_refuses_a_bundle_that_is_not_believed_any_more() {
    let world = TestWorld::new();
    FakeHost::create(&world.path("host")).unwrap();
    world.bundle("fleet.stapb", &fleet(1));
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    let id = world.farm.public().id().short();
    assert_eq!(world.run(&format!("trust remove --root host {id} --yes")).exit, Some(0));
    assert_snapshot!(world.run("status --root host"), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet -
      refused: signed by key [FARM-KEY-SHORT], which isn't trusted here

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     -
    counter, latency: bundle fleet is not believed: signed by key [FARM-KEY-SHORT], which isn't trusted here
        install the bundle again, signed by a trusted key; see stap-bundle trust list
    [exit 10]
    "#);
    fs::remove_dir_all(world.path("host/proc")).unwrap();
    assert_snapshot!(world.run("status --root host"), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet -
      refused: signed by key [FARM-KEY-SHORT], which isn't trusted here

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     -
    counter, latency: bundle fleet is not believed: signed by key [FARM-KEY-SHORT], which isn't trusted here
        install the bundle again, signed by a trusted key; see stap-bundle trust list
    [exit 10]
    "#);
}

/// The commands take no `--root`: what they would write is looked at here.
#[test]
fn what_start_stop_and_restart_report_fits_their_schemas() {
    let world = TestWorld::new();
    FakeHost::create(&world.path("host")).unwrap();
    world.bundle("fleet.stapb", &fleet(1));
    for line in
        ["trust add --root host farm.pub", "install --root host fleet.stapb", "mask --root host latency"]
    {
        assert_eq!(world.run(line).exit, Some(0), "{line}");
    }
    let directory = world.path("host");
    let started = made_up_kernel::start(&directory, "6.12.1-test", false).unwrap();
    check_report("start", &started);
    let elsewhere = made_up_kernel::start(&directory, "6.99.0-test", false).unwrap();
    check_report("start", &elsewhere);
    let stopped = made_up_kernel::stop(&directory, "6.12.1-test");
    check_report("stop", &stopped);
    check_report("restart", &RestartReport { stop: Some(stopped), start: Some(started) });
    check_report("restart", &RestartReport { stop: None, start: None });
}
