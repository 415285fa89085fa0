//! Short lines of elements, copied and added. A call of the machine's own copy costs more than
//! such a line.

use crate::lanes::Lanes;

/// Copies `from` to `to`, which is as long.
#[inline(always)]
pub(crate) fn copy<L: Lanes>(to: &mut [f32], from: &[f32]) {
    assert_eq!(to.len(), from.len(), "elements of a line");
    let len = to.len();
    if len < L::N {
        to.copy_from_slice(from);
        return;
    }
    let (to, from) = (to.as_mut_ptr(), from.as_ptr());
    // SAFETY: vectors begin at least their length before the end of either side.
    unsafe {
        let vector = |nth: usize| L::read(from.add(nth)).write(to.add(nth));
        let mut nth = 0;
        // Two at a time: of one the compiler would make a call of the machine's own copy.
        while nth + 2 * L::N <= len {
            vector(nth);
            vector(nth + L::N);
            nth += 2 * L::N;
        }
        if nth + L::N <= len {
            vector(nth);
        }
        // The last one lies over others if the line has no whole number of them.
        vector(len - L::N);
    }
}

/// Adds `from` to `to`, which is as long.
#[inline(always)]
pub(crate) fn add<L: Lanes>(to: &mut [f32], from: &[f32]) {
    assert_eq!(to.len(), from.len(), "elements of a line");
    let whole = to.len() - to.len() % L::N;
    let mut nth = 0;
    while nth < whole {
        // SAFETY: as many elements as there are lanes are left on both sides.
        unsafe {
            let at = to.as_mut_ptr().add(nth);
            L::read(at).add(L::read(from.as_ptr().add(nth))).write(at);
        }
        nth += L::N;
    }
    while nth < to.len() {
        to[nth] += from[nth];
        nth += 1;
    }
}
