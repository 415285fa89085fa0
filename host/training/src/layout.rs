//! The mapping from fields of a dataset to inputs and targets of a plan.

use std::collections::{HashMap, HashSet};

use fedwasm_dataset::{Dataset, Field, is_index};
use fedwasm_params::DType;
use fedwasm_protocol::{DataArgs, FieldSelection};
use fedwasm_sandbox::{DataSpec, Declaration, Dependency, Described};

use crate::Error;
use crate::error::not_offered;
use crate::preprocessing::scale_names;

/// The mapping from fields of a dataset to inputs and targets of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Places of the fields that are read; inputs first.
    pub(crate) fields: Vec<usize>,
    /// How many of the fields are inputs.
    pub(crate) n_input_fields: usize,
    /// The inputs that the plan declares, in its order.
    pub(crate) inputs: Vec<Part>,
    /// The targets that the plan declares, in its order.
    pub(crate) targets: Vec<Part>,
}

/// One input or target: the values of some fields, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its name and shape, as the plan declares them.
    pub(crate) name: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) kind: PartKind,
    /// Where its fields are in [`Layout::fields`].
    pub(crate) columns: Vec<usize>,
    /// Values of a row.
    pub(crate) width: usize,
}

/// The type of values for a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartKind {
    /// float32.
    Real,
    /// int64: classes, from 0 on.
    Class,
    /// int64: any whole numbers.
    Whole,
}

impl Part {
    /// Bytes of a value that is kept: images keep their pixels.
    pub(crate) fn kept_bytes(&self, dataset: &Dataset, layout: &Layout) -> u64 {
        match (self.kind, &self.columns[..]) {
            (PartKind::Real, [at]) if dataset.fields()[layout.fields[*at]].is_image() => 1,
            (kind, _) => kind.size(),
        }
    }
}

impl PartKind {
    /// Bytes of one value.
    pub(crate) fn size(self) -> u64 {
        match self {
            Self::Real => 4,
            Self::Class | Self::Whole => 8,
        }
    }
}

/// The fields of a run before the plan's declaration is known.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) inputs: Vec<usize>,
    pub(crate) targets: Vec<usize>,
}

impl Chosen {
    /// Finds the fields of a run by name. No inputs mean all but the targets and the column of the
    /// split.
    ///
    /// # Errors
    /// [`Error::Dataset`]: a field is absent, is used twice, or none is left.
    pub(crate) fn new(dataset: &Dataset, data: &DataArgs) -> Result<Self, Error> {
        let targets = data.target.names().into_iter().map(|name| dataset.position(name));
        Self::with_targets(dataset, data, targets.collect::<Result<_, _>>()?)
    }

    /// The same without targets, which the dataset need not have.
    ///
    /// # Errors
    /// As [`Chosen::new`].
    pub(crate) fn inputs(dataset: &Dataset, data: &DataArgs) -> Result<Self, Error> {
        Self::with_targets(dataset, data, Vec::new())
    }

    fn with_targets(
        dataset: &Dataset,
        data: &DataArgs,
        targets: Vec<usize>,
    ) -> Result<Self, Error> {
        let position = |name: &String| dataset.position(name);
        let inputs: Vec<usize> = match &data.inputs {
            Some(inputs) => inputs.names().into_iter().map(position).collect::<Result<_, _>>()?,
            None => {
                let split = data.split.column().and_then(|name| dataset.position(name).ok());
                let is_input = |at: &usize| !targets.contains(at) && Some(*at) != split;
                (0..dataset.fields().len()).filter(is_input).collect()
            }
        };
        let path = dataset.path().to_owned();
        let index = inputs.iter().find(|at| is_index(&dataset.fields()[**at].name));
        if let (None, Some(at)) = (&data.inputs, index) {
            let column = dataset.fields()[*at].name.clone();
            return Err(fedwasm_dataset::Error::Index { path, column }.into());
        }
        if inputs.is_empty() {
            return Err(fedwasm_dataset::Error::NoInputs { path }.into());
        }
        let scales = scale_names(inputs.iter().map(|at| &dataset.fields()[*at]));
        let mut known = HashSet::new();
        if let Some(column) = scales.iter().find(|name| !known.insert(name.as_str())) {
            // As the first number of `a` and a field called `a[0]`.
            let (path, column) = (path, column.clone());
            return Err(fedwasm_dataset::Error::UsedTwice { path, column }.into());
        }
        let mut used = std::collections::BTreeSet::new();
        if let Some(at) = targets.iter().chain(&inputs).find(|at| !used.insert(**at)) {
            let column = dataset.fields()[*at].name.clone();
            return Err(fedwasm_dataset::Error::UsedTwice { path, column }.into());
        }
        Ok(Self { inputs, targets })
    }

    /// Values of all inputs of a row.
    pub(crate) fn n_inputs(&self, dataset: &Dataset) -> usize {
        self.inputs.iter().map(|at| dataset.fields()[*at].width()).sum()
    }
}

impl Layout {
    /// Checks that the plan takes the selected fields.
    ///
    /// # Errors
    /// [`Error::Dataset`], [`Error::MissingColumn`], [`Error::Inputs`],
    /// [`Error::Part`], [`Error::Shape`], [`Error::NoField`], [`Error::NotTaken`], and a fault if
    /// the plan declares what this version does not offer.
    pub(crate) fn new(
        plan: &Described,
        declaration: &Declaration,
        dataset: &Dataset,
        data: &DataArgs,
    ) -> Result<Self, Error> {
        Self::of(plan, declaration, dataset, data, Chosen::new(dataset, data)?)
    }

