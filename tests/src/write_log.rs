//! What a virtual disk was told to write, in order, and the states in which a power cut may leave it.
//!
//! The emulator writes the log (`blklogwrites`) in the format of the kernel's dm-log-writes: a block of 512 bytes at the
//! beginning, then for each request a block that describes it and, unless it is a discard, what was written.
//!
//! A cut after some request leaves all that was written before the last flush (a disk may not lose that), and of what
//! came after it any part: each 4 KiB of it or not, in whatever order. What a file system and a program make of that is
//! theirs.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

/// Bytes of a sector; the emulator is told to log in these.
pub const SECTOR: u64 = 512;

/// A disk keeps or loses so much at once: what a file system calls a block.
const PIECE: usize = 4096;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FORCED: u64 = 2;
const DISCARD: u64 = 4;

/// A request of the log.
#[derive(Debug, Clone)]
struct Request {
    /// Byte of the disk.
    at: u64,
    len: u64,
    flags: u64,
    /// Where its data is in the log.
    data_at: u64,
}

/// A log that has been read. Its data stays in the file.
#[derive(Debug, Clone)]
pub struct WriteLog {
    file: Arc<File>,
    requests: Vec<Request>,
}

impl WriteLog {
    /// Reads the list of requests in the log `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let head = words(&file, 0)?;
        ensure!(head[0] == MAGIC, "{} is no log of writes", path.display());
        let (count, sector) = (head[2], head[3] & 0xffff_ffff);
        ensure!(sector == SECTOR, "the log has sectors of {sector} bytes");
        let mut requests = Vec::new();
        let mut at = SECTOR;
        for _ in 0..count {
            let [begin, sectors, flags, _] = words(&file, at)?;
            at += SECTOR;
            let request = Request { at: begin * SECTOR, len: sectors * SECTOR, flags, data_at: at };
            if flags & DISCARD == 0 {
                at += request.len;
            }
            requests.push(request);
        }
        Ok(Self { file: Arc::new(file), requests })
    }

    /// How many requests there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// How many of them are flushes.
    #[must_use]
    pub fn flushes(&self) -> usize {
        self.requests.iter().filter(|request| request.flags & FLUSH != 0).count()
    }

    /// As if the disk had been told to flush and had not: the log of a program that never calls fsync, or of a disk that lies.
    #[must_use]
    pub fn without_flushes(mut self) -> Self {
        for request in &mut self.requests {
            request.flags &= !(FLUSH | FORCED);
        }
        self
    }

    /// What was written at byte `at` of the disk and behind it, with the number of each request, in order.
    pub fn written_behind(&self, at: u64) -> Result<Vec<(usize, Vec<u8>)>> {
        let behind = self.requests.iter().enumerate();
        let behind =
            behind.filter(|(_, request)| request.at >= at && request.len > 0 && request.flags & DISCARD == 0);
        behind.map(|(number, request)| Ok((number, self.data(request)?))).collect()
    }

    fn data(&self, request: &Request) -> Result<Vec<u8>> {
        let mut data = vec![0; usize::try_from(request.len)?];
        if request.flags & DISCARD == 0 {
            self.file.read_exact_at(&mut data, request.data_at)?;
        }
        Ok(data)
    }
}

/// Four numbers of the log.
fn words(file: &File, at: u64) -> Result<[u64; 4]> {
    let mut bytes = [0; 32];
    file.read_exact_at(&mut bytes, at)?;
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into()?);
    }
    Ok(words)
}

/// A disk on which a log is replayed, forwards only.
#[derive(Debug)]
pub struct Replay {
    log: WriteLog,
    /// The disk after all requests before `done`.
    disk: Vec<u8>,
    done: usize,
}

impl Replay {
    /// Begins with the disk `base`, as it was before the log.
    pub fn new(base: &Path, log: WriteLog) -> Result<Self> {
        Ok(Self { log, disk: fs::read(base).with_context(|| base.display().to_string())?, done: 0 })
    }

    /// A disk after a power cut behind request `cut`, which must not be before that of the last call. What is kept of
    /// that which was not flushed is decided by `chance`.
    pub fn cut_after(&mut self, cut: usize, chance: &mut Chance) -> Result<Vec<u8>> {
        let upto = self.log.requests.get(..=cut).context("a cut behind the log's end")?;
        let flushed = upto.iter().rposition(|request| request.flags & FLUSH != 0).unwrap_or(0).max(self.done);
        ensure!(self.done <= flushed, "a cut before the last one");
        let log = self.log.clone();
        for request in log.requests.iter().take(flushed).skip(self.done) {
            write(&mut self.disk, request.at, &log.data(request)?);
        }
        self.done = flushed;
        let mut disk = self.disk.clone();
        // Now and then nothing is lost, or everything: both are what real disks do most often.
        let manner = chance.below(8);
        for request in log.requests.iter().take(cut + 1).skip(flushed) {
            for (number, piece) in log.data(request)?.chunks(PIECE).enumerate() {
                let kept = match manner {
                    _ if request.flags & FORCED != 0 => true,
                    0 => true,
                    1 => false,
                    _ => chance.below(2) == 0,
                };
                if kept {
                    write(&mut disk, request.at + (number * PIECE) as u64, piece);
                }
            }
        }
        Ok(disk)
    }
}

