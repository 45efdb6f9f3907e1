//! Which servers a command line means: running ones, configured ones, or new ones.

use std::path::Path;

use files::read::read_text_given;

use super::Control;
use crate::error::ServerError;
use crate::global_file::MAX_CONFIG;
use crate::selection::{ServerSelection, Wishes};
use crate::server_file::parse_server_file;
use crate::settings::Settings;
use crate::status_directory::Managed;

impl Control {
    /// The first `-n NICK` that names no running server.
    pub fn unknown<'s>(&self, selections: &'s [ServerSelection]) -> Result<Option<&'s str>, ServerError> {
        for selection in selections {
            if let Some(name) = &selection.nickname
                && self.selected_by(selection)?.is_empty()
            {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Managed servers that the selections mean, each once.
    pub(super) fn selected(&self, selections: &[ServerSelection]) -> Result<Vec<Managed>, ServerError> {
        let mut all: Vec<Managed> = Vec::new();
        for selection in selections {
            let found = self.selected_by(selection)?;
            let is_new = |server: &Managed| all.iter().all(|other| other.pid() != server.pid());
            let found: Vec<Managed> = found.into_iter().filter(is_new).collect();
            all.extend(found);
        }
        Ok(all)
    }

    /// Managed servers that one selection means. `-p` must name one.
    fn selected_by(&self, selection: &ServerSelection) -> Result<Vec<Managed>, ServerError> {
        let servers = self.status.servers()?;
        if let Some(pid) = selection.pid {
            let found: Vec<_> = servers.into_iter().filter(|server| server.pid() == pid).collect();
            return if found.is_empty() { Err(ServerError::NoSuchPid { pid }) } else { Ok(found) };
        }
        let named = |server: &Managed| selection.nickname.as_ref().is_none_or(|name| *name == server.name());
        let meant = |server: &Managed| named(server) && selection.wishes.match_server(&server.settings);
        Ok(servers.into_iter().filter(meant).collect())
    }

    /// The servers that `start` is to start.
    pub(super) fn wanted(&self, selections: &[ServerSelection]) -> Result<Vec<Settings>, ServerError> {
        if selections.iter().all(ServerSelection::is_everything) {
            let mut configured = self.configured()?;
            if configured.is_empty() {
                configured.push(Wishes::default());
            }
            return configured.into_iter().map(|wishes| self.complete(wishes)).collect();
        }
        selections.iter().map(|selection| self.wanted_by(selection)).collect()
    }

    fn wanted_by(&self, selection: &ServerSelection) -> Result<Settings, ServerError> {
        let wishes = selection.wishes.clone();
        let base = self.base(selection)?;
        let wishes = match base {
            // A server like another one: it gets a name and a port of its own.
            Some(base) if wishes != Wishes::default() => {
                wishes.over(Wishes { nickname: None, port: None, ..base })
            }
            Some(base) => base,
            None => Wishes { nickname: selection.nickname.clone(), ..wishes },
        };
        self.complete(wishes)
    }

    /// The server whose settings `-p` or `-n` takes over: a running one, else a configured one (SRV-NICK-01).
    fn base(&self, selection: &ServerSelection) -> Result<Option<Wishes>, ServerError> {
        if selection.pid.is_none() && selection.nickname.is_none() {
            return Ok(None);
        }
        let by = ServerSelection {
            nickname: selection.nickname.clone(),
            pid: selection.pid,
            ..ServerSelection::default()
        };
        let running = self.running(&[by])?.into_iter().next();
        if let Some(pid) = selection.pid
            && running.is_none()
        {
            return Err(ServerError::NoSuchPid { pid });
        }
        if let Some(running) = running {
            return Ok(Some(running.settings.into()));
        }
        Ok(self.configured()?.into_iter().find(|wishes| wishes.nickname == selection.nickname))
    }

    /// The servers of `CONFIG_PATH/*.conf`, in the order of their names.
    fn configured(&self) -> Result<Vec<Wishes>, ServerError> {
        let directory = &self.global.config_path;
        let failed =
            |path: &Path, source| ServerError::Storage { doing: "read", path: path.to_owned(), source };
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(directory, source)),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        let is_one = |path: &std::path::PathBuf| path.extension().is_some_and(|suffix| suffix == "conf");
        let mut paths: Vec<_> = paths.filter(is_one).filter(|path| path.is_file()).collect();
        paths.sort();
        let read = |path: &std::path::PathBuf| {
            let text =
                read_text_given(path, MAX_CONFIG).map_err(|error| failed(path, error.into_source()))?;
            let wishes = parse_server_file(path, &text)?;
            let home = self.account(&self.user_of(&wishes)?)?;
            wishes.expanded(&home)
        };
        paths.iter().map(read).collect()
    }
}
