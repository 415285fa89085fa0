//! Numbers in memory, as narrow as they can be.

/// About how many numbers of one chunk; a chunk holds whole rows.
const CHUNK_VALUES: usize = 1 << 16;

/// Rows of numbers. Each chunk of rows is kept in the narrowest of uint8,
/// float32 and float64 that holds all of its numbers exactly: pixels take one
/// byte each, wherever they came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    width: usize,
    rows_of_chunk: usize,
    chunks: Vec<Chunk>,
    /// Numbers that are in no chunk yet.
    last: Vec<f64>,
}

#[derive(Clone, Debug)]
enum Chunk {
    Bytes(Vec<u8>),
    Singles(Vec<f32>),
    Doubles(Vec<f64>),
}

impl Values {
    /// Rows of `width` numbers each, none so far.
    pub(crate) fn new(width: usize) -> Self {
        let rows_of_chunk = (CHUNK_VALUES / width.max(1)).max(1);
        Self { width, rows_of_chunk, ..Self::default() }
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.chunks.len() * self.rows_of_chunk + self.last.len() / self.width.max(1)
    }

    /// Appends a number; `width` of them make a row.
    pub(crate) fn push(&mut self, value: f64) {
        self.last.push(value);
        if self.last.len() == self.rows_of_chunk * self.width {
            self.chunks.push(Chunk::of(&self.last));
            self.last.clear();
        }
    }

    /// Appends the numbers of a row to `into`; nothing if there is no such row.
    pub(crate) fn row(&self, row: usize, into: &mut Vec<f64>) {
        let (chunk, at) = (row / self.rows_of_chunk, row % self.rows_of_chunk);
        let range = at * self.width..(at + 1) * self.width;
        match self.chunks.get(chunk) {
            Some(Chunk::Bytes(values)) => into.extend(values[range].iter().copied().map(f64::from)),
            Some(Chunk::Singles(values)) => {
                into.extend(values[range].iter().copied().map(f64::from));
            }
            Some(Chunk::Doubles(values)) => into.extend(&values[range]),
            None => into.extend(self.last.get(range).unwrap_or_default()),
        }
    }
}

impl Chunk {
    fn of(values: &[f64]) -> Self {
        // By bits: -0.0 is no byte.
        let is_byte = |x: &f64| f64::from(*x as u8).to_bits() == x.to_bits();
        let is_single = |x: &f64| f64::from(*x as f32).to_bits() == x.to_bits();
        if values.iter().all(is_byte) {
            Self::Bytes(values.iter().map(|x| *x as u8).collect())
        } else if values.iter().all(is_single) {
            Self::Singles(values.iter().map(|x| *x as f32).collect())
        } else {
            Self::Doubles(values.to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        for scale in [1.0, 0.5, 0.1, -1.0] {
            let mut values = Values::new(3);
            let all: Vec<f64> = (0..3 * 50_000).map(|n| f64::from(n % 200) * scale).collect();
            all.iter().for_each(|value| values.push(*value));
            assert_eq!(values.n_rows(), 50_000);
            let mut read = Vec::new();
            (0..50_000).for_each(|row| values.row(row, &mut read));
            assert!(all.iter().zip(&read).all(|(a, b)| a.to_bits() == b.to_bits()));
            let narrow = matches!(values.chunks[0], Chunk::Bytes(_));
            assert_eq!(narrow, scale == 1.0);
            values.row(50_000, &mut read);
            assert_eq!(read.len(), all.len());
        }
    }
}
