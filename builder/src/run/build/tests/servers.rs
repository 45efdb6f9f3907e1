//! Two compile servers, and this machine beside them.

use super::*;

/// Two servers for the plan of three scripts × two kernels, each with two threads, and this machine as the last resort if wanted.
fn by_servers(
    directory: &std::path::Path,
    executors: [&StandIn; 2],
    here: Option<&StandIn>,
) -> (Result<BuildReport, BuildError>, Vec<BuildEvent>) {
    by_servers_with(directory, executors, here, |_| ())
}

fn by_servers_with(
    directory: &std::path::Path,
    executors: [&StandIn; 2],
    here: Option<&StandIn>,
    change: impl FnOnce(&mut BuildOptions),
) -> (Result<BuildReport, BuildError>, Vec<BuildEvent>) {
    let plan = plan(directory);
    let servers = ["one:1", "two:2"].map(|address| CompileServer::of_test(address, 2, &["1.0", "2.0"]));
    let mut sites: Vec<Site<'_>> = servers
        .iter()
        .zip(executors)
        .map(|(server, executor)| Site { executor, workers: 2, server: Some(server), last_resort: false })
        .collect();
    sites.extend(here.map(|executor| Site { last_resort: true, ..Site::here(executor, 2) }));
    let mut options = BuildOptions::new(BundleIdentity::called("test".parse().unwrap()));
    options.servers = Servers { servers: servers.to_vec(), or_here: here.is_some() };
    change(&mut options);
    let events = Mutex::new(Vec::new());
    let on = |event| events.lock().unwrap().push(event);
    let result = build_at(&plan, &sites, &options, &on, &Cancel::new());
    (result, events.into_inner().unwrap())
}

fn lost() -> StandIn {
    StandIn::new(|_| Err(ExecutorError::ServerLost { said: "gone".to_owned() }))
}

fn made_by(report: &BuildReport, maker: &str) -> usize {
    report.cells.iter().filter(|cell| cell.maker.to_string() == maker).count()
}

#[test]
fn what_a_lost_server_was_at_is_compiled_by_another_one() {
    let directory = tempfile::tempdir().unwrap();
    let whole = StandIn::new(|job| Ok(compiled(job)));
    let lost = lost();
    let (report, events) = by_servers(directory.path(), [&lost, &whole], None);
    let report = report.unwrap();
    assert_eq!((report.green(), made_by(&report, "two:2")), (6, 6));
    let losses = |event: &&BuildEvent| matches!(event, BuildEvent::ServerLost { .. });
    // The other one may have been faster than a first loss.
    let known = usize::from(lost.runs.load(Ordering::SeqCst) > 0);
    assert_eq!(events.iter().filter(losses).count(), known);
    assert_eq!(usize::from(report.servers[0].lost.is_some()), known);
    // By its own key: neither this machine nor the other server finds it as theirs, and the same one does.
    let (again, _) = by_servers(directory.path(), [&lost, &whole], None);
    assert_eq!((again.unwrap().green(), whole.runs.load(Ordering::SeqCst)), (6, 6));
    let alone = StandIn::new(|job| Ok(compiled(job)));
    run(&plan(directory.path()), &alone, &Cancel::new()).0.unwrap();
    assert_eq!(alone.runs.load(Ordering::SeqCst), 6);
}

/// All cells were green, and no bundle was written for want of a second look at them.
#[test]
fn a_server_lost_at_the_second_compile_cost_the_whole_build() {
    let directory = tempfile::tempdir().unwrap();
    let whole = StandIn::new(|job| Ok(compiled(job)));
    by_servers(directory.path(), [&whole, &lost()], None).0.unwrap();
    let check = |options: &mut BuildOptions| options.check_reproducible = true;
    let (report, _) = by_servers_with(directory.path(), [&lost(), &lost()], None, check);
    let found = report.unwrap().reproducibility.unwrap();
    assert_eq!((found.equal, found.exceptions.len()), (0, 6));
    assert!(found.exceptions[0].1.starts_with("not checked: "), "{found:?}");
    // What this machine made isn't given to a server, whose modules may differ for other reasons.
    let elsewhere = tempfile::tempdir().unwrap();
    run(&plan(elsewhere.path()), &whole, &Cancel::new()).0.unwrap();
    let server = StandIn::new(|job| Ok(compiled(job)));
    let (report, _) = by_servers_with(elsewhere.path(), [&server, &server], None, check);
    let found = report.unwrap().reproducibility.unwrap();
    assert_eq!((found.exceptions.len(), server.runs.load(Ordering::SeqCst)), (6, 0));
}

