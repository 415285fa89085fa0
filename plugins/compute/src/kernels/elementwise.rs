//! Operations on each element by itself.

use core::ops::Range;

use super::parallel::{Shared, pieces};
use super::simd::{self, Kernel, Lanes};
use super::{Float, Parallel};

/// Operations on one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// `x`.
    Copy,
    /// `-x`.
    Negate,
    /// `|x|`.
    Absolute,
    /// 1 above 0, -1 below, else 0 (also for NaN).
    Sign,
    /// `x · x`.
    Square,
    /// The square root, correctly rounded.
    Root,
    /// `1 / x`.
    Reciprocal,
    /// e to the power of x.
    Exp,
    /// The natural logarithm.
    Ln,
    /// The natural logarithm of 1 + x, from 0 on.
    Ln1p,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// x above 0, else 0 (also for NaN).
    Relu,
    /// 1 above 0, else 0.
    IsPositive,
}

/// Operations on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `x + y`.
    Add,
    /// `x - y`.
    Subtract,
    /// `x · y`.
    Multiply,
    /// `x / y`.
    Divide,
    /// y where it is larger than x, else x.
    Larger,
    /// y where it is smaller than x, else x.
    Smaller,
    /// 1 where `x < y`, else 0.
    IsLess,
    /// 1 where `x = y`, else 0.
    IsEqual,
    /// Through [`Unary::Relu`]: x where its output y is above 0, else 0.
    ReluGradient,
    /// Through [`Unary::Tanh`] with output y: `x · (1 - y · y)`.
    TanhGradient,
    /// Through [`Unary::Sigmoid`] with output y: `x · (y · (1 - y))`.
    SigmoidGradient,
}

