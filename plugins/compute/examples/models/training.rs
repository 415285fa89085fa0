//! Data and weights by a fixed rule, and epochs of a model through [`Session`]: batches that are
//! copied in, forward, loss, backward and optimizer.

use fedwasm_compute::{Id, Mistake, Session, Shape, Tensor, Trained};

use crate::nets::{Model, Values};

/// A number in [-½, ½) by a fixed rule, which `models.py` has, too.
fn number(nth: usize, seed: usize) -> f64 {
    let mut h = (nth as u32).wrapping_add((seed as u32).wrapping_mul(0x9e37_79b9));
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    f64::from(h ^ (h >> 16)) / 4_294_967_296.0 - 0.5
}

fn floats(sizes: &[usize], seed: usize, scale: f64) -> Vec<f32> {
    (0..sizes.iter().product()).map(|nth| (number(nth, seed) * scale) as f32).collect()
}

fn classes(len: usize, seed: usize, most: i64) -> Vec<i64> {
    (0..len).map(|nth| ((number(nth, seed) + 0.5) * most as f64) as i64).collect()
}

pub(crate) struct Training {
    model: &'static Model,
    pub(crate) session: Session,
    pub(crate) weights: Vec<Id>,
    buffers: Vec<Vec<Id>>,
    pub(crate) x: Tensor,
    pub(crate) y: Tensor,
    steps: u64,
}

impl Training {
    pub(crate) fn new(model: &'static Model, mut session: Session) -> Result<Self, Mistake> {
        let mut weights = Vec::new();
        let mut buffers = Vec::new();
        for (nth, (sizes, values)) in model.weights.iter().enumerate() {
            let len: usize = sizes.iter().product();
            let elements = match values {
                Values::Random => {
                    let inputs = len / sizes[0];
                    floats(sizes, 100 + nth, 2.0 / (inputs as f64).sqrt())
                }
                Values::All(value) => vec![*value; len],
            };
            let tensor = Tensor::new(sizes, &elements).expect("sizes of the table");
            let id = session.insert(&tensor)?;
            session.keep(id)?;
            session.want_gradient(id, true)?;
            weights.push(id);
            let mut own = Vec::new();
            for _ in model.optimizer.buffers() {
                let zeros = session.insert(&Tensor::zeros(tensor.kind()))?;
                session.keep(zeros)?;
                own.push(zeros);
            }
            buffers.push(own);
        }
        let sizes: Vec<usize> = [model.rows].iter().chain(model.row).copied().collect();
        let len = sizes.iter().product();
        let x = match model.tokens {
            Some(most) => Tensor::new(&sizes, &classes(len, 1, most)),
            None => Tensor::new(&sizes, &floats(&sizes, 1, 2.0)),
        };
        let sizes: Vec<usize> = [model.rows].iter().chain(model.target).copied().collect();
        let y = Tensor::new(&sizes, &classes(sizes.iter().product(), 2, model.classes));
        let (x, y) = (x.expect("sizes of the table"), y.expect("sizes of the table"));
        Ok(Self { model, session, weights, buffers, x, y, steps: 0 })
    }

    /// Rows `start..end` as a tensor of the session.
    fn batch(&mut self, is_x: bool, start: usize, end: usize) -> Result<Id, Mistake> {
        let all = if is_x { &self.x } else { &self.y };
        let mut kind = all.kind();
        let each = kind.shape.len() / kind.shape.size(0);
        let sizes: Vec<usize> =
            [end - start].into_iter().chain(kind.shape.sizes().skip(1)).collect();
        kind.shape = Shape::new(&sizes).expect("fewer rows");
        self.session.create(kind, |to| {
            if let (Some(to), Some(from)) = (to.get_mut::<f32>(), all.get::<f32>()) {
                to.copy_from_slice(&from[start * each..end * each]);
            } else if let (Some(to), Some(from)) = (to.get_mut::<i64>(), all.get::<i64>()) {
                to.copy_from_slice(&from[start * each..end * each]);
            }
            Ok(())
        })
    }

    /// Trains over all rows; the last loss.
    pub(crate) fn epoch(&mut self) -> Result<f64, Mistake> {
        let mut last = 0.0;
        for start in (0..self.model.rows).step_by(self.model.batch) {
            let end = self.model.rows.min(start + self.model.batch);
            self.session.next_batch();
            let (x, y) = (self.batch(true, start, end)?, self.batch(false, start, end)?);
            let loss = (self.model.loss)(&mut self.session, x, y, &self.weights)?;
            last = self.session.get(loss)?.item().unwrap_or(f64::NAN);
            self.session.backward(loss)?;
            self.steps += 1;
            let trained: Vec<Trained> = self
                .weights
                .iter()
                .zip(&self.buffers)
                .map(|(value, buffers)| Trained { value: *value, buffers })
                .collect();
            self.session.step(&self.model.optimizer, self.model.rate, self.steps, &trained)?;
        }
        Ok(last)
    }
}