/// A machine without a compiler made every cell red, and no server was asked after that.
#[test]
fn a_failure_of_this_machine_kept_servers_from_being_asked() {
    let directory = tempfile::tempdir().unwrap();
    let here = StandIn::new(|_| Ok(ended(Ended::Code(1), "semantic error: no match", None)));
    assert_eq!(run(&plan(directory.path()), &here, &Cancel::new()).0.unwrap().red(), 6);
    let one = StandIn::new(|job| Ok(compiled(job)));
    let two = StandIn::new(|job| Ok(compiled(job)));
    let (report, _) = by_servers(directory.path(), [&one, &two], None);
    assert_eq!(report.unwrap().green(), 6);
    // And a server's module counts before a failure of this machine.
    let (report, _) = by_servers(directory.path(), [&one, &two], Some(&here));
    assert_eq!((report.unwrap().green(), here.runs.load(Ordering::SeqCst)), (6, 6));
}

#[test]
fn without_any_server_left_a_build_ends_and_the_next_one_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    // It compiles for one kernel, and is lost at the other.
    let half = StandIn::new(|job| match job.kernel.release.as_str() {
        "1.0" => Ok(compiled(job)),
        _ => Err(ExecutorError::ServerLost { said: "gone".to_owned() }),
    });
    let lost = lost();
    let (result, _) = by_servers(directory.path(), [&half, &lost], None);
    let Err(BuildError::ServersLost { lost: which, done, cells: 6 }) = result else { panic!("{result:?}") };
    assert!(done < 4 && !which.is_empty(), "{done} {which:?}");
    let here = StandIn::new(|job| Ok(compiled(job)));
    let (report, _) = by_servers(directory.path(), [&lost, &lost], Some(&here));
    let report = report.unwrap();
    assert_eq!((report.green(), made_by(&report, "here")), (6, 6 - done));
}

#[test]
fn what_no_server_takes_is_a_red_cell_or_compiled_here() {
    let directory = tempfile::tempdir().unwrap();
    let picky = || {
        StandIn::new(|job| match job.script.name().as_str() {
            "a" => Err(ExecutorError::ServerRefused { why: "too large".to_owned() }),
            _ => Ok(compiled(job)),
        })
    };
    let one = picky();
    let two = picky();
    let (report, _) = by_servers(directory.path(), [&one, &two], None);
    let report = report.unwrap();
    assert_eq!((report.green(), report.red()), (4, 2));
    let reason = report.cells[0].outcome.red_reason().unwrap();
    assert!(reason.ends_with(": too large"), "{reason}");
    let here = StandIn::new(|job| Ok(compiled(job)));
    let (report, _) = by_servers(directory.path(), [&one, &two], Some(&here));
    let report = report.unwrap();
    assert_eq!((report.green(), made_by(&report, "here"), here.runs.load(Ordering::SeqCst)), (6, 2, 2));
}

/// The bar showed it as running to the end of the build.
#[test]
fn a_job_that_a_server_sent_back_never_ended() {
    let directory = tempfile::tempdir().unwrap();
    let picky = StandIn::new(|job| match job.script.name().as_str() {
        "a" => Err(ExecutorError::ServerRefused { why: "too large".to_owned() }),
        "b" => Err(ExecutorError::ServerLost { said: "gone".to_owned() }),
        _ => Ok(compiled(job)),
    });
    let here = StandIn::new(|job| Ok(compiled(job)));
    let (report, events) = by_servers(directory.path(), [&picky, &picky], Some(&here));
    assert_eq!(report.unwrap().green(), 6);
    let mut open: Vec<(Cell, Maker)> = Vec::new();
    let mut started = 0;
    let mut sent_back = 0;
    let mut done = 0;
    for event in events {
        match event {
            BuildEvent::JobStarted { cell, maker } => {
                started += 1;
                open.push((cell, maker));
            }
            BuildEvent::JobEnded { cell, maker, end } => {
                let at = open.iter().position(|of| *of == (cell.clone(), maker.clone()));
                open.swap_remove(at.expect("an end without a start"));
                let why = JobEnd::SentBack("too large".to_owned());
                sent_back += usize::from(end == why);
                done += usize::from(end == JobEnd::Done);
                assert!(cell.script.as_str() != "b" || [JobEnd::ServerLost, JobEnd::Done].contains(&end));
            }
            _ => {}
        }
    }
    assert!(
        open.is_empty() && started == picky.runs.load(Ordering::SeqCst) + here.runs.load(Ordering::SeqCst)
    );
    assert_eq!(done, 6);
    // Which of the jobs a server was at before it was lost is luck.
    assert!(sent_back + done <= started);
}

