//! Layers that a list of texts describes, such as `["linear 64", "relu", "linear outputs"]`.
//!
//! | text | layer |
//! |---|---|
//! | `linear N`, `linear outputs` | of the last axis, to N |
//! | `relu`, `leaky_relu [SLOPE]`, `elu [ALPHA]`, `gelu`, `silu`, `sigmoid`, `tanh`, `softplus` | of each element |
//! | `dropout [RATE]` | in training |
//! | `batch_norm`, `instance_norm`, `group_norm GROUPS` | of channels, the first axis of a row |
//! | `layer_norm` | of the last axis |
//! | `flatten`, `reshape SIZE ..` | a row as one axis, or of these sizes |
//! | `conv FILTERS KERNEL [STRIDE] [PADDING]` | along all axes behind the channels, one to three |
//! | `max_pool KERNEL [STRIDE]`, `avg_pool KERNEL [STRIDE]` | the same |
//! | `adaptive_avg_pool SIZE`, `adaptive_max_pool SIZE`, `upsample TIMES` | the same |
//! | `embedding ENTRIES WIDTH` | of each whole number |
//! | `rnn N`, `lstm N`, `gru N` | of a row [steps, width], to [steps, N] |
//! | `last` | the last step of a row [steps, width] |
//!
//! Layers are called by their place from 0 on, as those of `torch.nn.Sequential`.

use fedwasm_sdk::*;

use crate::attributes::{Attributes, Result};

/// The most layers.
const LAYERS_MAX: usize = 256;

pub(crate) fn described(a: &Attributes<'_>) -> Result<Sequential> {
    let texts = a.texts("layers")?;
    if texts.is_empty() || texts.len() > LAYERS_MAX {
        let text = format!("{} layers, expected 1 to {LAYERS_MAX}", texts.len());
        return Err(PlanError::InvalidArgument(text).into());
    }
    let mut shape = a.sizes("inputs")?;
    let outputs = a.maybe_size("outputs")?;
    let mut layers = Sequential::new();
    for (nth, text) in texts.iter().enumerate() {
        let mut words = text.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let mut line = Line { name, words: words.collect(), shape: &mut shape, outputs };
        let layer = line
            .layer()
            .map_err(|why| PlanError::InvalidArgument(format!("layer {nth}, `{text}`: {why}")))?;
        layers = layers.then(nth.to_string(), layer);
    }
    Ok(layers)
}

/// One layer, and the shape of a row before it, which becomes that behind it.
struct Line<'a> {
    name: &'a str,
    words: Vec<&'a str>,
    shape: &'a mut Vec<usize>,
    outputs: Option<usize>,
}

/// A layer, or why there is none.
type Described<T> = Result<T, String>;

