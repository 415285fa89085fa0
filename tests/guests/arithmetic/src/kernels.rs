//! All kernels over shapes and numbers of a seed. Compiled into the guest and into the test.

use fedwasm_kernels::convolution::{self, Windows};
use fedwasm_kernels::pooling::{self, Pool};
use fedwasm_kernels::{Matrix, add_product, elementwise, math, reduction};

/// What each kernel gives, as [`bits`].
pub(crate) fn results(seed: u32) -> Vec<(String, Vec<f32>)> {
    let mut results = Results { numbers: Numbers(seed.wrapping_mul(0x9e37_79b9) | 1), all: vec![] };
    results.products(seed);
    results.convolution();
    results.pooling();
    for is_wild in [false, true] {
        results.elementwise(is_wild);
        results.reductions(is_wild);
    }
    results.all
}

/// The upper and the lower half of each element's bits, as whole numbers: parameters are finite,
/// results need not be. NaN is one, since kernels do not say which.
fn bits(x: &[f32]) -> Vec<f32> {
    let halves = |x: &f32| {
        let bits = if x.is_nan() { f32::NAN.to_bits() & 0x7fff_ffff } else { x.to_bits() };
        [(bits >> 16) as f32, (bits & 0xffff) as f32]
    };
    x.iter().flat_map(halves).collect()
}

/// Numbers that follow from a seed (xorshift, Marsaglia 2003).
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// From 1 to `most`.
    fn up_to(&mut self, most: u32) -> usize {
        (1 + self.next() % most) as usize
    }

    /// In (-4, 4), and every eighth of them very small.
    fn tame(&mut self, len: usize) -> Vec<f32> {
        let one = |bits: u32| (bits >> 8) as f32 / 8_388_608.0 - 1.0;
        let number = |_| {
            let x = one(self.next());
            if self.next().is_multiple_of(8) { x * x * x * 1e-6 } else { x * 4.0 }
        };
        (0..len).map(number).collect()
    }

    /// Any bits: subnormal, infinite, NaN.
    fn wild(&mut self, len: usize) -> Vec<f32> {
        let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE];
        let number = |_| match self.next() {
            nth if nth.is_multiple_of(4) => special[(nth / 4) as usize % special.len()],
            bits => f32::from_bits(bits),
        };
        (0..len).map(number).collect()
    }
}

struct Results {
    numbers: Numbers,
    all: Vec<(String, Vec<f32>)>,
}

impl Results {
    fn keep(&mut self, name: &str, result: &[f32]) {
        self.all.push((name.to_owned(), bits(result)));
    }

    /// Odd shapes, all transposes, and now and then more depth than a block has.
    fn products(&mut self, seed: u32) {
        let depth_max = if seed.is_multiple_of(8) { 600 } else { 40 };
        let [m, k, n] = [20, depth_max, 40].map(|most| self.numbers.up_to(most));
        let [a, b, c] = [m * k, k * n, m * n].map(|len| self.numbers.tame(len));
        let left = [Matrix::new(&a, m, k), Matrix::new(&a, k, m).transposed()];
        let right = [Matrix::new(&b, k, n), Matrix::new(&b, n, k).transposed()];
        for (nth, (left, right)) in
            left.into_iter().flat_map(|left| right.map(|right| (left, right))).enumerate()
        {
            let mut c = c.clone();
            add_product(&mut c, left, right);
            self.keep(&format!("product.{nth}"), &c);
        }
    }

    fn convolution(&mut self) {
        let numbers = &mut self.numbers;
        let windows = loop {
            let windows = Windows {
                channels: numbers.up_to(3),
                height: numbers.up_to(12),
                width: numbers.up_to(20),
                kernel: [numbers.up_to(5), numbers.up_to(5)],
                stride: [numbers.up_to(3), numbers.up_to(3)],
                padding: [numbers.up_to(3) - 1, numbers.up_to(3) - 1],
            };
            if let Some([height, width]) = windows.output() {
                break (windows, height * width);
            }
        };
        let (windows, positions) = windows;
        let (filters, depth) = (numbers.up_to(7), windows.depth());
        let image = numbers.tame(windows.channels * windows.height * windows.width);
        let [weights, mut output] = [filters * depth, filters * positions].map(|n| numbers.tame(n));
        let mut padded = vec![0.0; windows.padded_len().unwrap_or_default()];
        windows.pad(&image, &mut padded);
        let weights = Matrix::new(&weights, filters, depth);
        convolution::add_convolution(&mut output, weights, &windows, &padded);
        self.keep("convolution.output", &output);
        let mut laid_out = vec![0.0; depth * positions];
        convolution::lay_out_windows(&mut laid_out, &windows, &padded);
        self.keep("convolution.windows", &laid_out);
        let mut gradient = vec![0.0; depth * filters];
        convolution::add_weight_gradient(&mut gradient, &windows, &laid_out, &output);
        self.keep("convolution.weights", &gradient);
        convolution::add_windows_back(&mut padded, &windows, &laid_out);
        let mut back = vec![0.0; image.len()];
        convolution::unpad(&mut back, &windows, &padded);
        self.keep("convolution.back", &back);
    }

