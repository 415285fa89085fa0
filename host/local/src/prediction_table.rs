//! Predictions as a table: a line a row, in the order of the file; CSV or Parquet. The bytes follow
//! from the predictions alone.

use std::sync::Arc;

use fedwasm_record::WRITTEN_BY;
use fedwasm_training::{Meaning, Predictions, probabilities};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

/// Predictions of all rows of a file.
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
}

impl PredictionTable {
    /// Rows.
    pub fn n_rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    /// Writes it as CSV with a header. Numbers are as short as they can be read back.
    ///
    /// # Errors
    /// Never in practice: it is written into memory.
    pub fn to_csv(&self) -> std::io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|(name, _)| name))?;
        for row in 0..self.n_rows() {
            writer.write_record(self.columns.iter().map(|(_, column)| column.cell(row)))?;
        }
        writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))
    }

    /// Writes it as Parquet, in one row group.
    ///
    /// # Errors
    /// Never in practice: it is written into memory.
    pub fn to_parquet(&self) -> std::io::Result<Vec<u8>> {
        self.parquet().map_err(std::io::Error::other)
    }

    fn parquet(&self) -> Result<Vec<u8>, ParquetError> {
        let field = |(name, column): &(String, PredictionColumn)| -> Result<TypePtr, ParquetError> {
            let (physical, logical) = match column {
                PredictionColumn::Integers(_) => (Physical::INT64, None),
                PredictionColumn::Reals(_) => (Physical::DOUBLE, None),
                PredictionColumn::Texts(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            };
            let repetition = match column {
                PredictionColumn::Reals(_) => Repetition::OPTIONAL,
                _ => Repetition::REQUIRED,
            };
            let builder = Type::primitive_type_builder(name, physical);
            let builder = builder.with_repetition(repetition).with_logical_type(logical);
            builder.build().map(Arc::new)
        };
        let fields = self.columns.iter().map(field).collect::<Result<_, _>>()?;
        let schema = Arc::new(Type::group_type_builder("predictions").with_fields(fields).build()?);
        let properties = WriterProperties::builder().set_created_by(WRITTEN_BY.to_owned());
        let properties = Arc::new(properties.set_compression(Compression::SNAPPY).build());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
        let mut group = writer.next_row_group()?;
        for (_, column) in &self.columns {
            let Some(mut into) = group.next_column()? else { break };
            match (into.untyped(), column) {
                (ColumnWriter::Int64ColumnWriter(into), PredictionColumn::Integers(values)) => {
                    into.write_batch(values, None, None)?;
                }
                (ColumnWriter::DoubleColumnWriter(into), PredictionColumn::Reals(values)) => {
                    let is_there: Vec<i16> =
                        values.iter().map(|value| i16::from(value.is_some())).collect();
                    let values: Vec<f64> = values.iter().copied().flatten().collect();
                    into.write_batch(&values, Some(&is_there), None)?;
                }
                (ColumnWriter::ByteArrayColumnWriter(into), PredictionColumn::Texts(values)) => {
                    let values: Vec<ByteArray> =
                        values.iter().map(|text| ByteArray::from(text.as_str())).collect();
                    into.write_batch(&values, None, None)?;
                }
                _ => return Err(ParquetError::General("a column of another type".into())),
            }
            into.close()?;
        }
        group.close()?;
        writer.into_inner()
    }
}

/// Puts a table together, piece by piece.
pub(crate) struct TableBuilder {
    targets: Vec<String>,
    /// Names of the classes, in their order; empty where they have numbers alone.
    classes: Vec<String>,
    raw: bool,
    predicted: Option<PredictionColumn>,
    numbers: Vec<(String, Vec<Option<f64>>)>,
    n_rows: usize,
}

impl TableBuilder {
    pub(crate) fn new((targets, classes): (Vec<String>, Vec<String>), raw: bool) -> Self {
        Self { targets, classes, raw, predicted: None, numbers: Vec::new(), n_rows: 0 }
    }

