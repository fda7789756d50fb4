//! A log file that is put aside when it is full or the day is over, compressed, the newest kept: as
//! TorchServe's log4j does, so that a server that runs for years fills no disk.
//!
//! `access_log.log` becomes `access_log.28-Nov.log.gz`; a second one of that day, which log4j would
//! write over the first, `access_log.28-Nov.2.log.gz`. Days are those of UTC.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// Where a log file is and when it is put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollingSettings {
    /// The file; its folder is made.
    pub path: PathBuf,
    /// Bytes of a full file; none for no limit.
    pub size: Option<u64>,
    /// Whether a new day has a new file.
    pub daily: bool,
    /// Files that are kept aside.
    pub keep: usize,
}

/// The file, being written.
pub(crate) struct RollingFile {
    settings: RollingSettings,
    file: File,
    written: u64,
    day: Date,
    /// The last line may have no end: it could not be written whole.
    torn: bool,
}

/// TorchServe's limit.
const SIZE: u64 = 100 << 20;
/// TorchServe's number.
const KEEP: usize = 5;
/// Tries at a free name; more of one day than are kept never exist for long.
const MAX_OF_A_DAY: u32 = 1000;

// === impl RollingSettings ===

impl RollingSettings {
    /// TorchServe's own: 100 MB, daily, five kept.
    pub fn torchserve(path: PathBuf) -> RollingSettings {
        RollingSettings { path, size: Some(SIZE), daily: true, keep: KEEP }
    }

    /// The name up to the extension, and the extension with its dot.
    fn name(&self) -> (String, String) {
        let part = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let extension = part(self.path.extension());
        let extension = if extension.is_empty() { extension } else { format!(".{extension}") };
        (part(self.path.file_stem()), extension)
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| *folder != "").unwrap_or(Path::new("."))
    }
}

// === impl RollingFile ===

impl RollingFile {
    /// Opens the file, to go on behind what is in it.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn open(settings: RollingSettings) -> io::Result<RollingFile> {
        fs::create_dir_all(settings.folder())?;
        let file = OpenOptions::new().create(true).append(true).open(&settings.path)?;
        let data = file.metadata()?;
        let today = today();
        // What an earlier server wrote is of the day that it was written on.
        let day = match data.len() {
            0 => today,
            _ => data.modified().map_or(today, |time| OffsetDateTime::from(time).date()),
        };
        Ok(RollingFile { settings, file, written: data.len(), day, torn: false })
    }

    fn put_aside(&mut self) -> io::Result<()> {
        let (stem, extension) = self.settings.name();
        let day = self.day.format(format_description!("[day]-[month repr:short]"));
        let day = day.map_err(io::Error::other)?;
        let folder = self.settings.folder().to_owned();
        let free = (1..MAX_OF_A_DAY).find_map(|number| {
            let number = if number == 1 { String::new() } else { format!(".{number}") };
            let aside = folder.join(format!("{stem}.{day}{number}{extension}"));
            let packed = packed(&aside);
            (!aside.exists() && !packed.exists()).then_some(aside)
        });
        let aside = free.unwrap_or_else(|| folder.join(format!("{stem}.{day}{extension}")));
        fs::rename(&self.settings.path, &aside)?;
        *self = RollingFile::open(self.settings.clone())?;
        let (settings, patterns) = (self.settings.clone(), (format!("{stem}."), extension));
        // Compressing takes a second: lines that come meanwhile must not be lost. Without a thread
        // the file stays as it is.
        let _alone = std::thread::Builder::new().name("log-gz".into()).spawn(move || {
            if let Err(error) = pack(&aside) {
                tracing::warn!(%error, file = %aside.display(), "a log file was not compressed");
            }
            remove_old(&settings, &patterns.0, &patterns.1);
        });
        Ok(())
    }
}

impl Write for RollingFile {
    /// Whole lines, all of them into one file.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let full = self.settings.size.is_some_and(|size| self.written >= size);
        let over = self.settings.daily && self.day != today();
        if self.written > 0 && (full || over) {
            self.put_aside()?;
        }
        self.day = today();
        if std::mem::take(&mut self.torn) {
            // The disk was full in the middle of a line.
            self.file.write_all(b"\n").inspect_err(|_| self.torn = true)?;
        }
        self.file.write_all(lines).inspect_err(|_| self.torn = true)?;
        self.written += lines.len() as u64;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn today() -> Date {
    OffsetDateTime::from(SystemTime::now()).date()
}

fn packed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    PathBuf::from(name)
}

