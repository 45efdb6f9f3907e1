//! Every limit of the format in one place, each with its reason (`docs/bundle-spec.md`, "Limits").

/// Length of a tar header block, in bytes (POSIX ustar).
pub const BLOCK: usize = 512;
/// Length of the end mark: two zero blocks, in bytes (POSIX ustar).
pub const END_MARK: usize = 2 * BLOCK;
/// Most signatures in a bundle: enough for any k of n that people run, and a constant-size member.
pub const MAX_SIGNATURES: usize = 16;
/// Most bytes of the `roots` member: 1,024 roots of 4 KiB, 1,544 bytes of which are length and signatures.
pub const MAX_ROOTS: u64 = 4 << 20;
/// Most roots in one chain: one a week for nearly twenty years; bounds how many signatures a reader checks.
pub const MAX_ROOT_COUNT: usize = 1024;
/// Most bytes of one root document: all lists at their limits take less than 48 KiB.
pub const MAX_ROOT: u64 = 64 << 10;
/// Most keys of a root, with retired and revoked ones; as many as can sign may be active, and
/// three times as many have gone.
pub const MAX_ROOT_KEYS: usize = 64;
/// Largest threshold: the signatures that two neighbouring roots need fit into one signature block even
/// if they share no key.
pub const MAX_THRESHOLD: u64 = 8;
/// Most entries in each of a root's two lists of revoked bundles: a range takes many serials, and both full still fit
/// [`MAX_ROOT`].
pub const MAX_REVOKED: usize = 128;
/// Most bytes of `manifest.json`: 300 kernels x 50 scripts take less than 1 MiB.
pub const MAX_MANIFEST: u64 = 4 << 20;
/// Deepest value in a JSON document, the outer object being 1; the manifest itself needs six.
pub const MAX_JSON_DEPTH: usize = 8;
/// Most values in a JSON document, each object, list and scalar being one; bounds memory, because a
/// value takes up to 100 times its bytes there. 300 kernels x 50 scripts, every cell red, are
/// 300 x (50 x 3 + 18) + 50 x 30 = 51,900; a `SET.json` of 10,000 modules has at most 80,000 without
/// trailers.
pub const MAX_JSON_VALUES: usize = 200_000;
/// Most bytes of any member: what the 11 octal digits of a ustar size field hold.
pub const MAX_MEMBER: u64 = (1 << 33) - 1;
/// Most bytes of one frame's plain tar; a larger kernel gets several frames.
pub const MAX_PLAIN_FRAME: u64 = 32 << 20;
/// Most bytes of a reference and a frame that uses it, together: both are in memory while it is decoded.
pub const MAX_REFERENCE_AND_FRAME: u64 = 1 << 26;
/// Most plain bytes of all references that are in memory at once: four of the largest size.
pub const MAX_LIVE_REFERENCES: u64 = 1 << 27;
/// Largest zstd window, as a power of two: no frame and its reference together have more bytes
/// ([`MAX_REFERENCE_AND_FRAME`]), so a larger one would only reserve memory.
pub const MAX_WINDOW_LOG: u32 = 26;
/// Most frames in a bundle: what the four digits of a member's name hold.
pub const MAX_FRAMES: usize = 10_000;
/// Longest chain of references: a frame, its reference, and that one's reference.
pub const MAX_REFERENCE_DEPTH: usize = 2;
/// Most scripts of a bundle; a limit on memory, far above use.
pub const MAX_SCRIPTS: usize = 10_000;
/// Most programs of a script: with `--ldd` each of the libraries is one; a limit on memory.
pub const MAX_PROGRAMS: usize = 4096;
/// Most bytes of an ELF build id: linkers make 8 to 20, and take up to this as given.
pub const MAX_BUILD_ID: usize = 64;
/// Most extras of a bundle: three have a name; bounds what is passed on the way to the first frame.
pub const MAX_EXTRAS: usize = 64;
/// Most bytes of free text fields (reasons, version strings, options) of a manifest: more than a screen of text.
pub const MAX_TEXT: usize = 4096;
/// Most bytes of a detached kernel signature: PKCS#7 with a chain of certificates stays far below.
pub const MAX_TRAILER: usize = 1 << 16;
/// Most bytes of a certificate that a reader looks at: RSA-4096 with all usual extensions takes less than 3 KiB.
pub const MAX_CERTIFICATE: u64 = 1 << 16;
/// Most parts of a split bundle: 90 GB on floppy disks of 1.4 MB; bounds what `join` lists.
pub const MAX_PARTS: u32 = 65_536;
/// Bytes of zstd's own framing that an incompressible frame may add: the bound that zstd documents
/// (`ZSTD_COMPRESSBOUND`) is `len + len / 256 + 64` beyond 128 KiB; below it, a little more.
#[must_use]
pub const fn max_compressed(plain: u64) -> u64 {
    plain + plain / 256 + 1024
}