impl Unary {
    /// Of one number.
    #[inline(always)]
    #[must_use]
    pub fn of<T: Float>(self, x: T) -> T {
        match self {
            Self::Copy => x,
            Self::Negate => -x,
            Self::Absolute => x.absolute(),
            Self::Sign if x > T::ZERO => T::ONE,
            Self::Sign => {
                if x < T::ZERO {
                    -T::ONE
                } else {
                    T::ZERO
                }
            }
            Self::Square => x * x,
            Self::Root => x.root(),
            Self::Reciprocal => T::ONE / x,
            Self::Exp => x.exp(),
            Self::Ln => x.ln(),
            Self::Ln1p => x.ln_1p(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => x.sigmoid(),
            Self::Relu => {
                if x > T::ZERO {
                    x
                } else {
                    T::ZERO
                }
            }
            Self::IsPositive => {
                if x > T::ZERO {
                    T::ONE
                } else {
                    T::ZERO
                }
            }
        }
    }
}

impl Binary {
    /// Of two numbers.
    #[inline(always)]
    #[must_use]
    pub fn of<T: Float>(self, x: T, y: T) -> T {
        let truth = |is_so: bool| if is_so { T::ONE } else { T::ZERO };
        match self {
            Self::Add => x + y,
            Self::Subtract => x - y,
            Self::Multiply => x * y,
            Self::Divide => x / y,
            Self::Larger => {
                if y > x {
                    y
                } else {
                    x
                }
            }
            Self::Smaller => {
                if y < x {
                    y
                } else {
                    x
                }
            }
            Self::IsLess => truth(x < y),
            Self::IsEqual => truth(x == y),
            Self::ReluGradient => {
                if y > T::ZERO {
                    x
                } else {
                    T::ZERO
                }
            }
            Self::TanhGradient => x * (T::ONE - y * y),
            Self::SigmoidGradient => x * (y * (T::ONE - y)),
        }
    }
}

/// Elements that are computed at a time, in registers.
const CHUNK: usize = 64;

/// Elements of a piece for a thread at least, and what pieces are whole numbers of.
const GRAIN: usize = 1024;

/// Calls `f` with pieces of `0..len`, on several threads if there are many elements.
pub(crate) fn each(len: usize, threads: &dyn Parallel, f: &(dyn Fn(Range<usize>) + Sync)) {
    // An element is worth some multiplications: most of it is memory.
    if threads.threads() == 1 || len < threads.work_min() / 8 {
        f(0..len);
        return;
    }
    let cut = pieces(len, threads.threads(), GRAIN);
    threads.run(cut.len(), &|part| f(cut.piece(part)));
}

/// Where operands come from.
#[derive(Clone, Copy)]
pub(crate) enum Operand<T> {
    /// Elements from here on.
    At(*const T),
    /// A number for all.
    Number(T),
}

/// An operation on some elements. Operands may be where the result is.
pub struct Map<T> {
    op: Op,
    to: *mut T,
    x: *const T,
    len: usize,
    with: Operands<T>,
}

/// What is done.
#[derive(Clone, Copy)]
enum Op {
    Unary(Unary),
    Binary(Binary),
}

/// The operands of an operation on two numbers.
#[derive(Clone, Copy)]
struct Operands<T> {
    x: Operand<T>,
    y: Operand<T>,
}

/// Reads a chunk.
///
/// # Safety
/// `n` elements can be read, at most a chunk.
#[inline(always)]
unsafe fn read<T: Float>(from: Operand<T>, start: usize, n: usize) -> [T; CHUNK] {
    let mut chunk = [T::ZERO; CHUNK];
    match from {
        Operand::Number(number) => chunk = [number; CHUNK],
        // SAFETY: the caller's.
        Operand::At(at) => unsafe {
            if n == CHUNK {
                chunk = at.add(start).cast::<[T; CHUNK]>().read();
            } else {
                core::ptr::copy_nonoverlapping(at.add(start), chunk.as_mut_ptr(), n);
            }
        },
    }
    chunk
}

/// Writes a chunk.
///
/// # Safety
/// `n` elements can be written, at most a chunk.
#[inline(always)]
unsafe fn write<T: Float>(to: *mut T, chunk: &[T; CHUNK], n: usize) {
    // SAFETY: the caller's.
    unsafe {
        if n == CHUNK {
            to.cast::<[T; CHUNK]>().write(*chunk);
        } else {
            core::ptr::copy_nonoverlapping(chunk.as_ptr(), to, n);
        }
    }
}

impl<T: Float> Kernel<T> for Map<T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        // One loop for each operation, so that the compiler knows it and puts it into lanes.
        macro_rules! unary {
            ($($op:ident)*) => {
                match self.op {
                    $(Op::Unary(Unary::$op) => self.unary(Unary::$op),)*
                    Op::Binary(op) => self.pairs(op),
                }
            };
        }
        unary!(Copy Negate Absolute Sign Square Root Reciprocal Exp Ln Ln1p Tanh Sigmoid Relu
            IsPositive)
    }
}

impl<T: Float> Map<T> {
    /// On as many elements as `to` has; operands have as many.
    pub(crate) fn binary(op: Binary, to: &mut [T], x: Operand<T>, y: Operand<T>) -> Self {
        let (len, to) = (to.len(), to.as_mut_ptr());
        Self { op: Op::Binary(op), to, x: core::ptr::null(), len, with: Operands { x, y } }
    }

    #[inline(always)]
    fn unary(&self, op: Unary) {
        let len = self.len;
        // SAFETY: there are so many elements on both sides, the same or apart.
        unsafe {
            if core::ptr::eq(self.to, self.x) {
                for x in slice_mut(self.to, len) {
                    *x = op.of(*x);
                }
                return;
            }
            for (to, x) in slice_mut(self.to, len).iter_mut().zip(slice(self.x, len)) {
                *to = op.of(*x);
            }
        }
    }

    #[inline(always)]
    fn pairs(&self, op: Binary) {
        macro_rules! binary {
            ($($op:ident)*) => {
                match op {
                    $(Binary::$op => self.pair(Binary::$op),)*
                }
            };
        }
        binary!(Add Subtract Multiply Divide Larger Smaller IsLess IsEqual ReluGradient
            TanhGradient SigmoidGradient)
    }

