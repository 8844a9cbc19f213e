//! The program's beginning, in place of the standard library's.
//!
//! That one also gives each thread a second stack and keeps a table of them, so that a stack overflow ends
//! with a sentence and not with SIGSEGV alone: decision 0039 has its bytes. The words of the command
//! line come through here, as with musl the standard library has them only from its own beginning.

use std::ffi::OsString;

#[cfg(not(any(test, fuzzing)))]
mod entry {
    use libc::{c_char, c_int};
    use std::ffi::{CStr, OsStr, OsString};
    use std::io::{self, Write};
    use std::os::unix::ffi::OsStrExt;
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, Ordering};

    /// The words as the kernel gave them: pointers to texts, the last of which is null.
    static WORDS: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());

    /// What the C library calls.
    #[unsafe(no_mangle)]
    extern "C" fn main(_count: c_int, words: *mut *const c_char) -> c_int {
        WORDS.store(words, Ordering::Relaxed);
        // SAFETY: takes integers only. A reader that has gone is an error of write(2), and no death.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        have_standard_descriptors();
        let exit = crate::cli::main();
        let _ = io::stdout().flush();
        exit.into()
    }

    /// Opens those of 0, 1 and 2 that are closed, so that no file of ours gets one of these numbers and what
    /// is said to people is written into it.
    fn have_standard_descriptors() {
        for number in 0..=2 {
            // SAFETY: takes an integer, and a text that ends in zero; the lowest number that is free is
            // the one which is missing.
            unsafe {
                if libc::fcntl(number, libc::F_GETFD) < 0 {
                    libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
                }
            }
        }
    }

    pub fn words() -> Vec<OsString> {
        let mut next = WORDS.load(Ordering::Relaxed);
        let mut words = Vec::new();
        // SAFETY: `main` has put it there before anything else ran; the texts and the pointers to them, up
        // to the null that ends them, stay where they are as long as the process.
        unsafe {
            while !next.is_null() && !(*next).is_null() {
                words.push(OsStr::from_bytes(CStr::from_ptr(*next).to_bytes()).to_owned());
                next = next.add(1);
            }
        }
        words
    }
}

/// The words of the command line, beginning with the program's name.
pub fn words() -> Vec<OsString> {
    #[cfg(not(any(test, fuzzing)))]
    return entry::words();
    #[cfg(any(test, fuzzing))]
    return std::env::args_os().collect();
}
