//! Changes of training rows: docs/data.md has the rule for people, tests/oracles/augment.py is an
//! independent implementation.
//!
//! The draws of the `n`-th row that a round gives, from 0, are those of ChaCha20 with the seed of
//! augmentation as key and `n` as nonce; so they depend on no batch and no thread. A word is 64 bits.
//! In this order: a word for each axis of `flip` (depth, height, width), whose lowest bit says
//! whether it is reversed; a word for `rotate90`, whose two lowest bits are the quarter turns; for
//! `crop` three draws below `2 * crop + 1`; then for each changed input of the run, in its order, a
//! word for the factor and one for the shift of `intensity`, and for `noise` two words for every two
//! values (Box and Muller 1958). A fraction is `(word >> 11) / 2^53`.

use fedwasm_dataset::{Dataset, Field};
use fedwasm_protocol::{Augment, Axis, DataArgs, Intensity};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::Error;
use crate::layout::{Layout, Part};
use crate::shuffle::below;

/// Bytes of a float32.
const REAL: usize = 4;
const AXES: [Axis; 3] = [Axis::Depth, Axis::Height, Axis::Width];

/// The changes of a run's training rows.
#[derive(Clone, Debug)]
pub(crate) struct Augmenter {
    augment: Augment,
    /// Fields on one grid each: those that are changed, and the targets that move with them.
    grids: Vec<Grid>,
}

/// Fields on the same grid.
#[derive(Clone, Debug)]
struct Grid {
    /// Depth, height and width.
    lengths: [usize; 3],
    fields: Vec<Place>,
}

/// Where the values of a field lie in the bytes of a part's rows.
#[derive(Clone, Copy, Debug)]
struct Place {
    is_target: bool,
    part: usize,
    /// Bytes of a row of the part, and those before the field.
    row: usize,
    offset: usize,
    /// Bytes of a value.
    size: usize,
    channels: usize,
}

/// The grid of a field: depth, height and width; none without axes of space.
fn grid(field: &Field) -> Option<[usize; 3]> {
    let of = |length: &u64| *length as usize;
    match &field.shape[..] {
        [height, width] | [_, height, width] => Some([1, of(height), of(width)]),
        [_, depth, height, width] => Some([of(depth), of(height), of(width)]),
        _ => None,
    }
}

/// Whether a target has a value for each point of a grid, or several.
fn is_on(field: &Field, lengths: [usize; 3]) -> bool {
    let lengths: Vec<u64> = lengths.into_iter().map(|length| length as u64).collect();
    let long = if lengths[0] == 1 { &lengths[1..] } else { &lengths[..] };
    field.shape.ends_with(&lengths) || field.shape.ends_with(long)
}

impl Augmenter {
    /// Finds the fields that are changed. None without any change.
    ///
    /// # Errors
    /// [`Error::Augment`].
    pub(crate) fn new(
        dataset: &Dataset,
        data: &DataArgs,
        layout: &Layout,
    ) -> Result<Option<Self>, Error> {
        let augment = data.augment.clone();
        if augment.is_none() {
            return Ok(None);
        }
        let wrong = |reason: String| Error::Augment { reason };
        augment.check().map_err(wrong)?;
        let field = |at: usize| &dataset.fields()[layout.fields[at]];
        let inputs = || (0..layout.n_input_fields).map(field);
        if let Some(name) = augment.fields.iter().find(|name| !inputs().any(|f| f.name == **name)) {
            return Err(wrong(format!("`{name}` is not an input of this run")));
        }
        let mut grids: Vec<Grid> = Vec::new();
        for (part, at, of) in places(&layout.inputs, false, &field) {
            let is_named = augment.fields.contains(&field(at).name);
            let lengths = match (grid(field(at)), is_named || augment.fields.is_empty()) {
                (Some(lengths), true) => lengths,
                (None, true) if is_named => {
                    let text = format!("`{}` has no height and width", part.name);
                    return Err(wrong(text));
                }
                _ => continue,
            };
            check(&augment, lengths).map_err(|what| {
                wrong(format!("`{}` of {:?} {what}", field(at).name, field(at).shape))
            })?;
            match grids.iter_mut().find(|grid| grid.lengths == lengths) {
                Some(grid) => grid.fields.push(of),
                None => grids.push(Grid { lengths, fields: vec![of] }),
            }
        }
        if grids.is_empty() {
            return Err(wrong("no input has height and width".to_owned()));
        }
        if augment.is_geometric() {
            for (_, at, of) in places(&layout.targets, true, &field) {
                if let Some(grid) = grids.iter_mut().find(|grid| is_on(field(at), grid.lengths)) {
                    let points = grid.lengths.iter().product::<usize>().max(1);
                    let channels = field(at).width() / points;
                    grid.fields.push(Place { channels, ..of });
                }
            }
        }
        Ok(Some(Self { augment, grids }))
    }

