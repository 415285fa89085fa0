//! Short lines of elements, copied and added. A call of the machine's own copy costs more than
//! such a line.

use crate::lanes::Lanes;

/// Copies `from` to `to`, which is as long.
#[inline(always)]
pub(crate) fn copy<L: Lanes>(to: &mut [f32], from: &[f32]) {
    with::<L>(to, from, |_, from| from, |_, from| from);
}

/// Adds `from` to `to`, which is as long.
#[inline(always)]
pub(crate) fn add<L: Lanes>(to: &mut [f32], from: &[f32]) {
    with::<L>(to, from, |to, from| to.add(from), |to, from| to + from);
}

#[inline(always)]
fn with<L: Lanes>(
    to: &mut [f32],
    from: &[f32],
    lanes: impl Fn(L, L) -> L,
    one: impl Fn(f32, f32) -> f32,
) {
    assert_eq!(to.len(), from.len(), "elements of a line");
    let whole = to.len() - to.len() % L::N;
    let mut nth = 0;
    while nth < whole {
        // SAFETY: as many elements as there are lanes are left on both sides.
        unsafe {
            let at = to.as_mut_ptr().add(nth);
            lanes(L::read(at), L::read(from.as_ptr().add(nth))).write(at);
        }
        nth += L::N;
    }
    while nth < to.len() {
        to[nth] = one(to[nth], from[nth]);
        nth += 1;
    }
}
