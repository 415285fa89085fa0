//! A start from parameters that were trained before: all of them, or those that patterns choose.

use std::collections::BTreeMap;

use fedwasm_params::{Params, Tensor};
use fedwasm_protocol::suggestion;
use fedwasm_sandbox::{Cancel, Scope, TensorSpec};

use crate::foreign_params::fitted;
use crate::{Error, Round};

/// How many names a message repeats.
const SHOWN_MAX: usize = 8;

impl Round {
    /// Returns the parameters to start from where patterns such as `net.0.*` choose: the given
    /// ones that match one of `only`, and the plan's initial ones otherwise. A `*` stands for any
    /// characters. Names and shapes must be the plan's.
    ///
    /// # Errors
    /// [`Error::InitPattern`], [`Error::InitTensor`], [`Error::Tensors`], [`Error::Sandbox`].
    pub fn start_from(
        &self,
        given: Params,
        only: &[String],
        random_seed: u64,
        cancel: &Cancel,
    ) -> Result<Params, Error> {
        let tensors = |source| Error::Tensors { what: "the given parameters", source };
        let given = fitted(self.declaration(), given).map_err(tensors)?;
        let specs = &self.declaration().model;
        for pattern in only {
            if !specs.iter().any(|spec| matches(pattern, &spec.name)) {
                let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
                let hint = match suggestion(&names, pattern) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("its parameters are {}", shown(&names)),
                };
                return Err(Error::InitPattern { pattern: pattern.clone(), hint });
            }
        }
        let initial = self.initial_params(random_seed, cancel)?;
        let mut start: BTreeMap<String, Tensor> =
            initial.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
        let is_chosen =
            |spec: &&TensorSpec| only.iter().any(|pattern| matches(pattern, &spec.name));
        for spec in specs.iter().filter(is_chosen) {
            start.insert(spec.name.clone(), taken(&given, spec)?);
        }
        Params::new(start.into_iter().collect()).map_err(tensors)
    }

    /// The same for a federation: without the parameters that are local to nodes.
    ///
    /// # Errors
    /// As [`Round::start_from`].
    pub fn shared_start_from(
        &self,
        given: Params,
        only: &[String],
        random_seed: u64,
        cancel: &Cancel,
    ) -> Result<Params, Error> {
        let local = |name: &String| {
            let specs = &self.declaration().model;
            specs.iter().any(|spec| spec.scope == Scope::Local && matches(name, &spec.name))
        };
        if let Some(pattern) = only.iter().find(|pattern| local(pattern)) {
            let hint = "it matches parameters that are local to nodes, which start as the plan \
                        draws them";
            return Err(Error::InitPattern { pattern: pattern.clone(), hint: hint.into() });
        }
        self.shared(&self.start_from(given, only, random_seed, cancel)?)
    }
}

/// The tensor that a parameter starts from.
fn taken(given: &Params, spec: &TensorSpec) -> Result<Tensor, Error> {
    let wrong = |reason: String| Error::InitTensor { name: spec.name.clone(), reason };
    let Some(tensor) = given.tensor(&spec.name) else {
        let names: Vec<&str> = given.iter().map(|(name, _)| name).collect();
        return Err(wrong(format!("is not among the given ones, which are {}", shown(&names))));
    };
    if (tensor.dtype(), tensor.shape()) != (spec.dtype, &spec.shape[..]) {
        return Err(wrong(format!(
            "is {} {:?} where it is given, and {} {:?} in the plan",
            tensor.dtype(),
            tensor.shape(),
            spec.dtype,
            spec.shape
        )));
    }
    Ok(tensor.clone())
}

fn shown(names: &[&str]) -> String {
    let more = if names.len() > SHOWN_MAX { ", ..." } else { "" };
    names[..names.len().min(SHOWN_MAX)].join(", ") + more
}

/// Whether a name is as a pattern says, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("net.0.*", "net.0.weight", true),
            ("net.0.*", "net.10.weight", false),
            ("*.bias", "net.0.bias", true),
            ("*", "", true),
            ("net.*.weight", "net.0.weight", true),
            ("net.*.weight", "net.weight", false),
            ("a*a", "a", false),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "axcxb", false),
            ("net", "net.0", false),
            ("net", "net", true),
            ("", "", true),
            ("", "a", false),
            ("**", "é", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
