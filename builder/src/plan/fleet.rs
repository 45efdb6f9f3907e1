//! Hosts of a list that would refuse the bundle, although it has their release: they run another build of it, or are other machines.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::ListedKernel;

use crate::inputs::KernelTarget;

/// A sentence for each kernel and each build that the list has and the build tree isn't for.
pub(crate) fn refusals(listed: &[ListedKernel], kernels: &[Arc<KernelTarget>]) -> Vec<String> {
    kernels.iter().flat_map(|kernel| of_kernel(listed, kernel)).collect()
}

fn of_kernel(listed: &[ListedKernel], kernel: &KernelTarget) -> Vec<String> {
    let release = &kernel.release;
    let mut machines: BTreeMap<&str, Vec<&ListedKernel>> = BTreeMap::new();
    let mut builds: BTreeMap<&str, Vec<&ListedKernel>> = BTreeMap::new();
    for host in listed.iter().filter(|host| host.kernel == release.as_str()) {
        match (&host.machine, &host.uname_v) {
            (Some(machine), _) if *machine != kernel.machine => {
                machines.entry(machine.as_str()).or_default().push(host);
            }
            (_, Some(build)) => builds.entry(build.as_str()).or_default().push(host),
            _ => {}
        }
    }
    let of_machine = |(machine, hosts): (&str, Vec<&ListedKernel>)| {
        let hosts = named(&hosts);
        format!(
            "kernel {release}: {hosts} {machine}, the build tree is for {}: the bundle is refused there",
            kernel.machine
        )
    };
    let mut sentences: Vec<String> = machines.into_iter().map(of_machine).collect();
    let Some(own) = &kernel.uname_v else {
        if builds.len() > 1 {
            let which: Vec<String> =
                builds.iter().map(|(build, hosts)| format!("{} `{build}`", named(hosts))).collect();
            sentences.push(format!(
                "kernel {release}: the list has {} builds of it, and the build tree doesn't say which one it is for: {}",
                builds.len(),
                which.join(", ")
            ));
        }
        return sentences;
    };
    let own: Vec<&str> = own.split_ascii_whitespace().collect();
    for (build, hosts) in builds {
        if build.split_ascii_whitespace().ne(own.iter().copied()) {
            sentences.push(format!(
                "kernel {release}: {} another build, `{build}`, the build tree is for `{}`: they refuse the bundle \
                 (another-kernel-build) and need one that was made with the headers of their build",
                named(&hosts),
                own.join(" ")
            ));
        }
    }
    sentences
}

/// `web7, web8 and 10 more run`; hosts without a name are counted.
fn named(hosts: &[&ListedKernel]) -> String {
    const SHOWN: usize = 5;
    let mut names: Vec<&str> = hosts.iter().filter_map(|host| host.host.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    let unnamed = hosts.iter().filter(|host| host.host.is_none()).count();
    let more = names.len().saturating_sub(SHOWN) + unnamed;
    let is_one = names.len() + unnamed == 1;
    names.truncate(SHOWN);
    let names = names.join(", ");
    let who = match (names.as_str(), more) {
        ("", 1) => "a host".to_owned(),
        ("", more) => format!("{more} hosts"),
        (names, 0) => names.to_owned(),
        (names, more) => format!("{names} and {more} more"),
    };
    format!("{who} {}", if is_one { "runs" } else { "run" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::kernels_in;

    use crate::testing::fake_job;

    fn refusals_of(list: &str, uname_v: Option<&str>) -> Vec<String> {
        let mut kernel = (*fake_job("a", "6.12.3").kernel).clone();
        kernel.uname_v = uname_v.map(str::to_owned);
        refusals(&kernels_in(list.as_bytes()).kernels, &[Arc::new(kernel)])
    }

    #[test]
    fn hosts_of_another_build_or_machine_are_named() {
        let own = "#1 SMP Sat Aug  1 12:00:00 UTC 2026";
        let list = "Linux web1 6.12.3 #1 SMP Sat Aug  1 12:00:00 UTC 2026 x86_64 GNU/Linux\n\
                    Linux web3 6.12.3 #2 SMP Sun Aug  2 12:00:00 UTC 2026 x86_64 GNU/Linux\n\
                    Linux web2 6.12.3 #2 SMP Sun Aug  2 12:00:00 UTC 2026 x86_64 GNU/Linux\n\
                    Linux arm1 6.12.3 #1 SMP Sat Aug  1 12:00:00 UTC 2026 aarch64 GNU/Linux\n\
                    Linux db 6.12.4 #9 SMP x86_64 GNU/Linux\nplain 6.12.3\n";
        assert_eq!(
            refusals_of(list, Some(own)),
            [
                "kernel 6.12.3: arm1 runs aarch64, the build tree is for x86_64: the bundle is refused there",
                "kernel 6.12.3: web2, web3 run another build, `#2 SMP Sun Aug 2 12:00:00 UTC 2026`, the build tree is for \
                 `#1 SMP Sat Aug 1 12:00:00 UTC 2026`: they refuse the bundle (another-kernel-build) and need one that \
                 was made with the headers of their build",
            ]
        );
    }

    #[test]
    fn two_builds_are_named_where_the_tree_says_none() {
        let list = "web1 6.12.3 #1 SMP\n6.12.3 #2 SMP\n6.12.3 #2 SMP\n";
        assert_eq!(
            refusals_of(list, None),
            [
                "kernel 6.12.3: the list has 2 builds of it, and the build tree doesn't say which one it is for: web1 runs \
              `#1 SMP`, 2 hosts run `#2 SMP`"
            ]
        );
        assert!(refusals_of("web1 6.12.3 #1 SMP\nweb2 6.12.3 #1 SMP\n", None).is_empty());
    }

    #[test]
    fn a_long_list_of_hosts_is_cut() {
        let list: Vec<String> = (10..20).map(|number| format!("web{number} 6.12.3 #2 SMP")).collect();
        let text = refusals_of(&list.join("\n"), Some("#1 SMP")).join("");
        assert!(
            text.contains(": web10, web11, web12, web13, web14 and 5 more run another build, "),
            "{text}"
        );
    }
}
