//! What a manifest says of the programs that scripts probe.

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::{KernelId, ProgramRecord, ScriptName};

use crate::inputs::Program;

/// The programs of each script's modules, gathered kernel by kernel.
#[derive(Default)]
pub(super) struct ProbedPrograms {
    by_script: BTreeMap<ScriptName, BTreeMap<Program, BTreeSet<KernelId>>>,
    /// The kernels for which there is a module of the script.
    kernels: BTreeMap<ScriptName, BTreeSet<KernelId>>,
}

impl ProbedPrograms {
    pub(super) fn add(&mut self, script: &ScriptName, kernel: KernelId, programs: &[Program]) {
        self.kernels.entry(script.clone()).or_default().insert(kernel);
        let of_script = self.by_script.entry(script.clone()).or_default();
        for program in programs {
            of_script.entry(program.clone()).or_default().insert(kernel);
        }
    }

    /// Those of a script, sorted; kernels are named only where not all have the same.
    pub(super) fn of(&self, script: &ScriptName) -> Vec<ProgramRecord> {
        let all = self.kernels.get(script);
        let programs = self.by_script.get(script).into_iter().flatten();
        let mut records: Vec<ProgramRecord> = programs
            .filter_map(|(program, kernels)| {
                let is_of_all = all.is_some_and(|all| all == kernels);
                Some(ProgramRecord {
                    path: program.path.to_str()?.to_owned(),
                    build_id: program.build_id.clone(),
                    sha256: program.sha256,
                    kernels: if is_of_all { Vec::new() } else { kernels.iter().copied().collect() },
                })
            })
            .collect();
        records.sort();
        records
    }
}

#[cfg(test)]
mod tests {
    use bundle_format::Digest;

    use super::*;

    #[test]
    fn kernels_are_named_only_where_not_all_have_the_same_program() {
        let kernel = |release: &str| {
            KernelId::of(&release.parse().unwrap(), &"x86_64".parse().unwrap(), None, None, None)
        };
        let program = |path: &str, id: &str| Program {
            path: path.into(),
            build_id: id.to_owned(),
            sha256: Digest::of(id.as_bytes()),
        };
        let name: ScriptName = "a".parse().unwrap();
        let mut probed = ProbedPrograms::default();
        probed.add(&name, kernel("1.0"), &[program("/one", "aa"), program("/two", "bb")]);
        probed.add(&name, kernel("2.0"), &[program("/one", "aa"), program("/two", "cc")]);
        let shown: Vec<String> = probed
            .of(&name)
            .iter()
            .map(|record| format!("{} {} {}", record.path, record.build_id, record.kernels.len()))
            .collect();
        assert_eq!(shown, ["/one aa 0", "/two bb 1", "/two cc 1"]);
        assert!(probed.of(&"b".parse().unwrap()).is_empty());
    }
}
