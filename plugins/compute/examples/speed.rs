//! Speed of the kernels: GFLOP/s or G elements/s for AVX-512, AVX2 (or whatever the machine has)
//! and plain code, in one thread.
//!
//! Time is that of the processor in this thread, in slices of about 1 ms, contenders in turn; the
//! least of the slices counts, so that other processes on the machine matter little.
#![expect(
    unsafe_code,
    reason = "the clock of the thread, which the standard library does not read"
)]

use fedwasm_compute::kernels::convolution::{convolution, input_gradient, weight_gradient};
use fedwasm_compute::kernels::elementwise::{binary, unary};
use fedwasm_compute::kernels::optimizer::adam;
use fedwasm_compute::kernels::pooling::{
    max_pool, max_pool_gradient, mean_pool, mean_pool_gradient,
};
use fedwasm_compute::kernels::reduction::sum;
use fedwasm_compute::kernels::simd::{Level, limit, peak};
use fedwasm_compute::kernels::{
    Adam, Binary, Convolution, Decay, Divisor, Matrix, OneThread, Start, Unary, Windows, product,
};

/// Slices of each contender.
const SLICES: usize = 60;
const SLICE_NS: f64 = 1e6;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    safe fn clock_gettime(clock: i32, to: &mut Timespec) -> i32;
}

/// Processor time of this thread, ns.
fn now() -> f64 {
    const THREAD: i32 = 3;
    let mut at = Timespec { seconds: 0, nanoseconds: 0 };
    clock_gettime(THREAD, &mut at);
    at.seconds as f64 * 1e9 + at.nanoseconds as f64
}

