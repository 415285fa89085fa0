//! Moments of channels and normalisation by them: planes [outer, channels, inner] whose first and
//! last axis are reduced. A plane at a time on the lanes that the machine has, with the bits of
//! sums over the inner axis and then over the outer one.
#![allow(clippy::needless_range_loop, reason = "planes and lanes are numbers")]

use core::ops::Range;

use super::Home;
use super::numbers::Functions;
use crate::error::Rule;
use crate::kernels::parallel::each_rows;
use crate::kernels::reduction;
use crate::kernels::simd::{self, Kernel, Lanes};
use crate::shape::{Axes, Kind, Shape};
use crate::tensor::{Element, Tensor};

/// Sums that run side by side, as the kernels' sum has them.
const SUMS: usize = 8;

/// Planes that are summed at the same time, so that additions do not wait for each other.
const TOGETHER: usize = 4;

/// Sizes of planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planes {
    outer: usize,
    channels: usize,
    inner: usize,
}

impl Planes {
    /// Of a shape whose axes, but for one or several side by side in the middle, are reduced.
    pub(super) fn new(shape: &Shape, axes: Axes) -> Option<Self> {
        let rank = shape.rank();
        let first = (0..rank).find(|axis| !axes.contains(*axis))?;
        let end = (first..rank).find(|axis| axes.contains(*axis))?;
        let is_one = (end..rank).all(|axis| axes.contains(axis));
        let planes = Self {
            outer: shape.len_of(0..first),
            channels: shape.len_of(first..end),
            inner: shape.len_of(end..rank),
        };
        (is_one && first > 0 && planes.inner > 1 && !shape.is_empty()).then_some(planes)
    }

    fn len(&self) -> usize {
        self.outer * self.channels
    }

    /// The mean of a term over each channel.
    fn mean<T: Functions + Element>(
        &self,
        term: Term<T>,
        x: &[T],
        y: &[T],
        home: &mut Home,
    ) -> Result<Tensor, Rule> {
        let of = |len: usize| Ok(Kind { dtype: T::DTYPE, shape: Shape::new(&[len])? });
        let mut sums = home.buffers.tensor(of(self.len())?)?;
        let to = sums.elements_mut::<T>()?;
        let level = simd::level();
        each_rows(to, 1, 8 * x.len(), home.threads, &|planes, to| {
            simd::run_at(level, Sums { of: *self, term, to, x, y, planes });
        });
        let mut means = home.buffers.tensor(of(self.channels)?)?;
        let to = means.elements_mut::<T>()?;
        reduction::sum(to, sums.elements::<T>()?, [1, self.outer, self.channels], home.threads);
        let count = T::from_f64((self.outer * self.inner) as f64);
        to.iter_mut().for_each(|sum| *sum = *sum / count);
        home.buffers.give_back(sums);
        Ok(means)
    }

    /// Mean and variance of each channel, without correction.
    pub(super) fn moments<T: Functions + Element>(
        &self,
        x: &[T],
        home: &mut Home,
    ) -> Result<(Tensor, Tensor), Rule> {
        let mean = self.mean::<T>(Term::First, x, x, home)?;
        let variance = self.mean(Term::Square(mean.elements::<T>()?), x, x, home)?;
        Ok((mean, variance))
    }

    /// Mean and `1 / √(variance + epsilon)` of each channel.
    fn scales<T: Functions + Element>(
        &self,
        epsilon: f64,
        x: &[T],
        home: &mut Home,
    ) -> Result<(Tensor, Tensor), Rule> {
        let (mean, mut scale) = self.moments(x, home)?;
        let epsilon = T::from_f64(epsilon);
        for scale in scale.elements_mut::<T>()? {
            *scale = T::ONE / (*scale + epsilon).root();
        }
        Ok((mean, scale))
    }

    /// `(x - mean) scale`.
    pub(super) fn normalise<T: Functions + Element>(
        &self,
        epsilon: f64,
        x: &[T],
        to: &mut [T],
        home: &mut Home,
    ) -> Result<(), Rule> {
        let (mean, scale) = self.scales(epsilon, x, home)?;
        let by = By { mean: mean.elements::<T>()?, scale: scale.elements::<T>()?, along: None };
        self.write(by, to, x, x, home);
        [mean, scale].into_iter().for_each(|tensor| home.buffers.give_back(tensor));
        Ok(())
    }

    /// `scale ((g - mean(g)) - y mean(g y))` with `y = (x - mean) scale`.
    pub(super) fn normalise_gradient<T: Functions + Element>(
        &self,
        epsilon: f64,
        (g, x): (&[T], &[T]),
        to: &mut [T],
        home: &mut Home,
    ) -> Result<(), Rule> {
        let (mean, scale) = self.scales(epsilon, x, home)?;
        let (means, scales) = (mean.elements::<T>()?, scale.elements::<T>()?);
        let along = self.mean(Term::Along(means, scales), g, x, home)?;
        let gradient = self.mean::<T>(Term::First, g, g, home)?;
        let slopes = Some((along.elements::<T>()?, gradient.elements::<T>()?));
        let by = By { mean: means, scale: scales, along: slopes };
        self.write(by, to, g, x, home);
        [mean, scale, along, gradient]
            .into_iter()
            .for_each(|tensor| home.buffers.give_back(tensor));
        Ok(())
    }

    fn write<T: Functions>(&self, by: By<T>, to: &mut [T], x: &[T], y: &[T], home: &Home) {
        let (level, n) = (simd::level(), self.inner);
        each_rows(to, n, 8 * x.len(), home.threads, &|planes, to| {
            let all = planes.start * n..planes.end * n;
            let (x, y) = (&x[all.clone()], &y[all]);
            simd::run_at(level, Written { of: *self, by, to, x, y, first: planes.start });
        });
    }
}

