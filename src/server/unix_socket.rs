//! The file of a Unix domain socket: made for the right users only, and never at another's expense.
//!
//! Called by `listeners.rs`. What lies at the path is looked at before it is touched: a file that is no
//! socket stays, a socket that somebody listens on stays, the socket of a server that is gone is
//! replaced. Invariant: at no moment may more users connect than the mode says.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

/// The file of an open socket, removed when dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// So that the file of a successor is left alone.
    identity: Identity,
}

/// Device, inode, and when it was made: file systems give a free inode out again.
type Identity = (u64, u64, i64, i64);

/// How long another server that starts on the same folder is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Listens at `path`; users that `mode` allows can connect.
///
/// # Errors
/// Somebody listens there, something else lies there, or the system refuses.
pub(super) fn open(path: &Path, mode: u32, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    // Of two servers that start at once, the second must not take the new file of the first for one
    // that was left behind.
    let _turn = lock(folder)?;
    remove_stale(path)?;
    let address = SocketAddrUnix::new(path).map_err(|error| match error {
        Errno::NAMETOOLONG | Errno::INVAL => {
            io::Error::other("the path is too long for a socket: use one of less than 108 bytes")
        }
        error => error.into(),
    })?;
    let socket = stream_socket()?;
    // On Linux the file gets the mode of the socket: nobody can connect before the mode is right.
    // Elsewhere the system refuses, and the mode is set a moment later.
    let _refused = fchmod(&socket, Mode::from_raw_mode(mode));
    bind(&socket, &address).map_err(io::Error::from)?;
    let identity = identity(&fs::symlink_metadata(path)?);
    let file = SocketFile { path: path.to_owned(), identity };
    // The umask may have taken bits away.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    listen(&socket, backlog).map_err(io::Error::from)?;
    Ok((socket.into(), file))
}

/// The folder's lock, held until dropped. It leaves no file behind.
fn lock(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    let end = Instant::now() + LOCK_TIMEOUT;
    loop {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(io::Error::other("another program has its folder locked"));
            }
            // A file system without locks.
            Ok(()) | Err(_) => return Ok(folder),
        }
    }
}

/// Removes the socket of a server that is gone.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => {
            return Err(io::Error::other(
                "something lies there that is no socket; remove it, or choose another path",
            ));
        }
    }
    let address = SocketAddrUnix::new(path).map_err(io::Error::from)?;
    // Not blocking: a server whose queue is full is alive, too.
    match connect(&stream_socket()?, &address) {
        Err(Errno::CONNREFUSED) => {
            tracing::info!(path = %path.display(), "the socket of a server that is gone is removed");
            fs::remove_file(path)
        }
        Ok(()) | Err(Errno::AGAIN) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) => Err(error.into()),
    }
}

fn identity(found: &fs::Metadata) -> Identity {
    (found.dev(), found.ino(), found.mtime(), found.mtime_nsec())
}

fn stream_socket() -> io::Result<rustix::fd::OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

// === impl SocketFile ===

impl Drop for SocketFile {
    fn drop(&mut self) {
        let own = |found: fs::Metadata| identity(&found) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(own) {
            let _left = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_socket_of_a_dead_server_is_replaced_and_the_own_one_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        // std leaves the file when the listener goes.
        drop(UnixListener::bind(&path).unwrap());
        let (listener, file) = open(&path, 0o660, 16).unwrap();
        assert_eq!(mode(&path), 0o660);
        assert!(UnixStream::connect(&path).is_ok());
        drop(listener);
        drop(file);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_live_server_keeps_its_socket_also_when_its_queue_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (_listener, _file) = open(&path, 0o600, 1).unwrap();
        assert_eq!(mode(&path), 0o600);
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let error = open(&path, 0o600, 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
            let socket = stream_socket().unwrap();
            let _full = connect(&socket, &SocketAddrUnix::new(&path).unwrap());
            waiting.push(socket);
        }
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_socket_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes");
        fs::write(&file, "mine").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link, &folder.path().to_owned()] {
            let error = open(path, 0o600, 1).unwrap_err().to_string();
            assert!(error.contains("no socket; remove it"), "{error}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        assert!(link.exists());
    }

    #[test]
    fn a_successors_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (listener, file) = open(&path, 0o600, 1).unwrap();
        drop(listener);
        // The clock of file systems ticks every few milliseconds.
        std::thread::sleep(Duration::from_millis(50));
        let (_successor, _file) = open(&path, 0o600, 1).unwrap();
        drop(file);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_path_that_is_too_long_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(&folder.path().join("x".repeat(200)), 0o600, 1).unwrap_err();
        assert!(error.to_string().contains("108 bytes"), "{error}");
    }
}
