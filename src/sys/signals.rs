//! Signals as bytes on a pipe, which a loop can wait for like for anything else.

use super::check;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// The pipe's writing end, for the handler. One set of signals per process.
static PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note(signal: libc::c_int) {
    let byte = signal as u8;
    // SAFETY: write(2) and the errno location are async-signal-safe; the pipe is never closed
    // once stored, and errno is put back because the handler may interrupt any code.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        libc::write(PIPE.load(Ordering::Relaxed), (&raw const byte).cast(), 1);
        *errno = saved;
    }
}

/// From now on each of `signals` is a byte, its number, on the returned descriptor, which is
/// non-blocking. Signals that come faster than they are read are merged.
///
/// # Errors
/// What pipe(2) or sigaction(2) says.
pub fn catch(signals: &[libc::c_int]) -> io::Result<File> {
    let mut ends = [0; 2];
    // SAFETY: the array has the two elements that pipe2 fills, and both descriptors are new and
    // owned by nobody else.
    let (reader, writer) = unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK))?;
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    };
    PIPE.store(writer.into_raw_fd(), Ordering::Relaxed);
    for signal in signals {
        // SAFETY: an all-zero sigaction is valid, and `note` does only what a handler may.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
            // Of children the end is of interest, not that they are stopped for a while.
            action.sa_flags = libc::SA_RESTART | libc::SA_NOCLDSTOP;
            check(libc::sigaction(*signal, &raw const action, std::ptr::null_mut()))?;
        }
    }
    Ok(reader)
}

/// The signals that came since the last call, oldest first.
pub fn take(mut pipe: &File) -> Vec<libc::c_int> {
    let mut bytes = [0; 32];
    let count = pipe.read(&mut bytes).unwrap_or_default();
    bytes.iter().take(count).map(|byte| libc::c_int::from(*byte)).collect()
}
