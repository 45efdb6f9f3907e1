//! What `server` says.

use std::time::SystemTime;

use compile_server::{Certificate, Managed, RENEW_DAYS, Started, StatusLine, Stopped, is_advertised};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::commands::farm::server::{any_failed, failure};
use crate::exit::Exit;
use crate::ui::Ui;

/// Tells of one start as soon as it is done.
pub(super) fn started(started: &Started, ui: &mut Ui) {
    if ui.json {
        return;
    }
    match started {
        Started::Now { server, certificate, new_certificate, trust_here } => {
            ui.line(format!(
                "started stap-server {} as PID {}{}",
                server.settings,
                server.pid(),
                on_port(server.port)
            ));
            if *new_certificate {
                ui.line(format!("  new certificate, SHA-256 {}", certificate.fingerprint()));
                ui.line(match trust_here {
                    Some(Ok(())) => {
                        "  clients on this machine trust it; on others: stap-bundle server trust HOST:PORT"
                    }
                    _ => "  clients don't trust it yet: stap-bundle server trust HOST:PORT",
                });
            }
            if let Some(Err(error)) = trust_here {
                ui.warning(format!("clients on this machine don't trust it: {}", failure(error).one_line()));
            }
        }
        Started::Already(server) => {
            ui.line(format!("stap-server {} runs already as PID {}", server.settings, server.pid()));
        }
        Started::Failed(settings, error) => {
            let failure = failure(error).about(format!("stap-server {settings}"));
            ui.failure(&failure);
        }
    }
}

/// The exit code of all starts, and with `--json` what came of them, and of the stops before them.
pub(super) fn all_started(stopped: &[Stopped], all: &[Started], ui: &mut Ui) -> Exit {
    if ui.json {
        let rows: Vec<Value> = all.iter().map(started_row).collect();
        let stopped: Vec<Value> = stopped.iter().map(stopped_row).collect();
        ui.document(&json!({ "servers": rows, "stopped": stopped }));
    }
    if any_failed(all) { Exit::Failed } else { Exit::Done }
}

fn started_row(started: &Started) -> Value {
    match started {
        Started::Now { server, certificate, new_certificate, trust_here } => {
            let mut row = row(server, "started", server.port);
            if let Value::Object(fields) = &mut row {
                fields.insert("certificate".into(), certificate_row(certificate));
                fields.insert("new_certificate".into(), json!(new_certificate));
                fields.insert("trusted_here".into(), json!(matches!(trust_here, Some(Ok(())))));
            }
            row
        }
        Started::Already(server) => row(server, "running already", server.port),
        Started::Failed(settings, error) => {
            let failure = failure(error);
            json!({ "state": "failed", "options": settings.to_string(), "error": failure.one_line() })
        }
    }
}

/// Tells of one stop.
pub(super) fn stopped(stopped: &Stopped, ui: &mut Ui) {
    if ui.json {
        return;
    }
    match stopped {
        Stopped::Now(server) => {
            ui.line(format!("stopped stap-server {}, PID {}", server.settings, server.pid()));
        }
        Stopped::Already(server) => {
            ui.line(format!("stap-server {}, PID {}, had ended already", server.settings, server.pid()));
        }
        Stopped::Failed(server, error) => {
            let failure = failure(error).about(format!("stap-server {}", server.settings));
            ui.failure(&failure);
        }
    }
}

/// The exit code of all stops.
pub(super) fn all_stopped(all: &[Stopped], ui: &mut Ui) -> Exit {
    if ui.json {
        let rows: Vec<Value> = all.iter().map(stopped_row).collect();
        ui.document(&json!({ "servers": rows }));
    } else if all.is_empty() {
        // SRV-STOP-01: not a failure.
        ui.line("no compile server that is managed here runs");
    }
    exit_of(all)
}

/// The exit code of stops.
pub(super) fn exit_of(stopped: &[Stopped]) -> Exit {
    if stopped.iter().any(|stopped| matches!(stopped, Stopped::Failed(..))) {
        Exit::Failed
    } else {
        Exit::Done
    }
}

fn stopped_row(stopped: &Stopped) -> Value {
    match stopped {
        Stopped::Now(server) => row(server, "stopped", None),
        Stopped::Already(server) => row(server, "ended before", None),
        Stopped::Failed(server, error) => {
            let mut row = row(server, "failed", server.port);
            if let Value::Object(fields) = &mut row {
                fields.insert("error".into(), json!(failure(error).one_line()));
            }
            row
        }
    }
}

/// One line a server as the original has it, and behind it what one wants to know besides. A dead server ends it with 1, none at
/// all with 3 (SRV-STATUS-01).
pub(super) fn status(lines: &[StatusLine], ui: &mut Ui) -> Exit {
    let advertised = is_advertised();
    if ui.json {
        let rows: Vec<Value> = lines.iter().map(status_row).collect();
        ui.document(&json!({ "servers": rows, "advertised": advertised }));
    } else {
        for line in lines {
            show(line, advertised, ui);
        }
        if lines.is_empty() {
            ui.line("no compile server is running");
        }
    }
    match lines {
        [] => Exit::NotRunning,
        lines if lines.iter().all(|line| line.running) => Exit::Done,
        _ => Exit::Failed,
    }
}

fn show(line: &StatusLine, advertised: bool, ui: &mut Ui) {
    let server = &line.server;
    if !line.running {
        ui.line(format!(
            "stap-server {} started as PID {} is no longer running",
            server.settings,
            server.pid()
        ));
        return;
    }
    ui.line(format!("stap-server {} running as PID {}", server.settings, server.pid()));
    ui.line(line.port.map_or_else(
        || "  its port is known to its user and to root alone".to_owned(),
        |port| format!("  listens on port {port}"),
    ));
    ui.line(if advertised { "  advertised by avahi" } else { "  not advertised: no avahi" });
    let Some(certificate) = &line.certificate else {
        ui.line("  its certificate can't be read here");
        return;
    };
    ui.line(format!("  certificate SHA-256 {}", certificate.fingerprint()));
    ui.line(format!("  certificate good until {}", date(certificate.not_after())));
    if !line.certificate_lasts(RENEW_DAYS) {
        let days = RENEW_DAYS;
        ui.warning(format!(
            "the certificate of the server {} ends within {days} days: `stap-bundle server condrestart` makes a new one, which \
             clients must trust again",
            server.name()
        ));
    }
}

fn status_row(line: &StatusLine) -> Value {
    let mut row = row(&line.server, if line.running { "running" } else { "dead" }, line.port);
    if let (Value::Object(fields), Some(certificate)) = (&mut row, &line.certificate) {
        fields.insert("certificate".into(), certificate_row(certificate));
    }
    row
}

fn row(server: &Managed, state: &str, port: Option<u16>) -> Value {
    let settings = &server.settings;
    json!({
        "state": state, "pid": server.pid(), "name": server.name(), "port": port, "user": settings.user,
        "arch": settings.arch, "releases": settings.releases, "log": settings.log, "options": settings.to_string(),
    })
}

fn certificate_row(certificate: &Certificate) -> Value {
    json!({
        "sha256": certificate.fingerprint(), "serial": certificate.serial(),
        "good_until": date(certificate.not_after()),
    })
}

fn on_port(port: Option<u16>) -> String {
    port.map(|port| format!(", port {port}")).unwrap_or_default()
}

/// A time in whole seconds, in UTC.
pub(super) fn date(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| "?".to_owned(), |time| time.strftime("%F %T UTC").to_string())
}
