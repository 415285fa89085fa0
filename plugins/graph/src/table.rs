//! What the tables of functions and modules say of each entry.

/// What a call takes and gives.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// The name.
    pub name: &'static str,
    /// The least and the most tensors that go in.
    pub inputs: (u8, u8),
    /// How many tensors come out; 0 if it depends.
    pub outputs: u8,
    /// What it is told beside.
    pub attributes: &'static [Attr],
}

/// An attribute of a call.
#[derive(Clone, Copy, Debug)]
pub struct Attr {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: AttrKind,
    /// Whether it must be there; otherwise PyTorch's default holds.
    pub is_required: bool,
}

/// A kind of attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttrKind {
    /// A truth value.
    Flag,
    /// One of these texts.
    Word(&'static [&'static str]),
    /// A whole number; an axis counts from the end if it is negative.
    Integer,
    /// A whole number, at least 0.
    Size,
    /// A number.
    Real,
    /// Whole numbers.
    Integers,
    /// Whole numbers, at least 0. Of windows: one for each axis, or one for all.
    Sizes,
    /// Numbers.
    Reals,
    /// Texts.
    Texts,
}

/// An attribute that must be there.
pub(crate) const fn need(name: &'static str, kind: AttrKind) -> Attr {
    Attr { name, kind, is_required: true }
}

/// An attribute that may be there.
pub(crate) const fn may(name: &'static str, kind: AttrKind) -> Attr {
    Attr { name, kind, is_required: false }
}

/// Declares a table.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident {
        $($code:literal $variant:ident $text:literal $min:literal..=$max:literal => $outputs:literal
            $(# $variant_doc:literal)? [$($attr:expr),* $(,)?];)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum $name {
            $(
                #[doc = concat!("`", $text, "`", $(": ", $variant_doc,)? ".")]
                $variant = $code,
            )*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What it takes and gives.
            #[must_use]
            pub fn signature(self) -> &'static Signature {
                match self {
                    $(Self::$variant => const {
                        &Signature {
                            name: $text,
                            inputs: ($min, $max),
                            outputs: $outputs,
                            attributes: &[$($attr),*],
                        }
                    },)*
                }
            }

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                self.signature().name
            }

            /// Its number in bytes.
            #[must_use]
            pub fn code(self) -> u16 {
                self as u16
            }

            /// That of this number.
            #[must_use]
            pub fn by_code(code: u16) -> Option<Self> {
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
pub(crate) use table;
