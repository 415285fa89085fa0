//! Blocks that are kept for a while: in one piece, and in as few bytes as hold their values.

use crate::{Block, Element, Values};

/// A block whose columns lie one after the other in one allocation, which goes back to the
/// system whole. Each column takes the fewest of 1, 4 or 8 bytes a value that hold all of its
/// values exactly.
#[derive(Clone, Debug)]
pub struct Packed {
    first_row: u64,
    n_rows: usize,
    /// As in [`Block`], but only the first of lines that follow one another.
    lines: Vec<u64>,
    columns: Vec<PackedColumn>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct PackedColumn {
    element: Element,
    /// The representation of its values.
    kept: Element,
    n_values: usize,
}

impl Block {
    /// Packs it.
    pub fn pack(&self) -> Packed {
        let follow = |pair: &[u64]| pair[1] == pair[0] + 1;
        let n_lines = if self.lines.windows(2).all(follow) { 1 } else { self.lines.len() };
        let column = |values: &Values| {
            let (element, kept) = narrowest(values);
            PackedColumn { element, kept, n_values: values.len() }
        };
        let columns: Vec<PackedColumn> = self.columns.iter().map(column).collect();
        let sizes = columns.iter().map(|column| column.n_values * column.kept.size() as usize);
        let mut bytes = Vec::with_capacity(sizes.sum());
        for (values, column) in self.columns.iter().zip(&columns) {
            values.each(0..values.len(), |value| match column.kept {
                Element::UInt8 => bytes.push(value as u8),
                Element::Float32 => bytes.extend((value as f32).to_le_bytes()),
                Element::Float64 => bytes.extend(value.to_le_bytes()),
            });
        }
        let lines = self.lines.iter().take(n_lines).copied().collect();
        Packed { first_row: self.first_row, n_rows: self.n_rows, lines, columns, bytes }
    }
}

impl Packed {
    /// The block that was packed.
    pub fn unpack(&self) -> Block {
        let mut rest = &self.bytes[..];
        let column = |column: &PackedColumn| {
            let (own, others) = rest.split_at(column.n_values * column.kept.size() as usize);
            rest = others;
            match (column.element, column.kept) {
                (Element::UInt8, _) => Values::UInt8(own.to_vec()),
                (Element::Float32, Element::UInt8) => {
                    Values::Float32(own.iter().map(|v| f32::from(*v)).collect())
                }
                (Element::Float32, _) => Values::Float32(floats(own).collect()),
                (Element::Float64, Element::UInt8) => {
                    Values::Float64(own.iter().map(|v| f64::from(*v)).collect())
                }
                (Element::Float64, Element::Float32) => {
                    Values::Float64(floats(own).map(f64::from).collect())
                }
                (Element::Float64, Element::Float64) => {
                    let (chunks, _) = own.as_chunks();
                    Values::Float64(chunks.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
                }
            }
        };
        let columns = self.columns.iter().map(column).collect();
        let lines = match self.lines[..] {
            [first] => (first..).take(self.n_rows).collect(),
            _ => self.lines.clone(),
        };
        Block { first_row: self.first_row, n_rows: self.n_rows, columns, lines }
    }

    /// The values of some rows, counted from the first of the block, and their lines, if it has some.
    pub(crate) fn take(
        &self,
        rows: impl Iterator<Item = usize> + Clone,
    ) -> (Vec<Values>, Vec<u64>) {
        let mut rest = &self.bytes[..];
        let column = |column: &PackedColumn| {
            let (own, others) = rest.split_at(column.n_values * column.kept.size() as usize);
            rest = others;
            let width = column.n_values / self.n_rows.max(1);
            let values = rows.clone().flat_map(|row| row * width..(row + 1) * width);
            match (column.element, column.kept) {
                (Element::UInt8, _) => Values::UInt8(values.map(|at| own[at]).collect()),
                (Element::Float32, Element::UInt8) => {
                    Values::Float32(values.map(|at| f32::from(own[at])).collect())
                }
                (Element::Float32, _) => Values::Float32(values.map(|at| float(own, at)).collect()),
                (Element::Float64, Element::UInt8) => {
                    Values::Float64(values.map(|at| f64::from(own[at])).collect())
                }
                (Element::Float64, Element::Float32) => {
                    Values::Float64(values.map(|at| f64::from(float(own, at))).collect())
                }
                (Element::Float64, Element::Float64) => {
                    let (chunks, _) = own.as_chunks();
                    let value = |at: usize| f64::from_le_bytes(chunks[at]);
                    Values::Float64(values.map(value).collect())
                }
            }
        };
        let columns = self.columns.iter().map(column).collect();
        let line = |row: usize| match self.lines[..] {
            [first] => Some(first + row as u64),
            _ => self.lines.get(row).copied(),
        };
        (columns, rows.clone().filter_map(line).collect())
    }
}

fn float(bytes: &[u8], at: usize) -> f32 {
    let (chunks, _) = bytes.as_chunks();
    f32::from_le_bytes(chunks[at])
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

/// The element type of some values, and the smallest one that holds them to the bit.
fn narrowest(values: &Values) -> (Element, Element) {
    // Bits are compared, since minus zero is another number than zero.
    let all = |same: fn(f64) -> bool| {
        let mut all = true;
        values.each(0..values.len(), |value| all &= same(value));
        all
    };
    let is_byte = || all(|value| f64::from(value as u8).to_bits() == value.to_bits());
    let is_float = || all(|value| f64::from(value as f32).to_bits() == value.to_bits());
    match values {
        Values::UInt8(_) => (Element::UInt8, Element::UInt8),
        Values::Float32(_) if is_byte() => (Element::Float32, Element::UInt8),
        Values::Float32(_) => (Element::Float32, Element::Float32),
        Values::Float64(_) if is_byte() => (Element::Float64, Element::UInt8),
        Values::Float64(_) if is_float() => (Element::Float64, Element::Float32),
        Values::Float64(_) => (Element::Float64, Element::Float64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_what_is_unpacked() {
        let doubles = [0.0, -0.0, 1.0, 255.0, 256.0, -1.0, 0.1, 0.5, 1e30, f64::MIN_POSITIVE];
        for n_rows in [1, 2, 3] {
            for a in doubles {
                for b in doubles {
                    let of = |value: &dyn Fn(usize) -> f64| (0..n_rows).map(value).collect();
                    let reals: Vec<f64> = of(&|row| if row == 0 { a } else { b });
                    let singles = reals.iter().map(|value| *value as f32).collect();
                    let bytes = vec![7; n_rows * 3];
                    let columns = vec![
                        Values::Float64(reals),
                        Values::UInt8(bytes),
                        Values::Float32(singles),
                    ];
                    for lines in [vec![], (4..4 + n_rows as u64).collect(), vec![9; n_rows]] {
                        let columns = columns.clone();
                        let block = Block { first_row: 3, n_rows, columns, lines };
                        let unpacked = block.pack().unpack();
                        assert_eq!(format!("{block:?}"), format!("{unpacked:?}"));
                        let (columns, lines) = block.pack().take(0..n_rows);
                        let taken = Block { first_row: 3, n_rows, columns, lines };
                        assert_eq!(format!("{block:?}"), format!("{taken:?}"));
                    }
                }
            }
        }
    }

    #[test]
    fn small_numbers_take_a_byte() {
        let columns = vec![Values::Float64(vec![0.0, 255.0]), Values::Float64(vec![0.5, 256.0])];
        let packed = Block::new(0, 2, columns).pack();
        assert_eq!(packed.bytes.len(), 2 + 8);
    }
}
