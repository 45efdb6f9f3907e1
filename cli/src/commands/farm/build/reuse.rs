//! The older bundle of `--reuse` or `--delta-from`.

use std::fs::File;
use std::path::Path;

use bundle_format::{BaseFile, BundleError, BundleName, TrustedKeys, VerifiedBundle};
use signing::PrivateKeyFile;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::trust_options::{keys_of_directory, open_verified};

/// Opens the older bundle of `--delta-from`: a full one of the same name, whole, by somebody who is believed.
pub(super) fn open_base(
    path: &Path,
    trust: Option<&Path>,
    keys: &[PrivateKeyFile],
    name: &BundleName,
) -> Result<BaseFile, Failure> {
    let about = |error: BundleError| Failure::from(error).about(path.display());
    let old = open(path, trust, keys).map_err(|mut failure| {
        // What would be packed anew without it would be a full bundle, which is another thing.
        failure.hints.retain(|hint| !hint.contains("--reuse"));
        failure
    })?;
    let base = BaseFile::open(old).map_err(about)?;
    base.check_is_full().map_err(about)?;
    if base.manifest().name != *name {
        let what = format!(
            "{} is a bundle called `{}`, the new one is `{name}`",
            path.display(),
            base.manifest().name
        );
        return Err(Failure::new(Exit::Usage, what)
            .hint("hosts look for what a delta refers to under its own name: --name"));
    }
    Ok(base)
}

/// Opens it. Who signs a bundle vouches for every frame in it, so the older one must be signed by one of the same
/// keys, or by what `trust` holds.
pub(super) fn open(
    path: &Path,
    trust: Option<&Path>,
    keys: &[PrivateKeyFile],
) -> Result<VerifiedBundle<File>, Failure> {
    let trusted = match trust {
        Some(directory) => keys_of_directory(directory)?,
        None if keys.is_empty() => {
            return Err(Failure::new(
                Exit::Usage,
                "--no-sign: there is no key to verify the older bundle with",
            )
            .hint("believe the keys in a directory: --trust DIR"));
        }
        None => TrustedKeys::any_of(keys.iter().map(|key| key.public().clone())),
    };
    open_verified(&path.to_owned().into(), &trusted).map_err(|failure| match failure.exit {
        Exit::Trust => Failure { hints: Vec::new(), ..failure }
            .hint("put the public keys that may have signed it into a directory: --trust DIR")
            .hint("or build without --reuse, which packs every frame again"),
        _ => failure,
    })
}
