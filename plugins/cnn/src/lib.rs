//! A convolutional network for small images, such as MNIST: two convolutions, each pooled and
//! rectified, and a linear layer under the cross-entropy loss.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// channels of an image: 1 for grey, 3 for colours
        channels: usize = 1,
        /// lines and columns of an image
        size: usize = 28,
        /// number of classes
        n_classes: usize = target_classes,
        /// a weight for each class in the loss, or "balanced"; none: all classes alike
        class_weights: Vec<f64> = [],
        /// filters of the first convolution
        filters1: usize = 8,
        /// filters of the second convolution
        filters2: usize = 16,
    }
}

module! {
    struct Cnn {
        conv1: Conv2d,
        conv2: Conv2d,
        output: Linear,
        image: [usize; 3],
        class_weights: Vec<f64>,
    }
}

const KERNEL: usize = 5;
const POOL: usize = 2;

impl TrainingPlan for Cnn {
    const TASK: Task = Task::Classification;
    type Arguments = Arguments;
    type Optimizer = Sgd;

    fn model(args: &Arguments) -> Result<Self> {
        let after = |size: usize| size.saturating_sub(KERNEL - 1) / POOL;
        let size = after(after(args.size));
        if size == 0 {
            let text = "two convolutions of 5 x 5, each pooled, take images of 16 x 16 and more";
            let text = format!("model.size is {}: {text}", args.size);
            return Err(PlanError::InvalidArgument(text));
        }
        check_weights(args)?;
        Ok(Self {
            conv1: Conv2d::new(args.channels, args.filters1, KERNEL),
            conv2: Conv2d::new(args.filters1, args.filters2, KERNEL),
            output: Linear::new(args.filters2 * size * size, args.n_classes),
            image: [args.channels, args.size, args.size],
            class_weights: args.class_weights.clone(),
        })
    }

    fn data(&self) -> Data {
        Data::classes(&self.image)
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.predict(batch)?.cross_entropy_with(&batch.targets, &weighted(&self.class_weights)))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        let x = self.conv1.forward(&batch.inputs).max_pool2d(POOL, POOL).relu();
        let x = self.conv2.forward(&x).max_pool2d(POOL, POOL).relu();
        Ok(self.output.forward(&x.flatten(1)))
    }
}

/// The loss with a weight for each class, if some are given.
fn weighted(weights: &[f64]) -> CrossEntropy {
    let weights: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
    let weights = (!weights.is_empty()).then(|| Tensor::from_slice(&weights, &[weights.len()]));
    CrossEntropy { weights, ..CrossEntropy::default() }
}

/// A weight for each class, or none.
fn check_weights(args: &Arguments) -> Result<()> {
    let (n, n_classes) = (args.class_weights.len(), args.n_classes);
    if n == 0 || (n == n_classes && args.class_weights.iter().all(|weight| *weight >= 0.0)) {
        return Ok(());
    }
    let text = format!("model.class_weights has {n} weights: expected {n_classes}, none below 0");
    Err(PlanError::InvalidArgument(text))
}

export!(Cnn);
