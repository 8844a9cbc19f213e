//! Jobs as they cross the wire.

use super::job::{Action, Job, Limits};
use super::report::{JobResult, UNREADABLE};
use super::text::{member, words};
use crate::json::{Node, ObjectWriter, Value};
use crate::text::head;

/// The longest id of a job, bytes.
const MAX_ID: usize = 127;

/// The longest name of a child, bytes.
const MAX_NAME: usize = 50;

/// The longest version, bytes: it names a folder.
const MAX_VERSION: usize = 100;

/// Whether `name` can be a child's: letters, digits, `_` and `-`, at most 50.
pub fn is_child_name(name: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(valid)
}

/// Whether `version` can be one: printable ASCII without blanks and slashes, at most 100, not
/// beginning with a dot.
pub fn is_version(version: &str) -> bool {
    let valid = |b: u8| b.is_ascii_graphic() && b != b'/';
    (1..=MAX_VERSION).contains(&version.len())
        && !version.starts_with('.')
        && version.bytes().all(valid)
}

impl Job {
    /// Reads one job. `None` if it has no id or no action: then nobody could be told about it.
    ///
    /// # Errors
    /// It makes no sense; the result says which member doesn't.
    pub fn read(node: &Node) -> Option<Result<Job, JobResult>> {
        let id = member(node, &["id"]).and_then(words).filter(|id| !id.is_empty())?;
        let action = member(node, &["action"]).and_then(words).filter(|word| !word.is_empty())?;
        let read = match id.len() > MAX_ID {
            true => Err(format!("\"id\" is longer than {MAX_ID} bytes")),
            false => read(node, &id, &action),
        };
        Some(read.map_err(|message| JobResult {
            id: head(&id, MAX_ID).to_owned(),
            errcode: UNREADABLE,
            message,
        }))
    }

    /// The job as a server writes it.
    pub fn write(&self) -> String {
        let optional = |out: ObjectWriter, name: &str, json: Option<String>| match json {
            Some(json) => out.raw(name, &json),
            None => out,
        };
        let name = (!self.name.is_empty()).then_some(self.name.as_str());
        let out = ObjectWriter::new()
            .string("id", &self.id)
            .string("action", self.action.as_str())
            .optional("name", name)
            .optional("url", self.url.as_deref())
            .optional("checksum", self.checksum.as_deref());
        let envs = self.envs.as_ref().map(|envs| {
            let add = |out: ObjectWriter, (name, value): &(String, String)| out.string(name, value);
            envs.iter().fold(ObjectWriter::new(), add).finish()
        });
        let out = optional(out, "envs", envs);
        let out = optional(out, "limits", self.limits.as_ref().map(Limits::to_json));
        let out = out.optional("svrlist", self.server_list.as_deref());
        let out = optional(out, "step", self.step.map(|step| step.to_string()));
        let out = out.optional("version", self.version.as_deref());
        let out = optional(out, "definition", self.definition.clone());
        optional(out, "force", self.force.then(|| "true".to_owned())).finish()
    }
}