    fn pooling(&mut self) {
        let numbers = &mut self.numbers;
        let window = [numbers.up_to(4), numbers.up_to(4)];
        let (height, width) = (window[0] + numbers.up_to(9), window[1] + numbers.up_to(9));
        let stride = [numbers.up_to(4), numbers.up_to(4)];
        let pool = Pool { height, width, window, stride };
        let planes = numbers.up_to(3);
        let [lines, columns] = pool.output().unwrap_or_default();
        let input = numbers.tame(planes * height * width);
        let gradient = numbers.tame(planes * lines * columns);
        let mut output = vec![0.0; gradient.len()];
        let mut places = vec![0; output.len()];
        pooling::max(&mut output, &mut places, &pool, &input);
        self.keep("max.output", &output);
        let mut back = vec![0.0; input.len()];
        pooling::add_max_gradient(&mut back, &places, &gradient);
        self.keep("max.back", &back);
        pooling::mean(&mut output, &pool, &input);
        self.keep("mean.output", &output);
        pooling::add_mean_gradient(&mut back, &pool, &gradient);
        self.keep("mean.back", &back);
    }

    fn numbers(&mut self, len: usize, is_wild: bool) -> Vec<f32> {
        if is_wild { self.numbers.wild(len) } else { self.numbers.tame(len) }
    }

    fn elementwise(&mut self, is_wild: bool) {
        type Function = fn(&mut [f32], &[f32], &[f32]);
        let functions: [(&str, Function); 25] = [
            ("add", |to, x, _| elementwise::add(to, x)),
            ("multiply", |to, x, _| elementwise::multiply(to, x)),
            ("scale", |to, x, _| elementwise::scale(to, x[0])),
            ("add_scaled", |to, x, _| elementwise::add_scaled(to, 0.3, x)),
            ("decay", |to, x, _| elementwise::decay(to, 0.9, 0.1, x)),
            ("decay_squares", |to, x, _| elementwise::decay_squares(to, 0.9, 0.1, x)),
            ("step_scaled", |to, x, y| elementwise::step_scaled(to, 0.1, 1e-8, x, y)),
            ("relu", |to, _, _| elementwise::relu(to)),
            ("relu_gradient", |to, x, _| elementwise::relu_gradient(to, x)),
            ("exp", |to, _, _| elementwise::exp(to)),
            ("exp_less", |to, x, _| elementwise::exp_less(to, x[0])),
            ("ln", |to, _, _| elementwise::ln(to)),
            ("tanh", |to, _, _| elementwise::tanh(to)),
            ("tanh_gradient", |to, x, _| elementwise::tanh_gradient(to, x)),
            ("sigmoid", |to, _, _| elementwise::sigmoid(to)),
            ("sigmoid_gradient", |to, x, _| elementwise::sigmoid_gradient(to, x)),
            ("normalise", |to, x, y| elementwise::normalise(to, x[0], y[0])),
            ("affine", |to, x, y| elementwise::affine(to, x[0], y[0])),
            ("sqrt", |to, _, _| elementwise::sqrt(to)),
            ("add_row", |to, x, _| elementwise::add_row(to, x)),
            ("math.exp", |to, _, _| each(to, math::exp)),
            ("math.ln", |to, _, _| each(to, math::ln)),
            ("math.ln_1p", |to, _, _| each(to, math::ln_1p)),
            ("math.tanh", |to, _, _| each(to, math::tanh)),
            ("math.sigmoid", |to, _, _| each(to, math::sigmoid)),
        ];
        let len = self.numbers.up_to(60);
        let [to, x, y] = [len; 3].map(|len| self.numbers(len, is_wild));
        for (name, function) in functions {
            let mut to = to.clone();
            function(&mut to, &x, &y);
            self.keep(&kind(name, is_wild), &to);
        }
    }

    fn reductions(&mut self, is_wild: bool) {
        let (rows, columns) = (self.numbers.up_to(5), self.numbers.up_to(60));
        let [x, y] = [rows * columns; 2].map(|len| self.numbers(len, is_wild));
        let sums = [
            reduction::sum(&x),
            reduction::dot(&x, &y),
            reduction::sum_of_squares_from(y[0], &x),
            reduction::max(&x),
        ];
        self.keep(&kind("sums", is_wild), &sums);
        let mut row = y[..columns].to_vec();
        reduction::add_rows(&mut row, &x);
        self.keep(&kind("add_rows", is_wild), &row);
    }
}

fn kind(name: &str, is_wild: bool) -> String {
    format!("{name}.{}", if is_wild { "wild" } else { "tame" })
}

fn each(to: &mut [f32], f: fn(f32) -> f32) {
    to.iter_mut().for_each(|x| *x = f(*x));
}
