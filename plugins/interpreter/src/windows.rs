//! Convolutions and pooling along `N` axes.

use fedwasm_compute::compose;
use fedwasm_graph::FunctionKind;
use fedwasm_sdk::{PlanError, Tensor, Window, Windows};

use crate::attributes::{Attributes, Result};

fn must_have<const N: usize>(kind: FunctionKind, x: &Tensor) -> Result<()> {
    // One that failed has no axes, and its mistake was noted.
    if x.rank() == N + 2 || x.rank() == 0 {
        return Ok(());
    }
    let (name, shape) = (kind.name(), x.shape());
    let text = format!("{name} takes [rows, channels] and {N} more axes, not {shape:?}");
    Err(PlanError::Internal(text).into())
}

fn window<const N: usize>(a: &Attributes<'_>) -> Result<Window> {
    let sizes = |name, default| -> Result<[u32; 3]> {
        let sizes: Option<[usize; N]> = a.along(name)?;
        Ok(compose::sizes(sizes.as_ref().map_or(&[], |sizes| &sizes[..]), default))
    };
    Ok(Window {
        stride: sizes("stride", 1)?,
        padding: sizes("padding", 0)?,
        dilation: sizes("dilation", 1)?,
        groups: a.maybe_size("groups")?.map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX)),
    })
}

#[track_caller]
pub(crate) fn conv<const N: usize>(
    kind: FunctionKind,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    a: &Attributes<'_>,
) -> Result<Tensor> {
    must_have::<N>(kind, x)?;
    Ok(x.conv(weight, bias, window::<N>(a)?))
}

#[track_caller]
pub(crate) fn conv_transpose<const N: usize>(
    kind: FunctionKind,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    a: &Attributes<'_>,
) -> Result<Tensor> {
    must_have::<N>(kind, x)?;
    let longer = a.along::<N>("output_padding")?.unwrap_or([0; N]);
    Ok(x.conv_transpose(weight, bias, window::<N>(a)?, compose::sizes(&longer, 0)))
}

fn strided<const N: usize>(a: &Attributes<'_>) -> Result<Windows> {
    let Some(kernel) = a.along::<N>("kernel_size")? else {
        return Err(PlanError::Internal("a pooling needs a kernel_size".into()).into());
    };
    let stride = a.along::<N>("stride")?.unwrap_or(kernel);
    let padding = a.along::<N>("padding")?.unwrap_or([0; N]);
    Ok(Windows::Strided {
        kernel: compose::sizes(&kernel, 1),
        stride: compose::sizes(&stride, 1),
        padding: compose::sizes(&padding, 0),
    })
}

#[track_caller]
pub(crate) fn max_pool<const N: usize>(
    kind: FunctionKind,
    x: &Tensor,
    a: &Attributes<'_>,
) -> Result<Tensor> {
    must_have::<N>(kind, x)?;
    Ok(x.max_pool(strided::<N>(a)?))
}

#[track_caller]
pub(crate) fn avg_pool<const N: usize>(
    kind: FunctionKind,
    x: &Tensor,
    a: &Attributes<'_>,
) -> Result<Tensor> {
    must_have::<N>(kind, x)?;
    Ok(x.avg_pool(strided::<N>(a)?, a.flag("count_include_pad", true)?))
}

pub(crate) fn adaptive<const N: usize>(
    kind: FunctionKind,
    x: &Tensor,
    a: &Attributes<'_>,
) -> Result<Windows> {
    must_have::<N>(kind, x)?;
    let sizes = a.along::<N>("output_size")?;
    let sizes = sizes.ok_or_else(|| PlanError::Internal("a pooling needs sizes".into()))?;
    Ok(Windows::Adaptive(compose::sizes(&sizes, 1)))
}
