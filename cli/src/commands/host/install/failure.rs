//! Why an install fails, as a user sees it.

use files::{FileError, FileSystem};
use installer::{DoesNotFit, InstallError, Removal, TrustStore};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::host;
use crate::trust_options::not_believed_here;
use crate::words::{bytes, date, expiry};

const WITHOUT_SCRIPTS: &str =
    "install it without --with-source, or have the farm build it with `build --with-source`";

/// A full disk, or a quota that is used up whatever the disk has free.
fn no_space(needed: u64, free: u64, source: Option<&FileError>) -> Failure {
    let over_quota = source.is_some_and(FileError::is_over_quota);
    let what = if over_quota {
        format!("a quota of this file system is used up: it needs {}", sized(needed))
    } else {
        format!("not enough space: needs {}, {} free", sized(needed), sized(free))
    };
    let mut failure = Failure::new(Exit::Storage, what);
    failure.because.extend(source.map(|source| host::storage_failure(source).one_line()));
    if over_quota {
        failure = failure.hint("raise it: quota(1) and xfs_quota(8) tell whose it is");
    }
    failure.hint("what old generations take is free after `stap-bundle gc`")
}

pub(crate) fn install_failure(error: InstallError, root: &FileSystem) -> Failure {
    match error {
        InstallError::Bundle(error) => match TrustStore::open(root) {
            Ok(trust) => not_believed_here(error, &trust),
            Err(_) => Failure::from(error),
        },
        InstallError::Trust(error) => host::trust_failure(&error),
        InstallError::Lock(error) => host::lock_failure(&error),
        InstallError::Generation(error) => host::generation_failure(&error),
        InstallError::Storage(error) => host::storage_failure(&error),
        InstallError::Policy(error) => host::policy_failure(&error),
        InstallError::Floors(error) => host::floors_failure(&error),
        InstallError::DoesNotFit(error) => does_not_fit(&error),
        InstallError::NoSpace { needed, free, source } => no_space(needed, free, source.as_ref()),
        InstallError::Quota { needed, used, quota } => over_quota(needed, used, quota),
        other => at_the_wrong_time(&other).unwrap_or_else(|| refused(&other)),
    }
}

fn does_not_fit(error: &DoesNotFit) -> Failure {
    let meant = [error.named.as_slice(), error.running.as_slice(), &error.installed];
    let meant = meant.into_iter().find(|releases| !releases.is_empty()).unwrap_or_default();
    let wanted: Vec<String> = meant.iter().map(|release| format!("-r {release}")).collect();
    Failure::of(Exit::DoesNotFit, error).hint(if wanted.is_empty() {
        "to unpack some of them all the same: --kernel REL, or --all-kernels".to_owned()
    } else {
        format!("on the farm: stap-bundle build {} …", wanted.join(" "))
    })
}

fn over_quota(needed: u64, used: u64, quota: u64) -> Failure {
    let what = format!(
        "it needs {}, the generations on disk take {}, and the policy allows {} in all",
        sized(needed),
        sized(used),
        sized(quota)
    );
    Failure::new(Exit::Storage, what)
        .hint("remove old generations (stap-bundle gc), or raise `quota-mib` in policy.toml")
}

/// A bundle that is too old, or from the future, with dates for people.
fn at_the_wrong_time(error: &InstallError) -> Option<Failure> {
    Some(match error {
        InstallError::Expired { name, version, best_before, now } => {
            let what = format!("bundle {name} {version} {}", expiry(*best_before, *now));
            Failure::new(Exit::Stale, what).hint("bring a newer bundle, or correct this host's clock")
        }
        InstallError::FromTheFuture { name, version, created, now } => {
            let what =
                format!("bundle {name} {version} was made at {}, it is {}", date(*created), date(*now));
            Failure::new(Exit::Stale, what).hint(
                "this host's clock is kept right, so the farm's was wrong: let it build the bundle again",
            )
        }
        InstallError::TooFarAhead { name, version, created, now, allowed } => {
            let what = format!(
                "bundle {name} {version} was made at {}, more than {} days after {}, the latest time known here",
                date(*created),
                allowed / 86_400,
                date(*now)
            );
            Failure::new(Exit::Stale, what)
                .hint("if that date is right, set this host's clock (date -s), or raise `ahead-days` in policy.toml, and install again")
                .hint("if it is wrong, bring a bundle that the farm made with a right clock: this one would make later ones look expired")
        }
        _ => return None,
    })
}

fn refused(error: &InstallError) -> Failure {
    let of = |exit: Exit| Failure::of(exit, error);
    match error {
        InstallError::NoTrust => {
            of(Exit::Trust).hint("pin your farm's key: stap-bundle trust add NAME.pub")
        }
        InstallError::Refused(_) => {
            of(Exit::Trust).hint("/etc/stap-bundle/policy.toml says what this host takes")
        }
        InstallError::NothingWhole { .. } => of(Exit::Missing)
            .hint("copy the bundle again from where it was built; nothing of it can be saved for this host"),
        InstallError::NoSources { .. } => of(Exit::Missing).hint(WITHOUT_SCRIPTS),
        InstallError::Older { .. } => of(Exit::Stale)
            .hint("to go back to what was installed before: stap-bundle rollback")
            .hint("to install it all the same, this once: --allow-downgrade"),
        InstallError::FewerSignatures { .. } => of(Exit::Stale)
            .hint("install the bundle that was signed with all keys (sign-modules), or a newer one")
            .hint("to install it all the same, this once: --allow-downgrade"),
        InstallError::TooFar { .. } => of(Exit::Stale).hint(
            "if your farm means it: raise `max-serial-jump` in policy.toml for this install, or let a new root raise the epoch",
        ),
        InstallError::Equivocation { .. } => of(Exit::Stale).hint(
            "somebody signed two different bundles under one number: ask your farm before anything else",
        ),
        InstallError::Conflict { .. } => {
            of(Exit::Conflict).hint("leave the script out of one of the two bundles")
        }
        InstallError::Adopted { script, .. } => of(Exit::Conflict)
            .hint(format!("to have the bundle's: stap-bundle cleanup {script} (with -r REL for another kernel), which forgets the adopted one; or install with --move-foreign"))
            .hint("to keep it: leave the script out of the bundle"),
        InstallError::Removes { removal, .. } => with_removal(of(Exit::Conflict), removal)
            .hint("if that is meant: --allow-removal, this once, or `allow-removal = true` below [install] in policy.toml")
            .hint("if not: have the farm build the bundle with it; a kernel that --kernel left out is named with it too")
            .hint("`stap-bundle install --dry-run FILE` lists all that would change"),
        InstallError::NotConfirmed { .. } => of(Exit::Storage),
        _ => of(Exit::Malformed),
    }
}

/// What would go is a list in the JSON document too.
fn with_removal(mut failure: Failure, removal: &Removal) -> Failure {
    let Removal { kernels, scripts } = removal;
    failure.removal = Some(Box::new(serde_json::json!({ "kernels": kernels, "scripts": scripts })));
    failure
}

/// Bytes with a unit, and exactly: a message about space is compared with what `df` says.
fn sized(count: u64) -> String {
    format!("{} ({count} bytes)", bytes(count))
}
