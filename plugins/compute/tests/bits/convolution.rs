//! Convolutions and their gradients.

use fedwasm_compute::kernels::convolution::{convolution, input_gradient, weight_gradient};
use fedwasm_compute::kernels::{Convolution, Float, Start, Windows, reference};

use crate::support::{Numbers, same};

/// Any shape that is valid: one to three axes, groups, strides, padding, steps.
fn shape(numbers: &mut Numbers, round: usize) -> Convolution {
    loop {
        let axes = numbers.up_to(3);
        let most = [0, 40, 20, 7][axes];
        let mut sizes = |most: usize| (0..axes).map(|_| numbers.up_to(most)).collect::<Vec<_>>();
        let mut windows = Windows::new(&sizes(most), &sizes(5));
        if round.is_multiple_of(3) {
            windows = windows.stride(&sizes(3)).dilation(&sizes(2));
        }
        if round.is_multiple_of(2) {
            let padding: Vec<_> = sizes(3).into_iter().map(|one| one - 1).collect();
            windows = windows.padding(&padding);
        }
        let groups = if numbers.one_in(4) { numbers.up_to(3) } else { 1 };
        let of = Convolution {
            images: numbers.up_to(4),
            channels: groups * numbers.up_to(9),
            filters: groups * numbers.up_to(20),
            groups,
            windows,
        };
        if of.is_valid() && of.lens()[2] * of.depth() < 150_000 {
            return of;
        }
    }
}

/// Shapes with more than a block along each inner axis.
fn deep() -> [Convolution; 3] {
    let of = |channels, filters, windows| Convolution {
        images: 2,
        channels,
        filters,
        groups: 1,
        windows,
    };
    [
        of(33, 3, Windows::new(&[5, 6], &[3, 3])),
        of(2, 5, Windows::new(&[24, 19], &[2, 3]).padding(&[1, 1])),
        of(3, 530, Windows::new(&[4, 4], &[2, 2])),
    ]
}

fn compare<T: Float>(of: &Convolution, numbers: &mut Numbers) {
    let lens = of.lens();
    let [input, weights, output] = lens.map(|len| numbers.vec::<T>(len));
    let bias = numbers.vec::<T>(of.filters.max(of.channels));
    let (filter_bias, channel_bias) = (&bias[..of.filters], &bias[..of.channels]);
    let filter_bias = (!numbers.one_in(3)).then_some(filter_bias);

    let mut expected = vec![T::ONE; lens[2]];
    reference::convolution(&mut expected, of, filter_bias, &weights, &input);
    same(&format!("{of:?}"), &expected, |threads| {
        let mut output = vec![T::ONE; lens[2]];
        convolution(&mut output, of, filter_bias, &weights, &input, threads);
        output
    });

    let start = if numbers.one_in(2) { Start::Zero } else { Start::There };
    let mut expected = weights.clone();
    reference::weight_gradient(&mut expected, of, start, &input, &output);
    same(&format!("weights of {of:?}"), &expected, |threads| {
        let mut gradient = weights.clone();
        weight_gradient(&mut gradient, of, start, &input, &output, threads);
        gradient
    });

    let start = [Start::Zero, Start::There, Start::PerRow(channel_bias)][numbers.below(3)];
    let mut expected = input.clone();
    reference::input_gradient(&mut expected, of, start, &weights, &output);
    same(&format!("inputs of {of:?}"), &expected, |threads| {
        let mut gradient = input.clone();
        input_gradient(&mut gradient, of, start, &weights, &output, threads);
        gradient
    });
}

#[test]
fn convolutions_of_float32() {
    let mut numbers = Numbers(11);
    for round in 0..300 {
        let of = shape(&mut numbers, round);
        compare::<f32>(&of, &mut numbers);
    }
    for of in deep() {
        compare::<f32>(&of, &mut numbers);
    }
}

#[test]
fn convolutions_of_float64() {
    let mut numbers = Numbers(12);
    for round in 0..60 {
        let of = shape(&mut numbers, round);
        compare::<f64>(&of, &mut numbers);
    }
    for of in deep() {
        compare::<f64>(&of, &mut numbers);
    }
}

#[test]
fn the_input_gradient_is_the_transpose_of_the_convolution() {
    let mut numbers = Numbers(13);
    for round in 0..40 {
        let of = shape(&mut numbers, round);
        let lens = of.lens();
        // Small whole numbers: all sums are exact.
        let mut small =
            |len: usize| -> Vec<f32> { (0..len).map(|_| numbers.below(5) as f32 - 2.0).collect() };
        let [input, weights, output] = lens.map(&mut small);
        let (mut forward, mut back) = (vec![0.0; lens[2]], vec![0.0; lens[0]]);
        reference::convolution(&mut forward, &of, None, &weights, &input);
        reference::input_gradient(&mut back, &of, Start::Zero, &weights, &output);
        let mut gradient = vec![0.0; lens[1]];
        reference::weight_gradient(&mut gradient, &of, Start::Zero, &input, &output);
        let dot = |x: &[f32], y: &[f32]| -> f32 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
        let expected = dot(&forward, &output);
        assert_eq!(dot(&input, &back), expected, "{of:?}");
        assert_eq!(dot(&weights, &gradient), expected, "{of:?}");
    }
}
