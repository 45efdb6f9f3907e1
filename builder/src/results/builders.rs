//! Who made a result, and whose results are taken.
//!
//! Who can write to a shared cache would decide what gets signed, if a result were taken because it is there. So each result is
//! signed by the builder that compiled it, with a key that signs nothing else ([`Role::BuildResult`]): it lies in the builder's state
//! directory, or where a farm keeps the one that its builders share. A builder takes its own results, and those of the builders
//! that it was given.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bundle_format::{Digest, KeyId, PublicKey, Role};
use serde::{Deserialize, Serialize};
use signing::{KeyFileError, PrivateKeyFile};

use crate::state::BuildDirectories;

/// The builders whose results are taken; by default none.
#[derive(Debug, Clone, Default)]
pub struct Builders {
    /// Signs what is compiled here.
    own: Option<PrivateKeyFile>,
    /// The own key too.
    taken: BTreeMap<KeyId, PublicKey>,
    unsigned: bool,
}

/// Why a result counts as absent, although it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotTaken {
    /// Nobody has signed it: it is from a version that signed none, or from somebody who is no builder.
    Unsigned,
    /// This builder isn't one of those whose results are taken.
    Unlisted(KeyId),
    /// It names this builder, whose signature it isn't: somebody has changed it.
    Forged(KeyId),
}

/// Results that count as absent, by the reason: how many, and the record of the first.
pub type NotTakenResults = BTreeMap<NotTaken, (usize, PathBuf)>;

/// A builder's signature of a record; in JSON 128 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ResultSignature([u8; 64]);

impl Builders {
    /// The listed builders, and `own`, whose key signs what is compiled here. With `unsigned`, results that none of them has signed
    /// are taken as well.
    #[must_use]
    pub fn new(own: Option<PrivateKeyFile>, listed: Vec<PublicKey>, unsigned: bool) -> Self {
        let keys = listed.into_iter().chain(own.iter().map(|key| key.public().clone()));
        let taken = keys.map(|key| (key.id(), key)).collect();
        Self { own, taken, unsigned }
    }

    /// The same; where no own key was given, it is the one in `directories`, if there is one.
    pub fn with_key_of(self, directories: &BuildDirectories) -> Result<Self, KeyFileError> {
        if self.own.is_some() {
            return Ok(self);
        }
        match PrivateKeyFile::open(&directories.builder_key().private) {
            Ok(own) => Ok(Self::new(Some(own), self.taken.into_values().collect(), self.unsigned)),
            Err(error) if error.is_absent() => Ok(self),
            Err(error) => Err(error),
        }
    }

    /// The same, but the key is made if there is none; only under the state's lock.
    pub(crate) fn with_new_key_of(self, directories: &BuildDirectories) -> Result<Self, KeyFileError> {
        let known = self.with_key_of(directories)?;
        if known.own.is_none() {
            PrivateKeyFile::create(&directories.builder_key())?;
        }
        known.with_key_of(directories)
    }

    /// The same, which also takes what the other one signs.
    #[cfg(test)]
    pub(crate) fn listing(&self, other: &Self) -> Self {
        let listed = self.taken.values().chain(other.taken.values()).cloned().collect();
        Self::new(self.own.clone(), listed, self.unsigned)
    }

    /// Whether results that this builder has signed are taken.
    pub(crate) fn take(&self, builder: &KeyId) -> bool {
        self.taken.contains_key(builder)
    }

    /// Who has signed `record`; nobody, if it is taken all the same.
    pub(crate) fn judge(
        &self,
        record: &[u8],
        signed: Option<(KeyId, ResultSignature)>,
    ) -> Result<Option<KeyId>, NotTaken> {
        let not_taken = match signed {
            None => NotTaken::Unsigned,
            Some((id, signature)) => match self.taken.get(&id) {
                None => NotTaken::Unlisted(id),
                Some(key) => {
                    let holds = key.verifies(&Role::BuildResult.signed_message(record), &signature.0);
                    return if holds { Ok(Some(id)) } else { Err(NotTaken::Forged(id)) };
                }
            },
        };
        if self.unsigned { Ok(None) } else { Err(not_taken) }
    }

