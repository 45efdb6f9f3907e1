//! The actions on several servers: which are meant, what is done with each, and what came of it.

use crate::global_file::MAX_CONFIG;
use files::read::read_text_given;
use std::path::Path;

use crate::account::Account;
use crate::error::ServerError;
use crate::global_file::GlobalSettings;
use crate::kernel_releases::check_build_trees;
use crate::launch::launch;
use crate::outcome::{Started, StatusLine, Stopped};
use crate::preparation::{database, prepare, read_certificate};
use crate::programs::Programs;
use crate::selection::{ServerSelection, Wishes};
use crate::server_file::parse_server_file;
use crate::settings::{Settings, own_architecture};
use crate::status_directory::{Managed, StatusDirectory, StatusLock};
use crate::stopping;

/// The user of servers that root starts, where nothing else is configured.
const SERVICE_USER: &str = "stap-server";

/// Controls the servers of one status directory.
#[derive(Debug)]
pub struct Control {
    global: GlobalSettings,
    own: Account,
    programs: Programs,
    status: StatusDirectory,
    keep_temporary: bool,
}

impl Control {
    /// Reads the global configuration; `config` is a further file (`-c`). With `keep_temporary` servers keep the directories of
    /// their requests (`-k`).
    pub fn new(config: Option<&Path>, keep_temporary: bool) -> Result<Self, ServerError> {
        let own = Account::own()?;
        let global = GlobalSettings::read(config, &own)?;
        let status = StatusDirectory::new(&global.stat_path);
        Ok(Self { global, own, programs: Programs::find(), status, keep_temporary })
    }

    /// Where things are.
    #[must_use]
    pub fn global(&self) -> &GlobalSettings {
        &self.global
    }

    /// Starts what is selected; without a selection the configured servers, and without those one for this machine.
    pub fn start(
        &self,
        selection: &ServerSelection,
        on: &mut dyn FnMut(&Started),
    ) -> Result<Vec<Started>, ServerError> {
        let lock = self.status.lock()?;
        let wanted = self.wanted(selection)?;
        Ok(self.start_all(&lock, wanted, on))
    }

    /// Stops what is selected, or every server. Nothing to stop is no failure.
    pub fn stop(
        &self,
        selection: &ServerSelection,
        on: &mut dyn FnMut(&Stopped),
    ) -> Result<Vec<Stopped>, ServerError> {
        let lock = self.status.lock()?;
        let servers = self.selected(selection)?;
        Ok(self.stop_all(&lock, servers, on))
    }

    /// The servers that are selected and run. For `restart`, which starts them again after [`Control::stop`].
    pub fn running(&self, selection: &ServerSelection) -> Result<Vec<Managed>, ServerError> {
        let mut servers = self.selected(selection)?;
        servers.retain(|server| server.process.is_alive());
        Ok(servers)
    }

    /// Whether these servers may be started again with what their status files say. Root believes only what root wrote: a
    /// file of the server's user could name another user, or a place that this one isn't to have.
    pub fn may_start_again(&self, servers: &[Managed]) -> Result<(), ServerError> {
        let of_another = |server: &&Managed| server.writer != 0;
        match servers.iter().find(of_another) {
            Some(server) if rustix::process::geteuid().is_root() => {
                Err(ServerError::StatusOfAnother { pid: server.pid(), writer: server.writer })
            }
            _ => Ok(()),
        }
    }

    /// Whether all that a start would need to know can be had; starts nothing.
    pub fn check(&self, selection: &ServerSelection) -> Result<(), ServerError> {
        self.wanted(selection).map(|_| ())
    }

    /// Starts servers with these settings, such as those that ran before.
    pub fn start_again(
        &self,
        servers: Vec<Settings>,
        on: &mut dyn FnMut(&Started),
    ) -> Result<Vec<Started>, ServerError> {
        let lock = self.status.lock()?;
        Ok(self.start_all(&lock, servers, on))
    }

    /// Every selected server, and whether it runs. Status files of dead ones are removed, if we may.
    pub fn status(&self, selection: &ServerSelection) -> Result<Vec<StatusLine>, ServerError> {
        let servers = self.selected(selection)?;
        Ok(servers.into_iter().map(|server| self.status_of(server)).collect())
    }

    /// Whether `-n NICK` names a running server.
    pub fn knows(&self, selection: &ServerSelection) -> Result<bool, ServerError> {
        Ok(selection.nickname.is_none() || !self.selected(selection)?.is_empty())
    }

