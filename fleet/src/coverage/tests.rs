use super::*;
use crate::kernel_list::kernels_in;

fn names(text: &str) -> BTreeSet<ScriptName> {
    text.split_whitespace().map(|name| name.parse().unwrap()).collect()
}

fn covered(machine: &str, build: Option<&str>, green: &str, red: &str) -> CoveredKernel {
    CoveredKernel {
        machine: machine.parse().unwrap(),
        build: build.map(str::to_owned),
        green: names(green),
        red: names(red).into_iter().map(|name| (name, "no".to_owned())).collect(),
        programs: BTreeMap::from([("/bin/p".to_owned(), vec![("a".parse().unwrap(), "11".to_owned())])]),
    }
}

fn offer() -> Offer {
    let mut offer = Offer { scripts: names("a b"), ..Offer::default() };
    for (release, kernel) in [
        ("6.1", covered("x86_64", Some("#1 SMP"), "a b", "")),
        ("6.2", covered("x86_64", None, "a", "b")),
        ("6.3", covered("aarch64", None, "a b", "")),
    ] {
        offer.place(&release.parse().unwrap(), kernel);
    }
    offer
}

fn hosts(list: &str) -> Vec<FleetHost> {
    kernels_in(list.as_bytes()).kernels.into_iter().map(FleetHost::from).collect()
}

const LIST: &str = "Linux web1 6.1 #1  SMP x86_64 GNU/Linux\n\
                    Linux web2 6.1 #1 SMP x86_64 GNU/Linux\n\
                    Linux odd 6.1 #2 SMP x86_64 GNU/Linux\n\
                    Linux arm 6.1 #1 SMP aarch64 GNU/Linux\n\
                    db 6.2\ndb 6.2\n6.2\ngone 5.9\n";

#[test]
fn each_sort_of_host_has_a_row_and_the_most_hosts_come_first() {
    let found = measure(&offer(), hosts(LIST));
    assert_eq!((found.hosts, found.covered), (7, 2));
    let rows: Vec<(usize, &str, &str)> = found
        .kernels
        .iter()
        .map(|row| {
            let grade = match &row.grade {
                Grade::All => "all",
                Grade::Some(_) => "some",
                Grade::OtherBuild(_) => "build",
                Grade::OtherMachine(_) => "machine",
                Grade::OtherPrograms(_) => "programs",
                Grade::None => "none",
            };
            (row.hosts, row.kind.kernel.as_str(), grade)
        })
        .collect();
    assert_eq!(
        rows,
        [
            (2, "6.1", "all"),
            (2, "6.2", "some"),
            (1, "5.9", "none"),
            (1, "6.1", "machine"),
            (1, "6.1", "build")
        ]
    );
    assert_eq!(found.kernels[0].names, ["web1", "web2"]);
    // Twice in the list, db counts once.
    assert_eq!(found.kernels[1].names, ["db"]);
}

#[test]
fn another_program_counts_where_a_script_is_made_for_it() {
    let mut report = HostReport::new(1, "p".to_owned(), "x86_64".parse().unwrap());
    report.kernel = Some("6.1".parse().unwrap());
    for (program, id, grade) in [
        ("/bin/p", "22", Grade::OtherPrograms(BTreeMap::from([("a".parse().unwrap(), "/bin/p".to_owned())]))),
        ("/bin/p", "11", Grade::All),
        ("/bin/q", "22", Grade::All),
    ] {
        report.programs = BTreeMap::from([(program.to_owned(), id.to_owned())]);
        let found = measure(&offer(), vec![FleetHost::from(&report)]);
        assert_eq!(found.kernels[0].grade, grade, "{program} {id}");
    }
}

#[test]
fn a_host_can_lack_scripts_for_its_kernel_and_others_for_its_programs() {
    let mut report = HostReport::new(1, "p".to_owned(), "x86_64".parse().unwrap());
    report.kernel = Some("6.2".parse().unwrap());
    report.programs = BTreeMap::from([("/bin/p".to_owned(), "22".to_owned())]);
    let found = measure(&offer(), vec![FleetHost::from(&report)]);
    let lacking = [("a", "it is made for another build of /bin/p"), ("b", "no")];
    let lacking = lacking.map(|(script, reason)| (script.parse().unwrap(), reason.to_owned()));
    assert_eq!(found.kernels[0].grade, Grade::Some(lacking.into()));
}

#[test]
fn what_a_move_would_lose_is_what_hosts_have_now_and_would_not_then() {
    let now = measure(&offer(), hosts(LIST));
    let lost = loss(&offer(), &now, &"6.2".parse().unwrap());
    let found: Vec<(usize, &str)> = lost.iter().map(|loss| (loss.hosts, loss.script.as_str())).collect();
    assert_eq!(found, [(2, "b")]);
    assert_eq!(lost[0].reason, "no");
    let lost = loss(&offer(), &now, &"9.9".parse().unwrap());
    let found: Vec<(usize, &str)> = lost.iter().map(|loss| (loss.hosts, loss.script.as_str())).collect();
    assert_eq!(found, [(4, "a"), (2, "b")]);
}
