//! Users and groups, from `/etc/passwd` and `/etc/group`. Devices have no others, and the C
//! library's own way would need its plugins.

use std::fs;

/// As whom a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The name; the number where there is none.
    pub name: String,
    /// The home folder.
    pub home: String,
    /// The login shell; empty where none is named.
    #[cfg(feature = "session")]
    pub shell: String,
}

/// Looks a user and a group up, each by name or number. The group is the user's own if none is
/// named; with a group and no user, the user stays the calling process's.
///
/// # Errors
/// A sentence that names what isn't there.
pub fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<Who>, String> {
    if user.is_none() && group.is_none() {
        return Ok(None);
    }
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    resolve(&read("/etc/passwd"), &read("/etc/group"), user, group).map(Some)
}

fn resolve(
    passwd: &str,
    groups: &str,
    user: Option<&str>,
    group: Option<&str>,
) -> Result<Who, String> {
    // SAFETY: takes nothing.
    let me = unsafe { libc::geteuid() }.to_string();
    let wanted = user.unwrap_or(&me);
    let found = entry(passwd, wanted);
    let uid = found.as_ref().map(|fields| fields.number(2)).unwrap_or_else(|| wanted.parse().ok());
    let uid = uid.ok_or_else(|| format!("there is no user {wanted} in /etc/passwd"))?;
    let name = found.as_ref().map_or(wanted, |fields| fields.text(0));
    let home = found.as_ref().map_or("/", |fields| fields.text(5));
    let gid = match group {
        Some(group) => {
            let number = entry(groups, group).map(|fields| fields.number(2));
            let number = number.unwrap_or_else(|| group.parse().ok());
            number.ok_or_else(|| format!("there is no group {group} in /etc/group"))?
        }
        // A number without an entry: nobody's group is safer than the agent's.
        None => found.as_ref().and_then(|fields| fields.number(3)).unwrap_or(uid),
    };
    let holds = |line: &&str| Fields(line).text(3).split(',').any(|member| member == name);
    let supplementary =
        groups.lines().filter(holds).filter_map(|line| Fields(line).number(2)).collect();
    Ok(Who {
        uid,
        gid,
        groups: supplementary,
        name: name.to_owned(),
        home: home.to_owned(),
        #[cfg(feature = "session")]
        shell: found.as_ref().map_or("", |fields| fields.text(6)).to_owned(),
    })
}

/// The calling process's own user.
#[cfg(feature = "session")]
pub fn own() -> Option<Who> {
    // SAFETY: takes nothing.
    let me = unsafe { libc::geteuid() }.to_string();
    find(Some(&me), None).ok().flatten()
}

/// One line of either file.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn text(&self, at: usize) -> &'a str {
        self.0.split(':').nth(at).unwrap_or_default()
    }

    fn number(&self, at: usize) -> Option<u32> {
        self.text(at).parse().ok()
    }
}

/// The line of a name or a number.
fn entry<'a>(text: &'a str, wanted: &str) -> Option<Fields<'a>> {
    let mut lines = text.lines().map(Fields);
    lines.find(|line| line.text(0) == wanted || line.text(2) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:www:/srv:/bin/false\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlog:x:4:syslog,web\nweb2:x:5:web2\n";

    #[test]
    fn names_and_numbers_are_looked_up() {
        let find = |user, group| resolve(PASSWD, GROUP, user, group);
        let web = Who {
            uid: 33,
            gid: 34,
            groups: vec![4],
            name: "web".into(),
            home: "/srv".into(),
            #[cfg(feature = "session")]
            shell: "/bin/false".into(),
        };
        assert_eq!(find(Some("web"), None), Ok(web.clone()));
        assert_eq!(find(Some("33"), None), Ok(web.clone()));
        assert_eq!(find(Some("web"), Some("log")), Ok(Who { gid: 4, ..web }));
        let number = find(Some("1234"), Some("99")).unwrap();
        assert_eq!((number.uid, number.gid, number.home.as_str()), (1234, 99, "/"));
        assert_eq!(find(Some("1234"), None).unwrap().gid, 1234);
        assert_eq!(find(None, Some("web")).unwrap().gid, 34);
    }

    #[test]
    fn who_is_not_there_is_named() {
        let error = resolve(PASSWD, GROUP, Some("nobdy"), None).unwrap_err();
        assert_eq!(error, "there is no user nobdy in /etc/passwd");
        let error = resolve(PASSWD, GROUP, None, Some("x")).unwrap_err();
        assert_eq!(error, "there is no group x in /etc/group");
    }
}
