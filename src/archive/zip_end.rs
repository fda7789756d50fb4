//! The end of a zip archive: how many entries, and where their directory lies.
//!
//! Read by `zip_entries.rs` before the zip library sees the file, because the library reserves
//! memory for as many entries as are claimed. Strict where readers differ: the last end record
//! counts, it must end the file, and the directory must touch it. Then every reader sees the same
//! archive. Field names are those of PKWARE's APPNOTE 4.3.14 to 4.3.16.

use std::io::{self, Read, Seek, SeekFrom};

/// `PK\5\6`, the end of central directory record, and its size without the comment.
const END: [u8; 4] = *b"PK\x05\x06";
const END_SIZE: usize = 22;
/// `PK\6\7`, the zip64 locator, just before the end record.
const LOCATOR: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_SIZE: usize = 20;
/// `PK\6\6`, the zip64 end record, just before the locator.
const END64: [u8; 4] = *b"PK\x06\x06";
const END64_SIZE: usize = 56;
/// Where an end record can begin: at most this far from the end.
const TAIL_SIZE: u64 = (END_SIZE + LOCATOR_SIZE + END64_SIZE) as u64 + u16::MAX as u64;

/// What the end record claims, checked against the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ZipEnd {
    pub(super) entries: u64,
    /// Bytes of the central directory.
    pub(super) directory_size: u64,
}

/// Why the end of the file is not a zip's.
#[derive(Debug, thiserror::Error)]
pub(super) enum ZipEndError {
    #[error("{0}")]
    Invalid(&'static str),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Little-endian fields of a record.
struct Fields<'a>(&'a [u8]);

// === impl ZipEnd ===

impl ZipEnd {
    /// Reads at most the last 64 KiB of `file`, and leaves it where it then stands.
    pub(super) fn read(file: &mut (impl Read + Seek)) -> Result<ZipEnd, ZipEndError> {
        let length = file.seek(SeekFrom::End(0))?;
        let tail_start = length.saturating_sub(TAIL_SIZE);
        file.seek(SeekFrom::Start(tail_start))?;
        let mut tail = Vec::new();
        file.take(TAIL_SIZE).read_to_end(&mut tail)?;
        ZipEnd::parse(&tail, tail_start)
    }

    /// `tail` is the end of the file, from byte `tail_start` on.
    fn parse(tail: &[u8], tail_start: u64) -> Result<ZipEnd, ZipEndError> {
        let invalid = ZipEndError::Invalid;
        let position = tail
            .windows(END.len())
            .rposition(|window| window == END)
            .ok_or(invalid("it has no end record; it is probably cut short"))?;
        let (before, record) = tail.split_at(position);
        let end = Fields(record);
        let comment = end.u16(20).ok_or(invalid("its end record is cut short"))?;
        if record.len() as u64 != END_SIZE as u64 + comment {
            return Err(invalid("its end record is not at its end"));
        }
        let entries = end.u16(10).filter(|entries| end.u16(8) == Some(*entries));
        let disks = end.u32(4);
        let (Some(entries), Some(size), Some(start), Some(0)) =
            (entries, end.u32(12), end.u32(16), disks)
        else {
            return Err(invalid("it is one part of several"));
        };

        let locator = before.len().checked_sub(LOCATOR_SIZE).and_then(|at| before.get(at..));
        let Some(locator) = locator.filter(|locator| locator.starts_with(&LOCATOR)) else {
            // 0xffff and 0xffffffff refer to a zip64 record, which is not there.
            if entries == u64::from(u16::MAX) || size.max(start) == u64::from(u32::MAX) {
                return Err(invalid("its zip64 end record is missing"));
            }
            return checked(entries, size, start, tail_start + position as u64);
        };
        let end64_at = (before.len() - LOCATOR_SIZE)
            .checked_sub(END64_SIZE)
            .ok_or(invalid("its zip64 end record is cut short"))?;
        let record = before.get(end64_at..).unwrap_or_default();
        let end64_position = tail_start + end64_at as u64;
        let end64 = Fields(record);
        let (Some(entries64), Some(size64), Some(start64)) =
            (end64.u64(32), end64.u64(40), end64.u64(48))
        else {
            return Err(invalid("its zip64 end record is cut short"));
        };
        let points_here = Fields(locator).u64(8) == Some(end64_position);
        if !record.starts_with(&END64) || !points_here || end64.u64(24) != Some(entries64) {
            return Err(invalid("its zip64 end record is not where its locator says"));
        }
        // Both records must say the same, or the old one must refer to the new one.
        let agree = |old: u64, new: u64, reference: u64| old == new || old == reference;
        if !agree(entries, entries64, u16::MAX.into())
            || !agree(size, size64, u32::MAX.into())
            || !agree(start, start64, u32::MAX.into())
        {
            return Err(invalid("its two end records contradict each other"));
        }
        checked(entries64, size64, start64, end64_position)
    }
}

/// The directory must end where the first end record begins.
fn checked(entries: u64, size: u64, start: u64, end: u64) -> Result<ZipEnd, ZipEndError> {
    if start.checked_add(size) != Some(end) {
        return Err(ZipEndError::Invalid("its central directory is not where its end record says"));
    }
    Ok(ZipEnd { entries, directory_size: size })
}

// === impl Fields ===

impl Fields<'_> {
    fn u16(&self, at: usize) -> Option<u64> {
        Some(u64::from(u16::from_le_bytes(self.bytes(at)?)))
    }