fn read(node: &Node, id: &str, action: &str) -> Result<Job, String> {
    let text = |names: &[&str]| match member(node, names) {
        None => Ok(None),
        Some(value) => match words(value) {
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None => Err(wrong(names, "text", value)),
        },
    };
    // The later pages say `program` and name the operation apart.
    let word = match action {
        "program" => text(&["operation"])?.unwrap_or_default(),
        _ => action.to_owned(),
    };
    let action = Action::parse(&word).ok_or_else(|| {
        format!(
            "\"action\" is \"{}\"; this agent knows install, upgrade, uninstall, start, stop, \
             restart and config",
            head(&word, 40)
        )
    })?;
    let name = text(&["name"])?.unwrap_or_default();
    if name.is_empty() && action != Action::Config {
        return Err("\"name\" is missing".to_owned());
    }
    if !name.is_empty() && !is_child_name(&name) {
        return Err(format!("\"name\" must be 1 to {MAX_NAME} letters, digits, _ and -"));
    }
    let version = text(&["version"])?;
    if version.as_deref().is_some_and(|version| !is_version(version)) {
        return Err("\"version\" can't have blanks and slashes, nor begin with a dot".to_owned());
    }
    let step = match member(node, &["step", "interval"]) {
        None => None,
        Some(value) => {
            let step = words(value).and_then(|step| step.parse().ok());
            Some(step.ok_or_else(|| wrong(&["step"], "a whole number of seconds", value))?)
        }
    };
    let definition = match member(node, &["definition", "parameter"]) {
        None => None,
        Some(value) if matches!(value.value, Value::Object(_)) => Some(value.to_string()),
        Some(value) => return Err(wrong(&["definition"], "an object", value)),
    };
    let force = match node.get("force") {
        None => text(&["option"])?.is_some_and(|option| option == "force"),
        Some(value) => value.as_bool().ok_or_else(|| wrong(&["force"], "true or false", value))?,
    };
    let limits = match node.get("limits") {
        None => None,
        Some(limits) => Some(Limits::read(limits).map_err(|error| error.to_string())?),
    };
    Ok(Job {
        id: id.to_owned(),
        action,
        name,
        version,
        url: text(&["url"])?,
        checksum: text(&["checksum"])?,
        envs: node.get("envs").or_else(|| node.get("env")).map(envs).transpose()?,
        limits,
        definition,
        force,
        server_list: text(&["svrlist", "serverList"])?,
        step,
    })
}

/// The environment; `null` is none.
fn envs(node: &Node) -> Result<Vec<(String, String)>, String> {
    if !matches!(node.value, Value::Object(_) | Value::Null) {
        return Err(wrong(&["envs"], "an object", node));
    }
    let mut envs = Vec::new();
    for (name, value) in node.members() {
        let text = words(value).filter(|value| !value.contains('\0'));
        let name_is_good = !name.is_empty() && !name.contains(['=', '\0']);
        match text {
            Some(value) if name_is_good => envs.push((name.clone(), value)),
            _ => {
                return Err(format!(
                    "\"envs.{}\" is no name of a variable with a text as its value",
                    head(name, 40)
                ));
            }
        }
    }
    Ok(envs)
}

