use super::*;
use crate::process::Process;
use crate::settings::tests::example;

fn written_by(writer: u32) -> Managed {
    let process = Process { pid: 4711, start: Some(12), boot: None };
    Managed { process, settings: example(), port: None, writer }
}

/// The server's user could have written another user, or a place of its own choice, into the file.
#[test]
fn root_does_not_start_again_what_somebody_else_wrote_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("global");
    std::fs::write(&file, format!("STAT_PATH={}\n", folder.path().display())).unwrap();
    let control = Control::new(Some(&file), false).unwrap();
    control.may_start_again(&[written_by(0), written_by(0)]).unwrap();
    let refused = control.may_start_again(&[written_by(0), written_by(64155)]);
    if rustix::process::geteuid().is_root() {
        let error = refused.unwrap_err();
        assert!(matches!(error, ServerError::StatusOfAnother { pid: 4711, writer: 64155 }), "{error}");
    } else {
        refused.unwrap();
    }
}

#[test]
fn a_server_with_a_line_feed_in_a_setting_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("global");
    let text = format!("STAT_PATH={}\nSTAP_USER=nobody\n", folder.path().display());
    std::fs::write(&file, text).unwrap();
    let control = Control::new(Some(&file), false).unwrap();
    let wishes = Wishes { define: vec!["A=1\nUSER=root".to_owned()], ..Wishes::default() };
    let error = control.check(&[ServerSelection { wishes, ..ServerSelection::default() }]).unwrap_err();
    assert!(error.to_string().contains("DEFINE (-D)"), "{error}");
}

/// A control whose servers run as nobody, with one configured server.
fn of_nobody(folder: &Path) -> Control {
    let text = format!("STAT_PATH={0}/run\nCONFIG_PATH={0}/conf.d\nSTAP_USER=nobody\n", folder.display());
    std::fs::write(folder.join("global"), text).unwrap();
    std::fs::create_dir(folder.join("conf.d")).unwrap();
    std::fs::write(folder.join("conf.d/a.conf"), "NICKNAME=a\nRELEASE=6.1\nPORT=6000\n").unwrap();
    Control::new(Some(&folder.join("global")), false).unwrap()
}

fn one(nickname: Option<&str>, port: Option<u16>, log: Option<&str>) -> ServerSelection {
    let wishes = Wishes { port, log: log.map(str::to_owned), ..Wishes::default() };
    ServerSelection { nickname: nickname.map(str::to_owned), wishes, ..ServerSelection::default() }
}

#[test]
fn srv_spec_01_each_server_of_a_line_gets_its_own_port_and_log() {
    let folder = tempfile::tempdir().unwrap();
    let control = of_nobody(folder.path());
    let selections = [
        one(Some("a"), Some(5001), Some("/x")),
        one(Some("b"), Some(5002), None),
        one(None, None, Some("/y")),
    ];
    let wanted = control.wanted(&selections).unwrap();
    let seen: Vec<_> =
        wanted.iter().map(|server| (server.nickname.as_deref(), server.port, server.log.as_str())).collect();
    let by_default = control.global().log_file.as_str();
    // The first one is like the configured server, whose name is its own.
    assert_eq!(seen, [(None, Some(5001), "/x"), (Some("b"), Some(5002), by_default), (None, None, "/y")]);
    assert_eq!(wanted[0].releases, ["6.1"]);
    let configured = control.wanted(&[ServerSelection::default()]).unwrap();
    assert_eq!((configured.len(), configured[0].port), (1, Some(6000)));
}

#[test]
fn srv_spec_05_a_servers_user_is_in_the_group_stap_server() {
    let folder = tempfile::tempdir().unwrap();
    let control = of_nobody(folder.path());
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // `daemon` is on every system, and in no group but its own.
    let wishes = Wishes { user: Some("daemon".to_owned()), ..Wishes::default() };
    let asked = ServerSelection { wishes, ..ServerSelection::default() };
    let started = control.start(&[asked], &mut |_| {}).unwrap();
    let [Started::Failed(_, error)] = started.as_slice() else { panic!("{started:?}") };
    assert_eq!(
        error.to_string(),
        "user daemon isn't in the group stap-server, in which a server's user must be"
    );
    assert!(control.is_default(&Account::named("nobody").unwrap()));
}