    /// The own signature of `record`.
    pub(crate) fn sign(&self, record: &[u8]) -> io::Result<(KeyId, ResultSignature)> {
        let own =
            self.own.as_ref().ok_or_else(|| io::Error::other("this builder has no key to sign it with"))?;
        let signature = own.sign_result(record).map_err(io::Error::other)?;
        Ok((own.public().id(), ResultSignature(signature)))
    }
}

impl NotTaken {
    /// Counts it, found in the record at `path`.
    pub(crate) fn count(self, path: &Path, all: &mut NotTakenResults) {
        all.entry(self).or_insert_with(|| (0, path.to_owned())).0 += 1;
    }
}

impl From<ResultSignature> for String {
    fn from(ResultSignature(bytes): ResultSignature) -> Self {
        // The digits of 32 bytes, twice.
        let (halves, _) = bytes.as_chunks::<32>();
        halves.iter().map(|half| Digest::from_bytes(*half).to_string()).collect()
    }
}

impl TryFrom<String> for ResultSignature {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let wrong = "not a signature: expected 128 lower-case hexadecimal digits";
        let (first, second) = text.split_at_checked(64).ok_or(wrong)?;
        let half = |text: &str| text.parse::<Digest>().map_err(|_| wrong);
        let mut bytes = [0; 64];
        let (halves, _) = bytes.as_chunks_mut::<32>();
        for (into, text) in halves.iter_mut().zip([first, second]) {
            *into = *half(text)?.as_bytes();
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_reads_back_its_digits_and_nothing_else() {
        let bytes: Vec<u8> = (0..64).collect();
        let signature = ResultSignature(bytes.try_into().unwrap());
        let text = String::from(signature);
        assert_eq!((text.len(), ResultSignature::try_from(text.clone())), (128, Ok(signature)));
        for bad in ["", &text[1..], &format!("{text}0"), &text.replace('f', "F"), &text.replace('f', "ä")] {
            assert!(ResultSignature::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_key_is_made_once_and_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let base = tempfile::tempdir().unwrap();
        let directories = BuildDirectories::beneath(base.path());
        std::fs::create_dir(base.path().join("build")).unwrap();
        assert!(Builders::default().with_key_of(&directories).unwrap().own.is_none());
        let own = |builders: Builders| builders.own.unwrap().public().id();
        let made = own(Builders::default().with_new_key_of(&directories).unwrap());
        assert_eq!(own(Builders::default().with_new_key_of(&directories).unwrap()), made);
        assert_eq!(own(Builders::default().with_key_of(&directories).unwrap()), made);
        let rights = std::fs::metadata(base.path().join("build/builder.key")).unwrap().permissions();
        assert_eq!(rights.mode() & 0o7777, 0o600);
    }

    #[test]
    fn takes_the_own_and_the_listed_builders_and_no_other() {
        let own = crate::testing::fake_builders();
        let stranger = crate::testing::fake_builders();
        let public = own.taken.values().next().unwrap().clone();
        let id = public.id();
        let signed = Some(own.sign(b"{}").unwrap());
        let listed = Builders::new(None, vec![public.clone()], false);
        assert_eq!((own.judge(b"{}", signed), listed.judge(b"{}", signed)), (Ok(Some(id)), Ok(Some(id))));
        assert_eq!(stranger.judge(b"{}", signed), Err(NotTaken::Unlisted(id)));
        assert_eq!(listed.judge(b"{ }", signed), Err(NotTaken::Forged(id)));
        assert_eq!(listed.judge(b"{}", None), Err(NotTaken::Unsigned));
        let all = Builders::new(None, vec![public], true);
        assert_eq!((all.judge(b"{}", None), all.judge(b"{}", signed)), (Ok(None), Ok(Some(id))));
        assert_eq!(all.judge(b"{}", Some(stranger.sign(b"{}").unwrap())), Ok(None));
        // What was changed is never taken.
        assert_eq!(all.judge(b"{ }", signed), Err(NotTaken::Forged(id)));
    }
}
