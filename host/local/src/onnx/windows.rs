//! Convolutions, pooling and resampling along the axes behind [rows, channels].

use super::NotCovered;
use super::attributes::{Attributes, Known};
use super::functions::typed;
use super::network::{Attribute, Network, Size, Step, Value};

/// How windows lie, a number for each axis.
struct Windows {
    kernel: Vec<i64>,
    stride: Vec<i64>,
    padding: Vec<i64>,
    dilation: Vec<i64>,
}

impl Windows {
    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let pads = [&self.padding[..], &self.padding].concat();
        vec![
            ("kernel_shape", Attribute::Integers(self.kernel.clone())),
            ("strides", Attribute::Integers(self.stride.clone())),
            ("pads", Attribute::Integers(pads)),
        ]
    }

    /// The lengths of the axes of windows over these.
    fn over(&self, lengths: &[Size]) -> Step<Vec<Size>> {
        let along = |(axis, length): (usize, &Size)| match length {
            Size::Known(length) => {
                let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
                let room = length + 2 * self.padding[axis] - reach;
                Size::of(room.max(-1).div_euclid(self.stride[axis].max(1)) + 1)
            }
            size => Ok(*size),
        };
        lengths.iter().enumerate().map(along).collect()
    }
}

/// The axes behind [rows, channels].
fn axes_of(x: &Value) -> Step<usize> {
    let n = x.rank().checked_sub(2).filter(|n| (1..=3).contains(n));
    n.ok_or_else(|| NotCovered::new(format!("windows over a tensor with {} axes", x.rank())))
}

fn kernel_of(weight: &Value, n: usize) -> Step<Vec<i64>> {
    (2..2 + n).map(|axis| weight.length(axis)).collect()
}

fn windows(a: &Attributes<'_>, kernel: Vec<i64>) -> Step<Windows> {
    let n = kernel.len();
    let (stride, padding) = (a.along("stride", n, 1)?, a.along("padding", n, 0)?);
    Ok(Windows { kernel, stride, padding, dilation: a.along("dilation", n, 1)? })
}

pub(super) fn conv(
    network: &mut Network,
    (x, weight, bias): (&Value, &Value, Option<&Value>),
    a: &Attributes<'_>,
) -> Step<Value> {
    let windows = windows(a, kernel_of(weight, axes_of(x)?)?)?;
    let groups = a.number("groups")?.map_or(Ok(1), Known::whole)?;
    let mut attributes = windows.attributes();
    attributes.push(("dilations", Attribute::Integers(windows.dilation.clone())));
    attributes.push(("group", Attribute::Integer(groups)));
    let mut shape = vec![x.shape[0], weight.shape[0]];
    shape.extend(windows.over(&x.shape[2..])?);
    let inputs: Vec<&Value> = [x, weight].into_iter().chain(bias).collect();
    Ok(network.call("Conv", &inputs, attributes, &typed(x, x.element, shape)))
}

pub(super) fn conv_transpose(
    network: &mut Network,
    (x, weight, bias): (&Value, &Value, Option<&Value>),
    a: &Attributes<'_>,
) -> Step<Value> {
    let n = axes_of(x)?;
    let windows = windows(a, kernel_of(weight, n)?)?;
    let longer = a.along("output_padding", n, 0)?;
    let groups = a.number("groups")?.map_or(Ok(1), Known::whole)?;
    let mut shape = vec![x.shape[0], Size::of(weight.length(1)? * groups)?];
    for (axis, size) in x.shape[2..].iter().enumerate() {
        let Windows { kernel, stride, padding, dilation } = &windows;
        shape.push(match size {
            Size::Known(length) => Size::of(
                (length - 1) * stride[axis] - 2 * padding[axis]
                    + dilation[axis] * (kernel[axis] - 1)
                    + longer[axis]
                    + 1,
            )?,
            size => *size,
        });
    }
    let mut attributes = windows.attributes();
    attributes.push(("dilations", Attribute::Integers(windows.dilation.clone())));
    attributes.push(("output_padding", Attribute::Integers(longer)));
    attributes.push(("group", Attribute::Integer(groups)));
    let inputs: Vec<&Value> = [x, weight].into_iter().chain(bias).collect();
    Ok(network.call("ConvTranspose", &inputs, attributes, &typed(x, x.element, shape)))
}

