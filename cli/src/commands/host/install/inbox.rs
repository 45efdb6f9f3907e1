//! What is in the inbox: the newest that fits, or all of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use installer::{TakenInbox, newest_in_inbox, paths};

use super::{Found, Installing, install_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host;
use crate::ui::Ui;

impl Installing<'_> {
    pub(super) fn newest_of_inbox(&self, ui: &mut Ui) -> Result<Found, Failure> {
        let inbox = newest_in_inbox(&self.root, &self.identity, &self.options)
            .map_err(|error| install_failure(error, &self.root))?;
        for passed in &inbox.passed_over {
            ui.progress(format!("{} is passed over: {}", passed.path.display(), passed.reason));
        }
        let Some((path, file)) = inbox.chosen else {
            let inbox_is =
                if inbox.passed_over.is_empty() { "there is none in" } else { "none fits this host in" };
            let what = format!("no bundle is given, and {inbox_is} {}", paths::INBOX);
            let exit = if inbox.passed_over.is_empty() { Exit::Usage } else { Exit::DoesNotFit };
            let mut failure = Failure::new(exit, what);
            failure.because = inbox
                .passed_over
                .iter()
                .map(|passed| format!("{}: {}", passed.path.display(), passed.reason))
                .collect();
            return Err(failure.hint("give the file: stap-bundle install FILE"));
        };
        ui.progress(format!("installing {}", path.display()));
        Ok(Found { name: path.display().to_string(), source: file.into() })
    }

    /// Installs file by file until none is left; failed if one was refused.
    pub(super) fn whole_inbox(&self, ui: &mut Ui) -> Result<Exit, Failure> {
        if ui.json {
            return Err(Failure::new(
                Exit::Usage,
                "--inbox installs any number of bundles, and has no --json",
            ));
        }
        let inbox =
            TakenInbox::open(&self.root, self.options.wait).map_err(|error| host::lock_failure(&error))?;
        let mut exit = Exit::Done;
        // Those that couldn't be moved aside.
        let mut stuck = BTreeSet::new();
        loop {
            inbox.take().map_err(|error| host::storage_failure(&error))?;
            let found = inbox
                .newest(&self.root, &self.identity, &self.options)
                .map_err(|error| install_failure(error, &self.root))?;
            for refused in found.refused() {
                if stuck.contains(&refused.path) {
                    continue;
                }
                exit = Exit::Failed;
                put_aside(&inbox, &refused.path, &refused.reason, &mut stuck, ui);
            }
            let Some((path, file)) = found.chosen.filter(|(path, _)| !stuck.contains(path)) else {
                return Ok(exit);
            };
            ui.progress(format!("installing {}", path.display()));
            match self.install(file.into(), ui) {
                Ok(_) => inbox.remove(&path).map_err(|error| host::storage_failure(&error))?,
                // Nothing is wrong with the file: it stays, and the next run tries it again.
                Err(failure) if matches!(failure.exit, Exit::Locked | Exit::Storage) => {
                    return Err(failure.about(path.display()));
                }
                Err(failure) => {
                    exit = Exit::Failed;
                    put_aside(&inbox, &path, &failure.one_line(), &mut stuck, ui);
                }
            }
        }
    }
}

fn put_aside(inbox: &TakenInbox, path: &Path, reason: &str, stuck: &mut BTreeSet<PathBuf>, ui: &mut Ui) {
    let name = path.file_name().unwrap_or_default().display();
    match inbox.move_aside(path, reason) {
        Ok(aside) => ui.warning(format!("{name} is refused and moved to {}: {reason}", aside.display())),
        Err(error) => {
            ui.warning(format!("{name} is refused: {reason}; it couldn't be moved aside: {error}"));
            stuck.insert(path.to_owned());
        }
    }
}
