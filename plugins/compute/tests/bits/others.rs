//! Pooling, element by element, reductions, optimizers, and elements in any order.

use fedwasm_compute::kernels::elementwise::{
    add_scaled, binary, binary_from, binary_in_place, binary_with, select, unary, unary_in_place,
};
use fedwasm_compute::kernels::optimizer::{adam, sgd};
use fedwasm_compute::kernels::pooling::{
    max_pool, max_pool_gradient, mean_pool, mean_pool_gradient,
};
use fedwasm_compute::kernels::reduction::{extreme, sum};
use fedwasm_compute::kernels::strided::{binary_strided, copy_strided};
use fedwasm_compute::kernels::{
    Adam, Binary, Decay, Divisor, Extreme, Float, Sgd, Unary, Windows, reference,
};

use crate::support::{Numbers, same};

const UNARY: [Unary; 14] = [
    Unary::Copy,
    Unary::Negate,
    Unary::Absolute,
    Unary::Sign,
    Unary::Square,
    Unary::Root,
    Unary::Reciprocal,
    Unary::Exp,
    Unary::Ln,
    Unary::Ln1p,
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::Relu,
    Unary::IsPositive,
];

const BINARY: [Binary; 11] = [
    Binary::Add,
    Binary::Subtract,
    Binary::Multiply,
    Binary::Divide,
    Binary::Larger,
    Binary::Smaller,
    Binary::IsLess,
    Binary::IsEqual,
    Binary::ReluGradient,
    Binary::TanhGradient,
    Binary::SigmoidGradient,
];

/// Numbers, and some that are none or infinite.
fn any<T: Float>(numbers: &mut Numbers, len: usize) -> Vec<T> {
    let mut all = numbers.vec::<T>(len);
    for x in &mut all {
        *x = match numbers.below(40) {
            0 => T::INFINITY,
            1 => -T::INFINITY,
            2 => T::from_f64(f64::NAN),
            3 => *x * T::from_f64(40.0),
            _ => *x,
        };
    }
    all
}

fn elements<T: Float>() {
    let mut numbers = Numbers(21);
    for len in [0, 1, 7, 63, 64, 65, 200, 5000] {
        let (x, y) = (any::<T>(&mut numbers, len), any::<T>(&mut numbers, len));
        let number = numbers.number();
        for op in UNARY {
            let expected: Vec<T> = x.iter().map(|x| op.of(*x)).collect();
            same(&format!("{op:?} of {len}"), &expected, |threads| {
                let (mut to, mut here) = (vec![T::ONE; len], x.clone());
                unary(op, &mut to, &x, threads);
                unary_in_place(op, &mut here, threads);
                assert_eq!(crate::support::bits(&to), crate::support::bits(&here));
                to
            });
        }
        for op in BINARY {
            let pairs = x.iter().zip(&y);
            let expected: Vec<T> = pairs.map(|(x, y)| op.of(*x, *y)).collect();
            same(&format!("{op:?} of {len}"), &expected, |threads| {
                let (mut to, mut here) = (vec![T::ONE; len], x.clone());
                binary(op, &mut to, &x, &y, threads);
                binary_in_place(op, &mut here, &y, threads);
                assert_eq!(crate::support::bits(&to), crate::support::bits(&here));
                to
            });
            let with = x.iter().map(|x| op.of(*x, number));
            let expected: Vec<T> = with.chain(y.iter().map(|y| op.of(number, *y))).collect();
            same(&format!("{op:?} of {len} and a number"), &expected, |threads| {
                let (mut to, mut from) = (vec![T::ONE; len], vec![T::ONE; len]);
                binary_with(op, &mut to, &x, number, threads);
                binary_from(op, &mut from, number, &y, threads);
                to.extend(from);
                to
            });
        }
        let scaled = x.iter().zip(&y).map(|(x, y)| *x + number * *y);
        let chosen = (0..len).map(|nth| if x[nth] != T::ZERO { y[nth] } else { x[nth] });
        let expected: Vec<T> = scaled.chain(chosen).collect();
        same(&format!("scaled and chosen of {len}"), &expected, |threads| {
            let (mut to, mut chosen) = (x.clone(), vec![T::ONE; len]);
            add_scaled(&mut to, number, &y, threads);
            select(&mut chosen, &x, &y, &x, threads);
            to.extend(chosen);
            to
        });
    }
}

