//! The commands, with the initscript's messages and exit codes.

use service::{
    CleanupChoice, Host, Reason, RestartChoice, ServiceError, ServiceEvent, StartOptions, StartReport,
    StopOutcome, StopReport,
};

use crate::commands::host::service::{Autocompiled, Opened, Status, service_failure};
use crate::question::ask;
use crate::systemtap::lines::{by_reason, list, status_line};
use crate::systemtap::onboot::onboot;
use crate::systemtap::parse::{Request, Word};
use crate::systemtap::{Console, tell_failure};
use crate::ui::Ui;

/// Dependencies can't be put in order (INIT-EXIT-01).
const ORDER: u8 = 6;

/// Carries out a request on a host; returns the exit code.
pub(super) fn act(request: &Request, opened: &Opened, console: &mut Console<'_>, ui: &mut Ui) -> u8 {
    let mut act = Act { request, opened, console };
    match request.word {
        Word::Start => act.start(ui),
        Word::Stop => act.stop(),
        Word::Restart => act.restart(RestartChoice::Always, ui),
        Word::TryRestart => act.restart(RestartChoice::IfRunning, ui),
        Word::Status => act.status(),
        Word::Cleanup => act.cleanup(),
        Word::Compile => act.compile(ui),
        Word::Onboot => onboot(request, opened, console),
    }
}

struct Act<'a, 'c> {
    request: &'a Request,
    opened: &'a Opened,
    console: &'a mut Console<'c>,
}

/// How a command went: the word at the end of its line (INIT-LOG-02).
#[derive(Clone, Copy)]
enum Verdict {
    Success,
    Warning,
    Failure,
}

impl Verdict {
    const fn of_stop(all_stopped: bool, pass_all: bool) -> Self {
        match (all_stopped, pass_all) {
            (true, _) => Self::Success,
            (false, false) => Self::Warning,
            (false, true) => Self::Failure,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Success => "OK",
            Self::Warning => "WARNING",
            Self::Failure => "FAILED",
        }
    }

    fn log(self, host: &Host, what: &str) {
        match self {
            Self::Success => host.log(&format!("Pass: systemtap {what}")),
            Self::Warning => host.log_loudly(&format!("Warning: systemtap {what}")),
            Self::Failure => host.log_loudly(&format!("Error: systemtap {what}")),
        }
    }
}

impl Act<'_, '_> {
    /// `Starting systemtap ... `, on the console and in the log.
    fn begin(&mut self, doing: &str) {
        self.opened.host().log(&format!("{doing} systemtap ... "));
        self.console.begin(&format!("{doing} systemtap ... "));
    }

    /// Ends the line that [`Act::begin`] began (INIT-EXIT-02).
    fn end(&mut self, verdict: Verdict, what: &str) {
        verdict.log(self.opened.host(), what);
        self.console.line(verdict.word());
    }

    fn failed(&mut self, error: &ServiceError, what: &str) -> u8 {
        self.end(Verdict::Failure, what);
        tell_failure(self.console, &service_failure(error));
        if matches!(error, ServiceError::Dependency(_)) { ORDER } else { 1 }
    }

    fn start(&mut self, ui: &mut Ui) -> u8 {
        let compiled = self.opened.autocompile(ui);
        self.begin("Starting");
        let choice = self.opened.choice(self.request.recursive);
        let service = self.opened.service().with_failed_compiles(&compiled.failed);
        match service.start(&choice, &StartOptions::default(), &|_| ()) {
            Err(error) => self.failed(&error, "startup"),
            Ok(report) => self.started(&report).max(self.of_compile(compiled.all_well)),
        }
    }

    /// What a failed compile means for the exit code.
    fn of_compile(&self, compiled: bool) -> u8 {
        u8::from(!compiled && self.opened.parameters.pass_all)
    }

