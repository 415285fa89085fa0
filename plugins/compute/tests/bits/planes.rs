//! Adaptive pooling and resizing.

use fedwasm_compute::kernels::pooling::{
    adaptive_max_pool, adaptive_mean_pool, adaptive_mean_pool_gradient, gradient_at_places,
};
use fedwasm_compute::kernels::resize::{resize, resize_gradient};
use fedwasm_compute::kernels::{Axes, OneThread, Sampling};

use crate::support::{Numbers, same};

fn volume(axes: Axes) -> usize {
    axes.iter().product()
}

/// The elements of an adaptive window, one by one.
fn elements(from: Axes, to: Axes, nth: usize) -> Vec<usize> {
    let at = [nth / to[2] / to[1], nth / to[2] % to[1], nth % to[2]];
    let is_in = |axis: usize, x: usize| {
        x >= at[axis] * from[axis] / to[axis] && x * to[axis] < (at[axis] + 1) * from[axis]
    };
    let all = 0..volume(from);
    all.filter(|one| {
        is_in(0, one / from[2] / from[1])
            && is_in(1, one / from[2] % from[1])
            && is_in(2, one % from[2])
    })
    .collect()
}

#[test]
fn adaptive_pools() {
    let mut numbers = Numbers(31);
    for _ in 0..60 {
        let from = [numbers.up_to(4), numbers.up_to(13), numbers.up_to(17)];
        let to = [numbers.up_to(3), numbers.up_to(6), numbers.up_to(20)];
        let n_planes = numbers.up_to(4);
        let input = numbers.vec::<f32>(n_planes * volume(from));
        let output = numbers.vec::<f32>(n_planes * volume(to));
        let mut means = Vec::new();
        let (mut largest, mut places) = (Vec::new(), Vec::new());
        let mut back = vec![0.0; input.len()];
        for (nth, output) in output.iter().enumerate() {
            let plane = nth / volume(to) * volume(from);
            let all = elements(from, to, nth % volume(to));
            let sum = all.iter().fold(0.0, |sum, at| sum + input[plane + at]);
            means.push(sum / all.len() as f32);
            let first = all
                .iter()
                .copied()
                .reduce(|best, at| if input[plane + at] > input[plane + best] { at } else { best });
            let first = first.unwrap();
            largest.push(input[plane + first]);
            places.push(first as f32);
            for at in &all {
                back[plane + at] += output / all.len() as f32;
            }
        }
        let expected = [means, back, largest, places].concat();
        same(&format!("adaptive {from:?} to {to:?}"), &expected, |threads| {
            let len = n_planes * volume(to);
            let (mut means, mut back) = (vec![5.0; len], vec![5.0; input.len()]);
            let (mut largest, mut places) = (vec![5.0; len], vec![5; len]);
            adaptive_mean_pool(&mut means, to, from, &input, threads);
            adaptive_mean_pool_gradient(&mut back, to, from, &output, threads);
            adaptive_max_pool(&mut largest, &mut places, to, from, &input, threads);
            let places = places.iter().map(|place| *place as f32).collect();
            [means, back, largest, places].concat()
        });
    }
}

#[test]
fn places_take_the_gradient() {
    let places = [1, 1, 2, 0, 0, 2];
    let output = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
    same("places", &[0.0, 3.0, 4.0, 24.0, 0.0, 32.0], |threads| {
        let mut gradient = vec![9.0f32; 6];
        gradient_at_places(&mut gradient, 3, &places, &output, threads);
        gradient
    });
}

/// As the documentation of `torch.nn.Upsample` has it.
#[test]
fn resized_as_in_the_documentation_of_torch() {
    let input = [1.0f32, 2.0, 3.0, 4.0];
    let resized = |sampling| {
        let mut output = [0.0; 16];
        resize(&mut output, [1, 4, 4], [1, 2, 2], sampling, &input, &OneThread);
        output
    };
    let rows = |rows: [[f32; 4]; 4]| rows.concat();
    let near = |found: [f32; 16], expected: Vec<f32>| {
        let is_near = found.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-4);
        assert!(is_near, "{found:?} is not {expected:?}");
    };
    let two = [[1., 1., 2., 2.], [3., 3., 4., 4.]];
    near(resized(Sampling::Nearest), rows([two[0], two[0], two[1], two[1]]));
    let areas = [
        [1., 1.25, 1.75, 2.],
        [1.5, 1.75, 2.25, 2.5],
        [2.5, 2.75, 3.25, 3.5],
        [3., 3.25, 3.75, 4.],
    ];
    near(resized(Sampling::Linear), rows(areas));
    let points = [
        [1., 1.3333, 1.6667, 2.],
        [1.6667, 2., 2.3333, 2.6667],
        [2.3333, 2.6667, 3., 3.3333],
        [3., 3.3333, 3.6667, 4.],
    ];
    near(resized(Sampling::LinearCorners), rows(points));
}

#[test]
fn the_gradient_of_resizing_is_its_transpose() {
    let mut numbers = Numbers(32);
    for sampling in [Sampling::Nearest, Sampling::Linear, Sampling::LinearCorners] {
        for _ in 0..40 {
            let mut size = |most: Axes| most.map(|most| numbers.up_to(most));
            let (from, to) = (size([3, 9, 11]), size([4, 20, 15]));
            let n_planes = 3;
            let mut small = |len: usize| -> Vec<f64> {
                (0..len).map(|_| numbers.below(9) as f64 - 4.0).collect()
            };
            let (input, output) = (small(n_planes * volume(from)), small(n_planes * volume(to)));
            let mut expected = [vec![0.0; output.len()], vec![0.0; input.len()]];
            resize(&mut expected[0], to, from, sampling, &input, &OneThread);
            resize_gradient(&mut expected[1], to, from, sampling, &output, &OneThread);
            let dot = |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
            let (there, back) = (dot(&expected[0], &output), dot(&expected[1], &input));
            assert!((there - back).abs() < 1e-9, "{sampling:?} {from:?} {to:?}: {there} {back}");
            same(&format!("{sampling:?} {from:?} to {to:?}"), &expected.concat(), |threads| {
                let mut found = [vec![5.0; output.len()], vec![5.0; input.len()]];
                resize(&mut found[0], to, from, sampling, &input, threads);
                resize_gradient(&mut found[1], to, from, sampling, &output, threads);
                found.concat()
            });
        }
    }
}
