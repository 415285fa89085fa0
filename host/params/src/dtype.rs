//! Element types.

use serde::{Deserialize, Serialize};

/// Element type of a tensor; elements are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// One byte, 0 or 1.
    Boolean,
    /// 8-bit unsigned integer.
    UInt8,
    /// 8-bit two's complement integer.
    Int8,
    /// 16-bit two's complement integer.
    Int16,
    /// 32-bit two's complement integer.
    Int32,
    /// 64-bit two's complement integer.
    Int64,
    /// IEEE 754 binary16.
    Float16,
    /// The upper half of an IEEE 754 binary32.
    BFloat16,
    /// IEEE 754 binary32.
    Float32,
    /// IEEE 754 binary64.
    Float64,
}

impl DType {
    /// All element types.
    pub const ALL: [Self; 10] = [
        Self::Boolean,
        Self::UInt8,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Float16,
        Self::BFloat16,
        Self::Float32,
        Self::Float64,
    ];

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::Boolean | Self::UInt8 | Self::Int8 => 1,
            Self::Int16 | Self::Float16 | Self::BFloat16 => 2,
            Self::Int32 | Self::Float32 => 4,
            Self::Int64 | Self::Float64 => 8,
        }
    }

    /// NumPy's `dtype.name`; NumPy has no bfloat16 of its own, so that one
    /// follows the `ml_dtypes` package.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "bool",
            Self::UInt8 => "uint8",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    /// Returns the element type of a NumPy name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
