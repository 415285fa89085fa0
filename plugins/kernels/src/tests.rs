//! The same bits from lanes and from plain code, over shapes that fit no lane.

extern crate std;

use std::vec::Vec;

use crate::convolution::{self, Windows};
use crate::lanes::on_scalar;
use crate::pooling::{self, Pool};
use crate::{Matrix, add_product, elementwise, reduction};

/// Numbers of many magnitudes, the same for a seed (xorshift, Marsaglia 2003).
pub(crate) struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }

    fn vec(&mut self, len: usize) -> Vec<f32> {
        let one = |bits: u32| (bits >> 8) as f32 / 8_388_608.0 - 1.0;
        (0..len)
            .map(|_| {
                let x = one(self.next());
                if self.next().is_multiple_of(8) { x * x * x * 1e-6 } else { x * 4.0 }
            })
            .collect()
    }
}

/// Runs `f` on lanes and without, and compares the bits.
fn same(name: &str, f: impl Fn() -> Vec<f32>) -> Vec<f32> {
    let (lanes, plain) = (f(), on_scalar(&f));
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&lanes), bits(&plain), "{name}");
    lanes
}

/// As the contract says it, without blocks, panels or lanes.
fn product(
    c: &[f32],
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
    [m, k, n]: [usize; 3],
) -> Vec<f32> {
    let mut c = c.to_vec();
    for row in 0..m {
        for column in 0..n {
            for nth in 0..k {
                c[row * n + column] += a(row, nth) * b(nth, column);
            }
        }
    }
    c
}

#[test]
fn products_of_all_shapes_and_transposes() {
    let mut numbers = Numbers(1);
    for round in 0..200 {
        let most = if round % 50 == 0 { [9, 700, 40] } else { [20, 70, 50] };
        let [m, k, n] = most.map(|most| numbers.below(most) + usize::from(round % 20 != 7));
        let (a, b, c) = (numbers.vec(m * k), numbers.vec(k * n), numbers.vec(m * n));
        for turn in 0..4 {
            let (turn_a, turn_b) = (turn & 1 == 1, turn & 2 == 2);
            let left =
                if turn_a { Matrix::new(&a, k, m).transposed() } else { Matrix::new(&a, m, k) };
            let right =
                if turn_b { Matrix::new(&b, n, k).transposed() } else { Matrix::new(&b, k, n) };
            let got = same("product", || {
                let mut c = c.clone();
                add_product(&mut c, left, right);
                c
            });
            let at_a = |row, nth| if turn_a { a[nth * m + row] } else { a[row * k + nth] };
            let at_b = |nth, column| if turn_b { b[column * k + nth] } else { b[nth * n + column] };
            assert_eq!(got, product(&c, at_a, at_b, [m, k, n]), "{m} x {k} x {n}, turn {turn}");
        }
    }
}

