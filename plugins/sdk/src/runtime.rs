//! What generated bindings call: the canonical ABI's allocator, and the constructors of a module.
//!
//! The only unsafe code of the SDK beside the bindings themselves. It holds nothing that the host
//! relies on: a plan that breaks it breaks its own memory, and nobody else's.

use std::alloc::{self, Layout};
use std::ptr::{self, NonNull};

/// Memory of an import's arguments, freed when the call is over.
#[derive(Debug)]
pub struct Cleanup {
    memory: NonNull<u8>,
    layout: Layout,
}

impl Cleanup {
    /// Allocates `layout`, and returns the pointer with what frees it. Nothing is allocated for a
    /// size of 0.
    pub fn new(layout: Layout) -> (*mut u8, Option<Self>) {
        if layout.size() == 0 {
            return (ptr::null_mut(), None);
        }
        // The size is not 0, the only thing that `alloc` asks for.
        let memory = unsafe { alloc::alloc(layout) };
        match NonNull::new(memory) {
            Some(memory) => (memory.as_ptr(), Some(Self { memory, layout })),
            None => alloc::handle_alloc_error(layout),
        }
    }

    /// Leaves the memory to whoever has the pointer.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // From `alloc` with this layout, and freed only here.
        unsafe { alloc::dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// Called by a function of the bindings that keeps them linked. Here `cabi_realloc` is an exported
/// function of this crate, which no linker drops.
pub fn maybe_link_cabi_realloc() {}

/// Gives, grows or moves memory for what the host passes to the plan.
///
/// # Safety
/// * `old` — what an earlier call with `align` and `old_len` bytes returned, or anything where
///   `old_len` is 0;
/// * `align` — a power of two;
/// * `new_len` — bytes, not 0 where `old_len` is not.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_len: usize,
    align: usize,
    new_len: usize,
) -> *mut u8 {
    if new_len == 0 {
        // Never read or written, but not null and aligned.
        return ptr::without_provenance_mut(align);
    }
    // The canonical ABI asks for alignments of 1, 2, 4 and 8 and lengths within the memory, so
    // the layouts are valid.
    let new = unsafe {
        match old_len {
            0 => alloc::alloc(Layout::from_size_align_unchecked(new_len, align)),
            _ => alloc::realloc(old, Layout::from_size_align_unchecked(old_len, align), new_len),
        }
    };
    if new.is_null() {
        // The host reads the trap as out of memory; a message would need memory, too.
        std::arch::wasm32::unreachable();
    }
    new
}

/// Runs the module's static constructors, once. Every export calls it first.
#[cfg(target_arch = "wasm32")]
pub fn run_ctors_once() {
    use std::sync::Once;
    static ONCE: Once = Once::new();
    unsafe extern "C" {
        // Made by wasm-ld. Who calls it tells wasm-ld not to run it before every export.
        fn __wasm_call_ctors();
    }
    ONCE.call_once(|| unsafe { __wasm_call_ctors() });
}

/// The arithmetic that results follow, as `fedwasm_compute` defines it: hosts read it from the
/// component.
#[cfg(target_arch = "wasm32")]
#[used]
#[unsafe(link_section = "fedwasm:arithmetic")]
static ARITHMETIC: [u8; 11] = *b"compute@0.1";
