//! Settings of this process's allocator.

/// Buffers from this size on go back to the system as soon as they are freed, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 1 << 20;

/// Heaps of the C library: by itself glibc makes eight for every core, and each keeps the memory
/// that threads freed in it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAPS_MAX: libc::c_int = 2;

/// Has the C library give large buffers back when they are freed. By itself glibc keeps buffers
/// that are freed below a threshold that rises to 32 MiB, so that a process that moves models holds
/// twice the memory that it uses. For processes that wait and move bytes; a worker computes.
pub fn return_large_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a setting of the C library's allocator; no memory is touched")]
    // SAFETY: mallopt takes two numbers by value and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
        libc::mallopt(libc::M_ARENA_MAX, HEAPS_MAX);
    }
}
