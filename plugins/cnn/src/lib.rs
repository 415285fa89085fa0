//! A convolutional network for small images, such as MNIST: two convolutions, each rectified and
//! pooled, and a linear layer under the cross-entropy loss.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// channels of an image: 1 for grey, 3 for colours
        channels: usize = 1,
        /// lines and columns of an image
        size: usize = 28,
        /// number of classes
        n_classes: usize = target_classes,
        /// filters of the first convolution
        filters1: usize = 8,
        /// filters of the second convolution
        filters2: usize = 16,
    }
}

struct Cnn {
    network: Sequential,
    image: [usize; 3],
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
        let features = args.filters2 * size * size;
        let network = Sequential::new()
            .then("conv1", Conv2d::new(args.channels, args.filters1, KERNEL)?)
            .then("pool1", MaxPool2d::new(POOL))
            .then("relu1", Relu::new())
            .then("conv2", Conv2d::new(args.filters1, args.filters2, KERNEL)?)
            .then("pool2", MaxPool2d::new(POOL))
            .then("relu2", Relu::new())
            .then("flatten", Flatten::new())
            .then("output", Linear::new(features, args.n_classes)?);
        Ok(Self { network, image: [args.channels, args.size, args.size] })
    }

    fn layers(&mut self) -> Layers<'_> {
        self.network.layers()
    }

    fn data(&mut self) -> Data {
        Data::classes(&self.image)
    }

    fn training_step(&mut self, batch: Batch) -> Result<f32> {
        let scores = self.network.forward(batch.inputs)?;
        let (loss, gradient) = cross_entropy(&scores, &batch.targets)?;
        self.network.backward(gradient)?;
        Ok(loss)
    }

    fn predict(&mut self, batch: Batch) -> Result<Tensor> {
        self.network.forward(batch.inputs)
    }
}

export!(Cnn);
