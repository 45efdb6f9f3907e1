//! A build's events as words: drawn in place on a terminal, lines in a pipe, JSON lines with `--json`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use builder::{BuildEvent, CellReport, JobEnd, JobOutcome, Maker, Reproducibility, WarmUpReport};
use bundle_format::{FramePacked, KernelRelease};
use files::read::read;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::live::{Live, Size};
use super::red_log::LONGEST_LOG;
use super::{json_lines, table};
use crate::commands::farm::builder_options::{LIST_THEM, could_be_taken, why_not_taken};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::words::{bytes, count};

/// Turns events into words.
pub(crate) struct Reporter<'u> {
    state: Mutex<State<'u>>,
}

struct State<'u> {
    ui: RefCell<&'u mut Ui>,
    bar: Option<ProgressBar>,
    json_lines: bool,
    done: usize,
    cells: usize,
    /// Reasons of red cells that were told, each for its kernel.
    told: BTreeSet<(KernelRelease, String)>,
    /// Cells that came from the cache are told as one line.
    quiet_cells: usize,
    /// What the bar shows. It is drawn by another thread too, which has the bar locked then: so this is never locked while
    /// the bar is asked for something.
    live: Arc<Mutex<Live>>,
    begun: Instant,
    /// Frames of the bundle, and how many of them were copied from an older one.
    frames: usize,
    copied: usize,
}

impl<'u> Reporter<'u> {
    /// With `json_lines`, events are written as JSON and nothing is drawn.
    pub(crate) fn new(ui: &'u mut Ui, json_lines: bool) -> Self {
        let live = Arc::<Mutex<Live>>::default();
        let begun = Instant::now();
        let bar = (ui.draws() && !json_lines).then(|| drawn(&live, begun));
        let state = State {
            ui: RefCell::new(ui),
            bar,
            json_lines,
            done: 0,
            cells: 0,
            told: BTreeSet::new(),
            quiet_cells: 0,
            live,
            begun,
            frames: 0,
            copied: 0,
        };
        Self { state: Mutex::new(state) }
    }

    pub(crate) fn event(&self, event: BuildEvent) {
        self.with(|state| state.event(event));
    }

    pub(super) fn packing(&self) {
        self.with(|state| {
            if let Some(bar) = state.bar.take() {
                bar.finish_and_clear();
            }
        });
    }

    pub(super) fn packed(&self, packed: &FramePacked) {
        let FramePacked { done, total, plain, compressed, reference, has_base, copied } = packed;
        let how = match reference {
            Some(reference) => format!("refers to frame {}", reference + 1),
            None if *has_base => "refers to the older bundle".to_owned(),
            None => "refers to no other".to_owned(),
        };
        let verb = if *copied { "copied" } else { "packed" };
        self.with(|state| {
            if state.json_lines {
                state.ui.borrow_mut().event_line(&json_lines::packed(packed));
            }
            state.frames = *total;
            state.copied += usize::from(*copied);
            state.say(&format!(
                "{verb} frame {done} of {total}: {} -> {}, {how}",
                bytes(*plain),
                bytes(*compressed)
            ));
        });
    }

    /// `done` is what was done: packed, or packed and signed. `reused` is the older bundle of which frames were to be
    /// copied.
    pub(super) fn finished(&self, done: &str, elapsed: Duration, reused: Option<&Path>) {
        self.with(|state| {
            if let Some(old) = reused {
                let frames = count(state.frames, "frame");
                state.say(&format!("copied {} of {frames} from {}", state.copied, old.display()));
            }
            state.say(&format!("{done} in {:.1} s", elapsed.as_secs_f64()));
        });
    }

    /// What the second compiles have shown; a module that differs is a failure.
    pub(super) fn checked(&self, found: &Reproducibility) -> Result<(), Failure> {
        let modules = count(found.equal + found.exceptions.len(), "module");
        self.with(|state| state.say(&format!("compiled twice: {} of {modules} are the same", found.equal)));
        if found.exceptions.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new(
            Exit::NoBundle,
            format!(
                "{} came out differently, so no bundle is written",
                count(found.exceptions.len(), "module")
            ),
        );
        failure.because =
            found.exceptions.iter().map(|(cell, difference)| format!("{cell}: {difference}")).collect();
        Err(failure.hint("these modules depend on more than their cache keys cover; --skip SCRIPT@REL leaves such a cell out"))
    }

    /// How many frames were copied from the older bundle.
    pub(super) fn copied(&self) -> usize {
        let mut copied = 0;
        self.with(|state| copied = state.copied);
        copied
    }

