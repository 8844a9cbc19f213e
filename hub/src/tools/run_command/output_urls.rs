//! Where in S3 the whole output of a step is. The nodes upload it; the hub only tells.

use crate::commands::Options;
use crate::tools::documents::{Content, Step};

/// The command, the node, and what they have agreed on.
pub struct Place<'a> {
    /// The S3 server of the fleet, without a slash at its end; AWS's if there is none.
    pub server: Option<&'a str>,
    /// The command's id.
    pub command: &'a str,
    /// The node's id.
    pub node: &'a str,
    /// The region of the bucket.
    pub region: &'a str,
    /// What the command was sent with.
    pub options: &'a Options,
}

impl Place<'_> {
    /// The URLs of a step's standard output and error; empty if the command names no bucket.
    pub fn urls(&self, content: &Content, step: &Step) -> [String; 2] {
        ["stdout", "stderr"].map(|stream| self.url(content, step, stream).unwrap_or_default())
    }

    fn url(&self, content: &Content, step: &Step, stream: &str) -> Option<String> {
        let bucket = self.options.output_s3_bucket_name.as_deref().filter(|b| !b.is_empty())?;
        let own = format!("https://s3.{}.amazonaws.com", self.region);
        let prefix = self.options.output_s3_key_prefix.as_deref().unwrap_or_default();
        let no_colon = |text: &str| text.replace(':', "");
        let (plugin, name) = (no_colon(&step.plugin), no_colon(&name(content, step)));
        let parts = [
            self.server.unwrap_or(&own),
            bucket,
            prefix.trim_matches('/'),
            self.command,
            self.node,
            &plugin,
            &name,
            stream,
        ];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Some(parts.join("/"))
    }
}

/// The step's part of keys: its name; in schema 1, where that is the plugin's, the `id` of its
/// first inputs.
fn name(content: &Content, step: &Step) -> String {
    if step.name != step.plugin {
        return step.name.clone();
    }
    let properties = || {
        let properties =
            content.value().get("runtimeConfig")?.get(&step.plugin)?.get("properties")?;
        properties.get(0).unwrap_or(properties).get("id")?.as_str()
    };
    properties().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn urls(options: Options, server: Option<&str>, content: Value) -> [String; 2] {
        let content = Content::of(&content.to_string());
        let place =
            Place { server, command: "c", node: "mi-1", region: "eu-west-1", options: &options };
        place.urls(&content, &content.steps()[0])
    }

    #[test]
    fn a_url_is_the_bucket_the_prefix_and_the_nodes_own_layout() {
        let bucket = |prefix: Option<&str>| Options {
            output_s3_bucket_name: Some("b".to_owned()),
            output_s3_key_prefix: prefix.map(str::to_owned),
            ..Options::default()
        };
        let new = json!({"mainSteps": [{"action": "aws:runShellScript", "name": "s:1"}]});
        assert_eq!(
            urls(bucket(Some("x/y/")), None, new.clone()),
            ["stdout", "stderr"].map(|stream| format!(
                "https://s3.eu-west-1.amazonaws.com/b/x/y/c/mi-1/awsrunShellScript/s1/{stream}"
            ))
        );
        let old = json!({"runtimeConfig": {"aws:runShellScript":
            {"properties": [{"id": "0.aws:runShellScript"}]}}});
        let [stdout, _] = urls(bucket(None), Some("http://s3:9000"), old);
        assert_eq!(stdout, "http://s3:9000/b/c/mi-1/awsrunShellScript/0.awsrunShellScript/stdout");
        assert_eq!(urls(Options::default(), None, new), ["", ""]);
    }
}
