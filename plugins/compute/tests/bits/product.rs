//! Products.

use fedwasm_compute::kernels::{Float, Matrix, Start, product, reference};

use crate::support::{Numbers, same};

fn products<T: Float>(seed: u64, rounds: usize) {
    let mut numbers = Numbers(seed);
    for round in 0..rounds {
        let most = match round % 16 {
            0 => [40, 900, 60],
            1 => [530, 20, 20],
            2 => [8, 40, 330],
            _ => [40, 60, 90],
        };
        let [m, k, n] = most.map(|most| numbers.up_to(most));
        let k = if round % 32 == 7 { 0 } else { k };
        let gap = |numbers: &mut Numbers| if numbers.one_in(3) { numbers.below(5) } else { 0 };
        let (is_left, is_right) = (numbers.one_in(2), numbers.one_in(2));
        let ([a_rows, a_columns], [b_rows, b_columns]) =
            (if is_left { [k, m] } else { [m, k] }, if is_right { [n, k] } else { [k, n] });
        let (a_stride, b_stride) = (a_columns + gap(&mut numbers), b_columns + gap(&mut numbers));
        let stride = n + gap(&mut numbers);
        let a = numbers.vec::<T>(a_rows * a_stride);
        let b = numbers.vec::<T>(b_rows * b_stride);
        let a = Matrix::with_stride(&a, a_rows, a_columns, a_stride);
        let b = Matrix::with_stride(&b, b_rows, b_columns, b_stride);
        let a = if is_left { a.transposed() } else { a };
        let b = if is_right { b.transposed() } else { b };
        let (c, bias) = (numbers.vec::<T>(m * stride), numbers.vec::<T>(m.max(n)));
        let start = match numbers.below(4) {
            0 => Start::Zero,
            1 => Start::PerColumn(&bias[..n]),
            2 => Start::PerRow(&bias[..m]),
            _ => Start::There,
        };
        let mut expected = c.clone();
        reference::product(&mut expected, stride, start, a, b);
        let name = format!("{m} x {n} x {k}, transposed {is_left} {is_right}, {start:?}");
        same(&name[..name.len().min(60)], &expected, |threads| {
            let mut c = c.clone();
            product(&mut c, stride, start, a, b, threads);
            c
        });
    }
}

#[test]
fn products_of_float32() {
    products::<f32>(1, 400);
}

#[test]
fn products_of_float64() {
    products::<f64>(2, 100);
}

#[test]
fn not_a_number_and_infinity_stay_where_they_are() {
    let (m, k, n) = (5, 300, 20);
    let mut numbers = Numbers(3);
    let (mut a, mut b) = (numbers.vec::<f32>(m * k), numbers.vec::<f32>(k * n));
    a[k + 299] = f32::NAN;
    b[n * 7 + 3] = f32::INFINITY;
    a[2 * k + 7] = 0.0;
    let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
    let mut expected = vec![0.0; m * n];
    reference::product(&mut expected, n, Start::Zero, a, b);
    assert!(expected[n..2 * n].iter().all(|x| x.is_nan()));
    assert!(expected[2 * n + 3].is_nan() && !expected[2 * n + 2].is_nan());
    same("not a number", &expected, |threads| {
        let mut c = vec![0.0; m * n];
        product(&mut c, n, Start::Zero, a, b, threads);
        c
    });
}