/// Replaces a file by its compressed form, whole or not at all.
fn pack(path: &Path) -> io::Result<()> {
    let target = packed(path);
    let mut part = target.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut encoder = GzEncoder::new(File::create(&part)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&part, &target)?;
    fs::remove_file(path)
}

/// Removes all but the newest of the files that were put aside.
fn remove_old(settings: &RollingSettings, start: &str, extension: &str) {
    let Ok(entries) = fs::read_dir(settings.folder()) else { return };
    let own = settings.path.file_name();
    let mut aside: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name();
            let text = name.to_str()?;
            let rest = text.strip_prefix(start)?;
            let dated = rest.len() > 6 && rest.as_bytes()[2] == b'-';
            let ended = rest.ends_with(extension) || rest.ends_with(&format!("{extension}.gz"));
            let ours = Some(&*name) != own && dated && ended;
            ours.then_some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    aside.sort();
    let surplus = aside.len().saturating_sub(settings.keep);
    for (_, path) in aside.into_iter().take(surplus) {
        // One that cannot be removed is tried again the next time.
        let _kept = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use flate2::read::GzDecoder;

    use super::*;

    /// The files beside the one that is written, compressed ones unpacked, once all are compressed.
    fn aside(folder: &Path, count: usize) -> Vec<(String, String)> {
        let end = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let names: Vec<_> = fs::read_dir(folder).unwrap().flatten().collect();
            let packed = names.iter().filter(|e| e.file_name().to_string_lossy().ends_with(".gz"));
            if packed.count() == count && names.len() == count + 1 {
                break;
            }
            assert!(std::time::Instant::now() < end, "{names:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name.ends_with(".gz") {
                let mut text = String::new();
                GzDecoder::new(File::open(entry.path()).unwrap())
                    .read_to_string(&mut text)
                    .unwrap();
                files.push((name, text));
            }
        }
        files.sort();
        files
    }

    #[test]
    fn full_files_are_put_aside_compressed_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.log");
        let settings = RollingSettings { path: path.clone(), size: Some(10), daily: true, keep: 2 };
        let mut rolling = RollingFile::open(settings.clone()).unwrap();
        for number in 1..=4 {
            rolling.write_all(format!("line {number:05}\n").as_bytes()).unwrap();
            aside(folder.path(), (number - 1).min(2));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "line 00004\n");
        let kept = aside(folder.path(), 2);
        assert_eq!([&*kept[0].1, &*kept[1].1], ["line 00002\n", "line 00003\n"]);
        let day = today().format(format_description!("[day]-[month repr:short]")).unwrap();
        assert!(kept[0].0.starts_with(&format!("m.{day}.")), "{kept:?}");
        drop(rolling);
        // A server that starts again goes on with the file.
        let more = RollingSettings { size: None, ..settings };
        RollingFile::open(more).unwrap().write_all(b"more\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "line 00004\nmore\n");
    }

    #[test]
    fn a_line_that_the_disk_had_no_room_for_is_not_glued_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.log");
        let mut rolling = RollingFile::open(RollingSettings::torchserve(path.clone())).unwrap();
        rolling.write_all(b"one\n").unwrap();
        // Half of a line, then nothing more.
        let file = std::mem::replace(&mut rolling.file, File::create("/dev/full").unwrap());
        (&file).write_all(b"tw").unwrap();
        assert!(rolling.write_all(b"two\n").is_err());
        assert!(rolling.write_all(b"three\n").is_err());
        rolling.file = file;
        rolling.write_all(b"four\n").unwrap();
        rolling.write_all(b"five\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\nfour\nfive\n");
    }

    #[test]
    fn the_file_of_another_day_is_put_aside_under_its_day() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ts_log.log");
        fs::write(&path, "old\n").unwrap();
        // 2001-09-09.
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        let settings = RollingSettings::torchserve(path.clone());
        RollingFile::open(settings).unwrap().write_all(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        let old = aside(folder.path(), 1);
        assert_eq!(old, [("ts_log.09-Sep.log.gz".to_owned(), "old\n".to_owned())]);
    }

    #[test]
    fn other_files_of_the_folder_stay() {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            RollingSettings { keep: 0, ..RollingSettings::torchserve(folder.path().join("a.log")) };
        for name in ["a.log", "a.old.log", "a.txt", "b.01-Jan.log.gz", "a.01-Jan.log.gz"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        remove_old(&settings, "a.", ".log");
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        left.sort_by_key(fs::DirEntry::file_name);
        let left: Vec<_> = left.iter().map(|e| e.file_name().into_string().unwrap()).collect();
        assert_eq!(left, ["a.log", "a.old.log", "a.txt", "b.01-Jan.log.gz"]);
    }
}