    /// Changes the rows of a batch, whose first one is the `first`-th of the round whose seed of
    /// augmentation is given. `inputs` and `targets` have the bytes of each part.
    ///
    /// # Errors
    /// A text, if a value would not be finite.
    pub(crate) fn change(
        &self,
        (inputs, targets): (&mut [Vec<u8>], &mut [Vec<u8>]),
        n_rows: usize,
        (seed, first): ([u8; 32], u64),
    ) -> Result<(), String> {
        let mut scratch = Vec::new();
        for row in 0..n_rows {
            let mut random = ChaCha20Rng::from_seed(seed);
            random.set_stream(first.wrapping_add(row as u64));
            let moves = Moves::draw(&self.augment, &mut random);
            for Grid { lengths, fields } in &self.grids {
                let sources = if moves.is_rest() { vec![] } else { moves.sources(*lengths) };
                let points = lengths.iter().product::<usize>();
                for place in fields {
                    let parts = if place.is_target { &mut *targets } else { &mut *inputs };
                    let start = row * place.row + place.offset;
                    let end = start + place.channels * points * place.size;
                    let Some(bytes) = parts[place.part].get_mut(start..end) else { continue };
                    if !sources.is_empty() {
                        for plane in bytes.chunks_exact_mut(points * place.size) {
                            gather(plane, &sources, place.size, &mut scratch);
                        }
                    }
                    if !place.is_target {
                        self.values(bytes, &mut random)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Changes the values of an input.
    fn values(&self, bytes: &mut [u8], random: &mut ChaCha20Rng) -> Result<(), String> {
        let (scale, shift) = match self.augment.intensity {
            Some(Intensity { scale, shift }) => {
                (between(scale, fraction(random)), between(shift, fraction(random)))
            }
            None => (1.0, 0.0),
        };
        let noise = self.augment.noise.unwrap_or(0.0);
        if self.augment.intensity.is_none() && noise == 0.0 {
            return Ok(());
        }
        let (values, _) = bytes.as_chunks_mut::<REAL>();
        for pair in values.chunks_mut(2) {
            let normals = if noise == 0.0 { [0.0; 2] } else { normals(random) };
            for (value, normal) in pair.iter_mut().zip(normals) {
                let before = f64::from(f32::from_le_bytes(*value));
                let after = (before * scale + shift + noise * normal) as f32;
                if !after.is_finite() {
                    return Err(format!("[data.augment] makes {after} of {before:e}"));
                }
                *value = after.to_le_bytes();
            }
        }
        Ok(())
    }
}

/// The fields of parts that have one place each: the part, the field's place in the layout, and
/// where its values lie.
fn places<'a>(
    parts: &'a [Part],
    is_target: bool,
    field: &'a impl Fn(usize) -> &'a Field,
) -> impl Iterator<Item = (&'a Part, usize, Place)> {
    parts.iter().enumerate().flat_map(move |(number, part)| {
        let size = part.kind.size() as usize;
        let row = part.width * size;
        let mut offset = 0;
        part.columns.iter().map(move |at| {
            let width = field(*at).width();
            let points = grid(field(*at)).map_or(1, |lengths| lengths.iter().product());
            let channels = width / points.max(1);
            let place = Place { is_target, part: number, row, offset, size, channels };
            offset += width * size;
            (part, *at, place)
        })
    })
}

/// Says why rows of this grid cannot be changed so.
fn check(augment: &Augment, [depth, height, width]: [usize; 3]) -> Result<(), &'static str> {
    if augment.flip.contains(&Axis::Depth) && depth == 1 {
        return Err("has no depth to flip");
    }
    if augment.rotate90 && height != width {
        return Err("is not square: `rotate90` would change its shape");
    }
    Ok(())
}

/// How a row is moved.
#[derive(Debug, PartialEq)]
struct Moves {
    /// Whether depth, height and width are reversed.
    flip: [bool; 3],
    /// Quarter turns.
    turns: u64,
    /// From where the window is cut, less `crop`.
    shift: [i64; 3],
}

impl Moves {
    fn draw(augment: &Augment, random: &mut ChaCha20Rng) -> Self {
        let mut moves = Self { flip: [false; 3], turns: 0, shift: [0; 3] };
        for (at, axis) in AXES.iter().enumerate() {
            moves.flip[at] = augment.flip.contains(axis) && random.next_u64() & 1 == 1;
        }
        if augment.rotate90 {
            moves.turns = random.next_u64() & 3;
        }
        if augment.crop > 0 {
            let crop = i64::from(augment.crop);
            moves.shift = [(); 3].map(|()| below(2 * crop as u64 + 1, random) as i64 - crop);
        }
        moves
    }

    fn is_rest(&self) -> bool {
        *self == Self { flip: [false; 3], turns: 0, shift: [0; 3] }
    }

    /// For each point of a grid the one that comes to it.
    fn sources(&self, lengths: [usize; 3]) -> Vec<usize> {
        let [depth, height, width] = lengths;
        let mut sources = Vec::with_capacity(depth * height * width);
        for z in 0..depth {
            for y in 0..height {
                for x in 0..width {
                    // From the last step to the first: the window, the turn, the flip.
                    let mut at = [z, y, x];
                    for ((at, shift), length) in at.iter_mut().zip(self.shift).zip(lengths) {
                        *at = (*at as i64 + shift).clamp(0, length as i64 - 1) as usize;
                    }
                    let [z, y, x] = at;
                    let (last, turned) = (width - 1, self.turns);
                    let (y, x) = match turned {
                        1 => (x, last - y),
                        2 => (last - y, last - x),
                        3 => (last - x, y),
                        _ => (y, x),
                    };
                    let mut at = [z, y, x];
                    for ((at, flip), length) in at.iter_mut().zip(self.flip).zip(lengths) {
                        if flip {
                            *at = length - 1 - *at;
                        }
                    }
                    sources.push((at[0] * height + at[1]) * width + at[2]);
                }
            }
        }
        sources
    }
}

/// Puts the values of a plane where they come to lie.
fn gather(plane: &mut [u8], sources: &[usize], size: usize, scratch: &mut Vec<u8>) {
    scratch.clear();
    scratch.extend_from_slice(plane);
    for (value, source) in plane.chunks_exact_mut(size).zip(sources) {
        value.copy_from_slice(&scratch[source * size..(source + 1) * size]);
    }
}

/// From 0 to 1, without 1.
fn fraction(random: &mut ChaCha20Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn between([low, high]: [f64; 2], fraction: f64) -> f64 {
    low + (high - low) * fraction
}

/// Two draws of the normal distribution. `libm` is part of the program, so the bits are the same on
/// every machine.
fn normals(random: &mut ChaCha20Rng) -> [f64; 2] {
    let radius = (-2.0 * libm::log(1.0 - fraction(random))).sqrt();
    let angle = 2.0 * std::f64::consts::PI * fraction(random);
    [radius * libm::cos(angle), radius * libm::sin(angle)]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Preprocessing;
    use crate::blocks::{BlockSplit, Blocks, Held, Which};
    use crate::layout::PartKind;
    use crate::loader::{Schedule, Source, TrainLoader};
    use crate::rows::Converter;
    use fedwasm_protocol::{Budget, LoaderArgs};
    use fedwasm_sandbox::Loader as _;
    use serde::Deserialize;

    /// Rows, and what tests/oracles/augment.py makes of them.
    #[derive(Deserialize)]
    struct Case {
        shape: [usize; 4],
        augment: Augment,
        first: u64,
        rows: Vec<f32>,
        masks: Vec<i64>,
        changed: Vec<f32>,
        changed_masks: Vec<i64>,
    }

    #[derive(Deserialize)]
    struct Oracle {
        cases: Vec<Case>,
    }

    fn oracle() -> Vec<Case> {
        let json = include_bytes!("../../../tests/data/augment_numpy.json");
        serde_json::from_slice::<Oracle>(json).unwrap().cases
    }

    fn seed() -> [u8; 32] {
        fedwasm_protocol::seed::augment(42, 1)
    }

    /// Rows of an input, and behind one more value a row those of a mask.
    fn bytes(case: &Case) -> (Augmenter, Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let [channels, depth, height, width] = case.shape;
        let points = depth * height * width;
        let (size, n_rows) = (channels * points, case.masks.len() / points);
        let input = case.rows.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mask = |row: usize| {
            let of_row = case.masks[row * points..(row + 1) * points].iter();
            std::iter::once(&-1).chain(of_row).flat_map(|value| value.to_le_bytes())
        };
        let target = (0..n_rows).flat_map(mask).collect();
        let place = |is_target, row, offset, size, channels| Place {
            is_target,
            part: 0,
            row,
            offset,
            size,
            channels,
        };
        let fields =
            vec![place(false, 4 * size, 0, 4, channels), place(true, 8 * (points + 1), 8, 8, 1)];
        let grids = vec![Grid { lengths: [depth, height, width], fields }];
        (Augmenter { augment: case.augment.clone(), grids }, vec![input], vec![target])
    }

    #[test]
    fn rows_and_masks_equal_those_of_numpy() {
        let cases = oracle();
        assert_eq!(cases.len(), 7);
        for case in &cases {
            let (augmenter, mut inputs, mut targets) = bytes(case);
            let points = case.shape[1..].iter().product::<usize>();
            let n_rows = case.masks.len() / points;
            let (input, target) = (&mut inputs, &mut targets);
            augmenter.change((input, target), n_rows, (seed(), case.first)).unwrap();
            let (values, _) = inputs[0].as_chunks();
            for (bytes, expected) in values.iter().zip(&case.changed) {
                let got = f32::from_le_bytes(*bytes);
                assert!(
                    (got - expected).abs() <= 1e-6 * expected.abs().max(1.0),
                    "{got} {expected}"
                );
            }
            let moves = case.augment.noise.is_none() && case.augment.intensity.is_none();
            let exact = case.changed.iter().flat_map(|value| value.to_le_bytes());
            assert!(!moves || exact.eq(inputs[0].iter().copied()), "{:?}", case.augment);
            let (values, _) = targets[0].as_chunks();
            let got: Vec<i64> = values.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
            for (row, expected) in got.chunks(points + 1).zip(case.changed_masks.chunks(points)) {
                assert_eq!((row[0], &row[1..]), (-1, expected));
            }
        }
        assert!(cases.iter().any(|case| case.changed_masks != case.masks));
    }

    #[test]
    fn a_row_is_the_same_in_any_batch() {
        for case in &oracle() {
            let (augmenter, inputs, targets) = bytes(case);
            let n_rows = targets[0].len() / augmenter.grids[0].fields[1].row;
            let (mut whole, mut whole_targets) = (inputs.clone(), targets.clone());
            augmenter.change((&mut whole, &mut whole_targets), n_rows, (seed(), 9)).unwrap();
            let (row, target_row) = (inputs[0].len() / n_rows, targets[0].len() / n_rows);
            for n in 0..n_rows {
                let mut one = vec![inputs[0][n * row..(n + 1) * row].to_vec()];
                let mut target = vec![targets[0][n * target_row..(n + 1) * target_row].to_vec()];
                let of = (seed(), 9 + n as u64);
                augmenter.change((&mut one, &mut target), 1, of).unwrap();
                assert!(one[0] == whole[0][n * row..(n + 1) * row]);
                assert!(target[0] == whole_targets[0][n * target_row..(n + 1) * target_row]);
            }
        }
    }

    /// Subjects whose image has the numbers of their mask.
    fn subjects() -> (Dataset, Layout, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let from =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/datasets/nifti/classes.nii.gz");
        for subject in ["s1", "s2", "s3"] {
            for modality in ["T1w", "label"] {
                let folder = dir.path().join(subject).join(modality);
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::copy(from, folder.join("a.nii.gz")).unwrap();
            }
        }
        let dataset = Dataset::open(dir.path(), None).unwrap();
        let part = |name: &str, kind, column: usize| {
            let Field { shape, .. } = &dataset.fields()[column];
            let width = shape.iter().product::<u64>() as usize;
            Part { name: name.into(), shape: shape.clone(), kind, columns: vec![column], width }
        };
        let (inputs, targets) =
            (vec![part("inputs", PartKind::Real, 0)], vec![part("targets", PartKind::Whole, 1)]);
        let layout = Layout { fields: vec![0, 1], n_input_fields: 1, inputs, targets };
        (dataset, layout, dir)
    }

    fn batches(augment: Augment) -> Vec<(Vec<f32>, Vec<i64>)> {
        let (dataset, layout, _dir) = subjects();
        let data = DataArgs { augment, ..DataArgs::of("label") };
        let augmenter = Augmenter::new(&dataset, &data, &layout).unwrap().map(Arc::new);
        let scales = Preprocessing::identity(&["T1w".to_owned()]);
        let converter = Arc::new(Converter::new(layout, &dataset, &scales));
        let split = BlockSplit { seed: [0; 32], held: Held::Share(0.0) };
        let source = Source::Blocks(Blocks::new(converter, split, Which::Train));
        let args = LoaderArgs { batch_size: 2, ..LoaderArgs::default() };
        let budget = Budget::Epochs { epochs: 2, batch_maxnum: None };
        let schedule = Schedule::new(3, &args, budget);
        let random = ChaCha20Rng::from_seed([1; 32]);
        let loader = TrainLoader::new(source, args, schedule, random);
        let mut loader = loader.augmented(augmenter, seed());
        let mut all = Vec::new();
        while let Some(batch) = loader.next().unwrap() {
            let (values, _) = batch.inputs[0].1.data().as_chunks();
            let inputs = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let (values, _) = batch.targets[0].1.data().as_chunks();
            let targets = values.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
            all.push((inputs, targets));
        }
        all
    }

    #[test]
    fn a_mask_moves_with_its_volume() {
        let plain = batches(Augment::default());
        let augment = Augment { flip: AXES.to_vec(), crop: 2, ..Augment::default() };
        let moved = batches(augment.clone());
        assert_eq!((moved.len(), moved.clone()), (4, batches(augment)));
        for (inputs, targets) in &moved {
            assert!(inputs.iter().zip(targets).all(|(input, target)| *input == *target as f32));
        }
        // All subjects are alike, so only moves tell batches apart.
        assert_eq!(plain[0], plain[2]);
        assert!(moved[0] != plain[0] && moved[0] != moved[2]);
        // Values of masks stay as they are.
        let noise = Augment { noise: Some(1.0), ..Augment::default() };
        let noisy = batches(noise);
        assert!(noisy[0].0 != plain[0].0 && noisy[0].1 == plain[0].1);
    }

    #[test]
    fn changes_that_do_not_fit_are_named() {
        let (dataset, layout, _dir) = subjects();
        for (augment, expected) in [
            (
                Augment { fields: vec!["T2".into()], crop: 1, ..Augment::default() },
                "`T2` is not an",
            ),
            (Augment { rotate90: true, ..Augment::default() }, "`rotate90` would change its shape"),
            (Augment { noise: Some(-1.0), ..Augment::default() }, "`data.augment.noise` is -1"),
        ] {
            let data = DataArgs { augment, ..DataArgs::of("label") };
            let error = Augmenter::new(&dataset, &data, &layout).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let crop = Augment { crop: 1, ..Augment::default() };
        let data = DataArgs { augment: crop, ..DataArgs::of("y") };
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("d.csv"), "x,y\n1,0\n").unwrap();
        let table = Dataset::open(&dir.path().join("d.csv"), None).unwrap();
        let part = |kind, column| Part {
            name: "p".into(),
            shape: vec![],
            kind,
            columns: vec![column],
            width: 1,
        };
        let (inputs, targets) = (vec![part(PartKind::Real, 0)], vec![part(PartKind::Class, 1)]);
        let layout = Layout { fields: vec![0, 1], n_input_fields: 1, inputs, targets };
        let error = Augmenter::new(&table, &data, &layout).unwrap_err().to_string();
        assert_eq!(error, "[data.augment]: no input has height and width");
    }

    #[test]
    fn a_value_beyond_float32_is_an_error() {
        let case = Case { rows: vec![3e38; 15], ..oracle().remove(4) };
        let shift = Intensity { scale: [1e6, 1e6], shift: [0.0, 0.0] };
        let augment = Augment { intensity: Some(shift), ..Augment::default() };
        let (augmenter, mut inputs, mut targets) =
            bytes(&Case { masks: vec![0; 15], augment, ..case });
        let changed = augmenter.change((&mut inputs, &mut targets), 1, (seed(), 0));
        assert!(changed.unwrap_err().starts_with("[data.augment] makes inf of 3"));
    }
}
