//! Operations as bytes: for graphs and for interfaces. A byte says which it is, its attributes
//! follow, little-endian. Codes never change their meaning; new operations get new ones.

use alloc::vec::Vec;

use crate::error::Rule;
use crate::op::{
    Binary, ClassLoss, Compare, Op, Pooling, Reduce, Reduction, Sampling, Side, Unary, Window,
    Windows,
};
use crate::shape::{Axes, Dtype, RANK_MAX, Shape};

const CUT: Rule = Rule::Attribute("the bytes of an operation must be whole");
const UNKNOWN: Rule = Rule::Attribute("the code of an operation or attribute must be known");

/// What can be written and read.
pub(crate) trait Code: Sized {
    fn write(&self, to: &mut Vec<u8>);
    fn read(from: &mut &[u8]) -> Result<Self, Rule>;
}

macro_rules! numbers {
    ($($type:ident)*) => {$(
        impl Code for $type {
            fn write(&self, to: &mut Vec<u8>) {
                to.extend(self.to_le_bytes());
            }

            fn read(from: &mut &[u8]) -> Result<Self, Rule> {
                let (bytes, rest) = from.split_first_chunk().ok_or(CUT)?;
                *from = rest;
                Ok(Self::from_le_bytes(*bytes))
            }
        }
    )*};
}

numbers! { u8 u32 i64 f64 }

impl Code for bool {
    fn write(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }

    fn read(from: &mut &[u8]) -> Result<Self, Rule> {
        match u8::read(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(UNKNOWN),
        }
    }
}

impl<T: Code + Copy + Default, const N: usize> Code for [T; N] {
    fn write(&self, to: &mut Vec<u8>) {
        self.iter().for_each(|each| each.write(to));
    }

    fn read(from: &mut &[u8]) -> Result<Self, Rule> {
        let mut all = [T::default(); N];
        for each in &mut all {
            *each = T::read(from)?;
        }
        Ok(all)
    }
}

impl Code for Option<i64> {
    fn write(&self, to: &mut Vec<u8>) {
        self.is_some().write(to);
        if let Some(number) = self {
            number.write(to);
        }
    }

    fn read(from: &mut &[u8]) -> Result<Self, Rule> {
        Ok(if bool::read(from)? { Some(i64::read(from)?) } else { None })
    }
}

impl Code for Shape {
    fn write(&self, to: &mut Vec<u8>) {
        to.push(self.rank() as u8);
        self.sizes().for_each(|size| (size as u32).write(to));
    }

    fn read(from: &mut &[u8]) -> Result<Self, Rule> {
        let rank = usize::from(u8::read(from)?);
        let mut sizes = [0; RANK_MAX];
        for size in sizes.get_mut(..rank).ok_or(Rule::Rank("at most 8 axes"))? {
            *size = u32::read(from)? as usize;
        }
        Self::new(&sizes[..rank])
    }
}

impl Code for Axes {
    fn write(&self, to: &mut Vec<u8>) {
        to.push(self.bits());
    }

    fn read(from: &mut &[u8]) -> Result<Self, Rule> {
        u8::read(from).map(Self::from_bits)
    }
}

macro_rules! records {
    ($($type:ident { $($field:ident),* })*) => {$(
        impl Code for $type {
            fn write(&self, to: &mut Vec<u8>) {
                $(self.$field.write(to);)*
            }

            fn read(from: &mut &[u8]) -> Result<Self, Rule> {
                Ok(Self { $($field: Code::read(from)?),* })
            }
        }
    )*};
}

records! {
    Window { stride, padding, dilation, groups }
    ClassLoss { is_log, ignored, reduction }
}

