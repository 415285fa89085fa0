//! Postgres servers: one query in a transaction that only reads, whose rows stream.
//!
//! A server may be hostile, or another one than was meant: its messages have a longest length, all
//! waits end at the deadline, and it gets a password in the clear only if it is on this machine or
//! its certificate was checked.

mod login;
mod socket;
mod tls;
mod types;
mod wire;

use std::io::Write;

use fallible_iterator::FallibleIterator as _;
use fedwasm_dataset::CellKind;
use postgres_protocol::message::backend::{DataRowBody, Message, RowDescriptionBody};
use postgres_protocol::message::frontend;

use crate::rows::{Rows, Written, check_names};
use crate::snapshot::Clock;
use crate::{Error, Passwords, PostgresAddress, cut};

use types::Type;
use wire::Wire;

/// Writes the answer of a server to a query.
pub(crate) fn take(
    address: &PostgresAddress,
    query: &str,
    clock: &Clock,
    passwords: &Passwords,
    into: &mut (dyn Write + Send),
) -> Result<(Written, Vec<String>), Error> {
    let mut wire = login::connect(address, clock, passwords)?;
    begin(&mut wire, clock)?;
    let columns = describe(&mut wire, query)?;
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    check_names(&names)?;
    let mut remarks = Vec::new();
    for (name, of) in &columns {
        let name = cut(name, 100);
        match of {
            Type::Bytes => {
                let what = "has bytes (bytea)".to_owned();
                return Err(Error::Unsupported { column: name, what });
            }
            Type::Other(oid) => remarks.push(format!(
                "column `{name}` is of a type that is kept as its text (type {oid})"
            )),
            _ => {}
        }
    }
    let kinds: Vec<(String, CellKind)> =
        columns.iter().map(|(name, of)| (name.clone(), of.kind())).collect();
    let mut rows = Rows::new(kinds, clock, into)?;
    let formats = columns.iter().map(|(_, of)| i16::from(of.is_binary()));
    wire.send(|out| {
        let bound = frontend::bind("", "", [], std::iter::empty::<()>(), no_values, formats, out);
        bound.map_err(|_| std::io::Error::other("too many columns"))?;
        frontend::execute("", 0, out)?;
        frontend::sync(out);
        Ok(())
    })?;
    loop {
        match wire.receive()? {
            Message::BindComplete => {}
            Message::DataRow(row) => push(&row, &columns, &mut rows)?,
            Message::CommandComplete(_) => break,
            Message::PortalSuspended | Message::EmptyQueryResponse => {
                return Err(Error::protocol("it ended the rows before their end"));
            }
            _ => return Err(Error::protocol("it sent something else than rows")),
        }
    }
    wire.until_ready()?;
    let written = rows.finish()?;
    // The transaction wrote nothing, and the file is whole: how this ends makes no difference.
    let _ = wire.send(|out| {
        frontend::terminate(out);
        Ok(())
    });
    Ok((written, remarks))
}

/// Begins a transaction that sees one state of the database and changes nothing.
fn begin(wire: &mut Wire, clock: &Clock) -> Result<(), Error> {
    let milliseconds = clock.left()?.as_millis();
    let text = format!(
        "SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds}; \
         SET DateStyle = 'ISO'; SET client_encoding = 'UTF8'; \
         BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
    );
    wire.send(|out| frontend::query(&text, out))?;
    wire.until_ready()
}

/// Gives the query to the server, which takes one statement, and reads what its answer will have.
fn describe(wire: &mut Wire, query: &str) -> Result<Vec<(String, Type)>, Error> {
    wire.send(|out| {
        frontend::parse("", query, [], out)?;
        frontend::describe(b'S', "", out)?;
        frontend::sync(out);
        Ok(())
    })?;
    let mut columns = None;
    loop {
        match wire.receive()? {
            Message::ParseComplete => {}
            Message::ParameterDescription(body) => {
                if body.parameters().next().map_err(wire::malformed)?.is_some() {
                    return Err(Error::NotAQuery { reason: "has parameters" });
                }
            }
            Message::NoData => return Err(Error::NotAQuery { reason: "has no answer" }),
            Message::RowDescription(body) => columns = Some(read_columns(&body)?),
            Message::ReadyForQuery(_) => break,
            _ => return Err(Error::protocol("it described no answer")),
        }
    }
    columns.ok_or_else(|| Error::protocol("it described no answer"))
}

fn read_columns(body: &RowDescriptionBody) -> Result<Vec<(String, Type)>, Error> {
    let (mut fields, mut columns) = (body.fields(), Vec::new());
    while let Some(field) = fields.next().map_err(wire::malformed)? {
        columns.push((field.name().to_owned(), Type::of(field.type_oid())));
    }
    Ok(columns)
}

/// Adds a row.
fn push(row: &DataRowBody, columns: &[(String, Type)], rows: &mut Rows<'_>) -> Result<(), Error> {
    let (mut cells, buffer) = (row.ranges(), row.buffer());
    for (at, (name, of)) in columns.iter().enumerate() {
        let range = cells.next().map_err(wire::malformed)?;
        let range = range.ok_or_else(|| Error::protocol("a row lacks columns"))?;
        let cell = match range {
            None => crate::rows::Cell::Missing,
            Some(range) => {
                let cell = of.read(&buffer[range]);
                cell.map_err(|what| Error::value(name, rows.row(), what))?
            }
        };
        if !rows.push(at, cell)? {
            return Err(Error::protocol("a row has a cell of another kind than its column"));
        }
    }
    match cells.next().map_err(wire::malformed)? {
        None => rows.end_row(),
        Some(_) => Err(Error::protocol("a row has more columns than were described")),
    }
}

/// There are no parameters.
fn no_values(
    (): (),
    _: &mut bytes::BytesMut,
) -> Result<postgres_protocol::IsNull, Box<dyn std::error::Error + Sync + Send>> {
    Ok(postgres_protocol::IsNull::Yes)
}
