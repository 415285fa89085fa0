//! One number for the bits of all kernels over random shapes: it has to be the same for each level
//! of instructions, on each machine, and in WebAssembly.

use fedwasm_compute::kernels::convolution::{convolution, input_gradient, weight_gradient};
use fedwasm_compute::kernels::elementwise::unary;
use fedwasm_compute::kernels::pooling::{max_pool, mean_pool};
use fedwasm_compute::kernels::reduction::sum;
use fedwasm_compute::kernels::simd::{Level, limit};
use fedwasm_compute::kernels::{
    Convolution, Divisor, Float, Matrix, OneThread, Start, Unary, Windows, product,
};

/// A number generator (SplitMix64, Steele, Lea and Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn up_to(&mut self, most: usize) -> usize {
        1 + (self.next() % most as u64) as usize
    }

    /// Subnormal numbers, both zeros, and from 1e-20 to 1e13.
    fn vec<T: Float>(&mut self, len: usize) -> Vec<T> {
        let scales = [0.0, -0.0, 1e-39, 1e-20, 1e13, 4.0, 4.0, 4.0];
        let one = |bits: u64| (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        (0..len)
            .map(|_| T::from_f64(one(self.next()) * scales[(self.next() % 16 % 8) as usize]))
            .collect()
    }
}

/// FNV-1a over the bits; NaN are all the same.
struct Digest(u64);

impl Digest {
    fn add<T: Float>(&mut self, x: &[T]) {
        for x in x {
            let x = x.to_f64();
            let bits = if x.is_nan() { u64::MAX } else { x.to_bits() };
            for byte in bits.to_le_bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
}

fn products<T: Float>(numbers: &mut Numbers, digest: &mut Digest, rounds: usize) {
    for round in 0..rounds {
        let most = if round % 10 == 0 { [20, 700, 40] } else { [40, 60, 70] };
        let [m, k, n] = most.map(|most| numbers.up_to(most));
        let (a, b) = (numbers.vec::<T>(m * k), numbers.vec::<T>(k * n));
        let mut c = numbers.vec::<T>(m * n);
        let (is_left, is_right) = (round % 2 == 1, round % 4 > 1);
        let left = if is_left { Matrix::new(&a, k, m).transposed() } else { Matrix::new(&a, m, k) };
        let right =
            if is_right { Matrix::new(&b, n, k).transposed() } else { Matrix::new(&b, k, n) };
        let start = if round % 3 == 0 { Start::Zero } else { Start::There };
        product(&mut c, n, start, left, right, &OneThread);
        digest.add(&c);
    }
}

fn convolutions<T: Float>(numbers: &mut Numbers, digest: &mut Digest, rounds: usize) {
    let mut tried = 0;
    while tried < rounds {
        let mut two = |most: usize| [numbers.up_to(most), numbers.up_to(most)];
        let windows = Windows::new(&two(22), &two(5)).stride(&two(2)).dilation(&two(2));
        let windows = windows.padding(&two(3).map(|one| one - 1));
        let (images, channels, filters) = (numbers.up_to(3), numbers.up_to(9), numbers.up_to(20));
        let of = Convolution { images, channels, filters, groups: 1, windows };
        if !of.is_valid() {
            continue;
        }
        tried += 1;
        let [input, weights, output] = of.lens().map(|len| numbers.vec::<T>(len));
        let bias = numbers.vec::<T>(filters);
        let (mut y, mut w, mut x) = (output.clone(), weights.clone(), input.clone());
        convolution(&mut y, &of, Some(&bias), &weights, &input, &OneThread);
        weight_gradient(&mut w, &of, Start::There, &input, &output, &OneThread);
        input_gradient(&mut x, &of, Start::Zero, &weights, &output, &OneThread);
        [y, w, x].iter().for_each(|all| digest.add(all));
        if windows.all_exist() {
            let n = output.len() / filters * channels;
            let mut to = vec![T::ZERO; n];
            max_pool(&mut to, &windows, &input, &OneThread);
            digest.add(&to);
            mean_pool(&mut to, &windows, Divisor::Existing, &input, &OneThread);
            digest.add(&to);
        }
    }
}

fn elements<T: Float>(numbers: &mut Numbers, digest: &mut Digest) {
    let x = numbers.vec::<T>(20_000);
    for op in [Unary::Exp, Unary::Ln, Unary::Tanh, Unary::Sigmoid, Unary::Root, Unary::Ln1p] {
        let mut to = vec![T::ZERO; x.len()];
        unary(op, &mut to, &x, &OneThread);
        digest.add(&to);
    }
    for shape in [[20, 1000, 1], [20, 10, 100]] {
        let mut to = vec![T::ZERO; shape[0] * shape[2]];
        sum(&mut to, &x, shape, &OneThread);
        digest.add(&to);
    }
}

fn main() {
    for level in [Level::Avx512, Level::Avx2, Level::Neon, Level::Simd128, Level::Plain] {
        if limit(level) != level {
            continue;
        }
        let (mut numbers, mut digest) = (Numbers(1), Digest(0xcbf2_9ce4_8422_2325));
        products::<f32>(&mut numbers, &mut digest, 300);
        products::<f64>(&mut numbers, &mut digest, 60);
        convolutions::<f32>(&mut numbers, &mut digest, 150);
        convolutions::<f64>(&mut numbers, &mut digest, 30);
        elements::<f32>(&mut numbers, &mut digest);
        elements::<f64>(&mut numbers, &mut digest);
        println!("{:016x} {level:?}", digest.0);
    }
}
