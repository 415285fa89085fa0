//! Attributes of one call, read by name.

use fedwasm_graph::{AttrKind, Signature, Value};
use fedwasm_sdk::{Dtype, PlanError, Reduction};

/// As the SDK's, and small: the runtime is full of it.
pub(crate) type Result<T, E = Box<PlanError>> = core::result::Result<T, E>;

/// What a call was given.
pub(crate) struct Attributes<'a> {
    pub(crate) signature: &'static Signature,
    pub(crate) values: &'a [Option<Value>],
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(signature: &'static Signature, values: &'a [Option<Value>]) -> Result<Self> {
        let known = signature.attributes.len();
        if values.len() > known {
            let (name, given) = (signature.name, values.len());
            let text = format!("{name} takes {known} attributes, not {given}");
            return Err(PlanError::Internal(text).into());
        }
        Ok(Self { signature, values })
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        let nth = self.signature.attributes.iter().position(|attr| attr.name == name);
        nth.and_then(|nth| self.values.get(nth)).and_then(Option::as_ref)
    }

    #[cold]
    fn wrong(&self, name: &str, wanted: &str) -> Box<PlanError> {
        let of = self.signature.name;
        let text = match self.value(name) {
            Some(value) => format!("{of}: {name} is {value:?}, expected {wanted}"),
            None => format!("{of}: {name} is missing, expected {wanted}"),
        };
        PlanError::InvalidArgument(text).into()
    }

    /// Its value, or none if it was not given; an error if it has no such form.
    fn read<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.wrong(name, wanted)),
        }
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        let read = |value: &Value| match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        };
        Ok(self.read(name, "a truth value", read)?.unwrap_or(default))
    }

    /// One of the words of the table; the first that is said there if none is given.
    pub(crate) fn word(&self, name: &str) -> Result<&'static str> {
        let attr = self.signature.attributes.iter().find(|attr| attr.name == name);
        let Some(AttrKind::Word(words)) = attr.map(|attr| attr.kind) else {
            return Err(self.wrong(name, "a word"));
        };
        let read = |value: &Value| match value {
            Value::Text(text) => words.iter().copied().find(|word| word == text),
            _ => None,
        };
        let word = self.read(name, &words.join(" or "), read)?;
        word.or(words.first().copied()).ok_or_else(|| self.wrong(name, "a word"))
    }

    pub(crate) fn reduction(&self) -> Result<Reduction> {
        Ok(match self.word("reduction")? {
            "sum" => Reduction::Sum,
            "none" => Reduction::None,
            _ => Reduction::Mean,
        })
    }

    pub(crate) fn dtype(&self) -> Result<Dtype> {
        Ok(match self.word("dtype")? {
            "float64" => Dtype::F64,
            "int64" => Dtype::I64,
            "bool" => Dtype::Bool,
            _ => Dtype::F32,
        })
    }

    pub(crate) fn maybe_integer(&self, name: &str) -> Result<Option<i64>> {
        let read = |value: &Value| match value {
            Value::Integer(value) => Some(*value),
            _ => None,
        };
        self.read(name, "a whole number", read)
    }

    /// An axis, from the end if it is negative.
    pub(crate) fn axis(&self, name: &str) -> Result<isize> {
        let value = self.maybe_integer(name)?.and_then(|value| isize::try_from(value).ok());
        value.ok_or_else(|| self.wrong(name, "a whole number"))
    }

    pub(crate) fn maybe_size(&self, name: &str) -> Result<Option<usize>> {
        match self.maybe_integer(name)? {
            None => Ok(None),
            Some(value) => {
                let size = usize::try_from(value);
                size.map(Some).map_err(|_| self.wrong(name, "at least 0"))
            }
        }
    }

    pub(crate) fn size(&self, name: &str) -> Result<usize> {
        self.maybe_size(name)?.ok_or_else(|| self.wrong(name, "a whole number"))
    }

    pub(crate) fn maybe_real(&self, name: &str) -> Result<Option<f64>> {
        let read = |value: &Value| match value {
            Value::Integer(value) => Some(*value as f64),
            Value::Real(value) => Some(*value),
            _ => None,
        };
        self.read(name, "a number", read)
    }

    pub(crate) fn real(&self, name: &str) -> Result<f64> {
        self.maybe_real(name)?.ok_or_else(|| self.wrong(name, "a number"))
    }

    pub(crate) fn maybe_axes(&self, name: &str) -> Result<Option<Vec<isize>>> {
        let read = |value: &Value| match value {
            Value::Integers(all) => all.iter().map(|value| isize::try_from(*value).ok()).collect(),
            Value::Integer(one) => isize::try_from(*one).ok().map(|one| vec![one]),
            Value::Reals(none) if none.is_empty() => Some(Vec::new()),
            _ => None,
        };
        self.read(name, "a list of whole numbers", read)
    }

    pub(crate) fn axes(&self, name: &str) -> Result<Vec<isize>> {
        self.maybe_axes(name)?.ok_or_else(|| self.wrong(name, "a list of whole numbers"))
    }

    pub(crate) fn maybe_sizes(&self, name: &str) -> Result<Option<Vec<usize>>> {
        let Some(axes) = self.maybe_axes(name)? else { return Ok(None) };
        let sizes = axes.iter().map(|size| usize::try_from(*size).ok()).collect::<Option<_>>();
        sizes.map(Some).ok_or_else(|| self.wrong(name, "whole numbers, each at least 0"))
    }

    pub(crate) fn sizes(&self, name: &str) -> Result<Vec<usize>> {
        self.maybe_sizes(name)?.ok_or_else(|| self.wrong(name, "a list of whole numbers"))
    }

    /// A size for each of `N` axes; one alone is for all.
    pub(crate) fn along<const N: usize>(&self, name: &str) -> Result<Option<[usize; N]>> {
        let Some(sizes) = self.maybe_sizes(name)? else { return Ok(None) };
        match sizes[..] {
            [one] => Ok(Some([one; N])),
            _ => match sizes.try_into() {
                Ok(sizes) => Ok(Some(sizes)),
                Err(_) => Err(self.wrong(name, &format!("one size, or {N}"))),
            },
        }
    }

    pub(crate) fn reals(&self, name: &str) -> Result<Vec<f64>> {
        let read = |value: &Value| match value {
            Value::Reals(all) => Some(all.clone()),
            Value::Integers(all) => Some(all.iter().map(|value| *value as f64).collect()),
            _ => None,
        };
        self.read(name, "a list of numbers", read)?
            .ok_or_else(|| self.wrong(name, "a list of numbers"))
    }

    pub(crate) fn texts(&self, name: &str) -> Result<&'a [String]> {
        let read = |value: &'a Value| match value {
            Value::Texts(all) => Some(all.as_slice()),
            _ => None,
        };
        self.read(name, "a list of texts", read)?.ok_or_else(|| self.wrong(name, "a list of texts"))
    }
}
