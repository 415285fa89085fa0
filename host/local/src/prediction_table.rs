//! Predictions as tables: a line a row, in the order of the file; as CSV or Parquet, written piece by
//! piece. The bytes follow from the predictions alone.

use std::io::{self, Write};
use std::path::Path;

use fedwasm_dataset::{
    CellKind, CellValues, GroupColumn, TableColumn, TableWriter as ParquetWriter,
};
use fedwasm_record::WRITTEN_BY;
use fedwasm_training::{Meaning, Predictions, probabilities};

/// Predictions of some rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PredictionTable {
    /// The columns in order, each with its name and as many values as there are rows.
    pub columns: Vec<(String, PredictionColumn)>,
}

/// The values of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum PredictionColumn {
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Real numbers; none where a score gives no probability.
    Reals(Vec<Option<f64>>),
    /// Texts.
    Texts(Vec<String>),
}

impl PredictionColumn {
    fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Reals(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    fn cell(&self, row: usize) -> String {
        match self {
            Self::Integers(values) => values.get(row).map(i64::to_string),
            Self::Reals(values) => {
                values.get(row).copied().flatten().map(|value| value.to_string())
            }
            Self::Texts(values) => values.get(row).cloned(),
        }
        .unwrap_or_default()
    }

    fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Integers(values), Self::Integers(more)) => values.extend(more),
            (Self::Reals(values), Self::Reals(more)) => values.extend(more),
            (Self::Texts(values), Self::Texts(more)) => values.extend(more),
            // Tables of one model have columns of the same types.
            _ => {}
        }
    }
}

impl PredictionTable {
    /// Rows.
    pub fn n_rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    /// Appends the next rows of the same predictions.
    pub fn append(&mut self, next: Self) {
        if self.columns.is_empty() {
            self.columns = next.columns;
            return;
        }
        for ((_, column), (_, more)) in self.columns.iter_mut().zip(next.columns) {
            column.append(more);
        }
    }
}

/// How tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// CSV with a header. Numbers are as short as they can be read back.
    Csv,
    /// Parquet, a row group for each piece.
    Parquet,
}

impl TableFormat {
    /// The format that the name of a file says; none if it is another one.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        [("csv", Self::Csv), ("parquet", Self::Parquet)]
            .into_iter()
            .find_map(|(name, format)| extension.eq_ignore_ascii_case(name).then_some(format))
    }
}

/// Writes predictions as they come.
pub struct TableWriter<W: Write + Send>(Writer<W>);

enum Writer<W: Write + Send> {
    Csv { into: csv::Writer<W>, has_header: bool },
    Parquet { into: Option<W>, writer: Option<ParquetWriter<W>> },
}

impl<W: Write + Send> TableWriter<W> {
    /// Begins a file.
    pub fn new(into: W, format: TableFormat) -> Self {
        Self(match format {
            TableFormat::Csv => {
                Writer::Csv { into: csv::Writer::from_writer(into), has_header: false }
            }
            TableFormat::Parquet => Writer::Parquet { into: Some(into), writer: None },
        })
    }

