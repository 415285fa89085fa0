//! `fedwasm data snapshot`.

use std::path::PathBuf;

use fedwasm_folder::Folder;
use fedwasm_sql::{Snapshot, take_snapshot};
use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::commands::{blocking, sql};
use crate::printer::Printer;

/// Keep the answer of a database to a query as a Parquet file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The database: sqlite:FILE, or postgres://USER@HOST/DATABASE with the password in PGPASSWORD
    /// or in the file of PGPASSFILE.
    #[arg(long)]
    from: String,
    /// One SELECT, or a file with it whose name ends with .sql.
    #[arg(long)]
    sql: String,
    /// The Parquet file; an earlier one is replaced.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    limits: sql::Limits,
}

pub(super) async fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let Args { from, sql, out, limits } = args;
    let (from, query) = (sql::source(&from)?, sql::query(sql)?);
    let name = out.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let name = name.ok_or_else(|| {
        CommandError::new(USAGE, format!("{} is not the name of a file", out.display()))
    })?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = Folder::create(parent.unwrap_or(&PathBuf::from(".")))?;
    let taken = blocking(move || {
        folder.write_private(&name, |into| -> Result<_, fedwasm_node::Error> {
            Ok((take_snapshot(&from, &query, limits.into(), &sql::passwords(), into)?, true))
        })
    });
    let Snapshot { n_rows, n_bytes, digest, remarks } = taken.await??;
    remarks.iter().for_each(|remark| printer.note(format!("warning: {remark}")));
    printer.line(format!("{}: {n_rows} rows, {n_bytes} bytes, {digest}", out.display()));
    printer.event(
        "result",
        &json!({ "path": out, "rows": n_rows, "bytes": n_bytes, "sha256": digest, "remarks": remarks }),
    );
    Ok(())
}
