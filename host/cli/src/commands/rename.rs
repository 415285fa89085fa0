//! Other names for the columns of a file.

use std::path::PathBuf;

use fedwasm_dataset::Renames;

use crate::command_error::{CommandError, USAGE};

/// The largest file of names, in bytes.
const BYTES_MAX: u64 = 16 << 20;

/// Names that the federation has, for those of a site's files.
#[derive(Debug, clap::Args)]
pub(crate) struct Rename {
    /// The name that a column, array, modality or folder of a class goes by, in place of its own;
    /// may be given several times.
    #[arg(long = "rename", value_name = "OLD=NEW")]
    pairs: Vec<String>,
    /// A TOML file with such names: a line `OLD = "NEW"` for each.
    #[arg(long = "renames", value_name = "FILE")]
    names: Option<PathBuf>,
}

impl Rename {
    /// The new names by the old ones.
    pub(crate) fn read(&self) -> Result<Renames, CommandError> {
        let mut renames = Renames::new();
        if let Some(path) = &self.names {
            let wrong =
                |error: String| CommandError::new(USAGE, format!("{}: {error}", path.display()));
            let text = fedwasm_folder::read_file(path, BYTES_MAX)?;
            let text = String::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
            renames = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        }
        for pair in &self.pairs {
            let wrong = |what: &str| {
                let text = format!("--rename {pair}: {what}");
                CommandError::new(USAGE, text)
            };
            let Some((old, new)) = pair.split_once('=') else {
                return Err(wrong("write OLD=NEW"));
            };
            if new.contains('=') {
                return Err(wrong("a name has `=`; write the names into a file for --renames"));
            }
            if renames.insert(old.to_owned(), new.to_owned()).is_some_and(|other| other != new) {
                return Err(wrong("another new name is given, too; give one"));
            }
        }
        Ok(renames)
    }
}
