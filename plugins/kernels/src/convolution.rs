//! Convolution of images in two dimensions (cross-correlation, as `torch.nn.Conv2d`).
//!
//! One image after the other, [channels, height, width]. A convolution is the product of the
//! weights [filters, channels · kernel height · kernel width] and of the image's windows, which
//! are laid out as the product needs them; so each output adds its products in ascending order of
//! (channel, line, column) of the kernel.

use core::ops::Range;

use crate::Matrix;
use crate::lanes::{self, Kernel, Lanes};
use crate::lines;
use crate::panels::{Panel, Panels, WIDTH};
use crate::product::{add_panels, add_product};

/// What a kernel looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Channels of an image.
    pub channels: usize,
    /// Lines of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Lines and columns of the kernel.
    pub kernel: [usize; 2],
    /// From one window to the next, down and across; at least 1.
    pub stride: [usize; 2],
    /// Zeros around the image, above and below, left and right.
    pub padding: [usize; 2],
}

impl Windows {
    /// Lines and columns of the output; none if the kernel is larger than the padded image, or
    /// a number is beyond all memory.
    #[must_use]
    pub fn output(&self) -> Option<[usize; 2]> {
        let along = |size: usize, axis: usize| {
            let padded = size.checked_add(self.padding[axis].checked_mul(2)?)?;
            let beyond = padded.checked_sub(self.kernel[axis])?;
            Some(beyond.checked_div(self.stride[axis])? + 1)
        };
        let output = [along(self.height, 0)?, along(self.width, 1)?];
        let is_kernel = self.kernel[0] > 0 && self.kernel[1] > 0;
        let depth = self.channels.checked_mul(self.kernel[0])?.checked_mul(self.kernel[1])?;
        depth.checked_mul(output[0])?.checked_mul(output[1])?.checked_mul(size_of::<f32>())?;
        self.padded_len()?;
        is_kernel.then_some(output)
    }

    /// Elements that one window has.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Elements of the copy of an image with zeros around it that [`pad`] makes.
    ///
    /// [`pad`]: Self::pad
    #[must_use]
    pub fn padded_len(&self) -> Option<usize> {
        let [height, width] = self.padded();
        // Lines of panels are copied whole, also the last one.
        self.channels.checked_mul(height)?.checked_mul(width)?.checked_add(WIDTH)
    }

    /// Copies an image [channels, height, width] to the middle of `to`, which is zero around it.
    ///
    /// # Panics
    /// If a slice has another length than that.
    pub fn pad(&self, image: &[f32], to: &mut [f32]) {
        assert_eq!(image.len(), self.channels * self.height * self.width, "elements of an image");
        assert_eq!(Some(to.len()), self.padded_len(), "elements of a padded image");
        lanes::run(Pad { windows: self, image, to });
    }

    fn padded(&self) -> [usize; 2] {
        [self.height + 2 * self.padding[0], self.width + 2 * self.padding[1]]
    }

    /// Where in a padded image the element of a window is, from the window's first one on.
    fn offset(&self, nth: usize) -> usize {
        let [height, width] = self.padded();
        let (plane, rest) =
            (nth / (self.kernel[0] * self.kernel[1]), nth % (self.kernel[0] * self.kernel[1]));
        plane * height * width + rest / self.kernel[1] * width + rest % self.kernel[1]
    }
}

struct Pad<'a> {
    windows: &'a Windows,
    image: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Pad<'_> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes>(self) {
        let Self { windows, image, to } = self;
        if image.is_empty() {
            return;
        }
        let [height, width] = windows.padded();
        let planes = to.chunks_exact_mut(height * width);
        for (plane, from) in planes.zip(image.chunks_exact(windows.height * windows.width)) {
            let lines = plane.chunks_exact_mut(width).skip(windows.padding[0]);
            for (line, from) in lines.zip(from.chunks_exact(windows.width)) {
                lines::copy::<L>(&mut line[windows.padding[1]..][..windows.width], from);
            }
        }
    }
}

