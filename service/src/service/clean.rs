//! Files of the initscript's cache that nobody needs go away.

use super::Service;
use crate::host::ServiceError;
use crate::local::{CleanupChoice, CleanupPlan, CleanupReport, cleanup};
use crate::offers::Candidate;

impl Service<'_> {
    /// Finds out which files of the initscript's cache a cleanup would remove; changes nothing.
    pub fn plan_cleanup(&self, choice: &CleanupChoice<'_>) -> Result<CleanupPlan, ServiceError> {
        let owner = |candidate: &Candidate| Some((candidate.name.clone(), candidate.bundle()?.to_owned()));
        let owners = self.offers.candidates().values().filter_map(owner).collect();
        CleanupPlan::make(self.host, &owners, self.identity, choice)
    }

    /// Removes the files of a plan, as far as a second look under the lock still finds them free to go.
    pub fn cleanup(
        &self,
        choice: &CleanupChoice<'_>,
        agreed: &CleanupPlan,
    ) -> Result<CleanupReport, ServiceError> {
        let _lock = self.lock()?;
        self.finish_compiles(choice.release);
        let plan = self.plan_cleanup(choice)?;
        cleanup::carry_out(self.host, choice.release, plan, agreed)
    }
}
