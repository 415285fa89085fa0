//! Windows that move over an image of one, two or three axes.

/// Sizes along depth, lines and columns. An image of fewer axes has size 1 along the first ones.
pub type Axes = [usize; 3];

/// Where windows lie on an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Of the image.
    pub image: Axes,
    /// Elements of a window; at least 1.
    pub kernel: Axes,
    /// From one window to the next; at least 1.
    pub stride: Axes,
    /// Elements before and after the image that windows may reach into.
    pub padding: Axes,
    /// From one element of a window to the next; at least 1.
    pub dilation: Axes,
}

/// `sizes` along the last axes, `other` along the ones before.
///
/// # Panics
/// If there are more than three.
#[must_use]
pub fn axes(sizes: &[usize], other: usize) -> Axes {
    let mut all = [other; 3];
    all[3 - sizes.len()..].copy_from_slice(sizes);
    all
}

/// How many elements.
pub(crate) fn volume(axes: Axes) -> usize {
    axes[0] * axes[1] * axes[2]
}

/// All positions in row-major order.
pub(crate) fn positions(axes: Axes) -> impl Iterator<Item = Axes> {
    (0..volume(axes)).map(move |nth| position(axes, nth))
}

/// The position that is `nth` in row-major order.
#[inline(always)]
pub(crate) fn position(axes: Axes, nth: usize) -> Axes {
    [nth / axes[2] / axes[1], nth / axes[2] % axes[1], nth % axes[2]]
}

impl Windows {
    /// Windows of this size on an image, side by side in steps of 1, without padding.
    ///
    /// # Panics
    /// If there are more than three axes.
    #[must_use]
    pub fn new(image: &[usize], kernel: &[usize]) -> Self {
        Self {
            image: axes(image, 1),
            kernel: axes(kernel, 1),
            stride: [1; 3],
            padding: [0; 3],
            dilation: [1; 3],
        }
    }

    /// With these steps from window to window.
    #[must_use]
    pub fn stride(self, stride: &[usize]) -> Self {
        Self { stride: axes(stride, 1), ..self }
    }

    /// With this padding.
    #[must_use]
    pub fn padding(self, padding: &[usize]) -> Self {
        Self { padding: axes(padding, 0), ..self }
    }

    /// With these steps within a window.
    #[must_use]
    pub fn dilation(self, dilation: &[usize]) -> Self {
        Self { dilation: axes(dilation, 1), ..self }
    }

    /// How many windows there are along each axis; none if a window is empty or larger than the
    /// padded image, a step is 0, or a number is beyond all memory.
    #[must_use]
    pub fn output(&self) -> Option<Axes> {
        let mut output = [0; 3];
        for (axis, output) in output.iter_mut().enumerate() {
            let padded = self.image[axis].checked_add(self.padding[axis].checked_mul(2)?)?;
            let reach = self.kernel[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?;
            let beyond = padded.checked_sub(reach.checked_add(1)?)?;
            *output = beyond.checked_div(self.stride[axis])? + 1;
            if self.dilation[axis] == 0 || self.image[axis] == 0 {
                return None;
            }
        }
        let product = |axes: Axes| axes[0].checked_mul(axes[1])?.checked_mul(axes[2]);
        let (_, depth) = (product(self.image)?, product(self.kernel)?);
        depth.checked_mul(product(output)?)?.checked_mul(8)?;
        Some(output)
    }

    /// Whether there are windows, and each has an element of the image, not of the padding alone.
    #[must_use]
    pub fn all_exist(&self) -> bool {
        let Some(output) = self.output() else { return false };
        (0..3).all(|axis| {
            (0..output[axis]).all(|window| {
                let start = window * self.stride[axis];
                let mut elements =
                    (0..self.kernel[axis]).map(|at| start + at * self.dilation[axis]);
                let image = self.padding[axis]..self.padding[axis] + self.image[axis];
                elements.any(|element| image.contains(&element))
            })
        })
    }

    /// Where in the image the element at `offset` of the window at `window` is; none outside.
    #[inline(always)]
    pub(crate) fn element(&self, window: Axes, offset: Axes) -> Option<usize> {
        let mut nth = 0;
        for axis in 0..3 {
            let padded = window[axis] * self.stride[axis] + offset[axis] * self.dilation[axis];
            let at = padded.checked_sub(self.padding[axis]).filter(|at| *at < self.image[axis])?;
            nth = nth * self.image[axis] + at;
        }
        Some(nth)
    }
}