/// The windows of a padded image, one in each column.
struct Columns<'a> {
    windows: &'a Windows,
    output: [usize; 2],
    padded: &'a [f32],
}

impl Columns<'_> {
    /// Where a window starts in the padded image.
    fn start(&self, window: usize) -> usize {
        let (line, column) = (window / self.output[1], window % self.output[1]);
        let [down, across] = self.windows.stride;
        line * down * self.windows.padded()[1] + column * across
    }
}

impl Panels for Columns<'_> {
    fn rows(&self) -> usize {
        self.windows.depth()
    }

    fn columns(&self) -> usize {
        self.output[0] * self.output[1]
    }

    #[inline(always)]
    fn lay_out<L: Lanes>(&self, panel: &mut Panel, rows: Range<usize>, columns: Range<usize>) {
        // Windows side by side lie side by side in the image, too: runs of them are copied whole,
        // each over the surplus of the one before.
        let mut runs = [(0, 0); WIDTH];
        let mut n_runs = 0;
        let mut starts = [0; WIDTH];
        for (nth, window) in columns.clone().enumerate() {
            starts[nth] = self.start(window);
            if nth == 0 || starts[nth] != starts[nth - 1] + 1 {
                runs[n_runs] = (nth, starts[nth]);
                n_runs += 1;
            }
        }
        let width = columns.len();
        if n_runs > WIDTH / 4 {
            for (row, line) in rows.zip(panel.lines()) {
                let image = &self.padded[self.windows.offset(row)..];
                for (element, start) in line[..width].iter_mut().zip(starts) {
                    *element = image[start];
                }
                line[width..].fill(0.0);
            }
            return;
        }
        let (runs, whole, n_rows) = (&runs[..n_runs], rows.len() * WIDTH, rows.len());
        let to = panel.with_surplus();
        let kernel = self.windows.kernel;
        let mut row = rows.start;
        let mut line = 0;
        while line < whole {
            // Along one line of the kernel the image is read one further each time.
            let image = &self.padded[self.windows.offset(row)..];
            let along = (kernel[1] - row % kernel[1]).min((whole - line) / WIDTH);
            for step in 0..along {
                for (column, start) in runs {
                    let from = &image[start + step..][..WIDTH];
                    to[line + column..][..WIDTH].copy_from_slice(from);
                }
                line += WIDTH;
            }
            row += along;
        }
        if columns.len() < WIDTH {
            panel.lines().take(n_rows).for_each(|line| line[columns.len()..].fill(0.0));
        }
    }
}

/// Adds the convolution of a padded image with `weights` [filters, depth] to `output` [filters,
/// output height, output width].
///
/// # Panics
/// If the windows have no [`Windows::output`] or a slice has another length.
pub fn add_convolution(output: &mut [f32], weights: Matrix, windows: &Windows, padded: &[f32]) {
    assert_eq!(Some(padded.len()), windows.padded_len(), "elements of a padded image");
    let size = windows.output().expect("a kernel that fits");
    add_panels(output, weights, &Columns { windows, output: size, padded });
}

/// Lays out the windows of a padded image in the rows of `to` [depth, windows]: row i has the
/// i-th element of each.
///
/// # Panics
/// If the windows have no [`Windows::output`] or a slice has another length.
pub fn lay_out_windows(to: &mut [f32], windows: &Windows, padded: &[f32]) {
    assert_eq!(Some(padded.len()), windows.padded_len(), "elements of a padded image");
    let size = windows.output().expect("a kernel that fits");
    let columns = Columns { windows, output: size, padded };
    assert_eq!(to.len(), windows.depth() * size[0] * size[1], "elements of all windows");
    lanes::run(LayOut { to, columns });
}

struct LayOut<'a> {
    to: &'a mut [f32],
    columns: Columns<'a>,
}

