//! The older bundle of `--reuse`.

use std::fs::File;
use std::path::Path;

use bundle_format::{TrustedKeys, VerifiedBundle};
use signing::SigningKey;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::trust_options::{keys_of_directory, open_verified};

/// Opens it. Who signs a bundle vouches for every frame in it, so the older one must be signed by one of the same
/// keys, or by what `trust` holds.
pub(super) fn open(
    path: &Path,
    trust: Option<&Path>,
    keys: &[SigningKey],
) -> Result<VerifiedBundle<File>, Failure> {
    let trusted = match trust {
        Some(directory) => keys_of_directory(directory)?,
        None if keys.is_empty() => {
            return Err(Failure::new(
                Exit::Usage,
                "--reuse with --no-sign: there is no key to verify the older bundle with",
            )
            .hint("believe the keys in a directory: --trust DIR"));
        }
        None => TrustedKeys::any_of(keys.iter().map(|key| key.public().clone())),
    };
    open_verified(&path.to_owned().into(), &trusted).map_err(|failure| match failure.exit {
        Exit::Trust => Failure { hints: Vec::new(), ..failure }
            .hint("put the public keys that may have signed it into a directory: --trust DIR")
            .hint("or build without --reuse: every frame is then packed anew"),
        _ => failure,
    })
}