pub(super) fn pool(
    network: &mut Network,
    op: &'static str,
    x: &Value,
    a: &Attributes<'_>,
) -> Step<Value> {
    let n = axes_of(x)?;
    let kernel = a.along("kernel_size", n, 1)?;
    let stride = match a.wholes("stride")? {
        Some(_) => a.along("stride", n, 1)?,
        None => kernel.clone(),
    };
    let padding = a.along("padding", n, 0)?;
    let windows = Windows { kernel, stride, padding, dilation: vec![1; n] };
    let counts = op == "AveragePool" && a.flag("count_include_pad", true)?;
    pooled(network, op, x, &windows, counts)
}

fn pooled(
    network: &mut Network,
    op: &'static str,
    x: &Value,
    windows: &Windows,
    counts: bool,
) -> Step<Value> {
    let mut attributes = windows.attributes();
    if counts {
        attributes.push(("count_include_pad", Attribute::Integer(1)));
    }
    let mut shape = x.shape[..2].to_vec();
    shape.extend(windows.over(&x.shape[2..])?);
    Ok(network.call(op, &[x], attributes, &typed(x, x.element, shape)))
}

/// Pooling to given lengths, which must divide those that there are.
pub(super) fn adaptive(
    network: &mut Network,
    op: &'static str,
    x: &Value,
    a: &Attributes<'_>,
) -> Step<Value> {
    let n = axes_of(x)?;
    let sizes = a.along("output_size", n, 1)?;
    let mut kernel = Vec::with_capacity(n);
    for (axis, size) in sizes.iter().enumerate() {
        let length = x.length(axis + 2)?;
        if *size < 1 || length % size != 0 {
            let what = format!("pooling of {length} elements to {size}, which does not divide it");
            return Err(NotCovered::new(what));
        }
        kernel.push(length / size);
    }
    let windows =
        Windows { stride: kernel.clone(), kernel, padding: vec![0; n], dilation: vec![1; n] };
    pooled(network, op, x, &windows, false)
}

/// Resampling to given lengths, which must be multiples of those that there are.
pub(super) fn resample(network: &mut Network, x: &Value, sizes: &[i64], mode: &str) -> Step<Value> {
    let n = axes_of(x)?;
    let sizes = if sizes.len() == 1 { vec![sizes[0]; n] } else { sizes.to_vec() };
    let mut scales = vec![1.0f32, 1.0];
    for (axis, size) in sizes.iter().enumerate() {
        let length = x.length(axis + 2)?.max(1);
        if size % length != 0 || sizes.len() != n {
            let what =
                format!("resampling of {length} elements to {size}, which is not a multiple");
            return Err(NotCovered::new(what));
        }
        scales.push((size / length) as f32);
    }
    let (mode, places, nearest) = match mode {
        "linear" => ("linear", "half_pixel", None),
        "linear_corners" => ("linear", "align_corners", None),
        _ => ("nearest", "asymmetric", Some("floor")),
    };
    let mut attributes = vec![
        ("mode", Attribute::Text(mode)),
        ("coordinate_transformation_mode", Attribute::Text(places)),
    ];
    attributes.extend(nearest.map(|nearest| ("nearest_mode", Attribute::Text(nearest))));
    let scales = network.floats(&[scales.len() as i64], &scales);
    let inputs = vec![x.name.clone(), String::new(), scales.name];
    let name = network.named("Resize", inputs, attributes, 1).remove(0);
    let mut shape = x.shape[..2].to_vec();
    shape.extend(sizes.into_iter().map(Size::Known));
    Ok(Value { name, element: x.element, shape })
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Known;
    use super::super::moves::embedding;
    use super::super::network::{Element, LENGTH_MAX};
    use super::*;

    // The graph of a model may be a stranger's.
    #[test]
    fn numbers_of_a_hostile_graph_are_refused() {
        let all = |value: i64| vec![value; 2];
        let most = Windows {
            kernel: all(LENGTH_MAX),
            stride: all(1),
            padding: all(LENGTH_MAX),
            dilation: all(LENGTH_MAX),
        };
        let lengths = [Size::Known(LENGTH_MAX); 2];
        assert!(most.over(&lengths).is_ok());
        let wide = Windows { kernel: all(1), dilation: all(1), ..most };
        assert!(wide.over(&lengths).is_err());
        for beyond in [LENGTH_MAX + 1, -LENGTH_MAX - 1, i64::MAX, i64::MIN] {
            assert!(Known::Whole(beyond).whole().is_err() && Size::of(beyond).is_err());
        }
        assert!(Known::Real(1e12).whole().is_err() && Known::Real(f64::NAN).whole().is_err());
        let number = Value { name: "x".into(), element: Element::F32, shape: vec![] };
        assert!(embedding(&mut Network::default(), &number, &number).is_err());
    }
}