#[test]
fn elements_of_float32() {
    elements::<f32>();
}

#[test]
fn elements_of_float64() {
    elements::<f64>();
}

#[test]
fn sums_and_extremes() {
    let mut numbers = Numbers(22);
    for round in 0..150 {
        let most = if round % 3 == 0 { [200, 70, 1] } else { [6, 40, 150] };
        let [outer, n, inner] = most.map(|most| numbers.up_to(most));
        let shape = [outer, if round % 20 == 19 { 0 } else { n }, inner];
        let x = numbers.vec::<f32>(shape.iter().product());
        let mut expected = vec![1.0; outer * inner];
        reference::sum(&mut expected, &x, shape);
        same(&format!("sum {shape:?}"), &expected, |threads| {
            let mut to = vec![1.0; outer * inner];
            sum(&mut to, &x, shape, threads);
            to
        });
        if shape[1] == 0 {
            continue;
        }
        // Few values, so that there are equal ones.
        let some = [0.0, -0.0, 1.0, 2.0, f32::NAN, f32::INFINITY, -3.0];
        let x: Vec<f32> = x.iter().map(|_| some[numbers.below(7)]).collect();
        for (which, sign) in [(Extreme::Largest, 1.0), (Extreme::Smallest, -1.0)] {
            let mut expected = Vec::new();
            for nth in 0..outer * inner {
                let (row, column) = (nth / inner, nth % inner);
                let at = |nth: usize| sign * x[(row * n + nth) * inner + column];
                let (_, place) = reference::largest(n, at).unwrap();
                expected.extend([x[(row * n + place) * inner + column], place as f32]);
            }
            same(&format!("{which:?} {shape:?}"), &expected, |threads| {
                let (mut to, mut places) = (vec![1.0; outer * inner], vec![7; outer * inner]);
                extreme(which, &mut to, &mut places, &x, shape, threads);
                to.iter().zip(places).flat_map(|(x, place)| [*x, place as f32]).collect()
            });
        }
    }
}

#[test]
fn pools() {
    let mut numbers = Numbers(23);
    let some = [0.0, -0.0, 1.0, 2.0, f32::NAN, f32::INFINITY, -3.0, 0.3];
    let mut tried = 0;
    while tried < 300 {
        let axes = numbers.up_to(3);
        let most = [0, 90, 40, 9][axes];
        let mut sizes = |most: usize| (0..axes).map(|_| numbers.up_to(most)).collect::<Vec<_>>();
        let (image, square) = (sizes(most), tried % 4 == 0 && axes == 2);
        let windows = if square {
            Windows::new(&image, &[2, 2]).stride(&[2, 2])
        } else {
            let padding: Vec<_> = sizes(2).iter().map(|one| one - 1).collect();
            Windows::new(&image, &sizes(4)).stride(&sizes(3)).padding(&padding).dilation(&sizes(2))
        };
        if !windows.all_exist() {
            continue;
        }
        tried += 1;
        let size: usize = windows.output().unwrap().iter().product();
        let plane: usize = windows.image.iter().product();
        let n_planes = numbers.up_to(7);
        let x: Vec<f32> = (0..n_planes * plane).map(|_| some[numbers.below(8)]).collect();
        let (mut expected, mut places) = (vec![5.0; n_planes * size], vec![7; n_planes * size]);
        reference::max_pool(&mut expected, &mut places, &windows, &x);
        let g = numbers.vec::<f32>(n_planes * size);
        let mut back = vec![0.0; x.len()];
        for (nth, (place, g)) in places.iter().zip(&g).enumerate() {
            back[nth / size * plane + *place as usize] += g;
        }
        expected.extend(back);
        same(&format!("max {windows:?}"), &expected, |threads| {
            let (mut to, mut back) = (vec![6.0; g.len()], vec![6.0; x.len()]);
            max_pool(&mut to, &windows, &x, threads);
            max_pool_gradient(&mut back, &windows, &x, &g, threads);
            to.extend(back);
            to
        });
        let x = numbers.vec::<f32>(x.len());
        for divisor in [Divisor::Window, Divisor::Existing] {
            let (mut expected, mut back) = (vec![5.0; g.len()], vec![5.0; x.len()]);
            reference::mean_pool(&mut expected, &windows, divisor, &x);
            reference::mean_pool_gradient(&mut back, &windows, divisor, &g);
            expected.extend(back);
            same(&format!("mean {windows:?}"), &expected, |threads| {
                let (mut to, mut back) = (vec![6.0; g.len()], vec![6.0; x.len()]);
                mean_pool(&mut to, &windows, divisor, &x, threads);
                mean_pool_gradient(&mut back, &windows, divisor, &g, threads);
                to.extend(back);
                to
            });
        }
    }
}