    fn started(&mut self, report: &StartReport) -> u8 {
        let exit = report.exit_code();
        let nothing = report.scripts.is_empty() && report.refused_bundles.is_empty();
        let all_run = report.all_run() && report.refused_bundles.is_empty();
        let verdict = match exit {
            0 if nothing || !all_run => Verdict::Warning,
            0 => Verdict::Success,
            _ => Verdict::Failure,
        };
        self.end(verdict, "startup");
        if nothing && report.left_out.is_empty() {
            // INIT-START-01: not an error.
            self.console.error("Warning: No scripts exist.");
        }
        for (reason, scripts) in by_reason(report) {
            let Reason { text, advice, .. } = reason;
            self.console.error(&format!("Warning: {}: not started: {text} ({advice})", scripts.join(", ")));
        }
        for refused in &report.refused_bundles {
            self.console.error(&format!("Error: bundle {}: {}", refused.bundle, refused.reason));
        }
        for script in &report.scripts {
            if let Some(reason) = script.outcome.problem() {
                let advice = &reason.advice;
                self.console.error(&format!("Error: {}: {reason} ({advice})", script.script));
            }
        }
        exit
    }

    fn stop(&mut self) -> u8 {
        self.begin("Stopping");
        let choice = self.opened.choice(self.request.recursive);
        match self.opened.service().stop(&choice, &|_| ()) {
            Err(error) => self.failed(&error, "stopping"),
            Ok(report) => self.stopped(&report),
        }
    }

    fn stopped(&mut self, report: &StopReport) -> u8 {
        self.end(Verdict::of_stop(report.all_stopped(), report.pass_all), "stopping");
        self.show_stop(report);
        report.exit_code()
    }

    fn show_stop(&mut self, report: &StopReport) {
        for script in &report.scripts {
            let name = &script.script;
            match &script.outcome {
                StopOutcome::Stopped | StopOutcome::NotRunning => {}
                StopOutcome::Failed { text } => self.console.error(&format!("Error: {name}: {text}")),
                StopOutcome::StillNeeded { by } => {
                    self.console.error(&format!("Error: {name}: still required by {by}"));
                }
            }
        }
    }

    fn restart(&mut self, when: RestartChoice, ui: &mut Ui) -> u8 {
        // What isn't running is no concern of a conditional restart.
        let compiled = match when {
            RestartChoice::IfRunning => Autocompiled::default(),
            RestartChoice::Always => self.opened.autocompile(ui),
        };
        let choice = self.opened.choice(self.request.recursive);
        let host = self.opened.host();
        let pass_all = self.opened.parameters.pass_all;
        // Each part is in the log before what is done in it.
        let log = |event| match event {
            ServiceEvent::RestartStops => host.log("Stopping systemtap ... "),
            ServiceEvent::RestartStarts { all_stopped } => {
                Verdict::of_stop(all_stopped, pass_all).log(host, "stopping");
                host.log("Starting systemtap ... ");
            }
            _ => {}
        };
        let service = self.opened.service().with_failed_compiles(&compiled.failed);
        let report = match service.restart(&choice, when, &StartOptions::default(), &log) {
            Ok(report) => report,
            Err(error) => {
                self.begin("Restarting");
                return self.failed(&error, "restart");
            }
        };
        // INIT-RESTART-02, INIT-EXIT-02: not a word if nothing runs.
        if let (Some(stopped), Some(started)) = (&report.stop, &report.start) {
            self.console.begin("Stopping systemtap ... ");
            self.console.line(Verdict::of_stop(stopped.all_stopped(), pass_all).word());
            self.show_stop(stopped);
            self.console.begin("Starting systemtap ... ");
            self.started(started);
        }
        report.exit_code().max(self.of_compile(compiled.all_well))
    }

    /// INIT-STAT-01 and -02: nothing but the lines on standard output, in the original's order. What else there is to know is for
    /// people: requirements (README 2.2.4) on a terminal, what is wrong on standard error.
    fn status(&mut self) -> u8 {
        let Status { mut report, refused } = match self.opened.status() {
            Ok(status) => status,
            Err(failure) => {
                tell_failure(self.console, &failure);
                return 1;
            }
        };
        for error in &report.errors {
            self.console.error(&format!("Error: {}", error.what));
        }
        let order = &self.request.order;
        report.scripts.sort_by_key(|script| order.iter().position(|name| *name == script.script));
        if report.scripts.is_empty() && refused.is_none() {
            self.console.line("No systemtap scripts are present");
        }
        for script in &report.scripts {
            let mut line = status_line(script);
            if self.console.is_terminal && !script.requires.is_empty() {
                line = format!("{line} (requires {})", list(script.requires.iter()));
            }
            self.console.line(&line);
        }
        for script in &report.scripts {
            if let Some(warning) = &script.warning {
                self.console.error(&format!("Warning: {}: {warning}", script.script));
            }
        }
        report.exit_code().max(u8::from(refused.is_some()))
    }

