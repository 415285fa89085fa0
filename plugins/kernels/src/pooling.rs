//! Pooling of images in two dimensions: the largest, or the mean, of each window.
//!
//! Planes [height, width] one after the other; windows that do not overlap the edge, without
//! padding (`torch.nn.MaxPool2d` and `AvgPool2d` with their defaults).

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

/// Writes the largest element of each window of `input` to `output`. NaN is passed over, except
/// as the first of a window.
///
/// # Panics
/// If there is no [`Pool::output`] or a slice has another length.
pub fn max(output: &mut [f32], pool: &Pool, input: &[f32]) {
    let n_planes = pool.planes(input.len(), output.len());
    for (output, start) in output.iter_mut().zip(pool.starts(n_planes)) {
        let mut max = input[start];
        for line in 0..pool.window[0] {
            for element in &input[start + line * pool.width..][..pool.window[1]] {
                max = if *element > max { *element } else { max };
            }
        }
        *output = max;
    }
}

/// Adds the gradient of each output of [`max`] to where its value came from: the first of the
/// window, line by line, that equals it.
///
/// # Panics
/// As [`max`].
pub fn add_max_gradient(
    gradient: &mut [f32],
    pool: &Pool,
    input: &[f32],
    output: &[f32],
    output_gradient: &[f32],
) {
    assert_eq!(gradient.len(), input.len(), "elements of the input");
    assert_eq!(output_gradient.len(), output.len(), "elements of the output");
    let n_planes = pool.planes(input.len(), output.len());
    let each = output.iter().zip(output_gradient).zip(pool.starts(n_planes));
    for ((max, output), start) in each {
        'window: for line in 0..pool.window[0] {
            let first = start + line * pool.width;
            for (nth, element) in input[first..][..pool.window[1]].iter().enumerate() {
                if element == max {
                    gradient[first + nth] += output;
                    break 'window;
                }
            }
        }
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
