//! Zip archives byte by byte, for what no writer agrees to write.

/// One entry; what is not set is honest.
#[derive(Clone)]
pub(super) struct RawEntry {
    pub(super) name: Vec<u8>,
    /// The name in the local header, when it is to differ.
    pub(super) local_name: Option<Vec<u8>>,
    pub(super) data: Vec<u8>,
    pub(super) method: u16,
    pub(super) flags: u16,
    /// Unpacked size as claimed.
    pub(super) size: u32,
    /// Packed size as claimed.
    pub(super) packed: u32,
    pub(super) crc: u32,
    pub(super) mode: u32,
    pub(super) extra: Vec<u8>,
    /// The local header is that of the entry with this number.
    pub(super) shares: Option<usize>,
}

/// What the end record claims, when it is to lie.
#[derive(Clone, Copy, Default)]
pub(super) struct End {
    pub(super) entries: Option<u16>,
    pub(super) directory_size: Option<u32>,
    pub(super) directory_start: Option<u32>,
}

// === impl RawEntry ===

impl RawEntry {
    pub(super) fn stored(name: &[u8], data: &[u8]) -> RawEntry {
        let size = u32::try_from(data.len()).expect("a small file");
        let mut crc = flate2::Crc::new();
        crc.update(data);
        RawEntry {
            name: name.to_vec(),
            local_name: None,
            data: data.to_vec(),
            method: 0,
            flags: 0,
            size,
            packed: size,
            crc: crc.sum(),
            mode: 0o100_644,
            extra: Vec::new(),
            shares: None,
        }
    }

    pub(super) fn deflated(name: &[u8], content: &[u8]) -> RawEntry {
        use std::io::Write;
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(content).expect("memory");
        let data = encoder.finish().expect("memory");
        let packed = u32::try_from(data.len()).expect("a small file");
        RawEntry { method: 8, data, packed, ..RawEntry::stored(name, content) }
    }

    fn local_header(&self) -> Vec<u8> {
        let name = self.local_name.as_ref().unwrap_or(&self.name);
        let mut out = b"PK\x03\x04\x14\0".to_vec();
        self.common(&mut out);
        push_u16(&mut out, name.len());
        push_u16(&mut out, 0);
        out.extend(name);
        out
    }

    fn central_header(&self, start: u32) -> Vec<u8> {
        // Made by Unix, version 2.0.
        let mut out = b"PK\x01\x02\x14\x03\x14\0".to_vec();
        self.common(&mut out);
        push_u16(&mut out, self.name.len());
        push_u16(&mut out, self.extra.len());
        // Comment length, disk number, internal attributes.
        out.extend([0; 6]);
        out.extend((self.mode << 16).to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend(&self.name);
        out.extend(&self.extra);
        out
    }

    fn common(&self, out: &mut Vec<u8>) {
        out.extend(self.flags.to_le_bytes());
        out.extend(self.method.to_le_bytes());
        // 1980-01-01, midnight.
        out.extend([0, 0, 0x21, 0]);
        out.extend(self.crc.to_le_bytes());
        out.extend(self.packed.to_le_bytes());
        out.extend(self.size.to_le_bytes());
    }
}

/// The archive of these entries.
pub(super) fn raw_zip(entries: &[RawEntry], end: End) -> Vec<u8> {
    let mut out = Vec::new();
    let mut starts: Vec<u32> = Vec::new();
    for entry in entries {
        match entry.shares {
            Some(other) => starts.push(starts[other]),
            None => {
                starts.push(u32::try_from(out.len()).expect("a small archive"));
                out.extend(entry.local_header());
                out.extend(&entry.data);
            }
        }
    }
    let directory_start = u32::try_from(out.len()).expect("a small archive");
    for (entry, start) in entries.iter().zip(starts) {
        out.extend(entry.central_header(start));
    }
    let directory_size = u32::try_from(out.len()).expect("a small archive") - directory_start;
    let count = end.entries.unwrap_or(u16::try_from(entries.len()).expect("few entries"));
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(end.directory_size.unwrap_or(directory_size).to_le_bytes());
    out.extend(end.directory_start.unwrap_or(directory_start).to_le_bytes());
    out.extend([0; 2]);
    out
}

/// Zip64's extra field with these 8-byte values.
pub(super) fn zip64_extra(values: &[u64]) -> Vec<u8> {
    let mut out = vec![1, 0];
    push_u16(&mut out, values.len() * 8);
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    out
}

fn push_u16(out: &mut Vec<u8>, value: usize) {
    out.extend(u16::try_from(value).expect("a short field").to_le_bytes());
}