macro_rules! variants {
    ($($type:ident {
        $($code:literal $variant:ident $(($($field:ident),*))? $({$($named:ident),*})?;)*
    })*) => {$(
        impl Code for $type {
            fn write(&self, to: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($($field),*))? $({$($named),*})? => {
                        to.push($code);
                        $($($field.write(to);)*)?
                        $($($named.write(to);)*)?
                    })*
                }
            }

            fn read(from: &mut &[u8]) -> Result<Self, Rule> {
                match u8::read(from)? {
                    $($code => {
                        $($(let $field = Code::read(from)?;)*)?
                        $($(let $named = Code::read(from)?;)*)?
                        Ok(Self::$variant $(($($field),*))? $({$($named),*})?)
                    })*
                    _ => Err(UNKNOWN),
                }
            }
        }
    )*};
}

variants! {
    Dtype { 0 F32; 1 F64; 2 I64; 3 Bool; }
    Side { 0 Left; 1 Right; }
    Compare { 0 Equal; 1 NotEqual; 2 Less; 3 LessEqual; 4 Greater; 5 GreaterEqual; }
    Reduce { 0 Sum; 1 Mean; 2 Max; 3 Min; 4 LogSumExp; }
    Reduction { 0 None; 1 Sum; 2 Mean; }
    Sampling { 0 Nearest; 1 Linear; 2 LinearCorners; }
    Pooling { 0 Max; 1 Mean(counts_padding); }
    Windows { 0 Strided { kernel, stride, padding }; 1 Adaptive(sizes); }
    Unary {
        0 Neg; 1 Exp; 2 Ln; 3 Sqrt; 4 Rsqrt; 5 Reciprocal; 6 Square; 7 Abs; 8 Sign;
        9 AddScalar(c); 10 MulScalar(c); 11 PowScalar(c); 12 Clamp(low, high); 13 Relu;
        14 LeakyRelu(slope); 15 Elu(alpha); 16 Gelu; 17 GeluTanh; 18 Silu; 19 Sigmoid; 20 Tanh;
        21 Softplus;
    }
    Binary {
        0 Add; 1 Sub; 2 Mul; 3 Div; 4 Pow; 5 Max; 6 Min; 7 Bce; 8 Huber(delta); 9 Kl;
    }
    Op {
        0 Full { shape, dtype, value };
        1 Range(len);
        2 Cast(dtype);
        3 Unary(f);
        4 UnaryGradient(f);
        5 Binary(f);
        6 BinaryGradient(f, side);
        7 Compare(by);
        8 Where;
        9 Reduce(by, axes, keep);
        10 Variance { axes, keep, correction };
        11 ArgMax { axis, keep };
        12 MatMul { left, right };
        13 Linear;
        14 Conv(window);
        15 ConvTranspose(window, longer);
        16 ConvWeights(window, kernel);
        17 Pool(pooling, windows);
        18 PoolGradient(pooling, windows, sizes);
        19 Resample(by, sizes);
        20 ResampleGradient(by, sizes);
        21 Normalise { axes, epsilon };
        22 NormaliseGradient { axes, epsilon };
        23 Softmax(axis);
        24 SoftmaxGradient(axis);
        25 LogSoftmax(axis);
        26 LogSoftmaxGradient(axis);
        27 Embedding;
        28 EmbeddingGradient(rows);
        29 Gather(axis);
        30 ScatterAdd(axis);
        31 Concat(axis);
        32 Slice { axis, start, len, step };
        33 SliceGradient { axis, start, size, step };
        34 Pad { axis, before, after, value };
        35 Permute(axes);
        36 Reshape(shape);
        37 Expand(shape);
        38 Dropout(rate);
        39 ClassLoss(loss);
        40 ClassLossGradient(loss);
    }
}

impl Op {
    /// Appends the operation's bytes.
    pub fn write(&self, to: &mut Vec<u8>) {
        Code::write(self, to);
    }

    /// Reads an operation from the front of `from`, which is behind it then.
    ///
    /// # Errors
    /// [`Rule::Attribute`] if bytes are missing or a code is not known, and those of
    /// [`Shape::new`]. Attributes are checked by [`infer`](crate::infer()) only.
    pub fn read(from: &mut &[u8]) -> Result<Self, Rule> {
        Code::read(from)
    }
}
