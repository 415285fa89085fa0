//! The models of `plugins/compute/examples/models`, operation by operation, that no shipped plan
//! is: `model.net` says which. `calls` is none of them: it does `model.n` operations on a tensor of
//! one element a batch.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// resnet, unet, lstm, transformer or calls
        net: String = required,
        /// operations a batch of calls
        n: i64 = 0,
    }
}

module! {
    struct Models {
        net: String,
        n: i64,
        weights: Vec<Parameter>,
        blocks: Vec<Block>,
        norm: Option<LayerNorm>,
        output: Option<Linear>,
    }
}

const RESNET: &[&[usize]] =
    &[&[16, 3, 3, 3], &[16], &[16], &[16, 16, 3, 3], &[16], &[16], &[10, 256], &[10]];

const UNET: &[&[usize]] = &[
    &[16, 1, 3, 3],
    &[16],
    &[16, 16, 3, 3],
    &[16],
    &[32, 16, 3, 3],
    &[32],
    &[32, 32, 3, 3],
    &[32],
    &[32, 16, 2, 2],
    &[16],
    &[16, 32, 3, 3],
    &[16],
    &[2, 16, 1, 1],
    &[2],
];

const LSTM: &[&[usize]] = &[&[256, 16], &[256, 64], &[256], &[10, 64], &[10]];

module! {
    struct Block {
        norm1: LayerNorm,
        attention: MultiheadAttention,
        norm2: LayerNorm,
        linear1: Linear,
        linear2: Linear,
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + self.attention.forward(&self.norm1.forward(x));
        let h = self.linear1.forward(&self.norm2.forward(&x)).gelu();
        x + self.linear2.forward(&h)
    }
}

fn shapes(net: &str) -> Result<&'static [&'static [usize]]> {
    Ok(match net {
        "resnet" => RESNET,
        "unet" => UNET,
        "lstm" => LSTM,
        "transformer" => &[&[256, 64], &[64, 64]],
        "calls" => &[&[2, 1]],
        _ => return Err(PlanError::InvalidArgument(format!("no model is called {net}"))),
    })
}

/// Momentum for convolutions, and Adam.
struct Either;

impl Optimizer for Either {
    fn arguments() -> Vec<Argument> {
        Adam::arguments()
    }

    fn read(args: &fedwasm_sdk::Arguments) -> Result<Rule> {
        match args.text("model.net")? {
            "resnet" | "unet" => {
                Ok(Rule::Sgd { momentum: 0.9, is_nesterov: false, weight_decay: 0.0 })
            }
            _ => Adam::read(args),
        }
    }
}

impl TrainingPlan for Models {
    const TASK: Task = Task::Other("measurement");
    type Arguments = Arguments;
    type Optimizer = Either;

    fn model(args: &Arguments) -> Result<Self> {
        let weight = |shape: &[usize]| Parameter::new(shape, Init::Uniform(0.1));
        let weights = shapes(&args.net)?.iter().map(|shape| weight(shape)).collect();
        let block = |_| Block {
            norm1: LayerNorm::new(64),
            attention: MultiheadAttention::new(64, 4),
            norm2: LayerNorm::new(64),
            linear1: Linear::new(64, 256),
            linear2: Linear::new(256, 64),
        };
        let is_transformer = args.net == "transformer";
        Ok(Self {
            net: args.net.clone(),
            n: args.n,
            weights,
            blocks: (0..2).filter(|_| is_transformer).map(block).collect(),
            norm: is_transformer.then(|| LayerNorm::new(64)),
            output: is_transformer.then(|| Linear::new(64, 256)),
        })
    }

    fn data(&self) -> Data {
        match self.net.as_str() {
            "resnet" => Data::classes(&[3, 32, 32]),
            "unet" => Data::new(Dtype::F32, &[1, 64, 64]).target("y", Dtype::I64, &[64, 64]),
            "lstm" => Data::classes(&[100, 16]),
            "transformer" => Data::new(Dtype::F32, &[64]).target("y", Dtype::I64, &[64]),
            _ => Data::classes(&[1]),
        }
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        let scores = self.predict(batch)?;
        if self.net == "transformer" {
            let scores = scores.reshape(&[-1, 256]);
            return Ok(scores.cross_entropy(&batch.targets.flatten(0)));
        }
        Ok(scores.cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        let w: Vec<Tensor> = self.weights.iter().map(Parameter::tensor).collect();
        Ok(match self.net.as_str() {
            "resnet" => resnet(&batch.inputs, &w),
            "unet" => unet(&batch.inputs, &w),
            "lstm" => lstm(&batch.inputs, &w),
            "transformer" => self.transformer(&batch.inputs, &w),
            _ => {
                let mut x = Tensor::ones(&[1]);
                (0..self.n).for_each(|_| x = x.relu());
                batch.inputs.linear(&w[0], None)
            }
        })
    }
}

impl Models {
    fn transformer(&self, x: &Tensor, w: &[Tensor]) -> Tensor {
        // Hosts give inputs as float32.
        let x = w[0].embedding(&x.to_i64()) + &w[1];
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x));
        match (&self.norm, &self.output) {
            (Some(norm), Some(output)) => output.forward(&norm.forward(&x)),
            _ => x,
        }
    }
}

fn resnet(x: &Tensor, w: &[Tensor]) -> Tensor {
    let norm = |x: Tensor, w: &[Tensor]| {
        let by_channel = |w: &Tensor| w.reshape(&[1, -1, 1, 1]);
        x.normalise(&[0, 2, 3], 1e-5) * by_channel(&w[0]) + by_channel(&w[1])
    };
    let x = norm(x.conv2d(&w[0], None, 1, 1), &w[1..3]).relu();
    let h = norm(x.conv2d(&w[3], None, 1, 1), &w[4..6]);
    let x = (x + h).relu().avg_pool2d(8, 8);
    x.flatten(1).linear(&w[6], Some(&w[7]))
}

fn unet(x: &Tensor, w: &[Tensor]) -> Tensor {
    let step = |x: &Tensor, nth: usize| x.conv2d(&w[nth], Some(&w[nth + 1]), 1, 1).relu();
    let fine = step(&step(x, 0), 2);
    let x = step(&step(&fine.max_pool2d(2, 2), 4), 6);
    let twice = Window { stride: [2, 2, 1], ..Window::default() };
    let x = x.conv_transpose(&w[8], Some(&w[9]), twice, [0; 3]);
    let x = step(&Tensor::concat(&[&fine, &x], 1), 10);
    x.conv2d(&w[12], Some(&w[13]), 1, 0)
}

fn lstm(x: &Tensor, w: &[Tensor]) -> Tensor {
    let mut state: Option<(Tensor, Tensor)> = None;
    for nth in 0..100 {
        let mut gates = x.select(1, nth).linear(&w[0], Some(&w[2]));
        if let Some((hidden, _)) = &state {
            gates = gates + hidden.linear(&w[1], None);
        }
        let gate = |nth: usize| gates.slice(1, 64 * nth, 64);
        let [i, f, o] = [0, 1, 3].map(|nth| gate(nth).sigmoid());
        let mut cell = i * gate(2).tanh();
        if let Some((_, old)) = state {
            cell = f * old + cell;
        }
        state = Some((o * cell.tanh(), cell));
    }
    state.expect("a step").0.linear(&w[3], Some(&w[4]))
}

export!(Models);
