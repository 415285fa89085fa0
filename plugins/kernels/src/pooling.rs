//! Pooling of images in two dimensions: the largest, or the mean, of each window.
//!
//! Planes [height, width] one after the other; windows that do not overlap the edge, without
//! padding (`torch.nn.MaxPool2d` and `AvgPool2d` with their defaults).

use crate::lanes::{self, Kernel, Lanes};

/// What is pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Lines of a plane.
    pub height: usize,
    /// Columns of a plane.
    pub width: usize,
    /// Lines and columns of a window; at least 1.
    pub window: [usize; 2],
    /// From one window to the next, down and across; at least 1.
    pub stride: [usize; 2],
}

impl Pool {
    /// Lines and columns of the output; none if a window is larger than a plane or empty.
    #[must_use]
    pub fn output(&self) -> Option<[usize; 2]> {
        let along = |size: usize, axis: usize| {
            let beyond = size.checked_sub(self.window[axis])?;
            Some(beyond.checked_div(self.stride[axis])? + 1)
        };
        let output = [along(self.height, 0)?, along(self.width, 1)?];
        (self.window[0] > 0 && self.window[1] > 0).then_some(output)
    }

    /// For each window of the planes in `input`, where it starts.
    fn starts(&self, n_planes: usize) -> impl Iterator<Item = usize> + use<> {
        let [height, width] = self.output().expect("a window that fits");
        let Self { height: lines, width: columns, stride: [down, across], .. } = *self;
        (0..n_planes).flat_map(move |plane| {
            (0..height).flat_map(move |line| {
                let first = (plane * lines + line * down) * columns;
                (0..width).map(move |column| first + column * across)
            })
        })
    }

    fn planes(&self, input: usize, output: usize) -> usize {
        let [height, width] = self.output().expect("a window that fits");
        let n_planes = output / (height * width);
        assert_eq!(output, n_planes * height * width, "elements of whole output planes");
        assert_eq!(input, n_planes * self.height * self.width, "elements of as many planes");
        n_planes
    }
}

/// Writes the largest element of each window of `input` to `output`, and where it is, as an index
/// of `input`, to `places`. Of equal ones the first counts, line by line. NaN is passed over,
/// except as the first of a window.
///
/// # Panics
/// If there is no [`Pool::output`], a slice has another length, or `input` has more elements than
/// a u32 counts.
pub fn max(output: &mut [f32], places: &mut [u32], pool: &Pool, input: &[f32]) {
    let n_planes = pool.planes(input.len(), output.len());
    assert_eq!(places.len(), output.len(), "places of the output");
    assert!(u32::try_from(input.len()).is_ok(), "elements that a u32 counts");
    lanes::run(Max { output, places, pool, n_planes, input });
}

struct Max<'a> {
    output: &'a mut [f32],
    places: &'a mut [u32],
    pool: &'a Pool,
    n_planes: usize,
    input: &'a [f32],
}

impl Kernel for Max<'_> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes>(self) {
        let Self { output, places, pool, n_planes, input } = self;
        let Some([height, width]) = pool.output() else { return };
        let Pool { window: [lines, columns], stride: [down, across], .. } = *pool;
        let is_square = pool.window == [2, 2] && across == 2;
        let outputs = output.chunks_exact_mut(width).zip(places.chunks_exact_mut(width));
        for (nth, (output, places)) in outputs.enumerate().take(n_planes * height) {
            let (plane, line) = (nth / height, nth % height);
            let first = (plane * pool.height + line * down) * pool.width;
            // All lines that the windows of this line of the output look at.
            let input =
                &input[first..][..(lines - 1) * pool.width + (width - 1) * across + columns];
            if is_square && width >= L::N {
                max_of_squares::<L>(output, places, input, pool.width);
            } else {
                max_of_line(output, places, input, pool);
            }
            places.iter_mut().for_each(|place| *place += first as u32);
        }
    }
}

