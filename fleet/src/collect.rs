//! Each host's newest report.

use std::collections::BTreeMap;

use crate::host_report::HostReport;

/// What was gathered.
#[derive(Debug, Default)]
pub struct Collected {
    /// The newest of each host, by its name.
    pub hosts: BTreeMap<String, HostReport>,
    /// Lines that aren't taken.
    pub not_taken: Vec<NotTaken>,
    /// Reports of hosts that have newer ones.
    pub superseded: usize,
}

/// A line that isn't taken.
#[derive(Debug, PartialEq, Eq)]
pub struct NotTaken {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub why: String,
}

/// Reads files of reports, each by its name with its text. One made before `oldest` (seconds since 1970) isn't taken.
pub fn collect<'t>(files: impl Iterator<Item = (&'t str, &'t str)>, oldest: u64) -> Collected {
    let mut collected = Collected::default();
    for (file, text) in files {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        for (position, line) in lines {
            let why = match HostReport::parse(line.trim()) {
                Ok(report) if report.time < oldest => format!("the report of {} is too old", report.host),
                Ok(report) => {
                    collected.take(report);
                    continue;
                }
                Err(error) => error.to_string(),
            };
            collected.not_taken.push(NotTaken { file: file.to_owned(), line: position + 1, why });
        }
    }
    collected
}

impl Collected {
    fn take(&mut self, report: HostReport) {
        match self.hosts.get_mut(&report.host) {
            None => drop(self.hosts.insert(report.host.clone(), report)),
            Some(known) => {
                self.superseded += 1;
                if known.time < report.time {
                    *known = report;
                }
            }
        }
    }

    /// Hosts that have an older serial of a bundle than the newest that any host has: host, bundle, its serial, the newest.
    #[must_use]
    pub fn behind(&self) -> Vec<(&str, &str, u64, u64)> {
        let bundles =
            || self.hosts.values().flat_map(|host| host.bundles.iter().map(move |bundle| (host, bundle)));
        let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, bundle) in bundles() {
            let known = newest.entry(bundle.name.as_str()).or_default();
            *known = bundle.serial.max(*known);
        }
        let behind = bundles().filter_map(|(host, bundle)| {
            let newest = *newest.get(bundle.name.as_str())?;
            (bundle.serial < newest).then_some((
                host.host.as_str(),
                bundle.name.as_str(),
                bundle.serial,
                newest,
            ))
        });
        behind.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_host_is_taken_and_the_rest_is_named() {
        let line = |host: &str, time: u64| {
            HostReport::new(time, host.to_owned(), "x86_64".parse().unwrap()).to_line().unwrap()
        };
        let first = format!("{}\n\n{}\nnonsense\n", line("b", 20), line("a", 30));
        let second = format!("{}\n{}\n", line("b", 25), line("c", 5));
        let collected = collect([("one", first.as_str()), ("two", second.as_str())].into_iter(), 10);
        let found: Vec<_> = collected.hosts.values().map(|host| (host.host.as_str(), host.time)).collect();
        assert_eq!((found, collected.superseded), (vec![("a", 30), ("b", 25)], 1));
        let said: Vec<String> = collected
            .not_taken
            .iter()
            .map(|line| format!("{}:{}: {}", line.file, line.line, line.why))
            .collect();
        assert_eq!(said[0], "one:4: it is no report of a host");
        assert_eq!(said[1], "two:2: the report of c is too old");
    }
}