    fn status_of(&self, server: Managed) -> StatusLine {
        let running = server.process.is_alive();
        if !running {
            // As an ordinary user we may not; the line says enough.
            let _ = self.status.remove(server.pid());
        }
        let port = crate::listening::port_of(server.pid()).filter(|_| running).or(server.port);
        let user = Account::named(&server.settings.user).ok();
        let certificate = user.and_then(|user| {
            let user = if user.is_own() { self.own.clone() } else { user };
            read_certificate(&database(&server.settings, &user).join("stap.cert")).ok().flatten()
        });
        StatusLine { server, running, port, certificate }
    }

    /// Managed servers that a selection means. `-p` must name one.
    fn selected(&self, selection: &ServerSelection) -> Result<Vec<Managed>, ServerError> {
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
    fn wanted(&self, selection: &ServerSelection) -> Result<Vec<Settings>, ServerError> {
        if selection.is_everything() {
            let mut configured = self.configured()?;
            if configured.is_empty() {
                configured.push(Wishes::default());
            }
            return configured.into_iter().map(|wishes| self.complete(wishes)).collect();
        }
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
        Ok(vec![self.complete(wishes)?])
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
        let running = self.running(&by)?.into_iter().next();
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

    fn user_of(&self, wishes: &Wishes) -> Result<String, ServerError> {
        if let Some(user) = wishes.user.as_ref().or(self.global.user.as_ref()) {
            return Ok(user.clone());
        }
        // Never as root: what root starts runs as the service's user.
        if self.own.uid == 0 { Ok(Account::named(SERVICE_USER)?.name) } else { Ok(self.own.name.clone()) }
    }

    fn account(&self, user: &str) -> Result<Account, ServerError> {
        if *user == self.own.name { Ok(self.own.clone()) } else { Account::named(user) }
    }

    fn complete(&self, wishes: Wishes) -> Result<Settings, ServerError> {
        let user = self.user_of(&wishes)?;
        let settings = wishes.complete(&own_architecture(), &user, &self.global.log_file);
        match settings.with_control_characters() {
            Some(setting) => Err(ServerError::ControlCharacter { setting }),
            None => Ok(settings),
        }
    }

    fn start_all(
        &self,
        lock: &StatusLock,
        wanted: Vec<Settings>,
        on: &mut dyn FnMut(&Started),
    ) -> Vec<Started> {
        let mut all = Vec::new();
        for settings in wanted {
            let started = match self.start_one(lock, &settings) {
                Ok(started) => started,
                Err(error) => Started::Failed(settings, error),
            };
            on(&started);
            all.push(started);
        }
        all
    }

    fn start_one(&self, _lock: &StatusLock, settings: &Settings) -> Result<Started, ServerError> {
        let mut servers = self.status.servers()?;
        servers.retain(|server| server.process.is_alive());
        if let Some(server) = servers.iter().find(|server| server.settings.same_as(settings)) {
            return Ok(Started::Already(server.clone()));
        }
        if let Some(nickname) = &settings.nickname
            && let Some(server) = servers.iter().find(|server| server.name() == *nickname)
        {
            return Err(ServerError::NicknameTaken { nickname: nickname.clone(), pid: server.pid() });
        }
        check_build_trees(&settings.releases)?;
        let user = self.account(&settings.user)?;
        if user.uid == 0 {
            return Err(ServerError::Root);
        }
        if !user.is_own() && self.own.uid != 0 {
            return Err(ServerError::OtherUser { user: user.name });
        }
        self.programs.daemon()?;
        let prepared = prepare(settings, &user, &self.programs)?;
        let launched = launch(settings, &user, &self.programs, &prepared, self.keep_temporary)?;
        let server = Managed {
            process: launched.process,
            settings: settings.clone(),
            port: Some(launched.port),
            writer: rustix::process::geteuid().as_raw(),
        };
        if let Err(error) = self.status.write(&server) {
            // A server that nobody could find again must not run on.
            stopping::stop(&server.process)?;
            return Err(error);
        }
        Ok(Started::Now {
            server,
            certificate: prepared.certificate,
            new_certificate: prepared.new_certificate,
        })
    }

    fn stop_all(
        &self,
        _lock: &StatusLock,
        servers: Vec<Managed>,
        on: &mut dyn FnMut(&Stopped),
    ) -> Vec<Stopped> {
        let mut all = Vec::new();
        for server in servers {
            let ran = server.process.is_alive();
            let stopped = stopping::stop(&server.process).and_then(|()| self.status.remove(server.pid()));
            let stopped = match stopped {
                Ok(()) if ran => Stopped::Now(server),
                Ok(()) => Stopped::Already(server),
                Err(error) => Stopped::Failed(server, error),
            };
            on(&stopped);
            all.push(stopped);
        }
        all
    }
}

#[cfg(test)]
mod tests;
