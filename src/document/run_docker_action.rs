//! `aws:runDockerAction`: one call of the container engine's command, without a shell.

use super::plugin::{Context, Ended};
use super::{docker, script};
use crate::sys::command::Command;
use stint_wire::json::{Node, Value};

/// The plugin's name.
pub const NAME: &str = "aws:runDockerAction";

/// What separates commands in a shell has no place in `env` and `cmd`, as in the original.
const SEPARATORS: [char; 4] = [';', ',', '&', '|'];

/// Runs the action that `inputs` describe.
pub fn run(inputs: &Node, context: &mut Context<'_>) -> Ended {
    let arguments = match arguments(inputs) {
        Ok(arguments) => arguments,
        Err(reason) => return Ended::failed(reason),
    };
    match docker::command() {
        Ok(program) => {
            let mut command = Command::new(program);
            command.args(arguments);
            script::run_program(command, inputs, context)
        }
        Err(reason) => Ended::failed(reason),
    }
}

/// What the command is given.
fn arguments(inputs: &Node) -> Result<Vec<String>, String> {
    let given = Given { inputs };
    let action = given.text("action")?;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let container = || given.needed(&action, "container");
    let image = || given.needed(&action, "image");
    given.check()?;
    let arguments = match action.as_str() {
        "Create" | "Run" => {
            let mut all = words(if action == "Run" { &["run", "-d"] } else { &["create"] });
            all.extend(given.options()?);
            all.push(image()?);
            all.extend(given.list("cmd")?);
            all
        }
        "Exec" => {
            let mut all = words(&["exec"]);
            all.extend(given.option("user", "--user")?);
            all.push(container()?);
            let command = given.list("cmd")?;
            if command.is_empty() {
                return Err("action Exec needs cmd".to_owned());
            }
            all.extend(command);
            all
        }
        "Start" => vec!["start".to_owned(), container()?],
        "Stop" => vec!["stop".to_owned(), container()?],
        "Rm" => vec!["rm".to_owned(), container()?],
        "Logs" => vec!["logs".to_owned(), container()?],
        "Inspect" => {
            let named = given.text("container")?;
            let named = if named.is_empty() { given.text("image")? } else { named };
            if named.is_empty() {
                return Err("action Inspect needs container or image".to_owned());
            }
            vec!["inspect".to_owned(), named]
        }
        "Pull" => vec!["pull".to_owned(), image()?],
        "Rmi" => vec!["rmi".to_owned(), image()?],
        "Images" => words(&["images"]),
        "Ps" => words(&["ps", "--all"]),
        "Stats" => {
            let mut all = words(&["stats", "--no-stream"]);
            all.extend(Some(given.text("container")?).filter(|name| !name.is_empty()));
            all
        }
        _ => {
            return Err(format!(
                "action must be Create, Start, Run, Stop, Rm, Exec, Inspect, Logs, Ps, Stats, \
                 Pull, Images or Rmi, not \"{action}\""
            ));
        }
    };
    Ok(arguments)
}

struct Given<'a> {
    inputs: &'a Node,
}

