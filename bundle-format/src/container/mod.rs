//! The bytes around the documents: members with headers and padding, zstd frames, the tar inside a frame, parts of a split
//! file. Nothing here knows whose signature counts.

mod frame;
mod head;
mod header;
mod member_reader;
mod member_writer;
mod part;
mod parts;
mod plain_tar;
mod source;

pub(crate) use frame::{Encoding, compress, decompress, zstd_version};
pub(crate) use head::Head;
pub(crate) use header::{ContainerKind, member_header, member_span, padding, read_first_block};
pub use header::{FileKind, PART_MAGIC, file_kind};
pub(crate) use member_reader::{MemberReader, PASSED_OVER};
pub(crate) use member_writer::MemberWriter;
pub use part::{PART_HEADER, PartHeader};
pub use parts::{PartError, Parts};
pub(crate) use plain_tar::write_plain;
pub use plain_tar::{UnpackedModule, VerifiedSet, plain_tar};
pub use source::{Positioned, Source, Stream};
