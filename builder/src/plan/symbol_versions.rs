//! Modules that their kernels would refuse: in guru mode stap leaves the symbol versions out (`CONFIG_MODVERSIONS=` for make).

use std::collections::{BTreeMap, BTreeSet};

use crate::job::CompileJob;

/// A sentence for each set of kernels that would refuse modules of these jobs, with the cure.
pub(crate) fn refused_modules(jobs: &[CompileJob]) -> Vec<String> {
    let mut scripts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for job in jobs {
        if job.kernel.wants_symbol_versions && job.warm_up_flags.leave_out_symbol_versions() {
            scripts.entry(job.kernel.release.as_str()).or_default().insert(job.script.name().as_str());
        }
    }
    let mut kernels: BTreeMap<BTreeSet<&str>, Vec<&str>> = BTreeMap::new();
    for (release, scripts) in scripts {
        kernels.entry(scripts).or_default().push(release);
    }
    let sentence = |(scripts, kernels): (BTreeSet<&str>, Vec<&str>)| {
        let scripts: Vec<&str> = scripts.into_iter().collect();
        let options: Vec<String> = scripts.iter().map(|script| format!("{script}_OPT")).collect();
        format!(
            "{}: `stap -g` makes modules without symbol versions, and the kernel refuses to load them (CONFIG_MODVERSIONS without \
             CONFIG_MODULE_FORCE_LOAD) on {}: add `-B CONFIG_MODVERSIONS=y` to {}",
            scripts.join(", "),
            kernels.join(", "),
            options.join(", ")
        )
    };
    kernels.into_iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::fake_job;
    use crate::warm::WarmUpFlags;

    #[test]
    fn guru_modules_for_a_kernel_that_wants_versions_are_warned_of_with_the_cure() {
        let job = |script: &str, release: &str, wants: bool, options: &[&str]| {
            let mut job = fake_job(script, release);
            let mut kernel = (*job.kernel).clone();
            kernel.wants_symbol_versions = wants;
            job.kernel = Arc::new(kernel);
            let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
            job.warm_up_flags = WarmUpFlags::among(&options);
            job
        };
        let guru: &[&str] = &["-g"];
        let cured: &[&str] = &["-g", "-B", "CONFIG_MODVERSIONS=y"];
        let jobs = [
            job("a", "1.0", true, guru),
            job("b", "1.0", true, guru),
            job("c", "1.0", true, cured),
            job("d", "1.0", true, &[]),
            job("a", "2.0", true, guru),
            job("b", "2.0", true, &["-g", "-BCONFIG_MODVERSIONS=y"]),
            job("a", "3.0", true, guru),
            job("a", "4.0", false, guru),
        ];
        assert_eq!(
            refused_modules(&jobs),
            [
                "a: `stap -g` makes modules without symbol versions, and the kernel refuses to load them (CONFIG_MODVERSIONS \
                 without CONFIG_MODULE_FORCE_LOAD) on 2.0, 3.0: add `-B CONFIG_MODVERSIONS=y` to a_OPT",
                "a, b: `stap -g` makes modules without symbol versions, and the kernel refuses to load them (CONFIG_MODVERSIONS \
                 without CONFIG_MODULE_FORCE_LOAD) on 1.0: add `-B CONFIG_MODVERSIONS=y` to a_OPT, b_OPT",
            ]
        );
    }
}