impl Kernel for LayOut<'_> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes>(self) {
        let Columns { windows, output: [height, width], padded } = self.columns;
        if self.to.is_empty() {
            return;
        }
        let ([down, across], line_len) = (windows.stride, windows.padded()[1]);
        for (row, lines) in self.to.chunks_exact_mut(height * width).enumerate() {
            let offset = windows.offset(row);
            for (nth, line) in lines.chunks_exact_mut(width).enumerate() {
                let from = &padded[offset + nth * down * line_len..];
                if across == 1 {
                    lines::copy::<L>(line, &from[..width]);
                } else {
                    let every = from.iter().step_by(across);
                    line.iter_mut().zip(every).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}

/// Adds the gradient of the weights to `gradient` [depth, filters], the transpose of the weights:
/// the product of the windows that [`lay_out_windows`] made and `output` [filters, windows], the
/// gradient of the output. Windows are added in ascending order.
///
/// # Panics
/// If a slice has another length.
pub fn add_weight_gradient(
    gradient: &mut [f32],
    windows: &Windows,
    laid_out: &[f32],
    output: &[f32],
) {
    let [height, width] = windows.output().expect("a kernel that fits");
    let n_windows = height * width;
    let left = Matrix::new(laid_out, windows.depth(), n_windows);
    let right = Matrix::new(output, output.len() / n_windows, n_windows).transposed();
    add_product(gradient, left, right);
}

/// Adds what the rows of `laid_out` [depth, windows] hold back to where they come from in a
/// padded image: row after row, window after window.
///
/// # Panics
/// If the windows have no [`Windows::output`] or a slice has another length.
pub fn add_windows_back(padded: &mut [f32], windows: &Windows, laid_out: &[f32]) {
    assert_eq!(Some(padded.len()), windows.padded_len(), "elements of a padded image");
    let size = windows.output().expect("a kernel that fits");
    assert_eq!(laid_out.len(), windows.depth() * size[0] * size[1], "elements of all windows");
    lanes::run(AddBack { padded, windows, output: size, laid_out });
}

struct AddBack<'a> {
    padded: &'a mut [f32],
    windows: &'a Windows,
    output: [usize; 2],
    laid_out: &'a [f32],
}

impl Kernel for AddBack<'_> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes>(self) {
        let Self { padded, windows, output: [height, width], laid_out } = self;
        if laid_out.is_empty() {
            return;
        }
        let ([down, across], line_len) = (windows.stride, windows.padded()[1]);
        for (row, lines) in laid_out.chunks_exact(height * width).enumerate() {
            let offset = windows.offset(row);
            for (nth, from) in lines.chunks_exact(width).enumerate() {
                let line = &mut padded[offset + nth * down * line_len..];
                if across == 1 {
                    lines::add::<L>(&mut line[..width], from);
                } else {
                    let every = line.iter_mut().step_by(across);
                    every.zip(from).for_each(|(to, from)| *to += from);
                }
            }
        }
    }
}

/// Takes the middle out of a padded image, into `image` [channels, height, width].
///
/// # Panics
/// If a slice has another length.
pub fn unpad(image: &mut [f32], windows: &Windows, padded: &[f32]) {
    assert_eq!(
        image.len(),
        windows.channels * windows.height * windows.width,
        "elements of an image"
    );
    assert_eq!(Some(padded.len()), windows.padded_len(), "elements of a padded image");
    lanes::run(Unpad { image, windows, padded });
}

struct Unpad<'a> {
    image: &'a mut [f32],
    windows: &'a Windows,
    padded: &'a [f32],
}

impl Kernel for Unpad<'_> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes>(self) {
        let Self { image, windows, padded } = self;
        if image.is_empty() {
            return;
        }
        let [height, width] = windows.padded();
        let planes = padded.chunks_exact(height * width);
        for (plane, to) in planes.zip(image.chunks_exact_mut(windows.height * windows.width)) {
            let lines = plane.chunks_exact(width).skip(windows.padding[0]);
            for (line, to) in lines.zip(to.chunks_exact_mut(windows.width)) {
                lines::copy::<L>(to, &line[windows.padding[1]..][..windows.width]);
            }
        }
    }
}
