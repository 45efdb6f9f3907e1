//! What comes, goes and changes when another generation becomes current, as a user sees it.

use installer::{Changed, Changes, KernelChange, Presence};

use crate::ui::{Mark, Ui};
use crate::words::count;

/// Most names that a line has.
const MAX_LISTED: usize = 12;

const ADDED: (char, Mark) = ('+', Mark::Good);
const CHANGED: (char, Mark) = ('~', Mark::Attention);
const REMOVED: (char, Mark) = ('-', Mark::Bad);

/// Lists what differs from `before`, which is what messages call the older generation.
pub(super) fn show(ui: &mut Ui, changes: &Changes, before: &str) {
    let Changed { added, changed, removed } = &changes.scripts;
    for (sign, names) in [(ADDED, added), (CHANGED, changed), (REMOVED, removed)] {
        line(ui, sign, "script", names);
    }
    let is_unpacked = |kernel: &&KernelChange| kernel.before.max(kernel.after) == Presence::Unpacked;
    for kernel in changes.kernels.iter().filter(is_unpacked) {
        unpacked(ui, kernel);
    }
    for (sign, before, after) in [
        (ADDED, Presence::Absent, Presence::Listed),
        (CHANGED, Presence::Listed, Presence::Listed),
        (REMOVED, Presence::Listed, Presence::Absent),
    ] {
        let of = |kernel: &&KernelChange| (kernel.before, kernel.after) == (before, after);
        let releases: Vec<_> = changes.kernels.iter().filter(of).map(|kernel| &kernel.release).collect();
        line(ui, sign, "not unpacked kernel", &releases);
    }
    if !changes.not_compared.is_empty() {
        ui.line(format!("  not compared: {}", changes.not_compared.join(", ")));
    } else if changes.is_empty() {
        ui.line(format!("  no script, kernel or module differs from {before}"));
    }
}

fn line<T: ToString>(ui: &mut Ui, sign: (char, Mark), noun: &str, names: &[T]) {
    if names.is_empty() {
        return;
    }
    let noun = if names.len() == 1 { noun.to_owned() } else { format!("{noun}s") };
    put(ui, sign, &format!("{noun} {}", list(names)));
}

fn put(ui: &mut Ui, sign: (char, Mark), text: &str) {
    let text = ui.mark(sign.1, format!("{} {text}", sign.0));
    ui.line(format!("  {text}"));
}

/// The first names; of many, how many more.
fn list<T: ToString>(names: &[T]) -> String {
    let shown: Vec<String> = names.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    match names.len().saturating_sub(MAX_LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A kernel that was unpacked, or is now.
fn unpacked(ui: &mut Ui, kernel: &KernelChange) {
    let KernelChange { release, before, after, modules, .. } = kernel;
    match (before, after) {
        (Presence::Unpacked, Presence::Unpacked) => {
            let parts =
                [("added", &modules.added), ("changed", &modules.changed), ("removed", &modules.removed)];
            let parts = parts.iter().filter(|(_, names)| !names.is_empty());
            let parts: Vec<String> = parts.map(|(word, names)| format!("{word} {}", list(names))).collect();
            // Another bundle lists it now, or no longer.
            let text =
                if parts.is_empty() { "no module that is unpacked".to_owned() } else { parts.join("; ") };
            put(ui, CHANGED, &format!("kernel {release}: {text}"));
        }
        (Presence::Unpacked, after) => {
            let still = if *after == Presence::Listed { ", no longer unpacked" } else { "" };
            let modules = count(modules.removed.len(), "module");
            put(ui, REMOVED, &format!("kernel {release}: {modules}{still}"));
        }
        _ => {
            let modules = count(modules.added.len(), "module");
            put(ui, ADDED, &format!("kernel {release}: {modules}"));
        }
    }
}
