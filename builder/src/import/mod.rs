//! Packages `stap-scripts-RELEASE.tar.gz` of the initscript (its README, section 5.8) → the draft of a bundle.
//!
//! Such a package proves nothing, and was made by hand: [`package`] reads the archive behind the limits of [`bounded`] and takes nothing but
//! the two layouts of the README; [`draft`] reads what each module says of itself and joins it with the options. What a
//! package doesn't tell stays absent: `uname -v`, Module.symvers, the kernel's configuration, the toolchain.

mod bounded;
mod draft;
mod error;
mod package;
#[cfg(test)]
mod tests;

pub use draft::{ImportRequest, Imported, UNKNOWN, import};
pub use error::{ImportError, PackageError};
pub use package::ScriptsPackage;
