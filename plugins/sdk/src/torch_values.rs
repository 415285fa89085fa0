//! What PyTorch computes, for the tests: `torch_values.txt`, written by `tests/torch_values.py`.

use crate::Tensor;

const FILE: &str = include_str!("torch_values.txt");

/// The tensor of this name. Whole numbers and scalars are float32, too.
pub(crate) fn torch(name: &str) -> Tensor {
    find(name).unwrap_or_else(|| panic!("torch_values.txt has no {name}"))
}

/// As [`torch`], if there is one.
pub(crate) fn find(name: &str) -> Option<Tensor> {
    let mut lines = FILE.lines();
    let heading = lines.find(|line| line.split(' ').next() == Some(name))?;
    let shape: Vec<usize> = heading.split(' ').skip(1).map(|axis| axis.parse().unwrap()).collect();
    let elements = lines.take_while(|line| line.starts_with(' '));
    let data = elements.flat_map(str::split_whitespace).map(|text| text.parse().unwrap());
    Some(Tensor::new(&shape, data.collect()).unwrap())
}

/// Compares with the tensor of this name: each element may be off by `tolerance` times the
/// largest magnitude of the tensor.
#[track_caller]
pub(crate) fn assert_torch(name: &str, got: &Tensor, tolerance: f32) {
    let expected = torch(name);
    assert_eq!(got.shape(), expected.shape(), "shape of {name}");
    let largest = expected.data().iter().fold(0.0f32, |most, x| most.max(x.abs()));
    for (nth, (got, expected)) in got.data().iter().zip(expected.data()).enumerate() {
        let error = (got - expected).abs();
        // A NaN is no small error.
        assert!(
            error <= tolerance * largest,
            "{name}[{nth}] is {got}, PyTorch has {expected}; off by {error}, largest {largest}"
        );
    }
}
