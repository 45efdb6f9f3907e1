//! A package file, whichever of the two formats it has.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};

use super::error::PackageRefusal;
use super::packing::PackageName;
use super::record::PackageFormat;
use super::unpack::Unpacker;
use super::{deb, rpm};

/// The format of a package, by its first bytes.
pub(super) fn format_of(file: &mut File) -> Result<PackageFormat, PackageRefusal> {
    let mut magic = [0; 8];
    file.seek(SeekFrom::Start(0)).map_err(PackageRefusal::Read)?;
    let read = file.read_exact(&mut magic);
    file.seek(SeekFrom::Start(0)).map_err(PackageRefusal::Read)?;
    match (read, &magic) {
        (Ok(()), b"!<arch>\n") => Ok(PackageFormat::Deb),
        (Ok(()), magic) if magic.starts_with(&rpm::LEAD_MAGIC) => Ok(PackageFormat::Rpm),
        (Err(error), _) if error.kind() != io::ErrorKind::UnexpectedEof => Err(PackageRefusal::Read(error)),
        _ => Err(PackageRefusal::NoPackage),
    }
}

/// Unpacks what a kernel's compiles read.
pub(super) fn unpack(
    file: &mut File,
    format: PackageFormat,
    into: &mut Unpacker<'_>,
) -> Result<PackageName, PackageRefusal> {
    match format {
        PackageFormat::Deb => deb::unpack(BufReader::new(file), into),
        PackageFormat::Rpm => rpm::unpack(file, into),
        PackageFormat::Debuginfod => Err(PackageRefusal::NoPackage),
    }
}