/// What is summed; numbers are of channels.
#[derive(Clone, Copy)]
enum Term<'a, T> {
    /// x.
    First,
    /// `(x - mean)²`.
    Square(&'a [T]),
    /// `x ((y - mean) scale)`.
    Along(&'a [T], &'a [T]),
}

/// Sums of some planes.
struct Sums<'a, T> {
    of: Planes,
    term: Term<'a, T>,
    to: &'a mut [T],
    x: &'a [T],
    y: &'a [T],
    planes: Range<usize>,
}

impl<T: Functions> Kernel<T> for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let mut nth = 0;
        while nth + TOGETHER <= self.to.len() {
            self.group::<TOGETHER>(nth).into_iter().enumerate().for_each(|(at, sum)| {
                self.to[nth + at] = sum;
            });
            nth += TOGETHER;
        }
        while nth < self.to.len() {
            [self.to[nth]] = self.group::<1>(nth);
            nth += 1;
        }
    }
}

impl<T: Functions> Sums<'_, T> {
    /// `P` planes, from `nth` of this part on.
    #[inline(always)]
    fn group<const P: usize>(&self, nth: usize) -> [T; P] {
        let channel = |plane: usize| (self.planes.start + nth + plane) % self.of.channels;
        match self.term {
            Term::First => self.terms::<P>(nth, |_, x, _| x),
            Term::Square(mean) => {
                let mean: [T; P] = core::array::from_fn(|plane| mean[channel(plane)]);
                self.terms::<P>(nth, |plane, x, _| (x - mean[plane]) * (x - mean[plane]))
            }
            Term::Along(mean, scale) => {
                let mean: [T; P] = core::array::from_fn(|plane| mean[channel(plane)]);
                let scale: [T; P] = core::array::from_fn(|plane| scale[channel(plane)]);
                self.terms::<P>(nth, |plane, x, y| x * ((y - mean[plane]) * scale[plane]))
            }
        }
    }

    /// Element i of a plane goes to its sum i mod 8.
    #[inline(always)]
    fn terms<const P: usize>(&self, nth: usize, term: impl Fn(usize, T, T) -> T) -> [T; P] {
        let n = self.of.inner;
        let start = |plane: usize| (self.planes.start + nth + plane) * n;
        let x: [&[T]; P] = core::array::from_fn(|plane| &self.x[start(plane)..][..n]);
        let y: [&[T]; P] = core::array::from_fn(|plane| &self.y[start(plane)..][..n]);
        let (xs, ys) = (x.map(|x| x.as_chunks::<SUMS>()), y.map(|y| y.as_chunks::<SUMS>()));
        let mut sums = [[T::ZERO; SUMS]; P];
        let whole = n / SUMS;
        let (x, y) = (xs.map(|x| &x.0[..whole]), ys.map(|y| &y.0[..whole]));
        for at in 0..whole {
            for plane in 0..P {
                for lane in 0..SUMS {
                    let term = term(plane, x[plane][at][lane], y[plane][at][lane]);
                    sums[plane][lane] = sums[plane][lane] + term;
                }
            }
        }
        for plane in 0..P {
            for (lane, (x, y)) in xs[plane].1.iter().zip(ys[plane].1).enumerate() {
                sums[plane][lane] = sums[plane][lane] + term(plane, *x, *y);
            }
        }
        sums.map(|[a, b, c, d, e, f, g, h]| ((a + e) + (c + g)) + ((b + f) + (d + h)))
    }
}

/// By what planes are normalised; numbers are of channels.
#[derive(Clone, Copy)]
struct By<'a, T> {
    mean: &'a [T],
    scale: &'a [T],
    /// Of a gradient: `mean(g y)` and `mean(g)`.
    along: Option<(&'a [T], &'a [T])>,
}

/// Some planes that are written.
struct Written<'a, T> {
    of: Planes,
    by: By<'a, T>,
    to: &'a mut [T],
    x: &'a [T],
    y: &'a [T],
    first: usize,
}

impl<T: Functions> Kernel<T> for Written<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let n = self.of.inner;
        let planes = self.x.chunks_exact(n).zip(self.y.chunks_exact(n));
        for (nth, (to, (x, y))) in self.to.chunks_exact_mut(n).zip(planes).enumerate() {
            let channel = (self.first + nth) % self.of.channels;
            let (mean, scale) = (self.by.mean[channel], self.by.scale[channel]);
            match self.by.along {
                None => to.iter_mut().zip(x).for_each(|(to, x)| *to = (*x - mean) * scale),
                Some((along, gradient)) => {
                    let (along, gradient) = (along[channel], gradient[channel]);
                    for (to, (g, x)) in to.iter_mut().zip(x.iter().zip(y)) {
                        let y = (*x - mean) * scale;
                        *to = scale * ((*g - gradient) - y * along);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_around_channels_are_planes() {
        let shape = Shape::new(&[2, 3, 4, 5]).unwrap();
        let planes = |axes: &[usize]| Planes::new(&shape, Axes::new(axes).unwrap());
        assert_eq!(planes(&[0, 2, 3]), Some(Planes { outer: 2, channels: 3, inner: 20 }));
        assert_eq!(planes(&[0, 3]), Some(Planes { outer: 2, channels: 12, inner: 5 }));
        assert_eq!(planes(&[2, 3]), None);
        assert_eq!(planes(&[0, 2]), None);
        assert_eq!(planes(&[0, 1]), None);
    }
}
