//! A serial port that is written to and never waited for longer than agreed.

use super::{FileError, check};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// An open port.
pub struct Port(File);

impl Port {
    /// Opens a terminal device without waiting for a carrier and sets it to 8 data bits, no
    /// parity, one stop bit at `baud`; the speed stays what it is if that is 0, and so does what else is set,
    /// for a login on the same port say.
    ///
    /// # Errors
    /// It can't be opened, or is no terminal.
    pub fn open(path: &Path, baud: u32) -> Result<Port, FileError> {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
        let file = options.open(path).map_err(FileError::new("open", path))?;
        set_up(&file, baud).map_err(FileError::new("set up", path))?;
        Ok(Port(file))
    }

    /// Writes all of it, and waits no longer than `patience` for the device to take it.
    ///
    /// # Errors
    /// The device refuses, or doesn't take it in time: flow control holds it, most often.
    pub fn write(&mut self, bytes: &[u8], patience: Duration) -> io::Result<()> {
        let (mut to, file) = (&self.0, &self.0);
        write_all(bytes, patience, |bytes| to.write(bytes), |left| wait_for_room(file, left))
    }
}

/// Writes all of it; all waits together are no longer than `patience`. `wait` waits so long at the most, and says
/// how long it has.
fn write_all(
    mut bytes: &[u8],
    mut patience: Duration,
    mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    mut wait: impl FnMut(Duration) -> io::Result<Duration>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if patience.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                patience = patience.saturating_sub(wait(patience)?);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_for_room(file: &File, patience: Duration) -> io::Result<Duration> {
    let begun = Instant::now();
    let mut set = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let millis = patience.as_millis().clamp(1, i32::MAX as u128) as libc::c_int;
    // SAFETY: one element, alive through the call.
    match check(unsafe { libc::poll(&raw mut set, 1, millis) }) {
        // The kernel's clock is coarser than this one, and what is over is over.
        Ok(0) => Ok(patience),
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(begun.elapsed()),
    }
}

fn set_up(file: &File, baud: u32) -> io::Result<()> {
    let fd = file.as_raw_fd();
    // SAFETY: the descriptor is open, an all-zero termios is valid, and it lives through the
    // calls. Signals that are ignored have no handler to run.
    unsafe {
        // An agent in the background of a shell on the same port would be stopped for touching it.
        libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        let mut termios: libc::termios = std::mem::zeroed();
        check(libc::tcgetattr(fd, &raw mut termios))?;
        let size_parity_stop_flow = libc::CSIZE | libc::PARENB | libc::CSTOPB | libc::CRTSCTS;
        termios.c_cflag &= !size_parity_stop_flow;
        termios.c_cflag |= libc::CS8 | libc::CREAD | libc::CLOCAL;
        // A line ends where the next begins, on a port that nobody has set up as on a login's.
        termios.c_oflag |= libc::OPOST | libc::ONLCR;
        if let Some(speed) = speed(baud) {
            libc::cfsetispeed(&raw mut termios, speed);
            libc::cfsetospeed(&raw mut termios, speed);
        }
        check(libc::tcsetattr(fd, libc::TCSANOW, &raw const termios))?;
    }
    Ok(())
}

/// The constant for a speed of [`crate::board::BAUDS`]; neither build.rs nor the configuration lets another
/// through.
fn speed(baud: u32) -> Option<libc::speed_t> {
    Some(match baud {
        9600 => libc::B9600,
        19_200 => libc::B19200,
        38_400 => libc::B38400,
        57_600 => libc::B57600,
        115_200 => libc::B115200,
        230_400 => libc::B230400,
        460_800 => libc::B460800,
        _ => return None,
    })
}

/// A pseudo-terminal in the part of a serial console.
#[cfg(test)]
pub mod testing {
    use super::super::{check, descriptors};
    use std::ffi::CStr;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::{AsFd, AsRawFd, FromRawFd};
    use std::thread;
    use std::time::{Duration, Instant};

    /// This thread may no longer open what others have for themselves.
    pub fn lose_privileges() {
        // _LINUX_CAPABILITY_VERSION_3, and this thread; effective, permitted, inheritable, in two halves.
        let head = [0x2008_0522_u32, 0];
        let mut sets = [0_u32; 6];
        // SAFETY: both calls take a head and room for two sets, which live through them.
        unsafe {
            assert_eq!(libc::syscall(libc::SYS_capget, head.as_ptr(), sets.as_mut_ptr()), 0);
            // CAP_SYS_ADMIN
            sets[0] &= !(1 << 21);
            assert_eq!(libc::syscall(libc::SYS_capset, head.as_ptr(), sets.as_ptr()), 0);
        }
    }

    /// The cable's far end.
    pub struct Pty {
        far: File,
        device: String,
    }

    impl Pty {
        /// A new pair; the near end is [`Pty::device`].
        pub fn new() -> Pty {
            let mut name = [0; 64];
            // SAFETY: the descriptor is new and ours; the name's buffer lives through the call.
            let (far, device) = unsafe {
                let fd = check(libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY)).unwrap();
                check(libc::grantpt(fd)).unwrap();
                check(libc::unlockpt(fd)).unwrap();
                assert_eq!(libc::ptsname_r(fd, name.as_mut_ptr(), name.len()), 0);
                (File::from_raw_fd(fd), CStr::from_ptr(name.as_ptr()).to_str().unwrap().to_owned())
            };
            descriptors::set_nonblocking(far.as_fd()).unwrap();
            Pty { far, device }
        }

        /// The near end's path.
        pub fn device(&self) -> &str {
            &self.device
        }

        /// The constant of the speed that is set.
        pub fn speed(&self) -> libc::speed_t {
            // SAFETY: an all-zero termios is valid, and it lives through the calls.
            unsafe {
                let mut termios: libc::termios = std::mem::zeroed();
                check(libc::tcgetattr(self.far.as_raw_fd(), &raw mut termios)).unwrap();
                libc::cfgetospeed(&raw const termios)
            }
        }

        /// What arrives until it is whole: the kernel brings over what was written a while later.
        pub fn read(&self, is_whole: impl Fn(&str) -> bool) -> String {
            let (mut text, until) = (String::new(), Instant::now() + Duration::from_secs(20));
            while !is_whole(&text) {
                let mut bytes = [0; 16 * 1024];
                match (&self.far).read(&mut bytes) {
                    Ok(count) => text.push_str(std::str::from_utf8(&bytes[..count]).unwrap()),
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
                assert!(Instant::now() < until, "only {text}");
            }
            text
        }

        /// Lets nobody else open the near end, as a modem's program does, but for who may do everything.
        pub fn take(&self) -> File {
            let near = std::fs::OpenOptions::new().write(true).open(&self.device).unwrap();
            // SAFETY: takes no argument.
            check(unsafe { libc::ioctl(near.as_raw_fd(), libc::TIOCEXCL) }).unwrap();
            near
        }

        /// Whether nothing has arrived.
        pub fn is_silent(&self) -> bool {
            (&self.far).read(&mut [0]).is_err()
        }

        /// Stops the near end's output, as held flow control does.
        pub fn hold(&self) {
            let near = std::fs::OpenOptions::new().write(true).open(&self.device).unwrap();
            // SAFETY: takes integers only.
            check(unsafe { libc::tcflow(near.as_raw_fd(), libc::TCOOFF) }).unwrap();
            // Kept open: the last close would let it go on.
            std::mem::forget(near);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Pty;
    use super::*;
    use crate::board::BAUDS;

    const WAIT: Duration = Duration::from_millis(300);
    const SECOND: Duration = Duration::from_secs(1);

    /// A port that takes a byte and then none until it was waited for; each wait lasts for `WAIT`, or as long as
    /// the caller bears. What comes of so many bytes, and how long was waited.
    fn trickle(bytes: usize) -> (Result<(), io::ErrorKind>, Duration) {
        let (mut has_room, mut waited) = (false, Duration::ZERO);
        let has_room = std::cell::Cell::from_mut(&mut has_room);
        let write = |_: &[u8]| match has_room.replace(false) {
            true => Ok(1),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        let wait = |left: Duration| {
            has_room.set(left >= WAIT);
            waited += left.min(WAIT);
            Ok(left.min(WAIT))
        };
        let done = write_all(&vec![0; bytes], SECOND, write, wait);
        (done.map_err(|error| error.kind()), waited)
    }

    #[test]
    fn a_slow_port_is_waited_for_and_no_longer_than_agreed_in_all() {
        assert_eq!(trickle(3), (Ok(()), WAIT * 3));
        assert_eq!(trickle(4), (Err(io::ErrorKind::TimedOut), SECOND));
        assert_eq!(trickle(600), (Err(io::ErrorKind::TimedOut), SECOND));
    }

    #[test]
    fn a_port_that_is_held_costs_one_wait_of_all_the_patience() {
        let pty = Pty::new();
        pty.hold();
        let port = Port::open(Path::new(pty.device()), 9600).unwrap();
        let (mut to, file) = (&port.0, &port.0);
        let mut waits = 0;
        let done = write_all(
            b"text",
            Duration::from_millis(20),
            |bytes| to.write(bytes),
            |left| {
                waits += 1;
                wait_for_room(file, left)
            },
        );
        assert_eq!((done.unwrap_err().kind(), waits), (io::ErrorKind::TimedOut, 1));
    }

    #[test]
    fn a_port_has_the_speed_that_is_wished_and_without_a_wish_the_one_it_had() {
        let pty = Pty::new();
        let open = |baud| {
            Port::open(Path::new(pty.device()), baud).unwrap();
            pty.speed()
        };
        let mut set: Vec<_> = BAUDS.iter().map(|baud| open(*baud as u32)).collect();
        assert_eq!((set[3], set[4]), (libc::B57600, libc::B115200));
        open(57_600);
        assert_eq!(open(0), libc::B57600);
        set.dedup();
        assert_eq!(set.len(), BAUDS.len());
    }
}