fn wrong(names: &[&str], wanted: &str, found: &Node) -> String {
    let name = names.first().copied().unwrap_or_default();
    format!("\"{name}\" must be {wanted}, and is {}", found.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use proptest::prelude::*;

    fn job(text: &str) -> Option<Result<Job, JobResult>> {
        Job::read(&parse(text).unwrap())
    }

    fn good(text: &str) -> Job {
        job(text).unwrap().unwrap()
    }

    #[test]
    fn a_job_without_id_or_action_is_ignored() {
        for text in
            ["{}", "1", r#"{"id":"1"}"#, r#"{"action":"stop"}"#, r#"{"id":"","action":"x"}"#]
        {
            assert_eq!(job(text), None, "{text}");
        }
    }

    #[test]
    fn a_bad_job_says_which_member_is_wrong() {
        for (more, wanted) in [
            (r#""action":"fly","name":"a""#, "\"action\" is \"fly\""),
            (r#""action":"program","name":"a""#, "\"action\" is \"\""),
            (r#""action":"stop""#, "\"name\" is missing"),
            (r#""action":"stop","name":"../a""#, "\"name\" must be"),
            (r#""action":"stop","name":["a"]"#, "\"name\" must be text, and is an array"),
            (r#""action":"install","name":"a","version":"../1""#, "\"version\" can't"),
            (r#""action":"config","step":"soon""#, "\"step\" must be a whole number"),
            (r#""action":"config","step":-5"#, "\"step\" must be a whole number"),
            (r#""action":"config","svrlist":{}"#, "\"svrlist\" must be text"),
            (r#""action":"config","name":"a","envs":["A"]"#, "\"envs\" must be an object"),
            (r#""action":"config","name":"a","envs":{"A=":"b"}"#, "\"envs.A=\" is no name"),
            (r#""action":"config","name":"a","envs":{"A":{}}"#, "\"envs.A\" is no name"),
            (r#""action":"config","name":"a","limits":{"CPU":"much"}"#, "limits.CPU: expected"),
            (r#""action":"install","name":"a","definition":"x""#, "\"definition\" must be"),
            (r#""action":"uninstall","name":"a","force":1"#, "\"force\" must be true or false"),
        ] {
            let result = job(&format!("{{\"id\":\"j\",{more}}}")).unwrap().unwrap_err();
            assert_eq!((result.id.as_str(), result.errcode), ("j", UNREADABLE));
            assert!(result.message.contains(wanted), "{more}: {}", result.message);
        }
        let long = format!("{{\"id\":\"{}\",\"action\":\"stop\",\"name\":\"a\"}}", "x".repeat(200));
        let result = job(&long).unwrap().unwrap_err();
        assert_eq!(
            (result.id.len(), result.message.as_str()),
            (127, "\"id\" is longer than 127 bytes")
        );
    }

    #[test]
    fn what_is_absent_stays_and_what_is_null_or_empty_goes() {
        let kept = good(r#"{"id":"1","action":"config","name":"a"}"#);
        assert_eq!((kept.envs, kept.limits), (None, None));
        for nothing in ["null", "{}"] {
            let job = good(&format!(
                r#"{{"id":"1","action":"config","name":"a","envs":{nothing},"limits":{nothing}}}"#
            ));
            assert_eq!((job.envs, job.limits), (Some(vec![]), Some(Limits::default())));
        }
    }

    #[test]
    fn the_later_pages_spellings_are_understood() {
        let stop = good(r#"{"id":7,"action":"program","operation":"stop","name":"a"}"#);
        assert_eq!((stop.id.as_str(), stop.action), ("7", Action::Stop));
        let gone = good(r#"{"id":"1","action":"uninstall","name":"a","option":"force"}"#);
        assert!(gone.force);
        let config = good(r#"{"id":"1","action":"config","serverList":"h:1","interval":"300"}"#);
        assert_eq!((config.server_list.as_deref(), config.step), (Some("h:1"), Some(300)));
        let install = good(r#"{"id":"1","action":"install","name":"a","parameter":{"exec":"/a"}}"#);
        assert_eq!(install.definition.as_deref(), Some(r#"{"exec":"/a"}"#));
    }

    fn any_job() -> impl Strategy<Value = Job> {
        let text = || prop::option::of("[^\\x00]{1,20}");
        let envs = prop::collection::btree_map("[^=\\x00]{1,8}", "[^\\x00]{0,8}", 0..4);
        let limits = (
            prop::option::of(10u32..100_000),
            prop::option::of(1u64 << 18..1 << 50),
            prop::option::of(1u32..=10_000),
            prop::option::of(1u32..100_000),
        );
        let limits = limits.prop_map(|(cpu, memory, cpu_weight, processes)| Limits {
            cpu,
            memory,
            cpu_weight,
            processes,
        });
        let action = (0..Action::ALL.len()).prop_map(|at| Action::ALL[at].0);
        let what =
            (".{1,30}", action, "[A-Za-z0-9_-]{1,50}", prop::option::of("[0-9][!-.0-~]{0,9}"));
        let how = (text(), text(), prop::option::of(envs), prop::option::of(limits));
        let rest = (any::<bool>(), text(), any::<Option<u64>>(), any::<bool>());
        (what, how, rest).prop_map(|(what, how, (definition, server_list, step, force))| Job {
            id: what.0,
            action: what.1,
            name: what.2,
            version: what.3,
            url: how.0,
            checksum: how.1,
            envs: how.2.map(|envs| envs.into_iter().collect()),
            limits: how.3,
            definition: definition.then(|| r#"{"exec":"/bin/a"}"#.to_owned()),
            force,
            server_list,
            step,
        })
    }

    proptest! {
        #[test]
        fn a_job_comes_back_from_the_wire(job in any_job()) {
            prop_assert_eq!(Job::read(&parse(&job.write()).unwrap()), Some(Ok(job)));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            if let Ok(node) = crate::json::parse_lenient(&text) {
                let _ = Job::read(&node);
            }
        }
    }
}
