//! Reading a `.deb`: an `ar` archive with two tar archives (deb(5)).

use std::io::{self, Read};

use tar::EntryType;

use super::error::PackageRefusal;
use super::packing::{PackageName, plain};
use super::unpack::Unpacker;

/// Most bytes of what a package says of itself.
const MAX_CONTROL: u64 = 1 << 20;
/// Most bytes of the lists beside it, which are passed over.
const MAX_CONTROL_MEMBERS: u64 = 256 << 20;
/// Most bytes of a long name, as dpkg and GNU tar write it.
const MAX_NAME: u64 = 4096;

pub(super) fn unpack(package: impl Read, into: &mut Unpacker<'_>) -> Result<PackageName, PackageRefusal> {
    let mut archive = ar::Archive::new(package);
    let mut name = None;
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(damaged)?;
        let identifier = String::from_utf8_lossy(member.header().identifier()).into_owned();
        let identifier = identifier.trim_end_matches('/');
        if let Some(suffix) = identifier.strip_prefix("control.tar") {
            let control = plain(suffix.trim_start_matches('.'), "control.tar", member)?;
            name = Some(read_control(control.take(MAX_CONTROL_MEMBERS))?);
        } else if let Some(suffix) = identifier.strip_prefix("data.tar") {
            let data = plain(suffix.trim_start_matches('.'), "data.tar", member)?;
            let name = name.ok_or_else(|| {
                PackageRefusal::Damaged("it has no control.tar before its data.tar".to_owned())
            })?;
            let bounded = into.bounded(data);
            unpack_data(bounded, into)?;
            return Ok(name);
        }
    }
    Err(PackageRefusal::Damaged("it has no data.tar".to_owned()))
}

fn damaged(error: impl std::fmt::Display) -> PackageRefusal {
    PackageRefusal::Damaged(crate::words::quoted(&error.to_string()))
}

fn read_control(control: impl Read) -> Result<PackageName, PackageRefusal> {
    let mut archive = tar::Archive::new(control);
    for member in archive.entries().map_err(damaged)?.raw(true) {
        let mut member = member.map_err(damaged)?;
        if matches!(&*member.path_bytes(), b"./control" | b"control") {
            let mut text = String::new();
            member.by_ref().take(MAX_CONTROL).read_to_string(&mut text).map_err(damaged)?;
            let field = |field: &str| {
                let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
                let value = value.map(str::trim).filter(|value| {
                    !value.is_empty()
                        && value.len() < 256
                        && value.bytes().all(|byte| byte.is_ascii_graphic())
                });
                value
                    .map(str::to_owned)
                    .ok_or_else(|| PackageRefusal::Damaged(format!("its control file has no {field}")))
            };
            return Ok(PackageName {
                name: field("Package")?,
                version: field("Version")?,
                architecture: field("Architecture")?,
            });
        }
    }
    Err(PackageRefusal::Damaged("it has no control file".to_owned()))
}

/// Names that come before the member that they are for.
#[derive(Default)]
struct Long {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

fn unpack_data(data: impl Read, into: &mut Unpacker<'_>) -> Result<(), PackageRefusal> {
    let mut archive = tar::Archive::new(data);
    let mut long = Long::default();
    let members = archive.entries().map_err(|error| into.refusal(&error))?.raw(true);
    for member in members {
        let mut member = member.map_err(|error| into.refusal(&error))?;
        let header = member.header();
        let kind = header.entry_type();
        let modified = header.mtime().unwrap_or(0);
        let is_program = header.mode().unwrap_or(0) & 0o111 != 0;
        match kind {
            EntryType::GNULongName => long.name = Some(long_name(&mut member, into)?),
            EntryType::GNULongLink => long.target = Some(long_name(&mut member, into)?),
            EntryType::XHeader => read_extensions(&mut member, &mut long, into)?,
            EntryType::XGlobalHeader => _ = read_small(&mut member, into)?,
            kind => {
                let long = std::mem::take(&mut long);
                let name = long.name.unwrap_or_else(|| member.path_bytes().into_owned());
                let target = long
                    .target
                    .or_else(|| member.link_name_bytes().map(std::borrow::Cow::into_owned))
                    .unwrap_or_default();
                match kind {
                    EntryType::Directory => into.directory(&name, modified)?,
                    EntryType::Regular | EntryType::Continuous => {
                        into.file(&name, is_program, modified, &mut member)?;
                    }
                    EntryType::Symlink => into.link(&name, &target)?,
                    EntryType::Link => into.hard_link(&name, &target)?,
                    kind => return Err(Unpacker::other(&name, kind_name(kind))),
                }
            }
        }
    }
    // Behind the archive's end there may be padding; a decoder checks its own sums only there.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(|_| ()).map_err(|error| into.refusal(&error))
}

fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Block | EntryType::Char => "a device",
        EntryType::Fifo => "a pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "of an unknown kind",
    }
}

fn read_small(member: &mut impl Read, into: &Unpacker<'_>) -> Result<Vec<u8>, PackageRefusal> {
    let mut bytes = Vec::new();
    member.take(MAX_NAME * 4 + 1).read_to_end(&mut bytes).map_err(|error| into.refusal(&error))?;
    if bytes.len() as u64 > MAX_NAME * 4 {
        return Err(PackageRefusal::Damaged("a name in it is too long".to_owned()));
    }
    Ok(bytes)
}

fn long_name(member: &mut impl Read, into: &Unpacker<'_>) -> Result<Vec<u8>, PackageRefusal> {
    let mut name = read_small(member, into)?;
    while name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn read_extensions(
    member: &mut impl Read,
    long: &mut Long,
    into: &Unpacker<'_>,
) -> Result<(), PackageRefusal> {
    let bytes = read_small(member, into)?;
    for extension in tar::PaxExtensions::new(&bytes) {
        let extension = extension.map_err(|error| into.refusal(&error))?;
        match extension.key_bytes() {
            b"path" => long.name = Some(extension.value_bytes().to_owned()),
            b"linkpath" => long.target = Some(extension.value_bytes().to_owned()),
            // A size of its own would be another one than the header's.
            b"size" => return Err(PackageRefusal::Damaged("a member in it has two sizes".to_owned())),
            _ => {}
        }
    }
    Ok(())
}
