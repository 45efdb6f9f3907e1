//! The build id of a kernel, from its image: by it a debuginfod server finds the kernel's debuginfo.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bundle_format::KernelRelease;
use kernel_module::build_id_of_file;

use super::error::KernelStoreError;
use super::packing::{method_of, plain};
use super::store::StoredKernel;

/// Where packages have a kernel's image, as seen inside.
fn image_places(release: &KernelRelease) -> [PathBuf; 2] {
    [format!("/boot/vmlinuz-{release}"), format!("/usr/lib/modules/{release}/vmlinuz")].map(PathBuf::from)
}

/// The build id in a stored kernel's image; `None` if there is no image, or it is packed by a method that isn't known here.
pub(super) fn stored_build_id(kernel: &StoredKernel) -> Result<Option<String>, KernelStoreError> {
    let root = kernel.root();
    let places = image_places(&kernel.release);
    let places = places.iter().map(|place| root.join(place.strip_prefix("/").unwrap_or(place)));
    places
        .filter(|image| image.is_file())
        .map(|image| of_image(&image))
        .next()
        .transpose()
        .map(Option::flatten)
}

/// The same of a kernel in a root, whose files `host_path` finds. What can't be read isn't known.
pub(crate) fn build_id_in(
    host_path: impl Fn(&Path) -> io::Result<PathBuf>,
    release: &KernelRelease,
) -> Option<String> {
    let places = image_places(release);
    let mut images = places.iter().filter_map(|place| host_path(place).ok().filter(|path| path.is_file()));
    of_image(&images.next()?).ok()?
}

fn of_image(image: &Path) -> Result<Option<String>, KernelStoreError> {
    let unpacked = unpacked_image(&mut files::read::open(image)?);
    let unpacked = unpacked.map_err(KernelStoreError::storage("read", image))?;
    Ok(unpacked.and_then(|file| build_id_of_file(&file)))
}

/// Most bytes of a kernel.
const MAX_KERNEL: u64 = 1 << 30;

/// The kernel in an image of x86 (Documentation/arch/x86/boot.rst), as an ELF file.
fn unpacked_image(image: &mut File) -> io::Result<Option<File>> {
    let mut head = vec![0; 0x250];
    if image.read_exact(&mut head).is_err() || head.get(0x202..0x206) != Some(b"HdrS") {
        return Ok(None);
    }
    let word = |at: usize| {
        head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    };
    let sectors = match head.get(0x1f1) {
        None | Some(0) => 4,
        Some(sectors) => u64::from(*sectors),
    };
    let offset = u64::from(word(0x248));
    let length = u64::from(word(0x24c));
    image.seek(SeekFrom::Start((sectors + 1) * 512 + offset))?;
    let mut payload = BufReader::new(image.take(length));
    let mut magic = [0; 6];
    payload.read_exact(&mut magic)?;
    let method = method_of(&magic);
    if method.is_empty() {
        return Ok(None);
    }
    let packed = io::Cursor::new(magic).chain(payload);
    let mut file = tempfile::tempfile()?;
    let mut plain = plain(method, "kernel", packed).map_err(io::Error::other)?.take(MAX_KERNEL);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => file.write_all(buffer.get(..read).unwrap_or_default())?,
            // Behind the packed kernel there is its size, which a decoder may take for more of the same.
            Err(_) if file.metadata()?.len() > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Some(file))
}
