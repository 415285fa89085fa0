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
        class_weights: Vec<f32>,
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
        let (n, weights) = (args.n_classes, &args.class_weights);
        if !weights.is_empty() && (weights.len() != n || !weights.iter().all(|w| *w >= 0.0)) {
            let text = format!("has {} weights: expected {n}, none below 0", weights.len());
            return Err(PlanError::InvalidArgument(format!("model.class_weights {text}")));
        }
        let class_weights = weights.iter().map(|weight| *weight as f32).collect();
        Ok(Self {
            conv1: Conv2d::new(args.channels, args.filters1, KERNEL),
            conv2: Conv2d::new(args.filters1, args.filters2, KERNEL),
            output: Linear::new(args.filters2 * size * size, n),
            image: [args.channels, args.size, args.size],
            class_weights,
        })
    }

    fn data(&self) -> Data {
        Data::classes(&self.image)
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        let of = &self.class_weights;
        let weights = (!of.is_empty()).then(|| Tensor::from_slice(of, &[of.len()]));
        let loss = CrossEntropy { weights, ..CrossEntropy::default() };
        Ok(self.predict(batch)?.cross_entropy_with(&batch.targets, &loss))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        let x = self.conv1.forward(&batch.inputs).max_pool2d(POOL, POOL).relu();
        let x = self.conv2.forward(&x).max_pool2d(POOL, POOL).relu();
        Ok(self.output.forward(&x.flatten(1)))
    }
}

export!(Cnn);