    /// The usual operands have loops of their own, without copies of chunks.
    #[inline(always)]
    fn pair(&self, op: Binary) {
        let len = self.len;
        // SAFETY: there are so many elements on all sides; y is read only.
        unsafe {
            match (self.with.x, self.with.y) {
                (Operand::At(x), Operand::At(y)) if !core::ptr::eq(y, self.to) => {
                    let y = slice(y, len);
                    if core::ptr::eq(x, self.to) {
                        for (x, y) in slice_mut(self.to, len).iter_mut().zip(y) {
                            *x = op.of(*x, *y);
                        }
                        return;
                    }
                    let pairs = slice(x, len).iter().zip(y);
                    for (to, (x, y)) in slice_mut(self.to, len).iter_mut().zip(pairs) {
                        *to = op.of(*x, *y);
                    }
                }
                (Operand::At(x), Operand::Number(y)) if !core::ptr::eq(x, self.to) => {
                    for (to, x) in slice_mut(self.to, len).iter_mut().zip(slice(x, len)) {
                        *to = op.of(*x, y);
                    }
                }
                _ => self.chunks(op),
            }
        }
    }

    #[inline(always)]
    fn chunks(&self, op: Binary) {
        for start in (0..self.len).step_by(CHUNK) {
            let n = CHUNK.min(self.len - start);
            // SAFETY: there are so many elements on all sides.
            unsafe {
                let mut chunk = read(self.with.x, start, n);
                let y = read(self.with.y, start, n);
                for nth in 0..CHUNK {
                    chunk[nth] = op.of(chunk[nth], y[nth]);
                }
                write(self.to.add(start), &chunk, n);
            }
        }
    }
}

/// # Safety
/// So many elements are there, and are not written meanwhile.
#[inline(always)]
unsafe fn slice<'a, T>(at: *const T, len: usize) -> &'a [T] {
    // SAFETY: the caller's.
    unsafe { core::slice::from_raw_parts(at, len) }
}

/// # Safety
/// So many elements are there, and nothing else uses them meanwhile.
#[inline(always)]
unsafe fn slice_mut<'a, T>(at: *mut T, len: usize) -> &'a mut [T] {
    // SAFETY: the caller's.
    unsafe { core::slice::from_raw_parts_mut(at, len) }
}

/// Pointers to elements that parts of an operation share out.
#[derive(Clone, Copy)]
struct Pointers<T> {
    to: *mut T,
    with: Operands<T>,
}

// SAFETY: parts use disjoint elements of the result, and only read the others.
unsafe impl<T: Sync + Send> Sync for Pointers<T> {}

/// Runs an operation on `len` elements.
fn map<T: Float>(op: Op, len: usize, all: Pointers<T>, threads: &dyn Parallel) {
    let level = simd::level();
    let all = &all;
    each(len, threads, &|piece| {
        let from = |operand: Operand<T>| match operand {
            Operand::At(at) => Operand::At(at.wrapping_add(piece.start)),
            number => number,
        };
        let with = Operands { x: from(all.with.x), y: from(all.with.y) };
        let x = if let Operand::At(x) = with.x { x } else { core::ptr::null() };
        let to = all.to.wrapping_add(piece.start);
        T::map(level, Map { op, to, x, len: piece.len(), with });
    });
}

fn unary_at<T: Float>(op: Unary, to: *mut T, x: *const T, len: usize, threads: &dyn Parallel) {
    let with = Operands { x: Operand::At(x), y: Operand::Number(T::ZERO) };
    map(Op::Unary(op), len, Pointers { to, with }, threads);
}

fn binary_at<T: Float>(
    op: Binary,
    to: &mut [T],
    x: Operand<T>,
    y: Operand<T>,
    threads: &dyn Parallel,
) {
    let all = Pointers { to: to.as_mut_ptr(), with: Operands { x, y } };
    map(Op::Binary(op), to.len(), all, threads);
}

/// Writes the operation on each element of `x` to `to`.
///
/// # Panics
/// If the slices have different lengths.
pub fn unary<T: Float>(op: Unary, to: &mut [T], x: &[T], threads: &dyn Parallel) {
    assert_eq!(to.len(), x.len(), "elements of x");
    unary_at(op, to.as_mut_ptr(), x.as_ptr(), x.len(), threads);
}