impl Line<'_> {
    // long: a line for each layer
    fn layer(&mut self) -> Described<Box<dyn Layer>> {
        let most = match self.name {
            "conv" | "reshape" => 4,
            "max_pool" | "avg_pool" | "embedding" => 2,
            "linear" | "leaky_relu" | "elu" | "dropout" | "group_norm" | "adaptive_avg_pool"
            | "adaptive_max_pool" | "upsample" | "rnn" | "lstm" | "gru" => 1,
            "relu" | "gelu" | "silu" | "sigmoid" | "tanh" | "softplus" | "batch_norm"
            | "instance_norm" | "layer_norm" | "flatten" | "last" => 0,
            _ => return Err("no layer has this name".into()),
        };
        if self.words.len() > most {
            return Err(format!("it takes {most} numbers at most"));
        }
        Ok(match self.name {
            "linear" => {
                let outputs = match self.words.first() {
                    Some(&"outputs") => self.outputs.ok_or("no number of outputs is known here")?,
                    _ => self.size(0)?,
                };
                let last = self.shape.last_mut().ok_or("a row has no axis: it needs one")?;
                Box::new(Linear::new(std::mem::replace(last, outputs), outputs))
            }
            "relu" => Box::new(Relu),
            "leaky_relu" => Box::new(LeakyRelu(self.real(0, 0.01)?)),
            "elu" => Box::new(Elu(self.real(0, 1.0)?)),
            "gelu" => Box::new(Gelu),
            "silu" => Box::new(Silu),
            "sigmoid" => Box::new(Sigmoid),
            "tanh" => Box::new(Tanh),
            "softplus" => Box::new(Softplus),
            "dropout" => Box::new(Dropout::new(self.real(0, 0.5)?)),
            "batch_norm" => Box::new(BatchNorm::new(self.channels()?)),
            "instance_norm" => Box::new(InstanceNorm::new(self.channels()?)),
            "group_norm" => Box::new(GroupNorm::new(self.size(0)?, self.channels()?)),
            "layer_norm" => {
                let last = self.shape.last().ok_or("a row has no axis: it needs one")?;
                Box::new(LayerNorm::new(*last))
            }
            "flatten" => {
                let all = self.shape.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
                *self.shape = vec![all.ok_or("a row is too large")?];
                Box::new(Flatten)
            }
            "reshape" => {
                let sizes: Vec<usize> =
                    (0..self.words.len()).map(|nth| self.size(nth)).collect::<Described<_>>()?;
                let len = |sizes: &[usize]| {
                    sizes.iter().try_fold(1usize, |all, size| all.checked_mul(*size))
                };
                if len(&sizes).is_none() || len(&sizes) != len(self.shape) {
                    return Err(self.other_shape(&format!("as many elements as {sizes:?}")));
                }
                self.shape.clone_from(&sizes);
                Box::new(Reshape(sizes))
            }
            "embedding" => {
                let (entries, width) = (self.size(0)?, self.size(1)?);
                self.shape.push(width);
                Box::new(Embedding::new(entries, width))
            }
            "rnn" => {
                let (inputs, units) = self.steps()?;
                Box::new(Rnn::new(inputs, units))
            }
            "lstm" => {
                let (inputs, units) = self.steps()?;
                Box::new(Lstm::new(inputs, units))
            }
            "gru" => {
                let (inputs, units) = self.steps()?;
                Box::new(Gru::new(inputs, units))
            }
            "last" => match self.shape[..] {
                [steps, width] if steps > 0 => {
                    *self.shape = vec![width];
                    Box::new(Last)
                }
                _ => return Err(self.other_shape("[steps, width]")),
            },
            _ => return self.along(),
        })
    }

    /// A layer along the axes behind the channels.
    fn along(&mut self) -> Described<Box<dyn Layer>> {
        match self.shape.len() {
            2 => self.along_of::<1>(),
            3 => self.along_of::<2>(),
            4 => self.along_of::<3>(),
            _ => Err(self.other_shape("[channels] and one to three more axes")),
        }
    }

    fn along_of<const N: usize>(&mut self) -> Described<Box<dyn Layer>> {
        let layer: Box<dyn Layer> = match self.name {
            "conv" => {
                let (filters, kernel) = (self.size(0)?, self.size(1)?);
                let (stride, padding) = (self.size_or(2, 1)?, self.size_or(3, 0)?);
                let channels = std::mem::replace(&mut self.shape[0], filters);
                self.slide(kernel, stride, padding)?;
                let conv: Conv<N, false> = Conv::new(channels, filters, kernel);
                Box::new(conv.stride(stride).padding(padding))
            }
            "max_pool" | "avg_pool" => {
                let kernel = self.size(0)?;
                let stride = self.size_or(1, kernel)?;
                self.slide(kernel, stride, 0)?;
                match self.name {
                    "max_pool" => Box::new(Pool::<N, true>::new(kernel).stride(stride)),
                    _ => Box::new(Pool::<N, false>::new(kernel).stride(stride)),
                }
            }
            "adaptive_avg_pool" | "adaptive_max_pool" => {
                let size = self.size(0)?;
                self.shape[1..].fill(size);
                match self.name {
                    "adaptive_max_pool" => Box::new(AdaptivePool::<N, true>::new(size)),
                    _ => Box::new(AdaptivePool::<N, false>::new(size)),
                }
            }
            "upsample" => {
                let times = self.size(0)?;
                let longer = self.shape[1..].iter().map(|size| size.checked_mul(times));
                let longer: Option<Vec<usize>> = longer.collect();
                self.shape[1..].copy_from_slice(&longer.ok_or("a row is too large")?);
                Box::new(Upsample::nearest(times))
            }
            _ => return Err("no layer has this name".into()),
        };
        Ok(layer)
    }

    /// The axes behind the channels, after windows went over them.
    fn slide(&mut self, kernel: usize, stride: usize, padding: usize) -> Described<()> {
        let shape = self.shape.clone();
        for size in &mut self.shape[1..] {
            let padded = padding.checked_mul(2).and_then(|both| size.checked_add(both));
            let room = padded.and_then(|padded| padded.checked_sub(kernel));
            let room = room.ok_or_else(|| format!("a row {shape:?} has no window of {kernel}"))?;
            *size = room / stride + 1;
        }
        Ok(())
    }

    fn channels(&self) -> Described<usize> {
        self.shape.first().copied().ok_or_else(|| "a row has no axis: it needs channels".into())
    }

    /// The width of a sequence and that behind the layer.
    fn steps(&mut self) -> Described<(usize, usize)> {
        let units = self.size(0)?;
        let [steps, width] = self.shape[..] else {
            return Err(self.other_shape("[steps, width]"));
        };
        *self.shape = vec![steps, units];
        Ok((width, units))
    }

    fn other_shape(&self, wanted: &str) -> String {
        format!("a row has shape {:?}, expected {wanted}", self.shape)
    }

    fn size(&self, nth: usize) -> Described<usize> {
        let word = self.words.get(nth).ok_or("a number is missing")?;
        match word.parse() {
            Ok(size) if size > 0 => Ok(size),
            _ => Err(format!("`{word}` is not a whole number, at least 1")),
        }
    }

    fn size_or(&self, nth: usize, default: usize) -> Described<usize> {
        match self.words.get(nth) {
            None => Ok(default),
            // Of padding there may be none.
            Some(&"0") if default == 0 => Ok(0),
            Some(_) => self.size(nth),
        }
    }

    fn real(&self, nth: usize, default: f64) -> Described<f64> {
        let Some(word) = self.words.get(nth) else { return Ok(default) };
        match word.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(format!("`{word}` is not a number")),
        }
    }
}

/// Rows of these sizes.
struct Reshape(Vec<usize>);

impl Module for Reshape {
    fn visit(&self, _: &mut Visitor<'_>) {}
}

impl Layer for Reshape {
    fn forward(&self, x: &Tensor) -> Tensor {
        let sizes = std::iter::once(x.size(0)).chain(self.0.iter().copied());
        x.reshape(&sizes.map(|size| size as isize).collect::<Vec<_>>())
    }
}

/// The last step of [rows, steps, width].
struct Last;

impl Module for Last {
    fn visit(&self, _: &mut Visitor<'_>) {}
}

impl Layer for Last {
    fn forward(&self, x: &Tensor) -> Tensor {
        x.select(1, x.size(1).saturating_sub(1))
    }
}