/// Writes what lies on the disk; the rest isn't part of the image.
fn write(disk: &mut [u8], at: u64, data: &[u8]) {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    if let Some(place) = disk.get_mut(at..).filter(|place| place.len() >= data.len()) {
        place[..data.len()].copy_from_slice(data);
    }
}

/// Writes a disk into a file with holes where it has zeros.
pub fn write_sparse(disk: &[u8], path: &Path) -> Result<()> {
    const HOLE: usize = 64 << 10;
    static ZEROS: [u8; HOLE] = [0; HOLE];
    // A file that is there has the blocks of the disk before.
    let mut file = File::create(path)?;
    file.set_len(disk.len() as u64)?;
    for (number, piece) in disk.chunks(HOLE).enumerate() {
        // Compared as a whole: byte by byte, an unoptimised program takes a tenth of a second for each disk.
        if *piece != ZEROS[..piece.len()] {
            file.write_all_at(piece, (number * HOLE) as u64)?;
        }
    }
    Ok(file.flush()?)
}

/// Numbers that look like chance and are the same for the same seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of this seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which must not be 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of these requests: sector, flags, and the byte that each sector is full of.
    fn log(requests: &[(u64, u64, &[u8])]) -> tempfile::NamedTempFile {
        let mut bytes = Vec::new();
        let mut block = |words: [u64; 4], data: &[u8]| {
            let mut block: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            block.resize(512, 0);
            bytes.extend(block);
            bytes.extend(data.iter().flat_map(|byte| [*byte; 512]));
        };
        block([MAGIC, 1, requests.len() as u64, SECTOR], &[]);
        for (sector, flags, data) in requests {
            let discarded = if flags & DISCARD == 0 { 0 } else { 8 };
            block([*sector, data.len() as u64 + discarded, *flags, 0], data);
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    /// The first byte of each piece of an empty disk of four pieces, after a cut; for many chances.
    fn after(log: &WriteLog, cut: usize) -> Vec<[u8; 4]> {
        let base = tempfile::NamedTempFile::new().unwrap();
        base.as_file().set_len(4 * PIECE as u64).unwrap();
        let states = (0..200).map(|seed| {
            let mut replay = Replay::new(base.path(), log.clone()).unwrap();
            let disk = replay.cut_after(cut, &mut Chance::of(seed)).unwrap();
            [0, 1, 2, 3].map(|piece| disk[piece * PIECE])
        });
        let mut states: Vec<_> = states.collect();
        states.sort_unstable();
        states.dedup();
        states
    }

    #[test]
    fn what_was_flushed_stays_and_of_the_rest_any_part_may() {
        let file = log(&[(0, 0, &[1]), (0, FLUSH, &[]), (8, 0, &[2]), (16, 0, &[3])]);
        let log = WriteLog::read(file.path()).unwrap();
        assert_eq!((log.len(), log.flushes()), (4, 1));
        assert_eq!(after(&log, 0), [[0; 4], [1, 0, 0, 0]]);
        assert_eq!(after(&log, 1), [[1, 0, 0, 0]]);
        assert_eq!(after(&log, 3), [[1, 0, 0, 0], [1, 0, 3, 0], [1, 2, 0, 0], [1, 2, 3, 0]]);
        let without = log.without_flushes();
        assert_eq!(after(&without, 1), [[0; 4], [1, 0, 0, 0]]);
        assert_eq!(after(&without, 3).len(), 8);
    }

    #[test]
    fn a_forced_write_stays_and_a_long_one_may_tear() {
        let file = log(&[(0, FORCED, &[1]), (8, 0, &[2; 16])]);
        let log = WriteLog::read(file.path()).unwrap();
        assert_eq!(after(&log, 1), [[1, 0, 0, 0], [1, 0, 2, 0], [1, 2, 0, 0], [1, 2, 2, 0]]);
    }

    #[test]
    fn a_discard_has_no_data_in_the_log() {
        let file =
            log(&[(0, 0, &[1]), (0, FLUSH, &[]), (0, DISCARD, &[]), (24, FLUSH, &[4]), (0, FLUSH, &[])]);
        let log = WriteLog::read(file.path()).unwrap();
        assert_eq!(after(&log, 4), [[0, 0, 0, 4]]);
        assert_eq!(log.written_behind(24 * 512).unwrap(), [(3, vec![4; 512])]);
    }
}