/// The least time of a call, ns, of each contender.
fn least(contenders: &mut [Box<dyn FnMut() + '_>]) -> Vec<f64> {
    let mut calls = vec![1usize; contenders.len()];
    let mut least = vec![f64::INFINITY; contenders.len()];
    for slice in 0..SLICES {
        for (nth, run) in contenders.iter_mut().enumerate() {
            // Slow ones, which one call keeps for long, a few times.
            if slice > 2 && least[nth] > 20.0 * SLICE_NS {
                continue;
            }
            let start = now();
            (0..calls[nth]).for_each(|_| run());
            let each = (now() - start) / calls[nth] as f64;
            least[nth] = least[nth].min(each);
            calls[nth] = ((SLICE_NS / least[nth]) as usize).max(1);
        }
    }
    least
}

fn levels() -> Vec<Level> {
    let all = [Level::Avx512, Level::Avx2, Level::Neon, Level::Plain];
    all.into_iter().filter(|level| limit(*level) == *level).collect()
}

/// Prints a row: work over time for each level.
fn row(name: &str, work: f64, run: impl Fn()) {
    let levels = levels();
    let mut contenders: Vec<Box<dyn FnMut()>> = levels
        .iter()
        .map(|level| {
            let run = &run;
            Box::new(move || {
                limit(*level);
                run();
            }) as Box<dyn FnMut()>
        })
        .collect();
    let times = least(&mut contenders);
    let cells: String = times.iter().map(|time| format!(" {:8.2}", work / time)).collect();
    println!("{name:44}{cells}");
}

fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn products() {
    let shapes = [
        ([64, 128, 784], false, true),
        ([128, 784, 64], true, false),
        ([64, 128, 784], false, false),
        ([64, 784, 128], false, false),
        ([512, 512, 512], false, false),
        ([1024, 1024, 1024], false, false),
        ([64, 10, 128], false, true),
        ([10, 128, 64], true, false),
        ([32, 32, 64], false, true),
        ([32, 10, 32], false, true),
        ([1, 256, 1024], false, true),
    ];
    for ([m, n, k], is_left, is_right) in shapes {
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let c = std::cell::RefCell::new(vec![0.0; m * n]);
        let sides = match (is_left, is_right) {
            (true, _) => ", left transposed",
            (_, true) => ", right transposed",
            _ => "",
        };
        row(&format!("product {m} x {n} x {k}{sides}"), (2 * m * n * k) as f64, || {
            let left =
                if is_left { Matrix::new(&a, k, m).transposed() } else { Matrix::new(&a, m, k) };
            let right =
                if is_right { Matrix::new(&b, n, k).transposed() } else { Matrix::new(&b, k, n) };
            product(&mut c.borrow_mut(), n, Start::Zero, left, right, &OneThread);
        });
    }
}

fn convolutions() {
    // The two of plugins/cnn, the second with 3 x 3, padding and stride, and of more channels.
    let shapes = [
        ("8 of 5x5 on 1x28x28", 64, [1, 8], Windows::new(&[28, 28], &[5, 5])),
        ("16 of 5x5 on 8x12x12", 64, [8, 16], Windows::new(&[12, 12], &[5, 5])),
        (
            "16 of 3x3 on 8x14x14, padded",
            64,
            [8, 16],
            Windows::new(&[14, 14], &[3, 3]).padding(&[1, 1]),
        ),
        (
            "64 of 3x3 on 64x16x16, padded",
            4,
            [64, 64],
            Windows::new(&[16, 16], &[3, 3]).padding(&[1, 1]),
        ),
        (
            "64 of 3x3 on 32x32x32, stride 2",
            4,
            [32, 64],
            Windows::new(&[32, 32], &[3, 3]).padding(&[1, 1]).stride(&[2, 2]),
        ),
    ];
    let apart = Windows::new(&[32, 32], &[3, 3]).padding(&[1, 1]);
    let shapes =
        shapes.map(|(name, images, channels, windows)| (name, images, channels, 1, windows));
    let more = [
        ("64 of 1x1 on 64x16x16", 8, [64, 64], 1, Windows::new(&[16, 16], &[1, 1])),
        ("3x3 on 64x32x32, each channel", 4, [64, 64], 64, apart),
    ];
    for (name, images, [channels, filters], groups, windows) in shapes.into_iter().chain(more) {
        let of = Convolution { images, channels, filters, groups, windows };
        let lens = of.lens();
        let [input, weights, output] = lens.map(|len| numbers(len, len as u32));
        let bias = numbers(filters, 5);
        let work = (2 * output.len() * of.depth()) as f64;
        let to = std::cell::RefCell::new(vec![0.0; lens.into_iter().max().unwrap_or(0)]);
        row(&format!("convolution {name}"), work, || {
            let to = &mut to.borrow_mut()[..lens[2]];
            convolution(to, &of, Some(&bias), &weights, &input, &OneThread);
        });
        row(&format!("  weights {name}"), work, || {
            let to = &mut to.borrow_mut()[..lens[1]];
            weight_gradient(to, &of, Start::Zero, &input, &output, &OneThread);
        });
        row(&format!("  inputs {name}"), work, || {
            let to = &mut to.borrow_mut()[..lens[0]];
            input_gradient(to, &of, Start::Zero, &weights, &output, &OneThread);
        });
    }
}

fn elements() {
    let len = 8192;
    let (x, y) = (numbers(len, 1), numbers(len, 2));
    let to = std::cell::RefCell::new(vec![0.0; len]);
    for op in [Unary::Exp, Unary::Tanh, Unary::Sigmoid, Unary::Relu, Unary::Root] {
        row(&format!("{op:?} of {len}"), len as f64, || {
            unary(op, &mut to.borrow_mut(), &x, &OneThread);
        });
    }
    let positive: Vec<f32> = x.iter().map(|x| x.abs()).collect();
    row(&format!("Ln of {len}"), len as f64, || {
        unary(Unary::Ln, &mut to.borrow_mut(), &positive, &OneThread);
    });
    for op in [Binary::Add, Binary::ReluGradient] {
        row(&format!("{op:?} of {len}"), len as f64, || {
            binary(op, &mut to.borrow_mut(), &x, &y, &OneThread);
        });
    }
    for shape in [[64, 128, 1], [1, 64, 128]] {
        row(&format!("sum {shape:?}"), len as f64, || {
            sum(&mut to.borrow_mut()[..shape[0] * shape[2]], &x, shape, &OneThread);
        });
    }
    let len = 10_000_000;
    let all = [1, 2, 3, 4].map(|seed| std::cell::RefCell::new(numbers(len, seed)));
    let rule = Adam::new(1e-3, [0.9, 0.999], 1e-8, Decay::None, 10);
    row("adam of 10 M, GB/s", 28.0 * len as f64, || {
        let [mut values, mut means, mut squares] = [0, 1, 2].map(|nth| all[nth].borrow_mut());
        adam(&rule, &mut values, &mut means, &mut squares, &all[3].borrow(), &OneThread);
    });
}

fn pools() {
    let shapes = [
        ("2x2 of 64x8 planes of 24x24", 512, Windows::new(&[24, 24], &[2, 2]).stride(&[2, 2])),
        (
            "3x3, stride 2, of 256 planes of 32x32",
            256,
            Windows::new(&[32, 32], &[3, 3]).stride(&[2, 2]).padding(&[1, 1]),
        ),
    ];
    for (name, n_planes, windows) in shapes {
        let plane: usize = windows.image.iter().product();
        let size: usize = windows.output().map_or(0, |size| size.iter().product());
        let input = numbers(n_planes * plane, 1);
        let output = numbers(n_planes * size, 2);
        let work = input.len() as f64;
        let to = std::cell::RefCell::new(vec![0.0; input.len()]);
        row(&format!("max {name}"), work, || {
            max_pool(&mut to.borrow_mut()[..output.len()], &windows, &input, &OneThread);
        });
        row(&format!("  gradient {name}"), work, || {
            max_pool_gradient(&mut to.borrow_mut(), &windows, &input, &output, &OneThread);
        });
        row(&format!("mean {name}"), work, || {
            let to = &mut to.borrow_mut()[..output.len()];
            mean_pool(to, &windows, Divisor::Window, &input, &OneThread);
        });
        row(&format!("  gradient {name}"), work, || {
            mean_pool_gradient(
                &mut to.borrow_mut(),
                &windows,
                Divisor::Window,
                &output,
                &OneThread,
            );
        });
    }
}

fn main() {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    println!("{:44} {:?}", "G operations/s", levels());
    let rounds = 10_000;
    let flops = [16, 8, 1].map(|lanes| (rounds * 12 * lanes * 2) as f64);
    for (level, flops) in levels().into_iter().zip(flops) {
        let run = move || {
            limit(level);
            std::hint::black_box(peak(rounds));
        };
        let time = least(&mut [Box::new(run)])[0];
        println!("{:44} {:8.2}", format!("in registers, {level:?}"), flops / time);
    }
    if wanted("product") {
        products();
    }
    if wanted("convolution") {
        convolutions();
    }
    if wanted("pool") {
        pools();
    }
    if wanted("element") {
        elements();
    }
}