    /// The same without targets, which the dataset need not have.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub(crate) fn of_inputs(
        plan: &Described,
        declaration: &Declaration,
        dataset: &Dataset,
        data: &DataArgs,
    ) -> Result<Self, Error> {
        let declaration = Declaration { targets: Vec::new(), ..declaration.clone() };
        Self::of(plan, &declaration, dataset, data, Chosen::inputs(dataset, data)?)
    }

    fn of(
        plan: &Described,
        declaration: &Declaration,
        dataset: &Dataset,
        data: &DataArgs,
        chosen: Chosen,
    ) -> Result<Self, Error> {
        let all = dataset.fields();
        for dependency in &plan.metadata().dependencies {
            if let Dependency::DataColumn(column) = dependency
                && !chosen.inputs.iter().any(|at| all[*at].name == *column)
            {
                return Err(Error::MissingColumn { column: column.clone() });
            }
        }
        let fields: Vec<usize> = chosen.inputs.iter().chain(&chosen.targets).copied().collect();
        let n_inputs = chosen.inputs.len();
        let parts = |specs: &[DataSpec],
                     selection: Option<&FieldSelection>,
                     offset: usize,
                     of: &[usize]| {
            let names = of.iter().enumerate().map(|(at, of)| (all[*of].name.as_str(), at));
            let names: HashMap<&str, usize> = names.collect();
            let what = if offset == 0 { "input" } else { "target" };
            let known = || specs.iter().map(|spec| spec.name.clone()).collect();
            if let Some(FieldSelection::Table(table)) = selection {
                let is_known = |name: &&String| specs.iter().any(|spec| spec.name == **name);
                if let Some(name) = table.keys().find(|name| !is_known(name)) {
                    return Err(Error::NotTaken { what, name: name.clone(), all: known() });
                }
            }
            let part = |spec: &DataSpec| -> Result<Part, Error> {
                let columns = match selection {
                    Some(FieldSelection::Table(table)) => {
                        table.get(&spec.name).map(|own| named(&names, own)).unwrap_or_default()
                    }
                    _ if specs.len() == 1 => (0..names.len()).collect(),
                    _ => named(&names, std::slice::from_ref(&spec.name)),
                };
                if columns.is_empty() {
                    let name = spec.name.clone();
                    return Err(Error::NoField { what, name, all: known() });
                }
                let found: Vec<&Field> = columns.iter().map(|at| &all[of[*at]]).collect();
                let (kind, width) = fits(plan, spec, &found, what, specs.len())?;
                let columns = columns.into_iter().map(|at| at + offset).collect();
                let (name, shape) = (spec.name.clone(), spec.shape.clone());
                Ok(Part { name, shape, kind, columns, width })
            };
            specs.iter().map(part).collect::<Result<Vec<_>, _>>()
        };
        let inputs = parts(&declaration.inputs, data.inputs.as_ref(), 0, &chosen.inputs)?;
        if inputs.is_empty() {
            return Err(not_offered(plan, "no inputs"));
        }
        let targets = match (&declaration.targets[..], &chosen.targets[..]) {
            ([], []) => Vec::new(),
            (specs, chosen) => parts(specs, Some(&data.target), n_inputs, chosen)?,
        };
        Ok(Self { fields, n_input_fields: n_inputs, inputs, targets })
    }

    /// Values of all inputs of a row.
    pub(crate) fn n_inputs(&self) -> usize {
        self.inputs.iter().map(|part| part.width).sum()
    }
}

/// Places of some names; empty if one is not there.
fn named(all: &HashMap<&str, usize>, wanted: &[String]) -> Vec<usize> {
    let place = |name: &String| all.get(name.as_str()).copied();
    wanted.iter().map(place).collect::<Option<_>>().unwrap_or_default()
}

/// Checks element type and shape of an input or target against its fields.
fn fits(
    plan: &Described,
    spec: &DataSpec,
    fields: &[&Field],
    what: &'static str,
    n_parts: usize,
) -> Result<(PartKind, usize), Error> {
    let is_input = what == "input";
    let DataSpec { name, dtype, shape } = spec;
    let kind = match (dtype, is_input, &shape[..]) {
        (DType::Float32, _, _) => PartKind::Real,
        (DType::Int64, false, []) => PartKind::Class,
        (DType::Int64, false, _) => PartKind::Whole,
        (dtype, true, shape) => {
            return Err(not_offered(plan, format!("inputs of {dtype} {shape:?}")));
        }
        (dtype, false, shape) => {
            return Err(not_offered(plan, format!("targets of {dtype} {shape:?}")));
        }
    };
    let width: usize = fields.iter().map(|field| field.width()).sum();
    let expected = shape.iter().fold(1u64, |product, n| product.saturating_mul(*n));
    if expected != width as u64 {
        return Err(if is_input && n_parts == 1 {
            Error::Inputs { expected, got: width }
        } else {
            Error::Part { what, name: name.clone(), expected, got: width }
        });
    }
    // Axes must agree where both have some; one of length 1 is ignored.
    let long = |shape: &[u64]| shape.iter().copied().filter(|n| *n != 1).collect::<Vec<_>>();
    if let [field] = fields
        && field.shape.len() > 1
        && shape.len() > 1
        && long(&field.shape) != long(shape)
    {
        let (name, field) = (name.clone(), (*field).clone());
        let (expected, got) = (shape.clone(), field.shape);
        return Err(Error::Shape { name, expected, field: field.name, got });
    }
    Ok((kind, width))
}