#[test]
fn convolutions_of_all_shapes() {
    let mut numbers = Numbers(2);
    let mut tried = 0;
    while tried < 150 {
        let windows = Windows {
            channels: 1 + numbers.below(4),
            height: 1 + numbers.below(20),
            width: 1 + numbers.below(30),
            kernel: [1 + numbers.below(5), 1 + numbers.below(5)],
            stride: [1 + numbers.below(2), 1 + numbers.below(3) / 2],
            padding: [numbers.below(3), numbers.below(3)],
        };
        let Some([height, width]) = windows.output() else { continue };
        tried += 1;
        let (filters, depth, positions) = (1 + numbers.below(9), windows.depth(), height * width);
        let image = numbers.vec(windows.channels * windows.height * windows.width);
        let weights = numbers.vec(filters * depth);
        let bias = numbers.vec(filters * positions);
        let mut padded = std::vec![0.0; windows.padded_len().unwrap()];
        windows.pad(&image, &mut padded);
        let at = |nth: usize, position: usize| {
            let [lines, columns] = windows.kernel;
            let (channel, line, column) =
                (nth / columns / lines, nth / columns % lines, nth % columns);
            let down = position / width * windows.stride[0] + line;
            let across = position % width * windows.stride[1] + column;
            let inside = |x: usize, axis: usize, size: usize| {
                x.checked_sub(windows.padding[axis]).filter(|x| *x < size)
            };
            match (inside(down, 0, windows.height), inside(across, 1, windows.width)) {
                (Some(y), Some(x)) => image[(channel * windows.height + y) * windows.width + x],
                _ => 0.0,
            }
        };
        let got = same("convolution", || {
            let mut output = bias.clone();
            let weights = Matrix::new(&weights, filters, depth);
            convolution::add_convolution(&mut output, weights, &windows, &padded);
            output
        });
        let left = |filter: usize, nth: usize| weights[filter * depth + nth];
        assert_eq!(got, product(&bias, left, at, [filters, depth, positions]), "{windows:?}");

        let mut laid_out = std::vec![0.0; depth * positions];
        convolution::lay_out_windows(&mut laid_out, &windows, &padded);
        let expected = (0..depth).flat_map(|nth| (0..positions).map(move |p| (nth, p)));
        assert!(expected.map(|(nth, p)| at(nth, p)).eq(laid_out.iter().copied()), "{windows:?}");
        let got = same("gradient of weights", || {
            let mut gradient = std::vec![0.0; depth * filters];
            convolution::add_weight_gradient(&mut gradient, &windows, &laid_out, &bias);
            gradient
        });
        let right = |position: usize, filter: usize| bias[filter * positions + position];
        let zeros = std::vec![0.0; depth * filters];
        assert_eq!(got, product(&zeros, at, right, [depth, positions, filters]), "{windows:?}");

        let mut back = std::vec![0.0; padded.len()];
        convolution::add_windows_back(&mut back, &windows, &laid_out);
        let mut image_back = std::vec![0.0; image.len()];
        convolution::unpad(&mut image_back, &windows, &back);
        // Each element comes back as often as it is looked at, up to rounding.
        let ones = std::vec![1.0; laid_out.len()];
        back.fill(0.0);
        convolution::add_windows_back(&mut back, &windows, &ones);
        let mut counts = std::vec![0.0; image.len()];
        convolution::unpad(&mut counts, &windows, &back);
        for ((back, count), element) in image_back.iter().zip(&counts).zip(&image) {
            assert!((back - count * element).abs() <= 1e-5 * back.abs().max(1e-6), "{windows:?}");
        }
    }
}

#[test]
fn elements_sums_and_pools() {
    let mut numbers = Numbers(3);
    for len in (0..70).chain([1000]) {
        let (x, y) = (numbers.vec(len), numbers.vec(len));
        let positive: Vec<f32> = x.iter().map(|x| x.abs()).collect();
        let on = |f: fn(&mut [f32], &[f32], &[f32])| {
            same("elementwise", || {
                let mut to = x.clone();
                f(&mut to, &y, &positive);
                to
            })
        };
        on(|to, y, _| elementwise::add(to, y));
        on(|to, y, _| elementwise::multiply(to, y));
        on(|to, y, _| elementwise::add_scaled(to, 0.3, y));
        on(|to, y, _| elementwise::decay(to, 0.9, 0.1, y));
        on(|to, y, _| elementwise::decay_squares(to, 0.9, 0.1, y));
        on(|to, y, root| elementwise::step_scaled(to, 0.1, 1e-8, y, root));
        on(|to, _, _| elementwise::relu(to));
        on(|to, y, _| elementwise::relu_gradient(to, y));
        on(|to, _, _| elementwise::exp(to));
        on(|to, _, positive| {
            to.copy_from_slice(positive);
            elementwise::ln(to);
        });
        on(|to, _, _| elementwise::tanh(to));
        on(|to, y, _| elementwise::tanh_gradient(to, y));
        on(|to, _, _| elementwise::sigmoid(to));
        on(|to, y, _| elementwise::sigmoid_gradient(to, y));
        let roots = on(|to, _, positive| {
            to.copy_from_slice(positive);
            elementwise::sqrt(to);
        });
        assert!(roots.iter().zip(&positive).all(|(root, x)| *root == x.sqrt()));
        same("sum", || std::vec![reduction::sum(&x)]);
        same("dot", || std::vec![reduction::dot(&x, &y)]);
        same("squares", || std::vec![reduction::sum_of_squares_from(0.5, &x)]);
        let exact: f64 = x.iter().map(|x| f64::from(*x)).sum();
        assert!((f64::from(reduction::sum(&x)) - exact).abs() <= 1e-6 * 4.0 * (len as f64 + 1.0));
        if len > 0 {
            same("rows", || {
                let mut to = x.clone();
                reduction::add_rows(&mut to, &[&y[..], &x[..]].concat());
                elementwise::add_row(&mut to, &y);
                to
            });
        }
    }
}

