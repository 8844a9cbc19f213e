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

    /// Writes all of it within `patience`.
    ///
    /// # Errors
    /// The device refuses, or doesn't take it in time: flow control holds it, most often.
    pub fn write(&mut self, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        while !bytes.is_empty() {
            match self.0.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    wait_for_room(&self.0, left)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn wait_for_room(file: &File, patience: Duration) -> io::Result<()> {
    let mut set = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let millis = patience.as_millis().clamp(1, i32::MAX as u128) as libc::c_int;
    // SAFETY: one element, alive through the call.
    match check(unsafe { libc::poll(&raw mut set, 1, millis) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
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

        /// What has arrived.
        pub fn read(&self) -> String {
            let mut bytes = [0; 16 * 1024];
            let count = (&self.far).read(&mut bytes).unwrap();
            String::from_utf8(bytes[..count].to_vec()).unwrap()
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
