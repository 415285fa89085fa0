//! How exact long sums are: the largest error of float32 over the mean size of a result, for
//! products over k numbers and for the gradient of the weights of a convolution. `sums.py` beside
//! it prints those of PyTorch for the same numbers.
//!
//! `cargo run --release --example sums`

use fedwasm_compute::kernels::convolution::weight_gradient;
use fedwasm_compute::kernels::{Convolution, Float, Matrix, OneThread, Start, Windows, product};

/// Numbers in [-½, ½) by a fixed rule.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let number = |nth: u32| {
        let mut h = nth.wrapping_add(seed.wrapping_mul(0x9e37_79b9));
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        (f64::from(h ^ (h >> 16)) / 4_294_967_296.0 - 0.5) as f32
    };
    (0..len as u32).map(number).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

fn print(name: &str, found: &[f32], exact: &[f64]) {
    let errors = found.iter().zip(exact).map(|(x, exact)| (f64::from(*x) - exact).abs());
    let mean = exact.iter().map(|x| x.abs()).sum::<f64>() / exact.len() as f64;
    println!("{name}: {:.1e}", errors.fold(0.0, f64::max) / mean);
}

/// [8, k] times [k, 8].
fn products<T: Float>(a: &[T], b: &[T], k: usize) -> Vec<T> {
    let mut c = vec![T::ZERO; 64];
    product(&mut c, 8, Start::Zero, Matrix::new(a, 8, k), Matrix::new(b, k, 8), &OneThread);
    c
}

/// 64 images of 28 x 28, 8 filters of 5 x 5.
fn weights<T: Float>(x: &[T], g: &[T]) -> Vec<T> {
    let windows = Windows::new(&[28, 28], &[5, 5]);
    let of = Convolution { images: 64, channels: 1, filters: 8, groups: 1, windows };
    let mut to = vec![T::ZERO; of.lens()[1]];
    weight_gradient(&mut to, &of, Start::Zero, x, g, &OneThread);
    to
}

fn main() {
    for k in [36_864, 1_600_000] {
        let (a, b) = (numbers(8 * k, 1), numbers(8 * k, 2));
        let exact = products(&wide(&a), &wide(&b), k);
        print(&format!("product, k = {k}"), &products(&a, &b, k), &exact);
    }
    let (x, g) = (numbers(64 * 784, 3), numbers(64 * 8 * 576, 4));
    let exact = weights(&wide(&x), &wide(&g));
    print("weights of a convolution, k = 36864", &weights(&x, &g), &exact);
}
