//! Which kernel a module is for: five facts that its build tree tells, one id (`docs/bundle-spec.md`, "Kernel id").

use std::str::FromStr;

use crate::names::checked::{KernelRelease, Machine};
use crate::names::digest::{Digest, DigestError, FieldHasher};
use crate::names::id::digest_id;

digest_id!(
    /// The digest over release, machine, `uname -v` and the digests of Module.symvers and of the configuration.
    ///
    /// All of them are known before anything is compiled, so a kernel keeps its id when its first module appears. The
    /// vermagic isn't part of it: it follows from release and configuration.
    KernelId
);

impl KernelId {
    /// Computes the id. An absent fact counts as an empty field; no present one may be empty.
    #[must_use]
    pub fn of(
        release: &KernelRelease,
        machine: &Machine,
        uname_v: Option<&str>,
        symvers: Option<&Digest>,
        config: Option<&Digest>,
    ) -> Self {
        let bytes =
            |digest: Option<&Digest>| digest.map_or_else(Vec::new, |digest| digest.as_bytes().to_vec());
        let id = FieldHasher::new()
            .field(release)
            .field(machine)
            .field(uname_v.unwrap_or_default())
            .field(bytes(symvers))
            .field(bytes(config))
            .finish();
        Self(id)
    }
}

impl FromStr for KernelId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fact_is_in_the_id() {
        let release: KernelRelease = "6.12.1".parse().unwrap();
        let machine: Machine = "x86_64".parse().unwrap();
        let digest = Digest::of(b"symvers");
        let ids = [
            KernelId::of(&release, &machine, None, None, None),
            KernelId::of(&release, &machine, Some("#1 SMP"), None, None),
            KernelId::of(&release, &machine, None, Some(&digest), None),
            KernelId::of(&release, &machine, None, None, Some(&digest)),
            KernelId::of(&"6.12.2".parse().unwrap(), &machine, None, None, None),
            KernelId::of(&release, &"aarch64".parse().unwrap(), None, None, None),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