impl Given<'_> {
    /// An input that is one text; empty if it isn't given.
    fn text(&self, name: &str) -> Result<String, String> {
        match self.inputs.get_any_case(name).map(|node| (node, &node.value)) {
            None | Some((_, Value::Null)) => Ok(String::new()),
            Some((_, Value::String(text) | Value::Number(text))) => Ok(text.clone()),
            Some((node, _)) => Err(format!("{name} must be a string, not {}", node.kind())),
        }
    }

    fn needed(&self, action: &str, name: &str) -> Result<String, String> {
        let text = self.text(name)?;
        if text.is_empty() { Err(format!("action {action} needs {name}")) } else { Ok(text) }
    }

    /// An input that is a list of texts, or one text; without the empty ones.
    fn list(&self, name: &str) -> Result<Vec<String>, String> {
        let Some(elements) = self.inputs.get_any_case(name).and_then(Node::elements) else {
            let text = self.text(name)?;
            return Ok(if text.is_empty() { Vec::new() } else { vec![text] });
        };
        let text = |node: &Node| {
            let text = node.as_str().map(str::to_owned);
            text.ok_or_else(|| format!("{name} must hold strings, not {}", node.kind()))
        };
        let texts: Result<Vec<String>, String> = elements.iter().map(text).collect();
        Ok(texts?.into_iter().filter(|text| !text.is_empty()).collect())
    }

    fn option(&self, name: &str, flag: &str) -> Result<Vec<String>, String> {
        let text = self.text(name)?;
        Ok(if text.is_empty() { Vec::new() } else { vec![flag.to_owned(), text] })
    }

    /// In the original's order. It puts `--volume` before the first volume only, so that the
    /// second is taken for the image.
    fn options(&self) -> Result<Vec<String>, String> {
        let volumes = self.list("volume")?;
        let mut all: Vec<String> =
            volumes.into_iter().flat_map(|volume| ["--volume".to_owned(), volume]).collect();
        for (name, flag) in [
            ("container", "--name"),
            ("memory", "--memory"),
            ("cpuShares", "--cpu-shares"),
            ("publish", "--publish"),
            ("env", "--env"),
            ("user", "--user"),
        ] {
            all.extend(self.option(name, flag)?);
        }
        Ok(all)
    }

    /// The original's checks of each input; here no name may start with `-`, either, which would
    /// make an option of it.
    fn check(&self) -> Result<(), String> {
        let word = |also: &'static str| {
            move |text: &str| {
                !text.starts_with('-')
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
            }
        };
        self.fits("container", "letters, digits and _-\\/", word("_-\\/"))?;
        // The original knows no digests: image@sha256:….
        self.fits("image", "letters, digits and _-\\/.:@", word("_-\\/.:@"))?;
        self.fits("user", "letters, digits and _-", word("_-"))?;
        self.fits("publish", "letters, digits and :-/.", word(":-/."))?;
        self.fits("memory", "a number and b, k, m or g", |text| {
            text.strip_suffix(['b', 'k', 'm', 'g']).unwrap_or(text).bytes().all(is_digit)
        })?;
        self.fits("cpuShares", "a number", |text| text.bytes().all(is_digit))?;
        for name in ["env", "cmd"] {
            if self.list(name)?.iter().any(|text| text.contains(SEPARATORS)) {
                return Err(format!("{name} must not contain any of ; , & |"));
            }
        }
        Ok(())
    }

    fn fits(&self, name: &str, wanted: &str, fits: impl Fn(&str) -> bool) -> Result<(), String> {
        let text = self.text(name)?;
        if fits(&text) { Ok(()) } else { Err(format!("{name} must be {wanted}, not \"{text}\"")) }
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_wire::json::parse;

    fn call(inputs: &str) -> Result<String, String> {
        arguments(&parse(inputs).unwrap()).map(|words| words.join(" "))
    }

    #[test]
    fn each_action_is_one_call() {
        for (inputs, wanted) in [
            (r#"{"action":"Run","image":"a/b:1"}"#, "run -d a/b:1"),
            (r#"{"action":"Create","image":"i","container":"c"}"#, "create --name c i"),
            (r#"{"action":"Start","container":"c"}"#, "start c"),
            (r#"{"action":"Stop","container":"c"}"#, "stop c"),
            (r#"{"action":"Rm","container":"c"}"#, "rm c"),
            (r#"{"action":"Exec","container":"c","user":"u","cmd":"ls"}"#, "exec --user u c ls"),
            (r#"{"action":"Inspect","container":"c"}"#, "inspect c"),
            (r#"{"action":"Inspect","image":"i@sha256:0a"}"#, "inspect i@sha256:0a"),
            (r#"{"action":"Logs","container":"c"}"#, "logs c"),
            (r#"{"action":"Ps"}"#, "ps --all"),
            (r#"{"action":"Stats","container":""}"#, "stats --no-stream"),
            (r#"{"action":"Pull","image":"i"}"#, "pull i"),
            (r#"{"action":"Images"}"#, "images"),
            (r#"{"action":"Rmi","image":"i","container":null}"#, "rmi i"),
        ] {
            assert_eq!(call(inputs).as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn options_come_in_the_original_order_and_every_volume_has_its_flag() {
        let inputs = r#"{"action":"Run","cmd":"sleep 5","image":"i","user":"u","env":"A=b c",
            "publish":"80:80/tcp","cpuShares":512,"memory":"64m","container":"c",
            "volume":["/a:/a","","/b:/b:ro"]}"#;
        assert_eq!(
            arguments(&parse(inputs).unwrap()).unwrap(),
            [
                "run",
                "-d",
                "--volume",
                "/a:/a",
                "--volume",
                "/b:/b:ro",
                "--name",
                "c",
                "--memory",
                "64m",
                "--cpu-shares",
                "512",
                "--publish",
                "80:80/tcp",
                "--env",
                "A=b c",
                "--user",
                "u",
                "i",
                "sleep 5"
            ]
        );
        let listed = parse(r#"{"action":"Exec","container":"c","cmd":["sleep","5"]}"#).unwrap();
        assert_eq!(arguments(&listed).unwrap(), ["exec", "c", "sleep", "5"]);
    }

    #[test]
    fn an_input_that_does_not_fit_is_named_before_anything_is_run() {
        for (inputs, wanted) in [
            (r#"{"action":"Build"}"#, "action must be Create, Start"),
            (r#"{"action":"Run"}"#, "action Run needs image"),
            (r#"{"action":"Rm","container":""}"#, "action Rm needs container"),
            (r#"{"action":"Exec","container":"c"}"#, "action Exec needs cmd"),
            (r#"{"action":"Inspect"}"#, "needs container or image"),
            (r#"{"action":"Rm","container":"a b"}"#, "container must be letters"),
            (r#"{"action":"Rm","container":"--force"}"#, "container must be letters"),
            (r#"{"action":"Pull","image":"$(id)"}"#, "image must be letters"),
            (r#"{"action":"Run","image":"i","user":"a:b"}"#, "user must be letters"),
            (r#"{"action":"Run","image":"i","memory":"1t"}"#, "memory must be a number and"),
            (r#"{"action":"Run","image":"i","memory":"mm"}"#, "memory must be a number and"),
            (r#"{"action":"Run","image":"i","cpuShares":"x"}"#, "cpuShares must be a number"),
            (r#"{"action":"Run","image":"i","publish":"80,81"}"#, "publish must be letters"),
            (r#"{"action":"Run","image":"i","env":"A=1;B"}"#, "env must not contain"),
            (r#"{"action":"Exec","container":"c","cmd":"a|b"}"#, "cmd must not contain"),
            (r#"{"action":"Exec","container":"c","cmd":[1]}"#, "cmd must hold strings"),
            (r#"{"action":"Run","image":["i"]}"#, "image must be a string, not an array"),
        ] {
            let error = call(inputs).unwrap_err();
            assert!(error.contains(wanted), "{inputs}: {error}");
        }
    }
}
