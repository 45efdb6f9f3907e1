//! The newest root in a file, and what it lacks.

use std::path::Path;

use bundle_format::{KeyId, Lacking, RootDocument, RootsFile, Signatures};
use serde_json::json;

use crate::commands::trust::display;
use crate::ui::{Mark, Ui};
use crate::words::count;

/// What the newest root says and lacks.
pub(super) fn tell(roots: &RootsFile, path: &Path, ui: &mut Ui) {
    let (document, signers) = match (roots.pending(), roots.chain()) {
        (Some(pending), _) => (pending.document(), pending.signers()),
        (None, Some(chain)) => (chain.newest().document(), chain.newest().signers()),
        (None, None) => return,
    };
    let lacking = roots.lacking();
    if ui.json {
        let lacks: Vec<_> = lacking
            .iter()
            .map(|lack| {
                let candidates: Vec<_> = lack.candidates.iter().map(ToString::to_string).collect();
                json!({ "keys_of": keys_of(lack, document), "valid": lack.valid, "threshold": lack.threshold, "candidates": candidates })
            })
            .collect();
        let root = display::json(document, &signers);
        ui.document(&json!({ "file": path, "complete": lacking.is_empty(), "lacks": lacks, "root": root }));
        return;
    }
    let mark = if lacking.is_empty() {
        ui.mark(Mark::Good, "complete")
    } else {
        ui.mark(Mark::Attention, "lacks signatures")
    };
    let RootDocument { name, version, .. } = document;
    ui.line(format!("{}: root {version} of chain {name}, {mark}", path.display()));
    display::show(ui, document, &signers);
    for lack in &lacking {
        let candidates: Vec<String> = lack.candidates.iter().map(KeyId::short).collect();
        let missing = lack.threshold - lack.valid;
        ui.line(format!(
            "lacks {missing} of {} by the keys of {}: {}",
            count(lack.threshold, "signature"),
            keys_of(lack, document),
            candidates.join(", ")
        ));
    }
}

/// Whose keys: those of the root before, or the root's own.
fn keys_of(lack: &Lacking, document: &RootDocument) -> String {
    let version = match lack.whose {
        Signatures::Predecessor => document.version - 1,
        Signatures::Own => document.version,
    };
    format!("root {version}")
}
