//! Random numbers and shapes, threads, and the comparison.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fedwasm_compute::kernels::simd::{Level, limit};
use fedwasm_compute::kernels::{Float, Parallel};

/// A number generator; the same numbers for a seed (SplitMix64, Steele, Lea and Flood 2014).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 on.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// From 1 on.
    pub(crate) fn up_to(&mut self, most: usize) -> usize {
        1 + self.below(most)
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Between -4 and 4; some subnormal, zeros of both signs, and from 1e-20 to 1e13.
    pub(crate) fn number<T: Float>(&mut self) -> T {
        let unit = (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        T::from_f64(match self.below(32) {
            0 => 0.0,
            1 => -0.0,
            2 => unit * 1e-39,
            3 => unit * 1e-20,
            4 => unit * 1e13,
            5 => unit * 1e-310,
            _ => unit * 4.0,
        })
    }

    pub(crate) fn vec<T: Float>(&mut self, len: usize) -> Vec<T> {
        (0..len).map(|_| self.number()).collect()
    }
}

/// So many threads, in no order.
pub(crate) struct Threads(pub(crate) usize);

impl Parallel for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn work_min(&self) -> usize {
        0
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.0 {
                scope.spawn(|| {
                    loop {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        if nth >= parts {
                            break;
                        }
                        part(parts - 1 - nth);
                    }
                });
            }
        });
    }
}

/// One test at a time sets the level.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn bits<T: Float>(x: &[T]) -> Vec<u64> {
    // All NaN are one: their bits are open.
    x.iter().map(|x| if x.to_f64().is_nan() { u64::MAX } else { x.to_f64().to_bits() }).collect()
}

/// Compares `f` at all levels, with 1, 2 and 5 threads, with the expected numbers.
pub(crate) fn same<T: Float>(name: &str, expected: &[T], f: impl Fn(&Threads) -> Vec<T>) {
    let _alone = alone();
    let expected = bits(expected);
    for level in [Level::Avx512, Level::Avx2, Level::Neon, Level::Plain] {
        if limit(level) != level {
            continue;
        }
        for threads in [1, 2, 5] {
            let found = bits(&f(&Threads(threads)));
            assert_eq!(found.len(), expected.len(), "{name}: elements");
            if let Some(nth) = (0..found.len()).find(|nth| found[*nth] != expected[*nth]) {
                let [found, expected] = [found[nth], expected[nth]].map(f64::from_bits);
                let at = format!("{name}, {level:?}, {threads} threads");
                panic!("{at}: element {nth} is {found:e}, not {expected:e}");
            }
        }
    }
    limit(Level::Avx512);
}
