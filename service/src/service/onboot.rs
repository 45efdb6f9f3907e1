//! What starts from the initramfs.

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::KernelRelease;
use files::FileSystem;
use script_config::{GlobalParameters, ScriptName};

use crate::event::EventSink;
use crate::host::{ServiceError, log};
use crate::onboot::{self, Fitness, ImageOf, Images, OnbootStatus, Unfit, of_kernel, with_requirements};
use crate::service::Service;
use crate::start::{StartOptions, StartReport};

impl Service<'_> {
    /// What the host would say of itself under this kernel.
    #[must_use]
    pub fn identity_of(&self, release: &KernelRelease) -> installer::HostIdentity {
        of_kernel(self.identity, release)
    }

    /// Which of these an image of this kernel can be given.
    #[must_use]
    pub fn fitness(&self, list: &BTreeSet<ScriptName>) -> Fitness {
        Fitness::of(&self.offers, list)
    }

    /// These scripts and all that they require.
    #[must_use]
    pub fn with_requirements(&self, list: &BTreeSet<ScriptName>) -> BTreeSet<ScriptName> {
        with_requirements(&self.offers, list)
    }

    /// Gives the scripts of the list that fit to the image whose root is `into`, for this kernel, and remembers that if it is the kernel's
    /// usual one. Returns the scripts that don't fit.
    ///
    /// # Errors
    /// Nothing stays in the image then.
    pub fn stage(
        &self,
        into: &FileSystem,
        list: &BTreeSet<ScriptName>,
        parameters: &GlobalParameters,
        is_recorded: bool,
    ) -> Result<BTreeMap<ScriptName, Unfit>, ServiceError> {
        let of = ImageOf {
            host: self.host,
            identity: self.identity,
            current: self.current,
            offers: &self.offers,
            parameters,
            own: self.own,
            is_recorded,
        };
        onboot::stage(&of, into, list)
    }

    /// Starts the scripts of the list before the root file system is there.
    pub fn start_before_root(
        &self,
        list: &BTreeSet<ScriptName>,
        parameters: &GlobalParameters,
        events: &EventSink<'_>,
    ) -> Result<StartReport, ServiceError> {
        let generation = self.current.map(installer::CurrentGeneration::number);
        let started = onboot::start(self.host, generation, list, parameters, |choice, limit| {
            let guard = self.boot_guard()?;
            let options =
                StartOptions { budget: Some(limit), guard: Some(&guard), ..StartOptions::default() };
            self.start(choice, &options, events)
        });
        self.logged("nothing started from the initramfs", started)
    }

    /// What starts from the initramfs, and whether the images have it; `None` if nothing does.
    pub fn onboot(&self) -> Result<Option<OnbootStatus>, ServiceError> {
        let list = installer::onboot_list(&self.host.files);
        let list = list.map_err(|error| ServiceError::Onboot(Box::new(error)))?;
        let of = Images { host: self.host, identity: self.identity, current: self.current, own: self.own };
        Ok(OnbootStatus::look(of, list)?)
    }

    /// The lines that the start in the initramfs of this boot has written, once: they go to `LOG_FILE`.
    pub fn take_over_log(&self) {
        log::take_over(self.host);
    }
}