#[test]
fn pools_give_each_gradient_to_where_it_came_from() {
    let pool = Pool { height: 3, width: 5, window: [2, 2], stride: [1, 2] };
    assert_eq!(pool.output(), Some([2, 2]));
    let input = [1., 3., 2., 2., 9., 3., 0., 1., 2., 9., 4., 1., 7., 0., 9.];
    let mut output = [0.0; 4];
    let mut places = [0; 4];
    pooling::max(&mut output, &mut places, &pool, &input);
    assert_eq!(output, [3., 2., 4., 7.]);
    let mut gradient = [0.0; 15];
    pooling::add_max_gradient(&mut gradient, &places, &[1., 2., 3., 4.]);
    // Of equal ones the first takes it.
    let expected = [0., 1., 2., 0., 0., 0., 0., 0., 0., 0., 3., 0., 4., 0., 0.];
    assert_eq!(gradient, expected);
    // Windows side by side, as the quick way takes them, and one line and column left over.
    let beside = Pool { stride: [2, 2], ..pool };
    let mut output = [0.0; 2];
    pooling::max(&mut output, &mut places[..2], &beside, &input);
    assert_eq!((output, &places[..2]), ([3., 2.], &[1, 2][..]));
    let mut output = [0.0; 4];
    pooling::mean(&mut output, &pool, &input);
    assert_eq!(output, [1.75, 1.75, 2., 2.5]);
    let mut gradient = [0.0; 15];
    pooling::add_mean_gradient(&mut gradient, &pool, &[4., 8., 12., 16.]);
    let expected = [1., 1., 2., 2., 0., 4., 4., 6., 6., 0., 3., 3., 4., 4., 0.];
    assert_eq!(gradient, expected);
    let too_large = Pool { window: [4, 1], ..pool };
    assert_eq!(too_large.output(), None);
    assert_eq!(Pool { stride: [0, 1], ..pool }.output(), None);
}

/// What [`pooling::max`] says, one element after the other.
fn largest(pool: &Pool, plane: &[f32]) -> Vec<(u32, u32)> {
    let [height, width] = pool.output().expect("a window that fits");
    let mut all = Vec::new();
    for (line, column) in (0..height).flat_map(|line| (0..width).map(move |at| (line, at))) {
        let start = line * pool.stride[0] * pool.width + column * pool.stride[1];
        let mut at = start;
        for (down, across) in
            (0..pool.window[0]).flat_map(|d| (0..pool.window[1]).map(move |a| (d, a)))
        {
            let here = start + down * pool.width + across;
            if plane[here] > plane[at] {
                at = here;
            }
        }
        all.push((plane[at].to_bits(), at as u32));
    }
    all
}

#[test]
fn pools_of_any_width_find_the_first_of_the_largest() {
    let some = [0.0, -0.0, 1.0, 2.0, f32::NAN, f32::INFINITY, -3.0];
    for (width, stride) in (2..40).flat_map(|width| [(width, 1), (width, 2), (width, 3)]) {
        let pool = Pool { height: 5, width, window: [2, 2], stride: [2, stride] };
        let plane: Vec<f32> = (0..5 * width).map(|nth| some[nth * nth * 31 % 7]).collect();
        let expected = largest(&pool, &plane);
        let found = || {
            let (mut output, mut places) =
                (std::vec![7.0; expected.len()], std::vec![7; expected.len()]);
            pooling::max(&mut output, &mut places, &pool, &plane);
            output.iter().map(|value| value.to_bits()).zip(places).collect::<Vec<_>>()
        };
        assert_eq!(found(), expected, "{width} {stride}");
        assert_eq!(on_scalar(found), expected, "{width} {stride}");
    }
}