    fn u32(&self, at: usize) -> Option<u64> {
        Some(u64::from(u32::from_le_bytes(self.bytes(at)?)))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(at)?))
    }

    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(entries: u16, size: u32, start: u32, comment: &[u8]) -> Vec<u8> {
        let mut out = b"PK\x05\x06\0\0\0\0".to_vec();
        out.extend([entries.to_le_bytes(), entries.to_le_bytes()].concat());
        out.extend(size.to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend(u16::try_from(comment.len()).expect("short").to_le_bytes());
        out.extend(comment);
        out
    }

    fn end64(entries: u64, size: u64, start: u64, position: u64) -> Vec<u8> {
        let mut out = b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0".to_vec();
        for value in [entries, entries, size, start] {
            out.extend(value.to_le_bytes());
        }
        out.extend(b"PK\x06\x07\0\0\0\0");
        out.extend(position.to_le_bytes());
        out.extend(1_u32.to_le_bytes());
        out
    }

    /// 100 bytes of content and directory before the end records.
    fn read(records: &[u8]) -> Result<ZipEnd, ZipEndError> {
        let mut file = vec![0; 100];
        file.extend(records);
        ZipEnd::read(&mut io::Cursor::new(file))
    }

    #[test]
    fn reads_the_old_record_and_the_new_one() {
        let expected = ZipEnd { entries: 3, directory_size: 90 };
        assert_eq!(read(&end(3, 90, 10, b"")).expect("valid"), expected);
        assert_eq!(read(&end(3, 90, 10, b"a comment")).expect("valid"), expected);
        let zip64 = [end64(3, 90, 10, 100), end(u16::MAX, u32::MAX, u32::MAX, b"")].concat();
        assert_eq!(read(&zip64).expect("valid"), expected);
        let both = [end64(3, 90, 10, 100), end(3, 90, 10, b"")].concat();
        assert_eq!(read(&both).expect("valid"), expected);
    }

    #[test]
    fn refuses_what_readers_would_understand_differently() {
        let lies = [
            b"".to_vec(),
            end(3, 90, 11, b""),
            end(3, u32::MAX - 1, 10, b""),
            end(3, 89, 10, b""),
            end(u16::MAX, 90, 10, b""),
            end(3, u32::MAX, 10, b""),
            [end(3, 90, 10, b""), b"trailing".to_vec()].concat(),
            end(3, 90, 10, &end(1, 90, 10, b"")),
            [end64(4, 90, 10, 100), end(3, 90, 10, b"")].concat(),
            [end64(3, 90, 10, 99), end(u16::MAX, u32::MAX, u32::MAX, b"")].concat(),
            [end64(3, u64::MAX, 10, 100), end(u16::MAX, u32::MAX, u32::MAX, b"")].concat(),
            [end64(3, 90, 10, 100)[24..].to_vec(), end(u16::MAX, u32::MAX, 0, b"")].concat(),
        ];
        for (number, records) in lies.iter().enumerate() {
            assert!(read(records).is_err(), "{number}");
        }
        let whole = end(3, 90, 10, b"comment");
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn reports_the_claimed_number_of_entries_whatever_it_is() {
        let claims = [end64(u64::MAX, 90, 10, 100), end(u16::MAX, 90, 10, b"")].concat();
        assert_eq!(read(&claims).expect("consistent").entries, u64::MAX);
    }
}
