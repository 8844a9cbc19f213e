//! Functions of the C library in fewer bytes than its own, which the linker takes instead.
//!
//! They are in static builds for musl alone. Each says what it saves on ARMv7.

use libc::{c_char, c_int, c_ulong, pthread_t};

/// Names a thread. musl's can name others too, and brings `snprintf` for that: 9 kB. Rust's
/// standard library, the only caller, names the thread that it is in.
#[unsafe(no_mangle)]
extern "C" fn pthread_setname_np(_thread: pthread_t, name: *const c_char) -> c_int {
    // SAFETY: the name ends in zero; the kernel copies its first 15 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, name as c_ulong, 0, 0, 0) }
}

/// Prints nothing. Its only caller is the unwinder, before it aborts; what it would print says
/// nothing to anybody, and `fprintf` is 9 kB. The unwinder itself is linked because the tables of C
/// code on ARM name it; nothing here unwinds.
#[cfg(target_arch = "arm")]
#[unsafe(no_mangle)]
extern "C" fn fprintf(_stream: *mut libc::FILE, _format: *const c_char) -> c_int {
    0
}
