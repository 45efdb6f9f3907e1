//! `--attach NAME.pub:SIG`: a signature that was made elsewhere, and the key that made it.

use std::io::{self, Read};
use std::path::Path;

use bundle_format::PublicKey;
use files::read::open_given;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::trust_options::read_public_key;
use crate::words::count;

/// Bytes of an Ed25519 signature.
pub(crate) const SIGNATURE: usize = 64;

/// Reads `NAME.pub:SIG`.
pub(crate) fn read_signature(pair: &str) -> Result<(PublicKey, [u8; SIGNATURE]), Failure> {
    let Some((key, signature)) =
        pair.split_once(':').filter(|(key, file)| !key.is_empty() && !file.is_empty())
    else {
        let what = format!("--attach {pair}: expected NAME.pub:SIG, a public key and a signature's file");
        return Err(Failure::new(Exit::Usage, what));
    };
    let key = read_public_key(Path::new(key))?;
    let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(signature);
    let file = open_given(Path::new(signature)).map_err(|error| failed(error.into_source()))?;
    let mut bytes = Vec::new();
    file.take(SIGNATURE as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let found = bytes.len();
    let bytes = bytes.try_into().map_err(|_| {
        let found = if found > SIGNATURE { "more".to_owned() } else { count(found, "byte") };
        let what =
            format!("{signature}: expected the {SIGNATURE} bytes of an Ed25519 signature, found {found}");
        Failure::new(Exit::Malformed, what)
            .hint("sign with: openssl pkeyutl -sign -rawin -inkey NAME.key -in MESSAGE -out SIG")
    })?;
    Ok((key, bytes))
}