    fn with(&self, act: impl FnOnce(&mut State<'u>)) {
        act(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

/// The lines of `live`, drawn again twice a second.
fn drawn(live: &Arc<Mutex<Live>>, begun: Instant) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let live = Arc::clone(live);
    let lines = move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
        let live = live.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = live.lines(begun.elapsed(), size_of_terminal());
        // What goes wrong is the terminal's, and is met again at the next line.
        let _ = to.write_str(&lines.join("\n"));
    };
    if let Ok(style) = ProgressStyle::with_template("{live}") {
        bar.set_style(style.with_key("live", lines));
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// Columns and lines; those of the smallest terminal if it doesn't tell.
fn size_of_terminal() -> Size {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    let known = size.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    known.map_or(Size { columns: 80, rows: 24 }, |size| Size {
        columns: size.ws_col.into(),
        rows: size.ws_row.into(),
    })
}

/// Where something runs, if that isn't this machine.
fn server(maker: &Maker) -> Option<String> {
    if let Maker::Server(server) = maker { Some(server.to_string()) } else { None }
}

/// Behind the name of what a compile server is at.
fn at(maker: &Maker) -> String {
    if let Maker::Server(server) = maker { format!(" at {server}") } else { String::new() }
}

impl State<'_> {
    fn say(&self, text: &str) {
        if self.json_lines {
            return self.ui.borrow_mut().log(text);
        }
        match &self.bar {
            Some(bar) => {
                self.ui.borrow_mut().log(text);
                bar.println(text);
            }
            None => self.ui.borrow_mut().progress(text),
        }
    }

    /// Something the user should know; the bar is drawn again below it.
    fn warn(&self, text: &str) {
        if self.json_lines {
            return self.ui.borrow_mut().log(text);
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| self.ui.borrow_mut().warning(text)),
            None => self.ui.borrow_mut().warning(text),
        }
    }

    /// What `stap` and the compiler said goes to the log whole: the console has the reason and the file's name.
    fn log_compile(&self, report: &CellReport) {
        let Some(path) = report.outcome.log() else { return };
        let text = match read(path, LONGEST_LOG) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("{}: {error}", path.display()),
        };
        self.ui.borrow_mut().log(&text);
    }

    fn event(&mut self, event: BuildEvent) {
        if self.json_lines {
            self.ui.borrow_mut().event_line(&json_lines::line(&event));
        }
        match event {
            BuildEvent::WaitingForLock { held } => {
                self.say(&format!("waiting for another build: {held}"));
            }
            BuildEvent::Begun { cells, cached, jobs, workers, at_full_speed } => {
                self.cells = cells;
                self.quiet_cells = cached;
                let side =
                    if jobs == 0 { String::new() } else { format!(" by {}", count(workers, "worker")) };
                self.say(&format!(
                    "{}: {cached} from the cache, {jobs} to compile{side}",
                    count(cells, "cell")
                ));
                self.live(|live, _| (live.cells, live.at_full_speed) = (cells, at_full_speed));
            }
            BuildEvent::ResultsNotTaken { results } => {
                let why = why_not_taken(&results).join("; ");
                let hint =
                    if could_be_taken(&results) > 0 { format!(" ({LIST_THEM})") } else { String::new() };
                self.warn(&format!("some cached results are ignored: {why}{hint}"));
            }
            BuildEvent::WarmUpStarted { release, part, maker } => {
                self.say(&format!("warming up {release}{}: {part}, once", at(&maker)));
                self.live(|live, now| {
                    live.begun(&part.to_string(), release.as_str(), server(&maker), now);
                });
            }
            BuildEvent::WarmUpFinished { report, incomplete } => {
                let WarmUpReport { release, part, wall, maker, .. } = report;
                let name = format!("{part} of {release}{}", at(&maker));
                self.live(|live, _| {
                    live.ended(&part.to_string(), release.as_str(), server(&maker).as_deref());
                });
                let how =
                    incomplete.map_or_else(|| "complete".to_owned(), |why| format!("not complete ({why})"));
                self.say(&format!("{name}: {how} after {:.1} s", wall.as_secs_f64()));
            }
            BuildEvent::KernelDiagnosed { sentence, .. }
            | BuildEvent::ServerNoted { sentence }
            | BuildEvent::Noted { sentence } => {
                self.warn(&sentence);
            }
            BuildEvent::ServerLost { server, said } => {
                self.warn(&format!(
                    "compile server {server} is lost ({said}): what it was at goes elsewhere"
                ));
                self.live(|live, _| live.lost(&server.to_string()));
            }
            BuildEvent::JobStarted { cell, maker } => self.live(|live, now| {
                live.begun(cell.script.as_str(), cell.release.as_str(), server(&maker), now);
            }),
            BuildEvent::JobEnded { cell, maker, end } => {
                self.live(|live, _| {
                    live.ended(cell.script.as_str(), cell.release.as_str(), server(&maker).as_deref());
                });
                if let JobEnd::SentBack(why) = end {
                    self.say(&format!("{cell}{}: sent back ({why})", at(&maker)));
                }
            }
            BuildEvent::WorkLeft { cpu } => self.live(|live, _| live.work_left(cpu)),
            BuildEvent::CellDone(report) => self.cell_done(&report),
            BuildEvent::CellChecked { cell, difference } => match difference {
                None => self.say(&format!("{cell}: the same again")),
                Some(difference) => self.warn(&format!("{cell}: not the same again, {difference}")),
            },
        }
    }

    /// Changes what is drawn, at the time of the build.
    fn live(&self, change: impl FnOnce(&mut Live, Duration)) {
        change(&mut self.live.lock().unwrap_or_else(PoisonError::into_inner), self.begun.elapsed());
    }

    fn cell_done(&mut self, report: &CellReport) {
        self.done += 1;
        let name = format!("{}{}", report.cell, at(&report.maker));
        self.live(|live, _| {
            live.done += 1;
            match &report.outcome {
                JobOutcome::Compiled(_) => live.compiled += 1,
                JobOutcome::Cached(_) => live.cached += 1,
                JobOutcome::Skipped { .. } => live.skipped += 1,
                JobOutcome::Failed { .. } | JobOutcome::TimedOut { .. } | JobOutcome::Blocked { .. } => {
                    live.red += 1;
                }
            }
        });
        if self.done <= self.quiet_cells {
            return;
        }
        self.log_compile(report);
        let word = table::word(&report.outcome);
        let reason = report.outcome.red_reason().map_or_else(String::new, |reason| {
            let is_new = self.told.insert((report.cell.release.clone(), reason.clone()));
            if is_new { format!(": {reason}") } else { ": for the same reason as before".to_owned() }
        });
        let seconds = report.wall.as_secs_f64();
        self.say(&format!("[{:>3}/{}] {word:>8}  {name}  {seconds:.1} s{reason}", self.done, self.cells));
    }
}