/// It was put down to whichever server's worker came by, with the reason of the last one alone.
#[test]
fn what_all_servers_refused_was_told_of_one() {
    let directory = tempfile::tempdir().unwrap();
    let refusing = |why: fn(&CompileJob) -> Result<Compilation, ExecutorError>| StandIn::new(why);
    let one = refusing(|_| Err(ExecutorError::ServerRefused { why: "too large".to_owned() }));
    let two = refusing(|_| Err(ExecutorError::ServerRefused { why: "too busy".to_owned() }));
    let (report, _) = by_servers(directory.path(), [&one, &two], None);
    let report = report.unwrap();
    assert_eq!((report.red(), made_by(&report, "nobody")), (6, 6));
    for cell in &report.cells {
        assert_eq!(cell.outcome.red_reason().as_deref(), Some("one:1: too large; two:2: too busy"));
    }
}

/// Every server was asked about every kernel, and had to run, although all was in the cache.
#[test]
fn a_build_that_compiles_nothing_asked_all_servers() {
    let directory = tempfile::tempdir().unwrap();
    let whole = StandIn::new(|job| Ok(compiled(job)));
    by_servers(directory.path(), [&whole, &whole], None).0.unwrap();
    let plan = plan(directory.path());
    let addresses = ["one:1", "two:2"].map(|address| address.parse::<ServerAddress>().unwrap());
    assert!(known_servers(&plan, &addresses).is_none());
    std::fs::write(directory.path().join("cert9.db"), "certificates").unwrap();
    let mut servers = ["one:1", "two:2"].map(|address| CompileServer::of_test(address, 2, &["1.0", "2.0"]));
    for server in &mut servers {
        server.trust = directory.path().to_owned();
    }
    remember(&plan.directories, &servers);
    // The same once more takes the old one's place.
    remember(&plan.directories, &servers[..1]);
    let known = known_servers(&plan, &addresses).unwrap();
    let build = |servers: Vec<CompileServer>| {
        let mut options = BuildOptions::new(BundleIdentity::called("test".parse().unwrap()));
        options.servers = Servers { servers, or_here: false };
        options.open_cells = OpenCells::Refuse;
        super::build(&plan, &options, &|_| (), &Cancel::new())
    };
    assert_eq!(build(known.clone()).unwrap().green(), 6);
    // Of one alone not all was.
    if let Err(error) = build(vec![known[0].clone()]) {
        assert!(matches!(error, BuildError::Uncompiled { .. }), "{error}");
    }
    // Whom the user trusts has changed: they are asked.
    std::fs::write(directory.path().join("cert9.db"), "other certificates").unwrap();
    assert!(known_servers(&plan, &addresses).is_none());
}

#[test]
fn a_kernel_that_no_server_serves_is_told_before_anything_is_compiled() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let server = CompileServer::of_test("one:1", 2, &["1.0"]);
    let executor = StandIn::new(|job| Ok(compiled(job)));
    let site = Site { executor: &executor, workers: 2, server: Some(&server), last_resort: false };
    let mut options = BuildOptions::new(BundleIdentity::called("test".parse().unwrap()));
    options.servers = Servers { servers: vec![server.clone()], or_here: false };
    let result = build_at(&plan, &[site], &options, &|_| (), &Cancel::new());
    let Err(BuildError::Unserved { cells }) = result else { panic!("{result:?}") };
    assert_eq!((cells.len(), executor.runs.load(Ordering::SeqCst)), (3, 0));
    assert_eq!(cells[0].1, "one:1: it doesn't serve 2.0");
    let preview = preview(&plan, &options);
    assert!(preview.refused);
    assert_eq!(preview.makers.len(), 3);
}
