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
    let error = control.check(&ServerSelection { wishes, ..ServerSelection::default() }).unwrap_err();
    assert!(error.to_string().contains("DEFINE (-D)"), "{error}");
}