/// Replaces each element of `x`.
pub fn unary_in_place<T: Float>(op: Unary, x: &mut [T], threads: &dyn Parallel) {
    let at = x.as_mut_ptr();
    unary_at(op, at, at, x.len(), threads);
}

/// Writes the operation on each pair of elements to `to`.
///
/// # Panics
/// If the slices have different lengths.
pub fn binary<T: Float>(op: Binary, to: &mut [T], x: &[T], y: &[T], threads: &dyn Parallel) {
    assert_eq!([to.len(); 2], [x.len(), y.len()], "elements of x and y");
    binary_at(op, to, Operand::At(x.as_ptr()), Operand::At(y.as_ptr()), threads);
}

/// Replaces each element of `x`.
///
/// # Panics
/// If the slices have different lengths.
pub fn binary_in_place<T: Float>(op: Binary, x: &mut [T], y: &[T], threads: &dyn Parallel) {
    assert_eq!(x.len(), y.len(), "elements of y");
    let at = x.as_mut_ptr().cast_const();
    binary_at(op, x, Operand::At(at), Operand::At(y.as_ptr()), threads);
}

/// Writes the operation on each element and a number to `to`.
///
/// # Panics
/// If the slices have different lengths.
pub fn binary_with<T: Float>(op: Binary, to: &mut [T], x: &[T], number: T, threads: &dyn Parallel) {
    assert_eq!(to.len(), x.len(), "elements of x");
    binary_at(op, to, Operand::At(x.as_ptr()), Operand::Number(number), threads);
}

/// Writes the operation on a number and each element to `to`.
///
/// # Panics
/// If the slices have different lengths.
pub fn binary_from<T: Float>(op: Binary, to: &mut [T], number: T, y: &[T], threads: &dyn Parallel) {
    assert_eq!(to.len(), y.len(), "elements of y");
    binary_at(op, to, Operand::Number(number), Operand::At(y.as_ptr()), threads);
}

/// Part of [`add_scaled`].
pub struct Scaled<'a, T> {
    to: &'a mut [T],
    factor: T,
    x: &'a [T],
}

impl<T: Float> Kernel<T> for Scaled<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let (x, factor) = (&self.x[..self.to.len()], self.factor);
        for (to, x) in self.to.iter_mut().zip(x) {
            *to = *to + factor * *x;
        }
    }
}

/// Adds `factor · x` to each element: product and sum rounded.
///
/// # Panics
/// If the slices have different lengths.
pub fn add_scaled<T: Float>(to: &mut [T], factor: T, x: &[T], threads: &dyn Parallel) {
    assert_eq!(to.len(), x.len(), "elements of x");
    let (level, len, to) = (simd::level(), to.len(), Shared(to.as_mut_ptr()));
    each(len, threads, &|piece| {
        let x = &x[piece.clone()];
        // SAFETY: pieces are disjoint.
        T::scaled(level, Scaled { to: unsafe { to.slice(piece) }, factor, x });
    });
}

/// Part of [`select`].
pub struct Choice<'a, T> {
    to: &'a mut [T],
    condition: &'a [T],
    x: &'a [T],
    y: &'a [T],
}

impl<T: Float> Kernel<T> for Choice<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let len = self.to.len();
        let (condition, x, y) = (&self.condition[..len], &self.x[..len], &self.y[..len]);
        for nth in 0..len {
            let (x, y) = (x[nth], y[nth]);
            self.to[nth] = if condition[nth] != T::ZERO { x } else { y };
        }
    }
}

/// Writes x where the condition is not 0, else y.
///
/// # Panics
/// If the slices have different lengths.
pub fn select<T: Float>(to: &mut [T], condition: &[T], x: &[T], y: &[T], threads: &dyn Parallel) {
    assert_eq!([to.len(); 3], [condition.len(), x.len(), y.len()], "elements of all");
    let (level, len, to) = (simd::level(), to.len(), Shared(to.as_mut_ptr()));
    each(len, threads, &|piece| {
        let [condition, x, y] = [condition, x, y].map(|all| &all[piece.clone()]);
        // SAFETY: pieces are disjoint.
        T::select(level, Choice { to: unsafe { to.slice(piece) }, condition, x, y });
    });
}
