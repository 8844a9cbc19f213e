//! The C library's allocator.

/// Lets all threads share one heap. glibc gives each its own, which costs an agent of three
/// threads some tens of kilobytes; musl has one anyway. To be called before there are threads.
pub fn share_one_heap() {
    // SAFETY: takes integers only.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
