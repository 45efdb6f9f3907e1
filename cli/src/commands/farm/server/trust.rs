//! `server trust`: today's `stap-authorize-server-cert` and `stap-authorize-signing-cert`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use compile_server::{
    Certificate, TrustedFor, certificate_file, fetch_certificate, trust_certificate, trust_database,
};
use serde_json::json;

use crate::commands::farm::server::failure;
use crate::commands::farm::server::shown::date;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::question::ask;
use crate::ui::Ui;

/// What to trust.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The fingerprint to compare with is what `stap-bundle server status` shows on the server's machine.\n\
    As root, the trust is everybody's on this machine; an ordinary user's is its own. (Clients of systemtap 5.6 can't read\n\
    everybody's database unless they are root: there each user trusts the server for itself.)\n\n\
    Examples:\n  stap-bundle server trust builder.example:5001\n  \
    stap-bundle server trust --signer /var/lib/stap-server/.systemtap/ssl/server/stap.cert"
)]
pub(crate) struct Args {
    /// Trust the modules that the server signs for users of the group stapusr, not its connections; root only.
    #[arg(long)]
    signer: bool,
    /// Ask nothing: trust it if it has this SHA-256 fingerprint, else end with 10.
    #[arg(long, value_name = "SHA-256")]
    fingerprint: Option<String>,
    /// A running server, or a server's certificate file.
    #[arg(value_name = "HOST:PORT|CERTFILE")]
    server: String,
}

impl Args {
    pub(super) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        let purpose = if self.signer { TrustedFor::Signatures } else { TrustedFor::Connections };
        let database = trust_database(purpose).map_err(|error| failure(&error))?;
        let certificate = self.certificate()?;
        if !certificate.is_good(SystemTime::now(), 0) {
            let what = format!(
                "the certificate of {} is good from {} until {} only",
                self.server,
                date(certificate.not_before()),
                date(certificate.not_after())
            );
            return Err(Failure::new(Exit::Trust, what).hint("the server makes a new one when it is started"));
        }
        if !ui.json {
            ui.line(format!("certificate of {}", self.server));
            ui.line(format!("  SHA-256 {}", certificate.fingerprint()));
            ui.line(format!("  serial {}", certificate.serial()));
            ui.line(format!("  good until {}", date(certificate.not_after())));
        }
        self.compare(&certificate, &database, ui)?;
        trust_certificate(&certificate, &database).map_err(|error| failure(&error))?;
        if ui.json {
            ui.document(&json!({
                "trusted": self.server, "sha256": certificate.fingerprint(), "serial": certificate.serial(),
                "database": database, "signer": self.signer,
            }));
        } else {
            ui.line(format!("trusted: {}", database.display()));
        }
        Ok(Exit::Done)
    }

    fn certificate(&self) -> Result<Certificate, Failure> {
        let path = PathBuf::from(&self.server);
        if path.is_file() {
            return certificate_file(&path).map_err(|error| failure(&error));
        }
        let port = self.server.rsplit_once(':').and_then(|(host, port)| {
            let plain = !host.is_empty() && !host.starts_with('-');
            port.parse::<u16>().ok().filter(|_| plain)
        });
        if port.is_none() {
            let what = format!("{} is neither a certificate file nor HOST:PORT", self.server);
            return Err(
                Failure::new(Exit::Usage, what).hint("`stap-bundle server status` shows a server's port")
            );
        }
        fetch_certificate(&self.server).map_err(|error| failure(&error))
    }

    /// Nothing is trusted that nobody compared.
    fn compare(&self, certificate: &Certificate, database: &Path, ui: &Ui) -> Result<(), Failure> {
        let plain =
            |text: &str| text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_uppercase();
        if let Some(expected) = &self.fingerprint {
            if plain(expected) == plain(&certificate.fingerprint()) {
                return Ok(());
            }
            let what = format!("{} has another fingerprint: {}", self.server, certificate.fingerprint());
            return Err(Failure::new(Exit::Trust, what)
                .hint("nothing was trusted; somebody may stand between you and the server"));
        }
        let question = format!(
            "Is this the fingerprint that the server's own machine shows? Trust it in {}?",
            database.display()
        );
        let mut out = io::stdout().lock();
        let mut input = io::stdin().lock();
        if !ui.json && ask(&question, &mut out, &mut input) {
            return Ok(());
        }
        Err(Failure::new(Exit::Failed, "nothing was trusted").hint(
            "without a question: --fingerprint SHA-256, as `stap-bundle server status` shows it over there",
        ))
    }
}
