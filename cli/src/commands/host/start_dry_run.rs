//! `start --dry-run`: what a start would do, by the same rules, as far as that is known before it loads anything.

use std::collections::BTreeSet;

use script_config::ScriptName;
use serde_json::json;
use service::{Foreseen, Reason, StartPlan, StartRefusal};

use crate::commands::host::service::{Opened, explain, service_failure, show_refused_bundles};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// What would become of the scripts, each kind in the order of the start.
#[derive(Default)]
struct Kinds {
    start: Vec<ScriptName>,
    unpack: Vec<ScriptName>,
    compile: Vec<ScriptName>,
    running: Vec<ScriptName>,
    done: Vec<ScriptName>,
    refused: Vec<(ScriptName, Reason)>,
}

/// Ends as the start would, if each script that is ready runs and each compile succeeds.
pub(super) fn carry_out(opened: &Opened, recursive: bool, ui: &mut Ui) -> Result<Exit, Failure> {
    let choice = opened.choice(recursive);
    let plan = opened.service().plan(&choice).map_err(|error| service_failure(&error))?;
    let would_compile = opened.would_compile(ui);
    let foresight = plan.foresee();
    let ends_well = foresight.exit_code == 0 || only_lacks(&foresight.scripts, &would_compile);
    let kinds = Kinds::of(foresight.scripts, &plan, would_compile);
    show(ui, &kinds, &plan);
    Ok(if ends_well && opened.all_is_good { Exit::Done } else { Exit::Failed })
}

/// Whether nothing is refused but what would be compiled first.
fn only_lacks(scripts: &[(ScriptName, Foreseen)], would_compile: &BTreeSet<ScriptName>) -> bool {
    let mut refused = scripts.iter().filter(|(_, foreseen)| matches!(foreseen, Foreseen::Refused { .. }));
    !would_compile.is_empty() && refused.all(|(script, _)| would_compile.contains(script))
}

impl Kinds {
    fn of(
        scripts: Vec<(ScriptName, Foreseen)>,
        plan: &StartPlan,
        would_compile: BTreeSet<ScriptName>,
    ) -> Self {
        let mut kinds = Self::default();
        for (script, foreseen) in scripts.into_iter().filter(|(script, _)| !would_compile.contains(script)) {
            match foreseen {
                Foreseen::WouldStart => kinds.start.push(script),
                Foreseen::WouldUnpack => kinds.unpack.push(script),
                Foreseen::AlreadyRunning => kinds.running.push(script),
                Foreseen::AlreadyDone => kinds.done.push(script),
                Foreseen::Refused { reason } => kinds.refused.push((script, reason)),
            }
        }
        for (script, refusal) in plan.left_out().iter().filter(|(script, _)| !would_compile.contains(script))
        {
            match refusal {
                StartRefusal::NotUnpacked { .. } => kinds.unpack.push(script.clone()),
                _ => kinds.refused.push((script.clone(), refusal.into())),
            }
        }
        kinds.compile.extend(would_compile);
        kinds
    }
}

fn show(ui: &mut Ui, kinds: &Kinds, plan: &StartPlan) {
    if ui.json {
        let refused: Vec<_> = kinds
            .refused
            .iter()
            .map(|(script, reason)| json!({ "script": script, "reason": reason }))
            .collect();
        return ui.document_of(
            "start-plan",
            &json!({
                "would_start": kinds.start,
                "would_unpack": kinds.unpack,
                "would_compile": kinds.compile,
                "already_running": kinds.running,
                "already_done": kinds.done,
                "refused": refused,
                "refused_bundles": plan.refused_bundles(),
                "warnings": plan.warnings().collect::<Vec<_>>(),
            }),
        );
    }
    for (scripts, what) in [
        (&kinds.start, "would start"),
        (&kinds.unpack, "would be unpacked from its bundle, then started"),
        (&kinds.compile, "would be compiled, then started"),
        (&kinds.running, "runs already"),
        (&kinds.done, "is done already"),
    ] {
        for script in scripts {
            ui.line(format!("{script}: {what}"));
        }
    }
    for (script, reason) in &kinds.refused {
        ui.line(format!("{script}: {}", explain(reason)));
    }
    show_refused_bundles(ui, plan.refused_bundles());
    for warning in plan.warnings() {
        ui.warning(warning);
    }
}
