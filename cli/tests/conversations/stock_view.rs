//! What stock tools see through the links, after a job that was killed or failed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bundle_format::Digest;
use script_config::{Configuration, SourceText};

use crate::jobs::Job;
use crate::world::TestWorld;

/// What stock tools see: each name in the cache that leads to a module, with that module's digest and its options; and what
/// the configuration says in the end.
fn stock_view(host: &Path) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    let cache = host.join("var/cache/systemtap");
    for entry in walkdir::WalkDir::new(&cache).into_iter().filter_map(Result::ok) {
        let path = entry.path();
        let Some(bytes) = path.extension().filter(|end| *end == "ko").and_then(|_| fs::read(path).ok())
        else {
            continue;
        };
        let options = fs::read_to_string(path.with_extension("opts")).unwrap_or_default();
        let name = path.strip_prefix(&cache).unwrap().display().to_string();
        seen.insert(name, format!("{} {options}", Digest::of(&bytes)));
    }
    let conf_d = host.join("etc/systemtap/conf.d");
    let files = ["00-stap-bundle.conf", "zz-stap-bundle.conf"].map(|name| conf_d.join(name));
    let texts = files.iter().filter_map(|file| {
        Some(SourceText { path: file.display().to_string(), text: fs::read_to_string(file).ok()? })
    });
    let (configuration, problems) = Configuration::load(&texts.collect::<Vec<_>>());
    assert!(problems.is_empty(), "{problems:?}");
    for (name, value) in configuration.environment().iter().filter(|(_, value)| value.place.is_some()) {
        seen.insert(name.to_owned(), value.text.clone());
    }
    seen
}

/// Stock tools see what is current, whose serial is `serial`: the whole old set or the whole new one.
pub(crate) fn check(world: &TestWorld, job: &Job, path: &Path, serial: &dyn Fn() -> u64, what: &str) {
    // The whole run that wrote down the calls has the new one.
    let [old, new] =
        ["template", "traced"].map(|side| stock_view(&world.path(&format!("{side}-{}", job.name))));
    let seen = stock_view(path);
    if job.serials[0] == job.serials[1] {
        assert!(seen == old || seen == new, "{what}: {seen:#?}");
    } else {
        let serial = serial();
        let expected = if serial == job.serials[1] { new } else { old };
        assert_eq!(seen, expected, "{what}: not the view of serial {serial}");
    }
}
