//! What stands at a Unix socket's path before and after the bind, and who may connect to it.

use ringway_uring::{Pool, ProcessClock, UringBuilder, bind_unix};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of one test, gone with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringway-uring-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Whatever the umask, others may look for what they know the name of.
    pub(crate) fn open_to_others(&self) {
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o711)).expect("its owner");
    }

    /// The user of this process.
    pub(crate) fn uid(&self) -> u32 {
        fs::metadata(&self.0).expect("the folder").uid()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("a file").mode() & 0o7777
}

/// What happens to names in a folder.
struct Watch(OwnedFd);

impl Watch {
    fn new(folder: &Path) -> Self {
        let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).expect("a path");
        // SAFETY: no memory is involved; the result is checked.
        let raw = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
        assert!(raw >= 0, "inotify");
        // SAFETY: `raw` was just made and belongs to nobody else.
        let watch = Self(unsafe { OwnedFd::from_raw_fd(raw) });
        let mask = libc::IN_CREATE | libc::IN_ATTRIB;
        // SAFETY: the path is ended by a zero and read during the call.
        let added = unsafe { libc::inotify_add_watch(raw, path.as_ptr(), mask) };
        assert!(added >= 0, "the folder is watched");
        watch
    }

    /// The events so far, by their masks.
    fn events(&self) -> Vec<u32> {
        let mut bytes = [0_u8; 4096];
        // SAFETY: the buffer is ours and as long as stated.
        let count =
            unsafe { libc::read(self.0.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
        let mut rest = &bytes[..usize::try_from(count).expect("events")];
        let mut masks = Vec::new();
        let word = |bytes: &[u8], at: usize| {
            u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
        };
        while !rest.is_empty() {
            masks.push(word(rest, 4));
            let name_bytes = word(rest, 12) as usize;
            rest = &rest[size_of::<libc::inotify_event>() + name_bytes..];
        }
        masks
    }
}

/// The umask is the process's, so that one test sets it, and no other's files depend on it.
#[test]
fn the_mode_is_exact_whatever_the_umask_and_never_wider() {
    let folder = Folder::new();
    // SAFETY: no memory is involved.
    let before = unsafe { libc::umask(0) };
    let watch = Watch::new(&folder.0);
    let path = folder.path("open");
    let _socket = bind_unix(&path, 0o600).expect("a socket");
    assert_eq!(mode_of(&path), 0o600);
    assert_eq!(
        watch.events(),
        [libc::IN_CREATE],
        "it was made with its mode: nobody changed it afterwards"
    );
    // SAFETY: as before.
    unsafe { libc::umask(0o077) };
    let path = folder.path("closed");
    let _socket = bind_unix(&path, 0o660).expect("a socket");
    assert_eq!(mode_of(&path), 0o660);
    // SAFETY: as before.
    unsafe { libc::umask(before) };
}

#[test]
fn nobody_connects_to_a_unix_socket_that_is_only_bound() {
    let folder = Folder::new();
    let path = folder.path("link");
    let _socket = bind_unix(&path, 0o600).expect("a socket");
    let error = UnixStream::connect(&path).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn what_a_dead_daemon_left_makes_way() {
    let folder = Folder::new();
    let path = folder.path("link");
    drop(UnixListener::bind(&path).expect("a socket"));
    let left = fs::symlink_metadata(&path).expect("it stays").ino();
    let _other_name = fs::hard_link(&path, folder.path("keeps its number from use"));
    let _socket = bind_unix(&path, 0o600).expect("a socket in its place");
    let made = fs::symlink_metadata(&path).expect("a socket").ino();
    assert_ne!(left, made);
    assert_eq!(mode_of(&path), 0o600);
}

/// Binds to what must not be touched; the error names it.
fn refused(path: &Path, kind: ErrorKind) {
    let error = bind_unix(path, 0o600).expect_err("somebody has it");
    assert_eq!(error.kind(), kind, "{error}");
    let name = path.display().to_string();
    assert!(error.to_string().contains(&name), "{error}");
}

#[test]
fn a_socket_that_answers_is_left_alone() {
    let folder = Folder::new();
    let path = folder.path("link");
    let living = UnixListener::bind(&path).expect("a socket");
    refused(&path, ErrorKind::AddrInUse);
    living.accept().expect("whoever asked");
    let client = UnixStream::connect(&path).expect("it still listens");
    living.accept().expect("the client");
    drop(client);
}

/// A connect would wait for its turn, if it waited.
#[test]
fn a_socket_with_a_full_queue_is_left_alone() {
    let folder = Folder::new();
    let path = folder.path("link");
    let socket = bind_unix(&path, 0o600).expect("a socket");
    let mut pool = Pool::new(0).expect("an eventfd");
    let clock = ProcessClock::start();
    let config = &crate::bench::SMALL;
    let made = UringBuilder::all(config, vec![vec![socket]], clock, &mut pool);
    let made = made.expect("a ring");
    made[0].listen(0).expect("a listener with room for one");
    let _first = UnixStream::connect(&path).expect("room");
    refused(&path, ErrorKind::AddrInUse);
}

#[test]
fn a_symbolic_link_is_neither_followed_nor_replaced() {
    let folder = Folder::new();
    let living = folder.path("living");
    let _listener = UnixListener::bind(&living).expect("a socket");
    let stale = folder.path("stale");
    drop(UnixListener::bind(&stale).expect("a socket"));
    let nothing = folder.path("nothing");
    for (number, target) in [&living, &stale, &nothing].into_iter().enumerate() {
        let link = folder.path(&format!("link-{number}"));
        symlink(target, &link).expect("a link");
        refused(&link, ErrorKind::AlreadyExists);
        assert_eq!(&fs::read_link(&link).expect("the link stays"), target);
    }
    assert!(stale.exists() && !nothing.exists(), "as before");
}

#[test]
fn a_file_is_left_alone() {
    let folder = Folder::new();
    let path = folder.path("file");
    fs::write(&path, "dear").expect("a file");
    refused(&path, ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).expect("the file"), b"dear");
}

/// With an empty one the kernel would choose a name without a file, which has no mode.
#[test]
fn what_is_no_path_is_refused() {
    for path in ["", "with\0zero", "\0abstract", &"x".repeat(108)] {
        let error = bind_unix(Path::new(path), 0o600).expect_err("no path");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path:?}");
    }
}
