//! The rounds of the benchmark in plain Rust: two nodes in threads of their own, softmax regression in
//! loops, float32 parameters over TCP, a mean.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

const INPUTS: usize = 30;
const CLASSES: usize = 2;
/// Weights, then biases.
const PARAMS: usize = CLASSES * (INPUTS + 1);
const LR: f64 = 0.1;
/// The first byte of a request.
const TRAIN: u8 = 0;
const SCORE: u8 = 1;

/// Runs `rounds`; the time of each in milliseconds, and the accuracy of the last model.
pub(crate) fn run(tables: &[PathBuf], rounds: usize, is_scored: bool) -> (Vec<f64>, f64) {
    let mut nodes: Vec<TcpStream> = tables.iter().map(|table| start(table)).collect();
    let (mut params, mut times) = (vec![0.0_f32; PARAMS], Vec::new());
    let mut accuracy = 0.0;
    for round in 0..rounds {
        let start = Instant::now();
        ask(&mut nodes, TRAIN, &params);
        let (mut mean, mut total) = (vec![0.0; PARAMS], 0.0);
        for node in &mut nodes {
            let (n, update) = answer(node, PARAMS);
            mean.iter_mut().zip(update).for_each(|(sum, value)| *sum += n * f64::from(value));
            total += n;
        }
        params = mean.into_iter().map(|sum| (sum / total) as f32).collect();
        if is_scored || round + 1 == rounds {
            ask(&mut nodes, SCORE, &params);
            let (mut right, mut total) = (0.0, 0.0);
            for node in &mut nodes {
                let (n, share) = answer(node, 1);
                right += n * f64::from(share[0]);
                total += n;
            }
            accuracy = right / total;
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    (times, accuracy)
}

fn ask(nodes: &mut [TcpStream], what: u8, params: &[f32]) {
    let mut bytes = vec![what];
    bytes.extend(params.iter().flat_map(|value| value.to_le_bytes()));
    nodes.iter_mut().for_each(|node| node.write_all(&bytes).unwrap());
}

/// A weight, and so many numbers.
fn answer(node: &mut TcpStream, n: usize) -> (f64, Vec<f32>) {
    let mut weight = [0; 8];
    node.read_exact(&mut weight).unwrap();
    (f64::from_le_bytes(weight), floats(node, n).unwrap())
}

fn floats(from: &mut TcpStream, n: usize) -> std::io::Result<Vec<f32>> {
    let mut bytes = vec![0; n * 4];
    from.read_exact(&mut bytes)?;
    let chunks = bytes.chunks_exact(4);
    Ok(chunks.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect())
}

/// Starts a node, which ends with its connection.
fn start(table: &Path) -> TcpStream {
    let (train, test) = rows(table);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut researcher, _) = listener.accept().unwrap();
        researcher.set_nodelay(true).unwrap();
        let mut what = [0];
        while researcher.read_exact(&mut what).is_ok() {
            let params = floats(&mut researcher, PARAMS).unwrap();
            let (n, values) = match what {
                [TRAIN] => (train.len(), step(&params, &train)),
                _ => (test.len(), vec![accuracy(&params, &test)]),
            };
            let mut bytes = (n as f64).to_le_bytes().to_vec();
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            researcher.write_all(&bytes).unwrap();
        }
    });
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

type Row = ([f32; INPUTS], usize);

/// The rows of a table, scaled to mean 0 and deviation 1: four fifths, and the others.
fn rows(table: &Path) -> (Vec<Row>, Vec<Row>) {
    let text = std::fs::read_to_string(table).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let target = header.iter().position(|name| *name == "benign").unwrap();
    let mut rows: Vec<Row> = Vec::new();
    for line in lines {
        let cells: Vec<f32> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        let inputs = cells.iter().enumerate().filter(|(at, _)| *at != target);
        let inputs: Vec<f32> = inputs.map(|(_, value)| *value).collect();
        rows.push((inputs.try_into().unwrap(), cells[target] as usize));
    }
    let n = rows.len() as f32;
    for at in 0..INPUTS {
        let mean = rows.iter().map(|(inputs, _)| inputs[at]).sum::<f32>() / n;
        let square = |(inputs, _): &Row| (inputs[at] - mean).powi(2);
        let deviation = (rows.iter().map(square).sum::<f32>() / n).sqrt();
        rows.iter_mut().for_each(|(inputs, _)| inputs[at] = (inputs[at] - mean) / deviation);
    }
    let test = rows.split_off(rows.len() * 4 / 5);
    (rows, test)
}

/// The probability of each class.
fn probabilities(params: &[f32], inputs: &[f32; INPUTS]) -> [f64; CLASSES] {
    let mut scores = [0.0; CLASSES];
    for (class, score) in scores.iter_mut().enumerate() {
        let weights = &params[class * INPUTS..(class + 1) * INPUTS];
        let sum: f32 = weights.iter().zip(inputs).map(|(weight, input)| weight * input).sum();
        *score = f64::from(sum + params[CLASSES * INPUTS + class]);
    }
    let largest = scores.iter().copied().fold(f64::MIN, f64::max);
    let scores = scores.map(|score| (score - largest).exp());
    let sum: f64 = scores.iter().sum();
    scores.map(|score| score / sum)
}

/// One step of gradient descent on the cross-entropy loss of all rows.
fn step(params: &[f32], rows: &[Row]) -> Vec<f32> {
    let mut gradient = vec![0.0; PARAMS];
    for (inputs, target) in rows {
        for (class, probability) in probabilities(params, inputs).into_iter().enumerate() {
            let error = probability - if class == *target { 1.0 } else { 0.0 };
            let weights = &mut gradient[class * INPUTS..(class + 1) * INPUTS];
            weights.iter_mut().zip(inputs).for_each(|(sum, x)| *sum += error * f64::from(*x));
            gradient[CLASSES * INPUTS + class] += error;
        }
    }
    let moved = params.iter().zip(gradient);
    moved.map(|(value, sum)| (f64::from(*value) - LR * sum / rows.len() as f64) as f32).collect()
}

/// The share of rows whose likelier class is theirs.
fn accuracy(params: &[f32], rows: &[Row]) -> f32 {
    let is_right = |(inputs, target): &&Row| {
        let [no, yes] = probabilities(params, inputs);
        usize::from(yes > no) == *target
    };
    rows.iter().filter(is_right).count() as f32 / rows.len() as f32
}
