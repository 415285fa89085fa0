//! What PyTorch computes, for the tests: `tests/torch_values.txt` and `tests/module_values.txt`,
//! written by the scripts beside them.

use crate::{Parameter, Tensor};

const FILE: &str =
    concat!(include_str!("../tests/torch_values.txt"), include_str!("../tests/module_values.txt"));

/// A tensor of the file. Whole numbers and scalars are float32, too.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Values {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

impl Values {
    pub(crate) fn tensor(&self) -> Tensor {
        Tensor::from_slice(&self.data, &self.shape)
    }

    /// As int64, for classes and indices.
    pub(crate) fn whole(&self) -> Tensor {
        self.tensor().to_i64()
    }
}

/// The tensor of this name.
pub(crate) fn torch(name: &str) -> Values {
    find(name).unwrap_or_else(|| panic!("the files have no {name}"))
}

/// The names of all tensors, in their order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FILE.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty())
}

/// As [`torch`], if there is one.
pub(crate) fn find(name: &str) -> Option<Values> {
    let mut lines = FILE.lines();
    let heading = lines.find(|line| line.split(' ').next() == Some(name))?;
    let shape: Vec<usize> = heading.split(' ').skip(1).map(|axis| axis.parse().unwrap()).collect();
    let elements = lines.take_while(|line| line.starts_with(' '));
    let data = elements.flat_map(str::split_whitespace).map(|text| text.parse().unwrap());
    Some(Values { shape, data: data.collect() })
}

/// Gives each parameter the value of the file that is called `name.parameter`.
pub(crate) fn fill(name: &str, parameters: &[(String, Parameter)]) {
    for (parameter, of) in parameters {
        of.set(&torch(&format!("{name}.{parameter}")).tensor());
    }
}

/// Compares with the tensor of this name: each element may be off by `tolerance` times the
/// largest magnitude of the tensor.
#[track_caller]
pub(crate) fn assert_torch(name: &str, got: &Tensor, tolerance: f32) {
    let expected = torch(name);
    let data = got.to_vec::<f32>().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(got.shape(), expected.shape, "shape of {name}");
    assert_near(name, &data, &expected.data, tolerance);
}

/// As [`assert_torch`], of elements in any shape.
#[track_caller]
pub(crate) fn assert_near(name: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "elements of {name}");
    let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    for (nth, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (got - expected).abs();
        // A NaN is no small error.
        assert!(
            error <= tolerance * largest,
            "{name}[{nth}] is {got}, PyTorch has {expected}; off by {error}, largest {largest}"
        );
    }
}