    /// Appends predictions.
    pub(crate) fn add(&mut self, piece: &Predictions) {
        if self.numbers.is_empty() {
            let names = self.names(piece).into_iter();
            self.numbers = names.map(|name| (name, Vec::new())).collect();
        }
        if piece.meaning == Meaning::Classes {
            self.add_classes(piece);
        }
        let gives_probabilities = piece.meaning == Meaning::Classes && !self.raw;
        for row in piece.rows() {
            self.n_rows += 1;
            let numbers = match gives_probabilities {
                true => probabilities(row).map(|shares| shares.into_iter().map(Some).collect()),
                false => Some(row.iter().copied().map(Some).collect::<Vec<_>>()),
            };
            let numbers = numbers.unwrap_or_else(|| vec![None; self.numbers.len()]);
            for ((_, column), number) in self.numbers.iter_mut().zip(numbers) {
                column.push(number);
            }
        }
    }

    fn add_classes(&mut self, piece: &Predictions) {
        let is_named = !self.classes.is_empty();
        let predicted = self.predicted.get_or_insert_with(|| match is_named {
            true => PredictionColumn::Texts(Vec::new()),
            false => PredictionColumn::Integers(Vec::new()),
        });
        match predicted {
            PredictionColumn::Texts(texts) => {
                texts.extend(piece.classes().map(|class| name_of(&self.classes, class)));
            }
            PredictionColumn::Integers(numbers) => numbers.extend(piece.classes()),
            PredictionColumn::Reals(_) => {}
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

    /// The table, with a column that is passed through.
    pub(crate) fn finish(self, id: Option<(String, Vec<String>)>) -> PredictionTable {
        let rows = (0..self.n_rows as i64).collect();
        let row = ("row".to_owned(), PredictionColumn::Integers(rows));
        let id = id.map(|(name, ids)| (name, PredictionColumn::Texts(ids)));
        let predicted = self.predicted.map(|column| ("predicted".to_owned(), column));
        let numbers = self.numbers.into_iter();
        let numbers = numbers.map(|(name, values)| (name, PredictionColumn::Reals(values)));
        PredictionTable {
            columns: [row].into_iter().chain(id).chain(predicted).chain(numbers).collect(),
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

    fn table(meaning: Meaning, n_columns: usize, scores: &[f64], raw: bool) -> PredictionTable {
        let classes = vec!["no".to_owned(), "yes, \"maybe\"".to_owned()];
        let mut builder = TableBuilder::new((vec!["y".into()], classes), raw);
        for rows in scores.chunks(n_columns * 2) {
            builder.add(&Predictions { meaning, n_columns, scores: rows.to_vec() });
        }
        let ids = (0..scores.len() / n_columns).map(|row| format!("p{row}")).collect();
        builder.finish(Some(("id".into(), ids)))
    }

    #[test]
    fn classes_have_names_and_a_score_that_is_no_probability_leaves_the_cell_empty() {
        let table = table(Meaning::Classes, 1, &[0.25, 0.75, 2.0], false);
        let csv = String::from_utf8(table.to_csv().unwrap()).unwrap();
        assert_eq!(
            csv,
            "row,id,predicted,probability_no,\"probability_yes, \"\"maybe\"\"\"\n\
             0,p0,no,0.75,0.25\n\
             1,p1,\"yes, \"\"maybe\"\"\",0.25,0.75\n\
             2,p2,\"yes, \"\"maybe\"\"\",,\n"
        );
    }

    #[test]
    fn values_and_raw_scores_are_as_the_plan_gives_them() {
        let csv = |table: PredictionTable| String::from_utf8(table.to_csv().unwrap()).unwrap();
        let values = table(Meaning::Reals, 1, &[0.1f32.into(), -2.0], false);
        assert_eq!(csv(values), "row,id,predicted\n0,p0,0.10000000149011612\n1,p1,-2\n");
        let raw = table(Meaning::Classes, 2, &[1.0, 3.0], true);
        assert_eq!(csv(raw), "row,id,predicted,score_0,score_1\n0,p0,\"yes, \"\"maybe\"\"\",1,3\n");
        let other = table(Meaning::Other, 3, &[1.0, 2.0, 3.0], false);
        assert_eq!(csv(other), "row,id,score_0,score_1,score_2\n0,p0,1,2,3\n");
    }

    #[test]
    fn parquet_has_the_same_bytes_every_time() {
        let table = table(Meaning::Classes, 2, &[0.5; 4000], false);
        let bytes = table.to_parquet().unwrap();
        assert_eq!(bytes, table.clone().to_parquet().unwrap());
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    }
}
