//! A root in words and as JSON.

use bundle_format::{KeyId, RootDocument};
use serde_json::{Value, json};

use crate::tables;
use crate::ui::Ui;
use crate::words::date;

/// Shows what a root says; `signers` are the keys that signed it.
pub(super) fn show(ui: &mut Ui, document: &RootDocument, signers: &[KeyId]) {
    let RootDocument { threshold, epoch, created, .. } = document;
    let active = document.active().count();
    ui.line(format!("  threshold  {threshold} of {active} active keys must sign"));
    ui.line(format!("  epoch      {epoch}"));
    ui.line(format!("  created    {}", date(*created)));
    for range in &document.revoked_serials {
        let serials = if range.first == range.last {
            format!("serial {}", range.first)
        } else {
            format!("serials {} to {}", range.first, range.last)
        };
        ui.line(format!("  revoked    bundles {} of epoch {}, {serials}", range.name, range.epoch));
    }
    for content in &document.revoked_contents {
        ui.line(format!("  revoked    bundles of content {content}"));
    }
    let mut table = tables::plain(["KEY", "STATUS", "SIGNED"]);
    let mut keys: Vec<_> = document.keys.iter().map(|key| (key.status as u8, key.public.id(), key)).collect();
    keys.sort_by_key(|(status, id, _)| (*status, *id));
    for (_, id, key) in keys {
        let signed = if signers.contains(&id) { "yes" } else { "-" };
        table.add_row([id.to_string(), key.status.to_string(), signed.to_owned()]);
    }
    ui.line("");
    ui.line(tables::text(&mut table));
}

/// The same as a JSON value; keys have their ids.
pub(super) fn json(document: &RootDocument, signers: &[KeyId]) -> Value {
    let keys: Vec<Value> = document
        .keys
        .iter()
        .map(|key| {
            let id = key.public.id();
            json!({ "key_id": id.to_string(), "status": key.status, "signed": signers.contains(&id) })
        })
        .collect();
    json!({
        "chain": document.name, "version": document.version, "prev": document.prev, "epoch": document.epoch,
        "created": document.created, "threshold": document.threshold, "keys": keys,
        "revoked_serials": document.revoked_serials, "revoked_contents": document.revoked_contents,
    })
}
