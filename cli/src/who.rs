//! Who asks, for the history: a name for people, by which nothing is decided.

use files::FileSystem;

/// What the kernel says where nobody has logged in, as in a service.
const UNSET: u32 = u32::MAX;

/// Who has logged in on this machine, also behind `sudo` or `su`; else whose process this is.
pub(crate) fn who() -> String {
    let machine = FileSystem::open("/").ok();
    let read = |path: &str, limit: u64| {
        let bytes = machine.as_ref()?.read_file(path, limit).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let login = read("/proc/self/loginuid", 32).and_then(|text| text.trim().parse().ok());
    let uid = login.filter(|uid| *uid != UNSET).unwrap_or_else(|| rustix::process::getuid().as_raw());
    read("/etc/passwd", 4 << 20)
        .and_then(|users| name_of(&users, uid))
        .unwrap_or_else(|| format!("user {uid}"))
}

/// The name of a user in passwd(5).
fn name_of(users: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_passwd_has_it() {
        let users = "root:x:0:0:root:/root:/bin/sh\n:x:7:\nhalf\nalice:x:1000:100::/home/alice:/bin/sh\n";
        for (uid, name) in [(0, Some("root")), (1000, Some("alice")), (7, None), (100, None)] {
            assert_eq!(name_of(users, uid).as_deref(), name, "{uid}");
        }
    }
}
