//! A U-Net of volumes, of one level below the first: the class of each voxel, with Dice and IoU of its
//! own.
use fedwasm_sdk::*;

arguments! {
    struct Arguments {
        /// depth, height and width of a volume
        size: usize = 16,
        /// filters of the first level
        filters: usize = 4,
    }
}

module! {
    struct Block {
        conv: Conv3d,
        norm: InstanceNorm,
    }
}

impl Block {
    fn new(channels: usize, filters: usize) -> Self {
        let conv = Conv3d::new(channels, filters, 3).padding(1).without_bias();
        Self { conv, norm: InstanceNorm::new(filters).affine() }
    }
}

impl Layer for Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.norm.forward(&self.conv.forward(x)).relu()
    }
}

module! {
    struct Volumes {
        first: Block,
        narrow: Conv3d,
        below: Block,
        widen: ConvTranspose3d,
        last: Block,
        output: Conv3d,
        size: usize,
    }
}

impl Volumes {
    /// Scores [rows, 2, depth, height, width].
    fn scores(&self, volumes: &Tensor) -> Tensor {
        let first = self.first.forward(volumes);
        let below = self.below.forward(&self.narrow.forward(&first));
        let wide = self.widen.forward(&below);
        self.output.forward(&self.last.forward(&Tensor::concat(&[&first, &wide], 1)))
    }
}

impl TrainingPlan for Volumes {
    const TASK: Task = Task::Other("segmentation");
    const METRICS: &'static [&'static str] = &["dice", "iou"];
    type Arguments = Arguments;
    type Optimizer = Adam;

    fn model(args: &Arguments) -> Result<Self> {
        let Arguments { size, filters, .. } = *args;
        Ok(Self {
            first: Block::new(1, filters),
            narrow: Conv3d::new(filters, 2 * filters, 2).stride(2),
            below: Block::new(2 * filters, 2 * filters),
            widen: ConvTranspose3d::new(2 * filters, filters, 2).stride(2),
            last: Block::new(2 * filters, filters),
            output: Conv3d::new(filters, 2, 1),
            size,
        })
    }

    fn data(&self) -> Data {
        let size = [self.size; 3];
        Data::new(Dtype::F32, &[1, size[0], size[1], size[2]]).target("mask", Dtype::I64, &size)
    }

    fn training_step(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.scores(&batch.inputs).cross_entropy(&batch.targets))
    }

    fn predict(&mut self, batch: &Batch) -> Result<Tensor> {
        Ok(self.scores(&batch.inputs).flatten(1))
    }

    fn metrics(&mut self, batch: &Batch) -> Result<Vec<(&'static str, f64)>> {
        let found = self.scores(&batch.inputs).argmax(1);
        let is_inside = |x: &Tensor| x.eq(1.0).to_f32();
        let (found, wanted) = (is_inside(&found), is_inside(&batch.targets));
        let both = (&found * &wanted).sum_all().item()?;
        let all = found.sum_all().item()? + wanted.sum_all().item()?;
        // Nothing to find, and nothing found: both agree.
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 1.0 };
        Ok(vec![("dice", share(2.0 * both, all)), ("iou", share(both, all - both))])
    }
}

export!(Volumes);