/// One pass is the passes of the operations of the SDK, one after the other.
#[test]
fn optimizers() {
    let mut numbers = Numbers(24);
    for len in [0, 1, 100, 5000] {
        let [values, gradients, means] = [0; 3].map(|_| numbers.vec::<f32>(len));
        let squares: Vec<f32> = numbers.vec::<f32>(len).iter().map(|x| x.abs()).collect();
        for (weight_decay, is_nesterov) in [(0.0, false), (0.01, true)] {
            let rule = Sgd { rate: 0.1, weight_decay, momentum: 0.9, is_nesterov };
            let mut expected = Vec::new();
            let mut momenta = Vec::new();
            for nth in 0..len {
                let g = gradients[nth];
                let g = if weight_decay > 0.0 { g + weight_decay * values[nth] } else { g };
                let momentum = 0.9 * means[nth] + g;
                let along = if is_nesterov { g + 0.9 * momentum } else { momentum };
                expected.push(values[nth] + -0.1 * along);
                momenta.push(momentum);
            }
            expected.extend(momenta);
            same("sgd", &expected, |threads| {
                let (mut values, mut momenta) = (values.clone(), means.clone());
                sgd(&rule, &mut values, Some(&mut momenta), &gradients, threads);
                values.extend(momenta);
                values
            });
        }
        for decay in [Decay::None, Decay::Gradient(0.01), Decay::Weights(0.999)] {
            let rule = Adam::new(0.001, [0.9, 0.999], 1e-8, decay, 3);
            let mut expected = [const { Vec::new() }; 3];
            for nth in 0..len {
                let (mut value, mut g) = (values[nth], gradients[nth]);
                match decay {
                    Decay::None => {}
                    Decay::Gradient(decay) => g += decay * value,
                    Decay::Weights(factor) => value *= factor,
                }
                let mean = 0.9 * means[nth] + (1.0 - 0.9) * g;
                let square = 0.999 * squares[nth] + (1.0 - 0.999) * (g * g);
                let root = square.sqrt() * rule.unbias;
                expected[0].push(value - rule.rate * mean / (root + 1e-8));
                expected[1].push(mean);
                expected[2].push(square);
            }
            same("adam", &expected.concat(), |threads| {
                let mut all = [values.clone(), means.clone(), squares.clone()];
                let [values, means, squares] = &mut all;
                adam(&rule, values, means, squares, &gradients, threads);
                all.concat()
            });
        }
    }
}

#[test]
fn elements_in_any_order() {
    let mut numbers = Numbers(25);
    for _ in 0..200 {
        let axes = numbers.below(4);
        let shape: Vec<usize> = (0..axes).map(|_| numbers.up_to(20)).collect();
        let mut side = || {
            let strides: Vec<usize> = (0..axes).map(|_| numbers.below(4)).collect();
            let last: usize =
                shape.iter().zip(&strides).map(|(size, step)| (size - 1) * step).sum();
            (numbers.vec::<f32>(last + 1), strides)
        };
        let ((x, x_strides), (y, y_strides)) = (side(), side());
        let len: usize = shape.iter().product();
        let at = |strides: &[usize], mut nth: usize| {
            let mut start = 0;
            for axis in (0..axes).rev() {
                start += nth % shape[axis] * strides[axis];
                nth /= shape[axis];
            }
            start
        };
        let copied = (0..len).map(|nth| x[at(&x_strides, nth)]);
        let added = (0..len).map(|nth| x[at(&x_strides, nth)] / y[at(&y_strides, nth)]);
        let expected: Vec<f32> = copied.chain(added).collect();
        same(&format!("{shape:?} {x_strides:?}"), &expected, |threads| {
            let (mut copied, mut divided) = (vec![1.0; len], vec![1.0; len]);
            copy_strided(&mut copied, &shape, &x, &x_strides, threads);
            let (x, y) = ((&x[..], &x_strides[..]), (&y[..], &y_strides[..]));
            binary_strided(Binary::Divide, &mut divided, &shape, x, y, threads);
            copied.extend(divided);
            copied
        });
    }
}
