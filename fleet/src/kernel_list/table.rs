//! A list as a table: CSV with commas, semicolons or tabs, with a heading or without.

use super::line::{Line, in_words, is_host, machine};
use super::{ListedKernel, may_be_release};

/// What a column has, as far as its heading says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Host,
    Release,
    Build,
    Machine,
    Other,
}

/// A table with a heading.
#[derive(Debug)]
pub(super) struct Table {
    divider: char,
    columns: Vec<Column>,
}

impl Table {
    /// `None` if the line is no heading of a table with a column of releases.
    pub(super) fn with_heading(line: &str) -> Option<Self> {
        let (divider, fields) = fields_of(line)?;
        let columns: Vec<Column> = fields.iter().map(|field| column(field)).collect();
        let named = columns.iter().filter(|column| **column != Column::Other).count();
        (named > 1 && columns.contains(&Column::Release)).then_some(Self { divider, columns })
    }

    /// The kernel of a row; `None` if it has none.
    pub(super) fn row(&self, line: &str) -> Option<ListedKernel> {
        let fields = fields_by(line, self.divider);
        let of = |wanted: Column| {
            let mut places = self.columns.iter().zip(&fields);
            let found = places.find(|(column, _)| **column == wanted);
            found.map(|(_, field)| field.as_str()).filter(|field| !field.is_empty())
        };
        let release = of(Column::Release)?;
        let kernel = if may_be_release(release) {
            ListedKernel::new(release)
        } else if let Line::Kernel(kernel) = in_words(release) {
            kernel
        } else {
            return None;
        };
        Some(
            ListedKernel {
                uname_v: of(Column::Build).map(single_blanks).or(kernel.uname_v),
                machine: of(Column::Machine).and_then(machine).or(kernel.machine),
                ..kernel
            }
            .on(of(Column::Host)),
        )
    }
}

/// The kernel of a row of a table without a heading: each field says by itself what it is. `None` if no field is a kernel.
pub(super) fn without_heading(line: &str) -> Option<ListedKernel> {
    let (_, fields) = fields_of(line)?;
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    let is_kernel = |field: &&&str| matches!(in_words(field), Line::Kernel(_));
    let of_kernel = fields.iter().find(is_kernel)?;
    let Line::Kernel(kernel) = in_words(of_kernel) else { return None };
    let others = || fields.iter().filter(|field| !std::ptr::eq(**field, *of_kernel));
    let build = others().find(|field| field.starts_with('#')).map(|field| single_blanks(field));
    let machine_of = others().find_map(|field| machine(field));
    let host = others().find(|field| is_host(field) && machine(field).is_none());
    Some(
        ListedKernel { uname_v: build.or(kernel.uname_v), machine: machine_of.or(kernel.machine), ..kernel }
            .on(host.copied()),
    )
}

fn single_blanks(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn column(heading: &str) -> Column {
    match heading.to_ascii_lowercase().replace([' ', '-'], "_").as_str() {
        "host" | "hostname" | "host_name" | "node" | "nodename" | "name" | "fqdn" | "server"
        | "machine_name" => Column::Host,
        "kernel" | "release" | "kernel_release" | "kernel_version" | "uname_r" | "uname__r" | "uname"
        | "uname_a" | "uname__a" => Column::Release,
        "version" | "build" | "kernel_build" | "uname_v" | "uname__v" => Column::Build,
        "machine" | "arch" | "architecture" | "uname_m" | "uname__m" => Column::Machine,
        _ => Column::Other,
    }
}

/// The fields of a line with a divider, and which one that is: the first of these that is in it. `None` if none is.
fn fields_of(line: &str) -> Option<(char, Vec<String>)> {
    [',', ';', '\t']
        .into_iter()
        .map(|divider| (divider, fields_by(line, divider)))
        .find(|(_, fields)| fields.len() > 1)
}

/// Fields may be in quotes, in which a quote is doubled.
fn fields_by(line: &str, divider: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut in_quotes = false;
    for c in line.chars() {
        match c {
            '"' => in_quotes = !in_quotes,
            c if c == divider && !in_quotes => fields.push(String::new()),
            c => fields.last_mut().into_iter().for_each(|field| field.push(c)),
        }
    }
    fields.iter().map(|field| field.trim().to_owned()).collect()
}
