//! A U-Net (Ronneberger, Fischer and Brox 2015) that finds the class of each pixel of an image,
//! under the cross-entropy loss. The target is a mask: the class of each pixel, 0 for background.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// channels of an image: 1 for grey, 3 for colours
        channels: usize = 1,
        /// lines and columns of an image
        size: usize = 64,
        /// number of classes of pixels
        n_classes: usize = target_classes,
        /// filters of the first level; twice as many at each level below
        filters: usize = 16,
        /// levels below the first, each of half the size
        depth: usize = 3,
    }
}

module! {
    struct Block {
        conv1: Conv2d,
        norm1: InstanceNorm,
        conv2: Conv2d,
        norm2: InstanceNorm,
    }
}

impl Block {
    fn new(channels: usize, filters: usize) -> Self {
        Self {
            // Normalisation takes a bias away.
            conv1: Conv2d::new(channels, filters, 3).padding(1).without_bias(),
            norm1: InstanceNorm::new(filters).affine(),
            conv2: Conv2d::new(filters, filters, 3).padding(1).without_bias(),
            norm2: InstanceNorm::new(filters).affine(),
        }
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.norm1.forward(&self.conv1.forward(x)).relu();
        self.norm2.forward(&self.conv2.forward(&x)).relu()
    }
}

module! {
    struct Unet {
        down: Vec<Block>,
        widen: Vec<ConvTranspose2d>,
        up: Vec<Block>,
        output: Conv2d,
        image: [usize; 3],
        n_classes: usize,
    }
}

impl Unet {
    /// Scores [rows, classes, height, width].
    fn scores(&self, images: &Tensor) -> Tensor {
        let mut x = self.down[0].forward(images);
        let mut skipped = Vec::new();
        for block in &self.down[1..] {
            skipped.push(x.clone());
            x = block.forward(&x.max_pool2d(2, 2));
        }
        for ((widen, block), skip) in self.widen.iter().zip(&self.up).zip(&skipped).rev() {
            x = block.forward(&Tensor::concat(&[skip, &widen.forward(&x)], 1));
        }
        self.output.forward(&x)
    }
}

impl TrainingPlan for Unet {
    const TASK: Task = Task::Other("segmentation");
    const METRICS: &'static [&'static str] = &["dice", "pixel_accuracy"];
    type Arguments = Arguments;
    type Optimizer = Adam;

    fn model(args: &Arguments) -> Result<Self> {
        let Arguments { channels, size, n_classes, filters, depth } = *args;
        let smallest = 1usize.checked_shl(depth as u32).unwrap_or(0);
        if size.checked_rem(smallest) != Some(0) {
            let text =
                format!("model.size is {size}: {depth} halvings take a multiple of {smallest}");
            return Err(PlanError::InvalidArgument(text));
        }
        let at = |level: usize| filters << level;
        let below = |level: usize| Block::new(at(level - 1), at(level));
        let levels = 0..depth;
        Ok(Self {
            down: [Block::new(channels, filters)]
                .into_iter()
                .chain((1..=depth).map(below))
                .collect(),
            widen: levels
                .clone()
                .map(|n| ConvTranspose2d::new(at(n + 1), at(n), 2).stride(2))
                .collect(),
            up: levels.map(|n| Block::new(at(n + 1), at(n))).collect(),
            output: Conv2d::new(filters, n_classes, 1),
            image: [channels, size, size],
            n_classes,
        })
    }

    fn data(&self) -> Data {
        Data::new(Dtype::F32, &self.image).target("mask", Dtype::I64, &self.image[1..])
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.scores(&batch.inputs).cross_entropy(&batch.targets))
    }

    /// The scores of a row one after the other, those of class 0 first.
    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.scores(&batch.inputs).flatten(1))
    }

    fn metrics(&mut self, batch: &Batch) -> Result<Vec<(&'static str, f64)>> {
        let found = self.scores(&batch.inputs).argmax(1);
        let mut dice = Tensor::zeros(&[]);
        for class in 1..self.n_classes {
            let is_class = |x: &Tensor| x.eq(class as f64).to_f32();
            let (found, wanted) = (is_class(&found), is_class(&batch.targets));
            let both = (&found * &wanted).sum_all() * 2.0 + 1.0;
            dice = dice + both / (found.sum_all() + wanted.sum_all() + 1.0);
        }
        let dice = dice.item()? / (self.n_classes - 1) as f64;
        let right = found.eq(&batch.targets).to_f32().mean_all().item()?;
        Ok(vec![("dice", dice), ("pixel_accuracy", right)])
    }
}

export!(Unet);