    /// Writes the next rows.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&mut self, table: &PredictionTable) -> io::Result<()> {
        match &mut self.0 {
            Writer::Csv { into, has_header } => {
                if !std::mem::replace(has_header, true) {
                    into.write_record(table.columns.iter().map(|(name, _)| name))
                        .map_err(of_csv)?;
                }
                for row in 0..table.n_rows() {
                    let cells = table.columns.iter().map(|(_, column)| column.cell(row));
                    into.write_record(cells).map_err(of_csv)?;
                }
                into.flush()
            }
            Writer::Parquet { into, writer } => {
                if let Some(into) = into.take() {
                    let columns = table.columns.iter().map(column_of).collect();
                    *writer = Some(ParquetWriter::new(into, columns, WRITTEN_BY)?);
                }
                let group: Vec<GroupColumn> = table.columns.iter().map(cells_of).collect();
                writer.as_mut().map_or(Ok(()), |writer| writer.write(&group))
            }
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(self) -> io::Result<()> {
        match self.0 {
            Writer::Csv { mut into, .. } => into.flush(),
            Writer::Parquet { writer: Some(writer), .. } => writer.finish().map(drop),
            Writer::Parquet { .. } => Ok(()),
        }
    }
}

fn of_csv(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// A column as it is written.
fn column_of((name, column): &(String, PredictionColumn)) -> TableColumn {
    let (kind, is_optional) = match column {
        PredictionColumn::Integers(_) => (CellKind::Integer, false),
        PredictionColumn::Reals(_) => (CellKind::Real, true),
        PredictionColumn::Texts(_) => (CellKind::Text, false),
    };
    TableColumn { name: name.clone(), kind, is_optional }
}

/// Its cells.
fn cells_of((_, column): &(String, PredictionColumn)) -> GroupColumn {
    let (cells, is_there) = match column {
        PredictionColumn::Integers(values) => (CellValues::Integers(values.clone()), vec![]),
        PredictionColumn::Reals(values) => {
            let is_there = values.iter().map(|value| i16::from(value.is_some())).collect();
            (CellValues::Reals(values.iter().copied().flatten().collect()), is_there)
        }
        PredictionColumn::Texts(values) => (CellValues::Texts(values.clone()), vec![]),
    };
    GroupColumn { cells, is_there }
}

/// Makes tables of predictions, piece by piece.
pub(crate) struct Tables {
    targets: Vec<String>,
    /// Names of the classes, in their order; empty where they have numbers alone.
    classes: Vec<String>,
    raw: bool,
    /// Rows so far.
    n_rows: i64,
}

impl Tables {
    pub(crate) fn new(targets: Vec<String>, classes: Vec<String>, raw: bool) -> Self {
        Self { targets, classes, raw, n_rows: 0 }
    }

    /// The table of the next rows, with a column that is passed through.
    pub(crate) fn table(
        &mut self,
        piece: &Predictions,
        id: Option<(String, Vec<String>)>,
    ) -> PredictionTable {
        let first = self.n_rows;
        self.n_rows += piece.rows().len() as i64;
        let row = ("row".to_owned(), PredictionColumn::Integers((first..self.n_rows).collect()));
        let id = id.map(|(name, ids)| (name, PredictionColumn::Texts(ids)));
        let of_classes = piece.meaning == Meaning::Classes;
        let predicted = of_classes.then(|| ("predicted".to_owned(), self.classes_of(piece)));
        let numbers = self.names(piece).into_iter().zip(self.numbers(piece));
        let numbers = numbers.map(|(name, values)| (name, PredictionColumn::Reals(values)));
        PredictionTable {
            columns: [row].into_iter().chain(id).chain(predicted).chain(numbers).collect(),
        }
    }

    /// The columns of numbers: probabilities, or as the plan gives them.
    fn numbers(&self, piece: &Predictions) -> Vec<Vec<Option<f64>>> {
        let gives_probabilities = piece.meaning == Meaning::Classes && !self.raw;
        let n_columns = if gives_probabilities { piece.n_classes() } else { piece.n_columns };
        let mut columns = vec![Vec::with_capacity(piece.rows().len()); n_columns];
        for row in piece.rows() {
            let shares = if gives_probabilities { probabilities(row) } else { Some(row.to_vec()) };
            for (at, column) in columns.iter_mut().enumerate() {
                column.push(shares.as_ref().and_then(|shares| shares.get(at).copied()));
            }
        }
        columns
    }

    fn classes_of(&self, piece: &Predictions) -> PredictionColumn {
        match self.classes.is_empty() {
            true => PredictionColumn::Integers(piece.classes().collect()),
            false => PredictionColumn::Texts(
                piece.classes().map(|class| name_of(&self.classes, class)).collect(),
            ),
        }
    }

    /// The names of the columns of numbers.
    fn names(&self, piece: &Predictions) -> Vec<String> {
        let n = piece.n_columns;
        let counted = |what: &str| (0..n).map(|at| format!("{what}_{at}")).collect();
        match piece.meaning {
            Meaning::Classes if self.raw => counted("score"),
            Meaning::Classes => (0..piece.n_classes() as i64)
                .map(|class| format!("probability_{}", name_of(&self.classes, class)))
                .collect(),
            Meaning::Reals if n == 1 => vec!["predicted".into()],
            Meaning::Reals if n == self.targets.len() => {
                self.targets.iter().map(|name| format!("predicted_{name}")).collect()
            }
            Meaning::Reals => counted("predicted"),
            Meaning::Other => counted("score"),
        }
    }
}

/// The name of a class: its own, or its number.
fn name_of(classes: &[String], class: i64) -> String {
    let name = usize::try_from(class).ok().and_then(|class| classes.get(class));
    name.cloned().unwrap_or_else(|| class.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file of predictions that come in pieces of two rows.
    fn file(
        format: TableFormat,
        (meaning, raw): (Meaning, bool),
        n_columns: usize,
        scores: &[f64],
    ) -> Vec<u8> {
        let classes = vec!["no".to_owned(), "yes, \"maybe\"".to_owned()];
        let mut tables = Tables::new(vec!["y".into()], classes, raw);
        let mut bytes = Vec::new();
        let mut writer = TableWriter::new(&mut bytes, format);
        let mut ids = (0..).map(|row| format!("p{row}"));
        for rows in scores.chunks(n_columns * 2) {
            let piece = Predictions { meaning, n_columns, scores: rows.to_vec() };
            let ids = ids.by_ref().take(piece.rows().len()).collect();
            writer.write(&tables.table(&piece, Some(("id".into(), ids)))).unwrap();
        }
        writer.finish().unwrap();
        bytes
    }

    fn csv(how: (Meaning, bool), n_columns: usize, scores: &[f64]) -> String {
        String::from_utf8(file(TableFormat::Csv, how, n_columns, scores)).unwrap()
    }

    #[test]
    fn classes_have_names_and_a_score_that_is_no_probability_leaves_the_cell_empty() {
        assert_eq!(
            csv((Meaning::Classes, false), 1, &[0.25, 0.75, 2.0]),
            "row,id,predicted,probability_no,\"probability_yes, \"\"maybe\"\"\"\n\
             0,p0,no,0.75,0.25\n\
             1,p1,\"yes, \"\"maybe\"\"\",0.25,0.75\n\
             2,p2,\"yes, \"\"maybe\"\"\",,\n"
        );
    }

    #[test]
    fn values_and_raw_scores_are_as_the_plan_gives_them() {
        let values = csv((Meaning::Reals, false), 1, &[0.1f32.into(), -2.0]);
        assert_eq!(values, "row,id,predicted\n0,p0,0.10000000149011612\n1,p1,-2\n");
        let raw = csv((Meaning::Classes, true), 2, &[1.0, 3.0]);
        assert_eq!(raw, "row,id,predicted,score_0,score_1\n0,p0,\"yes, \"\"maybe\"\"\",1,3\n");
        let other = csv((Meaning::Other, false), 3, &[1.0, 2.0, 3.0]);
        assert_eq!(other, "row,id,score_0,score_1,score_2\n0,p0,1,2,3\n");
    }

    #[test]
    fn parquet_has_the_same_bytes_every_time() {
        let bytes = || file(TableFormat::Parquet, (Meaning::Classes, false), 2, &[0.5; 400]);
        let (bytes, again) = (bytes(), bytes());
        assert_eq!(bytes, again);
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    }
}
