//! The commands, with the initscript's messages and exit codes.

use service::{
    CleanupChoice, RestartChoice, ScriptState, ServiceError, StartOptions, StartOutcome, StartReport,
    StopOutcome, StopReport,
};

use crate::commands::host::service::{Opened, service_failure};
use crate::question::ask;
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
        // Told before a host is looked at.
        Word::Onboot => crate::Exit::NotBuilt.code(),
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

impl Act<'_, '_> {
    /// `Starting systemtap ... `, on the console and in the log.
    fn begin(&mut self, doing: &str) {
        self.opened.host().log(&format!("{doing} systemtap ... "));
        self.console.begin(&format!("{doing} systemtap ... "));
    }

    /// Ends the line that [`Act::begin`] began (INIT-EXIT-02).
    fn end(&mut self, verdict: Verdict, what: &str) {
        let host = self.opened.host();
        match verdict {
            Verdict::Success => host.log(&format!("Pass: systemtap {what}")),
            Verdict::Warning => host.log_loudly(&format!("Warning: systemtap {what}")),
            Verdict::Failure => host.log_loudly(&format!("Error: systemtap {what}")),
        }
        self.console.line(match verdict {
            Verdict::Success => "OK",
            Verdict::Warning => "WARNING",
            Verdict::Failure => "FAILED",
        });
    }

    fn failed(&mut self, error: &ServiceError, what: &str) -> u8 {
        self.end(Verdict::Failure, what);
        tell_failure(self.console, &service_failure(error));
        if matches!(error, ServiceError::Dependency(_)) { ORDER } else { 1 }
    }

    fn start(&mut self, ui: &mut Ui) -> u8 {
        let compiled = self.opened.autocompile(ui).all_well;
        self.begin("Starting");
        let choice = self.opened.choice(self.request.recursive);
        match self.opened.service().start(&choice, &StartOptions::default(), &|_| ()) {
            Err(error) => self.failed(&error, "startup"),
            Ok(report) => self.started(&report).max(self.of_compile(compiled)),
        }
    }

    /// What a failed compile means for the exit code.
    fn of_compile(&self, compiled: bool) -> u8 {
        u8::from(!compiled && self.opened.parameters.pass_all)
    }

    fn started(&mut self, report: &StartReport) -> u8 {
        let exit = report.exit_code();
        let nothing = report.scripts.is_empty() && report.refused_bundles.is_empty();
        let verdict = match exit {
            0 if nothing || !report.all_run() || !report.refused_bundles.is_empty() => Verdict::Warning,
            0 => Verdict::Success,
            _ => Verdict::Failure,
        };
        self.end(verdict, "startup");
        if nothing {
            // INIT-START-01: not an error.
            self.console.error("Warning: No scripts exist.");
        }
        for refused in &report.refused_bundles {
            self.console.error(&format!("Error: bundle {}: {}", refused.bundle, refused.reason));
        }
        for script in &report.scripts {
            if let StartOutcome::Refused { reason }
            | StartOutcome::Failed { reason }
            | StartOutcome::StoppedAgain { reason } = &script.outcome
            {
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
        let mut problems = Vec::new();
        for script in &report.scripts {
            match &script.outcome {
                StopOutcome::Stopped | StopOutcome::NotRunning => {}
                StopOutcome::Failed { text } => problems.push(format!("{}: {text}", script.script)),
                StopOutcome::StillNeeded { by } => {
                    problems.push(format!("{}: still required by {by}", script.script));
                }
            }
        }
        let exit = report.exit_code();
        self.end(
            match exit {
                0 if problems.is_empty() => Verdict::Success,
                0 => Verdict::Warning,
                _ => Verdict::Failure,
            },
            "stopping",
        );
        for problem in problems {
            self.console.error(&format!("Error: {problem}"));
        }
        exit
    }

    fn restart(&mut self, when: RestartChoice, ui: &mut Ui) -> u8 {
        // What isn't running is no concern of a conditional restart.
        let compiled = when == RestartChoice::IfRunning || self.opened.autocompile(ui).all_well;
        let choice = self.opened.choice(self.request.recursive);
        let report = match self.opened.service().restart(&choice, when, &StartOptions::default(), &|_| ()) {
            Ok(report) => report,
            Err(error) => {
                self.begin("Restarting");
                return self.failed(&error, "restart");
            }
        };
        // INIT-RESTART-02, INIT-EXIT-02: not a word if nothing runs.
        if let (Some(stopped), Some(started)) = (&report.stop, &report.start) {
            self.begin("Stopping");
            self.stopped(stopped);
            self.begin("Starting");
            self.started(started);
        }
        report.exit_code().max(self.of_compile(compiled))
    }

    /// INIT-STAT-01 and -02: nothing but the lines.
    fn status(&mut self) -> u8 {
        let report = match self.opened.service().status(self.opened.named()) {
            Ok(report) => report,
            Err(error) => {
                tell_failure(self.console, &service_failure(&error));
                return 1;
            }
        };
        if report.scripts.is_empty() {
            self.console.line("No systemtap scripts are present");
        }
        for script in &report.scripts {
            let name = &script.script;
            let pid = script.pid.map(|pid| format!("({pid})")).unwrap_or_default();
            self.console.line(&match script.state {
                ScriptState::Running => format!("{name}{pid} is running..."),
                ScriptState::Stopped | ScriptState::Dead => format!("{name} is stopped"),
                ScriptState::AnotherModule => format!("{name} is dead, but another script is running."),
            });
        }
        report.exit_code()
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
