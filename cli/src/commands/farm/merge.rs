//! `merge`: one bundle of what several machines have compiled.

use crate::commands::farm::build;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;

/// Pack and sign what the parts of a build have compiled (`build --shard`)
///
/// Takes the options of the build. Every cell must have a result in the cache, whole and made of these very inputs; nothing is
/// compiled. Where results are missing, the parts that must be run again are named, and nothing is written.
#[derive(Debug, clap::Args)]
#[group(id = "merged")]
#[command(after_help = "Example: two machines, one directory for results:\n  \
    stap-bundle build --shard 1/2 -r REL1 -r REL2 --artifacts /srv/farm   (on one)\n  \
    stap-bundle build --shard 2/2 -r REL1 -r REL2 --artifacts /srv/farm   (on the other)\n  \
    stap-bundle merge --shards 2 -r REL1 -r REL2 --artifacts /srv/farm -o scripts.stapb")]
pub(crate) struct Args {
    /// Into how many parts the build was divided.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    shards: u32,
    #[command(flatten)]
    build: build::Args,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        self.build.merge(self.shards, global, ui)
    }
}
