//! Whose results are taken from a cache: the options of `build`, `merge`, `cache push` and `cache pull`.

use std::path::PathBuf;

use builder::{Builders, NotTaken, NotTakenResults};
use clap::Args;
use signing::PrivateKeyFile;

use crate::commands::farm::key_failure::key_failure;
use crate::failure::Failure;
use crate::trust_options::public_keys_in;
use crate::words::count;

/// What makes results from elsewhere count.
pub(crate) const LIST_THEM: &str =
    "to accept a builder's results, copy its build/builder.pub into a directory DIR and pass --builders DIR";

/// Which builders' results are taken. Every result is signed by the builder that compiled it.
#[derive(Debug, Args)]
pub(crate) struct BuilderOptions {
    /// The key that signs this builder's results; builders that share it take each other's [default: `build/builder.key` of the
    /// cache directory, made by the first build].
    #[arg(hide_short_help = true, long, value_name = "NAME.key", env = "STAP_BUNDLE_BUILDER_KEY")]
    builder_key: Option<PathBuf>,
    /// Take the results of the builders whose keys are in DIR (`*.pub`), besides its own.
    #[arg(hide_short_help = true, long, value_name = "DIR", env = "STAP_BUNDLE_BUILDERS")]
    builders: Option<PathBuf>,
    /// Also take results without the signature of such a builder; the bundle's provenance names them
    #[arg(hide_short_help = true, long)]
    accept_unsigned_results: bool,
}

impl BuilderOptions {
    /// Reads the keys that were named.
    pub(crate) fn read(&self) -> Result<Builders, Failure> {
        let own = self.builder_key.as_deref().map(PrivateKeyFile::open).transpose();
        let own = own.map_err(|error| key_failure(&error))?;
        let listed = self.builders.as_deref().map(public_keys_in).transpose()?;
        Ok(Builders::new(own, listed.unwrap_or_default(), self.accept_unsigned_results))
    }
}

/// Why results that are there count as absent, a sentence for each reason.
pub(crate) fn why_not_taken(results: &NotTakenResults) -> Vec<String> {
    let sentence = |(why, (number, first)): (&NotTaken, &(usize, PathBuf))| {
        let results = count(*number, "result");
        let first = first.display();
        let (are, were, have) = if *number == 1 { ("is", "was", "has") } else { ("are", "were", "have") };
        let them = if *number == 1 { "it" } else { "them" };
        let such_as = if *number == 1 { "" } else { "such as " };
        match why {
            NotTaken::Unsigned => format!("{results} {have} no builder's signature: {such_as}{first}"),
            NotTaken::Unlisted(id) => {
                format!("{results} {are} by builder {id}, which is not listed: {such_as}{first}")
            }
            NotTaken::Forged(id) => {
                format!("{results} {were} changed after builder {id} signed {them}: {such_as}{first}")
            }
        }
    };
    results.iter().map(sentence).collect()
}

/// How many of them would count if builders were listed, or unsigned results taken.
pub(crate) fn could_be_taken(results: &NotTakenResults) -> usize {
    results.iter().filter(|(why, _)| !matches!(why, NotTaken::Forged(_))).map(|(_, (number, _))| number).sum()
}
