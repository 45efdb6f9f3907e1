//! The chain of roots that a build sends along, compared with the keys that sign.

use std::path::Path;

use bundle_format::{KeyStatus, RootChain, RootsFile};
use signing::PrivateKeyFile;

use crate::exit::Exit;
use crate::failure::{Failure, root_failure};
use crate::trust_options::read_roots_file;
use crate::ui::Ui;

/// Reads the chain; refuses one whose newest root lacks signatures, and keys that it doesn't list as active: no host
/// would take the bundle.
pub(crate) fn read(path: &Path, keys: &[PrivateKeyFile], ui: &mut Ui) -> Result<RootChain, Failure> {
    let about = |error| root_failure(&error).about(path.display());
    let chain = RootsFile::read(&read_roots_file(path)?).and_then(RootsFile::complete).map_err(about)?;
    let newest = chain.newest();
    let version = newest.version();
    let threshold = newest.document().threshold;
    for id in keys.iter().map(|key| key.public().id()) {
        let status = newest.document().status(&id);
        if status != Some(KeyStatus::Active) {
            let found = status.map_or("not in it".to_owned(), |status| status.to_string());
            let what =
                format!("key {id} is {found}, so no host counts it: root {version} of {}", path.display());
            return Err(Failure::new(Exit::Trust, what)
                .hint("`stap-bundle trust root show FILE` lists the active keys"));
        }
    }
    if !keys.is_empty() && (keys.len() as u64) < threshold {
        ui.warning(format!(
            "{} of {threshold} signatures that root {version} asks for will be there: no host takes the bundle before the others are added",
            keys.len()
        ));
    }
    Ok(chain)
}