/// The largest of each window of one line of the output, and where it is in `input`.
#[inline(always)]
fn max_of_line(output: &mut [f32], places: &mut [u32], input: &[f32], pool: &Pool) {
    for (nth, (output, place)) in output.iter_mut().zip(places).enumerate() {
        let start = nth * pool.stride[1];
        let (mut max, mut at) = (input[start], start);
        for line in 0..pool.window[0] {
            for column in 0..pool.window[1] {
                let here = start + line * pool.width + column;
                let is_larger = input[here] > max;
                max = if is_larger { input[here] } else { max };
                at = if is_larger { here } else { at };
            }
        }
        *output = max;
        *place = at as u32;
    }
}

/// [`max_of_line`] for windows of 2 x 2, side by side, at least as many as there are lanes.
#[inline(always)]
fn max_of_squares<L: Lanes>(output: &mut [f32], places: &mut [u32], input: &[f32], below: usize) {
    let width = output.len();
    assert!(width >= L::N && places.len() == width, "windows side by side");
    assert!(input.len() >= below + 2 * width, "two lines of elements");
    // Which element of its window it is, as bits.
    let which = [0, 1, below, below + 1].map(|place| L::splat(f32::from_bits(place as u32)));
    let mut nth = 0;
    loop {
        // The last vector lies over others if there is no whole number of them.
        let at = nth.min(width - L::N);
        // SAFETY: checked above: `at` and as many windows as there are lanes are within.
        unsafe {
            let (a, b) = L::read_pairs(input.as_ptr().add(2 * at));
            let (c, d) = L::read_pairs(input.as_ptr().add(below + 2 * at));
            let mut max = (a, which[0]);
            for (value, which) in [b, c, d].into_iter().zip(&which[1..]) {
                max = L::larger(max, (value, *which));
            }
            max.0.write(output.as_mut_ptr().add(at));
            max.1.write(places.as_mut_ptr().add(at).cast());
        }
        for (lane, place) in places[at..at + L::N].iter_mut().enumerate() {
            *place += 2 * (at + lane) as u32;
        }
        nth += L::N;
        if nth >= width {
            break;
        }
    }
}

/// Adds the gradient of each output of [`max`] to where its value came from.
///
/// # Panics
/// If a slice has another length, or a place is none.
pub fn add_max_gradient(gradient: &mut [f32], places: &[u32], output_gradient: &[f32]) {
    assert_eq!(places.len(), output_gradient.len(), "places of the output");
    for (place, output) in places.iter().zip(output_gradient) {
        gradient[*place as usize] += output;
    }
}

/// Writes the mean of each window of `input` to `output`: its elements added line by line, then
/// divided.
///
/// # Panics
/// As [`max`].
pub fn mean(output: &mut [f32], pool: &Pool, input: &[f32]) {
    let n_planes = pool.planes(input.len(), output.len());
    let size = (pool.window[0] * pool.window[1]) as f32;
    for (output, start) in output.iter_mut().zip(pool.starts(n_planes)) {
        let mut sum = 0.0;
        for line in 0..pool.window[0] {
            for element in &input[start + line * pool.width..][..pool.window[1]] {
                sum += element;
            }
        }
        *output = sum / size;
    }
}

/// Adds the gradient of each output of [`mean`], divided by the window's size, to its window.
///
/// # Panics
/// As [`max`].
pub fn add_mean_gradient(gradient: &mut [f32], pool: &Pool, output_gradient: &[f32]) {
    let n_planes = pool.planes(gradient.len(), output_gradient.len());
    let size = (pool.window[0] * pool.window[1]) as f32;
    for (output, start) in output_gradient.iter().zip(pool.starts(n_planes)) {
        let share = output / size;
        for line in 0..pool.window[0] {
            for element in &mut gradient[start + line * pool.width..][..pool.window[1]] {
                *element += share;
            }
        }
    }
}