    fn cleanup(&mut self) -> u8 {
        let release = match self.opened.release(self.request.release.clone()) {
            Ok(release) => release,
            Err(failure) => {
                tell_failure(self.console, &failure);
                return 1;
            }
        };
        let choice = CleanupChoice { release: &release, named: self.opened.named() };
        let service = self.opened.service();
        let plan = match service.plan_cleanup(&choice) {
            Ok(plan) => plan,
            Err(error) => {
                self.begin("Cleaning up");
                return self.failed(&error, "cleanup");
            }
        };
        if !plan.files.is_empty() {
            let files: Vec<String> = plan.files.iter().map(|file| file.display().to_string()).collect();
            self.console.line(&format!("Following files will be removed: {}", files.join(" ")));
            let agreed =
                self.request.yes || ask("Do you want to remove them?", self.console.out, self.console.input);
            if !agreed {
                // INIT-COMP-01, INIT-CLEAN-01: a no is no failure.
                self.console.line("");
                return 0;
            }
        }
        self.begin("Cleaning up");
        match service.cleanup(&choice, &plan) {
            Err(error) => self.failed(&error, "cleanup"),
            Ok(report) => {
                let exit = report.exit_code();
                self.end(if exit == 0 { Verdict::Success } else { Verdict::Failure }, "cleanup");
                for kept in &report.kept {
                    self.console.error(&format!("{} stays: {}", kept.script, kept.reason));
                }
                exit
            }
        }
    }

    /// README 2.2.5: asks before modules that are there are replaced; a no is no failure (INIT-COMP-01).
    #[cfg(feature = "farm")]
    fn compile(&mut self, ui: &mut Ui) -> u8 {
        match self.compiled(ui) {
            Ok(exit) => exit,
            Err(failure) => {
                self.begin("Compiling");
                self.end(Verdict::Failure, "compile");
                tell_failure(self.console, &failure);
                1
            }
        }
    }

    #[cfg(feature = "farm")]
    fn compiled(&mut self, ui: &mut Ui) -> Result<u8, crate::failure::Failure> {
        use crate::commands::host::local_compile::{CACHE, LocalCompile};

        let release = self.opened.release(self.request.release.clone())?;
        let compile = LocalCompile::new(self.opened, release, Vec::new(), CACHE.into())?;
        let scripts = compile.scripts(ui)?;
        let existing: Vec<String> =
            compile.existing(&scripts)?.iter().map(|path| path.display().to_string()).collect();
        if !existing.is_empty() && !self.request.yes {
            self.console.line(&format!("Following caches will be overwritten: {}", existing.join(" ")));
            if !ask("Do you want to overwrite them?", self.console.out, self.console.input) {
                self.console.line("");
                return Ok(0);
            }
        }
        // Its progress has lines of its own.
        let done = compile.run(scripts, ui)?;
        self.begin("Compiling");
        let pass_all = self.opened.parameters.pass_all;
        let verdict = match (done.failed.is_empty(), pass_all) {
            (true, _) => Verdict::Success,
            (false, false) => Verdict::Warning,
            (false, true) => Verdict::Failure,
        };
        self.end(verdict, "compile");
        for (script, reason) in &done.failed {
            self.opened.host().log_loudly(&format!("Error: {script}: not compiled: {reason}"));
            self.console.error(&format!("Error: {script}: not compiled: {reason}"));
        }
        Ok(u8::from(!done.failed.is_empty() && pass_all))
    }

    /// A host program compiles nothing.
    #[cfg(not(feature = "farm"))]
    fn compile(&mut self, _ui: &mut Ui) -> u8 {
        tell_failure(self.console, &crate::failure::no_farm("compile"));
        crate::Exit::NotBuilt.code()
    }
}
