//! The actions on several servers: which are meant, what is done with each, and what came of it.

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
use crate::settings::{Settings, own_architecture};
use crate::status_directory::{Managed, StatusDirectory, StatusLock};
use crate::stopping;
use crate::trusting::trust_on_this_machine;

/// The user of servers that root starts, where nothing else is configured; and the group that any other user of a server must be in.
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
        selections: &[ServerSelection],
        on: &mut dyn FnMut(&Started),
    ) -> Result<Vec<Started>, ServerError> {
        let lock = self.status.lock()?;
        let wanted = self.wanted(selections)?;
        Ok(self.start_all(&lock, wanted, on))
    }

    /// Stops what is selected, or every server. Nothing to stop is no failure.
    pub fn stop(
        &self,
        selections: &[ServerSelection],
        on: &mut dyn FnMut(&Stopped),
    ) -> Result<Vec<Stopped>, ServerError> {
        let lock = self.status.lock()?;
        let servers = self.selected(selections)?;
        Ok(self.stop_all(&lock, servers, on))
    }

    /// The servers that are selected and run. For `restart`, which starts them again after [`Control::stop`].
    pub fn running(&self, selections: &[ServerSelection]) -> Result<Vec<Managed>, ServerError> {
        let mut servers = self.selected(selections)?;
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
    pub fn check(&self, selections: &[ServerSelection]) -> Result<(), ServerError> {
        self.wanted(selections).map(|_| ())
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
    pub fn status(&self, selections: &[ServerSelection]) -> Result<Vec<StatusLine>, ServerError> {
        let servers = self.selected(selections)?;
        Ok(servers.into_iter().map(|server| self.status_of(server)).collect())
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
        if !self.is_default(&user) && !user.is_in(SERVICE_USER)? {
            return Err(ServerError::NotInGroup { user: user.name });
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
        let is_services = self.own.uid == 0 && self.is_default(&user) && settings.ssl.is_none();
        let trust_here =
            (prepared.new_certificate && is_services).then(|| trust_on_this_machine(&prepared.certificate));
        Ok(Started::Now {
            server,
            certificate: prepared.certificate,
            new_certificate: prepared.new_certificate,
            trust_here,
        })
    }

    /// Whether servers run as this user where nothing else is said.
    fn is_default(&self, user: &Account) -> bool {
        self.user_of(&Wishes::default()).is_ok_and(|default| default == user.name)
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

mod choice;
#[cfg(test)]
mod tests;
