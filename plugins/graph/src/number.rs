//! Numbers that follow from arguments and from sizes of tensors.

use alloc::boxed::Box;
use core::fmt;

use crate::types::NodeId;

/// A number: a constant, an argument, the size of a tensor, or arithmetic of numbers.
///
/// Whole numbers are `i64` and checked: an overflow is an error. Real ones are `f64`.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Integer(i64),
    /// A real number; not NaN.
    Real(f64),
    /// The value of the argument of this place in [`Graph::arguments`](crate::Graph::arguments).
    Argument(u32),
    /// The length of an axis of what a node gives, from the end if it is negative. Only in functions.
    Size(NodeId, i8),
    /// A function of one number.
    Unary(Unary, Box<Number>),
    /// A function of two numbers.
    Binary(Binary, Box<Number>, Box<Number>),
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $code:literal $variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $code,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Its number in bytes.
            #[must_use]
            pub fn code(self) -> u8 {
                self as u8
            }

            /// That of this number.
            #[must_use]
            pub fn by_code(code: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.code() == code)
            }

            /// That of this name.
            #[must_use]
            pub fn by_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}
pub(crate) use codes;

codes! {
    /// A function of one number.
    Unary {
        /// `-x`.
        0 Neg "neg",
        /// `|x|`.
        1 Abs "abs",
        /// The square root; real.
        2 Sqrt "sqrt",
        /// `e^x`; real.
        3 Exp "exp",
        /// The natural logarithm; real.
        4 Ln "ln",
        /// The next whole number below; whole.
        5 Floor "floor",
        /// The next whole number above; whole.
        6 Ceil "ceil",
        /// The nearest whole number, of two the even one; whole.
        7 Round "round",
        /// As a real number.
        8 Real "real",
    }
}

codes! {
    /// A function of two numbers.
    Binary {
        /// `a + b`.
        0 Add "+",
        /// `a - b`.
        1 Sub "-",
        /// `a · b`.
        2 Mul "*",
        /// `a / b`; real.
        3 Div "/",
        /// `a / b` rounded down.
        4 FloorDiv "//",
        /// What [`FloorDiv`](Self::FloorDiv) leaves, of the sign of `b`.
        5 Mod "%",
        /// `a` to the power of `b`; of whole numbers whole, and an error if `b` is below 0. A real one
        /// is `exp(b ln a)` unless `b` is whole and small.
        6 Pow "**",
        /// The smaller.
        7 Min "min",
        /// The larger.
        8 Max "max",
    }
}

impl Number {
    /// Shows it, with arguments and nodes as the functions say.
    pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>, names: &dyn Names) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Real(value) => write!(f, "{value:?}"),
            Self::Argument(nth) => names.argument(f, *nth),
            Self::Size(node, axis) => {
                names.node(f, *node)?;
                write!(f, ".shape[{axis}]")
            }
            Self::Unary(function, x) => {
                write!(f, "{}(", function.name())?;
                x.show(f, names)?;
                f.write_str(")")
            }
            Self::Binary(function @ (Binary::Min | Binary::Max), a, b) => {
                write!(f, "{}(", function.name())?;
                a.show(f, names)?;
                f.write_str(", ")?;
                b.show(f, names)?;
                f.write_str(")")
            }
            Self::Binary(function, a, b) => {
                a.show_operand(f, names)?;
                write!(f, " {} ", function.name())?;
                b.show_operand(f, names)
            }
        }
    }

    /// Calls `f` for each node whose size it needs.
    pub fn sizes(&self, f: &mut dyn FnMut(NodeId)) {
        match self {
            Self::Size(node, _) => f(*node),
            Self::Unary(_, x) => x.sizes(f),
            Self::Binary(_, a, b) => {
                a.sizes(f);
                b.sizes(f);
            }
            Self::Integer(_) | Self::Real(_) | Self::Argument(_) => {}
        }
    }

    /// In brackets where its parts could be mistaken for those of another.
    fn show_operand(&self, f: &mut fmt::Formatter<'_>, names: &dyn Names) -> fmt::Result {
        let is_sum = matches!(self, Self::Binary(function, ..)
            if !matches!(function, Binary::Min | Binary::Max));
        let is_negative = match self {
            Self::Integer(value) => *value < 0,
            Self::Real(value) => value.is_sign_negative(),
            _ => false,
        };
        if is_sum || is_negative {
            f.write_str("(")?;
            self.show(f, names)?;
            return f.write_str(")");
        }
        self.show(f, names)
    }
}

/// What arguments and nodes are called.
pub(crate) trait Names {
    /// Writes the name of an argument.
    fn argument(&self, f: &mut fmt::Formatter<'_>, nth: u32) -> fmt::Result;
    /// Writes the name of what a node gives.
    fn node(&self, f: &mut fmt::Formatter<'_>, node: NodeId) -> fmt::Result;
}
